"""What insert claims of its pegs: a task has one of them, and the other one touches nothing."""

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.world import Task
from sim.engines import ENGINES
from sim.families.insert import PEG_LENGTH, PEG_RADIUS, Insert
from sim.families.reach import Reach
from sim.vec_world import VecWorld
from tests.sim.test_insert import ROUND, hole_at, send

INSERT = Insert()
KINEMATICS = Kinematics(INSERT.body)
SQUARE = 1.0
CLEARANCE = 0.001  # m, of ``hole_at``
every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])


@every_engine
def test_a_round_end_sinks_into_a_hole_beside_it_and_a_flat_one_does_not(engine: str) -> None:
    """The ball r - √(r² - a²) deep, where the hole's edge is a beside its middle.

    Friction keeps it from sliding further in, as its slope there is less. The second task of each
    world has the other peg.
    """
    world = VecWorld(INSERT, engine, n=2, seed=0)
    beside = 0.0045  # m, of the hole's middle
    for shapes in ([ROUND, SQUARE], [SQUARE, ROUND]):
        rows = [hole_at(INSERT, beside, 0.0, 0.4, shape).values for shape in shapes]
        world.reset(Task(INSERT.task_names, np.concatenate(rows), np.arange(2)))
        *_, last = send(INSERT, world, np.tile([0.0, 0.0, -0.002], (6, 1)))
        # the middle of the round end, from where it is when the peg touches the supposed hole
        axis = INSERT.body.peg_axis * (PEG_LENGTH - PEG_RADIUS)
        turn = KINEMATICS.forward_jacobian(last.q)[1]
        place = last.tool_pos + turn @ axis - INSERT.touch
        place[:, 2] += PEG_LENGTH - PEG_RADIUS
        depth = dict(zip(shapes, -place[:, 2], strict=True))
        shift = place[shapes.index(ROUND), 0]
        a = PEG_RADIUS + CLEARANCE - beside + shift  # m, from the edge to that middle
        sinks = PEG_RADIUS - np.sqrt(PEG_RADIUS**2 - a**2)
        rounding = 5e-4 if engine == "bullet" else 0.0  # m: Bullet rounds the edges of boxes
        assert sinks - 1e-4 < depth[ROUND] < sinks + rounding + 1e-4
        assert sinks > 1.5e-4
        assert abs(depth[SQUARE]) < 1e-4
    world.close()


@every_engine
def test_a_tool_that_a_body_does_not_have_is_refused(engine: str) -> None:
    for scene, code in ((INSERT.scene, 2.0), (INSERT.scene, 0.5), (Reach().scene, 0.0)):
        loaded = ENGINES[engine]()
        loaded.load(scene, 1)
        with pytest.raises(BadArgumentError, match=r"tool\.shape is the index"):
            loaded.write(Task(("tool.shape",), np.array([[code]]), np.arange(1)))
        loaded.close()
