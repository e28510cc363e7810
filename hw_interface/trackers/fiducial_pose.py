"""From a picture to the pose of an object: AprilTags and ArUco tags, by OpenCV.

All corners of all visible tags enter one least-squares problem, the reprojection error. Its
Jacobian at the solution also gives the covariance of the pose.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hw_interface.trackers.fiducial_config import (
    FiducialConfig,
    Lens,
    lens_of,
    tag_corners,
)
from hw_interface.trackers.fiducial_corners import cell_widths, refine_corners
from robots.rotations import angle_between, quaternion_from_matrix, skew
from robots.signals import Array

Picture = NDArray[np.uint8]  # (h, w) gray, or (h, w, 3) blue green red
FLAT = 1e-6  # share of the tags' extent by which coplanar corners may leave their plane
# How much worse, in squared standard deviations of a corner, the second solution of a flat target
# must fit before the first is believed: a likelihood ratio of exp(8).
AMBIGUOUS = 16.0
# pixels of a tag's cell: the corners of narrower ones were seen to be 0.2 pixels off at 2.0, and
# 0.6 at 1.2, where those of cells of 6 pixels were 0.02 off
CLEAR_CELL = 3.0
CERTAIN = 3.0  # standard deviations of a pose that count as possible
REFINEMENT = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 30, 1e-10)


@dataclass(frozen=True)
class ObjectPose:
    """The measured pose of the object in the base frame of the arm."""

    pos: Array  # (3,) m
    quat: Array  # (4,) w x y z
    # (6, 6) of the errors of position m and of the rotation vector rad, both along the base axes
    covariance: Array
    residual: float  # pixels, RMS distance of the corners from where the pose puts them
    tags: int  # how many were seen


class TagDetector:
    """Finds the corners of tags in a picture."""

    def __init__(self, dictionary: str) -> None:
        """``dictionary`` is a name of OpenCV's, such as ``DICT_APRILTAG_36h11``."""
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
        self._detector = cv2.aruco.ArucoDetector(family, parameters)

    def __call__(self, picture: Picture) -> dict[int, Array]:
        """The corners (4, 2) in pixels, clockwise from the upper left one, by the tag's id.

        An id that is seen twice is left out (a reflection, or two prints of one tag), and so is a
        tag whose edges are not clear.
        """
        gray = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        corners, ids, _ = self._detector.detectMarkers(gray)
        if ids is None:
            return {}

        found = {}
        tags = ids.ravel().tolist()
        for tag, four in zip(tags, corners, strict=True):
            if tags.count(tag) > 1:
                continue
            refined = refine_corners(gray, np.asarray(four, dtype=np.float64).reshape(4, 2))
            if refined is not None:
                found[tag] = refined
        return found


class PoseSolver:
    """Computes the object's pose from the corners of its tags."""

    def __init__(self, config: FiducialConfig) -> None:
        """Place the corners of every tag on the object."""
        self.limits = config.limits
        self._lens = lens_of(config.camera)
        self._corners = {tag.id: tag_corners(tag) for tag in config.tag}

    def __call__(
        self, detected: Mapping[int, Array], camera: Array, last: Array | None = None
    ) -> ObjectPose | None:
        """The pose that fits the corners best; None if there is none that can be believed.

        Args:
            detected: corners (4, 2) in pixels by id; tags that are not on the object are left out.
            camera: (4, 4) pose of the optical frame in the base frame.
            last: (4,) the object's quaternion just before, which decides between the two
                solutions that a flat target far away has; without it, such a view is refused.
        """
        visible = self._usable(detected)
        if not visible:
            return None
        points = np.concatenate([self._corners[tag] for tag in visible])
        pixels = np.concatenate([detected[tag] for tag in visible])

        poses = [
            self._in_base_frame(rvec, tvec, camera, points, pixels)
            for rvec, tvec in solutions(points, pixels, self._lens)
        ]
        believed = [pose for pose in poses if self._is_possible(pose)]
        return self._choose(believed, 2 * len(points), last)

    def _usable(self, detected: Mapping[int, Array]) -> list[int]:
        """The tags of the object; those seen too small or too flat only if there is no other."""
        visible = [tag for tag in sorted(detected) if tag in self._corners]
        clear = [tag for tag in visible if cell_widths(detected[tag]).min() >= CLEAR_CELL]
        return clear or visible

    def _is_possible(self, pose: ObjectPose) -> bool:
        """Whether the pose is finite and fits the corners."""
        is_finite = np.isfinite(pose.pos).all() and np.isfinite(pose.covariance).all()
        return bool(is_finite and pose.residual <= self.limits.residual)

    def _choose(
        self, poses: list[ObjectPose], numbers: int, last: Array | None
    ) -> ObjectPose | None:
        """The best of at most two poses; the one nearest to ``last`` where both fit alike."""
        if not poses:
            return None
        best = min(poses, key=lambda pose: pose.residual)

        def misfit(pose: ObjectPose) -> float:
            """Squared error in standard deviations of a corner's coordinate."""
            return numbers / 2 * (pose.residual / self.limits.pixel_noise) ** 2

        alike = [pose for pose in poses if misfit(pose) - misfit(best) < AMBIGUOUS]
        if not any(_differs(pose, best) for pose in alike):
            return best
        if last is None:
            return None
        return min(alike, key=lambda pose: float(angle_between(pose.quat, last)))

    def _in_base_frame(
        self, rvec: Array, tvec: Array, camera: Array, points: Array, pixels: Array
    ) -> ObjectPose:
        """A solution in the base frame, with its covariance.

        Args:
            rvec: (3,) rotation vector of the object in the camera's frame.
            tvec: (3,) m, its position there.
            camera: (4, 4) pose of the camera in the base frame.
            points: (k, 3) m, corners in the object's frame.
            pixels: (k, 2) where they were seen.
        """
        rotation_in_camera, _ = cv2.Rodrigues(rvec)
        camera_rotation = camera[:3, :3]
        rotation = camera_rotation @ rotation_in_camera
        pos = camera_rotation @ tvec + camera[:3, 3]

        projected, jacobian = cv2.projectPoints(
            points, rvec, tvec, self._lens.matrix, self._lens.distortion
        )
        errors = pixels - projected.reshape(-1, 2)
        squared = float((errors**2).sum())
        residual = float(np.sqrt(squared / len(points)))

        # the derivative by the translation is that of each pixel by its own corner in the camera
        by_corner = jacobian[:, 3:6].reshape(-1, 2, 3) @ camera_rotation.T
        by_pose = np.concatenate(
            [_by_motion(rotation @ p, d) for p, d in zip(points, by_corner, strict=True)]
        )
        freedom = errors.size - 6
        narrowest = min(float(cell_widths(four).min()) for four in pixels.reshape(-1, 4, 2))
        noise = self.limits.pixel_noise * max(1.0, CLEAR_CELL / narrowest) ** 2
        variance = max(noise**2, squared / freedom)
        covariance = variance * np.linalg.pinv(by_pose.T @ by_pose)
        quat = quaternion_from_matrix(rotation[None])[0]
        return ObjectPose(pos, quat, covariance, residual, len(points) // 4)


def _differs(pose: ObjectPose, best: ObjectPose) -> bool:
    """Whether a pose is turned from the best one by more than its uncertainty."""
    uncertain = CERTAIN * np.sqrt(np.trace(best.covariance[3:, 3:]))
    return bool(angle_between(pose.quat, best.quat) > uncertain)


def _by_motion(arm: Array, by_corner: Array) -> Array:
    """Derivatives (2, 6) of a corner's pixel by a small motion of the object.

    Args:
        arm: (3,) m, from the object's origin to the corner, along the base axes.
        by_corner: (2, 3) pixels per m, derivatives by the corner's position.
    """
    by_rotation = -by_corner @ skew(arm)  # a rotation by v moves the corner by v × arm
    return np.concatenate([by_corner, by_rotation], axis=1)


def solutions(points: Array, pixels: Array, lens: Lens) -> list[tuple[Array, Array]]:
    """Rotation vectors (3,) and translations (3,) that are local minima of the error.

    Corners in one plane have up to two (Collins and Bartoli's IPPE, IJCV 109(3), 2014); others
    are solved by SQPnP (Terzakis and Lourakis, ECCV 2020). Each is refined by Levenberg-Marquardt.
    """
    # The principal axes of the corners. In them a flat target has z = 0: OpenCV's IPPE returns
    # wrong poses for a plane that does not contain the origin.
    center = points.mean(0)
    _, extent, axes = np.linalg.svd(points - center)
    axes[2] *= np.linalg.det(axes)  # right-handed
    in_axes = np.ascontiguousarray((points - center) @ axes.T)

    is_flat = extent[2] < FLAT * extent[0]
    method = cv2.SOLVEPNP_IPPE if is_flat else cv2.SOLVEPNP_SQPNP
    camera = (lens.matrix, lens.distortion)
    try:
        _, rvecs, tvecs, _ = cv2.solvePnPGeneric(in_axes, pixels, *camera, flags=method)
    except cv2.error:  # corners that no camera can see this way
        return []

    solutions = []
    for first in zip(rvecs, tvecs, strict=True):
        rvec, tvec = cv2.solvePnPRefineLM(in_axes, pixels, *camera, *first, REFINEMENT)
        is_before_the_lens = tvec[2] > 0
        if is_before_the_lens:
            rotation = cv2.Rodrigues(rvec)[0] @ axes
            translation = tvec.ravel() - rotation @ center
            solutions.append((cv2.Rodrigues(rotation)[0].ravel(), translation))
    return solutions
