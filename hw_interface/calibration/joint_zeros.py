"""Zeros and signs of an arm's servos, from a posture that is known and from what a person saw."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.servo_calibration import TICK, TURN, JointServo
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array

# rad, by which a zero may change; ours. A horn mounted one of its 25 teeth off is wrong by 0.25,
# an arm in another posture by more.
LARGEST_OFFSET = 0.5
STILL = 0.01  # rad, by which readings of an arm that stands may differ: six servo ticks
NOTICED = 0.005  # m, of a tool's motion that a person sees
SHARE = 0.45  # of a motion, from which a direction is named


def stands_at(readings: Array, joints: Sequence[str]) -> Array:
    """The mean of the readings (r, j), rad, of an arm that stands.

    Raises:
        ArmError: a joint moved meanwhile; the message names it.
    """
    spread = np.ptp(readings, axis=0)
    worst = int(spread.argmax())
    if spread[worst] > STILL:
        moved = f"{joints[worst]} moved by {spread[worst]:.3f} rad"
        raise ArmError(f"{moved} while it was read: support the arm so that it stands")
    mean: Array = readings.mean(0)
    return mean


def ticks_of(servos: Sequence[JointServo], q: Array) -> Array:
    """Positions of the servos in ticks (j,) at joint angles (j,) rad, by their calibration."""
    zero = np.array([servo.zero for servo in servos])
    sign = np.array([servo.sign for servo in servos])
    ticks: Array = zero + sign * q / TICK
    return ticks


def zeros_at(ticks: Array, posture: Array, signs: Array) -> NDArray[np.int64]:
    """The zeros (j,) in ticks of servos that read ``ticks`` (j,) in a posture (j,) rad."""
    return np.rint(ticks - signs * posture / TICK).astype(np.int64)


def check_offsets(servos: Sequence[JointServo], zeros: NDArray[np.int64]) -> Array:
    """How far the new zeros are from the old ones, (j,) rad.

    Raises:
        BadArgumentError: a zero is too far off, or outside the servo's turn; the message names the
            joint and what to do.
    """
    old = np.array([servo.zero for servo in servos])
    offsets: Array = (zeros - old) * TICK
    for servo, zero, offset in zip(servos, zeros.tolist(), offsets.tolist(), strict=True):
        if abs(offset) > LARGEST_OFFSET:
            found = f"{servo.joint} is {offset:+.2f} rad from where the posture has it"
            raise BadArgumentError(
                f"{found}; at most {LARGEST_OFFSET} rad can be corrected: bring the arm to the "
                "posture, or mount the servo's horn anew, or correct the sign in the file first"
            )
        if not 0 <= zero < TURN:
            message = f"the zero of {servo.joint} would be {zero} ticks, outside its one turn"
            raise BadArgumentError(f"{message}: mount the servo's horn anew")
    return offsets


def describe_turn(kinematics: Kinematics, q: Array, joint: int, angle: float) -> str:
    """What a person sees when one joint turns, in words.

    Args:
        kinematics: of the arm.
        q: (j,) rad, where it stands.
        joint: which one turns.
        angle: rad, signed.
    """
    turned = q.copy()
    turned[joint] += angle
    begin, end = kinematics.position(np.stack([q, turned]))
    way = end - begin
    sentences = []
    if np.linalg.norm(way) > NOTICED:
        centimeters = 100 * np.linalg.norm(way)
        sentences.append(f"the tool moves {_direction(way)}, by {centimeters:.0f} cm")

    axis = np.sign(angle) * kinematics.jacobian(q[None])[0, 3:, joint]
    if np.linalg.norm(axis) > 0.5:  # else the joint slides
        sentences.append(_rotation(axis))
    return "; ".join(sentences)


def _direction(way: Array) -> str:
    """A direction in the base frame in words: x is forward, y left, z up."""
    words = []
    length = np.linalg.norm(way)
    for share, (positive, negative) in zip(
        way / length, (("forward", "backward"), ("left", "right"), ("up", "down")), strict=True
    ):
        if abs(share) > SHARE:
            words.append(positive if share > 0 else negative)
    return " and ".join(words)


def _rotation(axis: Array) -> str:
    """A rotation about an axis (3,) in words, as seen from the side that the axis is nearest to.

    Left and front are those of the arm, which reaches to its front.
    """
    nearest = int(np.abs(axis).argmax())
    side = ("from its front", "from its left", "from above")[nearest]
    turn = "counterclockwise" if axis[nearest] > 0 else "clockwise"
    return f"seen {side}, the joint turns {turn}"
