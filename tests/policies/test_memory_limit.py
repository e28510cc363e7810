"""Settings that need more memory than there is are refused before a training begins."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from adaptation.runs.run import Run, RunConfig
from policies.fields import declared_fields
from policies.methods import METHODS
from robots.errors import BadArgumentError

IN_MEMORY = ("meta_batch", "episodes_per_trial", "buffer_tasks", "batch_per_task", "num_samples")


def create(folder: Path, method: str, **settings: Any) -> Run:
    return Run.create(folder, RunConfig(method, "point", settings=settings))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_absurd_number_is_refused_by_name_before_a_folder_is_made(
    tmp_path: Path, method: str
) -> None:
    declared = declared_fields(METHODS[method].Config)
    names = [name for name in declared if name.endswith(IN_MEMORY)]
    assert any(name.endswith("schedule.meta_batch") for name in names)
    for name in names:
        with pytest.raises(BadArgumentError, match=f"{name}=1000000000 is not allowed: .*at most"):
            create(tmp_path / "run", method, **{name: 10**9})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("pearl", "sac.buffer_tasks"),
        ("varibad", "buffer_tasks"),
        ("context_mpc", "buffer_tasks"),
        ("rl2", "schedule.meta_batch"),
        ("blind", "schedule.random_trials"),
    ],
)
def test_as_much_is_allowed_as_the_message_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    small = {"SC_PHYS_PAGES": 512 * 2**20, "SC_PAGE_SIZE": 1}  # 512 MiB, the size of a replay twice
    monkeypatch.setattr(os, "sysconf", small.__getitem__)
    with pytest.raises(BadArgumentError, match="GiB of memory, and this machine has") as caught:
        create(tmp_path / "run", method, **{name: 10**9 if "buffer" in name else 90_000})
    allowed = re.search(r"give at most (\d+)", str(caught.value))
    assert allowed is not None
    create(tmp_path / "run", method, **{name: int(allowed[1])})
