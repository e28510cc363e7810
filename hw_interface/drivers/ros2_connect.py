"""How an arm under ros2_control is found and checked before it is commanded."""

from collections.abc import Callable

from hw_interface.drivers.ros2_link import Ros2Link
from hw_interface.drivers.ros2_messages import STRING, STRING_ARRAY, ParameterValue
from hw_interface.drivers.ros2_options import Ros2Options, check_order, split

PATIENCE = 3.0  # s, for each part of the arm to be found
RATE_SECONDS = 0.5  # s for which the rate of the joint states is measured
ENOUGH = 0.9  # share of the rate that is needed

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
        if self.link.other_writers():
            raise RuntimeError(f"another program commands {self.options.controller}: stop it")
        order = split(self.options.order) if self.options.order else self._ask_order()
        check_order(order, self.link.joints)
        self.link.set_order(order)

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
        """Wait for the controller to be active and to listen."""
        name = self.options.controller
        state: str | None = None

        def is_active() -> bool:
            nonlocal state
            state = self.link.controller_state()
            return state == "active"

        if not self._wait_for(is_active):
            if state is None:
                remedy = "ros2_control of ROS 2 Jazzy or newer publishes it"
                topic = f"{self.options.manager}/activity"
                raise OSError(f"nothing arrives on {topic} ({self._place}): {remedy}")
            remedy = f"ros2 control switch_controllers --activate {name}"
            raise RuntimeError(f"the controller {name} is {state}: {remedy}")
        if not self._wait_for(lambda: self.link.has_listener):
            raise OSError(f"nobody listens on {name}/commands ({self._place})")

    def _ask_order(self) -> tuple[str, ...]:
        """The controller's joints in the order of its commands."""
        found = self._ask("joints")
        if not found or found[0].type != STRING_ARRAY:
            problem = f"the controller {self.options.controller} does not tell its joints"
            remedy = "run it with RMW_IMPLEMENTATION=rmw_cyclonedds_cpp, or give the option order"
            raise RuntimeError(f"{problem}: {remedy}")
        for kind in self._ask("interface_name"):
            if kind.type == STRING and kind.string_value not in ("", "position"):
                raise RuntimeError(f"the controller commands {kind.string_value}, not position")
        return tuple(found[0].string_array_value)

    def _ask(self, name: str) -> list[ParameterValue]:
        deadline = self._clock() + PATIENCE
        found = self.link.parameters([name], self._pause, lambda: self._clock() > deadline)
        return found or []
