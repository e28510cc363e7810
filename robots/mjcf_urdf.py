"""Writes a compiled MJCF as a URDF, the one format that the catalog's arms are read from.

Every body is a link, every joint a joint, every site a link without mass that may be the tool. The
URDF's base is MuJoCo's world; what is attached to the world itself, such as a floor, is left out.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from robots.errors import BadArgumentError
from robots.meshes import write_obj
from robots.mjcf import WORLD, body_name, joint_name
from robots.mujoco_model import read_mesh
from robots.rotations import roll_pitch_yaw, rotation_about, transform
from robots.signals import Array, Indices
from robots.urdf_elements import format_numbers

if TYPE_CHECKING:
    import mujoco

BASE = "world"  # name of the URDF's base, which MuJoCo reserves for its own
MESHES = "meshes"  # folder of the mesh files
ANCHOR = "_anchor"  # of the name of a link at a joint that is beside its body's frame
UNKNOWN = 1e6  # in place of a limit that an MJCF does not have: the catalog entry's is narrower
HIDDEN_GROUP = 3  # MuJoCo's viewers show no geoms of this group and later ones
ROUND = 3  # subdivisions of an icosahedron that stands for an ellipsoid: 642 corners


class UrdfWriter:
    """Writes the URDF of one model and its mesh files."""

    def __init__(self, model: "mujoco.MjModel", path: Path) -> None:
        """Prepare to write.

        Args:
            model: the compiled MJCF.
            path: of the URDF; its meshes come into a folder beside it.
        """
        self._model = model
        self._path = path
        self._root = Element("robot", name=path.stem)
        self._files: dict[tuple[object, ...], str] = {}

    def write(self, comment: str) -> None:
        """Write the files.

        Args:
            comment: first element of the URDF.

        Raises:
            BadArgumentError: a body, joint or site has the name of another, or a geom is of a kind
                that no URDF has.
        """
        model = self._model
        self._root.append(ElementTree.Comment(f" {comment} "))
        SubElement(self._root, "link", name=BASE)
        for body in range(1, model.nbody):
            self._add_body(body)
        for site in range(model.nsite):
            self._add_site(site)
        ElementTree.indent(self._root)
        ElementTree.ElementTree(self._root).write(self._path, "utf-8", xml_declaration=True)

    def _add_body(self, body: int) -> None:
        """A body's link, and its joint or fixed joint to the body that carries it."""
        model = self._model
        name = body_name(model, body)
        parent = BASE
        if model.body_parentid[body] != WORLD:
            parent = body_name(model, model.body_parentid[body])
        pose = _pose(model.body_pos[body], model.body_quat[body])
        if model.body_jntnum[body]:
            joint = int(model.body_jntadr[body])
            anchor = model.jnt_pos[joint]
            carried = name
            if anchor.any():
                carried = name + ANCHOR
                SubElement(self._root, "link", name=carried)
            self._add_joint(joint, parent, carried, pose @ _shift(anchor))
            if anchor.any():
                self._fix(f"{name}_frame", carried, name, _shift(-anchor))
        else:
            self._fix(f"{name}_fixed", parent, name, pose)
        link = SubElement(self._root, "link", name=name)
        if model.body_mass[body] > 0:
            self._add_inertial(link, body)
        for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
            self._add_geom(link, geom)

    def _add_joint(self, joint: int, parent: str, child: str, pose: Array) -> None:
        """A hinge or slide; a URDF's joint is at 0 where MuJoCo's is at 0, which is not ``ref``."""
        import mujoco

        model = self._model
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        limited = bool(model.jnt_limited[joint])
        kind = "prismatic" if slides else "revolute" if limited else "continuous"
        axis = model.jnt_axis[joint]
        ref = float(model.qpos0[model.jnt_qposadr[joint]])
        back = np.eye(4)
        if slides:
            back[:3, 3] = -ref * axis
        else:
            back[:3, :3] = rotation_about(axis, -ref)
        element = self._connect(joint_name(model, joint), kind, parent, child, pose @ back)
        SubElement(element, "axis", xyz=format_numbers(axis))
        limit = SubElement(element, "limit", effort=repr(UNKNOWN), velocity=repr(UNKNOWN))
        if limited:
            low, high = model.jnt_range[joint].tolist()
            limit.attrib |= {"lower": repr(low), "upper": repr(high)}

    def _add_inertial(self, link: Element, body: int) -> None:
        """Mass and inertia of a body."""
        model = self._model
        inertial = SubElement(link, "inertial")
        _add_origin(inertial, _pose(model.body_ipos[body], model.body_iquat[body]))
        SubElement(inertial, "mass", value=repr(float(model.body_mass[body])))
        xx, yy, zz = (repr(moment) for moment in model.body_inertia[body].tolist())
        moments = {"ixx": xx, "ixy": "0", "ixz": "0", "iyy": yy, "iyz": "0", "izz": zz}
        SubElement(inertial, "inertia", moments)

    def _add_site(self, site: int) -> None:
        """A site with a name, as a link without mass."""
        model = self._model
        name = model.site(site).name
        body = model.site_bodyid[site]
        if name and body != WORLD:
            SubElement(self._root, "link", name=name)
            pose = _pose(model.site_pos[site], model.site_quat[site])
            self._fix(f"{name}_site", body_name(model, body), name, pose)

    def _add_geom(self, link: Element, geom: int) -> None:
        """A geom, as what is seen, what collides, or both."""
        model = self._model
        pose = _pose(model.geom_pos[geom], model.geom_quat[geom])
        color = model.geom_rgba[geom]
        if model.geom_matid[geom] >= 0:
            color = model.mat_rgba[model.geom_matid[geom]]
        tags = []
        if self._is_shown(geom) and color[3] > 0:
            tags.append("visual")
        if model.geom_contype[geom] or model.geom_conaffinity[geom]:
            tags.append("collision")
        for tag in tags:
            for shift, shape, attributes in self._solids(geom):
                solid = SubElement(link, tag)
                _add_origin(solid, pose @ _shift(np.array([0.0, 0.0, shift])))
                SubElement(SubElement(solid, "geometry"), shape, attributes)
                if tag == "visual":
                    material = SubElement(solid, "material", name=f"color_{geom}")
                    SubElement(material, "color", rgba=format_numbers(color.astype(np.float64)))

    def _is_shown(self, geom: int) -> bool:
        """Whether MuJoCo's viewers show a geom; all are shown where the model hides every one."""
        groups = self._model.geom_group[self._model.geom_bodyid != WORLD]
        return bool(self._model.geom_group[geom] < HIDDEN_GROUP or (groups >= HIDDEN_GROUP).all())

    def _solids(self, geom: int) -> list[tuple[float, str, dict[str, str]]]:
        """A geom's solids: place along its z axis (m), tag and attributes of each.

        A capsule is a cylinder with two balls, an ellipsoid a mesh.
        """
        import mujoco

        kinds = mujoco.mjtGeom
        model = self._model
        kind = kinds(model.geom_type[geom])
        a, b, c = model.geom_size[geom].tolist()
        ball = {"radius": repr(a)}
        tube = {"radius": repr(a), "length": repr(2 * b)}
        if kind == kinds.mjGEOM_SPHERE:
            return [(0.0, "sphere", ball)]
        if kind == kinds.mjGEOM_CYLINDER:
            return [(0.0, "cylinder", tube)]
        if kind == kinds.mjGEOM_CAPSULE:
            return [(0.0, "cylinder", tube), (b, "sphere", ball), (-b, "sphere", ball)]
        if kind == kinds.mjGEOM_BOX:
            return [(0.0, "box", {"size": format_numbers(np.array([2 * a, 2 * b, 2 * c]))})]
        if kind == kinds.mjGEOM_MESH:
            return [(0.0, "mesh", {"filename": self._mesh_file(int(model.geom_dataid[geom]))})]
        if kind == kinds.mjGEOM_ELLIPSOID:
            return [(0.0, "mesh", {"filename": self._ellipsoid_file(np.array([a, b, c]))})]
        name = model.geom(geom).name or geom
        body = body_name(model, model.geom_bodyid[geom])
        word = kind.name.removeprefix("mjGEOM_").lower()
        raise BadArgumentError(f"geom {name!r} of body {body!r} is a {word}, which no URDF has")

    def _mesh_file(self, mesh: int) -> str:
        """The file of a mesh, as a URDF names it."""
        vertices, faces = read_mesh(self._model, mesh)
        name = Path(str(self._model.mesh(mesh).name)).name
        return self._file(("mesh", mesh), name, vertices, faces)

    def _ellipsoid_file(self, radii: Array) -> str:
        """The file of an ellipsoid with three radii (3,) m."""
        import trimesh

        ball = trimesh.creation.icosphere(subdivisions=ROUND)
        return self._file(tuple(radii.tolist()), "ellipsoid", ball.vertices * radii, ball.faces)

    def _file(self, key: tuple[object, ...], name: str, vertices: Array, faces: Indices) -> str:
        """Write a mesh, once for each key."""
        if key not in self._files:
            folder = self._path.parent / MESHES
            folder.mkdir(exist_ok=True)
            file = f"{len(self._files)}_{name}.obj"
            text = write_obj(np.asarray(vertices, np.float64), np.asarray(faces, np.int64))
            (folder / file).write_text(text, encoding="utf-8")
            self._files[key] = f"{MESHES}/{file}"
        return self._files[key]

    def _fix(self, name: str, parent: str, child: str, pose: Array) -> None:
        """A fixed joint."""
        self._connect(name, "fixed", parent, child, pose)

    def _connect(self, name: str, kind: str, parent: str, child: str, pose: Array) -> Element:
        """A joint of any kind; ``pose`` (4, 4) is that of its frame in the parent's."""
        joint = SubElement(self._root, "joint", name=name, type=kind)
        SubElement(joint, "parent", link=parent)
        SubElement(joint, "child", link=child)
        _add_origin(joint, pose)
        return joint


def _add_origin(element: Element, pose: Array) -> None:
    """The <origin> with a pose (4, 4)."""
    angles = format_numbers(roll_pitch_yaw(pose[:3, :3]))
    SubElement(element, "origin", xyz=format_numbers(pose[:3, 3]), rpy=angles)


def _pose(position: Array, quaternion: Array) -> Array:
    """The pose (4, 4) of a position (3,) m and a quaternion (4,) w, x, y, z."""
    import mujoco

    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, np.asarray(quaternion, np.float64))
    return transform(rotation.reshape(3, 3), position)


def _shift(offset: Array) -> Array:
    """A translation (4, 4) by ``offset`` (3,) m."""
    return transform(np.eye(3), offset)
