"""What a run has learned can be watched, and its training followed."""

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from adaptation.jobs.play import play, play_extremes, set_values
from adaptation.jobs.train import train
from adaptation.reporting.live_log import Follower, check_service
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from robots.errors import BadArgumentError, UnknownNameError
from robots.world import Task
from sim.families import FAMILIES
from sim.rendering import SIZE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = {"hidden": 8, "schedule.meta_batch": 2}
    config = RunConfig(
        method="rl2",
        family="point",
        iterations=1,
        references=False,
        evaluations=1,
        evaluation_tasks=2,
        settings=settings,
    )
    run = Run.create(tmp_path_factory.mktemp("run") / "rl2", config)
    train(run)
    return run


def test_both_policies_are_shown_side_by_side_in_the_task_that_is_asked_for(
    run: Run, tmp_path: Path
) -> None:
    result = play(run, tmp_path / "play.png", values={"goal.x": 0.25})
    assert result.task["goal.x"] == 0.25
    assert list(result.returns) == ["adapted", "no_adaptation"]
    assert len(result.success["adapted"]) == run.family.episodes
    picture = matplotlib.image.imread(tmp_path / "play.png")
    assert picture.shape[:2] == (SIZE[1], 2 * SIZE[0])


def test_the_best_episode_is_shown_beside_the_worst(run: Run, tmp_path: Path) -> None:
    result = play_extremes(run, tmp_path / "extremes.png", tasks=6, values={"goal.x": 0.5})
    assert result.best.returns > result.worst.returns
    assert result.best.task["goal.x"] == result.worst.task["goal.x"] == 0.5
    assert result.best.task["goal.y"] != result.worst.task["goal.y"]
    picture = matplotlib.image.imread(tmp_path / "extremes.png")
    assert picture.shape[:2] == (SIZE[1], 2 * SIZE[0])
    left, right = picture[:, : SIZE[0]], picture[:, SIZE[0] :]
    assert not np.array_equal(left, right)


def test_a_policy_that_a_run_does_not_have_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="no policy oracle; it has: adapted, no_adaptation"):
        play_extremes(run, tmp_path / "extremes.png", "oracle")


def task() -> Task:
    return FAMILIES["slide"]().sample(np.random.default_rng(0), 1)


def test_a_shape_may_be_named() -> None:
    assert set_values(task(), {"object.shape": "cross"})["object.shape"] == 1


def test_a_parameter_that_is_unknown_or_no_number_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"object\.friction"):
        set_values(task(), {"friction": 0.1})
    with pytest.raises(BadArgumentError, match="finite number"):
        set_values(task(), {"object.friction": float("nan")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("object.mass", 0),
        ("object.mass", 1e308),
        ("object.size_x", -0.05),
        ("object.friction", -1),
        ("object.restitution", -0.1),
        ("object.shape", 1.5),
        ("object.shape", 99),
    ],
)
def test_an_object_that_could_not_exist_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadArgumentError, match=f"--task {name} must be"):
        set_values(task(), {name: value})


def test_every_line_of_the_logs_is_sent_once(run: Run) -> None:
    sent: list[dict[str, float]] = []

    class Recorder:
        def log(self, values: dict[str, float]) -> Any:
            sent.append(values)

        def finish(self) -> Any:
            pass

    follower = Follower(run, Recorder())
    follower.send_new()
    follower.send_new()
    names = set().union(*sent)
    assert {"method/train/return", "method/heldout/success"} <= names
    assert sum("method/train/return" in values for values in sent) == 1


def test_a_service_that_is_missing_or_unknown_is_named() -> None:
    with pytest.raises(BadArgumentError, match=r"wandb or trackio"):
        check_service("nowhere")
    with pytest.raises(BadArgumentError, match=r"pliant\[trackio\]"):
        check_service("trackio")
