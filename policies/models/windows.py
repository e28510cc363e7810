"""Windows of consecutive transitions of one episode, cut from trials."""

import torch
from torch import Tensor

from policies.method import Transition


def episode_windows(
    t: Transition,
    mask: Tensor,
    start: Tensor,
    past_steps: int,
    future_steps: int,
) -> tuple[Transition, Tensor]:
    """Windows of M past and K future transitions around given starts.

    Args:
        t: trials (b, L, ...) in time order.
        mask: (b, L) bool, which transitions exist.
        start: (..., b, w) the first future transition of each window.
        past_steps: M
        future_steps: K

    Returns:
        Transitions (..., b·w, M + K, ...) and a mask (..., b·w, M + K) of those that exist and
        belong to the episode of ``start``.
    """
    tasks, length = mask.shape
    offsets = torch.arange(-past_steps, future_steps, device=mask.device)
    ticks = start[..., None] + offsets  # (..., b, w, M + K)
    end = mask.sum(1)[:, None, None]
    exists = (ticks >= 0) & (ticks < end)
    task = torch.arange(tasks, device=mask.device)[:, None, None]
    window = t[task, ticks.clamp(0, length - 1)]
    episode = window.begins.cumsum(-1)  # counts the episodes that began since the window's start
    same_episode = episode == episode[..., past_steps, None]
    in_window = exists & same_episode
    task_axis = start.dim() - 2
    window_axis = start.dim() - 1
    window = window.flatten(task_axis, window_axis)
    return window, in_window.flatten(task_axis, window_axis)
