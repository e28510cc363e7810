"""The hidden physics of the suite's tasks: factors of what a model of MuJoCo has.

``body.BODY.density_scale``   of a body's mass and moments of inertia
``body.gravity_scale``        of gravity
``joint.damping_scale``       of the damping of all joints
``geom.friction_scale``       of the friction of all geoms
``actuator.gear_scale``       of the gears of all motors

Where a task has ``geom.floor.slope_x`` or ``geom.floor.slope_y``, the rise of the ground per meter,
gravity is tilted against the plane z = 0.

A model has only those that change how it moves. Axes: n worlds.
"""

import mujoco
import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.randomization import Parameter, log_uniform

RANGE = (0.5, 2.0)  # of factors; ours, the suite has no hidden physics
# Gravity differs less: with twice the weight and half the motors most tasks cannot be solved.
GRAVITY_RANGE = (0.7, 1.4)
ALLOWED = (0.01, 100.0)  # further ones overflow or vanish in an episode
POSES = 3  # random ones, in which a model is asked whether it has a weight
LEAST_FORCE = 1e-9  # N or N·m, a smaller one is rounding

GRAVITY = "body.gravity_scale"
DAMPING = "joint.damping_scale"
FRICTION = "geom.friction_scale"
GEAR = "actuator.gear_scale"
SLOPE_X = "geom.floor.slope_x"
SLOPE_Y = "geom.floor.slope_y"
FIELDS = {  # that a factor of all elements multiplies
    GRAVITY: "opt.gravity",
    DAMPING: "dof_damping",
    FRICTION: "geom_friction",
    GEAR: "actuator_gear",
}
DENSITY_FIELDS = ("body_mass", "body_inertia")
SCALED_FIELDS = (*FIELDS.values(), *DENSITY_FIELDS)


def factors_of(model: mujoco.MjModel) -> tuple[Parameter, ...]:
    """The factors that change how a model moves, with the ranges that they are drawn from."""
    found = []
    if _has_weight(model):
        found.append(_factor(GRAVITY, "factor of gravity", GRAVITY_RANGE))
    for body in _moving_bodies(model):
        meaning = f"factor of the mass and the moments of inertia of {body}"
        found.append(_factor(density_name(body), meaning))
    if model.dof_damping.any():
        found.append(_factor(DAMPING, "factor of the damping of all joints"))
    if _has_contacts(model):
        found.append(_factor(FRICTION, "factor of the friction of all geoms"))
    found.append(_factor(GEAR, "factor of the gears of all motors"))
    return tuple(found)


def density_name(body: str) -> str:
    """The task parameter that is the factor of a body's mass and moments of inertia."""
    return f"body.{body}.density_scale"


def _factor(name: str, meaning: str, bounds: tuple[float, float] = RANGE) -> Parameter:
    return Parameter(name, log_uniform(*bounds), "1", meaning, ALLOWED)


def _moving_bodies(model: mujoco.MjModel) -> list[str]:
    """Bodies with a mass that are not fixed to the world."""
    moves = (model.body_weldid > 0) & (model.body_mass > 0)
    return [model.body(number).name for number in np.flatnonzero(moves)]


def _has_contacts(model: mujoco.MjModel) -> bool:
    """Whether contacts are simulated at all."""
    flags = mujoco.mjtDisableBit
    without = flags.mjDSBL_CONTACT | flags.mjDSBL_CONSTRAINT
    return not model.opt.disableflags & without


def _has_weight(model: mujoco.MjModel) -> bool:
    """Whether gravity pulls at a joint: not where joints move in a horizontal plane."""
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(POSES):
        data.qpos[:] = rng.uniform(-1, 1, model.nq)
        mujoco.mj_forward(model, data)
        weight = np.abs(data.qfrc_bias)  # at rest there is no other force
        if (weight > LEAST_FORCE).any():
            return True
    return False


def model_fields(model: mujoco.MjModel) -> dict[str, Array]:
    """A model's own values of all fields that factors multiply, as copies."""
    values = {}
    for name in SCALED_FIELDS:
        owner = model.opt if name == FIELDS[GRAVITY] else model
        values[name] = getattr(owner, name.rpartition(".")[2]).copy()
    return values


def write_fields(model: mujoco.MjModel, values: dict[str, Array]) -> None:
    """Set fields of a model, by the names of ``SCALED_FIELDS``."""
    for name, value in values.items():
        owner = model.opt if name == FIELDS[GRAVITY] else model
        getattr(owner, name.rpartition(".")[2])[:] = value


def scaled_fields(
    model: mujoco.MjModel, defaults: dict[str, Array], task: Task
) -> dict[str, Array]:
    """The fields of n tasks, (n, ...) each.

    Args:
        model: that names the bodies.
        defaults: from ``model_fields``.
        task: n rows; parameters that are no factors are left out.

    Raises:
        BadArgumentError: a factor is not finite and positive.
    """
    n = len(task)
    values = {name: np.repeat(default[None], n, 0) for name, default in defaults.items()}
    for name, field in FIELDS.items():
        if name in task.names:
            factor = _checked(task, name)
            _multiply(values[field], factor)
    _tilt(values[FIELDS[GRAVITY]], task)
    for body in _moving_bodies(model):
        name = density_name(body)
        if name in task.names:
            factor = _checked(task, name)
            number = model.body(body).id
            for field in DENSITY_FIELDS:
                _multiply(values[field][:, number], factor)
    return values


def _tilt(gravity: Array, task: Task) -> None:
    """Turn gravity (n, 3), which points down, to where it points on a slope; in place."""
    up = np.zeros_like(gravity)  # in the frame of the ground, not normalized
    up[:, 2] = 1.0
    for axis, name in enumerate((SLOPE_X, SLOPE_Y)):
        if name in task.names:
            up[:, axis] = task[name]
    if not np.isfinite(up).all():
        raise BadArgumentError(f"{SLOPE_X} and {SLOPE_Y} must be finite")
    length = np.linalg.norm(up, axis=1, keepdims=True)
    weight = gravity[:, 2:].copy()
    if (up[:, :2] != 0).any():
        gravity[:] = weight * up / length


def _multiply(field: Array, factor: Array) -> None:
    """Multiply (n, ...) by (n,), in place."""
    trailing = (1,) * (field.ndim - 1)
    field *= factor.reshape(-1, *trailing)


def _checked(task: Task, name: str) -> Array:
    factor = task[name]
    is_possible = np.isfinite(factor) & (factor > 0)
    if not is_possible.all():
        wrong = factor[~is_possible][0]
        raise BadArgumentError(f"{name} must be finite and positive, got {wrong}")
    return factor
