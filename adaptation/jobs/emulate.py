"""Emulate an arm's controller on this machine: its protocol, with simulated physics behind it."""

import threading
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from hw_interface.control.pacing import realtime
from hw_interface.emulators import EMULATORS, Physics
from hw_interface.emulators.object_feed import ObjectFeed
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.families import make_family
from sim.plant import Plant
from sim.scene_plant import ScenePlant

PRIORITY = 40  # SCHED_FIFO priority, below that of the control process


@dataclass(frozen=True)
class ObjectBeside:
    """The object that is emulated with an arm."""

    family: str  # a name in ``FAMILIES``
    port: int  # of this computer, to which its poses are sent
    seed: int  # of the objects


class EmulationResult(msgspec.Struct, frozen=True):
    """What an emulated controller was sent."""

    port: str
    goals: int  # position goals that arrived
    outside: int  # of these, how many were outside the arm's limits


def emulate(
    name: str,
    arm: str,
    options: dict[str, Any] | None = None,
    seconds: float | None = None,
    between: float | None = None,
    beside: ObjectBeside | None = None,
) -> EmulationResult:
    """Serve until Ctrl-C or for some time; prints the port first.

    Args:
        name: a name in ``EMULATORS``.
        arm: a name in ``ARMS``.
        options: fields of the emulator's ``Options``.
        seconds: how long; None: until Ctrl-C.
        between: m, width of an object between the fingers of the arm's gripper; None: there is
            none.
        beside: an object before the arm; None: there is none.

    Raises:
        BadArgumentError: the arm has no such controller, gripper or object, or an option does not
            fit it.
        OSError: the address or port in the options cannot be used.
    """
    kind = EMULATORS[name]
    body = ARMS[arm]
    given = options or {}
    names = [field.name for field in fields(kind.Options)]
    unknown = [option for option in given if option not in names]
    if unknown:
        raise BadArgumentError(f"the emulator {name!r} has no {unknown[0]}, but {', '.join(names)}")
    if beside is not None and between is not None:
        raise BadArgumentError("an object is between the fingers or before the arm, not both")
    physics = _physics_of(body, not kind.holds_weight, between, beside)
    emulator = kind(body, physics, kind.Options(**given))
    print(f"{arm} on {emulator.port}; Ctrl-C ends it", flush=True)
    if isinstance(physics, ObjectFeed):
        print(physics.description, flush=True)
    if seconds is not None:
        timer = threading.Timer(seconds, emulator.close)
        timer.daemon = True
        timer.start()
    try:
        with realtime(PRIORITY):  # real motors do not wait for other programs, either
            emulator.serve()
    except KeyboardInterrupt:
        pass
    finally:
        emulator.close()
        if isinstance(physics, ObjectFeed):
            physics.close()
    return EmulationResult(emulator.port, emulator.goals, emulator.outside)


def _physics_of(
    arm: ArmSpec, gravity: bool, between: float | None, beside: ObjectBeside | None
) -> Physics:
    """The simulated joints of an emulator, with an object if there is one; see ``emulate``."""
    if beside is not None:
        scene = ScenePlant(make_family(beside.family, arm.name), arm, beside.seed)
        return ObjectFeed(scene, beside.port)
    plant = Plant(arm, gravity=gravity)
    if between is not None:
        plant.put_between(between / 2)
    return plant
