"""The base of the methods' configs, and the settings that are derived from the problem.

A config is a frozen dataclass with a default for every field. ``for_problem`` derives the settings
that depend on the family's shapes and horizon. Settings that were tuned for a family are data, in
``policies.presets``.
"""

from abc import ABC, abstractmethod
from math import log2
from typing import Self

from policies.method import CollectionSchedule, Problem
from robots.errors import BadArgumentError

# Environment steps of a full training. At 1/16 gradient steps a transition, soft actor-critic and
# PEARL are close to their best on half-cheetah after 0.3 to 0.5 million.
OFF_POLICY_STEPS = 500_000
ON_POLICY_STEPS = 3_000_000  # RL² and MAML on 20-tick episodes: 200 iterations of 15,000

MAX_ITERATION_STEPS = 13_000  # half-cheetah: 32 tasks × 2 episodes × 200 ticks
MAX_DISCOUNT = 0.99  # the usual discount for episodes of 100 ticks and more

# Gradient steps of actor and critics per new transition. On half-cheetah a quarter of this ratio,
# 1/64, reaches a return of -138 with as many gradient steps as reach -73 with this one.
UPDATE_TO_DATA = 1 / 16
# The same for a dynamics model that is learned along with a policy: its step costs twice as much.
MODEL_UPDATE_TO_DATA = 1 / 64

REPLAY_BYTES = 256 * 2**20  # of memory; as much is on disk
BYTES_PER_NUMBER = 4
FLAGS_AND_REWARD = 6  # columns of a stored transition that are not observations or actions


class MethodConfig(ABC):
    """Base of the methods' configs.

    The default of a setting that is added to a method must be what the method did before: older
    checkpoints are loaded with it.
    """

    @property
    @abstractmethod
    def schedule(self) -> CollectionSchedule:
        """What training collects between two calls of ``learn``."""

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one call of ``learn``; 0 for a method that takes none."""
        return 0

    @property
    def optimizer_steps(self) -> int:
        """Steps of all optimizers in one call of ``learn``."""
        return self.gradient_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """The config with the numbers that follow from the problem; here, all are defaults."""
        return cls()


def check_adapts_between_episodes(method: str, schedule: CollectionSchedule) -> None:
    """BadArgumentError if a trial has no episode after the first adaptation."""
    episodes = schedule.episodes_per_trial
    if episodes < 2:
        raise BadArgumentError(
            f"{method} adapts between the episodes of a trial:"
            f" schedule.episodes_per_trial must be at least 2 episodes, got {episodes}"
        )


def derive_discount(problem: Problem) -> float:
    """1 - 1/horizon: a discount that looks about one episode ahead."""
    return min(MAX_DISCOUNT, 1 - 1 / problem.horizon)


def derive_trial_discount(problem: Problem) -> float:
    """1 - 1/ticks of a trial: a discount for returns of whole trials, which reward exploration."""
    return min(MAX_DISCOUNT, 1 - 1 / (problem.episodes * problem.horizon))


def derive_schedule(
    problem: Problem,
    total_steps: int,
    random_trials: int = 0,
    min_episodes: int = 1,
    overlap: bool = False,
) -> CollectionSchedule:
    """The most tasks at once, a power of two, that keep an iteration within its transitions.

    Args:
        problem: gives the horizon and the episodes of a trial.
        total_steps: environment steps of the full training, random trials included.
        random_trials: trials with random actions before the first ``learn``.
        min_episodes: the fewest episodes that the method can learn from.
        overlap: whether collecting overlaps with learning.
    """
    episodes = max(problem.episodes, min_episodes)
    trial_steps = episodes * problem.horizon
    most_tasks = max(1, MAX_ITERATION_STEPS // trial_steps)
    meta_batch = 2 ** int(log2(most_tasks))
    trials = round(total_steps / (meta_batch * trial_steps))
    return CollectionSchedule(
        meta_batch=meta_batch,
        episodes_per_trial=episodes,
        random_trials=random_trials,
        iterations=max(1, trials - random_trials),
        overlap=overlap,
    )


def derive_gradient_steps(problem: Problem, schedule: CollectionSchedule) -> int:
    """Gradient steps of an iteration on actor and critics."""
    return max(1, round(UPDATE_TO_DATA * iteration_steps(problem, schedule)))


def derive_model_steps(
    problem: Problem,
    schedule: CollectionSchedule,
    has_policy: bool,
) -> int:
    """Gradient steps of an iteration on a dynamics model, learned with or without a policy."""
    if not has_policy:
        return derive_gradient_steps(problem, schedule)
    return max(1, round(MODEL_UPDATE_TO_DATA * iteration_steps(problem, schedule)))


def derive_buffer_tasks(problem: Problem, schedule: CollectionSchedule) -> int:
    """Tasks in the replay: those of the whole training, as far as memory allows."""
    trials = schedule.random_trials + schedule.iterations
    all_tasks = trials * schedule.meta_batch
    fitting_tasks = REPLAY_BYTES // (schedule.episodes_per_trial * episode_bytes(problem))
    return max(schedule.meta_batch, min(all_tasks, fitting_tasks))


def episode_bytes(problem: Problem) -> int:
    """Memory that the transitions of one episode take."""
    columns = 2 * (problem.obs_dim + problem.action_dim) + FLAGS_AND_REWARD
    return BYTES_PER_NUMBER * columns * problem.horizon


def iteration_steps(problem: Problem, schedule: CollectionSchedule) -> int:
    """Environment steps of one trial of all tasks."""
    return schedule.meta_batch * schedule.episodes_per_trial * problem.horizon
