"""What the bodies of Gymnasium's MuJoCo environments have in common: their files and limits."""

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
        # The models have no limits of the following kinds: these are beyond what torques reach.
        dq=100 * one,
        ddq=1e5 * one,
        jerk=1e8 * one,
        tool_box=np.array([[-1e3, 1e3]] * 3),
        tool_speed=1e3,
        force=1e4,
        deadline=0.25,
    )
