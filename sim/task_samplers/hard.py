"""Hard tasks more often than easy ones, by the cross-entropy method (RoML, Greenberg et al. 2023).

"Train Hard, Fight Easy" maximizes the mean return of the worst tasks (CVaR) instead of that of all:
a distribution of tasks is fitted to the lower tail of the returns, and training draws from it. Part
of the tasks, the reference share, is still drawn as the family declares.

The distribution fitted here is the family's own, with weights. The numbers of a task are sorted
into bins, each column by itself: of few values each is a bin, others have bins of about equal
probability. A task's weight is the product over its columns of (fitted probability of its bin) /
(declared probability of its bin). Tasks are chosen by weight among candidates that the family drew
as training tasks, so that they are never in the region of held-out ones, whatever the ranges are.

Each weight is also how much more often a task is drawn than it is declared. Divided by it, every
task counts as if tasks were drawn as declared: that gives the quantile of the returns, from past
tasks of all kinds, and the probabilities of bins in the tail below it.

Axes: n tasks, p columns (parameters), b bins of a column.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask
from robots.world import Family, Task

SHOWN = 4096  # tasks that show how a family declares them: their bins and the bins' probabilities


@dataclass(frozen=True)
class HardTasksConfig:
    """How far the distribution follows the tail."""

    reference_share: float = 0.2  # of tasks, drawn as the family declares (the paper's code)
    tail: float = 0.1  # share of declared tasks that the tail holds (ours; the paper's: 0.05)
    min_tail: float = 0.2  # share of the tasks drawn that count as its lower tail at least (ours)
    tasks: int = 128  # between two fits (the paper's code)
    rate: float = 0.5  # of the new fit in the distribution (the paper's code)
    floor: float = 0.2  # share of a declared probability that every bin keeps (ours)
    bins: int = 5  # of a column, at most (ours)
    candidates: int = 16  # for each task that is chosen (ours)


class HardTasks:
    """Draws a family's training tasks, more of those in which returns are low.

    Attributes:
        family: as it is declared.
        probabilities: (p, b) of the bins, as they were fitted last.
        declared: (p, b) of the bins, as the family draws tasks.
    """

    def __init__(self, family: Family, config: HardTasksConfig | None = None) -> None:
        """Begin with the tasks as they are declared.

        Raises:
            BadArgumentError: all tasks are the same.
        """
        self.family = family
        self.config = config or HardTasksConfig()
        shown = family.sample(np.random.default_rng(0), SHOWN)
        self._edges = [_edges(column, self.config.bins) for column in shown.values.T]
        if not any(map(len, self._edges)):
            raise BadArgumentError(f"all tasks of {family.name} are the same: none is harder")
        self._shown_bins = self._bins(shown)
        everywhere = np.full(SHOWN, 1 / SHOWN)
        self.declared = self._shares(self._shown_bins, everywhere)
        self._set_probabilities(self.declared.copy())
        self._difficulty = 0.5
        self._forget()

    def _set_probabilities(self, probabilities: Array) -> None:
        """Draw tasks by these probabilities (p, b) from now on."""
        self.probabilities = probabilities
        self._mean_weight = self._weights(self._shown_bins).mean()

    def _forget(self) -> None:
        """Begin to gather tasks for the next fit."""
        self._values = np.zeros((0, len(self._edges)))
        self._returns = np.zeros(0)
        self._excess = np.zeros(0)

    def sample(self, rng: np.random.Generator, n: int) -> Task:
        """Draw n training tasks: the reference share as declared, the others by weight."""
        count = self._reference_count(n)
        task = self.family.sample(rng, n)
        candidates = self.family.sample(rng, self.config.candidates * n)
        weights = self._weights(self._bins(candidates))
        shares = weights / weights.sum()
        chosen = rng.choice(len(weights), n - count, replace=False, p=shares)
        rows = rng.permutation(n)[count:]
        values = task.values.copy()
        values[rows] = candidates.values[chosen]
        return Task(task.names, values, task.ids)

    def learn(self, task: Task, returns: Array, success: Array) -> None:
        """Gather tasks with their returns, and fit the distribution once they are enough.

        Raises:
            BadArgumentError: the returns are not of these tasks.
        """
        if returns.shape != (len(task),):
            raise BadArgumentError(f"returns must be of {len(task)} tasks, got {returns!r}")
        is_known = np.isfinite(returns)
        excess = self._excess_of(task)
        self._values = np.concatenate([self._values, task.values[is_known]])
        self._returns = np.concatenate([self._returns, returns[is_known]])
        self._excess = np.concatenate([self._excess, excess[is_known]])
        if len(self._returns) >= self.config.tasks:
            self._fit()
            self._forget()

    def _excess_of(self, task: Task) -> Array:
        """How much more often these tasks are drawn than they are declared, (n,)."""
        share = self._reference_count(len(task)) / len(task)
        weighted: Array = self._weights(self._bins(task)) / self._mean_weight
        return share + (1 - share) * weighted

    def _fit(self) -> None:
        """Move the probabilities toward those of the tail."""
        c = self.config
        importance = 1 / self._excess
        importance /= importance.sum()
        self._difficulty = _mean_difficulty(self._returns, importance)
        in_tail = self._tail(importance)
        weight = np.where(in_tail, importance, 0.0)
        bins = self._bins_of(self._values)
        fitted = self._shares(bins, weight / weight.sum())
        kept = (1 - c.floor) * fitted + c.floor * self.declared
        self._set_probabilities((1 - c.rate) * self.probabilities + c.rate * kept)

    def _tail(self, importance: Array) -> Mask:
        """Which of the gathered tasks are in the lower tail of the returns, (n,).

        That is below the quantile of declared tasks, or, as long as few of them were drawn from
        there, below a quantile of the tasks drawn.
        """
        order = np.argsort(self._returns, kind="stable")
        below = np.cumsum(importance[order])
        declared = int(np.searchsorted(below, self.config.tail))
        drawn = int(np.ceil(self.config.min_tail * len(order))) - 1
        place = min(max(declared, drawn), len(order) - 1)
        last = order[place]
        in_tail: Mask = self._returns <= self._returns[last]
        return in_tail

    def _reference_count(self, n: int) -> int:
        """How many of n tasks are drawn as declared, at least one."""
        return int(np.ceil(self.config.reference_share * n))

    def _bins(self, task: Task) -> NDArray[np.int64]:
        """The bin of every number of tasks, (n, p)."""
        return self._bins_of(task.values)

    def _bins_of(self, values: Array) -> NDArray[np.int64]:
        columns = zip(self._edges, values.T, strict=True)
        found = [np.searchsorted(edges, column, side="right") for edges, column in columns]
        return np.stack(found, -1)

    def _shares(self, bins: NDArray[np.int64], weight: Array) -> Array:
        """The weight (n,) of the tasks in each bin of bins (n, p); (p, b), rows add up to 1."""
        count = max(map(len, self._edges)) + 1
        columns = [np.bincount(column, weight, minlength=count) for column in bins.T]
        return np.stack(columns)

    def _weights(self, bins: NDArray[np.int64]) -> Array:
        """The weights of tasks in bins (n, p), (n,)."""
        columns = np.arange(bins.shape[1])
        ratio = self.probabilities[columns, bins] / self.declared[columns, bins]
        weights: Array = ratio.prod(-1)
        return weights

    def log(self) -> dict[str, float]:
        """The mean difficulty of the tasks of the last fit.

        A task's difficulty is the share of declared tasks with a higher return, from 0 to 1: the
        mean of tasks that are drawn as declared is 0.5.
        """
        return {"difficulty": self._difficulty}

    def state_dict(self) -> dict[str, Any]:
        """The fitted probabilities, and the tasks gathered for the next fit."""
        return {
            "probabilities": self.probabilities.copy(),
            "values": self._values.copy(),
            "returns": self._returns.copy(),
            "excess": self._excess.copy(),
            "difficulty": self._difficulty,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self._set_probabilities(np.asarray(state["probabilities"]))
        self._values = np.asarray(state["values"])
        self._returns = np.asarray(state["returns"])
        self._excess = np.asarray(state["excess"])
        self._difficulty = float(state["difficulty"])


def _edges(column: Array, bins: int) -> Array:
    """The lower edges of all bins of a column but the first one; none where there is one value."""
    values = np.unique(column)
    if len(values) <= bins:
        return values[1:]
    inner = np.arange(1, bins) / bins
    quantiles = np.unique(np.quantile(column, inner, method="inverted_cdf"))
    above: Array = quantiles[quantiles > values[0]]
    return above


def _mean_difficulty(returns: Array, importance: Array) -> float:
    """The mean over tasks of the share of declared tasks with a higher return; half of equals."""
    higher = (returns[None, :] > returns[:, None]) @ importance
    equal = (returns[None, :] == returns[:, None]) @ importance
    return float((higher + equal / 2).mean())
