"""How each emulator is given a fault, by the driver's name and the fault's key.

A fault that a driver's table lacks cannot be shown there; ``fault_rows.py`` says why.
"""

from fault_arms import Provocations
from fault_controllers import FRANKA, ROS2, UR
from fault_grippers import PROVOCATIONS as GRIPPERS
from fault_rows import SKIPPED, TWIN, Row, driver_of
from fault_servos import DYNAMIXEL, FEETECH

PROVOCATIONS: dict[str, Provocations] = {
    "dynamixel": DYNAMIXEL | GRIPPERS["dynamixel"],
    "feetech": FEETECH | GRIPPERS["feetech"],
    "ur": UR | GRIPPERS["ur"],
    "franka": FRANKA | GRIPPERS["franka"],
    "ros2": ROS2,
}


def can_show(driver: str, row: Row) -> bool:
    """Whether a driver can show a fault."""
    if (driver, row.key) in SKIPPED:
        return False
    if row.by != "arm":
        return True
    return row.key in (TWIN if driver == "twin" else PROVOCATIONS[driver_of(driver)])
