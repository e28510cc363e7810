"""The fingers of a gripper in PyBullet: one is driven, the others follow it by a gear."""

import mujoco

from sim.couplings import couplings
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_trees import Tree

GEAR_FORCE = 1e4  # N, with which a gear holds its joints together: far more than any gripper's
GEAR_ERP = 0.2  # share of a gear's position error that a substep corrects, Bullet's usual one


def connect_followers(client: Client, model: mujoco.MjModel, tree: Tree) -> None:
    """Let the joints of a tree follow their leaders, and switch their own motors off.

    Bullet's gear couples velocities; it begins where the joints are, and they are placed together.
    """
    for coupling in couplings(model):
        if coupling.leader not in tree.joints:
            continue
        leader = tree.joints[coupling.leader]
        follower = tree.joints[coupling.follower]
        client.setJointMotorControl2(tree.body, follower, client.VELOCITY_CONTROL, force=0.0)
        gear = client.createConstraint(
            tree.body,
            leader,
            tree.body,
            follower,
            client.JOINT_GEAR,
            [1, 0, 0],
            [0, 0, 0],
            [0, 0, 0],
        )
        client.changeConstraint(
            gear,
            gearRatio=-coupling.factor,
            erp=GEAR_ERP,
            relativePositionTarget=0.0,
            maxForce=GEAR_FORCE,
        )


def place_followers(
    client: Client, model: mujoco.MjModel, tree: Tree, joints: dict[int, float]
) -> None:
    """Put the joints of a tree that follow where their leaders are, given by MuJoCo's numbers."""
    for coupling in couplings(model):
        if coupling.leader in joints:
            position = coupling.offset + coupling.factor * joints[coupling.leader]
            client.resetJointState(tree.body, tree.joints[coupling.follower], position, 0.0)
