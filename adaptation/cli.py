"""Pliant: meta-train a robot in simulation, deploy it to an arm, adapt to new objects.

Answers go to standard output, progress and errors to standard error. With --json the answer is one
JSON object and everything else goes to standard error. Exit status: 0 on success, 2 for arguments
that ask for something impossible, 1 when the command failed on the way. `pliant --version` prints
the version.
"""

import io
import os
import sys
from contextlib import redirect_stderr
from importlib.metadata import version
from typing import Annotated, Any, Protocol, Union

import msgspec
import tyro
from tyro.conf import subcommand

from adaptation.commands import COMMANDS
from adaptation.commands.arguments import Incomplete
from robots.errors import BadArgumentError, PliantError

BAD_ARGUMENT = BadArgumentError.status
INCOMPLETE = PliantError.status
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class Command(Protocol):
    """What ``adaptation.commands`` holds: options as fields, and what to do with them."""

    as_json: bool

    def run(self) -> object:
        """Do the work, print for a person, and return the answer for ``--json``."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words; None: those of this process.

    Returns:
        The exit status.
    """
    words = sys.argv[1:] if argv is None else argv
    if words == ["--version"]:
        print(f"pliant {version('pliant')}")
        return 0
    command = _parse_for_script(words) if "--json" in words else _parse(words)
    if not command.as_json:
        status, _ = _run(command)
        return status
    answers = os.dup(1)
    os.dup2(2, 1)  # physics engines print too, some of it only when the process ends
    status, answer = _run(command)
    with os.fdopen(answers, "wb") as stdout:
        stdout.write(msgspec.json.encode(answer) + b"\n")  # writes NaN as null
    return status


def _parse(words: list[str]) -> Command:
    """The command with its options.

    tyro makes a subcommand of every member of a union. The union is built at run time, because
    other packages may add commands.
    """
    members = []
    for name in COMMANDS:
        try:
            kind = COMMANDS[name]
        except PliantError as failure:  # a command of another package: the others still work
            print(f"pliant: warning: {failure}", file=sys.stderr)
            continue
        members.append(Annotated[kind, subcommand(name, prefix_name=False)])
    any_command: Any = Union[tuple(members)]  # noqa: UP007
    command: Command = tyro.cli(any_command, prog="pliant", description=__doc__, args=words)
    return command


def _parse_for_script(words: list[str]) -> Command:
    """As ``_parse``; where the words are refused, the reason is the answer too.

    Raises:
        SystemExit: the words are refused, or ask for help.
    """
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            return _parse(words)
    except SystemExit as request:
        if request.code:
            answer = {"error": _first_section(messages.getvalue())}
            print(msgspec.json.encode(answer).decode())
        raise
    finally:
        sys.stderr.write(messages.getvalue())


def _first_section(message: str) -> str:
    """What tyro says in its box down to the first rule, on one line; hints come after it."""
    words: list[str] = []
    for line in message.splitlines():
        text = line.strip("│ ")
        if text.startswith("──"):
            break
        if line.startswith("│"):
            words += text.split()
    return " ".join(words)


def _run(command: Command) -> tuple[int, object]:
    """The exit status and the answer of a command; an error is printed and is the answer then."""
    try:
        answer = command.run()
        if isinstance(answer, Incomplete):
            return INCOMPLETE, answer.answer
        return 0, answer
    except PliantError as failure:
        return failure.status, _report(failure)
    except (FileNotFoundError, FileExistsError) as failure:
        return BAD_ARGUMENT, _report(failure)
    except KeyboardInterrupt:
        return INTERRUPTED, {"error": "interrupted"}


def _report(failure: Exception) -> dict[str, str]:
    print(f"pliant: error: {failure}", file=sys.stderr)
    return {"error": str(failure)}


if __name__ == "__main__":
    sys.exit(main())
