"""Records verdicts, events and measurements of every tick while a policy acts on an arm."""

from collections import Counter
from typing import Any

from msgspec.structs import replace

from adaptation.background import Background
from adaptation.belief_keeper import BeliefKeeper, prediction_deficit, summarize
from adaptation.rollout import Policy
from adaptation.runs.records import Event, Row, Trace, finite
from hw_interface.arm_world import ArmWorld
from policies.method import Transition
from robots.errors import ArmError
from robots.signals import Array, Signals, Verdict
from robots.world import Step

TIME_DIGITS = 4  # of a trace's times, s
DIGITS = 5  # of the other numbers of a trace


class EpisodeRecorder:
    """Collects the data of every tick in one trial; lists have one entry per episode.

    ``policy`` is the acting policy, whose beliefs are recorded.
    """

    def __init__(self, world: ArmWorld, policy: Policy[Any]) -> None:
        self.verdicts: list[Counter[str]] = []
        self.events: list[list[Event]] = []
        self.traces: list[Trace] = []
        self.policy = BeliefKeeper(policy)
        self._acting = policy
        self._world = world
        self._belief_events = [self.policy.events]
        if isinstance(policy, Background):
            self._belief_events.append(policy.events)
        earlier = [event["number"] for event in world.events]
        self._next_arm_event = 1 + max(earlier, default=-1)
        self._collected = [0 for _ in self._belief_events]  # how many of each
        self._recording_failed = False  # whether it was reported
        self._forgotten: list[Event] = []  # events of an episode that is run again
        self._frames: list[Signals] = []  # of the decision that is being carried out
        world.on_frame = self._keep_frame

    def _keep_frame(self, world: ArmWorld) -> None:
        """Called by the world after every control period."""
        self._frames.append(world.signals)

    def __call__(self, episode: int, tick: int, step: Step) -> None:
        """Called by ``rollout`` after every decision."""
        if tick == 0:
            self.verdicts.append(Counter())
            self.events.append(self._forgotten)
            self._forgotten = []
            self.traces.append(Trace([], [], [], [], []))
        flags = Verdict(int(step.verdict[0]))
        self.verdicts[-1].update(flag.name or "" for flag in flags)
        self.collect_events()
        self._record_belief(episode, tick)
        trace = self.traces[-1]
        for signals in self._frames:
            trace.t.append(round(float(signals.stamp[0]), TIME_DIGITS))
            trace.q.append(_rounded(signals.q))
            trace.object_pos.append(_rounded(signals.object_pos))
            trace.object_quat.append(_rounded(signals.object_quat))
            trace.marker.append(_rounded(signals.marker))
        self._frames.clear()

    def forget_episode(self, episode: int) -> None:
        """Drop the latest episode, which is run again; its events are kept with the next run."""
        self._world.recorder.write("/again", {"episode": episode})
        self.verdicts.pop()
        self.traces.pop()
        self._forgotten = self.events.pop()

    def _record_belief(self, episode: int, tick: int) -> None:
        """Write the belief after a decision to the arm's recording."""
        recorder = self._world.recorder
        if recorder.is_recording:
            tensors = summarize(self.policy.belief)
            message: dict[str, Any] = {"episode": episode, "tick": tick, "tensors": tensors}
            if isinstance(self._acting, Background):
                message["updates"] = self._acting.acted_after
            recorder.write("/belief", message)

    def collect_events(self) -> None:
        """Add the events since the last call to the current episode."""
        for event in self._world.events:
            if event["number"] >= self._next_arm_event:
                self._next_arm_event = event["number"] + 1
                happened = Event(**event)
                happened = replace(happened, detail=finite(event["detail"]))
                self.events[-1].append(happened)
        for i, source in enumerate(self._belief_events):
            new = source.all[self._collected[i] :]
            self._collected[i] += len(new)
            self.events[-1] += new
        failure = self._world.recorder.failure_event
        if failure is not None and not self._recording_failed:
            self._recording_failed = True
            self.events[-1].append(Event(**failure))

    def judge_belief(self, policy: Policy[Any], episode: Transition) -> None:
        """Add an event if the last belief predicts the last episode worse than the prior does."""
        deficit = 0.0
        try:
            deficit = prediction_deficit(policy, self.policy.belief, episode)
        except Exception as error:  # the measured results still count
            self.policy.events.report_failure(error)
            self.collect_events()
        if deficit > 0:
            stamp = float(self._world.signals.stamp[0])
            self.events[-1].append(Event(0, "NOT_ADAPTED", stamp, finite(deficit)))

    def refuse_fault(self, must_count: bool) -> None:
        """Raise ArmError if the arm was in FAULT at any tick; the message names the events.

        Args:
            must_count: whether the object is one of a trial's.
        """
        if not any("FAULT" in verdicts for verdicts in self.verdicts):
            return
        names = [event.event for events in self.events for event in events]
        cause = ", ".join(names) or "no event"
        if not must_count:
            raise ArmError(f"the arm was left in FAULT: {cause}")
        raise ArmError(
            f"the arm was in FAULT, and this object does not count: {cause}; start the trial again"
            " to retry this object"
        )


def _rounded(values: Array) -> Row:
    """The numbers of the single world of (1, k); None for each that is not finite."""
    return [finite(round(float(x), DIGITS)) for x in values[0]]
