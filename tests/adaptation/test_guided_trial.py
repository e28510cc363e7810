"""Trials with a person at the arm: episodes are run again, objects are left, and have labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_trial
import tiny
import torch
from PIL import Image
from test_trial import EPISODES, OBJECTS, Arm, config_of, without_seconds

from adaptation.background import Background
from adaptation.belief_keeper import BeliefKeeper
from adaptation.jobs.object_labels import kept_labels, label_of, read_labels
from adaptation.jobs.operator_console import OperatorConsole
from adaptation.jobs.placing import OperatorPlacer
from adaptation.jobs.trial import run_trial
from adaptation.jobs.trial_folder import read_episodes, skipped_objects
from adaptation.reporting.report import write_report
from adaptation.rollout import Next, rollout
from adaptation.runs.run import Run
from robots.counting import counted
from robots.errors import BadArgumentError, PliantError
from robots.signals import Array

pytestmark = pytest.mark.usefixtures("registered")
shared_run = test_trial.shared_run
trained = test_trial.trained


class Adding:
    """Its belief is the sum of all rewards, and of 100 for every episode."""

    privileged = False

    def prior(self, n: int, task: Any = None) -> torch.Tensor:
        return torch.zeros(n)

    def act(self, obs: torch.Tensor, belief: torch.Tensor, explore: bool) -> torch.Tensor:
        return torch.zeros(len(obs), 2)

    def observe(self, belief: torch.Tensor, transition: Any) -> torch.Tensor:
        return belief + 1.0

    def adapt(self, belief: torch.Tensor, episode: Any) -> torch.Tensor:
        return belief + 100.0


@pytest.mark.parametrize("kind", ["plain", "background"])
def test_an_episode_that_is_run_again_is_forgotten_by_the_policy(kind: str) -> None:
    family = tiny.Tiny()
    world = tiny.World(family, "", 1, 0)
    task = family.sample(np.random.default_rng(0), 1)
    answers = iter([Next.GO_ON, Next.AGAIN, Next.AGAIN, Next.GO_ON, Next.GO_ON])
    asked: list[int] = []
    policy: Any = Adding()
    if kind == "background":
        policy = Background(Adding(), patience=10.0)
    keeper: BeliefKeeper[torch.Tensor] = BeliefKeeper(policy)
    begun: list[float] = []

    def note(episode: int, tick: int, step: Any) -> None:
        if tick == 0:
            begun.append(float(keeper.belief))

    def decide(episode: int, ticks: Any, success: Any) -> Next:
        asked.append(episode)
        return next(answers)

    trial = rollout(world, keeper, task, EPISODES, False, note, decide)
    if kind == "background":
        policy.__exit__()
    assert asked == [0, 1, 1, 1, 2]
    ticks = family.horizon
    second = 100.0 + ticks + 1
    assert begun == [1.0, second, second, second, 200.0 + 2 * ticks + 1]
    assert trial.ticks.reward.shape[0] == EPISODES
    assert trial.ticks.first.sum() == 1


def press_at(
    operator: OperatorConsole, monkeypatch: pytest.MonkeyPatch, key: str, reset: int
) -> None:
    """Press a key once, in the episode that begins with this reset of the arm, counted from 0."""
    plain = Arm.reset
    resets: list[Array] = []

    def counted_reset(self: Arm, task: Any) -> Array:
        at = plain(self, task)
        resets.append(at)
        if len(resets) == reset + 1:
            operator._obey(key, self)  # type: ignore[arg-type]
        return at

    monkeypatch.setattr(Arm, "reset", counted_reset)
    operator.starts = resets  # type: ignore[attr-defined]


def test_r_runs_an_episode_again_from_the_same_start_and_the_record_says_so(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OperatorConsole(guides=True) as operator:
        press_at(operator, monkeypatch, "r", reset=1)
        run_trial(Run.open(trained), config_of(trained, objects=1), trained / "t", 1, operator)
    first = [record for record in read_episodes(trained / "t") if record.policy == "adapted"]
    assert [record.again for record in first] == [0, 1, 0]
    starts = operator.starts  # type: ignore[attr-defined]
    np.testing.assert_array_equal(starts[1], starts[2])
    assert not np.array_equal(starts[2], starts[3])
    assert len(first) == EPISODES
    events = [event.event for event in first[1].events]
    assert events == ["STALE", "STALE"], "those of the run that was forgotten are kept"


def test_n_leaves_an_object_which_then_counts_for_no_policy_and_is_not_tried_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained / "t"
    run = Run.open(trained)
    with OperatorConsole(guides=True) as operator:
        press_at(operator, monkeypatch, "n", reset=4 * EPISODES + EPISODES)  # the second's second
        result = run_trial(run, config_of(trained), folder, 1, operator)
    assert skipped_objects(folder) == [1] == result.skipped
    assert {record.object for record in read_episodes(folder)} == set(range(OBJECTS)) - {1}
    assert result.trials == OBJECTS - 1
    again = run_trial(run, config_of(trained), folder)
    assert without_seconds(again) == without_seconds(result)
    page = write_report(folder, folder / "report.html").read_text()
    assert "Skipped by the operator, and not counted: object 2." in page


def test_where_every_object_was_left_there_is_no_result(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OperatorConsole(guides=True) as operator:
        press_at(operator, monkeypatch, "n", reset=0)
        with pytest.raises(PliantError, match="every object was skipped"):
            run_trial(Run.open(trained), config_of(trained, objects=1), trained / "t", 1, operator)


def test_without_guidance_these_keys_do_nothing() -> None:
    operator = OperatorConsole()
    world: Any = None
    for key in "rn":
        operator._obey(key, world)
    assert not operator.take_again()
    assert not operator.ends_object


# ---- labels ----


def write_photo(path: Path, size: tuple[int, int] = (900, 600)) -> None:
    picture = Image.new("RGB", size, (200, 30, 30))
    exif = Image.Exif()
    exif[0x9C9B] = b"secret place"
    picture.save(path, exif=exif)


def test_labels_of_a_file_reach_the_person_and_the_report(trained: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "mug.jpg")
    file = tmp_path / "labels.toml"
    file.write_text('[[object]]\nname = "<b>mug</b>"\nmass = 0.31\nphoto = "mug.jpg"\n')
    folder = trained / "t"
    run_trial(Run.open(trained), config_of(trained), folder, labels=read_labels(file))
    run_trial(Run.open(trained), config_of(trained), folder)  # keeps them
    label = label_of(kept_labels(folder), 0)
    assert str(label) == "<b>mug</b>, 0.31 kg"
    assert label.photo is not None
    with Image.open(folder / label.photo) as kept:
        assert kept.size == (480, 320)
    assert b"secret" not in (folder / label.photo).read_bytes()
    page = write_report(folder, folder / "report.html").read_text()
    assert "&lt;b&gt;mug&lt;/b&gt;, 0.31 kg" in page
    assert page.count('src="data:image/jpeg;base64,') == 1
    asked: list[str] = []
    family = tiny.TinyObject()
    task = family.sample(np.random.default_rng(0), 2)
    placer = OperatorPlacer(family, asked.append, kept_labels(folder))  # type: ignore[arg-type]
    start = test_trial.SimpleNamespace(object_pos=np.array([[0.5, 0.0, 0.0]]))
    placer.place(task.take([0]), start)  # type: ignore[arg-type]
    placer.place(task.take([1]), start)  # type: ignore[arg-type]
    assert "object 1 (<b>mug</b>, 0.31 kg) at" in asked[0]
    assert "object 2 at" in asked[1]


def test_a_folder_of_photos_names_the_objects_in_order(tmp_path: Path) -> None:
    for name in ("2 box.png", "1 mug.jpg"):
        write_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    names = [label.name for label in read_labels(tmp_path).object]
    assert names == ["1 mug", "2 box"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[object]]\nweight = 2\n", "holds no labels"),
        ("[[object]]\nname = 3\n", "holds no labels"),
        ('[[object]]\nname = "a"\nmass = -1.0\n', "must be above 0 kg"),
        ("[[object]\n", "holds no labels"),
        ('[[object]]\nphoto = "labels.toml"\n', "is no photo"),
        ('[[object]]\nphoto = "/dev/zero"\n', "is a pipe or device"),
    ],
)
def test_labels_that_make_no_sense_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "labels.toml"
    file.write_text(text)
    with pytest.raises(BadArgumentError, match=reason):
        read_labels(file)


def test_a_folder_without_photos_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="holds no photo"):
        read_labels(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "labels.toml")


def test_a_trial_with_workers_names_all_their_recordings(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with OperatorConsole() as operator:
        operator.recordings = {Path("t/recording-0.mcap"), Path("t/recording-1.mcap")}
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == "recordings of all workers: t/recording-0.mcap t/recording-1.mcap"


def test_counts_are_in_words() -> None:
    assert counted(1, "episode") == "1 episode"
    assert counted(0, "episode") == "0 episodes"
    assert counted(12_000, "tick") == "12,000 ticks"
