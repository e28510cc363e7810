"""Drivers of arms: one file per controller family, each behind ``robots.driver.Driver``.

A driver is built as ``kind(arm, scene, kind.Options(**options))``. ``Options`` is a dataclass whose
fields can be given on the command line (``--driver-set NAME=VALUE``). Building raises
BadArgumentError for options that make no sense, and touches no hardware. The twin is named by its
path and never imported here: it is the one driver that has a simulator inside.
"""

from robots.registry import Registry

DRIVERS = Registry(
    "driver",
    "pliant.drivers",
    {
        "dynamixel": "hw_interface.drivers.dynamixel:Dynamixel",
        "feetech": "hw_interface.drivers.feetech:Feetech",
        "franka": "hw_interface.drivers.franka:Franka",
        "ros2": "hw_interface.drivers.ros2:Ros2",
        "twin": "sim.twin:Twin",
        "ur": "hw_interface.drivers.ur:Ur",
    },
    extras={name: name for name in ("dynamixel", "feetech", "franka", "ros2", "ur")},
)
