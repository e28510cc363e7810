"""Families that take an arm: every arm of the catalog that has room for their tasks."""

import pickle
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import pliant
import sim.gym  # noqa: F401  registers the families
from robots.catalog import ARMS
from robots.clearance import Clearance
from robots.errors import BadArgumentError, UnknownNameError
from robots.kinematics import Kinematics
from robots.signals import Array
from sim.engines import ENGINES
from sim.families import arms_for, make_family
from sim.families.object_on_table import OBJECT_X, OBJECT_Y, TARGET_X
from sim.families.push import PLACE_NOISE, Push
from sim.families.reach import Reach
from sim.families.slide import Slide
from sim.vec_world import VecWorld

REACHING = arms_for("reach")
STRIKING = arms_for("slide")
PUSHING = arms_for("push")
ENGINES_OF_ARMS = [name for name in sorted(ENGINES) if ENGINES[name].supports(Reach().scene)]
GAIN = 3.0  # 1/s, of the tool's way to the goal
N = 12


def tool_at(arm: str, q: Array) -> tuple[Array, Array]:
    """Position (3,) m of the tool, and the direction (3,) in which its z axis points."""
    kinematics = Kinematics(ARMS[arm])
    pos, rotation, _ = kinematics.forward_jacobian(q[None])
    return pos[0], rotation[0][:, 2]


@pytest.mark.parametrize("arm", REACHING)
def test_reach_begins_in_the_center_of_its_goals(arm: str) -> None:
    family = Reach(ARMS[arm])
    assert family.body is ARMS[arm]
    pos, _ = tool_at(arm, family.ready)
    np.testing.assert_allclose(pos, family.zone.center, atol=2e-3)


@pytest.mark.parametrize("arm", STRIKING)
def test_slide_begins_behind_the_object(arm: str) -> None:
    family = Slide(ARMS[arm])
    zone = ARMS[arm].strike_zone
    assert zone is not None
    (x, y, z), _ = tool_at(arm, family.ready)
    assert zone.tool_box[0, 0] < x < zone.mark - 0.1
    assert y == pytest.approx(0.0, abs=2e-3)
    assert z == pytest.approx(zone.height, abs=2e-3)
    assert zone.mark < zone.tool_box[0, 1]


@pytest.mark.parametrize("arm", PUSHING)
def test_push_begins_behind_the_object(arm: str) -> None:
    zone = ARMS[arm].push_zone
    assert zone is not None
    (x, y, z), _ = tool_at(arm, zone.ready)
    np.testing.assert_allclose((x, y, z), (zone.start, 0.0, zone.height), atol=1e-3)
    family = make_family("push", arm)
    assert isinstance(family, Push)
    corner = np.hypot(0.05, 0.05)  # m, of the largest box from its center
    nearest = family.mark[0] - PLACE_NOISE - corner
    radius = 0.02  # m, of the tool's ball
    assert zone.tool_box[0, 0] < x < nearest - radius


@pytest.mark.parametrize("arm", REACHING)
def test_where_a_task_begins_the_arm_has_room(arm: str) -> None:
    spec = ARMS[arm]
    assert spec.reach_zone is not None
    poses = [spec.home, spec.rest, spec.reach_zone.ready]
    if spec.strike_zone is not None:
        poses.append(spec.strike_zone.ready)
    if spec.push_zone is not None:
        poses.append(spec.push_zone.ready)
    for q in poses:
        assert (spec.limits.q_low <= q).all()
        assert (q <= spec.limits.q_high).all()
    assert (Clearance(Kinematics(spec)).slack(np.array(poses)) > 0).all()


@pytest.mark.parametrize("engine", ENGINES_OF_ARMS)
@pytest.mark.parametrize("arm", REACHING)
def test_who_knows_the_goal_gets_there(arm: str, engine: str) -> None:
    family = Reach(ARMS[arm])
    world = VecWorld(family, engine, N, seed=0)
    task = family.sample(np.random.default_rng(0), N)
    obs = world.reset(task)
    for _ in range(family.horizon):
        velocity = GAIN * (task.values - obs[:, :3])
        step = world.step(np.clip(velocity / family.zone.speed, -1, 1))
        obs = step.obs
    world.close()
    assert step.success.all()


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
@pytest.mark.parametrize("arm", STRIKING)
def test_a_strike_sends_the_object_beyond_the_furthest_target(arm: str, engine: str) -> None:
    """Of objects that slide badly, by the fastest strike."""
    family = Slide(ARMS[arm])
    task = family.sample(np.random.default_rng(0), N)
    changes = {
        "object.shape": np.zeros(N),
        "object.com_y": np.zeros(N),
        "object.friction": np.full(N, 0.13),
        "object.restitution": np.full(N, 0.2),
    }
    task = task.with_columns(changes)
    world = VecWorld(family, engine, N, seed=0)
    world.reset(task)
    step = world.step(np.tile([1.0, 0.0], (N, 1)))
    world.close()
    assert (step.obs[:, OBJECT_X] > family.obs.high[TARGET_X] - 0.1).all()
    assert (np.abs(step.obs[:, OBJECT_Y]) < 0.1).all()


def test_an_arm_without_room_is_refused_with_those_that_have_it() -> None:
    with pytest.raises(BadArgumentError, match=r"'viperx' has no strike_zone.*panda"):
        make_family("slide", "viperx")
    nowhere = replace(ARMS["panda"], reach_zone=None)
    with pytest.raises(BadArgumentError, match=r"'panda' has no reach_zone.*viperx"):
        Reach(nowhere)


def test_the_arms_of_a_family_are_those_with_room_for_it() -> None:
    assert [name for name in ARMS if ARMS[name].reach_zone is not None] == REACHING
    assert [name for name in ARMS if ARMS[name].strike_zone is not None] == STRIKING
    assert [name for name in ARMS if ARMS[name].push_zone is not None] == PUSHING
    assert arms_for("point") == []


def test_an_entry_that_is_not_filled_in_hides_no_other_arm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = 'from robots.arm import fill_in\nARM = fill_in("home: a pose")\n'
    (tmp_path / "half_done.py").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    with ARMS.temporarily("half_done", "half_done:ARM"):
        assert arms_for("slide") == STRIKING
        able = ", ".join(STRIKING)
        with pytest.raises(BadArgumentError, match=rf"'viperx' has no strike_zone.*: {able}$"):
            make_family("slide", "viperx")
        with pytest.raises(BadArgumentError, match="not filled in: home"):
            make_family("slide", "half_done")


def test_a_family_with_a_body_of_its_own_takes_no_arm() -> None:
    with pytest.raises(BadArgumentError, match="point takes no arm"):
        make_family("point", "panda")
    with pytest.raises(UnknownNameError, match=r"no arm named 'hand'; there are: .*panda"):
        make_family("reach", "hand")


def test_an_arm_is_named_in_python_and_to_gymnasium() -> None:
    world = pliant.make("reach", n=2, arm="viperx")
    assert world.family.body is ARMS["viperx"]
    world.close()
    with pytest.raises(BadArgumentError, match="has its arm already"):
        pliant.make(Reach(), arm="viperx")
    with gymnasium.make("pliant/reach-v0", arm="viperx") as env:
        env.reset(seed=0)
        assert env.unwrapped.world.family.body is ARMS["viperx"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", [Reach(ARMS["viperx"]), Slide()])
def test_another_process_gets_the_family_with_its_arm(family: Reach | Slide) -> None:
    sent = pickle.loads(pickle.dumps(family))
    assert sent.body.name == family.body.name
    np.testing.assert_array_equal(sent.obs.high, family.obs.high)
    np.testing.assert_array_equal(sent.ready, family.ready)
