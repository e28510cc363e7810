"""How emulated controllers are given a fault, and how all of them are ended again."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from fault_arms import HOUR, PUSH, RADIAN, FaultyPlant
from fault_common import BRIEF, COMMON, briefly, mend_plant, set_fault

from hw_interface.drivers.ur_modes import RobotMode, SafetyMode
from robots.catalog import ARMS

MILLISECONDS = 1000


def show(**changes: Callable[[Any], Any]) -> Callable[[Any, FaultyPlant], None]:
    """Change variables that a Universal Robots controller sends."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        plain = type(arm.controller).variables

        def variables() -> dict[str, Any]:
            shown = plain(arm.controller)
            return shown | {name: change(shown[name]) for name, change in changes.items()}

        arm.controller.variables = variables

    return provoke


def show_all(arm: Any, _: FaultyPlant) -> None:
    arm.controller.__dict__.pop("variables", None)


def shifted(q: Any) -> Any:
    return [angle + RADIAN for angle in q]


def glitch_ur(arm: Any, plant: FaultyPlant) -> None:
    show(actual_q=shifted)(arm, plant)
    time.sleep(BRIEF["ur"])
    show_all(arm, plant)


def turn_ur(seconds: float) -> Callable[[Any, FaultyPlant], None]:
    return lambda arm, _: setattr(arm.controller, "time", arm.controller.time + seconds)


def mend_ur(arm: Any, plant: FaultyPlant) -> None:
    mend_plant(plant)
    show_all(arm, plant)
    arm.faults.mute = arm.faults.frozen = arm.faults.deaf = False
    arm.faults.lag = 0
    controller = arm.controller
    controller.force[:] = 0.0
    if controller.safety_mode is not SafetyMode.NORMAL:
        controller.release()
    if controller.robot_mode is not RobotMode.RUNNING:
        controller.release_brakes()
    if controller.slider < 1:
        controller.slider = 1.0


UR = COMMON | {
    "lost": briefly(BRIEF["ur"], set_fault(mute=True), "mute", False),
    "silent": set_fault(mute=True),
    "deaf": set_fault(deaf=True),
    "late": set_fault(lag=50),
    "frozen": set_fault(frozen=True),
    "nan": show(actual_q=lambda q: [np.nan for _ in q]),
    "glitch": glitch_ur,
    "jump": show(actual_q=shifted),
    "ahead": turn_ur(HOUR),
    "back": turn_ur(-HOUR),
    "cut": lambda arm, _: arm.cut(),
    "back_again": briefly(1.0, set_fault(mute=True), "mute", False),
    "estop": lambda arm, _: arm.controller.emergency_stop(),
    "protective": lambda arm, _: arm.controller.protective_stop(),
    "off": lambda arm, _: arm.controller.power_off(),
    "ended": lambda arm, _: arm.controller.stop_program(),
    "slower": lambda arm, _: setattr(arm.controller, "slider", 0.5),
    "force": lambda arm, _: arm.controller.force.__setitem__(0, PUSH),
    "another": lambda arm, _: setattr(arm.controller, "arm", ARMS["viperx"]),
    "mend": mend_ur,
}


def send(change: Callable[[Any], Any]) -> Callable[[Any, FaultyPlant], None]:
    """Change the states that a Franka controller sends."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        server = arm.server
        server._get_state_bytes = lambda: change(server.state).pack_state()

    return provoke


def send_plain(arm: Any, _: FaultyPlant) -> None:
    for name in ("_get_state_bytes", "send_state"):
        arm.server.__dict__.pop(name, None)


def send_nothing(arm: Any, _: FaultyPlant) -> None:
    arm.server.send_state = lambda: None


def freeze_franka(arm: Any, _: FaultyPlant) -> None:
    packed = arm.server.state.pack_state()
    arm.server._get_state_bytes = lambda: packed


def cut_franka(arm: Any, _: FaultyPlant) -> None:
    """Close the connection, between two cycles."""
    server = arm.server

    def cut() -> None:
        del server._pre_process_commands
        server.reset_state()

    server._pre_process_commands = cut


def franka_for(
    seconds: float, begin: Callable[[Any, FaultyPlant], None]
) -> Callable[[Any, FaultyPlant], None]:
    """A fault of what is sent, which ends after some seconds."""

    def provoke(arm: Any, plant: FaultyPlant) -> None:
        begin(arm, plant)
        time.sleep(seconds)
        send_plain(arm, plant)

    return provoke


def turn_franka(seconds: float) -> Callable[[Any, FaultyPlant], None]:
    """The controller's time is the number of its message, in ms."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        name = "_FrankaServer__message_id"
        number = getattr(arm.server, name) + round(MILLISECONDS * seconds)
        setattr(arm.server, name, max(0, number))

    return provoke


def reflex(arm: Any, _: FaultyPlant) -> None:
    from hw_interface.emulators.franka_server import COMMUNICATION

    arm.server.reflex(COMMUNICATION)


def mend_franka(arm: Any, plant: FaultyPlant) -> None:
    from franky_sim.franka_robot_protocol import RobotMode as FrankaMode

    mend_plant(plant)
    send_plain(arm, plant)
    if arm.server.mode == FrankaMode.kUserStopped:
        arm.server.user_stop(False)


def push_franka(state: Any) -> Any:
    return replace(state, O_F_ext_hat_K=(PUSH, 0.0, 0.0, 0.0, 0.0, 0.0))


FRANKA = COMMON | {
    "lost": franka_for(BRIEF["franka"], send_nothing),
    "silent": send_nothing,
    "frozen": freeze_franka,
    "nan": send(lambda state: replace(state, q=tuple(np.nan for _ in state.q))),
    "glitch": franka_for(
        BRIEF["franka"], send(lambda state: replace(state, q=tuple(shifted(state.q))))
    ),
    "jump": send(lambda state: replace(state, q=tuple(shifted(state.q)))),
    "ahead": turn_franka(HOUR),
    "back": turn_franka(-HOUR),
    "cut": cut_franka,
    "back_again": franka_for(1.0, send_nothing),
    "estop": lambda arm, _: arm.server.user_stop(True),
    "protective": reflex,
    "force": send(push_franka),
    "mend": mend_franka,
}


def set_ros2(fault: str) -> Callable[[Any, FaultyPlant], None]:
    return lambda arm, _: setattr(arm, "fault", fault)


def ros2_for(seconds: float, fault: str) -> Callable[[Any, FaultyPlant], None]:
    def provoke(arm: Any, plant: FaultyPlant) -> None:
        arm.fault = fault
        time.sleep(seconds)
        arm.fault = ""

    return provoke


def shift_ros2(_: Any, plant: FaultyPlant) -> None:
    plant.shift = RADIAN


def glitch_ros2(arm: Any, plant: FaultyPlant) -> None:
    shift_ros2(arm, plant)
    time.sleep(BRIEF["ros2"])
    plant.shift = 0.0


def turn_ros2(seconds: float) -> Callable[[Any, FaultyPlant], None]:
    """Turn the clock of the stamps."""

    def provoke(arm: Any, _: FaultyPlant) -> None:
        plain = type(arm)._publish_states
        arm._publish_states = lambda now: plain(arm, now + seconds)

    return provoke


def mend_ros2(arm: Any, plant: FaultyPlant) -> None:
    mend_plant(plant)
    arm.fault = ""
    arm.__dict__.pop("_publish_states", None)


ROS2 = COMMON | {
    "lost": ros2_for(BRIEF["ros2"], "silence"),
    "silent": set_ros2("silence"),
    "frozen": set_ros2("stale"),
    "missing": set_ros2("missing"),
    "nan": set_ros2("nan"),
    "glitch": glitch_ros2,
    "jump": shift_ros2,
    "ahead": turn_ros2(HOUR),
    "back": turn_ros2(-HOUR),
    "back_again": ros2_for(1.0, "silence"),
    "ended": set_ros2("deactivated"),
    "another": lambda arm, _: setattr(arm, "order", arm.order[:2]),
    "mend": mend_ros2,
}
