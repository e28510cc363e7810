"""Model-predictive control with probabilistic context dynamics: infer a latent task, plan under it.

The model is an ensemble of Gaussians under a latent z (in the line of CaDM, Lee et al. 2020). Every
transition adds linear measurements of z to a Gaussian belief. The planner is iCEM; each member of
the ensemble imagines candidates under a z of its own, drawn from the belief. The reward is the
family's own, of predicted observations, or predicted where it depends on what is hidden.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from policies.logs import detached, mean_logs
from policies.method import Problem, Replans, Transition, TrialBatch
from policies.models.context_dynamics import Dynamics, DynamicsConfig
from policies.models.posterior import Posterior, prior
from policies.nn.noise import standard_normal, uniform
from policies.nn.repeat import falling_share, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.planning.config import ModelPlannerConfig
from policies.planning.icem import Plan
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import make_terminal_value
from policies.ranges import Count, NonNegative, PositiveShare
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import polyak_update


@dataclass(frozen=True)
class ContextMpcConfig(ModelPlannerConfig):
    """Settings of context MPC."""

    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    ema_rate: PositiveShare = 0.005  # step of the averaged model, the one that plans
    # share of the model's learning rate that is left when the schedule's iterations are over; it
    # falls linearly in the second half of these. 1: it stays
    final_lr_share: PositiveShare = 1.0
    meta_batch: Count = 16  # tasks in a batch
    # most transitions in a context that policy and value are trained under
    max_context: Count = 32
    # distance of the members' hypotheses from the belief's mean, in its standard deviations
    belief_spread: NonNegative = 1.0


@dataclass(frozen=True)
class ContextMpcBelief(PlanState):
    """The plan, and the posterior of the task."""

    posterior: Posterior


class ContextMPC(SavedState, LearnsFromReplay, Replans[ContextMpcBelief]):
    """Each tick adds one factor to the posterior, at constant cost, and continues the search.

    The posterior is carried over from episode to episode.
    """

    Config = ContextMpcConfig
    privileged = False
    saved_attributes = (
        "model",
        "ema_model",
        "terminal_value",
        "optimizer",
        "replay",
        "generator",
    )

    def __init__(
        self,
        problem: Problem,
        config: ContextMpcConfig,
        seed: int,
        device: torch.device,
        replay: Replay | None = None,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = replay if replay is not None else Replay(config.buffer_tasks, device)
        self.model = self._make_model()
        self.ema_model = self._make_model().requires_grad_(False)
        self.ema_model.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
        self.terminal_value = make_terminal_value(
            problem,
            config.terminal_value,
            seed,
            self.replay,
            self.infer,
            summary_dim=config.dynamics.latent_dim,
        )
        self.controller = MpcController(
            problem,
            config.planner,
            config.exploration_std,
            self.generator,
            self.terminal_value,
        )
        # The same hypotheses for every seed and device: plans are a function of the belief.
        noise_generator = make_generator(0, torch.device("cpu"))
        shape = (config.dynamics.ensemble_size, config.dynamics.latent_dim)
        noise = standard_normal(shape, noise_generator)
        offsets = config.belief_spread * (noise - noise.mean(0))
        self.hypothesis_offsets = offsets.to(device)  # (m, l) in standard deviations of the belief

    def _make_model(self) -> Dynamics:
        p = self.problem
        predict_reward = p.reward is None
        return Dynamics(
            p.obs_dim, p.action_dim, predict_reward, self.config.dynamics, self.generator
        )

    def prior(self, n: int, task: Tensor | None = None) -> ContextMpcBelief:
        """N(0, I), and no plan."""
        plan_state = self.controller.begin_episode(n)
        posterior = prior(n, self.config.dynamics.latent_dim, self.device)
        return ContextMpcBelief(**vars(plan_state), posterior=posterior)

    def act(
        self,
        obs: Tensor,
        belief: ContextMpcBelief,
        explore: bool,
    ) -> Tensor:
        """The plan's first action; a world without a plan for this observation gets one."""
        summary = belief.posterior.mean
        return self.controller.act(obs, belief, explore, self._search, summary)

    @torch.no_grad()
    def observe(self, belief: ContextMpcBelief, transition: Transition) -> ContextMpcBelief:
        """One more factor, and a plan for the next observation."""
        posterior = self.ema_model.observe(belief.posterior, transition)
        return self.replan(replace(belief, posterior=posterior), transition)

    @torch.no_grad()
    def replan(self, belief: ContextMpcBelief, transition: Transition) -> ContextMpcBelief:
        """A plan for the next observation, under the posterior of the belief."""
        return self.controller.replan(belief, transition, self._search)

    def adapt(self, belief: ContextMpcBelief, episode: Transition) -> ContextMpcBelief:
        """Keep the posterior; start without a plan."""
        return replace(self.prior(len(belief.tick)), posterior=belief.posterior)

    @torch.inference_mode()
    def _search(
        self,
        obs: Tensor,
        belief: ContextMpcBelief,
        start: Plan,
        iterations: int,
    ) -> Plan:
        z = belief.posterior.reparameterize(self.hypothesis_offsets[:, None])  # (m, n, l)

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            return self.ema_model.rollout(obs, actions, z)

        summary = belief.posterior.mean
        return self.controller.plan(obs, belief, start, iterations, imagine, summary)

    @torch.no_grad()
    def infer(self, slots: Tensor) -> Tensor:
        """The belief's mean (b, l) of tasks (b,) in the replay, from contexts of random size.

        Small contexts are frequent and some are empty: the policy must know what to do with little
        evidence, and with none.
        """
        ticks, exists = self.replay.contexts(slots, self.config.max_context, self.generator)
        longest = exists.shape[1]
        u = uniform((len(slots), 1), self.generator)
        size = u.square() * (longest + 1)
        column = torch.arange(longest, device=self.device)
        mask = exists & (column < size.long())
        return self.ema_model.infer(ticks, mask).mean

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial, then take the iteration's gradient steps."""
        c = self.config
        new = self.replay.add(trial)
        self.model.update(new)
        all_steps = c.gradient_steps * c.schedule.iterations
        share = falling_share(steps_taken(self.optimizer), all_steps, c.final_lr_share)
        set_learning_rates(self.optimizer, share, (c.lr,))
        steps = [self.step() for _ in range(c.gradient_steps)]
        statistics = zip(self.ema_model.buffers(), self.model.buffers(), strict=True)
        for averaged, current in statistics:
            averaged.copy_(current)
        log = mean_logs(steps)
        if self.terminal_value is not None:
            log |= self.terminal_value.train_on(new)
        return log

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the model."""
        slots = self.replay.tasks(self.config.meta_batch, self.generator)
        t, mask = self.replay.trials(slots)
        losses = self.model.loss(t, mask, self.generator)
        total = losses["nll"] + losses["kl"]
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        polyak_update(self.ema_model, self.model, self.config.ema_rate)
        return detached(losses)
