"""What the policy's process tells the live page: everything that is not in the shared memory.

Every message holds the whole of it, so that a message may be lost.
"""

import msgspec

HOLD = "hold"
RELEASE = "release"
STOP = "stop"
CLEAR = "clear"
BUTTONS = (HOLD, RELEASE, STOP, CLEAR)


class BeliefNumber(msgspec.Struct, frozen=True):
    """One number that the belief is about."""

    name: str
    mean: float | None  # None where it is not finite
    spread: float | None  # standard deviation; None where the belief has none, or it is not finite


class JudgedEpisode(msgspec.Struct, frozen=True):
    """One finished episode."""

    object: str
    policy: str
    episode: int  # from 1
    success: bool
    result: str  # the family's first metric with its unit; else the return
    changed: str = ""  # the gate's and the watchdog's verdicts, with their numbers of decisions


class Snapshot(msgspec.Struct, frozen=True):
    """What is shown beside the state that the control process publishes."""

    shared: str | None = None  # name of the arm's shared memory; None: no arm is open
    clock: str = ""
    object: str = ""
    policy: str = ""
    episode: int = 0  # from 1; 0: none has begun
    returns: float | None = 0.0  # of the episode so far
    behind: int = 0  # updates that wait for the belief
    marker: tuple[float, ...] = ()  # (3,) m, the target; () without one
    task: dict[str, float] = {}  # parameters that are known, for the object's shape
    belief: list[BeliefNumber] = []
    judged: list[JudgedEpisode] = []  # the newest last
    notice: str = ""  # what came of the last button
