"""How each emulator is given a fault, by the driver's name and the fault's key.

A fault that a driver's table lacks cannot be shown there; ``fault_rows.py`` says why.
"""

from fault_arms import Provocations
from fault_controllers import FRANKA, ROS2, UR
from fault_grippers import PROVOCATIONS as GRIPPERS
from fault_servos import DYNAMIXEL, FEETECH

PROVOCATIONS: dict[str, Provocations] = {
    "dynamixel": DYNAMIXEL | GRIPPERS["dynamixel"],
    "feetech": FEETECH | GRIPPERS["feetech"],
    "ur": UR | GRIPPERS["ur"],
    "franka": FRANKA | GRIPPERS["franka"],
    "ros2": ROS2,
}
