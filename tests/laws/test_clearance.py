"""What the gate of a single arm promises of its links, whatever is requested."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from exact_links import ExactLinks
from toys.rail import RAIL

from benchmarks.gate_search import DRIVER_TICKS, search
from robots import clear_line
from robots.arm import ArmSpec
from robots.bodies import make_arm_gate
from robots.catalog import ARMS
from robots.clear_line import KnownLines
from robots.clearance import MARGIN, Clearance
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.motion import Move, explain_block
from robots.safety import SafetyGate
from robots.signals import Array, Verdict
from robots.spheres import Spheres

# rad: on the straight line from home to here the tool stays in its box, and a link goes far below
# the table.
DIVES = {
    "panda": np.array([-2.274, -1.758, 2.664, -1.355, -0.329, 0.285, 1.399]),
    "ur5e": np.array([-1.145, -0.108, 1.107, -2.941, 0.563, 1.601]),
    "viperx": np.array([0.445, 1.177, -0.023, -2.962, 2.14, 0.801]),
}
ROUNDING = 1e-8  # m


@pytest.fixture(params=list(DIVES))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


def unguarded_gate(arm: ArmSpec) -> SafetyGate:
    """As in simulation: only the tool is checked."""
    return SafetyGate(arm.limits, DRIVER_TICKS[arm.name], 1, Kinematics(arm))


def guarded_gate(arm: ArmSpec) -> SafetyGate:
    """As at the arm."""
    return make_arm_gate(arm, arm.limits, DRIVER_TICKS[arm.name])


def begin_of_dive(arm: ArmSpec, slack: float) -> Array:
    """The first place (j,) on the way to the dive where something is closer than ``slack`` m."""
    clearance = Clearance(Kinematics(arm))
    way = np.linspace(0, 1, 400)[:, None]
    line = arm.home + way * (DIVES[arm.name] - arm.home)
    smallest = clearance.slack(line).min(0)
    return line[np.argmax(smallest < slack)]


def dive(arm: ArmSpec, gate: SafetyGate) -> Array:
    """Setpoints (t, j) while a straight move to the dive is requested."""
    start = begin_of_dive(arm, 0.03)
    gate.reset(start[None])
    move = Move(arm.limits, start, DIVES[arm.name])
    setpoints = []
    ticks = round(move.duration / gate.dt)
    for tick in range(ticks):
        setpoint, _ = gate(move(tick * gate.dt, gate.setpoint))
        setpoints.append(setpoint.q[0])
    return np.array(setpoints)


def toward_the_nearest(clearance: Clearance, q: Array) -> Array:
    """The direction (j,) in which the nearest thing that can come nearer does so fastest."""
    can_change = clearance.speed[:, 1:].any(1)
    slack = clearance.slack(q[None])[:, 0]
    nearest = np.argsort(np.where(can_change, slack, np.inf))[:1]
    steps = q + 1e-4 * np.eye(len(q))
    change = clearance.slack(steps)[nearest][0] - slack[nearest]
    return -np.sign(change)


def clear_starts(arm: ArmSpec, count: int) -> Array:
    """Configurations (count, j): the tool in its box, the links clear and close to something."""
    kinematics = Kinematics(arm)
    clearance = Clearance(kinematics)
    rng = np.random.default_rng(0)
    limits = arm.limits
    q = rng.uniform(limits.q_low, limits.q_high, (2000, len(arm.joints)))
    tool = kinematics.position(q)
    low, high = limits.tool_box.T
    in_box = ((tool > low) & (tool < high)).all(1)
    slack = clearance.slack(q).min(0)
    usable = in_box & (slack > 0.01)
    candidates = q[usable]
    nearest_first = np.argsort(slack[usable])
    return candidates[nearest_first[:count]]


def attack(arm: ArmSpec, gate: SafetyGate, start: Array, ticks: int) -> tuple[Array, Array]:
    """Setpoints (t, j) and verdicts (t,) while the nearest collision is requested, and others."""
    clearance = Clearance(Kinematics(arm))
    rng = np.random.default_rng(1)
    gate.reset(start[None])
    setpoints = []
    verdicts = []
    for tick in range(ticks):
        if tick % 20 == 0:
            fraction = rng.choice([0.3, 1.0, 2.0])
            request = fraction * toward_the_nearest(clearance, gate.setpoint.q[0]) * arm.limits.dq
            if rng.random() < 0.2:
                request = rng.uniform(-1, 1, len(start)) * arm.limits.dq
        setpoint, verdict = gate(request[None])
        setpoints.append(setpoint.q[0])
        verdicts.append(verdict[0])
    return np.array(setpoints), np.array(verdicts)


def test_a_link_does_not_dive_below_the_table_while_the_tool_is_in_its_box(arm: ArmSpec) -> None:
    exact = ExactLinks(arm)
    unguarded = dive(arm, unguarded_gate(arm))
    assert min(exact.smallest(q)[0] for q in unguarded[::40]) < -0.05, "the provocation"
    guarded = dive(arm, guarded_gate(arm))
    assert min(exact.smallest(q)[0] for q in guarded[::10]) > 0
    assert np.abs(guarded[-1] - guarded[-2]).max() < 1e-4, "it stands"


def test_no_request_brings_a_link_into_the_table_or_another_link(arm: ArmSpec) -> None:
    """Judged by the exact shapes, not by the spheres that the gate works with."""
    exact = ExactLinks(arm)
    clearance = Clearance(Kinematics(arm))
    gate = guarded_gate(arm)
    nearest = np.inf
    for start in clear_starts(arm, 4):
        q, _ = attack(arm, gate, start, 200)
        slack = clearance.slack(q)
        assert slack.min() > -ROUNDING
        nearest = min(nearest, slack.min())
        for sample in q[::20]:
            lowest, closest = exact.smallest(sample)
            assert lowest > 0
            assert closest > 0
    assert nearest < 0.01, "and they come close"


def test_the_same_requests_do_so_without_the_check(arm: ArmSpec) -> None:
    clearance = Clearance(Kinematics(arm))
    gate = unguarded_gate(arm)
    lowest = np.inf
    for start in clear_starts(arm, 4):
        q, _ = attack(arm, gate, start, 240)
        lowest = min(lowest, clearance.slack(q).min())
    assert lowest < -MARGIN


def test_an_arm_that_was_stopped_at_the_table_comes_out_again(arm: ArmSpec) -> None:
    gate = guarded_gate(arm)
    last = dive(arm, gate)[-1]
    back = arm.home - last
    for speed in (0.3, 1.0):
        request = speed * back / np.abs(back / arm.limits.dq).max()
        gate.reset(last[None])
        ticks = round(0.4 / gate.dt)
        for _ in range(ticks):
            setpoint, _ = gate(request[None])
        moved = np.abs(setpoint.q[0] - last).max()
        assert moved > 0.05
    clearance = Clearance(Kinematics(arm))
    reason = explain_block(clearance, arm.limits, last, DIVES[arm.name] - last)
    assert "a link is close to the" in reason


def test_links_that_start_too_close_come_out_and_never_go_further_in(arm: ArmSpec) -> None:
    clearance = Clearance(Kinematics(arm))
    gate = guarded_gate(arm)
    start = begin_of_dive(arm, -0.02)
    gate.reset(start[None])
    allowed = np.minimum(clearance.slack(start[None])[:, 0], 0.0)
    rng = np.random.default_rng(2)
    for _ in range(20):
        request = rng.uniform(-1, 1, len(start)) * arm.limits.dq
        for _ in range(20):
            setpoint, _ = gate(request[None])
            slack = clearance.slack(setpoint.q)[:, 0]
            assert (slack > allowed - ROUNDING).all()
            allowed = np.minimum(slack, 0.0)
    gate.reset(start[None])
    for _ in range(round(2.0 / gate.dt)):
        gate(2 * (arm.home - gate.setpoint.q))
    assert clearance.slack(gate.setpoint.q).min() > -ROUNDING, "it comes out"


def test_links_that_start_too_close_come_out_with_short_ticks_too(arm: ArmSpec) -> None:
    """With these an arm that brakes coasts beside the line that was checked."""
    dt = 0.0005
    gate = make_arm_gate(arm, arm.limits, dt)
    start = begin_of_dive(arm, -0.02)
    gate.reset(start[None])
    for _ in range(round(0.3 / dt)):
        gate(2 * (arm.home - gate.setpoint.q))
    assert np.abs(gate.setpoint.q[0] - start).max() > 0.02


def test_links_that_start_too_close_do_not_creep_further_in(arm: ArmSpec) -> None:
    clearance = Clearance(Kinematics(arm))
    gate = guarded_gate(arm)
    start = begin_of_dive(arm, -0.02)
    gate.reset(start[None])
    before = clearance.slack(start[None])[:, 0]
    request = DIVES[arm.name] - start
    for _ in range(600):
        setpoint, _ = gate(request[None])
    slack = clearance.slack(setpoint.q)[:, 0]
    violated = before < 0
    assert (slack[violated] > before[violated] - 1.1e-9).all()


def test_what_is_not_measured_anew_would_make_no_difference(
    arm: ArmSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate decides as one that measures all distances on all lines in every tick."""
    start = clear_starts(arm, 4)
    traces = []
    for measures_everything in (False, True):
        gate = SafetyGate(
            arm.limits,
            DRIVER_TICKS[arm.name],
            len(start),
            Kinematics(arm),
            keep_links_clear=True,
        )
        if measures_everything:
            nothing_is_known = np.full(2 * len(start), -np.inf)
            monkeypatch.setattr(clear_line, "SOON", np.inf)
            monkeypatch.setattr(KnownLines, "lowest", Mock(return_value=nothing_is_known))
        gate.reset(start)
        rng = np.random.default_rng(3)
        setpoints = []
        for tick in range(240):
            if tick % 40 == 0:
                request = rng.uniform(-2, 2, start.shape) * arm.limits.dq
            setpoint, _ = gate(request)
            setpoints.append(setpoint.q)
        traces.append(np.array(setpoints))
    assert np.abs(traces[0] - traces[1]).max() < ROUNDING


@pytest.mark.parametrize("name", list(DIVES))
def test_a_search_for_a_collision_finds_none(name: str) -> None:
    """A short search; ``benchmarks/gate_search.py`` is the long one."""
    arm = ARMS[name]
    kinematics = Kinematics(arm)
    n = 16
    gate = SafetyGate(arm.limits, DRIVER_TICKS[name], n, kinematics, keep_links_clear=True)
    clearance = Clearance(kinematics)
    excess = search(gate, kinematics, "links", 3, n, 0, clearance)
    assert excess["links"] < ROUNDING
    assert excess["tool speed"] < 1e-9


def test_spheres_cover_every_shape(arm: ArmSpec) -> None:
    """The lowest point of the spheres is never above that of the shapes, but not far below it."""
    rng = np.random.default_rng(0)
    exact = ExactLinks(arm)
    kinematics = Kinematics(arm)
    spheres = Spheres.cover(arm)
    moving = spheres.link >= 0
    link = spheres.link[moving]
    for q in rng.uniform(arm.limits.q_low, arm.limits.q_high, (50, len(arm.joints))):
        frames = kinematics.frames(q[None])[0][link]
        centers = np.einsum("pxy,py->px", frames[:, :3, :3], spheres.center[moving])
        heights = centers[:, 2] + frames[:, 2, 3] - spheres.radius[moving]
        lowest, _ = exact.smallest(q)
        assert heights.min() <= lowest + ROUNDING
        assert heights.min() > lowest - 0.05


def test_a_link_without_a_shape_is_a_rod() -> None:
    spheres = Spheres.cover(RAIL)
    assert set(spheres.link.tolist()) == {0, 1, 2}
    gate = make_arm_gate(RAIL, RAIL.limits, 0.002)
    gate.reset(RAIL.home[None])
    gate(np.ones((1, 3)))


def test_at_home_and_at_rest_the_links_are_clear(arm: ArmSpec) -> None:
    clearance = Clearance(Kinematics(arm))
    poses = np.stack([arm.home, arm.rest])
    slack = clearance.slack(poses)
    assert slack.min() > -ROUNDING


def test_links_of_an_arm_without_a_tool_are_refused(arm: ArmSpec) -> None:
    with pytest.raises(BadArgumentError, match="keep_links_clear needs an arm with a tool"):
        SafetyGate(arm.limits, 0.002, 1, keep_links_clear=True)


def test_links_of_several_arms_are_kept_clear_as_of_each_alone(arm: ArmSpec) -> None:
    kinematics = Kinematics(arm)
    dt = DRIVER_TICKS[arm.name]
    start = clear_starts(arm, 3)
    together = SafetyGate(arm.limits, dt, len(start), kinematics, keep_links_clear=True)
    together.reset(start)
    alone = [guarded_gate(arm) for _ in start]
    for gate, row in zip(alone, start, strict=True):
        gate.reset(row[None])
    rng = np.random.default_rng(0)
    for tick in range(150):
        if tick % 30 == 0:
            request = rng.uniform(-2, 2, start.shape) * arm.limits.dq
        setpoint, verdict = together(request)
        for i, gate in enumerate(alone):
            own, own_verdict = gate(request[i : i + 1])
            assert np.allclose(own.q[0], setpoint.q[i], atol=1e-9)
            assert own_verdict[0] == verdict[i]


def test_an_arm_whose_box_reaches_below_its_base_has_a_lower_table(arm: ArmSpec) -> None:
    box = arm.limits.tool_box.copy()
    box[2, 0] = -0.3
    hanging = replace(arm, limits=replace(arm.limits, tool_box=box), move_box=None)
    q = DIVES[arm.name][None]
    on_table = Clearance(Kinematics(arm))
    above = Clearance(Kinematics(hanging))
    heights = slice(0, on_table.heights)
    lower = above.slack(q) - on_table.slack(q)
    assert (lower[heights] > -ROUNDING).all()
    assert lower[heights].max() == pytest.approx(0.3)


def test_a_held_link_is_said_in_the_verdict(arm: ArmSpec) -> None:
    gate = guarded_gate(arm)
    dive(arm, gate)
    _, verdict = gate((DIVES[arm.name] - gate.setpoint.q[0])[None] * 5)
    assert verdict[0] & int(Verdict.LIMITED)
