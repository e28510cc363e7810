"""Dynamics that adapt by the hidden state of an LSTM (ReBAL, Nagabandi, Clavera et al. 2019).

A recurrent network reads a tick (the observation, the action, and the tick before with its outcome)
and predicts the outcome: the change of the observation and, if it is hidden, the reward. Its memory
of past ticks is the adaptation. In a plan it goes on reading the ticks that it has predicted.

Axes: n worlds, b windows, M ticks of the past, K of the future, P candidates, H steps, h units,
o observation, a action, r = 1 if the reward is predicted too, else 0.
"""

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.models.outcome import outcome_of
from policies.nn.memory import LstmMemory, LstmState
from policies.nn.networks import mlp
from policies.nn.normalizer import RunningNormalizer


class RebalDynamics(nn.Module):
    """The recurrent network, and the statistics of its inputs and outputs."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        predict_reward: bool,
        memory_size: int,
        embedding: int,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device.

        ``memory_size`` is h, ``embedding`` the width of the layers before and after the LSTM.
        """
        super().__init__()
        device = generator.device
        self.obs_dim = obs_dim
        self.predict_reward = predict_reward
        outcome_dim = obs_dim + predict_reward
        self.last_dim = action_dim + outcome_dim
        self.obs_norm = RunningNormalizer(obs_dim, device)
        self.outcome_norm = RunningNormalizer(outcome_dim, device)
        inputs = obs_dim + self.last_dim + action_dim
        self.embed = mlp([inputs, embedding, embedding], generator)
        self.memory = LstmMemory(embedding, memory_size, generator)
        self.head = mlp([memory_size, embedding, outcome_dim], generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics; nothing else changes them."""
        self.obs_norm.update(t.obs)
        self.outcome_norm.update(outcome_of(t, self.predict_reward))

    def as_last(self, t: Transition) -> Tensor:
        """Ticks (...) as the next ones read them: action and normalized outcome, (..., a + o + r).

        Before the first tick of an episode it is zero.
        """
        outcome = self.outcome_norm(outcome_of(t, self.predict_reward))
        return torch.cat([t.applied, outcome], -1)

    def read(
        self,
        obs: Tensor,
        last: Tensor,
        action: Tensor,
        memory: LstmState,
    ) -> tuple[Tensor, LstmState]:
        """Read a tick.

        Args:
            obs: (b, o)
            last: (b, a + o + r) the tick before, see ``as_last``.
            action: (b, a)
            memory: (b, h) of the ticks before.

        Returns:
            The LSTM's output (b, h), and the memory after the tick.
        """
        x = torch.cat([self.obs_norm(obs), last, action], -1)
        return self.memory.step(torch.relu(self.embed(x)), memory)

    def predict(
        self,
        obs: Tensor,
        last: Tensor,
        action: Tensor,
        memory: LstmState,
    ) -> tuple[Tensor, Tensor, LstmState]:
        """Read a tick, and predict its outcome; for the arguments see ``read``.

        Returns:
            The next observation (b, o), the tick as the next one's ``last``, and the memory.
        """
        out, memory = self.read(obs, last, action, memory)
        outcome = self.head(out)
        std = self.outcome_norm.std().to(obs)  # 0 for a column that never changes
        change = self.outcome_norm.mean + std * outcome
        next_obs = obs + change[:, : self.obs_dim]
        return next_obs, torch.cat([action, outcome], -1), memory

    def loss(self, t: Transition, mask: Tensor, future_steps: int) -> Tensor:
        """Mean squared error of predicting K ticks after every number of ticks from 0 to M.

        Errors are in standard deviations of the change and of the reward. As in a plan, every
        prediction starts from the one before, and the memory reads the predictions.

        Args:
            t: windows (b, 1 + M + K, ...). The first tick is only the last one of the second, at
                which the memory is empty.
            mask: (b, 1 + M + K) bool, which ticks exist and are of the episode of the second.
            future_steps: K

        Returns:
            A scalar.
        """
        starts = mask.shape[1] - future_steps  # M + 1
        ticks = self.as_last(t)
        last = ticks[:, :-1] * mask[:, :-1, None]
        true = ticks[:, 1:]
        exists = mask[:, 1:]
        t = t[:, 1:]
        memories = [self.memory.initial(len(mask))]
        for k in range(starts - 1):
            tick = t[:, k]
            _, memory = self.read(tick.obs, last[:, k], tick.applied, memories[-1])
            memories.append(memory)

        def at(x: Tensor, k: int) -> Tensor:
            """The k-th ticks after every start, of windows (b, M + K, ...): (starts · b, ...)."""
            return x[:, k : k + starts].transpose(0, 1).flatten(0, 1)

        memory = LstmState(
            hidden=torch.cat([m.hidden for m in memories]),
            cell=torch.cat([m.cell for m in memories]),
        )
        obs = at(t.obs, 0)
        before = at(last, 0)
        inv_std = self.outcome_norm.inv_std[: self.obs_dim]
        total = obs.new_zeros(())
        for k in range(future_steps):
            obs, before, memory = self.predict(obs, before, at(t.applied, k), memory)
            error = at(true, k) - before
            reward_error = error[:, self.last_dim - self.predict_reward :]
            obs_error = (at(t.next_obs, k) - obs) * inv_std  # with the errors of the steps before
            square = torch.cat([obs_error, reward_error], -1).square().mean(-1)
            total = total + (square * at(exists, k)).sum()
        count = sum(at(exists, k).sum() for k in range(future_steps))
        return total / count

    def rollout(
        self,
        obs: Tensor,
        last: Tensor,
        memory: LstmState,
        actions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predictions for candidate action sequences.

        Args:
            obs: (n, o) where all candidates start.
            last: (n, a + o + r) the tick before, see ``as_last``.
            memory: (n, h) of the ticks before.
            actions: (n, P, H, a)

        Returns:
            Observations (H + 1, n, P, o), the first of which is ``obs``, and rewards (H, n, P, r).
        """
        n, candidates, steps, _ = actions.shape
        obs = obs.repeat_interleave(candidates, 0)
        last = last.repeat_interleave(candidates, 0)
        memory = LstmState(
            hidden=memory.hidden.repeat_interleave(candidates, 0),
            cell=memory.cell.repeat_interleave(candidates, 0),
        )
        states = [obs]
        rewards = []
        reward_mean = self.outcome_norm.mean[self.obs_dim :]
        reward_std = self.outcome_norm.std().to(obs)[self.obs_dim :]
        for t in range(steps):
            action = actions[:, :, t].flatten(0, 1)
            obs, last, memory = self.predict(obs, last, action, memory)
            states.append(obs)
            reward = last[:, self.last_dim - self.predict_reward :]
            rewards.append(reward_mean + reward_std * reward)
        shape = (n, candidates)
        return torch.stack(states).unflatten(1, shape), torch.stack(rewards).unflatten(1, shape)
