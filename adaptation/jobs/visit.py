"""One object with one policy on an arm: what is done after every decision and every episode."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from adaptation.background import Background
from adaptation.jobs.episode_recorder import EpisodeRecorder
from adaptation.jobs.operator_console import OperatorConsole
from adaptation.metrics import episode_metrics
from adaptation.reporting.metrics import describe_metric
from adaptation.rollout import Next
from adaptation.runs.records import EpisodeRecord, finite
from hw_interface.arm_world import ArmWorld
from policies.method import Transition, TrialBatch, stack
from robots.world import Step, Task
from sim.own_objects import object_names

if TYPE_CHECKING:
    from adaptation.live.client import LivePage  # only where a page was asked for


class Visit:
    """Follows a rollout for the records, the operator and the live page.

    Attributes:
        repeated: how often each episode was run before, and forgotten.
    """

    def __init__(
        self,
        world: ArmWorld,
        task: Task,
        recorder: EpisodeRecorder,
        behind: Callable[[], int],
        operator: OperatorConsole | None,
        page: "LivePage | None",
    ) -> None:
        """Begin before the first episode.

        Args:
            world: the arm.
            task: the object.
            recorder: of this visit.
            behind: by how many updates the belief is behind.
            operator: the person at the arm.
            page: the live page.
        """
        self.repeated = [0]
        self._world = world
        self._task = task
        self._recorder = recorder
        self._behind = behind
        self._operator = operator
        self._page = page
        self._start_state = world.rng.bit_generator.state  # draws the start of the episode

    def follow(self, episode: int, tick: int, step: Step) -> None:
        """Called after every decision."""
        self._recorder(episode, tick, step)
        behind = self._behind()
        if self._operator is not None:
            self._operator.follow(episode, tick, step, behind)
        if self._page is not None:
            self._page.follow(episode, tick, step, behind, self._recorder.policy.belief)

    def after_episode(self, episode: int, ticks: Transition, success: torch.Tensor) -> Next:
        """Called after every episode; the operator may have it run again, or end here."""
        operator = self._operator
        if operator is not None and operator.ends_object:
            following = Next.END
        elif operator is not None and operator.take_again():
            following = Next.AGAIN
        else:
            following = Next.GO_ON
        if self._page is not None:
            self._judge(self._page, episode, ticks, success, following)
        if following is Next.AGAIN:
            self._forget(episode)
        else:
            self.repeated.append(0)
            self._start_state = self._world.rng.bit_generator.state
        return following

    def _forget(self, episode: int) -> None:
        """Begin the episode again from the same start; the recording keeps what has happened."""
        self.repeated[-1] += 1
        self._recorder.forget_episode(episode)
        self._world.rng.bit_generator.state = self._start_state

    def _judge(
        self,
        page: "LivePage",
        episode: int,
        ticks: Transition,
        success: torch.Tensor,
        following: Next,
    ) -> None:
        verdicts = self._recorder.verdicts[-1]
        changed = [f"{name.lower()} {count}" for name, count in verdicts.items()]
        if following is Next.AGAIN:
            changed.append("run again")
        result = self._result(ticks, success)
        page.judge(episode, bool(success[0]), result, ", ".join(changed))

    def _result(self, ticks: Transition, success: torch.Tensor) -> str:
        """The family's first metric of an episode with its unit; its return where it has none."""
        parameters = torch.as_tensor(self._task.values)
        ids = torch.as_tensor(self._task.ids)
        trial = TrialBatch(stack([ticks]), parameters, ids, success[None])
        metrics = episode_metrics(self._world.family, self._task, trial)
        if not metrics:
            return f"return {float(trial.returns[0, 0]):.2f}"
        name, values = next(iter(metrics.items()))
        metric = describe_metric(name)
        shown = metric.show(finite(values[0, 0]))
        return f"{metric.label} {shown} {metric.unit}".strip()

    def describe(
        self, name: str, number: int, trial: TrialBatch, clock: str, most_stale: int
    ) -> list[EpisodeRecord]:
        """One record per episode.

        Args:
            name: of the policy.
            number: of the object.
            trial: the episodes, without those that were run again.
            clock: of the arm.
            most_stale: by how many updates the belief was behind, at most.
        """
        task = self._task
        recorder = self._recorder
        family = self._world.family
        metrics = episode_metrics(family, task, trial)
        parameters = [finite(value) for value in task.values[0]]
        known = dict(zip(task.names, parameters, strict=True))
        (object_name,) = object_names(family, task)
        timing = self._world.timing()
        records = []
        for e in range(len(trial.returns)):
            record = EpisodeRecord(
                object=number,
                policy=name,
                clock=clock,
                episode=e,
                returns=finite(trial.returns[e, 0]),
                success=bool(trial.success[e, 0]),
                ticks=int(trial.ticks.valid[e].sum()),
                verdicts=dict(recorder.verdicts[e]),
                metrics={metric: finite(values[e, 0]) for metric, values in metrics.items()},
                task=known,
                events=recorder.events[e],
                timing=timing,
                most_stale=most_stale,
                trace=recorder.traces[e],
                object_name=object_name,
                again=self.repeated[e],
            )
            records.append(record)
        return records


def behind_of(policy: object) -> Callable[[], int]:
    """A function that tells by how many updates the belief of a policy is behind."""

    def behind() -> int:
        return policy.behind if isinstance(policy, Background) else 0

    return behind
