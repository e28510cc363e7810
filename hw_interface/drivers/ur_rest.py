"""How a Universal Robots arm is brought to rest: it brakes, and joints in contact are released."""

import time

import numpy as np

from hw_interface.drivers.lead import held_positions
from hw_interface.drivers.ur_link import FREQUENCY, UrLink

# rad between a joint and its target beyond which the joint presses on something: the controller
# compensates gravity, so joints do not sag. At the catalog's 4500 N·m/rad this is 22 N·m.
PRESSES = 0.005
SETTLED = 0.01  # rad/s, below which a joint is at rest
SETTLING = 0.1  # s that the joints may take to come to rest after their targets
STEP = 0.3 / FREQUENCY  # rad per cycle of the controller: 0.3 rad/s; ours, slow
PATIENCE = 1.5  # s that the release of a contact may take
LOOKAHEAD = 0.05  # s, of servoj
GAIN = 300.0  # of servoj, the client's default
ARRIVED = 1e-3  # rad between a target and its goal


def come_to_rest(link: UrLink) -> None:
    """Brake, release joints that press on something, and end the program; blocks.

    If no measurement arrives, nothing is sent, because the client would wait for minutes or crash
    this process; the controller's watchdog then ends the program.

    Raises:
        OSError: the link is lost, or is closed meanwhile.
        RuntimeError: the program does not end.
    """
    link.await_next()
    try:
        if link.brake() and _release_contact(link):
            link.brake()
    finally:
        link.end_program()


def _release_contact(link: UrLink) -> bool:
    """Move the targets of joints that press on something back to the measured positions.

    The targets retrace the path on which they left the joints behind. They do not pass the safety
    gate; the motion is therefore slow (``STEP``) and takes at most ``PATIENCE``.

    Returns:
        Whether a joint pressed on something.
    """
    measured = link.measured
    _await_rest(link)
    target = np.array(measured.getTargetQ())
    q = np.array(measured.getActualQ())
    goal = held_positions(target, q, PRESSES)
    if goal is None:
        return False
    setpoint = target
    deadline = time.monotonic() + PATIENCE
    while np.abs(target - goal).max() > ARRIVED and time.monotonic() < deadline:
        link.await_next()
        setpoint = setpoint + np.clip(goal - setpoint, -STEP, STEP)
        if not link.servo(setpoint, LOOKAHEAD, GAIN):
            break
        target = np.array(measured.getTargetQ())
    return True


def _await_rest(link: UrLink) -> None:
    """Wait until the joints are at rest, at most ``SETTLING`` s."""
    deadline = time.monotonic() + SETTLING
    speed = np.inf
    while speed > SETTLED and time.monotonic() < deadline:
        link.await_next()
        speed = np.abs(link.measured.getActualQd()).max()
