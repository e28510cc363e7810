"""Results of a suite in a folder of their own, small enough to be kept with the code.

Every cell has one file there, ``METHOD-FAMILY-SEED-HASH.json``: a copy of its ``result.json``.
With them a page is made again, and cells go untrained, where the folders of the runs are gone.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.cell_records import RESULT
from adaptation.runs.files import replace_file

OLDEST = 0.0  # s since the epoch: any result in the folder of a run is taken for newer


def restore_results(kept: Path, out: Path) -> None:
    """Copy each kept result to its cell's folder, where that has none.

    Args:
        kept: folder of the files; it need not exist.
        out: folder of the cells.
    """
    for file in sorted(kept.glob("*.json")):
        result = out / file.stem / RESULT
        if result.exists():
            continue
        result.parent.mkdir(parents=True, exist_ok=True)
        replace_file(result, file.read_bytes())
        os.utime(result, (OLDEST, OLDEST))


def keep_results(statuses: Sequence[CellStatus], out: Path, kept: Path) -> None:
    """Copy the result of each cell that has a whole one, in place of an earlier one of that cell.

    Args:
        statuses: what is known of the cells.
        out: folder of the cells.
        kept: folder of the files; it is made.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for status in statuses:
        result = status.result
        if result is None or not result.is_finished:
            continue
        name = status.cell.name
        file = kept / f"{name}-{result.hash}.json"
        for other in kept.glob(f"{name}-*.json"):
            if other != file:
                other.unlink()
        replace_file(file, (out / file.stem / RESULT).read_bytes())
