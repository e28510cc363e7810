"""SO-101 follower arm: five joints of Feetech STS3215 servos, and a stylus held between its jaws.

Torque and velocity: of the servo at 12 V, as in the URDF beside this file. No accelerations or
jerks are published for this arm. Numbers marked "ours" are our own choice. ``feetech.json`` has the
ids that the maker's instructions give the servos, and zeros that every owner measures anew.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone

SO101 = ArmSpec(
    name="so101",
    joints=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"),
    # The stylus points down, its ball 6 cm above the table.
    home=np.array([0.0, -0.2065, 0.3437, 1.4336, 0.0]),
    limits=Limits(
        q_low=np.array([-1.91986, -1.74533, -1.69, -1.65806, -2.74385]),
        q_high=np.array([1.91986, 1.74533, 1.69, 1.65806, 2.84121]),
        # Ours: two thirds of what the servo does without load.
        dq=np.full(5, 3.0),
        # Ours: a third of what four fifths of the torque allow the outstretched arm.
        ddq=np.full(5, 10.0),
        # Ours: full acceleration is reached after 2 ms.
        jerk=np.full(5, 5000.0),
        tau=np.full(5, 2.94),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.1, 0.42],
                [-0.25, 0.25],
                [0.02, 0.4],
            ]
        ),
        # Ours: about what a joint does alone.
        tool_speed=1.0,
        # Ours: what the shoulder can press with at 0.35 m, beside its own weight.
        force=5.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "so101.urdf",
    tool="tool",
    # Servos in simulation, ours: at full torque 50 mrad from the setpoint, with damping that lets
    # the outstretched arm swing by little.
    stiffness=np.full(5, 60.0),
    damping=np.full(5, 3.0),
    # Reflected rotor inertia: the maker's Simulation/SO101/joints_properties.xml.
    armature=np.full(5, 0.028),
    # Ours: folded back, the stylus above the table.
    rest_pose=np.array([0.0, -1.3269, 0.7979, 1.5998, 0.0]),
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-0.45, 0.5],
            [-0.45, 0.45],
            [0.02, 0.6],
        ]
    ),
    # Where the jaws are closed on the stylus.
    held={"gripper": 0.0},
    # Ours. The stylus is tilted by half a radian, because the wrist cannot turn it further down.
    # There is no strike zone: none has been tried on this arm.
    reach_zone=ReachZone(
        ready=np.array([0.0, -0.3209, -0.1116, 1.5033, 0.0]),
        center=np.array([0.25, 0.0, 0.15]),
        half_range=np.array([0.05, 0.08, 0.05]),
        speed=0.25,
        goal_radius=0.018,
    ),
    # Ours: as near to the base as the fold of the arm allows, as far as it reaches.
    push_zone=PushZone(
        ready=np.array([0.0, -0.5097, 0.8436, 1.2369, 0.0]),
        height=0.03,
        start=0.16,
        tool_box=np.array(
            [
                [0.11, 0.42],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
