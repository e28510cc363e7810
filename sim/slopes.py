"""Boxes among a scene's fixtures that a task tilts. Axes: n tasks.

``fixture.NAME.slope`` is the rise of a box's upper face per meter of x; without it the box is
level. The box is pitched about its upper edge at the low x, and made longer, so that its upper face
ends at the same x as before. A box that the scene puts ``after`` it is lifted by its rise, and so
on: a row of boxes is a ground whose upper faces have no steps.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from robots.errors import BadArgumentError
from robots.scene import Fixture
from robots.signals import Array
from robots.world import Task


class Tilted(NamedTuple):
    """How a box is tilted and lifted."""

    shift: Array  # (n, 3) m, of its center, from where it is when it is level
    quat: Array  # (n, 4) w, x, y, z
    size: Array  # (n, 3) m, half extents


def slope_name(fixture: str) -> str:
    """The task parameter that is the slope of a fixture."""
    return f"fixture.{fixture}.slope"


def tilted_boxes(fixtures: Iterable[Fixture], task: Task) -> dict[str, Tilted]:
    """Every box that a task may tilt, by its name.

    Args:
        fixtures: of a scene, in its order; those that cannot be tilted are left out.
        task: n rows; a box whose slope it does not name is level.

    Raises:
        BadArgumentError: a slope is not finite.
    """
    rises: dict[str | None, Array] = {None: np.zeros(len(task))}  # m, at the end of each box
    result = {}
    for box in fixtures:
        if not box.can_slope:
            continue
        name = slope_name(box.name)
        slope = task[name] if name in task.names else np.zeros(len(task))
        if not np.isfinite(slope).all():
            raise BadArgumentError(f"{name} must be finite, got {slope}")
        lift = rises[box.after]
        rises[box.name] = lift + 2 * box.size[0] * slope
        result[box.name] = _tilt(box, slope, lift)
    return result


def _tilt(box: Fixture, slope: Array, lift: Array) -> Tilted:
    """Tilt a box by slopes (n,) about its upper edge at the low x, which is lifted by (n,) m."""
    half_length, half_width, half_height = box.size
    cosine = 1 / np.sqrt(1 + slope**2)
    sine = slope * cosine
    half_turn = -np.arctan(slope) / 2  # about y, which turns x down
    zero = np.zeros_like(slope)
    rise = half_length * slope  # of the middle of the upper face
    forward = half_height * sine
    upward = lift + rise + half_height * (1 - cosine)
    longer = half_length / cosine
    return Tilted(
        shift=np.stack([forward, zero, upward], -1),
        quat=np.stack([np.cos(half_turn), zero, np.sin(half_turn), zero], -1),
        size=np.stack([longer, zero + half_width, zero + half_height], -1),
    )
