"""A scene as data: impossible numbers and names are refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BODY

from robots.errors import BadArgumentError
from robots.scene import FLAT_OBJECT, TABLE, Fixture, Scene, SceneObject

GRID = np.arange(6.0).reshape(2, 3)

BAD_OBJECTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "torus"}, "no kind 'torus'; there are: outline, box, sphere"),
    ({"size": (0.1, 0.1)}, "the size of a box is 3 positive numbers"),
    ({"size": (0.1, 0.1, 0.0)}, "3 positive numbers"),
    ({"size": (0.1, 0.1, np.inf)}, "3 positive numbers"),
    ({"mass": 0.0}, "mass must be positive"),
    ({"mass": np.nan}, "mass must be positive"),
    ({"friction": -0.1}, "friction must not be negative"),
    ({"restitution": 1.1}, "restitution"),
    ({"name": "goal"}, "'goal' must be an identifier and none of"),
    ({"name": "a.b"}, r"'a\.b' must be an identifier"),
    ({"mesh": Path("cube.stl")}, "only the kind 'mesh' has a mesh"),
    ({"kind": "mesh"}, "only the kind 'mesh' has a mesh, and needs it"),
]
BAD_FIXTURES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "hole"}, "no kind 'hole'; there are: plane, box, cylinder, height_field"),
    ({"size": ()}, "the size of a box is 3 positive numbers"),
    ({"friction": np.nan}, "friction must not be negative"),
    ({"heights": GRID}, "only a height_field has heights"),
    (
        {"kind": "height_field", "size": (1.0, 1.0)},
        "only a height_field has heights, and needs them",
    ),
    ({"kind": "height_field", "size": (1.0, 1.0), "heights": np.ones((2, 3))}, "not flat"),
    ({"kind": "height_field", "size": (1.0, 1.0), "heights": GRID[:1]}, "at least 2 x 2"),
    ({"kind": "height_field", "size": (1.0, 1.0), "heights": GRID * np.nan}, "finite"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD_OBJECTS)
def test_an_impossible_object_is_refused(changes: dict[str, Any], reason: str) -> None:
    numbers: dict[str, Any] = {"name": "cube", "kind": "box", "size": (0.1, 0.1, 0.1)}
    SceneObject(**numbers)
    with pytest.raises(BadArgumentError, match=reason):
        SceneObject(**(numbers | changes))


@pytest.mark.parametrize(("changes", "reason"), BAD_FIXTURES)
def test_an_impossible_fixture_is_refused(changes: dict[str, Any], reason: str) -> None:
    numbers: dict[str, Any] = {"name": "wall", "kind": "box", "size": (0.1, 0.1, 0.1)}
    Fixture(**numbers)
    with pytest.raises(BadArgumentError, match=reason):
        Fixture(**(numbers | changes))


def test_a_name_occurs_once_in_a_scene() -> None:
    table = SceneObject("table", "sphere", (0.1,))
    with pytest.raises(BadArgumentError, match="a name occurs twice in the scene: table, table"):
        Scene(BODY, (table,), (TABLE,))


def test_a_scene_says_what_is_in_it() -> None:
    assert Scene(BODY).description == "tiny-arm"
    ball = SceneObject("ball", "sphere", (0.1,))
    assert Scene(BODY, (FLAT_OBJECT, ball)).description == "tiny-arm with object, ball"


@pytest.mark.parametrize(
    ("fine", "timestep", "expected"),
    [
        (0.0005, 0.004, 0.0005),  # divides the new step
        (0.0025, 0.004, 0.002),  # does not
        (0.0025, 0.002, 0.002),  # is longer than the new step
        (None, 0.004, None),
    ],
)
def test_other_steps_leave_the_fine_ones_no_longer(
    fine: float | None, timestep: float, expected: float | None
) -> None:
    scene = Scene(BODY, (FLAT_OBJECT,), (TABLE,), timestep=0.005, contact_timestep=fine)
    other = scene.with_timestep(timestep)
    assert other.timestep == timestep
    assert other.contact_timestep == pytest.approx(expected)
    assert other.objects == scene.objects
