"""Every tick of an arm's control process, read by the policy's process without a recorder."""

from dataclasses import dataclass

import numpy as np

from hw_interface.control.layout import ring_columns
from hw_interface.control.shared_state import SharedState
from robots.errors import ArmError
from robots.signals import Array


@dataclass(frozen=True)
class Ticks:
    """What was measured and commanded in T ticks."""

    t: Array  # (T,) s, as of ``layout``'s stamp
    q: Array  # (T, j) rad, measured
    dq: Array  # (T, j) rad/s, measured
    tau: Array  # (T, j) N·m, measured
    q_set: Array  # (T, j) rad, the gate's setpoints
    wrench: Array  # (T, 6), see ``JointState``

    def __len__(self) -> int:
        return len(self.t)


class TickLog:
    """Takes the ticks that have passed since they were taken last."""

    def __init__(self, shared: SharedState, joints: int) -> None:
        """Begin with the next tick."""
        self._shared = shared
        self._columns = ring_columns(joints)
        _, self._tail, _ = shared.drain(0)

    def take(self) -> Ticks:
        """The ticks since the last call; it must come every few seconds.

        Raises:
            ArmError: it came too late, and some are lost.
        """
        rows, self._tail, lost = self._shared.drain(self._tail)
        if lost:
            raise ArmError(f"{lost} readings of the arm were lost: this computer is too busy")
        columns = self._columns
        return Ticks(
            t=rows[:, columns["stamp"]][:, 0],
            q=rows[:, columns["q"]],
            dq=rows[:, columns["dq"]],
            tau=rows[:, columns["tau"]],
            q_set=rows[:, columns["q_set"]],
            wrench=rows[:, columns["wrench"]],
        )


def join(parts: list[Ticks]) -> Ticks:
    """Consecutive ticks as one."""
    return Ticks(
        t=np.concatenate([part.t for part in parts]),
        q=np.concatenate([part.q for part in parts]),
        dq=np.concatenate([part.dq for part in parts]),
        tau=np.concatenate([part.tau for part in parts]),
        q_set=np.concatenate([part.q_set for part in parts]),
        wrench=np.concatenate([part.wrench for part in parts]),
    )
