"""Strike an object of unknown friction, mass, restitution, size and shape so that it comes to rest on a target.

The target lies out of the arm's reach and the tool is stopped at a line, so there is one strike; what the object
does after it tells what it is. Distance slid ~ (tool speed · (1 + restitution))² / (2 · friction · g).
"""

from typing import Any

import numpy as np

from robots.actions import ToolVelocity
from robots.catalog.panda import PANDA
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task

START = (0.50, 0.0)  # m, where the object stands
TOOL = (0.33, 0.0, 0.03)  # m, where the tool begins
LINE = 0.62  # m, no tool beyond
READY = np.array([0.0, 0.05, 0.0, -2.93, 0.0, 2.98, 0.0])  # rad, the tool at TOOL, pointing down


class Slide:
    """One strike an episode; the same object and target in every episode of a trial."""

    name = "slide"
    body = PANDA
    limits = PANDA.limits.narrowed(np.array([[0.25, LINE], [-0.15, 0.15], [0.02, 0.2]]))
    scene = Scene(PANDA, loose_object=True, timestep=0.002)
    engines = ("mujoco", "bullet")
    action = ToolVelocity(PANDA, limits, {"x": (0.0, 1.1), "y": (-0.3, 0.3)}, TOOL)
    dt = 0.1
    tick = 0.01
    horizon = 20
    episodes = 3
    hidden_reward = False
    task_names = (
        "object.shape",
        "object.size_x",
        "object.size_y",
        "object.size_z",
        "object.mass",
        "object.friction",
        "object.restitution",
        "object.com_y",
        "marker.x",
        "marker.y",
    )
    obs = Spec(
        (
            "tool.x",
            "tool.y",
            "tool.vx",
            "tool.vy",
            "object.x",
            "object.y",
            "object.vx",
            "object.vy",
            "object.sin_yaw",
            "object.cos_yaw",
            "object.spin",
            "target.x",
            "target.y",
        ),
        np.array([0.25, -0.15, -1.2, -0.4, 0.4, -0.3, -1.6, -0.8, -1, -1, -15, 0.85, -0.15]),
        np.array([0.65, 0.15, 1.2, 0.4, 1.4, 0.3, 1.6, 0.8, 1, 1, 15, 1.1, 0.15]),
        ("m", "m", "m/s", "m/s", "m", "m", "m/s", "m/s", "1", "1", "rad/s", "m", "m"),
    )
    rest = 0.05  # m, this close to the target is a success
    far = 0.6  # m, further off counts the same: a reward stays bounded

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Objects and targets; held-out objects are slipperier or rougher, and of shapes never trained on."""
        if split not in ("train", "heldout"):
            raise ValueError(f"split must be train or heldout, got {split!r}")
        train = split == "train"
        shape = rng.choice([0, 1] if train else [2, 3, 4], n)
        low, high = np.log(0.05), np.log(0.13)
        friction = rng.uniform(low, high, n)
        if not train:  # outside on either side
            friction = np.where(
                rng.random(n) < 0.5,
                rng.uniform(np.log(0.04), low, n),
                rng.uniform(high, np.log(0.155), n),
            )
        values = np.stack(
            [
                shape,
                rng.uniform(0.03, 0.05, n) if train else rng.uniform(0.05, 0.055, n),
                rng.uniform(0.03, 0.06, n) if train else rng.uniform(0.06, 0.065, n),
                rng.uniform(0.018, 0.025, n),
                rng.uniform(0.2, 0.5, n) if train else rng.uniform(0.15, 0.2, n),
                np.exp(friction),
                rng.uniform(0.2, 0.6, n),
                rng.uniform(-0.005, 0.005, n),
                START[0] + rng.uniform(0.4, 0.5, n),
                rng.uniform(-0.08, 0.08, n),
            ],
            -1,
        )
        return Task(self.task_names, values, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The object at its mark, to a millimetre; the tool behind it."""
        n = len(task)
        pos = np.concatenate(
            [START + rng.normal(0, 1e-3, (n, 2)), task.columns("object.size_z")], 1
        )
        return Start(np.tile(READY, (n, 1)), None, pos, np.tile([1.0, 0, 0, 0], (n, 1)))

    def marker(self, task: Task) -> Array:
        """The target, on the table."""
        return np.concatenate([task.columns("marker.x", "marker.y"), np.zeros((len(task), 1))], 1)

    def observe(self, signals: Signals) -> Array:
        """Tool, object and target in the plane, (n, 13)."""
        s, (_, _, _, z) = signals, signals.object_quat.T
        w = s.object_quat[:, 0]
        yaw = 2 * np.arctan2(z, w)
        columns = (
            s.tool_pos[:, :2],
            s.tool_vel[:, :2],
            s.object_pos[:, :2],
            s.object_vel[:, :2],
            np.stack([np.sin(yaw), np.cos(yaw), s.object_vel[:, 5]], 1),
            s.marker[:, :2],
        )
        return np.concatenate(columns, 1)

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """Progress towards the target as a share of its distance from the mark: 1 in all for coming to rest on it."""
        reach = ((obs[..., 11] - START[0]) ** 2 + (obs[..., 12] - START[1]) ** 2) ** 0.5
        return (self._off(obs) - self._off(next_obs)) / reach

    def success(self, obs: Any, task: Any) -> Any:
        """Within 5 cm of the target, and at rest."""
        speed = (obs[..., 6] ** 2 + obs[..., 7] ** 2) ** 0.5
        return (self._off(obs) <= self.rest) & (speed < 0.02)

    def terminated(self, obs: Any) -> Any:
        """Never: the object is watched until it rests."""
        return obs[..., 0] != obs[..., 0]

    def _off(self, obs: Any) -> Any:
        distance = ((obs[..., 4] - obs[..., 11]) ** 2 + (obs[..., 5] - obs[..., 12]) ** 2) ** 0.5
        return distance.clip(max=self.far)
