"""System identification and planning, both through the real simulator; nothing is learned.

This is what an engineer with a simulator would try first: particles over the simulator's parameters
(``policies.models.particles``), weighted by how well a simulation with them reproduces what was
observed, and iCEM in which simulations predict the outcome of candidates. The prior is the
distribution of the training tasks. The method needs a family whose state can be set from an
observation (``Problem.simulate``).

The cost is that of the simulations: ``particles.count`` after each transition, and for each search
``iterations`` · ``num_samples`` · ``hypotheses`` of ``horizon`` ticks. The defaults keep them few.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from policies.config import MethodConfig
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.models.particles import (
    HiddenParameters,
    InfersParameters,
    ParticleConfig,
    Particles,
    Prior,
    systematic_sample,
    update,
)
from policies.nn.state import SavedState, make_generator
from policies.planning.icem import IcemConfig
from policies.planning.mpc import MpcController, PlanState
from policies.planning.mpc_method import MpcMethod
from policies.planning.terminal_value import Imagine
from policies.ranges import Count, Positive
from robots.errors import BadArgumentError

# A few dozen simulations for each world and decision.
PARTICLES = ParticleConfig(count=64)
PLANNER = IcemConfig(
    horizon=5,
    num_samples=16,
    iterations=1,
    cold_iterations=2,
    num_elites=4,
    num_kept_elites=2,
)


@dataclass(frozen=True)
class SysidMpcConfig(MethodConfig):
    """Settings of identification and search."""

    particles: ParticleConfig = PARTICLES
    planner: IcemConfig = PLANNER
    hypotheses: Count = 4  # particles that a candidate is simulated with
    # std of the error of a simulation with the right parameters, as a share of a column's range
    error_std: Positive = 0.01
    # degrees of freedom of the errors' Student distribution: with few, outliers matter less
    likelihood_dof: Positive = 2.0
    temper: Positive = 0.5  # power of the likelihood: columns are not independent
    # 256 tasks, from which the prior is set; nearly all are those of random trials, which are cheap
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=8,
        episodes_per_trial=1,
        random_trials=31,
        iterations=1,
    )

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """The planner's horizon is at most the episode."""
        horizon = min(PLANNER.horizon, problem.horizon)
        return cls(planner=replace(PLANNER, horizon=horizon))


@dataclass(frozen=True)
class SysidMpcBelief(PlanState):
    """The plan, and the posterior over the simulator's parameters."""

    particles: Particles


class SysidMpc(SavedState, MpcMethod[SysidMpcBelief], InfersParameters):
    """Each tick weights the particles by simulations, and searches for a plan from the last one.

    The posterior is kept across the episodes of a trial.
    """

    Config = SysidMpcConfig
    privileged = False
    saved_attributes = ("particle_prior", "generator")

    def __init__(
        self,
        problem: Problem,
        config: SysidMpcConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        """A planner through the problem's simulator.

        Raises:
            BadArgumentError: the problem has no simulator.
        """
        if problem.simulate is None:
            raise BadArgumentError(
                f"sysid_mpc simulates from observed states, and an observation of {problem.family} "
                "does not tell the whole state"
            )
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.simulate = problem.simulate
        self.generator = make_generator(seed, device)
        self.hidden = HiddenParameters(problem, device)
        self.particle_prior = Prior(len(self.hidden), config.particles, self.generator)
        low = torch.tensor(problem.obs_low, device=device)
        high = torch.tensor(problem.obs_high, device=device)
        self.error_std = config.error_std * (high - low)
        middle = torch.tensor([problem.task_low, problem.task_high], device=device).mean(0)
        self.visible_task = middle  # placeholder: visible parameters are read from the observation
        self.controller = MpcController(problem, config.planner, 0.0, self.generator)

    def prior(self, n: int, task: Tensor | None = None) -> SysidMpcBelief:
        """Particles from the training tasks' distribution, and no plan."""
        plan_state = self.controller.begin_episode(n)
        return SysidMpcBelief(
            **vars(plan_state),
            particles=self.particle_prior.particles(n),
        )

    @torch.no_grad()
    def observe(self, belief: SysidMpcBelief, transition: Transition) -> SysidMpcBelief:
        """Weight the particles by simulations of the transition, and plan from its end."""
        c = self.config.particles
        likelihood = self._log_likelihood(transition, belief.particles.u)
        particles = update(belief.particles, likelihood, transition.valid, c, self.generator)
        informed = replace(belief, particles=particles)
        return self.replan(informed, transition)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Take the prior's particles from the tasks of the first trial; nothing else is learned.

        The first trial also contains the tasks of the random trials. Later trials have few tasks; a
        prior from them would be narrower than the distribution.
        """
        if self.particle_prior.is_fitted:
            return {}
        known = self.hidden.encode(trial.task)
        rows = torch.randint(
            len(known),
            (self.config.particles.count,),
            generator=self.generator,
            device=self.device,
        )
        self.particle_prior.fit(known[rows], self.generator)
        return {}

    def _log_likelihood(self, t: Transition, u: Tensor) -> Tensor:
        """Log-likelihood of transitions (n, ...) by simulations with each particle, (n, K)."""
        n, count, _ = u.shape
        actions = t.applied.repeat_interleave(count, 0)
        next_obs, reward = self.simulate(
            self.hidden.decode(u.flatten(0, 1), self.visible_task),
            t.obs.repeat_interleave(count, 0),
            actions[:, None],
        )
        predicted = next_obs.view(n, count, -1)
        error = predicted - t.next_obs[:, None]
        error = error / self.error_std
        if self.problem.reward is None:
            predicted_reward = reward.view(n, count, 1)
            reward_error = predicted_reward - t.reward[:, None, None]
            reward_error = reward_error / self.config.error_std
            error = torch.cat([error, reward_error], -1)
        dof = self.config.likelihood_dof
        square = error.square()
        tail = torch.log1p(square / dof)
        density = -0.5 * (dof + 1) * tail
        return self.config.temper * density.sum(-1)

    def summarize(self, belief: SysidMpcBelief) -> Tensor:
        """The mean of the particles, (n, h)."""
        return belief.particles.mean

    def model_under(self, belief: SysidMpcBelief) -> Imagine:
        """The simulator, with parameters drawn from the particles."""
        u = systematic_sample(belief.particles, self.config.hypotheses).transpose(0, 1)  # (m, n, h)

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            return self._simulate_candidates(obs, actions, u)

        return imagine

    def _simulate_candidates(
        self,
        obs: Tensor,
        actions: Tensor,
        u: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Simulate candidates (n, P, H, a) from (n, o) under hypotheses (m, n, h).

        Returns:
            Observations (H + 1, m, n, P, o), the first one ``obs``, and rewards (H, m, n, P, 1).
        """
        n, candidates, steps, _ = actions.shape
        lead = (len(u), n, candidates)
        starts = obs[:, None].expand(*lead, -1)
        hypotheses = u[:, :, None].expand(*lead, -1)
        tasks = self.hidden.decode(hypotheses.flatten(0, 2), self.visible_task)
        plans = actions.expand(len(u), -1, -1, -1, -1)
        next_obs, reward = self.simulate(
            tasks,
            starts.flatten(0, 2),
            plans.flatten(0, 2),
        )
        time_first = (3, 0, 1, 2, 4)
        states = next_obs.view(*lead, steps, -1).permute(time_first)
        rewards = reward.view(*lead, steps, 1).permute(time_first)
        return torch.cat([starts[None], states]), rewards
