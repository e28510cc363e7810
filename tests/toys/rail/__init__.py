"""A toy arm of three joints, of which the first is a rail."""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits

RAIL = ArmSpec(
    name="rail",
    joints=("rail", "shoulder", "elbow"),
    home=np.array([0.1, 0.3, 0.5]),  # m, rad, rad
    limits=Limits(
        q_low=np.array([-0.5, -2.0, -2.0]),
        q_high=np.array([0.5, 2.0, 2.0]),
        dq=np.array([1.0, 2.0, 2.0]),
        ddq=np.array([5.0, 10.0, 10.0]),
        jerk=np.array([2500.0, 5000.0, 5000.0]),
        tau=np.array([200.0, 50.0, 20.0]),
        tool_box=np.array([[0.1, 0.55], [-0.1, 0.4], [0.5, 0.9]]),
        tool_speed=2.0,
        force=20.0,
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "rail.urdf",
    tool="tool",
    stiffness=np.array([4000.0, 400.0, 400.0]),
    damping=np.array([300.0, 30.0, 30.0]),
    armature=np.array([1.0, 0.1, 0.1]),
)
