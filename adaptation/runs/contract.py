"""The policy contract: everything training assumed and deployment must provide again.

Most failed transfers to an arm come from a silent mismatch: permuted joints, degrees, another rate
or scale. The contract is written beside the weights, compared field by field at every load, and ten
recorded decisions are repeated before any joint moves.
"""

import re
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np

from adaptation.runs.decisions import EXAMPLES, single_prior
from adaptation.runs.files import UNREADABLE
from adaptation.runs.recorded_config import with_added
from adaptation.runs.versions import pliant_version
from policies.belief import named_tensors
from policies.method import Method, Problem
from robots.errors import RefusedError
from robots.mesh_object import MeshObject
from robots.signals import ArrayLike, Setpoint, Spec
from robots.world import Family

FORMAT = 2
NORMALIZER_BUFFERS = ("mean", "inv_std")  # what ``RunningNormalizer`` scales with

# Numbers this close are equal: a JSON number was rounded, or computed by another processor.
RELATIVE_TOLERANCE = 1e-6
SMALLEST_SCALE = 1e-3  # smaller numbers are compared as if they were this large

# Limits that were added to this format: a run may have been trained without them.
ADDED_LIMITS = ("tool_speed",)

Json = Any  # what JSON can hold


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named numbers, in order, with units and bounds."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One policy's assumptions. Lengths in m, angles in rad, times in s, frames named."""

    format: int
    pliant: str  # version, major.minor
    family: str  # the name the user gave: a registered one or ``package.module:Class``
    arm: str  # the body's own name
    joints: tuple[str, ...]
    home: tuple[float, ...]  # rad
    frame: str
    observation: Columns
    observation_steps: int  # observations an action reads; the past is in the belief
    action: Columns
    action_map: str
    unit_action_response: tuple[tuple[float, ...], ...]  # (a, j) rad/s, see ``measure_response``
    dt: float  # s between two actions that are posted to the joints
    action_repeat: int  # how often an action is posted before the policy decides again
    tick: float  # s between two commands to the joints
    horizon: int
    episodes: int
    disturbances: Columns  # latency, noise and quantization it was trained under
    normalizers: dict[str, tuple[float, ...]]  # learned statistics of what the networks read
    limits: dict[str, Any]
    method: str  # the name the user gave
    config: dict[str, Any]
    privileged_parameters: tuple[str, ...]  # task parameters it reads: none but for an oracle
    belief: dict[str, tuple[int, ...]]  # shape of each tensor, without the axis of worlds
    examples: int  # how many decisions are recorded, if a trial has as many
    sha256: str  # of the weights
    family_arm: str | None = None  # the arm's name the user gave; None: the family's own
    ranges: dict[str, tuple[float, ...]] = {}  # of tasks, where they are not the family's own
    objects: tuple[MeshObject, ...] = ()  # of a user, in the place of the family's own


class _Header(msgspec.Struct):
    """The one field that contracts of every format have."""

    format: int


def read_contract(data: bytes, origin: str) -> Contract:
    """Decode a contract.

    Args:
        data: JSON.
        origin: where it was read, for messages.

    Raises:
        RefusedError: it has another format, or is not a contract; the message names the field.
    """
    try:
        written_by = msgspec.json.decode(data, type=_Header).format
        if written_by != FORMAT:
            raise RefusedError(
                f"{origin}: written by format {written_by}, this version reads format {FORMAT}: "
                "train again"
            )
        return msgspec.json.decode(data, type=Contract)
    except UNREADABLE as error:
        raise RefusedError(f"{origin}: {error}") from error


def describe(
    family_name: str,
    family: Family,
    method_name: str,
    method: Method[Any],
    sha256: str,
    family_arm: str | None = None,
) -> Contract:
    """The contract of a method and a family in their present state.

    Args:
        family_name: as the user gave it.
        family: the family itself.
        method_name: as the user gave it.
        method: the method itself.
        sha256: of its weights, hexadecimal.
        family_arm: the arm's name as the user gave it; None: the family's own arm.
    """
    problem = method.problem
    body = family.body
    major, minor, *_ = pliant_version().split(".")
    prior = named_tensors(single_prior(method))
    return Contract(
        format=FORMAT,
        pliant=f"{major}.{minor}",
        family=family_name,
        family_arm=family_arm,
        arm=body.name,
        joints=body.joints,
        home=_numbers(body.home),
        frame="base of the arm; quaternions w, x, y, z; rad, m, s",
        observation=_columns(family.obs),
        observation_steps=1,
        action=_columns(family.action.spec),
        action_map=type(family.action).__name__,
        unit_action_response=measure_response(family),
        dt=family.dt,
        action_repeat=family.action_repeat,
        tick=family.tick,
        horizon=family.horizon,
        episodes=family.episodes,
        disturbances=_disturbances(problem),
        normalizers=_normalizers(method.state_dict()),
        limits=_limits(family),
        method=method_name,
        config=msgspec.json.decode(msgspec.json.encode(method.config)),
        privileged_parameters=problem.task_names if method.privileged else (),
        belief={path: tuple(tensor.shape[1:]) for path, tensor in prior.items()},
        examples=EXAMPLES,
        sha256=sha256,
    )


def differences(trained: Contract, current: Contract) -> list[str]:
    """One readable line for every field in which two contracts differ."""
    lines: list[str] = []
    for name in Contract.__struct_fields__:
        if name in ("ranges", "objects"):  # the family is built from these
            continue
        was = msgspec.to_builtins(getattr(trained, name))
        now = msgspec.to_builtins(getattr(current, name))
        if name == "limits":
            was = {limit: now[limit] for limit in ADDED_LIMITS} | was
        if name == "config":
            was = with_added(was, now)
        lines += _compare(name, was, now)
    return lines


def measure_response(family: Family) -> tuple[tuple[float, ...], ...]:
    """Joint velocities that each action causes at home, (a, j) rad/s: row i for action i at 1.

    It is measured instead of declared, so that a changed scale, unit or order is noticed.
    """
    one_at_a_time = np.eye(len(family.action.spec))
    home = np.asarray(family.body.home, dtype=np.float64)
    q = np.tile(home, (len(one_at_a_time), 1))
    still = np.zeros_like(q)
    response = family.action(one_at_a_time, Setpoint(q, still, still))
    rounded = np.round(response, 9)
    return tuple(_numbers(row) for row in rounded)


def _compare(name: str, was: Json, now: Json) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        lines: list[str] = []
        for key in {**was, **now}:
            lines += _compare(f"{name}.{key}", was.get(key), now.get(key))
        return lines
    if _same(was, now):
        return []
    return [f"{name}: trained with {show(was)}, here {show(now)}"]


def _same(was: Json, now: Json) -> bool:
    if _is_sequence(was) and _is_sequence(now):
        if len(was) != len(now):
            return False
        return all(map(_same, was, now))
    if was == now:
        return True
    if isinstance(was, float) and isinstance(now, int | float):
        scale = max(abs(was), abs(now), SMALLEST_SCALE)
        return abs(was - now) <= RELATIVE_TOLERANCE * scale
    return False


def _is_sequence(value: Json) -> bool:
    return isinstance(value, list | tuple)


def show(value: Json) -> str:
    """A value of a contract in a message."""
    if _is_sequence(value):
        return "(" + ", ".join(map(show, value)) + ")"
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value)


def _normalizers(state: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """The statistics of every ``RunningNormalizer`` in a method's state, by path.

    A normalizer within a network is ``/net/obs_norm.mean``; one that the method saves by itself is
    ``/obs_norm/mean``.
    """
    normalizers = {}
    for path, tensor in named_tensors(state).items():
        buffer = re.split(r"[./]", path)[-1]
        if buffer in NORMALIZER_BUFFERS:
            normalizers[path] = _numbers(tensor)
    return normalizers


def _limits(family: Family) -> dict[str, Any]:
    limits = {}
    for name in limit_names(family):
        values = np.asarray(getattr(family.limits, name))
        limits[name] = values.tolist()
    return limits


def limit_names(family: Family) -> list[str]:
    """Names of all limits of a body."""
    return [field.name for field in fields(family.limits)]


def _columns(spec: Spec) -> Columns:
    return Columns(tuple(spec.names), tuple(spec.units), _numbers(spec.low), _numbers(spec.high))


def _disturbances(problem: Problem) -> Columns:
    """The task parameters that disturb the signals, with their ranges."""
    names = problem.task_names
    chosen = [i for i, name in enumerate(names) if name.startswith("disturbance.")]
    return Columns(
        names=tuple(names[i] for i in chosen),
        units=("SI",) * len(chosen),
        low=tuple(problem.task_low[i] for i in chosen),
        high=tuple(problem.task_high[i] for i in chosen),
    )


def _numbers(array: ArrayLike) -> tuple[float, ...]:
    return tuple(float(x) for x in np.asarray(array).ravel())
