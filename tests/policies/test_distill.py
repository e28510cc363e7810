"""Laws of distillation: who acts when, what the student imitates, and what each phase changes."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from collecting import collect
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from adaptation.teacher import Teacher, missing_student
from policies.belief import map_tensors
from policies.method import CollectionSchedule, TrialBatch
from policies.methods.distill import Distill, DistillConfig
from policies.rl.sac import SacConfig
from robots.errors import BadArgumentError, RefusedError
from sim.families.point import Point
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
N, E = 6, 3
SCHEDULE = CollectionSchedule(meta_batch=N, episodes_per_trial=E, iterations=4)
SAC = SacConfig(hidden=(16,), meta_batch=8, batch_per_task=4, gradient_steps=3, schedule=SCHEDULE)
CONFIG = DistillConfig(
    sac=SAC, teacher_iterations=2, memory_size=8, hidden=16, student_trials=5, segment=60
)
FAMILY = Point()
PROBLEM = problem_of(FAMILY)


def distill(**changes: Any) -> Distill:
    return Distill(PROBLEM, replace(CONFIG, **changes), 0, CPU)


def world() -> VecWorld:
    return VecWorld(FAMILY, n=N, seed=0)


def trial(method: Any, seed: int = 0) -> TrialBatch:
    task = FAMILY.sample(np.random.default_rng(seed), N)
    return rollout(world(), method, task, E)


@pytest.fixture
def trained() -> Distill:
    """A method in its second phase, after a trial of the teacher and one of the student."""
    method = distill(teacher_iterations=1)
    method.learn(trial(Teacher(method)))
    method.learn(trial(method, seed=1))
    return method


def weights(method: Distill) -> dict[str, dict[str, Tensor]]:
    """Copies of the weights of teacher and student, without statistics."""
    modules = {
        "teacher": method.teacher.net,
        "student": method.student,
        "ema_student": method.ema_student,
    }
    found = {}
    for name, module in modules.items():
        found[name] = {key: p.detach().clone() for key, p in module.named_parameters()}
    return found


def changed(method: Distill, before: dict[str, dict[str, Tensor]]) -> set[str]:
    now = weights(method)
    names = set()
    for name, old in before.items():
        if any(not torch.equal(now[name][key], value) for key, value in old.items()):
            names.add(name)
    return names


def test_each_phase_trains_its_own_networks() -> None:
    method = distill(teacher_iterations=1)
    before = weights(method)
    method.learn(trial(Teacher(method)))
    assert changed(method, before) == {"teacher"}
    for seed in (1, 2):
        before = weights(method)
        method.learn(trial(method, seed=seed))
        assert changed(method, before) == {"student", "ema_student"}


def test_the_teacher_collects_in_the_first_phase_and_the_student_in_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = distill()
    told: list[Tensor] = []
    taught = method.taught

    def spy(task: Tensor) -> Any:
        told.append(task)
        return taught(task)

    monkeypatch.setattr(method, "taught", spy)
    for iteration, trials in enumerate((1, 2, 2, 2)):
        collected = collect(world(), method, 0, iteration)
        assert len(told) == trials
        method.learn(collected)


def test_what_is_judged_never_reads_the_task(trained: Distill) -> None:
    assert not trained.privileged
    trained.reseed(0)
    seen = trial(trained)
    trained.reseed(0)
    unknown = trained.prior(N, torch.full((N, 2), torch.nan))
    action = trained.act(seen.ticks.obs[0, 0], unknown, explore=True)
    assert torch.equal(action, seen.ticks.action[0, 0])


def test_the_teacher_acts_by_the_true_task(trained: Distill) -> None:
    goal = torch.tensor([[0.3, -0.8], [0.9, 0.1]])
    obs = torch.zeros(2, 2)
    action = trained.act(obs, trained.taught(goal), explore=False)
    low = torch.tensor(PROBLEM.task_low)
    high = torch.tensor(PROBLEM.task_high)
    unit = 2 * (goal - low) / (high - low) - 1
    x = torch.cat([trained.teacher.obs_norm(obs), unit], -1)
    torch.testing.assert_close(action, trained.teacher.sac.act(x, None))
    assert not torch.allclose(action[0], action[1])


@pytest.mark.parametrize("segment", [60, 7])
def test_the_student_imitates_the_teacher_in_states_and_memories_of_its_own(
    trained: Distill, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    """Its loss, tick by tick: memory, state and the teacher's action for the true task."""
    method = trained
    method.ema_student.load_state_dict(method.student.state_dict())
    method.config = replace(method.config, segment=segment)
    slot = torch.tensor([method.replay.added - 1])
    method.config = replace(method.config, student_trials=1)
    monkeypatch.setattr(method.replay, "tasks", lambda n, g, newest: slot)
    state = method.generator.get_state()
    loss = method.loss()
    method.generator.set_state(state)
    ticks, exists, _ = method.replay.segments(slot, segment, method.generator)
    assert exists.all()
    belief = method.prior(1)
    goal = method.replay.task[slot]
    errors = []
    for t in range(segment):
        tick = ticks[:, t]
        found = method.act(tick.obs, belief, explore=False)
        wanted = method.act(tick.obs, method.taught(goal), explore=False)
        errors.append((found - wanted).square().sum())
        belief = method.observe(belief, tick)
    torch.testing.assert_close(loss, torch.stack(errors).mean())


def test_the_student_learns_from_its_own_trials_and_the_last_of_the_teacher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The replay has N tasks of each trial; the teacher collected the first two trials."""
    method = distill()
    for seed in (0, 1):
        method.learn(trial(Teacher(method), seed=seed))
    drawn: list[Tensor] = []
    segments = method.replay.segments

    def spy(slots: Tensor, size: int, generator: torch.Generator) -> Any:
        drawn.append(slots)
        return segments(slots, size, generator)

    monkeypatch.setattr(method.replay, "segments", spy)
    method.config = replace(method.config, student_trials=60)
    for seed in (2, 3):
        method.learn(trial(method, seed=seed))
    assert set(torch.cat(drawn).tolist()) == set(range(N, 4 * N))


def test_ticks_that_do_not_exist_are_not_imitated(
    trained: Distill, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = torch.tensor([trained.replay.added - 1])
    monkeypatch.setattr(trained.replay, "tasks", lambda n, g, newest: slot)
    trained.replay.length[slot] = 11
    expected = trained.loss()
    trained.replay.data[slot, 11:] += 5.0
    assert torch.equal(trained.loss(), expected)


def test_exploring_adds_noise_to_the_student(trained: Distill) -> None:
    obs = torch.zeros(4000, 2)
    belief = trained.prior(4000)
    mean = trained.act(obs, belief, explore=False)
    noise = trained.act(obs, belief, explore=True) - mean
    assert noise.std() == pytest.approx(CONFIG.exploration_std, rel=0.1)


def test_a_restored_method_is_in_the_same_phase_and_goes_on_alike(trained: Distill) -> None:
    more = trial(trained, seed=2)
    other = distill(teacher_iterations=1)
    assert other.is_taught
    other.load_state_dict(map_tensors(torch.clone, trained.state_dict()))
    assert not other.is_taught
    assert other.progress.teacher_tasks == N
    assert other.learn(more) == trained.learn(more)


def test_a_training_that_ends_in_the_first_phase_has_no_student(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told wherever the student is judged, and the student drives no arm."""
    method = distill(teacher_iterations=1)
    method.learn(trial(Teacher(method)))
    assert not method.is_taught
    assert "after 1 iteration, in the first phase" in str(missing_student(method))

    run = Run(Path("runs/distill"), RunConfig(method="distill", family="point"))
    loaded = SimpleNamespace(method=method, restore=lambda: None)
    monkeypatch.setattr(Run, "load", lambda run, role, arm=None: loaded)
    assert next(run.policies()) == ("adapted", method)
    with pytest.raises(RefusedError, match="not the student"):
        next(run.policies("panda"))

    method.learn(trial(method, seed=1))
    assert missing_student(method) is None
    assert next(run.policies("panda")) == ("adapted", method)


def test_the_student_sees_the_outcome_of_an_action(trained: Distill) -> None:
    """In an episode of one decision nothing else tells of the task."""
    tick = trial(trained).ticks[0, 0]
    belief = trained.prior(N)
    hidden = trained.observe(belief, tick).hidden
    for name in ("reward", "next_obs"):
        other = replace(tick, **{name: getattr(tick, name) + 1})
        assert not torch.allclose(trained.observe(belief, other).hidden, hidden, atol=1e-4)


def test_statistics_follow_all_trials(trained: Distill) -> None:
    count = int(trained.student.obs_norm.count)
    more = trial(trained, seed=2)
    trained.learn(more)
    seen = int(more.ticks.valid.sum())
    for student in (trained.student, trained.ema_student):
        assert int(student.obs_norm.count) == int(student.row_norm.count) == count + seen


def test_the_averaged_student_acts(trained: Distill) -> None:
    obs = torch.zeros(N, 2)
    tick = trial(trained).ticks[0, 0]
    belief = trained.observe(trained.prior(N), tick)
    action = trained.act(obs, belief, explore=False)
    with torch.no_grad():
        for parameter in trained.student.parameters():
            parameter += 1.0
    assert torch.equal(trained.observe(trained.prior(N), tick).hidden, belief.hidden)
    assert torch.equal(trained.act(obs, belief, explore=False), action)


def test_what_the_teacher_collected_while_the_method_learned_is_not_the_student_s() -> None:
    """With overlap the first trial after the teacher's iterations is still one of the teacher."""
    schedule = replace(SCHEDULE, overlap=True, iterations=5)
    method = distill(sac=replace(SAC, schedule=schedule))
    method.learn(trial(Teacher(method)))
    method.learn(trial(Teacher(method), seed=1))
    assert not method.is_taught
    method.learn(trial(Teacher(method), seed=2))  # its collection began before the last line
    assert method.progress.teacher_tasks == 3 * N
    assert not method.has_student
    before = weights(method)
    method.learn(trial(method, seed=3))
    assert method.has_student
    assert changed(method, before) == {"student", "ema_student"}


def test_a_schedule_without_a_student_is_refused() -> None:
    with pytest.raises(BadArgumentError, match=r"leaves none of the sac\.schedule\.iterations=4"):
        distill(teacher_iterations=4)
