"""The package metaworld, which is imported when the first of its tasks is made."""

from functools import cache
from importlib import import_module
from typing import Any

import mujoco

from robots.errors import MissingExtraError

VERSION = "3.1.1"
# metaworld requires mujoco 3.3.0 exactly, so that pip does not install it beside a newer one.
INSTALL = f"pip install --no-deps metaworld=={VERSION}"
# A weld of the hand to the body that is moved: anchor (3), relative position (3) and quaternion
# (4), of which a negative first number means the pose at the start, and the scale of torques.
WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)


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
    return {name.removesuffix("-v3"): kind for name, kind in tasks.ALL_V3_ENVIRONMENTS.items()}


def _reset_welds(environment: Any) -> None:  # noqa: ANN401
    """Write every weld's numbers, as metaworld does, into the newer MuJoCo's longer rows."""
    model = environment.model
    welds = model.eq_type == mujoco.mjtEq.mjEQ_WELD
    model.eq_data[welds, : len(WELD)] = WELD
