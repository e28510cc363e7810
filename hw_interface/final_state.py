"""How an arm was left, in one sentence: at rest or not, and whether its motors are on."""

import numpy as np

from hw_interface.control.layout import Record
from hw_interface.exit_status import describe_exit
from robots.gripper import Gripper

AT_REST = 0.02  # rad/s, of a measured joint; a Dynamixel servo's own unit is 0.024


def describe_final_state(
    state: Record | None, exit_status: int | None, gripper: Gripper | None = None
) -> str:
    """Say how the arm was left.

    Args:
        state: what the control process published last; None: nothing is known.
        exit_status: of the control process; None where it still runs.
        gripper: that of the arm; None: it has none.
    """
    if state is None or exit_status != 0:
        why = "hangs" if exit_status is None else describe_exit(exit_status)
        return f"arm: not known to be at rest, the control process {why}; torque unknown"
    if state["link_broken"]:
        return "arm: not known to be at rest, its link is lost; torque unknown"
    speed = float(np.abs(state["dq"]).max())
    at_rest = speed < AT_REST  # False for NaN
    rest = "at rest" if at_rest else f"NOT at rest, a joint moves at {speed:.2f} rad/s"
    # a driver leaves the motors on, see ``Driver.stop``, unless the arm has switched them off
    torque = "torque unknown, as the arm reported an error" if state["arm_error"] else "torque on"
    hand = "" if gripper is None else f", {_describe_fingers(state)}"
    return f"arm: {rest}, {torque}{hand}"


def _describe_fingers(state: Record) -> str:
    """How far the fingers are apart, and how hard each of them presses."""
    apart = 2e3 * float(state["q"][-1])
    pressing = max(0.0, -float(state["tau"][-1]) / 2)
    return f"fingers {apart:.0f} mm apart, pressing with {pressing:.0f} N each"
