"""A Go1 keeps a commanded velocity on rough ground, with a hidden payload and weak legs."""

import numpy as np

from robots.camera import Camera
from robots.legged import JointPosition
from robots.rotations import quaternion_about_z, rotate_back
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task
from sim.families.commanded_velocity import CommandedVelocity, draw
from sim.go1 import GO1, LEGS, PARTS, TRUNK
from sim.randomization import Parameter, categorical, uniform
from sim.rough_ground import rough_ground

ROOT = 7  # positions of the free root: x, y, z and a quaternion
QUAT = slice(3, ROOT)
HEIGHT = 0.29  # m, of the trunk at the start
NOISE = 0.1  # rad, uniform ± of the joints at the start
HEADING = 0.2  # rad, uniform ± at the start
SCALE = 0.5  # rad, of an action of 1, as in MuJoCo Playground
DT = 0.02  # s
BUMPS = 0.06  # m, the highest
GROUND = rough_ground("bumps", BUMPS, center=(4.0, 0.0), size=(10.0, 5.0), level=(0.4, 1.2))
CAMERA = Camera("beside", (1.0, -1.5, 0.75), (0.0, 0.0, 0.2), follows=2)
ROUGHNESS = "fixture.bumps.z"
PAYLOAD = f"body.{TRUNK}.mass_scale"
STRENGTHS = tuple(f"actuator.{joint}" for joint in GO1.joints)

OBS = Spec.of(
    ("z", 0.1, 0.4, "m"),
    ("quat.w", -1, 1, "1"),
    ("quat.x", -1, 1, "1"),
    ("quat.y", -1, 1, "1"),
    ("quat.z", -1, 1, "1"),
    *(
        (joint, home - SCALE, home + SCALE, "rad")
        for joint, home in zip(GO1.joints, GO1.home.tolist(), strict=True)
    ),
    ("forward.velocity", -2, 2, "m/s"),
    ("left.velocity", -2, 2, "m/s"),
    ("up.velocity", -2, 2, "m/s"),
    ("roll.velocity", -8, 8, "rad/s"),
    ("pitch.velocity", -8, 8, "rad/s"),
    ("yaw.velocity", -8, 8, "rad/s"),
    *((f"{joint}.velocity", -20.0, 20.0, "rad/s") for joint in GO1.joints),
    ("command.forward", -1, 1, "m/s"),
    ("command.left", -1, 1, "m/s"),
)


class Go1Vel(CommandedVelocity):
    """Keep a commanded velocity, whatever the ground, the payload and the leg that is weak.

    The command is observed: a velocity forward and one to the left, in the trunk's frame. Hidden
    are the height of the ground's bumps, the factor of the trunk's mass (a payload of up to 5.2 kg;
    Unitree allows 5), which leg is weak, and the strength of its motors, a factor of their
    stiffness, damping and largest torque. An action is the target of each joint's servo, set 50
    times a second. The reward of the velocity is that of legged_gym (Rudin et al. 2022). The family
    itself is ours.
    """

    name = "go1_vel"
    body = GO1
    limits = GO1.limits
    scene = Scene(GO1, fixtures=(GROUND,), timestep=0.004, cameras=(CAMERA,))
    action = JointPosition(GO1, SCALE, DT)
    obs = OBS
    dt = DT
    tick = DT
    horizon = 500
    episodes = 2
    # the command (marker) is observed; the other numbers are hidden
    task_names = ("marker.x", "marker.y", ROUGHNESS, PAYLOAD, *STRENGTHS)
    parameters = (
        Parameter("command.forward", uniform(0.0, 1.0), "m/s", "velocity forward", (-2.0, 4.0)),
        Parameter("command.left", uniform(-0.3, 0.3), "m/s", "velocity to the left", (-2.0, 2.0)),
        Parameter(
            ROUGHNESS,
            uniform(0.0, 0.04),
            "m",
            "how far bumps rise from the ground",
            (0.0, BUMPS),
            heldout=uniform(0.04, BUMPS),
        ),
        Parameter(PAYLOAD, uniform(1.0, 2.0), "1", "factor of the trunk's mass", (0.1, 4.0)),
        # ours; the dead leg of GrBAL's ant has 0
        Parameter(
            "leg.strength", uniform(0.05, 0.3), "1", "factor of the weak leg's forces", (0.0, 2.0)
        ),
        Parameter(
            "leg.number",
            categorical(*range(len(LEGS))),
            "1",
            f"the weak leg, of {', '.join(LEGS)}",
            choices=tuple(range(len(LEGS))),
        ),
    )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """All numbers drawn uniformly; held-out ground is rougher, and combinations are others.

        In a held-out task one of payload and strength lies in the upper half of its range, in a
        training task none or both. Commands, and which leg is weak, are the same in both.
        """
        *numbers, leg = self.parameters
        drawn = draw(rng, n, tuple(numbers), ROUGHNESS, split)
        weak = leg.of(split).draw(rng, n).astype(np.int64)
        rows = np.arange(n)
        strengths = np.ones((n, len(LEGS)))
        strengths[rows, weak] = drawn[:, -1]
        by_motor = np.repeat(strengths, len(PARTS), 1)
        return Task(self.task_names, np.concatenate([drawn[:, :-1], by_motor], 1), rows)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Standing, nearly along x, with noise on the joints; at rest."""
        n = len(task)
        joints = len(GO1.joints)
        q = np.zeros((n, ROOT + joints))
        q[:, 2] = HEIGHT
        heading = rng.uniform(-HEADING, HEADING, n)
        q[:, QUAT] = quaternion_about_z(heading)
        noise = rng.uniform(-NOISE, NOISE, (n, joints))
        q[:, ROOT:] = GO1.home + noise
        return Start(q)

    def marker(self, task: Task) -> Array:
        """The command in the place of a target, (n, 3): m/s forward and left, and NaN."""
        command = task.columns("marker.x", "marker.y")
        return np.pad(command, ((0, 0), (0, 1)), constant_values=np.nan)

    def observe(self, signals: Signals) -> Array:
        """Height, attitude, joints, velocities in the trunk's frame, and the command."""
        velocity = rotate_back(signals.dq[:, :3], signals.q[:, QUAT])
        parts = (signals.q[:, 2:], velocity, signals.dq[:, 3:], signals.marker[:, :2])
        return np.concatenate(parts, 1)
