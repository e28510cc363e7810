"""GrBAL (Nagabandi, Clavera et al. 2019): dynamics that adapt by one gradient step at every tick.

At every tick the dynamics take one step on the last M transitions, always from the meta-learned
weights, and iCEM plans with the result. The reward is the family's own; a reward that depends on
hidden parameters is predicted and adapted, too. With a terminal value a short search is enough.

Axes: n worlds, M transitions of a window (``past_steps``), H steps, o observation, a action.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from policies.belief import where
from policies.logs import mean_logs
from policies.method import Problem, Scores, Transition, TrialBatch
from policies.models.grbal_dynamics import GrbalDynamics, LowRankUpdate, Window
from policies.models.windows import episode_windows
from policies.nn.adam import Adam
from policies.nn.noise import uniform
from policies.nn.repeat import minimize
from policies.nn.state import SavedState, make_generator
from policies.planning.config import ModelPlannerConfig
from policies.planning.mpc import PlanState
from policies.planning.mpc_method import ValuedMpcMethod
from policies.planning.terminal_value import Imagine
from policies.ranges import Count, LayerWidths, Positive
from policies.rl.replay import LearnsFromReplay, Replay


@dataclass(frozen=True)
class GrbalConfig(ModelPlannerConfig):
    """Settings of GrBAL; "original" is the code that its authors published."""

    # layer widths of the dynamics; original 3 × 512, but a CPU core can plan with these
    hidden: LayerWidths = (128, 128)
    past_steps: Count = 16  # transitions that an inner step is taken on (original)
    future_steps: Count = 16  # transitions predicted after the step in training (original)
    # initial value of the learned step sizes; original a constant 0.001, of a mean over columns
    inner_lr: Positive = 0.01
    step_size_lr: Positive = 1e-2  # learning rate of the step sizes' logarithms
    meta_batch: Count = 16  # tasks in a batch
    windows_per_task: Count = 4  # windows of each task in a batch; original 10 in all


@dataclass(frozen=True)
class GrbalBelief(PlanState):
    """The plan, the last transitions, and the step that was taken on them."""

    window: Window
    update: LowRankUpdate


class Grbal(SavedState, LearnsFromReplay, ValuedMpcMethod[GrbalBelief], Scores[GrbalBelief]):
    """Each tick is one gradient step and one search; nothing is kept after an episode."""

    Config = GrbalConfig
    privileged = False
    saved_attributes = ("model", "terminal_value", "optimizer", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: GrbalConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.model = GrbalDynamics(
            problem.obs_dim,
            problem.action_dim,
            problem.reward is None,
            config.hidden,
            config.past_steps,
            config.inner_lr,
            self.generator,
        )
        weights = [self.model.gains, *self.model.weights, *self.model.biases]
        step_sizes = [self.model.log_rates, self.model.log_gain_rates]
        groups: list[dict[str, Any]] = [
            {"params": weights, "lr": config.lr},
            {"params": step_sizes, "lr": config.step_size_lr},
        ]
        self.optimizer = Adam(groups)
        self.build_search(config, seed, self.model.summary_dim)

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> GrbalBelief:
        """The meta-learned dynamics, an empty window, and no plan."""
        model = self.model
        m = self.config.past_steps
        rows = torch.zeros(n, m, device=self.device)
        window = Window(
            x=rows.new_zeros(n, m, model.fan_in[0]),
            y=rows.new_zeros(n, m, model.fan_out[-1]),
            mask=rows.bool(),
        )
        no_update = LowRankUpdate(
            gains=model.gains.expand(n, -1),
            inputs=rows.new_zeros(n, m, sum(model.fan_in)),
            errors=rows.new_zeros(n, m, sum(model.fan_out)),
        )
        plan_state = self.controller.begin_episode(n)
        return GrbalBelief(**vars(plan_state), window=window, update=no_update)

    @torch.no_grad()
    def observe(self, belief: GrbalBelief, transition: Transition) -> GrbalBelief:
        """A gradient step on the window that ends with this transition, and the next plan.

        The window restarts where the transition begins an episode.
        """
        x, y = self.model.normalized(transition)
        finite = torch.cat([x, y], -1).isfinite()
        usable = transition.valid & finite.all(-1)
        continues = ~transition.begins
        old = belief.window
        window = Window(
            x=_append(old.x, x),
            y=_append(old.y, y),
            mask=_append(old.mask & continues[:, None], torch.ones_like(usable)),
        )
        update = self.model.adapt(window)
        stepped = replace(belief, window=window, update=update)
        planned = self.replan(stepped, transition)
        return where(usable, planned, belief)

    def adapt(self, belief: GrbalBelief, episode: Transition) -> GrbalBelief:
        """The prior again: what was learned in an episode is discarded at its end."""
        return self.prior(len(belief.tick))

    @torch.no_grad()
    def score(self, belief: GrbalBelief, ticks: Transition) -> Tensor:
        """Minus the mean squared error of predicting transitions (H, n, ...), (n,)."""
        by_world = ticks.transpose(0, 1)
        x, y = self.model.normalized(by_world)
        error: Tensor = self.model(x, belief.update) - y
        return -error.square().mean((1, 2))

    def summarize(self, belief: GrbalBelief) -> Tensor:
        """The summary of the gradient step."""
        return self.model.summary(belief.update)

    def model_under(self, belief: GrbalBelief) -> Imagine:
        """The dynamics after the gradient step."""

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            states, rewards = self.model.rollout(obs, actions, belief.update)
            return states[:, None], rewards[:, None]  # one hypothesis

        return imagine

    @torch.no_grad()
    def infer(self, slots: Tensor) -> Tensor:
        """The summary (b, l) of a step on a random window of each of the tasks (b,)."""
        update = self.model.adapt(self._random_window(slots))
        return self.model.summary(update)

    def _random_window(self, slots: Tensor) -> Window:
        """The last 0 to M transitions before a random tick of each task (b,) in the replay."""
        m = self.config.past_steps
        end_share, size_share = uniform((2, len(slots)), self.generator)
        end = (end_share * self.replay.length[slots]).long()
        size = (size_share * (m + 1)).long()
        t, mask = self.replay.windows(slots, end, m)
        age = torch.arange(m, 0, -1, device=self.device)  # ticks before the end
        is_chosen = age <= size[:, None]
        x, y = self.model.normalized(t)
        return Window(x, y, mask & is_chosen)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial, then take the iteration's gradient steps."""
        new = self.replay.add(trial)
        self.model.update(new)
        steps = [self.step() for _ in range(self.config.gradient_steps)]
        log = mean_logs(steps) | self._mean_rates()
        if self.terminal_value is not None:
            log |= self.terminal_value.train_on(new)
        return log

    def _mean_rates(self) -> dict[str, float]:
        """The learned step sizes, for the log."""
        gain_rates = self.model.log_gain_rates.detach().exp()
        layer_rates = self.model.log_rates.detach().exp()
        observations, actions = gain_rates.tolist()
        weights, biases = layer_rates.mean(0).tolist()
        return {
            "rate_observations": observations,
            "rate_actions": actions,
            "rate_weights": weights,
            "rate_biases": biases,
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the weights and the step sizes."""
        c = self.config
        slots = self.replay.tasks(c.meta_batch, self.generator)
        t, mask = self.replay.trials(slots)
        length = mask.sum(1)[:, None]
        u = uniform((c.meta_batch, c.windows_per_task), self.generator)
        start = (u * length).long()
        window, window_mask = episode_windows(t, mask, start, c.past_steps, c.future_steps)
        return minimize(self.optimizer, self.model.loss(window, window_mask))


def _append(rows: Tensor, newest: Tensor) -> Tensor:
    """Rows (n, M, ...) without the oldest, with the newest (n, ...) at the end."""
    return torch.cat([rows[:, 1:], newest[:, None]], 1)
