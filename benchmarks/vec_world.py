"""How fast simulated worlds are: against open-loop C stepping of the same models, and against Gymnasium's vectors.

Each family's episode is simulated by VecWorld with everything on: a model of its own per world, action map, gate,
observation and reward. The servo commands it gave are then replayed, from the same states,

- open loop: one ``mujoco.batch.Batch.rollout`` for the whole episode, which does nothing but physics. The limit;
- in Gymnasium's SyncVectorEnv and AsyncVectorEnv over environments that step MuJoCo from Python, one world each, and
  compute the same observation and reward. They are spared the action map and the gate.

The half-cheetah is Gymnasium's: there, its own ``make_vec("HalfCheetah-v5")`` is the peer, which knows of no tasks.

All take turns in one run; ratios are of medians. Unit: control steps per second, over all worlds.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box
from peers import Row, arguments, compare, show, timed

from robots.arm import Walker
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Family, Task
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.vec_world import VecWorld


class Recorded(MujocoEngine):
    """The engine, and what it told the servos."""

    def load(self, scene: Any, n: int) -> None:
        super().load(scene, n)
        self.told: list[Array] = []

    def step(self, command: Setpoint | Torque, substeps: int) -> None:
        self.told.append(self.control(command, substeps))
        super().step(command, substeps)


@dataclass(frozen=True)
class Episode:
    """Tasks, where they start, what the policy does and what the servos are told."""

    family: Family
    task: Task
    state: Array  # (n, nq + nv) at the start
    actions: Array  # (H, n, a)
    control: Array  # (n, substeps of the episode, j)
    models: list[mujoco.MjModel]


def record(family: Family, n: int) -> Episode:
    engine = Recorded()
    world, rng = VecWorld(family, engine, n), np.random.default_rng(0)
    task = family.sample(rng, n)
    world.reset(task)
    state = np.concatenate([engine.batch.bind("qpos"), engine.batch.bind("qvel")], 1)
    actions = rng.uniform(-1, 1, (family.horizon, n, len(family.action.spec)))
    for action in actions:
        world.step(action)
    models = [engine.batch.get_model(i) for i in range(n)]
    return Episode(family, task, state, actions, np.concatenate(engine.told, 1), models)


class Single(gymnasium.Env):
    """World i of an episode, stepped from Python as Gymnasium's own MuJoCo environments are."""

    def __init__(self, episode: Episode, i: int) -> None:
        family, self.model = episode.family, episode.models[i]
        self.data, self.episode, self.i, self.k = mujoco.MjData(self.model), episode, i, 0
        self.ticks = round(family.dt / family.tick)
        self.substeps = round(family.tick / family.scene.timestep)
        self.observation_space = Box(-np.inf, np.inf, (len(family.obs),), np.float64)
        self.action_space = Box(-1, 1, (len(family.action.spec),), np.float64)
        self.tool, self.values = self.model.body(family.body.tool).id, episode.task.values[i]
        self.marker = family.marker(episode.task)[i : i + 1]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        mujoco.mj_resetData(self.model, self.data)
        nq = self.model.nq
        self.data.qpos[:], self.data.qvel[:] = (
            self.episode.state[self.i, :nq],
            self.episode.state[self.i, nq:],
        )
        self.k = 0
        self.obs = self._look()
        return self.obs, {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        control, family = self.episode.control[self.i], self.episode.family
        for tick in range(self.ticks):
            self.data.ctrl[:] = control[(self.k * self.ticks + tick) * self.substeps]
            mujoco.mj_step(self.model, self.data, self.substeps)
        before, self.obs, self.k = self.obs, self._look(), self.k + 1
        reward = float(family.reward(before, action, self.obs, self.values))
        return self.obs, reward, False, self.k >= family.horizon, {}

    def _look(self) -> Array:
        d, j = self.data, len(self.episode.family.body.joints)
        mujoco.mj_step1(self.model, d)  # sensors as they are now, not a substep ago
        loose = self.model.nq > j
        nothing = np.full((1, 7), np.nan)
        pose = d.qpos[None, j:] if loose else nothing
        signals = Signals(
            q=d.qpos[None, :j],
            dq=d.qvel[None, :j],
            tau=d.actuator_force[None],
            tool_pos=d.xpos[None, self.tool],
            tool_quat=d.xquat[None, self.tool],
            tool_vel=d.sensordata[None, :3],
            object_pos=pose[:, :3],
            object_quat=pose[:, 3:],
            object_vel=d.sensordata[None, 3:9] if loose else nothing[:, :6],
            marker=self.marker,
            stamp=np.array([d.time]),
        )
        return np.array(self.episode.family.observe(signals)[0])


def ours(episode: Episode, threads: int | None) -> Callable[[], float]:
    world = VecWorld(episode.family, MujocoEngine(threads), len(episode.task))

    def run() -> float:
        world.reset(episode.task)
        return timed(lambda: [world.step(action) for action in episode.actions])

    return run


def open_loop(episode: Episode, threads: int | None) -> Callable[[], float]:
    world = VecWorld(episode.family, engine := MujocoEngine(threads), len(episode.task))

    def run() -> float:
        world.reset(episode.task)
        return timed(
            lambda: engine.batch.rollout(episode.control.shape[1], episode.control, record=())
        )

    return run


def gymnasiums(episode: Episode, mode: str, until: ExitStack) -> Callable[[], float]:
    if isinstance(episode.family.body, Walker):
        envs: Any = gymnasium.make_vec("HalfCheetah-v5", len(episode.task), mode)
    else:
        vector = {"sync": gymnasium.vector.SyncVectorEnv, "async": gymnasium.vector.AsyncVectorEnv}[
            mode
        ]
        envs = vector([lambda i=i: Single(episode, i) for i in range(len(episode.task))])
    until.callback(envs.close)

    def run() -> float:
        envs.reset()
        return timed(lambda: [envs.step(action) for action in episode.actions])

    return run


def measure(name: str, n: int, threads: int | None, repeats: int) -> list[Row]:
    """Ours against each peer."""
    episode = record(FAMILIES[name](), n)
    with ExitStack() as until:
        runs = {
            "SyncVectorEnv": gymnasiums(episode, "sync", until),
            "AsyncVectorEnv": gymnasiums(episode, "async", until),
            "open-loop C": open_loop(episode, threads),
            "ours": ours(episode, threads),
        }
        steps = n * episode.family.horizon
        return compare(
            lambda peer: f"VecWorld {name} over {peer}, {n} worlds", "steps/s", steps, runs, repeats
        )


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument(
        "--families",
        nargs="+",
        default=["reach", "slide", "cheetah_vel"],
        help="that run on MuJoCo",
    )
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument(
        "--threads", type=int, help="of the engine; all cores, where it is not said"
    )
    asked = parser.parse_args()
    rows = [
        row
        for name in asked.families
        for row in measure(name, asked.worlds, asked.threads, asked.repeats)
    ]
    show(rows, asked.json)


if __name__ == "__main__":
    main()
