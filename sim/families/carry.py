"""Follow a known path with an unknown payload, on an arm with low servo gains.

Five hidden parameters determine how far the tool sags and lags behind its command: the payload's
mass and center of mass, the servos' gain, the viscous friction in the joints, and the latency of
actions. Only the arm itself is measured, so no cameras are needed.
"""

from collections.abc import Mapping

import numpy as np

from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.kinematics import GRAVITY
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.tool_position import ToolPosition
from robots.world import Start, Task
from sim.families.base import BaseFamily, require_zone
from sim.families.splits import checkerboard
from sim.loaded_arm import MAX_OFFSET, PARTS, LoadedArm, load_arm, mass_scales, static_sag
from sim.randomization import Parameter, log_uniform, uniform, values_at

AXES = ("x", "y", "z")
# The heaviest payload takes this share of the strongest joint's torque with the tool in the middle
# of the zone: 2.1 kg on a Panda, 3.5 kg on a UR5e and 0.6 kg on a ViperX, below the rated payloads
# (3, 5 and 0.75 kg). Joints then stay within 0.13 rad of their setpoints under the actions of
# tests/sim/test_carry.py, which jump between extremes; the watchdog's limit is 0.15 rad.
LOAD_SHARE = 0.11
LOWEST_GAIN = 0.8  # factor of the servos' gains
LARGEST_COM = 0.08  # m
# In motion the tool sags farther than at rest: under actions that jump between the corners of their
# box by 1.45 times as much, on every arm (tests/sim/test_carry.py).
OVERSHOOT = 1.5
SIZE = 0.4  # of the box that paths lie in, as a share of the zone's
MARGIN = 0.05  # m, from the box of paths to the end of the tool's box: to lead the path
LIFT = 0.14  # m, above the box of paths: to make up for the sag
TOLERANCE = 0.15  # of the mean error, as a share of ``ReachZone.goal_radius``
PERIOD = 4.0  # s of a round
RAMP = 1.0  # s, in which the reference reaches its speed
AHEAD = (0.3, 0.6, 0.9)  # s, how far ahead the path is known: after one, two, three decisions
MAX_ERROR = 0.3  # m, larger errors count as this one: the reward stays bounded
ERROR = slice(6, 9)  # columns error.x, error.y and error.z of the observation

COM = Parameter(
    "payload.com",
    uniform(-LARGEST_COM, LARGEST_COM),
    "m",
    "of the center of mass from the tool, away from the base",
    (-MAX_OFFSET, MAX_OFFSET),
)
GAIN = Parameter(
    "actuator.strength",
    log_uniform(LOWEST_GAIN, 1.6),
    "1",
    "factor of the servos' stiffness, damping and torque",
    # with lower gains joints would be too far from their setpoints; PyBullet is tested up to 2
    (LOWEST_GAIN, 2.0),
)
FRICTION = Parameter(
    "joint.damping_scale",
    log_uniform(0.25, 2.0),
    "1",
    "factor of the joints' viscous friction",
    (0.01, 5.0),  # PyBullet is tested up to 5
)
LATENCY = Parameter(
    "disturbance.latency",
    uniform(0.0, 0.2),
    "s",
    "from an action to its effect",
    (0.0, 1.0),
)
PHYSICS = 5  # parameters, the first ones: the others are the path's


class Carry(BaseFamily):
    """Follow a known path with an unknown payload at low gains; the reward is minus the error.

    An action is a target position of the tool, which the tool does not reach: it sags and lags. The
    path is an ellipse from the middle of the zone to the task's marker and back. The marker sets
    its size, direction and speed, and the path is observed up to 0.9 s ahead.
    """

    name = "carry"
    dt = 0.1
    # A decision lasts longer than the latency, so its effect is observed before the next one.
    action_repeat = 3
    tick = 0.05
    horizon = 16
    episodes = 3
    task_names = (
        *(f"body.{part}.mass_scale" for part in PARTS),
        "actuator.strength",
        "joint.damping_scale",
        "disturbance.latency",
        "marker.x",
        "marker.y",
        "marker.z",
    )

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the loaded arm, its tool box, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no reach zone, or one so low that the
                heaviest payload would sag below the arm's tool box; or the arm has a gripper.
        """
        zone = require_zone(arm, arm.reach_zone, "reach_zone")
        if arm.gripper is not None:
            raise BadArgumentError(
                f"{arm.name!r} has a gripper; carry fixes its payload to an arm's own tool"
            )
        self.zone = zone
        self.ready = zone.ready
        self.tolerance = TOLERANCE * zone.goal_radius
        low = zone.center - SIZE * zone.half_range
        high = zone.center + SIZE * zone.half_range
        self.half_width = np.array([SIZE * zone.half_range[0] / 2, 0.0, 0.0])  # m, of the path
        distance = float(np.linalg.norm(zone.center[:2]))
        heaviest = LOAD_SHARE * float(arm.limits.tau.max()) / (GRAVITY * distance)
        self.parameters = (_mass(heaviest), COM, GAIN, FRICTION, LATENCY, *_markers(low, high))
        self.body = load_arm(arm, heaviest / 2, zone.ready)
        self.scene = Scene(self.body, timestep=0.005)
        box = np.stack([low - MARGIN, high + MARGIN], -1)
        box[2, 0] = max(box[2, 0], _lowest_setpoint(self.body, heaviest))
        box[2, 1] = high[2] + LIFT
        if box[2, 0] > low[2]:
            raise BadArgumentError(
                f"{arm.name!r}: paths begin {low[2]:.3f} m above the base, but with the heaviest "
                f"payload the tool must be sent no lower than {box[2, 0]:.3f} m: its reach_zone "
                "has to be higher"
            )
        self.limits = arm.limits.narrowed(box)
        self.action = ToolPosition(self.body, self.limits, box, 0.4 * zone.speed, time=self.dt)
        self.obs = _observation(box, zone.speed)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Physics on the split's fields of a checkerboard, two fields along each axis; any path.

        Held-out physics combine halves of the ranges in ways that no training task does.
        """
        physics = checkerboard(rng, n, PHYSICS, split, fields=2)
        path = rng.random((n, len(AXES)))
        shares = np.concatenate([physics, path], 1)
        values = values_at(self.parameters, shares)
        mass = values[:, 0]
        center = values[:, 1]
        others = values[:, 2:]
        scales = mass_scales(self.body, mass, center)
        numbers = np.concatenate([scales, others], 1)
        return Task(self.task_names, numbers, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Always the same posture, with the tool in the middle of the zone."""
        return Start(np.tile(self.ready, (len(task), 1)))

    def marker(self, task: Task) -> Array:
        """The far end of the path."""
        return task.columns("marker.x", "marker.y", "marker.z")

    def reference(self, time: Array, marker: Array) -> Array:
        """The reference position of the tool.

        With half the vector to the marker d and half the width e, both (3,):
        center + d·(1 - cos θ) + e·sin θ. The angle θ grows uniformly after ``RAMP``.

        Args:
            time: (n,) s since the episode began.
            marker: (n, 3) m.

        Returns:
            Position (n, 3) m.
        """
        center = self.zone.center
        along = (marker - center) / 2
        ramp = np.clip(time / RAMP, 0.0, 1.0)
        behind = RAMP * ramp * (1 - ramp / 2)  # s, by which the ramp delays the reference
        rate = 2 * np.pi / PERIOD
        angle = rate * (time - behind)
        cosine = np.cos(angle)[:, None]
        sine = np.sin(angle)[:, None]
        position: Array = center + along * (1 - cosine) + self.half_width * sine
        return position

    def observe(self, signals: Signals) -> Array:
        """The tool's position and velocity, its error, and the reference ahead, (n, 18)."""
        now = self.reference(signals.stamp, signals.marker)
        error = now - signals.tool_pos
        columns = [signals.tool_pos, signals.tool_vel, error]
        for ahead in AHEAD:
            later = signals.stamp + ahead
            columns.append(self.reference(later, signals.marker))
        return np.concatenate(columns, 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance from the tool to the reference, m."""
        return -_error(next_obs).clip(max=MAX_ERROR)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within ``tolerance`` m of the reference; for an episode, in the mean over decisions."""
        return _error(obs) <= self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance from the tool to the reference; for an episode, its mean over the decisions."""
        return {"error_m": _error(obs)}

    def episode_success(self, metrics: Mapping[str, ArrayLike]) -> ArrayLike:
        """Within ``tolerance`` m of the reference in the mean over an episode's decisions."""
        return metrics["error_m"] <= self.tolerance


def _lowest_setpoint(body: LoadedArm, heaviest: float) -> float:
    """The lowest z of the tool's setpoint, m, with which it does not sag below the arm's box."""
    assert body.reach_zone is not None, "require_zone has seen to it"
    sag = static_sag(body, body.reach_zone.ready, heaviest, LARGEST_COM, LOWEST_GAIN)
    bottom = float(body.limits.tool_box[2, 0])
    return bottom + OVERSHOOT * sag


def _mass(heaviest: float) -> Parameter:
    """The payload's mass: ``heaviest`` kg at most; with a heavier one the arm sags too far."""
    train = uniform(0.1 * heaviest, heaviest)
    return Parameter("payload.mass", train, "kg", "of the payload", (0.001, heaviest))


def _markers(low: Array, high: Array) -> tuple[Parameter, ...]:
    """Where the far end of the path lies along each axis, in a box from ``low`` to ``high``."""
    markers = []
    for axis, lowest, highest in zip(AXES, low.tolist(), high.tolist(), strict=True):
        train = uniform(lowest, highest)
        allowed = (lowest, highest)
        name = f"marker.{axis}"
        markers.append(Parameter(name, train, "m", "of the far end of the path", allowed))
    return tuple(markers)


def _observation(box: Array, speed: float) -> Spec:
    """The columns of an observation, for a tool box (3, 2) m and a speed in m/s."""
    bounds = list(zip(AXES, box.tolist(), strict=True))
    half = MAX_ERROR / 2
    columns = [(f"tool.{axis}", low, high, "m") for axis, (low, high) in bounds]
    columns += [(f"tool.v{axis}", -speed, speed, "m/s") for axis in AXES]
    columns += [(f"error.{axis}", -half, half, "m") for axis in AXES]
    for ahead in AHEAD:
        milliseconds = round(1000 * ahead)
        for axis, (low, high) in bounds:
            columns.append((f"in_{milliseconds}ms.{axis}", low, high, "m"))
    return Spec.of(*columns)


def _error(obs: ArrayLike) -> ArrayLike:
    """From the tool to the reference, m (...,)."""
    return (obs[..., ERROR] ** 2).sum(-1) ** 0.5
