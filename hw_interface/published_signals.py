"""The signals and the setpoint of an arm from the state that its control process has published."""

import numpy as np

from hw_interface.control.layout import POSE, Record
from robots.kinematics import Kinematics
from robots.scene import Scene
from robots.signals import Array, ObjectMotion, Setpoint, Signals


def published_signals(
    state: Record, kinematics: Kinematics, scene: Scene, marker: Array, stamp: float
) -> Signals:
    """The signals (1, ...) of a published state.

    Args:
        state: see ``layout.memory_layout``.
        kinematics: of the arm.
        scene: the arm and the one object that is tracked, if there is one.
        marker: (1, 3) m, of the task.
        stamp: s since the episode began.
    """
    q = state["q"][None]
    dq = state["dq"][None]
    tracked = state["object"][None]
    motion = ObjectMotion(tracked[:, :3], tracked[:, 3:POSE], tracked[:, POSE:])
    tool_pos, tool_quat = kinematics.forward(q)
    jacobian = kinematics.jacobian(q)
    return Signals(
        q=q,
        dq=dq,
        tau=state["tau"][None],
        tool_pos=tool_pos,
        tool_quat=tool_quat,
        tool_vel=np.einsum("nij,nj->ni", jacobian[:, :3], dq),
        object_pos=motion.pos,
        object_quat=motion.quat,
        object_vel=motion.vel,
        marker=marker,
        stamp=np.array([stamp]),
        objects={item.name: motion for item in scene.objects},
        wrench=state["wrench"][None] if scene.measures_wrench else None,
    )


def published_setpoint(state: Record) -> Setpoint:
    """The gate's setpoint (1, j) of a published state; its acceleration is not published: 0."""
    q = state["q_set"][None]
    dq = state["dq_set"][None]
    return Setpoint(q, dq, np.zeros_like(dq))
