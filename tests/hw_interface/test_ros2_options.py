"""The options of the driver ros2: what is refused before any client is loaded."""

import importlib.util
from typing import Any

import pytest

from hw_interface.drivers.ros2 import Ros2, Ros2Options
from hw_interface.drivers.ros2_options import check_order, joints_of
from hw_interface.lease import Lease
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError, MissingExtraError

VIPERX = ARMS["viperx"]

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"domain": 102}, "domain is 0 to 101"),
    ({"domain": "0"}, "domain is 0 to 101"),
    ({"domain": True}, "domain is 0 to 101"),
    ({"port": ""}, "network interface"),
    ({"port": '"/><x'}, "network interface"),
    ({"controller": "my arm"}, "controller is a name"),
    ({"stream": "velocity"}, "stream is forward or trajectory"),
    ({"namespace": "a b"}, "namespace is a name"),
    ({"states": "joint-states"}, "states is a name"),
    ({"joints": "a,b"}, "viperx has 6 joints, not 2"),
    ({"joints": "a,b,c,d,e,a"}, "named twice"),
]


@pytest.mark.parametrize(("options", "words"), IMPOSSIBLE)
def test_impossible_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgumentError, match=words):
        Ros2(VIPERX, None, Ros2Options(**options))


def test_two_programs_do_not_command_one_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    driver = Ros2(VIPERX, None, Ros2Options(domain=7, namespace="left"))
    lease = Lease("ros2-7-left-forward_position_controller")
    lease.take()
    with pytest.raises(ArmError, match="in use by process"):
        driver.connect()
    lease.release()


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pliant\[ros2\]"):
        Ros2(VIPERX)


def test_joints_may_have_other_names_in_ros_2() -> None:
    names = joints_of(Ros2Options(joints="a, b, c, d, e, f"), VIPERX)
    assert names == ("a", "b", "c", "d", "e", "f")
    assert joints_of(Ros2Options(), VIPERX) == VIPERX.joints


@pytest.mark.parametrize("order", [("a",), ("a", "a"), ("a", "b", "c")])
def test_a_controller_needs_each_joint_once(order: tuple[str, ...]) -> None:
    with pytest.raises(RuntimeError, match="those of this arm are a, b"):
        check_order(order, ("a", "b"))
