"""What the tracker ``mocap`` must know: where poses arrive, of which body, and its frames."""

import ipaddress
from typing import Annotated

import msgspec

from hw_interface.trackers.config_entries import (
    Quaternion,
    TrackLimits,
    Vector,
    pose_problem,
    read_entries,
)
from robots.errors import BadArgumentError


class FrameEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pose of one frame in another."""

    position: Vector = (0.0, 0.0, 0.0)  # m
    quaternion: Quaternion = (1.0, 0.0, 0.0, 0.0)  # w x y z


class MocapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    body: Annotated[str, msgspec.Meta(min_length=1)]  # the object's name in the datagrams
    frame: FrameEntry  # of the motion capture system, in the base frame of the arm
    object: FrameEntry = FrameEntry()  # of the object, in the frame of the rigid body
    listen: str = "127.0.0.1"  # an IPv4 address of this computer
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 41500
    sender: str = ""  # the IPv4 address whose datagrams count; empty: any on this computer
    delay: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  # s from measurement to arrival
    limits: TrackLimits = TrackLimits()


def read_mocap_config(file: str) -> MocapConfig:
    """Read and check the tracker's file.

    Args:
        file: its path.

    Raises:
        BadArgumentError: there is no such file, or an entry is missing, unknown or impossible; the
            message names the file and the entry.
    """
    config = read_entries(file, MocapConfig)
    problem = _find_problem(config)
    if problem:
        raise BadArgumentError(f"{file}: {problem}")
    return config


def _find_problem(config: MocapConfig) -> str:
    """What is impossible in a configuration whose types are right; empty if nothing is."""
    for name in ("frame", "object"):
        entry: FrameEntry = getattr(config, name)
        problem = pose_problem(name, entry.position, entry.quaternion)
        if problem:
            return problem

    try:
        listen = ipaddress.IPv4Address(config.listen)
        if config.sender:
            ipaddress.IPv4Address(config.sender)
    except ValueError as error:
        return f"listen and sender must be IPv4 addresses: {error}"

    if not listen.is_loopback and not config.sender:
        return f"listening to the network at {listen} needs the address of the sender"
    return ""
