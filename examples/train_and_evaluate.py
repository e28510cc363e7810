"""Meta-train PEARL on points in the plane, and compare it with its references on held-out goals.

    python examples/train_and_evaluate.py [ITERATIONS]

Two iterations, the default, only show that it runs. Sixty take about two minutes on two cores, and
then the second episode already ends at the goal.
"""

import sys
from pathlib import Path

import pliant

RUN = Path("runs/example-point")


def main(iterations: int) -> None:
    """Train, unless the run is there already, and print what each policy reaches."""
    if RUN.exists():
        run = pliant.Run.open(RUN)
    else:
        run = pliant.train("pearl", "point", RUN, iterations=iterations)
    result = pliant.evaluate(run, tasks=32)

    print("distance to the goal at the end of each episode, m")
    for name in ("blind", "no_adaptation", "adapted", "oracle"):
        policy = getattr(result, name)
        distances = " ".join(f"{distance:7.3f}" for distance in policy.metrics["distance_m"])
        print(f"  {name:<14} {distances}   success {policy.success[-1]:.0%}")
    adaptation = result.adaptation
    assert adaptation is not None
    print(f"adaptation is worth {adaptation.value:+.2f} of return, 95 % {adaptation.interval}")
    print(f"share of the gap closed: {result.gap_closed.value or result.gap_closed.note}")


if __name__ == "__main__":  # training starts a process for the references
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
