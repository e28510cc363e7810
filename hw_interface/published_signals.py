"""The signals of an arm from the state that its control process has published."""

import numpy as np

from hw_interface.control.layout import POSE, Record
from robots.kinematics import Kinematics
from robots.signals import Array, Signals


def published_signals(
    state: Record, kinematics: Kinematics, marker: Array, stamp: float
) -> Signals:
    """The signals (1, ...) of a published state.

    Args:
        state: see ``layout.memory_layout``.
        kinematics: of the arm.
        marker: (1, 3) m, of the task.
        stamp: s since the episode began.
    """
    q = state["q"][None]
    dq = state["dq"][None]
    tracked = state["object"][None]
    tool_pos, tool_quat = kinematics.forward(q)
    jacobian = kinematics.jacobian(q)
    return Signals(
        q=q,
        dq=dq,
        tau=state["tau"][None],
        tool_pos=tool_pos,
        tool_quat=tool_quat,
        tool_vel=np.einsum("nij,nj->ni", jacobian[:, :3], dq),
        object_pos=tracked[:, :3],
        object_quat=tracked[:, 3:POSE],
        object_vel=tracked[:, POSE:],
        marker=marker,
        stamp=np.array([stamp]),
    )
