"""Every registered method keeps its contract on every registered family."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adaptation.no_adaptation import NoAdaptation
from adaptation.runs import checkpoint
from policies.method import Transition, TrialBatch
from policies.methods import METHODS
from robots.catalog import ARMS
from sim.families import FAMILIES

N, E = 3, 2


def imagined(family_name: str) -> TrialBatch:
    """A trial of random numbers in the observations' range; no physics."""
    family, rng = checkpoint.family_named(family_name), np.random.default_rng(0)
    task = family.sample(rng, N)
    lead = (E, family.horizon, N)
    obs = torch.from_numpy(
        rng.uniform(family.obs.low, family.obs.high, (*lead, len(family.obs)))
    ).float()
    action = torch.from_numpy(rng.uniform(-1, 1, (*lead, len(family.action.spec)))).float()
    no, last = (
        torch.zeros(lead, dtype=torch.bool),
        torch.arange(family.horizon) == family.horizon - 1,
    )
    first = no.clone()
    first[0, 0] = True
    ticks = Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.from_numpy(rng.normal(size=lead)).float(),
        next_obs=obs.roll(-1, 1),
        terminated=no,
        truncated=last[None, :, None].expand(lead),
        first=first,
        begins=first,
        valid=~no,
    )
    values = torch.from_numpy(task.values).float()
    return TrialBatch(
        ticks, values, torch.from_numpy(task.ids), torch.zeros(E, N, dtype=torch.bool)
    )


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_is_saved_and_loaded_for_every_family(
    tmp_path, name: str, family: str
) -> None:
    built = checkpoint.family_named(family)
    method, trial = checkpoint.build(name, built, seed=3), imagined(family)
    arms = {ARMS[arm].name: arm for arm in ARMS}
    checkpoint.save(tmp_path / "it", name, method, built, trial, {"iteration": 1})
    found = checkpoint.load(tmp_path / "it", arm=arms.get(built.body.name), family=family)
    assert found.contract.observation.names == tuple(built.obs.names)
    assert found.contract.told == (tuple(built.task_names) if method.privileged else ())
    assert found.method.config == method.config
    decisions = []
    for each in (method, found.method):
        with torch.no_grad():
            belief = each.prior(N, trial.task if each.privileged else None)
            for tick in range(min(20, built.horizon)):
                belief = each.observe(belief, trial.ticks.map(lambda x, t=tick: x[0, t]))
            belief = each.adapt(belief, trial.ticks.map(lambda x: x[0]))
            decisions.append(
                [
                    each.act(trial.ticks.obs[0, t], belief, explore)
                    for t in (0, 3)
                    for explore in (0, 1)
                ]
            )
    assert all(map(torch.equal, *decisions))
    assert all(action.abs().max() <= 1 for action in decisions[0])


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_is_frozen_acts_alike_whatever_it_was_told(name: str) -> None:
    """Two tasks that look the same while they pay and move otherwise are one to it; its plans go on nevertheless."""
    family = checkpoint.family_named("point")
    method, trial = checkpoint.build(name, family, seed=3), imagined("point")
    state, decisions = method.state_dict(), []
    for told in (1.0, -1.0):
        method.load_state_dict(state)
        frozen = NoAdaptation(method)
        ticks = replace(
            trial.ticks, reward=told * trial.ticks.reward, applied=told * trial.ticks.applied
        )
        with torch.no_grad():
            belief = frozen.prior(N, trial.task if method.privileged else None)
            for t in range(8):
                belief = frozen.observe(belief, ticks.map(lambda x, t=t: x[0, t]))
            if hasattr(method, "replan"):
                assert torch.equal(belief.at, ticks.next_obs[0, 7]), (
                    "there is a plan for what is seen now"
                )
            decisions.append(frozen.act(ticks.next_obs[0, 7], belief, False))
            belief = frozen.adapt(belief, ticks.map(lambda x: x[0]))
            decisions.append(frozen.act(ticks.obs[1, 0], belief, False))
    assert torch.equal(decisions[0], decisions[2])
    assert torch.equal(decisions[1], decisions[3])
