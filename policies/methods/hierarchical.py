"""Two levels: the high one sets sub-goals, the low one adapts to reach them.

Every k ticks the high level chooses a sub-goal: a desired change of some columns of the observation
(HIRO, Nachum et al. 2018). The low level is PEARL, RL² or VariBAD as it stands, on a problem of its
own: it observes what is left of the change, and is rewarded for reaching the sub-goal. Its belief
is about what the task does to motion. The high level is RL² on a problem whose ticks last k ticks,
whose actions are sub-goals, and whose rewards are sums of the family's rewards. Its memory is about
what the task rewards.

HIRO's high level learns off-policy, and has to correct old sub-goals for a low level that acts
differently by now. Here it learns by PPO from the newest trials: nothing is to be corrected.
The sub-goals of a training trial are samples, drawn with noise that the belief holds. A trial does
not record them: ``learn`` computes them again. In evaluation and on an arm they are the means.
Axes: n worlds, E episodes, H ticks, M sub-goals of a trial, o observation, a action, g columns.
"""

from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Literal, Self

import torch
from torch import Tensor

from policies.belief import where
from policies.config import MethodConfig, derive_discount, derive_trial_discount
from policies.method import CollectionSchedule, CollectsOtherwise, Problem, Transition, TrialBatch
from policies.methods.pearl import Pearl, PearlConfig
from policies.methods.rl2 import Rl2, Rl2Belief, Rl2Config
from policies.methods.varibad import Varibad, VaribadConfig
from policies.models import subgoals
from policies.models.subgoals import SubgoalCollector, SubgoalSpace
from policies.nn.noise import standard_normal
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, Positive
from policies.rl.replay import LearnsFromReplay, Replay
from robots.errors import BadArgumentError

LowConfig = PearlConfig | Rl2Config | VaribadConfig
LowMethod = Pearl | Rl2 | Varibad


@dataclass(frozen=True)
class HierarchicalConfig(MethodConfig):
    """Settings of the sub-goals and of both levels; the schedule is the high level's."""

    low: Literal["pearl", "rl2", "varibad"] = "pearl"  # method of the low level
    subgoal_ticks: Count = 5  # k, ticks for which a sub-goal is kept; HIRO has 10
    # columns of the observation that sub-goals change; none: all but those of an observed goal
    subgoal_columns: tuple[str, ...] = ()
    # largest change of a column within a sub-goal, as a share of half its usual range
    subgoal_reach: Positive = 0.25
    high: Rl2Config = field(default_factory=Rl2Config)  # RL², a tick lasts k ticks
    pearl: PearlConfig = field(default_factory=PearlConfig)  # used where low is pearl
    rl2: Rl2Config = field(default_factory=Rl2Config)  # used where low is rl2
    varibad: VaribadConfig = field(default_factory=VaribadConfig)  # used where low is varibad

    def __post_init__(self) -> None:
        """BadArgumentError if a trial would be collected with older weights."""
        if self.high.schedule.overlap:
            raise BadArgumentError(
                "the high level learns from trials of its newest weights:"
                " high.schedule.overlap must be false"
            )

    @property
    def schedule(self) -> CollectionSchedule:
        """That of the high level; those of the low level's settings have no effect."""
        return self.high.schedule

    @property
    def gradient_steps(self) -> int:
        """Of both levels, per iteration."""
        return self.high.optimizer_steps + self.low_config().optimizer_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Each level's discount follows from its own horizon, the rest as for its method."""
        k = min(cls.subgoal_ticks, problem.horizon)
        subgoal = replace(problem, horizon=k)
        trial = replace(problem, horizon=ceil(problem.horizon / k))
        gamma = derive_discount(subgoal)
        pearl = PearlConfig.for_problem(problem)
        rl2 = Rl2Config.for_problem(problem)
        varibad = VaribadConfig.for_problem(problem)
        sac = replace(pearl.sac, gamma=gamma)
        return cls(
            high=replace(rl2, gamma=derive_trial_discount(trial)),
            pearl=replace(pearl, sac=sac),
            rl2=replace(rl2, gamma=gamma),
            varibad=replace(varibad, gamma=gamma),
        )

    def low_config(self) -> LowConfig:
        """The settings of the chosen low level, with the schedule of the high level."""
        schedule = self.schedule
        if self.low == "pearl":
            sac = replace(self.pearl.sac, schedule=schedule)
            return replace(self.pearl, sac=sac)
        if self.low == "rl2":
            return replace(self.rl2, schedule=schedule)
        return replace(self.varibad, schedule=schedule)


@dataclass(frozen=True)
class SubgoalBelief:
    """The high level's memory, and the sub-goal that is pursued."""

    memory: Rl2Belief[Any]  # of the sub-goals that are over
    action: Tensor  # (n, g) in [-1, 1], the high level's
    target: Tensor  # (n, g) values of the columns that the sub-goal asks for
    start: Tensor  # (n, o) the observation for which it was chosen
    reward: Tensor  # (n,) sum of the family's rewards since then
    age: Tensor  # (n,) ticks since then; 0: the next observation gets a new sub-goal
    noise: Tensor  # (n, M, g) of the sub-goals of a training trial; else 0
    count: Tensor  # (n,) sub-goals that are over


@dataclass(frozen=True)
class HierarchicalBelief:
    """Both levels' beliefs."""

    high: SubgoalBelief
    low: Any


class Hierarchical(SavedState, LearnsFromReplay, CollectsOtherwise):
    """A tick costs one step of each level's belief."""

    Config = HierarchicalConfig
    privileged = False
    saved_attributes = ("high", "low", "generator")

    def __init__(
        self,
        problem: Problem,
        config: HierarchicalConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)  # of the sub-goals' noise alone
        self.space = SubgoalSpace(problem, config.subgoal_columns, config.subgoal_reach, device)
        self.k = min(config.subgoal_ticks, problem.horizon)
        self.high = Rl2(self.space.high_problem(self.k), config.high, seed + 1, device)
        self.low = self._make_low(seed + 2)
        self.replay = Replay(1, device)  # stays empty where the low level has none
        if isinstance(self.low, LearnsFromReplay):
            self.replay = self.low.replay

    def _make_low(self, seed: int) -> LowMethod:
        """The method of the low level."""
        problem = self.space.low_problem()
        config = self.config.low_config()
        device = self.device
        if isinstance(config, PearlConfig):
            return Pearl(problem, config, seed, device)
        if isinstance(config, VaribadConfig):
            return Varibad(problem, config, seed, device)
        return Rl2(problem, config, seed, device)

    @property
    def collector(self) -> SubgoalCollector[HierarchicalBelief]:
        """The method, with sub-goals that are samples."""
        return SubgoalCollector(self, self.coming_noise)

    def prior(self, n: int, task: Tensor | None = None) -> HierarchicalBelief:
        """Both levels' priors, and no sub-goal."""
        none = torch.zeros(n, dtype=torch.int64, device=self.device)
        noise = torch.zeros(n, self.subgoals_per_trial, self.space.size, device=self.device)
        high = SubgoalBelief(
            memory=self.high.prior(n),
            action=noise[:, 0],
            target=noise[:, 0],
            start=torch.zeros(n, self.problem.obs_dim, device=self.device),
            reward=torch.zeros(n, device=self.device),
            age=none,
            noise=noise,
            count=none,
        )
        return HierarchicalBelief(high, self.low.prior(n))

    @property
    def subgoals_per_trial(self) -> int:
        """M, of a training trial."""
        return self.schedule.episodes_per_trial * ceil(self.problem.horizon / self.k)

    def act(self, obs: Tensor, belief: HierarchicalBelief, explore: bool) -> Tensor:
        """Actions (n, a) of the low level toward the sub-goal."""
        high = self.begin(belief.high, obs)
        wide = self.space.widen(obs, high.target)
        return self.low.act(wide, belief.low, explore)

    @torch.no_grad()
    def observe(self, belief: HierarchicalBelief, transition: Transition) -> HierarchicalBelief:
        """The low level reads every tick, the high level one in k."""
        high = self.begin(belief.high, transition.obs)
        low_tick = self.space.low_ticks(transition, high.target)
        low = self.low.observe(belief.low, low_tick)
        after = self.advance(high, transition)
        return HierarchicalBelief(where(transition.valid, after, belief.high), low)

    def adapt(self, belief: HierarchicalBelief, episode: Transition) -> HierarchicalBelief:
        """The sub-goal ends with the episode. None of the methods reads the episode again here."""
        high = self.end_episode(belief.high, episode)
        return HierarchicalBelief(high, self.low.adapt(belief.low, episode))

    @torch.no_grad()
    def begin(self, high: SubgoalBelief, obs: Tensor) -> SubgoalBelief:
        """With a sub-goal for observations (n, o): a new one where none is pursued."""
        net = self.high.learner.net
        features, _ = self.high.encoder.step(obs, high.memory)
        worlds = torch.arange(len(obs), device=self.device)
        number = high.count.clamp(max=self.subgoals_per_trial - 1)
        noise = high.noise[worlds, number]
        std = net.log_std.exp()
        sample = net.actor(features) + std * noise
        action = sample.clamp(-1, 1)
        target = self.space.target(obs, action)
        chosen = replace(high, action=action, target=target, start=obs)
        return where(high.age == 0, chosen, high)

    def advance(self, begun: SubgoalBelief, tick: Transition) -> SubgoalBelief:
        """After one more tick (n, ...) toward the sub-goal, which is over after k of them."""
        later = replace(begun, reward=begun.reward + tick.reward, age=begun.age + 1)
        return self.end(later, later.age >= self.k)

    def end(self, high: SubgoalBelief, is_over: Tensor) -> SubgoalBelief:
        """Where ``is_over`` (n,), the memory reads the sub-goal and what it earned."""
        outcome = subgoals.outcome(high.start, high.action, high.reward, is_over)
        ended = replace(
            high,
            memory=self.high.observe(high.memory, outcome),
            reward=torch.zeros_like(high.reward),
            age=torch.zeros_like(high.age),
            count=high.count + 1,
        )
        return where(is_over, ended, high)

    def end_episode(self, high: SubgoalBelief, episode: Transition) -> SubgoalBelief:
        """The sub-goal that is pursued ends early, and an episode begins next."""
        ended = self.end(high, high.age > 0)
        return replace(ended, memory=self.high.adapt(ended.memory, episode))

    def coming_noise(self, n: int) -> Tensor:
        """The noise (n, M, g) that the next ``learn`` will draw; nothing is drawn yet."""
        copy = make_generator(0, self.device)
        copy.set_state(self.generator.get_state())
        return self.draw_noise(n, copy)

    def draw_noise(self, n: int, generator: torch.Generator) -> Tensor:
        """Of the sub-goals of n trials, (n, M, g)."""
        shape = (n, self.subgoals_per_trial, self.space.size)
        return standard_normal(shape, generator)

    @torch.no_grad()
    def pursued(self, ticks: Transition) -> tuple[Tensor, Tensor]:
        """Actions and targets of the high level at all ticks (E, H, n, ...), both (E, H, n, g)."""
        episodes, horizon, n = ticks.reward.shape
        high = self.collector.prior(n).high
        actions = []
        targets = []
        for e in range(episodes):
            episode = ticks[e]
            for t in range(horizon):
                tick = episode[t]
                begun = self.begin(high, tick.obs)
                after = self.advance(begun, tick)
                actions.append(begun.action)
                targets.append(begun.target)
                high = where(tick.valid, after, high)
            high = self.end_episode(high, episode)
        lead = (episodes, horizon)
        action = torch.stack(actions)
        target = torch.stack(targets)
        return action.unflatten(0, lead), target.unflatten(0, lead)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Each level learns from the trial as it saw it; random trials had no sub-goals."""
        own = subgoals.newest_worlds(trial, self.schedule.meta_batch)
        actions, targets = self.pursued(own.ticks)
        self.draw_noise(len(own.task), self.generator)  # the next trial gets another
        high_ticks = subgoals.high_ticks(own.ticks, actions, self.k)
        low_ticks = self.space.low_ticks(own.ticks, targets)

        log = {"low_reward": float(low_ticks.reward[low_ticks.valid].mean())}
        high_log = self.high.learn(replace(own, ticks=high_ticks))
        low_log = self.low.learn(replace(own, ticks=low_ticks))
        log |= {f"high_{name}": value for name, value in high_log.items()}
        log |= {f"low_{name}": value for name, value in low_log.items()}
        return log

    def state_without_replay(self) -> dict[str, Any]:
        """The state with an empty replay, which is the low level's."""
        if not isinstance(self.low, LearnsFromReplay):
            return self.state_dict()
        return {**self.state_dict(), "low": self.low.state_without_replay()}
