"""A new kind of body takes one file: this one defines a cart, registers its answers and runs it."""

from dataclasses import dataclass

import mujoco
import numpy as np
import pytest

from robots.actions import JointTorque
from robots.arm import Body, Limits
from robots.bodies import Gate, make_gate
from robots.errors import BadArgumentError
from robots.safety import TorqueGate
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Setpoint, Signals, Spec, Torque
from robots.world import Start, Task
from sim.engines import engine_for
from sim.engines.base import require_command
from sim.engines.ideal import follows_setpoints
from sim.engines.mujoco_control import actuator_control
from sim.families.base import BaseFamily
from sim.rendering import SIZE, render_frame
from sim.scene_model import body_model
from sim.vec_world import VecWorld

ONE = np.ones(1)
MAX_FORCE = 5.0  # N
N = 3


@dataclass(frozen=True)
class Cart(Body):
    """A mass on a rail, pushed by a force."""

    mass: float  # kg


CART = Cart(
    name="cart",
    joints=("rail",),
    home=np.zeros(1),
    limits=Limits(
        q_low=-5 * ONE,
        q_high=5 * ONE,
        dq=10 * ONE,
        ddq=100 * ONE,
        jerk=1e4 * ONE,
        tau=MAX_FORCE * ONE,
        tool_box=np.array([[-5.0, 5.0]] * 3),
        force=MAX_FORCE,
        deadline=0.25,
    ),
    mass=2.0,
)


@make_gate.register
def _(body: Cart, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)


@follows_setpoints.register
def _(body: Cart) -> bool:
    return False


@body_model.register
def _(body: Cart) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    cart = spec.worldbody.add_body(name="cart")
    cart.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0], mass=body.mass)
    cart.add_joint(name="rail", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
    motor = spec.add_actuator(name="rail", target="rail")
    motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
    return spec


@actuator_control.register
def _(
    body: Cart,
    command: Setpoint | Torque,
    model: mujoco.MjModel,
    substeps: int,
) -> Array:
    force = require_command(body, command, Torque)
    return np.repeat(force.tau[:, :, None], substeps, 2)


class Push(BaseFamily):
    """Push the cart to a place that is not observed."""

    name = "cart_push"
    body = CART
    limits = CART.limits
    scene = Scene(CART, timestep=0.01)
    action = JointTorque(CART)
    obs = Spec.of(("x", -5, 5, "m"), ("x.velocity", -10, 10, "m/s"))
    dt = 0.1
    tick = 0.05
    horizon = 10
    episodes = 2
    task_names = ("goal.x",)
    hidden_reward = True

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        return Task(self.task_names, rng.uniform(-1, 1, (n, 1)), np.arange(n))

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


@pytest.fixture
def world() -> VecWorld:
    world = VecWorld(Push(), n=N)
    world.reset(Push().sample(np.random.default_rng(0), N))
    return world


def test_it_runs_in_mujoco_and_moves_as_newton_says(world: VecWorld) -> None:
    assert engine_for(Push.scene) == "mujoco"
    share = np.array([[1.0], [-0.5], [0.0]])
    for _ in range(5):
        step = world.step(share)
    acceleration = MAX_FORCE * share[:, 0] / CART.mass
    np.testing.assert_allclose(step.obs[:, 1], acceleration * 0.5, atol=1e-9)  # after 0.5 s
    np.testing.assert_allclose(world.signals.tau, MAX_FORCE * share)
    assert np.isnan(world.signals.tool_pos).all()
    assert not step.verdict.any()


def test_it_can_be_seen(world: VecWorld) -> None:
    image = render_frame(world)
    assert image.shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("engine", ["bullet", "ideal"])
def test_engines_without_an_answer_refuse_it(engine: str) -> None:
    with pytest.raises(BadArgumentError, match=f"cart runs on mujoco, not on {engine}"):
        VecWorld(Push(), engine)


def test_without_a_model_it_is_refused_by_every_engine_with_physics() -> None:
    @dataclass(frozen=True)
    class Ghost(Body):
        """A kind of body that nothing is registered for."""

    ghost = Ghost("ghost", CART.joints, CART.home, CART.limits)
    assert engine_for(Scene(ghost)) == "ideal"
    with pytest.raises(BadArgumentError, match="none is registered for a Ghost"):
        body_model(ghost)
