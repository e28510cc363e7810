"""What an arm's tool does to the things it touches, from the contacts that PyBullet has solved."""

from typing import Any

import numpy as np

from robots.signals import Array
from sim.engines.bullet_object import Client

# where PyBullet's tuple of a joint has these
CHILD_NAME = 12
PARENT = 16
# and where that of a contact point has these; the normal points from the other body to the arm
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

    def __init__(self, client: Client, body: int, joints: list[int], tool: str) -> None:
        """Find the links.

        Args:
            client: the world's.
            body: Bullet's number of the arm.
            joints: Bullet's numbers of its driven joints.
            tool: name of the link whose frame is the tool frame.
        """
        self._client = client
        self._body = body
        count = client.getNumJoints(body)
        infos: list[Any] = [client.getJointInfo(body, i) for i in range(count)]
        names = [info[CHILD_NAME].decode() for info in infos]
        self._tool = names.index(tool)
        wrist = self._tool
        while wrist not in joints:
            wrist = infos[wrist][PARENT]
        self._links = {wrist}
        for link in range(wrist + 1, count):  # a parent has a lower number than its children
            if infos[link][PARENT] in self._links:
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
