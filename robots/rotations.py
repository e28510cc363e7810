"""Rotations: quaternions and matrices, batched."""

import numpy as np

from robots.signals import Array


def quaternion(rotation: Array) -> Array:
    """Unit quaternions (n, 4) w, x, y, z of rotation matrices (n, 3, 3), w >= 0.

    Takes the largest component first, as in Shepperd, J. Guidance and Control 1(3), 1978.
    """
    r = rotation
    trace = np.stack([r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]], -1)
    squares = 1 + np.stack(
        [trace.sum(-1), *(2 * trace - trace.sum(-1, keepdims=True)).T], -1
    )  # 4·(w, x, y, z)²
    wx, wy, wz = (r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1])
    xy, xz, yz = (r[:, 0, 1] + r[:, 1, 0], r[:, 0, 2] + r[:, 2, 0], r[:, 1, 2] + r[:, 2, 1])
    s0, s1, s2, s3 = squares.T
    rows = np.stack([s0, wx, wy, wz, wx, s1, xy, xz, wy, xy, s2, yz, wz, xz, yz, s3], -1).reshape(
        -1, 4, 4
    )
    best = rows[np.arange(len(r)), squares.argmax(-1)]
    best = best / np.linalg.norm(best, axis=-1, keepdims=True)
    return np.where(best[:, :1] < 0, -best, best)


def skew(v: Array) -> Array:
    """The matrix of a cross product: skew(v) @ x = v × x, (3, 3)."""
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
