"""A body of dm_control's suite, what is measured of it, and what its actions mean.

Axes: n worlds, j motors.
"""

from dataclasses import dataclass

import numpy as np

from robots.arm import Body, Limits
from robots.bodies import Gate, make_gate
from robots.signals import Array, Setpoint, Signals, Spec
from robots.torque_gate import TorqueGate
from sim.engines.ideal import follows_setpoints
from sim.families.gymnasium_bodies import torque_limits


@dataclass(frozen=True)
class SuiteBody(Body):
    """The body of a task of dm_control's suite.

    Its ``joints`` are its motors, by name: they may drive tendons, and other joints have none.
    A ``Torque`` of a motor is its control signal in [-1, 1], without a unit. In ``Signals``, q and
    dq are all of MuJoCo's qpos and qvel.
    """

    domain: str
    task: str


def suite_body(domain: str, task: str, motors: tuple[str, ...]) -> SuiteBody:
    """A body by its names."""
    one = np.ones(len(motors))
    limits = torque_limits(q_low=-one, q_high=one, tau=one)
    return SuiteBody(
        name=f"{domain}-{task}",
        joints=motors,
        home=np.zeros(len(motors)),
        limits=limits,
        domain=domain,
        task=task,
    )


@make_gate.register
def _(body: SuiteBody, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)


@follows_setpoints.register
def _(body: SuiteBody) -> bool:
    return False


@dataclass(frozen=True)
class SuiteSignals(Signals):
    """With what dm_control's tasks read beside positions and velocities."""

    sensors: Array | None = None  # (n, s), MuJoCo's sensordata
    control: Array | None = None  # (n, j) in [-1, 1], the motors' present control signals
    activation: Array | None = None  # (n, a), the motors' internal states, where they have any


class MotorControl:
    """Each motor's control signal in [-1, 1], as dm_control and metaworld take it."""

    def __init__(self, body: Body) -> None:
        columns = [(f"{motor}.control", -1.0, 1.0, "1") for motor in body.joints]
        self.spec = Spec.of(*columns)

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, j), clipped to [-1, 1]."""
        return np.clip(action, -1, 1)

    def standstill(self, setpoint: Setpoint) -> Array:
        """No control signal, (n, j)."""
        return np.zeros((len(setpoint.q), len(self.spec)))
