"""A diffusion model of rows of numbers under a condition (EDM, Karras et al. 2022).

Gaussian noise of deviation σ is added to a row, and a denoiser D(x; σ, c) is trained to predict the
clean row. A new row begins as pure noise, and follows dx/dσ = (x - D(x; σ, c)) / σ from the largest
σ down to 0. Rows must be normalized: mean 0 and standard deviation 1 in every column.

Axes: b rows, d columns of a row, c columns of a condition.
"""

from collections.abc import Callable
from copy import deepcopy
from math import log

import torch
from torch import Tensor, nn

from policies.nn.flat_mlp import FlatMlp
from policies.nn.noise import standard_normal
from policies.rl.sac import polyak_update

# Noisy rows (..., d) and the noise's deviations (..., 1) -> the predicted clean rows (..., d).
Denoise = Callable[[Tensor, Tensor], Tensor]

# ln σ in training is normal with these; EDM's, for data of deviation 1 instead of 0.5.
MEAN_LOG_SIGMA = -0.5
STD_LOG_SIGMA = 1.2
# σ from which and down to which a sample is drawn; EDM's 80 would only take more steps.
LARGEST_SIGMA = 20.0
SMALLEST_SIGMA = 0.02
SPACING = 7.0  # EDM's ρ: the larger, the more steps are at small σ
EMA_RATE = 0.01  # step of the averaged denoiser that samples


def add_noise(rows: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Rows plus σ times standard normal noise: of mean ``rows`` and variance σ²."""
    return rows + sigma * noise


def draw_sigma(rows: int, generator: torch.Generator) -> Tensor:
    """Deviations of the noise in training, (b, 1)."""
    normal = standard_normal((rows, 1), generator)
    log_sigma = MEAN_LOG_SIGMA + STD_LOG_SIGMA * normal
    return log_sigma.exp()


def denoising_loss(denoise: Denoise, rows: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """The mean of (1 + σ²) / σ² times the squared error, a scalar.

    With this weight, an untrained network has about the same loss at every σ. The loss is smallest
    for the mean of the clean row given the noisy one, and that smallest loss is not 0.

    Args:
        denoise: the denoiser.
        rows: clean ones (b, d).
        sigma: (b, 1)
        noise: standard normal draws (b, d).
    """
    noisy = add_noise(rows, sigma, noise)
    predicted = denoise(noisy, sigma)
    weight = (1 + sigma.square()) / sigma.square()
    error = (predicted - rows).square()
    return (weight * error).mean()


def sigma_schedule(steps: int) -> list[float]:
    """The falling deviations at which a sample is denoised, from the largest to the smallest."""
    first = LARGEST_SIGMA ** (1 / SPACING)
    last = SMALLEST_SIGMA ** (1 / SPACING)
    schedule = []
    for i in range(steps):
        share = i / max(1, steps - 1)
        root = first + share * (last - first)
        schedule.append(root**SPACING)
    return schedule


def sample(denoise: Denoise, noise: Tensor, steps: int) -> Tensor:
    """Rows (b, d) by DPM-Solver++(2M) (Lu et al. 2022), one evaluation of the denoiser a step.

    Between two deviations D is a straight line in ln σ, through its last two values. The equation
    is then solved exactly, so that few steps suffice.

    Args:
        denoise: the denoiser.
        noise: standard normal draws (b, d), the only randomness.
        steps: number of steps.
    """
    schedule = sigma_schedule(steps)
    x = schedule[0] * noise
    before = None  # the last D, and how far ln σ has fallen since it
    for i in range(steps - 1):
        now = schedule[i]
        after = schedule[i + 1]
        fall = log(now / after)
        clean = _denoise_at(denoise, x, now)
        middle = clean
        if before is not None:
            last_clean, last_fall = before
            middle = clean + fall / (2 * last_fall) * (clean - last_clean)
        keep = after / now
        x = keep * x + (1 - keep) * middle
        before = (clean, fall)
    return _denoise_at(denoise, x, schedule[steps - 1])


def _denoise_at(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """D at the same σ for all rows."""
    return denoise(x, torch.full_like(x[..., :1], sigma))


class DiffusionModel(nn.Module):
    """A denoiser that is trained, and its averaged copy, which samples."""

    def __init__(
        self,
        columns: int,
        condition: int,
        hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        """For rows of ``columns`` (d) under conditions of ``condition`` columns (c)."""
        super().__init__()
        self.columns = columns
        self.net = FlatMlp([columns + 1 + condition, *hidden, columns], generator)
        self.ema_net = deepcopy(self.net).requires_grad_(False)

    def denoiser(self, condition: Tensor, averaged: bool = False) -> Denoise:
        """The denoiser under conditions (b, c).

        The network's inputs and targets have a variance of about 1 at every σ: D is
        x / (σ² + 1) + σ / sqrt(σ² + 1) · F(x / sqrt(σ² + 1), ln(σ) / 4, c).
        """
        net = self.ema_net if averaged else self.net

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            variance = sigma.square() + 1
            scaled = noisy / variance.sqrt()
            inputs = torch.cat([scaled, sigma.log() / 4, condition], -1)
            output: Tensor = net(inputs)
            return noisy / variance + sigma / variance.sqrt() * output

        return denoise

    def loss(self, rows: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """The denoising loss of rows (b, d) under conditions (b, c), a scalar."""
        sigma = draw_sigma(len(rows), generator)
        noise = standard_normal(rows.shape, generator)
        return denoising_loss(self.denoiser(condition), rows, sigma, noise)

    def update_average(self) -> None:
        """Move the averaged copy one step toward the denoiser."""
        polyak_update(self.ema_net, self.net, EMA_RATE)

    @torch.no_grad()
    def sample(self, condition: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """A row (b, d) for each condition (b, c)."""
        noise = standard_normal((len(condition), self.columns), generator)
        return sample(self.denoiser(condition, averaged=True), noise, steps)
