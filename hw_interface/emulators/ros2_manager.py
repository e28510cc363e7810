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
    """Tells the states of controllers, lists them and switches them."""

    def __init__(
        self, participant: DomainParticipant, namespace: str, node: str, controllers: Controllers
    ) -> None:
        """``node`` is the manager's name."""
        self._controllers = controllers
        self._states: dict[str, str] = {}  # that were published last
        activity = topic_name(namespace, f"{node}/activity")
        self._activity = make_writer(participant, activity, messages.Activity, LATCHED)
        asked = topic_name(namespace, f"{node}/list_controllersRequest", "rq")
        told = topic_name(namespace, f"{node}/list_controllersReply", "rr")
        self._asked = make_reader(participant, asked, messages.ListControllers, SERVICE)
        self._told = make_writer(participant, told, messages.ControllerList, SERVICE)
        orders = topic_name(namespace, f"{node}/switch_controllerRequest", "rq")
        done = topic_name(namespace, f"{node}/switch_controllerReply", "rr")
        self._orders = make_reader(participant, orders, messages.SwitchController, SERVICE)
        self._done = make_writer(participant, done, messages.Switched, SERVICE)
        self._publish()

    def answer(self) -> None:
        """Answer the requests that have arrived, and publish the states if one has changed."""
        for order in take(self._orders):
            problem = self._controllers.switch(
                order.activate_controllers, order.deactivate_controllers
            )
            self._done.write(messages.Switched(order.guid, order.seq, not problem, problem))
        for request in take(self._asked):
            found = self._list()
            self._told.write(messages.ControllerList(request.guid, request.seq, found))
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
