"""``import pliant``: what it offers, that its examples run, and that the README's code does."""

import doctest
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import pliant
from robots.errors import BadArgumentError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run that the examples share: the one that the example of train makes."""
    path = tmp_path_factory.mktemp("face")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        run_examples(pliant, "train")
    return path


def run_examples(module: object, name: str) -> None:
    """Run the examples in the docstring of one part of a module."""
    found = doctest.DocTestFinder(recurse=False).find(getattr(module, name), name)
    examples = [test for test in found if test.examples]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner()
    for test in examples:
        assert runner.run(test).failed == 0, name


@pytest.fixture
def policy(folder: Path) -> pliant.Policy:
    return pliant.load(folder / "runs/point")


@pytest.mark.parametrize(
    "name",
    [
        "Policy",
        "compare",
        "evaluate",
        "load",
        "make",
        "rollout",
        "transition",
        pytest.param("trial", marks=pytest.mark.slow),
    ],
)
def test_the_example_of_every_function_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run_examples(pliant, name)


def test_everything_that_is_offered_exists_and_is_documented() -> None:
    for name in pliant.__all__:
        assert getattr(pliant, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Polcy'"):
        pliant.Polcy  # noqa: B018


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pliant.__version__ == project["version"]
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_import_brings_no_heavy_package() -> None:
    heavy = "{'torch', 'mujoco', 'pybullet', 'numpy', 'matplotlib'}"
    program = f"import sys; import pliant; print(*({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).with_name("py.typed").is_file()


def test_numpy_is_answered_with_numpy_and_torch_with_torch(policy: pliant.Policy) -> None:
    belief = policy.prior(3)
    obs = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    action = policy.act(obs, belief)
    same = policy.act(torch.tensor(obs), belief)
    assert isinstance(action, np.ndarray)
    assert isinstance(same, torch.Tensor)
    assert action.shape == (3, 2)
    assert (np.abs(action) <= 1).all()
    np.testing.assert_array_equal(action, same.double().numpy())
    assert not same.requires_grad


@pytest.mark.parametrize("explore", [False, True])
def test_a_policy_by_hand_does_what_the_rollout_does(
    policy: pliant.Policy, folder: Path, explore: bool
) -> None:
    task = policy.family.sample(np.random.default_rng(1), 4)
    expected = pliant.rollout(pliant.make("point", 4, seed=2), policy, task, 2, explore)

    policy = pliant.load(folder / "runs/point")
    world = pliant.make("point", 4, seed=2)
    belief = policy.prior(4)
    rewards = []
    for episode in range(2):
        obs = world.reset(task)
        ticks = []
        for tick in range(world.family.horizon):
            action = policy.act(obs, belief, explore)
            step = world.step(action)
            ticks.append(pliant.transition(obs, action, step, episode, tick))
            belief = policy.observe(belief, ticks[-1])
            obs = step.obs
        belief = policy.adapt(belief, ticks)
        rewards.append(torch.stack([tick.reward for tick in ticks]))
    torch.testing.assert_close(torch.stack(rewards), expected.ticks.reward, rtol=0, atol=0)


def test_a_transition_tells_where_its_episode_and_its_task_begin_and_which_worlds_act() -> None:
    world = pliant.make("point", 2)
    obs = world.reset(world.family.sample(world.rng, 2))
    action = np.zeros((2, 2))
    step = world.step(action)
    expected = {
        (0, 0): (True, True),
        (0, 1): (False, False),
        (1, 0): (False, True),
    }
    for (episode, tick), (first, begins) in expected.items():
        made = pliant.transition(obs, action, step, episode, tick)
        assert made.first.tolist() == [first] * 2
        assert made.begins.tolist() == [begins] * 2
        assert made.valid.all()
    made = pliant.transition(obs, action, step, 0, 0, valid=np.array([True, False]))
    assert made.valid.tolist() == [True, False]


def test_a_rollout_explores_in_all_but_the_last_episode(folder: Path) -> None:
    returns = []
    for explore in (None, [True, True, False]):
        policy = pliant.load(folder / "runs/point")
        task = policy.family.sample(np.random.default_rng(1), 4)
        trial = pliant.rollout(pliant.make("point", 4), policy, task, explore=explore)
        returns.append(trial.returns)
    torch.testing.assert_close(*returns, rtol=0, atol=0)


def test_an_oracle_must_be_shown_the_task(tmp_path: Path) -> None:
    settings = {"schedule.meta_batch": 2, "schedule.random_trials": 1, "gradient_steps": 1}
    folder = tmp_path / "run"
    run = pliant.train("oracle", "point", folder, iterations=1, settings=settings, references=False)
    oracle = pliant.load(run)
    with pytest.raises(BadArgumentError, match="pass it as task="):
        oracle.prior(2)
    task = oracle.family.sample(np.random.default_rng(0), 2)
    obs = np.zeros((2, 2))
    assert oracle.act(obs, oracle.prior(2, task)).shape == (2, 2)
    assert pliant.rollout(pliant.make("point", 2), oracle, task, 1).returns.shape == (1, 2)


def test_what_is_impossible_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(pliant.PliantError, match=r"no family named 'pint'; there are: .*point"):
        pliant.make("pint")
    with pytest.raises(pliant.PliantError, match="no method named 'perl'"):
        pliant.train("perl", "point", tmp_path / "run")
    with pytest.raises(pliant.PliantError, match=r"sac\.lr"):
        pliant.train("pearl", "point", tmp_path / "run", settings={"sac.lr": -1})
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileExistsError, match="holds a run already"):
        pliant.train("pearl", "point", folder / "runs/point")
    with pytest.raises(FileNotFoundError, match="no run folder"):
        pliant.load(tmp_path)


def readme_code() -> list[str]:
    """The Python snippets of the README."""
    blocks = README.split("```python\n")[1:]
    return [block.split("```")[0] for block in blocks]


@pytest.mark.parametrize("number", range(len(readme_code())))
def test_the_code_in_the_readme_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(readme_code()[number], encoding="utf-8")
    command = [sys.executable, str(script)]
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_only_files_that_exist() -> None:
    links = [part.split(")")[0] for part in README.split("](")[1:]]
    assert len(links) > 10
    for link in links:
        path = link.split("#")[0]
        assert not path or (ROOT / path).exists(), link
