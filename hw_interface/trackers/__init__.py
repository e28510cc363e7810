"""Object trackers: one file per kind, each behind ``robots.driver.Tracker``.

A tracker is built as ``kind(arm, kind.Options(**options))`` in the control process. Drivers of
simulated arms have a tracker of their own.
"""

from robots.registry import Registry

TRACKERS = Registry(
    "tracker",
    "pliant.trackers",
    {
        "fiducial": "hw_interface.trackers.fiducial:Fiducial",
        "mocap": "hw_interface.trackers.mocap:Mocap",
    },
    extras={"fiducial": "eyes"},
)
