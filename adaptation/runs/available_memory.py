"""The memory available to this process: that of the machine, or less in a container."""

import os
from pathlib import Path

UNBOUNDED = "max"  # as a limit in control groups of version 2
FOLDER = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_memory(folder: Path = FOLDER, membership: Path = MEMBERSHIP) -> int:
    """Bytes that this process may use together with the others of its control groups.

    Args:
        folder: where the control groups are mounted.
        membership: the file that names the groups of this process.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [machine]
    for file in _limit_files(folder, membership):
        try:
            text = file.read_text().strip()
        except OSError:  # the group is not visible, as in a container that sees only its own
            continue
        if text != UNBOUNDED:
            limits.append(int(text))
    return min(limits)


def _limit_files(folder: Path, membership: Path) -> list[Path]:
    """The files that may hold a limit: of each group of the process and of its parents."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not on Linux
        return []
    files = []
    for line in lines:  # number:controllers:/path, without controllers in version 2
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = folder
            name = "memory.max"
        elif "memory" in controllers.split(","):
            root = folder / "memory"
            name = "memory.limit_in_bytes"
        else:
            continue
        group = root / path.strip("/")
        groups = [group, *group.parents]
        inside = groups[: groups.index(root) + 1]
        files += [each / name for each in inside]
    return files
