"""Meta-train PEARL on points in the plane, and compare it with its references on held-out goals.

    python examples/train_and_evaluate.py [ITERATIONS]

Two iterations, the default, only show that it runs. Sixty take about two minutes on two cores,
references included, and then the third episode ends at the goal in nearly every task.
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
    if result.adaptation is not None:
        print(f"adapting is worth {result.adaptation.value:+.2f} of return")
    gap = result.gap_closed
    print("gap closed:", gap.note if gap.value is None else f"{gap.value:.0%}")


if __name__ == "__main__":  # training starts a process for the references
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
