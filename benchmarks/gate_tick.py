"""What a tick of the safety gate costs, by what it checks.

New joint velocities at full speed are requested every hundred ticks, so that the arm flies, slows
down and stands at a bound in turn. The same flight is repeated, and the lowest CPU time of each
tick counts: that leaves out what other work on the machine costs.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from gate_search import DRIVER_TICKS

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Array

UNLIMITED = 1e6  # m/s
HOLD = 100  # ticks, for which a request lasts
BATCH = 256  # arms in simulation


def make_gates(arm: ArmSpec) -> dict[str, SafetyGate]:
    """Gates that check more and more."""
    dt = DRIVER_TICKS[arm.name]
    limits = arm.limits
    kinematics = Kinematics(arm)
    any_speed = replace(limits, tool_speed=UNLIMITED)
    return {
        "joints": SafetyGate(limits, dt, 1),
        "and the tool's box": SafetyGate(any_speed, dt, 1, kinematics),
        "and the tool's speed": SafetyGate(limits, dt, 1, kinematics),
        "and the links": SafetyGate(limits, dt, 1, kinematics, keep_links_clear=True),
        f"{BATCH} arms, without links": SafetyGate(limits, dt, BATCH, kinematics),
    }


def fly(gate: SafetyGate, home: Array, ticks: int, seed: int) -> Array:
    """CPU times (ticks,) s."""
    n, j = gate.setpoint.q.shape
    rng = np.random.default_rng(seed)
    gate.reset(np.tile(home, (n, 1)))
    times = np.zeros(ticks)
    for tick in range(ticks):
        if tick % HOLD == 0:
            direction = rng.choice([-1.0, 1.0], (n, j))
            request = direction * gate.limits.dq
        began = time.process_time()
        gate(request)
        times[tick] = time.process_time() - began
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=300, help="of a flight")
    parser.add_argument("--flights", type=int, default=3, help="different ones")
    parser.add_argument("--repeats", type=int, default=7, help="of each flight")
    args = parser.parse_args()
    for name in DRIVER_TICKS:
        arm = ARMS[name]
        lowest: dict[str, Array] = {}
        for repeat in range(args.repeats * args.flights):
            seed = repeat % args.flights
            for what, gate in make_gates(arm).items():
                key = f"{what} {seed}"
                times = fly(gate, arm.home, args.ticks, seed)
                lowest[key] = np.minimum(lowest.get(key, np.inf), times)
        for what in make_gates(arm):
            flights = [lowest[f"{what} {seed}"] for seed in range(args.flights)]
            together = 1e6 * np.concatenate(flights)
            median = np.median(together)
            print(f"{name}, {what}: mean {together.mean():.0f} µs, median {median:.0f} µs")


if __name__ == "__main__":
    main()
