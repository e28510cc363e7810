"""How a Universal Robots arm is brought to rest, so that no joint presses on."""

import time

import numpy as np

from hw_interface.drivers.ur_link import FREQUENCY, UrLink

# rad between a joint and its target, from which on it presses: the controller carries the arm's
# weight, so that nothing sags. At the catalog's 4500 N·m/rad this is 22 N·m.
PRESSES = 0.005
SETTLED = 0.01  # rad/s, below which a joint stands
SETTLING = 0.1  # s that the joints may take to stand once their targets do
STEP = 0.3 / FREQUENCY  # rad in a cycle of the controller: 0.3 rad/s; ours, slow
PATIENCE = 1.5  # s that letting go may take
LOOKAHEAD = 0.05  # s
GAIN = 300.0  # the client's own choice
ARRIVED = 1e-3  # rad


def come_to_rest(link: UrLink) -> None:
    """Brake, let go of what a joint presses against, end the program; blocks until then.

    Nothing is sent where no measurement comes, as the client would wait for minutes or end this
    process: the controller's watchdog ends the program.

    Raises:
        OSError: the link is lost, or is closed meanwhile.
        RuntimeError: the program goes on.
    """
    link.await_next()
    try:
        if link.brake() and _let_go(link):
            link.brake()
    finally:
        link.end_program()


def _let_go(link: UrLink) -> bool:
    """Lead the targets of joints that press back to where these joints are.

    That way the joints came when they began to press. It does not pass the gate, so it is slow, and
    takes no longer than ``PATIENCE``.

    Returns:
        Whether a joint pressed.
    """
    measured = link.measured
    _await_standing(link)
    target = np.array(measured.getTargetQ())
    q = np.array(measured.getActualQ())
    presses = np.abs(target - q) > PRESSES
    if not presses.any():
        return False
    goal = np.where(presses, q, target)
    setpoint = target
    deadline = time.monotonic() + PATIENCE
    while np.abs(target - goal).max() > ARRIVED and time.monotonic() < deadline:
        link.await_next()
        way = np.clip(goal - setpoint, -STEP, STEP)
        setpoint = setpoint + way
        if not link.servo(setpoint, LOOKAHEAD, GAIN):
            break
        target = np.array(measured.getTargetQ())
    return True


def _await_standing(link: UrLink) -> None:
    """Wait until the joints stand, ``SETTLING`` s at most."""
    deadline = time.monotonic() + SETTLING
    speed = np.inf
    while speed > SETTLED and time.monotonic() < deadline:
        link.await_next()
        speed = np.abs(link.measured.getActualQd()).max()
