"""The same impact on objects that differ in one parameter, in every engine that carries objects."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from push import Push

from robots.scene import FLAT_OBJECT
from robots.signals import Array
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.families.slide import Slide
from sim.objects import defaults
from sim.outlines import SHAPES
from sim.vec_world import VecWorld

CARRIERS = sorted(name for name in ENGINES if ENGINES[name].supports(Slide().scene))
DEFAULTS = {f"object.{name}": value for name, value in defaults(FLAT_OBJECT).items()}
BASE = DEFAULTS | {"object.size_x": 0.04, "object.friction": 0.1, "object.restitution": 0.4}
BASE |= {"marker.x": 0.95, "marker.y": 0.0}
TICK = 0.01  # s
TICKS = 300
PUSH = 0.3  # of the forward speed's range
MARK = Slide().mark
# what differs from BASE, and where the object stands
WORLDS: dict[str, tuple[dict[str, float], tuple[float, float]]] = {
    "base": ({}, MARK),
    "out of the way": ({}, (0.5, 0.4)),
    "light": ({"mass": 0.15}, MARK),
    "heavy": ({"mass": 0.6}, MARK),
    "slippery": ({"friction": 0.05}, MARK),
    "rough": ({"friction": 0.2}, MARK),
    "dull": ({"restitution": 0.1}, MARK),
    "lively": ({"restitution": 0.7}, MARK),
    "long": ({"size_x": 0.06}, MARK),
    "high": ({"size_z": 0.03}, MARK),
    "narrow, aside": ({"size_y": 0.03}, (0.5, -0.06)),
    "wide, aside": ({"size_y": 0.07}, (0.5, -0.06)),
    "box, aside": ({}, (0.5, -0.02)),
    "cylinder, aside": ({"shape": SHAPES.index("cylinder")}, (0.5, -0.02)),
    "box, far aside": ({}, (0.5, -0.045)),
    "cross, far aside": ({"shape": SHAPES.index("cross")}, (0.5, -0.045)),
    "heavy on the left": ({"com_y": 0.01}, MARK),
    "heavy on the right": ({"com_y": -0.01}, MARK),
}


class Impact(Push):
    """The task with an observation every tick and no noise in where objects start."""

    dt = TICK

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        places = np.array([place for _, place in WORLDS.values()])
        return replace(super().start(rng, task), object_pos=np.c_[places, task["object.size_z"]])


@dataclass(frozen=True)
class Record:
    """One world, tick by tick."""

    pos: Array  # (T, 3) m, the object
    vel: Array  # (T, 6) m/s, rad/s
    tool: Array  # (T, 3) m
    tool_vel: Array  # (T, 3) m/s

    @property
    def speed(self) -> Array:
        return np.linalg.norm(self.vel[:, :2], axis=-1)

    @property
    def struck(self) -> int:
        """The tick at which the object begins to move; TICKS where it never does."""
        return next((k for k, moves in enumerate(self.speed > 0.05) if moves), TICKS)

    @property
    def spin(self) -> float:
        """rad/s, soon after the impact."""
        return float(self.vel[self.struck : self.struck + 15, 5].mean())

    @property
    def way(self) -> float:
        return float(self.pos[-1, 0] - MARK[0])

    @property
    def friction(self) -> float:
        """Deceleration over g of an object that slides freely."""
        is_apart = self.pos[:, 0] - self.tool[:, 0] > 0.09
        free = np.flatnonzero(is_apart & (self.speed > 0.05))
        slope, _ = np.polyfit(free * TICK, self.speed[free], 1)
        return float(-slope / 9.81)


@pytest.fixture(scope="module", params=CARRIERS)
def worlds(request: pytest.FixtureRequest) -> dict[str, Record]:
    n = len(WORLDS)
    rows = []
    for changes, _ in WORLDS.values():
        changed = BASE | {f"object.{name}": value for name, value in changes.items()}
        rows.append([float(changed[name]) for name in BASE])
    task = Task(tuple(BASE), np.array(rows), np.arange(n))
    world = VecWorld(Impact(), request.param, n)
    signals = []
    world.reset(task)
    for _ in range(TICKS):
        world.step(np.tile([PUSH, 0.0], (n, 1)))
        signals.append(world.signals)
    world.close()
    fields = ("object_pos", "object_vel", "tool_pos", "tool_vel")
    columns = [np.stack([getattr(s, field) for s in signals], 1) for field in fields]
    return {name: Record(*rows) for name, *rows in zip(WORLDS, *columns, strict=True)}


def test_objects_come_to_rest_flat_on_the_table(worlds: dict[str, Record]) -> None:
    for name, world in worlds.items():
        half = 0.03 if name == "high" else 0.02
        assert world.pos[-1, 2] == pytest.approx(half, abs=1e-3), name
        assert world.speed[-1] < 1e-2, name
        assert (world.struck < TICKS) == (name not in ("out of the way", "narrow, aside")), name


def test_friction_slows_an_object_as_coulombs_law_says(worlds: dict[str, Record]) -> None:
    for name, friction in (
        ("slippery", 0.05),
        ("base", 0.1),
        ("rough", 0.2),
        ("light", 0.1),
        ("heavy", 0.1),
    ):
        assert worlds[name].friction == pytest.approx(friction, rel=0.08), name
    assert 1.7 < worlds["slippery"].way / worlds["base"].way < 2.2, (
        "half the friction, about twice the way"
    )


def test_a_heavier_object_pushes_back_more_and_goes_nearly_as_far(
    worlds: dict[str, Record],
) -> None:
    free = worlds["out of the way"].tool_vel
    slowed = [np.abs(worlds[name].tool_vel - free).max() for name in ("light", "base", "heavy")]
    assert (np.diff(slowed) > 0).all(), f"by how much the tool is slowed, m/s: {slowed}"
    assert 0.65 < worlds["heavy"].way / worlds["light"].way < 1.05, "at four times the mass"


def test_a_livelier_object_leaves_faster_and_goes_further(worlds: dict[str, Record]) -> None:
    speed = [worlds[name].speed.max() for name in ("dull", "base", "lively")]
    assert (np.diff(speed) > 0.05).all()
    assert 1.15 < speed[2] / speed[0] < 1.7 / 1.1 + 0.05, "(1 + 0.7) / (1 + 0.1) at most"
    assert worlds["lively"].way > 1.2 * worlds["dull"].way


def test_a_longer_object_is_met_earlier_and_a_wider_one_from_further_aside(
    worlds: dict[str, Record],
) -> None:
    assert worlds["base"].struck - worlds["long"].struck in (2, 3, 4)  # 2 cm nearer, at 0.7 m/s
    assert worlds["wide, aside"].way > 0.05
    assert np.ptp(worlds["narrow, aside"].pos, 0).max() < 1e-3


def test_shapes_are_met_and_turn_as_their_geometry_says(worlds: dict[str, Record]) -> None:
    later = worlds["cross, far aside"].struck - worlds["box, far aside"].struck
    assert later in (2, 3, 4), "the tool passes beside the bar that points at it"
    box, cylinder = worlds["box, aside"], worlds["cylinder, aside"]
    assert box.spin < 1.5 * cylinder.spin < 0, (
        "an impact meets a cylinder square, wherever it comes from"
    )
    assert cylinder.pos[-1, 1] + 0.02 < -0.05, "and sends it aside"


def test_an_object_turns_towards_its_heavy_side(worlds: dict[str, Record]) -> None:
    assert worlds["heavy on the left"].spin > 2
    assert worlds["heavy on the right"].spin < -2
    assert abs(worlds["base"].spin) < 0.5
    ends = [worlds[name].pos[-1, 1] for name in ("heavy on the left", "heavy on the right")]
    assert ends[0] > 0.02
    assert ends[0] == pytest.approx(-ends[1], rel=0.2)
