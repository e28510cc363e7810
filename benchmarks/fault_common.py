"""What all emulated arms have in common when they are given a fault."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fault_arms import FaultyPlant, Provocations

# s that a fault lasts which costs one reading
BRIEF = {"dynamixel": 0.004, "feetech": 0.005, "franka": 0.005, "ros2": 0.012, "ur": 0.003}


def meet_wall(_: Any, plant: FaultyPlant) -> None:
    plant.meet_wall()


def get_stuck(_: Any, plant: FaultyPlant) -> None:
    plant.stuck = True


def mend_plant(plant: FaultyPlant) -> None:
    plant.wall = np.inf
    plant.stuck = False
    plant.shift = 0.0
    plant.slip = 0.0


COMMON: Provocations = {"contact": meet_wall, "stuck": get_stuck}


def set_fault(**values: Any) -> Callable[[Any, FaultyPlant], None]:
    """Set attributes of the emulator's ``faults``."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        for name, value in values.items():
            setattr(arm.faults, name, value)

    return provoke


def briefly(
    seconds: float, begin: Callable[[Any, FaultyPlant], None], end: str, value: Any
) -> Callable[[Any, FaultyPlant], None]:
    """A fault that ends after some seconds, when ``faults`` gets back a value."""

    def provoke(arm: Any, plant: FaultyPlant) -> None:
        begin(arm, plant)
        time.sleep(seconds)
        setattr(arm.faults, end, value)

    return provoke
