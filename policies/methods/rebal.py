"""ReBAL (Nagabandi, Clavera et al. 2019): dynamics that adapt by the hidden state of an LSTM.

The recurrence-based sibling of ``grbal``. A recurrent network predicts the change of the
observation at every tick. What it has read of the last M ticks of the episode is its hidden state,
and this state is the adaptation: the weights do not change after training. iCEM plans with the
network from there, and in a plan the memory goes on reading the predicted ticks. The network is
trained on windows of one episode: after every number of ticks up to M it predicts the K next ones.
The reward is the family's own; one that depends on hidden parameters is predicted, too.

Differences from the paper and from the code that its authors published:

- The published code never restarts its memory within a rollout; here the memory holds the last M
  ticks, as in the paper's objective, so histories in use are no longer than those in training.
- Training predicts K ticks from its own predictions, as a plan does; in the published code every
  tick is predicted from the true one before.
- A tick is read together with the action and the outcome of the tick before. The published LSTM
  reads observation and action only, in which a change is a small difference of large numbers.
- Layers embed the LSTM's input and follow its output; the published ones are the LSTM's alone.
- iCEM searches for the plan where they have random shooting (and MPPI on the real robot).
- If the reward depends on hidden parameters, the network reads the last reward and predicts the
  next one. The paper knows its rewards.
- Exploring actions have colored noise. There is no validation set, and no early stopping.

``recurrent_mpc`` has a recurrent model, too, but another algorithm. Its memory is of the whole
trial and conditions an ensemble of networks without a memory, and a learned policy and value may
read it. Here the recurrent network itself is the model, its memory is of the last M ticks of one
episode, and there is neither policy nor value. The parts that both use, windows, planner, replay
and memory, are shared code; so is all of the search with ``grbal``.

Axes: n worlds, M ticks of the past (``past_steps``), K of the future (``future_steps``), h units,
o observation, a action, r = 1 if the reward is predicted, else 0.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from policies.belief import map_tensors, where
from policies.config import (
    OFF_POLICY_STEPS,
    MethodConfig,
    derive_buffer_tasks,
    derive_model_steps,
    derive_schedule,
)
from policies.logs import mean_logs
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.models.rebal_dynamics import RebalDynamics
from policies.models.windows import episode_windows
from policies.nn.adam import Adam
from policies.nn.memory import LstmState
from policies.nn.noise import uniform
from policies.nn.repeat import minimize
from policies.nn.state import SavedState, make_generator
from policies.planning.icem import IcemConfig
from policies.planning.mpc import MpcController, PlanState
from policies.planning.mpc_method import MpcMethod
from policies.planning.terminal_value import Imagine
from policies.ranges import Count, LargeCount, NonNegative, Positive, Width
from policies.rl.replay import LearnsFromReplay, Replay


@dataclass(frozen=True)
class RebalConfig(MethodConfig):
    """Settings of ReBAL; "original" is the code that its authors published."""

    memory_size: Width = 128  # units of the LSTM; original 256
    embedding: Width = 64  # units of the layers before and after it; original none
    past_steps: Count = 16  # M, as grbal; original all ticks since the rollout began, at most 99
    future_steps: Count = 16  # K, as grbal; original the whole rollout, 100 ticks
    planner: IcemConfig = field(default_factory=IcemConfig)  # original 2,000 random plans, H = 20
    exploration_std: NonNegative = 0.3  # of the colored noise on exploring actions; original none
    lr: Positive = 1e-3  # learning rate; original 1e-2, of an LSTM alone
    gradient_steps: LargeCount = 300  # per iteration; original 50 epochs
    meta_batch: Count = 16  # tasks in a batch; original 10 rollouts
    windows_per_task: Count = 4  # windows of each task in a batch; original 1
    buffer_tasks: LargeCount = 4096  # tasks in the replay; original all
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=32,
        episodes_per_trial=3,
        random_trials=8,
        iterations=12,  # original 50
    )

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Schedule, gradient steps and replay follow from horizon and episodes."""
        schedule = derive_schedule(problem, OFF_POLICY_STEPS, random_trials=1)
        return cls(
            gradient_steps=derive_model_steps(problem, schedule, has_policy=False),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )


@dataclass(frozen=True)
class RebalBelief(PlanState):
    """The plan, and M memories, of which the k-th has read the last k ticks of the episode.

    Every tick each memory reads it and becomes the next one, and an empty memory begins; the last
    one adapts the model. So a window of M ticks costs one step of M memories, and none is read
    again. After fewer than M ticks the last memory has read all of them.
    """

    memories: LstmState  # (n, M, h)
    last: Tensor  # (n, a + o + r) the last tick: action and outcome; 0 before the first

    @property
    def adapted(self) -> LstmState:
        """The memory (n, h) that has read the last M ticks."""
        return LstmState(self.memories.hidden[:, -1], self.memories.cell[:, -1])


class Rebal(SavedState, LearnsFromReplay, MpcMethod[RebalBelief]):
    """Each tick moves the memories on and searches; nothing is kept after an episode."""

    Config = RebalConfig
    privileged = False
    saved_attributes = ("model", "optimizer", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: RebalConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.model = RebalDynamics(
            problem.obs_dim,
            problem.action_dim,
            problem.reward is None,
            config.memory_size,
            config.embedding,
            self.generator,
        )
        self.optimizer = Adam(self.model.parameters(), lr=config.lr, fused=True)
        self.controller = MpcController(
            problem, config.planner, config.exploration_std, self.generator
        )

    def prior(self, n: int, task: Tensor | None = None) -> RebalBelief:
        """Empty memories, and no plan."""
        size = (n, self.config.past_steps, self.config.memory_size)
        empty = torch.zeros(size, device=self.device)
        nothing = torch.zeros(n, self.model.last_dim, device=self.device)
        plan_state = self.controller.begin_episode(n)
        memories = LstmState(empty, empty.clone())
        return RebalBelief(**vars(plan_state), memories=memories, last=nothing)

    @torch.no_grad()
    def observe(self, belief: RebalBelief, transition: Transition) -> RebalBelief:
        """The memories read one more tick, and the next plan.

        They are empty before the first tick of an episode. A tick that is not finite is not read.
        """
        last = self.model.as_last(transition)
        finite = torch.cat([transition.obs, last], -1).isfinite()
        usable = transition.valid & finite.all(-1)
        memories = self._read(belief, transition)
        read = replace(belief, memories=memories, last=last)
        return where(usable, self.replan(read, transition), belief)

    def _read(self, belief: RebalBelief, t: Transition) -> LstmState:
        """The memories (n, M, h) after one more tick, each in the place of the next one."""
        count = self.config.past_steps
        continues = (~t.begins)[:, None]

        def moved_on(memories: Tensor) -> Tensor:
            """An empty memory, then all but the last, as rows (n·M, h); all empty at a begin."""
            empty = torch.zeros_like(memories[:, :1])
            moved = torch.cat([empty, memories[:, :-1]], 1)
            kept = moved * continues[..., None]
            return kept.flatten(0, 1)

        def by_world(rows: Tensor) -> Tensor:
            split: Tensor = rows.unflatten(0, (-1, count))
            return split

        before = map_tensors(moved_on, belief.memories)
        last = belief.last * continues
        _, after = self.model.read(
            obs=t.obs.repeat_interleave(count, 0),
            last=last.repeat_interleave(count, 0),
            action=t.applied.repeat_interleave(count, 0),
            memory=before,
        )
        return map_tensors(by_world, after)

    def adapt(self, belief: RebalBelief, episode: Transition) -> RebalBelief:
        """The prior again: what was read in an episode is discarded at its end."""
        return self.prior(len(belief.tick))

    def summarize(self, belief: RebalBelief) -> Tensor:
        """The memory; it is read by learned policies only, and there is none."""
        return belief.adapted.hidden

    def model_under(self, belief: RebalBelief) -> Imagine:
        """The recurrent model, from the memory of the last M ticks."""

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            states, rewards = self.model.rollout(obs, belief.last, belief.adapted, actions)
            return states[:, None], rewards[:, None]  # one hypothesis

        return imagine

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial, then take the iteration's gradient steps."""
        self.model.update(self.replay.add(trial))
        return mean_logs([self.step() for _ in range(self.config.gradient_steps)])

    def step(self) -> dict[str, Tensor]:
        """One gradient step on windows of random tasks."""
        c = self.config
        slots = self.replay.tasks(c.meta_batch, self.generator)
        t, mask = self.replay.trials(slots)
        u = uniform((c.meta_batch, c.windows_per_task), self.generator)
        length = mask.sum(1)[:, None]
        start = (u * length).long()
        window, exists = episode_windows(t, mask, start, 1, c.past_steps + c.future_steps)
        error = self.model.loss(window, exists, c.future_steps)
        return minimize(self.optimizer, {"error": error})
