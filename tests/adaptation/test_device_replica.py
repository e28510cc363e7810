"""Updates on another device give the same numbers, and no tensor of one device meets the other's.

Where there is no GPU, a device that is computed on the CPU stands in for it: see ``faraway``.
"""

from collections.abc import Iterator
from typing import Any

import faraway
import numpy as np
import pytest
import tiny
import torch

from adaptation import background, device_replica
from adaptation.background import Background
from adaptation.device_replica import DeviceReplica, make_updater
from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.belief import named_tensors
from policies.fields import declared_fields
from policies.method import Problem, Transition
from policies.methods import METHODS
from policies.nn import state
from sim.vec_world import VecWorld

REPLICATED = [name for name in METHODS if issubclass(METHODS[name], state.SavedState)]

# Drawn at an episode's end from a random stream that the replica has for itself.
DRAWN = ("exploration_noise", "noise", "z")
# Methods whose updates draw numbers: they agree only where both draw the same ones.
UPDATE_BY_DRAWS = ("finetune", "mql", "sysid_mpc")
# Settings of methods that would take long.
SMALL: dict[str, Any] = {
    "sac.hidden": (16, 16),
    "dynamics.hidden": (16, 16),
    "dynamics.ensemble_size": 2,
    "steps": 3,
    "tuning.own_steps": 2,
    "tuning.replay_steps": 2,
    "tuning.reference_size": 100,
    "particles.count": 64,
    "planner.iterations": 1,
    "planner.cold_iterations": 1,
}
N = 2
TICKS = 3

pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")


@pytest.fixture(params=["faraway", "cuda"])
def device(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[torch.device]:
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")
        yield torch.device("cuda")
    else:
        monkeypatch.setattr(state, "Generator", faraway.Stream)
        with faraway.present():
            yield faraway.FARAWAY


def random_episode(problem: Problem) -> Transition:
    """Ticks that follow one another, of no physics, (H, n, ...)."""
    g = torch.Generator().manual_seed(0)
    yes = torch.ones(TICKS, N, dtype=torch.bool)
    obs = torch.randn(TICKS + 1, N, problem.obs_dim, generator=g)
    action = torch.rand(TICKS, N, problem.action_dim, generator=g) * 2 - 1
    return Transition(
        obs=obs[:-1],
        action=action,
        applied=action,
        reward=torch.randn(TICKS, N, generator=g),
        next_obs=obs[1:],
        terminated=~yes,
        truncated=~yes,
        first=~yes,
        begins=~yes,
        valid=yes,
    )


def build_small(name: str, family: str) -> Any:
    """A method with few gradient steps in its updates."""
    settings = {key: SMALL[key] for key in declared_fields(METHODS[name].Config) if key in SMALL}
    built = checkpoint.family_named(family)
    config = checkpoint.method_config(name, built, "cpu", settings)
    return checkpoint.build(name, built, seed=0, config=config)


def share_draws(method: Any, replica: Any) -> None:
    """Let a replica on the stand-in draw the numbers that the method will draw."""
    copy = replica.method if isinstance(replica, NoAdaptation) else replica
    copy.generator.set_state(method.generator.get_state())


def assert_same(expected: Any, found: Any) -> None:
    """Two beliefs agree in everything that is not drawn, and are on the same device."""
    tensors = named_tensors(found)
    for path, x in named_tensors(expected).items():
        assert tensors[path].device == x.device, path
        if path.split("/")[-1] not in DRAWN:
            value = tensors[path].float()
            close = torch.allclose(value, x.float(), rtol=1e-4, atol=1e-4, equal_nan=True)
            assert close, path


@pytest.mark.parametrize(("family", "adapts"), [("point", False), ("cheetah_cripple", True)])
@pytest.mark.parametrize("name", REPLICATED)
def test_updates_on_another_device_give_the_same(
    name: str, family: str, adapts: bool, device: torch.device
) -> None:
    if name in UPDATE_BY_DRAWS and device.type == "cuda":
        pytest.skip("a GPU draws other numbers")
    method = build_small(name, family)
    policy: Any = method if adapts else NoAdaptation(method)
    replica = make_updater(policy, device)
    episode = random_episode(method.problem)
    assert isinstance(replica, DeviceReplica)
    with torch.no_grad():
        here = policy.prior(N)
        there = here
        if name in UPDATE_BY_DRAWS:
            share_draws(method, replica.replica)
        for t in range(TICKS):
            here = policy.observe(here, episode[t])
            there = replica.observe(there, episode[t])
            assert_same(here, there)
        assert_same(policy.adapt(here, episode), replica.adapt(here, episode))


def test_every_replica_has_a_random_stream_of_its_own(device: torch.device) -> None:
    """Else every object of a trial would be explored by the same draws."""
    method: Any = checkpoint.build("pearl", checkpoint.family_named("point"), seed=0)
    belief = method.prior(N)
    episode = random_episode(method.problem)
    first = make_updater(method, device).adapt(belief, episode).z
    second = make_updater(method, device).adapt(belief, episode).z
    assert (first != second).all()


@pytest.mark.parametrize("name", ["blind", "oracle"])
def test_a_method_without_slow_updates_stays(name: str, device: torch.device) -> None:
    method = checkpoint.build(name, checkpoint.family_named("point"), seed=0)
    assert make_updater(method, device) is method
    policy = NoAdaptation(method)
    assert make_updater(policy, device) is policy


@pytest.mark.parametrize("name", ["maml", "rl2", "rl2_transformer", "snail", "varibad"])
def test_the_loop_acts_the_same_with_its_updates_on_another_device(
    name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "accelerator", lambda: device)
    family = checkpoint.family_named("point")
    task = family.sample(np.random.default_rng(0), N)
    if device == faraway.FARAWAY:
        monkeypatch.setattr(Background, "_work", faraway.with_device(Background._work))

    def synchronous() -> torch.Tensor:
        world = VecWorld(family, n=N, seed=0)
        method = checkpoint.build(name, family, seed=0)
        return rollout(world, method, task, 2, explore=False).ticks.applied

    def in_background() -> torch.Tensor:
        world = VecWorld(family, n=N, seed=0)
        with Background(checkpoint.build(name, family, seed=0), torch.inf) as policy:
            trial = rollout(world, policy, task, 2, explore=False)
        assert policy.events.all == []
        return trial.ticks.applied

    assert torch.allclose(in_background(), synchronous(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_updates_run_on_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, available: bool, kind: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert device_replica.accelerator().type == kind
    method = tiny.Counter(problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
    assert make_updater(method, torch.device("cpu")) is method


def test_the_stand_in_refuses_what_a_gpu_would() -> None:
    here = torch.ones(2)
    with faraway.present():
        away = torch.ones(2, device=faraway.FARAWAY)
        assert away.device == faraway.FARAWAY
        assert here.device == torch.device("cpu")
        with pytest.raises(RuntimeError, match="two devices"):
            away + here
        assert torch.equal((away + here.to(faraway.FARAWAY)).to("cpu"), 2 * here)
        assert float(away.sum()) == 2
