"""The emulated controller manager over DDS: the states of controllers, and two services."""

from cyclonedds.domain import DomainParticipant

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import (
    LATCHED,
    SERVICE,
    make_reader,
    make_writer,
    take,
    topic_name,
)
from hw_interface.emulators.ros2_controllers import ACTIVE, Controllers

NUMBERS = {ACTIVE: 3}  # as in lifecycle_msgs/msg/State; every other state here is inactive
INACTIVE_NUMBER = 2


class ManagerNode:
    """Publishes the states of controllers, lists them and switches them."""

    def __init__(
        self, participant: DomainParticipant, namespace: str, node: str, controllers: Controllers
    ) -> None:
        """``node`` is the manager's name."""
        self._controllers = controllers
        self._states: dict[str, str] = {}  # that were published last
        activity = topic_name(namespace, f"{node}/activity")
        self._activity = make_writer(participant, activity, messages.Activity, LATCHED)
        request = topic_name(namespace, f"{node}/list_controllersRequest", "rq")
        reply = topic_name(namespace, f"{node}/list_controllersReply", "rr")
        self._list_requests = make_reader(participant, request, messages.ListControllers, SERVICE)
        self._list_replies = make_writer(participant, reply, messages.ControllerList, SERVICE)
        request = topic_name(namespace, f"{node}/switch_controllerRequest", "rq")
        reply = topic_name(namespace, f"{node}/switch_controllerReply", "rr")
        self._switch_requests = make_reader(
            participant, request, messages.SwitchController, SERVICE
        )
        self._switch_replies = make_writer(participant, reply, messages.Switched, SERVICE)
        self._publish()

    def answer(self) -> None:
        """Answer the requests that have arrived, and publish the states if one has changed."""
        for switch in take(self._switch_requests):
            problem = self._controllers.switch(
                switch.activate_controllers, switch.deactivate_controllers
            )
            reply = messages.Switched(switch.guid, switch.seq, not problem, problem)
            self._switch_replies.write(reply)
        for request in take(self._list_requests):
            found = self._list()
            self._list_replies.write(messages.ControllerList(request.guid, request.seq, found))
        self._publish()

    def _list(self) -> list[messages.ControllerState]:
        return [
            messages.ControllerState(
                name=each.name,
                state=each.state,
                type=each.kind,
                claimed_interfaces=list(each.claimed),
                required_command_interfaces=list(each.interfaces),
            )
            for each in self._controllers.loaded
        ]

    def _publish(self) -> None:
        states = {each.name: each.state for each in self._controllers.loaded}
        if states == self._states:
            return
        self._states = states
        found = []
        for name, label in states.items():
            number = NUMBERS.get(label, INACTIVE_NUMBER)
            found.append(messages.NamedState(name, messages.State(number, label)))
        self._activity.write(messages.Activity(controllers=found))
