"""Fixtures whose place, slope and friction a task says. Axes: n tasks.

``fixture.NAME.x``, ``.y`` and ``.z`` replace the position of the fixture NAME, m in the world.

``fixture.NAME.slope`` pitches a box, and lifts those after it: see ``sim.slopes``.

``fixture.friction`` replaces the friction of all fixtures that the body touches.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Mask
from robots.world import Task
from sim.slopes import slope_name, tilted_boxes

PREFIX = "fixture"
FRICTION = f"{PREFIX}.friction"
AXES = ("x", "y", "z")
FIXTURE_FIELDS = (
    "geom_pos",
    "geom_quat",
    "geom_size",
    "geom_rbound",
    "geom_aabb",
    "geom_friction",
    "pair_friction",
)  # of the model, that ``write`` changes


@dataclass(frozen=True)
class Coordinate:
    """One task parameter, and the geom and axis that it places."""

    parameter: str
    geom: int
    axis: int


class FixtureFields:
    """Writes the fixtures of tasks into fields of a scene's model."""

    def __init__(self, scene: Scene, model: mujoco.MjModel, can_slope: bool = True) -> None:
        """Find the scene's fixtures in its model; an engine may refuse slopes."""
        self._boxes = [item for item in scene.fixtures if can_slope and item.can_slope]
        self._slopes = {slope_name(item.name) for item in self._boxes}
        self.geoms: dict[str, int] = {}
        self._shifts: dict[int, Array] = {}  # (3,) m, of a height field's frame to its lowest point
        for fixture in scene.fixtures:
            number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, fixture.name)
            if number >= 0:  # the model leaves out what nothing can touch
                self.geoms[fixture.name] = number
                self._shifts[number] = model.geom_pos[number] - fixture.position
        is_touched = {item.name: item.touches_body for item in scene.fixtures}
        touched = [number for name, number in self.geoms.items() if is_touched[name]]
        self.touched: NDArray[np.int64] = np.array(touched, dtype=np.int64)
        first = model.pair_geom1
        second = model.pair_geom2
        is_arm = ~np.isin(np.arange(model.ngeom), list(self.geoms.values()))
        # of a geom of the body with a fixture: for each pair, the geom that is no fixture
        self._pairs: Mask = np.isin(first, self.touched) ^ np.isin(second, self.touched)
        self._others = np.where(is_arm[first], first, second)[self._pairs]

    def find(self, names: tuple[str, ...]) -> list[Coordinate]:
        """The coordinates among a task's parameters.

        Raises:
            BadArgumentError: a parameter of fixtures is none that can be set.
        """
        found = []
        for name in names:
            kind, *words = name.split(".")
            if kind != PREFIX or name == FRICTION or name in self._slopes:
                continue
            is_known = len(words) == 2 and words[0] in self.geoms and words[1] in AXES
            if not is_known:
                raise BadArgumentError(
                    f"{name} is no number of a fixture here: there are {FRICTION}, and"
                    f" {PREFIX}.NAME.x, .y and .z with the NAME {' or '.join(self.geoms)}"
                )
            found.append(Coordinate(name, self.geoms[words[0]], AXES.index(words[1])))
        return found

    def write(self, values: dict[str, Array], task: Task) -> None:
        """Overwrite fields of the model.

        Args:
            values: each of ``FIXTURE_FIELDS``, (n, ...), the model's own; changed in place.
            task: n rows.

        Raises:
            BadArgumentError: see ``find``; also for a negative friction and an infinite slope.
        """
        for place in self.find(task.names):
            shift = self._shifts[place.geom][place.axis]
            values["geom_pos"][:, place.geom, place.axis] = task[place.parameter] + shift
        if not self._slopes.isdisjoint(task.names):
            self._write_slopes(values, task)
        if FRICTION not in task.names:
            return
        friction = task[FRICTION]
        if not (friction >= 0).all():
            raise BadArgumentError(f"{FRICTION} must not be negative, got {friction.min()}")
        sliding = values["geom_friction"][:, :, 0]
        sliding[:, self.touched] = friction[:, None]
        product = sliding[:, self._others] * friction[:, None]
        values["pair_friction"][:, self._pairs, :2] = product[..., None]

    def _write_slopes(self, values: dict[str, Array], task: Task) -> None:
        """Tilt boxes, and lift those that follow them."""
        for name, box in tilted_boxes(self._boxes, task).items():
            if name not in self.geoms:
                continue
            geom = self.geoms[name]
            values["geom_pos"][:, geom] += box.shift
            values["geom_quat"][:, geom] = box.quat
            values["geom_size"][:, geom] = box.size
            values["geom_rbound"][:, geom] = np.linalg.norm(box.size, axis=-1)
            values["geom_aabb"][:, geom, 3:] = box.size  # half extents, after the center
