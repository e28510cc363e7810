"""``pliant play`` and ``pliant replay``: watch what was trained, and what an arm did."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from adaptation.commands.arguments import (
    Incomplete,
    Json,
    OptionalInt,
    OptionalName,
    OptionalPath,
    RunFolder,
    check_counts,
    check_name,
    check_seed,
    open_run,
    parse_pairs,
)
from robots.counting import counted
from robots.errors import BadArgumentError
from sim.engines import ENGINES

if TYPE_CHECKING:
    from adaptation.jobs.play import ExtremesResult, PlayResult
    from adaptation.jobs.replay import ReplayResult
    from adaptation.runs.run import Run

TaskPairs = Annotated[tuple[str, ...], UseAppendAction, arg(metavar="NAME=VALUE")]


@dataclass(frozen=True)
class Play:
    """Watch a trained policy in simulation: adapted beside no_adaptation, in one task.

    The task is drawn by --seed; --task sets parameters of it, such as --task object.friction=0.08
    --task object.shape=cross. With --best-and-worst 32 it acts in 32 tasks, and its best last
    episode is shown beside its worst.
    """

    folder: RunFolder
    out: OptionalPath = None
    """.mp4, .png (one frame) or .html (an arm in 3-D). Default: RUN/play.mp4, or
    RUN/POLICY-best-and-worst.mp4."""
    window: bool = False
    """Open MuJoCo's viewer instead; it shows one policy after the other until it is closed."""
    seed: int = 0
    """Random seed of the task and the episodes' starts."""
    best_and_worst: OptionalInt = None
    """Act in this many tasks, and show the last episodes of highest and lowest return."""
    policy: Literal["adapted", "no_adaptation", "blind", "oracle"] = "adapted"
    """Whose best and worst episode is shown."""
    task: TaskPairs = ()
    """Set a parameter of the task; may be repeated."""
    split: Literal["train", "heldout"] = "heldout"
    """Draw the task from the training ranges, or from held-out ranges."""
    engine: OptionalName = None
    """Physics engine. Default: the first that supports the family's scene."""
    camera: OptionalName = None
    """A camera of the family's scene. Default: its first, or one that shows the whole body."""
    as_json: Json = False

    def run(self) -> "PlayResult | ExtremesResult":
        """Act, and write the file or open the window."""
        if self.window and self.out is not None:
            raise BadArgumentError("give --out or --window, not both")
        check_name(ENGINES, self.engine)
        check_seed(self.seed)
        check_counts(best_and_worst=self.best_and_worst)
        values = parse_pairs("--task", self.task)
        run = open_run(self.folder)
        if self.best_and_worst is not None:
            return self._show_extremes(run, self.best_and_worst, values)
        from adaptation.jobs.play import play

        out = self._out("play.mp4")
        result = play(run, out, self.seed, values, self.split, self.engine, self.camera)
        for name, success in result.success.items():
            episodes = zip(result.returns[name], success, strict=True)
            words = [_describe(gained, hit) for gained, hit in episodes]
            print(f"{name}: return per episode {', '.join(words)}")
        if out is not None:
            print(f"wrote {out}")
        return result

    def _show_extremes(self, run: "Run", tasks: int, values: dict[str, Any]) -> "ExtremesResult":
        """Show the best and the worst episode of a policy."""
        from adaptation.jobs.play import play_extremes

        out = self._out(f"{self.policy}-best-and-worst.mp4")
        result = play_extremes(
            run, out, self.policy, tasks, self.seed, values, self.split, self.engine, self.camera
        )
        for name, shown in (("best", result.best), ("worst", result.worst)):
            reached = _describe(shown.returns, shown.success)
            print(f"{name} of {counted(tasks, 'task')}: return {reached}")
        if out is not None:
            print(f"wrote {out}")
        return result

    def _out(self, default: str) -> Path | None:
        """The file to write; None for a window."""
        return None if self.window else self.out or self.folder / default


@dataclass(frozen=True)
class Replay:
    """Repeat an arm's recording: the policy acts again on what was observed.

    Prints by how much its actions differ from the recorded ones. Status 1 if any differs by more
    than a millionth, or if no trial can be repeated. With --out or --window the measured motion is
    shown as well.
    """

    file: Annotated[Positional[Path], arg(metavar="RECORDING")]
    """The .mcap file, recorded by `pliant deploy` or `pliant trial`."""
    run_folder: Annotated[OptionalPath, arg(name="run")] = None
    """The run that acted. Default: the one that the recording names."""
    out: OptionalPath = None
    """Write the motion of a trial: .mp4, .png (one frame) or .html (in 3-D)."""
    window: bool = False
    """Show the motion of a trial in MuJoCo's viewer."""
    trial: int = 0
    """The trial to show: its number in the recording, from 0."""
    camera: OptionalName = None
    """A camera of the family's scene. Default: its first, or one that shows the whole body."""
    as_json: Json = False

    def run(self) -> "ReplayResult | Incomplete":
        """Repeat all trials, and show one."""
        if self.window and self.out is not None:
            raise BadArgumentError("give --out or --window, not both")
        from adaptation.jobs.replay import replay

        result = replay(self.file, self.run_folder, self.out, self.window, self.trial, self.camera)
        print(
            f"{self.file}: {counted(len(result.trials), 'trial')} of {result.run}, {result.clock}"
        )
        for number, trial in enumerate(result.trials):
            decisions = ", ".join(str(count) for count in trial.decisions)
            outcome = f"not repeated: {trial.reason}"
            if trial.largest_difference is not None:
                outcome = f"actions differ by at most {trial.largest_difference:.1e}"
            print(
                f"trial {number}: object {trial.object}, {trial.policy}, {decisions} decisions: "
                f"{outcome}"
            )
        if result.file is not None:
            print(f"wrote {result.file}")
        if result.same:
            return result
        compared = any(trial.largest_difference is not None for trial in result.trials)
        reason = "the policy does not act as recorded" if compared else "no trial was repeated"
        print(f"pliant: {reason}", file=sys.stderr)
        return Incomplete(result)


def _describe(gained: float, success: bool) -> str:
    return f"{gained:+.3f}{' (success)' if success else ''}"
