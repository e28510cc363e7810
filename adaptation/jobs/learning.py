"""Call ``learn``, and undo the update if a number in the method's state is not finite.

A loss or a gradient that is not finite spreads to the weights, Adam's moments and the averaged
copies within one step, and no later step repairs them. One check of the whole state after an
iteration detects this. It costs a fraction of a gradient step, works for every method, and on a GPU
does not wait for each step.
"""

from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor

from adaptation.jobs.budget import TrainerState
from adaptation.runs.journal import acting_state
from adaptation.runs.soundness import unsound_tensors
from policies.belief import map_tensors
from policies.method import Method, TrialBatch
from policies.rl.replay import LearnsFromReplay
from robots.counting import counted
from robots.errors import PliantError

# Training ends after this many undone updates in a row. Each of them used new experience: a single
# unusual trial spoils one update, a diverged training spoils all of them.
MAX_UNDONE = 5


def learn_or_undo(method: Method[Any], trial: TrialBatch) -> dict[str, float] | None:
    """Let a method learn from a trial; undo the update if a number is not finite.

    An update that is undone leaves weights, statistics, optimizers and random streams as they were;
    a replay keeps the trial.

    Returns:
        What the method logs; None if the update was undone, or the trial has no valid tick.
    """
    if not trial.ticks.valid.any():
        return None
    before = map_tensors(Tensor.clone, acting_state(method))
    log = _try_to_learn(method, trial)
    is_finite = all(map(isfinite, log.values()))
    if is_finite and not unsound_tensors(acting_state(method)):
        return log
    _restore(method, before)
    return None


def _try_to_learn(method: Method[Any], trial: TrialBatch) -> dict[str, float]:
    """What ``learn`` returns; NaN where a matrix of the method could not be decomposed."""
    try:
        return method.learn(trial)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return {"loss": nan}


def _restore(method: Method[Any], before: dict[str, Any]) -> None:
    """Load a state that has no replay, and keep the replay that the method has."""
    if not isinstance(method, LearnsFromReplay):
        method.load_state_dict(before)
        return
    stored = method.replay.state_dict()
    method.load_state_dict(before)
    method.replay.load_state_dict(stored)


def check_learning(role: str, state: TrainerState, is_last: bool = False) -> None:
    """End a training whose updates keep failing.

    Args:
        role: whose training it is, for the message.
        state: of its trainer.
        is_last: whether the training is at its end.

    Raises:
        PliantError: too many updates in a row were undone, or all of a training's.
    """
    undone = state.undone_in_row
    all_undone = is_last and undone == state.iteration > 0
    if undone >= MAX_UNDONE or all_undone:
        lost = counted(undone, "iteration")
        raise PliantError(
            f"training {role}: nothing could be learned in the last {lost}, because "
            "experience or weights became infinite or NaN; the last checkpoint is kept. Try a "
            "lower learning rate, and look for rewards or observations that are not finite"
        )


def has_ended(trial: TrialBatch) -> Tensor:
    """Which episodes ended by themselves or ran out of time, (E, n) bool; others were cut off."""
    ticks = trial.ticks
    ends = ticks.valid & (ticks.terminated | ticks.truncated)
    return ends.any(1)


def count_diverged(trial: TrialBatch) -> int:
    """The number of episodes that were cut off because a number was not finite."""
    return int((~has_ended(trial)).sum())
