"""A toy engine: the ideal one under another name."""

from sim.engines.ideal import IdealEngine


class Toy(IdealEngine):
    """Joints that follow their setpoints."""
