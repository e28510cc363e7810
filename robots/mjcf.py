"""Reads an arm's MJCF, the model format of MuJoCo, and refuses what no chain of joints has.

MuJoCo compiles the model, so everything that it reads can be used: includes, defaults, meshes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model

if TYPE_CHECKING:
    import mujoco

ROOT_TAG = "mujoco"
WORLD = 0  # index of the body that everything is attached to


def is_mjcf(path: Path) -> bool:
    """Whether a file is an MJCF; False for anything else, and for a file that is no XML."""
    try:
        return ElementTree.parse(path).getroot().tag == ROOT_TAG
    except (OSError, ElementTree.ParseError, ValueError):
        return False


def compile_mjcf(path: Path) -> "mujoco.MjModel":
    """The compiled model of an MJCF, which has only joints that an arm may have.

    Raises:
        BadArgumentError: MuJoCo cannot read the file, or a joint is a ball joint, is free, shares
            its body with another one, or slides without an end.
    """
    import mujoco

    try:
        model = compile_model(mujoco.MjSpec.from_file(str(path)))
    except ValueError as error:
        first, *_ = str(error).strip().removeprefix("Error: ").splitlines()
        raise BadArgumentError(f"MuJoCo cannot read it: {first}") from error
    for joint in range(model.njnt):
        _check_joint(model, joint)
    return model


def body_name(model: "mujoco.MjModel", body: int) -> str:
    """The name of a body; a body without one gets its number."""
    return str(model.body(body).name) or f"body_{body}"


def joint_name(model: "mujoco.MjModel", joint: int) -> str:
    """The name of a joint; a joint without one is named after its body."""
    return str(model.joint(joint).name) or f"{body_name(model, model.jnt_bodyid[joint])}_joint"


def joint_index(model: "mujoco.MjModel", name: str) -> int:
    """The index of the joint with a name of ``joint_name``."""
    return [joint_name(model, joint) for joint in range(model.njnt)].index(name)


def check_couplings(model: "mujoco.MjModel", driven: tuple[str, ...]) -> None:
    """Check that no constraint or tendon acts on the arm's joints, which a chain cannot have.

    Those of joints that stay fixed, such as of a gripper's fingers, are left out.

    Args:
        model: the compiled MJCF.
        driven: names of the arm's joints.

    Raises:
        BadArgumentError: one does; the message names it and the joints.
    """
    for name, joints in (*_equalities(model), *_tendons(model)):
        named = [joint_name(model, joint) for joint in sorted(joints)]
        touched = [joint for joint in named if joint in driven]
        if touched:
            raise BadArgumentError(f"{name} acts on {', '.join(touched)}: the arm is no open chain")


def _check_joint(model: "mujoco.MjModel", joint: int) -> None:
    """Check one joint; see ``compile_mjcf``."""
    import mujoco

    body = model.jnt_bodyid[joint]
    which = f"joint {joint_name(model, joint)!r} of body {body_name(model, body)!r}"
    kind = model.jnt_type[joint]
    if kind == mujoco.mjtJoint.mjJNT_BALL:
        raise BadArgumentError(f"{which} is a ball joint; supported are: hinge, slide")
    if kind == mujoco.mjtJoint.mjJNT_FREE:
        raise BadArgumentError(f"{which} is free; an arm is fixed to the world")
    if model.body_jntnum[body] > 1:
        raise BadArgumentError(
            f"{which} is one of several in its body; give each a body of its own"
        )
    if kind == mujoco.mjtJoint.mjJNT_SLIDE and not model.jnt_limited[joint]:
        raise BadArgumentError(f"{which} slides and has no range")


def _equalities(model: "mujoco.MjModel") -> Iterator[tuple[str, set[int]]]:
    """What closes a loop or couples joints: a description, and the joints that it acts on."""
    import mujoco

    kinds = mujoco.mjtEq
    for i in range(model.neq):
        kind = kinds(model.eq_type[i])
        name = model.equality(i).name
        first, second = int(model.eq_obj1id[i]), int(model.eq_obj2id[i])
        label = f"the equality {name!r}" if name else f"the equality {i}"
        if kind == kinds.mjEQ_JOINT:
            yield label, {first, second} - {-1}
        elif kind == kinds.mjEQ_TENDON:
            joints = _joints_of_tendon(model, first)
            yield label, joints | (_joints_of_tendon(model, second) if second >= 0 else set())
        elif kind in (kinds.mjEQ_CONNECT, kinds.mjEQ_WELD):
            if model.eq_objtype[i] == mujoco.mjtObj.mjOBJ_SITE:
                first, second = model.site_bodyid[[first, second]]
            yield f"{label}, a closed loop,", _joints_between(model, [first, max(second, WORLD)])


def _tendons(model: "mujoco.MjModel") -> Iterator[tuple[str, set[int]]]:
    """The tendons: a description, and the joints that each acts on."""
    for i in range(model.ntendon):
        yield f"the tendon {model.tendon(i).name or i!r}", _joints_of_tendon(model, i)


def _joints_of_tendon(model: "mujoco.MjModel", tendon: int) -> set[int]:
    """The joints that change a tendon's length."""
    import mujoco

    kinds = mujoco.mjtWrap
    start = model.tendon_adr[tendon]
    parts = range(start, start + model.tendon_num[tendon])
    joints = set()
    bodies = []
    for part in parts:
        index = int(model.wrap_objid[part])
        kind = model.wrap_type[part]
        if kind == kinds.mjWRAP_JOINT:
            joints.add(index)
        elif kind == kinds.mjWRAP_SITE:
            bodies.append(int(model.site_bodyid[index]))
        elif kind in (kinds.mjWRAP_SPHERE, kinds.mjWRAP_CYLINDER):
            bodies.append(int(model.geom_bodyid[index]))
    return joints | _joints_between(model, bodies)


def _joints_between(model: "mujoco.MjModel", bodies: list[int]) -> set[int]:
    """The joints that move some of the bodies against the others."""
    moved = [_joints_above(model, body) for body in bodies]
    some: set[int] = set()
    for joints in moved:
        some |= joints
    return {joint for joint in some if not all(joint in joints for joints in moved)}


def _joints_above(model: "mujoco.MjModel", body: int) -> set[int]:
    """The joints that move a body."""
    joints: set[int] = set()
    while body != WORLD:
        start = model.body_jntadr[body]
        joints |= set(np.arange(start, start + model.body_jntnum[body]).tolist())
        body = model.body_parentid[body]
    return joints
