"""A belief as numbers with a mean and a spread, named in the words of the report."""

from collections.abc import Iterator

from torch import Tensor

from adaptation.belief_keeper import FEW
from adaptation.live.snapshot import BeliefNumber
from adaptation.no_adaptation import NoAdaptation
from adaptation.reporting.words import PHYSICS
from adaptation.runs.records import finite
from policies.belief import children_of
from policies.models.particles import InfersParameters, Particles
from policies.models.posterior import Posterior
from policies.models.trial_vae import DiagonalGaussian
from policies.planning.mpc import PlanState
from robots.counting import counted
from robots.world import Family
from sim.randomization import parameters_of

MOST = 32  # numbers that are shown


def describe_belief(belief: object, policy: object, family: Family) -> list[BeliefNumber]:
    """What a belief says of one world.

    Particles are shown as the parameters that they stand for, with weighted mean and spread. A
    Gaussian over learned numbers of the task, z, has a mean and a spread for each. Of any other
    tensor each number is shown if it has few, else their mean and standard deviation.

    Args:
        belief: of one world.
        policy: the one that it belongs to.
        family: names the parameters.
    """
    method = policy.method if isinstance(policy, NoAdaptation) else policy
    numbers = []
    for number in _describe(belief, "", method, family):
        numbers.append(number)
        if len(numbers) == MOST:
            break
    return numbers


def _describe(node: object, name: str, method: object, family: Family) -> Iterator[BeliefNumber]:
    if isinstance(node, Particles) and isinstance(method, InfersParameters):
        yield from _of_particles(node, method, family)
    elif isinstance(node, Posterior):
        yield from _of_gaussian(node.mean[0], node.std[0])
    elif isinstance(node, DiagonalGaussian):
        std = (0.5 * node.log_var[0]).exp()
        yield from _of_gaussian(node.mean[0], std)
    elif isinstance(node, Tensor):
        yield from _of_tensor(node, name)
    else:
        for key, child in children_of(node).items():
            if isinstance(node, PlanState) and key == "plan":
                continue  # says what it will do, and nothing about the task
            path = f"{name} {key}".strip().replace("_", " ")
            yield from _describe(child, path, method, family)


def _of_particles(
    particles: Particles, method: InfersParameters, family: Family
) -> Iterator[BeliefNumber]:
    weights = particles.weights[0]
    for name, values in method.inferred(particles).items():
        mean = (weights * values[0]).sum()
        deviation = values[0] - mean
        variance = (weights * deviation.square()).sum()
        yield BeliefNumber(_label(name, family), finite(mean), finite(variance.sqrt()))


def _of_gaussian(mean: Tensor, std: Tensor) -> Iterator[BeliefNumber]:
    pairs = zip(mean.tolist(), std.tolist(), strict=True)
    for i, (middle, spread) in enumerate(pairs, start=1):
        yield BeliefNumber(f"learned number z{i}", finite(middle), finite(spread))


def _of_tensor(tensor: Tensor, name: str) -> Iterator[BeliefNumber]:
    numbers = tensor.detach().double().flatten()
    if len(numbers) <= FEW:
        for i, value in enumerate(numbers.tolist(), start=1):
            label = name if len(numbers) == 1 else f"{name} {i}"
            yield BeliefNumber(label, finite(value), None)
    else:
        label = f"{name}, over {counted(len(numbers), 'number')}"
        yield BeliefNumber(label, finite(numbers.mean()), finite(numbers.std()))


def _label(name: str, family: Family) -> str:
    """A parameter's heading in the report, or its name and unit."""
    if name in PHYSICS:
        return PHYSICS[name]
    units = {parameter.name: parameter.unit for parameter in parameters_of(family)}
    unit = units.get(name, "")
    return f"{name}, {unit}" if unit not in ("", "1") else name
