"""The payload that a controller is told: what is refused, and which drivers take one."""

import contextlib
from dataclasses import fields, replace

import numpy as np
import pytest

from adaptation.jobs.arm_options import check_options
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.payload import DENSITY, Payload, read_payload
from robots.catalog import ARMS
from robots.errors import BadArgumentError, MissingExtraError

UR5E = ARMS["ur5e"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1.0,), "MASS,X,Y,Z"),
        ((1.0, 0.0, 0.0, np.nan), "MASS,X,Y,Z"),
        ((5.1, 0.0, 0.0, 0.0), "ur5e carries 0 to 5 kg, tool and load together; .* 5.1 kg"),
        ((-0.1, 0.0, 0.0, 0.0), "carries 0 to 5 kg"),
        ((1.0, 0.0, 0.0, 0.6), "more than 0.5 m from the flange"),
    ],
)
def test_a_payload_that_the_arm_cannot_have_is_refused(
    values: tuple[float, ...], message: str
) -> None:
    with pytest.raises(BadArgumentError, match=message):
        read_payload(values, UR5E)


def test_a_payload_is_read_and_none_is_none() -> None:
    assert read_payload((), UR5E) is None
    assert read_payload((5.0, 0.1, 0.0, -0.2), UR5E) == Payload(5.0, (0.1, 0.0, -0.2))
    unknown = replace(UR5E, rated_payload=None)
    with pytest.raises(BadArgumentError, match="how much ur5e carries is not known"):
        read_payload((1.0, 0.0, 0.0, 0.0), unknown)


def test_its_inertia_is_that_of_a_ball() -> None:
    """Computed from a million points of the ball that stands for it."""
    payload = Payload(2.0, (0.0, 0.0, 0.0))
    radius = (2.0 / DENSITY * 0.75 / np.pi) ** (1 / 3)
    points = np.random.default_rng(0).uniform(-radius, radius, (1_000_000, 3))
    inside = points[np.linalg.norm(points, axis=1) < radius]
    about_x = 2.0 * (inside[:, 1:] ** 2).sum(1).mean()
    np.testing.assert_allclose(payload.inertia, about_x * np.eye(3), rtol=5e-3)


def test_a_controller_that_keeps_another_payload_is_an_error() -> None:
    payload = Payload(2.0, (0.0, 0.0, 0.1))
    answers = iter([(0.0, 0.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.1)])

    def settles() -> tuple[float, ...]:
        return next(answers)

    def stays() -> tuple[float, ...]:
        return (2.0, 0.0, 0.0, 0.0)

    payload.await_set(settles)
    with pytest.raises(RuntimeError, match="did not take the payload"):
        payload.await_set(stays)


def test_drivers_whose_controllers_take_no_payload_refuse_one_by_name() -> None:
    for name in DRIVERS:
        with contextlib.suppress(MissingExtraError):
            kind = DRIVERS[name]
            names = [field.name for field in fields(kind.Options)]
            assert kind.capabilities.payload == ("payload" in names), name
    for name in ("dynamixel", "feetech", "twin"):
        with pytest.raises(BadArgumentError, match=f"'{name}' has no option 'payload'"):
            check_options(name, {"payload": [1.0, 0.0, 0.0, 0.0]}, seed=0)
