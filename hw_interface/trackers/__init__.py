"""Object trackers: one file per kind, each behind ``robots.driver.Tracker``.

A tracker is built as ``kind(arm, kind.Options(**options))`` in the control process. Simulated arms
bring a tracker of their own.
"""

from robots.registry import Registry

TRACKERS = Registry(
    "tracker",
    "pliant.trackers",
    {},  # a line for each tracker; none is part of Pliant yet
)
