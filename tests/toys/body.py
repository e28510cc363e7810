"""A toy family on a new kind of body: a cart on a rail that is pushed by a force."""

from dataclasses import dataclass

import mujoco
import numpy as np

from robots.actions import JointTorque
from robots.arm import Body, Limits
from robots.bodies import Gate, make_gate
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec, Torque
from robots.torque_gate import TorqueGate
from robots.world import Start, Task
from sim.engines.base import require_command
from sim.engines.ideal import follows_setpoints
from sim.engines.mujoco_control import actuator_control
from sim.families.base import BaseFamily
from sim.scene_model import body_model

ONE = np.ones(1)
LIMITS = Limits(
    q_low=-10 * ONE,
    q_high=10 * ONE,
    dq=10 * ONE,
    ddq=100 * ONE,
    jerk=1e4 * ONE,
    tau=5 * ONE,
    tool_box=np.array([[-10.0, 10.0]] * 3),
    tool_speed=10.0,
    force=5.0,
    deadline=0.25,
)


@dataclass(frozen=True)
class Cart(Body):
    """A mass on a rail."""

    mass: float  # kg


CART = Cart("toy-cart", ("x",), np.zeros(1), LIMITS, mass=2.0)


@make_gate.register
def _(body: Cart, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)


@follows_setpoints.register
def _(body: Cart) -> bool:
    return False


@body_model.register
def _(body: Cart) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    cart = spec.worldbody.add_body(name=body.name)
    cart.add_geom(size=[0.1, 0.1, 0.1], type=mujoco.mjtGeom.mjGEOM_BOX, mass=body.mass)
    cart.add_joint(name="x", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
    spec.add_actuator(name="x", target="x", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    return spec


@actuator_control.register
def _(body: Cart, command: Torque, model: mujoco.MjModel, substeps: int) -> Array:
    force = require_command(body, command, Torque)
    return np.repeat(force.tau[:, :, None], substeps, 2)


class Push(BaseFamily):
    """Push the cart to a place that is not observed."""

    name = "toy_cart"
    body = CART
    limits = LIMITS
    scene = Scene(CART, timestep=0.01)
    action = JointTorque(CART)
    obs = Spec.of(("x", -2.0, 2.0, "m"), ("x.velocity", -2.0, 2.0, "m/s"))
    dt = 0.1
    tick = 0.05
    horizon = 5
    episodes = 2
    task_names = ("goal.x",)
    hidden_reward = True

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        low = 0.0 if split == "train" else -1.0
        return Task(self.task_names, rng.uniform(low, low + 1.0, (n, 1)), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        return Start(np.zeros((len(task), 1)))

    def observe(self, signals: Signals) -> Array:
        return np.concatenate([signals.q, signals.dq], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        return -abs(next_obs[..., 0] - task[..., 0])

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        return abs(obs[..., 0] - task[..., 0]) <= 0.1

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        return {"distance_m": abs(obs[..., 0] - task[..., 0])}
