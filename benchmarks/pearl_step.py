"""How fast PEARL learns: its gradient step against the same step written as scripts usually do.

The plain step has the habits of the published code (Rakelly et al. 2019): a buffer per task, Python
loops over the meta-batch that gather contexts and batches and multiply factors, two critics, an
optimizer for each network, one backward pass after the other, and targets moved parameter by
parameter. Sizes, posterior and losses are the same in both. Both run on one thread and take turns;
the ratio is of medians. Unit: gradient steps per second.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from peers import arguments, compare, show, timed
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from policies.method import Problem, Transition, TrialBatch
from policies.methods.pearl import Pearl, PearlConfig
from policies.presets import load_preset
from policies.settings import configure

OBS, ACTION = 6, 2  # those of slide
TICKS, EPISODES = 1, 3
TASKS = 512  # in the replay


def problem() -> Problem:
    return Problem(
        family="slide",
        obs_names=tuple(f"o{i}" for i in range(OBS)),
        obs_low=(-1.0,) * OBS,
        obs_high=(1.0,) * OBS,
        action_names=("x", "y"),
        horizon=TICKS,
        episodes=EPISODES,
        task_names=("hidden",),
        task_low=(0.0,),
        task_high=(1.0,),
        reward=None,
    )


def experience(n: int) -> TrialBatch:
    """A trial of random numbers."""
    lead = (EPISODES, TICKS, n)
    obs, next_obs = torch.randn(2, *lead, OBS).unbind()
    action = 2 * torch.rand(*lead, ACTION) - 1
    no = torch.zeros(lead, dtype=torch.bool)
    begins = no.clone()
    begins[:, 0] = True
    ticks = Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.randn(lead),
        next_obs=next_obs,
        terminated=no,
        truncated=no,
        first=no,
        begins=begins,
        valid=~no,
    )
    return TrialBatch(ticks, torch.zeros(n, 1), torch.arange(n), no[:, 0])


def network(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PlainPearl:
    """The same step with a buffer, a network and an optimizer for everything."""

    def __init__(self, config: PearlConfig, trial: TrialBatch) -> None:
        c = config.sac
        self.config = config
        self.rng = np.random.default_rng(0)
        self.buffers = []
        for task in range(TASKS):
            ticks = trial.ticks[:, :, task].flatten(0, 1)
            self.buffers.append(self.buffer(ticks))

        context = 2 * OBS + ACTION + 1
        features = OBS + config.latent_dim
        measurement = config.latent_dim + 1  # one for each transition
        self.encoder = network(context, *config.encoder_hidden, measurement)
        self.actor = network(features, *c.hidden, 2 * ACTION)
        self.critics = [network(features + ACTION, *c.hidden, 1) for _ in range(2)]
        self.log_alpha = torch.tensor(log(c.init_temperature), requires_grad=True)
        self.targets = [deepcopy(critic) for critic in self.critics]
        self.followers = [
            *zip(self.targets, self.critics, (c.tau, c.tau), strict=True),
            (deepcopy(self.actor), self.actor, c.ema_rate),
            (deepcopy(self.encoder), self.encoder, c.ema_rate),
        ]
        self.obs_mean = torch.zeros(OBS)
        self.obs_std = torch.ones(OBS)
        self.context_mean = torch.zeros(context)
        self.context_std = torch.ones(context)

        adam = torch.optim.Adam
        self.encoder_optimizer = adam(self.encoder.parameters(), lr=config.encoder_lr)
        self.actor_optimizer = adam(self.actor.parameters(), lr=c.lr)
        self.critic_optimizers = [adam(critic.parameters(), lr=c.lr) for critic in self.critics]
        self.alpha_optimizer = adam([self.log_alpha], lr=c.lr)

    @staticmethod
    def buffer(ticks: Transition) -> list[np.ndarray]:
        """One task's transitions as columns."""
        columns = [
            ticks.obs,
            ticks.action,
            ticks.reward[:, None],
            ticks.next_obs,
            ticks.terminated[:, None],
        ]
        return [column.float().numpy() for column in columns]

    def rows(self, task: int, index: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(column[index]) for column in self.buffers[task]]

    def normalized(self, obs: Tensor) -> Tensor:
        return ((obs - self.obs_mean) / self.obs_std).clamp(-10, 10)

    def context(self, task: int) -> Tensor:
        """Features of a random number of a task's transitions."""
        length = len(self.buffers[task][0])
        most = min(self.config.max_context, length)
        count = self.rng.integers(1, most + 1)
        index = self.rng.choice(length, count, replace=False)
        obs, action, reward, next_obs, _ = self.rows(task, index)
        change = next_obs - obs
        features = torch.cat([obs, action, reward, change], -1)
        normalized = (features - self.context_mean) / self.context_std
        return normalized.clamp(-10, 10)

    def infer(self, tasks: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A sample of z for each task, (n, l), and the KL from the prior."""
        size = self.config.latent_dim
        contexts = [self.context(task) for task in tasks]
        measurements = self.encoder(torch.cat(contexts))
        precisions = []
        weighted = []
        lengths = [len(context) for context in contexts]
        for factor in measurements.split(lengths):
            direction = factor[:, :size]
            value = factor[:, size]
            precisions.append(torch.eye(size) + direction.T @ direction)
            weighted.append(direction.T @ value)
        precision = torch.stack(precisions)
        shift = torch.stack(weighted)
        mean = torch.linalg.solve(precision, shift)
        posterior = MultivariateNormal(mean, precision_matrix=precision)
        prior = MultivariateNormal(torch.zeros(size), torch.eye(size))
        kl = kl_divergence(posterior, prior).mean()
        return posterior.rsample(), kl

    def batch(self, tasks: Sequence[int]) -> list[Tensor]:
        parts = []
        for task in tasks:
            length = len(self.buffers[task][0])
            index = self.rng.integers(0, length, self.config.sac.batch_per_task)
            parts.append(self.rows(task, index))
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def act(self, obs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([obs, z], -1)
        mean, raw_std = self.actor(features).chunk(2, -1)
        bounded = torch.tanh(raw_std) + 1
        log_std = -5 + 3.5 * bounded
        gaussian = Normal(mean, log_std.exp())
        raw = gaussian.rsample()
        softplus = F.softplus(-2 * raw)
        squash = 2 * (log(2) - raw - softplus)
        log_prob = gaussian.log_prob(raw) - squash
        action = torch.tanh(raw)
        return action, log_prob.sum(-1, keepdim=True)

    def step(self) -> None:
        c = self.config.sac
        tasks = self.rng.integers(0, len(self.buffers), c.meta_batch)
        z, kl = self.infer(tasks)
        obs, action, reward, next_obs, terminated = self.batch(tasks)
        obs = self.normalized(obs)
        next_obs = self.normalized(next_obs)
        z = z.repeat_interleave(c.batch_per_task, 0)

        with torch.no_grad():
            next_action, log_prob = self.act(next_obs, z)
            inputs = torch.cat([next_obs, z, next_action], -1)
            first_q, second_q = (net(inputs) for net in self.targets)
            next_q = torch.min(first_q, second_q)
            alpha = self.log_alpha.exp()
            next_value = next_q - alpha * log_prob
            goes_on = 1 - terminated
            scaled_reward = c.reward_scale * reward
            target = scaled_reward + c.gamma * goes_on * next_value
        inputs = torch.cat([obs, z, action], -1)
        self.encoder_optimizer.zero_grad()
        for optimizer in self.critic_optimizers:
            optimizer.zero_grad()
        errors = [F.mse_loss(critic(inputs), target) for critic in self.critics]
        error = torch.stack(errors).sum()
        critic_loss = error + self.config.kl_weight * kl
        critic_loss.backward()
        for optimizer in self.critic_optimizers:
            optimizer.step()
        self.encoder_optimizer.step()

        z = z.detach()
        new_action, log_prob = self.act(obs, z)
        inputs = torch.cat([obs, z, new_action], -1)
        first_q, second_q = (net(inputs) for net in self.critics)
        q = torch.min(first_q, second_q)
        alpha = self.log_alpha.exp().detach()
        loss = (alpha * log_prob - q).mean()
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()

        self.alpha_optimizer.zero_grad()
        target_entropy = c.target_entropy * ACTION
        entropy_error = log_prob.detach().mean() + target_entropy
        alpha_loss = -self.log_alpha * entropy_error
        alpha_loss.backward()
        self.alpha_optimizer.step()
        with torch.no_grad():
            for slow, fast, rate in self.followers:
                pairs = zip(slow.parameters(), fast.parameters(), strict=True)
                for old, new in pairs:
                    moved = (1 - rate) * old + rate * new
                    old.copy_(moved)


def repeated(step: Callable[[], object], times: int) -> Callable[[], float]:
    """Takes the steps and returns their seconds."""

    def steps() -> None:
        for _ in range(times):
            step()

    return lambda: timed(steps)


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--steps", type=int, default=10, help="gradient steps in a repeat")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    family = problem()
    config = configure(PearlConfig, family, load_preset("pearl", family.family), {})
    trial = experience(TASKS)
    ours = Pearl(family, config, 0, torch.device("cpu"))
    ours.replay.add(trial)
    plain = PlainPearl(config, trial)

    runs = {
        "plain": repeated(plain.step, asked.steps),
        "ours": repeated(ours.step, asked.steps),
    }
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
