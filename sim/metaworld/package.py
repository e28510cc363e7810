"""The package metaworld, which is imported when the first of its tasks is made.

One line of it fails with newer versions of MuJoCo and is replaced. Two parts of its observation,
which take a third of a step's time, are replaced by faster ones that give the same numbers.
"""

import sys
from functools import cache
from importlib import import_module
from typing import Any

import mujoco
import numpy as np

from robots.errors import MissingExtraError
from robots.signals import Array

VERSION = "3.1.1"
# metaworld requires mujoco 3.3.0 exactly, so that pip does not install it beside a newer one.
INSTALL = f"pip install --no-deps metaworld=={VERSION}"
# A weld of the hand to the body that is moved: anchor (3), relative position (3) and quaternion
# (4), of which a negative first number means the pose at the start, and the scale of torques.
WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
HALF_OBSERVED = 18  # columns of an observation that belong to one moment
WIDEST = 0.1  # m, between the claws of the open gripper


@cache
def environment_classes() -> dict[str, Any]:
    """metaworld's class of each task, by the names of ``TASKS``.

    Raises:
        MissingExtraError: metaworld is not installed.
    """
    try:
        tasks = import_module("metaworld.env_dict")
        base = import_module("metaworld.sawyer_xyz_env")
    except ModuleNotFoundError as missing:
        if missing.name != "metaworld":
            raise
        message = f"Meta-World's families need the package metaworld: {INSTALL}"
        raise MissingExtraError(message) from missing
    base.SawyerMocapBase.reset_mocap_welds = _reset_welds
    kinds = {name.removesuffix("-v3"): kind for name, kind in tasks.ALL_V3_ENVIRONMENTS.items()}
    for kind in kinds.values():
        names = vars(sys.modules[kind.__module__])
        if "Rotation" in names:
            names["Rotation"] = Rotation
    return kinds


def _reset_welds(environment: Any) -> None:  # noqa: ANN401
    """Write every weld's numbers, as metaworld does, into the newer MuJoCo's longer rows."""
    model = environment.model
    welds = model.eq_type == mujoco.mjtEq.mjEQ_WELD
    model.eq_data[welds, : len(WELD)] = WELD


def observe(environment: Any) -> Array:  # noqa: ANN401
    """Hand, gripper and objects of an environment of metaworld, as it observes them, (18,)."""
    data = environment.data
    apart = data.body("rightclaw").xpos - data.body("leftclaw").xpos
    pos = np.reshape(environment._get_pos_objects(), (-1, 3))
    quat = np.reshape(environment._get_quat_objects(), (-1, 4))
    objects = np.concatenate([pos, quat], 1).ravel()
    observed = np.zeros(HALF_OBSERVED)
    observed[:3] = environment.get_endeff_pos()
    observed[3] = min(float(np.linalg.norm(apart)) / WIDEST, 1.0)
    observed[4 : 4 + objects.size] = objects
    return observed


class Rotation:
    """The two calls of SciPy's ``Rotation`` with which metaworld observes a quaternion."""

    def __init__(self, quat: Array) -> None:
        self._quat = quat  # (4,) w, x, y, z

    @classmethod
    def from_matrix(cls, matrix: Array) -> "Rotation":
        """The rotation of a matrix (3, 3)."""
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, np.ravel(matrix))
        return cls(quat)

    def as_quat(self) -> Array:
        """(4,) x, y, z, w, the largest of which is positive, as SciPy has it."""
        largest = self._quat[np.abs(self._quat).argmax()]
        quat: Array = np.roll(self._quat, -1) * np.sign(largest)
        return quat
