"""How emulated buses of servos are given a fault, and how all of them are ended again."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fault_arms import TURN, FaultyPlant, Provocations
from fault_common import BRIEF, COMMON, briefly, mend_plant, set_fault
from standstill import SAMPLING

from hw_interface.drivers.servo_calibration import TICK

ANSWER = 0.008  # s, later than a driver waits for an answer
OVERLOAD = 5  # bits of a Feetech servo's status
OVERHEATING = 2


def shift_servos(arm: Any, _: FaultyPlant) -> None:
    arm.faults.glitches = dict.fromkeys(arm.servos, TURN)


def slip(arm: Any, plant: FaultyPlant) -> None:
    """The servos' sensors are wrong from now on, and the servos follow them."""
    shift_servos(arm, plant)
    signs = [servo.wiring.sign for servo in arm.group.leaders]
    plant.slip = TICK * TURN * np.array(signs)


def freeze_servos(arm: Any, _: FaultyPlant) -> None:
    arm.faults.frozen = set(arm.servos)


def unplug(arm: Any, _: FaultyPlant) -> None:
    """Remove the port; the servos live on."""
    arm.close()

    def live_on() -> None:
        while True:
            arm.pass_time()
            time.sleep(SAMPLING)

    threading.Thread(target=live_on, daemon=True).start()


def be_another_servo(arm: Any, _: FaultyPlant) -> None:
    next(iter(arm.servos.values())).set("model", 99)


def mend_servos(arm: Any, plant: FaultyPlant) -> None:
    mend_plant(plant)
    faults = arm.faults
    faults.mute = set()
    faults.corrupt = set()
    faults.frozen = set()
    faults.glitches = {}
    faults.silent = False
    faults.delay = 0.0
    faults.copies = 1


def reconnect_servos(arm: Any, plant: FaultyPlant) -> None:
    briefly(1.0, set_fault(silent=True), "silent", False)(arm, plant)


def servos(brief: float) -> Provocations:
    """Those that every bus of servos can have."""
    return COMMON | {
        "lost": briefly(brief, set_fault(silent=True), "silent", False),
        "silent": set_fault(silent=True),
        "mute": lambda arm, _: setattr(arm.faults, "mute", {list(arm.servos)[-1]}),
        "corrupt": lambda arm, _: setattr(arm.faults, "corrupt", {next(iter(arm.servos))}),
        "late": set_fault(delay=ANSWER),
        "twice": set_fault(copies=2),
        "frozen": freeze_servos,
        "glitch": briefly(brief, shift_servos, "glitches", {}),
        "jump": slip,
        "cut": unplug,
        "back_again": reconnect_servos,
        "another": be_another_servo,
        "mend": mend_servos,
    }


def turn_clocks(seconds: float) -> Callable[[Any, FaultyPlant], None]:
    """Turn the clocks of Dynamixel servos."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        for servo in arm.servos.values():
            servo.started -= seconds

    return provoke


def restart_dynamixel(arm: Any, _: FaultyPlant) -> None:
    arm.servos[4].reboot()


def mend_dynamixel(arm: Any, plant: FaultyPlant) -> None:
    mend_servos(arm, plant)
    for servo in arm.servos.values():
        if servo.get("hardware_error"):
            servo.reboot()


DYNAMIXEL = servos(BRIEF["dynamixel"]) | {
    "ahead": turn_clocks(10.0),
    "back": turn_clocks(-10.0),
    "overload": lambda arm, _: arm.servos[4].overload(),
    "shadow": lambda arm, _: arm.servos[3].overload(),
    "restart": restart_dynamixel,
    "mend": mend_dynamixel,
}


def mend_feetech(arm: Any, plant: FaultyPlant) -> None:
    mend_servos(arm, plant)
    for servo in arm.servos.values():
        servo.set("status", 0)


FEETECH = servos(BRIEF["feetech"]) | {
    "overload": lambda arm, _: arm.servos[3].fault(OVERLOAD),
    "heat": lambda arm, _: arm.servos[2].fault(OVERHEATING),
    "restart": lambda arm, _: arm.servos[3].restart(),
    "mend": mend_feetech,
}
