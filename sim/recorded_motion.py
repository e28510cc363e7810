"""A recorded motion of an arm, and its simulation under many parameters at once.

Axes: n worlds, p parameters, T ticks, S samples of all motions, j joints, r = S·j residuals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array, Setpoint
from robots.world import Family, Start, Task
from sim.engines import ENGINES
from sim.interpolation import interpolate
from sim.randomization import Parameter, parameters_of, uniform, with_ranges

SAMPLE = 0.02  # s between two comparisons of the joints
# from a setpoint to the joints, of the arm's controller and the link to it
DELAY = Parameter("delay", uniform(0.0, 0.05), "s", "from a setpoint to the joints", (0.0, 0.1))


@dataclass(frozen=True)
class Motion:
    """A recorded motion of an arm."""

    t: Array  # (T,) s, from 0
    q: Array  # (T, j) measured, rad or m
    dq: Array  # (T, j) measured, per s
    q_set: Array  # (T, j) setpoints as they left the gate
    dq_set: Array  # (T, j)


class Scale:
    """The scale of one parameter: 0 and 1 are the ends of its range, of both splits together."""

    def __init__(self, parameter: Parameter) -> None:
        """Logarithmic where the range is.

        Raises:
            BadArgumentError: the parameter is one of a few choices.
        """
        ranges = [parameter.train]
        if parameter.heldout is not None:
            ranges.append(parameter.heldout)
        if any(each.distribution == "categorical" for each in ranges):
            raise BadArgumentError(f"{parameter.name} is a choice: it cannot be fitted")
        numbers = [number for each in ranges for number in each.numbers]
        self.parameter = parameter
        self._is_log = parameter.train.distribution == "log-uniform"
        self.low = min(numbers)
        self.high = max(numbers)
        lowest, highest = parameter.allowed
        width = self.high - self.low
        self.lowest = max(lowest, self.low - width)
        self.highest = min(highest, self.high + width)
        if self._is_log:
            self.lowest = max(self.lowest, self.low**2 / self.high)

    def value(self, share: float) -> float:
        """The value at a share of the range."""
        if self._is_log:
            low = log(self.low)
            high = log(self.high)
            return exp(low + share * (high - low))
        return self.low + share * (self.high - self.low)

    def share(self, value: float) -> float:
        """Where a value lies in the range."""
        if self._is_log:
            low = log(self.low)
            high = log(self.high)
            return (log(value) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


class MotionModel:
    """Simulates recorded setpoints under many parameters at once, in n worlds."""

    def __init__(self, family: Family, scales: Sequence[Scale], n: int) -> None:
        """Build n worlds of a family; ``scales`` are the p parameters that differ."""
        self.n = n
        self._family = family
        self._scales = scales
        self._engine = ENGINES["mujoco"]()
        self._engine.load(family.scene, n)
        self._dt: float = family.scene.timestep
        self._stride = max(1, round(SAMPLE / self._dt))  # ticks of physics per sample

    def close(self) -> None:
        """Release the worlds."""
        self._engine.close()

    def residuals(self, shares: Array, motions: Sequence[Motion]) -> Array:
        """Simulated minus measured joint positions, (n, r), in the order of the motions.

        Args:
            shares: (m, p) of the parameters' ranges, m at most n.
            motions: to simulate, each from its measured start.
        """
        asked = len(shares)
        unused = np.tile(shares[-1], (self.n - asked, 1))
        every_world = np.concatenate([shares, unused])
        task = self._task(every_world)
        self._engine.write(task)
        delays = [self._delay(row) for row in every_world]
        columns = [self._residuals_of(motion, delays) for motion in motions]
        residuals = np.concatenate(columns, 1)
        return residuals[:asked]

    def _residuals_of(self, motion: Motion, delays: Sequence[float]) -> Array:
        """Residuals (n, S·j) of one motion."""
        n = self.n
        q = np.tile(motion.q[0], (n, 1))
        dq = np.tile(motion.dq[0], (n, 1))
        self._engine.reset(Start(q, dq))
        duration = motion.t[-1]
        interval = self._stride * self._dt
        samples = int(duration / interval)
        # ticks end at these times
        times = self._dt * np.arange(1.0, samples * self._stride + 1)
        worlds = [self._setpoints(motion, times - delay) for delay in delays]
        q_set, dq_set = (np.stack(column, 1) for column in zip(*worlds, strict=True))
        found = []
        for sample in range(samples):
            ticks = slice(sample * self._stride, (sample + 1) * self._stride)
            q = q_set[ticks]
            dq = dq_set[ticks]
            self._engine.run(Setpoint(q, dq, np.zeros_like(q)), 1)
            found.append(self._engine.read().q)
        measured = interpolate(times[self._stride - 1 :: self._stride], motion.t, motion.q)
        difference: Array = np.stack(found, 1) - measured
        return difference.reshape(n, -1)

    def _setpoints(self, motion: Motion, times: Array) -> tuple[Array, Array]:
        """Setpoints (k, j) and their rates at some times; before the recording the first ones."""
        return (
            interpolate(times, motion.t, motion.q_set),
            interpolate(times, motion.t, motion.dq_set),
        )

    def _delay(self, shares: Array) -> float:
        for scale, share in zip(self._scales, shares, strict=True):
            if scale.parameter is DELAY:
                return scale.value(share)
        return 0.0

    def _task(self, shares: Array) -> Task:
        """The task of every world."""
        tasks = []
        for row in shares.tolist():
            values = {}
            for scale, share in zip(self._scales, row, strict=True):
                if scale.parameter is not DELAY:
                    values[scale.parameter.name] = scale.value(share)
            task = fixed_task(self._family, values)
            tasks.append(task)
        rows = np.concatenate([task.values for task in tasks])
        return Task(tasks[0].names, rows, np.arange(len(rows)))


def fixed_task(family: Family, values: Mapping[str, float]) -> Task:
    """A task whose parameters have these values, and of which the others are in mid-range."""
    ranges: dict[str, tuple[float, ...]] = {}
    for parameter in parameters_of(family):
        if parameter.train.distribution == "categorical":
            ranges[parameter.name] = parameter.train.numbers[:1]
        else:
            ranges[parameter.name] = (Scale(parameter).value(0.5),)
    ranges |= {name: (value,) for name, value in values.items()}
    return with_ranges(family, ranges).sample(np.random.default_rng(0), 1, "train")
