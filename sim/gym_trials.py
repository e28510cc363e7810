"""Trials as long episodes, so that any library for Gymnasium can meta-train on families of tasks.

A trial is several episodes of one task. A recurrent policy that is trained on trials learns to
explore in the first episodes to do better in the later ones (RL², Duan et al. 2016). The
observation holds what such a policy needs: the observation of the family, the previous action and
reward, and whether an episode has just ended.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask
from sim.gym import ResetResult, StepResult
from sim.gym_info import Info, Observation, final_info, with_masks


class TrialWrapper(
    gymnasium.Wrapper[Observation, Array, Observation, Array], RecordConstructorArgs
):
    """Several episodes of one task as one long episode.

    If an episode ends and another one follows, ``step`` returns the first observation of the next
    episode, with the last reward and a done flag of 1. The trial ends like its last episode,
    ``terminated`` or ``truncated``. ``info["episode"]`` counts the episodes of the trial from 0.
    ``reset(options={"task": ...})`` works as without the wrapper.

    The wrapped environment reports its task in ``info["task"]`` and accepts ``options["task"]``.
    """

    def __init__(self, env: gymnasium.Env[Observation, Array], episodes_per_trial: int = 3) -> None:
        """Wrap a single environment; BadArgumentError where a trial would have no episode."""
        RecordConstructorArgs.__init__(self, episodes_per_trial=episodes_per_trial)
        super().__init__(env)
        check_episodes(episodes_per_trial)
        self.episodes_per_trial = episodes_per_trial
        self._space = trial_space(env.observation_space, env.action_space)
        self.observation_space = self._space
        self._episode = 0
        self._task: Any = None

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> ResetResult:
        """Begin a trial: previous action, reward and done flag are zero."""
        obs, info = self.env.reset(seed=seed, options=options)
        info["episode"] = 0
        self._episode = 0
        self._task = info["task"]
        return first_observation(obs, self._space), info

    def step(self, action: Array) -> tuple[Observation, float, bool, bool, Info]:
        """One control period; if an episode ends, the next episode of the trial begins."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        info["episode"] = self._episode
        done = terminated or truncated
        is_last = self._episode + 1 == self.episodes_per_trial
        if done and not is_last:
            self._episode += 1
            terminated = False
            truncated = False
            obs, _ = self.env.reset(options={"task": self._task})
        reward = float(reward)
        extended = trial_observation(obs, action, reward, done)
        return extended, reward, terminated, truncated, info


class TrialVectorWrapper(VectorWrapper[Observation, Array, Observation, Array, Any]):
    """A ``TrialWrapper`` for a vector of worlds; when a trial ends, the next one begins.

    The wrapped environment is made with ``autoreset_mode="Disabled"``, because this wrapper decides
    when a world begins an episode of the same task and when one of a new task:

        envs = gymnasium.make_vec("pliant/point-v0", num_envs=64, autoreset_mode="Disabled")
        trials = TrialVectorWrapper(envs, episodes_per_trial=3)

    As Gymnasium defines it for ``AutoresetMode.SAME_STEP``, ``final_obs`` and ``final_info`` in
    ``info`` hold the end of the trials that ended.
    """

    def __init__(
        self, env: VectorEnv[Observation, Array, Any], episodes_per_trial: int = 3
    ) -> None:
        """Wrap a vector of environments.

        Raises:
            BadArgumentError: the environment resets by itself, or a trial would have no episode.
        """
        super().__init__(env)
        check_episodes(episodes_per_trial)
        if env.metadata["autoreset_mode"] != AutoresetMode.DISABLED:
            raise BadArgumentError('make the environment with autoreset_mode="Disabled"')
        self.episodes_per_trial = episodes_per_trial
        self.metadata = env.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._space = trial_space(env.single_observation_space, env.single_action_space)
        self.single_observation_space = self._space
        self.observation_space = batch_space(self._space, env.num_envs)
        self._episode: NDArray[np.int64] = np.zeros(env.num_envs, dtype=np.int64)
        self._task: Any = None  # (n, p)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> ResetResult:
        """Begin a trial in every world: previous actions, rewards and done flags are zero."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._episode[:] = 0
        self._task = info["task"]
        info |= self._episode_info()
        return first_observation(obs, self._space), info

    def step(self, actions: Array) -> StepResult:
        """One control period; worlds whose episode ends begin the next one."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        info |= self._episode_info()
        done = terminated | truncated
        is_last = self._episode + 1 == self.episodes_per_trial
        over = done & is_last
        continued = done & ~is_last
        self._episode[continued] += 1
        self._episode[over] = 0
        if continued.any():
            obs = self._begin_episodes(continued, obs)
        extended = trial_observation(obs, actions, reward, done)
        if over.any():
            extended, info = self._begin_trials(over, extended, info)
        terminated = terminated & over
        truncated = truncated & over
        return extended, reward, terminated, truncated, info

    def _begin_episodes(self, continued: Mask, obs: Observation) -> Observation:
        """Begin the next episode of the same task in some worlds; their first observation."""
        options = {"task": self._task, "reset_mask": continued}
        first, _ = self.env.reset(options=options)
        return np.where(continued[:, None], first, obs)

    def _begin_trials(
        self, over: Mask, extended: Observation, info: Info
    ) -> tuple[Observation, Info]:
        """Begin trials of new tasks; ``info`` keeps the last observation and info of ended ones."""
        obs, begun = self.env.reset(options={"reset_mask": over})
        self._task = begun["task"]
        info = final_info(extended, info, over)
        info |= begun
        info |= self._episode_info()
        first = first_observation(obs, self._space)
        return np.where(over[:, None], first, extended), info

    def _episode_info(self) -> Info:
        all_worlds = np.ones(self.num_envs, dtype=bool)
        return with_masks({"episode": self._episode.copy()}, all_worlds)


def check_episodes(episodes_per_trial: int) -> None:
    """Refuse a trial without an episode."""
    if episodes_per_trial < 1:
        raise BadArgumentError(f"episodes_per_trial must be at least 1, got {episodes_per_trial}")


def trial_space(obs: gymnasium.Space[Any], action: gymnasium.Space[Any]) -> Box[np.float32]:
    """The space of (obs, previous action, previous reward, done flag).

    Raises:
        BadArgumentError: one of the spaces is not a flat ``Box``.
    """
    for space in (obs, action):
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise BadArgumentError(f"a trial needs flat boxes, got {space}")
    assert isinstance(obs, Box)
    assert isinstance(action, Box)
    lowest = [-np.inf, 0.0]  # reward, done flag
    highest = [np.inf, 1.0]
    low = np.concatenate([obs.low, action.low, lowest], dtype=np.float32)
    high = np.concatenate([obs.high, action.high, highest], dtype=np.float32)
    return Box(low, high, dtype=np.float32)


def first_observation(obs: Observation, space: Box[np.float32]) -> Observation:
    """(..., o + a + 2) at the start of a trial: there is no previous tick, so zeros."""
    size = space.shape[0] - obs.shape[-1]
    zeros = np.zeros((*obs.shape[:-1], size))
    return np.concatenate([obs, zeros], axis=-1, dtype=np.float32)


def trial_observation(
    obs: Observation, action: Array, reward: Array | float, done: Mask | Array | bool
) -> Observation:
    """(..., o + a + 2): an observation (..., o), then the previous action, reward and done flag."""
    rewards = np.expand_dims(reward, -1)
    flags = np.expand_dims(done, -1)
    parts = (obs, action, rewards, flags)
    return np.concatenate(parts, axis=-1, dtype=np.float32)
