"""A learned objective of policies (MetaGenRL, Kirsch et al. 2020): a network in place of a loss.

It reads an episode: the actions taken, what the policy would do now in the same states, rewards,
value estimates and the ends of the episode. Its gradient with respect to what the policy would do
says how the policy is to change. An LSTM reads the episode backward, so that the term of a step
depends on what came of it, and not on what came before (but for the values, see
``estimated_outcomes``, which are fitted to the whole episode).

All components of an action are read by the same network and their features are averaged; the
observation is not read. So the same weights apply to any size of observation and action.

Axes: H steps, n worlds, a action, u units.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.memory import LstmMemory
from policies.nn.networks import empty_layer, init_
from policies.rl import ppo
from policies.rl.baseline import linear_baseline

FEATURES = 8  # columns that an action, and its outcome, are mapped to (authors' code)
OUTCOME = 6  # columns of an outcome
BASELINE_L2 = 1e-3  # L2 of the linear value estimates, as in ``maml``


@dataclass(frozen=True)
class Outcomes:
    """What the actions of an episode led to, (H, n) each, in standard deviations of the reward."""

    reward: Tensor
    value: Tensor  # of the state before the action
    next_value: Tensor  # of the state after it, 0 if the task has ended
    advantage: Tensor  # TD error of the step, standardized over those of the episode
    terminated: Tensor  # bool, the task has ended
    valid: Tensor  # bool; the valid steps of a world come first

    def columns(self) -> Tensor:
        """What the network reads of a step, (H, n, OUTCOME): these, and the time from 0 to 1."""
        reward = self.reward
        steps = torch.linspace(0, 1, len(reward), dtype=reward.dtype, device=reward.device)
        time = steps[:, None].expand_as(reward)
        ended = self.terminated.to(reward.dtype)
        values = [self.value, self.next_value, self.advantage]
        return torch.stack([reward, *values, ended, time], -1)


@torch.no_grad()
def estimated_outcomes(episode: Transition, obs: Tensor, reward: Tensor, gamma: float) -> Outcomes:
    """The outcomes of an episode, with values that are fitted to its own returns.

    Args:
        episode: (H, n, ...).
        obs: (H, n, o) its normalized observations.
        reward: (H, n) its normalized rewards.
        gamma: discount of a step.
    """
    no_value = torch.zeros_like(reward)
    bootstrap = ppo.bootstrap_mask(episode)
    returns = ppo.advantages(reward, no_value, bootstrap, gamma, 1.0)
    value = linear_baseline(obs, returns, episode.valid, BASELINE_L2)
    # After the last step, its own value stands for that of the state that follows.
    following = torch.cat([value[1:], value[-1:]]).where(bootstrap, value)
    next_value = following.where(~episode.terminated, 0.0)
    td_error = reward + gamma * next_value - value
    advantage = ppo.standardized(td_error, episode.valid, 0)
    return Outcomes(reward, value, next_value, advantage, episode.terminated, episode.valid)


class SquareMlp(nn.Module):
    """Linear layers after which one half of the units has ReLU, and the other is squared.

    Squares let a small network multiply its inputs (authors' code), such as a reward by an action.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        generator: torch.Generator,
        normalize: bool = False,
    ) -> None:
        """Draw the weights with the generator, on its device.

        Args:
            sizes: widths of inputs, hidden layers and outputs.
            generator: of the weights.
            normalize: whether hidden layers have mean 0 and variance 1 over their units.
        """
        super().__init__()
        self.normalize = normalize
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(sizes):
            linear = empty_layer(nn.Linear, inputs, outputs, device=generator.device)
            init_(linear.weight, linear.bias, inputs, generator)
            self.layers.append(linear)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., k) of inputs (..., i)."""
        *hidden, last = self.layers
        for layer in hidden:
            units = layer(x)
            half = units.shape[-1] // 2
            linear = units[..., :half].relu()
            squared = units[..., half:].square()
            x = torch.cat([linear, squared], -1)
            if self.normalize:
                x = nn.functional.layer_norm(x, x.shape[-1:])
        output: Tensor = last(x)
        return output


class LearnedObjective(nn.Module):
    """Maps an episode to one number for each of its steps; a policy is to make their mean small."""

    def __init__(self, units: int, generator: torch.Generator) -> None:
        """``units`` (u) are those of the LSTM and of the hidden layers."""
        super().__init__()
        self.read_action = SquareMlp((2, units, FEATURES), generator)
        self.read_outcome = SquareMlp((OUTCOME, units, FEATURES), generator)
        self.memory = LstmMemory(2 * FEATURES, units, generator)
        self.head = SquareMlp((units + FEATURES, units, 1), generator, normalize=True)

    def forward(self, action: Tensor, policy: Tensor, outcomes: Outcomes) -> Tensor:
        """The mean over the valid steps of each world, (n,); 0 without a valid step.

        Args:
            action: (H, n, a) that were taken, in [-1, 1].
            policy: (H, n, a) that the policy would take in the same states.
            outcomes: of the actions taken.
        """
        valid = outcomes.valid
        terms = self.terms(action, policy, outcomes).where(valid, 0.0)
        return terms.sum(0) / valid.sum(0).clamp(min=1)

    def terms(self, action: Tensor, policy: Tensor, outcomes: Outcomes) -> Tensor:
        """The number of each step, (H, n), without a meaning where the step is not valid."""
        pairs = torch.stack([action, policy], -1)
        acted = self.read_action(pairs).mean(-2)
        outcome = self.read_outcome(outcomes.columns())
        inputs = torch.cat([acted, outcome], -1)

        order = reversed_steps(outcomes.valid)
        worlds = torch.arange(order.shape[1], device=order.device)
        start = self.memory.initial(len(worlds))
        # cuDNN's LSTM has no second derivatives.
        with torch.backends.cudnn.flags(enabled=False):
            backward, _ = self.memory.scan(inputs[order, worlds], start)
        hidden = backward[order, worlds]  # in time order again
        terms: Tensor = self.head(torch.cat([hidden, acted], -1))[..., 0]
        return terms


def reversed_steps(valid: Tensor) -> Tensor:
    """Steps (H, n) in the order in which each world's are read: the last valid one comes first.

    Steps that are not valid stay behind the others. Applied twice, the order is that of time.
    """
    steps = torch.arange(len(valid), device=valid.device)[:, None]
    length = valid.sum(0)
    from_the_end = length - 1 - steps
    return torch.where(steps < length, from_the_end, steps)
