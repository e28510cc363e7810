"""What an arm's tool does to the things it touches, from the contacts that PyBullet has solved."""

import mujoco
import numpy as np

from robots.signals import Array
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_trees import Tree
from sim.scene_model import TOOL_VELOCITY

# Where PyBullet's tuple of a contact point has these. The normal points from the other body to the
# arm.
LINK = 3
POINT = 5
NORMAL = 7
NORMAL_FORCE = 9  # N
FRICTIONS = ((10, 11), (12, 13))  # N, and its direction
FRAME_ORIGIN = 4  # in the tuple of a link: m, in the world


class ToolContacts:
    """The links of one arm that move with its tool, and what they touch.

    Like a sensor in the wrist it feels the tool and all that the last joint before it carries.
    """

    def __init__(self, client: Client, model: mujoco.MjModel, tree: Tree) -> None:
        """Find the links.

        Args:
            client: the world's.
            model: the scene's, compiled.
            tree: the arm in Bullet.
        """
        self._client = client
        self._body = tree.body
        tool = int(model.sensor(TOOL_VELOCITY).objid[0])
        self._tool = tree.links[tool]
        wrist = model.body_weldid[tool]  # the body that the last joint before the tool moves
        self._links = set()
        for body, link in tree.links.items():
            if model.body_weldid[body] == wrist:
                self._links.add(link)

    def wrench(self) -> Array:
        """Force N and torque N·m (6,) of the tool on what it touches in the last substep.

        At the origin of the tool's frame, along the axes of the world.
        """
        force = np.zeros(3)
        torque = np.zeros(3)
        contacts = self._client.getContactPoints(self._body)
        touching = [contact for contact in contacts if contact[LINK] in self._links]
        if not touching:
            return np.zeros(6)
        origin = np.array(self._client.getLinkState(self._body, self._tool)[FRAME_ORIGIN])
        for contact in touching:
            on_arm = contact[NORMAL_FORCE] * np.array(contact[NORMAL])
            for friction, direction in FRICTIONS:
                on_arm = on_arm + contact[friction] * np.array(contact[direction])
            force -= on_arm
            torque -= np.cross(np.array(contact[POINT]) - origin, on_arm)
        return np.concatenate([force, torque])
