"""Terms that the rewards of several families share; NumPy or torch, with any leading axes."""

from robots.signals import ArrayLike


def effort(applied: ArrayLike) -> ArrayLike:
    """The squared length of actions (..., a), (...,)."""
    return (applied**2).sum(-1)


def mean_velocity(
    obs: ArrayLike,
    next_obs: ArrayLike,
    column: int,
    dt: float,
) -> ArrayLike:
    """The mean velocity over a step of dt s of a position that is a column of observations.

    Args:
        obs: (..., o) before the step.
        next_obs: (..., o) after it.
        column: of the position.
        dt: s.

    Returns:
        (...,) units of the position per s.
    """
    return (next_obs[..., column] - obs[..., column]) / dt


def closeness_value(error: ArrayLike, tolerance: float, most: float) -> ArrayLike:
    """The value of an error (...,) that is not negative: 1 without one, nearly 0 at ``most``.

    One half falls linearly with the error, the other half is proportional to the closeness.

    Args:
        error: (...,) in any unit.
        tolerance: an error of this size has a closeness of one half.
        most: larger errors count as this one.
    """
    error = error.clip(max=most)
    closeness = 1 / (1 + (error / tolerance) ** 2)
    return 0.5 * (1 - error / most) + 0.5 * closeness
