"""What an arm carries at its flange, tool and load together, as its controller is told."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.signals import Array

FARTHEST = 0.5  # m, of a center of mass from the flange, along each axis; ours
SAME = 1e-3  # kg and m between what was set and what the controller reports
PATIENCE = 0.5  # s, for the controller to report a new payload
POLL = 2e-3  # s
DENSITY = 1000.0  # kg/m³, of the ball whose inertia stands for the payload's; ours


@dataclass(frozen=True)
class Payload:
    """A mass at the flange."""

    mass: float  # kg
    center: tuple[float, float, float]  # m, of its center of mass, in the frame of the flange

    @property
    def inertia(self) -> Array:
        """(3, 3) kg·m² of a ball of this mass about its center; its real one is not known."""
        radius = (3 * self.mass / (4 * np.pi * DENSITY)) ** (1 / 3)
        inertia: Array = 0.4 * self.mass * radius**2 * np.eye(3)
        return inertia

    def await_set(self, read: Callable[[], Sequence[float]]) -> None:
        """Wait until the controller reports this payload.

        Args:
            read: what it reports now: mass in kg, center of mass x, y, z in m.

        Raises:
            RuntimeError: it goes on reporting another one.
        """
        asked = np.array([self.mass, *self.center])
        deadline = time.monotonic() + PATIENCE
        while True:
            shown = np.array(read())
            if np.abs(shown - asked).max() <= SAME:
                return
            if time.monotonic() > deadline:
                numbers = f"{shown.round(4).tolist()} kg and m, not {asked.round(4).tolist()}"
                raise RuntimeError(f"the controller did not take the payload: it has {numbers}")
            time.sleep(POLL)


def read_payload(values: Sequence[float], arm: ArmSpec) -> Payload | None:
    """The payload of a driver's option ``payload``; None where none is given.

    Args:
        values: mass in kg and center of mass x, y, z in m; or nothing.
        arm: it must be able to carry it.

    Raises:
        BadArgumentError: there are not four finite numbers, or the arm does not carry that much.
    """
    if not values:
        return None
    if len(values) != 4 or not np.isfinite(values).all():
        raise BadArgumentError(f"a payload is MASS,X,Y,Z in kg and m, got {list(values)}")
    mass, x, y, z = values
    if arm.rated_payload is None:
        raise BadArgumentError(f"how much {arm.name} carries is not known: set no payload")
    if not 0 <= mass <= arm.rated_payload:
        limit = f"{arm.name} carries 0 to {arm.rated_payload:g} kg"
        raise BadArgumentError(f"{limit}, tool and load together; the payload has {mass:g} kg")
    if max(abs(x), abs(y), abs(z)) > FARTHEST:
        problem = f"the payload's center of mass, {x:g}, {y:g}, {z:g} m"
        raise BadArgumentError(f"{problem}, is more than {FARTHEST} m from the flange")
    return Payload(float(mass), (float(x), float(y), float(z)))
