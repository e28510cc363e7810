"""A training that cannot fit into the memory is refused before anything of it is there."""

import re
from pathlib import Path
from typing import Any

import pytest

import pliant
from adaptation import cli
from adaptation.jobs.cell_records import Cell, Judging
from adaptation.jobs.cells import train_cell
from adaptation.runs import memory_needs
from adaptation.runs.available_memory import available_memory
from adaptation.runs.memory_needs import check_needs
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.fields import declared_fields
from policies.methods import METHODS
from robots.errors import BadArgumentError

GIB = 2**30

# each setting is below its own bound, their product is not
TOO_LARGE: dict[str, tuple[str, dict[str, int]]] = {
    "trials": ("rl2", {"schedule.meta_batch": 50_000, "schedule.episodes_per_trial": 100}),
    "random trials": ("blind", {"schedule.meta_batch": 4096, "schedule.random_trials": 9000}),
    "batches": ("pearl", {"sac.meta_batch": 50_000, "sac.batch_per_task": 100}),
    "plans": ("context_mpc", {"schedule.meta_batch": 2000, "planner.num_samples": 50_000}),
    "replay": ("pearl", {"sac.schedule.episodes_per_trial": 1000, "sac.buffer_tasks": 80_000}),
    # a single number that is too large
    "replay of pearl": ("pearl", {"sac.buffer_tasks": 10**9}),
    "replay of varibad": ("varibad", {"buffer_tasks": 10**9}),
    "replay of a model": ("context_mpc", {"buffer_tasks": 10**9}),
    "trials that attend": (
        "rl2_transformer",
        {"schedule.meta_batch": 300, "schedule.episodes_per_trial": 100, "window": 4096},
    ),
    "segments": ("sequence", {"sac.meta_batch": 20_000, "segment": 4096}),
    "a student's segments": ("distill", {"student_trials": 10_000, "segment": 100_000}),
    "a model's segments": ("recurrent_mpc", {"meta_batch": 10_000, "dynamics.segment": 100_000}),
    "tasks": ("rl2", {"schedule.meta_batch": 100_000}),
}
# endings of the names of settings that decide how much is kept in memory
IN_MEMORY = ("meta_batch", "episodes_per_trial", "buffer_tasks", "batch_per_task", "num_samples")


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    set_memory(monkeypatch, 16)


def set_memory(monkeypatch: pytest.MonkeyPatch, gibibytes: float) -> None:
    def available() -> int:
        return int(gibibytes * GIB)

    monkeypatch.setattr(memory_needs, "available_memory", available)


def config(method: str, settings: dict[str, Any], references: bool = True) -> RunConfig:
    return RunConfig(method, "point", settings=settings, references=references)


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_settings_whose_product_is_too_large_are_named_before_a_folder_is_made(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    method, settings = TOO_LARGE[kind]
    out = tmp_path / "run"
    product = [f"{name}={value}" for name, value in settings.items()]
    with pytest.raises(BadArgumentError, match="GiB of memory") as refusal:
        Run.create(out, config(method, settings))
    refused, _ = str(refusal.value).split(" is not allowed: ")
    assert set(product) <= set(refused.split(" × "))
    with pytest.raises(BadArgumentError, match="GiB of memory"):
        pliant.train(method, "point", out, settings=settings)
    words = [word for setting in product for word in ("--set", setting)]
    assert cli.main(["train", method, "--family", "point", "--out", str(out), *words]) == 2
    assert refused in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_absurd_number_is_refused_by_name_with_what_is_possible(
    tmp_path: Path, method: str
) -> None:
    declared = declared_fields(METHODS[method].Config)
    names = [name for name in declared if name.endswith(IN_MEMORY)]
    assert any(name.endswith("schedule.meta_batch") for name in names)
    for name in names:
        with pytest.raises(
            BadArgumentError, match=rf"\b{name}=1000000000\b.* is not allowed: .*at most"
        ):
            Run.create(tmp_path / "run", config(method, {name: 10**9}))
    assert not (tmp_path / "run").exists()


def test_a_benchmark_s_cell_is_refused_too(tmp_path: Path) -> None:
    method, settings = TOO_LARGE["trials"]
    cell = Cell(config(method, settings, references=False), Judging(tasks=4))
    out = tmp_path / "cell"
    with pytest.raises(BadArgumentError, match="GiB of memory"):
        train_cell(cell, out)
    assert not out.exists()


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_as_much_is_allowed_as_the_message_says_and_not_much_more(kind: str) -> None:
    method, settings = TOO_LARGE[kind]
    with pytest.raises(BadArgumentError) as refusal:
        check_needs(config(method, settings, references=False))
    fitting = re.findall(r"([\w.]+) at most (\d+)", str(refusal.value))
    assert fitting
    for name, most in fitting:
        check_needs(config(method, settings | {name: int(most)}, references=False))
        more = settings | {name: int(1.1 * int(most)) + 1}
        with pytest.raises(BadArgumentError):
            check_needs(config(method, more, references=False))


def test_the_weights_that_a_hypernetwork_generates_are_counted() -> None:
    settings = {"schedule.meta_batch": 2000, "schedule.episodes_per_trial": 3, "hidden": 2048}
    check_needs(config("rl2", settings, references=False))
    with pytest.raises(BadArgumentError, match="GiB of memory"):
        check_needs(config("rl2", settings | {"hypernetwork": True}, references=False))


@pytest.mark.parametrize(
    ("attending", "other", "settings"),
    [
        ("snail", "rl2", {"schedule.meta_batch": 600, "schedule.episodes_per_trial": 60}),
        ("sequence", "sequence", {"sac.meta_batch": 30, "segment": 4096}),
    ],
)
def test_what_attention_keeps_for_each_pair_of_ticks_is_counted(
    attending: str, other: str, settings: dict[str, Any]
) -> None:
    without = settings | {"memory": "gru"}
    check_needs(config(other, without, references=False))
    with pytest.raises(BadArgumentError, match="GiB of memory"):
        check_needs(config(attending, settings, references=False))


def test_the_references_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"schedule.meta_batch": 2000}
    set_memory(monkeypatch, 1.5)
    check_needs(config("rl2", settings, references=False))
    with pytest.raises(BadArgumentError, match="the training with its references takes"):
        check_needs(config("rl2", settings))


def test_a_reference_that_would_need_too_many_tasks_is_refused_by_name() -> None:
    settings = {
        "schedule.meta_batch": 4000,
        "schedule.episodes_per_trial": 300,
        "hidden": 1,
        "memory_size": 1,
    }
    check_needs(config("rl2", settings, references=False))
    with pytest.raises(BadArgumentError, match=r"reference blind cannot keep up: .*meta_batch="):
        check_needs(config("rl2", settings))


@pytest.mark.parametrize("preset", ["cpu", "paper"])
@pytest.mark.parametrize("family", ["point", "slide", "cheetah_vel"])
def test_what_comes_along_fits_into_a_small_machine(
    monkeypatch: pytest.MonkeyPatch, family: str, preset: str
) -> None:
    set_memory(monkeypatch, 8)
    for method in sorted(METHODS):
        check_needs(RunConfig(method, family, preset=preset))


def write_groups(folder: Path, limits: dict[str, str]) -> None:
    for file, text in limits.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


V1 = "9:name=systemd:/a\n4:cpu,memory:/a/b\n0::/\n"
V2 = "0::/a/b\n"
HUGE = str(2**63 - 4096)  # without a limit, in version 1
GROUPS: dict[str, tuple[str, dict[str, str], int | None]] = {
    "version 2": (V2, {"a/b/memory.max": "1000"}, 1000),
    "version 2, a group above": (V2, {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000),
    "version 2, in a container": (V2, {"memory.max": "1000"}, 1000),
    "version 2, unbounded": (V2, {"a/b/memory.max": "max"}, None),
    "version 1": (V1, {"memory/a/b/memory.limit_in_bytes": "1000"}, 1000),
    "version 1, a group above": (
        V1,
        {
            "memory/a/b/memory.limit_in_bytes": HUGE,
            "memory/a/memory.limit_in_bytes": "1000",
        },
        1000,
    ),
    "version 1, unbounded": (V1, {"memory/a/b/memory.limit_in_bytes": HUGE}, None),
    "another controller": ("3:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "1000"}, None),
    "no group": ("", {"memory.max": "1000"}, None),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_a_container_s_limit_counts_where_it_is_the_smaller(tmp_path: Path, kind: str) -> None:
    text, limits, allowed = GROUPS[kind]
    write_groups(tmp_path, limits)
    membership = tmp_path / "cgroup"
    membership.write_text(text)
    machine = available_memory(tmp_path, tmp_path / "absent")
    assert machine > 1000
    assert available_memory(tmp_path, membership) == (allowed or machine)
