"""A run keeps the arm that its family was given: later commands need not name it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pliant
from adaptation.jobs.cells import suite_cells
from adaptation.jobs.fingerprint import family_hash, fingerprint
from adaptation.jobs.play import play
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from adaptation.suites import FamilyTable, Suite, Training
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError, RefusedError
from sim.families.reach import Reach

SMALL = {"schedule.meta_batch": 2, "gradient_steps": 1, "hidden": [8]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    bounds: dict[str, Any] = {"iterations": 1, "references": False}
    return pliant.train("blind", "reach", out, arm="viperx", settings=SMALL, **bounds)


def test_the_run_and_its_contract_keep_the_arm(run: Run) -> None:
    again = Run.open(run.path)
    assert again.config.arm == "viperx"
    assert again.family.body.name == "viperx"
    assert again.family is checkpoint.family_named("reach", "viperx")
    contract = again.load("method").contract
    assert (contract.family, contract.family_arm, contract.arm) == ("reach", "viperx", "viperx")
    assert len(contract.joints) == 6


def test_a_family_is_made_once() -> None:
    own = checkpoint.family_named("reach")
    assert Run(Path("nowhere"), RunConfig("blind", "reach")).family is own


def test_what_follows_a_training_needs_no_arm(run: Run, tmp_path: Path) -> None:
    assert len(pliant.evaluate(run.path, tasks=2).adapted.success) == 3
    play(Run.open(run.path), tmp_path / "play.png", seed=0)
    assert (tmp_path / "play.png").exists()
    result = pliant.trial(run.path, objects=1, episodes=1, out=tmp_path / "trial")
    assert result.arm == "viperx"
    assert pliant.load(run.path).family.body.name == "viperx"


def test_it_drives_no_other_arm_and_is_no_run_of_the_familys_own_arm(run: Run) -> None:
    with pytest.raises(RefusedError, match="trained for 'viperx', asked to drive 'panda'"):
        Run.open(run.path).load("method", arm="panda")
    folder = run.checkpoint_folder("method")
    with pytest.raises(RefusedError, match="trained for 'reach-viperx', asked for 'reach'"):
        checkpoint.load(folder, family="reach")
    checkpoint.load(folder, family="reach", family_arm="viperx")


def test_runs_with_different_arms_are_not_compared(run: Run, tmp_path: Path) -> None:
    other = Run.create(tmp_path / "run", RunConfig("blind", "reach"))
    with pytest.raises(BadArgumentError, match="these are of: reach, reach-viperx"):
        pliant.compare([run, other])


def test_an_impossible_arm_leaves_no_run(tmp_path: Path) -> None:
    for family, arm in (("slide", "viperx"), ("point", "panda"), ("reach", "hand")):
        with pytest.raises(BadArgumentError, match="arm"):
            Run.create(tmp_path / "run", RunConfig("blind", family, arm))
    assert not (tmp_path / "run").exists()


def test_a_suite_names_the_arm_of_a_family() -> None:
    table = FamilyTable({"blind": Training()}, arm="viperx")
    (cell,) = suite_cells(Suite({"reach": table}))
    assert cell.training.arm == "viperx"
    assert cell.name == "blind-reach-viperx-0"


def test_a_result_depends_on_the_arm_and_its_numbers() -> None:
    hashes = {}
    for arm in (None, "panda", "viperx"):
        hashes[arm] = fingerprint(check_config(RunConfig("blind", "reach", arm))).family
    assert hashes[None] == hashes["panda"] != hashes["viperx"]
    softer = replace(PANDA, stiffness=PANDA.stiffness / 2)
    assert family_hash(Reach(PANDA)) == hashes[None] != family_hash(Reach(softer))
