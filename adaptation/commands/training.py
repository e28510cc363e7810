"""``pliant train``: meta-train a method in simulation."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Flag,
    Json,
    OptionalFloat,
    OptionalInt,
    OptionalName,
    OptionalPath,
    Pairs,
    check_counts,
    check_name,
    check_positive,
    check_seed,
    open_run,
    parse_pairs,
    parse_seeds,
    read_own_objects,
)
from adaptation.commands.replay_option import REPLAY_SETTING, check_replay
from adaptation.jobs.executors import EXECUTORS
from policies.methods import METHODS
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import BadArgumentError
from sim.engines import ENGINES
from sim.families import FAMILIES, file_name
from sim.task_samplers import DEFAULT, TASK_SAMPLERS

if TYPE_CHECKING:
    from adaptation.runs.records import TrainProgress
    from adaptation.runs.run import Run

# The options that decide what a run is: fields of ``RunConfig`` of the same name.
RUN_OPTIONS = (
    "method",
    "family",
    "arm",
    "engine",
    "evaluations",
    "evaluation_tasks",
    "seed",
    "iterations",
    "minutes",
    "steps",
    "gradient_steps",
    "task_sampler",
    "collectors",
    "preset",
    "references",
    "save_seconds",
)


@dataclass(frozen=True)
class Train:
    """Meta-train a method in simulation, with its blind and oracle references.

    Training ends when the first bound is reached: --steps, --gradient-steps, --iterations or
    --minutes. Without a bound it follows the method's own schedule. Repeated trainings give the
    same weights, bit for bit, even if killed and resumed, unless --minutes ends the training.

    A finished run is trained further by --resume and a larger bound, such as --iterations 400. The
    new bounds replace the old ones, and count from the beginning of the training.

    The references are trained in parallel with the method, each in a process of its own. They get
    at least the method's environment steps and gradient steps. With --minutes, all three end
    together at that time: the method waits for a reference that is more than an iteration behind.
    With fewer cores than these three, each makes less progress. With another bound the method does
    not wait, and the references may end after it. If more cores are free, one of them collects the
    next iteration's experience while the method learns from the present one.
    """

    method: Annotated[Positional[OptionalName], arg(metavar="METHOD")] = None
    """Method; `pliant list` names them. Not needed with --resume."""
    family: OptionalName = None
    """Family of tasks, or package.module:Class for one of your own. Not needed with --resume."""
    arm: OptionalName = None
    """Arm of a family that takes one, such as reach. Default: the family's own."""
    task_sampler: str = DEFAULT
    """Which training tasks are drawn: uniform, as the family declares them; widening, from ranges
    that widen as success grows; hard, those with low returns more often."""
    replay: OptionalName = None
    """What a batch of a method with a replay learns from, besides uniform draws of each task's
    transitions: uniform, nothing; propensity, transitions of similar tasks; remind, transitions
    that a diffusion model generates for the belief. Short for --set replay.sampling=NAME."""
    preset: str = "cpu"
    """Budget of the tuned settings, cpu (minutes on a few cores) or paper; or a .toml file."""
    seed: int = 0
    """Random seed."""
    seeds: OptionalName = None
    """Several trainings, such as 0-4 or 0,1,2, side by side where cores allow."""
    out: OptionalPath = None
    """Run folder; with --seeds, one that gets a run folder seed-N for each. Default:
    runs/METHOD-FAMILY-SEED, with the arm after the family if one is named."""
    resume: Flag = False
    """Continue the run in --out from its last checkpoint. With --seeds, begin those not begun."""
    steps: OptionalInt = None
    """Stop after this many environment steps, over all worlds."""
    gradient_steps: OptionalInt = None
    """Stop after this many gradient steps."""
    iterations: OptionalInt = None
    """Stop after this many training iterations."""
    minutes: OptionalFloat = None
    """Stop after this much wall time, min; the references keep up with the method until then."""
    objects: OptionalPath = None
    """Folder of your own objects (objects.toml and meshes) for slide, slide_plane and push."""
    engine: OptionalName = None
    """Physics engine to train in. Default: the first that supports the family's scene."""
    collectors: int = 1
    """Processes that collect the method's experience, each in its share of an iteration's tasks. A
    training is the same bits for the same number of them."""
    executor: str = "processes"
    """Where several collectors run: processes, on this machine, or ray, the extra pliant[ray]: on
    this machine's loopback, or with --address on a cluster."""
    address: OptionalName = None
    """HOST:PORT of a Ray cluster that this machine is part of; its token as in `pliant bench`."""
    references: Flag = True
    """Leave out the blind and oracle policies, the lower and upper reference for results."""
    evaluations: int = 10
    """Evaluations on held-out tasks, spread evenly over the training; 0: none."""
    evaluation_tasks: int = 20
    """Held-out tasks in each evaluation. They differ from those of `pliant evaluate`."""
    save_seconds: float = 20.0
    """Wall time between checkpoints, s."""
    log: OptionalName = None
    """Send the curves to wandb or trackio too, each an extra to install. The run folder always
    has them for TensorBoard: `tensorboard --logdir RUN/events`."""
    set: Pairs = ()
    """Change a setting, such as sac.hidden=64,64; `pliant settings` lists them."""
    as_json: Json = False

    def run(self) -> dict[str, object]:
        """Train a new run, or resume one."""
        self._check()
        if self.log is not None:
            from adaptation.reporting.live_log import check_service

            check_service(self.log)
        if self.seeds is not None:
            return self._train_seeds(parse_seeds(self.seeds))
        run = self._open_or_create()
        from adaptation.jobs.train import train
        from adaptation.reporting.live_log import follow

        before = run.last_progress("method")
        collectors = run.config.collectors
        self._check_count(collectors)
        with EXECUTORS[self.executor](collectors, self.address) as executor, follow(run, self.log):
            last = train(run, executor=executor)
        return _report(run, before, last)

    def _train_seeds(self, seeds: list[int]) -> dict[str, object]:
        """Train a run for each seed; all of them are begun before the first one is trained."""
        is_named = self.method is not None and self.family is not None
        own = []
        for seed in seeds:
            out = None if self.out is None else self.out / f"seed-{seed}"
            command = replace(self, seed=seed, seeds=None, out=out)
            has_begun = (command._folder / "config.json").exists()
            if has_begun and not self.resume:
                raise FileExistsError(f"{command._folder} holds a run already: add --resume")
            own.append(replace(command, resume=self.resume and (has_begun or not is_named)))
        runs = [command._open_or_create() for command in own]
        from adaptation.jobs.seeds import train_all
        from adaptation.reporting.live_log import follow

        before = [run.last_progress("method") for run in runs]
        with ExitStack() as followed:
            for run in runs:
                followed.enter_context(follow(run, self.log))
            last = train_all(runs)
        answers = list(map(_report, runs, before, last))
        return {"runs": answers}

    def _open_or_create(self) -> "Run":
        settings = parse_pairs("--set", self.set)
        if self.replay is not None:
            settings[REPLAY_SETTING] = self.replay
        return self._resume(settings) if self.resume else self._create(settings)

    def _check(self) -> None:
        """Refuse what is impossible before anything slow is imported."""
        is_named = self.method is not None and self.family is not None
        if not is_named and not (self.resume and self.out):
            raise BadArgumentError(
                "train needs a METHOD and --family FAMILY, or --resume --out RUN"
            )
        check_name(METHODS, self.method)
        check_name(FAMILIES, self.family)
        check_name(ARMS, self.arm)
        check_name(ENGINES, self.engine)
        check_name(TASK_SAMPLERS, self.task_sampler)
        check_seed(self.seed)
        if self.seeds is not None and self.seed != 0:
            raise BadArgumentError("give --seed or --seeds, not both")
        check_positive(
            steps=self.steps,
            gradient_steps=self.gradient_steps,
            iterations=self.iterations,
            minutes=self.minutes,
            save_seconds=self.save_seconds,
        )
        check_counts(evaluation_tasks=self.evaluation_tasks, collectors=self.collectors)
        self._check_executor()

    def _check_executor(self) -> None:
        """Refuse a cluster that cannot be used, or that nothing would be sent to."""
        check_name(EXECUTORS, self.executor)
        EXECUTORS[self.executor].check(self.address)
        if not self.resume:
            self._check_count(self.collectors)
        if self.seeds is not None and self.executor != "processes":
            raise BadArgumentError("--seeds trains on this machine: leave out --executor")

    def _check_count(self, collectors: int) -> None:
        """Refuse to start a cluster for a single collector, which is the training process."""
        if collectors == 1 and self.executor != "processes":
            raise BadArgumentError(f"--executor {self.executor} needs --collectors 2 or more")

    @property
    def _folder(self) -> Path:
        if self.out is not None:
            return self.out
        family = str(self.family).rpartition(":")[2]
        method = str(self.method).rpartition(":")[2]
        arm = None if self.arm is None else self.arm.rpartition(":")[2]
        return Path("runs") / f"{method}-{file_name(family, arm)}-{self.seed}"

    def _options(self) -> dict[str, Any]:
        """The fields of the config that ``RUN_OPTIONS`` names."""
        return {name: getattr(self, name) for name in RUN_OPTIONS}

    def _create(self, settings: dict[str, Any]) -> "Run":
        """Begin a run; what is impossible is refused before anything is written."""
        from adaptation.commands.estimate import describe_plan, describe_untuned
        from adaptation.runs.run import Run
        from adaptation.runs.run_config import RunConfig

        if self.replay is not None:
            check_replay(str(self.method))
        objects = () if self.objects is None else read_own_objects(self.objects)
        config = RunConfig(**self._options(), settings=settings, objects=objects)
        run = Run.create(self._folder, config)
        notice = describe_untuned(run)
        if notice:
            print(f"pliant: {notice}", file=sys.stderr)
        print(f"pliant: {describe_plan(run)}", file=sys.stderr)
        return run

    def _resume(self, settings: dict[str, Any]) -> "Run":
        """Open a run; other bounds train it further, other options of another kind are refused."""
        from adaptation.runs.run_config import BOUNDS

        run = open_run(self._folder)
        if self.objects is not None and read_own_objects(self.objects) != run.config.objects:
            raise BadArgumentError(f"{run.path} was begun with other objects than {self.objects}")
        untouched = Train()._options()
        given = {name: v for name, v in self._options().items() if v != untouched[name]}
        if settings:
            given["settings"] = settings
        changed = {name: v for name, v in given.items() if v != getattr(run.config, name)}
        for name, value in changed.items():
            if name not in BOUNDS:
                begun_with = getattr(run.config, name)
                raise BadArgumentError(
                    f"{run.path} was begun with {name} {begun_with!r}, not {value!r}"
                )
        if changed:
            bounds = {name: getattr(self, name) for name in BOUNDS}
            return run.with_bounds(bounds)
        return run


def _report(run: "Run", before: "TrainProgress | None", last: "TrainProgress") -> dict[str, object]:
    """Print what became of a training, and return the last line of its log."""
    import msgspec

    iterations = counted(last.iteration, "iteration")
    if last == before:
        print(
            f"pliant: {run.path} was trained to its end before, {iterations}, and has nothing left"
            " to do; a larger --iterations, --steps, --gradient-steps or --minutes trains it"
            " further",
            file=sys.stderr,
        )
    else:
        print(f"trained {run.path}: {iterations}, {last.seconds:.1f} s")
    return {"run": str(run.path), **msgspec.to_builtins(last)}
