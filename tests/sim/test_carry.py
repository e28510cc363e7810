"""What carry claims: hidden numbers change the motion as physics say, and knowing them helps."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import FLAT_OBJECT, TABLE, Scene
from robots.signals import Array, Setpoint, Signals, Verdict
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.families import arms_for, make_family
from sim.families.carry import AHEAD, PERIOD, PHYSICS, RAMP, Carry
from sim.families.splits import SPLITS
from sim.loaded_arm import PARTS, load_arm, mass_scales, payload_torque
from sim.randomization import Parameter, with_ranges
from sim.soft_arm import FRICTION_TIME
from sim.vec_world import VecWorld

ENGINES_WITH_PHYSICS = ("mujoco", "bullet")
every_engine = pytest.mark.parametrize("engine", ENGINES_WITH_PHYSICS)
every_arm = pytest.mark.parametrize("arm", arms_for("carry"))
STEP = 0.005  # s
TICKS_TO_REST = 800  # 4 s
NOT_TRACKING = 0.15  # rad between setpoint and joint: the watchdog's limit


def carry_with(arm: str) -> Carry:
    family = make_family("carry", arm)
    assert isinstance(family, Carry)
    return family


def payload(
    mass: Array,
    center: Array,
    gain: float = 1.0,
    friction: float = 1.0,
    latency: float = 0.0,
    arm: str = "panda",
) -> Task:
    """Tasks with these payloads, kg and m, (n,) each, and numbers that they share."""
    family = carry_with(arm)
    n = len(mass)
    others = np.tile([gain, friction, latency, *family.zone.center], (n, 1))
    values = np.concatenate([mass_scales(family.body, mass, center), others], 1)
    return Task(family.task_names, values, np.arange(n))


def heaviest(family: Carry) -> float:
    return family.parameters[0].train.numbers[1]


def at_rest(engine: str, task: Task, arm: str = "panda") -> Signals:
    """Where an arm comes to rest whose setpoint stays."""
    family = carry_with(arm)
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


def weight_torques(family: Carry, q: Array, mass: Array, center: Array) -> Array:
    """The torques that hold a payload, (n, j) N·m, by differences of its potential energy."""
    kinematics = Kinematics(family.body)
    step = 1e-6  # rad
    torques = []
    for joint in range(q.shape[1]):
        energies = []
        for sign in (-1, 1):
            moved = q.copy()
            moved[:, joint] += sign * step
            tool = kinematics.frames(moved)[:, -1]
            height = tool[:, 2, 3] + center * (tool[:, 2, :3] @ family.body.payload_axis)
            energies.append(9.81 * mass * height)
        low, high = energies
        torques.append((high - low) / (2 * step))
    return np.stack(torques, 1)


@every_engine
def test_at_rest_the_servos_hold_the_payload_and_nothing_else(engine: str) -> None:
    mass = np.array([0.3, 2.0, 2.0, 2.2])
    center = np.array([0.0, -0.08, 0.08, 0.04])
    signals = at_rest(engine, payload(mass, center))
    expected = weight_torques(Carry(), signals.q, mass, center)
    np.testing.assert_allclose(signals.tau, expected, atol=0.03)
    assert np.abs(expected).max() > 10


@every_arm
def test_the_torques_of_a_payload_follow_from_its_potential_energy(arm: str) -> None:
    family = carry_with(arm)
    rng = np.random.default_rng(0)
    q = family.ready + rng.uniform(-0.3, 0.3, (5, len(family.ready)))
    mass = rng.uniform(0.1, 1, 5)
    center = rng.uniform(-0.08, 0.08, 5)
    given = payload_torque(family.body, Kinematics(family.body), q, mass, center)
    np.testing.assert_allclose(given, weight_torques(family, q, mass, center), atol=1e-5)


@every_arm
def test_the_center_of_mass_changes_how_far_every_arm_sags(arm: str) -> None:
    """Along a vertical axis, as the tool's x axis of a ViperX, it would change nothing at rest."""
    family = carry_with(arm)
    mass = np.full(2, heaviest(family))
    signals = at_rest("mujoco", payload(mass, np.array([-0.08, 0.08]), arm=arm), arm)
    ready = Kinematics(family.body).position(family.ready[None])
    back, front = ready[0, 2] - signals.tool_pos[:, 2]
    assert front > 1.15 * back > 0.005


@every_engine
def test_the_joints_sag_as_their_stiffness_says(engine: str) -> None:
    mass = np.array([2.0])
    center = np.array([0.05])
    for gain in (0.8, 1.6):
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
    """Not along any axis: with hardly any payload the tool stands until its first action comes."""
    family = Carry()
    n = 3
    task = payload(np.full(n, 1e-3), np.zeros(n))
    task = task.with_columns({"disturbance.latency": np.array([0.0, 0.1, 0.2])})
    world = VecWorld(family, "mujoco", n, seed=0)
    moved = []

    def look(shown: VecWorld) -> None:
        moved.append(np.abs(shown.signals.tool_vel).max(1) > 0.01)

    world.on_frame = look
    world.reset(task)
    step = world.step(np.tile([0.3, 1.0, -0.2], (n, 1)))
    world.close()
    begins = np.array(moved).argmax(0)  # the first period at whose end the tool moves
    assert begins.tolist() == [0, 1, 2]
    stays = (
        2 * (family.zone.center - family.action.spec.low) / np.ptp(family.limits.tool_box, 1) - 1
    )
    later = np.array([0.3, 1.0, -0.2])
    shares = np.array([[0], [1 / 3], [2 / 3]])  # of the decision, in which the tool stands
    np.testing.assert_allclose(step.applied, shares * stays + (1 - shares) * later, atol=1e-3)


def test_an_action_that_is_nan_leaves_the_tool_where_it_is() -> None:
    family = Carry()
    task = payload(np.full(1, 1e-3), np.zeros(1))
    world = VecWorld(family, "mujoco", 1, seed=0)
    world.reset(task)
    for _ in range(2):
        moved = world.step(np.array([[0.2, 0.5, 0.1]]))
    dropped = world.step(np.full((1, 3), np.nan))
    later = world.step(np.full((1, 3), np.nan))
    world.close()
    assert Verdict.DROPPED in Verdict(int(dropped.verdict[0]))
    assert np.linalg.norm(later.obs[0, :3] - moved.obs[0, :3]) < 0.03
    np.testing.assert_allclose(later.obs[0, 3:6], 0, atol=0.01)
    low, high = family.limits.tool_box.T
    stays = 2 * (later.obs[0, :3] - low) / (high - low) - 1
    np.testing.assert_allclose(later.applied[0], stays, atol=0.02)


# ---- the ranges of training: what the watchdog and the tool's box allow ----


def extremes(family: Carry) -> Task:
    """The heaviest payload at every combination of the ends of the other physics' ranges."""
    ends = [parameter.train.numbers for parameter in family.parameters[1:PHYSICS]]
    rows = np.array(list(product(*ends)))
    mass = np.full(len(rows), heaviest(family))
    scales = mass_scales(family.body, mass, rows[:, 0])
    place = np.tile(family.zone.center, (len(rows), 1))
    values = np.concatenate([scales, rows[:, 1:], place], 1)
    return Task(family.task_names, values, np.arange(len(rows)))


@every_arm
def test_whatever_the_actions_are_no_joint_is_lost_and_the_tool_stays_in_the_arm_s_box(
    arm: str,
) -> None:
    """Actions jump between the corners of their box."""
    family = carry_with(arm)
    task = extremes(family)
    world = VecWorld(family, "mujoco", len(task), seed=0)
    rng = np.random.default_rng(0)
    away = []
    heights = []

    def look(shown: VecWorld) -> None:
        away.append(np.abs(shown.signals.q - shown.gate.setpoint.q).max())
        heights.append(shown.signals.tool_pos[:, 2].min())

    world.on_frame = look
    for _ in range(2):
        world.reset(task)
        for _ in range(family.horizon):
            world.step(rng.choice([-1.0, 1.0], (len(task), 3)))
    world.close()
    assert max(away) < 0.95 * NOT_TRACKING
    assert max(away) > 0.05
    assert min(heights) > ARMS[arm].limits.tool_box[2, 0]


@every_arm
def test_at_the_highest_gain_and_friction_that_are_allowed_bullet_comes_to_rest(arm: str) -> None:
    family = carry_with(arm)
    gain, friction = (parameter.allowed[1] for parameter in family.parameters[2:4])
    assert (gain, friction) == (2.0, 5.0)
    task = payload(np.array([1e-3]), np.array([0.09]), gain, friction, arm=arm)
    world = VecWorld(family, "bullet", 1, seed=0)
    world.reset(task)
    rng = np.random.default_rng(0)
    for _ in range(5):
        world.step(rng.uniform(-1, 1, (1, 3)))
    for _ in range(5):
        world.step(np.zeros((1, 3)))
    still = world.signals
    world.close()
    assert np.abs(still.dq - world.gate.setpoint.dq).max() < 0.1


def test_a_zone_above_which_the_tool_would_have_to_stay_is_refused() -> None:
    zone = ARMS["panda"].reach_zone
    assert zone is not None
    limits = ARMS["panda"].limits
    box = limits.tool_box.copy()
    box[2, 0] = zone.center[2] - 0.1
    low = replace(ARMS["panda"], limits=replace(limits, tool_box=box))
    with pytest.raises(BadArgumentError, match=r"'panda': paths begin 0\.240 m above the base"):
        Carry(low)


def share_of(parameter: Parameter, value: Array) -> Array:
    """Where values lie in a parameter's range of training, in [0, 1]."""
    low, high = parameter.train.numbers
    if parameter.train.distribution == "log-uniform":
        return np.asarray(np.log(value / low) / np.log(high / low))
    return np.asarray((value - low) / (high - low))


@pytest.mark.parametrize("split", SPLITS)
def test_no_held_out_physics_are_those_of_a_training_task_whatever_the_path(split: str) -> None:
    family = Carry()
    task = family.sample(np.random.default_rng(0), 500, split)
    front, back = family.body.part_mass * task.values[:, :2].T
    mass = front + back
    center = PARTS["payload_front"] * (front - back) / mass
    physics = [mass, center, *task.values[:, 2:5].T]
    fields = []
    for parameter, value in zip(family.parameters, physics, strict=False):
        fields.append(share_of(parameter, value) >= 0.5)
    is_odd = np.sum(fields, 0) % 2 == 1
    assert (is_odd == (split == "heldout")).all()


# ---- a controller that is told the physics ----


class Informed:
    """Undo the sag, and lead the path by what the lag and the latency take away.

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
        body = self.family.body
        jacobian = self.kinematics.jacobian(q)
        torque = payload_torque(body, self.kinematics, q, self.mass, self.center)
        turned = torque / (body.stiffness * self.gain[:, None])
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
) -> tuple[Array, Array]:
    """The tool's path (H, n, 3) m and its mean errors (n,) m."""
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
    return np.array(path), np.mean(errors, 0)


@every_arm
def test_both_engines_carry_alike(arm: str) -> None:
    family = carry_with(arm)
    task = family.sample(np.random.default_rng(0), 2)
    in_mujoco, _ = follow(family, task, task, "mujoco")
    in_bullet, _ = follow(family, task, task, "bullet")
    apart = np.linalg.norm(in_mujoco - in_bullet, axis=-1)
    assert apart.max() < 0.02
    assert apart.mean() < 0.003


@every_arm
def test_who_knows_the_physics_has_a_third_of_the_error_of_who_does_not(arm: str) -> None:
    family = carry_with(arm)
    n = 64
    task = family.sample(np.random.default_rng(0), n, "heldout")
    typical = {name: np.full(n, task[name].mean()) for name in task.names[:PHYSICS]}
    _, known = follow(family, task, task)
    _, assumed = follow(family, task, task.with_columns(typical))
    assert known.mean() < 0.33 * assumed.mean()
    assert family.episode_success({"error_m": known}).mean() > 0.9
    assert family.episode_success({"error_m": assumed}).mean() < 0.6


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


@every_arm
def test_every_path_lies_in_the_tool_box_and_below_the_speed(arm: str) -> None:
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
    scene = Scene(
        load_arm(ARMS["panda"], 1.0, ARMS["panda"].home), (FLAT_OBJECT,), (TABLE,), timestep=STEP
    )
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
