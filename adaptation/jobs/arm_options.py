"""Properties and options of an arm's driver that are checked before the arm is opened."""

from dataclasses import fields
from typing import Any

import msgspec

from hw_interface.devices import CLOCKS, DeviceOptions
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.scene import Scene


def default_clock(driver: str) -> str:
    """The default clock of a driver: ``lockstep`` for a simulated arm, else ``realtime``."""
    return "realtime" if DRIVERS[driver].capabilities.realtime else "lockstep"


def check_clock(driver: str, clock: str) -> None:
    """Refuse a clock that does not exist or does not fit the driver.

    Raises:
        BadArgumentError: there is no such clock, or the driver is paced in real time only.
    """
    if clock not in CLOCKS:
        raise BadArgumentError(f"the clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
    if clock == "lockstep" and DRIVERS[driver].capabilities.realtime:
        raise BadArgumentError(
            f"a real arm does not wait for the policy: with {driver!r} the clock must be realtime"
        )


def task_is_known(driver: str) -> bool:
    """Whether the object's physics are known: simulation sets them, a real arm does not."""
    return not DRIVERS[driver].capabilities.realtime


def check_options(driver: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """A driver's options, with the seed where the driver takes one that was not given.

    Raises:
        BadArgumentError: there is no such option, or its value is of another type.
    """
    kind = DRIVERS[driver].Options
    given = dict(options)
    if "seed" in [field.name for field in fields(kind)]:
        given.setdefault("seed", seed)
    check_fields(f"the driver {driver!r}", kind, given)
    return given


def check_fields(device: str, kind: DeviceOptions, options: dict[str, Any]) -> None:
    """Refuse options that do not fit the ``Options`` of a device, which is named in the message.

    Raises:
        BadArgumentError: there is no such option, or its value is of another type.
    """
    names = [field.name for field in fields(kind)]
    unknown = [name for name in options if name not in names]
    if unknown:
        available = f"it has {', '.join(names)}" if names else "it has none"
        raise BadArgumentError(f"{device} has no option {unknown[0]!r}; {available}")
    try:
        msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        raise BadArgumentError(f"options of {device}: {error}") from error


def check_driver(arm: str, driver: str, options: dict[str, Any]) -> None:
    """Refuse a driver that cannot be built with these options; no hardware is touched.

    Raises:
        BadArgumentError: an option does not exist, or one that is needed is missing.
        MissingExtraError: the driver needs a package that is not installed.
    """
    spec = ARMS[arm]
    kind = DRIVERS[driver]
    given = check_options(driver, options, 0)
    kind(spec, Scene(spec), kind.Options(**given))


def check_port(driver: str, options: dict[str, Any]) -> None:
    """Refuse options that do not exist, and a driver that needs a port and was not given one.

    Raises:
        BadArgumentError: they are such options, or it is such a driver.
        MissingExtraError: the driver needs a package that is not installed.
    """
    check_options(driver, options, 0)
    defaults = {field.name: field.default for field in fields(DRIVERS[driver].Options)}
    if defaults.get("port") == "" and not options.get("port"):
        raise BadArgumentError(
            f"the driver {driver!r} needs the port or address of the arm: --port"
        )
