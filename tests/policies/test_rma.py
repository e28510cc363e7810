"""Laws of RMA: who acts when, what each loss reaches, and what the student sees."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from collecting import collect
from torch import Tensor, nn

from adaptation.problem import problem_of
from adaptation.random_policy import RandomPolicy
from adaptation.rollout import rollout
from adaptation.teacher import Teacher
from policies.method import CollectionSchedule, Transition, TrialBatch
from policies.methods.rma import Rma, RmaBelief, RmaConfig
from policies.models.posterior import context_features
from policies.nn.history_encoder import HistoryEncoder
from policies.rl.sac import SacConfig
from policies.settings import configure
from robots.errors import BadArgumentError
from sim.families.point import Point
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
N, E = 6, 3
SCHEDULE = CollectionSchedule(meta_batch=N, episodes_per_trial=E, iterations=4)
SAC = SacConfig(
    hidden=(16, 16), meta_batch=8, batch_per_task=4, gradient_steps=3, schedule=SCHEDULE
)
CONFIG = RmaConfig(sac=SAC, teacher_iterations=2, history=40, channels=8, student_batch=16)
FAMILY = Point()
PROBLEM = problem_of(FAMILY)
PHASE_1 = ("obs_norm", "encoder", "ema_encoder", "sac")  # what only the first phase changes


def rma(**changes: Any) -> Rma:
    return Rma(PROBLEM, replace(CONFIG, **changes), 0, CPU)


def world() -> VecWorld:
    return VecWorld(FAMILY, n=N, seed=0)


def trial(method: Any, seed: int = 0) -> TrialBatch:
    task = FAMILY.sample(np.random.default_rng(seed), N)
    return rollout(world(), method, task, E)


@pytest.fixture
def trained() -> Rma:
    """A method in its second phase, after a trial of the teacher and one of the student."""
    method = rma(teacher_iterations=1)
    method.learn(trial(Teacher(method)))
    method.learn(trial(method, seed=1))
    return method


def weights(method: Rma) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.net.state_dict().items()}


def changed(method: Rma, before: dict[str, Tensor]) -> set[str]:
    """The networks of which any number has changed."""
    now = method.net.state_dict()
    return {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}


def reached(method: Rma) -> set[str]:
    """The networks with a gradient that is not zero; those of soft actor-critic by themselves."""
    found = set()
    for name, parameter in method.net.named_parameters():
        if parameter.grad is not None and parameter.grad.any():
            found.add(name.removeprefix("sac.").split(".")[0])
    return found


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("critic", {"critic", "encoder"}),
        ("actor", {"actor"}),
        ("temperature", {"log_alpha"}),
    ],
)
def test_each_loss_of_the_teacher_reaches_its_networks_alone(
    trained: Rma, loss: str, expected: set[str]
) -> None:
    trained.net.zero_grad()
    trained.teacher_losses()[loss].backward()
    assert reached(trained) == expected


def test_the_loss_of_the_student_reaches_the_student_alone(trained: Rma) -> None:
    trained.net.zero_grad()
    trained.student_loss().backward()
    assert reached(trained) == {"student"}


def test_the_first_phase_leaves_the_student_and_the_second_one_all_else() -> None:
    method = rma(teacher_iterations=1)
    before = weights(method)
    method.learn(trial(Teacher(method)))
    assert changed(method, before) == {*PHASE_1, "row_norm"}
    for seed in (1, 2):
        before = weights(method)
        method.learn(trial(method, seed=seed))
        assert changed(method, before) == {"student", "row_norm"}


def count_taught(method: Rma, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The tasks that the method is told from now on, trial by trial."""
    told: list[Tensor] = []
    taught = method.taught

    def spy(task: Tensor) -> RmaBelief:
        told.append(task)
        return taught(task)

    monkeypatch.setattr(method, "taught", spy)
    return told


def test_the_teacher_collects_in_the_first_phase_and_the_student_in_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = rma()
    told = count_taught(method, monkeypatch)
    for iteration, trials in enumerate((1, 2, 2, 2)):
        collected = collect(world(), method, 0, iteration)
        assert len(told) == trials
        if iteration < 2:
            assert torch.equal(told[-1], collected.task)
        method.learn(collected)


def test_the_teacher_acts_under_the_encoders_z_of_the_true_task(trained: Rma) -> None:
    goal = torch.tensor([[0.3, -0.8], [0.9, 0.1]])
    teacher = Teacher(trained)
    belief = teacher.prior(2, goal)
    low = torch.tensor(PROBLEM.task_low)
    high = torch.tensor(PROBLEM.task_high)
    unit = 2 * (goal - low) / (high - low) - 1
    expected = trained.ema_encoder(unit)
    torch.testing.assert_close(belief.z, expected)
    obs = torch.zeros(2, 2)
    x = torch.cat([trained.obs_norm(obs), expected], -1)
    action = teacher.act(obs, belief, explore=False)
    torch.testing.assert_close(action, trained.sac.act(x, None))
    assert not torch.allclose(action[0], action[1])
    assert teacher.observe(belief, tick_of(trial(trained), 0, 0)[:2]) is belief
    with pytest.raises(ValueError, match="none was given"):
        teacher.prior(2)


def test_the_true_task_is_read_by_the_teacher_alone(
    trained: Rma, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = count_taught(trained, monkeypatch)
    for is_taught in (True, False):
        monkeypatch.setattr(type(trained), "is_taught", is_taught)
        trained.reseed(0)
        seen = trial(trained)
        trained.reseed(0)
        blind = trained.prior(N, torch.full((N, 2), torch.nan))
        action = trained.act(seen.ticks.obs[0, 0], blind, explore=True)
        assert torch.equal(action, seen.ticks.action[0, 0])
    assert told == []
    assert not trained.privileged


def tick_of(seen: TrialBatch, episode: int, tick: int) -> Transition:
    return seen.ticks[episode, tick]


def sequence(seen: TrialBatch) -> Iterator[Transition]:
    for e in range(E):
        for t in range(FAMILY.horizon):
            yield tick_of(seen, e, t)


def rows_by_hand(method: Rma, ticks: list[Transition], length: int) -> Tensor:
    """Rows (N, length, c) of the newest ticks (N, ...), and rows of zeros before them."""
    rows = []
    for tick in ticks[-length:]:
        known = method.row_norm(context_features(tick))
        rows.append(torch.cat([known, torch.ones(N, 1)], -1))
    columns = context_features(ticks[0]).shape[-1] + 1 if ticks else 8
    while len(rows) < length:
        rows.insert(0, torch.zeros(N, columns))
    return torch.stack(rows, 1)


def test_a_belief_is_what_the_student_makes_of_the_newest_ticks(trained: Rma) -> None:
    """Over the ends of episodes; longer than the history at the end."""
    seen = trial(trained)
    belief = trained.prior(N)
    ticks: list[Transition] = []
    for t, tick in enumerate(sequence(seen)):
        if t in (0, 1, 7, 20, 39, 40, 59):
            rows = rows_by_hand(trained, ticks, CONFIG.history)
            torch.testing.assert_close(belief.history, rows)
            torch.testing.assert_close(belief.z, trained.student(rows))
        belief = trained.observe(belief, tick)
        ticks.append(tick)
        if (t + 1) % FAMILY.horizon == 0:
            after = trained.adapt(belief, seen.ticks[0])
            assert torch.equal(after.history, belief.history)
            assert torch.equal(after.z, belief.z)


def test_the_student_learns_from_the_histories_that_it_acts_under(
    trained: Rma, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss, with every history built tick by tick and every z computed for itself."""
    method = trained
    seen = trial(method, seed=1)  # what it stored last, whose tasks are the newest N
    ticks = list(sequence(seen))
    slots = method.replay.added - N + torch.arange(N)
    drawn = torch.tensor([0, 1, 2, 3, 4, 5] * 2)
    share = torch.tensor([0.0, 0.02, 0.3, 0.5, 0.7, 0.999] + [0.95] * 6)
    monkeypatch.setattr(method.replay, "tasks", lambda n, g, newest: slots[drawn])
    monkeypatch.setattr("policies.methods.rma.uniform", lambda shape, g: share)
    stored = method.replay.task[slots]
    torch.testing.assert_close(stored, seen.task)

    errors = []
    for task, part in zip(drawn, share, strict=True):
        end = int(part * len(ticks))
        rows = replayed_rows(method, slots[task], end)
        found = method.student(rows[None])[0]
        wanted = method.taught(stored[task][None]).z[0]
        errors.append((found - wanted).square().sum())
    expected = torch.stack(errors).mean()
    torch.testing.assert_close(method.student_loss(), expected)


def replayed_rows(method: Rma, slot: Tensor, end: int) -> Tensor:
    """Rows (K, c) before a tick of the stored trial, one after the other."""
    whole, _ = method.replay.trials(slot[None])
    rows = []
    for k in range(end - CONFIG.history, end):
        if k < 0:
            rows.append(torch.zeros(8))
            continue
        known = method.row_norm(context_features(whole[0, k]))
        rows.append(torch.cat([known, torch.ones(1)]))
    return torch.stack(rows)


def test_the_student_learns_from_its_own_trials_alone(
    trained: Rma, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first N tasks in the replay are those of the teacher."""
    drawn: list[Tensor] = []
    tasks = trained.replay.tasks

    def spy(n: int, generator: torch.Generator, newest: int | None = None) -> Tensor:
        slots = tasks(n, generator, newest)
        drawn.append(slots)
        return slots

    monkeypatch.setattr(trained.replay, "tasks", spy)
    trained.learn(trial(trained, seed=2))
    assert torch.cat(drawn).min() >= N
    assert torch.cat(drawn).unique().numel() > N  # of both of its trials


def test_ticks_that_are_not_valid_leave_the_belief_as_it_was(trained: Rma) -> None:
    seen = trial(trained)
    first = tick_of(seen, 0, 0)
    ended = torch.arange(N) < 2
    second = tick_of(seen, 0, 1)
    second = replace(second, valid=second.valid & ~ended)
    before = trained.observe(trained.prior(N), first)
    after = trained.observe(before, second)
    for old, new in ((before.history, after.history), (before.z, after.z)):
        assert torch.equal(old[ended], new[ended])
        assert not torch.allclose(old[~ended], new[~ended])


def test_the_student_sees_rewards(trained: Rma) -> None:
    """A hidden goal shows in nothing else."""
    seen = trial(trained)
    found = []
    for reward in (-0.2, -2.0):
        tick = tick_of(seen, 0, 0)
        tick = replace(tick, reward=torch.full_like(tick.reward, reward))
        found.append(trained.observe(trained.prior(N), tick).z)
    assert not torch.allclose(*found, atol=1e-4)


def test_the_student_reads_every_row_up_to_the_newest() -> None:
    g = torch.Generator().manual_seed(0)
    for length in (40, 48, 60):
        student = HistoryEncoder(3, length, 16, 4, g)
        rows = torch.randn(1, length, 3, generator=g).requires_grad_()
        outputs = student(rows)
        assert outputs.shape == (1, 4)
        (gradient,) = torch.autograd.grad(outputs.square().sum(), rows)
        assert (gradient.abs().sum(-1) > 0).all()


def test_a_history_of_which_the_newest_rows_would_not_be_read_is_refused() -> None:
    for length in (36, 50):
        with pytest.raises(BadArgumentError, match="history"):
            configure(RmaConfig, PROBLEM, None, {"history": length})


def test_a_restored_method_is_in_the_same_phase(trained: Rma) -> None:
    other = rma(teacher_iterations=1)
    assert other.is_taught
    other.load_state_dict(trained.state_dict())
    assert not other.is_taught
    assert other.progress.teacher_tasks == N


def test_a_family_that_hides_nothing_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="no parameter of point is hidden"):
        Rma(replace(PROBLEM, reward=FAMILY.reward), CONFIG, 0, CPU)


def test_the_student_learns_the_z_of_the_task() -> None:
    """Goals that random actions show: the error falls far below that of the best constant."""
    method = rma(latent_dim=2, encoder_hidden=(), student_lr=3e-3, student_batch=64)
    nn.init.normal_(method.ema_encoder.flat, generator=method.generator)
    n = 256
    random_policy = RandomPolicy(PROBLEM.action_dim, method.generator)
    rng = np.random.default_rng(0)
    trials = []
    for split in ("train", "heldout"):
        task = FAMILY.sample(rng, n, split)
        trials.append(rollout(VecWorld(FAMILY, n=n, seed=0), random_policy, task, 2))
    method.row_norm.update(context_features(method.replay.add(trials[0])))
    for _ in range(150):
        method.student_step()
    belief = method.prior(n)
    ticks = trials[1].ticks.flatten(0, 1)
    for t in range(len(ticks.reward)):
        belief = method.observe(belief, ticks[t])
    wanted = method.taught(trials[1].task).z
    error = (belief.z - wanted).square().sum(-1).mean()
    assert error < 0.4 * wanted.var(0).sum()


def test_what_the_teacher_collected_while_the_method_learned_is_not_the_student_s() -> None:
    """With overlap the first trial after the teacher's iterations is still one of the teacher."""
    method = rma(sac=replace(SAC, schedule=replace(SCHEDULE, overlap=True)))
    for seed in range(3):
        method.learn(trial(Teacher(method), seed=seed))
    assert not method.is_taught
    assert method.progress.teacher_tasks == 3 * N
    before = weights(method)
    method.learn(trial(method, seed=3))
    assert changed(method, before) == {"student", "row_norm"}
