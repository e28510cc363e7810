"""What benchmarks share: all take turns in one run, on one clock, and each peer's ratio to ours is a row."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]  # name, ratio, ours, peer, unit


def timed(work: Callable[[], Any]) -> float:
    """Seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    name: Callable[[str], str],
    unit: str,
    many: float,
    runs: dict[str, Callable[[], float]],
    repeats: int,
) -> list[Row]:
    """A row for each peer of "ours": medians of the seconds that ``runs`` say they took for ``many`` of a unit.

    Each takes its turn in every repeat; the first warms up and does not count.
    """
    turns = [{kind: run() for kind, run in runs.items()} for _ in range(1 + repeats)][1:]
    rate = {kind: many / float(np.median([turn[kind] for turn in turns])) for kind in runs}
    ours = rate.pop("ours")
    return [
        {"name": name(peer), "ratio": ours / r, "ours": ours, "peer": r, "unit": unit}
        for peer, r in rate.items()
    ]


def arguments(doc: str | None, repeats: int) -> argparse.ArgumentParser:
    """What every benchmark can be told; ``doc`` is its own."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def show(rows: list[Row], as_json: bool) -> None:
    """Print rows, for a person or a script."""
    if as_json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    table = Table("benchmark", "ratio", "ours", "peer", "unit")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['ratio']:.2f}",
            f"{row['ours']:,.1f}",
            f"{row['peer']:,.1f}",
            row["unit"],
        )
    Console(width=120).print(table)
