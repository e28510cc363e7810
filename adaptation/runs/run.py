"""A run folder: the config that training was started with, the checkpoints, and the curves."""

import math
import platform
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import msgspec

from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import Policy
from adaptation.runs import archive, checkpoint
from adaptation.runs.checkpoint import Checkpoint
from adaptation.runs.expected_latency import latency_in_decisions, standstill_at_start
from adaptation.runs.files import UNREADABLE, read_regular_file, write_json
from adaptation.runs.fitting import check_arm
from adaptation.runs.log import read_log
from adaptation.runs.memory_needs import check_needs
from adaptation.runs.records import REFERENCES, TrainProgress
from adaptation.runs.references import reference_settings
from adaptation.runs.run_config import RunConfig, check_config
from adaptation.runs.versions import current_commit, installed_version, pliant_version
from adaptation.teacher import missing_student
from policies.planning.mpc_method import MpcMethod
from robots.errors import BadArgumentError, DamagedError, RefusedError
from robots.world import Family


class Run:
    """One run folder, which is read once and passed on as an object.

    A run has up to three roles, each with a checkpoint and a curve: ``method``, and the references
    ``blind`` and ``oracle``. It may be sent to another process, with the checkpoints it has loaded.

    Attributes:
        path: the folder.
        config: what training was started with.
        latency: s from a setpoint to the arm's motion, which ``adapted`` and ``no_adaptation``
            expect.
        roles: the roles that training fills.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        """Use ``Run.create`` or ``Run.open``."""
        self.path = path
        self.config = config
        self.latency = 0.0
        self._checkpoints: dict[str, Checkpoint] = {}

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "Run":
        """Begin a run: write its config, with the versions and the commit it runs with.

        Raises:
            BadArgumentError: a name, a number, a setting or the engine is not possible; nothing is
                written.
            FileExistsError: the folder holds a run already.
            NotADirectoryError: the path is a file.
        """
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path} is a file, no folder for a run")
        if (path / "config.json").exists():
            raise FileExistsError(f"{path} holds a run already: resume it, or name another folder")
        config = check_config(config)
        check_needs(config)
        packages = ("numpy", "torch", "mujoco", "pybullet")
        versions = {package: installed_version(package) for package in packages}
        document = {
            "config": msgspec.to_builtins(config),
            "versions": {
                "python": platform.python_version(),
                "pliant": pliant_version(),
                **versions,
            },
            "commit": current_commit(),
        }
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        try:
            write_json(path / "config.json", document)
        except OSError:
            if is_new:
                path.rmdir()
            raise
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open an existing run.

        Raises:
            FileNotFoundError: this is no run folder.
            DamagedError: its config was not written by this version.
        """
        file = path / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"{path} is no run folder: it has no config.json")
        try:
            document = msgspec.json.decode(read_regular_file(file))
            return cls(path, msgspec.convert(document["config"], RunConfig))
        except (*UNREADABLE, KeyError, TypeError) as error:
            raise DamagedError(f"{file}: {error}") from error

    def with_bounds(self, bounds: dict[str, float | None]) -> "Run":
        """The run with other bounds, to train it further; they are written to its config.

        Args:
            bounds: every bound of the training, see ``BOUNDS``. They count from its beginning, and
                one that is None no longer bounds it.

        Raises:
            BadArgumentError: the training is beyond a bound already.
        """
        finished = self.last_progress("method")
        if finished is not None:
            done = {
                "iterations": finished.iteration,
                "minutes": finished.seconds / 60,
                "steps": finished.steps,
                "gradient_steps": finished.gradient_steps,
            }
            for name, bound in bounds.items():
                if bound is not None and bound <= done[name]:
                    raise BadArgumentError(
                        f"{self.path} has {done[name]:.4g} {name.replace('_', ' ')} already: to "
                        f"train it further, ask for more than that in all, not for {bound:.4g}"
                    )
        config = check_config(msgspec.structs.replace(self.config, **bounds))
        file = self.path / "config.json"
        document = msgspec.json.decode(file.read_bytes())
        document["config"] = msgspec.to_builtins(config)
        write_json(file, document)
        return Run(self.path, config)

    def with_latency(self, latency: float) -> "Run":
        """The run with policies that expect a latency of the arm, s.

        Raises:
            BadArgumentError: it is negative or not finite; or the method does not plan with a
                model, by which it could predict over a latency.
        """
        if not 0 <= latency < math.inf:
            raise BadArgumentError(f"a latency must not be negative, got {latency} s")
        name = self.config.method
        if latency > 0 and not issubclass(checkpoint.method_class(name), MpcMethod):
            raise BadArgumentError(f"{name} plans with no model that could predict over a latency")
        changed = copy(self)
        changed.latency = latency
        return changed

    def last_progress(self, role: str) -> TrainProgress | None:
        """The last iteration in the log of a role; None before the first one."""
        lines = read_log(self.log_path(role), TrainProgress)
        return lines[-1] if lines else None

    @property
    def family(self) -> Family:
        """The family that the run is trained on, with its arm and the run's ranges."""
        c = self.config
        return checkpoint.family_for(c.family, c.arm, c.settings, c.objects)

    @property
    def arm(self) -> str:
        """Name of the arm that it is trained for."""
        return self.config.arm or self.family.body.name

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that training fills; a run of ``blind`` or ``oracle`` is its own reference."""
        if not self.config.references:
            return ("method",)
        others = [role for role in REFERENCES if role != self.config.method]
        return ("method", *others)

    def method_name(self, role: str) -> str:
        """The registered method that fills a role."""
        return self.config.method if role == "method" else role

    def settings(self, role: str) -> dict[str, Any]:
        """Changes to the config of a role's method; a reference gets the method's budget."""
        c = self.config
        if role == "method":
            return c.settings
        return reference_settings(c.method, self.family, c.preset, c.settings, role)

    def checkpoint_folder(self, role: str) -> Path:
        """The folder of a role's checkpoint."""
        is_method = self.method_name(role) == self.config.method
        return self.path / ("method" if is_method else role)

    def log_path(self, role: str) -> Path:
        """The file of a role's training curve."""
        return self.path / ("log.jsonl" if role == "method" else f"log-{role}.jsonl")

    def heldout_path(self, role: str) -> Path:
        """The file of a role's evaluations on held-out tasks during training."""
        return self.path / ("heldout.jsonl" if role == "method" else f"heldout-{role}.jsonl")

    def replay_folder(self, role: str) -> Path:
        """The folder of a role's replay, which only its training needs."""
        folder = self.checkpoint_folder(role)
        return folder.with_name(f"{folder.name}.replay")

    def has_checkpoint(self, role: str) -> bool:
        """Whether a role has a checkpoint, loaded already or on disk."""
        folder = self.checkpoint_folder(role)
        return folder.name in self._checkpoints or archive.exists(folder)

    def load(self, role: str, arm: str | None = None) -> Checkpoint:
        """A role's checkpoint, checked for the arm it is to drive if one is named.

        It is read from disk once; the checkpoint is the same object for every caller.

        Raises:
            FileNotFoundError, DamagedError, RefusedError: see ``checkpoint.load``.
        """
        folder = self.checkpoint_folder(role)
        loaded = self._checkpoints.get(folder.name)
        if loaded is None:
            c = self.config
            loaded = checkpoint.load(folder, arm, c.family, family_arm=c.arm)
            self._checkpoints[folder.name] = loaded
        elif arm is not None:
            check_arm(loaded.contract, loaded.family, arm, str(folder))
        return loaded

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of every role that has a checkpoint: they say which training this is."""
        roles = [role for role in ("method", *REFERENCES) if self.has_checkpoint(role)]
        return {role: self.fingerprint(role) for role in roles}

    def fingerprint(self, role: str) -> str:
        """SHA-256 of a role's weights, hexadecimal; of what was loaded, else of what is on disk.

        Raises:
            FileNotFoundError, DamagedError, RefusedError: see ``checkpoint.load``.
        """
        folder = self.checkpoint_folder(role)
        loaded = self._checkpoints.get(folder.name)
        if loaded is not None:
            return loaded.contract.sha256
        return checkpoint.read_fingerprint(folder)

    def forget_checkpoints(self) -> None:
        """Read checkpoints from disk again at the next ``load``, as after training."""
        self._checkpoints.clear()

    def policies(self, arm: str | None = None) -> Iterator[tuple[str, Policy[Any]]]:
        """Every policy of the run by name, each in the state in which it was saved.

        The policies ``adapted`` and ``no_adaptation`` share one method: use one at a time.

        Raises:
            RefusedError: the method is to drive an arm, and its student has learned nothing.
            FileNotFoundError, DamagedError: see ``load``.
        """
        loaded = self.load("method", arm)
        missing = missing_student(loaded.method)
        if arm is not None and missing is not None:
            raise RefusedError(f"{self.path}: {missing}")
        if isinstance(loaded.method, MpcMethod):
            family = self.family
            decisions = latency_in_decisions(family, self.latency)
            standstill = standstill_at_start(family) if decisions > 0 else None
            loaded.method.expect_latency(decisions, standstill)
        loaded.restore()
        yield "adapted", loaded.method
        loaded.restore()
        yield "no_adaptation", NoAdaptation(loaded.method)
        for role in REFERENCES:
            if self.has_checkpoint(role):
                reference = self.load(role, arm)
                reference.restore()
                yield role, reference.method
