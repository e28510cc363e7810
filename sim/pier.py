"""A row of floating blocks under a planar walker: GrBAL's pier.

Each block slides up and down on a spring. The numbers are those of GrBAL's
``half_cheetah_blocks.xml``, but for the last block, which is 100 m long instead of 40: a policy
that runs at more than 6 m/s would fall off its end within an episode.
"""

from dataclasses import dataclass

import mujoco

from robots.arm import Walker
from sim.scene_model import body_model

# Center and half length of each block along x, m. The gaps between them are 2 mm wide.
BLOCKS = (
    (-8.0, 5.999),
    (0.0, 1.999),
    (4.0, 1.999),
    (8.0, 1.999),
    (12.0, 1.999),
    (16.0, 1.999),
    (20.0, 1.999),
    (72.0, 49.999),
)
HALF_WIDTH = 0.99  # m, along y
HALF_HEIGHT = 0.05  # m; a block's underside is at z = 0 where its spring is relaxed
TRAVEL = 0.15  # m, up and down from there
STIFFNESS = 150.0  # N/m, of a block's spring
# kg before the model's masses are scaled to 14 kg in all: a block then has 1.4 kg, the cheetah 2.9
MASS = 10.0
SAG = 0.09  # m, from there to where a block floats at rest: the weight of 1.4 kg over the stiffness


def block_name(number: int) -> str:
    """The name of a block's body, joint and geom."""
    return f"block_{number}"


def damping_name(number: int) -> str:
    """The task parameter that is the damping of a block, N·s/m."""
    return f"joint.{block_name(number)}.damping"


@dataclass(frozen=True)
class PierWalker(Walker):
    """A planar walker that runs over a pier instead of the ground of its MJCF.

    Names of its physics in a task, beside those of every walker: ``joint.block_K.damping``, N·s/m.
    """

    needs_mujoco: bool = True  # the ground of a walker in PyBullet does not move


@body_model.register
def _(body: PierWalker) -> mujoco.MjSpec:
    """The walker's model with blocks."""
    spec: mujoco.MjSpec = body_model.dispatch(Walker)(body)
    for number, (center, half_length) in enumerate(BLOCKS):
        _add_block(spec, block_name(number), center, half_length)
    return spec


def _add_block(spec: mujoco.MjSpec, name: str, center: float, half_length: float) -> None:
    """A block on a spring; what it does not say is the default of the walker's file."""
    block = spec.worldbody.add_body(name=name, pos=[center, 0.0, HALF_HEIGHT])
    joint = block.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0.0, 0.0, 1.0],
        range=[-TRAVEL, TRAVEL],
    )
    joint.stiffness[0] = STIFFNESS
    block.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half_length, HALF_WIDTH, HALF_HEIGHT],
        mass=MASS,
        contype=1,
        conaffinity=1,
    )
