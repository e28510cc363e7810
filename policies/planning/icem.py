"""Planning by sampling: iCEM (Pinneri et al. 2020), for n worlds at once.

Every world is searched with the same coloured noise, drawn once from a seed, so that a plan depends on nothing but
what it is made for: a world alone and among others gets the same plan. Axes: n worlds, P candidates, K kept ones,
H steps, a actions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # candidates (n, P, H, a) -> how good each is, (n, P)


@dataclass(frozen=True)
class IcemConfig:
    """The numbers of the search. Colour 0 and little kept make it nearly the plain cross-entropy method."""

    horizon: int = 20  # steps looked ahead
    num_samples: int = 64  # per round
    iterations: int = 3  # with a plan to start from (iCEM)
    cold_iterations: int = 4  # without one
    num_elites: int = 8  # candidates that the next round is drawn around
    num_kept_elites: int = 3  # elites that stay candidates (iCEM: 0.3 of the elites)
    noise_beta: float = 2.0  # β: noise power falls with frequency as 1/f^β (iCEM has 0.25 to 4)
    init_std: float = 0.5  # of the first round, of actions in [-1, 1] (iCEM)
    momentum: float = 0.1  # share of the last round's mean and deviation that stays (iCEM)


@dataclass(frozen=True)
class Plan:
    """What a search ended with; the next one starts from it."""

    mean: Tensor  # (n, H, a)
    best: Tensor  # (n, K, H, a) the best candidates, the very best first

    @property
    def action(self) -> Tensor:
        """The first action of the best candidate, (n, a)."""
        return self.best[:, 0, 0]


class Icem:
    """Searches for the actions with the highest score."""

    def __init__(self, config: IcemConfig, actions: int, generator: torch.Generator) -> None:
        if not 1 <= config.num_kept_elites <= config.num_elites < config.num_samples:
            raise ValueError(
                f"1 <= num_kept_elites <= num_elites < num_samples does not hold for {config}"
            )
        self.config = config
        shape = (
            max(config.iterations, config.cold_iterations),
            config.num_samples,
            config.horizon,
            actions,
        )
        self.noise = colored_noise(shape, config.noise_beta, generator).to(
            torch.get_default_device()
        )

    def cold(self, n: int) -> Plan:
        """No idea: the middle of every action, and a few of the candidates around it."""
        few = (self.config.init_std * self.noise[-1, -self.config.num_kept_elites :]).clamp(-1, 1)
        return Plan(torch.zeros(n, *few.shape[1:]), few.expand(n, *few.shape))

    def improve(
        self, plan: Plan, score: Score, rounds: int, proposal: Tensor | None = None
    ) -> Plan:
        """Some rounds of search from a plan. The best score never falls: the best stay candidates.

        A ``proposal`` (n, H, a) is one of them from the first round on.
        """
        c, mean, kept = self.config, plan.mean, plan.best
        std = torch.full_like(mean, c.init_std)
        for noise in self.noise[:rounds]:
            drawn = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)  # (n, P, H, a)
            drawn[:, : c.num_kept_elites] = kept
            drawn[:, c.num_kept_elites] = mean
            if proposal is not None:
                drawn[:, -1] = proposal
            values = score(drawn).nan_to_num(nan=-torch.inf)
            order = values.topk(c.num_elites, 1).indices  # (n, elites), the best first
            elites = drawn.gather(1, order[..., None, None].expand(-1, -1, *drawn.shape[2:]))
            kept = elites[:, : c.num_kept_elites]
            mean = mean.lerp(elites.mean(1), 1 - c.momentum)
            std = std.lerp(elites.std(1, correction=0), 1 - c.momentum)
        return Plan(mean, kept)


def shifted(plan: Plan) -> Plan:
    """The same plan one step later; its last action is repeated."""
    return Plan(*(torch.cat([x[..., 1:, :], x[..., -1:, :]], -2) for x in (plan.mean, plan.best)))


def colored_noise(shape: tuple[int, ...], color: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise (..., H, a) of deviation 1 whose power falls with frequency as 1/f^colour along H.

    Timmer and König (1995); the lowest frequency stands in for the mean's, whose power would be infinite.
    """
    *lead, steps, actions = shape
    device = generator.device
    frequency = torch.fft.rfftfreq(steps, device=device).clamp(min=1 / steps)
    amplitude = frequency ** (-color / 2)
    real, imaginary = (
        torch.randn(2, *lead, actions, len(frequency), generator=generator, device=device)
        * amplitude
    )
    weight = torch.full_like(amplitude, 2.0)  # a frequency and its negative
    ends = [0, -1] if steps % 2 == 0 else [0]  # these stand for themselves
    imaginary[..., ends], weight[ends] = 0, 1.0
    deviation = (weight * amplitude).square().sum().sqrt() / steps
    return (
        (torch.fft.irfft(torch.complex(real, imaginary), steps) / deviation)
        .transpose(-1, -2)
        .contiguous()
    )
