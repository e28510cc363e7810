"""How fast soft actor-critic learns: its gradient step against the same step as scripts write it.

The plain step has the habits of single-file implementations (CleanRL, Huang et al. 2022): a replay
of NumPy columns, a network and an optimizer for the actor and each critic, one backward pass after
the other, and targets moved parameter by parameter. Sizes and losses are the same in both. Both run
on one thread and take turns; the ratio is of medians. Unit: gradient steps per second.

The share of the ceiling is that of the step's products alone, at the speed of a large product
on the same core.
"""

from copy import deepcopy
from itertools import pairwise
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from pearl_step import ACTION, OBS, TASKS, experience, network, problem, repeated
from peers import arguments, ceiling, compare, show
from torch import Tensor
from torch.distributions import Normal

from policies.method import Transition
from policies.methods.oracle import Oracle
from policies.presets import load_preset
from policies.rl.sac import SacConfig
from policies.settings import configure


class PlainSac:
    """The same step with a network and an optimizer for everything."""

    def __init__(self, config: SacConfig, ticks: Transition, task: Tensor) -> None:
        c = config
        self.config = config
        self.rng = np.random.default_rng(0)
        rows = ticks.flatten(0, 1).flatten(0, 1)
        per_task = len(rows.reward) // len(task)
        conditions = task.repeat(per_task, 1)
        columns = [
            rows.obs,
            conditions,
            rows.action,
            rows.reward[:, None],
            rows.next_obs,
            rows.terminated[:, None],
        ]
        self.columns = [column.float().numpy() for column in columns]
        features = OBS + task.shape[1]
        self.actor = network(features, *c.hidden, 2 * ACTION)
        self.critics = [network(features + ACTION, *c.hidden, 1) for _ in range(2)]
        self.log_alpha = torch.tensor(log(c.init_temperature), requires_grad=True)
        self.targets = [deepcopy(critic) for critic in self.critics]
        self.followers = [
            *zip(self.targets, self.critics, (c.tau, c.tau), strict=True),
            (deepcopy(self.actor), self.actor, c.ema_rate),
        ]
        self.mean = torch.zeros(OBS)
        self.std = torch.ones(OBS)
        adam = torch.optim.Adam
        self.actor_optimizer = adam(self.actor.parameters(), lr=c.lr)
        self.critic_optimizers = [adam(critic.parameters(), lr=c.lr) for critic in self.critics]
        self.alpha_optimizer = adam([self.log_alpha], lr=c.lr)

    def batch(self) -> list[Tensor]:
        size = self.config.meta_batch * self.config.batch_per_task
        index = self.rng.integers(0, len(self.columns[0]), size)
        return [torch.from_numpy(column[index]) for column in self.columns]

    def features(self, obs: Tensor, condition: Tensor) -> Tensor:
        normalized = ((obs - self.mean) / self.std).clamp(-10, 10)
        return torch.cat([normalized, condition], -1)

    def act(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw_std = self.actor(x).chunk(2, -1)
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
        c = self.config
        obs, condition, action, reward, next_obs, terminated = self.batch()
        x = self.features(obs, condition)
        next_x = self.features(next_obs, condition)
        with torch.no_grad():
            next_action, log_prob = self.act(next_x)
            inputs = torch.cat([next_x, next_action], -1)
            first_q, second_q = (net(inputs) for net in self.targets)
            next_q = torch.min(first_q, second_q)
            alpha = self.log_alpha.exp()
            next_value = next_q - alpha * log_prob
            goes_on = 1 - terminated
            scaled_reward = c.reward_scale * reward
            target = scaled_reward + c.gamma * goes_on * next_value
        inputs = torch.cat([x, action], -1)
        for optimizer in self.critic_optimizers:
            optimizer.zero_grad()
        errors = [F.mse_loss(critic(inputs), target) for critic in self.critics]
        error = torch.stack(errors).sum()
        error.backward()
        for optimizer in self.critic_optimizers:
            optimizer.step()

        new_action, log_prob = self.act(x)
        inputs = torch.cat([x, new_action], -1)
        first_q, second_q = (net(inputs) for net in self.critics)
        q = torch.min(first_q, second_q)
        alpha = self.log_alpha.exp().detach()
        actor_loss = (alpha * log_prob - q).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
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


def operations(sizes: list[int], weights: bool, inputs: bool) -> int:
    """Floating-point operations of a row: one product forward, and one for each gradient."""
    products = sum(i * k for i, k in pairwise(sizes))
    return 2 * products * (1 + weights + inputs)


def step_operations(config: SacConfig, features: int) -> int:
    """Those of a gradient step's products."""
    actor = [features, *config.hidden, 2 * ACTION]
    critic = [features + ACTION, *config.hidden, 1]
    row = operations(actor, False, False)  # the next action
    row += 2 * operations(critic, False, False)  # its value
    row += 2 * operations(critic, True, True)  # the critics' loss
    row += operations(actor, True, True)  # the actor's loss
    row += 2 * operations(critic, False, True)  # through the critics
    return row * config.meta_batch * config.batch_per_task


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--steps", type=int, default=10, help="gradient steps in a repeat")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    family = problem()
    config = configure(SacConfig, family, load_preset("oracle", family.family), {})
    trial = experience(TASKS)
    ours = Oracle(family, config, 0, torch.device("cpu"))
    ours.learner.replay.add(trial)
    plain = PlainSac(config, trial.ticks, trial.task)
    runs = {
        "plain": repeated(plain.step, asked.steps),
        "ours": repeated(ours.learner.step, asked.steps),
    }
    rows = compare(
        lambda peer: f"soft actor-critic's step over {peer}",
        "gradient steps/s",
        asked.steps,
        runs,
        asked.repeats,
    )
    show(rows, asked.json)
    if not asked.json:
        inputs = OBS + family.task_dim
        rate = rows[0]["ours"] * step_operations(config, inputs)
        largest = ceiling()
        share = rate / largest
        print(f"share of the ceiling of {largest / 1e9:.0f} GFLOP/s: {share:.0%}")


if __name__ == "__main__":
    main()
