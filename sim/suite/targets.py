"""The targets of the suite's tasks: where they are drawn, and where in a model they are.

dm_control draws a target in ``initialize_episode``, a new one in each episode, and writes it into
its model. Here it belongs to the task, as every visible target does: one for all its episodes,
drawn from the same distribution. Axes: n tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from robots.signals import Array

MARKER = ("marker.x", "marker.y", "marker.z")  # m, of a target's place in the world
Draw = Callable[[np.random.Generator, int], Array]

FINGER_RADIUS = 0.13  # m, half length and radius of the spinner's longer capsule
FINGER_HINGE = np.array([0.2, 0.0, 0.4])  # m
OBJECTS = {
    "body": mujoco.mjtObj.mjOBJ_BODY,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
    "site": mujoco.mjtObj.mjOBJ_SITE,
}
CLOSE_SHARE = 0.2  # of a swimmer's targets, which are in the smaller box


@dataclass(frozen=True)
class Target:
    """The visible target of a task."""

    kind: str  # "body", "geom" or "site"
    element: str  # its name
    draw: Draw  # n places, (n, 3) m

    def place(self, model: mujoco.MjModel, where: Array) -> None:
        """Write a place (3,) m into a model; a body, which has a direction, is not turned."""
        kind = OBJECTS[self.kind]
        number = mujoco.mj_name2id(model, kind, self.element)
        places = getattr(model, f"{self.kind}_pos")
        places[number] = where[:3]
        if self.kind == "body":
            model.body_quat[number] = [1, 0, 0, 0]


def _reacher(rng: np.random.Generator, n: int) -> Array:
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = rng.uniform(0.05, 0.2, n)
    x = radius * np.sin(angle)
    y = radius * np.cos(angle)
    z = np.full(n, 0.01)
    return np.stack([x, y, z], -1)


def _finger(rng: np.random.Generator, n: int) -> Array:
    angle = rng.uniform(-np.pi, np.pi, n)
    x = np.sin(angle)
    y = np.zeros(n)
    z = np.cos(angle)
    direction = np.stack([x, y, z], -1)
    return FINGER_HINGE + FINGER_RADIUS * direction


def _fish(rng: np.random.Generator, n: int) -> Array:
    low = [-0.4, -0.4, 0.1]
    high = [0.4, 0.4, 0.3]
    return rng.uniform(low, high, (n, 3))


def _swimmer(rng: np.random.Generator, n: int) -> Array:
    is_close = rng.random(n) < CLOSE_SHARE
    half_width = np.where(is_close, 0.3, 2.0)
    x = rng.uniform(-half_width, half_width)
    y = rng.uniform(-half_width, half_width)
    z = np.full(n, 0.05)
    return np.stack([x, y, z], -1)


def _manipulator(rng: np.random.Generator, n: int) -> Array:
    low = [-0.4, 0.001, 0.1]
    high = [0.4, 0.001, 0.4]
    return rng.uniform(low, high, (n, 3))


REACHER = Target("geom", "target", _reacher)
FINGER = Target("site", "target", _finger)
SWIMMER = Target("geom", "target", _swimmer)
TARGETS = {
    "finger-turn_easy": FINGER,
    "finger-turn_hard": FINGER,
    "fish-swim": Target("geom", "target", _fish),
    "manipulator-bring_ball": Target("body", "target_ball", _manipulator),
    "reacher-easy": REACHER,
    "reacher-hard": REACHER,
    "swimmer-swimmer6": SWIMMER,
    "swimmer-swimmer15": SWIMMER,
}
