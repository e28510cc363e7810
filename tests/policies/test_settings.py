"""Settings: the order of their sources, what is refused, and what is known of each."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest

from policies.config import MethodConfig
from policies.fields import declared_fields
from policies.method import CollectionSchedule, Problem
from policies.methods import METHODS
from policies.methods.blind import Blind
from policies.methods.context_mpc import ContextMpcConfig
from policies.methods.grbal import GrbalConfig
from policies.methods.pearl import PearlConfig
from policies.presets import load_preset
from policies.ranges import Count, Positive
from policies.rl.ppo import PpoConfig
from policies.rl.sac import SacConfig
from policies.settings import configure, estimate, list_settings
from robots.errors import BadArgumentError

LEARN_NOTHING = {"sysid_mpc"}  # whose training is as short as it can be
ON_POLICY = (
    "rl2",
    "rl2_transformer",
    "snail",
    "varibad",
    "viable",
    "maml",
    "fomaml",
    "promp",
    "emaml",
    "maesn",
    "hierarchical",
)
PROBLEM = Problem(
    family="line",
    obs_names=("x", "v"),
    obs_low=(-1.0, -1.0),
    obs_high=(1.0, 1.0),
    action_names=("u",),
    horizon=100,
    episodes=2,
    task_names=("mass",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=None,
)


@dataclass(frozen=True)
class Inner:
    speed: Positive = 1.0  # [rad/s] largest speed
    # Numbers of this and that,
    # over two lines.
    sizes: tuple[Count, ...] = (2, 3)


@dataclass(frozen=True)
class Outer(MethodConfig):
    inner: Inner = field(default_factory=Inner)
    gain: Positive = 0.5  # how hard it pulls
    steps: Count = 1
    schedule: CollectionSchedule = CollectionSchedule(meta_batch=2, episodes_per_trial=1)

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        return cls(gain=3.0, steps=problem.horizon)


# ---- sources ----


def test_the_later_source_wins() -> None:
    preset = {"steps": 7, "inner": {"speed": 2.0}}
    config = configure(Outer, PROBLEM, preset, {"inner.speed": 4.0})
    assert config == Outer(inner=Inner(speed=4.0), gain=3.0, steps=7)
    sources = {s.name: s.source for s in list_settings(Outer, PROBLEM, preset, {"inner.speed": 4})}
    assert sources["inner.sizes"] == "default"
    assert sources["gain"] == "derived"
    assert sources["steps"] == "preset"
    assert sources["inner.speed"] == "set"


def test_without_preset_and_changes_it_is_the_derived_config() -> None:
    assert configure(SacConfig, PROBLEM, None, {}) == SacConfig.for_problem(PROBLEM)


def test_an_optional_config_is_switched_on_by_its_settings_and_off_by_none() -> None:
    kind = ContextMpcConfig
    problem = replace(PROBLEM, horizon=20)  # a plan sees the end of the episode: it is off
    derived = SacConfig.for_problem(problem)
    on = configure(kind, problem, None, {"terminal_value.lr": 0.01})
    assert on.terminal_value == replace(derived, lr=0.01)
    preset = {"terminal_value": {"gamma": 0.5}}
    assert configure(kind, problem, preset, {}).terminal_value == replace(derived, gamma=0.5)
    assert configure(kind, problem, preset, {"terminal_value": "none"}).terminal_value is None
    assert configure(kind, problem, preset, {"terminal_value": None}).terminal_value is None
    names = [s.name for s in list_settings(kind, problem, preset, {})]
    assert "terminal_value" not in names
    assert "terminal_value.gamma" in names
    assert "terminal_value" in [s.name for s in list_settings(kind, problem, None, {})]


@pytest.mark.parametrize("kind", [ContextMpcConfig, GrbalConfig])
def test_a_planner_has_a_terminal_value_where_its_plans_end_before_the_episode(kind: Any) -> None:
    for horizon in (1, 20, 21, 200):
        config = kind.for_problem(replace(PROBLEM, horizon=horizon))
        sees_the_end = config.planner.horizon >= horizon
        assert (config.terminal_value is None) == sees_the_end
        if config.terminal_value is not None:
            assert 0 < config.gradient_steps < config.terminal_value.gradient_steps


# ---- values ----


def test_settings_of_an_optional_config_that_is_switched_off_are_not_listed() -> None:
    preset = {"terminal_value": {"lr": 0.01}}
    on = list_settings(ContextMpcConfig, PROBLEM, preset, {})
    off = list_settings(ContextMpcConfig, PROBLEM, preset, {"terminal_value": None})
    assert "terminal_value.lr" in [setting.name for setting in on]
    names = [setting.name for setting in off if setting.name.startswith("terminal_value")]
    assert names == ["terminal_value"]


@pytest.mark.parametrize("value", ["64,32", "64, 32", [64, 32], (64, 32)])
def test_a_list_may_be_a_text_of_numbers(value: Any) -> None:
    config = configure(PearlConfig, PROBLEM, None, {"sac.hidden": value})
    assert config.sac.hidden == (64, 32)


def test_a_single_number_is_a_list_of_one() -> None:
    for value in (64, "64"):
        assert configure(SacConfig, PROBLEM, None, {"hidden": value}).hidden == (64,)


def test_a_text_is_read_as_the_type_of_the_setting() -> None:
    config = configure(SacConfig, PROBLEM, None, {"lr": "1e-2", "meta_batch": "3"})
    assert (config.lr, config.meta_batch) == (0.01, 3)


def test_an_unknown_setting_is_refused_with_all_there_are() -> None:
    for name in ("speed", "inner.mass", "gain.x", "inner"):
        with pytest.raises(BadArgumentError) as caught:
            configure(Outer, PROBLEM, None, {name: 1})
        assert f"no setting {name!r}" in str(caught.value)
        assert all(known in str(caught.value) for known in declared_fields(Outer))
    with pytest.raises(BadArgumentError, match=r"no setting 'inner\.mass'"):
        configure(Outer, PROBLEM, {"inner": {"mass": 1}}, {})


@pytest.mark.parametrize(
    ("kind", "name", "similar"),
    [
        (PearlConfig, "schedule.meta_batch", "sac.schedule.meta_batch"),
        (PearlConfig, "lr", "sac.lr"),
        (PearlConfig, "meta_batch", "sac.meta_batch or sac.schedule.meta_batch"),
        (PpoConfig, "ppo.epochs", "epochs"),
    ],
)
def test_an_unknown_setting_is_answered_with_those_that_end_the_same_way(
    kind: Any, name: str, similar: str
) -> None:
    with pytest.raises(BadArgumentError) as caught:
        configure(kind, PROBLEM, None, {name: 1})
    assert f"no setting {name!r} (did you mean {similar}?); there are: " in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PearlConfig, "sac.gamma", 0.0),
        (PearlConfig, "sac.tau", 1.0),
        (PearlConfig, "sac.meta_batch", 1),
        (PearlConfig, "sac.schedule.random_trials", 0),
        (PearlConfig, "kl_weight", 0.0),
        (PearlConfig, "context_window", 1),
        (PpoConfig, "gae_lambda", 0.0),
        (PpoConfig, "gae_lambda", 1.0),
    ],
)
def test_a_value_at_the_end_of_its_range_is_allowed(kind: Any, name: str, value: Any) -> None:
    (setting,) = [s for s in list_settings(kind, PROBLEM, None, {name: value}) if s.name == name]
    assert setting.value == value
    assert setting.source == "set"


@pytest.mark.parametrize(
    ("kind", "name", "value", "allowed"),
    [
        (PearlConfig, "sac.lr", -1, "a number above 0"),
        (PearlConfig, "sac.lr", "fast", "a number above 0"),
        (PearlConfig, "sac.lr", float("nan"), "a number above 0"),
        (PearlConfig, "sac.lr", float("inf"), "a number above 0"),
        (PearlConfig, "sac.gamma", 1.0, "a number of at least 0 and below 1"),
        (PearlConfig, "sac.lr", 0.0, "a number above 0"),
        (PearlConfig, "sac.tau", 0.0, "a number above 0 and of at most 1"),
        (PearlConfig, "sac.schedule.random_trials", -1, "a whole number of at least 0"),
        (PearlConfig, "kl_weight", -0.1, "a number of at least 0"),
        (PpoConfig, "gae_lambda", 1.1, "a number of at least 0 and of at most 1"),
        (PpoConfig, "gae_lambda", -0.1, "a number of at least 0 and of at most 1"),
        (PearlConfig, "sac.tau", 1.5, "a number above 0 and of at most 1"),
        (PearlConfig, "sac.hidden", "64,0", "values like 64,64, each a whole number of at least 1"),
        (PearlConfig, "sac.meta_batch", 2.5, "a whole number of at least 1"),
        (PearlConfig, "sac.schedule.iterations", 0, "a whole number of at least 1"),
        (PearlConfig, "context_window", 0, "a whole number of at least 1 and"),
        (ContextMpcConfig, "terminal_value", 3, "none, or set terminal_value.NAME"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    kind: Any, name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(BadArgumentError) as caught:
        configure(kind, PROBLEM, None, {name: value})
    assert f"{name}={value!r}" in str(caught.value)
    assert allowed in str(caught.value)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(BadArgumentError, match="num_elites < num_samples"):
        configure(ContextMpcConfig, PROBLEM, None, {"planner.num_elites": 100})


# ---- what is known of a setting ----


def test_unit_and_meaning_are_the_comment_on_the_line_or_above_it() -> None:
    settings = {s.name: s for s in list_settings(Outer, PROBLEM, None, {})}
    assert settings["inner.speed"].unit == "rad/s"
    assert settings["inner.speed"].meaning == "largest speed"
    assert settings["inner.sizes"].meaning == "Numbers of this and that, over two lines."
    assert (settings["gain"].unit, settings["gain"].meaning) == ("", "how hard it pulls")
    assert settings["steps"].meaning == ""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_setting_of_every_method_has_a_meaning(method: str) -> None:
    kind = METHODS[method].Config
    names = list(declared_fields(kind))
    optional = {"terminal_value.lr": 1e-3} if "terminal_value" in names else {}
    settings = list_settings(kind, PROBLEM, None, optional)
    assert settings
    assert [s.name for s in settings if not s.meaning] == []


@pytest.mark.parametrize("method", sorted(set(METHODS) - LEARN_NOTHING))
@pytest.mark.parametrize(("horizon", "episodes"), [(1, 1), (5, 3), (20, 3), (200, 2), (1000, 2)])
def test_derived_numbers_fit_the_problem(method: str, horizon: int, episodes: int) -> None:
    kind = METHODS[method].Config
    problem = replace(PROBLEM, horizon=horizon, episodes=episodes)
    config = kind.for_problem(problem)
    schedule = config.schedule
    trial_steps = schedule.meta_batch * schedule.episodes_per_trial * horizon
    assert 2_500 <= trial_steps <= 13_000
    environment_steps, gradient_steps = estimate(config, problem)
    total = 3_000_000 if method in ON_POLICY else 500_000
    assert environment_steps == pytest.approx(total, rel=0.02)
    assert gradient_steps == schedule.iterations * config.optimizer_steps
    assert configure(kind, problem, None, {}) == config


def test_an_estimate_counts_the_random_trials() -> None:
    schedule = CollectionSchedule(2, episodes_per_trial=3, random_trials=4, iterations=6)
    config = SacConfig(schedule=schedule, gradient_steps=5)
    assert estimate(config, PROBLEM) == (10 * 2 * 3 * PROBLEM.horizon, 30)


def test_a_preset_of_a_family_configures_its_method() -> None:
    config = configure(Blind.Config, PROBLEM, load_preset("blind", "reach"), {"tau": 0.5})
    assert (config.gamma, config.reward_scale, config.tau) == (0.5, 5.0, 0.5)
