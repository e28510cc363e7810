"""Builds, saves and loads methods; nothing else does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import torch

from adaptation.problem import problem_of
from adaptation.runs import archive
from adaptation.runs.contract import Contract, describe, differences, read_contract
from adaptation.runs.decisions import TOLERANCE, largest_deviation, record_decisions
from adaptation.runs.fitting import check_arm, check_family
from adaptation.runs.journal import ReplayJournal, acting_state
from adaptation.runs.range_settings import ranges_in, split_ranges
from adaptation.runs.recorded_config import read_config, report_added
from adaptation.runs.soundness import unsound_tensors
from policies.method import Method, TrialBatch
from policies.methods import METHODS
from policies.presets import load_preset
from policies.rl.replay import LearnsFromReplay
from policies.settings import Configurable, configure
from robots.errors import DamagedError, PliantError, RefusedError
from robots.world import Family
from sim.families import make_family
from sim.own_objects import Objects, with_objects
from sim.randomization import Ranges, with_ranges

WEIGHTS = "weights.safetensors"
STATE = "state.json"
CONTRACT = "contract.json"
CPU = torch.device("cpu")
DEFAULT_PRESET = "cpu"


@dataclass(frozen=True)
class Checkpoint:
    """A method as it was saved, what it was trained for, and what its trainer needs to resume."""

    method: Method[Any]
    family: Family
    contract: Contract
    trainer: dict[str, Any]
    _state: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", self.method.state_dict())

    def restore(self) -> None:
        """Put the method back into the state in which it was loaded, random streams included.

        Acting and adapting change nothing else; after ``learn`` the method cannot be restored.
        """
        self.method.load_state_dict(self._state)

    def __reduce__(self) -> tuple[Callable[..., "Checkpoint"], tuple[Contract, bytes, bytes]]:
        """Pickle as contract and state, so that another process reads nothing from disk."""
        weights, form = archive.pack({"method": self._state, "trainer": self.trainer})
        return _receive, (self.contract, weights, form)


make_family_once = cache(make_family)


def family_named(name: str, arm: str | None = None) -> Family:
    """``make_family``; the same object for the same names."""
    return make_family_once(name, arm)  # always two arguments: the cache key includes their number


def family_for(
    name: str, arm: str | None, settings: Mapping[str, Any], objects: Objects = ()
) -> Family:
    """A family with the ranges among a run's settings, and a user's objects instead of its own."""
    return with_objects(with_ranges(family_named(name, arm), ranges_in(settings)), objects)


def method_config(name: str, family: Family, preset: str, settings: dict[str, Any]) -> Configurable:
    """The config of a method for a family: defaults, what the problem gives, preset, changes.

    Args:
        name: of the method.
        family: what it is to learn.
        preset: budget of the preset, ``"cpu"`` or ``"paper"``.
        settings: changes, a nested one as ``"sac.lr"``; ranges among them are the family's.

    Raises:
        UnknownNameError: no such method.
        BadArgumentError: a setting that does not exist or is out of its range.
    """
    kind: type[Configurable] = METHODS[name].Config
    preset_settings = load_preset(name, family.name, preset)
    _, changes = split_ranges(settings)
    return configure(kind, problem_of(family), preset_settings, changes)


def method_class(name: str) -> type[Method[Any]]:
    """The class of a method; UnknownNameError if there is none."""
    found: type[Method[Any]] = METHODS[name]
    return found


def build(
    name: str,
    family: Family,
    seed: int,
    config: Configurable | None = None,
    device: torch.device = CPU,
) -> Method[Any]:
    """Build a method that has learned nothing yet.

    Args:
        name: of the method.
        family: what it is to learn.
        seed: of its weights and of its random stream.
        config: its config; None: the one for this family without any change.
        device: of its tensors.
    """
    if config is None:
        config = method_config(name, family, DEFAULT_PRESET, {})
    method: Method[Any] = METHODS[name](problem_of(family), config, seed, device)
    return method


def save(
    folder: Path,
    name: str,
    method: Method[Any],
    family: str,
    trial: TrialBatch,
    trainer: dict[str, Any],
    journal: ReplayJournal | None = None,
    family_arm: str | None = None,
    ranges: Ranges | None = None,
    objects: Objects = (),
) -> None:
    """Write a checkpoint, after checking that it can be loaded and decides as recorded.

    The decisions that loading will repeat are recorded with a copy, which leaves the method in
    training unchanged. A checkpoint that cannot be loaded never replaces one that can.

    Args:
        folder: where.
        name: of the method, as the user gave it.
        method: what to save.
        family: name of the family, as the user gave it; ``family_arm`` likewise, None: its own.
        trial: experience in which the decisions are taken.
        trainer: what training needs to resume, tensors and plain numbers.
        journal: where the replay is kept, if the method has one; None: within the checkpoint.
        ranges: of the family where they are not its own.
        objects: of a user, in the place of the family's own.

    Raises:
        PliantError: the state is not finite, cannot be loaded, or decides differently once loaded.
    """
    acting = acting_state(method)
    unsound = unsound_tensors(acting)
    if unsound:
        names = ", ".join(unsound[:3])
        raise PliantError(f"{folder} is left as it is: not finite, or too large: {names}")
    made = with_objects(with_ranges(family_named(family, family_arm), ranges or {}), objects)
    copy = _revive(name, made, method.config, acting)
    decisions = record_decisions(copy, trial)
    tree = {"trainer": trainer, "examples": decisions}
    if journal is not None and isinstance(method, LearnsFromReplay):
        tree["method"] = acting
        tree["replay"] = journal.append(method.replay)
    else:
        tree["method"] = method.state_dict()
    weights, form = archive.pack(tree)
    contract = describe(family, made, name, copy, sha256(weights).hexdigest(), family_arm)
    contract = msgspec.structs.replace(contract, ranges=dict(ranges or {}), objects=objects)
    files = {WEIGHTS: weights, STATE: form, CONTRACT: msgspec.json.encode(contract)}
    try:
        _open(files, folder)
    except (DamagedError, RefusedError) as error:
        raise PliantError(f"{folder} is left as it is, the new state is broken: {error}") from error
    archive.write(folder, files)
    if journal is not None:
        journal.remove_old()


def load(
    folder: Path,
    arm: str | None = None,
    family: str | None = None,
    journal: ReplayJournal | None = None,
    family_arm: str | None = None,
) -> Checkpoint:
    """Read a checkpoint.

    A setting that did not exist when it was saved takes its default, and a note says so.

    Args:
        folder: where it was saved.
        arm: name of the arm that it will drive, if any.
        family: that it must have been trained for, with the arm ``family_arm``; None: any.
        journal: where the replay is kept, to continue training; without it the method acts and
            adapts as it did, and its replay is empty.

    Raises:
        FileNotFoundError: the folder holds no checkpoint.
        DamagedError: its bytes are not what was written.
        RefusedError: it was made for something else, or decides differently than when it was saved.
    """
    files = _read(folder)
    if family is not None:
        contract = read_contract(files[CONTRACT], str(folder / CONTRACT))
        check_family(contract, family, family_arm, str(folder))
    loaded, tree = _open(files, folder, arm)
    report_added(loaded.contract.config, loaded.method.config, str(folder))
    if journal is not None:
        if isinstance(loaded.method, LearnsFromReplay) and "replay" in tree:
            journal.restore(tree["replay"], loaded.method.replay)
        else:  # of an older format, with the replay in its state
            journal.clear()
    return loaded


def read_fingerprint(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights, hexadecimal. Nothing is built; errors as of ``load``."""
    return read_contract(_read(folder)[CONTRACT], str(folder / CONTRACT)).sha256


def _read(folder: Path) -> dict[str, bytes]:
    files = archive.read(folder)
    missing = {WEIGHTS, STATE, CONTRACT} - set(files)
    if missing:
        raise DamagedError(f"{folder} is no checkpoint: it lacks {', '.join(sorted(missing))}")
    return files


def _open(
    files: dict[str, bytes], folder: Path, arm: str | None = None
) -> tuple[Checkpoint, dict[str, Any]]:
    """A checkpoint from its files, checked as in ``load``, and the whole tree in them."""
    contract = read_contract(files[CONTRACT], str(folder / CONTRACT))
    if arm is not None:
        check_arm(contract, _family_of(contract), arm, str(folder))
    try:
        return _verified(files, folder, contract)
    except (PliantError, OSError):
        raise
    except Exception as error:  # from a method's own code, for a state that it never wrote
        raise DamagedError(f"{folder} holds no state of {contract.method}: {error!r}") from error


def _verified(
    files: dict[str, bytes], folder: Path, contract: Contract
) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint, which fits and decides as it did when it was saved, and the whole tree."""
    tree = archive.unpack(files[WEIGHTS], files[STATE], str(folder))
    loaded = _rebuild(contract, tree)
    digest = sha256(files[WEIGHTS]).hexdigest()
    current = describe(
        contract.family,
        loaded.family,
        contract.method,
        loaded.method,
        digest,
        contract.family_arm,
    )
    different = differences(contract, current)
    if different:
        raise RefusedError("\n  ".join([f"{folder} does not fit:", *different]))
    deviation = largest_deviation(loaded.method, tree["examples"])
    if not deviation <= TOLERANCE:
        raise RefusedError(
            f"{folder}: actions differ by up to {deviation:.2g} from the ones recorded when it was "
            "saved"
        )
    loaded.restore()  # repeating the decisions may have drawn random numbers
    return loaded, tree


def _rebuild(contract: Contract, tree: dict[str, Any]) -> Checkpoint:
    config = read_config(contract.config, METHODS[contract.method].Config)
    family = _family_of(contract)
    method = _revive(contract.method, family, config, tree["method"])
    return Checkpoint(method, family, contract, tree["trainer"])


def _family_of(contract: Contract) -> Family:
    named = family_named(contract.family, contract.family_arm)
    return with_objects(with_ranges(named, contract.ranges), contract.objects)


def _receive(contract: Contract, weights: bytes, form: bytes) -> Checkpoint:
    return _rebuild(contract, archive.unpack(weights, form))


def _revive(name: str, family: Family, config: Configurable, state: dict[str, Any]) -> Method[Any]:
    method = build(name, family, seed=0, config=config)
    method.load_state_dict(state)
    return method
