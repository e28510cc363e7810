"""Provoke every fault that the emulators can show, through every driver, and write the table.

    python benchmarks/fault_matrix.py                  measure what is missing; write docs/faults.md
    python benchmarks/fault_matrix.py --only ur        one driver
    python benchmarks/fault_matrix.py --grippers       only while a gripper holds something
    python benchmarks/fault_matrix.py --rows nan stop  measure these rows anew
    python benchmarks/fault_matrix.py --page           only the page

The arm is emulated in a process of its own, which notes every 2 ms how fast its joints are and
counts the commands outside the arm's limits. A policy swings it in real time until a fault strikes.
It stands as soon as no joint is faster than 0.02 rad/s for 0.2 s. Then the fault is ended and the
arm is cleared, where it can be, to see whether the next episode begins. Each outcome is kept in a
file, so that a run that was ended goes on with what is missing.
"""

import argparse
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fault_arms import Motion
from fault_page import write_page
from fault_provocations import can_show
from fault_rows import COLUMNS, GRIPPER_ROWS, GRIPPERS, ROWS, Row, driver_of
from fault_session import Session

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.errors import ArmError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "faults"
PAGE = ROOT / "docs" / "faults.md"
WARM_UP = 0.6  # s of motion before the fault
# s that fingers which cannot open are watched: the driver of a hand waits for it for up to 5 s
JAMMED = 7.0
GOES_ON = 1.5  # s that a fault which should not stop the arm is watched
WATCHED = 4.0  # s that any other is watched at most
STILL = 0.8  # s without motion, after which it is watched no longer
LOOK = 0.1  # s between two looks at the arm
STALL = 0.15  # s, a little more than makes an overrun
STALL_OF_LINK = 3.0  # s
TRIES = 3  # of a fault before which another one happened


@dataclass(frozen=True)
class Outcome:
    """What became of the arm."""

    mode: str  # at the end
    events: list[str]  # since the fault; the cause of what latched comes first
    error: str  # that the driving program got; empty: none
    motion: Motion
    resumes: str  # after the fault was ended and cleared: "yes", why not, or "" if not tried
    load: float  # of the machine


def send_signal(which: int, number: signal.Signals) -> Callable[[Session], str]:
    """Sends a signal to the policy's, control's or recorder's process."""

    def strike(session: Session) -> str:
        os.kill(session.pids[which], number)
        return ""

    return strike


def fill_disk(session: Session) -> str:
    """From now on the recorder's file cannot grow."""
    resource.prlimit(session.pids[2], resource.RLIMIT_FSIZE, (1, 1))
    return ""


def stop_for_a_moment(session: Session) -> str:
    """The control process is stopped for a little longer than an overrun."""
    control = session.pids[1]
    os.kill(control, signal.SIGSTOP)
    time.sleep(STALL)
    os.kill(control, signal.SIGCONT)
    return ""


def drive_twice(session: Session) -> str:
    """Another program connects to the arm."""
    kind = DRIVERS[driver_of(session.driver)]
    try:
        kind(ARMS[session.arm_name], None, kind.Options(**session.options)).connect()
    except ArmError as refusal:
        named = str(session.pids[1]) in str(refusal)
        return "refused, the first is named" if named else f"refused: {refusal}"
    return "NOT REFUSED"


PROCESS: dict[str, Callable[[Session], str]] = {
    "policy_stopped": send_signal(0, signal.SIGSTOP),
    "policy_killed": send_signal(0, signal.SIGKILL),
    "wait": stop_for_a_moment,
    "control_stopped": send_signal(1, signal.SIGSTOP),
    "control_killed": send_signal(1, signal.SIGKILL),
    "second": drive_twice,
    "full_disk": fill_disk,
    "recorder_killed": send_signal(2, signal.SIGKILL),
    "terminated": send_signal(1, signal.SIGTERM),
    "hung_up": send_signal(0, signal.SIGHUP),
}
# What the policy does from the fault on, so that it asks for what the fault makes impossible.
BEFORE = {"contact": "push", "stuck": "push", "jammed": "widen"}
POLICY = {"nan_action": "nan", "nan_actions": "nans"}
# After these a process is dead or stopped, or the arm's port closed.
ASK_FOR_ERROR = (
    *("control_stopped", "control_killed", "full_disk", "recorder_killed"),
    *("cut", "deaf", "hang", "silent", "late", "back_again", "policy_", "wait"),
)
LAST = {*PROCESS, "cut", "deaf", "hang"} - {"wait", "second"}


def strike(session: Session, row: Row) -> tuple[float, str]:
    """Provoke a fault; returns when, s, and the error that the program got."""
    began = time.monotonic()
    if row.key in BEFORE:
        session.order(BEFORE[row.key])
    if row.by == "arm":
        return session.provoke(row.key), ""
    if row.by == "process":
        return began, PROCESS[row.key](session)
    return began, session.order(POLICY.get(row.key, row.key))


def watch(session: Session, row: Row, began: float) -> Motion:
    """Wait until the arm stands, or has shown that it goes on."""
    longest = GOES_ON if row.harmless else JAMMED if row.key == "jammed" else WATCHED
    motion = session.motion(began)
    while time.monotonic() - began < longest:
        time.sleep(LOOK)
        motion = session.motion(began)
        stands = time.monotonic() - began - motion.moved > STILL
        if stands and not row.harmless:
            break
    return motion


def is_ready(session: Session) -> bool:
    """Whether a gripper holds its object, if there is one."""
    return session.family.body.gripper is None or session.motion(time.monotonic()).holds


def measure_one(session: Session, row: Row) -> Outcome | None:
    """Strike once; None if another fault came before."""
    first = int(session.state["events"])
    time.sleep(WARM_UP)
    if session.mode is not Mode.RUNNING or not is_ready(session):
        return None
    began, error = strike(session, row)
    motion = watch(session, row, began)
    mode = session.mode
    events = session.events_since(first)
    if mode in (Mode.FAULT, Mode.EXTERNAL_STOP):
        cause = Event(int(session.state["cause"])).name
        events = [cause, *(event for event in events if event != cause)]
    if row.key in ASK_FOR_ERROR:
        error = session.order("error")
    resumes = "" if row.key in LAST else mend(session, row)
    load = round(os.getloadavg()[0], 1)
    without_path = error.replace(f"{session.folder}/", "")
    return Outcome(mode.name, events, without_path, motion, resumes, load)


def mend(session: Session, row: Row) -> str:
    """End the fault, clear, and begin the next episode; returns whether that went."""
    if row.by == "arm":
        session.provoke("mend")
        time.sleep(0.1)
    refusal = session.order("begin")
    if refusal and session.mode in (Mode.FAULT, Mode.EXTERNAL_STOP):  # an old link may need time
        time.sleep(STALL_OF_LINK)
        refusal = session.order("begin")
    return refusal or "yes"


def refuse(driver: str, folder: Path) -> Outcome:
    """Connect to an arm that is another one."""
    session = Session(driver, COLUMNS[driver], folder, before="another")
    try:
        motion = session.motion(time.monotonic())
    finally:
        session.close()
    return Outcome("", [], session.refusal or "NOT REFUSED", motion, "", os.getloadavg()[0])


def measure(
    driver: str,
    arm: str,
    all_rows: Sequence[Row],
    kept: dict[str, dict[str, object]],
    save: Callable[[], None],
) -> None:
    """Measure the faults of one arm that are missing in ``kept``."""
    rows = [row for row in all_rows if can_show(driver, row) and row.key not in kept]
    session: Session | None = None
    try:
        for row in rows:
            for _ in range(TRIES):
                session = session if row.key == "another" else session or begin(driver, arm)
                outcome, session = try_once(session, driver, row)
                if outcome is not None:
                    kept[row.key] = asdict(outcome)
                    save()
                    print(f"{driver}, {arm}: {row.text}: {outcome}", flush=True)
                    break
    finally:
        if session is not None:
            session.close()


def try_once(
    session: Session | None, driver: str, row: Row
) -> tuple[Outcome | None, Session | None]:
    """Strike once; returns the outcome, and the session if it can be used again."""
    if row.key == "another":
        if session is not None:
            session.close()
        with tempfile.TemporaryDirectory() as folder:
            return refuse(driver, Path(folder)), None
    assert session is not None
    try:
        outcome = measure_one(session, row)
    except BaseException:
        session.close()
        raise
    if outcome is None:
        print(f"{driver}: another fault came before {row.text}", flush=True)
    if outcome is not None and outcome.resumes == "yes":
        return outcome, session
    session.close()
    return outcome, None


def begin(driver: str, arm: str) -> Session:
    """An arm that swings.

    Raises:
        ArmError: it does not.
    """
    for _ in range(TRIES):  # the machine may be overloaded
        session = Session(driver, arm, Path(tempfile.mkdtemp()))
        refusal = session.refusal or session.order("begin")
        if not refusal:
            return session
        print(f"{driver}: {refusal}", flush=True)
        session.close()
    raise ArmError(refusal)


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=COLUMNS, action="append", help="these drivers")
    parser.add_argument("--rows", nargs="*", default=[], help="measure these rows anew")
    parser.add_argument("--grippers", action="store_true", help="only those of grippers")
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    with suppress(PermissionError):  # else a busy machine makes each fault last for minutes
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    RESULTS.mkdir(parents=True, exist_ok=True)
    tables = [(driver, arm, arm, GRIPPER_ROWS) for driver, arm in GRIPPERS.items()]
    if not given.grippers:
        tables += [(driver, arm, driver, ROWS) for driver, arm in COLUMNS.items()]
    for driver, arm, name, rows in [] if given.page else tables:
        if given.only and driver not in given.only:
            continue
        path = RESULTS / f"{name}.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept = {key: outcome for key, outcome in kept.items() if key not in given.rows}

        def save(path: Path = path, kept: dict[str, dict[str, object]] = kept) -> None:
            path.write_text(json.dumps(kept, indent=1) + "\n")

        measure(driver, arm, rows, kept, save)
    PAGE.write_text(write_page(RESULTS))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
