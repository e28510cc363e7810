"""Updates on another device: the same numbers, and nothing that is here meets anything that is there.

Where there is no GPU, a device that is computed on the CPU stands in for it: see ``faraway``.
"""

from collections.abc import Iterator
from typing import Any

import faraway
import numpy as np
import pytest
import tiny
import torch

from adaptation import background
from adaptation import device_replica as accelerator
from adaptation.background import Background
from adaptation.device_replica import DeviceReplica, make_updater
from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from adaptation.runs.checkpoint import problem_of
from policies.belief import named_tensors
from policies.method import Problem, Transition
from policies.methods import METHODS
from policies.nn import state
from sim.vec_world import VecWorld

SLOW = [name for name in METHODS if issubclass(METHODS[name], state.Stateful)]
DRAWN = ("dither", "z")  # at an episode's end, from a random stream that the device has for itself
N, TICKS = 2, 3

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
        with faraway.There():
            yield faraway.FARAWAY


def episode(p: Problem) -> Transition:
    """Ticks that follow one another, of no physics, (H, n, ...)."""
    g, yes = torch.Generator().manual_seed(0), torch.ones(TICKS, N, dtype=torch.bool)
    obs = torch.randn(TICKS + 1, N, p.obs_dim, generator=g)
    action = torch.rand(TICKS, N, p.action_dim, generator=g) * 2 - 1
    reward = torch.randn(TICKS, N, generator=g)
    return Transition(obs[:-1], action, action, reward, obs[1:], ~yes, ~yes, ~yes, ~yes, yes)


def same(here: Any, there: Any) -> None:
    """All that is not drawn, on the CPU."""
    found = named_tensors(there)
    for path, x in named_tensors(here).items():
        assert found[path].device == x.device, path
        if path.split("/")[-1] not in DRAWN:
            assert torch.allclose(
                found[path].float(), x.float(), rtol=1e-4, atol=1e-4, equal_nan=True
            ), path


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("family", ["point", "cheetah_cripple"])
@pytest.mark.parametrize("name", SLOW)
def test_updates_elsewhere_find_the_same(
    name: str, family: str, frozen: bool, device: torch.device
) -> None:
    method: Any = checkpoint.build(name, checkpoint.family_named(family), seed=0)
    method = NoAdaptation(method) if frozen else method
    slow, ticks = make_updater(method, device), episode(method.problem)
    assert isinstance(slow, DeviceReplica)
    with torch.no_grad():
        here = there = method.prior(N)
        for t in range(TICKS):
            tick = ticks.map(lambda x, t=t: x[t])  # type: ignore[misc]
            here, there = method.observe(here, tick), slow.observe(there, tick)
            same(here, there)
        same(method.adapt(here, ticks), slow.adapt(here, ticks))


def test_every_copy_has_random_numbers_of_its_own(device: torch.device) -> None:
    """Else every object of a trial would be explored by the same draws."""
    method: Any = checkpoint.build("pearl", checkpoint.family_named("point"), seed=0)
    belief = method.prior(N)
    first, second = (
        make_updater(method, device).adapt(belief, episode(method.problem)).z for _ in range(2)
    )
    assert (first != second).all()


@pytest.mark.parametrize("name", ["blind", "oracle"])
def test_who_has_nothing_slow_stays(name: str, device: torch.device) -> None:
    method = checkpoint.build(name, checkpoint.family_named("point"), seed=0)
    assert make_updater(method, device) is method
    frozen: Any = NoAdaptation(method)
    assert make_updater(frozen, device) is frozen


@pytest.mark.parametrize("name", ["maml", "rl2"])
def test_the_loop_lives_the_same_with_its_updates_elsewhere(
    name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "accelerator", lambda: device)
    known = checkpoint.family_named("point")
    task = known.sample(np.random.default_rng(0), N)
    if device == faraway.FARAWAY:
        monkeypatch.setattr(Background, "_work", faraway.within(Background._work))

    def lived(beside: bool) -> torch.Tensor:
        method: Any = checkpoint.build(name, known, seed=0)
        world = VecWorld(known, n=N, seed=0)
        if not beside:
            return rollout(world, method, task, 2, explore=False).ticks.applied
        with Background(method, torch.inf) as away:
            trial = rollout(world, away, task, 2, explore=False)
        assert away.events == []
        return trial.ticks.applied

    assert torch.allclose(lived(True), lived(False), rtol=1e-4, atol=1e-4)


def test_it_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = tiny.Counter(problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert accelerator.accelerator().type == kind
    assert make_updater(method, torch.device("cpu")) is method


def test_the_stand_in_refuses_what_a_gpu_would() -> None:
    here = torch.ones(2)
    with faraway.There(), faraway.FARAWAY:
        away = torch.ones(2)
        assert (away.device, here.device) == (faraway.FARAWAY, torch.device("cpu"))
        with pytest.raises(RuntimeError, match="two devices"):
            away + here
        assert torch.equal((away + here.to(faraway.FARAWAY)).to("cpu"), 2 * here)
        assert float(away.sum()) == 2
