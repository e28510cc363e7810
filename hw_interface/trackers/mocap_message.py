"""The datagrams of the tracker ``mocap``, and those that place an emulated object."""

from typing import Annotated

import msgspec

from hw_interface.trackers.config_entries import Quaternion, Vector

LONGEST = 1024  # bytes of a datagram


class Datagram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pose of one rigid body in one frame, in the frame of the motion capture system."""

    name: str
    time: float  # s, of the measurement, on the sender's clock
    position: Vector  # m
    quaternion: Quaternion  # w x y z
    latency: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # s from measurement to sending, if known


class PlaceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks an emulator to put an object before the arm; the answer is the same datagram."""

    number: Annotated[int, msgspec.Meta(ge=0)]  # of the object, from 0
    place: tuple[float, float]  # m, x and y
    quaternion: Quaternion  # w x y z
    attempt: int  # increases with each request


def decode_place_request(message: bytes) -> PlaceRequest | None:
    """A request of at most ``LONGEST`` bytes; None if it is none."""
    try:
        return msgspec.json.decode(message, type=PlaceRequest)
    except ValueError:
        return None
