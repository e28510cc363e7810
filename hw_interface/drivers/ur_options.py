"""The options of the driver for arms of Universal Robots."""

from dataclasses import dataclass

from robots.arm import ArmSpec
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class UrOptions:
    """Address of the controller, and settings of ``servoj`` and of a gripper.

    The defaults of ``servoj`` are those of the maker's drivers.
    """

    port: str = ""  # its address
    lookahead: float = 0.03  # s, lookahead time of servoj, 0.03 to 0.2: about the lag
    gain: float = 2000.0  # proportional gain of servoj, 100 to 2000
    payload: tuple[float, ...] = ()  # kg and x, y, z in m; nothing: as it is set at the pendant
    # of a Robotiq gripper: its POS with open and with closed fingers; nothing: a usual pair
    gripper_counts: tuple[float, ...] = ()
    activate: bool = False  # the operator's word that its fingers may open and close

    def check(self, arm: ArmSpec) -> None:
        """Refuse another maker's arm, and settings that are impossible.

        Raises:
            BadArgumentError: it is one of these, or there is no address.
        """
        if not arm.name.startswith("ur"):
            raise BadArgumentError(f"the driver ur drives arms of Universal Robots, not {arm.name}")
        if not self.port:
            message = "an arm of Universal Robots is reached by its controller's address"
            raise BadArgumentError(f"{message}: give --port, such as 192.168.1.10")
        if not 0.03 <= self.lookahead <= 0.2:
            raise BadArgumentError(f"lookahead is 0.03 to 0.2 s, got {self.lookahead}")
        if not 100 <= self.gain <= 2000:
            raise BadArgumentError(f"gain is 100 to 2000, got {self.gain}")
