"""Shared by all benchmarks: ours and its peers take turns in one run, and each ratio is a row."""

import argparse
import json
from collections.abc import Callable
from typing import TypedDict

import torch
from rich.console import Console
from rich.table import Table

from sim.speed import median_seconds, timed

CEILING_SIZE = 2048  # rows and columns of the product that the ceiling is measured with


class Row(TypedDict):
    """One comparison; ratio, ours and peer are in the same direction: higher is faster."""

    name: str
    ratio: float  # ours / peer
    ours: float
    peer: float
    unit: str


def ceiling(dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations per second of a large matrix product on this core."""
    a = torch.randn(CEILING_SIZE, CEILING_SIZE).to(dtype)
    seconds = min(timed(lambda: a @ a) for _ in range(3))
    return 2 * CEILING_SIZE**3 / seconds


def compare(
    name: Callable[[str], str],
    unit: str,
    many: float,
    runs: dict[str, Callable[[], float]],
    repeats: int,
) -> list[Row]:
    """Compare "ours" with its peers by the median of several repeats.

    Args:
        name: gives a row's name from the peer's.
        unit: of the rates, such as "steps/s".
        many: units of work that one run does.
        runs: by name, ``"ours"`` among them; each does its work and returns the seconds it took.
        repeats: each run takes its turn in every repeat; one more before them is the warm-up.

    Returns:
        One row for each peer.
    """
    seconds = median_seconds(runs, repeats)
    rates = {kind: many / duration for kind, duration in seconds.items()}
    ours = rates.pop("ours")
    rows = []
    for peer, rate in rates.items():
        row = Row(name=name(peer), ratio=ours / rate, ours=ours, peer=rate, unit=unit)
        rows.append(row)
    return rows


def arguments(doc: str | None, repeats: int) -> argparse.ArgumentParser:
    """The command line of every benchmark.

    Args:
        doc: the benchmark's docstring, shown as help.
        repeats: default of ``--repeats``.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser


def show(rows: list[Row], as_json: bool) -> None:
    """Print rows, for a person or for a script."""
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
