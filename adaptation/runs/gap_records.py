"""The records of ``pliant gap``: how far apart two physics engines are."""

import msgspec

from adaptation.runs.records import Interval, Row


class Divergence(msgspec.Struct, frozen=True):
    """How far apart one quantity is in the two engines; rows have one number per instant."""

    quantity: str  # "joints", "tool", "body", an object's name, or the name with "turned"
    unit: str  # m or rad
    median: Row  # over tasks
    p90: Row  # 90th percentile over tasks
    motion: Row  # median way from the start in the first engine: the scale


class Correlation(msgspec.Struct, frozen=True):
    """A correlation coefficient across tasks."""

    value: float | None  # null where an outcome is the same in all tasks
    interval: Interval | None  # 95 %, a bootstrap over tasks; null with a single task


class OutcomeGap(msgspec.Struct, frozen=True):
    """One outcome of an episode in both engines."""

    name: str  # "return", a metric of the family, or an object's way; metrics end in their unit
    medians: tuple[float | None, float | None]  # over tasks, one per engine
    pearson: Correlation
    spearman: Correlation  # of ranks


class SuccessGap(msgspec.Struct, frozen=True):
    """Success in both engines, paired by task."""

    rates: tuple[float, float]  # one per engine
    intervals: tuple[Interval, Interval] | None  # Wilson, 95 %; null with a single task
    agreement: float  # share of the tasks with the same outcome in both engines
    agreement_interval: Interval | None
    only_first: int  # tasks that succeed in the first engine only
    only_second: int
    mcnemar_p: float | None  # of these two numbers; null with a single task


class EngineGap(msgspec.Struct, frozen=True, kw_only=True):
    """The same commands from the same starts in two engines: the answer of ``gap --json``."""

    family: str
    body: str  # name of the arm or walker
    engines: tuple[str, str]
    split: str
    tasks: int
    commands: str  # "random", or the run folder whose adapted policy acted in the first engine
    seed: int
    times: list[float]  # s since the episode began
    counted: list[int]  # tasks whose physics is sound in both engines, at each time
    divergence: list[Divergence]
    outcomes: list[OutcomeGap]
    success: SuccessGap
    seconds: float  # wall time of the job
    commit: str | None  # of the code; null outside a git checkout
