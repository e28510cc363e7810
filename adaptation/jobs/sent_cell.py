"""What an executor runs: a cell that was sent to a process, perhaps on another machine."""

from math import inf
from pathlib import Path
from platform import node

from adaptation.jobs.cell_records import Cell, CellResult
from adaptation.jobs.cells import cell_folder, train_cell
from robots.errors import PliantError


def train_sent_cell(cell: Cell, folder: Path, stop_at: float = inf) -> CellResult:
    """Train a cell on the machine that it was sent to; see ``train_cell``.

    Raises:
        PliantError: this machine's code or versions are not those that the folder is named by, so
            that the result would stand for another training.
    """
    own = cell_folder(cell, folder.parent)
    if own.name != folder.name:
        raise PliantError(
            f"{node()} has other code or versions: its cell would be {own.name}, not {folder.name}"
        )
    return train_cell(cell, folder, stop_at)
