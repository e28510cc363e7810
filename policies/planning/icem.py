"""Planning by sampling for n worlds at once: iCEM (Pinneri et al. 2020).

The colored noise is new at every tick and in every iteration of a search. It is a function of seed,
tick and iteration alone. A plan therefore depends only on its own world: it is the same if that
world is searched alone or together with others, and if the search is repeated.

Axes: n worlds, P candidates, K kept elites, H steps, a actions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from policies.nn.noise import keyed_generator, standard_normal
from policies.ranges import AtLeastOne, Count, LargeCount, NonNegative, Positive, Share
from robots.errors import BadArgumentError

Score = Callable[[Tensor], Tensor]  # candidates (n, P, H, a) -> values (n, P); higher is better


@dataclass(frozen=True)
class IcemConfig:
    """Settings of the search.

    With ``noise_beta`` 0 and one kept elite it is nearly the cross-entropy method.
    """

    horizon: Count = 20  # steps planned ahead
    num_samples: Count = 64  # N, candidates of the first iteration
    # γ: iteration i has N·γ^-i candidates, but at least twice the elites. iCEM has 1.25; with three
    # iterations this is 19 % cheaper, and plans are 2 % worse
    population_decay: AtLeastOne = 1.0
    iterations: LargeCount = 3  # iterations of a search that starts from the last plan (iCEM)
    cold_iterations: LargeCount = 4  # iterations of a search that starts without a plan
    num_elites: Count = 8  # best candidates, to which the next iteration is fitted
    num_kept_elites: Count = 3  # elites that stay candidates (iCEM: 0.3 of the elites)
    noise_beta: NonNegative = 2.0  # β: noise power falls as 1/frequency^β (iCEM: 0.25 to 4)
    init_std: Positive = 0.5  # std of the first iteration's actions, which lie in [-1, 1] (iCEM)
    momentum: Share = 0.1  # share of mean and std kept from the last iteration (iCEM)

    def __post_init__(self) -> None:
        """BadArgumentError if the numbers of elites and candidates do not fit together."""
        if not 1 <= self.num_kept_elites <= self.num_elites < self.num_samples:
            raise BadArgumentError(
                f"1 <= num_kept_elites <= num_elites < num_samples does not hold for {self}"
            )

    def population(self, iteration: int) -> int:
        """Candidates of an iteration, counted from 0: max(N·γ^-i, 2·elites), and N at most."""
        decayed = int(self.num_samples * self.population_decay**-iteration)
        smallest = 2 * self.num_elites
        return min(max(decayed, smallest), self.num_samples)


@dataclass(frozen=True)
class Plan:
    """The result of a search, from which the next one starts."""

    mean: Tensor  # (n, H, a) of the sampling distribution
    best: Tensor  # (n, K, H, a) the best candidates, the best of all first
    tick: Tensor  # (n,) int64, steps since the initial plan; the next search's noise depends on it

    @property
    def action(self) -> Tensor:
        """The first action of the best candidate, (n, a)."""
        return self.best[:, 0, 0]


class Icem:
    """Searches for the action sequences of the highest value."""

    def __init__(
        self,
        config: IcemConfig,
        action_dim: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Draw the seed of the noise from ``generator``, and plan on ``device``."""
        self.config = config
        self.action_dim = action_dim
        self.device = device
        seed = torch.randint(2**31, (), generator=generator, device=generator.device)
        self.seed = int(seed)
        self.iterations = max(config.iterations, config.cold_iterations)
        last_samples = self._draw(0)[-1, -config.num_kept_elites :].to(device)
        self.initial_best = (config.init_std * last_samples).clamp(-1, 1)  # (K, H, a)

    def _draw(self, tick: int) -> Tensor:
        """The colored noise of a tick, (iterations, N, H, a), on the CPU."""
        c = self.config
        shape = (self.iterations, c.num_samples, c.horizon, self.action_dim)
        return colored_noise(shape, c.noise_beta, keyed_generator(self.seed, tick))

    def noise(self, tick: Tensor) -> Tensor:
        """The noise (iterations, n, N, H, a) of worlds at their ticks (n,)."""
        distinct, index = tick.cpu().unique(return_inverse=True)
        draws = [self._draw(t) for t in distinct.tolist()]
        noise = torch.stack(draws, 1).to(self.device)
        return noise[:, index.to(self.device)]

    def initial_plan(self, n: int) -> Plan:
        """The plan before any search: mean 0, and noise around it as the best candidates."""
        best = self.initial_best
        return Plan(
            mean=torch.zeros(n, *best.shape[1:], device=self.device),
            best=best.expand(n, *best.shape),
            tick=torch.zeros(n, dtype=torch.int64, device=self.device),
        )

    def search(self, plan: Plan, score: Score, iterations: int) -> Plan:
        """Improve a plan. The best candidates are kept, so the best value never decreases.

        Args:
            plan: where the search starts.
            score: values of candidates; NaN counts as the lowest.
            iterations: at most ``max(config.iterations, config.cold_iterations)``.
        """
        c = self.config
        mean = plan.mean
        kept_elites = plan.best
        std = torch.full_like(mean, c.init_std)
        for iteration, noise in enumerate(self.noise(plan.tick)[:iterations]):
            samples = c.population(iteration)
            deviation = std[:, None] * noise[:, :samples]
            candidates = (mean[:, None] + deviation).clamp(-1, 1)  # (n, P, H, a)
            candidates[:, : c.num_kept_elites] = kept_elites
            candidates[:, c.num_kept_elites] = mean
            values = score(candidates).nan_to_num(nan=-torch.inf)
            ranking = values.topk(c.num_elites, 1).indices  # (n, elites), the best first
            index = ranking[..., None, None].expand(-1, -1, *mean.shape[1:])
            elites = candidates.gather(1, index)
            kept_elites = elites[:, : c.num_kept_elites]
            elite_std = elites.std(1, correction=0)
            mean = mean.lerp(elites.mean(1), 1 - c.momentum)
            std = std.lerp(elite_std, 1 - c.momentum)
        return Plan(mean, kept_elites, plan.tick)


def shift_plan(plan: Plan) -> Plan:
    """The same plan one step later; its last action is repeated."""
    return Plan(_shift(plan.mean), _shift(plan.best), plan.tick + 1)


def _shift(actions: Tensor) -> Tensor:
    """Actions (..., H, a) without the first, the last one twice."""
    return torch.cat([actions[..., 1:, :], actions[..., -1:, :]], -2)


def colored_noise(
    shape: tuple[int, ...],
    beta: float,
    generator: torch.Generator,
) -> Tensor:
    """Gaussian noise (..., H, a) of std 1 whose power falls with frequency as 1/f^β along H.

    Method of Timmer and König (1995): a random spectrum, transformed to time. At frequency 0, where
    1/f^β is infinite, the amplitude is that of the lowest frequency.
    """
    *lead, steps, actions = shape
    device = generator.device
    frequency = torch.fft.rfftfreq(steps, device=device)
    frequency = frequency.clamp(min=1 / steps)
    amplitude = frequency ** (-beta / 2)
    size = (2, *lead, actions, len(frequency))
    real, imaginary = standard_normal(size, generator) * amplitude
    # A real signal has each frequency twice, positive and negative, except 0 and, for an even
    # number of steps, the highest one; these two have no imaginary part.
    count = torch.full_like(amplitude, 2.0)
    once = [0, -1] if steps % 2 == 0 else [0]
    imaginary[..., once] = 0
    count[once] = 1.0
    power = (count * amplitude).square()
    std = power.sum().sqrt() / steps
    spectrum = torch.complex(real, imaginary)
    noise: Tensor = torch.fft.irfft(spectrum, steps) / std
    return noise.transpose(-1, -2).contiguous()
