"""What carry claims: hidden numbers change the motion as physics say, and knowing them helps."""

from dataclasses import replace

import numpy as np
import pytest

from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import FLAT_OBJECT, TABLE, Scene
from robots.signals import Array, Mask, Setpoint, Signals
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.families import arms_for, make_family
from sim.families.carry import AHEAD, GRAVITY, PERIOD, RAMP, Carry
from sim.loaded_arm import FRICTION_TIME, PARTS, load_arm, mass_scales
from sim.randomization import with_ranges
from sim.vec_world import VecWorld

ENGINES_WITH_PHYSICS = ("mujoco", "bullet")
every_engine = pytest.mark.parametrize("engine", ENGINES_WITH_PHYSICS)
STEP = 0.005  # s
TICKS_TO_REST = 800  # 4 s


def payload(
    mass: Array, center: Array, gain: float = 1.0, friction: float = 1.0, latency: float = 0.0
) -> Task:
    """Tasks with these payloads, kg and m, (n,) each, and numbers that they share."""
    family = Carry()
    n = len(mass)
    others = np.tile([gain, friction, latency, *family.zone.center], (n, 1))
    values = np.concatenate([mass_scales(family.body, mass, center), others], 1)
    return Task(family.task_names, values, np.arange(n))


def at_rest(engine: str, task: Task) -> Signals:
    """Where a Panda comes to rest whose setpoint stays."""
    family = Carry()
    n = len(task)
    loaded = ENGINES[engine]()
    loaded.load(family.scene, n)
    loaded.write(task)
    start = family.start(np.random.default_rng(0), task)
    loaded.reset(start)
    q = np.repeat(start.q[None], TICKS_TO_REST, 0)
    zero = np.zeros_like(q)
    loaded.run(Setpoint(q, zero, zero), 1)
    signals: Signals = loaded.read()
    loaded.close()
    return signals


def weight_torques(kinematics: Kinematics, q: Array, mass: Array, center: Array) -> Array:
    """The torques that hold a payload against gravity, (n, j) N·m: the virtual work of its fall."""
    _, rotation, jacobian = kinematics.forward_jacobian(q)
    arm = rotation[:, :, 0] * center[:, None]  # from the tool to the center of mass, m
    turning = jacobian[:, 3:]  # (n, 3, j)
    rise = jacobian[:, 2] + turning[:, 0] * arm[:, 1:2] - turning[:, 1] * arm[:, 0:1]
    return np.asarray(GRAVITY * mass[:, None] * rise)


@every_engine
def test_at_rest_the_servos_hold_the_payload_and_nothing_else(engine: str) -> None:
    mass = np.array([0.3, 2.0, 2.0, 2.8])
    center = np.array([0.0, -0.08, 0.08, 0.04])
    signals = at_rest(engine, payload(mass, center))
    expected = weight_torques(Kinematics(ARMS["panda"]), signals.q, mass, center)
    np.testing.assert_allclose(signals.tau, expected, atol=0.03)
    assert np.abs(expected).max() > 10


@every_engine
def test_the_joints_sag_as_their_stiffness_says(engine: str) -> None:
    mass = np.array([2.0])
    center = np.array([0.05])
    for gain in (0.5, 1.5):
        signals = at_rest(engine, payload(mass, center, gain))
        stiffness = gain * Carry().body.stiffness
        sag = Carry().ready - signals.q
        np.testing.assert_allclose(sag, signals.tau / stiffness, atol=1e-4)


@every_engine
def test_a_joint_lags_by_friction_over_stiffness(engine: str) -> None:
    """q follows q_set at a constant speed v with q_set - q = v·friction / stiffness."""
    family = Carry()
    speed = 0.2  # rad/s
    ticks = np.arange(1, 401)[:, None, None]
    for gain, friction in ((1.0, 0.5), (1.0, 2.0), (0.5, 1.0)):
        light = payload(np.array([1e-3]), np.zeros(1), gain, friction)
        engine_of_one = ENGINES[engine]()
        engine_of_one.load(family.scene, 1)
        engine_of_one.write(light)
        engine_of_one.reset(Start(family.ready[None]))
        dq = np.zeros((400, 1, 7))
        dq[:, :, 0] = speed
        q = family.ready + STEP * ticks * dq
        engine_of_one.run(Setpoint(q, dq, np.zeros_like(dq)), 1)
        lag = q[-1, 0, 0] - engine_of_one.read().q[0, 0]
        engine_of_one.close()
        assert lag == pytest.approx(speed * FRICTION_TIME * friction / gain, rel=0.02)


def test_nothing_happens_before_the_latency_has_passed() -> None:
    family = Carry()
    n = 3
    task = payload(np.full(n, 1.0), np.zeros(n))
    task = task.with_columns({"disturbance.latency": np.array([0.0, 0.1, 0.2])})
    world = VecWorld(family, "mujoco", n, seed=0)
    moved = []
    world.on_frame = lambda shown: moved.append(np.abs(shown.signals.tool_vel[:, 1]) > 0.02)
    world.reset(task)
    world.step(np.tile([0.0, 1.0, 0.0], (n, 1)))
    world.close()
    begins = np.array(moved).argmax(0)  # the first period at whose end the tool moves sideways
    assert begins.tolist() == [0, 1, 2]


# ---- a controller that is told the physics ----


class Informed:
    """Undo the sag, and lead the figure by what the lag and the latency take away.

    The joints sag by the payload's torques over the stiffness. With a lag T and a latency L the
    tool covers the share 1 - exp(-(D - L) / T) of its way in a decision of D seconds.
    """

    def __init__(self, family: Carry, believed: Task) -> None:
        """``believed``: the tasks (n) that it takes for the truth."""
        self.family = family
        self.kinematics = Kinematics(family.body)
        front, back = family.body.part_mass * believed.values[:, :2].T
        self.mass = front + back
        self.center = PARTS["payload_front"] * (front - back) / self.mass
        self.gain = believed["actuator.strength"]
        self.lag = FRICTION_TIME * believed["joint.damping_scale"] / self.gain + family.dt
        self.latency = believed["disturbance.latency"]

    def __call__(self, obs: Array, q: Array) -> Array:
        """Actions (n, 3) for observations (n, o) and joints (n, j)."""
        _, _, jacobian = self.kinematics.forward_jacobian(q)
        torque = weight_torques(self.kinematics, q, self.mass, self.center)
        turned = torque / (self.family.body.stiffness * self.gain[:, None])
        sag = np.einsum("naj,nj->na", jacobian[:, :3], turned)
        covered = 1 - np.exp(-(AHEAD[0] - self.latency) / self.lag)
        stretch = np.minimum(1 / covered, 1.3)
        tool = obs[:, :3] + self.latency[:, None] * obs[:, 3:6]
        goal = obs[:, -3 * len(AHEAD) :][:, :3]
        place = tool + sag + stretch[:, None] * (goal - tool)
        spec = self.family.action.spec
        return np.asarray(2 * (place - spec.low) / (spec.high - spec.low) - 1)


def follow(
    family: Carry, task: Task, believed: Task, engine: str = "mujoco"
) -> tuple[Array, Array, Mask]:
    """The tool's path (H, n, 3) m, its errors (H, n) m, and success at the end (n,)."""
    world = VecWorld(family, engine, len(task), seed=0)
    controller = Informed(family, believed)
    obs = world.reset(task)
    path = []
    errors = []
    for _ in range(family.horizon):
        step = world.step(controller(obs, world.signals.q))
        obs = step.obs
        path.append(obs[:, :3])
        errors.append(family.metrics(obs, task.values)["error_m"])
    world.close()
    return np.array(path), np.array(errors), step.success


def carry_with(arm: str) -> Carry:
    family = make_family("carry", arm)
    assert isinstance(family, Carry)
    return family


@pytest.mark.parametrize("arm", arms_for("carry"))
def test_both_engines_carry_alike(arm: str) -> None:
    family = carry_with(arm)
    task = family.sample(np.random.default_rng(0), 4)
    in_mujoco, _, _ = follow(family, task, task, "mujoco")
    in_bullet, _, _ = follow(family, task, task, "bullet")
    apart = np.linalg.norm(in_mujoco - in_bullet, axis=-1)
    assert apart.max() < 0.04
    assert apart.mean() < 0.005


@pytest.mark.parametrize("arm", arms_for("carry"))
def test_who_knows_the_physics_has_a_third_of_the_error_of_who_does_not(arm: str) -> None:
    family = carry_with(arm)
    n = 100
    task = family.sample(np.random.default_rng(0), n, "heldout")
    typical = {name: np.full(n, task[name].mean()) for name in task.names[:5]}
    _, known, success = follow(family, task, task)
    _, assumed, blind_success = follow(family, task, task.with_columns(typical))
    assert known[-1].mean() < 0.3 * assumed[-1].mean()
    assert success.mean() > 0.9
    assert blind_success.mean() < 0.4


# ---- the path ----


def test_the_reference_begins_at_rest_and_passes_the_marker() -> None:
    family = Carry()
    marker = np.tile(family.zone.center + np.array([0.06, -0.12, 0.08]), (2, 1))
    begin = family.reference(np.array([0.0, 1e-3]), marker)
    np.testing.assert_allclose(begin, np.tile(family.zone.center, (2, 1)), atol=1e-6)
    half_a_round = np.array([RAMP / 2 + PERIOD / 2, RAMP / 2 + 1.5 * PERIOD])
    np.testing.assert_allclose(family.reference(half_a_round, marker), marker)
    again = family.reference(np.array([1.7, 1.7 + PERIOD]), marker)
    np.testing.assert_allclose(again[0], again[1])


@pytest.mark.parametrize("arm", arms_for("carry"))
def test_every_figure_lies_in_the_tool_box_and_below_the_speed(arm: str) -> None:
    family = carry_with(arm)
    n = 300
    marker = family.marker(family.sample(np.random.default_rng(0), n))
    low, high = family.limits.tool_box.T
    last = family.reference(np.zeros(n), marker)
    for time in np.arange(0.05, 6, 0.05):
        place = family.reference(np.full(n, time), marker)
        assert ((low < place) & (place < high)).all()
        assert (np.abs(place - last) < 0.05 * family.zone.speed).all()
        last = place


# ---- what is refused ----


def test_a_payload_of_no_mass_is_refused_by_name() -> None:
    family = Carry()
    task = payload(np.array([0.0]), np.array([0.0]))
    for engine in ENGINES_WITH_PHYSICS:
        world = VecWorld(family, engine, 1, seed=0)
        with pytest.raises(BadArgumentError, match=r"body\.payload_front\.mass_scale must be"):
            world.reset(task)
        world.close()
    with pytest.raises(BadArgumentError, match=r"range\.payload\.mass=0,1 is not allowed"):
        with_ranges(family, {"payload.mass": (0.0, 1.0)})


def test_an_engine_without_physics_is_refused_by_name() -> None:
    with pytest.raises(BadArgumentError, match="panda runs on mujoco, bullet, not on ideal"):
        VecWorld(Carry(), "ideal", 1)


def test_bullet_refuses_loose_objects_beside_a_loaded_arm() -> None:
    scene = Scene(load_arm(ARMS["panda"], 1.0), (FLAT_OBJECT,), (TABLE,), timestep=STEP)
    with pytest.raises(BadArgumentError, match="PyBullet cannot carry panda with object"):
        ENGINES["bullet"]().load(scene, 1)


def test_a_range_that_a_user_changes_is_drawn_from() -> None:
    family = with_ranges(Carry(), {"payload.mass": (1.5,), "disturbance.latency": (0.1, 0.2)})
    task = family.sample(np.random.default_rng(0), 50)
    mass = family.body.part_mass * task.columns(*task.names[:2]).sum(1)
    np.testing.assert_allclose(mass, 1.5)
    latency = task["disturbance.latency"]
    assert ((latency >= 0.1) & (latency <= 0.2)).all()


def test_an_arm_without_a_zone_is_refused() -> None:
    nowhere = replace(ARMS["panda"], reach_zone=None)
    with pytest.raises(BadArgumentError, match=r"'panda' has no reach_zone"):
        Carry(nowhere)
