"""Rotations as matrices and as quaternions in the order w, x, y, z."""

import numpy as np

from robots.signals import Array

CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])  # times a unit quaternion: its inverse


def quaternion_from_matrix(rotation: Array) -> Array:
    """Unit quaternions (n, 4) w, x, y, z of rotation matrices (n, 3, 3), with w >= 0.

    Every entry of the outer product 4·q·qᵀ is a sum of matrix entries, and each of its rows is a
    multiple of q. The row with the largest diagonal entry is normalized: that divides by no small
    number (Shepperd, J. Guidance and Control 1(3), 1978).
    """
    n = len(rotation)
    matrix = rotation.transpose(1, 2, 0)  # (3, 3, n)
    transposed = matrix.swapaxes(0, 1)
    difference = matrix - transposed
    wx = difference[2, 1]
    wy = difference[0, 2]
    wz = difference[1, 0]
    w_xyz = np.stack([wx, wy, wz])  # (3, n), 4·w·(x, y, z)
    diagonal = np.diagonal(matrix).T  # (3, n)
    trace = diagonal.sum(0)
    xyz = 2 * diagonal - trace
    squares = 1 + np.stack([trace, *xyz])  # (4, n), 4·(w², x², y², z²)

    outer = np.empty((4, 4, n))
    outer[0, 1:] = w_xyz
    outer[1:, 0] = w_xyz
    outer[1:, 1:] = matrix + transposed
    component = np.arange(4)
    outer[component, component] = squares

    largest = squares.argmax(0)
    row = outer[largest, :, np.arange(n)]  # (n, 4)
    quaternion: Array = row / np.linalg.norm(row, axis=-1, keepdims=True)
    negative = quaternion[:, :1] < 0
    return np.where(negative, -quaternion, quaternion)


def quaternion_about_z(yaw: Array) -> Array:
    """Unit quaternions (n, 4) w, x, y, z of rotations by ``yaw`` (n,) rad about z."""
    zero = np.zeros_like(yaw)
    return np.stack([np.cos(yaw / 2), zero, zero, np.sin(yaw / 2)], -1)


def yaw_about_z(quat: Array) -> Array:
    """The angles (n,) rad of rotations about z, from unit quaternions (n, 4) w, x, y, z."""
    yaw: Array = 2 * np.arctan2(quat[:, 3], quat[:, 0])
    return yaw


def angle_between(a: Array, b: Array) -> Array:
    """The angle (...,) rad, in [0, π], of the rotation that leads from one to the other.

    Unit quaternions a and ±b are 2·sin(angle/4) apart. The nearer of the two signs is taken, as
    both mean the same rotation. Unlike the arccosine this is exact for small angles, too.

    Args:
        a: unit quaternions (..., 4) w, x, y, z.
        b: likewise.
    """
    chord = np.linalg.norm(a - b, axis=-1)
    other_chord = np.linalg.norm(a + b, axis=-1)
    shorter = np.minimum(chord, other_chord)
    return np.asarray(4 * np.arcsin(np.clip(shorter / 2, 0.0, 1.0)))


def cross(u: Array, v: Array) -> Array:
    """u × v of vectors (n, 3), in a fifth of the time of ``np.cross``.

    Either may also be one vector (3,).
    """
    ux, uy, uz = u.T
    vx, vy, vz = v.T
    columns = (
        uy * vz - uz * vy,
        uz * vx - ux * vz,
        ux * vy - uy * vx,
    )
    return np.stack(columns, 1)


def rotate(v: Array, quat: Array) -> Array:
    """Vectors (n, 3), turned by unit quaternions (n, 4) w, x, y, z.

    With the quaternion's vector part u, v' = v + 2·w·(u × v) + 2·u × (u × v).
    """
    w = quat[:, :1]
    u = quat[:, 1:]
    across = cross(u, v)
    turned: Array = v + 2 * w * across + 2 * cross(u, across)
    return turned


def rotate_back(v: Array, quat: Array) -> Array:
    """Vectors (n, 3) in frames that are turned by unit quaternions (n, 4) w, x, y, z."""
    return rotate(v, quat * CONJUGATE)


def multiply(a: Array, b: Array) -> Array:
    """The rotations (n, 4) w, x, y, z that turn by ``b`` first and then by ``a``, (n, 4) each.

    Either may also be one quaternion (1, 4).
    """
    w = a[:, :1] * b[:, :1] - (a[:, 1:] * b[:, 1:]).sum(-1, keepdims=True)
    xyz = a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + cross(a[:, 1:], b[:, 1:])
    return np.hstack([w, xyz])


def rotation_vectors(quat: Array) -> Array:
    """Axis times angle (n, 3) rad of unit quaternions (n, 4) w, x, y, z; the angle is at most π."""
    shorter_way = np.where(quat[:, :1] < 0, -quat, quat)
    sine = np.linalg.norm(shorter_way[:, 1:], axis=-1, keepdims=True)  # of half the angle
    angle = 2 * np.arctan2(sine, shorter_way[:, :1])
    scale = np.divide(angle, sine, out=np.full_like(angle, 2.0), where=sine > 1e-12)
    return np.asarray(scale * shorter_way[:, 1:])


def skew(v: Array) -> Array:
    """The matrix (3, 3) of the cross product with ``v`` (3,): skew(v) @ x = v × x."""
    x, y, z = v
    return np.array(
        [
            [0, -z, y],
            [z, 0, -x],
            [-y, x, 0],
        ]
    )


def rotation_about(axis: Array, angle: float) -> Array:
    """The rotation (3, 3) by ``angle`` rad about the unit vector ``axis`` (3,).

    Rodrigues' formula: R = I + sin(angle)·K + (1 - cos(angle))·K², with K = skew(axis).
    """
    k = skew(axis)
    rotation: Array = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    return rotation


def roll_pitch_yaw(rotation: Array) -> Array:
    """Angles (3,) rad about the fixed axes x, y and z, in this order, that make a rotation (3, 3).

    Roll is computed from the rotation that remains after yaw, so that the three angles are exact
    even at a pitch of 90°, where they are not unique.
    """
    x_axis = rotation[:, 0]
    horizontal = np.hypot(x_axis[0], x_axis[1])
    pitch = np.arctan2(-x_axis[2], horizontal)
    yaw = np.arctan2(x_axis[1], x_axis[0])
    z = np.array([0.0, 0.0, 1.0])
    without_yaw = rotation_about(z, -yaw) @ rotation
    y_axis = without_yaw[:, 1]
    z_axis = without_yaw[:, 2]
    roll = np.arctan2(-z_axis[1], y_axis[1])
    return np.array([roll, pitch, yaw])


def transform(rotation: Array, position: Array) -> Array:
    """The transform (4, 4) of a rotation (3, 3) and a position (3,) m."""
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = position
    return result


def rotation_to_axis(axis: Array) -> Array:
    """A rotation that takes z to the direction of ``axis`` (3,), as a transform (4, 4).

    The rotation about the axis itself is arbitrary.
    """
    z = axis / np.linalg.norm(axis)
    parallel_to_y = abs(z[1]) > 0.9
    helper = (1.0, 0, 0) if parallel_to_y else (0, 1.0, 0)
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    return transform(np.stack([x, y, z], 1), np.zeros(3))
