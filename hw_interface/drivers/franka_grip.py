"""Which command a Franka Hand gets for the width that is wanted; needs no client library.

The hand cannot follow a moving width, and its commands are few:

- ``move`` goes to a width. If an object is in the way it does not end for minutes (libfranka, issue
  18), so it only opens here.
- ``grasp`` closes until the fingers meet something, then keeps pressing; it ignores the width that
  it is told (franka_ros, issue 130).
- ``stop`` ends a command, but may wait for the end of the motion (libfranka, issue 111). After a
  grasp it releases the object, so it is not sent then.
"""

from dataclasses import dataclass
from enum import Enum

# m of width: a smaller difference between the wanted and the measured width is left as it is; ours
STEP = 0.002


class HandCommand(Enum):
    """A command of the hand."""

    NONE = "none"
    OPEN = "open"  # move, to the wanted width
    CLOSE = "close"  # grasp
    STOP = "stop"


@dataclass(frozen=True)
class HandState:
    """What the hand does at present."""

    width: float  # m, measured
    grasps: bool  # whether it reports an object between its fingers
    running: HandCommand = HandCommand.NONE  # the command that has not ended yet
    # the newest command, and m, the width that was wanted when it was sent
    last: HandCommand = HandCommand.NONE
    sent: float = 0.0


def next_command(wanted: float, state: HandState) -> HandCommand:
    """The command that the hand gets now.

    A command that runs is stopped once the fingers have passed the wanted width, and nothing else
    is sent until it ends. At rest, the fingers open towards a width above theirs. They close for a
    width below theirs, unless they hold something already. The same command is not sent twice in
    a row for the same width: what was in its way is still there.

    Args:
        wanted: m, the newest width.
        state: of the hand.
    """
    above = wanted - state.width
    if state.running is HandCommand.OPEN:
        return HandCommand.STOP if above < -STEP else HandCommand.NONE
    if state.running is HandCommand.CLOSE:
        return HandCommand.STOP if above > STEP else HandCommand.NONE
    if state.running is HandCommand.STOP:
        return HandCommand.NONE

    command = HandCommand.NONE
    if above > STEP:
        command = HandCommand.OPEN
    elif above < -STEP and not state.grasps:
        command = HandCommand.CLOSE
    repeats = command is state.last and abs(wanted - state.sent) <= STEP
    return HandCommand.NONE if repeats else command
