"""Model files and limits of the bodies in Gymnasium's MuJoCo environments."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from robots.arm import Limits
from robots.signals import Array


def model_file(name: str) -> Path:
    """A model of the installed Gymnasium, found without importing it."""
    package = find_spec("gymnasium")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "envs/mujoco/assets" / name


def torque_limits(q_low: Array, q_high: Array, tau: Array) -> Limits:
    """Limits of joints that are driven by torque.

    Args:
        q_low: (j,) rad, the model's.
        q_high: (j,) rad, the model's.
        tau: (j,) N·m, of the motors: their gears times their largest control.
    """
    one = np.ones(len(tau))
    return Limits(
        q_low=q_low,
        q_high=q_high,
        tau=tau,
        # The models have no limits of the following kinds; these cannot be reached by the torques.
        dq=100 * one,
        ddq=1e5 * one,
        jerk=1e8 * one,
        tool_box=np.array([[-1e3, 1e3]] * 3),
        tool_speed=1e3,
        force=1e4,
        deadline=0.25,
    )


def free_positions(
    rng: np.random.Generator,
    n: int,
    height: float,
    joints: int,
    noise: float,
) -> Array:
    """Positions at which n free walkers start, (n, 7 + joints): upright, with noise on each number.

    Gymnasium does not normalize the quaternion after adding noise; here its length is 1.

    Args:
        rng: source of randomness.
        n: number of walkers.
        height: m, of the root.
        joints: number of driven joints, which are at zero.
        noise: uniform ± m, rad or 1.
    """
    root = np.array([0, 0, height, 1, 0, 0, 0])
    positions = np.concatenate([root, np.zeros(joints)])
    q = positions + rng.uniform(-noise, noise, (n, len(positions)))
    quaternion = q[:, 3:7]
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    return q
