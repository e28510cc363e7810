"""A run with ranges of its own: it is trained, saved, evaluated and compared with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaptation import cli
from adaptation.jobs.compare import compare
from adaptation.jobs.evaluate import evaluate
from adaptation.jobs.fingerprint import fingerprint
from adaptation.jobs.train import train
from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from adaptation.runs.contract import describe
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from policies.models.particles import HiddenParameters
from policies.models.task_scale import TaskScale
from robots.errors import BadArgumentError, UnknownNameError

GOALS = "range.goal.x"


def begin(path: Path, **ranges: str) -> Run:
    """A run of a short training on point; ``goal_x`` is the range of ``goal.x``."""
    settings: dict[str, Any] = {"schedule.meta_batch": 2, "gradient_steps": 1}
    settings |= {f"range.{name.replace('_', '.')}": text for name, text in ranges.items()}
    config = RunConfig("oracle", "point", iterations=1, evaluations=0, settings=settings)
    return Run.create(path, config)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = begin(tmp_path_factory.mktemp("runs") / "near", goal_x="0.5,0.6")
    train(run)
    return run.path


def test_a_run_records_its_ranges_and_opens_with_them(trained: Path) -> None:
    config = json.loads((trained / "config.json").read_bytes())["config"]
    assert config["settings"][GOALS] == "0.5,0.6"
    run = Run.open(trained)
    for family in (run.family, run.load("method").family):
        for split in ("train", "heldout"):
            x = family.sample(np.random.default_rng(0), 200, split)["goal.x"]
            assert 0.5 <= x.min() < 0.51
            assert 0.59 < x.max() <= 0.6
    problem = run.load("method").method.problem
    assert problem.task_low == problem_of(run.family).task_low
    assert problem.task_low[0] == pytest.approx(0.5, abs=0.01)


def test_a_checkpoint_keeps_them_without_the_run(trained: Path) -> None:
    loaded = checkpoint.load(trained / "method")
    assert loaded.contract.ranges == {"goal.x": (0.5, 0.6)}
    x = loaded.family.sample(np.random.default_rng(0), 50)["goal.x"]
    assert x.min() >= 0.5


def test_an_evaluation_draws_its_tasks_from_them(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    family_type = type(Run.open(trained).family)
    sample = family_type.sample

    def watch(self: Any, *arguments: Any) -> Any:
        task = sample(self, *arguments)
        drawn.append(task["goal.x"])
        return task

    monkeypatch.setattr(family_type, "sample", watch)
    evaluate(Run.open(trained), tasks=4, episodes=1)
    x = np.concatenate(drawn)
    assert x.min() >= 0.5
    assert x.max() <= 0.6


def test_a_resumed_training_keeps_them(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    again = ["train", "--resume", "--out", str(trained)]
    assert cli.main([*again, "--set", f"{GOALS}=0.1,0.2"]) == 2
    assert "was begun with" in capfd.readouterr().err
    assert cli.main([*again, "--iterations", "2"]) == 0
    assert Run.open(trained).load("method").contract.ranges == {"goal.x": (0.5, 0.6)}


def test_runs_of_different_ranges_are_not_compared(trained: Path, tmp_path: Path) -> None:
    other = begin(tmp_path / "far", goal_x="-0.6,-0.5")
    with pytest.raises(BadArgumentError, match="these differ in its ranges"):
        compare([Run.open(trained), other], tasks=2)


def test_an_impossible_range_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for text in ("0.6,0.5", "nan,0.5", "-3,0", "0,inf", ""):
        with pytest.raises(BadArgumentError, match=r"range\.goal\.x=.*not allowed"):
            begin(tmp_path / "run", goal_x=text)
    with pytest.raises(UnknownNameError, match=r"point has no range\.goal\.z; there are"):
        begin(tmp_path / "run", goal_z="0,1")
    assert not (tmp_path / "run").exists()


def test_ranges_come_from_a_preset_file_too_and_an_option_wins(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[oracle.cpu]\ngradient_steps = 1\n"
        "[oracle.cpu.range]\n'goal.x' = [0.1, 0.2]\ngoal.y = [0.3, 0.4]\n"
    )
    settings = {GOALS: [-0.5, -0.4]}
    config = RunConfig("oracle", "point", preset=str(file), settings=settings)
    run = Run.create(tmp_path / "run", config)
    values = run.family.sample(np.random.default_rng(0), 100).values
    np.testing.assert_allclose(values.min(0), [-0.5, 0.3], atol=0.01)
    np.testing.assert_allclose(values.max(0), [-0.4, 0.4], atol=0.01)
    assert Run.open(run.path).family.sample(np.random.default_rng(0), 9)["goal.x"].max() < 0


def test_references_are_trained_with_the_ranges_of_the_method(trained: Path) -> None:
    blind = Run.open(trained).load("blind")
    assert blind.contract.ranges == {"goal.x": (0.5, 0.6)}
    assert blind.method.problem.task_low[0] == pytest.approx(0.5, abs=0.01)


def test_a_training_with_other_ranges_has_another_fingerprint() -> None:
    def digest(settings: dict[str, Any]) -> str:
        return fingerprint(check_config(RunConfig("blind", "slide", settings=settings))).digest

    own = digest({})
    assert digest({"range.object.friction": "0.05,0.13"}) != digest({"range.object.friction": 0.1})
    assert own == digest({}) != digest({"range.object.restitution": [0.2, 0.5]})


def test_settings_lists_the_ranges_and_where_they_come_from(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["settings", "blind", "--family", "slide", "--set", "range.object.friction=0.05,0.2"]
    assert cli.main([*words, "--json"]) == 0
    listed = json.loads(capfd.readouterr().out.splitlines()[-1])["settings"]
    by_name = {entry["name"]: entry for entry in listed}
    friction = by_name["range.object.friction"]
    assert (friction["value"], friction["source"]) == ([0.05, 0.2], "--set")
    assert by_name["range.object.mass"]["source"] == "default"
    assert by_name["range.object.mass"]["unit"] == "kg"
    assert "range.object.mass.heldout" in by_name


def test_a_fixed_parameter_is_recorded_as_fixed_and_scaled_to_a_finite_number() -> None:
    family = checkpoint.family_for("carry", None, {"range.disturbance.latency": 0.02})
    problem = problem_of(family)
    column = problem.task_names.index("disturbance.latency")
    assert problem.task_low[column] == problem.task_high[column] == 0.02
    method = checkpoint.build("blind", family, seed=0)
    recorded = describe("carry", family, "blind", method, "").disturbances
    place = recorded.names.index("disturbance.latency")
    assert recorded.low[place] == recorded.high[place] == 0.02
    task = torch.tensor(family.sample(np.random.default_rng(0), 5).values, dtype=torch.float32)
    device = torch.device("cpu")
    read = TaskScale(problem, range(problem.task_dim), device)(task)
    torch.testing.assert_close(read[:, column], torch.full((5,), -1.0))
    hidden = HiddenParameters(problem, device)
    scaled = hidden.encode(task)
    assert scaled.isfinite().all()
    torch.testing.assert_close(hidden.decode(scaled, task), task)
