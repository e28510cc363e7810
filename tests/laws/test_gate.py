"""What the safety gate promises of every setpoint, whatever is requested."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys.rail import RAIL

from benchmarks.gate_search import DRIVER_TICKS, search
from robots.actions import ActionMap, JointVelocity, ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.braking import StraightBraking
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.safety import START_TOLERANCE, SafetyGate
from robots.signals import Array, Setpoint, Verdict
from robots.tool_box import PROMISE

TICKS = (0.001, 0.002, 0.01)
FAR_END = {"fr3": 0.75}  # m, x of the low box; of the others 0.62
STRIKE = {"jaco": 0.3}  # m/s that a slow arm's strike exceeds; of the others 0.8
few_examples = settings(deadline=None, max_examples=25, derandomize=True)
# An example of ten arms takes as long as one of two: it is the ticks that take time.
ten_examples = settings(few_examples, max_examples=10)


@pytest.fixture(params=list(ARMS))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


@pytest.fixture
def low_box(arm: ArmSpec) -> Limits:
    """The arm's limits with a low, flat tool box; skips an arm that cannot work there."""
    far_end = FAR_END.get(arm.name, 0.62)
    box = np.array([[0.25, far_end], [-0.15, 0.15], [0.02, 0.2]])
    low, high = box.T
    arm_low, arm_high = arm.limits.tool_box.T
    home = Kinematics(arm).position(arm.home[None])[0]
    box_fits = (arm_low <= low) & (high <= arm_high)
    home_inside = (low < home) & (home < high)
    if not (box_fits & home_inside).all():
        pytest.skip(f"{arm.name} works elsewhere")
    return arm.limits.narrowed(box)


def middle_of(arm: ArmSpec) -> Array:
    """Joint positions (j,) in the middle of their range."""
    return (arm.limits.q_low + arm.limits.q_high) / 2


def configurations(arm: ArmSpec, n: int) -> Array:
    """Joint positions (n, j) anywhere within the limits."""
    rng = np.random.default_rng(0)
    return rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))


def run(gate: SafetyGate, requests: Array) -> tuple[list[Array], Array]:
    """Traces of q, dq and ddq, each (ticks, n, j), and verdicts (ticks, n)."""
    setpoints = []
    verdicts = []
    for request in requests:
        setpoint, verdict = gate(request)
        setpoints.append(setpoint)
        verdicts.append(verdict)
    q = np.array([setpoint.q for setpoint in setpoints])
    dq = np.array([setpoint.dq for setpoint in setpoints])
    ddq = np.array([setpoint.ddq for setpoint in setpoints])
    return [q, dq, ddq], np.array(verdicts)


def assert_within_limits(limits: Limits, dt: float, q: Array, start: Array) -> None:
    """Check every sample, with derivatives taken as differences of the positions themselves."""
    at_rest_before = np.repeat(start[None], 3, 0)
    q = np.concatenate([at_rest_before, q])
    dq = np.diff(q, axis=0) / dt
    ddq = np.diff(dq, axis=0) / dt
    jerk = np.diff(ddq, axis=0) / dt
    slack = 1e-6
    assert (q >= limits.q_low - slack).all()
    assert (q <= limits.q_high + slack).all()
    assert (np.abs(dq) <= limits.dq * (1 + slack)).all()
    assert (np.abs(ddq) <= limits.ddq * (1 + slack) + 1e-5).all()
    assert (np.abs(jerk) <= limits.jerk * (1 + slack) + 1e-2).all()


def requests_of(
    kind: str, limits: Limits, hold: int, rng: np.random.Generator, n: int, ticks: int
) -> Array:
    """Velocities for n arms, up to twice the limit, each kept for ``hold`` ticks."""
    j = len(limits.dq)
    highest = 2 * limits.dq
    if kind == "random":
        values = rng.uniform(-highest, highest, (ticks // hold + 1, n, j))
        return np.repeat(values, hold, 0)[:ticks]
    if kind == "constant":
        value = rng.choice([-1, 1], (1, n, j)) * highest
        return np.repeat(value, ticks, 0)
    time = np.arange(ticks)[:, None, None]
    sign = np.where(time % (2 * hold) < hold, 1, -1)
    return sign * np.tile(highest, (ticks, n, 1))


@few_examples
@given(
    seed=st.integers(0, 10_000),
    dt=st.sampled_from(TICKS),
    kind=st.sampled_from(["random", "constant", "alternating"]),
    hold=st.integers(1, 100),
)
def test_every_limit_holds_for_every_request(seed: int, dt: float, kind: str, hold: int) -> None:
    for arm in ARMS.values():
        limits = arm.limits
        rng = np.random.default_rng(seed)
        requests = requests_of(kind, limits, hold, rng, n=10, ticks=300)
        start = rng.uniform(limits.q_low, limits.q_high, (10, len(arm.joints)))
        gate = SafetyGate(limits, dt, 10)
        gate.reset(start)
        trace, _ = run(gate, requests)
        assert_within_limits(limits, dt, trace[0], start)


@pytest.mark.parametrize("dt", TICKS)
def test_an_admissible_request_is_reached_kept_and_called_ok(arm: ArmSpec, dt: float) -> None:
    gate = SafetyGate(arm.limits, dt, 1)
    request = 0.2 * arm.limits.dq[None]
    gate.reset(middle_of(arm)[None])
    trace, verdicts = run(gate, np.repeat(request[None], round(0.5 / dt), 0))
    dq = trace[1]
    assert np.allclose(dq[-1], request, atol=1e-9)
    assert (np.diff(dq[:, 0], axis=0) >= -1e-9).all(), "the way there must not overshoot"
    assert not verdicts.any()


@pytest.mark.parametrize("dt", TICKS[1:])
def test_the_gates_own_output_passes_a_second_gate_unchanged(arm: ArmSpec, dt: float) -> None:
    # With shorter ticks the jerk limit spreads a change over ticks: a request is met a tick later.
    dt = max(dt, 2 * (arm.limits.ddq / arm.limits.jerk).max())
    rng = np.random.default_rng(0)
    first = SafetyGate(arm.limits, dt, 1)
    second = SafetyGate(arm.limits, dt, 1)
    first.reset(middle_of(arm)[None])
    second.reset(middle_of(arm)[None])
    values = rng.uniform(-0.3, 0.3, (10, 1, len(arm.joints))) * arm.limits.dq
    passed, _ = run(first, np.repeat(values, 40, 0))
    again, verdicts = run(second, passed[1])
    assert np.allclose(passed[0], again[0], atol=1e-9)
    assert not verdicts.any()


def test_a_higher_request_never_gives_a_shorter_way(arm: ArmSpec) -> None:
    reached = []
    for fraction in (0.1, 0.4, 0.9, 2.0):
        gate = SafetyGate(arm.limits, 0.002, 1)
        gate.reset(middle_of(arm)[None])
        trace, _ = run(gate, np.repeat(fraction * arm.limits.dq[None, None], 100, 0))
        reached.append(trace[0][-1, 0])
    assert (np.diff(reached, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_request_that_is_not_finite_is_dropped_and_brakes_its_own_arm_only(
    arm: ArmSpec, bad: float
) -> None:
    pair = SafetyGate(arm.limits, 0.002, 2)
    single = SafetyGate(arm.limits, 0.002, 1)
    middle = middle_of(arm)
    start = np.stack([middle, middle])
    pair.reset(start)
    single.reset(middle[None])
    span = arm.limits.q_high - arm.limits.q_low
    velocity = np.minimum(0.3 * arm.limits.dq, span / 2.4)  # no joint is at its end after 0.8 s
    requests = np.repeat(np.tile(velocity, (1, 2, 1)), 400, 0)
    requests[100:, 0, 2] = bad
    trace, verdicts = run(pair, requests)
    undisturbed, _ = run(single, requests[:, 1:])
    assert np.allclose(trace[0][:, 1], undisturbed[0][:, 0])
    assert (verdicts[100:, 0] == int(Verdict.DROPPED | Verdict.HELD)).all()
    assert not verdicts[:, 1].any()
    assert np.isfinite(trace[0]).all()
    assert not trace[1][-1, 0].any(), "it is at rest"
    assert_within_limits(arm.limits, 0.002, trace[0], start)


def test_a_batch_equals_its_rows(arm: ArmSpec) -> None:
    rng = np.random.default_rng(3)
    n = 4
    start = rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))
    requests = rng.uniform(-2, 2, (50, n, len(arm.joints))) * arm.limits.dq
    kinematics = Kinematics(arm)
    batch = SafetyGate(arm.limits, 0.01, n, kinematics)
    batch.reset(start)
    trace, verdicts = run(batch, requests)
    for i in range(n):
        single = SafetyGate(arm.limits, 0.01, 1, kinematics)
        single.reset(start[i : i + 1])
        row, row_verdicts = run(single, requests[:, i : i + 1])
        assert np.allclose(trace[0][:, i], row[0][:, 0], atol=1e-12)
        assert (verdicts[:, i] == row_verdicts[:, 0]).all()


# Whether the box holds depends on the arm and on the tick: every arm with each tick, every arm with
# each map, and with both maps only at the tick that is quickest to try.
@pytest.mark.parametrize(
    ("dt", "map_kind"), [(0.001, "tool"), (0.002, "joint"), (0.01, "tool"), (0.01, "joint")]
)
def test_the_tool_stays_in_its_box(arm: ArmSpec, low_box: Limits, dt: float, map_kind: str) -> None:
    """In a low box, where the arm is folded and its joints are near their limits as well."""
    if dt == min(TICKS) and arm.name not in DRIVER_TICKS:
        pytest.skip("the shortest tick takes seconds; it is tried on the arms that have a driver")
    kinematics = Kinematics(arm)
    rng = np.random.default_rng(1)
    n = 96
    action_map: ActionMap = JointVelocity(arm)
    if map_kind == "tool":
        bounds = {"x": (-1.2, 1.2), "y": (-1.0, 1.0), "z": (-1.0, 1.0)}
        action_map = ToolVelocity(arm, low_box, bounds, (0.4, 0, 0.1))
    gate = SafetyGate(low_box, dt, n, kinematics)
    gate.reset(np.tile(arm.home, (n, 1)))
    trace_of_q = []
    for tick in range(round(1 / dt)):
        if tick % round(0.1 / dt) == 0:
            action = rng.choice([-1.0, 1.0], (n, len(action_map.spec)))
        setpoint, _ = gate(action_map(action, gate.setpoint))
        trace_of_q.append(setpoint.q)
    trace = tool_positions(kinematics, np.array(trace_of_q))
    low, high = low_box.tool_box.T
    outside = np.maximum(low - trace, trace - high)
    assert outside.max() < 0.002
    assert np.ptp(trace, axis=0).max() > 0.1, "and it was not simply held in place"


@ten_examples
@given(
    seed=st.integers(0, 10_000),
    dt=st.sampled_from([0.002, 0.01]),
    kind=st.sampled_from(["random", "constant", "alternating"]),
)
def test_the_tool_is_never_faster_than_its_limit(seed: int, dt: float, kind: str) -> None:
    for arm in ARMS.values():
        kinematics = Kinematics(arm)
        rng = np.random.default_rng(seed)
        requests = requests_of(kind, arm.limits, 50, rng, n=20, ticks=100)
        start = rng.uniform(arm.limits.q_low, arm.limits.q_high, (20, len(arm.joints)))
        gate = SafetyGate(arm.limits, dt, 20, kinematics)
        gate.reset(start)
        trace, _ = run(gate, requests)
        assert tool_speeds(kinematics, trace[0], dt).max() < arm.limits.tool_speed * (1 + 1e-6)


def test_without_its_limit_the_tool_would_be_far_too_fast(arm: ArmSpec) -> None:
    """And with it a fast request is slowed down to the limit, without stops."""
    kinematics = Kinematics(arm)
    limits = arm.limits
    anywhere = configurations(arm, 5000)
    reach = np.linalg.norm(kinematics.position(anywhere)[:, :2], axis=1)
    outstretched = anywhere[reach.argmax()]
    outstretched[0] = limits.q_low[0]
    request = np.zeros((1, len(arm.joints)))
    request[0, :2] = limits.dq[0], -0.3 * limits.dq[1]
    everywhere = replace(limits, tool_box=np.array([[-2.0, 2.0]] * 3))
    for tool_speed, highest in ((100.0, np.inf), (0.5, 0.5)):
        gate = SafetyGate(replace(everywhere, tool_speed=tool_speed), 0.002, 1, kinematics)
        gate.reset(outstretched[None])
        trace, verdicts = run(gate, np.tile(request, (400, 1, 1)))
        speed = tool_speeds(kinematics, trace[0], 0.002)
        assert speed.max() < highest * (1 + 1e-6)
        assert speed[-100:].min() > min(0.9 * highest, 0.55)
    assert not (verdicts & int(Verdict.HELD)).any()


def tool_positions(kinematics: Kinematics, q: Array) -> Array:
    """Positions (t, n, 3) m of the tool at setpoints (t, n, j)."""
    ticks, n, j = q.shape
    return kinematics.position(q.reshape(-1, j)).reshape(ticks, n, 3)


def tool_speeds(kinematics: Kinematics, q: Array, dt: float) -> Array:
    """Speeds of the tool between setpoints (t, n, j), (t - 1, n) m/s."""
    positions = tool_positions(kinematics, q)
    return np.linalg.norm(np.diff(positions, axis=0), axis=-1) / dt


@pytest.mark.parametrize("aim", ["position", "box", "tool speed"])
@pytest.mark.parametrize("name", list(DRIVER_TICKS))  # a search takes long; the gate is the same
def test_a_search_for_a_broken_limit_finds_none(name: str, aim: str) -> None:
    """A short search; ``benchmarks/gate_search.py`` is the long one."""
    arm = ARMS[name]
    kinematics = Kinematics(arm)
    gate = SafetyGate(arm.limits, DRIVER_TICKS[name], 64, kinematics)
    excess = search(gate, kinematics, aim, generations=8, n=64, seed=0)
    assert excess["position"] < 1e-9
    assert excess["velocity"] < 1e-6
    assert excess["acceleration"] < 1e-6
    assert excess["jerk"] < 1e-6
    assert excess["tool speed"] < 1e-9
    assert -0.01 < excess["box"] < 0.1 * PROMISE, "it came close, and not further"


def test_no_joint_exceeds_its_speed_while_all_accelerations_end_together() -> None:
    """Where it takes several ticks to end an acceleration, as at 1 kHz, or with a low jerk."""
    arm: ArmSpec = ARMS["panda"]
    limits = replace(arm.limits, jerk=arm.limits.jerk / 4)
    kinematics = Kinematics(arm)
    gate = SafetyGate(limits, 0.002, 64, kinematics)
    excess = search(gate, kinematics, "velocity", generations=8, n=64, seed=0)
    assert -0.01 < excess["velocity"] < 1e-6, "it came close, and not further"


def test_a_jerk_too_low_to_end_an_acceleration_in_time_is_refused(arm: ArmSpec) -> None:
    limits = replace(arm.limits, jerk=arm.limits.ddq / 10)
    with pytest.raises(BadArgumentError, match=r"joint \d: with a jerk of"):
        SafetyGate(limits, 0.002, 1)


@pytest.mark.parametrize("dt", [0.0005, *TICKS, 0.05])
def test_an_arm_brakes_along_the_way_that_was_checked(arm: ArmSpec, dt: float) -> None:
    """From any state: also with accelerations that take the joints elsewhere."""
    rng = np.random.default_rng(0)
    n = 500
    limits = arm.limits
    j = len(arm.joints)
    dq = rng.uniform(-1, 1, (j, n)) * limits.dq[:, None]
    ddq = rng.choice([-1.0, -0.3, 0.0, 0.5, 1.0], (j, n)) * limits.ddq[:, None]
    braking = StraightBraking(limits, dt, n)
    state = (np.zeros((j, n)), dq, ddq)
    displacement, _ = braking.line(state)
    length = np.linalg.norm(displacement, axis=0)
    direction = displacement / length
    on_line = np.zeros(n, dtype=bool)
    beside = np.linalg.norm(braking.offset) + 1e-12
    for _ in range(round(1 / dt)):
        last_ddq = state[2]
        state, on_line = braking.tick(state, on_line)
        jerk = (state[2] - last_ddq) / dt
        assert (np.abs(jerk) <= limits.jerk[:, None] * (1 + 1e-9)).all()
        assert (np.abs(state[2]) <= limits.ddq[:, None] * (1 + 1e-9)).all()
        along = (state[0] * direction).sum(0)
        across = state[0] - along * direction
        assert (np.linalg.norm(across, axis=0) < beside).all()
        assert (along > -beside).all()
        assert (along < length + beside).all()
    assert np.abs(state[1]).max() < 1e-9, "and comes to rest"


def test_a_tick_that_is_too_long_for_the_box_is_refused(arm: ArmSpec) -> None:
    kinematics = Kinematics(arm)
    with pytest.raises(BadArgumentError, match=r"leave its box by .* take a shorter tick"):
        SafetyGate(arm.limits, 0.1, 1, kinematics)
    SafetyGate(arm.limits, 0.1, 1, kinematics, promise=np.inf)


@pytest.mark.parametrize("dt", [0.002, 0.05])
def test_the_gate_of_an_arm_on_a_rail_keeps_its_limits_and_its_box(dt: float) -> None:
    kinematics = Kinematics(RAIL)
    gate = SafetyGate(RAIL.limits, dt, 64, kinematics, promise=np.inf)
    excess = search(gate, kinematics, "box", generations=4, n=64, seed=0)
    assert excess["position"] < 1e-9
    assert max(excess["velocity"], excess["acceleration"], excess["jerk"]) < 1e-6
    assert -0.05 < excess["box"] < PROMISE


def test_the_tool_moves_as_requested_along_its_axes_and_is_held_along_the_others(
    arm: ArmSpec,
) -> None:
    kinematics = Kinematics(arm)
    rng = np.random.default_rng(5)
    n = 20
    tool = ToolVelocity(arm, arm.limits, {"z": (0.0, 0.2), "x": (-0.2, 0.0)}, (0, 0.02, 0))
    zero = np.zeros((n, len(arm.joints)))
    setpoint = Setpoint(arm.home + rng.normal(0, 0.02, zero.shape), zero, zero)
    action = rng.uniform(-1, 1, (n, 2))
    dq = tool(action, setpoint)
    pos, _, jacobian = kinematics.forward_jacobian(setpoint.q)
    velocity = np.einsum("naj,nj->na", jacobian[:, :3], dq)
    x = 0.1 * action[:, 1] - 0.1
    y = tool.HOLD_GAIN * (0.02 - pos[:, 1])
    z = 0.1 * action[:, 0] + 0.1
    assert (np.abs(dq) < arm.limits.dq).all()
    assert np.allclose(velocity, np.stack([x, y, z], 1), atol=1e-5)
    first_row = tool(action[:1], replace(setpoint, q=setpoint.q[:1]))
    assert np.allclose(first_row, dq[:1], atol=1e-12)


def test_a_strike_keeps_its_height_and_direction(arm: ArmSpec, low_box: Limits) -> None:
    if arm.gripper is not None:
        pytest.skip(f"{arm.name} has a gripper, which strikes nothing")
    kinematics = Kinematics(arm)
    home = kinematics.position(arm.home[None])[0]
    tool = ToolVelocity(arm, low_box, {"x": (0.0, 1.2), "y": (-0.3, 0.3)}, home.tolist())
    gate = SafetyGate(low_box, 0.002, 1, kinematics)
    gate.reset(arm.home[None])
    positions = []
    speeds = []
    flags = 0
    for _ in range(500):
        setpoint, verdict = gate(tool(np.array([[1.0, 0.0]]), gate.setpoint))
        pos, _, jacobian = kinematics.forward_jacobian(setpoint.q)
        speeds.append(jacobian[0, 0] @ setpoint.dq[0])
        positions.append(pos[0])
        flags |= int(verdict[0])
    trace = np.array(positions)
    speed = np.array(speeds)
    after_the_peak = speed[speed.argmax() :]
    assert speed.max() > STRIKE.get(arm.name, 0.8)
    assert (np.diff(after_the_peak) < 0.01).all(), "it brakes once and does not chatter"
    assert not flags & int(Verdict.HELD), "the gate slows down in time, and never stops the arm"
    assert np.abs(trace[:, 1] - home[1]).max() < 1e-3
    assert np.abs(trace[:, 2] - home[2]).max() < 3e-3
    far_end = low_box.tool_box[0, 1]
    assert far_end - 0.02 < trace[-1, 0] < far_end


def test_a_planned_move_ends_at_rest_at_its_goal(arm: ArmSpec) -> None:
    limits = arm.limits
    far = np.minimum(0.3, (limits.q_high - limits.q_low) / 3)  # rad, or m of a gripper
    goal = arm.home + far * np.where(arm.home < middle_of(arm), 1, -1)
    gate = SafetyGate(limits, 0.002, 1)
    gate.reset(arm.home[None])
    move = Move(limits, arm.home, goal)
    time = 0.0
    while not move.arrived(time, gate.setpoint) and time < 5:
        gate(move(time, gate.setpoint))
        time += 0.002
    assert np.abs(gate.setpoint.q[0] - goal).max() < 1e-3
    assert time < move.duration + 0.5
    with pytest.raises(BadArgumentError, match="allowed are"):
        Move(limits, arm.home, limits.q_high + 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dq", np.nan),
        ("ddq", np.inf),
        ("jerk", -1.0),
        ("tau", 0.0),
        ("tool_speed", -1.0),
        ("force", 0.0),
    ],
)
def test_limits_are_finite_and_positive(arm: ArmSpec, name: str, value: float) -> None:
    present = getattr(arm.limits, name)
    changed = np.full_like(present, value) if np.ndim(present) else value
    with pytest.raises(BadArgumentError, match=name):
        replace(arm.limits, **{name: changed})


def test_limits_are_read_only_and_only_ever_narrowed(arm: ArmSpec) -> None:
    with pytest.raises(ValueError, match="read-only"):
        arm.limits.dq[0] = 100.0
    with pytest.raises(BadArgumentError, match="reaches out"):
        arm.limits.narrowed(arm.limits.tool_box * 2)


def test_limits_fit_together_in_shape_and_order(arm: ArmSpec) -> None:
    limits = arm.limits
    with pytest.raises(BadArgumentError, match="differ in shape"):
        replace(limits, dq=limits.dq[:-1])
    with pytest.raises(BadArgumentError, match="differ in shape"):
        replace(limits, tool_box=limits.tool_box[:2])
    with pytest.raises(BadArgumentError, match="must lie below q_high"):
        replace(limits, q_low=limits.q_high)
    with pytest.raises(BadArgumentError, match="must have low < high"):
        replace(limits, tool_box=limits.tool_box[:, ::-1])


def test_a_start_outside_the_limits_is_refused(arm: ArmSpec) -> None:
    gate = SafetyGate(arm.limits, 0.002, 1)
    limits = arm.limits
    outside = 2 * START_TOLERANCE * (limits.q_high - limits.q_low)
    for q in (limits.q_high + outside, np.full(len(arm.joints), np.nan)):
        with pytest.raises(BadArgumentError, match="cannot start"):
            gate.reset(q[None])


def test_a_joint_a_little_outside_its_limits_comes_back_and_never_goes_further_out(
    arm: ArmSpec,
) -> None:
    limits = arm.limits
    j = len(arm.joints)
    outside = 0.9 * START_TOLERANCE * (limits.q_high - limits.q_low)
    start = np.tile(arm.home, (2 * j, 1))
    for i in range(j):
        start[i, i] = limits.q_low[i] - outside[i]
        start[j + i, i] = limits.q_high[i] + outside[i]
    rng = np.random.default_rng(4)
    gate = SafetyGate(limits, 0.002, 2 * j)
    gate.reset(start)
    highest = np.maximum(limits.q_high, start)
    lowest = np.minimum(limits.q_low, start)
    for _ in range(40):
        request = rng.uniform(-2, 2, start.shape) * limits.dq
        for _ in range(25):
            setpoint, _ = gate(request)
            assert (setpoint.q <= highest + 1e-12).all()
            assert (setpoint.q >= lowest - 1e-12).all()
            highest = np.maximum(limits.q_high, setpoint.q)
            lowest = np.minimum(limits.q_low, setpoint.q)
    inside = (setpoint.q >= limits.q_low) & (setpoint.q <= limits.q_high)
    assert inside.all(), "and it can come back"


@pytest.mark.parametrize("side", [-1, 1])
def test_a_tool_outside_its_box_comes_back_and_never_goes_further_out(
    arm: ArmSpec, side: int
) -> None:
    kinematics = Kinematics(arm)
    rng = np.random.default_rng(6)
    n = 32
    home = kinematics.position(arm.home[None])[0]
    length = np.ptp(arm.limits.tool_box, axis=1).min()
    size = min(1.0, length / 0.5)  # smaller for an arm that works in less than half a meter
    half = 0.06 * size
    center = home + side * size * np.array([0.12, 0.10, 0.08])
    box = np.stack([center - half, center + half], 1)
    gate = SafetyGate(replace(arm.limits, tool_box=box), 0.002, n, kinematics)
    gate.reset(np.tile(arm.home, (n, 1)))
    outside = np.abs(home - center) - half  # (3,) m, along each axis
    allowed = np.maximum(outside, 0.0)
    for _ in range(30):
        request = rng.uniform(-2, 2, (n, len(arm.joints))) * arm.limits.dq
        for _ in range(25):
            setpoint, _ = gate(request)
            pos = kinematics.position(setpoint.q)
            outside = np.abs(pos - center) - half
            assert (outside < allowed + 1e-9).all()
    assert (outside.max(1) < 0.01).any(), "and it can come back"


def test_a_gate_refuses_a_bad_tick_and_targets_of_another_shape(arm: ArmSpec) -> None:
    for dt in (0.0, -0.002, np.nan, np.inf):
        with pytest.raises(BadArgumentError, match="tick must be finite and positive"):
            SafetyGate(arm.limits, dt, 1)
    gate = SafetyGate(arm.limits, 0.002, 2)
    with pytest.raises(BadArgumentError, match="targets of shape"):
        gate(np.zeros((1, len(arm.joints))))


def test_a_masked_reset_leaves_the_other_arms_alone(arm: ArmSpec) -> None:
    home = arm.home
    unused = np.full_like(home, np.nan)
    gate = SafetyGate(arm.limits, 0.002, 2)
    gate.reset(np.stack([home, home]))
    request = 0.3 * np.tile(arm.limits.dq, (2, 1))
    for _ in range(50):
        gate(request)
    before = gate.setpoint
    gate.reset(np.stack([home, unused]), np.array([True, False]))
    after = gate.setpoint
    np.testing.assert_array_equal(after.q[0], home)
    assert not after.dq[0].any()
    np.testing.assert_array_equal(after.q[1], before.q[1])
    np.testing.assert_array_equal(after.dq[1], before.dq[1])


def test_an_action_map_refuses_what_the_arm_cannot_do(arm: ArmSpec) -> None:
    with pytest.raises(BadArgumentError, match="above the velocity limits"):
        JointVelocity(arm, 2 * arm.limits.dq)
    with pytest.raises(BadArgumentError, match="must be some of"):
        ToolVelocity(arm, arm.limits, {"w": (-1.0, 1.0)}, (0.4, 0, 0.1))
    with pytest.raises(BadArgumentError, match="must be some of"):
        ToolVelocity(arm, arm.limits, {}, (0.4, 0, 0.1))
