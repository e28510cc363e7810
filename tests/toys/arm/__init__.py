"""A toy arm of two joints."""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits

TOY = ArmSpec(
    name="toy",
    joints=("shoulder", "elbow"),
    home=np.array([0.3, 0.5]),
    limits=Limits(
        q_low=np.array([-2.0, -2.0]),
        q_high=np.array([2.0, 2.0]),
        dq=np.array([2.0, 2.0]),
        ddq=np.array([10.0, 10.0]),
        jerk=np.array([5000.0, 5000.0]),
        tau=np.array([20.0, 20.0]),
        tool_box=np.array([[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]]),
        tool_speed=2.0,
        force=20.0,
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "toy.urdf",
    tool="tool",
    stiffness=np.array([400.0, 400.0]),
    damping=np.array([30.0, 30.0]),
    armature=np.array([0.1, 0.1]),
)
