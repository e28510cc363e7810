"""What the gate promises of every setpoint it gives, whatever it is asked for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robots.actions import JointVelocity, ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.safety import SafetyGate
from robots.signals import Array, Setpoint, Verdict

TICKS = (0.001, 0.002, 0.01)
calm = settings(deadline=None, max_examples=25, derandomize=True)


@pytest.fixture(params=list(ARMS))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


@pytest.fixture
def low(arm: ArmSpec) -> Limits:
    """A low, flat box before an arm that works there."""
    box = np.array([[0.25, 0.62], [-0.15, 0.15], [0.02, 0.2]])
    (home,), (least, most) = Kinematics(arm).position(arm.home[None]), arm.limits.tool_box.T
    if not (
        (least <= box[:, 0]) & (box[:, 0] < home) & (home < box[:, 1]) & (box[:, 1] <= most)
    ).all():
        pytest.skip(f"{arm.name} works elsewhere")
    return arm.limits.narrowed(box)


def run(gate: SafetyGate, wishes: Array) -> tuple[list[Array], Array]:
    """Traces q, dq, ddq, each (ticks, n, j), and the verdicts (ticks, n)."""
    q, dq, ddq, verdicts = [], [], [], []
    for wish in wishes:
        setpoint, verdict = gate(wish)
        q.append(setpoint.q)
        dq.append(setpoint.dq)
        ddq.append(setpoint.ddq)
        verdicts.append(verdict)
    return [np.array(q), np.array(dq), np.array(ddq)], np.array(verdicts)


def inside(limits: Limits, dt: float, trace: list[Array], start: Array) -> None:
    """Position, velocity, acceleration and jerk, sample by sample, as differences of the positions themselves."""
    q = np.concatenate([np.repeat(start[None], 3, 0), trace[0]])  # at rest before
    dq, slack = np.diff(q, axis=0) / dt, 1e-6
    ddq = np.diff(dq, axis=0) / dt
    jerk = np.diff(ddq, axis=0) / dt
    assert (q >= limits.q_low - slack).all()
    assert (q <= limits.q_high + slack).all()
    assert (np.abs(dq) <= limits.dq * (1 + slack)).all()
    assert (np.abs(ddq) <= limits.ddq * (1 + slack) + 1e-5).all()
    assert (np.abs(jerk) <= limits.jerk * (1 + slack) + 1e-2).all()


@calm
@given(
    seed=st.integers(0, 10_000),
    dt=st.sampled_from(TICKS),
    kind=st.sampled_from(["random", "push", "saw"]),
    hold=st.integers(1, 200),
)
def test_every_limit_holds_for_every_wish(seed: int, dt: float, kind: str, hold: int) -> None:
    for arm in ARMS.values():
        rng, j, ticks = np.random.default_rng(seed), len(arm.joints), 600
        top = 2 * arm.limits.dq
        if kind == "random":
            wishes = np.repeat(rng.uniform(-top, top, (ticks // hold + 1, 2, j)), hold, 0)[:ticks]
        elif kind == "push":
            wishes = np.repeat(rng.choice([-1, 1], (1, 2, j)) * top, ticks, 0)
        else:
            wishes = np.where(np.arange(ticks)[:, None, None] % (2 * hold) < hold, 1, -1) * np.tile(
                top, (ticks, 2, 1)
            )
        start = rng.uniform(arm.limits.q_low, arm.limits.q_high, (2, j))
        gate = SafetyGate(arm.limits, dt, 2)
        gate.reset(start)
        trace, _ = run(gate, wishes)
        inside(arm.limits, dt, trace, start)


@pytest.mark.parametrize("dt", TICKS)
def test_an_admissible_wish_is_reached_kept_and_called_ok(arm: ArmSpec, dt: float) -> None:
    gate, wish = SafetyGate(arm.limits, dt, 1), 0.2 * arm.limits.dq[None]
    gate.reset((arm.limits.q_low + arm.limits.q_high)[None] / 2)
    trace, verdicts = run(gate, np.repeat(wish[None], round(0.5 / dt), 0))
    assert np.allclose(trace[1][-1], wish, atol=1e-9)
    assert (np.diff(trace[1][:, 0], axis=0) >= -1e-9).all(), "the way there must not overshoot"
    assert not verdicts.any()


@pytest.mark.parametrize(
    "dt", TICKS[1:]
)  # below, jerk spreads a change over ticks, and a wish is met a tick later
def test_what_the_gate_gave_it_lets_pass_unchanged(arm: ArmSpec, dt: float) -> None:
    rng = np.random.default_rng(0)
    first, second = SafetyGate(arm.limits, dt, 1), SafetyGate(arm.limits, dt, 1)
    middle = (arm.limits.q_low + arm.limits.q_high)[None] / 2
    first.reset(middle)
    second.reset(middle)
    wishes = np.repeat(rng.uniform(-0.3, 0.3, (10, 1, len(arm.joints))) * arm.limits.dq, 40, 0)
    given_, _ = run(first, wishes)
    again, verdicts = run(second, given_[1])
    assert np.allclose(given_[0], again[0], atol=1e-9)
    assert not verdicts.any()


def test_more_is_never_answered_with_less(arm: ArmSpec) -> None:
    start = (arm.limits.q_low + arm.limits.q_high)[None] / 2
    reached = []
    for share in (0.1, 0.4, 0.9, 2.0):
        gate = SafetyGate(arm.limits, 0.002, 1)
        gate.reset(start)
        trace, _ = run(gate, np.repeat(share * arm.limits.dq[None, None], 100, 0))
        reached.append(trace[0][-1, 0])
    assert (np.diff(reached, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_wish_that_is_not_finite_is_dropped_and_brakes_its_own_arm_only(
    arm: ArmSpec, bad: float
) -> None:
    gate, alone = SafetyGate(arm.limits, 0.002, 2), SafetyGate(arm.limits, 0.002, 1)
    middle = (arm.limits.q_low + arm.limits.q_high) / 2
    gate.reset(np.stack([middle, middle]))
    alone.reset(middle[None])
    wishes = np.repeat(0.3 * np.tile(arm.limits.dq, (1, 2, 1)), 400, 0)
    wishes[100:, 0, 2] = bad
    trace, verdicts = run(gate, wishes)
    lonely, _ = run(alone, wishes[:, 1:])
    assert np.allclose(trace[0][:, 1], lonely[0][:, 0])
    assert (verdicts[100:, 0] == int(Verdict.DROPPED | Verdict.HELD)).all()
    assert not verdicts[:, 1].any()
    assert np.isfinite(trace[0]).all()
    assert not trace[1][-1, 0].any(), "it stands still"
    inside(arm.limits, 0.002, trace, np.stack([middle, middle]))


def test_a_batch_is_its_rows(arm: ArmSpec) -> None:
    rng, n = np.random.default_rng(3), 4
    start = rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))
    wishes = rng.uniform(-2, 2, (50, n, len(arm.joints))) * arm.limits.dq
    kinematics = Kinematics(arm)
    whole = SafetyGate(arm.limits, 0.01, n, kinematics)
    whole.reset(start)
    together, flags = run(whole, wishes)
    for i in range(n):
        single = SafetyGate(arm.limits, 0.01, 1, kinematics)
        single.reset(start[i : i + 1])
        apart, flag = run(single, wishes[:, i : i + 1])
        assert np.allclose(together[0][:, i], apart[0][:, 0], atol=1e-12)
        assert (flags[:, i] == flag[:, 0]).all()


@pytest.mark.parametrize("dt", TICKS)
@pytest.mark.parametrize("way", ["tool", "joint"])
def test_the_tool_stays_in_its_box(arm: ArmSpec, low: Limits, dt: float, way: str) -> None:
    """Where both are tight: beside the low box the arm is folded against its joints' ends."""
    limits, box, kinematics, rng, n = (
        low,
        low.tool_box,
        Kinematics(arm),
        np.random.default_rng(1),
        48,
    )
    fast = {"x": (-1.2, 1.2), "y": (-1.0, 1.0), "z": (-1.0, 1.0)}
    action_map = (
        JointVelocity(arm) if way == "joint" else ToolVelocity(arm, limits, fast, (0.4, 0, 0.1))
    )
    gate = SafetyGate(limits, dt, n, kinematics)
    gate.reset(np.tile(arm.home, (n, 1)))
    seen = []
    for tick in range(round(2 / dt)):
        if tick % round(0.1 / dt) == 0:
            action = rng.choice([-1.0, 1.0], (n, len(action_map.spec)))
        setpoint, _ = gate(action_map(action, gate.setpoint))
        seen.append(kinematics.position(setpoint.q))
    outside = np.maximum(box[:, 0] - np.array(seen), np.array(seen) - box[:, 1])
    assert outside.max() < 0.002
    assert np.ptp(np.array(seen), axis=0).max() > 0.1, "and it was not simply held still"


def test_the_tool_is_sent_as_it_was_asked_along_the_axes_it_moves(arm: ArmSpec) -> None:
    kinematics, n, rng = Kinematics(arm), 20, np.random.default_rng(5)
    tool = ToolVelocity(arm, arm.limits, {"z": (0.0, 0.2), "x": (-0.2, 0.0)}, (0, 0.02, 0))
    still = np.zeros((n, len(arm.joints)))
    setpoint = Setpoint(arm.home + rng.normal(0, 0.02, still.shape), still, still)
    action = rng.uniform(-1, 1, (n, 2))
    dq = tool(action, setpoint)
    pos, _, jacobian = kinematics.forward_jacobian(setpoint.q)
    moves = np.einsum("naj,nj->na", jacobian[:, :3], dq)
    asked = np.stack(
        [0.1 * action[:, 1] - 0.1, tool.HOLD * (0.02 - pos[:, 1]), 0.1 * action[:, 0] + 0.1], 1
    )
    assert (np.abs(dq) < arm.limits.dq).all()
    assert np.allclose(moves, asked, atol=1e-5)
    assert np.allclose(tool(action[:1], replace(setpoint, q=setpoint.q[:1])), dq[:1], atol=1e-12)


def test_a_strike_keeps_its_height_and_line(arm: ArmSpec, low: Limits) -> None:
    limits, kinematics = low, Kinematics(arm)
    (x, y, z), _ = (row[0] for row in kinematics.forward(arm.home[None]))
    tool = ToolVelocity(arm, limits, {"x": (0.0, 1.2), "y": (-0.3, 0.3)}, (x, y, z))
    gate = SafetyGate(limits, 0.002, 1, kinematics)
    gate.reset(arm.home[None])
    where, speeds, flags = [], [], 0
    for _ in range(500):
        setpoint, verdict = gate(tool(np.array([[1.0, 0.0]]), gate.setpoint))
        pos, _, jacobian = kinematics.forward_jacobian(setpoint.q)
        speeds.append((jacobian[0, :3] @ setpoint.dq[0])[0])
        where.append(pos[0])
        flags |= int(verdict[0])
    seen, speed = np.array(where), np.array(speeds)
    assert speed.max() > 0.9
    assert (np.diff(speed[speed.argmax() :]) < 0.01).all(), (
        "it brakes once, and does not chatter at the face"
    )
    assert not flags & int(Verdict.HELD), "the gate slows down in time, and need not stop the arm"
    assert np.abs(seen[:, 1] - y).max() < 1e-3
    assert np.abs(seen[:, 2] - z).max() < 3e-3
    assert 0.6 < seen[-1, 0] < 0.62


def test_a_planned_move_ends_at_rest_where_it_was_sent(arm: ArmSpec) -> None:
    limits = arm.limits
    goal = arm.home + 0.3 * np.where(arm.home < (limits.q_low + limits.q_high) / 2, 1, -1)
    gate = SafetyGate(limits, 0.002, 1)
    gate.reset(arm.home[None])
    move, wishes, time = Move(limits, arm.home, goal), [], 0.0
    trace: list[Array] = []
    while not move.arrived(time, gate.setpoint) and time < 5:
        wishes = move(time, gate.setpoint)
        trace.append(gate(wishes)[0].q)
        time += 0.002
    assert np.abs(gate.setpoint.q[0] - goal).max() < 1e-3
    assert time < move.duration + 0.5
    with pytest.raises(ValueError, match="allowed are"):
        Move(limits, arm.home, limits.q_high + 1)


def test_limits_are_finite_positive_and_only_ever_narrowed(arm: ArmSpec) -> None:
    for name, value in (
        ("dq", np.nan),
        ("ddq", np.inf),
        ("jerk", -1.0),
        ("tau", 0.0),
        ("force", 0.0),
    ):
        whole = getattr(arm.limits, name)
        with pytest.raises(ValueError, match=name):
            replace(arm.limits, **{name: np.full_like(whole, value) if np.ndim(whole) else value})
    with pytest.raises(ValueError, match="read-only"):
        arm.limits.dq[0] = 100.0
    with pytest.raises(ValueError, match="reaches out"):
        arm.limits.narrowed(arm.limits.tool_box * 2)


def test_a_start_outside_the_limits_is_refused(arm: ArmSpec) -> None:
    gate = SafetyGate(arm.limits, 0.002, 1)
    for q in (arm.limits.q_high + 0.1, np.full(len(arm.joints), np.nan)):
        with pytest.raises(ValueError, match="cannot start"):
            gate.reset(q[None])
