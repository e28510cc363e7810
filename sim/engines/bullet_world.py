"""One world in PyBullet: a client with all that a compiled MuJoCo model has, built again.

Masses, inertias, solids, joints with their ranges and friction are the model's. Contacts and joint
stops are rigid, where the model's are soft; only an impact of the body on an object is a spring
and damper in both.
"""

from copy import copy

import mujoco
import numpy as np

from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array
from robots.world import Start
from sim.engines.base import start_pose, start_velocity
from sim.engines.bullet_contacts import (
    Contact,
    geom_contacts,
    solid_contacts,
    solid_frictions,
    solid_of,
    touching_geoms,
)
from sim.engines.bullet_fingers import connect_followers, place_followers
from sim.engines.bullet_free import FreeRoot
from sim.engines.bullet_jointed import UPRIGHT, JointedObject
from sim.engines.bullet_object import BulletObject
from sim.engines.bullet_shapes import Client, make_fixed, xyzw
from sim.engines.bullet_trees import BASE, Tree, build_tree, reference, roots

# Collision group and mask of every solid, as bits: rays meet it, and it touches nothing but what is
# said pair by pair.
SOLID = 2
RAYS = 1
SOLVER_ITERATIONS = 50
FREE = mujoco.mjtJoint.mjJNT_FREE

Place = tuple[int, int]  # a solid in Bullet: body and link


class BulletWorld:
    """A client, in which the joints of the scene's body are measured.

    Attributes:
        body: Bullet's number of the scene's body.
        joints: Bullet's numbers of the root joints, but for a free one, and the driven joints.
        objects: in the scene's order; empty before ``write``.
        made: solids of objects that were built so far. Bullet never frees them.
        q: positions of the root joints and the driven joints, rad or m.
        dq: their velocities.
        joint_q: those of ``joints`` alone.
        joint_dq: their velocities.
        places: Bullet's body and link of each solid that is built; see ``solid_of``.
        reference: the positions of ``joints`` where Bullet's are 0.
    """

    def __init__(self, scene: Scene, model: mujoco.MjModel, client: Client, rotors: bool) -> None:
        """Build everything but the objects, whose task is not known yet.

        Args:
            scene: the scene.
            model: the scene's, compiled; it is copied.
            client: a fresh BulletClient.
            rotors: whether links carry the inertia of their joints' rotors.

        Raises:
            BadArgumentError: Bullet cannot let the same things touch.
        """
        self.scene = scene
        self.client = client
        self._model = copy(model)
        client.setPhysicsEngineParameter(
            fixedTimeStep=scene.timestep,
            numSolverIterations=SOLVER_ITERATIONS,
            deterministicOverlappingPairs=1,
        )
        client.setGravity(*model.opt.gravity.tolist())
        geoms = geom_contacts(model)
        self._solids = touching_geoms(model, geoms)
        self.places: dict[int, Place] = {}
        self._item_bodies = [model.body(item.name).id for item in scene.objects]
        fixed = [root for root in roots(model) if root not in self._item_bodies]
        self.trees = [self._build(root, rotors) for root in fixed]
        self._build_fixed()
        self._find_joints()
        self._connect(set(self.places))
        self.objects: list[BulletObject] = []
        self.made = 0
        self.measure()

    def _build(self, root: int, rotors: bool) -> Tree:
        """One of the model's trees."""
        tree = build_tree(self.client, self._model, root, self._solids, rotors)
        for body, link in tree.links.items():
            self.places[body] = (tree.body, link)
        connect_followers(self.client, self._model, tree)
        return tree

    def _build_fixed(self) -> None:
        """The geoms that do not move."""
        model = self._model
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        for geom in np.flatnonzero(self._solids).tolist():
            if model.body_weldid[model.geom_bodyid[geom]]:
                continue
            quat = np.zeros(4)
            mujoco.mju_mat2Quat(quat, data.geom_xmat[geom])
            body = make_fixed(self.client, model, geom, data.geom_xpos[geom], quat)
            self.places[model.nbody + geom] = (body, BASE)

    def _find_joints(self) -> None:
        """Where the joints of the scene's body are.

        Raises:
            BadArgumentError: they are not in one tree.
        """
        body = self.scene.body
        model = self._model
        numbers = [model.joint(name).id for name in (*body.root, *body.joints)]
        free = [number for number in numbers if model.jnt_type[number] == FREE]
        scalar = [number for number in numbers if number not in free]
        needed = set(scalar)
        found = [tree for tree in self.trees if needed <= set(tree.joints)]
        if not found:
            raise BadArgumentError(f"PyBullet cannot measure the joints of {body.name}")
        tree = found[0]
        self._tree = tree
        self._numbers = scalar
        self.body = tree.body
        self.joints = [tree.joints[number] for number in scalar]
        self.reference = np.array([reference(model, number) for number in scalar])
        self._root: FreeRoot | None = None
        for number in free:
            root = int(model.jnt_bodyid[number])
            self._root = FreeRoot(self.client, model, root, tree.body)

    def _connect(self, new: set[int]) -> list[Contact]:
        """Let solids touch what they may, of which some are new; returns the new contacts."""
        model = self._model
        client = self.client
        all_contacts = solid_contacts(model, geom_contacts(model))
        frictions = solid_frictions(model, all_contacts)
        result = []
        for contact in all_contacts:
            first, second = contact.pair
            is_built = first in self.places and second in self.places
            if not is_built or new.isdisjoint(contact.pair):
                continue
            body, link = self.places[first]
            other_body, other_link = self.places[second]
            client.setCollisionFilterPair(body, other_body, link, other_link, True)
            result.append(contact)
        for solid in sorted(new):
            body, link = self.places[solid]
            client.setCollisionFilterGroupMask(body, link, SOLID, RAYS)
            friction = frictions.get(solid, 0.0)
            client.changeDynamics(body, link, lateralFriction=friction, restitution=0.0)
        return result

    def write(self, values: dict[str, Array]) -> None:
        """Place the fixtures and build the objects again, by fields of the model for one world."""
        for old in self.objects:
            self.client.removeBody(old.body)
        model = self._model
        moved = (model.geom_pos != values["geom_pos"]).any(1)
        has_new_friction = model.geom_friction[:, 0] != values["geom_friction"][:, 0]
        margin = values.get("pair_margin", model.pair_margin)
        toggled = (model.pair_margin < 0) != (margin < 0)
        for name, value in values.items():
            getattr(model, name)[:] = value
        for number in np.flatnonzero(toggled).tolist():
            self._let_touch(number, bool(model.pair_margin[number] >= 0))
        for geom in np.flatnonzero(moved | has_new_friction).tolist():
            self._change_fixture(geom, bool(moved[geom]))
        self.objects = []
        for root in self._item_bodies:
            tree = self._build(root, rotors=False)
            self.made += 1
            self.objects.append(self._take_over(root, tree))
        contacts = self._connect(set(self._item_bodies))
        for built in self.objects:
            built.find_strikers(contacts, self.places)
        self.soften()

    def _take_over(self, root: int, tree: Tree) -> BulletObject:
        """The object that was built as a tree."""
        item = self.scene.objects[self._item_bodies.index(root)]
        kind = JointedObject if item.joints else BulletObject
        return kind(self.client, self._model, root, tree)

    def step(self) -> None:
        """Simulate one substep."""
        for item in self.objects:
            item.resist()
        self.client.stepSimulation()

    def _let_touch(self, number: int, touches: bool) -> None:
        """Let the geoms of one of the model's pairs touch, or not; their solids have no others."""
        model = self._model
        first = solid_of(model, model.pair_geom1[number])
        second = solid_of(model, model.pair_geom2[number])
        body, link = self.places[first]
        other_body, other_link = self.places[second]
        self.client.setCollisionFilterPair(body, other_body, link, other_link, touches)

    def _change_fixture(self, geom: int, moved: bool) -> None:
        """Give a geom of the world the model's friction, and its place if it has moved."""
        model = self._model
        solid = model.nbody + geom
        if solid not in self.places:
            return
        body, link = self.places[solid]
        friction = float(model.geom_friction[geom, 0])
        self.client.changeDynamics(body, link, lateralFriction=friction)
        if moved:
            place = model.geom_pos[geom].tolist()
            turn = xyzw(model.geom_quat[geom])
            self.client.resetBasePositionAndOrientation(body, place, turn)

    def soften(self) -> None:
        """Make the contacts of what strikes the nearest object its spring and damper."""
        if not self.objects:
            return
        contact_dt = self.scene.timestep / self.scene.contact_substeps
        nearest = min(self.objects, key=BulletObject.distance)
        nearest.soften_strikers(contact_dt)

    def place(self, start: Start, i: int) -> None:
        """Put everything at the i-th row of a start."""
        self.place_joints(start.q[i], start_velocity(start)[i])
        for number, built in enumerate(self.objects):
            item = self.scene.objects[number]
            pose = start_pose(start, self.scene, number)
            if pose is None:
                built.begin(np.array(item.position), UPRIGHT)
            elif pose.quat is None:
                built.begin(pose.pos[i], UPRIGHT)
            else:
                built.begin(pose.pos[i], pose.quat[i])

    def place_joints(self, q: Array, dq: Array) -> None:
        """Put everything of the body at positions and velocities, a free root's first."""
        if self._root is not None:
            self._root.place_joint(q, dq)
        count = len(self.joints)
        positions = q[len(q) - count :] - self.reference
        velocities = dq[len(dq) - count :]
        reset_joint = self.client.resetJointState
        rows = zip(self.joints, positions.tolist(), velocities.tolist(), strict=True)
        for joint, position, velocity in rows:
            reset_joint(self.body, joint, position, velocity)
        by_number = dict(zip(self._numbers, positions.tolist(), strict=True))
        place_followers(self.client, self._model, self._tree, by_number)
        self.measure()

    def measure(self) -> Array:
        """Read positions and velocities; returns the torques of the joints' motors, (j,)."""
        states = self.client.getJointStates(self.body, self.joints)
        self.joint_q = np.array([state[0] for state in states]) + self.reference
        self.joint_dq = np.array([state[1] for state in states])
        self.q = self.joint_q
        self.dq = self.joint_dq
        if self._root is not None:
            root_q, root_dq = self._root.joint()
            self.q = np.concatenate([root_q, self.joint_q])
            self.dq = np.concatenate([root_dq, self.joint_dq])
        return np.array([state[3] for state in states])

    def object_states(self) -> Array:
        """Position, quaternion w x y z and twist of the objects' frames, (objects, 13).

        NaN before they are built.
        """
        if not self.objects:
            return np.full((len(self.scene.objects), 13), np.nan)
        return np.array([item.state() for item in self.objects])

    def close(self) -> None:
        """End the client."""
        self.client.disconnect()
