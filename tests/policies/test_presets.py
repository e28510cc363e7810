"""Every preset file names settings, methods and families that exist, with values in range."""

import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from importlib.resources import files
from pathlib import Path

import pytest

from adaptation.problem import problem_of
from policies import presets
from policies.methods import METHODS
from policies.presets import BUDGETS, INHERIT, load_preset, resolve_preset
from policies.settings import configure, estimate, list_settings
from robots.errors import BadArgumentError
from sim.families import FAMILIES

# One of the families that share the file of what stands before the slash in their names
SHARED = {"metaworld": "metaworld/ML1-reach"}
FILES = [file for file in files("policies.presets").iterdir() if file.name.endswith(".toml")]
PRESETS = sorted(file.name.removesuffix(".toml") for file in FILES)


def test_there_are_presets() -> None:
    assert len(PRESETS) >= 6


@pytest.mark.parametrize("family", PRESETS)
def test_a_preset_file_converts(family: str) -> None:
    tables = tomllib.loads(files("policies.presets").joinpath(f"{family}.toml").read_text())
    parent = tables.pop(INHERIT, family)
    assert parent in PRESETS
    family = SHARED.get(family, family)
    assert family in FAMILIES
    problem = problem_of(FAMILIES[family]())
    for method in METHODS:
        for budget in BUDGETS:
            preset = load_preset(method, family, budget)
            if preset is not None:
                configure(METHODS[method].Config, problem, preset, {})
    assert set(tables) <= set(METHODS)
    for budgets in tables.values():
        assert set(budgets) <= set(BUDGETS)


@pytest.mark.parametrize("family", PRESETS)
def test_a_preset_leaves_nothing_to_derive(family: str) -> None:
    """A tuned method does not change when a rule of derivation does."""
    family = SHARED.get(family, family)
    problem = problem_of(FAMILIES[family]())
    for method in METHODS:
        preset = load_preset(method, family)
        if preset is not None:
            settings = list_settings(METHODS[method].Config, problem, preset, {})
            assert [s.name for s in settings if s.source == "derived"] == [], method


@pytest.mark.parametrize(
    ("method", "family", "steps", "gradient_steps"),
    [
        ("pearl", "cheetah_vel", 2_700_000, 1_000_000),
        ("pearl", "ant_goal", 2_700_000, 2_000_000),
        ("rl2", "cheetah_vel", 100_000_000, 8 * 7_812),
        ("varibad", "cheetah_vel", 100_000_000, (2 * 8 + 10) * 7_812),
    ],
)
def test_the_paper_s_budget_is_the_published_one(
    method: str, family: str, steps: int, gradient_steps: int
) -> None:
    problem = problem_of(FAMILIES[family]())
    preset = load_preset(method, family, "paper")
    config = configure(METHODS[method].Config, problem, preset, {})
    found_steps, found_gradient_steps = estimate(config, problem)
    assert found_steps == pytest.approx(steps, rel=0.001)
    assert found_gradient_steps == gradient_steps


def test_what_a_family_inherits_it_may_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = tmp_path / "parent.toml"
    parent.write_text("[maml.cpu]\ngamma = 0.9\nlr = 0.1\n[rl2.cpu]\nlr = 0.2\n")
    child = tmp_path / "child.toml"
    child.write_text('inherit = "parent"\n[maml.cpu]\nlr = 0.3\n')

    def find_file(family: str) -> Path:
        return tmp_path / f"{family}.toml"

    monkeypatch.setattr(presets, "_find_file", find_file)
    assert load_preset("maml", "child") == {"gamma": 0.9, "lr": 0.3}
    assert load_preset("rl2", "child") == {"lr": 0.2}


def test_a_table_may_start_from_another_methods() -> None:
    blind = load_preset("blind", "slide")
    pearl = load_preset("pearl", "slide")
    assert blind is not None
    assert pearl is not None
    assert blind == load_preset("oracle", "slide")
    assert pearl["sac"] == {**blind, "meta_batch": 256}


def test_a_pair_without_a_table_has_no_preset() -> None:
    assert load_preset("rl2", "slide") is None
    assert load_preset("pearl", "no_such_family") is None
    assert load_preset("pearl", "slide", "paper") is None


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="no preset named 'gpu'; there are: cpu, paper"):
        load_preset("pearl", "slide", "gpu")


def test_a_file_of_ones_own_changes_the_budget_and_is_changed_itself(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[pearl.cpu]\nlatent_dim = 7\nsac = { lr = 0.002 }\n")
    budget, changes = resolve_preset("pearl", str(file), {"sac.lr": 0.003})
    assert budget == "cpu"
    problem = problem_of(FAMILIES["slide"]())
    preset = load_preset("pearl", "slide", budget)
    config = configure(METHODS["pearl"].Config, problem, preset, changes)
    assert config.latent_dim == 7
    assert config.sac.lr == 0.003
    assert resolve_preset("pearl", "paper", {}) == ("paper", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no preset file"),
        ("[rl2.cpu]\nlr = 0.1\n", r"has no table \[pearl.cpu\]; it has: \[rl2.cpu\]"),
        ('inherit = "mars"\n', "inherits from 'mars', which has no presets"),
        ("[pearl\n", "preset file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "own.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadArgumentError, match=message):
        resolve_preset("pearl", str(file), {})


def test_a_package_brings_its_presets_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "preset_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "lab_slide.toml").write_text('inherit = "slide"\n[pearl.cpu]\nlatent_dim = 9\n')
    monkeypatch.syspath_prepend(tmp_path)
    points = EntryPoints([EntryPoint("lab_slide", "preset_lab", "pliant.presets")])

    def found(**selection: str) -> EntryPoints:
        return points.select(**selection)

    monkeypatch.setattr(presets, "entry_points", found)
    preset = load_preset("pearl", "lab_slide")
    slide = load_preset("pearl", "slide")
    assert preset is not None
    assert slide is not None
    assert preset == {**slide, "latent_dim": 9}


def test_a_copy_of_a_familys_file_is_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "copy.toml"
    file.write_text(files("policies.presets").joinpath("cheetah_inverted.toml").read_text())
    _, changes = resolve_preset("pearl", str(file), {})
    assert changes == load_preset("pearl", "cheetah_inverted")


def test_the_methods_of_carry_are_compared_after_the_same_budget() -> None:
    family = FAMILIES["carry"]()
    problem = problem_of(family)
    budgets = set()
    for method in ("blind", "oracle", "pearl", "context_mpc"):
        preset = load_preset(method, "carry", "cpu")
        config = configure(METHODS[method].Config, problem, preset, {})
        schedule = config.schedule
        budgets.add((schedule.iterations, schedule.meta_batch, schedule.episodes_per_trial))
    assert len(budgets) == 1
