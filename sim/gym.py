"""Every family as a Gymnasium environment, single and vectorized.

    import gymnasium
    import sim.gym  # registers pliant/FAMILY-v0 for every family

    env = gymnasium.make("pliant/point-v0", split="heldout", render_mode="rgb_array")
    envs = gymnasium.make_vec("pliant/slide-v0", num_envs=64, autoreset_mode="SameStep")

``gymnasium.make("sim.gym:pliant/point-v0")`` needs no import. ``FamilyVectorEnv`` describes the
arguments; ``sim.gym_trials`` has wrappers for meta-training.
"""

from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask, Verdict
from robots.world import Family, Task
from sim.families import FAMILIES, make_family
from sim.families.splits import heldout
from sim.gym_info import (
    Info,
    Observation,
    TaskRequest,
    final_info,
    step_info,
    task_values,
    with_masks,
)
from sim.metaworld.names import metaworld_names
from sim.suite.names import suite_names
from sim.vec_world import VecWorld

Frame: TypeAlias = NDArray[np.uint8]  # (h, w, 3)
ResetResult: TypeAlias = tuple[Observation, Info]
StepResult: TypeAlias = tuple[Observation, Array, Mask, Mask, Info]

RENDER_MODES = ["rgb_array"]
DIVERGED = int(Verdict.DIVERGED)


class FamilyVectorEnv(VectorEnv[Observation, Array, Any]):
    """n worlds of a family; each episode has a new task unless ``reset`` is given one.

    ``info`` holds, with Gymnasium's masks ``_NAME``:

    - ``task`` (n, p): the true parameters, in the order of ``task_names``.
      ``reset(options={"task": info["task"]})`` repeats the task; with the same seed it repeats the
      whole episode;
    - ``task_names``: for each world the tuple of p parameter names;
    - after a step ``success`` (n,) bool, ``applied`` (n, a), the action as it reached the joints,
      and ``verdict`` (n,), what the safety gate did, as flags of ``robots.signals.Verdict``.

    An episode is truncated at the family's horizon, and where the physics of its world diverged.
    Observations have a scale but no bounds, so the observation space is unbounded.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  Gymnasium declares it so
        "render_modes": RENDER_MODES,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        family: str,
        num_envs: int = 1,
        engine: str | None = None,
        split: str = "train",
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        arm: str | None = None,
    ) -> None:
        """Build the worlds.

        Args:
            family: a registered name (``pliant list``), or ``"package.module:Class"``.
            num_envs: number of worlds, n.
            engine: ``"mujoco"``, ``"bullet"`` or ``"ideal"``; None takes the first that supports
                the family's scene.
            split: tasks are drawn from ``"train"`` or from ``"heldout"``.
            render_mode: ``"rgb_array"``, or None for no rendering.
            autoreset_mode: ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``, Gymnasium's modes.
            arm: for a family that runs on several arms, such as ``"reach"``; None: its default.

        Raises:
            UnknownNameError: there is no such family or arm.
            BadArgumentError: engine, split or mode is not possible; the message lists the choices.
        """
        heldout(split)  # raises if there is no such split
        if render_mode is not None and render_mode not in RENDER_MODES:
            allowed = ", ".join(RENDER_MODES)
            raise BadArgumentError(f"render_mode must be {allowed} or None, got {render_mode!r}")
        instance = make_family(family, arm)
        self.world = VecWorld(instance, engine, num_envs)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.task_names = instance.task_names
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {
            "render_modes": RENDER_MODES,
            "render_fps": max(1, round(1 / (instance.dt * instance.action_repeat))),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space, self.single_action_space = spaces(instance)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._split = split
        self._over = np.zeros(num_envs, dtype=bool)
        # (n,) tuples: Gymnasium batches values that are not arrays in an array of objects
        self._names = np.empty(num_envs, dtype=object)
        for row in range(num_envs):
            self._names[row] = instance.task_names

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> ResetResult:
        """Begin new episodes.

        Args:
            seed: of tasks, starts and disturbances; None continues the random numbers.
            options: ``"task"``: parameters (n, p) or (p,) in the order of ``task_names``, or a
                dict of them by name; without it tasks are drawn. ``"reset_mask"`` (n,) bool: the
                worlds that begin an episode; the others continue.

        Raises:
            BadArgumentError: the task has other parameters, another shape, or is not finite.
        """
        super().reset(seed=seed)
        options = options or {}
        all_worlds = np.ones(self.num_envs, dtype=bool)
        mask = options.get("reset_mask", all_worlds)
        task = options.get("task")
        obs = self._begin(np.asarray(mask, dtype=bool), task)
        return obs, self._task_info()

    def step(self, actions: Array) -> StepResult:
        """One control period with actions (n, a) in [-1, 1].

        Raises:
            gymnasium.error.ResetNeeded: an episode has ended and ``autoreset_mode`` is disabled.
        """
        waiting = self._over
        if self.autoreset_mode == AutoresetMode.DISABLED and waiting.any():
            rows = np.flatnonzero(waiting).tolist()
            raise gymnasium.error.ResetNeeded(f"reset worlds {rows}: their episodes have ended")
        actions = np.where(waiting[:, None], 0.0, actions)
        step = self.world.step(actions)
        diverged = (step.verdict & DIVERGED) > 0
        terminated = step.terminated & ~waiting
        truncated = (step.truncated | diverged) & ~waiting
        reward = np.where(waiting, 0.0, step.reward)
        obs = step.obs.astype(np.float32)
        info = step_info(step, ~waiting)
        self._over = terminated | truncated
        starting = waiting
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            starting = self._over
            if starting.any():
                info = final_info(obs, info | self._task_info(), starting)
        if starting.any():
            first = self._begin(starting)
            obs = np.where(starting[:, None], first, obs)
        info |= self._task_info()
        return obs, reward, terminated, truncated, info

    def render(self) -> tuple[Frame, ...] | None:
        """One picture (h, w, 3) of each world; None without ``render_mode="rgb_array"``."""
        if self.render_mode is None:
            return None
        from sim.rendering import render_frame  # imports renderers that training does not need

        return tuple(render_frame(self.world, row) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Release the engine."""
        self.world.close()

    def _begin(self, mask: Mask, requested: TaskRequest | None = None) -> Observation:
        """Begin an episode in some worlds.

        Tasks are drawn even if they are given, so that a seed leads to the same starts and the same
        disturbances in both cases.
        """
        rng = self.np_random
        family = self.world.family
        self.world.rng = rng
        task = family.sample(rng, self.num_envs, self._split)
        if requested is not None:
            values = task_values(requested, self.task_names, self.num_envs)
            task = Task(self.task_names, values, task.ids)
        self._over = self._over & ~mask
        obs = self.world.reset(task, mask)
        return obs.astype(np.float32)

    def _task_info(self) -> Info:
        assert self.world.task is not None
        values = self.world.task.columns(*self.task_names)
        info = {"task": values, "task_names": self._names}
        all_worlds = np.ones(self.num_envs, dtype=bool)
        return with_masks(info, all_worlds)


class FamilyEnv(gymnasium.Env[Observation, Array]):
    """One world of a family: the same numbers as a ``FamilyVectorEnv`` of one world."""

    metadata: dict[str, Any] = {"render_modes": RENDER_MODES}  # noqa: RUF012

    def __init__(
        self,
        family: str,
        engine: str | None = None,
        split: str = "train",
        render_mode: str | None = None,
        arm: str | None = None,
    ) -> None:
        """Build the world; the arguments are those of ``FamilyVectorEnv``."""
        disabled = AutoresetMode.DISABLED
        vector = FamilyVectorEnv(family, 1, engine, split, render_mode, disabled, arm)
        self._vector = vector
        self.world = vector.world
        self.task_names = vector.task_names
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": RENDER_MODES,
            "render_fps": vector.metadata["render_fps"],
        }
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> ResetResult:
        """Begin an episode of a new task, or of ``options["task"]``: (p,) or a dict by name."""
        super().reset(seed=seed)
        obs, info = self._vector.reset(seed=seed, options=options)
        return obs[0], _first_row(info)

    def step(self, action: Array) -> tuple[Observation, float, bool, bool, Info]:
        """One control period with an action (a,) in [-1, 1]."""
        actions = np.asarray(action)[None]
        obs, reward, terminated, truncated, info = self._vector.step(actions)
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first_row(info)

    def render(self) -> Frame | None:
        """A picture (h, w, 3); None without ``render_mode="rgb_array"``."""
        frames = self._vector.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Release the engine."""
        self._vector.close()


def parse_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Gymnasium's mode of this name; BadArgumentError lists the names that exist."""
    if isinstance(mode, AutoresetMode):
        return mode
    allowed = [one.value for one in AutoresetMode]
    if mode not in allowed:
        raise BadArgumentError(f"autoreset_mode must be one of {', '.join(allowed)}, got {mode!r}")
    return AutoresetMode(mode)


def spaces(family: Family) -> tuple[Box, Box]:
    """Observation and action space of one world."""
    obs = Box(-np.inf, np.inf, (len(family.obs),), np.float32)
    action = Box(-1.0, 1.0, (len(family.action.spec),), np.float32)
    return obs, action


def environment_id(family: str) -> str:
    """Gymnasium's name of a family: ``pliant/FAMILY-v0``, with - for a slash."""
    return f"pliant/{family.replace('/', '-')}-v0"


def register() -> None:
    """Make every family known to Gymnasium by its ``environment_id``."""
    for family in (*FAMILIES, *suite_names(), *metaworld_names()):
        name = environment_id(family)
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="sim.gym:FamilyEnv",
                vector_entry_point="sim.gym:FamilyVectorEnv",
                kwargs={"family": family},
            )


def _first_row(info: Info) -> Info:
    return {name: value[0] for name, value in info.items() if not name.startswith("_")}


register()
