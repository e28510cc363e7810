"""Drivers of arms: one file per controller family, each behind the verbs of ``robots.arm.Driver``.

The twin is named by its path and never imported here: it is the one driver that has a simulator inside.
"""

from robots.registry import Registry

DRIVERS = Registry("driver", {"twin": "sim.twin:Twin"})
