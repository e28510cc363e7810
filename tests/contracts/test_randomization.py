"""The contract of every family's parameters: they are drawn from their ranges, which users change.

A new family is tested by being registered.
"""

from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest
from suite_sample import SAMPLE

from robots.errors import BadArgumentError, UnknownNameError
from robots.signals import Array
from robots.world import Family, Task
from sim.families import FAMILIES
from sim.families.ant import ANT
from sim.families.carry import Carry
from sim.families.cheetah_slope import SLOPES
from sim.families.insert import PEG_RADIUS, WALL, Insert
from sim.families.latch import LEVER
from sim.families.push import Push
from sim.families.quadruped_vel import LEGS as QUADRUPED_LEGS
from sim.families.slide import Slide
from sim.families.splits import SPLITS
from sim.go1 import LEGS as GO1_LEGS
from sim.loaded_arm import PARTS
from sim.randomization import (
    HELDOUT,
    Parameter,
    Range,
    categorical,
    log_uniform,
    parameters_of,
    range_names,
    uniform,
    with_ranges,
)

INSERT = Insert()
N = 400
MARK = Slide().mark  # m, where the object of slide stands
PUSH_MARK = Push().mark  # m, the middle of the places where objects of push begin
PAYLOAD = Carry.task_names[:2]  # factors of the masses of its parts
PART_MASS = Carry().body.part_mass  # kg
GO1_HIPS = tuple(f"actuator.{leg}_hip" for leg in GO1_LEGS)
UNITS = {"1", "m", "rad", "m/s", "kg", "s", "N", "N·s/m", "N·m", "N·m·s/rad"}
every_family = pytest.mark.parametrize("name", [*sorted(FAMILIES), *SAMPLE])
every_split = pytest.mark.parametrize("split", SPLITS)


def angle(task: Task) -> Array:
    turn = np.arctan2(task.values[:, 1], task.values[:, 0])
    return np.asarray(turn % (2 * np.pi))


def distance(task: Task) -> Array:
    return np.asarray(np.linalg.norm(task.values, axis=1))


def faulty(task: Task) -> Array:
    return np.asarray(task.values[task.values != 1])


def joint_gains(task: Task) -> Array:
    columns = [i for i, name in enumerate(task.names) if name.startswith("disturbance.gain.")]
    return np.asarray(task.values[:, columns])


def inverted(task: Task) -> Array:
    return np.asarray(joint_gains(task).min(1))


def weak(task: Task) -> Array:
    gains = joint_gains(task)
    return np.asarray(gains[(gains >= 0) & (gains < 1)])


def dead_leg(task: Task) -> Array:
    legs = [int(ANT.joints[row.argmin()][-1]) for row in task.values]
    return np.array(legs, dtype=float)


def ahead(task: Task) -> Array:
    return task["marker.x"] - MARK[0]


def aside(task: Task) -> Array:
    return task["marker.y"] - MARK[1]


def from_mark(task: Task) -> Array:
    """Of slide_plane's target, (n, 2) m: its mark is that of slide."""
    return np.asarray(task.columns("marker.x", "marker.y") - MARK)


def target_distance(task: Task) -> Array:
    return np.asarray(np.hypot(*from_mark(task).T))


def target_bearing(task: Task) -> Array:
    x, y = from_mark(task).T
    return np.asarray(np.arctan2(y, x))


def forward(task: Task) -> Array:
    return task["marker.x"] - PUSH_MARK[0]


def sideways(task: Task) -> Array:
    return task["marker.y"] - PUSH_MARK[1]


def com_share_x(task: Task) -> Array:
    return np.asarray(task["object.com_x"] / shorter_side(task))


def com_share_y(task: Task) -> Array:
    return np.asarray(task["object.com_y"] / shorter_side(task))


def shorter_side(task: Task) -> Array:
    return np.asarray(task.columns("object.size_x", "object.size_y").min(1))


def payload_mass(task: Task) -> Array:
    return np.asarray(PART_MASS * task.columns(*PAYLOAD).sum(1))


def motor(joint: str) -> Callable[[Task], Array]:
    """The strength of a leg is that of each of its motors."""

    def strength(task: Task) -> Array:
        return task[f"actuator.{joint}"]

    return strength


def corners(task: Task) -> Array:
    rises = np.cumsum(task.columns(*SLOPES), 1)  # each ramp is 1 m long
    return np.pad(rises, ((0, 0), (1, 0)))


def ground_height(task: Task) -> Array:
    return np.asarray(np.ptp(corners(task), axis=1))


def ground_shape(task: Task) -> Array:
    heights = corners(task)
    shape = np.zeros(len(task))
    shape[heights.argmax(1) == 3] = 1.0
    shape[heights.argmin(1) == 3] = 2.0
    shape[heights[:, -1] > heights[:, 13]] = 3.0
    return shape


def payload_center(task: Task) -> Array:
    front, back = (task[name] for name in PAYLOAD)
    return np.asarray(PARTS["payload_front"] * (front - back) / (front + back))


def hole(axis: int, walls: tuple[str, str]) -> Callable[[Task], Array]:
    """The place of insert's hole along an axis, from where it is supposed to be."""

    def between(task: Task) -> Array:
        return task.columns(*walls).mean(1) - INSERT.touch[axis]

    return between


def clearance(task: Task) -> Array:
    left, right = task.columns("fixture.left.x", "fixture.right.x").T
    return np.asarray((right - left) / 2 - WALL - PEG_RADIUS)


def lever(task: Task, power: int) -> Array:
    """Of a door, m to a power: its forces are meant 10 cm from the hinge; 1 of a drawer."""
    return np.where(task["panel.joint"] == 0, LEVER**power, 1.0)


# Parameters that a task does not hold as they are: what they are in a task.
DERIVED: dict[str, Callable[[Task], Array]] = {
    "goal.angle": angle,
    "goal.distance": distance,
    "disturbance.latency": lambda task: np.zeros(len(task)),  # none, while its range is 0
    "fault.strength": faulty,
    "fault.leg": dead_leg,
    "fault.inverted": inverted,
    "fault.weak": weak,
    "target.ahead": ahead,
    "target.aside": aside,
    "target.distance": target_distance,
    "target.bearing": target_bearing,
    "target.forward": forward,
    "target.sideways": sideways,
    "object.com_share_x": com_share_x,
    "object.com_share_y": com_share_y,
    "leg.strength": lambda task: task.columns(*GO1_HIPS).min(1),
    "leg.number": lambda task: task.columns(*GO1_HIPS).argmin(1),
    **{f"leg.{leg}.strength": motor(f"yaw_{leg}") for leg in QUADRUPED_LEGS},
    "payload.mass": payload_mass,
    "payload.com": payload_center,
    "command.forward": lambda task: task["marker.x"],
    "command.left": lambda task: task["marker.y"],
    "ground.height": ground_height,
    "ground.shape": ground_shape,
    "hole.x": hole(0, ("fixture.left.x", "fixture.right.x")),
    "hole.y": hole(1, ("fixture.front.y", "fixture.back.y")),
    "hole.clearance": clearance,
    "panel.friction_force": lambda task: task["panel.joint_friction"] / lever(task, 1),
    "panel.damping_force": lambda task: task["panel.joint_damping"] / lever(task, 2),
    "panel.latch_force": lambda task: task["panel.joint_latch"] / lever(task, 1),
}


def contains(source: Range, values: Array) -> bool:
    """Whether all values can have been drawn, up to rounding."""
    if source.distribution == "categorical":
        is_one = np.isclose(values[:, None], source.numbers, rtol=0, atol=1e-9)
        return bool(is_one.any(-1).all())
    low, high = source.intervals.T
    above = values[:, None] >= low - 1e-9
    below = values[:, None] <= high + 1e-9
    return bool((above & below).any(-1).all())


def check_sampled(family: Family, split: str, seed: int = 0) -> None:
    """Every parameter is drawn from its range."""
    task = family.sample(np.random.default_rng(seed), N, split)
    assert task.names == family.task_names
    for parameter in parameters_of(family):
        is_held = parameter.name in task.names
        values = task[parameter.name] if is_held else DERIVED[parameter.name](task)
        source = parameter.of(split)
        assert len(values) >= N, parameter.name
        assert contains(source, values), (parameter.name, values.min(), values.max())
        spread = values.max() - values.min()
        width = max(source.numbers) - min(source.numbers)
        assert spread >= 0.7 * width, parameter.name  # it uses all of its range


def narrowed(source: Range) -> tuple[float, ...]:
    """Another range within one: its middle third, or its last value."""
    if source.distribution == "categorical":
        return (source.numbers[-1],)
    low, high = source.intervals[0]
    third = (high - low) / 3
    return (low + third, high - third)


@every_family
def test_its_parameters_say_what_they_are(name: str) -> None:
    parameters = parameters_of(FAMILIES[name]())
    names = [parameter.name for parameter in parameters]
    assert len(set(names)) == len(names)
    for parameter in parameters:
        assert parameter.unit in UNITS
        assert parameter.meaning
        assert parameter.choices or np.isfinite(parameter.allowed).all()


@every_family
@every_split
def test_every_parameter_is_drawn_from_all_of_its_range(name: str, split: str) -> None:
    check_sampled(FAMILIES[name](), split)


@every_family
def test_a_changed_range_is_obeyed_and_the_others_stay(name: str) -> None:
    family: Family = FAMILIES[name]()
    known = range_names(parameters_of(family))
    for changed in [*known][:: max(1, len(known) // 15)]:
        split = "heldout" if changed.endswith(HELDOUT) else "train"
        numbers = narrowed(known[changed].of(split))
        other = with_ranges(family, {changed: numbers})
        own = range_names(parameters_of(other))[changed]
        assert own.of(split).numbers == numbers
        for every in SPLITS:
            check_sampled(other, every)
    assert range_names(parameters_of(family)) == known
    check_sampled(family, "train")


@every_family
def test_all_ranges_can_be_changed_at_once(name: str) -> None:
    family: Family = FAMILIES[name]()
    ranges = {}
    for changed, parameter in range_names(parameters_of(family)).items():
        split = "heldout" if changed.endswith(HELDOUT) else "train"
        ranges[changed] = narrowed(parameter.of(split))
    other = with_ranges(family, ranges)
    for split in SPLITS:
        check_sampled(other, split)


@every_family
def test_an_impossible_range_is_refused_by_name(name: str) -> None:
    family: Family = FAMILIES[name]()
    for changed, parameter in range_names(parameters_of(family)).items():
        source = parameter.of("heldout" if changed.endswith(HELDOUT) else "train")
        low, high = parameter.allowed
        bad: list[tuple[float, ...]] = [(), (nan,), (inf, inf), (-inf, 0.0), (-1e9, 1e9)]
        if source.distribution == "categorical":
            bad.append((source.numbers[0], 77.0))
        else:
            bad += [(high, low), (low, high + 1.0), (low - 1.0, high), (low, high, high)]
        for numbers in bad:
            with pytest.raises(BadArgumentError, match=f"^range.{changed}=.*not allowed: give"):
                with_ranges(family, {changed: numbers})


@every_family
def test_an_unknown_range_is_refused_with_those_that_there_are(name: str) -> None:
    family: Family = FAMILIES[name]()
    known = ".*".join(parameter.name for parameter in parameters_of(family)[:1])
    with pytest.raises(UnknownNameError, match=f"{name} has no range.object.frition.*{known}"):
        with_ranges(family, {"object.frition": (0.0, 1.0)})
    shared = [p.name for p in parameters_of(family) if p.heldout is None]
    for parameter in shared:
        with pytest.raises(UnknownNameError, match=f"range.{parameter} is the range of both"):
            with_ranges(family, {parameter + HELDOUT: (0.0, 1.0)})


def test_a_family_that_declares_nothing_has_no_ranges_to_change() -> None:
    from tests.toys.family import Toy

    family = Toy()
    assert with_ranges(family, {}) is family
    with pytest.raises(UnknownNameError, match=r"toy has no range\.goal\.x: it declares no ranges"):
        with_ranges(family, {"goal.x": (0.0, 1.0)})


# What a seed gave before parameters were data: published results depend on it.
FIRST_TASKS = {
    ("slide", "train"): [
        0.0,
        0.031882572844807985,
        0.04437153894422502,
        0.0231420400598645,
        0.3173684571486986,
        0.10751710245743144,
        0.37225120816567114,
        0.0023783778729216023,
        0.9284201163748791,
        0.03139455946722487,
    ],
    ("slide", "heldout"): [
        2.0,
        0.05195614095247831,
        0.06215314010207089,
        0.023164864511045123,
        0.16421005818743958,
        0.044512794381671064,
        0.47848639866806214,
        -0.004985099164911639,
        0.9298401223016876,
        0.06267377127122516,
    ],
    ("cheetah_vel", "heldout"): [0.5229315197882991],
    ("cheetah_cripple", "train"): [0.2910810180321839, 1.0, 0.04706432112019959, 1.0, 1.0, 1.0],
    ("cheetah_params", "train"): [0.75, 0.85],
    ("reach", "heldout"): [0.4955405090160919, -0.2029356788798004, 0.2799380820709421],
    ("point", "train"): [0.6025489304127938, 0.16432407212873557],
}


@pytest.mark.parametrize(("name", "split"), FIRST_TASKS)
def test_a_seed_gives_the_tasks_that_it_always_gave(name: str, split: str) -> None:
    task = FAMILIES[name]().sample(np.random.default_rng(3), 2, split)
    np.testing.assert_allclose(task.values[1], FIRST_TASKS[name, split], rtol=1e-12)


def test_a_single_number_fixes_a_parameter() -> None:
    family = with_ranges(FAMILIES["slide"](), {"object.mass": (0.3,)})
    task = family.sample(np.random.default_rng(0), 8)
    assert task["object.mass"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "source", [uniform(1, 2, 5, 9), log_uniform(0.1, 1, 10, 1000)], ids=["uniform", "log"]
)
def test_the_intervals_of_a_range_are_equally_likely(source: Range) -> None:
    shares = np.linspace(0, 1, 1001)
    for values in (source.at(shares), source.draw(np.random.default_rng(0), 4000)):
        assert contains(source, values)
        for low, high in source.intervals:
            is_within = (values >= low) & (values <= high)
            middle = (low + high) / 2
            if source.distribution == "log-uniform":
                middle = np.sqrt(low * high)
            assert is_within.mean() == pytest.approx(0.5, abs=0.03)
            assert np.median(values[is_within]) == pytest.approx(middle, rel=0.1)


def test_a_categorical_range_draws_each_value_equally_often() -> None:
    values = categorical(1, 2, 4).draw(np.random.default_rng(0), 3000)
    kinds, counts = np.unique(values, return_counts=True)
    assert kinds.tolist() == [1, 2, 4]
    assert counts / 1000 == pytest.approx(1, abs=0.1)


def test_a_parameter_whose_own_range_is_impossible_cannot_be_declared() -> None:
    with pytest.raises(BadArgumentError, match="above 0"):
        Parameter("object.mass", log_uniform(0, 1), "kg", "mass", (0.0, 5.0))
    with pytest.raises(BadArgumentError, match=r"range\.object\.mass\.heldout=9,10"):
        Parameter(
            "object.mass", uniform(1, 2), "kg", "mass", (0.0, 5.0), heldout=uniform(9.0, 10.0)
        )
