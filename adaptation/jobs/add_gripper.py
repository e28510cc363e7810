"""A new gripper from its MJCF: what it does is measured, and written as one without loops."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from adaptation.jobs.add_arm import check_place, copy_licenses, module_name, picture
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.gripper import Gripper
from robots.mjcf import is_mjcf
from robots.model_files import find_model
from robots.signals import Array
from robots.urdf import mass_and_center, read_arm_tree
from robots.urdf_elements import errors_about
from robots.urdf_tree import read_tree
from sim.gripper_measurement import MeasuredGripper, measure_gripper
from sim.open_gripper import DRIVEN, GRASP, write_open_gripper
from sim.rendering import write_picture

# What no model has, and what it means.
MISSING = {
    "speed": "m/s, largest speed of each finger",
    "acceleration": "m/s², largest of each finger",
    "jerk": "m/s³, largest of each finger",
    "home": "a pose to start from, (j + 1,) rad, the last one m: the finger's",
    "lift_zone": "a LiftZone for lift; or None",
}
PLACEHOLDER = 1.0  # of a missing number, while the gripper is drawn
# Of the motor's servo in simulation, ours, as of the Franka Hand: how far a setpoint is beyond the
# surface of an object to press with all force; and damping and armature over stiffness. Where a
# servo is much stiffer, the contact in the engine gives way instead, and presses with less.
BEYOND = 0.015  # m
DAMPING_TIME = 0.03  # s
ARMATURE_SHARE = 2e-4  # s²
DIGITS = 6  # of the numbers in an entry

ENTRY = '''\
"""The arm {arm} with the gripper of {source}.

The numbers were measured by closing that model in MuJoCo, and are not its maker's. Its fingers
slide here, straight and parallel. In the model the pads move by {heave:.1f} mm across their stroke
while they close, and turn by {turn:.1f}°. Each presses with {force:.1f} N; over objects of several
widths this differs by {spread:.0f} %.

Write a number in every place of ``fill_in``. Until then this module cannot be imported, and the
gripper does not move.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from robots.arm import fill_in
from robots.catalog import ARMS
from robots.gripper import Gripper

GRIPPER = Gripper(
    name="{name}",
    urdf=Path(__file__).parent / "{name}.urdf",
    joint="{name}_{driven}",
    tool="{name}_{grasp}",
    closed={closed!r},
    opened={opened!r},
    speed=fill_in("speed: {missing_speed}"),
    acceleration=fill_in("acceleration: {missing_acceleration}"),
    jerk=fill_in("jerk: {missing_jerk}"),
    # Two fingers.
    force={motor!r},
    # Servo in simulation, ours: 15 mm beyond an object's surface press with all force.
    stiffness={stiffness!r},
    damping={damping!r},
    armature={armature!r},
)

# The width between the pads, m, under each control of the model's actuator, for a driver.
CONTROL = np.array(
    {control}
)
WIDTH = np.array(
    {width}
)

{constant} = replace(
    ARMS["{arm}"].with_gripper(GRIPPER, "{name}"),
    home=fill_in("home: {missing_home}"),
    lift_zone=fill_in("lift_zone: {missing_lift_zone}"),
)
'''


class NewGripper(msgspec.Struct, frozen=True):
    """What was written for a new gripper, and what was measured on its model."""

    arm: str  # that carries it
    gripper: str
    width: list[float]  # m, between the pads: closed, open
    force: float  # N, of each pad on an object, the mean over several widths
    force_spread: float  # (largest - smallest) / mean of these forces
    heave: float  # m, by which the pads move across their stroke, which the entry leaves out
    turn: float  # rad, by which they turn, the same
    mass: float  # kg
    files: list[str]
    missing: dict[str, str]  # what the user has to fill in: field and meaning
    entry_point: str  # the line for the user's pyproject.toml


@dataclass(frozen=True)
class _New:
    """A gripper at its arm, and what it was made from."""

    gripper: Gripper
    arm: ArmSpec
    measured: MeasuredGripper


def add_gripper(
    name: str, model: str, pads: tuple[str, str], arm: str, package: Path
) -> NewGripper:
    """Write the folder of an arm with a new gripper.

    Args:
        name: of the gripper, of the arm with it, of the folder and, in capitals, of its constant.
        model: the gripper's MJCF; see ``find_model``.
        pads: names of the two bodies that touch an object.
        arm: name of the arm that carries it.
        package: the folder in which the new folder is made.

    Returns:
        What was measured and written, and what the user has to fill in.

    Raises:
        MissingExtraError: the model is in a package that is not installed.
        BadArgumentError: the name is taken or cannot be a module's, the folder exists or cannot be
            made, the arm has no flange, or the model cannot be used: see ``measure_gripper``.
    """
    folder = package / name
    check_place(name, folder, package)
    bare = ARMS[arm]
    file = find_model(model)
    if not is_mjcf(file):
        raise BadArgumentError(f"{file} is no MJCF; write a URDF's gripper as robots/gripper.py")
    with TemporaryDirectory(prefix=f".{name}-", dir=package) as temporary:
        new = Path(temporary) / name
        new.mkdir()
        made = _make(name, file, pads, bare, new / f"{name}.urdf")
        source = file.name if Path(model) == file else model
        (new / "__init__.py").write_text(_entry(made, bare.name, source), encoding="utf-8")
        copy_licenses(file, new)
        write_picture(new / f"{name}.jpg", picture(made.arm))
        mass = _mass(made.gripper.urdf)
        new.rename(folder)
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    measured = made.measured
    return NewGripper(
        arm=bare.name,
        gripper=name,
        width=[float(measured.width[-1]), float(measured.width[0])],
        force=measured.force,
        force_spread=measured.force_spread,
        heave=measured.heave,
        turn=measured.turn,
        mass=mass,
        files=files,
        missing=dict(MISSING),
        entry_point=f'{name} = "{module_name(folder)}:{name.upper()}"',
    )


def _make(name: str, file: Path, pads: tuple[str, str], bare: ArmSpec, urdf: Path) -> _New:
    """Measure a gripper, write its URDF, and mount it."""
    with errors_about(str(file)):
        measured = measure_gripper(file, pads)
        write_open_gripper(file, measured, name, urdf)
    stiffness = 2 * measured.force / BEYOND
    gripper = Gripper(
        name=name,
        urdf=urdf,
        joint=f"{name}_{DRIVEN}",
        tool=f"{name}_{GRASP}",
        closed=round(float(measured.width[-1]) / 2, DIGITS),
        opened=round(float(measured.width[0]) / 2, DIGITS),
        speed=PLACEHOLDER,
        acceleration=PLACEHOLDER,
        jerk=PLACEHOLDER,
        force=round(2 * measured.force, 1),
        stiffness=round(stiffness),
        damping=round(DAMPING_TIME * stiffness, 1),
        armature=round(ARMATURE_SHARE * stiffness, 3),
    )
    arm = bare.with_gripper(gripper, name)
    read_arm_tree(arm)  # raises what keeps it from being mounted
    return _New(gripper, arm, measured)


def _mass(urdf: Path) -> float:
    """Of all links of a URDF, kg."""
    links = read_tree(urdf).links.values()
    masses = [mass_and_center(link)[0] for link in links if link.find("inertial") is not None]
    return float(sum(masses))


def _entry(new: _New, arm: str, source: str) -> str:
    """The Python source of the catalog entry; the missing numbers are marked."""
    gripper = new.gripper
    measured = new.measured
    meanings = {f"missing_{field}": meaning for field, meaning in MISSING.items()}
    return ENTRY.format(
        arm=arm,
        name=gripper.name,
        constant=gripper.name.upper(),
        source=source,
        heave=1e3 * measured.heave,
        turn=np.rad2deg(measured.turn),
        force=measured.force,
        spread=100 * measured.force_spread,
        driven=DRIVEN,
        grasp=GRASP,
        closed=gripper.closed,
        opened=gripper.opened,
        motor=gripper.force,
        stiffness=gripper.stiffness,
        damping=gripper.damping,
        armature=gripper.armature,
        control=_list(measured.control),
        width=_list(measured.width),
        **meanings,
    )


def _list(values: Array) -> str:
    """The source of a list of numbers (k,), one on each line."""
    lines = [f"\n        {value!r}," for value in values.round(DIGITS).tolist()]
    return "[" + "".join(lines) + "\n    ]"
