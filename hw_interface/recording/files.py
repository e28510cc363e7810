"""File names of recordings: each gets a new number, and none is ever overwritten."""

import re
from pathlib import Path

NUMBERED = re.compile(r"recording-(\d+)\.mcap")


def claim_next(folder: Path) -> Path:
    """Create the next recording of a folder, an empty file that no other program gets.

    Its number is higher than any other in the folder, so recordings stay in order even after some
    were removed.

    Raises:
        OSError: the folder does not exist, or no file can be created there.
    """
    number = _highest(folder) + 1
    while True:
        path = folder / f"recording-{number}.mcap"
        try:
            path.open("xb").close()
        except FileExistsError:  # another program has just created it
            number += 1
            continue
        return path


def _highest(folder: Path) -> int:
    """The highest number of a recording in a folder; -1 if there is none."""
    numbers = [-1]
    for path in folder.iterdir():
        match = NUMBERED.fullmatch(path.name)
        if match is not None:
            numbers.append(int(match[1]))
    return max(numbers)


def recordings_in(folder: Path) -> set[Path]:
    """All recordings of a folder; none where there is no such folder."""
    if not folder.is_dir():
        return set()
    return {path for path in folder.iterdir() if NUMBERED.fullmatch(path.name)}
