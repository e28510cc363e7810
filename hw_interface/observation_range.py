"""How far an observation is from the middle of the range that training was scaled for."""

import numpy as np

from robots.signals import Array, Spec


def range_distance(spec: Spec, obs: Array) -> float:
    """The farthest column's distance from the middle of its range, in half ranges.

    It is at most 1 inside the ranges. A column that is NaN does not count: an object that cannot be
    located has an outcome of its own.

    Args:
        spec: of the observation, with the range of each column (o,).
        obs: (1, o).
    """
    middle = (spec.high + spec.low) / 2
    half_range = (spec.high - spec.low) / 2
    distance = np.abs(obs[0] - middle) / half_range
    known = distance[~np.isnan(distance)]
    return float(known.max(initial=0.0))
