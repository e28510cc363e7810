"""A belief about task parameters as weighted particles: a particle filter for constant parameters.

Every transition multiplies a particle's weight by its likelihood (Gordon et al. 1993; for the
parameters of a simulator: BayesSim, Ramos et al. 2019; UP-OSI, Yu et al. 2017, uses a point
estimate). If few particles carry most of the weight, they are resampled and then moved such that
their mean and covariance do not change (Liu and West 2001).

Axes: n worlds, K particles, m hypotheses, p task parameters, h hidden ones.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Problem
from policies.nn.noise import standard_normal, uniform
from policies.ranges import Count, NonNegative, Positive, Share

GOALS = ("goal", "marker")  # first parts of the names of parameters that physics do not depend on
LOWEST = -1e4  # log-likelihood of an impossible transition: finite, so that weights stay numbers
# A parameter is scaled in its logarithm if its lowest value is more than this share of its highest.
# The range is that of sampled tasks: the lowest of thousands of draws from [0, 1] is 1e-4, not 0.
MIN_LOG_SHARE = 0.01
VARIANCE = 1e-6  # added to the particles' variances, so that collapsed particles can be moved


def physics_columns(names: tuple[str, ...]) -> list[int]:
    """The columns that physics can depend on, by name: all but the goals."""
    columns = []
    for column, name in enumerate(names):
        kind = name.split(".")[0]
        if kind not in GOALS:
            columns.append(column)
    return columns


class HiddenParameters(nn.Module):
    """Scales the task parameters that a method must infer: (..., p) to (..., h) in about [-1, 1].

    If the reward is known these are the physics parameters; if it is hidden, also the goals. A
    parameter that is well above zero (a mass, a friction) is scaled in its logarithm, so that it is
    positive for every particle. A linear parameter whose range begins at zero is never decoded to
    a negative value.
    """

    columns: Tensor  # (h,) int64, columns among the task parameters
    is_log: Tensor  # (h,) bool, whether a parameter is scaled in its logarithm
    center: Tensor  # (h,) of the range, after the logarithm
    half_range: Tensor  # (h,) of the range, after the logarithm
    lowest: Tensor  # (h,) lower bound of decoded linear parameters: 0, or -inf if they may be less

    def __init__(self, problem: Problem, device: torch.device) -> None:
        """Scale by the ranges that the problem declares."""
        super().__init__()
        columns = list(range(problem.task_dim))
        if problem.reward is not None:
            columns = physics_columns(problem.task_names)
        index = torch.tensor(columns, dtype=torch.int64, device=device)
        lowest_value, highest_value = problem.task_range(index)
        is_log = lowest_value > MIN_LOG_SHARE * highest_value
        zeros = torch.zeros(len(columns), device=device)
        lowest = zeros.masked_fill(lowest_value < 0, -torch.inf)
        low = _scale(lowest_value, is_log)
        high = _scale(highest_value, is_log)
        center = (high + low) / 2
        half_range = (high - low) / 2
        self.register_buffer("columns", index)
        self.register_buffer("is_log", is_log)
        self.register_buffer("center", center)
        self.register_buffer("half_range", half_range)
        self.register_buffer("lowest", lowest)

    def __len__(self) -> int:
        """Number of hidden parameters, h."""
        return len(self.columns)

    def encode(self, task: Tensor) -> Tensor:
        """Task parameters (..., p) in SI units as (..., h)."""
        hidden = task[..., self.columns]
        scaled = _scale(hidden, self.is_log)
        return (scaled - self.center) / self.half_range

    def decode(self, u: Tensor, task: Tensor) -> Tensor:
        """Task parameters (..., p) in SI units.

        Args:
            u: (..., h) scaled hidden parameters.
            task: (p,) or (..., p) task parameters, of which all but the hidden ones are kept.
        """
        scaled = u * self.half_range + self.center
        exponential = scaled.exp()
        linear = torch.maximum(scaled, self.lowest)
        lead = u.shape[:-1]
        decoded = task.expand(*lead, -1).clone()
        decoded[..., self.columns] = torch.where(self.is_log, exponential, linear)
        return decoded


def _scale(values: Tensor, is_log: Tensor) -> Tensor:
    """Values (..., h), of which those with ``is_log`` are replaced by their logarithm."""
    ones = torch.ones_like(values)
    positive = torch.where(is_log, values, ones)
    logarithm = positive.log()
    return torch.where(is_log, logarithm, values)


@dataclass(frozen=True)
class ParticleConfig:
    """Settings of the particles."""

    count: Count = 512  # particles of each world
    # factor on the prior's deviations from its mean: tasks may lie outside the trained range
    prior_width: Positive = 1.25
    # std of the noise added to the prior's draws, as a share of theirs: fills gaps between tasks
    prior_noise: NonNegative = 0.1
    # particles are resampled if their effective share falls below this (usual: 0.5)
    min_effective_share: Share = 0.5
    move: Share = 0.1  # std of the move after it, as a share of the particles' (Liu and West 2001)


@dataclass(frozen=True)
class Particles:
    """The belief of n worlds about their hidden parameters."""

    u: Tensor  # (n, K, h) hidden parameters, scaled
    log_weights: Tensor  # (n, K); the weights of a world sum to 1

    @property
    def weights(self) -> Tensor:
        """Weights (n, K), with a sum of 1 in each world."""
        return self.log_weights.exp()

    @property
    def effective_size(self) -> Tensor:
        """The effective sample size, 1 / Σ w², (n,)."""
        squares = self.weights.square()
        return 1 / squares.sum(-1)

    @property
    def mean(self) -> Tensor:
        """Weighted mean of the parameters, (n, h)."""
        weighted = self.weights[..., None] * self.u
        return weighted.sum(1)


class InfersParameters:
    """A method whose particles stand for parameters of the task."""

    problem: Problem
    hidden: HiddenParameters

    def inferred(self, particles: Particles) -> dict[str, Tensor]:
        """The value of each hidden parameter under every particle, (n, K) each, in SI units."""
        u = particles.u[..., : len(self.hidden)]  # what follows is no parameter of the task
        unknown = torch.zeros(self.problem.task_dim, device=u.device)
        values = self.hidden.decode(u, unknown)
        columns = self.hidden.columns.tolist()
        return {self.problem.task_names[column]: values[..., column] for column in columns}


class Prior(nn.Module):
    """The particles of a world before any evidence, the same for every world."""

    u: Tensor  # (K, h)
    is_fitted: Tensor  # () bool, whether ``fit`` was given tasks

    def __init__(self, hidden: int, config: ParticleConfig, generator: torch.Generator) -> None:
        """Uniform over the range of the parameters, until ``fit``."""
        super().__init__()
        self.config = config
        u = 2 * uniform((config.count, hidden), generator) - 1
        self.register_buffer("u", u)
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool, device=u.device))

    def fit(self, u: Tensor, generator: torch.Generator) -> None:
        """Set the particles from draws (K, h) of the training tasks, widened and with noise."""
        c = self.config
        mean = u.mean(0)
        std = u.std(0)
        noise = standard_normal(u.shape, generator)
        wider = mean + c.prior_width * (u - mean)
        self.u.copy_(wider + c.prior_noise * std * noise)
        self.is_fitted.fill_(True)

    def particles(self, n: int) -> Particles:
        """The particles of n worlds."""
        u = self.u.expand(n, -1, -1)
        return equal_weights(u)


def equal_weights(u: Tensor) -> Particles:
    """Particles (n, K, h) of equal weight."""
    n, count, _ = u.shape
    weight = 1 / count
    weights = torch.full((n, count), weight, device=u.device)
    return Particles(u, weights.log())


def reweight(particles: Particles, log_likelihood: Tensor, valid: Tensor) -> Particles:
    """Bayes' rule: multiply the weights by likelihoods.

    Args:
        particles: of n worlds.
        log_likelihood: (n, K) of the new evidence; NaN and -inf count as impossible.
        valid: (n,) bool, the worlds with new evidence; the others do not change.
    """
    evidence = log_likelihood.nan_to_num(nan=LOWEST, neginf=LOWEST)
    evidence = evidence.clamp(min=LOWEST)
    log_posterior = particles.log_weights + evidence
    updated = log_posterior.log_softmax(-1)
    log_weights = torch.where(valid[:, None], updated, particles.log_weights)
    return Particles(particles.u, log_weights)


def update(
    particles: Particles,
    log_likelihood: Tensor,
    valid: Tensor,
    config: ParticleConfig,
    generator: torch.Generator,
) -> Particles:
    """``reweight``, then ``rejuvenate`` as the settings say."""
    weighed = reweight(particles, log_likelihood, valid)
    return rejuvenate(weighed, config.min_effective_share, config.move, generator)


def systematic_sample(particles: Particles, count: int) -> Tensor:
    """Systematic resampling: ``count`` particles of each world in proportion to the weights.

    The i-th one is the particle at which the cumulative weight passes (i + 1/2) / count; nothing is
    random.

    Returns:
        Particles (n, count, h).
    """
    n, size, hidden = particles.u.shape
    cumulative = particles.weights.cumsum(-1)
    steps = torch.arange(count, device=cumulative.device)
    levels = (steps + 0.5) / count
    levels = levels.repeat(n, 1)
    index = torch.searchsorted(cumulative, levels)
    index = index.clamp(max=size - 1)  # rounding: the last sum may lie below 1
    rows = index[..., None].expand(-1, -1, hidden)
    return particles.u.gather(1, rows)


def rejuvenate(
    particles: Particles,
    min_share: float,
    step: float,
    generator: torch.Generator,
) -> Particles:
    """Resample and move the particles of the worlds in which too few of them carry the weight.

    A resampled particle u moves to mean + sqrt(1 - step²) (u - mean) + step · noise, and the noise
    has the covariance of the weighted particles. Mean and covariance do not change.

    Args:
        particles: of n worlds.
        min_share: smallest effective share of the particles, in [0, 1].
        step: share of the standard deviation that comes from the noise, in [0, 1].
        generator: of the noise; it is drawn for all worlds whether they need it or not, so that
            a world's particles do not depend on other worlds.
    """
    u = particles.u
    noise = standard_normal(u.shape, generator)
    is_poor = particles.effective_size < min_share * u.shape[1]
    if not is_poor.any():
        return particles
    mean = particles.mean[:, None]
    deviation = u - mean
    weighted = particles.weights[..., None] * deviation
    by_parameter = weighted.double().transpose(1, 2)
    covariance = by_parameter @ deviation.double()  # (n, h, h)
    identity = torch.eye(u.shape[-1], dtype=torch.float64, device=u.device)
    factor = torch.linalg.cholesky(covariance + VARIANCE * identity)
    correlated = noise @ factor.float().transpose(1, 2)
    chosen = systematic_sample(particles, u.shape[1])
    shrinkage = (1 - step**2) ** 0.5
    shrunk = mean + shrinkage * (chosen - mean)
    moved = equal_weights(shrunk + step * correlated)
    mask = is_poor[:, None]
    return Particles(
        u=torch.where(mask[..., None], moved.u, u),
        log_weights=torch.where(mask, moved.log_weights, particles.log_weights),
    )
