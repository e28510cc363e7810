"""Laws of the Gaussian belief: what is forgotten, what is bounded, and what stays exact."""

import torch
from torch import Tensor

from policies.models.posterior import MAX_EVIDENCE, Posterior, prior

CPU = torch.device("cpu")
L = 3
FACTOR = 0.95


def measure(z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The factor of one noisy measurement of z (n, l) along a random direction."""
    direction = torch.randn(z.shape, generator=generator)
    noise = torch.randn(len(z), generator=generator)
    value = (direction * z).sum(-1) + noise
    return direction[:, :, None] * direction[:, None], direction * value[:, None]


def filtered(targets: list[Tensor], factor: float) -> list[Posterior]:
    """The belief after every measurement of a task z (n, l) that may change."""
    g = torch.Generator().manual_seed(0)
    belief = prior(len(targets[0]), L, CPU)
    keep = torch.full((len(targets[0]),), factor)
    beliefs = []
    for z in targets:
        belief = belief.forget(keep).update(*measure(z, g))
        beliefs.append(belief)
    return beliefs


def test_a_factor_of_one_forgets_nothing() -> None:
    g = torch.Generator().manual_seed(1)
    belief = prior(4, L, CPU)
    for _ in range(20):
        belief = belief.update(*measure(torch.ones(4, L), g))
    same = belief.forget(torch.ones(4))
    assert torch.equal(same.precision, belief.precision)
    assert torch.equal(same.weighted, belief.weighted)


def test_a_factor_of_zero_is_the_prior_and_rows_forget_on_their_own() -> None:
    g = torch.Generator().manual_seed(1)
    belief = prior(2, L, CPU).update(*measure(torch.ones(2, L), g))
    after = belief.forget(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(after.precision[0], torch.eye(L))
    assert torch.equal(after.weighted[0], torch.zeros(L))
    assert torch.equal(after.precision[1], belief.precision[1])


def test_older_evidence_counts_a_power_of_the_factor() -> None:
    """The recursion is the weighted sum over all measurements, and the prior does not fade."""
    g = torch.Generator().manual_seed(2)
    factors = [measure(torch.ones(2, L), g) for _ in range(30)]
    belief = prior(2, L, CPU)
    for precision, weighted in factors:
        belief = belief.forget(torch.full((2,), FACTOR)).update(precision, weighted)
    expected = torch.eye(L).expand(2, L, L).clone()
    for age, (precision, _) in enumerate(reversed(factors)):
        expected += FACTOR**age * precision
    torch.testing.assert_close(belief.precision, expected, atol=1e-4, rtol=1e-5)


def test_with_forgetting_the_precision_is_bounded() -> None:
    """A sum of FACTOR^t terms: on average 1 / (1 - FACTOR) measurements of unit precision."""
    targets = [torch.zeros(64, L)] * 400
    beliefs = filtered(targets, FACTOR)
    early, late = (beliefs[t].precision.diagonal(dim1=1, dim2=2).mean() for t in (199, 399))
    bound = 1 + 1 / (1 - FACTOR)
    torch.testing.assert_close(late, torch.tensor(bound), atol=1.5, rtol=0)
    assert abs(late - early) < 1.5
    assert filtered(targets, 1.0)[-1].precision.diagonal(dim1=1, dim2=2).mean() > 15 * bound


def test_a_task_that_changes_is_tracked_only_with_forgetting() -> None:
    before = torch.full((64, L), 2.0)
    targets = [before] * 300 + [-before] * 60
    change = 300
    errors = {}
    for factor in (FACTOR, 1.0):
        means = [belief.mean for belief in filtered(targets, factor)]
        distances = [(m - z).norm(dim=-1) for m, z in zip(means, targets, strict=True)]
        errors[factor] = torch.stack(distances).mean(1)
    shift = float((2 * before[0]).norm())
    memory = round(1 / (1 - FACTOR))  # ticks
    assert errors[FACTOR][change] > 0.8 * shift
    assert errors[FACTOR][change + memory] < 0.5 * shift
    assert errors[FACTOR][-1] < 0.15 * shift
    assert errors[1.0][-1] > 0.75 * shift
    # The price: a task that stays is known less exactly.
    assert errors[1.0][change - 1] < errors[FACTOR][change - 1]


def test_many_nearly_parallel_measurements_keep_the_belief_proper() -> None:
    """In float32 the sum of such factors loses the prior, and is no longer positive definite."""
    g = torch.Generator().manual_seed(3)
    axis = 100 * torch.nn.functional.normalize(torch.ones(1, L), dim=-1)
    z = torch.tensor([[0.5, -0.2, 0.3]])
    belief = prior(1, L, CPU)
    for _ in range(2_000):
        direction = axis + 1e-2 * torch.randn(1, L, generator=g)
        value = (direction * z).sum(-1, keepdim=True)
        precision = direction[:, :, None] * direction[:, None]
        belief = belief.update(precision, direction * value).bounded()
    evidence = belief.precision.diagonal(dim1=1, dim2=2).sum(-1) - L
    assert (evidence <= 1.001 * MAX_EVIDENCE).all()
    assert (torch.linalg.eigvalsh(belief.precision) > 0.5).all()
    along = (belief.mean * axis).sum(-1)
    torch.testing.assert_close(along, (z * axis).sum(-1), atol=0.05, rtol=0)
    assert torch.isfinite(belief.kl()).all()
