"""The process of the live page, with a low priority: it shows, and passes buttons on."""

import os
import socket
import sys
import time
from contextlib import suppress

import msgspec

from adaptation.live.plan import PagePlan
from adaptation.live.snapshot import Snapshot
from hw_interface.control.own_session import Signaled, enter_own_session

PERIOD = 1 / 15  # s between two pictures
NICENESS = 5  # others come first, above all the policy
LARGEST = 2**18  # bytes of a message
READY = b"ready"


def serve_page(plan: PagePlan, policy: socket.socket, parent: int) -> None:
    """Serve the page until the policy's process ends or closes its socket.

    Args:
        plan: what to show, and where.
        policy: brings snapshots; takes ``READY``, then the words of buttons.
        parent: process id of the policy.
    """
    signaled = Signaled()
    enter_own_session(signaled)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output belongs to results
    from adaptation.live.page import Page  # imports viser, which takes a second

    try:
        page = Page(plan, lambda word: _send(policy, word.encode()))
    except OSError as error:
        _send(policy, str(error).encode())
        raise SystemExit(1) from error
    _send(policy, READY)
    os.nice(NICENESS)
    policy.setblocking(False)
    shown: Snapshot | None = Snapshot()
    while shown is not None and os.getppid() == parent and not signaled.end.is_set():
        page.show(shown)
        time.sleep(PERIOD)
        shown = _newest(policy, shown)
    page.close()


def _newest(policy: socket.socket, shown: Snapshot) -> Snapshot | None:
    """The newest snapshot that has arrived; None once the policy's process has closed."""
    while True:
        try:
            message = policy.recv(LARGEST)
        except BlockingIOError:
            return shown
        except OSError:
            return None
        if not message:
            return None
        shown = msgspec.json.decode(message, type=Snapshot)


def _send(policy: socket.socket, message: bytes) -> None:
    with suppress(OSError):  # the policy's process is gone, and this one ends
        policy.send(message)
