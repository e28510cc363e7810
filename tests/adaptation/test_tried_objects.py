"""A run on a user's own objects, and a run on the family's that is tried on a user's."""

import json
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import msgspec
import numpy as np
import pytest
from own_objects import write_folder

import pliant
from adaptation import cli
from adaptation.jobs.compare import compare
from adaptation.jobs.fingerprint import fingerprint
from adaptation.jobs.placing import OperatorPlacer, sample_objects
from adaptation.jobs.train import train
from adaptation.jobs.trial_folder import read_episodes
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from robots.errors import BadArgumentError
from sim.object_folder import read_objects
from sim.own_objects import with_objects

SETTINGS: dict[str, Any] = {"schedule.meta_batch": 2, "schedule.random_trials": 0}
SETTINGS |= {"gradient_steps": 1, "hidden": 8}
REAL = "tiny:RemoteDriver"
CONFIG = RunConfig(
    "blind", "slide", iterations=1, evaluations=0, references=False, settings=SETTINGS
)


def train_by_command(folder: Path, out: Path) -> int:
    words = f"train blind --family slide --objects {folder} --no-references"
    words += " --iterations 1 --evaluations 0"
    settings = [word for pair in SETTINGS.items() for word in ("--set", "{}={}".format(*pair))]
    return cli.main([*words.split(), "--out", str(out), *settings])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("own") / "things")


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose folder of objects is gone."""
    place = tmp_path_factory.mktemp("runs")
    folder = write_folder(place / "things")
    assert train_by_command(folder, place / "own") == 0
    rmtree(folder)
    return place / "own"


@pytest.fixture(scope="module")
def usual_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an oracle, each trained for an iteration."""
    place = tmp_path_factory.mktemp("runs")
    run = Run.create(place / "usual", CONFIG)
    reference = Run.create(place / "oracle", msgspec.structs.replace(CONFIG, method="oracle"))
    train(run)
    train(reference)
    copytree(reference.checkpoint_folder("method"), run.path / "oracle")
    return run.path


def test_a_run_has_its_objects_without_their_folder(own_run: Path, folder: Path) -> None:
    run = Run.open(own_run)
    assert run.config.objects == read_objects(folder)
    for family in (run.family, checkpoint.load(own_run / "method").family):
        codes = family.sample(np.random.default_rng(0), 10)["object.shape"]
        assert set(codes) == {0, 1}
        (item,) = family.scene.objects
        assert [choice.name for choice in item.choices] == ["angle", "can", "wedge"]


def test_a_trial_on_the_twin_names_the_objects_and_resumes(
    own_run: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["trial", str(own_run), "--workers", "1", "--episodes", "1", "--out", str(tmp_path)]
    tried = [*words, "--objects", str(folder), "--tasks", "3"]
    assert cli.main(tried) == 0
    assert "the mesh of angle is not convex" in capfd.readouterr().err
    records = [each for each in read_episodes(tmp_path) if each.policy == "adapted"]
    assert sorted(str(record.object_name) for record in records) == ["angle", "can", "wedge"]
    heights = {each.object_name: each.trace.object_pos[-1][2] for each in records}
    for item in read_objects(folder):
        assert heights[item.name] == pytest.approx(item.rest_height, abs=3e-3)
    assert cli.main([*words, "--objects", "3"]) == 2
    assert "other objects of yours" in capfd.readouterr().err
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    for name in ("angle", "can", "wedge"):
        assert f"<b>{name}</b>" in page


def test_a_usual_run_is_evaluated_on_objects_without_its_oracle(
    usual_run: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(usual_run), "--tasks", "3", "--episodes", "1", "--json"]
    assert cli.main([*words, "--objects", str(folder)]) == 0
    out, err = capfd.readouterr()
    assert "the oracle is left out" in err
    answer = json.loads(out.splitlines()[-1])
    assert answer["objects"] == ["angle", "can", "wedge"]
    assert answer["oracle"] is None
    assert answer["tasks"] == 3
    assert set(answer["by_object"]) == {"angle", "can", "wedge"}
    mean = sum(answer["by_object"].values()) / 3
    assert mean == pytest.approx(answer["adapted"]["success"][-1])
    assert "wedge: " in out
    assert (usual_run / "evaluation-objects.json").exists()
    assert not (usual_run / "evaluation.json").exists()


def test_in_python_objects_are_given_by_their_folder_too(
    own_run: Path, folder: Path, tmp_path: Path
) -> None:
    run = pliant.train(
        "blind",
        "slide",
        tmp_path / "run",
        iterations=1,
        settings=SETTINGS,
        references=False,
        own_objects=folder,
    )
    assert run.config.objects == Run.open(own_run).config.objects
    found = pliant.evaluate(run, tasks=3, episodes=1, own_objects=folder)
    assert set(found.by_object) == {"angle", "can", "wedge"}
    tried = tmp_path / "trial"
    pliant.trial(run, objects=3, episodes=1, own_objects=str(folder), out=tried)
    names = {record.object_name for record in read_episodes(tried)}
    assert names == {"angle", "can", "wedge"}
    (folder / "nothing").mkdir()
    with pytest.raises(BadArgumentError, match="nothing"):
        pliant.train("blind", "slide", tmp_path / "other", own_objects=folder / "nothing")
    assert not (tmp_path / "other").exists()


def test_a_method_that_reads_the_task_is_not_tried_on_others(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = msgspec.structs.replace(CONFIG, method="oracle")
    run = Run.create(tmp_path / "run", config)
    assert cli.main(["evaluate", str(run.path), "--objects", str(folder)]) == 2
    assert "oracle reads parameters of the objects that it was trained on" in capfd.readouterr().err


def test_a_run_is_resumed_and_compared_with_its_own_objects_only(
    own_run: Path, usual_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    same = write_folder(tmp_path / "same")
    again = ["train", "--resume", "--out", str(own_run)]
    assert cli.main([*again, "--objects", str(same)]) == 0
    table = same / "objects.toml"
    table.write_text(table.read_text().replace("mass = 0.3", "mass = 0.31"))
    assert cli.main([*again, "--objects", str(same)]) == 2
    assert "was begun with other objects than" in capfd.readouterr().err
    with pytest.raises(BadArgumentError, match="these differ in its objects"):
        compare([Run.open(own_run), Run.open(usual_run)], tasks=2)


def test_the_fingerprint_covers_the_objects(folder: Path) -> None:
    usual = check_config(CONFIG)
    own = msgspec.structs.replace(usual, objects=read_objects(folder))
    item, *others = own.objects
    heavier = msgspec.structs.replace(item, mass=(0.25, 0.4))
    changed = msgspec.structs.replace(own, objects=(heavier, *others))
    found = [fingerprint(config).config for config in (usual, own, changed)]
    assert len(set(found)) == 3


def test_a_run_without_objects_has_the_fingerprint_that_it_had_before_there_were_any() -> None:
    config = RunConfig("rl2", "slide", iterations=1, evaluations=0, references=False)
    assert fingerprint(check_config(config)).config == BEFORE


BEFORE = "f95cca3a12"  # of a method whose settings have not changed since


def test_a_person_is_told_which_object_to_put_down(folder: Path) -> None:
    family = with_objects(checkpoint.family_named("slide"), read_objects(folder))
    task = sample_objects(family, REAL, seed=0, count=3)
    assert np.isnan(task["object.mass"]).all()
    asked: list[str] = []
    start = family.start(np.random.default_rng(0), task.take([1]))
    OperatorPlacer(family, asked.append).place(task.take([1]), start)
    (text,) = asked
    assert text.startswith("Put object 2 (wedge) at x = ")
    usual = checkpoint.family_named("slide")
    assert np.isnan(sample_objects(usual, REAL, 0, 2)["object.shape"]).all()


def test_a_folder_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = write_folder(tmp_path / "broken")
    table = broken / "objects.toml"
    table.write_text(table.read_text().replace("mass = 0.3\n", ""))
    assert train_by_command(broken, tmp_path / "run") == 2
    assert "can: Object missing required field `mass`" in capfd.readouterr().err
    words = f"train blind --family reach --objects {folder} --out {tmp_path / 'run'}"
    assert cli.main(words.split()) == 2
    assert "reach takes no objects of yours" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
