"""The point with short trials, for tests to which the number of ticks does not matter."""

from sim.families.point import Point


class ShortPoint(Point):
    """The same in twelve ticks instead of sixty. It takes the presets of ``point``."""

    horizon = 6
    episodes = 2
