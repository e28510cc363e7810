"""Laws of the diffusion model: its noise, its loss, its samples, and its conditions."""

import pytest
import torch
from torch import Tensor

from policies.models import diffusion
from policies.models.diffusion import DiffusionModel, denoising_loss

STEPS = 12


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 20.0])
def test_noise_leaves_the_mean_and_adds_its_variance(sigma: float) -> None:
    rows = torch.tensor([3.0, -1.0]).expand(200_000, 2)
    noise = torch.randn(rows.shape, generator=seeded())
    noisy = diffusion.add_noise(rows, torch.full((len(rows), 1), sigma), noise)
    torch.testing.assert_close(noisy.mean(0), rows[0], rtol=0, atol=0.01 * sigma)
    torch.testing.assert_close(noisy.var(0), torch.full((2,), sigma**2), rtol=0.02, atol=0)


def gaussian_denoiser(
    mean: float, std: float, shift: float = 0.0, scale: float = 1.0
) -> diffusion.Denoise:
    """E[row | noisy] for rows of N(mean, std²), by Bayes' rule; then shifted and scaled."""

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        prior = 1 / std**2
        evidence = 1 / sigma**2
        exact = (prior * mean + evidence * noisy) / (prior + evidence)
        return shift + scale * exact

    return denoise


def test_a_perfect_denoiser_has_the_smallest_loss_and_it_is_that_of_the_formula() -> None:
    """Its error has the posterior's variance, 1 / (1/s² + 1/σ²)."""
    mean, std = 0.7, 0.5
    g = seeded()
    rows = mean + std * torch.randn(100_000, 1, generator=g)
    sigma = diffusion.draw_sigma(len(rows), g)
    noise = torch.randn(rows.shape, generator=g)

    def loss(**changes: float) -> Tensor:
        return denoising_loss(gaussian_denoiser(mean, std, **changes), rows, sigma, noise)

    weight = 1 + 1 / sigma**2
    variance = 1 / (1 / std**2 + 1 / sigma**2)
    torch.testing.assert_close(loss(), (weight * variance).mean(), rtol=0.02, atol=0)
    for changes in ({"shift": 0.05}, {"shift": -0.05}, {"scale": 0.93}, {"scale": 1.07}):
        assert loss(**changes) > loss()


@pytest.mark.parametrize(("mean", "std"), [(0.7, 0.1), (-0.5, 0.5), (0.0, 1.0)])
def test_samples_of_a_perfect_denoiser_have_the_distribution_of_the_rows(
    mean: float, std: float
) -> None:
    """Exactly, they would be N(mean, std²) but for the share of the start that is data."""
    noise = torch.randn(50_000, 1, generator=seeded())
    samples = diffusion.sample(gaussian_denoiser(mean, std), noise, STEPS)
    assert abs(samples.mean() - mean) < 0.06
    assert abs(samples.std() / std - 1) < 0.06


def test_the_schedule_falls_from_the_largest_to_the_smallest_deviation() -> None:
    schedule = diffusion.sigma_schedule(STEPS)
    assert len(schedule) == STEPS
    assert schedule[0] == pytest.approx(diffusion.LARGEST_SIGMA)
    assert schedule[-1] == pytest.approx(diffusion.SMALLEST_SIGMA)
    assert schedule == sorted(schedule, reverse=True)


def test_the_network_of_a_model_is_preconditioned_as_published() -> None:
    """With F = 0 the denoiser is E[row | noisy] for rows of N(0, 1): noisy / (1 + σ²)."""
    model = DiffusionModel(2, 1, (8,), seeded())
    with torch.no_grad():
        model.net.flat.zero_()
    noisy = torch.randn(5, 2, generator=seeded())
    sigma = torch.tensor([[0.02], [0.5], [1.0], [3.0], [20.0]])
    found = model.denoiser(torch.zeros(5, 1))(noisy, sigma)
    torch.testing.assert_close(found, noisy / (1 + sigma**2))


# Of the two labels: means and covariances of rows that together have mean 0 and deviation 1.
MEANS = torch.tensor([[0.8, -0.6], [-0.8, 0.6]])
CORRELATION = (0.8, -0.5)


def draw_rows(label: Tensor, generator: torch.Generator) -> Tensor:
    """Rows (b, 2) of labels (b,): Gaussians of variance 0.36 and 0.64, correlated."""
    noise = torch.randn(len(label), 2, generator=generator)
    correlation = torch.tensor(CORRELATION)[label]
    first = 0.6 * noise[:, 0]
    rest = (1 - correlation**2).sqrt()
    second = 0.8 * (correlation * noise[:, 0] + rest * noise[:, 1])
    return MEANS[label] + torch.stack([first, second], 1)


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    """A model of both Gaussians, conditioned on the label as -1 or 1."""
    g = seeded()
    model = DiffusionModel(2, 1, (64, 64), g)
    optimizer = torch.optim.Adam(model.net.parameters(), lr=3e-3)
    for _ in range(1200):
        label = torch.randint(2, (256,), generator=g)
        loss = model.loss(draw_rows(label, g), condition_of(label), g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.update_average()
    return model


def condition_of(label: Tensor) -> Tensor:
    return 2.0 * label[:, None] - 1


@pytest.mark.parametrize("label", [0, 1])
def test_samples_under_a_label_have_its_mean_and_covariance(
    model: DiffusionModel, label: int
) -> None:
    labels = torch.full((20_000,), label)
    samples = model.sample(condition_of(labels), STEPS, seeded(1))
    torch.testing.assert_close(samples.mean(0), MEANS[label], rtol=0, atol=0.1)
    across = 0.6 * 0.8 * CORRELATION[label]
    expected = torch.tensor([[0.36, across], [across, 0.64]])
    torch.testing.assert_close(samples.T.cov(), expected, rtol=0, atol=0.09)


def test_labels_in_one_batch_are_not_mixed(model: DiffusionModel) -> None:
    """A sample is nearer to the other label's mean as seldom as a true row is."""
    labels = torch.arange(20_000) % 2
    samples = model.sample(condition_of(labels), STEPS, seeded(2))
    true = draw_rows(labels, seeded(3))

    def strayed(rows: Tensor) -> Tensor:
        direction = MEANS[1] - MEANS[0]
        return ((rows @ direction > 0) != labels.bool()).float().mean()

    assert 0 < strayed(true) < 0.2
    assert abs(strayed(samples) - strayed(true)) < 0.03
