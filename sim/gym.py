"""Every family as a Gymnasium environment: ``import sim.gym``, then ``gymnasium.make_vec("pliant/slide-v0", 64)``.

Gymnasium without an import of this module: ``gymnasium.make_vec("sim.gym:pliant/slide-v0", num_envs=64)``.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robots.signals import Array, Verdict
from robots.world import Step, Task
from sim.families import FAMILIES
from sim.vec_world import VecWorld

Answer = tuple[Array, dict[str, Any]]
StepAnswer = tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class FamilyVectorEnv(VectorEnv):
    """A VecWorld whose worlds draw a new task for every episode; one that is over begins anew at its next step.

    ``info`` holds ``task`` (n, p), the true parameters, and after a step ``success``, ``verdict`` and ``applied``.
    An episode is truncated at the family's horizon, and where the physics of its world diverged.
    """

    def __init__(
        self,
        family: str,
        num_envs: int = 1,
        engine: str | None = None,
        split: str = "train",
        render_mode: None = None,
    ) -> None:
        """``split`` is the one tasks are drawn from; nothing is rendered here, ``pliant view`` does."""
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.num_envs, self.render_mode, self._split = num_envs, render_mode, split
        self.world = VecWorld(FAMILIES[family](), engine, num_envs)
        self.single_observation_space, self.single_action_space = spaces(self.world)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = np.ones(num_envs, dtype=bool)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Answer:
        """Begin new episodes of new tasks, or of ``options["task"]``, in all worlds or ``options["reset_mask"]``."""
        super().reset(seed=seed)
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        obs = self._begin(mask, options.get("task"))
        return obs, self._info(None)

    def step(self, actions: Array) -> StepAnswer:
        """One control period; worlds that were over begin anew instead, and are paid nothing."""
        anew = self._over
        answer = self.world.step(np.where(anew[:, None], 0.0, actions))
        obs = _float32(answer.obs)
        diverged = (answer.verdict & int(Verdict.DIVERGED)) > 0
        terminated, truncated = answer.terminated & ~anew, (answer.truncated | diverged) & ~anew
        reward = np.where(anew, 0.0, answer.reward)
        if anew.any():
            obs = np.where(anew[:, None], self._begin(anew), obs)
        self._over = terminated | truncated
        return obs, reward, terminated, truncated, self._info(answer)

    def _begin(self, mask: NDArray[np.bool_], task: Task | None = None) -> Array:
        self.world.rng = self.np_random
        drawn = (
            self.world.family.sample(self.np_random, self.num_envs, self._split)
            if task is None
            else task
        )
        self._over = self._over & ~mask
        return _float32(self.world.reset(drawn, mask))

    def _info(self, answer: Step | None) -> dict[str, Any]:
        assert self.world.task is not None
        info: dict[str, Any] = {"task": self.world.task.values.copy()}
        if answer is not None:
            info |= {
                "success": answer.success,
                "verdict": answer.verdict,
                "applied": answer.applied,
            }
        everyone = np.ones(self.num_envs, dtype=bool)
        return info | {f"_{key}": everyone for key in info}

    def close_extras(self, **kwargs: Any) -> None:
        """Release the engine."""
        self.world.close()


class FamilyEnv(gymnasium.Env):
    """One world of a family; the same numbers as a vector of one."""

    def __init__(
        self, family: str, engine: str | None = None, split: str = "train", render_mode: None = None
    ) -> None:
        """As for ``FamilyVectorEnv``."""
        self.metadata = {"render_modes": []}
        self.render_mode = render_mode
        self._vector = FamilyVectorEnv(family, 1, engine, split)
        self.observation_space, self.action_space = spaces(self._vector.world)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Answer:
        """Begin a new episode of a new task, or of ``options["task"]``."""
        super().reset(seed=seed)
        obs, info = self._vector.reset(seed=seed, options=options)
        return obs[0], _first(info)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One control period."""
        obs, reward, terminated, truncated, info = self._vector.step(np.asarray(action)[None])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def close(self) -> None:
        """Release the engine."""
        self._vector.close()


def spaces(world: VecWorld) -> tuple[Box, Box]:
    """Observation and action of one world; a family's ranges scale observations, they do not bound them."""
    obs = Box(-np.inf, np.inf, (len(world.family.obs),), np.float32)
    return obs, Box(-1.0, 1.0, (len(world.family.action.spec),), np.float32)


def register() -> None:
    """Make every registered family known to Gymnasium, as ``pliant/FAMILY-v0``."""
    for family in FAMILIES:
        if (name := f"pliant/{family}-v0") not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="sim.gym:FamilyEnv",
                vector_entry_point="sim.gym:FamilyVectorEnv",
                kwargs={"family": family},
            )


def _float32(obs: Array) -> Any:
    return obs.astype(np.float32)


def _first(info: dict[str, Any]) -> dict[str, Any]:
    return {key: value[0] for key, value in info.items() if not key.startswith("_")}


register()
