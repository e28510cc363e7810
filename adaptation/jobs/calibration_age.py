"""The doctor's check of an arm's calibrations: which there are, and how old they are."""

import time
from contextlib import suppress
from pathlib import Path

from adaptation.jobs.checked import Checked, Finding
from hw_interface.calibration.latency_file import latency_path, now_utc, read_latency
from robots.errors import BadArgumentError

OLD = 90.0  # days; ours: cables, firmware and gear friction change
DAY = 86400.0  # s
NAME = "calibrated"


def check_calibration(checked: Checked) -> Finding:
    """How old the measured latency is, and the file with the servos' zeros where one was given."""
    arm = checked.arm.name
    path = latency_path(arm, checked.driver)
    again = f"pliant calibrate latency --arm {arm} --driver {checked.driver}"
    servos = _age_of_servos(checked)
    try:
        latency = read_latency(path, arm, checked.driver)
    except FileNotFoundError:
        return Finding(NAME, "warn", f"no latency measured in the present folder{servos}", again)
    except (BadArgumentError, OSError) as error:
        return Finding(NAME, "fail", str(error), f"remove it, then {again}")
    age = latency.age(now_utc())
    delay = f"p50 {1e3 * latency.p50:.1f} ms, max {1e3 * latency.max:.1f} ms"
    found = f"latency {age:.0f} days ago, {delay}{servos}"
    if not 0 <= age <= OLD:
        return Finding(NAME, "warn", found, again)
    return Finding(NAME, "ok", found)


def _age_of_servos(checked: Checked) -> str:
    """When the file with signs and zeros was written; empty without one."""
    file = checked.options.get("calibration")
    if not file:
        return ""
    with suppress(OSError):
        days = (time.time() - Path(file).stat().st_mtime) / DAY
        return f"; {file} written {days:.0f} days ago"
    return ""
