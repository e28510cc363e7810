"""How much faster training is where an iteration is collected while the one before is learned.

The oracle of cheetah_vel, its number of gradient steps chosen so that learning takes about as long
as collecting. Both runs train with the same weights, one iteration old: "in turn" on one core,
"ours" with a second process on a second core. The weights must be equal bit for bit at the end. The
last row is the bound: what both parts take together over the longer of them. Unit:
iterations per second.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers import Row, arguments, compare, show, timed

from adaptation.jobs.collection import LocalCollector, ProcessCollector
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.jobs.trial_source import CopiedTrials
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.belief import named_tensors
from sim.task_samplers.uniform import UniformTasks

ROLE = "method"
TASKS = 8  # of an iteration; the preset has 32, which changes no ratio
FIRST = 2  # iterations before these are collected in order


class Training:
    """A training of a few iterations whose first ones are not timed."""

    def __init__(self, run: Run, collector: type[LocalCollector] | type[ProcessCollector]) -> None:
        c = run.config
        config = checkpoint.method_config(c.method, run.family, c.preset, c.settings)
        self.method = checkpoint.build(c.method, run.family, c.seed, config)
        self.collector = collector(run, ROLE, config)
        tasks = TrainingTasks(UniformTasks(run.family), self.method, c.seed)
        self.trials = CopiedTrials(self.collector, tasks, 0, None)
        self.iteration = 0
        if isinstance(self.collector, ProcessCollector):
            self.collector.start()
            self.collector.has_started(None)
        self.train(FIRST)

    def train(self, iterations: int) -> None:
        """Collect and learn."""
        for _ in range(iterations):
            trial = self.trials.next_trial(self.method, self.iteration)
            self.iteration += 1
            self.trials.begin_next(self.method, self.iteration)
            self.method.learn(trial)

    def part_seconds(self) -> tuple[float, float]:
        """The time of collecting an iteration and of learning from it, s."""
        trials: list[Any] = []

        def collect() -> None:
            trials.append(self.trials.next_trial(self.method, self.iteration))

        collecting = timed(collect)
        self.iteration += 1
        self.trials.begin_next(self.method, self.iteration)
        learning = timed(lambda: self.method.learn(trials[0]))
        return collecting, learning


def make_run(gradient_steps: int) -> Run:
    settings = {
        "gradient_steps": gradient_steps,
        "schedule.meta_batch": TASKS,
        "schedule.random_trials": 1,
    }
    config = RunConfig("oracle", "cheetah_vel", settings=settings, references=False)
    return Run(Path(tempfile.gettempdir()), config)


def balanced_gradient_steps() -> int:
    """As many gradient steps as take the time of collecting an iteration."""
    tried = 50
    training = Training(make_run(tried), LocalCollector)
    collecting, learning = training.part_seconds()
    training.trials.close()
    return max(1, round(tried * collecting / learning))


def iterations_of(training: Training, iterations: int) -> Callable[[], float]:
    def run() -> float:
        return timed(lambda: training.train(iterations))

    return run


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--iterations", type=int, default=3, help="iterations in a repeat")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    run = make_run(balanced_gradient_steps())
    in_turn = Training(run, LocalCollector)
    overlapping = Training(run, ProcessCollector)
    runs = {
        "in turn": iterations_of(in_turn, asked.iterations),
        "ours": iterations_of(overlapping, asked.iterations),
    }
    rows = compare(
        lambda peer: f"collecting while learning over {peer}",
        "iterations/s",
        asked.iterations,
        runs,
        asked.repeats,
    )
    check_equal(in_turn, overlapping)
    collecting, learning = in_turn.part_seconds()
    longer = max(collecting, learning)
    together = collecting + learning
    bound = Row(
        name="bound: both parts over the longer one",
        ratio=together / longer,
        ours=1 / longer,
        peer=1 / together,
        unit="iterations/s",
    )
    in_turn.trials.close()
    overlapping.trials.close()
    show([*rows, bound], asked.json)


def check_equal(first: Training, second: Training) -> None:
    """Both trainings must have the same weights, bit for bit."""
    tensors = named_tensors(first.method.state_dict())
    for name, other in named_tensors(second.method.state_dict()).items():
        if not torch.equal(tensors[name], other):
            raise SystemExit(f"{name} differs between one process and two")


if __name__ == "__main__":
    main()
