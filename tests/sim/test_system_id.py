"""Parameters that moved an arm are found again from its motion, with honest intervals."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from adaptation.jobs.sysid import SysidResult, sysid
from hw_interface.recording.reading import read_recording
from hw_interface.recording.recorder import Recording, RecordingPlan
from robots.errors import BadArgumentError, DamagedError
from robots.signals import Array, Setpoint
from robots.world import Start
from sim.engines import ENGINES
from sim.families import make_family
from sim.interpolation import interpolate
from sim.randomization import Parameter, uniform
from sim.recorded_motion import DELAY, Motion, Scale, fixed_task
from sim.system_id import Fit, _fit, _half_widths, _identifiable, fit, say_nothing

FAMILY = make_family("carry")
TRUTH = {
    "payload.mass": 1.3,
    "payload.com": 0.03,
    "actuator.strength": 1.2,
    "joint.damping_scale": 0.7,
}
TRUE_DELAY = 0.012  # s
TICK = 0.004  # s, of the recording
SECONDS = 2.0
NOISE = 5e-5  # rad


def commands(seed: int) -> tuple[Array, Array, Array]:
    """Times (T,), setpoints (T, j) and their rates: sums of sines that begin at home."""
    rng = np.random.default_rng(seed)
    t = TICK * np.arange(SECONDS / TICK)
    joints = len(FAMILY.body.joints)
    rate, phase = rng.uniform([[[2.0]], [[0.0]]], [[[5.0]], [[6.28]]], (2, 3, joints))
    size = rng.uniform(0.03, 0.15, (3, joints))
    angle = rate * t[:, None, None] + phase
    q = FAMILY.ready + (size * (np.sin(angle) - np.sin(phase))).sum(1)
    return t, q, (size * rate * np.cos(angle)).sum(1)


@cache
def motion(seed: int) -> Motion:
    """What an arm with the true parameters does."""
    t, q_set, dq_set = commands(seed)
    engine = ENGINES["mujoco"]()
    engine.load(FAMILY.scene, 1)
    engine.write(fixed_task(FAMILY, TRUTH))
    engine.reset(Start(q_set[:1]))
    step = FAMILY.scene.timestep
    times = step * np.arange(1, round(SECONDS / step) + 1)
    found = [engine.read()]
    for time in times:
        now = np.array([time - TRUE_DELAY])
        q = interpolate(now, t, q_set)[None]
        dq = interpolate(now, t, dq_set)[None]
        engine.run(Setpoint(q, dq, np.zeros_like(q)), 1)
        found.append(engine.read())
    engine.close()
    every_time = np.concatenate([[0.0], times])
    q = interpolate(t, every_time, np.concatenate([signals.q for signals in found]))
    dq = interpolate(t, every_time, np.concatenate([signals.dq for signals in found]))
    noise = np.random.default_rng(seed).normal(0, NOISE, q.shape)
    return Motion(t, q + noise, dq, q_set, dq_set)


@cache
def fitted() -> Fit:
    return fit(FAMILY, [motion(0), motion(1)], [motion(2)])


def test_what_moved_the_arm_is_found() -> None:
    found = {each.parameter.name: each for each in fitted().parameters}
    for name, truth in {**TRUTH, DELAY.name: TRUE_DELAY}.items():
        width = Scale(found[name].parameter).high - Scale(found[name].parameter).low
        assert found[name].value == pytest.approx(truth, abs=0.01 * width), name
        interval = found[name].interval
        assert interval is not None
        low, high = interval
        assert 0 < high - low < 0.05 * width, name
        assert low - 0.5 * (high - low) < truth < high + 0.5 * (high - low), name


def test_what_moves_no_joint_is_not_fitted() -> None:
    left_out = {each.parameter.name for each in fitted().parameters if each.interval is None}
    assert left_out == {"disturbance.latency", "marker.x", "marker.y", "marker.z"}


def test_the_error_falls_to_the_noise_also_in_motion_that_was_not_fitted() -> None:
    found = fitted()
    for error, nominal in (
        (found.error, found.nominal_error),
        (found.heldout_error, found.heldout_nominal_error),
    ):
        assert error < 2 * NOISE
        assert nominal > 10 * error


def test_parameters_that_do_not_exist_or_are_choices_are_refused() -> None:
    with pytest.raises(BadArgumentError, match=r"carry has no parameter mass; there are: payload"):
        fit(FAMILY, [motion(0)], [motion(1)], ["mass"])
    with pytest.raises(BadArgumentError, match="is a choice"):
        fit(make_family("slide"), [motion(0)], [motion(1)], ["object.shape"])


class LeastAtTheEnd:
    """A model whose best parameter lies at the lower end of its range; notes what it was asked."""

    def __init__(self) -> None:
        self.lowest = 1.0

    def residuals(self, shares: Array, motions: list[Motion]) -> Array:
        self.lowest = min(self.lowest, shares.min())
        return np.tile(shares, (1, 4))


def test_no_parameter_leaves_what_is_allowed() -> None:
    model = LeastAtTheEnd()
    parameter = Parameter("mass", uniform(0.5, 2.0), "kg", "of a load", (0.5, 2.0))
    scales = [Scale(parameter)]
    found = _fit(model, scales, [motion(0)], [motion(0)], say_nothing)  # type: ignore[arg-type]
    assert found.parameters[0].interval is not None
    assert model.lowest >= 0.0


def test_of_two_parameters_with_the_same_effect_one_is_left_out() -> None:
    rng = np.random.default_rng(0)
    column = rng.normal(size=100)
    other = rng.normal(size=100)
    effects, is_fitted = _identifiable(np.stack([column, other, 2 * column], 1))
    assert is_fitted[1]
    assert is_fitted.sum() == 2
    assert effects[1] == pytest.approx(np.sqrt((other**2).mean()), rel=0.2)
    _, none = _identifiable(1e-6 * np.stack([column, other], 1))
    assert not none.any()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """A linear model whose errors last for ten samples: independent ones would be too narrow."""
    rng = np.random.default_rng(0)
    jacobian = np.repeat(rng.normal(size=(200, 1)), 10, 0)
    held = 0
    for _ in range(300):
        errors = np.repeat(rng.normal(size=200), 10)
        share = (jacobian[:, 0] @ errors) / (jacobian[:, 0] @ jacobian[:, 0])
        residuals = errors - share * jacobian[:, 0]
        (width,) = _half_widths(jacobian, residuals, 1)
        held += abs(share) < width
    assert 0.90 < held / 300 < 0.98


def recorded(folder: Path, seeds: list[int], objects: list[int]) -> Path:
    """A recording of one trial of one episode per seed."""
    joints = FAMILY.body.joints
    notes = {"family": "carry", "arm": "panda", "clock": "lockstep", "run": ""}
    path = folder / "recording-0.mcap"
    recording = Recording(RecordingPlan(path, tuple(joints), True, notes))
    clock = 0.0
    for seed, number in zip(seeds, objects, strict=True):
        trial = {"object": number, "policy": "adapted", "explore": [False], "parameters": {}}
        recording.write("/trial", clock, trial)
        shown = motion(seed)
        for i, time in enumerate(shown.t):
            for topic, q, dq in (
                ("/joints", shown.q[i], shown.dq[i]),
                ("/setpoint", shown.q_set[i], shown.dq_set[i]),
            ):
                rows = zip(joints, q.tolist(), dq.tolist(), strict=True)
                entries = [{"name": n, "position": x, "velocity": v} for n, x, v in rows]
                recording.write(topic, clock + float(time), {"joints": entries})
        for tick in range(round(SECONDS / (FAMILY.dt * FAMILY.action_repeat))):
            decision = {
                "tick": tick,
                "observation": [],
                "action": [],
                "applied": [],
                "verdict": 0,
                "reward": 0.0,
                "next_observation": [],
                "success": False,
                "terminated": False,
                "truncated": False,
            }
            ended = clock + (tick + 1) * FAMILY.dt * FAMILY.action_repeat
            recording.write("/decision", ended, decision)
        clock += 2 * SECONDS
    recording.close()
    return path


def test_a_recording_gives_ranges_around_what_was_found(tmp_path: Path) -> None:
    path = recorded(tmp_path, [0, 1, 2], [4, 9, 4])
    result: SysidResult = sysid(path, ["payload.mass", "actuator.strength", "delay"])
    assert (result.episodes, result.heldout_episodes) == (1, 1), "those of object 4"
    assert [each.name for each in result.parameters] == [
        "payload.mass",
        "actuator.strength",
        "delay",
    ]
    assert result.heldout_nominal_error > result.heldout_error
    assert result.better
    mass, strength = result.settings
    name, _, bounds = mass.partition("=")
    low, high = (float(number) for number in bounds.split(","))
    assert name == "range.payload.mass"
    assert low < TRUTH["payload.mass"] < high
    assert strength.startswith("range.actuator.strength=")


def test_one_episode_and_trials_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path, [0], [0])
    with pytest.raises(BadArgumentError, match="one more is needed"):
        sysid(path)
    with pytest.raises(BadArgumentError, match="holds 1 trial; there is no 1"):
        sysid(path, trial=1)


@pytest.mark.parametrize("fault", ["a setpoint is missing", "a joint was not measured"])
def test_an_episode_that_was_not_measured_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = recorded(tmp_path, [0, 1], [4, 4])
    session = read_recording(path)
    if fault == "a setpoint is missing":
        del session.setpoints.times[5]
        del session.setpoints.rows[5]
    else:
        session.joints.rows[5][0] = np.nan
    monkeypatch.setattr("adaptation.jobs.sysid.read_recording", lambda path: session)
    with pytest.raises(DamagedError, match="lacks joints or setpoints of the episode that ends"):
        sysid(path, ["payload.mass"])
