"""The only place where methods are built, saved and loaded."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.runs import archive
from adaptation.runs.contract import (
    TOLERANCE,
    Contract,
    describe,
    differences,
    limit_mismatches,
    record,
    replay,
)
from policies import settings
from policies.method import Method, Problem, TrialBatch
from policies.methods import METHODS
from policies.presets import load_preset
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError, DamagedError, RefusedError
from robots.world import Family
from sim.families import FAMILIES

WEIGHTS, STATE, CONTRACT = "weights.safetensors", "state.json", "contract.json"


@dataclass(frozen=True)
class Checkpoint:
    """A method as it was saved, the family it was trained for, and what its trainer needs to go on."""

    method: Method
    family: Family
    contract: Contract
    trainer: dict[str, Any]


@cache
def family_named(name: str) -> Family:
    """The family of this name; KeyError names what exists."""
    family: Family = FAMILIES[name]()
    return family


def engine_for(family: Family, name: str | None) -> str:
    """The physics to run a family in: its own choice, or another it can run in; else BadArgumentError."""
    if name is not None and name not in family.engines:
        raise BadArgumentError(f"{family.name} runs in {', '.join(family.engines)}, not in {name!r}")
    return name or family.engines[0]


def problem_of(family: Family) -> Problem:
    """What a method may know of a family; the tasks' ranges are those of 4096 samples of each split."""
    rng = np.random.default_rng(0)
    values = np.concatenate([family.sample(rng, 4096, split).values for split in ("train", "heldout")])
    low, high = values.min(0), values.max(0)
    return Problem(
        family=family.name,
        obs_names=tuple(family.obs.names),
        obs_low=tuple(map(float, family.obs.low)),
        obs_high=tuple(map(float, family.obs.high)),
        action_names=tuple(family.action.spec.names),
        horizon=family.horizon,
        episodes=family.episodes,
        task_names=tuple(family.task_names),
        task_low=tuple(map(float, low)),
        task_high=tuple(map(float, np.where(high > low, high, low + 1.0))),
        reward=None if family.hidden_reward else family.reward,
    )


def configured(name: str, family: str, changes: dict[str, Any]) -> Any:
    """The config a method has for a family, with some settings in place of its own; ``"sac.lr"`` is a nested one.

    Raises:
        BadArgumentError: a setting it does not have, or a value that is not allowed.
    """
    problem = problem_of(family_named(family))
    return settings.configure(METHODS[name].Config, problem, load_preset(name, family), changes)


def setting_names(name: str) -> list[str]:
    """Every setting of a method's config, nested ones as ``"sac.lr"``."""
    return settings.setting_names(METHODS[name].Config)


def build(name: str, family: Family, seed: int, config: Any = None) -> Method:
    """A method that has learnt nothing yet; without a config, with the one it has for this family."""
    problem = problem_of(family)
    if config is None:
        config = settings.configure(METHODS[name].Config, problem, load_preset(name, family.name), {})
    method: Method = METHODS[name](problem, config, seed, torch.device("cpu"))
    return method


def save(folder: Path, name: str, method: Method, family: Family, trial: TrialBatch, trainer: dict[str, Any]) -> None:
    """Write a checkpoint; ``trial`` gives the decisions that loading will make again.

    They are recorded from a second method built from the state just packed, so that the training one is not
    touched, and so that a state which cannot be loaded never replaces one which can.
    """
    state = method.state_dict()
    twin = _revive(name, family, method.config, state)
    tree = {"method": state, "trainer": trainer, "examples": record(twin, trial)}
    weights, form = archive.pack(tree)
    contract = describe(family, name, twin, sha256(weights).hexdigest())
    archive.write(folder, {WEIGHTS: weights, STATE: form, CONTRACT: msgspec.json.encode(contract)})


def load(folder: Path, arm: str | None = None, family: str | None = None) -> Checkpoint:
    """Read a checkpoint, for the arm it is to drive if one is named.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: its bytes are not what was written.
        RefusedError: it was made for something else, or decides otherwise than when it was saved.
    """
    files = archive.read(folder)
    contract = _contract(folder, files)
    asked = family or contract.family
    if asked != contract.family:
        raise RefusedError(f"{folder}: family: trained for {contract.family!r}, asked for {asked!r}")
    here = family_named(asked)
    if arm is not None and (name := ARMS[arm].name) != contract.arm:
        why = "" if isinstance(here.body, ArmSpec) else f": {contract.arm} is no arm, and runs in simulation alone"
        raise RefusedError(f"{folder}: arm: trained for {contract.arm!r}, asked to drive {name!r}{why}")
    tree = archive.unpack(files[WEIGHTS], files[STATE])
    config: Any = msgspec.convert(contract.config, METHODS[contract.method].Config)
    method = _revive(contract.method, here, config, tree["method"])
    now = describe(here, contract.method, method, sha256(files[WEIGHTS]).hexdigest())
    if unlike := differences(contract, now) + (limit_mismatches(here, ARMS[arm]) if arm else []):
        raise RefusedError("\n  ".join([f"{folder} does not fit:", *unlike]))
    if not (error := replay(method, tree["examples"])) <= TOLERANCE:
        raise RefusedError(f"{folder}: actions differ by up to {error:.2g} from the ones recorded when it was saved")
    method.load_state_dict(tree["method"])  # replaying may have drawn random numbers
    return Checkpoint(method, here, contract, tree["trainer"])


def _contract(folder: Path, files: dict[str, bytes]) -> Contract:
    if missing := {WEIGHTS, STATE, CONTRACT} - set(files):
        raise DamagedError(f"{folder} is no checkpoint: it lacks {', '.join(sorted(missing))}")
    try:
        return msgspec.json.decode(files[CONTRACT], type=Contract)
    except msgspec.DecodeError as error:
        raise RefusedError(f"{folder / CONTRACT}: {error}") from error


def _revive(name: str, family: Family, config: Any, state: dict[str, Any]) -> Method:
    method = build(name, family, seed=0, config=config)
    method.load_state_dict(state)
    return method
