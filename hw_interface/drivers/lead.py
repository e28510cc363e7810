"""Commands that take account of where the joints were measured, but do not trust one reading.

A controller without a watchdog goes on to the last command and holds it. Therefore commands must
not be far ahead of the joints. A controller that stops must not press on anything either.
"""

import numpy as np

from robots.signals import Array

# rad between a command and the joint's last measured position; ours: a little more than the
# tracking error that is a fault (0.15), so that a joint that follows never meets it.
LEAD = 0.2
# rad between a command and a measurement beyond which the measurement is not used to hold the arm:
# no joint gets so far from its command by itself, so it was pulled away, or the reading is wrong.
BELIEVED = 2 * LEAD


def hold_back(q: Array, last: Array, measured: Array) -> Array:
    """The command that is sent in place of ``q``: as far towards it as the joints allow.

    It always lies between the last command and ``q``. A wrong measurement can therefore delay the
    arm, but not make it leap.

    Args:
        q: (j,) rad, the command.
        last: (j,) rad, the command that was sent last.
        measured: (j,) rad, where the joints were measured last.
    """
    near = np.clip(q, measured - LEAD, measured + LEAD)
    sent: Array = np.clip(near, np.minimum(last, q), np.maximum(last, q))
    return sent


def held_positions(target: Array, measured: Array, reached: float) -> Array | None:
    """Where a controller is to hold joints that are farther than ``reached`` from their target.

    Returns:
        (j,) rad: the measured position of each such joint, if it is plausible, otherwise its
        target; None if no joint is so far.
    """
    distance = np.abs(target - measured)
    is_far = (distance > reached) & (distance <= BELIEVED)
    if not is_far.any():
        return None
    return np.where(is_far, measured, target)
