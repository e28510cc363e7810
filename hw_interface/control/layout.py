"""The layout of the memory that the control process shares with the policy and the recorder."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hw_interface.control.words import Word
from robots.paths import WAYPOINTS
from robots.world import Family

POSE = 7  # numbers of an object's pose: position (3) m, quaternion (4) w x y z
OBJECT_STATE = POSE + 6  # pose, then linear (3) m/s and angular velocity (3) rad/s
WRENCH = 6  # numbers of a wrench: force (3) N, torque (3) N·m
EVENTS = 256  # number of newest events kept
LATENESS = 60_000  # ticks whose lateness is kept: two minutes at 500 Hz
RING = 4096  # ticks kept for the recorder: eight seconds at 500 Hz
EXIT_REASON = 400  # bytes of text

Record = NDArray[Any]  # one structured record of shape ()
Column = tuple[str, str] | tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """How many numbers the shared records hold."""

    joints: int
    actions: int
    task_parameters: int

    @classmethod
    def of(cls, family: Family) -> Self:
        """The sizes that a family's body, actions and tasks need."""
        joints = len(family.body.joints)
        actions = len(family.action.spec)
        return cls(joints, actions, len(family.task_names))


def memory_layout(sizes: Sizes) -> np.dtype[Any]:
    """Everything that is shared about one arm, as one structured type."""
    joints = (sizes.joints,)
    actions = (sizes.actions,)
    action: list[Column] = [
        ("seq", "i8"),  # counted from 1
        ("stamp", "f8"),  # s, monotonic: of the observation that it answers
        ("continues", "?"),  # whether it repeats an earlier decision
        ("distance", "f8"),  # of that observation from its range, see range_distance
        ("action", "f8", actions),  # in [-1, 1]
    ]
    words: list[Column] = [("counts", "i8", (len(Word),))]  # how often each Word was sent
    event: list[Column] = [
        ("kind", "i8"),  # Event
        ("stamp", "f8"),  # s, as of the state
        ("detail", "f8"),  # see Event
    ]
    return np.dtype(
        [
            ("alive_until", "f8"),  # s, monotonic: the control process promised to run before then
            ("ring_head", "u8"),  # rows pushed so far
            ("state", _slot(_state_columns(joints, actions))),
            ("action", _slot(action)),
            ("request", _slot(_request(sizes))),
            ("words", _slot(words)),
            ("events", event, (EVENTS,)),
            ("lateness", "f4", (LATENESS,)),  # s, a ring by tick
            ("finished", "?"),  # the control process has ended
            ("exit_reason", f"S{EXIT_REASON}"),
            ("reason", f"S{EXIT_REASON}"),  # why the newest request was refused, or its move failed
            ("ring", "f8", (RING, ring_width(sizes.joints))),  # see ring_columns
        ]
    )


def _request(sizes: Sizes) -> list[Column]:
    """The fields of a request; those after ``kind`` are for BEGIN_EPISODE and MOVE."""
    joints = (sizes.joints,)
    return [
        ("seq", "i8"),  # counted from 1
        ("kind", "i8"),  # Request
        ("q", "f8", joints),  # rad, the start, or the goal of the move
        ("waypoints", "f8", (WAYPOINTS, *joints)),  # rad, on the way there
        ("waypoint_count", "i8"),  # how many there are
        ("object_pose", "f8", (POSE,)),  # the start; NaN without an object
        ("task", "f8", (sizes.task_parameters,)),
    ]


def _state_columns(joints: tuple[int, ...], actions: tuple[int, ...]) -> list[Column]:
    """What the control process publishes after every tick."""
    return [
        ("tick", "i8"),  # ticks since the process began
        ("stamp", "f8"),  # s, monotonic; in lockstep s of control
        ("mode", "i8"),  # Mode
        ("cause", "i8"),  # Event that led to the newest fault or external stop; 0 before the first
        ("verdict", "i8"),  # Verdict flags since the newest action
        ("condition", "i8"),  # Condition
        ("q", "f8", joints),  # rad, measured
        ("dq", "f8", joints),  # rad/s, measured
        ("tau", "f8", joints),  # N·m, measured
        ("wrench", "f8", (WRENCH,)),  # measured, see JointState; NaN where none is
        ("q_set", "f8", joints),  # rad, the gate's setpoint
        ("dq_set", "f8", joints),  # rad/s, the gate's setpoint
        ("object", "f8", (OBJECT_STATE,)),  # NaN where it is unknown
        ("active_action_seq", "i8"),  # the newest action in order
        ("ticks_done", "i8"),  # ticks of all actions up to the active one
        ("last_request_seq", "i8"),  # the newest request that was handled
        ("rejected_seq", "i8"),  # the newest request that was refused
        ("arrived_seq", "i8"),  # the newest request whose move has arrived
        ("failed_seq", "i8"),  # the newest request whose move was blocked or could not arm
        ("ended_seq", "i8"),  # the newest request whose move has ended, arrived or not
        ("words_handled", "i8", (len(Word),)),  # how often each Word was handled
        ("operator_hold", "?"),  # whether an operator holds the arm
        ("arm_error", "?"),  # whether the arm has reported an error, or a stop of its own
        ("link_broken", "?"),  # whether the driver must be connected again
        ("events", "i8"),  # how many there were
        ("missed_ticks", "i8"),
        ("max_lateness", "f8"),  # s
        ("realtime", "?"),  # whether SCHED_FIFO was granted
        ("applied_sum", "f8", actions),  # of the actions applied in each tick of the episode
        ("applied_ticks", "i8"),  # how many ticks these are
    ]


def _slot(columns: list[Column]) -> DTypeLike:
    """A record with the number and checksum that show whether it is consistent; see ``Slot``."""
    return [("sequence", "u8"), ("checksum", "u4"), ("record", columns)]


def ring_columns(joints: int) -> dict[str, slice]:
    """Where the numbers of a tick are in a row of the recorder's ring.

    ``control`` is mode, verdict and the sequence number of the active action.
    """
    widths = {
        "stamp": 1,
        "q": joints,
        "dq": joints,
        "tau": joints,
        "q_set": joints,
        "dq_set": joints,
        "object": OBJECT_STATE,
        "wrench": WRENCH,
        "control": 3,
    }
    columns = {}
    start = 0
    for name, width in widths.items():
        columns[name] = slice(start, start + width)
        start += width
    return columns


def ring_width(joints: int) -> int:
    """Numbers in a row of the recorder's ring."""
    return int(ring_columns(joints)["control"].stop)
