"""How a family's metrics are shown: ``distance_m`` as "distance" in cm."""

from typing import NamedTuple

from adaptation.reporting.words import UNKNOWN

# Endings of a metric's name: the unit that is shown, and the factor to it.
UNITS = {
    "_m": ("cm", 100.0),
    "_mps": ("m/s", 1.0),
    "_rad": ("rad", 1.0),
    "_s": ("s", 1.0),
    "_n": ("N", 1.0),
    "_1": ("", 1.0),
}


class Metric(NamedTuple):
    """A metric's label, its unit, and the factor from SI to that unit."""

    label: str
    unit: str
    factor: float

    def show(self, value: float | None) -> str:
        """A value given in SI units, with three digits; a dash where it is unknown."""
        if value is None:
            return UNKNOWN
        return f"{self.factor * value:.3g}"


def describe_metric(name: str) -> Metric:
    """Label and unit of a metric by its name, which ends in its SI unit."""
    for ending in sorted(UNITS, key=len, reverse=True):
        if name.endswith(ending):
            unit, factor = UNITS[ending]
            return Metric(name.removesuffix(ending).replace("_", " "), unit, factor)
    return Metric(name.replace("_", " "), "", 1.0)
