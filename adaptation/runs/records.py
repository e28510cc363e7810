"""The records that jobs write and return: one struct per line of a log, one per result.

A field called ``returns`` is called ``return`` in JSON, which Python reserves. JSON has no NaN: a
number that is not finite is written as null and read back as None.
"""

from collections.abc import Mapping
from math import isfinite
from typing import SupportsFloat

import msgspec
from msgspec import field

from hw_interface.control.timing import Timing

REFERENCES = ("blind", "oracle")  # the floor and the ceiling that a method is compared with
POLICIES = ("adapted", "no_adaptation", *REFERENCES)

Row = list[float | None]
Interval = tuple[float, float]


def finite(value: SupportsFloat | str) -> float | None:
    """A number for JSON: None if it is not finite."""
    number = float(value)
    return number if isfinite(number) else None


class TrainProgress(msgspec.Struct, frozen=True):
    """One training iteration: a line of ``log.jsonl``."""

    iteration: int  # calls of ``learn`` so far
    steps: int  # environment steps so far, over all worlds
    gradient_steps: int  # optimizer steps so far
    seconds: float  # wall time so far, s
    returns: Row = field(name="return")  # mean over worlds, one per episode, exploring
    success: list[float]  # rate over worlds, one per episode
    learn: Mapping[str, float | None]  # numbers of the method; empty if the update was undone
    # episodes cut short because physics, an observation, a reward or an action was not finite
    diverged: int = 0
    undone: bool = False  # whether the update was undone because a number became not finite
    tasks: Mapping[str, float] = {}  # numbers of the task sampler: "width" or "difficulty"


class Event(msgspec.Struct, frozen=True):
    """Something the watchdog reported, or a belief that was rolled back."""

    number: int  # counts from 0 per source
    event: str  # "STALE", "BELIEF_NOT_FINITE", ...
    stamp: float  # s since the source started
    detail: float | None  # its unit depends on the event; null where it is not finite


class Trace(msgspec.Struct, frozen=True):
    """What was measured in one episode, one entry per control period."""

    t: list[float]  # s since the episode began
    q: list[Row]  # rad
    object_pos: list[Row]  # m
    object_quat: list[Row]  # w, x, y, z
    marker: list[Row]  # m


class EpisodeRecord(msgspec.Struct, frozen=True):
    """One episode with one object: a line of a trial's ``episodes-*.jsonl``."""

    object: int  # index among the trial's objects, from 0
    policy: str  # adapted, no_adaptation, blind or oracle
    clock: str  # lockstep or realtime
    episode: int  # from 0
    returns: float | None = field(name="return")
    success: bool
    ticks: int  # valid decisions; one acts for the family's ``action_repeat`` control periods
    verdicts: dict[str, int]  # decisions in which the gate set this flag
    metrics: dict[str, float | None]  # ``family.metrics`` of the last valid state
    task: dict[str, float | None]  # parameters; null where unknown
    events: list[Event]
    timing: Timing | None  # of the control loop; null in lockstep
    most_stale: int  # updates that the belief was behind, at most
    trace: Trace
    object_name: str | None = None  # of a user's own object
    again: int = 0  # how often the operator had the episode run before, which is forgotten


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one policy, one number per episode.

    Means are over tasks. Of several trainings the success rate is the mean over all of them, and
    the other numbers are interquartile means over trainings.
    """

    success: list[float]  # rate in [0, 1]
    success_interval: list[Interval | None]  # Wilson, 95 %; null with a single task
    metrics: dict[str, Row]  # means; the name ends in its unit: ``distance_m``
    metric_medians: dict[str, Row]  # medians over tasks
    returns: Row


class HeldoutProgress(msgspec.Struct, frozen=True):
    """An evaluation on held-out tasks during training: a line of ``heldout.jsonl``."""

    iteration: int  # calls of ``learn`` before it
    steps: int  # environment steps of training before it, over all worlds
    gradient_steps: int  # optimizer steps before it
    seconds: float  # wall time of training before it, s
    result: PolicyResult


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Adapted minus another policy in the last episode, paired by task."""

    success: float  # difference of the success rates
    gained: int  # tasks in which adapted succeeds more often
    lost: int  # tasks in which adapted succeeds less often
    # Two-sided, exact, of gained against lost; null with a single task, and with several trainings,
    # because the test does not account for differences between trainings.
    mcnemar_p: float | None
    value: float | None  # difference of the returns; null where a return is not finite
    interval: Interval | None  # 95 %, of ``value``; null with a single task


class GapClosed(msgspec.Struct, frozen=True):
    """(adapted − blind) / (oracle − blind) in the last episode."""

    value: float | None
    interval: Interval | None  # 95 %
    note: str | None  # why the value is null


class SeedComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Policies on the same tasks under the same seeds, of one training or of several."""

    adapted: PolicyResult
    no_adaptation: PolicyResult | None
    blind: PolicyResult | None
    oracle: PolicyResult | None
    rivals: dict[str, PolicyResult]  # other policies on the same tasks, by name
    adaptation: Estimate | None  # adapted − no_adaptation: what adaptation itself gains
    over_blind: Estimate | None  # adapted − blind
    over_rivals: dict[str, Estimate]  # adapted − each rival
    gap_closed: GapClosed
    interval_over: str | None  # what the intervals are over; null where there are none
    seeds: int  # trainings
    tasks: int  # different tasks of a training; a task that is repeated is one task
    trials: int  # of each training: tasks, each as often as it was repeated
    episodes: int  # of each trial


class Comparison(SeedComparison, frozen=True, kw_only=True):
    """The policies of one run: the answer of ``evaluate --json``."""

    seconds: float = 0.0  # wall time of the job
    run: str = ""  # the run folder
    commit: str | None = None  # of the code that compared; null outside a git checkout
    fingerprints: dict[str, str] = {}  # SHA-256 of the weights of every role that was compared


class Evaluation(Comparison, frozen=True, kw_only=True):
    """A comparison in simulation."""

    split: str
    engine: str
    objects: list[str] = []  # names of a user's, where the tasks had those instead of the run's own
    # success rate of adapted in the last episode by the name of a user's object
    by_object: dict[str, float] = {}
    # success rate by policy over the last episodes, where the family's trials end with several
    # episodes of evaluation
    final_success: dict[str, float] = {}


class TrialResult(Comparison, frozen=True, kw_only=True):
    """A comparison on an arm: the answer of ``trial --json``, kept as ``result.json``."""

    arm: str
    driver: str
    verdicts: dict[str, int]
    timing: Timing | None  # of the last episode in real time
    recording_error: str | None = None  # why a recording of this call is not complete: status 1
    park_error: str | None = None  # why the arm was not parked in this call: status 1
    # Objects, counted from 0, that the adapted policy's last belief predicts worse than its prior
    # does, and those with which an update of its belief failed
    not_adapted: list[int] = []
    updates_failed: list[int] = []
    skipped: list[int] = []  # objects, counted from 0, that the operator left; they do not count


class ComparedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One method in a comparison of runs: all its trainings, which differ in their seeds."""

    name: str  # of the method; of the run folder where a method has two runs of one seed
    runs: list[str]  # folders, in the order of their seeds
    comparison: SeedComparison
    # Adapted − the first entry's adapted; null for the first itself, and without a common seed.
    over_first: Estimate | None
    paired: int  # trainings that ``over_first`` is over: those of seeds that both entries have
    steps: list[int]  # environment steps of each training
    gradient_steps: list[int]


class RunsComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Finished runs of one family on the same tasks: the answer of ``compare --json``."""

    entries: list[ComparedEntry]
    family: str
    split: str
    engine: str
    seconds: float  # wall time of the job
    commit: str | None  # of the code that compared; null outside a git checkout
