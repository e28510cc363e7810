"""The arithmetic of ``robots.kinematics`` on rows (x, y, z, w) of pose matrices, in place."""

import numpy as np
from numpy.typing import NDArray

from robots.signals import Array

# By joint: column ``to`` of its rows grows by ``distance`` (k,) m times column ``source``.
Slides = dict[int, tuple[int, int, Array]]


def exp_i(q: Array) -> NDArray[np.complex128]:
    """exp(iq) of joint positions (n, j), as (j, n).

    exp(iq) = (1 + i·tan(q/2)) / (1 - i·tan(q/2)): NumPy's tangent is far faster than its sine.
    """
    half = np.empty(q.T.shape, np.complex128)
    half.real = 1.0
    half.imag = np.tan(0.5 * q.T)
    return half / half.conj()


def propagate(
    rows: Array,
    turns: NDArray[np.complex128],
    slides: Slides,
    fixed: list[Array],
) -> None:
    """Take rows (x, y, z, w) through all joints: fills ``rows[1:]`` from ``rows[0]``.

    Args:
        rows: (j + 1, k, 4). ``rows[i]`` is turned about z in place by joint i; times ``fixed[i]``
            it gives ``rows[i + 1]``. The last rows are not turned: no joint follows.
        turns: (j, k) factors of x + iy.
        slides: of each prismatic joint, what is added to the rows in place after they were turned.
        fixed: j constant matrices (4, 4).
    """
    complex_xy = list(rows.view(np.complex128)[..., 0])  # x + iy, as views; lists index faster
    xyzw = list(rows)
    turn = list(turns)
    for i, matrix in enumerate(fixed):
        xy = complex_xy[i]
        np.multiply(xy, turn[i], xy)
        if i in slides:
            to, source, distance = slides[i]
            xyzw[i][:, to] += distance * xyzw[i][:, source]
        np.dot(xyzw[i], matrix, xyzw[i + 1])


def cross(a: Array, b: Array, out: Array) -> None:
    """Write a × b to ``out`` (j, 3, n); the rows of a and b (j, 5, n) are x, y, z, x, y.

    (a × b)[k] = a[k + 1]·b[k + 2] - a[k + 2]·b[k + 1] with indices modulo 3: in five rows, slices.
    """
    first = a[:, 1:4] * b[:, 2:]
    second = a[:, 2:] * b[:, 1:4]
    np.subtract(first, second, out)


def sum_outward(values: Array, axis: int) -> Array:
    """For each joint along ``axis`` the sum of its own value and of all later joints'."""
    return np.flip(np.cumsum(np.flip(values, axis), axis), axis)
