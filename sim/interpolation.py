"""Interpolation of what was recorded over time."""

import numpy as np

from robots.signals import Array


def interpolate(times: Array, t: Array, x: Array) -> Array:
    """Each column of x (T, k), known at t (T,), at other times (S,), linearly: (S, k)."""
    columns = [np.interp(times, t, column) for column in x.T]
    return np.stack(columns, -1)
