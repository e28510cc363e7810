"""Mass and center of mass of what an arm's flange carries, from joint torques or a wrench at rest.

The unknowns are mass kg and first moment kg·m in the flange's frame, in which everything is linear.
By virtual work the payload needs the torques

    tau_k = g · d/dq_k [ mass · z_flange + (R · moment)_z ],

where R is the flange's orientation. A wrench is the weight and its moment about the tool's origin,
plus a constant of the sensor in the flange's frame (six more unknowns).

Axes: p postures, j joints, k unknowns.
"""

from dataclasses import dataclass

import numpy as np

from robots.errors import ArmError
from robots.kinematics import GRAVITY, Kinematics
from robots.signals import Array

UNKNOWNS = 4  # of the payload: mass, and first moment x, y, z
WORST_CONDITION = 30.0  # of the equations with columns of length 1; ours
TELLS = 3.0  # standard errors, above which a mass is not zero; ours
WORST_HELDOUT = 0.2  # of the payload's own effect; ours


@dataclass(frozen=True)
class Standing:
    """What was measured in p postures at rest."""

    q: Array  # (p, j) rad
    measured: Array  # (p, j) N·m torques, or (p, 6) wrenches as in ``JointState``


@dataclass(frozen=True)
class FittedPayload:
    """What the flange carries, and how well it is known."""

    mass: float  # kg
    center: Array  # (3,) m, of mass, in the flange's frame
    mass_error: float  # kg, standard error
    center_error: Array  # (3,) m, standard errors
    residual: float  # N·m or N, root mean square over the postures that were fitted
    heldout: float  # the same over the posture that was not
    heldout_share: float  # of the payload's own effect in that posture
    condition: float  # of the equations
    weighs_itself: bool  # whether the measured torques contain the weight of the arm itself


def payload_torques(kinematics: Kinematics, to_flange: Array, q: Array) -> Array:
    """Joint torques per unknown, (p, j, 4).

    Args:
        kinematics: of the arm.
        to_flange: (4, 4) pose of the flange in the tool's frame.
        q: (p, j) rad.
    """
    _, rotation, jacobian = kinematics.forward_jacobian(q)
    lever = rotation @ to_flange[:3, 3]  # (p, 3) m, from the tool to the flange
    flange = rotation @ to_flange[:3, :3]  # (p, 3, 3)
    linear_z = jacobian[:, 2]  # (p, j)
    about_x = jacobian[:, 3]
    about_y = jacobian[:, 4]
    lever_x = lever[:, 0:1]
    lever_y = lever[:, 1:2]
    of_mass = linear_z + about_x * lever_y - about_y * lever_x

    flange_x = flange[:, None, 0]  # (p, 1, 3)
    flange_y = flange[:, None, 1]
    turned_x = about_x[..., None] * flange_y
    turned_y = about_y[..., None] * flange_x
    of_moment = turned_x - turned_y  # (p, j, 3)
    return GRAVITY * np.concatenate([of_mass[..., None], of_moment], -1)


def payload_wrenches(kinematics: Kinematics, to_flange: Array, q: Array) -> Array:
    """Wrenches at the tool's origin per unknown, (p, 6, 10); the last six are of the sensor."""
    _, rotation, _ = kinematics.forward_jacobian(q)
    count = len(q)
    flange = rotation @ to_flange[:3, :3]
    lever = rotation @ to_flange[:3, 3]
    columns = np.zeros((count, 6, UNKNOWNS + 6))
    up = np.array([0.0, 0.0, GRAVITY])  # the tool pushes up what it carries
    columns[:, 2, 0] = GRAVITY
    columns[:, 3:, 0] = np.cross(lever, up)
    for axis in range(3):
        columns[:, 3:, 1 + axis] = np.cross(flange[:, :, axis], up)
    columns[:, :3, UNKNOWNS : UNKNOWNS + 3] = flange
    columns[:, 3:, UNKNOWNS + 3 :] = flange
    return columns


def condition_of(columns: Array) -> float:
    """The condition number of equations (p, rows, k), with each column scaled to length 1."""
    matrix = columns.reshape(-1, columns.shape[-1])
    lengths = np.linalg.norm(matrix, axis=0)
    if len(matrix) < matrix.shape[1] or lengths.min() == 0:
        return float("inf")
    return float(np.linalg.cond(matrix / lengths))


def check_condition(condition: float) -> None:
    """Refuse postures that cannot tell mass and center of mass apart.

    Raises:
        ArmError: the message has the condition number.
    """
    if condition > WORST_CONDITION:
        raise ArmError(
            f"these postures cannot tell mass and center of mass apart: condition number"
            f" {condition:.3g}, at most {WORST_CONDITION:g}; turn the flange more between them"
        )


def fit_payload(
    kinematics: Kinematics, to_flange: Array, standing: Standing, by_torque: bool
) -> FittedPayload:
    """Least squares over all postures but the last, which checks the result.

    Torques of some arms contain the arm's own weight, of others their controller has taken it out.
    Both are tried, and what explains the torques better is used.

    Args:
        kinematics: of the arm, with its masses.
        to_flange: (4, 4) pose of the flange in the tool's frame.
        standing: the postures.
        by_torque: whether torques were measured, else wrenches.

    Raises:
        ArmError: the postures cannot tell, the payload is too light to tell, or the last posture
            contradicts the others.
    """
    rows = payload_torques if by_torque else payload_wrenches
    columns = rows(kinematics, to_flange, standing.q)
    fitted = columns[:-1]
    condition = condition_of(fitted)
    check_condition(condition)

    own_weights = [np.zeros_like(standing.measured)]
    if by_torque:
        own_weights.append(kinematics.gravity(standing.q))
    fits = [_least_squares(fitted, (standing.measured - own)[:-1]) for own in own_weights]
    best = int(np.argmin([residual for _, _, residual in fits]))
    unknowns, covariance, residual = fits[best]

    last = (standing.measured - own_weights[best])[-1]
    effect = columns[-1, :, :UNKNOWNS] @ unknowns[:UNKNOWNS]
    heldout = _rms(last - columns[-1] @ unknowns)
    share = heldout / max(_rms(effect), 1e-12)
    mass = float(unknowns[0])
    mass_error = float(np.sqrt(covariance[0, 0]))
    _check_mass(mass, mass_error, share)
    center = unknowns[1:UNKNOWNS] / mass
    by_unknown = np.concatenate([-center[:, None], np.eye(3)], 1) / mass  # (3, 4)
    center_covariance = by_unknown @ covariance[:UNKNOWNS, :UNKNOWNS] @ by_unknown.T
    return FittedPayload(
        mass=mass,
        center=center,
        mass_error=mass_error,
        center_error=np.sqrt(np.diag(center_covariance)),
        residual=residual,
        heldout=heldout,
        heldout_share=share,
        condition=condition,
        weighs_itself=best == 1,
    )


def _check_mass(mass: float, error: float, share: float) -> None:
    """Refuse a mass that cannot be told from zero, or that another posture contradicts."""
    if mass < TELLS * error:
        raise ArmError(
            f"the flange carries less than can be told: {mass:.3f} kg, standard error {error:.3f}"
        )
    if share > WORST_HELDOUT:
        raise ArmError(
            f"the last posture contradicts the others by {share:.0%} of the payload's effect there:"
            " something touches the arm, or its friction is too large"
        )


def _least_squares(columns: Array, measured: Array) -> tuple[Array, Array, float]:
    """Unknowns (k,), their covariance (k, k), and the root mean square residual."""
    matrix = columns.reshape(-1, columns.shape[-1])
    values = measured.reshape(-1)
    unknowns = np.linalg.lstsq(matrix, values, rcond=None)[0].astype(np.float64)
    residuals = values - matrix @ unknowns
    freedom = max(1, len(values) - matrix.shape[1])
    variance = float(residuals @ residuals) / freedom
    inverse = np.linalg.inv(matrix.T @ matrix).astype(np.float64)
    return unknowns, variance * inverse, _rms(residuals)


def _rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt((values**2).mean()))
