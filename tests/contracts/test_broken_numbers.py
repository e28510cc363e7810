"""Numbers that are not finite, in experience or in weights, never destroy a training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from poisoned import Poisoned

from adaptation.jobs.learning import MAX_UNDONE
from adaptation.jobs.trainer import Trainer
from adaptation.runs import checkpoint
from adaptation.runs.log import read_log
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from adaptation.runs.soundness import unsound_tensors
from policies.belief import map_tensors, named_tensors
from policies.fields import declared_fields
from policies.methods import METHODS
from policies.methods.rl2 import Rl2
from robots.errors import PliantError
from sim.families import FAMILIES

SMALL = {
    "gradient_steps": 2,
    "schedule.meta_batch": 2,
    "random_trials": 1,
    "steps": 1,  # of fine-tuning
    "particles.count": 8,
    "planner.horizon": 2,
    "planner.num_samples": 4,
    "planner.num_elites": 2,
    "planner.num_kept_elites": 1,
    "planner.cold_iterations": 1,
    "planner.warm_iterations": 1,
    "hypotheses": 4,
}
LEARNING_RATES = ("lr", "encoder_lr", "step_size_lr", "tuning_lr")


def takes_gradient_steps(name: str) -> bool:
    """Whether a method has a learning rate; ``sysid_mpc`` has one that it does not use."""
    settings = {setting.split(".")[-1] for setting in declared_fields(METHODS[name].Config)}
    return name != "sysid_mpc" and not settings.isdisjoint(LEARNING_RATES)


@pytest.fixture
def family() -> Iterator[Poisoned]:
    with FAMILIES.temporarily("poisoned", "poisoned:Poisoned"):
        checkpoint.make_family_once.cache_clear()
        found = checkpoint.family_named("poisoned")
        assert isinstance(found, Poisoned)
        yield found
        checkpoint.make_family_once.cache_clear()


def run_of(path: Path, name: str, iterations: int, **changes: float) -> Run:
    """A short training of small searches and batches; ``changes`` are ends of settings' names."""
    settings = {}
    for setting in declared_fields(METHODS[name].Config):
        for end, value in {**SMALL, **changes}.items():
            if f".{setting}".endswith(f".{end}"):
                settings[setting] = value
    config = RunConfig(
        name,
        "poisoned",
        iterations=iterations,
        references=False,
        save_iterations=1,
        evaluations=0,
        settings=settings,
    )
    return Run.create(path, config)


def train(run: Run) -> list[TrainProgress]:
    def ignore(share: float, progress: TrainProgress) -> None: ...

    Trainer(run, "method").train(ignore)
    return read_log(run.log_path("method"), TrainProgress)


def trained_state(run: Run) -> dict[str, Any]:
    """The tensors of the checkpoint, which was loaded and has repeated its decisions."""
    run.forget_checkpoints()
    return named_tensors(run.load("method").method.state_dict())


# 1e300 is infinite in single precision.
POISONED = [*((name, float("nan")) for name in sorted(METHODS)), ("pearl", 1e300), ("rl2", 1e300)]


@pytest.mark.parametrize(("name", "poison"), POISONED)
def test_one_broken_reward_costs_one_episode(
    tmp_path: Path, name: str, poison: float, family: Poisoned
) -> None:
    family.poison = poison
    family.at_call = 3
    run = run_of(tmp_path / "run", name, iterations=2)
    first, second = train(run)
    assert [first.diverged, second.diverged] == [1, 0]
    assert [first.undone, second.undone] == [False, False]
    assert all(value is not None for value in [*first.learn.values(), *second.learn.values()])
    assert not unsound_tensors(trained_state(run))


@pytest.mark.parametrize("name", list(filter(takes_gradient_steps, sorted(METHODS))))
def test_a_training_that_diverges_ends_with_an_error_and_a_sound_checkpoint(
    tmp_path: Path, name: str, family: Poisoned
) -> None:
    run = run_of(tmp_path / "run", name, iterations=2, **dict.fromkeys(LEARNING_RATES, 1e30))
    with pytest.raises(PliantError, match="nothing could be learned"):
        train(run)
    lines = read_log(run.log_path("method"), TrainProgress)
    assert [line.undone for line in lines] == [True, True]
    assert not unsound_tensors(trained_state(run))


def test_an_update_that_is_undone_changes_nothing_but_the_replay(
    tmp_path: Path, family: Poisoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for iterations in (2, 3):
        run = run_of(tmp_path / str(iterations), "pearl", iterations)
        if iterations == 3:
            break_learning_after(monkeypatch, "pearl", kept=2)
        lines = train(run)
        states.append(trained_state(run))
    assert [line.undone for line in lines] == [False, False, True]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][path], states[1][path]) for path in states[0])
    last = run.load("method").trainer
    assert last["iteration"] == 3


def break_learning_after(monkeypatch: pytest.MonkeyPatch, name: str, kept: int) -> None:
    """Every update of a method after the first ``kept`` ones makes all weights NaN."""
    learn = METHODS[name].learn
    calls = []

    def broken(self: Any, trial: Any) -> dict[str, float]:
        calls.append(trial)
        log: dict[str, float] = learn(self, trial)
        if len(calls) > kept:
            full = self.state_dict()
            full["net"] = map_tensors(not_finite, full["net"])
            self.load_state_dict(full)
        return log

    monkeypatch.setattr(METHODS[name], "learn", broken)


def not_finite(x: torch.Tensor) -> torch.Tensor:
    return torch.full_like(x, torch.nan)


def test_experience_that_is_broken_throughout_is_not_learned_from(
    tmp_path: Path, family: Poisoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, obs: Any, *_: Any) -> Any:
        return obs[..., 0] * torch.nan

    monkeypatch.setattr(Poisoned, "reward", broken)
    run = run_of(tmp_path / "run", "rl2", iterations=10)
    with pytest.raises(PliantError, match="nothing could be learned"):
        train(run)
    lines = read_log(run.log_path("method"), TrainProgress)
    assert len(lines) == MAX_UNDONE
    assert all(line.undone and line.diverged > 0 and line.steps == 0 for line in lines)
    assert not run.has_checkpoint("method")


def test_a_policy_whose_actions_are_not_finite_never_replaces_a_checkpoint(
    tmp_path: Path, family: Poisoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run", "rl2", iterations=2)
    folder = run.checkpoint_folder("method")
    before: dict[str, bytes] = {}
    act = Rl2.act

    def broken(self: Any, obs: Any, belief: Any, explore: bool) -> Any:
        action = act(self, obs, belief, explore)
        return action if explore else action * torch.nan

    def break_after_the_first(share: float, progress: TrainProgress) -> None:
        before.update(contents(folder))
        monkeypatch.setattr(Rl2, "act", broken)

    with pytest.raises(PliantError, match=r"is left as it is.*differ by up to nan"):
        Trainer(run, "method").train(break_after_the_first)
    monkeypatch.undo()
    assert contents(folder) == before
    assert run.load("method").trainer["iteration"] == 1


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
