"""What ``pliant train`` checks before a training, and reports after it."""

import sys
from typing import TYPE_CHECKING, Any

from policies.methods import METHODS
from robots.counting import counted
from robots.errors import BadArgumentError

if TYPE_CHECKING:
    from adaptation.runs.records import TrainProgress
    from adaptation.runs.run import Run

REPLAY_SETTING = "replay.sampling"  # what --replay sets


def check_replay(method: str) -> None:
    """Refuse --replay for a method that has no such setting; BadArgumentError names those with it.

    Args:
        method: its name.
    """
    from adaptation.runs.checkpoint import method_class
    from policies.fields import declared_fields

    def takes_it(name: str) -> bool:
        kind: Any = method_class(name)
        return REPLAY_SETTING in declared_fields(kind.Config)

    if takes_it(method):
        return
    able = [name for name in METHODS if takes_it(name)]
    raise BadArgumentError(
        f"{method} takes no --replay: it learns from whole trials or segments, or has no replay; "
        f"those that take it: {', '.join(able)}"
    )


def report_training(
    run: "Run", before: "TrainProgress | None", last: "TrainProgress"
) -> dict[str, object]:
    """Print what became of a training, and return the last line of its log."""
    import msgspec

    if last == before:
        print(
            f"pliant: {run.path} was trained to its end before,"
            f" {counted(last.iteration, 'iteration')}, and has nothing left to do;"
            " a larger --iterations, --steps, --gradient-steps or "
            "--minutes trains it further",
            file=sys.stderr,
        )
    else:
        print(f"trained {run.path}: {counted(last.iteration, 'iteration')}, {last.seconds:.1f} s")
    return {"run": str(run.path), **msgspec.to_builtins(last)}
