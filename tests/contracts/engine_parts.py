"""Shared by the tests of engines: the bodies that each engine supports, and commands for them."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from suite_sample import SAMPLE

from robots.arm import ArmSpec, Body, FreeWalker, Walker
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Family, Start, Task
from sim.engines import ENGINES
from sim.engines.base import Engine
from sim.families import FAMILIES
from sim.suite.body import SuiteBody

SUBSTEPS = 5
ARM_TIMESTEP = 0.002  # s, with which an arm's tick of ``SUBSTEPS`` is 10 ms in every test
SAMPLED_FIELDS = (
    "q",
    "dq",
    "tau",
    "tool_pos",
    "tool_quat",
    "tool_vel",
    "object_pos",
    "object_quat",
    "object_vel",
)


@cache
def families_on(name: str) -> tuple[Family, ...]:
    """The registered families that an engine supports."""
    families = [FAMILIES[each]() for each in (*FAMILIES, *SAMPLE)]
    return tuple(family for family in families if ENGINES[name].supports(family.scene))


def _supported_bodies() -> list[tuple[str, type[Body]]]:
    """Every engine with every kind of body that it supports in some family."""
    pairs = []
    for name in sorted(ENGINES):
        bodies = [family.body for family in families_on(name)]
        for kind in (ArmSpec, Walker, FreeWalker, SuiteBody):
            if any(type(body) is kind for body in bodies):
                pairs.append((name, kind))
    return pairs


SUPPORTED = _supported_bodies()
every_arm_engine = pytest.mark.parametrize(
    "name", [name for name, kind in SUPPORTED if kind is ArmSpec]
)
every_engine = pytest.mark.parametrize("name", sorted(ENGINES))
every_body = pytest.mark.parametrize(
    ("name", "kind"), SUPPORTED, ids=[f"{name}-{kind.__name__}" for name, kind in SUPPORTED]
)


def family_of(name: str, kind: type[Body]) -> Family:
    """A family that the engine supports, of a kind of body; with a loose object if there is one."""
    families = [family for family in families_on(name) if type(family.body) is kind]
    # fingers cannot swing as far as the joints of an arm
    plain = [family for family in families if getattr(family.body, "gripper", None) is None]
    with_object = [family for family in plain if family.scene.objects]
    return (with_object or families)[0]


def load(
    name: str,
    n: int,
    kind: type[Body],
    seed: int = 0,
) -> tuple[Engine, Task, Start]:
    """An engine with n different tasks, at their start."""
    family = family_of(name, kind)
    scene = family.scene
    if kind is ArmSpec:
        scene = scene.with_timestep(ARM_TIMESTEP)
    engine: Engine = ENGINES[name]()
    engine.load(scene, n)
    rng = np.random.default_rng(seed)
    task = family.sample(rng, n)
    start = family.start(rng, task)
    engine.write(task)
    engine.reset(start)
    return engine, task, start


def swing(start: Start, tick: int, amplitude: float = 0.1, rate: float = 2.0) -> Setpoint:
    """The setpoint at the end of a tick of joints that swing about their start, (1, n, j).

    They swing smoothly, from rest.
    """
    t = (tick + 1) * SUBSTEPS * ARM_TIMESTEP
    joint = np.arange(start.q.shape[1]) + 1
    sign = (-1.0) ** joint
    q = start.q + amplitude * sign * (1 - np.cos(rate * t))
    dq = np.broadcast_to(amplitude * sign * rate * np.sin(rate * t), q.shape)
    return Setpoint(q[None], dq[None], np.zeros_like(q)[None])


def hold(q: Array) -> Setpoint:
    """Stand at joint positions (n, j), for one tick."""
    zero = np.zeros_like(q)[None]
    return Setpoint(q[None], zero, zero)


def root_widths(kind: type[Body]) -> tuple[int, int]:
    """How many columns the root joints of a kind of body have in q and in dq."""
    # Of the suite's bodies the first is the quadruped: a free root and 16 joints with 12 motors.
    widths = {ArmSpec: (0, 0), Walker: (3, 3), FreeWalker: (7, 6), SuiteBody: (11, 10)}
    return widths[kind]


def moving_command(engine: Engine, start: Start, tick: int) -> Setpoint | Torque:
    """A command for one tick that moves whatever the body is."""
    body = engine.scene.body
    if not isinstance(body, Walker | SuiteBody):
        return swing(start, tick)
    phase = 0.5 * tick + np.arange(len(body.joints))
    torque = body.limits.tau * np.sin(phase)
    return Torque(np.tile(torque, (1, len(start.q), 1)))


def move(engine: Engine, start: Start, ticks: int = 20) -> list[Signals]:
    """The readings after each tick."""
    readings = []
    for tick in range(ticks):
        engine.run(moving_command(engine, start, tick), SUBSTEPS)
        readings.append(engine.read())
    return readings


def numbers(signals: Signals) -> Array:
    """All measurements as columns of one array; the stamp is the last one."""
    columns = [getattr(signals, name) for name in SAMPLED_FIELDS]
    stamp = signals.stamp[:, None]
    return np.concatenate([*columns, stamp], 1)


def take_start(start: Start, rows: slice) -> Start:
    """The start of some worlds."""
    given = {}
    for field in fields(start):
        value = getattr(start, field.name)
        given[field.name] = None if value is None else value[rows]
    return Start(**given)
