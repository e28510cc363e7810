"""Arms whose grippers hold something while ``fault_matrix.py`` provokes a fault."""

from dataclasses import replace
from typing import Any

import numpy as np
from fault_arms import FaultyPlant, Provocations

from hw_interface.emulators.ur import URCAP
from robots.actions import ToolVelocity
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import Array, Setpoint, Spec
from sim.families.lift import HALF_WIDTH
from sim.families.reach import Reach

PLAIN = {
    "viperx_gripper": "viperx",
    "so101_gripper": "so101",
    "ur5e_2f85": "ur5e",
    "fr3_hand": "fr3",
}
FORCE = 8.0  # N, with which each finger is to press
HELD = 1.5e-3  # m, from the object's surface, within which fingers are at it
TOO_HOT = 0x08  # FLT of a Robotiq gripper
OVERLOAD = 5  # bit of a Feetech servo's status


def arm_of(name: str) -> ArmSpec:
    """The arm; with a gripper it begins like the plain arm, with fingers that press."""
    arm = ARMS[name]
    gripper = arm.gripper
    if gripper is None:
        return arm
    zone = ARMS[PLAIN[name]].reach_zone
    assert zone is not None
    squeeze = float(gripper.squeeze(HALF_WIDTH, np.array([FORCE]))[0])
    return replace(arm, reach_zone=replace(zone, ready=np.append(zone.ready, squeeze)))


class ToolAndFingers(ToolVelocity):
    """The tool's velocity, and that of the fingers, whose motor is the last joint."""

    def __init__(self, tool: ToolVelocity, speed: float) -> None:
        """``speed`` is the fingers' at an action of 1, m/s."""
        self._tool = tool
        self._speed = speed
        low = [*tool.spec.low, -speed]
        high = [*tool.spec.high, speed]
        names = [*tool.spec.names, "finger.v"]
        columns = [(*each, "m/s") for each in zip(names, low, high, strict=True)]
        self.spec = Spec.of(*columns)

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, 4) in [-1, 1] to joint velocities (n, j)."""
        velocity = self._tool(action[:, :-1], setpoint)
        velocity[:, -1] = self._speed * np.clip(action[:, -1], -1, 1)
        return velocity


class Grip(Reach):
    """Reach, with fingers that are moved too."""

    def __init__(self, arm: ArmSpec) -> None:
        """``arm`` has a gripper."""
        super().__init__(arm)
        assert arm.gripper is not None
        self.action = ToolAndFingers(self.action, arm.gripper.speed / 2)


def family_of(name: str) -> Reach:
    """What an arm does while a fault is awaited."""
    arm = arm_of(name)
    return Reach(arm) if arm.gripper is None else Grip(arm)


def holds(plant: FaultyPlant) -> bool:
    """Whether the simulated fingers press on the object, whatever the driver says."""
    q, _, tau = plant.read()
    return bool(abs(q[-1] - HALF_WIDTH) < HELD and -tau[-1] / 2 > FORCE / 2)


def take_object(_: Any, plant: FaultyPlant) -> None:
    plant.put_between(None)


def jam(_: Any, plant: FaultyPlant) -> None:
    plant.jam(True)


COMMON: Provocations = {"slip": take_object, "jammed": jam}


def mute_fingers(arm: Any, _: FaultyPlant) -> None:
    arm.faults.mute = {list(arm.servos)[-1]}


def cut_urcap(arm: Any, _: FaultyPlant) -> None:
    arm.cut(URCAP)


def heat_robotiq(arm: Any, _: FaultyPlant) -> None:
    arm.controller.gripper.fault = TOO_HOT


def cut_hand(arm: Any, _: FaultyPlant) -> None:
    arm.server.hand.faults.is_silent = True
    arm.server.hand.reset_state()


def overload_dynamixel(arm: Any, _: FaultyPlant) -> None:
    arm.servos[9].overload()


def overload_feetech(arm: Any, _: FaultyPlant) -> None:
    arm.servos[6].fault(OVERLOAD)


PROVOCATIONS: dict[str, Provocations] = {
    "dynamixel": COMMON | {"finger_link": mute_fingers, "finger_fault": overload_dynamixel},
    "feetech": COMMON | {"finger_link": mute_fingers, "finger_fault": overload_feetech},
    "ur": COMMON | {"finger_link": cut_urcap, "finger_fault": heat_robotiq},
    "franka": COMMON | {"finger_link": cut_hand},
}


def mend(driver: str, arm: Any, plant: FaultyPlant) -> None:
    """End the faults of a gripper, and put the object back between open fingers."""
    plant.jam(False)
    plant.put_between(HALF_WIDTH)
    if driver == "ur":
        arm.controller.gripper.fault = 0
    if driver == "franka":
        arm.server.hand.faults.is_silent = False
