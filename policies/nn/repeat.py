"""Gradient steps: one of them, and many; on a GPU the many are one CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from policies.logs import detached, mean_logs
from policies.nn.adam import Adam

Step = Callable[[], dict[str, Tensor]]  # one gradient step; returns scalars for the log

WARM_UP_STEPS = 3  # before a capture, as PyTorch asks for: libraries allocate their workspaces


def repeatable_adam(groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Adam:
    """Adam for a step that is given to ``repeat``.

    On a GPU that step is captured in a CUDA graph, and Adam's step count must then be on the GPU.

    Args:
        groups: of parameters, each with its learning rate: ``{"params": ..., "lr": ...}``.
        device: of the parameters.
    """
    on_gpu = device.type == "cuda"
    return Adam(groups, fused=True, capturable=on_gpu)


def minimize(optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """One gradient step on the sum of losses, which are scalars.

    Parameters to which no gradient comes stay as they are.

    Returns:
        The losses for the log, without the graphs that computed them.
    """
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return detached(losses)


def steps_taken(optimizer: torch.optim.Adam) -> int:
    """How many steps an optimizer has taken."""
    for state in optimizer.state.values():
        return int(state["step"].item())
    return 0


def falling_share(steps: int, all_steps: int, final_share: float) -> float:
    """The share of a learning rate that is left after ``steps`` of ``all_steps`` gradient steps.

    It is 1 in the first half and then falls linearly to ``final_share``.
    """
    fallen = min(max(2 * steps / all_steps - 1, 0.0), 1.0)
    return 1 - fallen * (1 - final_share)


def set_learning_rates(optimizer: torch.optim.Adam, share: float, rates: Sequence[float]) -> None:
    """Set the learning rate of each group of parameters, in their order, to a share of its rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = share * rate


def repeat(step: Step, times: int, *generators: torch.Generator) -> dict[str, float]:
    """Take gradient steps.

    On a GPU a step consists of hundreds of small kernels, which take longer to launch than to run.
    The first steps run one kernel at a time; then one step is captured as a CUDA graph, and every
    further step is one launch of it. What Python computes in a step, such as the number of stored
    tasks, must therefore not change between steps.

    Args:
        step: takes one step; it never waits for the GPU.
        times: number of steps, at least 1.
        generators: all that a step draws random numbers from, at least one, on the step's device.
            A graph that draws from another one cannot be captured.

    Returns:
        The mean of every logged scalar over the steps.
    """
    if generators[0].device.type != "cuda" or times <= WARM_UP_STEPS:
        logs = [step() for _ in range(times)]
        return mean_logs(logs)
    totals = _warm_up(step)
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        for name, value in step().items():
            totals[name].add_(value)
    for _ in range(times - WARM_UP_STEPS):
        graph.replay()
    return {name: (total / times).item() for name, total in totals.items()}


def _warm_up(step: Step) -> dict[str, Tensor]:
    """Take the first steps on a side stream, as a capture requires; returns sums of their logs."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        logs = [step() for _ in range(WARM_UP_STEPS)]
    torch.cuda.current_stream().wait_stream(stream)
    return {name: torch.stack([log[name] for log in logs]).sum() for name in logs[0]}
