"""What a training would need more memory for than there is: refused before it begins."""

import os

from policies.config import MethodConfig, episode_bytes
from policies.method import Problem
from policies.settings import flatten
from robots.errors import BadArgumentError

WORLD_BYTES = 100_000  # of a world's physics; measured: 80 KiB for MuJoCo's humanoid, 11 for slide
GIB = 2**30


def check_memory(config: MethodConfig, problem: Problem) -> None:
    """Refuse a schedule or a replay that cannot fit into this machine's memory.

    Raises:
        BadArgumentError: the message names the setting, and how much is allowed.
    """
    values = flatten(config)
    for name in values:
        if name.endswith("schedule.meta_batch"):
            prefix = name.removesuffix("meta_batch")
            _check_schedule(prefix, values, problem)
    for name in values:
        if name.endswith("buffer_tasks"):
            task_bytes = config.schedule.episodes_per_trial * episode_bytes(problem)
            _check_fits(name, values[name], task_bytes)


def _check_schedule(prefix: str, values: dict[str, int], problem: Problem) -> None:
    """Check what the first iteration collects; its settings are named ``prefix`` + NAME."""
    tasks = values[f"{prefix}meta_batch"]
    episodes = values[f"{prefix}episodes_per_trial"]
    trials = values[f"{prefix}random_trials"]
    each = episode_bytes(problem)
    _check_fits(f"{prefix}episodes_per_trial", episodes, each)
    _check_fits(f"{prefix}meta_batch", tasks, WORLD_BYTES + episodes * each)
    trial = tasks * episodes * each
    _check_fits(f"{prefix}random_trials", trials, trial, taken=trial)


def _check_fits(name: str, count: int, size: int, taken: int = 0) -> None:
    """Refuse ``count`` things of ``size`` bytes each, beside ``taken`` bytes, that do not fit."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    allowed = (memory - taken) // size
    if count > allowed:
        needed = (taken + count * size) / GIB
        raise BadArgumentError(
            f"{name}={count} is not allowed: it takes {needed:,.1f} GiB of memory, and this machine"
            f" has {memory / GIB:,.1f}; give at most {allowed}"
        )
