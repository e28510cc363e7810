"""The data types that all packages share: specs, tasks, starts, limits of a body's kind."""

import numpy as np
import pytest

from robots.actions import zero_action
from robots.bodies import make_gate, make_kinematics
from robots.catalog import ARMS
from robots.errors import BadArgumentError, UnknownNameError
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Signals, Spec
from robots.torque_gate import TorqueGate
from robots.world import Start, Task
from sim.families.cheetah import CHEETAH
from sim.families.point import POINT

SPEC = Spec.of(("x", -1.0, 2.0, "m"), ("speed", 0, 3, "m/s"))


def test_a_spec_is_built_from_columns() -> None:
    assert SPEC.names == ("x", "speed")
    assert SPEC.units == ("m", "m/s")
    assert SPEC.low.dtype == np.float64
    np.testing.assert_array_equal(SPEC.low, [-1.0, 0.0])
    np.testing.assert_array_equal(SPEC.high, [2.0, 3.0])
    assert len(SPEC) == 2


def test_a_spec_finds_columns_by_name() -> None:
    assert SPEC.index("speed") == 1
    assert SPEC.indices(["speed", "x"]) == [1, 0]
    with pytest.raises(UnknownNameError, match="no column 'y'; there are: x, speed"):
        SPEC.index("y")
    with pytest.raises(BadArgumentError, match="no column 'y'"):
        SPEC.indices(["x", "y"])


def test_a_spec_without_columns_is_empty() -> None:
    empty = Spec.of()
    assert len(empty) == 0
    assert empty.low.shape == (0,)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("x", 0.0, 1.0, "m"), ("x", 0.0, 1.0, "m")], "occurs twice"),
        ([("x", 1.0, 1.0, "m")], "low must be below high"),
        ([("x", 0.0, np.nan, "m")], "low must be below high"),
    ],
)
def test_a_spec_refuses_columns_that_make_no_sense(
    columns: list[tuple[str, float, float, str]], message: str
) -> None:
    with pytest.raises(BadArgumentError, match=message):
        Spec.of(*columns)


def test_a_spec_refuses_columns_of_different_length() -> None:
    with pytest.raises(BadArgumentError, match="differ in length"):
        Spec(("x",), np.zeros(2), np.ones(2), ("m",))


def test_the_zero_action_is_zero_or_the_nearest_value_in_the_range() -> None:
    spec = Spec.of(
        ("both ways", -1.0, 1.0, "m/s"),
        ("mostly forward", -1.0, 3.0, "m/s"),
        ("forward only", 0.5, 1.0, "m/s"),
    )
    np.testing.assert_allclose(zero_action(spec), [0.0, -0.5, -1.0])


def test_a_task_gives_its_parameters_by_name() -> None:
    task = Task(("object.mass", "goal.x"), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([7, 8]))
    assert len(task) == 2
    np.testing.assert_array_equal(task["goal.x"], [2.0, 4.0])
    np.testing.assert_array_equal(task.columns("goal.x", "object.mass"), [[2.0, 1.0], [4.0, 3.0]])
    second = task.take(np.array([False, True]))
    assert second.ids.tolist() == [8]
    assert second.values.tolist() == [[3.0, 4.0]]


def test_a_task_lists_its_parameters_and_checks_its_shape() -> None:
    task = Task(("object.mass", "goal.x"), np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
    with pytest.raises(KeyError, match=r"no task parameter 'goal.y'; there are: object.mass, goal"):
        task["goal.y"]
    with pytest.raises(BadArgumentError, match=r"values \(1, 2\) do not fit 2 tasks"):
        Task(task.names, task.values, np.zeros(2, dtype=np.int64))


def test_a_start_is_at_rest_and_without_an_object_unless_it_says_so() -> None:
    start = Start(np.zeros((3, 2)))
    assert start.dq is None
    assert start.object_pos is None
    assert start.object_quat is None


def test_signals_of_some_worlds_are_taken_by_mask_or_index() -> None:
    rng = np.random.default_rng(0)
    shapes = {
        "q": (3, 2),
        "dq": (3, 2),
        "tau": (3, 2),
        "tool_pos": (3, 3),
        "tool_quat": (3, 4),
        "tool_vel": (3, 3),
        "object_pos": (3, 3),
        "object_quat": (3, 4),
        "object_vel": (3, 6),
        "marker": (3, 3),
        "stamp": (3,),
    }
    signals = Signals(**{name: rng.normal(size=shape) for name, shape in shapes.items()})
    by_mask = signals.take(np.array([True, False, True]))
    by_index = signals.take(np.array([0, 2]))
    assert len(signals) == 3
    for name in shapes:
        np.testing.assert_array_equal(getattr(by_mask, name), getattr(signals, name)[[0, 2]])
        np.testing.assert_array_equal(getattr(by_index, name), getattr(by_mask, name))


def test_each_kind_of_body_has_its_gate_and_kinematics() -> None:
    arm = ARMS["panda"]
    arm_gate = make_gate(arm, arm.limits, 0.002, 2)
    assert isinstance(arm_gate, SafetyGate)
    assert arm_gate.setpoint.q.shape == (2, 7)
    assert isinstance(make_kinematics(arm), Kinematics)

    assert isinstance(make_gate(POINT, POINT.limits, 0.1, 1), SafetyGate)
    assert make_kinematics(POINT) is None

    walker_gate = make_gate(CHEETAH, CHEETAH.limits, 0.01, 3)
    assert isinstance(walker_gate, TorqueGate)
    assert walker_gate.setpoint.q.shape == (3, 6)
    assert make_kinematics(CHEETAH) is None


def test_only_a_body_that_moves_freely_has_root_joints() -> None:
    assert ARMS["panda"].root == ()
    assert POINT.root == ()
    assert CHEETAH.root == CHEETAH.root_joints
    assert CHEETAH.root
