"""``pliant play``: watch what was trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from adaptation.commands.arguments import (
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
from robots.errors import BadArgumentError
from sim.engines import ENGINES

if TYPE_CHECKING:
    from adaptation.jobs.play import ExtremesResult, PlayResult
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
            print(f"{name} of {tasks} tasks: return {_describe(shown.returns, shown.success)}")
        if out is not None:
            print(f"wrote {out}")
        return result

    def _out(self, default: str) -> Path | None:
        """The file to write; None for a window."""
        return None if self.window else self.out or self.folder / default


def _describe(gained: float, success: bool) -> str:
    return f"{gained:+.3f}{' (success)' if success else ''}"
