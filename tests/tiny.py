"""The smallest family, world, driver and method that the loops can be tested with."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from robots.arm import Body, Limits
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import FLAT_OBJECT, TABLE, Scene
from robots.signals import Array, ArrayLike, Setpoint, Spec, Verdict
from robots.world import Step, Task

ONES = np.ones(2)  # one number per joint
LIMITS = Limits(
    q_low=-3 * ONES,
    q_high=3 * ONES,
    dq=ONES,
    ddq=10 * ONES,
    jerk=100 * ONES,
    tau=ONES,
    tool_box=np.array([[-1.0, 1.0]] * 3),
    tool_speed=2.0,
    force=10.0,
    deadline=0.1,
)


class TinyArm(Body):
    """What stands for an arm where nothing loads its model."""

    gripper = None


BODY = TinyArm("tiny-arm", ("shoulder", "elbow"), 0.1 * ONES, LIMITS)
OTHER = TinyArm("other-arm", ("shoulder", "elbow"), 0.1 * ONES, LIMITS)
CPU = torch.device("cpu")


class Velocity:
    """An action map: joint velocities of at most 0.5 rad/s."""

    spec = Spec(("shoulder", "elbow"), -ONES, ONES, ("1", "1"))

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        return 0.5 * action

    def standstill(self, setpoint: Setpoint) -> Array:
        return np.zeros_like(setpoint.q)


@dataclass(frozen=True)
class RemoteOptions:
    port: str = "here"


class RemoteDriver:
    """A driver of a real arm: time passes by itself, and it cannot place an object."""

    Options = RemoteOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.05, realtime=True)

    def __init__(self, arm: Body, scene: Scene, options: RemoteOptions) -> None:
        if options.port == "nowhere":
            raise BadArgumentError("nothing is at the port 'nowhere'")


class Tiny:
    """Move a point in the plane to a hidden goal."""

    name = "tiny"
    body = BODY
    limits = LIMITS
    scene = Scene(BODY)
    action = Velocity()
    obs = Spec(("x", "y"), -3 * ONES, 3 * ONES, ("rad", "rad"))
    dt = 0.1
    action_repeat = 1
    goal_names: tuple[str, ...] = ()
    tick = 0.05
    horizon = 5
    episodes = 3
    task_names = ("goal.x", "goal.y", "disturbance.latency")
    hidden_reward = True
    observes_state = False
    training_reward = None

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        values = rng.uniform(-1, 1, (n, 3)) * (1, 1, 0.05)
        return Task(self.task_names, values, np.arange(n))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """One for every tick."""
        return np.ones(obs.shape[:-1])

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        offset = obs - task[..., :2]
        return {"distance_m": (offset**2).sum(-1) ** 0.5}


class TinyObject(Tiny):
    """The same with an object that has to be placed."""

    scene = Scene(BODY, (FLAT_OBJECT,), (TABLE,))


def answer(n: int, **changes: Any) -> Step:
    """What a world of n returns when nothing happens, but for some fields."""
    no = np.zeros(n, dtype=bool)
    step = Step(
        obs=np.zeros((n, 2)),
        reward=np.ones(n),
        terminated=no,
        truncated=no,
        success=no,
        applied=np.zeros((n, 2)),
        verdict=np.zeros(n, dtype=np.int64),
        stamp=np.zeros(n),
    )
    return Step(**{**vars(step), **changes})


class Script:
    """A world whose flags are written down: ``ends[kind] = {world: tick}`` sets one flag once."""

    dt = 0.1
    family: Any = Tiny()

    def __init__(self, n: int, **ends: dict[int, int]) -> None:
        self.n = n
        self.ends = ends
        self.tick = 0
        self.resets = 0
        self.actions: list[Array] = []

    def reset(self, task: Task) -> Array:
        self.tick = 0
        self.resets += 1
        return np.full((self.n, 2), -1.0)

    def step(self, action: Array) -> Step:
        self.actions.append(action.copy())
        flags = {}
        for kind, ticks in self.ends.items():
            flags[kind] = np.array([ticks.get(i) == self.tick for i in range(self.n)])
        self.tick += 1
        diverged = flags.pop("diverged", np.zeros(self.n, dtype=bool))
        verdict = np.where(diverged, int(Verdict.DIVERGED), 0)
        obs = np.full((self.n, 2), float(self.tick))
        return answer(self.n, obs=obs, verdict=verdict, **flags)

    def close(self) -> None: ...


class World(Script):
    """The family's physics, built as ``VecWorld`` is: a point that moves from a random start."""

    def __init__(self, family: Any, engine: str | None, n: int, seed: int) -> None:
        super().__init__(n)
        self.family = family
        self.rng = np.random.default_rng(seed)

    def reset(self, task: Task) -> Array:
        self.tick = 0
        self.goal = task.columns("goal.x", "goal.y")
        self.at = self.rng.normal(size=(self.n, 2))
        return self.at.copy()

    def step(self, action: Array) -> Step:
        self.tick += 1
        self.at = self.at + 0.3 * action
        distance = np.linalg.norm(self.at - self.goal, axis=1)
        return answer(
            self.n,
            obs=self.at,
            reward=-distance,
            success=distance < 0.3,
            truncated=np.full(self.n, self.tick == self.family.horizon),
            applied=action,
        )


@dataclass(frozen=True)
class Count:
    """A belief: how often each world was observed, and what was observed last."""

    ticks: torch.Tensor  # (n,)
    last: torch.Tensor  # (n, 2)
    inner: dict[str, torch.Tensor] = field(default_factory=dict)


SCHEDULE = CollectionSchedule(meta_batch=4, episodes_per_trial=2, iterations=3)


@dataclass(frozen=True)
class CounterConfig:
    gain: float = 0.5
    sizes: tuple[int, ...] = (2, 3)
    schedule: CollectionSchedule = field(default_factory=lambda: SCHEDULE)

    @classmethod
    def for_problem(cls, problem: Problem) -> "CounterConfig":
        return cls()


class Counter:
    """Acts on what its belief counted; learns by drawing random numbers."""

    Config = CounterConfig
    privileged = False

    def __init__(
        self, problem: Problem, config: CounterConfig, seed: int, device: torch.device = CPU
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)
        self.net = {
            "weight": torch.zeros(2, 2),
            "obs_norm.mean": torch.zeros(2),
            "obs_norm.inv_std": torch.ones(2),
        }
        self.given_task: Any = "never asked"

    def prior(self, n: int, task: torch.Tensor | None = None) -> Count:
        self.given_task = task
        return Count(torch.zeros(n), torch.zeros(n, 2), {"noise": torch.zeros(n, 1)})

    def act(self, obs: torch.Tensor, belief: Count, explore: bool) -> torch.Tensor:
        counted = 0.01 * belief.ticks[:, None]
        mean = torch.tanh(obs @ self.net["weight"] + self.config.gain * belief.last + counted)
        if explore:
            mean = mean + 0.1 * torch.randn(len(obs), 2, generator=self.generator)
        return mean.clamp(-1, 1)

    def observe(self, belief: Count, transition: Transition) -> Count:
        valid = transition.valid
        last = torch.where(valid[:, None], transition.next_obs, belief.last)
        return Count(belief.ticks + valid, last, belief.inner)

    def adapt(self, belief: Count, episode: Transition) -> Count:
        return Count(belief.ticks + 100, belief.last, belief.inner)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        change = torch.randn(2, 2, generator=self.generator)
        self.net["weight"] = self.net["weight"] + 0.1 * change
        return {"size": float(self.net["weight"].norm())}

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": dict(self.net),
            "generator": self.generator.get_state(),
            "odd": {"big": 2**100, "nan": (1, None)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net = dict(state["net"])
        self.generator.set_state(state["generator"])


class PrivilegedCounter(Counter):
    """The same, but it is given the task."""

    privileged = True
