"""How fast PEARL learns: its gradient step against the same step written as scripts usually write it.

The plain one has the habits of the published code (Rakelly et al. 2019): a buffer per task and Python loops over the
meta-batch that gather contexts and batches and multiply factors, two critics, an optimiser for each network, one
backward pass after the other, targets moved parameter by parameter. Sizes, posterior and losses are the same in both,
both have one thread and take turns, and the ratio is of medians. Unit: gradient steps per second.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peers import arguments, compare, show, timed
from torch import Tensor, nn

from policies.method import Problem, Transition, TrialBatch
from policies.methods.pearl import Pearl, PearlConfig

OBS, ACTION, TICKS, EPISODES = 13, 2, 20, 2  # those of slide
TASKS = 512  # in the replay


def problem() -> Problem:
    names = tuple(f"o{i}" for i in range(OBS))
    ends = ((-1.0,) * OBS, (1.0,) * OBS)
    return Problem(
        "slide", names, *ends, ("x", "y"), TICKS, EPISODES, ("hidden",), (0.0,), (1.0,), None
    )


def experience(n: int) -> TrialBatch:
    lead = (EPISODES, TICKS, n)
    obs, next_obs = torch.randn(2, *lead, OBS).unbind()
    action, no = 2 * torch.rand(*lead, ACTION) - 1, torch.zeros(lead, dtype=torch.bool)
    ticks = Transition(obs, action, action, torch.randn(lead), next_obs, no, no, no, no, ~no)
    return TrialBatch(ticks, torch.zeros(n, 1), torch.arange(n), no[:, 0])


def layers(*sizes: int) -> nn.Sequential:
    built = [x for i, k in pairwise(sizes) for x in (nn.Linear(i, k), nn.ReLU())]
    return nn.Sequential(*built[:-1])


class Plain:
    """The same step with a buffer, a network and an optimiser for everything."""

    def __init__(self, config: PearlConfig, trial: TrialBatch) -> None:
        self.config, c, self.rng = config, config.sac, np.random.default_rng(0)
        self.buffers = []
        for i in range(trial.task.shape[0]):
            mine = trial.ticks.map(lambda x, i=i: x[:, :, i].flatten(0, 1))
            rows = (
                mine.obs,
                mine.action,
                mine.reward[:, None],
                mine.next_obs,
                mine.terminated[:, None],
            )
            self.buffers.append([x.float().numpy() for x in rows])
        size = 2 * OBS + ACTION + 1, config.latent + 1  # one measurement a transition
        self.encoder = layers(size[0], *config.encoder, size[1])
        self.actor = layers(OBS + config.latent, *c.hidden, 2 * ACTION)
        self.critics = [layers(OBS + config.latent + ACTION, *c.hidden, 1) for _ in range(2)]
        self.log_alpha = torch.tensor(log(c.temperature), requires_grad=True)
        self.pairs = [(deepcopy(net), net, c.tau) for net in self.critics]
        self.pairs += [(deepcopy(net), net, c.average) for net in (self.actor, self.encoder)]
        self.obs_mean, self.obs_std = torch.zeros(OBS), torch.ones(OBS)
        self.context_mean, self.context_std = torch.zeros(size[0]), torch.ones(size[0])
        self.encoder_optimiser = torch.optim.Adam(self.encoder.parameters(), lr=config.encoder_lr)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=c.lr)
        self.critic_optimisers = [
            torch.optim.Adam(net.parameters(), lr=c.lr) for net in self.critics
        ]
        self.alpha_optimiser = torch.optim.Adam([self.log_alpha], lr=c.lr)

    def collect(self, buffer: list[Any], rows: Any) -> list[Tensor]:
        return [torch.from_numpy(column[rows]) for column in buffer]

    def normalised(self, obs: Tensor) -> Tensor:
        return ((obs - self.obs_mean) / self.obs_std).clamp(-10, 10)

    def infer(self, tasks: Any) -> tuple[Tensor, Tensor]:
        """A sample of z for each task, (n, l), and the KL from the prior."""
        size, contexts = self.config.latent, []
        for task in tasks:
            length = len(self.buffers[task][0])
            count = self.rng.integers(1, min(self.config.context, length) + 1)
            rows = self.rng.choice(length, count, replace=False)
            obs, action, reward, next_obs, _ = self.gather(self.buffers[task], rows)
            contexts.append(torch.cat([obs, action, reward, next_obs - obs], -1))
        x = ((torch.cat(contexts) - self.context_mean) / self.context_std).clamp(-10, 10)
        factors = self.encoder(x).view(-1, size + 1).split([len(x) for x in contexts])
        precision = torch.stack([torch.eye(size) + f[:, :size].T @ f[:, :size] for f in factors])
        weighted = torch.stack([f[:, :size].T @ f[:, size] for f in factors])
        mean = torch.linalg.solve(precision, weighted)
        belief = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
        first = torch.distributions.MultivariateNormal(torch.zeros(size), torch.eye(size))
        return belief.rsample(), torch.distributions.kl_divergence(belief, first).mean()

    def batch(self, tasks: Any) -> list[Tensor]:
        parts = []
        for task in tasks:
            rows = self.rng.integers(0, len(self.buffers[task][0]), self.config.sac.batch_per_task)
            parts.append(self.gather(self.buffers[task], rows))
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def act(self, obs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.actor(torch.cat([obs, z], -1)).chunk(2, -1)
        gaussian = torch.distributions.Normal(mean, (-5 + 3.5 * (torch.tanh(raw) + 1)).exp())
        drawn = gaussian.rsample()
        squash = 2 * (log(2) - drawn - F.softplus(-2 * drawn))
        return torch.tanh(drawn), (gaussian.log_prob(drawn) - squash).sum(-1, keepdim=True)

    def step(self) -> None:
        c = self.config.sac
        tasks = self.rng.integers(0, len(self.buffers), c.tasks)
        z, kl = self.infer(tasks)
        obs, action, reward, next_obs, terminated = self.batch(tasks)
        obs, next_obs = self.normalised(obs), self.normalised(next_obs)
        z = z.repeat_interleave(c.each, 0)

        with torch.no_grad():
            next_action, log_prob = self.act(next_obs, z)
            tried = torch.cat([next_obs, z, next_action], -1)
            value = (
                torch.min(self.pairs[0][0](tried), self.pairs[1][0](tried))
                - self.log_alpha.exp() * log_prob
            )
            goal = c.reward_scale * reward + c.gamma * (1 - terminated) * value
        taken = torch.cat([obs, z, action], -1)
        self.encoder_optimiser.zero_grad()
        for optimizer in self.critic_optimisers:
            optimizer.zero_grad()
        (
            sum(F.mse_loss(critic(taken), goal) for critic in self.critics) + self.config.kl * kl
        ).backward()
        for optimizer in self.critic_optimisers:
            optimizer.step()
        self.encoder_optimiser.step()

        z = z.detach()
        mine, log_prob = self.act(obs, z)
        tried = torch.cat([obs, z, mine], -1)
        loss = (
            self.log_alpha.exp().detach() * log_prob
            - torch.min(*(critic(tried) for critic in self.critics))
        ).mean()
        self.actor_optimiser.zero_grad()
        loss.backward()
        self.actor_optimiser.step()

        self.alpha_optimiser.zero_grad()
        (-self.log_alpha * (log_prob.detach().mean() + c.entropy * ACTION)).backward()
        self.alpha_optimiser.step()
        with torch.no_grad():
            for slow, fast, share in self.pairs:
                for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
                    a.copy_((1 - share) * a + share * b)


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--steps", type=int, default=10, help="gradient steps in a repeat")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, trial = PearlConfig.for_family("slide"), experience(TASKS)
    ours, plain = Pearl(problem(), config, seed=0), Plain(config, trial)
    ours.replay.add(trial)

    def some(step: Callable[[], Any]) -> Callable[[], float]:
        return lambda: timed(lambda: [step() for _ in range(asked.steps)])

    runs = {"plain": some(plain.step), "ours": some(ours.step)}
    rows = compare(
        lambda peer: f"PEARL's step over {peer}",
        "gradient steps/s",
        asked.steps,
        runs,
        asked.repeats,
    )
    show(rows, asked.json)


if __name__ == "__main__":
    main()
