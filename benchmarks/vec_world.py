"""Speed of simulated worlds against open-loop C stepping and against Gymnasium's vectors.

VecWorld simulates each family's episode with everything on: a model per world, action map, gate,
observation and reward. The control signals that it gave are then replayed, from the same states,

- open loop: one ``mujoco.batch.Batch.rollout`` for the whole episode, which does nothing but
  physics: the upper limit;
- in Gymnasium's SyncVectorEnv and AsyncVectorEnv over environments that step MuJoCo from Python,
  one world each, and compute the same observation and reward without action map and gate.

The half-cheetah is Gymnasium's: there, its own ``make_vec("HalfCheetah-v5")`` is the peer, which
has no tasks.

All take turns in one run; ratios are of medians. Unit: control steps per second, over all worlds.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box
from peers import Row, arguments, compare, show

from robots.arm import Walker
from robots.signals import Array, Signals
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.speed import Episode, open_loop_run, record, timed, vec_world_run
from sim.vec_world import VecWorld

VECTORS = {
    "sync": gymnasium.vector.SyncVectorEnv,
    "async": gymnasium.vector.AsyncVectorEnv,
}


class SingleWorld(gymnasium.Env):
    """World i of an episode, stepped from Python as Gymnasium's own MuJoCo environments are."""

    def __init__(self, episode: Episode, i: int) -> None:
        family = episode.family
        self.family = family
        self.model = episode.models[i]
        self.data = mujoco.MjData(self.model)
        self.state = episode.state[i]
        self.control = episode.control[i]
        self.task = episode.task.values[i]
        self.marker = family.marker(episode.task)[i : i + 1]
        self.tool = self.model.body(family.body.tool).id
        self.ticks = round(family.dt / family.tick)
        self.substeps = round(family.tick / family.scene.timestep)
        obs_shape = (len(family.obs),)
        action_shape = (len(family.action.spec),)
        self.observation_space = Box(-np.inf, np.inf, obs_shape, np.float64)
        self.action_space = Box(-1, 1, action_shape, np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        mujoco.mj_resetData(self.model, self.data)
        nq = self.model.nq
        self.data.qpos[:] = self.state[:nq]
        self.data.qvel[:] = self.state[nq:]
        self.steps_done = 0
        self.obs = self._observe()
        return self.obs, {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        first_tick = self.steps_done * self.ticks
        for tick in range(first_tick, first_tick + self.ticks):
            substep = tick * self.substeps
            self.data.ctrl[:] = self.control[substep]
            mujoco.mj_step(self.model, self.data, self.substeps)
        obs = self.obs
        self.obs = self._observe()
        self.steps_done += 1
        reward = float(self.family.reward(obs, action, self.obs, self.task))
        is_over = self.steps_done >= self.family.horizon
        return self.obs, reward, False, is_over, {}

    def _observe(self) -> Array:
        data = self.data
        joints = len(self.family.body.joints)
        mujoco.mj_step1(self.model, data)  # sensors as they are now, not a substep ago
        pose = np.full((1, 7), np.nan)
        twist = np.full((1, 6), np.nan)
        if self.model.nq > joints:
            pose = data.qpos[None, joints:]
            twist = data.sensordata[None, 3:9]
        signals = Signals(
            q=data.qpos[None, :joints],
            dq=data.qvel[None, :joints],
            tau=data.actuator_force[None],
            tool_pos=data.xpos[None, self.tool],
            tool_quat=data.xquat[None, self.tool],
            tool_vel=data.sensordata[None, :3],
            object_pos=pose[:, :3],
            object_quat=pose[:, 3:],
            object_vel=twist,
            marker=self.marker,
            stamp=np.array([data.time]),
        )
        (obs,) = self.family.observe(signals)
        return np.array(obs)


def make_cheetah() -> gymnasium.Env:
    """Gymnasium's own, without a warning for each that its model is written in an older way."""
    log = mujoco.MjLogConfig.get()
    log.logto_file = False
    log.logto_console = False
    log.set()
    return gymnasium.make("HalfCheetah-v5")


def time_gymnasium(episode: Episode, mode: str, until: ExitStack) -> Callable[[], float]:
    count = len(episode.task)
    if isinstance(episode.family.body, Walker):
        make_world: list[Callable[[], gymnasium.Env]] = [make_cheetah] * count
    else:
        make_world = [partial(SingleWorld, episode, i) for i in range(count)]
    envs = VECTORS[mode](make_world)
    until.callback(envs.close)

    def run() -> float:
        envs.reset()
        return timed(lambda: [envs.step(action) for action in episode.actions])

    return run


def measure(name: str, n: int, threads: int | None, repeats: int) -> list[Row]:
    """Ours against each peer."""
    episode = record(FAMILIES[name](), n)
    world = VecWorld(episode.family, MujocoEngine(threads), n)

    def title(peer: str) -> str:
        return f"VecWorld {name} over {peer}, {n} worlds"

    with ExitStack() as until:
        runs = {
            "SyncVectorEnv": time_gymnasium(episode, "sync", until),
            "AsyncVectorEnv": time_gymnasium(episode, "async", until),
            "open-loop C": open_loop_run(episode, threads),
            "ours": vec_world_run(world, episode.task, episode.actions),
        }
        return compare(title, "steps/s", episode.control_steps, runs, repeats)


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument(
        "--families",
        nargs="+",
        default=["reach", "cheetah_vel"],
        help="that run on MuJoCo, with steps of one length",
    )
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--threads", type=int, help="of the engine; default: all cores")
    options = parser.parse_args()
    rows = []
    for name in options.families:
        family = FAMILIES[name]()
        if family.action_repeat > 1 or family.scene.contact_timestep is not None:
            parser.error(f"{name} holds its actions or refines its steps: that is not replayed")
        rows += measure(name, options.worlds, options.threads, options.repeats)
    show(rows, options.json)


if __name__ == "__main__":
    main()
