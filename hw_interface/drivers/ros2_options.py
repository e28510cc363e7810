"""Where an arm is in ROS 2: the options of the driver, checked without any client."""

import re
from dataclasses import dataclass

from robots.arm import ArmSpec
from robots.errors import BadArgumentError

HIGHEST_DOMAIN = 101  # on every system; those above may need ports that the system uses
NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*")  # one in ROS 2, or several with slashes
# the controller of each way to stream commands, as most arms name it
CONTROLLERS = {
    "forward": "forward_position_controller",
    "trajectory": "joint_trajectory_controller",
}
INTERFACE = re.compile(r"[\w.:-]+")  # the name of a network interface, such as eth0


@dataclass(frozen=True)
class Ros2Options:
    """The network, and ROS 2's names of the arm."""

    port: str = "lo"  # the network interface; lo: ros2_control runs on this machine
    domain: int = 0  # ROS_DOMAIN_ID
    namespace: str = ""  # of all names below
    states: str = "joint_states"  # topic of the joint states
    stream: str = "forward"  # the kind of the controller: ``forward`` or ``trajectory``
    controller: str = ""  # its name; empty: the usual one of its kind
    manager: str = "controller_manager"  # its node
    # names of the arm's joints, with commas, in the catalog's order; empty: those of the catalog
    joints: str = ""
    # the controller's joints in its own order, with commas; empty: its manager is asked. Only for a
    # manager that answers no service: whether the controller claims the joints is then not checked
    order: str = ""


def check_options(options: Ros2Options) -> None:
    """Refuse names that ROS 2 does not have.

    Raises:
        BadArgumentError: one of these, or a domain or an interface that cannot be.
    """
    domain = options.domain
    if isinstance(domain, bool) or not isinstance(domain, int) or not 0 <= domain <= HIGHEST_DOMAIN:
        raise BadArgumentError(f"domain is 0 to {HIGHEST_DOMAIN}, got {domain!r}")
    if not INTERFACE.fullmatch(options.port):
        raise BadArgumentError(f"--port is a network interface, such as eth0; got {options.port!r}")
    if options.stream not in CONTROLLERS:
        known = " or ".join(CONTROLLERS)
        raise BadArgumentError(f"stream is {known}, got {options.stream!r}")
    for field in ("states", "controller", "manager", "namespace"):
        name = getattr(options, field).strip("/")
        is_empty = field in ("controller", "namespace") and not name
        if not is_empty and not NAME.fullmatch(name):
            raise BadArgumentError(f"{field} is a name in ROS 2, got {name!r}")


def controller_of(options: Ros2Options) -> str:
    """The name of the controller that takes the commands."""
    return options.controller or CONTROLLERS[options.stream]


def joints_of(options: Ros2Options, arm: ArmSpec) -> tuple[str, ...]:
    """The names in ROS 2 of the arm's joints, in the catalog's order.

    Raises:
        BadArgumentError: the option names another number of joints, or one twice.
    """
    if not options.joints:
        return tuple(arm.joints)
    names = split(options.joints)
    if len(names) != len(arm.joints):
        raise BadArgumentError(f"{arm.name} has {len(arm.joints)} joints, not {len(names)}")
    if len(set(names)) != len(names):
        raise BadArgumentError(f"a joint is named twice in {options.joints!r}")
    return names


def split(names: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name.strip() for name in names.split(","))


def check_order(order: tuple[str, ...], joints: tuple[str, ...]) -> None:
    """Refuse a controller of other joints than the arm's.

    Raises:
        RuntimeError: the controller has other joints, or one twice.
    """
    if sorted(order) != sorted(joints):
        has = ", ".join(order)
        needs = ", ".join(joints)
        raise RuntimeError(f"the controller's joints are {has}; those of this arm are {needs}")
