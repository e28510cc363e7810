"""Copies of a suite's results in one folder, small enough to be kept with the code.

Every cell has one file, ``METHOD-FAMILY-SEED-HASH.json``: a copy of its ``result.json``. These
files are enough to write a page and to skip finished cells, without the run folders.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.cell_records import RESULT, Cell, CellResult, read_result, same_json
from adaptation.runs.files import replace_file
from robots.errors import DamagedError

OLDEST = 0.0  # s since the epoch: a result of a run on this machine counts as newer


def restore_results(kept: Path, out: Path) -> None:
    """Copy each kept result to its cell's folder, unless the folder has a finished result.

    Args:
        kept: folder of the files; it need not exist.
        out: folder of the cells.
    """
    for file in sorted(kept.glob("*.json")):
        folder = out / file.stem
        if _is_finished(folder):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / RESULT, file.read_bytes())
        os.utime(folder / RESULT, (OLDEST, OLDEST))


def _is_finished(folder: Path) -> bool:
    """Whether a cell's folder has the result of a whole training."""
    try:
        result = read_result(folder)
    except DamagedError:
        return False
    return result is not None and result.is_finished


def keep_results(statuses: Sequence[CellStatus], kept: Path) -> None:
    """Write the result of each cell whose result is complete.

    A result of the present code replaces an earlier result of the same cell. A result of other code
    is kept only if the cell has no other result.

    Args:
        statuses: what is known of the cells.
        kept: folder of the files; it is made.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for status in statuses:
        result = status.result
        if result is None or not result.is_finished:
            continue
        earlier = _files_of(status.cell, kept)
        if earlier and not status.is_current:
            continue
        file = kept / f"{status.cell.name}-{result.hash}.json"
        replace_file(file, msgspec.json.encode(result))
        for other in earlier:
            if other != file:
                other.unlink()


def _files_of(cell: Cell, kept: Path) -> list[Path]:
    """The kept results of a cell, judged as it asks or otherwise."""
    found = []
    for file in kept.glob(f"{cell.name}-*.json"):
        try:
            result = msgspec.json.decode(file.read_bytes(), type=CellResult)
        except msgspec.DecodeError:
            continue
        if same_json(result.cell.training, cell.training):
            found.append(file)
    return found
