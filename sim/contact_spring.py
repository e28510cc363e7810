"""The contact between tool and object: a spring and a damper, the same in every engine."""

from dataclasses import dataclass

import numpy as np

from robots.signals import Array

# s, half a period of the contact's spring between body and object, as of a tip of soft silicone:
# for 0.3 kg about 3.5 kN/m. Hertz's F = 4/3 · E / (1 - 0.25) · √R · δ^1.5 gives as much for a ball
# of R = 20 mm pressed in by δ = 5 mm, at E = 0.19 MPa. Smooth-On gives a modulus at
# 100 % strain of 0.15 MPa for Dragon Skin 10 and of 0.34 MPa for Dragon Skin 20.
STRIKE_TIME = 0.030


@dataclass(frozen=True)
class ContactSpring:
    """A spring and damper between body and object, per mass of the object."""

    stiffness: Array  # (n,) 1/s²
    damping: Array  # (n,) 1/s


def contact_spring(restitution: Array) -> ContactSpring:
    """The contact of objects (n,) that lasts for ``STRIKE_TIME`` and gives their restitution.

    The frequency is ω = π / (STRIKE_TIME · √(1 - ζ²)) for the damping ratio ζ.
    """
    ratio = damping_ratio(restitution)
    shift = np.sqrt(1 - ratio**2)  # damped over undamped frequency
    omega = np.pi / STRIKE_TIME / shift
    return ContactSpring(stiffness=omega**2, damping=2 * ratio * omega)


def damping_ratio(restitution: Array) -> Array:
    """Damping ratio of a spring-damper contact that gives a restitution in (0, 1)."""
    log = np.log(np.clip(restitution, 1e-3, 0.999))
    return -log / np.sqrt(np.pi**2 + log**2)
