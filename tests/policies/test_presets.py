"""Every preset file names settings, methods and families that exist, with values in range."""

import tomllib
from importlib.resources import files

import pytest

from adaptation.runs.checkpoint import problem_of
from policies.methods import METHODS
from policies.presets import BUDGETS, INHERIT, load_preset
from policies.settings import configure, list_settings
from robots.errors import BadArgumentError
from sim.families import FAMILIES

FILES = [file for file in files("policies.presets").iterdir() if file.name.endswith(".toml")]
PRESETS = sorted(file.name.removesuffix(".toml") for file in FILES)


def test_there_are_presets() -> None:
    assert len(PRESETS) >= 6


@pytest.mark.parametrize("family", PRESETS)
def test_a_preset_file_converts(family: str) -> None:
    assert family in FAMILIES
    tables = tomllib.loads(files("policies.presets").joinpath(f"{family}.toml").read_text())
    parent = tables.pop(INHERIT, family)
    assert parent in PRESETS
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
    problem = problem_of(FAMILIES[family]())
    for method in METHODS:
        preset = load_preset(method, family)
        if preset is not None:
            settings = list_settings(METHODS[method].Config, problem, preset, {})
            assert [s.name for s in settings if s.source == "derived"] == [], method


def test_what_a_family_inherits_it_may_replace() -> None:
    point = load_preset("context_mpc", "point")
    reach = load_preset("context_mpc", "reach")
    assert point is not None
    assert reach is not None
    assert reach["planner"] == point["planner"]
    assert reach["schedule"] == {**point["schedule"], "iterations": 30}
    assert load_preset("pearl", "reach_viperx") == load_preset("pearl", "reach")


def test_a_table_may_start_from_another_methods() -> None:
    blind = load_preset("blind", "slide")
    pearl = load_preset("pearl", "slide")
    assert pearl is not None
    assert pearl["sac"] == blind == load_preset("oracle", "slide")


def test_a_pair_without_a_table_has_no_preset() -> None:
    assert load_preset("rl2", "slide") is None
    assert load_preset("pearl", "no_such_family") is None
    assert load_preset("pearl", "slide", "paper") is None


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="no preset named 'gpu'; there are: cpu, paper"):
        load_preset("pearl", "slide", "gpu")
