"""An object in PyBullet: a body that moves freely, and how the scene's body strikes it."""

import mujoco
import numpy as np

from robots.signals import Array
from sim.engines.bullet_contacts import Contact
from sim.engines.bullet_free import FreeBody
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_trees import Tree
from sim.engines.contact_steps import impact_is_due

CONTACT_DISTANCE = 8  # where a closest point of Bullet's has the distance, m
FAR = 0.05  # m, beyond which a distance is not measured and counts as this


class BulletObject(FreeBody):
    """One object as its task has it; it is built again for every task.

    Attributes:
        tree: the object as it was built.
    """

    def __init__(self, client: Client, model: mujoco.MjModel, root: int, tree: Tree) -> None:
        """Take over what was built; see ``FreeBody``."""
        super().__init__(client, model, root, tree.body)
        self.tree = tree
        self._root = root
        self._mass = float(model.body_mass[root])
        self._strikers: list[tuple[int, int]] = []
        self._spring = (0.0, 0.0)
        self._gap = np.nan  # m from the body to the object when the last tick began
        client.changeDynamics(
            tree.body,
            tree.links[root],
            spinningFriction=0.0,
            rollingFriction=0.0,
            activationState=client.ACTIVATION_STATE_DISABLE_SLEEPING,
            contactProcessingThreshold=0.0,
        )

    def find_strikers(self, contacts: list[Contact], places: dict[int, tuple[int, int]]) -> None:
        """Find the links that strike this object, among the contacts of the world."""
        for contact in contacts:
            if contact.spring is None or self._root not in contact.pair:
                continue
            (striker,) = set(contact.pair) - {self._root}
            self._strikers.append(places[striker])
            self._spring = contact.spring

    def soften_strikers(self, contact_dt: float) -> None:
        """Make the strikers' contact a spring and damper, as in MuJoCo: impacts take finite time.

        Bullet integrates it implicitly, which damps it by half the stiffness times a time step in
        addition: that is taken off.

        Args:
            contact_dt: s of a substep during an impact.
        """
        per_mass, damping_per_mass = self._spring
        stiffness = self._mass * per_mass
        damping = self._mass * damping_per_mass
        numerical = stiffness * contact_dt / 2
        for body, link in self._strikers:
            self._client.changeDynamics(
                body,
                link,
                contactStiffness=stiffness,
                contactDamping=max(damping - numerical, 0.0),
            )

    def needs_fine_steps(self, striker: int, dt: float) -> bool:
        """Whether a body hits the object in the tick of ``dt`` s that begins, or soon."""
        last_gap = self._gap
        points = self._client.getClosestPoints(striker, self.body, FAR)
        distances = [point[CONTACT_DISTANCE] for point in points]
        self._gap = min(distances, default=FAR)
        if not distances:
            return False
        return bool(impact_is_due(np.array(self._gap), np.array(last_gap), dt))

    def distance(self) -> float:
        """From the body when the last tick began, m; ``FAR`` or more where it is not known."""
        return FAR if np.isnan(self._gap) else self._gap

    def resist(self) -> None:
        """Apply what holds the object in the next substep: nothing, if it moves freely."""

    def begin(self, pos: Array, quat: Array) -> None:
        """Put the object at rest: its frame at (3,) m, turned by w, x, y, z."""
        self._gap = np.nan
        self.place(pos, quat, np.zeros(3), np.zeros(3))
