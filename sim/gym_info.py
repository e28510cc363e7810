"""Tasks and ``info`` in Gymnasium's form: arrays with n worlds first, each with a mask."""

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
    """Parameters (n, p) of a requested task, one row per world.

    Raises:
        BadArgumentError: its names are not ``names``, its shape does not fit, or it is not finite.
    """
    if isinstance(task, Task):
        task = {name: task[name] for name in task.names}
    if isinstance(task, Mapping):
        task = _in_order(task, names)
    values = np.asarray(task, dtype=np.float64)
    single_shape = (len(names),)
    batch_shape = (n, len(names))
    if values.shape not in (single_shape, batch_shape):
        raise BadArgumentError(
            f"a task must be {batch_shape} or {single_shape}, got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise BadArgumentError(f"task parameters must be finite, got {values.tolist()}")
    repeated = np.broadcast_to(values, batch_shape)
    return np.array(repeated)


def _in_order(task: Mapping[str, ArrayLike], names: tuple[str, ...]) -> Array:
    """Parameters by name as an array (p,) or (n, p)."""
    if set(task) != set(names):
        needed = ", ".join(names)
        given = ", ".join(task)
        raise BadArgumentError(f"a task needs {needed}; got {given}")
    columns = [np.asarray(task[name], dtype=np.float64) for name in names]
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def step_info(step: Step, valid: Mask) -> Info:
    """Results of a step beyond the reward, for the worlds in ``valid`` (n,); zero elsewhere."""
    rows = valid[:, None]
    values = {
        "success": step.success & valid,
        "verdict": np.where(valid, step.verdict, 0),
        "applied": np.where(rows, step.applied, 0.0),
    }
    return with_masks(values, valid)


def with_masks(values: Info, mask: Mask) -> Info:
    """Add a mask ``_NAME`` of the worlds for which each value is valid: Gymnasium's convention."""
    return values | {f"_{name}": mask for name in values}


def final_info(obs: Observation, info: Info, over: Mask) -> Info:
    """The ``info`` of a step in which the episodes of the worlds ``over`` (n,) end.

    ``final_obs`` and ``final_info`` hold the last state: the next episodes begin in the same step.
    """
    final_obs = np.full(len(over), None, dtype=object)
    for row in np.flatnonzero(over):
        final_obs[row] = obs[row]
    values = {}
    for name, value in info.items():
        if not name.startswith("_"):
            values[name] = value
    ended = with_masks(values, over)
    final = {"final_obs": final_obs, "final_info": ended}
    return with_masks(values, ~over) | with_masks(final, over)
