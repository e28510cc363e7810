"""Searches for requests that make the safety gate break a limit.

An evolution strategy breeds sequences of requested joint velocities, each with a start, so that
they come as close to a limit as possible and, if the gate lets them, beyond it. One generation
after another the sequences that came closest are kept and mutated. One search aims at each limit;
every setpoint of every search is judged by all of them. Positions, velocities, accelerations and
jerks are differences of the setpoints themselves. Links are kept clear at a single arm only: the
search that aims at them has a gate for each sequence, and is slower.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.bodies import make_arm_gate
from robots.catalog import ARMS
from robots.clearance import Clearance
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Array, Setpoint

DRIVER_TICKS = {"panda": 0.002, "viperx": 1 / 320}  # s, of the twin and of the Dynamixel driver
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


class SingleGates:
    """The gates of n single arms, used like the gate of n arms."""

    def __init__(self, arm: ArmSpec, dt: float, n: int) -> None:
        self.limits = arm.limits
        self.dt = dt
        self.clearance = Clearance(Kinematics(arm))
        self.home = arm.home
        self._gates = [make_arm_gate(arm, arm.limits, dt) for _ in range(n)]

    def reset(self, q: Array) -> None:
        for gate, start in zip(self._gates, q, strict=True):
            gate.reset(start[None])

    def __call__(self, target: Array) -> tuple[Setpoint, Array]:
        results = [gate(row[None]) for gate, row in zip(self._gates, target, strict=True)]
        setpoints = [setpoint for setpoint, _ in results]
        together = Setpoint(
            q=np.concatenate([setpoint.q for setpoint in setpoints]),
            dq=np.concatenate([setpoint.dq for setpoint in setpoints]),
            ddq=np.concatenate([setpoint.ddq for setpoint in setpoints]),
        )
        return together, np.concatenate([verdict for _, verdict in results])

    def clear(self, q: Array) -> Array:
        """The configurations (n, j), those with links too close replaced by others nearer home."""
        for _ in range(6):
            blocked = links_excess(self.clearance, q) > 0
            q = np.where(blocked[:, None], (q + self.home) / 2, q)
        blocked = links_excess(self.clearance, q) > 0
        return np.where(blocked[:, None], self.home, q)


AnyGate = SafetyGate | SingleGates


def links_excess(clearance: Clearance, q: Array) -> Array:
    """How much too close the links are at ``q`` (n, j), (n,) m."""
    slack, _ = clearance.slack(q, clearance.all)
    return -slack.min(0)


class Judge:
    """Measures by how much each limit is broken; a limit that is kept gives a negative number."""

    def __init__(
        self,
        limits: Limits,
        dt: float,
        kinematics: Kinematics,
        start: Array,
        clearance: Clearance | None = None,
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
    gate: AnyGate, kinematics: Kinematics, sequences: Sequences, ticks: int
) -> dict[str, Array]:
    """The largest excess of every limit (n,) while ``sequences`` are requested."""
    limits = gate.limits
    start = limits.q_low + sequences.start * (limits.q_high - limits.q_low)
    clearance = None
    if isinstance(gate, SingleGates):
        start = gate.clear(start)
        clearance = gate.clearance
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
    gate: AnyGate,
    kinematics: Kinematics,
    aim: str,
    generations: int,
    n: int,
    seed: int,
) -> dict[str, float]:
    """The largest excess of every limit that an evolution towards one of them finds."""
    rng = np.random.default_rng(seed)
    ticks = SEGMENTS * MEAN_TICKS
    sequences = Sequences.random(rng, n, len(gate.limits.dq))
    largest = dict.fromkeys(AIMS, -np.inf)
    for _ in range(generations):
        worst = fly(gate, kinematics, sequences, ticks)
        for name, excess in worst.items():
            largest[name] = max(largest[name], float(excess.max()))
        sequences = sequences.next_generation(rng, worst[aim])
    return largest


def search_arm(
    name: str, aims: list[str], n: int, setpoints: float, seconds: float
) -> tuple[int, dict[str, float]]:
    """Search at one arm with these aims in turn, anew until the setpoints or the time are spent.

    Returns:
        How many setpoints were judged, and the largest excess of every limit.
    """
    arm = ARMS[name]
    kinematics = Kinematics(arm)
    dt = DRIVER_TICKS[name]
    together = SafetyGate(arm.limits, dt, n, kinematics)
    singles = SingleGates(arm, dt, n)
    largest = dict.fromkeys(AIMS, -np.inf)
    per_search = GENERATIONS * n * SEGMENTS * MEAN_TICKS
    began = time.monotonic()
    searches = 0
    while searches * per_search < setpoints and time.monotonic() - began < seconds:
        aim = aims[-1 - searches % len(aims)]  # the box first
        gate = singles if aim == "links" else together
        found = search(gate, kinematics, aim, GENERATIONS, n, seed=searches)
        for limit, excess in found.items():
            largest[limit] = max(largest[limit], excess)
        searches += 1
    return searches * per_search, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", nargs="+", default=list(DRIVER_TICKS))
    parser.add_argument("--aims", nargs="+", default=list(AIMS), choices=AIMS)
    parser.add_argument("--setpoints", type=float, default=1e7, help="of each arm, at least")
    parser.add_argument("--seconds", type=float, default=1e9, help="for each arm, about, at most")
    parser.add_argument("--n", type=int, default=256, help="sequences in a generation")
    args = parser.parse_args()
    print("Largest excess of each limit; where it is negative the limit was kept with this margin.")
    for name in args.arms:
        count, largest = search_arm(name, args.aims, args.n, args.setpoints, args.seconds)
        excesses = [f"{aim} {largest[aim]:+.1e} {unit}" for aim, unit in UNITS.items()]
        tick = 1000 * DRIVER_TICKS[name]
        print(f"{name}, tick {tick:.3f} ms, {count:.2e} setpoints:", ", ".join(excesses))


if __name__ == "__main__":
    main()
