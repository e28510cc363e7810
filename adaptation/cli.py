"""Pliant: meta-train a robot in simulation, deploy it to an arm, adapt to new objects.

Answers go to standard output, progress and errors to standard error. With --json the answer is one
JSON object and everything else goes to standard error. Exit status: 0 on success, 2 for arguments
that ask for something impossible, 1 when the command failed on the way. `pliant --version` prints
the version.
"""

import io
import os
import sys
import traceback
from contextlib import redirect_stderr
from importlib.metadata import version
from typing import Annotated, Any, Protocol, Union

import msgspec
import tyro
from tyro.conf import subcommand

from adaptation.commands import COMMANDS
from adaptation.commands.arguments import Incomplete
from adaptation.surroundings import (
    check_surroundings,
    check_words,
    escape_unprintable,
    hide_present_folder,
)
from robots.errors import BadArgumentError, PliantError

BAD_ARGUMENT = BadArgumentError.status
FAILURE = PliantError.status
# A path is not what it must be. Any other OSError, such as a full disk, is a failure.
WRONG_PATH = (
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
NO_MEMORY = "not enough memory"
PYTORCH_NO_MEMORY = "can't allocate memory"  # in the message of PyTorch's RuntimeError
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
INTERRUPTION = {"error": "interrupted"}  # the answer after Ctrl-C


class Command(Protocol):
    """What ``adaptation.commands`` holds: options as fields, and what to do with them."""

    as_json: bool

    def run(self) -> object:
        """Do the work, print for a person, and return the answer for ``--json``."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words; None: those of this process, which is then set up for the command.

    Returns:
        The exit status.
    """
    if argv is None:
        hide_present_folder()
    words = sys.argv[1:] if argv is None else argv
    escape_unprintable()
    if words == ["--version"]:
        print(f"pliant {version('pliant')}")
        return 0
    try:
        check_words(words)
    except BadArgumentError as refusal:
        reason = _report(str(refusal))
        if "--json" in words:
            print(msgspec.json.encode(reason).decode())
        return refusal.status
    try:
        command = _parse_for_script(words) if "--json" in words else _parse(words)
    except BrokenPipeError:  # whoever read the help, such as ``head``, has gone
        _discard_output()
        return FAILURE
    except KeyboardInterrupt:
        if "--json" in words:
            print(msgspec.json.encode(INTERRUPTION).decode())
        return INTERRUPTED
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
        check_surroundings()
        answer = command.run()
        if isinstance(answer, Incomplete):
            return FAILURE, answer.answer
        return 0, answer
    except PliantError as failure:
        return failure.status, _report(str(failure))
    except WRONG_PATH as failure:
        return BAD_ARGUMENT, _report(_describe(failure))
    except BrokenPipeError:  # whoever read the answer, such as ``head``, has gone
        _discard_output()
        return FAILURE, None
    except OSError as failure:
        return FAILURE, _report(_describe(failure))
    except MemoryError:
        return FAILURE, _report(NO_MEMORY)
    except KeyboardInterrupt:
        return INTERRUPTED, INTERRUPTION
    except Exception as failure:
        if PYTORCH_NO_MEMORY in str(failure):
            return FAILURE, _report(NO_MEMORY)
        # A bug: whoever mends it needs to know where.
        traceback.print_exc()
        return FAILURE, _report(f"{type(failure).__name__}: {failure}")


def _discard_output() -> None:
    """Let what is still to be printed go nowhere, so that Python does not complain at its end."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
    os.close(null_device)


def _describe(failure: OSError) -> str:
    """The path and what is wrong with it, where the system tells; else the message itself."""
    if failure.strerror is None:
        return str(failure)
    if failure.filename is None:
        return failure.strerror
    return f"{failure.filename}: {failure.strerror}"


def _report(message: str) -> dict[str, str]:
    print(f"pliant: error: {message}", file=sys.stderr)
    return {"error": message}


if __name__ == "__main__":
    sys.exit(main())
