"""How an arm under ros2_control is found, checked and activated before it is commanded."""

from collections.abc import Callable

from hw_interface.drivers.ros2_link import Ros2Link
from hw_interface.drivers.ros2_messages import ACTIVE, ControllerState
from hw_interface.drivers.ros2_options import Ros2Options, check_order, split

PATIENCE = 3.0  # s, for each part of the arm to be found
RATE_SECONDS = 0.5  # s for which the rate of the joint states is measured
ENOUGH = 0.9  # share of the rate that is needed
POSITION = "position"  # the command interface that is used of each joint
SWITCHING = 2  # s that the manager may take to activate the controller

Clock = Callable[[], float]


class Finder:
    """Waits for the parts of an arm on one link."""

    def __init__(
        self, link: Ros2Link, options: Ros2Options, clock: Clock, pause: Callable[[], None]
    ) -> None:
        """``clock`` returns our time, s; ``pause`` lets a little of it pass."""
        self.link = link
        self.options = options
        self._clock = clock
        self._pause = pause
        self._place = f"domain {options.domain}, interface {options.port}"

    def check_all(self, rate: float) -> None:
        """Check everything, and set the order of the commands.

        Args:
            rate: of joint states that is needed, Hz.

        Raises:
            OSError: a part of the arm is not found.
            RuntimeError: it is not set up as the options say, or another program commands it.
        """
        self._find_states()
        self._check_rate(rate)
        self._find_controller()
        self._check_alone()
        order = split(self.options.order)
        if not self.options.order:
            own, _ = self._ask_controllers()
            order = self._joints_of(own)
        check_order(order, self.link.joints)
        self.link.stream.set_order(self.link.joints, order)

    def activate(self) -> None:
        """Make sure that the controller is active and has claimed the arm's joints.

        It is activated if it is not, unless an active one has claimed one of its joints. With the
        option ``order`` nothing is asked and nothing activated.

        Raises:
            RuntimeError: it is not active, and why; or another program commands it.
        """
        self._check_alone()
        if self.options.order:  # the manager answers no service
            return
        name = self.link.controller
        own, others = self._ask_controllers()
        needed = set(own.required_command_interfaces)
        if own.state == ACTIVE:
            unclaimed = needed.difference(own.claimed_interfaces)
            if unclaimed:
                raise RuntimeError(f"the controller {name} has not claimed {min(unclaimed)}")
            return
        for other in others:
            taken = needed.intersection(other.claimed_interfaces)
            if other.state == ACTIVE and taken:
                problem = f"the controller {name} is {own.state}, and {other.name} is active"
                command = "ros2 control switch_controllers"
                remedy = f"{command} --deactivate {other.name} --activate {name}"
                raise RuntimeError(f"{problem}, which claims {min(taken)}: {remedy}")
        refusal = self.link.manager.activate(name, SWITCHING, self._pause, self._over())
        if refusal:
            raise RuntimeError(f"the controller {name} cannot be activated: {refusal}")
        if not self._wait_for(lambda: self.link.controller_state() == ACTIVE):
            raise RuntimeError(f"the controller {name} does not become active")

    def _wait_for(self, is_there: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        deadline = self._clock() + seconds
        while not is_there():
            if self._clock() > deadline:
                return False
            self._pause()
        return True

    def _find_states(self) -> None:
        """Wait for a joint state that can be used."""
        problem = ""

        def is_there() -> bool:
            nonlocal problem
            sample = self.link.take()
            if sample is not None:
                problem = sample.problem
            return sample is not None and not sample.problem

        if self._wait_for(is_there):
            return
        if problem:
            raise RuntimeError(f"{problem}; the option joints renames the catalog's joints")
        remedy = "look at ROS_DOMAIN_ID, the network interface, and joint_state_broadcaster"
        raise OSError(f"no joint states arrive on {self.options.states} ({self._place}): {remedy}")

    def _check_rate(self, rate: float) -> None:
        """Measure the rate of the joint states, by their stamps."""
        stamps: list[float] = []

        def is_over() -> bool:
            sample = self.link.take()
            if sample is not None and sample.stamp not in stamps:
                stamps.append(sample.stamp)
            return False

        self._wait_for(is_over, RATE_SECONDS)
        passed = max(stamps) - min(stamps) if stamps else 0.0
        found = (len(stamps) - 1) / passed if passed > 0 else 0.0
        if found < ENOUGH * rate:
            problem = f"joint states arrive at {found:.0f} Hz, and {rate:.0f} Hz are needed"
            raise RuntimeError(f"{problem}: raise update_rate of the controller_manager")

    def _find_controller(self) -> None:
        """Wait for the controller to be loaded and configured, and to listen."""
        name = self.link.controller
        state: str | None = None

        def is_there() -> bool:
            nonlocal state
            state = self.link.controller_state()
            return state in (ACTIVE, "inactive")

        if not self._wait_for(is_there):
            if state is None:
                remedy = "ros2_control of ROS 2 Jazzy or newer publishes it"
                topic = f"{self.options.manager}/activity"
                raise OSError(f"nothing arrives on {topic} ({self._place}): {remedy}")
            loaded = ", ".join(self.link.controllers or {})
            remedy = "load and configure it, or name another by the options stream and controller"
            raise RuntimeError(f"the controller {name} is {state}; there are {loaded}: {remedy}")
        stream = self.link.stream
        if not self._wait_for(lambda: stream.has_listener):
            raise OSError(f"nobody listens on {name}/{stream.topic} ({self._place})")

    def _check_alone(self) -> None:
        """Refuse a controller that another program commands."""
        if self.link.stream.other_writers():
            raise RuntimeError(f"another program commands {self.link.controller}: stop it")

    def _ask_controllers(self) -> tuple[ControllerState, list[ControllerState]]:
        """The controller, and the others that are loaded."""
        found = self.link.manager.controllers(self._pause, self._over())
        if found is None:
            problem = f"{self.options.manager} does not tell its controllers"
            remedy = "run it with RMW_IMPLEMENTATION=rmw_cyclonedds_cpp, or give the option order"
            raise RuntimeError(f"{problem}: {remedy}")
        by_name = {each.name: each for each in found}
        own = by_name.pop(self.link.controller, None)
        if own is None:
            raise RuntimeError(f"the controller {self.link.controller} is absent")
        return own, list(by_name.values())

    def _joints_of(self, controller: ControllerState) -> tuple[str, ...]:
        """The joints whose positions a controller commands, in its own order."""
        joints = []
        for interface in controller.required_command_interfaces:
            joint, _, kind = interface.rpartition("/")
            if kind != POSITION:
                raise RuntimeError(f"the controller {controller.name} commands {interface}")
            joints.append(joint)
        return tuple(joints)

    def _over(self) -> Callable[[], bool]:
        """Tells when the patience with one answer is over."""
        deadline = self._clock() + PATIENCE
        return lambda: self._clock() > deadline
