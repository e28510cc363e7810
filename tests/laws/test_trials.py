"""What a trial must record, whatever the world and the method."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Count, Counter, CounterConfig, Script, Tiny

from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import rollout
from policies.method import Transition
from robots.signals import Array
from robots.world import Step, Task

FAMILY = Tiny()


def counter() -> Counter:
    return Counter(problem_of(FAMILY), CounterConfig(), seed=0)


def tasks(n: int) -> Task:
    return FAMILY.sample(np.random.default_rng(0), n)


def test_shapes_and_values_line_up() -> None:
    trial = rollout(Script(4), counter(), tasks(4), episodes=3)
    ticks = trial.ticks
    assert ticks.obs.shape == (3, 5, 4, 2)
    assert ticks.reward.shape == ticks.valid.shape == (3, 5, 4)
    assert trial.success.shape == (3, 4)
    assert torch.equal(trial.returns, torch.full((3, 4), 5.0))
    assert torch.equal(ticks.obs[:, 1:], ticks.next_obs[:, :-1])
    assert (ticks.obs[:, 0] == -1).all()
    assert torch.equal(trial.task, torch.tensor(tasks(4).values, dtype=torch.float32))


def test_first_marks_the_first_tick_of_a_task_and_begins_that_of_an_episode() -> None:
    trial = rollout(Script(2), counter(), tasks(2), episodes=3)
    assert trial.ticks.first[0, 0].all()
    assert trial.ticks.first.sum() == 2
    assert trial.ticks.begins[:, 0].all()
    assert trial.ticks.begins.sum() == 6


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_a_world_that_ended_keeps_its_last_tick_and_no_later_one(kind: str) -> None:
    trial = rollout(Script(3, **{kind: {1: 2}}), counter(), tasks(3), episodes=2)
    assert trial.ticks.valid[:, :, 1].tolist() == [[True, True, True, False, False]] * 2
    assert trial.ticks.valid[:, :, [0, 2]].all()
    assert trial.returns[:, 1].tolist() == [3.0, 3.0]


def test_a_diverged_world_is_invalid_from_that_tick_on() -> None:
    trial = rollout(Script(3, diverged={1: 2}), counter(), tasks(3), episodes=1)
    assert trial.ticks.valid[0, :, 1].tolist() == [True, True, False, False, False]


def test_a_sequence_has_the_valid_ticks_of_all_episodes_in_time_order() -> None:
    world = Script(3, terminated={1: 2}, diverged={2: 0})
    trial = rollout(world, counter(), tasks(3), episodes=2)
    sequence = trial.sequences()
    assert sequence.reward.shape == (10, 3)
    assert sequence.valid.sum(0).tolist() == [10, 6, 0]
    assert sequence.valid[:6, 1].all()
    assert sequence.next_obs[:6, 1, 0].tolist() == [1, 2, 3, 1, 2, 3]
    assert sequence.begins[:6, 1].tolist() == [True, False, False] * 2


def test_success_is_that_of_the_last_valid_state() -> None:
    lost_again = Script(1, success={0: 1})
    at_the_end = Script(2, success={0: 2, 1: 4}, terminated={0: 2})
    while_diverging = Script(1, success={0: 2}, diverged={0: 2})
    expected = [
        (lost_again, [[False]]),
        (at_the_end, [[True, True]]),
        (while_diverging, [[False]]),
    ]
    for world, success in expected:
        trial = rollout(world, counter(), tasks(world.n), episodes=1)
        assert trial.success.tolist() == success


def test_no_action_is_sent_after_all_worlds_have_ended() -> None:
    world = Script(2, terminated={0: 1, 1: 2})
    trial = rollout(world, counter(), tasks(2), episodes=2)
    assert len(world.actions) == 6
    assert trial.ticks.valid.shape == (2, 5, 2)
    assert trial.ticks.valid.sum() == 10


def test_the_belief_is_carried_over_and_without_adaptation_it_is_not() -> None:
    adapted = Script(1)
    no_adaptation = Script(1)
    rollout(adapted, counter(), tasks(1), episodes=2, explore=False)
    rollout(no_adaptation, NoAdaptation(counter()), tasks(1), episodes=2, explore=False)
    assert not np.array_equal(adapted.actions[0], adapted.actions[5])
    assert np.array_equal(no_adaptation.actions[0], no_adaptation.actions[5])
    assert np.array_equal(adapted.actions[0], no_adaptation.actions[0])


class Recording(Counter):
    """Notes under which belief it acts, and the episodes that it adapts to."""

    def __init__(self) -> None:
        super().__init__(problem_of(FAMILY), CounterConfig(), seed=0)
        self.counts: list[float] = []
        self.episodes: list[Transition] = []

    def act(self, obs: torch.Tensor, belief: Count, explore: bool) -> torch.Tensor:
        self.counts.append(float(belief.ticks[0]))
        return super().act(obs, belief, explore)

    def adapt(self, belief: Count, episode: Transition) -> Count:
        self.episodes.append(episode)
        return super().adapt(belief, episode)


def test_the_next_episode_is_acted_in_under_the_belief_adapted_to_the_last() -> None:
    method = Recording()
    trial = rollout(Script(2), method, tasks(2), episodes=2)
    assert method.counts == [0, 1, 2, 3, 4, 105, 106, 107, 108, 109]
    (episode,) = method.episodes  # nobody would act on what the last one teaches
    assert torch.equal(episode.next_obs, trial.ticks.next_obs[0])


def test_ticks_that_no_world_acts_in_begin_no_episode() -> None:
    trial = rollout(Script(2, terminated={0: 0, 1: 0}), counter(), tasks(2), episodes=2)
    assert trial.ticks.begins.sum(1).tolist() == [[1, 1], [1, 1]]
    assert trial.ticks.first.sum((0, 1)).tolist() == [1, 1]


class Forgetful(Counter):
    """A method whose belief never changes."""

    def observe(self, belief: Any, transition: Any) -> Any:
        return belief

    def adapt(self, belief: Any, episode: Any) -> Any:
        return belief


def first_and_second_seed(explore: Any, wrap: Any) -> list[Array]:
    """The actions of two episodes with two seeds of what explores."""
    actions = []
    for seed in range(2):
        world = Script(1)
        method = Forgetful(problem_of(FAMILY), CounterConfig(), seed=0)
        method.generator.manual_seed(seed)
        rollout(world, wrap(method), tasks(1), episodes=2, explore=explore)
        actions.append(np.array(world.actions))
    return actions


def itself(method: Any) -> Any:
    return method


def test_exploration_can_be_chosen_per_episode() -> None:
    first, second = first_and_second_seed([True, False], itself)
    assert not np.array_equal(first[:5], second[:5])
    assert np.array_equal(first[5:], second[5:])
    with pytest.raises(ValueError, match="3 episodes, the trial has 2"):
        rollout(Script(1), counter(), tasks(1), episodes=2, explore=[True] * 3)


def test_without_adaptation_nothing_is_explored_whatever_is_asked_for() -> None:
    first, second = first_and_second_seed(True, NoAdaptation)
    assert np.array_equal(first, second)


def test_only_a_privileged_method_is_given_the_task() -> None:
    method = counter()
    rollout(Script(2), method, tasks(2), episodes=1)
    assert method.given_task is None
    method.privileged = True
    trial = rollout(Script(2), method, tasks(2), episodes=1)
    assert torch.equal(method.given_task, trial.task)


class ReusingScript(Script):
    """A world that returns the same array at every tick."""

    buffer = np.zeros((1, 2))

    def step(self, action: Any) -> Step:
        step = super().step(action)
        self.buffer[:] = step.obs
        return replace(step, obs=self.buffer)


def test_a_trial_owns_its_numbers() -> None:
    trial = rollout(ReusingScript(1), counter(), tasks(1), episodes=1)
    assert trial.ticks.next_obs[0, :, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_the_wrong_number_of_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="3 tasks do not fit a world of 2"):
        rollout(Script(2), counter(), tasks(3), episodes=1)


def test_every_tick_is_reported() -> None:
    reported = []

    def on_tick(episode: int, tick: int, step: Step) -> None:
        reported.append((episode, tick, step.obs[0, 0]))

    rollout(Script(1), counter(), tasks(1), episodes=2, on_tick=on_tick)
    assert reported == [(e, t, t + 1) for e in range(2) for t in range(5)]


def test_joined_trials_stand_side_by_side() -> None:
    two = rollout(Script(2), counter(), tasks(2), episodes=2)
    three = rollout(Script(3), counter(), tasks(3), episodes=2)
    both = concat_trials([two, three])
    assert both.ticks.obs.shape == (2, 5, 5, 2)
    assert torch.equal(both.returns, torch.cat([two.returns, three.returns], 1))
    assert torch.equal(both.task[2:], three.task)


def test_uniform_actions_fill_the_range_and_follow_their_generator() -> None:
    draws = []
    for _ in range(2):
        policy: Any = RandomPolicy(2, torch.Generator().manual_seed(3))
        trial = rollout(Script(50), policy, tasks(50), episodes=1)
        draws.append(trial.ticks.action)
    assert torch.equal(draws[0], draws[1])
    assert draws[0].abs().max() <= 1
    assert draws[0].min() < -0.9
    assert draws[0].max() > 0.9
