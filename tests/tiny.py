"""The smallest family, world and method that the loops can be tested with, in a few lines of NumPy and torch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from robots.arm import Body, Limits
from robots.scene import Scene
from robots.signals import Array, Setpoint, Spec, Verdict
from robots.world import Step, Task

J = np.ones(2)
LIMITS = Limits(-3 * J, 3 * J, J, 10 * J, 100 * J, J, np.array([[-1.0, 1.0]] * 3), 10.0, 0.1)
BODY = Body("tiny-arm", ("shoulder", "elbow"), 0.1 * J, LIMITS)
OTHER = Body("other-arm", ("shoulder", "elbow"), 0.1 * J, LIMITS)


class Velocity:
    spec = Spec(("shoulder", "elbow"), -J, J, ("1", "1"))

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        return 0.5 * action


@dataclass(frozen=True)
class ElsewhereOptions:
    port: str = "here"


class RemoteDriver:
    """A driver of an arm that is somewhere else: it cannot place an object."""

    Options = ElsewhereOptions

    def __init__(self, arm: Body, scene: Any, options: ElsewhereOptions) -> None:
        if options.port == "nowhere":
            raise ValueError("nothing is nowhere")


class Tiny:
    """Move a point in the plane to a hidden goal."""

    name = "tiny"
    body = BODY
    limits = LIMITS
    scene = Scene(BODY, loose_object=True)
    engines = ("ideal",)
    action = Velocity()
    obs = Spec(("x", "y"), -3 * J, 3 * J, ("rad", "rad"))
    dt = 0.1
    tick = 0.05
    horizon = 5
    episodes = 3
    task_names = ("goal.x", "goal.y", "disturbance.latency")
    hidden_reward = True

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        values = rng.uniform(-1, 1, (n, 3)) * (1, 1, 0.05)
        return Task(self.task_names, values, np.arange(n))


def answer(n: int, **changes: Any) -> Step:
    no = np.zeros(n, dtype=bool)
    step = {
        "obs": np.zeros((n, 2)),
        "reward": np.ones(n),
        "terminated": no,
        "truncated": no,
        "success": no,
    }
    step |= {
        "applied": np.zeros((n, 2)),
        "verdict": np.zeros(n, dtype=np.int64),
        "stamp": np.zeros(n),
    }
    return Step(**(step | changes))


class Script:
    """A world whose answers are written down: ``ends[kind] = {world: tick}`` says what happens where and when."""

    dt = 0.1
    family: Any = Tiny()

    def __init__(self, n: int, **ends: dict[int, int]) -> None:
        self.n, self.ends, self.tick, self.resets, self.actions = n, ends, 0, 0, []

    def reset(self, task: Task) -> Array:
        self.tick, self.resets = 0, self.resets + 1
        return np.full((self.n, 2), -1.0)

    def step(self, action: Array) -> Step:
        self.actions.append(action.copy())
        at = {
            kind: np.array([rows.get(i) == self.tick for i in range(self.n)])
            for kind, rows in self.ends.items()
        }
        self.tick += 1
        verdict = np.where(
            at.pop("diverged", np.zeros(self.n, dtype=bool)), int(Verdict.DIVERGED), 0
        )
        return answer(self.n, obs=np.full((self.n, 2), float(self.tick)), verdict=verdict, **at)

    def close(self) -> None: ...


class World(Script):
    """The family's true world, built as ``VecWorld`` is: a point that moves as it is told, from a random start."""

    def __init__(self, family: Tiny, engine: str, n: int, seed: int) -> None:
        super().__init__(n)
        self.rng = np.random.default_rng(seed)

    def reset(self, task: Task) -> Array:
        self.tick, self.goal = 0, task.columns("goal.x", "goal.y")
        self.at = self.rng.normal(size=(self.n, 2))
        return self.at.copy()

    def step(self, action: Array) -> Step:
        self.tick += 1
        self.at = self.at + 0.3 * action
        far = np.linalg.norm(self.at - self.goal, axis=1)
        over = np.full(self.n, self.tick == self.family.horizon)
        return answer(
            self.n, obs=self.at, reward=-far, success=far < 0.3, truncated=over, applied=action
        )


@dataclass(frozen=True)
class Count:
    """How often each world was seen, and what was last seen there."""

    ticks: torch.Tensor  # (n,)
    last: torch.Tensor  # (n, 2)
    inner: dict[str, torch.Tensor] = field(default_factory=dict)


SCHEDULE = CollectionSchedule(meta_batch=4, episodes_per_trial=2, iterations=3)


@dataclass(frozen=True)
class CounterConfig:
    gain: float = 0.5
    sizes: tuple[int, ...] = (2, 3)
    schedule: CollectionSchedule = SCHEDULE

    @classmethod
    def for_family(cls, name: str) -> "CounterConfig":
        return cls()


class Counter:
    """Acts on what its belief counted; learns by drawing random numbers."""

    Config = CounterConfig
    privileged = False

    def __init__(self, problem: Problem, config: CounterConfig, seed: int) -> None:
        self.problem, self.config, self.schedule = problem, config, config.schedule
        self.generator = torch.Generator().manual_seed(seed)
        self.net = {
            "weight": torch.zeros(2, 2),
            "obs.shift": torch.zeros(2),
            "obs.scale": torch.ones(2),
        }
        self.told: Any = "nothing"

    def prior(self, n: int, task: torch.Tensor | None = None) -> Count:
        self.told = task
        return Count(torch.zeros(n), torch.zeros(n, 2), {"noise": torch.zeros(n, 1)})

    def act(self, obs: torch.Tensor, belief: Count, explore: bool) -> torch.Tensor:
        noise = 0.1 * torch.randn(len(obs), 2, generator=self.generator) if explore else 0.0
        action = torch.tanh(
            obs @ self.net["weight"] + self.config.gain * belief.last + 0.01 * belief.ticks[:, None]
        )
        return (action + noise).clamp(-1, 1)

    def observe(self, belief: Count, transition: Transition) -> Count:
        seen = transition.valid
        return Count(
            belief.ticks + seen,
            torch.where(seen[:, None], transition.next_obs, belief.last),
            belief.inner,
        )

    def adapt(self, belief: Count, episode: Transition) -> Count:
        return Count(belief.ticks + 100, belief.last, belief.inner)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        self.net["weight"] = self.net["weight"] + 0.1 * torch.randn(2, 2, generator=self.generator)
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


class Told(Counter):
    """The same, but told the task."""

    privileged = True
