"""Sends a training's curves to a plotting service while it runs, from the run's own logs.

The training is not involved: a thread follows the files that the run writes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from threading import Event, Thread
from typing import Any, Protocol

import msgspec

from adaptation.runs.log import read_log
from adaptation.runs.records import REFERENCES, HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from robots.errors import BadArgumentError, install_extra

SERVICES = ("wandb", "trackio")  # both have ``init`` and, in what it returns, ``log``, ``finish``
PROJECT = "pliant"
INTERVAL = 2.0  # s between two reads of the logs

Values = dict[str, float]


class Writer(Protocol):
    """A run of a service."""

    def log(self, values: Values) -> object:
        """Add numbers, under their names."""
        ...

    def finish(self) -> object:
        """Send what is left."""
        ...


def check_service(name: str | None) -> None:
    """Refuse a service that is unknown, or not installed; None, no service, passes.

    Raises:
        BadArgumentError: the message names the extra that installs it.
    """
    if name is None:
        return
    if name not in SERVICES:
        raise BadArgumentError(f"--log takes {' or '.join(SERVICES)}, got {name!r}")
    try:
        import_module(name)
    except ImportError as error:
        raise BadArgumentError(
            f"--log {name} needs the extra {name}: {install_extra(name)}"
        ) from error


@contextmanager
def follow(run: Run, service: str | None) -> Iterator[None]:
    """Send the run's curves to a service for the length of a ``with`` block."""
    if service is None:
        yield
        return
    module = import_module(service)
    config = msgspec.to_builtins(run.config)
    writer: Writer = module.init(project=PROJECT, name=run.path.name, config=config)
    follower = Follower(run, writer)
    ended = Event()

    def send_until_ended() -> None:
        while not ended.wait(INTERVAL):
            follower.send_new()

    thread = Thread(target=send_until_ended, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        follower.send_new()
        writer.finish()


class Follower:
    """Sends the lines of a run's logs that it has not sent yet."""

    def __init__(self, run: Run, writer: Writer) -> None:
        """``writer`` gets every number with the environment steps at which it was reached."""
        self._run = run
        self._writer = writer
        self._sent: dict[str, int] = {}  # iteration of the last line sent of each log

    def send_new(self) -> None:
        """Read all logs, and send what is new."""
        run = self._run
        for role in ("method", *REFERENCES):
            self._send(f"{role}/train", read_log(run.log_path(role), TrainProgress), _of_training)
            evaluations = read_log(run.heldout_path(role), HeldoutProgress)
            self._send(f"{role}/heldout", evaluations, _of_heldout)

    def _send(self, prefix: str, lines: list[Any], numbers: Callable[[Any], Values]) -> None:
        last = self._sent.get(prefix, -1)
        for line in lines:
            if line.iteration <= last:
                continue
            self._sent[prefix] = line.iteration
            named = {f"{prefix}/{name}": value for name, value in numbers(line).items()}
            self._writer.log({"environment_steps": float(line.steps), **named})


def _of_training(line: TrainProgress) -> Values:
    values = {"return": line.returns[-1], "success": line.success[-1], **line.learn}
    return _known(values)


def _of_heldout(line: HeldoutProgress) -> Values:
    return _known({"return": line.result.returns[-1], "success": line.result.success[-1]})


def _known(values: Mapping[str, float | None]) -> Values:
    """The values without None, which stands for a number that was not finite."""
    return {name: value for name, value in values.items() if value is not None}
