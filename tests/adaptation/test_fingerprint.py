"""A result is kept until something that it depends on changes, and no longer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny

from adaptation.jobs import fingerprint as job
from adaptation.jobs.fingerprint import fingerprint, reachable_sources, source_hash
from adaptation.runs import checkpoint
from adaptation.runs.run_config import RunConfig, check_config
from adaptation.runs.versions import ROOT

POINT = RunConfig("blind", "point", steps=1000, references=False)


def changed(config: RunConfig = POINT, **changes: Any) -> set[str]:
    """The parts of the fingerprint that differ from those of ``POINT``."""
    before = fingerprint(check_config(POINT))
    after = fingerprint(check_config(msgspec.structs.replace(config, **changes)))
    names = job.Fingerprint.__struct_fields__
    return {name for name in names if getattr(before, name) != getattr(after, name)}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"steps": 2000},
        {"gradient_steps": 5},
        {"collectors": 2},
        {"settings": {"gradient_steps": 9}},
    ],
    ids=str,
)
def test_it_changes_with_the_config(changes: dict[str, Any]) -> None:
    assert changed(**changes) == {"config"}


def test_it_changes_with_a_preset_and_not_with_the_way_to_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = checkpoint.load_preset("blind", "point")
    assert preset is not None
    gamma = preset["gamma"]
    assert changed(settings={"gamma": gamma}) == set()
    assert changed(save_seconds=1.0, references=True) == set()
    monkeypatch.setattr(checkpoint, "load_preset", lambda *_: {**preset, "gamma": gamma / 2})
    config = fingerprint(check_config(POINT)).config
    monkeypatch.undo()
    assert config != fingerprint(check_config(POINT)).config


@pytest.mark.usefixtures("registered")
def test_it_changes_with_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    config = check_config(RunConfig("counter", "tiny"))
    before = fingerprint(config)
    monkeypatch.setattr(tiny.Tiny, "horizon", 6)
    after = fingerprint(config)
    assert (before.config, before.code) == (after.config, after.code)
    assert before.family != after.family
    assert before.digest != after.digest


def test_a_method_is_trained_again_when_its_own_code_changes_and_no_other() -> None:
    assert changed(method="oracle") == {"config", "code"}


def test_versions_count_and_a_package_that_is_missing_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fingerprint(check_config(POINT))
    versions: Callable[[str], str | None] = {"torch": "1.0", "numpy": "1.0"}.get
    monkeypatch.setattr(job, "installed_version", versions)
    after = fingerprint(check_config(POINT))
    assert {"torch", "numpy"} <= set(after.versions) <= {"torch", "numpy", "C functions"}
    assert before.digest != after.digest


def test_sources_in_c_count_and_whether_they_were_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    data = job._data_files(ROOT)
    assert set((ROOT / "policies" / "nn").glob("*.c")) <= set(data)
    monkeypatch.setattr(job, "mlp_library", object)
    monkeypatch.setattr(job, "rollout_library", object)
    before = fingerprint(check_config(POINT))
    monkeypatch.setattr(job, "rollout_library", type(None))
    after = fingerprint(check_config(POINT))
    assert before.versions["C functions"] == "compiled"
    assert after.versions["C functions"] == "not compiled"
    assert before.digest != after.digest


def test_the_code_that_judges_a_cell_counts() -> None:
    names = {path.stem for path in reachable_sources([job.CELLS], ROOT)}
    assert {"cells", "train", "trainer", "evaluate"} <= names


SOURCES = {
    "adaptation/jobs/train.py": "from policies import shared\n",
    "adaptation/reporting/page.py": "COLOR = 'red'\n",
    "policies/shared.py": "from policies.methods import METHODS\nimport sim.world\n",
    "policies/methods/__init__.py": "METHODS = ['mine', 'other']\n",
    "policies/methods/mine.py": "import policies.shared\nimport adaptation.reporting.page\n",
    "policies/methods/other.py": "NUMBER = 1\n",
    "sim/world.py": "def step():\n    return 1  # one\n",
    "docs/example.py": "import sim.world\n",
}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A small copy of the packages."""
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_code_that_counts_is_what_method_and_trainer_import(code: Path) -> None:
    sources = reachable_sources(["adaptation.jobs.train", "policies.methods.mine"], code)
    names = [path.relative_to(code).as_posix() for path in sources]
    assert names == [
        "adaptation/jobs/train.py",
        "policies/methods/mine.py",
        "policies/shared.py",
        "sim/world.py",
    ]


def test_comments_docstrings_and_layout_do_not_count(code: Path) -> None:
    source = code / "sim/world.py"
    before = source_hash(source)
    for text, is_same in (
        ("def step():\n\n    # a comment\n    return 1\n", True),
        ('"""A world."""\ndef step():\n    """A step."""\n    return 1\n', True),
        ("def step():\n    return '1'\n", False),
        ("def step():\n    return 2  # one\n", False),
    ):
        source.write_text(text)
        job.source_hash.cache_clear()
        job._tree.cache_clear()
        assert (source_hash(source) == before) is is_same
