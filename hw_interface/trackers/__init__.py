"""Object trackers: one file per kind, each behind ``robots.driver.Tracker``.

Built as ``kind(arm, kind.Options(**options))``. The simulated arms bring a tracker of their own.
"""

from robots.registry import Registry

TRACKERS = Registry("tracker", "pliant.trackers", {})
