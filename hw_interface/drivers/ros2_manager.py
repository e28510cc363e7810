"""The services of a controller manager: which controllers there are, and to activate one."""

import random
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from cyclonedds.domain import DomainParticipant

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import SERVICE, make_reader, make_writer, take, topic_name


class Identified(Protocol):
    """A request or an answer, with the id of the request."""

    guid: int
    seq: int


Request = TypeVar("Request", bound=Identified)
Answer = TypeVar("Answer", bound=Identified)


class Service(Generic[Request, Answer]):
    """A client of one service."""

    def __init__(
        self,
        participant: DomainParticipant,
        namespace: str,
        name: str,
        request: type[Request],
        answer: type[Answer],
    ) -> None:
        """``request`` and ``answer`` are the types of its messages."""
        to = topic_name(namespace, f"{name}Request", "rq")
        back = topic_name(namespace, f"{name}Reply", "rr")
        self._answers = make_reader(participant, back, answer, SERVICE)
        self._requests = make_writer(participant, to, request, SERVICE)
        self._guid = random.getrandbits(63)
        self._asked = 0

    def call(
        self, request: Request, pause: Callable[[], None], is_over: Callable[[], bool]
    ) -> Answer | None:
        """Ask, and wait for the answer.

        Args:
            request: its ``guid`` and ``seq`` are set here.
            pause: waits a little.
            is_over: whether the time for the answer is over.

        Returns:
            The answer; None if there is none in time, or the service is not there.
        """
        while not (
            self._requests.get_matched_subscriptions() and self._answers.get_matched_publications()
        ):
            if is_over():
                return None
            pause()
        self._asked += 1
        request.guid = self._guid
        request.seq = self._asked
        self._requests.write(request)
        while not is_over():
            answers: list[Answer] = take(self._answers)
            for answer in answers:
                if (answer.guid, answer.seq) == (self._guid, self._asked):
                    return answer
            pause()
        return None


class Manager:
    """A client of one controller manager."""

    def __init__(self, participant: DomainParticipant, namespace: str, node: str) -> None:
        """``node`` is the manager's name."""
        self._list = Service(
            participant,
            namespace,
            f"{node}/list_controllers",
            messages.ListControllers,
            messages.ControllerList,
        )
        self._switch = Service(
            participant,
            namespace,
            f"{node}/switch_controller",
            messages.SwitchController,
            messages.Switched,
        )

    def controllers(
        self, pause: Callable[[], None], is_over: Callable[[], bool]
    ) -> list[messages.ControllerState] | None:
        """All controllers that are loaded; None if the manager does not answer.

        For the arguments see ``Service.call``.
        """
        answer = self._list.call(messages.ListControllers(), pause, is_over)
        return None if answer is None else list(answer.controller)

    def activate(
        self, name: str, timeout: int, pause: Callable[[], None], is_over: Callable[[], bool]
    ) -> str:
        """Activate a controller; all others stay as they are.

        Args:
            name: of the controller.
            timeout: s, that the manager may take.
            pause: see ``Service.call``.
            is_over: see ``Service.call``.

        Returns:
            Why it was not activated; empty if it was.
        """
        request = messages.SwitchController(
            activate_controllers=[name],
            strictness=messages.STRICT,
            timeout=messages.Duration(timeout),
        )
        answer = self._switch.call(request, pause, is_over)
        if answer is None:
            return "its manager does not answer"
        return "" if answer.ok else (answer.message or "its manager refuses")
