"""The training of one role: collect, learn, log, evaluate, save; again, until its budget is spent.

With an overlapping schedule the trial of iteration i + 1 is collected with the weights from before
learning iteration i, for i >= 1; the first two are collected in order. A checkpoint holds these
weights, from which the trial that a kill interrupted is collected again.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from time import monotonic, process_time
from typing import Any

import msgspec
import torch

from adaptation.jobs.budget import Budget, Pace, Progress, TrainerState
from adaptation.jobs.curves import Curves, count_gradient_steps
from adaptation.jobs.heldout import HeldoutEvaluator
from adaptation.jobs.learning import check_learning, count_diverged, learn_or_undo
from adaptation.jobs.trial_source import Helpers, make_source
from adaptation.runs import archive, checkpoint
from adaptation.runs.journal import ReplayJournal
from adaptation.runs.log import Log, read_log
from adaptation.runs.range_settings import ranges_in
from adaptation.runs.records import HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from policies.method import Method, TrialBatch

OnProgress = Callable[[float, TrainProgress], None]  # share done in [0, 1], line of the log


def do_not_wait() -> None:
    """Nothing to wait for: a role that is trained alone."""


class Trainer:
    """Trains the method of one role to its end, from its checkpoint if it has one.

    Attributes:
        heldout: the last evaluation on held-out tasks; None before the first one.
        wait: called while another role has to catch up.
        helpers: what may collect experience beside this process.
    """

    def __init__(
        self, run: Run, role: str, minutes: float | None = None, pace: Pace | None = None
    ) -> None:
        """A trainer; ``train`` does the work.

        Args:
            run: what to train.
            role: ``method``, ``blind`` or ``oracle``.
            minutes: bound of wall time; None: none.
            pace: of the other roles; it is a reference's only bound. None: a role on its own.
        """
        self.run = run
        self.role = role
        self.heldout: HeldoutProgress | None = None
        self.wait: Callable[[], None] = do_not_wait
        self.helpers = Helpers()
        self._minutes = minutes
        self._pace = pace
        self._before = Progress()  # at the start of the last iteration
        self._trial: TrialBatch | None = None  # the last one
        self._evaluator: HeldoutEvaluator | None = None

    def train(self, on_progress: OnProgress) -> None:
        """Train to the end; ``on_progress`` is called after every iteration."""
        # Small networks gain nothing from a second core, and results are the same on any machine.
        torch.set_num_threads(1)
        with ExitStack() as stack:
            self._open(stack)
            while self._may_continue():
                progress = self._train_iteration()
                self._save_if_due()  # before an evaluation, which may take long
                self._evaluate_if_due()
                on_progress(self._share(), progress)
            self._finish()

    def _open(self, stack: ExitStack) -> None:
        """Open the logs, which locks the role against other processes, and load the state."""
        run = self.run
        role = self.role
        self._log = stack.enter_context(closing(Log(run.log_path(role))))
        self._heldout_log = stack.enter_context(closing(Log(run.heldout_path(role))))
        self._journal = ReplayJournal(run.replay_folder(role))
        self._begin()
        state = self._state
        self._saved = state
        self._log.cut(state.log_bytes)
        self._heldout_log.cut(state.heldout_bytes)
        for evaluation in read_log(run.heldout_path(role), HeldoutProgress):
            self.heldout = evaluation
        self._budget = Budget.of(run.config, self._method.schedule, self._minutes)
        source = make_source(run, role, self._method, state.iteration, self._kept, self.helpers)
        self._source = stack.enter_context(closing(source))
        curves = Curves(run.path / "events", role, state)
        self._curves = stack.enter_context(closing(curves))
        stack.callback(self._close_evaluator)
        self._started = monotonic() - state.seconds
        self._count_passed_evaluations()
        self._saved_at = monotonic()
        self._report()

    def _begin(self) -> None:
        """The method and the trainer's state: new ones, or those of the checkpoint."""
        run = self.run
        config = run.config
        folder = run.checkpoint_folder(self.role)
        archive.finish_interrupted_write(folder)
        self._kept: dict[str, Any] = {}  # of the checkpoint, for the source of trials
        if archive.exists(folder):
            loaded = checkpoint.load(
                folder, family=config.family, journal=self._journal, family_arm=config.arm
            )
            self._method: Method[Any] = loaded.method
            self._state = msgspec.convert(loaded.trainer, TrainerState)
            self._kept = loaded.trainer
            return
        self._journal.clear()
        name = run.method_name(self.role)
        settings = run.settings(self.role)
        method_config = checkpoint.method_config(name, run.family, config.preset, settings)
        self._method = checkpoint.build(name, run.family, config.seed, method_config)
        self._state = TrainerState()

    def _count_passed_evaluations(self) -> None:
        """Fewer have passed than before where the method's budget has grown since."""
        passed = int(self._share() * self.run.config.evaluations)
        if self.role != "method" or passed >= self._state.evaluations_passed:
            return
        self._state = msgspec.structs.replace(self._state, evaluations_passed=passed)
        self._saved = self._state

    def _may_continue(self) -> bool:
        """Whether to train another iteration, once the other roles have caught up."""
        if self._pace is None:
            return self._budget.share(self._state) < 1
        if self.role == "method":
            return self._may_method_continue(self._pace)
        own = self._progress()
        while own.has_reached(self._pace.of("method")):
            if self._pace.of("method").is_finished:
                return not own.has_reached(self._pace.of("method"))
            self.wait()
        return True

    def _may_method_continue(self, pace: Pace) -> bool:
        """Whether time is left; where time bounds the training, the references keep up."""
        is_timed = self._minutes is not None
        while is_timed and not pace.have_references_reached(self._before):
            self.wait()
            seconds = monotonic() - self._started
            self._state = msgspec.structs.replace(self._state, seconds=seconds)
            if self._budget.share(self._state) >= 1:
                return False
        return self._budget.share(self._state) < 1

    def _train_iteration(self) -> TrainProgress:
        """Collect a trial, begin to collect the next one, learn from it, and log."""
        state = self._state
        cpu_began = process_time()
        self._before = self._progress()
        trial = self._source.next_trial(self._method, state.iteration)
        iteration = state.iteration + 1
        steps = state.steps + int(trial.ticks.valid.sum())
        expected = msgspec.structs.replace(state, iteration=iteration, steps=steps)
        if self._budget.share(expected) < 1:
            self._source.begin_next(self._method, iteration)
        with count_gradient_steps(state.gradient_steps) as counter:  # not those of ``adapt``
            learned = learn_or_undo(self._method, trial)
        undone_in_row = state.undone_in_row + 1 if learned is None else 0
        progress = TrainProgress(
            iteration=iteration,
            steps=steps,
            gradient_steps=counter.steps,
            seconds=monotonic() - self._started,
            returns=trial.returns.mean(1).tolist(),
            success=trial.success.double().mean(1).tolist(),
            learn=learned or {},
            diverged=count_diverged(trial),
            undone=learned is None,
            tasks=self._source.log,
        )
        self._log.write(progress)
        self._curves.add(progress)
        if trial.ticks.valid.any():
            self._trial = trial
        self._state = msgspec.structs.replace(
            expected,
            gradient_steps=progress.gradient_steps,
            seconds=progress.seconds,
            cpu_seconds=state.cpu_seconds + process_time() - cpu_began,
            log_bytes=self._log.size,
            undone_in_row=undone_in_row,
        )
        check_learning(self.role, self._state)
        self._report()
        return progress

    def _evaluate_if_due(self) -> None:
        """Evaluate evenly over the budget; the evaluation at its end belongs to ``_finish``."""
        share = self._share()
        passed = int(share * self.run.config.evaluations)
        if share >= 1 or passed <= self._state.evaluations_passed:
            return
        self._state = msgspec.structs.replace(self._state, evaluations_passed=passed)
        spent = self._state.evaluation_seconds
        if spent <= self.run.config.evaluation_share * self._state.seconds:
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluate on held-out tasks, log and plot the result."""
        began = monotonic()
        if self._evaluator is None:
            self._evaluator = HeldoutEvaluator(self.run, self.role, self._method)
        state = self._state
        self.heldout = HeldoutProgress(
            iteration=state.iteration,
            steps=state.steps,
            gradient_steps=state.gradient_steps,
            seconds=state.seconds,
            result=self._evaluator.evaluate(self._method),
        )
        self._heldout_log.write(self.heldout)
        self._curves.add_heldout(self.heldout)
        self._state = msgspec.structs.replace(
            state,
            evaluated=state.iteration,
            evaluation_seconds=state.evaluation_seconds + monotonic() - began,
            heldout_bytes=self._heldout_log.size,
        )

    def _close_evaluator(self) -> None:
        if self._evaluator is not None:
            self._evaluator.close()

    def _save_if_due(self) -> None:
        """Save now and then; the end belongs to ``_finish``."""
        config = self.run.config
        every = config.save_iterations
        is_due = every > 0 and self._state.iteration % every == 0
        if is_due or monotonic() - self._saved_at > config.save_seconds:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint."""
        if self._trial is None:  # nothing was learned in this process
            return
        trainer = {**msgspec.to_builtins(self._state), **self._source.state_dict()}
        name = self.run.method_name(self.role)
        folder = self.run.checkpoint_folder(self.role)
        c = self.run.config
        ranges = ranges_in(c.settings)
        checkpoint.save(
            folder,
            name,
            self._method,
            c.family,
            self._trial,
            trainer,
            self._journal,
            c.arm,
            ranges,
            c.objects,
        )
        self._saved = self._state
        self._saved_at = monotonic()

    def _finish(self) -> None:
        """The last evaluation and the last checkpoint."""
        check_learning(self.role, self._state, is_last=True)
        if self._state != self._saved:
            self._save()  # before the evaluation, which may take long
        if self.run.config.evaluations > 0 and self._state.evaluated < self._state.iteration:
            self._evaluate()
            self._save()
        if self._pace is not None:
            self._pace.report(self.role, self._progress()._replace(share=1.0, is_finished=1.0))

    def _progress(self) -> Progress:
        return Progress(self._state.steps, self._state.gradient_steps, self._share())

    def _report(self) -> None:
        if self._pace is not None:
            self._pace.report(self.role, self._progress())

    def _share(self) -> float:
        """The share of the training that is done; of a reference, what the method has done."""
        if self._pace is None or self.role == "method":
            return min(1.0, self._budget.share(self._state))
        method = self._pace.of("method")
        return method.share * min(1.0, self._state.steps / max(method.steps, 1))
