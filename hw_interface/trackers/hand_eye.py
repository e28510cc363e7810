"""Where a camera is, from pictures of a target: a tagged object or a board.

In picture i the flange has the pose F_i in the base frame (by the arm's joints) and the target the
pose B_i in the camera's frame. Two poses do not change. A camera that stands still has the pose X
in the base frame, and the arm holds the target, at Z in the flange's frame. A camera on the flange
has the pose X in the flange's frame, and the target lies at Z in the base frame:

    A_i · Z = X · B_i,  with A_i = F_i for a camera that stands still, else F_i⁻¹

Rotations are solved first, as a linear problem (Shah, J. Mechanisms and Robotics 5(3), 2013), then
translations; both are then refined together by least squares.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from hw_interface.trackers.fiducial_config import Mount
from robots.errors import BadArgumentError
from robots.rotations import transform
from robots.signals import Array

FEWEST = 6  # pictures
TURN = 0.15  # rad, RMS angle about the second of the axes about which the tool was turned
LEVER = 0.1  # m by which a rotation error in rad is weighed against a position error in m


@dataclass(frozen=True)
class HandEye:
    """The result, and how well it fits."""

    camera: Array  # (4, 4) X: the optical frame in the base frame, or in the flange's
    target: Array  # (4, 4) Z: the target in the flange's frame, or in the base frame
    position_residual: float  # m, RMS
    angle_residual: float  # rad, RMS
    position_residuals: Array  # (n,) m
    angle_residuals: Array  # (n,) rad
    camera_position_error: float  # m, standard deviation that follows from the residuals
    camera_angle_error: float  # rad, likewise


def solve_hand_eye(flanges: Array, objects: Array, mount: Mount) -> HandEye:
    """Solve for the camera's pose.

    Args:
        flanges: (n, 4, 4) poses of the flange in the base frame.
        objects: (n, 4, 4) poses of the target in the camera's frame.
        mount: of the camera.

    Raises:
        BadArgumentError: there are too few poses, or the flange was turned about one axis only.
    """
    check_motions(flanges)
    tools = flanges
    if mount == "flange":
        tools = np.asarray(np.linalg.inv(flanges), dtype=np.float64)
    first_camera, first_object = _solve_linear(tools, objects)
    start = np.concatenate([_to_vector(first_camera), _to_vector(first_object)])

    def misfit(parameters: Array) -> Array:
        """Position errors in m and rotation errors in m at the lever."""
        errors = _errors(parameters, tools, objects)
        errors[:, 3:] *= LEVER
        return errors.ravel()

    solution = least_squares(misfit, start, x_scale=np.tile([1, 1, 1, 0.3, 0.3, 0.3], 2))
    errors = _errors(solution.x, tools, objects)
    positions = np.linalg.norm(errors[:, :3], axis=1)
    angles = np.linalg.norm(errors[:, 3:], axis=1)

    freedom = solution.fun.size - solution.x.size
    variance = float(solution.fun @ solution.fun) / freedom
    covariance = variance * np.linalg.inv(solution.jac.T @ solution.jac)
    variances = np.diag(covariance)
    return HandEye(
        camera=_from_vector(solution.x[:6]),
        target=_from_vector(solution.x[6:]),
        position_residual=float(np.sqrt((positions**2).mean())),
        angle_residual=float(np.sqrt((angles**2).mean())),
        position_residuals=positions,
        angle_residuals=angles,
        camera_position_error=float(np.sqrt(variances[3:6].sum())),
        camera_angle_error=float(np.sqrt(variances[:3].sum())),
    )


def check_motions(flanges: Array) -> None:
    """Refuse poses of the flange (n, 4, 4) from which the camera's pose cannot be computed.

    Raises:
        BadArgumentError: the message says what is missing.
    """
    count = len(flanges)
    if count < FEWEST:
        raise BadArgumentError(f"a hand-eye calibration needs {FEWEST} pictures, got {count}")

    turns = []
    for i in range(count):
        for j in range(i):
            turns.append(rotation_vectors(flanges[i, :3, :3] @ flanges[j, :3, :3].T))
    # the RMS angles about the principal axes of all turns, the largest first
    about_axes = np.linalg.svd(np.array(turns), compute_uv=False) / np.sqrt(len(turns))
    second = float(about_axes[1])
    if second < TURN:
        turned = f"{np.degrees(second):.1f} degrees"
        raise BadArgumentError(
            f"about a second axis the flange was turned by {turned} only (RMS), and"
            f" {np.degrees(TURN):.0f} are needed: turn the wrist about two axes"
        )


def _solve_linear(tools: Array, objects: Array) -> tuple[Array, Array]:
    """The poses X and Z of the module's equation, not yet refined."""
    eye = np.eye(3)
    rows = []
    for tool, in_camera in zip(tools, objects, strict=True):
        # vec(A·Z) = (I ⊗ A)·vec(Z) and vec(X·B) = (Bᵀ ⊗ I)·vec(X), column by column
        of_object = np.kron(eye, tool[:3, :3])
        of_camera = np.kron(in_camera[:3, :3].T, eye)
        rows.append(np.concatenate([-of_camera, of_object], axis=1))
    _, _, right = np.linalg.svd(np.concatenate(rows))
    camera_rotation, object_rotation = _nearest_rotations(right[-1])

    rows = [np.concatenate([-eye, tool[:3, :3]], axis=1) for tool in tools]
    wanted = objects[:, :3, 3] @ camera_rotation.T - tools[:, :3, 3]
    moved, *_ = np.linalg.lstsq(np.concatenate(rows), wanted.ravel(), rcond=None)
    camera = transform(camera_rotation, moved[:3])
    held = transform(object_rotation, moved[3:])
    return camera, held


def _nearest_rotations(null_vector: Array) -> tuple[Array, Array]:
    """Two rotations from their entries (18,), column by column, up to one common factor."""
    camera = null_vector[:9].reshape(3, 3).T
    held = null_vector[9:].reshape(3, 3).T
    sign = np.sign(np.linalg.det(camera))
    return _nearest_rotation(sign * camera), _nearest_rotation(sign * held)


def _nearest_rotation(matrix: Array) -> Array:
    """The rotation nearest to a matrix (3, 3), in the sense of least squares."""
    left, _, right = np.linalg.svd(matrix)
    left[:, 2] *= np.linalg.det(left @ right)
    rotation: Array = left @ right
    return rotation


def _errors(parameters: Array, tools: Array, objects: Array) -> Array:
    """By how much A·Z and X·B differ: (n, 6) m and rad, along the axes of the base frame."""
    camera = _from_vector(parameters[:6])
    held = _from_vector(parameters[6:])
    by_arm = tools @ held
    by_camera = camera @ objects
    errors = np.empty((len(tools), 6))
    errors[:, :3] = by_arm[:, :3, 3] - by_camera[:, :3, 3]
    errors[:, 3:] = rotation_vectors(by_arm[:, :3, :3] @ by_camera[:, :3, :3].swapaxes(1, 2))
    return errors


def rotation_vectors(rotations: Array) -> Array:
    """Rotation vectors (..., 3) rad of rotations (..., 3, 3)."""
    vectors: Array = Rotation.from_matrix(rotations).as_rotvec()
    return vectors


def _to_vector(pose: Array) -> Array:
    """Rotation vector rad and position m (6,) of a pose (4, 4)."""
    return np.concatenate([rotation_vectors(pose[:3, :3]), pose[:3, 3]])


def _from_vector(vector: Array) -> Array:
    """The pose (4, 4) of a rotation vector rad and a position m."""
    rotation = Rotation.from_rotvec(vector[:3]).as_matrix()
    return transform(rotation, vector[3:])
