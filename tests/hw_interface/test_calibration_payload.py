"""A payload from torques or wrenches: against the gradient of its potential energy, and by hand."""

from functools import cache

import numpy as np
import pytest

from hw_interface.calibration.payload import (
    FittedPayload,
    Standing,
    condition_of,
    fit_payload,
    payload_torques,
)
from robots.catalog import ARMS
from robots.errors import ArmError
from robots.flange import flange_in_tool
from robots.kinematics import GRAVITY, Kinematics

STEP = 1e-5  # rad
MASS = 1.3  # kg
CENTER = np.array([0.02, -0.03, 0.07])  # m, in the flange's frame
ARM_NAMES = ("panda", "ur5e", "viperx")


@cache
def kinematics(name: str) -> Kinematics:
    return Kinematics(ARMS[name])


@cache
def flange(name: str) -> np.ndarray:
    return flange_in_tool(ARMS[name])


def flange_poses(name: str, q: np.ndarray) -> np.ndarray:
    """Poses of the flange (p, 4, 4) in the base frame."""
    poses: np.ndarray = kinematics(name).frames(q)[:, -1] @ flange(name)
    return poses


def postures(name: str, count: int = 5) -> np.ndarray:
    arm = ARMS[name]
    rng = np.random.default_rng(3)
    q: np.ndarray = arm.home + rng.uniform(-0.8, 0.8, (count, len(arm.joints)))
    return q


def potential(name: str, q: np.ndarray) -> np.ndarray:
    """Potential energy (p,) J of the payload."""
    poses = flange_poses(name, q)
    height = poses[:, 2, 3] + poses[:, 2, :3] @ CENTER
    energy: np.ndarray = MASS * GRAVITY * height
    return energy


def holding_torques(name: str, q: np.ndarray) -> np.ndarray:
    """The gradient of the potential energy, (p, j), by central differences."""
    columns = []
    for joint in range(q.shape[1]):
        step = np.zeros(q.shape[1])
        step[joint] = STEP
        columns.append((potential(name, q + step) - potential(name, q - step)) / (2 * STEP))
    return np.stack(columns, 1)


def fit(name: str, q: np.ndarray, measured: np.ndarray, by_torque: bool = True) -> FittedPayload:
    return fit_payload(kinematics(name), flange(name), Standing(q, measured), by_torque)


def test_the_flange_is_where_the_urdf_mounts_the_striker() -> None:
    np.testing.assert_allclose(flange_in_tool(ARMS["panda"])[:3, 3], [0, 0, -0.14], atol=1e-12)


@pytest.mark.parametrize("name", ARM_NAMES)
def test_torques_are_the_gradient_of_the_potential_energy(name: str) -> None:
    q = postures(name)
    unknowns = np.array([MASS, *(MASS * CENTER)])
    columns = payload_torques(kinematics(name), flange(name), q)
    np.testing.assert_allclose(columns @ unknowns, holding_torques(name, q), atol=1e-6)


@pytest.mark.parametrize("weighs_itself", [False, True])
@pytest.mark.parametrize("name", ARM_NAMES)
def test_a_payload_is_found_with_and_without_the_weight_of_the_arm(
    name: str, weighs_itself: bool
) -> None:
    q = postures(name)
    measured = holding_torques(name, q)
    if weighs_itself:
        measured = measured + kinematics(name).gravity(q)
    found = fit(name, q, measured)
    assert found.mass == pytest.approx(MASS, abs=1e-4)
    np.testing.assert_allclose(found.center, CENTER, atol=1e-4)
    assert found.weighs_itself == weighs_itself
    assert found.heldout_share < 1e-4


def wrenches(q: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """What a UR5e with this payload presses on it, (p, 6), and a constant of its sensor."""
    tool = kinematics("ur5e").frames(q)[:, -1]
    poses = flange_poses("ur5e", q)
    measured = np.zeros((len(q), 6))
    for number in range(len(q)):
        rotation = poses[number, :3, :3]
        lever = poses[number, :3, 3] + rotation @ CENTER - tool[number, :3, 3]
        force = np.array([0.0, 0.0, MASS * GRAVITY])
        measured[number, :3] = force + rotation @ bias[:3]
        measured[number, 3:] = np.cross(lever, force) + rotation @ bias[3:]
    return measured


def test_a_payload_is_found_from_a_wrench_whose_zero_is_off() -> None:
    q = postures("ur5e")
    bias = np.array([3.0, -2.0, 5.0, 0.2, 0.1, -0.3])
    found = fit("ur5e", q, wrenches(q, bias), by_torque=False)
    assert found.mass == pytest.approx(MASS, abs=1e-6)
    np.testing.assert_allclose(found.center, CENTER, atol=1e-6)


def test_errors_are_as_large_as_the_standard_errors_say() -> None:
    q = postures("panda", 6)
    clean = holding_torques("panda", q)
    rng = np.random.default_rng(5)
    scores = []
    for _ in range(60):
        found = fit("panda", q, clean + rng.normal(0, 0.1, clean.shape))
        of_mass = (found.mass - MASS) / found.mass_error
        scores.append([of_mass, *((found.center - CENTER) / found.center_error)])
    spread = np.sqrt(np.mean(np.square(scores), 0))
    assert (spread > 0.7).all()
    assert (spread < 1.4).all()


def test_what_cannot_be_told_is_refused() -> None:
    q = postures("panda")
    measured = holding_torques("panda", q)
    same = postures("ur5e")[[0, 0, 0, 0, 1]]
    with pytest.raises(ArmError, match="cannot tell mass and center of mass apart"):
        fit("ur5e", same, wrenches(same, np.zeros(6)), by_torque=False)
    rng = np.random.default_rng(7)
    with pytest.raises(ArmError, match="less than can be told"):
        fit("panda", q, rng.normal(0, 0.3, measured.shape))
    measured[-1] *= 0.5
    with pytest.raises(ArmError, match="the last posture contradicts the others by 50%"):
        fit("panda", q, measured)


def test_the_condition_number_does_not_depend_on_units() -> None:
    columns = payload_torques(kinematics("panda"), flange("panda"), postures("panda"))
    in_grams = columns * np.array([1e-3, 1.0, 1.0, 1.0])
    assert condition_of(columns) == pytest.approx(condition_of(in_grams))
    assert 1 < condition_of(columns) < 30
