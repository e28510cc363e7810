"""What happens next, given what was done and a belief about the task: an ensemble of Gaussians under a latent z.

An encoder says what each transition measures of z; an ensemble of networks (PE-TS, Chua et al. 2018) predicts the
change of the observation given z, unrolled over a few steps in training (CaDM, Lee et al. 2020). The Gaussians' noise
is one variance for each column, that of the errors (the optimal σ of Rybkin et al. 2021).
Axes: m members, n worlds, b a batch, w windows, L transitions of a task, o observation, a action, l latent, r = 1
where the reward is predicted too, else 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.models.posterior import Encoder, Posterior, context
from policies.nn.networks import Ensemble
from policies.nn.normalizer import RunningNormalizer

BLOCK = 512  # rows predicted at a time: what stays in a core's cache


@dataclass(frozen=True)
class DynamicsConfig:
    """The numbers of the model."""

    ensemble_size: int = 3  # PE-TS has 5
    hidden: tuple[int, ...] = (128, 128)  # CaDM has 4 × 200; this is what a CPU core can plan with
    latent_dim: int = 4
    factor_rank: int = 2  # measurements of the latent in a transition
    encoder_hidden: tuple[int, ...] = (128, 128)  # CaDM has 256, 128, 64
    unroll_steps: int = 4  # steps predicted in training (CaDM has 10)
    windows_per_task: int = 16  # of each task and member in a batch
    early_belief_windows: int = 0  # of them, foretold under a belief of an earlier tick: doubt about the task is to be lived with
    kl_weight: float = (
        0.005  # nats of belief per nat of one step; one over the steps of a trial would be 0.017
    )
    min_noise_std: float = 0.01  # errors below this share of a change's deviation count as none
    noise_ema_rate: float = 0.02  # how fast the noise, as a variance, follows the errors


class Dynamics(nn.Module):
    """Encoder, ensemble and the statistics of what they read and predict."""

    noise: Tensor

    def __init__(
        self,
        obs: int,
        actions: int,
        rewarded: bool,
        config: DynamicsConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.rewarded, self.width = config, rewarded, obs + rewarded
        self.obs, self.change, self.context = (
            RunningNormalizer(obs),
            RunningNormalizer(obs + rewarded),
            RunningNormalizer(2 * obs + actions + 1),
        )
        self.encoder = Encoder(
            2 * obs + actions + 1,
            config.encoder_hidden,
            config.latent_dim,
            config.factor_rank,
            generator,
        )
        sizes = [obs + actions + config.latent_dim, *config.hidden, self.width]
        self.register_buffer("noise", torch.ones(config.ensemble_size, self.width))
        self.ensemble = Ensemble(config.ensemble_size, sizes, generator)

    def update(self, t: Transition) -> None:
        """Take transitions (b, ...) into the statistics."""
        self.obs.update(t.obs)
        self.change.update(self.outcome(t, t.obs))
        self.context.update(context(t))

    def outcome(self, t: Transition, obs: Tensor) -> Tensor:
        """What is predicted, (..., o + r): the change from ``obs``, and the reward where the model has to know it."""
        change = t.next_obs - obs
        return torch.cat([change, t.reward[..., None]], -1) if self.rewarded else change

    def unit(self) -> Tensor:
        """Deviation of what is predicted, (o + r,); 0 for what never changes."""
        return (self.change.square / self.change.count.clamp(min=1)).sqrt().float()

    def evidence(self, t: Transition) -> tuple[Tensor, Tensor]:
        """What each transition adds to a belief: precision (..., l, l) and weighted sum (..., l)."""
        found: tuple[Tensor, Tensor] = self.encoder(self.context(context(t)), t.valid)
        return found

    @torch.no_grad()
    def observe(self, belief: Posterior, t: Transition) -> Posterior:
        """One more transition of n worlds: O(1)."""
        return belief.times(*self.evidence(t))

    def predict(self, obs: Tensor, applied: Tensor, z: Tensor) -> Tensor:
        """Each member's mean of the outcome, (m, b, o + r), from (m, b, ...)."""
        out: Tensor = self.ensemble(torch.cat([self.obs(obs), applied, z], -1))
        return self.change.shift + self.unit() * out

    def loss(self, t: Transition, there: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Minus the evidence lower bound of what comes after a belief, from trials (b, L, ...), a step's mean.

        Each member gets windows of its own. The belief is that of the window's start, as when a plan is made, or of a
        tick before it: nothing is predicted from a context that holds it. A window ends with its episode.
        """
        c, b = self.config, len(there)
        shape = c.ensemble_size, b, c.windows_per_task
        start = (torch.rand(shape, generator=generator) * there.sum(1)[:, None]).long()
        seen, some = start.clone(), slice(c.early_belief_windows)
        seen[..., some] = (
            torch.rand(start[..., some].shape, generator=generator) * (start[..., some] + 1)
        ).long()
        rows = torch.arange(b)[:, None].expand(shape)
        precision, weighted = (
            torch.cat([torch.zeros_like(x[:, :1]), x.cumsum(1)], 1) for x in self.evidence(t)
        )
        belief = Posterior(torch.eye(c.latent_dim) + precision[rows, seen], weighted[rows, seen])
        z = belief.at(torch.randn(*shape, c.latent_dim, generator=generator)).flatten(
            1, 2
        )  # (m, b·w, l)

        true, alive = _windows(t, there, start, c.unroll_steps)  # (m, b·w, K, ...)
        obs, errors = true.obs[:, :, 0], []
        for k in range(c.unroll_steps):
            now = true.map(lambda x, k=k: x[:, :, k])  # type: ignore[misc]
            outcome = self.predict(obs, now.applied, z)
            errors.append(self.outcome(now, obs) - outcome)
            obs = obs + outcome[..., : obs.shape[-1]]
        moves = self.unit() > 0
        square = (torch.stack(errors, 2)[..., moves] / self.unit()[moves]).square() * alive[
            ..., None
        ]
        mse = square.sum((1, 2)) / alive.sum((1, 2)).clamp(min=1)[:, None]  # (m, moving)
        self.noise[:, moves] = self.noise[:, moves].lerp(
            mse.detach().clamp(min=c.min_noise_std**2), c.noise_ema_rate
        )
        noise = self.noise[:, moves]
        nll = 0.5 * (mse / noise + noise.log()).sum(-1).mean()
        return {"nll": nll, "kl": c.kl_weight * belief.kl().mean()}

    def rollout(self, obs: Tensor, actions: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """What each member expects of candidates (n, P, H, a) from (n, o) under z (m, n, l).

        Returns:
            Observations (H + 1, m, n, P, o), the first one ``obs``, and rewards (H, m, n, P, r): the same as
            ``predict`` step by step.
        """
        (n, many, steps, a), (m, _, _), o = actions.shape, z.shape, obs.shape[-1]
        *layers, (weight, bias) = self._folded()
        states = obs.new_empty(steps + 1, m, n * many, o)
        rewards = obs.new_empty(steps, m, n * many, self.width - o)
        x = obs.new_empty(m, n * many, o + a + z.shape[-1])  # what the first layer reads
        x[..., :o] = states[0] = obs.repeat_interleave(many, 0)
        x[..., o + a :] = z.repeat_interleave(many, 1)
        every = actions.flatten(0, 1).transpose(0, 1)  # (H, n·P, a)
        for rows in map(slice, range(0, n * many, BLOCK), range(BLOCK, n * many + BLOCK, BLOCK)):
            block = x[:, rows].contiguous()
            for t in range(steps):
                block[..., o : o + a] = every[t, rows]
                h = block
                for w, b in layers:
                    h = torch.baddbmm(b, h, w).relu_()
                outcome = torch.baddbmm(bias, h, weight)
                block[..., :o] += outcome[..., :o]
                states[t + 1, :, rows] = block[..., :o]
                rewards[t, :, rows] = outcome[..., o:]
        return states.unflatten(2, (n, many)), rewards.unflatten(2, (n, many))

    def _folded(self) -> list[tuple[Tensor, Tensor]]:
        """The ensemble's layers, means only, with the statistics folded into the first and the last."""
        layers = list(zip(self.ensemble.weights, self.ensemble.biases, strict=True))
        (first, first_bias), (last, last_bias) = layers[0], layers[-1]
        rest = first.shape[1] - len(self.obs.scale)
        scale = torch.cat([self.obs.scale, torch.ones(rest)])[:, None]
        shift = torch.cat([self.obs.shift, torch.zeros(rest)])[:, None]
        layers[0] = first * scale, first_bias - (shift * scale * first).sum(1, keepdim=True)
        unit = self.unit()
        layers[-1] = last * unit, last_bias * unit + self.change.shift
        return layers


def _windows(t: Transition, there: Tensor, start: Tensor, steps: int) -> tuple[Transition, Tensor]:
    """Up to ``steps`` transitions from ``start`` (m, b, w) on: (m, b·w, K, ...), and which belong, (m, b·w, K)."""
    rows = torch.arange(len(there))[:, None, None]
    columns = start[..., None] + torch.arange(steps)
    belongs = (columns < there.sum(1)[:, None, None]).flatten(1, 2)
    columns = columns.clamp(max=there.shape[1] - 1)
    found = t.map(lambda x: x[rows, columns].flatten(1, 2))
    belongs[:, :, 1:] &= (found.obs[:, :, 1:] == found.next_obs[:, :, :-1]).all(-1)
    return found, belongs.cumprod(2)
