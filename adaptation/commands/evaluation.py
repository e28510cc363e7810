"""``pliant evaluate``, ``report`` and ``view``: results of a run, and what a family looks like."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Json,
    OptionalInt,
    OptionalName,
    OptionalPath,
    RunFolder,
    allow_local_modules,
    check_counts,
    check_name,
    check_seed,
    open_run,
    read_tried_objects,
)
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.engines import ENGINES
from sim.families import FAMILIES

if TYPE_CHECKING:
    from adaptation.runs.records import Evaluation


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a run in simulation: four policies on the same tasks with the same seeds.

    adapted: the trained method. no_adaptation: the same method with its belief kept at the prior.
    blind: a reference without knowledge of the task. oracle: a reference that reads the true task.
    """

    folder: RunFolder
    tasks: int = 64
    """Number of tasks."""
    episodes: OptionalInt = None
    """Episodes per task. Default: the family's number."""
    split: Literal["train", "heldout"] = "heldout"
    """Tasks from the training ranges, or from held-out ranges."""
    engine: OptionalName = None
    """Physics engine. Default: the first that supports the family's scene."""
    seed: int = 0
    """Random seed of the tasks and their disturbances."""
    objects: OptionalPath = None
    """Folder of your own objects (objects.toml and meshes), which the tasks then have."""
    as_json: Json = False

    def run(self) -> "Evaluation":
        """Evaluate and print the table."""
        check_name(ENGINES, self.engine)
        check_seed(self.seed)
        check_counts(tasks=self.tasks, episodes=self.episodes)
        run = open_run(self.folder)
        from adaptation.jobs.evaluate import evaluate
        from adaptation.reporting.table import table

        objects = read_tried_objects(run, self.objects)
        result = evaluate(
            run, self.tasks, self.episodes, self.split, self.engine, self.seed, objects
        )
        print(table(result))
        for name, success in result.by_object.items():
            print(f"{name}: {success:.0%} adapted, in the last episode")
        if result.final_success:
            rates = [f"{success:.1%} {name}" for name, success in result.final_success.items()]
            print(f"success in a trial's episodes of evaluation: {', '.join(rates)}")
        return result


@dataclass(frozen=True)
class Report:
    """Render a run folder or a trial folder as one HTML page that needs no network."""

    folder: Annotated[Positional[Path], arg(name="dir", metavar="DIR")]
    """Run folder or trial folder."""
    out: OptionalPath = None
    """The page. Default: DIR/report.html."""
    as_json: Json = False

    def run(self) -> dict[str, str]:
        """Write the page."""
        if not self.folder.is_dir():
            raise BadArgumentError(f"no folder {self.folder}")
        from adaptation.reporting.report import write_report
        from adaptation.reporting.trial_page import read_header

        if (self.folder / "trial.json").exists():
            allow_local_modules(read_header(self.folder).arm)
        page = write_report(self.folder, self.out or self.folder / "report.html")
        print(f"wrote {page}")
        return {"report": str(page)}


@dataclass(frozen=True)
class View:
    """Show one trial of a family under random actions: in MuJoCo's viewer, or as a file."""

    family: Annotated[Positional[str], arg(metavar="FAMILY")]
    """Family of tasks, or package.module:Class for one of your own."""
    arm: OptionalName = None
    """Arm of a family that takes one, such as reach. Default: the family's own."""
    out: OptionalPath = None
    """.mp4, .png (one frame) or .html (3-D). Default: a window; without a screen FAMILY.mp4,
    with the arm after the family if one is named."""
    seed: int = 0
    """Random seed of the task and the actions."""
    camera: OptionalName = None
    """A camera of the family's scene. Default: its first, or one that shows the whole body."""
    as_json: Json = False

    def run(self) -> dict[str, str | None]:
        """Open the window or write the file."""
        check_name(FAMILIES, self.family)
        check_name(ARMS, self.arm)
        check_seed(self.seed)
        from adaptation.jobs.view import view

        shown = view(self.family, self.out, self.seed, self.arm, self.camera)
        if shown is None:
            return {"family": self.family, "file": None}
        print(f"wrote {shown}")
        return {"family": self.family, "file": str(shown)}
