"""How smooth the setpoints are that an arm's driver gets from a slow policy: a table in Markdown.

    python benchmarks/smoothness.py --figure docs/smoothness.svg

The policy of ``reach`` changes its action 10 or 30 times a second, each time to full speed in a
random direction. Between the changes ``ArmController``, as in the control process, passes it
through the safety gate at the driver's rate. Velocity, acceleration and jerk are finite differences
of the positions that are written; torques are MuJoCo's inverse dynamics of them. Where ``franky``
is installed, its own planner gets the same actions: its positions count once each millisecond, and
once more as seldom as Pliant's.
"""

import argparse
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from smooth_motion import DRIVERS, Motion, analyze, drive, random_actions, shares
from smoothness_franky import CYCLE, track

from adaptation.reporting.curves import to_svg_file
from adaptation.reporting.figures import new_figure
from robots.arm import Limits
from robots.catalog import ARMS
from robots.signals import Array
from sim.families.reach import Reach

RATES = (10, 30)  # Hz, of the policy
SHOWN = 1.0  # s of the picture
UNITS = {"jerk": "rad/s³", "torque": "N·m"}
COLORS = {"Pliant": "#3b6ea5", "franky": "#2f7d4f"}
LIMIT = "#d9541e"
QUANTITIES = ("velocity", "acceleration", "jerk", "torque", "torque rate")

# What the makers publish, largest magnitude for each joint.
#
# FR3: "Control Interface Specification and Robot Limits",
# https://frankarobotics.github.io/docs/robot_specifications.html. The velocity limit shrinks near
# the ends of a joint; this is its largest value. The limits of torque and of its rate are
# "recommended" where positions or velocities are commanded: the controller then departs from the
# motion it was told. The rate is necessary where torques are commanded.
#
# UR5e: user manual, and the article "Max. joint torques". Universal Robots publishes no limits of
# acceleration, jerk and torque rate.
MAKERS: Mapping[str, Mapping[str, Array]] = {
    "fr3": {
        "velocity": np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
        "acceleration": np.full(7, 10.0),
        "jerk": np.full(7, 5000.0),
        "torque": np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0]),
        "torque rate": np.full(7, 1000.0),
    },
    "ur5e": {
        "velocity": np.full(6, np.pi),
        "torque": np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0]),
    },
}


def catalog_limits(limits: Limits) -> dict[str, Array]:
    """The limits that the gate keeps or the controller watches, (j,) each, by name."""
    return {
        "velocity": limits.dq,
        "acceleration": limits.ddq,
        "jerk": limits.jerk,
        "torque": limits.tau,
    }


def summary(share: Array) -> str:
    """Largest, 99 % and root mean square over the ticks, of the joint that uses most, (n, j)."""
    worst = share.max(1)
    rms = np.sqrt((worst**2).mean())
    return f"{worst.max():.2f}, {np.quantile(worst, 0.99):.2f}, {rms:.2f}"


def report(who: str, motions: Mapping[int, Motion], all_limits: list[Mapping[str, Array]]) -> None:
    """Print the table's rows of one arm: of each rate, the shares of each set of limits."""
    published = {name for limits in all_limits for name in limits}
    for name in QUANTITIES:
        if name not in published:
            continue
        cells = []
        for limits in all_limits:
            for rate in RATES:
                share = shares(motions[rate], limits).get(name)
                cells.append("none" if share is None else summary(share))
        print(f"| {who} | {name} | {' | '.join(cells)} |", flush=True)


def draw(axes: Axes, motions: Mapping[str, Motion], name: str, limit: Array, title: str) -> None:
    """A quantity over the time, of the joint of the first motion that uses most of its limit."""
    first = next(iter(motions.values()))
    joint = int((np.abs(first.quantities()[name]) / limit).max(0).argmax())
    for who, motion in motions.items():
        if who not in COLORS:
            continue
        ticks = round(SHOWN / motion.dt)
        values = motion.quantities()[name][:ticks, joint]
        seconds = motion.dt * np.arange(len(values))
        axes.plot(seconds, values, color=COLORS[who], linewidth=0.8, label=who)
    for side in (-1.0, 1.0):
        label = "limit" if side > 0 else None
        axes.axhline(side * limit[joint], color=LIMIT, linewidth=0.8, label=label)
    axes.set_title(f"{title}: {name} of joint {joint + 1}, {UNITS[name]}", fontsize=8)
    axes.tick_params(labelsize=7)


def main() -> None:
    """Print the table, and draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, help="an SVG file, of jerk and torque")
    parser.add_argument("--duration", type=float, default=10.0, help="s, of the policy")
    args = parser.parse_args()
    figure = new_figure(9, 9)
    panels = iter(figure.subplots(len(DRIVERS) * len(RATES), len(UNITS)).flat)
    headings = [f"{whose}, {rate} Hz" for whose in ("catalog", "maker") for rate in RATES]
    print(f"| arm | limit | {' | '.join(headings)} |")
    print("|---" * (2 + len(headings)) + "|")

    outside: list[str] = []
    for name, driver in DRIVERS.items():
        arm = ARMS[name]
        family = Reach(arm)
        limits = catalog_limits(family.limits)
        by_rate: dict[int, dict[str, Motion]] = {}
        for rate in RATES:
            q = drive(arm, rate, args.duration)
            if not np.array_equal(q[0], family.ready):
                raise RuntimeError(f"{name}: the first setpoint {q[0]} is not where the arm is")
            by_rate[rate] = {"Pliant": analyze(arm, q, driver.capabilities.dt)}
            if name == "fr3" and find_spec("franky") is not None:
                actions = random_actions(family, rate, args.duration)
                q = track(family, arm, actions, rate)
                by_rate[rate]["franky"] = analyze(arm, q, CYCLE)
                dt = driver.capabilities.dt
                sampled = analyze(arm, q[:: round(dt / CYCLE)], dt)
                by_rate[rate]["franky at 4 ms"] = sampled

            for who, motion in by_rate[rate].items():
                if who not in COLORS:
                    continue
                beyond = (motion.q < arm.limits.q_low) | (motion.q > arm.limits.q_high)
                outside.append(f"{name}, {rate} Hz, {who}: {beyond.any(1).mean():.1%}")

        both: list[Mapping[str, Array]] = [limits, MAKERS[name]]
        for who in by_rate[RATES[0]]:
            report(f"{name}, {who}", {rate: by_rate[rate][who] for rate in RATES}, both)
        for rate in RATES:
            for quantity in UNITS:
                limit = MAKERS[name].get(quantity, limits[quantity])
                title = f"{name}, {rate} Hz"
                draw(next(panels), by_rate[rate], quantity, limit, title)

    figure.axes[0].legend(fontsize=6, loc="lower right")
    figure.supxlabel("time, s", fontsize=8)
    print("\nThe first setpoint after enable was each time the arm's own position.")
    print(f"Outside the catalog's limits of position: {'; '.join(outside)} of the time.")
    if args.figure is not None:
        args.figure.write_text(to_svg_file(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
