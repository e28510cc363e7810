"""A toy tracker: an object that never moves."""

import time
from dataclasses import dataclass

import numpy as np

from robots.arm import ArmSpec
from robots.signals import ObjectState


@dataclass(frozen=True)
class ToyOptions:
    """Where the object stands."""

    x: float = 0.5  # m


class Toy:
    """A Tracker without a camera."""

    Options = ToyOptions

    def __init__(self, arm: ArmSpec, options: ToyOptions) -> None:
        self._pos = np.array([options.x, 0.0, 0.02])

    def read(self) -> ObjectState:
        upright = np.array([1.0, 0.0, 0.0, 0.0])
        return ObjectState(self._pos, upright, np.zeros(6), time.monotonic())
