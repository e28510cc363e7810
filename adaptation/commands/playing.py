"""``pliant play``: watch what was trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import UseAppendAction, arg

from adaptation.commands.arguments import (
    Json,
    OptionalName,
    OptionalPath,
    RunFolder,
    check_name,
    check_seed,
    open_run,
    parse_pairs,
)
from robots.errors import BadArgumentError
from sim.engines import ENGINES

if TYPE_CHECKING:
    from adaptation.jobs.play import PlayResult

TaskPairs = Annotated[tuple[str, ...], UseAppendAction, arg(metavar="NAME=VALUE")]


@dataclass(frozen=True)
class Play:
    """Watch a trained policy in simulation: adapted beside no_adaptation, in one task.

    The task is drawn by --seed; --task sets parameters of it, such as --task object.friction=0.08
    --task object.shape=cross.
    """

    folder: RunFolder
    out: OptionalPath = None
    """.mp4, .png (one frame) or .html (an arm in 3-D). Default: RUN/play.mp4."""
    window: bool = False
    """Open MuJoCo's viewer instead; it shows one policy after the other until it is closed."""
    seed: int = 0
    """Random seed of the task and the episodes' starts."""
    task: TaskPairs = ()
    """Set a parameter of the task; may be repeated."""
    split: Literal["train", "heldout"] = "heldout"
    """Draw the task from the training ranges, or from held-out ranges."""
    engine: OptionalName = None
    """Physics engine. Default: the first that supports the family's scene."""
    as_json: Json = False

    def run(self) -> "PlayResult":
        """Act, and write the file or open the window."""
        if self.window and self.out is not None:
            raise BadArgumentError("give --out or --window, not both")
        check_name(ENGINES, self.engine)
        check_seed(self.seed)
        values = parse_pairs("--task", self.task)
        run = open_run(self.folder)
        from adaptation.jobs.play import play

        out = None if self.window else self.out or self.folder / "play.mp4"
        result = play(run, out, self.seed, values, self.split, self.engine)
        for name, success in result.success.items():
            episodes = zip(result.returns[name], success, strict=True)
            words = [f"{gained:+.3f}{' (success)' if hit else ''}" for gained, hit in episodes]
            print(f"{name}: return per episode {', '.join(words)}")
        if out is not None:
            print(f"wrote {out}")
        return result
