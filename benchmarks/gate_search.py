"""Searches for requests that make the safety gate break a limit.

An evolution strategy breeds sequences of requested joint velocities, each with a start, so that
they come as close to a limit as possible and, if the gate lets them, beyond it. One generation
after another the sequences that came closest are kept and mutated. One search aims at each limit;
every setpoint of every search is judged by all of them. Positions, velocities, accelerations and
jerks are differences of the setpoints themselves. The gate is that of a real arm, with every check.
A line is printed after each search; what was interrupted goes on with ``--first``.
"""

import argparse
import math
from dataclasses import dataclass

import numpy as np

from robots.arm import Limits
from robots.catalog import ARMS
from robots.clearance import Clearance
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Array

# s, of the twin, of a UR controller's real-time interface and of the Dynamixel driver
DRIVER_TICKS = {"panda": 0.002, "ur5e": 0.002, "viperx": 1 / 320}
# what is aimed at, and the unit of its excess
UNITS = {
    "position": "rad",
    "velocity": "of it",
    "acceleration": "of it",
    "jerk": "of it",
    "tool speed": "of it",
    "links": "m",
    "box": "m",
}
AIMS = tuple(UNITS)
GENERATIONS = 30
SEGMENTS = 12  # requests in a sequence
MEAN_TICKS = 25  # for which a request lasts, on average
KEPT = 0.25  # fraction of the sequences that the next generation descends from
HIGHEST = 2.0  # request in units of the velocity limit


@dataclass(frozen=True)
class Sequences:
    """n sequences of requests, each with a start and the size of its mutations."""

    start: Array  # (n, j) in [0, 1] of the joints' ranges
    request: Array  # (n, SEGMENTS, j) in units of the velocity limits
    ticks: Array  # (n, SEGMENTS) how long each request lasts
    spread: Array  # (n, 1, 1) of the mutations, in units of the velocity limits

    @staticmethod
    def random(rng: np.random.Generator, n: int, j: int) -> "Sequences":
        """Starts all over the joints' ranges, and requests at random."""
        return Sequences(
            start=rng.uniform(0, 1, (n, j)),
            request=rng.uniform(-HIGHEST, HIGHEST, (n, SEGMENTS, j)),
            ticks=rng.exponential(MEAN_TICKS, (n, SEGMENTS)),
            spread=np.full((n, 1, 1), 0.5),
        )

    def next_generation(self, rng: np.random.Generator, fitness: Array) -> "Sequences":
        """The fittest quarter as they are, and mutated copies of them.

        The size of a mutation is inherited and mutates too, by a factor of exp(0.3·normal), as in
        evolution strategies with self-adaptation (Beyer and Schwefel 2002).
        """
        n, j = self.start.shape
        kept = max(int(KEPT * n), 1)
        best = np.argsort(-fitness)[:kept]
        parents = rng.choice(best, n)
        parents[:kept] = best
        factor = np.exp(0.3 * rng.normal(size=(n, 1, 1)))
        spread = np.clip(self.spread[parents] * factor, 0.003, 1.0)
        spread[:kept] = self.spread[best]
        noise = spread.copy()
        noise[:kept] = 0.0
        flat = noise[:, 0]  # (n, 1)
        start = self.start[parents] + 0.1 * flat * rng.normal(size=(n, j))
        request = self.request[parents] + noise * rng.normal(size=(n, SEGMENTS, j))
        stretch = np.exp(flat * rng.normal(size=(n, SEGMENTS)))
        return Sequences(
            start=np.clip(start, 0, 1),
            request=np.clip(request, -HIGHEST, HIGHEST),
            ticks=self.ticks[parents] * stretch,
            spread=spread,
        )


def links_excess(clearance: Clearance, q: Array) -> Array:
    """How much too close the links are at ``q`` (n, j), (n,) m."""
    slack = clearance.slack(q)
    return -slack.min(0)


def clear_starts(clearance: Clearance, home: Array, q: Array) -> Array:
    """The configurations (n, j), those with links too close replaced by others nearer home."""
    for _ in range(6):
        blocked = links_excess(clearance, q) > 0
        q = np.where(blocked[:, None], (q + home) / 2, q)
    blocked = links_excess(clearance, q) > 0
    return np.where(blocked[:, None], home, q)


class Judge:
    """Measures by how much each limit is broken; a limit that is kept gives a negative number."""

    def __init__(
        self,
        limits: Limits,
        dt: float,
        kinematics: Kinematics,
        start: Array,
        clearance: Clearance | None,
    ) -> None:
        """Begin with arms at rest at ``start`` (n, j), clear if their links are to be judged."""
        self._clearance = clearance
        self._tool = kinematics.position(start)
        self._limits = limits
        self._dt = dt
        self._kinematics = kinematics
        self._last = [start, np.zeros_like(start), np.zeros_like(start)]  # q, dq, ddq
        self._allowed = np.maximum(self._outside(start), 0.0)  # m, of a tool that starts outside

    def __call__(self, q: Array) -> dict[str, Array]:
        """The excess of every limit (n,) at the next setpoint ``q`` (n, j).

        Positions in rad or m, velocities, accelerations and jerks as fractions of their limits, the
        box in m, also halfway from the last setpoint. Links that are not judged give -inf.
        """
        limits = self._limits
        last_q, last_dq, last_ddq = self._last
        dq = (q - last_q) / self._dt
        ddq = (dq - last_dq) / self._dt
        jerk = (ddq - last_ddq) / self._dt
        self._last = [q, dq, ddq]
        beyond = np.maximum(limits.q_low - q, q - limits.q_high)
        between = (q + last_q) / 2
        box = np.maximum(self._outside(q), self._outside(between)) - self._allowed
        last_tool = self._tool
        self._tool = self._kinematics.position(q)
        tool_speed = np.linalg.norm(self._tool - last_tool, axis=1) / self._dt
        links = np.full(len(q), -np.inf)
        if self._clearance is not None:
            links = links_excess(self._clearance, q)
        return {
            "position": beyond.max(1),
            "velocity": (np.abs(dq) / limits.dq).max(1) - 1,
            "acceleration": (np.abs(ddq) / limits.ddq).max(1) - 1,
            "jerk": (np.abs(jerk) / limits.jerk).max(1) - 1,
            "tool speed": tool_speed / limits.tool_speed - 1,
            "links": links,
            "box": box.max(1),
        }

    def _outside(self, q: Array) -> Array:
        """How far the tool is outside its box along each axis (n, 3) m, negative inside."""
        pos = self._kinematics.position(q)
        low, high = self._limits.tool_box.T
        return np.maximum(low - pos, pos - high)


def fly(
    gate: SafetyGate,
    kinematics: Kinematics,
    sequences: Sequences,
    ticks: int,
    clearance: Clearance | None,
) -> dict[str, Array]:
    """The largest excess of every limit (n,) while ``sequences`` are requested."""
    limits = gate.limits
    start = limits.q_low + sequences.start * (limits.q_high - limits.q_low)
    if clearance is not None:
        start = clear_starts(clearance, kinematics.arm.home, start)
    gate.reset(start)
    judge = Judge(limits, gate.dt, kinematics, start, clearance)
    ends = np.cumsum(sequences.ticks, 1)
    rows = np.arange(len(start))
    worst = {aim: np.full(len(start), -np.inf) for aim in AIMS}
    for tick in range(ticks):
        segment = (ends <= tick).sum(1)
        last = np.minimum(segment, SEGMENTS - 1)
        setpoint, _ = gate(sequences.request[rows, last] * limits.dq)
        for aim, excess in judge(setpoint.q).items():
            worst[aim] = np.maximum(worst[aim], excess)
    return worst


def search(
    gate: SafetyGate,
    kinematics: Kinematics,
    aim: str,
    generations: int,
    n: int,
    seed: int,
    clearance: Clearance | None = None,
) -> dict[str, float]:
    """The largest excess of every limit that an evolution towards one of them finds.

    Links are judged where the gate keeps them clear, and ``clearance`` says how far they are.
    """
    rng = np.random.default_rng(seed)
    ticks = SEGMENTS * MEAN_TICKS
    sequences = Sequences.random(rng, n, len(gate.limits.dq))
    largest = dict.fromkeys(AIMS, -np.inf)
    for _ in range(generations):
        worst = fly(gate, kinematics, sequences, ticks, clearance)
        for name, excess in worst.items():
            largest[name] = max(largest[name], float(excess.max()))
        sequences = sequences.next_generation(rng, worst[aim])
    return largest


def search_arm(name: str, aims: list[str], n: int, setpoints: float, first: int) -> None:
    """Search at one arm with these aims in turn, until so many setpoints are judged, and print."""
    arm = ARMS[name]
    kinematics = Kinematics(arm)
    clearance = Clearance(kinematics)
    gate = SafetyGate(arm.limits, DRIVER_TICKS[name], n, kinematics, keep_links_clear=True)
    per_search = GENERATIONS * n * SEGMENTS * MEAN_TICKS
    largest = dict.fromkeys(AIMS, -np.inf)
    searches = math.ceil(setpoints / per_search)
    for i in range(first, first + searches):
        aim = aims[-1 - i % len(aims)]  # the box first
        found = search(gate, kinematics, aim, GENERATIONS, n, i, clearance)
        for limit, excess in found.items():
            largest[limit] = max(largest[limit], excess)
        what = f"{name}, search {i} at {aim}, {per_search:.2e} setpoints:"
        print(what, described(found), flush=True)
    tick = 1000 * gate.dt
    count = searches * per_search
    print(f"{name}, tick {tick:.3f} ms, {count:.2e} setpoints in all:", described(largest))


def described(largest: dict[str, float]) -> str:
    """The excess of each limit with its unit."""
    excesses = [f"{aim} {largest[aim]:+.1e} {unit}" for aim, unit in UNITS.items()]
    return ", ".join(excesses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", nargs="+", default=list(DRIVER_TICKS))
    parser.add_argument("--aims", nargs="+", default=list(AIMS), choices=AIMS)
    parser.add_argument("--setpoints", type=float, default=1e7, help="of each arm, at least")
    parser.add_argument("--n", type=int, default=256, help="sequences in a generation")
    parser.add_argument("--first", type=int, default=0, help="number of the first search, its seed")
    args = parser.parse_args()
    print("Largest excess of each limit; where it is negative the limit was kept with this margin.")
    for name in args.arms:
        search_arm(name, args.aims, args.n, args.setpoints, args.first)


if __name__ == "__main__":
    main()
