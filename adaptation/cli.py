"""The command line: ``pliant list | train | evaluate | deploy | trial | report | view | recover | emulate``.

Answers go to standard output, progress and errors to standard error; with --json the answer is one object, and all
else goes to standard error. Exit status: 0 when what was asked was done, 2 for arguments that ask for something
impossible, 1 when it failed on the way.
"""

import json
import os
import sys
from typing import Annotated, Any, Union

import tyro
from tyro.conf import subcommand

from adaptation.commands.simulation import COMMANDS
from robots.errors import PliantError


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    named = (
        Annotated[command, subcommand(command.__name__.lower(), prefix_name=False)]
        for command in COMMANDS
    )
    union: Any = Union[tuple(named)]  # noqa: UP007
    asked = tyro.cli(union, prog="pliant", description=__doc__, args=argv)
    if asked.as_json:
        answers = os.dup(1)
        os.dup2(2, 1)  # physics engines print too, some of it only when the process ends
    status = 0
    try:
        answer = asked.run()
    except (PliantError, FileNotFoundError, FileExistsError) as failure:
        status = getattr(failure, "status", 2)
        answer = {"error": str(failure)}
        print(f"pliant: error: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        status, answer = 130, {"error": "interrupted"}
    if asked.as_json:
        with os.fdopen(answers, "w") as stdout:
            print(json.dumps(answer, allow_nan=False), file=stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
