"""Tasks and ``info`` in Gymnasium's form: arrays that lead with n worlds, each with a mask."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask
from robots.world import Step, Task

Observation: TypeAlias = NDArray[np.float32]
Info: TypeAlias = dict[str, Any]
TaskRequest: TypeAlias = Task | Mapping[str, ArrayLike] | ArrayLike  # values, perhaps by name


def task_values(task: TaskRequest, names: tuple[str, ...], n: int) -> Array:
    """Parameters (n, p) of a task that was asked for, one row per world.

    Raises:
        BadArgumentError: its names are not ``names``, its shape does not fit, or it is not finite.
    """
    if isinstance(task, Task):
        task = {name: task[name] for name in task.names}
    if isinstance(task, Mapping):
        if set(task) != set(names):
            raise BadArgumentError(f"a task needs {', '.join(names)}; got {', '.join(task)}")
        task = np.stack(np.broadcast_arrays(*(task[name] for name in names)), axis=-1)
    values = np.asarray(task, dtype=np.float64)
    if values.shape not in ((len(names),), (n, len(names))):
        shape = (n, len(names))
        raise BadArgumentError(f"a task must be {shape} or {shape[1:]}, got {values.shape}")
    if not np.isfinite(values).all():
        raise BadArgumentError(f"task parameters must be finite, got {values.tolist()}")
    return np.array(np.broadcast_to(values, (n, len(names))))


def step_info(step: Step, valid: Mask) -> Info:
    """What a step tells beyond the reward, for the worlds in ``valid`` (n,); zero elsewhere."""
    return with_masks(
        {
            "success": step.success & valid,
            "verdict": np.where(valid, step.verdict, 0),
            "applied": np.where(valid[:, None], step.applied, 0.0),
        },
        valid,
    )


def with_masks(values: Info, mask: Mask) -> Info:
    """Add to every value which worlds it is valid for, as ``_NAME``: Gymnasium's convention."""
    return values | {f"_{name}": mask for name in values}


def final_info(obs: Observation, info: Info, over: Mask) -> Info:
    """The ``info`` of a step in which the episodes of the worlds ``over`` (n,) end.

    ``final_obs`` and ``final_info`` hold their last state, because others begin in the same step.
    """
    final_obs = np.full(len(over), None, dtype=object)
    for row in np.flatnonzero(over):
        final_obs[row] = obs[row]
    values = {name: value for name, value in info.items() if not name.startswith("_")}
    ended = with_masks(values, over)
    final = with_masks({"final_obs": final_obs, "final_info": ended}, over)
    return with_masks(values, ~over) | final
