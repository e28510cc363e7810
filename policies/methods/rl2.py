"""RL² (Duan et al. 2016): a recurrent policy whose memory is its adaptation.

PPO trains it on whole trials. The memory is reset for a new task only, never between the episodes
of a trial. It reads the observation and the outcome of the previous tick: the action after the
gate, the reward, and whether an episode begins now. The last reward of an episode is read with the
first observation of the next. The return is that of the whole trial, so exploration in the first
episode pays off in later ones.
Axes: L ticks of a trial, n worlds, o observation, a action, h memory.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from policies.belief import map_tensors, where
from policies.method import Problem, Transition, TrialBatch
from policies.nn.memory import GruMemory, LstmMemory, Memory
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import SavedState, make_generator
from policies.ranges import Width
from policies.rl.ppo import PpoConfig, PpoLearner

S = TypeVar("S")  # the state of a memory


@dataclass(frozen=True)
class Rl2Config(PpoConfig):
    """Settings: PPO's, and the size of the memory."""

    memory_size: Width = 64  # units of the memory; RL² has 256, VariBAD's RL² 128
    memory: Literal["gru", "lstm"] = "gru"  # kind of the memory
    # whether the memory generates the weights of policy and critic, which then read the observation
    # alone (Beck et al. 2023); otherwise they read both
    hypernetwork: bool = False


@dataclass(frozen=True)
class Rl2Belief(Generic[S]):
    """The memory, and the outcome of the last tick, which is read with the next observation."""

    hidden: S  # the memory's state; of a GRU a tensor (n, h)
    action: Tensor  # (n, a) as applied
    reward: Tensor  # (n,)
    begins: Tensor  # (n,) 1 where the next tick is the first of an episode, else 0


class Rl2Encoder(nn.Module, Generic[S]):
    """Features [memory, normalized observation] of every tick, (..., h + o)."""

    def __init__(self, obs: int, memory: Memory[S], device: torch.device) -> None:
        """``obs`` is o; the memory reads o + a + 2 columns."""
        super().__init__()
        self.obs_norm = RunningNormalizer(obs, device)
        self.reward_norm = RunningNormalizer(1, device)
        self.memory = memory

    def forward(self, ticks: Transition) -> Tensor:
        """Features (L, n, h + o) of whole trials, the same as ``step`` gives tick by tick."""
        obs = self.obs_norm(ticks.obs)
        action = _delayed(ticks.applied)
        reward = _delayed(ticks.reward)
        inputs = self._inputs(obs, action, reward, ticks.begins.float())
        memory, _ = self.memory.scan(inputs, self.memory.initial(inputs.shape[1]))
        return torch.cat([memory, obs], -1)

    def step(self, obs: Tensor, belief: Rl2Belief[S]) -> tuple[Tensor, S]:
        """Features (n, h + o) of an observation (n, o), and the memory's state after it."""
        obs = self.obs_norm(obs)
        inputs = self._inputs(obs, belief.action, belief.reward, belief.begins)
        memory, hidden = self.memory.step(inputs, belief.hidden)
        return torch.cat([memory, obs], -1), hidden

    def after(self, hidden: S, ticks: Transition) -> Tensor:
        """Features of the next observations of ticks (..., k), in their episodes.

        Args:
            hidden: the memory's states (..., h) after the ticks' observations.
            ticks: with the same leading axes.
        """

        def flat(x: Tensor) -> Tensor:
            return x.flatten(0, ticks.reward.dim() - 1)

        rows = map_tensors(flat, ticks)
        outcome = Rl2Belief(
            hidden=map_tensors(flat, hidden),
            action=rows.applied,
            reward=rows.reward,
            begins=torch.zeros_like(rows.reward),
        )
        features, _ = self.step(rows.next_obs, outcome)
        return features.view(*ticks.reward.shape, -1)

    def update(self, ticks: Transition) -> None:
        """Add transitions (b, ...) to the statistics of the normalizers."""
        self.obs_norm.update(ticks.obs)
        self.reward_norm.update(ticks.reward[:, None])

    def _inputs(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        begins: Tensor,
    ) -> Tensor:
        """The memory's input at a tick, (..., o + a + 2); ``obs`` is normalized already."""
        reward = self.reward_norm(reward[..., None])
        return torch.cat([obs, action, reward, begins[..., None]], -1)


class RemembersTrials(ABC, Generic[S]):
    """A belief that is a memory: a tick is one step of the memory, a new episode only sets a flag.

    Attributes:
        problem: the family.
        encoder: computes the beliefs.
        device: of all tensors.
    """

    privileged = False
    problem: Problem
    encoder: Rl2Encoder[S]
    device: torch.device

    def prior(self, n: int, task: Tensor | None = None) -> Rl2Belief[S]:
        """An empty memory, before the first tick of an episode."""
        return Rl2Belief(
            hidden=self.encoder.memory.initial(n),
            action=torch.zeros(n, self.problem.action_dim, device=self.device),
            reward=torch.zeros(n, device=self.device),
            begins=torch.ones(n, device=self.device),
        )

    @torch.no_grad()
    def observe(self, belief: Rl2Belief[S], transition: Transition) -> Rl2Belief[S]:
        """Step the memory by the inputs of ``act``; keep the outcome for the next observation."""
        _, hidden = self.encoder.step(transition.obs, belief)
        after = Rl2Belief(
            hidden=hidden,
            action=transition.applied,
            reward=transition.reward,
            begins=torch.zeros_like(transition.reward),
        )
        return where(transition.valid, after, belief)

    def adapt(self, belief: Rl2Belief[S], episode: Transition) -> Rl2Belief[S]:
        """Only mark that an episode begins with the next tick."""
        return replace(belief, begins=torch.ones_like(belief.begins))


class MemoryPolicy(RemembersTrials[S], SavedState):
    """RL² with any memory."""

    saved_attributes = ("learner",)

    def __init__(
        self,
        problem: Problem,
        config: PpoConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        actions = problem.action_dim
        memory = self.make_memory(problem.obs_dim + actions + 2)
        self.encoder = Rl2Encoder(problem.obs_dim, memory, device)
        features = memory.size + problem.obs_dim
        self.learner = PpoLearner(
            self.encoder, features, actions, config, self.generator, self.hyper
        )

    @abstractmethod
    def make_memory(self, inputs: int) -> Memory[S]:
        """A memory that reads ``inputs`` columns of a tick, with weights from the generator."""

    @property
    def hyper(self) -> int:
        """The number of memory columns that generate the weights of policy and critic."""
        return 0

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Rl2Belief[S], explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        features, _ = self.encoder.step(obs, belief)
        return self.learner.net.act(features, self.generator if explore else None)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO on the trials; returns means over the gradient steps."""
        ticks = trial.sequences()
        log = self.learner.learn(ticks)
        # Only now, so that every likelihood ratio is between policies of the same normalization.
        self.encoder.update(ticks[ticks.valid])
        return log


class Rl2(MemoryPolicy[Any]):
    """The memory is a GRU or an LSTM."""

    Config = Rl2Config
    config: Rl2Config

    def make_memory(self, inputs: int) -> Memory[Any]:
        """A memory that reads ``inputs`` columns of a tick."""
        size = self.config.memory_size
        if self.config.memory == "lstm":
            return LstmMemory(inputs, size, self.generator)
        return GruMemory(inputs, size, self.generator)

    @property
    def hyper(self) -> int:
        """All of the memory, or nothing."""
        return self.config.memory_size if self.config.hypernetwork else 0


def _delayed(x: Tensor) -> Tensor:
    """A sequence (L, ...) one tick later: zeros, x[0], ..., x[L - 2]."""
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])
