"""The policy contract: all that training assumed and deployment must find again, written beside the weights.

Most pain of bringing a policy to an arm is a missing contract: permuted joints, degrees, another rate or scale.
Here it is required, compared word for word, and ten recorded decisions are made again before any joint moves.
"""

from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from policies.belief import named_tensors, replace_tensors
from policies.method import Method, Problem, TrialBatch
from robots.arm import Body
from robots.signals import Setpoint
from robots.signals import Spec
from robots.world import Family

FORMAT = 1
EXAMPLES = 10
TOLERANCE = 1e-4  # of an action in [-1, 1]: other processors round differently, another policy differs by more


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
    family: str
    arm: str
    joints: tuple[str, ...]
    home: tuple[float, ...]  # rad
    frame: str
    observation: Columns
    observed: int  # observations an action looks at; the past is in the belief
    action: Columns
    action_map: str
    unit_action_response: tuple[tuple[float, ...], ...]  # rad/s of each joint, at home, for each action at 1, the others at 0
    dt: float  # s between two actions
    tick: float  # s between two commands to the joints
    horizon: int
    episodes: int
    disturbances: Columns  # latency, noise, quantisation it was trained under
    normalizer: dict[str, tuple[float, ...]]  # learnt shifts and scales of what the networks read
    limits: dict[str, Any]
    method: str
    config: dict[str, Any]
    told: tuple[str, ...]  # task parameters it must be told: none, except for a ceiling
    belief: dict[str, tuple[int, ...]]  # shapes, without the worlds' axis
    examples: int
    sha256: str  # of the weights


def describe(family: Family, name: str, method: Method, sha256: str) -> Contract:
    """The contract of a method for a family, as things are now."""
    p, body = method.problem, family.body
    told = p.task_names if method.privileged else ()
    prior = method.prior(1, torch.zeros(1, len(p.task_names)) if method.privileged else None)
    wires = [i for i, name in enumerate(p.task_names) if name.startswith("disturbance.")]
    return Contract(
        format=FORMAT,
        pliant=".".join(version("pliant").split(".")[:2]),
        family=family.name,
        arm=body.name,
        joints=body.joints,
        home=_numbers(body.home),
        frame="base of the arm; quaternions w, x, y, z; rad, m, s",
        observation=_columns(family.obs),
        observed=1,
        action=_columns(family.action.spec),
        action_map=type(family.action).__name__,
        unit_action_response=unit_action_response(family),
        dt=family.dt,
        tick=family.tick,
        horizon=family.horizon,
        episodes=family.episodes,
        disturbances=Columns(*(tuple(x[i] for i in wires) for x in _ranges(p))),
        normalizer=_normalizers(method.state_dict()),
        limits={f.name: np.asarray(getattr(family.limits, f.name)).tolist() for f in fields(family.limits)},
        method=name,
        config=msgspec.json.decode(msgspec.json.encode(method.config)),
        told=told,
        belief={path: tuple(t.shape[1:]) for path, t in named_tensors(prior).items()},
        examples=EXAMPLES,
        sha256=sha256,
    )


def differences(was: Contract, now: Contract) -> list[str]:
    """One readable line for everything in which two contracts differ."""
    found: list[str] = []
    for name in Contract.__struct_fields__:
        _compare(name, msgspec.to_builtins(getattr(was, name)), msgspec.to_builtins(getattr(now, name)), found)
    return found


def limit_mismatches(family: Family, arm: Body) -> list[str]:
    """Where an arm is not the body trained for, or has less room than it was given."""
    if family.body.joints != arm.joints:
        return [f"joints: trained with {family.body.joints}, the arm has {arm.joints}"]
    found = []
    for name in (f.name for f in fields(family.limits)):
        was, has = (np.asarray(getattr(x.limits, name)) for x in (family, arm))
        outward = {"q_low": -1, "tool_box": np.array([-1, 1])}.get(name, 1)
        if ((has - was) * outward < -1e-9).any():
            found.append(f"limits.{name}: trained with {_show(was.tolist())}, the arm has {_show(has.tolist())}")
    return found


def _compare(name: str, was: Any, now: Any, found: list[str]) -> None:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            _compare(f"{name}.{key}", was.get(key), now.get(key), found)
    elif not _same(was, now):
        found.append(f"{name}: trained with {_show(was)}, here {_show(now)}")


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)):
        return len(was) == len(now) and all(map(_same, was, now))
    if isinstance(was, float) and isinstance(now, (int, float)):
        return was == now or abs(was - now) <= 1e-6 * max(abs(was), abs(now), 1e-3)
    return was == now


def _show(value: Any) -> str:
    return (
        ", ".join(map(_show, value)).join("()")
        if isinstance(value, (list, tuple))
        else (f"{value:.6g}" if isinstance(value, float) else repr(value))
    )


def unit_action_response(family: Family) -> tuple[tuple[float, ...], ...]:
    """What each action does to the joints, measured and not declared: a scale, a unit or an order cannot hide."""
    n, home = len(family.action.spec), np.asarray(family.body.home, dtype=np.float64)
    zero = np.zeros((n, len(home)))
    rest = Setpoint(np.tile(home, (n, 1)), zero, zero)
    return tuple(_numbers(row) for row in np.round(family.action(np.eye(n), rest), 9))


def record(method: Method, trial: TrialBatch) -> list[dict[str, Any]]:
    """Decisions in the world that lasted longest: observation, belief, and the action taken without exploration."""
    world = int(trial.ticks.valid.sum((0, 1)).argmax())
    ticks = trial.ticks[:, :, world : world + 1].flatten(0, 1)  # (E·H, 1, ...)
    usable = ticks.valid[:, 0].nonzero().flatten().tolist()
    chosen = [usable[i * len(usable) // EXAMPLES] for i in range(EXAMPLES)]
    belief = method.prior(1, trial.task[world : world + 1] if method.privileged else None)
    found: dict[int, dict[str, Any]] = {}
    with torch.no_grad():
        for t in range(max(chosen) + 1):
            tick = ticks[t]
            if t in chosen:
                found[t] = {"obs": tick.obs, "belief": named_tensors(belief)}
            belief = method.observe(belief, tick)
        examples = [found[t] for t in chosen]
        return [{**x, "action": method.act(x["obs"], rebuild(method, x), explore=False)} for x in examples]


def replay(method: Method, examples: list[dict[str, Any]]) -> float:
    """The largest difference between the recorded actions and the ones taken now."""
    with torch.no_grad():
        return max(
            float((method.act(x["obs"], rebuild(method, x), explore=False) - x["action"]).abs().max()) for x in examples
        )


def rebuild(method: Method, example: dict[str, Any]) -> Any:
    """The belief that a recorded decision was taken under."""
    p = method.problem
    prior = method.prior(1, torch.zeros(1, len(p.task_names)) if method.privileged else None)
    return replace_tensors(prior, example["belief"])


def _normalizers(state: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    learnt = {path: t for path, t in named_tensors(state).items() if path.endswith((".shift", ".scale"))}
    return {path: _numbers(t) for path, t in learnt.items()}


def _columns(spec: Spec) -> Columns:
    return Columns(tuple(spec.names), tuple(spec.units), _numbers(spec.low), _numbers(spec.high))


def _ranges(p: Problem) -> tuple[tuple[Any, ...], ...]:
    return p.task_names, ("SI",) * len(p.task_names), p.task_low, p.task_high


def _numbers(array: Any) -> tuple[float, ...]:
    return tuple(float(x) for x in np.asarray(array).ravel())
