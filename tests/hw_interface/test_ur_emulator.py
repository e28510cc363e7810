"""The emulated Universal Robots controller by itself, without the vendor's client."""

import socket
import struct
import threading

import numpy as np
import pytest
from emulated_ur import UR5E, emulated_ur

from hw_interface.drivers import ur_ports
from hw_interface.drivers.ur_modes import RobotMode, RuntimeState, SafetyMode
from hw_interface.drivers.ur_ports import DASHBOARD, RTDE, SCRIPT, check_ports
from hw_interface.emulators.rtde import (
    HEADER,
    IN_USE,
    NOT_FOUND,
    InputOwners,
    RtdeSession,
    make_packet,
)
from hw_interface.emulators.ur_controller import UrController
from hw_interface.emulators.ur_dashboard import answer
from hw_interface.emulators.ur_motion import JointTargets
from hw_interface.emulators.ur_program import DONE, READY, Order
from sim.plant import Plant

SCRIPT_TEXT = "def rtde_control():\nend\n"
DT = 0.002  # s
LOOKAHEAD = 0.03  # s


@pytest.fixture
def controller() -> UrController:
    return UrController(UR5E, Plant(UR5E, UR5E.home, gravity=False))


def post(controller: UrController, order: int, doubles: list[float]) -> None:
    """Write a command into the input registers."""
    inputs: dict[str, float] = {"input_int_register_0": order}
    for number, value in enumerate(doubles):
        inputs[f"input_double_register_{number}"] = value
    controller.take_inputs(inputs)


def servo_to(controller: UrController, q: np.ndarray) -> None:
    unused = 0.0
    post(controller, Order.SERVO_J, [*q.tolist(), unused, unused, DT, LOOKAHEAD, 2000.0])


def run(controller: UrController, cycles: int) -> None:
    for _ in range(cycles):
        controller.advance(DT)


def reply_of(session: RtdeSession, kind: str, payload: bytes) -> bytes:
    """The payload of the answer to one packet."""
    ((reply, _),) = session.feed(make_packet(ord(kind), payload))
    return reply[HEADER.size :]


def test_a_joint_follows_its_target_and_comes_to_rest_there(controller: UrController) -> None:
    goal = UR5E.home + 0.1
    controller.upload(SCRIPT_TEXT)
    servo_to(controller, goal)
    run(controller, 20)
    moving, _, _ = controller.state
    assert (moving > UR5E.home + 0.01).all()
    run(controller, 300)
    q, dq, _ = controller.state
    np.testing.assert_allclose(q, goal, atol=2e-3)
    assert np.abs(dq).max() < 5e-3


def test_a_stop_is_done_once_the_joints_stand(controller: UrController) -> None:
    controller.upload(SCRIPT_TEXT)
    post(controller, Order.SPEED_J, [1.0, 0, 0, 0, 0, 0, 10.0, 0.0])
    run(controller, 200)
    _, dq, _ = controller.state
    assert dq[0] > 0.9
    post(controller, Order.SPEED_STOP, [5.0])
    run(controller, 50)
    assert controller.variables()["output_int_register_0"] == READY
    assert not controller.targets.at_rest
    run(controller, 100)
    assert controller.variables()["output_int_register_0"] == DONE
    assert controller.targets.at_rest


def test_the_slider_slows_every_motion_down() -> None:
    ways = []
    for share in (1.0, 0.5):
        targets = JointTargets(UR5E, UR5E.home)
        targets.slider = share
        targets.servo(UR5E.home + 0.1, LOOKAHEAD)
        targets.advance(DT)
        ways.append(targets.q - UR5E.home)
    np.testing.assert_allclose(ways[1], ways[0] / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_target_that_is_not_finite_ends_the_program(controller: UrController, bad: float) -> None:
    controller.upload(SCRIPT_TEXT)
    servo_to(controller, np.full(6, bad))
    run(controller, 5)
    assert controller.runtime_state is RuntimeState.STOPPED
    assert np.isfinite(controller.state[0]).all()
    assert controller.outside == 6


def test_an_unknown_command_ends_the_program_and_says_so(controller: UrController) -> None:
    controller.upload(SCRIPT_TEXT)
    post(controller, 3, [0.0])
    run(controller, 2)
    assert controller.runtime_state is RuntimeState.STOPPED
    assert "does not know the command 3" in controller.messages[-1]


def test_a_protective_stop_can_be_unlocked_after_five_seconds(controller: UrController) -> None:
    controller.protective_stop()
    controller.advance(4.9)
    assert "Cannot unlock" in answer("unlock protective stop\n", controller)
    controller.advance(0.2)
    assert answer("unlock protective stop\n", controller) == "Protective stop releasing"
    assert controller.safety_mode is SafetyMode.NORMAL


def test_after_an_emergency_stop_the_motors_are_off_until_switched_on(
    controller: UrController,
) -> None:
    controller.emergency_stop()
    run(controller, 10)
    assert answer("brake release\n", controller) == "Brake releasing"
    assert controller.robot_mode is RobotMode.POWER_OFF
    controller.release()
    controller.upload(SCRIPT_TEXT)
    assert controller.runtime_state is RuntimeState.STOPPED
    answer("brake release\n", controller)
    assert controller.robot_mode is RobotMode.RUNNING


def test_a_variable_that_does_not_exist_is_named_and_nothing_is_sent() -> None:
    session = RtdeSession((5, 15, 0, 0))
    frequency = struct.pack(">d", 500.0)
    assert reply_of(session, "O", frequency + b"timestamp,mood,").endswith(NOT_FOUND.encode())
    assert reply_of(session, "S", b"") == b"\x00"
    assert session.make_data({"timestamp": 1.0}) == b""
    assert reply_of(session, "O", frequency + b"timestamp,actual_q") == b"\x01DOUBLE,VECTOR6D"
    assert reply_of(session, "S", b"") == b"\x01"
    data = session.make_data({"timestamp": 1.0, "actual_q": [0.5] * 6})
    assert struct.unpack(">HBB7d", data) == (60, ord("U"), 1, 1.0, *[0.5] * 6)


def test_an_input_belongs_to_one_client_until_its_connection_ends() -> None:
    owners = InputOwners()
    first = RtdeSession((5, 15, 0, 0), owners)
    second = RtdeSession((5, 15, 0, 0), owners)
    names = b"input_int_register_0,input_double_register_0"
    for number in (1, 2):  # several recipes of one client may name one input
        assert reply_of(first, "I", names) == bytes([number]) + b"INT32,DOUBLE"
    assert reply_of(second, "I", names) == b"\x00" + f"{IN_USE},{IN_USE}".encode()
    owners.release(first)
    assert reply_of(second, "I", names).endswith(b"INT32,DOUBLE")


def test_an_answer_that_trickles_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ur_ports, "PATIENCE", 0.2)
    here, there = socket.socketpair()
    over = threading.Event()

    def trickle() -> None:
        there.sendall(HEADER.pack(250, ord("V")))
        while not over.wait(0.02):
            there.sendall(b"\x00")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with here, pytest.raises(TimeoutError):
            ur_ports._await_data(here)
    finally:
        over.set()
        thread.join()
        there.close()


def test_what_is_no_rtde_costs_the_client_its_connection_and_nobody_else() -> None:
    with emulated_ur() as remote:
        for port in (DASHBOARD, SCRIPT, RTDE):
            for garbage in (b"\x00\x01", b"\xff" * 70_000, b"\x00\x05U\x07\x00"):
                with socket.create_connection((remote.address, port), 5.0) as connection:
                    connection.sendall(garbage)
        check_ports(remote.address)
