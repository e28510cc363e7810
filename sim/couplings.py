"""Joints that follow others in a compiled MuJoCo model, as the fingers of a gripper do."""

from dataclasses import dataclass

import mujoco

from robots.signals import Array


@dataclass(frozen=True)
class Coupling:
    """A joint whose position is offset + factor · that of another one. Numbers are MuJoCo's."""

    follower: int
    leader: int
    factor: float
    offset: float  # m or rad


def couplings(model: mujoco.MjModel) -> list[Coupling]:
    """The couplings of a model that are linear; other equality constraints are left out."""
    found = []
    for number in range(model.neq):
        if is_coupling(model, number):
            offset, factor = model.eq_data[number, :2].tolist()
            follower = int(model.eq_obj1id[number])
            leader = int(model.eq_obj2id[number])
            found.append(Coupling(follower, leader, factor, offset))
    return found


def is_coupling(model: mujoco.MjModel, number: int) -> bool:
    """Whether an equality constraint couples two joints linearly."""
    is_joint = model.eq_type[number] == mujoco.mjtEq.mjEQ_JOINT
    has_leader = model.eq_obj2id[number] >= 0
    is_linear = not model.eq_data[number, 2:5].any()
    return bool(is_joint and has_leader and is_linear)


def place_followers(model: mujoco.MjModel, qpos: Array) -> None:
    """Put the joints that follow where their leaders are, in place, in ``qpos`` (..., nq)."""
    for coupling in couplings(model):
        follower = model.jnt_qposadr[coupling.follower]
        leader = model.jnt_qposadr[coupling.leader]
        qpos[..., follower] = coupling.offset + coupling.factor * qpos[..., leader]
