"""Planning under a posterior over the simulator's parameters, through a learned model.

A model predicts a transition from the task parameters (mass, friction, the strength of a motor),
which are known in training. For a new task the belief is a set of weighted particles over these
parameters. The prior is the distribution of the training tasks, and every transition multiplies the
weights by its likelihood under the model. The planner is iCEM; candidates are simulated under each
of m hypotheses, drawn from the particles by weight, and the return is the mean over them.

Sources: BayesSim (Ramos et al. 2019) for a posterior over a simulator's parameters; UP-OSI (Yu et
al. 2017) for acting on identified parameters; PETS (Chua et al. 2018) for the model; Arndt et al.
2019 for a strike as one decision. The model learns from simulation only: from random trials first,
then from trials in which the method itself acts.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from policies.belief import map_tensors
from policies.config import (
    OFF_POLICY_STEPS,
    derive_buffer_tasks,
    derive_gradient_steps,
    derive_schedule,
)
from policies.logs import detached, mean_logs
from policies.method import Problem, Scores, Transition, TrialBatch
from policies.models.particles import (
    HiddenParameters,
    InfersParameters,
    ParticleConfig,
    Particles,
    Prior,
    equal_weights,
    systematic_sample,
    update,
)
from policies.models.task_dynamics import TaskDynamics, TaskDynamicsConfig
from policies.nn.adam import Adam
from policies.nn.noise import standard_normal, uniform
from policies.nn.repeat import minimize
from policies.nn.state import SavedState, make_generator
from policies.planning.config import ModelPlannerConfig
from policies.planning.icem import IcemConfig
from policies.planning.mpc import PlanState
from policies.planning.mpc_method import ValuedMpcMethod
from policies.planning.terminal_value import Imagine
from policies.ranges import Count, NonNegative, PositiveShare
from policies.rl.replay import Replay
from policies.rl.sac import copy_statistics, polyak_update
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class ParticleMpcConfig(ModelPlannerConfig):
    """Settings of particle MPC."""

    dynamics: TaskDynamicsConfig = field(default_factory=TaskDynamicsConfig)
    particles: ParticleConfig = field(default_factory=ParticleConfig)
    # hypotheses that a candidate is judged under, a multiple of the ensemble's size (PETS has 20)
    hypotheses: Count = 8
    # prior std of a gain on the predicted change, inferred as one more hidden parameter: it covers
    # differences that no simulated parameter explains, such as another engine's friction
    gain_std: NonNegative = 0.1
    ema_rate: PositiveShare = 0.005  # step of the averaged model, the one that predicts
    batch_size: Count = 256  # transitions of a batch, for each member (PETS has 32)
    exploration_std: NonNegative = 0.1  # std of the colored noise on exploring actions

    def __post_init__(self) -> None:
        """BadArgumentError if the members cannot share the hypotheses evenly."""
        members = self.dynamics.ensemble_size
        if self.hypotheses % members != 0:
            raise BadArgumentError(
                f"hypotheses={self.hypotheses} is not a multiple of the ensemble's size {members}"
            )

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Planner's horizon, schedule, gradient steps and replay follow from the problem."""
        schedule = derive_schedule(problem, OFF_POLICY_STEPS, random_trials=1)
        planner = IcemConfig()
        return cls(
            planner=replace(planner, horizon=min(planner.horizon, problem.horizon)),
            gradient_steps=derive_gradient_steps(problem, schedule),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )


@dataclass(frozen=True)
class ParticleMpcBelief(PlanState):
    """The plan, and the posterior over the hidden parameters."""

    particles: Particles


class ParticleMpc(
    SavedState, ValuedMpcMethod[ParticleMpcBelief], Scores[ParticleMpcBelief], InfersParameters
):
    """Each tick updates the particles' weights, and searches for a plan from the last one.

    The posterior is kept across the episodes of a trial.
    """

    Config = ParticleMpcConfig
    privileged = False
    saved_attributes = (
        "model",
        "ema_model",
        "particle_prior",
        "terminal_value",
        "optimizer",
        "replay",
        "generator",
    )

    def __init__(
        self,
        problem: Problem,
        config: ParticleMpcConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.hidden = HiddenParameters(problem, device)
        self.particle_prior = Prior(len(self.hidden), config.particles, self.generator)
        self.model = self._make_model()
        self.ema_model = self._make_model().requires_grad_(False)
        self.ema_model.load_state_dict(self.model.state_dict())
        self.optimizer = Adam(self.model.parameters(), lr=config.lr, fused=True)
        self.build_search(config, seed, len(self.hidden))
        # The same noise for every seed and device, so that plans are a function of the belief.
        noise_generator = make_generator(0, torch.device("cpu"))
        shape = (config.planner.horizon, config.hypotheses, self.model.outputs)
        gains = config.gain_std * standard_normal((config.particles.count, 1), noise_generator)
        self.gains = gains.to(device)
        self.model_noise = standard_normal(shape, noise_generator).to(device)

    def _make_model(self) -> TaskDynamics:
        return TaskDynamics(self.problem, len(self.hidden), self.config.dynamics, self.generator)

    def prior(self, n: int, task: Tensor | None = None) -> ParticleMpcBelief:
        """Particles from the training tasks' distribution, and no plan."""
        plan_state = self.controller.begin_episode(n)
        u = torch.cat([self.particle_prior.u, self.gains], -1)
        u = u.expand(n, -1, -1)
        return ParticleMpcBelief(
            **vars(plan_state),
            particles=equal_weights(u),
        )

    @torch.no_grad()
    def observe(self, belief: ParticleMpcBelief, transition: Transition) -> ParticleMpcBelief:
        """Weigh the particles by the transition, and plan for the next observation."""
        c = self.config.particles
        likelihood = self.ema_model.log_likelihood(transition, belief.particles.u)
        particles = update(belief.particles, likelihood, transition.valid, c, self.generator)
        informed = replace(belief, particles=particles)
        return self.replan(informed, transition)

    @torch.no_grad()
    def score(self, belief: ParticleMpcBelief, ticks: Transition) -> Tensor:
        """Mean log-density of transitions (H, n, ...) under the belief, (n,)."""
        densities = []
        for tick in range(len(ticks.reward)):
            likelihood = self.ema_model.log_likelihood(ticks[tick], belief.particles.u)
            weighted = belief.particles.log_weights + likelihood
            densities.append(weighted.logsumexp(-1))
        return torch.stack(densities).mean(0)

    def model_under(self, belief: ParticleMpcBelief) -> Imagine:
        """The averaged model under hypotheses drawn from the particles."""
        u = systematic_sample(belief.particles, self.config.hypotheses).transpose(0, 1)  # (m, n, h)

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            # a latency adds steps to the plan's: the noise begins again after its last step
            step = torch.arange(actions.shape[2], device=self.device) % len(self.model_noise)
            return self.ema_model.rollout(obs, actions, u, self.model_noise[step])

        return imagine

    def summarize(self, belief: ParticleMpcBelief) -> Tensor:
        """The mean of the hidden parameters, (n, h), without the gain."""
        return belief.particles.mean[:, : len(self.hidden)]

    def infer(self, slots: Tensor) -> Tensor:
        """Task summaries (b, h) of tasks (b,) in the replay, to train policy and value.

        In training the true parameters are known (UP-OSI, Yu et al. 2017). The mean of a posterior
        lies between them and the prior's mean, so a random point between the two is used here.
        """
        true = self.hidden.encode(self.replay.task[slots])
        middle = self.particle_prior.u.mean(0)
        share = uniform((len(slots), 1), self.generator)
        return middle + share * (true - middle)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial, then take the iteration's gradient steps."""
        new = self.replay.add(trial)
        self.model.update(new)
        log = {}
        if self.terminal_value is not None:
            log = self.terminal_value.train_on(new)
        steps = [self.step() for _ in range(self.config.gradient_steps)]
        copy_statistics(self.ema_model, self.model)
        self._fit_prior()
        return log | mean_logs(steps)

    def _fit_prior(self) -> None:
        """Set the prior's particles from tasks in the replay."""
        count = self.config.particles.count
        slots = self.replay.tasks(count, self.generator)
        tasks = self.replay.task[slots]
        u = self.hidden.encode(tasks)
        self.particle_prior.fit(u, self.generator)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the model, on a batch of its own for each member."""
        c = self.config
        members = c.dynamics.ensemble_size
        slots = self.replay.tasks(members * c.batch_size, self.generator)
        t = self.replay.transitions(slots, 1, self.generator).flatten(0, 1)
        u = self.hidden.encode(self.replay.task[slots])
        lead = (members, c.batch_size)
        split = partial(torch.unflatten, dim=0, sizes=lead)
        losses = self.model.loss(map_tensors(split, t), split(u))
        minimize(self.optimizer, {"loss": losses["loss"]})
        polyak_update(self.ema_model, self.model, c.ema_rate)
        return detached(losses)
