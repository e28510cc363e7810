"""Settings that are common to the methods that learn a model and plan with it."""

from dataclasses import dataclass, field
from typing import Self

from policies.config import (
    OFF_POLICY_STEPS,
    MethodConfig,
    derive_buffer_tasks,
    derive_model_steps,
    derive_schedule,
)
from policies.method import CollectionSchedule, Problem
from policies.planning.icem import IcemConfig
from policies.planning.mpc import derive_search
from policies.ranges import LargeCount, NonNegative, Positive
from policies.rl.sac import SacConfig


@dataclass(frozen=True)
class ModelPlannerConfig(MethodConfig):
    """Settings of the search, and of learning a model from a replay."""

    planner: IcemConfig = field(default_factory=IcemConfig)
    lr: Positive = 1e-3  # learning rate of the model (CaDM, GrBAL, PETS)
    gradient_steps: LargeCount = 300  # gradient steps on the model per iteration
    buffer_tasks: LargeCount = 4096  # tasks in the replay
    # settings of a learned policy from which searches start, and of a learned value of the plan's
    # last state, both under the belief; none: a plan's return ends with the plan
    terminal_value: SacConfig | None = None
    # std of the colored noise on exploring actions; with a terminal value the policy explores
    exploration_std: NonNegative = 0.3
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=32,
        episodes_per_trial=3,
        random_trials=8,
        iterations=12,
    )

    @property
    def optimizer_steps(self) -> int:
        """Those of the model and of the terminal value."""
        if self.terminal_value is None:
            return self.gradient_steps
        return self.gradient_steps + self.terminal_value.gradient_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Schedule, gradient steps, replay and search follow from horizon and episodes."""
        schedule = derive_schedule(problem, OFF_POLICY_STEPS, random_trials=1)
        planner, terminal_value = derive_search(problem)
        has_policy = terminal_value is not None
        return cls(
            planner=planner,
            terminal_value=terminal_value,
            gradient_steps=derive_model_steps(problem, schedule, has_policy),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )
