"""The contract of every registered method; see ``policies.method.Method``."""

from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import faraway
import numpy as np
import pytest
import torch
from torch import Tensor

from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from policies.belief import named_tensors, to_device
from policies.method import Method, Replans, Transition, TrialBatch
from policies.methods import METHODS
from policies.nn import state
from policies.planning.mpc_method import MpcMethod
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.families import FAMILIES

N, E = 3, 2
CPU = torch.device("cpu")
# Every imagined step of this method is one of the simulator: few of them.
FEW_SIMULATIONS = {
    "particles.count": 2,
    "planner.horizon": 1,
    "planner.num_samples": 2,
    "planner.num_elites": 1,
    "planner.num_kept_elites": 1,
    "planner.cold_iterations": 1,
    "hypotheses": 1,
}
SHORT_PLANS = {
    "planner.horizon": 1,
    "planner.num_samples": 8,
    "planner.num_elites": 4,
    "planner.num_kept_elites": 2,
}
FEW_CANDIDATES = {"particles.count": 64, **SHORT_PLANS}
CHEAP = {"sysid_mpc": FEW_SIMULATIONS, "particle_mpc": FEW_CANDIDATES, "rebal": SHORT_PLANS}
NEED_A_SIMULATOR = ("sysid_mpc",)
ONCE = ("gradient_steps", "epochs", "steps", "own_steps", "replay_steps", "cold_iterations")
PLANNERS = [name for name in sorted(METHODS) if issubclass(METHODS[name], MpcMethod)]
every_method = pytest.mark.parametrize("name", sorted(METHODS))


def imagined(family_name: str, seed: int = 0) -> TrialBatch:
    """A trial of random numbers in the range of the observations; no physics."""
    family = checkpoint.family_named(family_name)
    rng = np.random.default_rng(seed)
    task = family.sample(rng, N)
    lead = (E, family.horizon, N)

    def tensor(array: Any) -> Tensor:
        return torch.from_numpy(np.asarray(array)).float()

    obs = tensor(rng.uniform(family.obs.low, family.obs.high, (*lead, len(family.obs))))
    action = tensor(rng.uniform(-1, 1, (*lead, len(family.action.spec))))
    no = torch.zeros(lead, dtype=torch.bool)
    first = no.clone()
    first[0, 0] = True
    begins = no.clone()
    begins[:, 0] = True
    truncated = no.clone()
    truncated[:, -1] = True
    ticks = Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=tensor(rng.normal(size=lead)),
        next_obs=obs.roll(-1, 1),
        terminated=no,
        truncated=truncated,
        first=first,
        begins=begins,
        valid=~no,
    )
    ids = torch.from_numpy(task.ids)
    return TrialBatch(ticks, tensor(task.values), ids, torch.zeros(E, N, dtype=torch.bool))


def shortened(config: Any) -> Any:
    """The same config with few gradient steps and short plans, nested ones included."""
    changes: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if f.name in ONCE:
            changes[f.name] = 1
        elif f.name == "horizon":
            changes[f.name] = 2
        elif f.name == "reference_size":
            changes[f.name] = 100
        elif is_dataclass(value):
            changes[f.name] = shortened(value)
    return replace(config, **changes)


def build(name: str, seed: int = 3, device: torch.device = CPU) -> Method[Any]:
    """A method for ``point`` that learns quickly."""
    family = checkpoint.family_named("point")
    config = checkpoint.build(name, family, seed).config
    problem = problem_of(family)
    method: Method[Any] = METHODS[name](problem, shortened(config), seed, device)
    return method


def truth(method: Method[Any], trial: TrialBatch) -> Tensor | None:
    return trial.task if method.privileged else None


@torch.no_grad()
def beliefs(method: Method[Any], trial: TrialBatch, ticks: int = 8) -> list[Any]:
    """The beliefs before any experience, after some ticks, and after the first episode."""
    prior = method.prior(len(trial.task), truth(method, trial))
    belief = prior
    for t in range(min(ticks, method.problem.horizon)):
        belief = method.observe(belief, trial.ticks[0, t])
    return [prior, belief, method.adapt(belief, trial.ticks[0])]


@torch.no_grad()
def actions(method: Method[Any], trial: TrialBatch) -> list[Tensor]:
    """Actions under each of the beliefs, without and with exploration."""
    found = []
    for belief in beliefs(method, trial):
        for explore in (False, True):
            found.append(method.act(trial.ticks.obs[1, 0], belief, explore))
    return found


@every_method
@torch.no_grad()
def test_only_a_privileged_method_reads_the_true_task(name: str) -> None:
    method = build(name)
    trial = imagined("point")
    if method.privileged:
        with pytest.raises(ValueError, match="task"):
            method.prior(N)
        return
    saved = method.state_dict()
    found = []
    for task in (None, trial.task, trial.task + 1):
        method.load_state_dict(saved)
        found.append(named_tensors(method.prior(N, task)))
    for other in found[1:]:
        for path, tensor in found[0].items():
            assert torch.equal(other[path].nan_to_num(), tensor.nan_to_num()), path


@every_method
@pytest.mark.parametrize("n", [1, N])
def test_every_tensor_of_a_belief_leads_with_the_number_of_worlds(name: str, n: int) -> None:
    method = build(name)
    trial = imagined("point")
    some = TrialBatch(
        ticks=trial.ticks[:, :, :n],
        task=trial.task[:n],
        task_ids=trial.task_ids[:n],
        success=trial.success[:, :n],
    )
    for belief in beliefs(method, some):
        for path, tensor in named_tensors(belief).items():
            assert len(tensor) == n, path


def assert_on_device(method: Method[Any], trial: TrialBatch, device: torch.device) -> None:
    """All that a method gives is where it was built, from experience that is there too."""
    assert method.device.type == device.type
    for belief in beliefs(method, trial):
        for path, tensor in named_tensors(belief).items():
            assert tensor.device.type == device.type, path
    for action in actions(method, trial):
        assert action.device.type == device.type


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@every_method
def test_beliefs_and_actions_are_on_the_methods_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a stand-in for a GPU, which refuses tensors of the CPU beside its own."""
    trial = imagined("point")
    monkeypatch.setattr(state, "Generator", faraway.Stream)
    with faraway.present():
        method = build(name, device=faraway.FARAWAY)
        assert_on_device(method, to_device(trial, faraway.FARAWAY), faraway.FARAWAY)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_method
def test_a_method_learns_on_a_gpu(name: str) -> None:
    gpu = torch.device("cuda")
    method = build(name, device=gpu)
    trial = to_device(imagined("point"), gpu)
    method.learn(trial)
    assert_on_device(method, trial, gpu)


@every_method
def test_actions_lie_in_their_range(name: str) -> None:
    method = build(name)
    trial = imagined("point")
    for action in actions(method, trial):
        assert action.shape == (N, method.problem.action_dim)
        assert action.abs().max() <= 1


@every_method
def test_a_method_that_has_learned_continues_from_its_state(name: str) -> None:
    """The same actions, exploration included, and the same next iteration."""
    original = build(name)
    original.learn(imagined("point"))
    restored = build(name, seed=4)
    saved = deepcopy(original.state_dict())  # a state shares its tensors with the method
    restored.load_state_dict(saved)
    trial = imagined("point", seed=1)
    for a, b in zip(actions(original, trial), actions(restored, trial), strict=True):
        assert torch.equal(a, b)
    assert original.learn(trial) == restored.learn(trial)
    for a, b in zip(actions(original, trial), actions(restored, trial), strict=True):
        assert torch.equal(a, b)


def covering_pairs() -> list[tuple[str, str]]:
    """Every method with every tenth family, so that every family meets every tenth method.

    A method knows a family by its problem alone, and all methods get this from the same code: what
    fails, fails with the method or with the family. Families of one decision per episode are apart:
    every method meets ``slide`` too.
    """
    return [
        (name, family)
        for i, name in enumerate(sorted(METHODS))
        for j, family in enumerate(sorted(FAMILIES))
        if (i + j) % 10 == 0 or family == "slide"
    ]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_method_has_settings_for_every_family(family: str) -> None:
    built = checkpoint.family_named(family)
    for name in METHODS:
        config = checkpoint.method_config(name, built, "cpu", CHEAP.get(name, {}))
        assert isinstance(config, METHODS[name].Config)
        assert config.schedule.meta_batch >= 1


@pytest.mark.parametrize(("name", "family"), covering_pairs())
def test_a_method_is_saved_and_loaded_for_a_family(tmp_path: Path, name: str, family: str) -> None:
    built = checkpoint.family_named(family)
    config = checkpoint.method_config(name, built, "cpu", CHEAP.get(name, {}))
    if name in NEED_A_SIMULATOR and not built.observes_state:
        with pytest.raises(BadArgumentError, match="does not tell the whole state"):
            checkpoint.build(name, built, seed=3, config=config)
        return
    method = checkpoint.build(name, built, seed=3, config=config)
    trial = imagined(family)
    arms = {ARMS[arm].name: arm for arm in ARMS}
    checkpoint.save(tmp_path / "it", name, method, family, trial, {"iteration": 1})
    loaded = checkpoint.load(tmp_path / "it", arm=arms.get(built.body.name), family=family)
    assert loaded.contract.observation.names == tuple(built.obs.names)
    privileged = tuple(built.task_names) if method.privileged else ()
    assert loaded.contract.privileged_parameters == privileged
    assert loaded.method.config == method.config
    before = actions(method, trial)
    after = actions(loaded.method, trial)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b)
        assert a.abs().max() <= 1


@every_method
def test_without_adaptation_experience_does_not_change_the_actions(name: str) -> None:
    """Two tasks with the same observations but other rewards and motions are acted in alike.

    Plans go on nevertheless.
    """
    family = checkpoint.family_named("point")
    method = checkpoint.build(name, family, seed=3)
    trial = imagined("point")
    saved = method.state_dict()
    decisions = []
    for sign in (1.0, -1.0):
        method.load_state_dict(saved)
        policy = NoAdaptation(method)
        ticks = replace(
            trial.ticks,
            reward=sign * trial.ticks.reward,
            applied=sign * trial.ticks.applied,
        )
        with torch.no_grad():
            belief = policy.prior(N, truth(method, trial))
            for t in range(8):
                belief = policy.observe(belief, ticks[0, t])
            if isinstance(method, Replans):
                planned = ticks.next_obs[0, 7]
                assert torch.equal(belief.planned_obs, planned), "the plan is for the last state"
            decisions.append(policy.act(ticks.next_obs[0, 7], belief, False))
            belief = policy.adapt(belief, ticks[0])
            decisions.append(policy.act(ticks.obs[1, 0], belief, False))
    assert torch.equal(decisions[0], decisions[2])
    assert torch.equal(decisions[1], decisions[3])


@pytest.mark.parametrize("name", PLANNERS)
@torch.no_grad()
def test_a_planner_keeps_the_actions_that_are_under_way(name: str) -> None:
    """With a latency of one and a half decisions two actions that were sent still count."""
    method = build(name)
    assert isinstance(method, MpcMethod)
    trial = imagined("point")
    method.expect_latency(1.5)
    belief = method.prior(N)
    for t in range(3):
        belief = method.observe(belief, trial.ticks[0, t])
    assert torch.equal(torch.stack(belief.under_way), trial.ticks.action[0, 1:3])
    action = method.act(trial.ticks.obs[0, 3], belief, False)
    assert action.isfinite().all()
    assert not torch.stack(method.adapt(belief, trial.ticks[0]).under_way).any()
