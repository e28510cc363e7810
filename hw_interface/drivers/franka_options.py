"""Options of the driver ``franka``, and which arms it drives."""

from dataclasses import dataclass

from robots.arm import ArmSpec
from robots.errors import BadArgumentError

HAND = "franka_hand"  # the name of the gripper that it moves


@dataclass(frozen=True)
class FrankaOptions:
    """Address of the controller, and what the operator permits."""

    port: str = ""  # its address
    recover: bool = False  # the operator's word that the arm may move again
    payload: tuple[float, ...] = ()  # kg and x, y, z in m; nothing: as it is set
    grip: float = 30.0  # N, of each finger of the hand; it presses with no less
    home: bool = False  # the operator's word that a hand that is not homed may open fully


def check_options(arm: ArmSpec, options: FrankaOptions) -> None:
    """Refuse what cannot be driven.

    Raises:
        BadArgumentError: no address, another arm than an FR3, another gripper than the Franka Hand,
            or a force that its fingers do not have.
    """
    if arm.name.startswith("panda"):
        reason = "the client's libfranka speaks to the Franka Research 3 only"
        raise BadArgumentError(f"the driver franka does not drive the {arm.name}: {reason}")
    if not arm.name.startswith("fr3"):
        raise BadArgumentError(f"the driver franka drives a Franka Research 3, not {arm.name}")
    if not options.port:
        message = "a Franka arm is reached by its controller's address"
        raise BadArgumentError(f"{message}: give --port, such as 172.16.0.2")
    gripper = arm.gripper
    if gripper is None:
        return
    if gripper.name != HAND:
        raise BadArgumentError(f"the driver franka moves the Franka Hand, not {gripper.name}")
    largest = gripper.force / 2
    if not 0 < options.grip <= largest:
        raise BadArgumentError(f"grip is at most {largest:g} N of each finger, got {options.grip}")
