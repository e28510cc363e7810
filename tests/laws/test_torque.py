"""The gate of joints that are driven by torque."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robots.actions import JointTorque
from robots.errors import BadArgumentError
from robots.signals import Array, Verdict
from robots.torque_gate import TorqueGate
from sim.families.cheetah import CHEETAH

N = 3
J = len(CHEETAH.joints)
LIMIT = CHEETAH.limits.tau
UNUSABLE = int(Verdict.DROPPED | Verdict.HELD)
anything = arrays(
    np.float64, (N, J), elements=st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf])
)


@given(anything)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_torques_leave_finite_and_within_limits_and_the_verdict_tells_what_was_changed(
    requested: Array,
) -> None:
    gate = TorqueGate(CHEETAH.limits, N)
    command, verdict = gate(requested)
    assert np.isfinite(command.tau).all()
    assert (np.abs(command.tau) <= LIMIT).all()
    finite = np.isfinite(requested).all(-1)
    magnitude = np.abs(np.where(np.isfinite(requested), requested, 0))
    inside = finite & (magnitude <= LIMIT).all(-1)
    assert (command.tau[~finite] == 0).all()
    np.testing.assert_array_equal(command.tau[inside], requested[inside])
    expected = np.where(inside, Verdict.OK, Verdict.LIMITED)
    expected = np.where(finite, expected, UNUSABLE)
    np.testing.assert_array_equal(verdict, expected)
    again, verdict = gate(command.tau)
    np.testing.assert_array_equal(again.tau, command.tau)
    assert (verdict == Verdict.OK).all()


def test_a_request_of_one_world_does_not_affect_another() -> None:
    gate = TorqueGate(CHEETAH.limits, N)
    requested = np.full((N, J), 7.0)
    requested[1, 2] = np.nan
    command, verdict = gate(requested)
    np.testing.assert_array_equal(command.tau[[0, 2]], requested[[0, 2]])
    assert verdict.tolist() == [0, UNUSABLE, 0]


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(BadArgumentError, match=r"\(3, 6\)"):
        TorqueGate(CHEETAH.limits, N)(np.zeros((N, J - 1)))


def test_an_action_is_a_fraction_of_the_limit() -> None:
    action_map = JointTorque(CHEETAH)
    setpoint = TorqueGate(CHEETAH.limits, J).setpoint
    single_joints = action_map(np.eye(J), setpoint)
    beyond = action_map(np.full((J, J), -9.0), setpoint)
    not_a_number = action_map(np.full((J, J), np.nan), setpoint)
    np.testing.assert_array_equal(single_joints, np.diag(LIMIT))
    np.testing.assert_array_equal(beyond, -np.tile(LIMIT, (J, 1)))
    assert np.isnan(not_a_number).all()
