"""Trees of a compiled MuJoCo model, built as PyBullet's multibodies: links, joints, inertias.

A tree is a body that moves against the world, with all that hangs on it. Bullet has a link for
every joint: the last one of a body carries its mass and its solids, and lies at the joint's anchor.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robots.mjcf import WORLD
from robots.rotations import quaternion_from_matrix
from robots.signals import Array, Mask
from sim.engines.bullet_shapes import NO_SHAPE, Client, make_shape, rotated, xyzw

BASE = -1  # Bullet's link number of a body's base
ORIGIN = (0.0, 0.0, 0.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0)  # quaternion w, x, y, z
FASTEST = 1e3  # rad/s or m/s, of a joint: beyond all that happens
LINK_COLUMNS = (  # what Bullet is told of a link, in the order of ``_link_columns``
    "linkMasses",
    "linkCollisionShapeIndices",
    "linkVisualShapeIndices",
    "linkPositions",
    "linkOrientations",
    "linkInertialFramePositions",
    "linkInertialFrameOrientations",
    "linkParentIndices",
    "linkJointTypes",
    "linkJointAxis",
)


@dataclass(frozen=True)
class Tree:
    """A tree as Bullet numbers it."""

    body: int
    links: dict[int, int]  # the link of each body, by MuJoCo's number
    joints: dict[int, int]  # the link of each joint but the free one, by MuJoCo's number


@dataclass(frozen=True)
class Link:
    """A link to be built, in the frame of its parent."""

    parent: int  # counted from 1; 0 is the base
    body: int  # MuJoCo's number
    joint: int | None  # MuJoCo's number; None: it is fixed
    pos: Array
    quat: Array
    anchor: Array  # (3,) m, its origin in the frame of its body
    is_last: bool  # of its body


def roots(model: mujoco.MjModel) -> list[int]:
    """The first bodies of the model's trees, by MuJoCo's numbers."""
    weld = model.body_weldid
    moving = [body for body in range(model.nbody) if weld[body] != WORLD]
    return [body for body in moving if weld[model.body_parentid[body]] == WORLD]


def build_tree(
    client: Client, model: mujoco.MjModel, root: int, solids: Mask, rotors: bool
) -> Tree:
    """Build a tree, with its joints at 0.

    Args:
        client: of the world.
        model: compiled.
        root: one of ``roots``.
        solids: (ngeom,) the geoms that can touch something.
        rotors: whether links carry their joints' rotors; see ``principal_moments``.
    """
    bodies = [body for body in range(model.nbody) if _is_below(model, body, root)]
    floats = is_free(model, root)
    if floats:
        base = _floating_base(client, model, root, solids)
        links = _links(model, bodies[1:], root)
    else:
        base = {"baseMass": 0.0}  # at the world's origin
        links = _links(model, bodies, WORLD)
    rows = [_link_columns(client, model, link, solids, rotors) for link in links]
    columns = {name: [row[name] for row in rows] for name in LINK_COLUMNS}
    body = int(client.createMultiBody(**base, **columns))
    numbers = {link.body: number for number, link in enumerate(links) if link.is_last}
    joints = {link.joint: number for number, link in enumerate(links) if link.joint is not None}
    if floats:
        numbers[root] = BASE
    tree = Tree(body, numbers, joints)
    for number in range(BASE, len(links)):
        _remove_damping(client, body, number)
    for member in bodies:
        _set_inertia(client, model, tree, member, rotors)
    for joint in joints:
        _set_limits(client, model, tree, joint)
    return tree


def is_free(model: mujoco.MjModel, body: int) -> bool:
    """Whether a body has a free joint."""
    first = model.body_jntadr[body]
    return bool(first >= 0 and model.jnt_type[first] == mujoco.mjtJoint.mjJNT_FREE)


def _is_below(model: mujoco.MjModel, body: int, root: int) -> bool:
    """Whether a body is the root or hangs on it."""
    while body > root:
        body = int(model.body_parentid[body])
    return body == root


def _links(model: mujoco.MjModel, bodies: list[int], base: int) -> list[Link]:
    """The links of some bodies, parents first. ``base`` is the body at Bullet's base."""
    links: list[Link] = []
    last_link = {base: 0}  # of each body, counted from 1
    anchors = {base: np.zeros(3)}
    for body in bodies:
        parent = int(model.body_parentid[body])
        pos = model.body_pos[body]
        quat = model.body_quat[body]
        if parent not in last_link:  # it is fixed to the world, where the base is
            pos, quat = _fixed_frame(model, body)
            parent = base
        number = last_link[parent]
        pos = pos - anchors[parent]
        joints = _joints(model, body)
        anchor = np.zeros(3)
        for joint in joints:
            last_anchor = anchor
            anchor = np.zeros(3) if joint is None else model.jnt_pos[joint].copy()
            pos = pos + rotated(anchor - last_anchor, quat)
            links.append(Link(number, body, joint, pos, quat, anchor, joint == joints[-1]))
            number = len(links)
            # a further joint of this body stands at the one before
            pos = np.zeros(3)
            quat = np.array(IDENTITY)
        last_link[body] = number
        anchors[body] = anchor
    return links


def _fixed_frame(model: mujoco.MjModel, body: int) -> tuple[Array, Array]:
    """The frame in the world, (3,) m and quaternion, of a body whose parent does not move.

    It is that with the body's joints at their reference.
    """
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    parent = model.body_parentid[body]
    turn = data.xquat[parent]
    pos = data.xpos[parent] + rotated(model.body_pos[body], turn)
    quat = np.zeros(4)
    mujoco.mju_mulQuat(quat, turn, model.body_quat[body])
    return pos, quat


def _joints(model: mujoco.MjModel, body: int) -> list[int | None]:
    """A body's joints by MuJoCo's numbers; a single None where it is fixed to its parent."""
    first = int(model.body_jntadr[body])
    count = int(model.body_jntnum[body])
    return list(range(first, first + count)) or [None]


def _link_columns(
    client: Client, model: mujoco.MjModel, link: Link, solids: Mask, rotors: bool
) -> dict[str, Any]:
    """What Bullet is told of a link."""
    body = link.body
    mass = 0.0
    shape = NO_SHAPE
    center = ORIGIN
    turn = np.array(IDENTITY)
    if link.is_last:
        mass = float(model.body_mass[body])
        shape = make_shape(client, model, _geoms(model, body, solids), link.anchor)
        center = (model.body_ipos[body] - link.anchor).tolist()
        _, turn = principal_moments(model, body, rotors)
    kind = client.JOINT_FIXED
    axis = ORIGIN
    if link.joint is not None:
        kind = _joint_kind(client, model, link.joint)
        axis = model.jnt_axis[link.joint].tolist()
    values = (
        mass,
        shape,
        NO_SHAPE,
        link.pos.tolist(),
        xyzw(link.quat),
        center,
        xyzw(turn),
        link.parent,
        kind,
        axis,
    )
    return dict(zip(LINK_COLUMNS, values, strict=True))


def _joint_kind(client: Client, model: mujoco.MjModel, joint: int) -> int:
    """Bullet's kind of a joint."""
    kinds = {
        mujoco.mjtJoint.mjJNT_HINGE: client.JOINT_REVOLUTE,
        mujoco.mjtJoint.mjJNT_SLIDE: client.JOINT_PRISMATIC,
        mujoco.mjtJoint.mjJNT_BALL: client.JOINT_SPHERICAL,
    }
    return int(kinds[mujoco.mjtJoint(model.jnt_type[joint])])


def _geoms(model: mujoco.MjModel, body: int, solids: Mask) -> list[int]:
    """The geoms of a body that can touch something."""
    return [int(geom) for geom in np.flatnonzero(solids & (model.geom_bodyid == body))]


def _floating_base(
    client: Client, model: mujoco.MjModel, root: int, solids: Mask
) -> dict[str, Any]:
    """The root itself, which moves freely."""
    return {
        "baseMass": float(model.body_mass[root]),
        "baseCollisionShapeIndex": make_shape(
            client, model, _geoms(model, root, solids), np.zeros(3)
        ),
        "baseInertialFramePosition": model.body_ipos[root].tolist(),
        "baseInertialFrameOrientation": xyzw(model.body_iquat[root]),
    }


def _remove_damping(client: Client, body: int, number: int) -> None:
    """Switch off what Bullet adds to the model's physics."""
    client.changeDynamics(
        body,
        number,
        linearDamping=0,
        angularDamping=0,
        jointDamping=0,
        maxJointVelocity=FASTEST,
    )


def _set_inertia(
    client: Client, model: mujoco.MjModel, tree: Tree, member: int, rotors: bool
) -> None:
    """Give a body's link its principal moments, which Bullet would take from its solids."""
    if not model.body_mass[member]:
        return
    moments, _ = principal_moments(model, member, rotors)
    client.changeDynamics(tree.body, tree.links[member], localInertiaDiagonal=moments.tolist())


def principal_moments(model: mujoco.MjModel, body: int, rotors: bool) -> tuple[Array, Array]:
    """A body's principal moments (3,) kg·m², and where their axes are: quaternion w, x, y, z.

    With ``rotors`` the inertia of the rotor of the body's last joint is added about its axis n, as
    armature · n·nᵀ. That is exact for the joint itself; the rotor also turns with the joints before
    it, where MuJoCo's does not.
    """
    moments = model.body_inertia[body].copy()
    quat = model.body_iquat[body].copy()
    joint = _joints(model, body)[-1]
    if not rotors or joint is None or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
        return moments, quat
    armature = model.dof_armature[model.jnt_dofadr[joint]]
    if not armature:
        return moments, quat
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    axes = matrix.reshape(3, 3)
    n = model.jnt_axis[joint]
    tensor = axes @ np.diag(moments) @ axes.T
    tensor += armature * np.outer(n, n)
    moments, axes = np.linalg.eigh(tensor)
    axes[:, 2] *= np.linalg.det(axes)  # a rotation, not a reflection
    return moments, quaternion_from_matrix(axes[None])[0]


def _set_limits(client: Client, model: mujoco.MjModel, tree: Tree, joint: int) -> None:
    """Give a joint its end stops, where it has some."""
    if not model.jnt_limited[joint]:
        return
    low, high = (model.jnt_range[joint] - reference(model, joint)).tolist()
    client.changeDynamics(tree.body, tree.joints[joint], jointLowerLimit=low, jointUpperLimit=high)


def reference(model: mujoco.MjModel, joint: int) -> float:
    """The position of a hinge or slide that is Bullet's 0, rad or m."""
    address = model.jnt_qposadr[joint]
    return float(model.qpos0[address])
