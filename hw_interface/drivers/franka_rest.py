"""How a Franka arm is brought to rest: it brakes, and joints in contact are released."""

import time

import numpy as np

from hw_interface.drivers.franka_link import EXPIRY, FrankaLink
from hw_interface.drivers.lead import held_positions

# rad between a joint and what it is held at, beyond which it presses on something: the controller
# compensates gravity, so joints do not sag. At the catalog's 4500 N·m/rad this is 22 N·m.
PRESSES = 0.005
SETTLING = 0.1  # s that the joints may take to come to rest after they were braked
SETTLED = 0.01  # rad/s, below which a joint is at rest
SPEED = 0.3  # rad/s at which a press is ended; ours, slow
GAIN = 10.0  # 1/s, from the distance to a velocity
ARRIVED = 1e-3  # rad
PATIENCE = 1.5  # s that the release of a contact may take
PERIOD = 4e-3  # s
HELD = EXPIRY / 1000  # s for which a velocity is held at most


def come_to_rest(link: FrankaLink) -> None:
    """Brake, and release joints that press on something; blocks.

    Raises:
        OSError: the link is lost.
        RuntimeError: the motion was aborted by the controller.
    """
    link.brake()
    if _release_contact(link):
        link.brake()


def _release_contact(link: FrankaLink) -> bool:
    """Move what pressing joints are held at back to where they are; it retraces its own path.

    These velocities do not pass the safety gate: they are slow, and for ``PATIENCE`` at most. They
    lead no farther than twice the distance at which the joints were, even if the controller repeats
    an old state.

    Returns:
        Whether a joint pressed on something.
    """
    _await_rest(link)
    state = link.state
    goal = held_positions(np.array(state.q_d), np.array(state.q), PRESSES)
    if goal is None:
        return False
    way = 2 * np.abs(goal - state.q_d)  # rad; a late program moves the arm by less than it counts
    before = time.monotonic()
    deadline = before + PATIENCE
    while time.monotonic() < deadline:
        left = goal - link.state.q_d
        velocity = np.where(way > 0, np.clip(GAIN * left, -SPEED, SPEED), 0.0)
        if np.abs(left).max() < ARRIVED or not velocity.any():
            break
        link.stream(velocity)
        time.sleep(PERIOD)
        now = time.monotonic()
        way -= np.abs(velocity) * min(now - before, HELD)
        before = now
    return True


def _await_rest(link: FrankaLink) -> None:
    """Wait until the joints are at rest, at most ``SETTLING`` s."""
    deadline = time.monotonic() + SETTLING
    while np.abs(link.state.dq).max() > SETTLED and time.monotonic() < deadline:
        time.sleep(PERIOD)
