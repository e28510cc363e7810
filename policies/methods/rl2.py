"""RL² (Duan et al. 2016): a recurrent policy whose memory is the adaptation, trained by PPO over whole trials.

The memory is emptied for a new task and for nothing else. What it reads are the observation and what the tick before
gave: the action that was let through, the reward, and whether an episode begins. An episode's last reward is read
with the first observation of the next. A trial is one return: what is found out in an episode pays in later ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from policies.belief import where
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.nn.networks import mlp
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import Stateful, make_generator
from policies.rl import ppo


@dataclass(frozen=True)
class Rl2Config:
    """The numbers of the method, the same for every family."""

    memory_size: int = 64  # units; RL² has 256 of a GRU, VariBAD's RL² 128
    hidden: int = 64  # of the policy's and the critic's layer above the memory
    lr: float = 1e-3  # VariBAD's RL² has 7e-4
    gamma: float = 0.95  # VariBAD's RL² has 0.97 of episodes ten times as long
    gae_lambda: float = 0.9  # λ of the advantages (VariBAD)
    clip_ratio: float = 0.2  # PPO
    epochs: int = 4  # passes over a lesson's trials; VariBAD has 2
    minibatches: int = 4  # of whole trials (VariBAD)
    entropy_coef: float = 0.0  # weight; Meta-World's RL² has 5e-6
    init_std: float = 0.6  # of the first policy's actions; it is learnt
    max_grad_norm: float = 0.5  # norm to which gradients are cut (VariBAD)
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=256, episodes_per_trial=3, iterations=200
    )

    @classmethod
    def for_family(cls, name: str) -> "Rl2Config":
        """The numbers a family is trained with when nothing else is asked for: these."""
        return cls()


@dataclass(frozen=True)
class Rl2Belief:
    """The belief: what was folded in, and what the last tick gave, which the next observation is read with."""

    hidden: Tensor  # (n, h)
    action: Tensor  # (n, a) as applied
    reward: Tensor  # (n,)
    begins: Tensor  # (n,) 1 where the next tick is the first of an episode, else 0


class Net(nn.Module):
    """A GRU over (observation, last action, last reward, begins); policy and value read it and the observation."""

    def __init__(
        self, obs: int, actions: int, config: Rl2Config, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.obs, self.reward, self.worth = (
            RunningNormalizer(obs),
            RunningNormalizer(1),
            RunningNormalizer(1),
        )
        self.gru = nn.GRU(obs + actions + 2, config.memory_size, device="meta").to_empty(
            device=torch.get_default_device()
        )
        for weight in self.gru.parameters():
            nn.init.uniform_(
                weight, -(config.memory_size**-0.5), config.memory_size**-0.5, generator=generator
            )
        self.actor = mlp([config.memory_size + obs, config.hidden, actions], generator)
        self.critic = mlp([config.memory_size + obs, config.hidden, 1], generator)
        self.log_std = nn.Parameter(torch.full((actions,), config.init_std).log())

    def fold(self, obs: Tensor, memory: Rl2Belief) -> tuple[Tensor, Tensor]:
        """Sequences (L, n, ...), the memory's ``hidden`` (n, h) before them: features (L, n, h + o), hidden after."""
        obs = self.obs(obs)
        reward = self.reward(memory.reward[..., None])
        inputs = torch.cat([obs, memory.action, reward, memory.begins[..., None]], -1)
        out, last = self.gru(inputs, memory.hidden[None])
        return torch.cat([out, obs], -1), last[0]


@dataclass(frozen=True)
class PpoBatch:
    """Trials as sequences: the valid ticks of all their episodes in time order, (L, n, ...)."""

    ticks: Transition
    begins: Tensor  # (L, n) 1 at the first tick of an episode
    log_prob: Tensor  # (L, n) of the actions, when they were taken
    advantage: Tensor  # (L, n) standardised
    worth: Tensor  # (L, n) return to be predicted, normalised

    def rows(self, at: Tensor) -> "PpoBatch":
        """Some of the trials."""
        parts = {
            f.name: getattr(self, f.name)[:, at] for f in fields(PpoBatch) if f.name != "ticks"
        }
        return PpoBatch(self.ticks.map(lambda x: x[:, at]), **parts)


def sequences(trial: TrialBatch) -> tuple[Transition, Tensor]:
    """A trial's valid ticks (L, n, ...) in time order, the others after them, and which begin an episode, (L, n)."""
    _, steps, n = trial.ticks.reward.shape
    ticks = trial.ticks.map(lambda x: x.flatten(0, 1))
    order = (~ticks.valid).int().argsort(dim=0, stable=True)  # (L, n)
    episode = order // steps
    before = torch.cat([torch.full((1, n), -1), episode[:-1]])
    worlds = torch.arange(n)
    return ticks.map(lambda x: x[order, worlds]), (episode != before).float()


class Rl2(Stateful):
    """A tick is folded into the memory, O(1); between episodes only a flag is set."""

    Config = Rl2Config
    privileged = False
    saved_attributes = ("net", "optimizer", "generator")

    def __init__(self, problem: Problem, config: Rl2Config, seed: int) -> None:
        g = make_generator(seed)
        self.problem, self.config, self.generator, self.schedule = (
            problem,
            config,
            g,
            config.schedule,
        )
        self.net = Net(problem.obs_dim, problem.action_dim, config, g)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> Rl2Belief:
        """Empty; an episode begins."""
        hidden, action = (
            torch.zeros(n, self.config.memory_size),
            torch.zeros(n, self.problem.action_dim),
        )
        return Rl2Belief(hidden, action, torch.zeros(n), torch.ones(n))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Rl2Belief, explore: bool) -> Tensor:
        """A sample of the policy, or its mean."""
        features, _ = self.net.fold(obs[None], _tick(belief))
        return ppo.act(
            self.net.actor(features[0]), self.net.log_std, self.generator if explore else None
        )

    @torch.no_grad()
    def observe(self, belief: Rl2Belief, transition: Transition) -> Rl2Belief:
        """What the policy read of this tick is folded in; what came of it waits for the next observation."""
        _, hidden = self.net.fold(transition.obs[None], _tick(belief))
        seen = Rl2Belief(
            hidden, transition.applied, transition.reward, torch.zeros_like(transition.reward)
        )
        return where(transition.valid, seen, belief)

    def adapt(self, belief: Rl2Belief, episode: Transition) -> Rl2Belief:
        """All that is said of an episode's end."""
        return replace(belief, begins=torch.ones_like(belief.begins))

    def unroll(self, ticks: Transition, begins: Tensor) -> Tensor:
        """Features (L, n, h + o) of whole trials (L, n, ...) from an empty memory: what ``act`` saw tick by tick."""
        nothing = self.prior(begins.shape[1])
        action = torch.cat([nothing.action[None], ticks.applied[:-1]])
        reward = torch.cat([nothing.reward[None], ticks.reward[:-1]])
        features, _ = self.net.fold(ticks.obs, Rl2Belief(nothing.hidden, action, reward, begins))
        return features

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO on the trials; then what normalises the inputs moves, so that no ratio is between two normalisations."""
        lesson = self.prepare(trial)
        logs = [self.step(lesson.rows(at)) for at in self._minibatches(lesson.begins.shape[1])]
        valid = lesson.ticks.valid
        self.net.obs.update(lesson.ticks.obs[valid])
        self.net.reward.update(lesson.ticks.reward[valid][:, None])
        return {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    @torch.no_grad()
    def prepare(self, trial: TrialBatch) -> PpoBatch:
        """Likelihoods and advantages under the policy that acted.

        The next tick's value follows at a time limit, where the trial goes on in its next episode, and across it the
        discount is that of any tick; nothing follows ``terminated``, nor the trial's end.
        """
        c, (ticks, begins) = self.config, sequences(trial)
        features, worth = self.unroll(ticks, begins), self.net.worth
        value = self.net.critic(features)[..., 0] / worth.scale + worth.shift
        advantage = ppo.advantages(ticks.reward, value, ppo.follows(ticks), c.gamma, c.gae_lambda)
        returns = advantage + value
        worth.update(
            returns[ticks.valid][:, None]
        )  # the critic was fit to the old ones, and is now fit to these
        log_prob = ppo.log_prob(self.net.actor(features), self.net.log_std, ticks.action)
        target = worth(returns[..., None])[..., 0]
        return PpoBatch(
            ticks, begins, log_prob, ppo.standardized(advantage, ticks.valid, (0, 1)), target
        )

    def step(self, lesson: PpoBatch) -> dict[str, Tensor]:
        """One gradient step, back through the whole of each trial."""
        c, ticks = self.config, lesson.ticks
        features = self.unroll(ticks, lesson.begins)
        log_prob = ppo.log_prob(self.net.actor(features), self.net.log_std, ticks.action)
        log_ratio = (log_prob - lesson.log_prob).where(ticks.valid, 0.0)
        losses = {
            "actor": ppo.mean(
                ppo.surrogate(log_ratio, lesson.advantage, c.clip_ratio), ticks.valid
            ),
            "critic": ppo.mean(
                (self.net.critic(features)[..., 0] - lesson.worth).square(), ticks.valid
            ),
            "entropy": ppo.entropy(self.net.log_std),
        }
        self.optimizer.zero_grad()
        (losses["actor"] + 0.5 * losses["critic"] - c.entropy_coef * losses["entropy"]).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), c.max_grad_norm)
        self.optimizer.step()
        losses["kl"] = ppo.mean(ppo.divergence(log_ratio), ticks.valid)
        return {name: loss.detach() for name, loss in losses.items()}

    def _minibatches(self, n: int) -> Iterator[Tensor]:
        for _ in range(self.config.epochs):
            yield from torch.randperm(n, generator=self.generator).chunk(self.config.minibatches)


def _tick(memory: Rl2Belief) -> Rl2Belief:
    """One tick as a sequence of length 1."""
    return Rl2Belief(memory.hidden, memory.action[None], memory.reward[None], memory.begins[None])
