"""The layout of the memory that the control process shares with the policy and the recorder."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from robots.world import Family

POSE = 7  # numbers of an object's pose: position (3) m, quaternion (4) w x y z
OBJECT_STATE = POSE + 6  # pose, then linear (3) m/s and angular velocity (3) rad/s
EVENTS = 256  # newest events kept
LATENESS = 60_000  # ticks whose lateness is kept: the newest two minutes at 500 Hz
RING = 4096  # ticks kept for the recorder: the newest eight seconds at 500 Hz
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
    state: list[Column] = [
        ("tick", "i8"),
        ("stamp", "f8"),
        ("mode", "i8"),
        ("verdict", "i8"),
        ("condition", "i8"),
        ("q", "f8", joints),
        ("dq", "f8", joints),
        ("tau", "f8", joints),
        ("q_set", "f8", joints),
        ("dq_set", "f8", joints),
        ("object", "f8", (OBJECT_STATE,)),
        ("active_action_seq", "i8"),
        ("ticks_done", "i8"),
        ("last_request_seq", "i8"),
        ("rejected_seq", "i8"),
        ("events", "i8"),
        ("missed_ticks", "i8"),
        ("max_lateness", "f8"),
        ("realtime", "?"),
        ("applied_sum", "f8", actions),
        ("applied_ticks", "i8"),
    ]
    action: list[Column] = [
        ("seq", "i8"),
        ("stamp", "f8"),
        ("action", "f8", actions),
    ]
    request: list[Column] = [
        ("seq", "i8"),
        ("kind", "i8"),
        ("q", "f8", joints),
        ("object_pose", "f8", (POSE,)),
        ("task", "f8", (sizes.task_parameters,)),
    ]
    event: list[Column] = [
        ("kind", "i8"),
        ("stamp", "f8"),
        ("detail", "f8"),
    ]
    return np.dtype(
        [
            ("state", _slot(state)),
            ("action", _slot(action)),
            ("request", _slot(request)),
            ("events", event, (EVENTS,)),
            ("lateness", "f4", (LATENESS,)),
            ("finished", "?"),
            ("exit_reason", f"S{EXIT_REASON}"),
            ("ring_head", "u8"),
            ("ring", "f8", (RING, ring_width(sizes.joints))),
        ]
    )


def _slot(columns: list[Column]) -> DTypeLike:
    return [("sequence", "u8"), ("record", columns)]


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
