"""One environment of metaworld, which begins episodes where it is told to."""

import sys
from functools import cache, partial
from typing import Any

import mujoco
import numpy as np
from numpy.random import RandomState

from robots.errors import BadArgumentError
from robots.signals import Array
from sim.metaworld.package import environment_classes, observe

TASK = "fixture.task"  # the number of the task in ``TASKS``
PLACES = 6  # numbers that say where a task's things are; tasks that need three leave the rest 0
PLACE_NAMES = tuple(f"fixture.place_{i}" for i in range(PLACES))
GOALS = 50  # that a benchmark has of each task and split
OBSERVED = 39  # numbers of an observation of metaworld
FRAME_SKIP = 5  # physics steps of an action
TIMESTEP = 0.0025  # s, of a physics step
QPOS = 18  # the most that a task's model has; others leave the rest 0
QVEL = 17
RESETS = 2  # ``reset`` of metaworld places everything twice
ROUNDING = 1e-9  # m
# After these warnings MuJoCo goes on with a state that it has reset.
FATAL = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
    mujoco.mjtWarning.mjWARN_BADCTRL,
)


class TaskEnvironment:
    """An environment of metaworld with the goal hidden, as in its benchmarks for meta-learning.

    Attributes:
        task: its name.
        env: metaworld's own object.
        observation: (39,) the newest.
        reward: of the last action; 0 before the first.
        success: whether the last action has reached the goal.
        steps: actions since the episode began.
        diverged: whether the physics broke down in this episode.
    """

    def __init__(self, task: str) -> None:
        """Load the model.

        Raises:
            MissingExtraError: metaworld is not installed.
        """
        self.task = task
        self.env = environment_classes()[task]()
        self.env.max_path_length = sys.maxsize  # the family's horizon ends an episode
        self.env._set_task_called = True
        self.env._get_state_rand_vec = self._given_places
        self.env._get_curr_obs_combined_no_goal = partial(observe, self.env)
        self._places = np.zeros(0)
        self._asked = 0
        self._clear(np.zeros(OBSERVED))

    def reset(self, places: Array) -> None:
        """Begin an episode.

        Args:
            places: (6,) m, where object and goal are: metaworld's ``rand_vec`` and zeros.

        Raises:
            BadArgumentError: metaworld does not draw such places.
        """
        self._places = self._checked(places)
        self._asked = 0
        observation, _ = self.env.reset()
        self._clear(np.array(observation))

    def _clear(self, observation: Array) -> None:
        """Set the attributes of an episode that begins."""
        self.observation = observation
        self.reward = 0.0
        self.success = False
        self.steps = 0
        self.diverged = False

    def step(self, action: Array) -> None:
        """Act (4,) for ``FRAME_SKIP`` physics steps.

        After an action that is not finite, or if the physics break down, the environment stands
        still until it is reset.
        """
        self.steps += 1
        self.diverged |= not np.isfinite(action).all()
        if self.diverged:
            return
        try:
            observation, reward, _, _, info = self.env.step(action)
        except mujoco.FatalError:
            self.diverged = True
            return
        warnings = self.env.data.warning
        self.diverged = any(warnings[int(kind)].number for kind in FATAL)
        if not self.diverged:
            self.observation = observation
            self.reward = float(reward)
            self.success = bool(info["success"])

    def _checked(self, places: Array) -> Array:
        """The numbers that this task uses, in the ranges that metaworld draws them from."""
        space = self.env._random_reset_space
        used = places[: space.low.size].copy()
        inside = (used >= space.low - ROUNDING) & (used <= space.high + ROUNDING)
        if not inside.all():
            i = int(np.flatnonzero(~inside)[0])
            low = space.low[i]
            high = space.high[i]
            raise BadArgumentError(
                f"{PLACE_NAMES[i]} of {self.task} must be from {low:g} to {high:g} m, got {used[i]}"
            )
        return used

    def _given_places(self) -> Array:
        """What metaworld asks for instead of drawing; it asks again where it refuses them."""
        self._asked += 1
        if self._asked > RESETS:
            raise BadArgumentError(
                f"{self.task}: object and goal are too close together at {self._places} m"
            )
        return self._places


@cache
def published_places(task: str, seed: int) -> Array:
    """The 50 goals of a task, (50, 6) m, that a benchmark of metaworld draws from a seed.

    metaworld simulates how the hand gets to its start before it draws a place. What is drawn does
    not depend on it; here the hand stays where it is, which takes a tenth of the time.

    Raises:
        MissingExtraError: metaworld is not installed.
    """
    env: Any = environment_classes()[task]()
    random = RandomState(seed)  # the generator behind np.random.seed, which metaworld draws from
    space = env._random_reset_space
    drawn = np.zeros((GOALS, PLACES))
    last: Array = np.zeros(0)

    def draw() -> Array:
        nonlocal last
        last = random.uniform(space.low, space.high, space.low.size)
        return last

    def leave_hand(*_: object) -> None:
        mujoco.mj_forward(env.model, env.data)
        env.init_tcp = env.tcp_center

    env._get_state_rand_vec = draw
    env._reset_hand = leave_hand
    for row in drawn:
        env.reset()
        row[: last.size] = last
    return drawn
