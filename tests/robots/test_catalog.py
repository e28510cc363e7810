"""The arms of the catalog against the numbers that their makers publish."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import dm_control
import mujoco
import numpy as np
import pytest

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.rotations import rotation_about
from robots.signals import Array
from robots.spheres import Spheres

RIGHT = np.pi / 2
X, Y, Z = np.eye(3)
ROD = 0.14  # m, from the flange to the center of the striker's ball
STRIKER = 0.2501  # kg, with the link that marks the tool
Rows = tuple[tuple[float, ...], ...]


def turn(axis: Array, angle: float) -> Array:
    """A rotation, (4, 4)."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_about(axis, angle)
    return pose


def shift(x: float, y: float, z: float) -> Array:
    """A translation, (4, 4)."""
    pose = np.eye(4)
    pose[:3, 3] = (x, y, z)
    return pose


def denavit_hartenberg(rows: Rows, q: Array, base: Array, end: Array) -> Array:
    """The tool's pose (4, 4); a row is a (m), d (m), alpha (rad) and what is added to the angle."""
    pose = base
    for angle, (a, d, alpha, offset) in zip(q, rows, strict=True):
        pose = pose @ turn(Z, angle + offset) @ shift(a, 0, d) @ turn(X, alpha)
    return pose @ end


def modified(rows: Rows, q: Array, base: Array, end: Array) -> Array:
    """The tool's pose (4, 4) by Craig's convention; rows are as above."""
    pose = base
    for angle, (a, d, alpha, offset) in zip(q, rows, strict=True):
        pose = pose @ turn(X, alpha) @ shift(a, 0, d) @ turn(Z, angle + offset)
    return pose @ end


def screws(rows: Rows, q: Array, end: Array) -> Array:
    """The tool's pose (4, 4) as a product of turns; a row is an axis and -axis × a point on it."""
    pose = np.eye(4)
    for angle, row in zip(q, rows, strict=True):
        axis = np.array(row[:3])
        point = np.cross(axis, row[3:])
        pose = pose @ shift(*point) @ turn(axis, angle) @ shift(*-point)
    return pose @ end


def frames(rows: Rows, q: Array, end: Array) -> Array:
    """The tool's pose (4, 4); a row is a link's place and quaternion w, x, y, z at position 0."""
    pose = np.eye(4)
    for angle, (x, y, z, w, *axis) in zip(q, rows, strict=True):
        sine = float(np.linalg.norm(axis))
        turned = turn(np.array(axis) / sine, 2 * np.arctan2(sine, w))
        pose = pose @ shift(x, y, z) @ turned @ turn(Z, angle)
    return pose @ end


@dataclass(frozen=True)
class Published:
    """What a maker publishes of an arm."""

    tool: Callable[[Array], Array]  # joint positions (j,) rad to the tool's pose (4, 4)
    masses: tuple[float, ...]  # kg, of the links, and of our tool
    dq: float | tuple[float, ...]  # rad/s
    tau: float | tuple[float, ...]  # N·m
    rounding: float = 1e-12  # m, of the tool's place by these numbers


ROD_ON_FLANGE = shift(0, 0, ROD)
# "Robot and interface specifications", Denavit-Hartenberg parameters, the same for both.
FRANKA = partial(
    modified,
    (
        (0.0, 0.333, 0.0, 0.0),
        (0.0, 0.0, -RIGHT, 0.0),
        (0.0, 0.316, RIGHT, 0.0),
        (0.0825, 0.0, RIGHT, 0.0),
        (-0.0825, 0.384, -RIGHT, 0.0),
        (0.0, 0.0, RIGHT, 0.0),
        (0.088, 0.0, RIGHT, 0.0),
    ),
    base=np.eye(4),
    end=shift(0, 0, 0.107) @ ROD_ON_FLANGE,
)
FRANKA_TORQUES = (87, 87, 87, 87, 12, 12, 12)
PUBLISHED = {
    "panda": Published(
        FRANKA,
        (0.629769, 4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522, STRIKER),
        (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
        FRANKA_TORQUES,
    ),
    "fr3": Published(
        FRANKA,
        (
            *(2.3966, 2.9274653454, 2.9355370338, 2.2449013699),
            *(2.6155955791, 2.3271207594, 1.8170376524, 0.6271432862),
            STRIKER,
        ),
        (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
        FRANKA_TORQUES,
    ),
    # "DH parameters for calculations of kinematics and dynamics"; the controller's base is turned.
    "ur5e": Published(
        partial(
            denavit_hartenberg,
            (
                (0.0, 0.1625, RIGHT, 0.0),
                (-0.425, 0.0, 0.0, 0.0),
                (-0.3922, 0.0, 0.0, 0.0),
                (0.0, 0.1333, RIGHT, 0.0),
                (0.0, 0.0997, -RIGHT, 0.0),
                (0.0, 0.0996, 0.0, 0.0),
            ),
            base=turn(Z, np.pi),
            end=ROD_ON_FLANGE,
        ),
        (4.0, 3.761, 8.058, 2.846, 1.37, 1.3, 0.365, STRIKER),
        np.pi,
        (150, 150, 150, 28, 28, 28),
    ),
    # Kinematic properties: screw axes and the end effector at 0, where the stylus has its ball.
    "viperx": Published(
        partial(
            screws,
            (
                (0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
                (0.0, 1.0, 0.0, -0.12705, 0.0, 0.0),
                (0.0, 1.0, 0.0, -0.42705, 0.0, 0.05955),
                (1.0, 0.0, 0.0, 0.0, 0.42705, 0.0),
                (0.0, 1.0, 0.0, -0.42705, 0.0, 0.35955),
                (1.0, 0.0, 0.0, 0.0, 0.42705, 0.0),
            ),
            end=shift(0.536494, 0.0, 0.42705),
        ),
        (0.969034, 0.798614, 0.792592, 0.322228, 0.414823, 0.115395, 0.326253, 0.0001),
        np.pi,
        (10, 20, 15, 2, 5, 1),
    ),
    # "Kinematic and Dynamic Parameters of UFACTORY xArm Series", xArm 7, modified parameters.
    "xarm7": Published(
        partial(
            modified,
            (
                (0.0, 0.267, 0.0, 0.0),
                (0.0, 0.0, -RIGHT, 0.0),
                (0.0, 0.293, RIGHT, 0.0),
                (0.0525, 0.0, RIGHT, 0.0),
                (0.0775, 0.3425, RIGHT, 0.0),
                (0.0, 0.0, RIGHT, 0.0),
                (0.076, 0.097, -RIGHT, 0.0),
            ),
            base=np.eye(4),
            end=ROD_ON_FLANGE,
        ),
        (0.88556, 2.382, 1.869, 1.6383, 1.7269, 1.3203, 1.325, 0.17, STRIKER),
        np.pi,
        (50, 50, 30, 30, 30, 20, 20),
    ),
    # User guide, Denavit-Hartenberg parameters of the arm with 7 joints, with all digits.
    "kinova_gen3": Published(
        partial(
            denavit_hartenberg,
            (
                (0.0, -(0.15643 + 0.12838), RIGHT, 0.0),
                (0.0, -(0.005375 + 0.006375), RIGHT, np.pi),
                (0.0, -(0.21038 + 0.21038), RIGHT, np.pi),
                (0.0, -(0.006375 + 0.006375), RIGHT, np.pi),
                (0.0, -(0.20843 + 0.10593), RIGHT, np.pi),
                (0.0, -(0.00017505 + 0.00017505), RIGHT, np.pi),
                (0.0, -(0.10593 + 0.061525), np.pi, np.pi),
            ),
            base=turn(X, np.pi),
            end=ROD_ON_FLANGE,
        ),
        (1.697, 1.3773, 1.1636, 1.1636, 0.9302, 0.6781, 0.6781, 0.364, STRIKER),
        (1.3963, 1.3963, 1.3963, 1.3963, 1.2218, 1.2218, 1.2218),
        (39, 39, 39, 39, 9, 9, 9),
    ),
    # dm_control, third_party/kinova/jaco_arm.xml; velocities and peak torques: its jaco_arm.py.
    "jaco": Published(
        partial(
            frames,
            (
                (0.0, 0.0, 0.15675, 0.0, 0.0, 1.0, 0.0),
                (0.0, 0.0016, -0.11875, 0.0, 0.0, -0.707107, 0.707107),
                (0.0, -0.41, 0.0, 0.0, 0.0, 1.0, 0.0),
                (0.0, 0.2073, -0.0114, 0.0, 0.0, -0.707107, 0.707107),
                (0.0, -0.03703, -0.06414, 0.0, 0.0, 0.5, 0.866025),
                (0.0, -0.03703, -0.06414, 0.0, 0.0, 0.5, 0.866025),
            ),
            end=turn(X, np.pi) @ ROD_ON_FLANGE,
        ),
        (0.718306, 0.643205, 1.16915, 0.673443, 0.221432, 0.221432, 0.1, STRIKER),
        tuple(np.deg2rad([36, 36, 36, 48, 48, 48])),
        (30.5, 30.5, 30.5, 6.8, 6.8, 6.8),
        rounding=2e-6,
    ),
    # SO-ARM100, Simulation/SO101/so101_new_calib.xml, its MuJoCo model; and the servo's data sheet.
    "so101": Published(
        partial(
            frames,
            (
                (0.0388353, 0.0, 0.0624, 0.0, 0.0, -1.0, 0.0),
                (-0.0303992, -0.0182778, -0.0542, 0.5, -0.5, -0.5, -0.5),
                (-0.11257, -0.028, 0.0, 0.707107, 0.0, 0.0, 0.707107),
                (-0.1349, 0.0052, 0.0, 0.707107, 0.0, 0.0, -0.707107),
                (0.0, -0.0611, 0.0181, 0.0172091, -0.0172091, 0.706897, 0.706897),
            ),
            end=shift(-0.0079, -0.000218121, -0.0981274),
        ),
        (0.147, 0.100006, 0.103, 0.104, 0.079, 0.087, 0.012, 0.0001),
        45 / 60 * 2 * np.pi,
        2.94,
        rounding=1e-6,
    ),
}
every_arm = pytest.mark.parametrize("arm", [ARMS[name] for name in PUBLISHED], ids=PUBLISHED)


@every_arm
def test_the_tool_is_where_the_makers_parameters_have_it(arm: ArmSpec) -> None:
    published = PUBLISHED[arm.name]
    limits = arm.limits
    rng = np.random.default_rng(0)
    configurations = rng.uniform(limits.q_low, limits.q_high, (50, len(arm.joints)))
    poses = np.array([published.tool(q) for q in configurations])
    expected = poses[:, :3, 3]
    ours = Kinematics(arm).position(configurations)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=published.rounding)


@every_arm
def test_it_weighs_what_its_maker_publishes(arm: ArmSpec) -> None:
    masses = ElementTree.parse(arm.urdf).iter("mass")
    total = sum(float(mass.attrib["value"]) for mass in masses)
    assert total == pytest.approx(sum(PUBLISHED[arm.name].masses), abs=1e-9)


@every_arm
def test_it_is_never_asked_for_more_than_its_maker_allows(arm: ArmSpec) -> None:
    published = PUBLISHED[arm.name]
    assert (arm.limits.dq <= np.array(published.dq)).all()
    assert (arm.limits.tau <= np.array(published.tau)).all()


@every_arm
def test_it_has_no_file_of_its_maker(arm: ArmSpec) -> None:
    assert not list(ElementTree.parse(arm.urdf).iter("mesh"))
    drawn = set(Spheres.cover(arm).link.tolist())
    assert drawn == set(range(-1, len(arm.joints))), "every link and the base are drawn"


def test_the_jacos_links_weigh_as_dm_controls() -> None:
    """Centers of mass and inertias, which MuJoCo computes of its meshes; ours are rounded."""
    file = Path(dm_control.__file__).parent / "third_party" / "kinova" / "jaco_arm.xml"
    theirs = mujoco.MjModel.from_xml_path(str(file))
    ours = mujoco.MjModel.from_xml_path(str(ARMS["jaco"].urdf))
    data = [mujoco.MjData(model) for model in (theirs, ours)]
    for model, state in zip((theirs, ours), data, strict=True):
        mujoco.mj_forward(model, state)
    for i in range(1, 6):  # the sixth has only a hand there
        link, own = theirs.body(f"b_{i}"), ours.body(f"link_{i}")
        assert own.mass == pytest.approx(link.mass)
        np.testing.assert_allclose(data[1].xipos[own.id], data[0].xipos[link.id], atol=2e-6)
        turned = data[0].ximat[link.id].reshape(3, 3)
        inertia = turned @ np.diag(link.inertia) @ turned.T
        turned = data[1].ximat[own.id].reshape(3, 3)
        own_inertia = turned @ np.diag(own.inertia) @ turned.T
        np.testing.assert_allclose(own_inertia, inertia, atol=1e-5)


def test_the_fr3_is_never_faster_than_its_maker_allows_at_its_position() -> None:
    """libfranka, rate_limiting.h: ±(-b + √(c · distance to an end)) for each joint."""
    c = np.array([12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0])
    b = np.array([0.3, 0.2, 0.2, 0.3, 0.35, 0.35, 0.35])
    high_end = np.array([2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196])
    low_end = np.array([-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196])
    limits = ARMS["fr3"].limits
    q = np.linspace(limits.q_low, limits.q_high, 2001)
    for room, end in ((limits.q_high - q, high_end - q), (q - limits.q_low, q - low_end)):
        braking = np.sqrt(2 * limits.ddq * room)  # from faster it could not stop inside its limits
        fastest = np.minimum(limits.dq, braking)
        assert (fastest <= -b + np.sqrt(c * end)).all()
