"""System identification: parameters with which a simulated arm moves as a recorded one did.

The recorded setpoints are simulated in many worlds at once, each with other parameters. The squared
differences of the joints are minimized by SciPy's ``least_squares`` (trust region reflective), with
central differences. Before that, parameters are left out whose effect on this motion is too small
or is the same as that of others. Contacts with objects are not compared.

Axes: p parameters, r residuals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from robots.counting import counted
from robots.errors import BadArgumentError
from robots.signals import Array, Mask
from robots.world import Family
from sim.randomization import Parameter, parameters_of
from sim.recorded_motion import DELAY, Motion, MotionModel, Scale

BLOCK = 25  # samples whose errors depend on each other, for the intervals: 0.5 s
STEP = 0.01  # of a finite difference, as a share of a range
GUESSES = 32  # random parameters; the search begins at the best
SMALLEST_EFFECT = 2e-4  # rad; an encoder's noise after the gears is about 5e-5
CONFIDENCE = 0.95

Tell = Callable[[str], None]  # gets a line about what is done


def say_nothing(line: str) -> None:
    """Drop a line of progress."""


@dataclass(frozen=True)
class Fitted:
    """One parameter after the fit."""

    parameter: Parameter
    value: float  # where it was not fitted, the middle of its range
    interval: tuple[float, float] | None  # with ``CONFIDENCE``; None: it was not fitted
    effect: float  # rad, root mean square over the joints of a change across the whole range that
    # no change of the other parameters imitates


@dataclass(frozen=True)
class Fit:
    """Parameters of an arm, and how well they explain what it did."""

    parameters: list[Fitted]
    error: float  # rad, root mean square over the motions that were fitted
    nominal_error: float  # the same with every parameter in the middle of its range
    heldout_error: float  # over the motions that were not fitted
    heldout_nominal_error: float


def fit(
    family: Family,
    motions: Sequence[Motion],
    heldout: Sequence[Motion],
    names: Sequence[str] = (),
    tell: Tell = say_nothing,
) -> Fit:
    """Fit a family's parameters to recorded motions of its arm.

    Args:
        family: of the arm; its ranges are where the search begins.
        motions: to fit.
        heldout: to check the fit.
        names: parameters to fit, and ``delay``; (): all that are no choice.
        tell: gets a line about each step that is done.

    Raises:
        BadArgumentError: the family has no such parameter, or it is a choice.
    """
    scales = _scales(family, names)
    model = MotionModel(family, scales, max(GUESSES, 1 + 2 * len(scales)))
    try:
        return _fit(model, scales, motions, heldout, tell)
    finally:
        model.close()


def _scales(family: Family, names: Sequence[str]) -> list[Scale]:
    known = {parameter.name: parameter for parameter in (*parameters_of(family), DELAY)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadArgumentError(
            f"{family.name} has no parameter {', '.join(unknown)}; there are: {', '.join(known)}"
        )
    if names:
        return [Scale(known[name]) for name in names]
    scales = []
    for parameter in known.values():
        is_choice = parameter.train.distribution == "categorical"
        if not is_choice:
            scales.append(Scale(parameter))
    return scales


def _fit(
    model: MotionModel,
    scales: Sequence[Scale],
    motions: Sequence[Motion],
    heldout: Sequence[Motion],
    tell: Tell,
) -> Fit:
    p = len(scales)
    middle = np.full(p, 0.5)
    # not so near the ends that a finite difference leaves a range, and perhaps what is allowed
    guesses = np.random.default_rng(0).uniform(STEP, 1 - STEP, (GUESSES - 1, p))
    guesses = np.concatenate([middle[None], guesses])
    found = model.residuals(guesses, motions)
    best = guesses[np.nanargmin((found**2).mean(1))]
    tell(f"compared {len(guesses)} guesses: the best is {_mrad(found)} off")
    effects, is_fitted = _identifiable(_jacobian(model, best, motions))
    tell(f"this motion shows {is_fitted.sum()} of {counted(p, 'parameter')}")
    start = np.where(is_fitted, best, middle)
    shares = start.copy()
    intervals: list[tuple[float, float] | None] = [None] * p
    if is_fitted.any():
        shares[is_fitted], widths = _least_squares(model, scales, start, is_fitted, motions, tell)
        for i, width in zip(np.flatnonzero(is_fitted).tolist(), widths.tolist(), strict=True):
            share = float(shares[i])
            intervals[i] = (scales[i].value(share - width), scales[i].value(share + width))
    both = np.stack([shares, middle])
    error, nominal = _rms(model.residuals(both, motions))
    heldout_error, heldout_nominal = _rms(model.residuals(both, heldout))
    parameters = [
        Fitted(scale.parameter, scale.value(share), interval, effect)
        for scale, share, interval, effect in zip(
            scales, shares.tolist(), intervals, effects.tolist(), strict=True
        )
    ]
    return Fit(parameters, error, nominal, heldout_error, heldout_nominal)


def _rms(residuals: Array) -> list[float]:
    """Root mean square of every row."""
    rms: list[float] = np.sqrt((residuals**2).mean(1)).tolist()
    return rms


def _mrad(residuals: Array) -> str:
    """The smallest root mean square among rows of residuals (n, r) rad, in words."""
    squares = (residuals**2).mean(1)
    return f"{1e3 * np.sqrt(np.nanmin(squares)):.3g} mrad"


def _jacobian(model: MotionModel, shares: Array, motions: Sequence[Motion]) -> Array:
    """Central differences of the residuals, (r, p), per range."""
    steps = STEP * np.eye(len(shares))
    found = model.residuals(np.concatenate([shares + steps, shares - steps]), motions)
    above, below = np.split(found, 2)
    return ((above - below) / (2 * STEP)).T


def _identifiable(jacobian: Array) -> tuple[Array, Mask]:
    """The effect of each parameter that no other one imitates, (p,) rad; and which are enough.

    The weakest is left out first, and the effects of the others are computed anew without it.
    """
    p = jacobian.shape[1]
    effects = np.zeros(p)
    is_fitted = np.ones(p, dtype=bool)
    while is_fitted.any():
        kept = np.flatnonzero(is_fitted)
        columns = jacobian[:, kept]
        for index, parameter in enumerate(kept):
            effects[parameter] = _own_effect(columns, index)
        weakest = kept[effects[kept].argmin()]
        if effects[weakest] >= SMALLEST_EFFECT:
            break
        is_fitted[weakest] = False
    return effects, is_fitted


def _own_effect(jacobian: Array, index: int) -> float:
    """Root mean square of the part of a column that is no combination of the others."""
    column = jacobian[:, index]
    others = np.delete(jacobian, index, 1)
    if others.shape[1]:
        weights, *_ = np.linalg.lstsq(others, column, rcond=None)
        column = column - others @ weights
    return float(np.sqrt((column**2).mean()))


def _least_squares(
    model: MotionModel,
    scales: Sequence[Scale],
    start: Array,
    is_fitted: Mask,
    motions: Sequence[Motion],
    tell: Tell,
) -> tuple[Array, Array]:
    """The best shares of the fitted parameters, and the half widths of their intervals."""

    runs = count(1)

    def whole(fitted: Array) -> Array:
        shares = start.copy()
        shares[is_fitted] = fitted
        return shares

    def residuals(fitted: Array) -> Array:
        rows = model.residuals(whole(fitted)[None], motions)
        tell(f"simulation {next(runs)} of the fit: {_mrad(rows)} off")
        row: Array = rows[0]
        return row

    def jacobian(fitted: Array) -> Array:
        return _jacobian(model, whole(fitted), motions)[:, is_fitted]

    chosen = [scale for scale, is_one in zip(scales, is_fitted, strict=True) if is_one]
    margin = 2 * STEP  # so that the differences stay within what is allowed
    lowest = np.array([scale.share(scale.lowest) for scale in chosen]) + margin
    highest = np.array([scale.share(scale.highest) for scale in chosen]) - margin
    begin = np.clip(start[is_fitted], lowest + margin, highest - margin)
    found = least_squares(residuals, begin, jacobian, bounds=(lowest, highest), xtol=1e-5)
    return found.x, _half_widths(found.jac, found.fun, len(motions[0].q[0]))


def _half_widths(jacobian: Array, residuals: Array, joints: int) -> Array:
    """Half the confidence interval of every parameter, (p,).

    Errors of a model last for a while, so they are summed over blocks of time (a sandwich
    estimator, as for clustered data: Cameron and Miller 2015).
    """
    rows = BLOCK * joints
    blocks = -(-len(residuals) // rows)
    scores = []
    for block in range(blocks):
        part = slice(block * rows, (block + 1) * rows)
        scores.append(jacobian[part].T @ residuals[part])
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    freedom = max(1, blocks - jacobian.shape[1])
    between = np.stack(scores)
    covariance = inverse @ (between.T @ between) @ inverse * blocks / freedom
    quantile = student.ppf(0.5 + CONFIDENCE / 2, freedom)
    widths: Array = quantile * np.sqrt(np.diag(covariance))
    return widths
