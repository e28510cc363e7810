"""A gripper in a URDF: it is mounted in place of the arm's own tool, and its fingers move.

One finger's joint is driven. The joints that follow it by <mimic> move with it.
"""

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.gripper import Gripper
from robots.meshes import find_mesh
from robots.urdf_elements import errors_about, optional_number, required_attribute
from robots.urdf_tree import UrdfTree, link_name, moves, read_tree

FLANGE = "flange"  # the fixed joint of an arm's URDF that carries its own tool


def mount(arm: UrdfTree, gripper: Gripper) -> UrdfTree:
    """The arm's tree with the gripper's in place of all that its joint ``flange`` carries.

    Raises:
        BadArgumentError: the arm has no such fixed joint, the gripper's URDF is no tree of
            supported joints, or a name is in both.
    """
    if FLANGE not in arm.joints or moves(arm.joints[FLANGE]):
        raise BadArgumentError(f"it has no fixed joint {FLANGE!r} to mount a gripper on")
    with errors_about(gripper.urdf.name):
        added = read_tree(gripper.urdf)
        _find_meshes(added)
    replaced = _links_behind(arm, FLANGE)
    links = {name: link for name, link in arm.links.items() if name not in replaced}
    joints = {}
    for name, joint in arm.joints.items():
        if link_name(joint, "child") not in replaced or name == FLANGE:
            joints[name] = joint
    both = (links.keys() & added.links.keys()) | (joints.keys() & added.joints.keys())
    if both:
        names = ", ".join(sorted(both))
        raise BadArgumentError(f"it and {gripper.urdf.name} have the same names: {names}")
    child = joints[FLANGE].find("child")
    assert child is not None, "read_tree has checked it"
    child.attrib["link"] = added.base
    return UrdfTree(arm.path, links | added.links, joints | added.joints)


def _find_meshes(gripper: UrdfTree) -> None:
    """Name every mesh by its whole path: the gripper's files are not beside the arm's."""
    for link in gripper.links.values():
        for mesh in link.iter("mesh"):
            file = find_mesh(required_attribute(mesh, "filename"), gripper.path)
            mesh.attrib["filename"] = str(file)


def followers(tree: UrdfTree, arm: ArmSpec) -> dict[str, tuple[float, float]]:
    """The joints that follow the driven finger: factor and offset (m) by name; maybe none.

    The position of such a joint is offset + factor · that of the driven finger.
    """
    if arm.gripper is None:
        return {}
    found = {}
    for name, joint in tree.joints.items():
        mimic = joint.find("mimic")
        if mimic is not None and mimic.attrib.get("joint") == arm.gripper.joint:
            factor = optional_number(mimic, "multiplier", 1.0)
            offset = optional_number(mimic, "offset", 0.0)
            found[name] = (factor, offset)
    return found


def _links_behind(tree: UrdfTree, joint: str) -> set[str]:
    """The names of all links that a joint carries."""
    carried = {link_name(tree.joints[joint], "child")}
    for later in tree.joints.values():  # a link's joint comes before those behind it
        if link_name(later, "parent") in carried:
            carried.add(link_name(later, "child"))
    return carried
