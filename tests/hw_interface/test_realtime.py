"""A thread runs under the real-time scheduler for a while only."""

import os

from adaptation.jobs.emulate import emulate
from hw_interface.control.pacing import realtime


def test_the_scheduler_is_as_before_afterwards() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    with realtime(priority=3):
        policy = os.sched_getscheduler(0)
        assert policy in (os.SCHED_FIFO, before[0]), "it may not be permitted"
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before


def test_an_emulator_that_has_ended_leaves_the_scheduler_as_it_was() -> None:
    before = os.sched_getscheduler(0)
    emulate("feetech", "so101", seconds=0.2)
    assert os.sched_getscheduler(0) == before
