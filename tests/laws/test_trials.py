"""What a trial must tell, whatever the world and the method."""

import numpy as np
import pytest
import torch
from tiny import Counter, CounterConfig, Script, Tiny

from adaptation.no_adaptation import NoAdaptation
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import rollout
from adaptation.runs.checkpoint import problem_of

FAMILY = Tiny()


def counter() -> Counter:
    return Counter(problem_of(FAMILY), CounterConfig(), seed=0)


def tasks(n: int):
    return FAMILY.sample(np.random.default_rng(0), n)


def test_shapes_and_values_line_up() -> None:
    trial = rollout(Script(4), counter(), tasks(4), episodes=3)
    assert trial.ticks.obs.shape == (3, 5, 4, 2)
    assert trial.ticks.reward.shape == trial.ticks.valid.shape == (3, 5, 4)
    assert trial.success.shape == (3, 4)
    assert torch.equal(trial.returns, torch.full((3, 4), 5.0))
    assert torch.equal(trial.ticks.obs[:, 1:], trial.ticks.next_obs[:, :-1])
    assert (trial.ticks.obs[:, 0] == -1).all()
    assert torch.equal(trial.task, torch.tensor(tasks(4).values, dtype=torch.float32))


def test_first_marks_the_first_tick_of_a_task_and_no_other() -> None:
    trial = rollout(Script(2), counter(), tasks(2), episodes=3)
    assert trial.ticks.first[0, 0].all()
    assert trial.ticks.first.sum() == 2


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_a_world_that_ended_keeps_its_last_tick_and_no_later_one(kind: str) -> None:
    trial = rollout(Script(3, **{kind: {1: 2}}), counter(), tasks(3), episodes=2)
    assert trial.ticks.valid[:, :, 1].tolist() == [[True, True, True, False, False]] * 2
    assert trial.ticks.valid[:, :, [0, 2]].all()
    assert trial.returns[:, 1].tolist() == [3.0, 3.0]


def test_a_diverged_world_is_invalid_from_that_tick_on() -> None:
    trial = rollout(Script(3, diverged={1: 2}), counter(), tasks(3), episodes=1)
    assert trial.ticks.valid[0, :, 1].tolist() == [True, True, False, False, False]


def test_success_is_that_of_the_last_valid_state() -> None:
    won_then_lost = rollout(Script(1, success={0: 1}), counter(), tasks(1), episodes=1)
    won_at_the_end = rollout(
        Script(2, success={0: 2, 1: 4}, terminated={0: 2}), counter(), tasks(2), episodes=1
    )
    won_while_diverging = rollout(
        Script(1, success={0: 2}, diverged={0: 2}), counter(), tasks(1), episodes=1
    )
    assert won_then_lost.success.tolist() == [[False]]
    assert won_at_the_end.success.tolist() == [[True, True]]
    assert won_while_diverging.success.tolist() == [[False]]


def test_nothing_is_done_in_a_world_after_all_have_ended() -> None:
    world = Script(2, terminated={0: 1, 1: 2})
    trial = rollout(world, counter(), tasks(2), episodes=2)
    assert len(world.actions) == 6
    assert trial.ticks.valid.shape == (2, 5, 2)
    assert trial.ticks.valid.sum() == 10


def test_the_belief_is_carried_over_and_a_frozen_one_is_not() -> None:
    adapting, frozen = Script(1), Script(1)
    rollout(adapting, counter(), tasks(1), episodes=2, explore=False)
    rollout(frozen, NoAdaptation(counter()), tasks(1), episodes=2, explore=False)
    assert not np.array_equal(adapting.actions[0], adapting.actions[5])
    assert np.array_equal(frozen.actions[0], frozen.actions[5])
    assert np.array_equal(adapting.actions[0], frozen.actions[0])


def test_exploration_can_be_chosen_per_episode() -> None:
    worlds = [Script(1) for _ in range(2)]
    for world in worlds:
        method = counter()
        method.generator.manual_seed(worlds.index(world))
        rollout(world, NoAdaptation(method), tasks(1), episodes=2, explore=[True, False])
    first, second = (np.array(world.actions) for world in worlds)
    assert not np.array_equal(first[:5], second[:5])
    assert np.array_equal(first[5:], second[5:])
    with pytest.raises(ValueError, match="3 episodes, the trial has 2"):
        rollout(Script(1), counter(), tasks(1), episodes=2, explore=[True] * 3)


def test_only_a_privileged_method_is_told_the_task() -> None:
    method = counter()
    rollout(Script(2), method, tasks(2), episodes=1)
    assert method.told is None
    method.privileged = True
    trial = rollout(Script(2), method, tasks(2), episodes=1)
    assert torch.equal(method.told, trial.task)


def test_a_trial_owns_its_numbers() -> None:
    """A world may reuse its buffers."""

    class Reusing(Script):
        buffer = np.zeros((1, 2))

        def step(self, action):
            step = super().step(action)
            self.buffer[:] = step.obs
            return type(step)(**{**vars(step), "obs": self.buffer})

    trial = rollout(Reusing(1), counter(), tasks(1), episodes=1)
    assert trial.ticks.next_obs[0, :, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_the_wrong_number_of_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="3 tasks do not fit a world of 2"):
        rollout(Script(2), counter(), tasks(3), episodes=1)


def test_every_tick_is_reported() -> None:
    seen = []
    rollout(
        Script(1),
        counter(),
        tasks(1),
        episodes=2,
        on_tick=lambda e, t, step: seen.append((e, t, step.obs[0, 0])),
    )
    assert seen == [(e, t, t + 1) for e in range(2) for t in range(5)]


def test_joined_trials_stand_side_by_side() -> None:
    some, more = (rollout(Script(n), counter(), tasks(n), episodes=2) for n in (2, 3))
    both = concat_trials([some, more])
    assert both.ticks.obs.shape == (2, 5, 5, 2)
    assert torch.equal(both.returns, torch.cat([some.returns, more.returns], 1))
    assert torch.equal(both.task[2:], more.task)


def test_uniform_actions_fill_the_range_and_follow_their_generator() -> None:
    draws = []
    for _ in range(2):
        actor = RandomPolicy(2, torch.Generator().manual_seed(3))
        draws.append(rollout(Script(50), actor, tasks(50), episodes=1).ticks.action)  # type: ignore[arg-type]
    assert torch.equal(draws[0], draws[1])
    assert draws[0].abs().max() <= 1
    assert draws[0].min() < -0.9
    assert draws[0].max() > 0.9
