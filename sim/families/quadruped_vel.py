"""A quadruped keeps a commanded velocity on hidden ground, with a hidden payload and weak legs.

The body is that of dm_control's suite (its ``quadruped-walk``), read from the installed package:
107 kg, 12 motors with a filter of 0.1 s, control at 50 Hz. The ground is the x-y plane; a slope is
simulated by a gravity that is tilted against it, which is the same physics. Rough ground is a
height field that is lifted out of the plane, so that more and higher bumps rise from it.
"""

from functools import cache
from typing import cast

import numpy as np

from robots.camera import Camera
from robots.rotations import quaternion_about_z
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task
from sim.families.commanded_velocity import CommandedVelocity, draw
from sim.randomization import Parameter, uniform
from sim.rough_ground import rough_ground
from sim.suite.body import MotorControl, SuiteSignals, suite_body
from sim.suite.control_task import ControlTask
from sim.suite.factors import SLOPE_X, SLOPE_Y, density_name

LEGS = ("front_left", "front_right", "back_right", "back_left")
JOINTS = tuple(f"{part}_{leg}" for leg in LEGS for part in ("yaw", "pitch", "knee", "ankle"))
MOTOR_PARTS = ("yaw", "lift", "extend")
MOTORS = tuple(f"{part}_{leg}" for leg in LEGS for part in MOTOR_PARTS)
ROOT = 7  # positions of the free root: x, y, z and a quaternion
QUAT = slice(3, ROOT)
VELOCIMETER = slice(6, 9)  # of the sensors, m/s in the torso's frame
HEIGHT = 0.57  # m, of the torso at the start, in the model
NOISE = 0.1  # rad, uniform ± of the joints at the start
HEADING = 0.2  # rad, uniform ± at the start
BUMPS = 0.12  # m, the highest
ROUGHNESS = "fixture.bumps.z"

GROUND = rough_ground("bumps", BUMPS, center=(4.0, 0.0), size=(10.0, 6.0), level=(0.9, 1.9))

CAMERA = Camera("beside", (2.0, -3.2, 1.9), (0.3, 0.0, 0.3), follows=2)

OBS = Spec.of(
    ("z", 0.2, 0.8, "m"),
    ("quat.w", -1, 1, "1"),
    ("quat.x", -1, 1, "1"),
    ("quat.y", -1, 1, "1"),
    ("quat.z", -1, 1, "1"),
    *((joint, -1.0, 1.0, "rad") for joint in JOINTS),
    ("forward.velocity", -2, 2, "m/s"),
    ("left.velocity", -2, 2, "m/s"),
    ("up.velocity", -2, 2, "m/s"),
    ("roll.velocity", -4, 4, "rad/s"),
    ("pitch.velocity", -4, 4, "rad/s"),
    ("yaw.velocity", -4, 4, "rad/s"),
    *((f"{joint}.velocity", -8.0, 8.0, "rad/s") for joint in JOINTS),
    *((f"{motor}.activation", -1.0, 1.0, "1") for motor in MOTORS),
    ("command.forward", -1, 1, "m/s"),
    ("command.left", -1, 1, "m/s"),
)


@cache
def _timestep() -> float:
    """dm_control's, s; to load its model takes as long as to build a hundred other families."""
    return float(ControlTask("quadruped", "walk").model.opt.timestep)


def _strength(leg: str) -> Parameter:
    """The strength of a leg: one factor of the forces of its motors."""
    meaning = f"factor of the forces of the {leg.replace('_', ' ')} leg's motors"
    # ours; the dead leg of GrBAL's ant has 0
    return Parameter(f"leg.{leg}.strength", uniform(0.2, 1.0), "1", meaning, (0.05, 2.0))


class QuadrupedVel(CommandedVelocity):
    """Keep a commanded velocity, whatever the slope, the payload and the strength of each leg.

    The command is observed: a velocity forward and one to the left, in the torso's frame. Hidden
    are the slope of the ground along x and y, the height of its bumps, the factor of the torso's
    mass (a payload of up to 34 kg) and the strength of each leg, a factor of the forces of its
    motors. The reward of the velocity is that of legged_gym (Rudin et al. 2022). The family itself
    is ours.
    """

    name = "quadruped_vel"
    obs = OBS
    dt = 0.02
    tick = 0.02
    horizon = 500
    episodes = 2
    # the command (marker) is observed; the other numbers are hidden
    task_names = (
        "marker.x",
        "marker.y",
        SLOPE_X,
        SLOPE_Y,
        ROUGHNESS,
        density_name("torso"),
        *(f"actuator.{motor}" for motor in MOTORS),
    )
    parameters = (
        Parameter("command.forward", uniform(0.0, 1.0), "m/s", "velocity forward", (-2.0, 4.0)),
        Parameter("command.left", uniform(-0.3, 0.3), "m/s", "velocity to the left", (-2.0, 2.0)),
        Parameter(SLOPE_X, uniform(-0.2, 0.2), "1", "rise of the ground per meter of x", (-1, 1)),
        Parameter(SLOPE_Y, uniform(-0.2, 0.2), "1", "rise of the ground per meter of y", (-1, 1)),
        Parameter(
            ROUGHNESS,
            uniform(0.0, 0.08),
            "m",
            "how far bumps rise from the ground",
            (0.0, BUMPS),
            heldout=uniform(0.08, BUMPS),
        ),
        Parameter(
            density_name("torso"), uniform(1.0, 1.5), "1", "factor of the torso's mass", (0.1, 5.0)
        ),
        *map(_strength, LEGS),
    )

    def __init__(self) -> None:
        """On dm_control's quadruped, with its time step."""
        body = suite_body("quadruped", "walk", MOTORS)
        self.body = body
        self.limits = body.limits
        self.scene = Scene(body, fixtures=(GROUND,), timestep=_timestep(), cameras=(CAMERA,))
        self.action = MotorControl(body)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """All numbers drawn uniformly; held-out ground is rougher, and combinations are others.

        In a held-out task an odd number of slopes, payload and strengths lie in the upper halves of
        their ranges, in a training task an even number. Commands are the same in both.
        """
        drawn = draw(rng, n, self.parameters, ROUGHNESS, split)
        others = drawn[:, : -len(LEGS)]
        by_leg = drawn[:, -len(LEGS) :]
        by_motor = np.repeat(by_leg, len(MOTOR_PARTS), 1)
        return Task(self.task_names, np.concatenate([others, by_motor], 1), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Upright, nearly along x, with noise on the joints; at rest."""
        n = len(task)
        q = np.zeros((n, ROOT + len(JOINTS)))
        q[:, 2] = HEIGHT
        heading = rng.uniform(-HEADING, HEADING, n)
        q[:, QUAT] = quaternion_about_z(heading)
        q[:, ROOT:] = rng.uniform(-NOISE, NOISE, (n, len(JOINTS)))
        return Start(q)

    def marker(self, task: Task) -> Array:
        """The command, (n, 3) m/s forward, left and up, in the place of a target."""
        return np.pad(task.columns("marker.x", "marker.y"), ((0, 0), (0, 1)))

    def observe(self, signals: Signals) -> Array:
        """Height, attitude, joints, velocities, the motors' activations, and the command."""
        measured = cast(SuiteSignals, signals)
        assert measured.sensors is not None
        assert measured.activation is not None
        parts = (
            measured.q[:, 2:],
            measured.sensors[:, VELOCIMETER],
            measured.dq[:, 3:],
            measured.activation,
            measured.marker[:, :2],
        )
        return np.concatenate(parts, 1)
