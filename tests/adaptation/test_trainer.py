"""Laws of one role's training: overlap, evaluations on held-out tasks, and equal budgets."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tiny
import torch

from adaptation import problem
from adaptation.jobs import collection, evaluate, heldout, workers
from adaptation.jobs import train as train_job
from adaptation.jobs.budget import Pace, Progress
from adaptation.jobs.collection import LocalCollector, ProcessCollector
from adaptation.jobs.trainer import Trainer
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.jobs.trial_source import CopiedTrials
from adaptation.runs import archive, checkpoint
from adaptation.runs.log import read_log
from adaptation.runs.records import HeldoutProgress, TrainProgress
from adaptation.runs.references import reference_settings
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.belief import named_tensors
from policies.config import MethodConfig
from robots.errors import BadArgumentError, PliantError
from robots.world import Task
from sim.task_samplers.uniform import UniformTasks

SMALL = {"gradient_steps": 2, "schedule.random_trials": 1, "schedule.meta_batch": 2}
STEPS = 4 * 2 * 5  # environment steps of an iteration of ``tiny.Counter``


@pytest.fixture(autouse=True)
def _tiny_world(registered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "VecWorld", tiny.World)


def run_of(path: Path, method: str = "blind", **changes: Any) -> Run:
    """A short training on the tiny family, without references."""
    settings = {} if method == "counter" else SMALL
    defaults = {"iterations": 5, "references": False, "evaluation_tasks": 3, "settings": settings}
    return Run.create(path, RunConfig(method, "tiny", **{**defaults, **changes}))


def ignore(share: float, progress: TrainProgress) -> None:
    """No progress is shown."""


def trained(run: Run) -> Trainer:
    trainer = Trainer(run, "method", run.config.minutes)
    trainer.train(ignore)
    return trainer


def state(run: Run) -> dict[str, torch.Tensor]:
    """Every tensor of the trained method, random streams included."""
    return named_tensors(run.load("method").method.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def evaluations(run: Run, role: str = "method") -> list[HeldoutProgress]:
    return read_log(run.heldout_path(role), HeldoutProgress)


# ---- evaluations on held-out tasks ----


@pytest.mark.parametrize("method", ["counter", "blind"])
def test_evaluations_change_nothing_of_the_training(tmp_path: Path, method: str) -> None:
    states = []
    for number in (0, 5):
        run = run_of(tmp_path / str(number), method, evaluations=number, evaluation_share=1.0)
        trained(run)
        states.append(state(run))
        assert len(evaluations(run)) == number
    assert same(*states)


def test_evaluations_are_spread_over_the_budget_and_one_is_at_its_end(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "counter", iterations=8, evaluations=4, evaluation_share=1.0)
    trainer = trained(run)
    lines = evaluations(run)
    assert [line.iteration for line in lines] == [2, 4, 6, 8]
    assert [line.steps for line in lines] == [STEPS * i for i in (2, 4, 6, 8)]
    assert trainer.heldout == lines[-1]
    assert len(lines[-1].result.returns) == tiny.Tiny.episodes
    assert set(lines[-1].result.metrics) == {"distance_m"}
    curves = (run.path / "events" / "method-heldout").glob("events.*")
    assert b"heldout/success/3" in next(curves).read_bytes()
    text = train_job.describe_progress(
        read_log(run.log_path("method"), TrainProgress)[-1], lines[1]
    )
    assert "held out at 4: " in text


def test_evaluations_that_took_too_long_are_left_out_but_never_the_last(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "counter", iterations=8, evaluations=8, evaluation_share=0.0)
    trained(run)
    assert [line.iteration for line in evaluations(run)] == [1, 8]


def test_what_was_learned_is_saved_before_it_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(evaluator: heldout.HeldoutEvaluator, method: Any) -> None:
        raise KeyboardInterrupt

    run = run_of(tmp_path / "run", evaluations=1)
    with monkeypatch.context() as patch:
        patch.setattr(heldout.HeldoutEvaluator, "evaluate", end)
        with pytest.raises(KeyboardInterrupt):
            trained(run)
    learned = state(run)
    trained(run)  # nothing is left but the evaluation
    assert same(state(run), learned)
    assert [one.iteration for one in evaluations(run)] == [5]
    assert len(read_log(run.log_path("method"), TrainProgress)) == 5


def test_evaluations_are_on_tasks_that_neither_training_nor_judging_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, Any]] = []
    sample = tiny.Tiny.sample

    def recorded(self: Any, rng: Any, n: int, split: str = "train") -> Any:
        task = sample(self, rng, n, split)
        if n < problem.RANGE_SAMPLES:  # those show the ranges of the tasks
            drawn.append((split, task.values))
        return task

    monkeypatch.setattr(tiny.Tiny, "sample", recorded)
    monkeypatch.setattr(evaluate, "VecWorld", tiny.World)
    run = run_of(tmp_path / "run", "counter", iterations=3, evaluations=1)
    trained(run)
    evaluate.evaluate(run, tasks=3)
    *training, selection, final = drawn
    assert [split for split, _ in training] == ["train"] * 3
    assert (selection[0], final[0]) == ("heldout", "heldout")
    for _, values in [*training, final]:
        assert not np.isin(values, selection[1]).any()


def test_the_last_episode_of_an_evaluation_does_not_explore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    real = heldout.rollout

    def rollout(world: Any, method: Any, task: Any, episodes: int, explore: Any) -> Any:
        given.append(explore)
        return real(world, method, task, episodes, explore)

    monkeypatch.setattr(heldout, "rollout", rollout)
    trained(run_of(tmp_path / "run", "counter", iterations=1, evaluations=1))
    assert given == [[True, True, False]]


# ---- collecting while learning ----


def acting_weights(method: Any) -> bytes:
    return collection.pack_acting_state(method)[0]


def tasks_of(run: Run, method: Any) -> TrainingTasks:
    """Tasks as the family declares them."""
    return TrainingTasks(UniformTasks(run.family), method, run.config.seed)


class Recorder:
    """A collector that writes down with which weights each iteration is collected."""

    def __init__(self, collector: LocalCollector) -> None:
        self.collector = collector
        self.begun: list[tuple[int, bytes]] = []

    def begin(self, iteration: int, packed: collection.Packed, tasks: list[Task]) -> None:
        self.begun.append((iteration, packed[0]))
        self.collector.begin(iteration, packed, tasks)

    def finish(self) -> Any:
        return self.collector.finish()


def test_a_trial_is_one_iteration_older_than_the_weights_that_learn_from_it(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    config = checkpoint.method_config("blind", checkpoint.family_named("tiny"), "cpu", SMALL)
    method = checkpoint.build("blind", run.family, 0, config)
    recorder: Any = Recorder(LocalCollector(run, "method", config))
    trials = CopiedTrials(recorder, tasks_of(run, method), 0, None)
    weights = [acting_weights(method)]
    for iteration in range(4):
        trial = trials.next_trial(method, iteration)
        trials.begin_next(method, iteration + 1)
        method.learn(trial)
        weights.append(acting_weights(method))
    assert recorder.begun == [
        (0, weights[0]),
        (1, weights[1]),  # the first two in order
        (2, weights[1]),
        (3, weights[2]),
        (4, weights[3]),
    ]


def test_copies_collect_with_random_numbers_of_their_own(tmp_path: Path) -> None:
    """The same weights in two iterations explore differently, and the method draws otherwise."""
    run = run_of(tmp_path / "run")
    config = checkpoint.method_config("blind", checkpoint.family_named("tiny"), "cpu", SMALL)
    method: Any = checkpoint.build("blind", run.family, 0, config)
    before = method.learner.generator.get_state()
    collector = LocalCollector(run, "method", config)
    actions = []
    for iteration in (1, 2, 1):
        tasks = tasks_of(run, method).draw(iteration)
        collector.begin(iteration, collection.pack_acting_state(method), tasks)
        actions.append(collector.finish().ticks.action)
    assert torch.equal(actions[0], actions[2])
    assert not torch.equal(actions[0], actions[1])
    assert torch.equal(method.learner.generator.get_state(), before)


@pytest.mark.slow
def test_another_process_collects_bit_for_bit_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the other process knows the real worlds only
    settings = {**SMALL, "schedule.meta_batch": 3}
    run = Run.create(tmp_path / "run", RunConfig("oracle", "point", settings=settings))
    config = checkpoint.method_config("oracle", checkpoint.family_named("point"), "cpu", settings)
    method = checkpoint.build("oracle", run.family, 0, config)
    packed = collection.pack_acting_state(method)
    here = LocalCollector(run, "method", config)
    there = ProcessCollector(run, "method", config)
    there.start()
    assert there.has_started(None)
    for iteration in (2, 3):
        tasks = tasks_of(run, method).draw(iteration)
        here.begin(iteration, packed, tasks)
        there.begin(iteration, packed, tasks)
        expected = named_tensors(here.finish())
        assert same(named_tensors(there.finish()), expected)
        assert there._local is None, "nothing is collected here any more"
    here.close()
    there.close()
    assert there._worker is not None
    assert not there._worker._process.is_alive()


def test_a_process_that_ends_is_an_error_and_one_that_cannot_start_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run")
    config = checkpoint.method_config("blind", checkpoint.family_named("tiny"), "cpu", SMALL)
    method = checkpoint.build("blind", run.family, 0, config)
    packed = collection.pack_acting_state(method)
    tasks = tasks_of(run, method).draw(0)
    for message in (False, True):
        collector = ProcessCollector(run, "method", config)
        monkeypatch.setattr(workers, "start_process", started_with(message))
        collector.begin(0, packed, tasks)
        collector.finish()
        if message:
            with pytest.raises(PliantError, match="collecting experience failed"):
                collect_by(collector, packed, tasks)
        else:
            collect_by(collector, packed, tasks)
        collector.close()


def collect_by(collector: ProcessCollector, packed: collection.Packed, tasks: list[Task]) -> None:
    """An iteration that may be collected while the method learns."""
    collector.begin(2, packed, tasks)
    collector.finish()


def started_with(message: bool) -> Any:
    """A process that says that it has started, or does not, and ends at once."""

    class Ended:
        exitcode = 1

        def join(self) -> None: ...

        def terminate(self) -> None: ...

    def start_process(target: Any, *arguments: Any, daemon: bool) -> Ended:
        connection = arguments[-1]
        if message:
            connection.send((None, None))
        return Ended()

    return start_process


def test_a_training_is_resumed_with_the_weights_of_the_interrupted_trial(tmp_path: Path) -> None:
    """At any iteration: the trial that follows was begun, but is in no checkpoint."""
    whole = run_of(tmp_path / "whole")
    trained(whole)
    for stop_at in (1, 2, 3, 4):
        run = run_of(tmp_path / str(stop_at), save_iterations=1)

        def stop(share: float, progress: TrainProgress, stop_at: int = stop_at) -> None:
            if progress.iteration == stop_at:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            Trainer(run, "method").train(stop)
        trained(run)
        assert same(state(run), state(whole))


@pytest.mark.parametrize("method", ["rl2", "maml", "varibad"])
def test_what_learns_from_its_newest_trials_alone_is_never_collected_ahead(
    tmp_path: Path, method: str
) -> None:
    default: Any = checkpoint.method_config(method, checkpoint.family_named("point"), "cpu", {})
    assert not default.schedule.overlap
    config = RunConfig(method, "point", settings={"schedule.overlap": True})
    with pytest.raises(BadArgumentError, match=r"schedule\.overlap must be false"):
        Run.create(tmp_path / "run", config)


# ---- equal budgets ----


def test_a_reference_ends_with_the_budget_of_the_method(tmp_path: Path) -> None:
    """And no later: without its last iteration it would have less."""
    run = run_of(tmp_path / "run", "counter", references=True, iterations=7)
    pace = Pace(run.roles)
    Trainer(run, "method", None, pace).train(ignore)
    method = read_log(run.log_path("method"), TrainProgress)[-1]
    settings = {**run.settings("blind"), **SMALL}
    run.settings = lambda role: settings  # type: ignore[method-assign]
    Trainer(run, "blind", None, pace).train(ignore)
    *_, before, last = read_log(run.log_path("blind"), TrainProgress)
    assert before.steps < method.steps <= last.steps
    assert pace.of("blind").has_reached(pace.of("method"))
    assert evaluations(run, "blind")[-1].iteration == last.iteration
    ended = run.log_path("blind").read_bytes()
    Trainer(run, "blind", None, pace).train(ignore)
    assert run.log_path("blind").read_bytes() == ended, "a finished reference is left as it is"


def test_a_reference_takes_as_many_gradient_steps_as_the_method(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", references=True)
    pace = Pace(("method", "oracle"))
    pace.report("method", Progress(steps=1, gradient_steps=9, share=1.0, is_finished=1.0))
    run.settings = lambda role: SMALL  # type: ignore[method-assign]
    Trainer(run, "oracle", None, pace).train(ignore)
    assert read_log(run.log_path("oracle"), TrainProgress)[-1].gradient_steps == 10


def test_a_reference_that_acts_in_more_tasks_acts_at_random_no_longer() -> None:
    """An iteration of the method holds twice the steps of the reference's own."""
    slide = checkpoint.family_named("slide")
    settings = reference_settings("particle_mpc", slide, "cpu", {}, "oracle")
    own = checkpoint.method_config("oracle", slide, "cpu", {})
    given = checkpoint.method_config("oracle", slide, "cpu", settings)
    assert isinstance(own, MethodConfig)
    assert isinstance(given, MethodConfig)
    assert given.schedule.meta_batch > own.schedule.meta_batch
    random_tasks = own.schedule.random_trials * own.schedule.meta_batch
    assert given.schedule.random_trials * given.schedule.meta_batch == random_tasks


def test_a_reference_waits_for_a_method_that_is_behind(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "counter", references=True)
    pace = Pace(run.roles)
    waited: list[float] = []

    def wait() -> None:
        """The method advances by one step, and ends after the third."""
        waited.append(pace.of("blind").steps)
        done = len(waited) >= 3
        steps = pace.of("blind").steps + (0 if done else 1)
        pace.report("method", Progress(steps=steps, share=0.5, is_finished=float(done)))

    run.settings = lambda role: SMALL  # type: ignore[method-assign]
    trainer = Trainer(run, "blind", None, pace)
    trainer.wait = wait
    trainer.train(ignore)
    assert [line.steps for line in read_log(run.log_path("blind"), TrainProgress)] == waited[1:]


def test_under_a_bound_of_time_the_method_waits_for_its_references(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "counter", references=True, iterations=4, minutes=5.0)
    pace = Pace(run.roles)
    trainer = Trainer(run, "method", 5.0, pace)
    ahead: list[float] = []

    def wait() -> None:
        """Both references advance to where the method is."""
        method = pace.of("method")
        ahead.append(method.steps - pace.of("blind").steps)
        for role in ("blind", "oracle"):
            pace.report(role, method)

    trainer.wait = wait
    trainer.train(ignore)
    assert ahead == [2 * STEPS, 2 * STEPS], "at most two iterations, then it waits"
    assert pace.of("method").is_finished


def test_time_ends_a_method_that_waits(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "counter", references=True, iterations=None, minutes=0.01)
    trainer = Trainer(run, "method", 0.01, Pace(run.roles))
    trainer.train(ignore)
    lines = run.log_path("method").read_bytes()
    assert read_log(run.log_path("method"), TrainProgress)[-1].iteration == 2
    trainer = Trainer(run, "method", 0.01, Pace(run.roles))
    trainer.train(ignore)
    assert run.log_path("method").read_bytes() == lines, "a finished training is left as it is"


@pytest.mark.parametrize("family", ["point", "slide"])
@pytest.mark.parametrize("method", ["pearl", "rl2", "varibad", "maml", "grbal", "context_mpc"])
def test_references_spend_as_much_per_environment_step(method: str, family: str) -> None:
    """In iterations that are not much smaller than those of the method."""
    run = Run(Path("nowhere"), RunConfig(method, family))
    built = run.family
    config: Any = checkpoint.method_config(method, built, "cpu", {})
    reference: Any = checkpoint.method_config("blind", built, "cpu", run.settings("blind"))
    size = iteration_size(config)
    own_size = iteration_size(reference)
    assert own_size > size / 2
    assert reference.gradient_steps / own_size >= config.optimizer_steps / size * 0.999
    archive.pack(msgspec.to_builtins(reference))  # plain numbers


def iteration_size(config: Any) -> int:
    """Episodes of an iteration."""
    return int(config.schedule.meta_batch * config.schedule.episodes_per_trial)


# ---- trained further ----


def test_a_run_trained_further_is_the_run_trained_at_once(tmp_path: Path) -> None:
    """But for evaluations: those of the longer training are spread over the whole of it."""
    at_once = run_of(tmp_path / "at once", "counter", iterations=8, evaluations=0)
    trained(at_once)
    run = run_of(tmp_path / "further", "counter", iterations=3, evaluations=0)
    trained(run)
    longer = run.with_bounds({"iterations": 8, "steps": None})
    trained(longer)
    assert Run.open(run.path).config == longer.config
    assert same(state(longer), state(at_once))
    with pytest.raises(BadArgumentError, match="has 8 iterations already"):
        longer.with_bounds({"iterations": 8})


def test_evaluations_are_spread_over_what_is_trained_further(tmp_path: Path) -> None:
    changes = {"evaluations": 4, "evaluation_share": 1.0}
    run = run_of(tmp_path / "run", "counter", iterations=4, **changes)
    trained(run)
    trained(run.with_bounds({"iterations": 16}))
    assert [line.iteration for line in evaluations(run)] == [1, 2, 3, 4, 8, 12, 16]
