"""The gate before joints that are driven by torque."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robots.actions import JointTorque
from robots.safety import TorqueGate
from robots.signals import Verdict
from sim.families.cheetah import CHEETAH

N, J = 3, len(CHEETAH.joints)
anything = arrays(
    np.float64, (N, J), elements=st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf])
)


@given(anything)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_whatever_is_wished_what_leaves_is_finite_within_limits_and_said(wish: np.ndarray) -> None:
    gate, most = TorqueGate(CHEETAH.limits, N), CHEETAH.limits.tau
    command, verdict = gate(wish)
    assert np.isfinite(command.tau).all()
    assert (np.abs(command.tau) <= most).all()
    finite = np.isfinite(wish).all(-1)
    inside = finite & (np.abs(np.where(np.isfinite(wish), wish, 0)) <= most).all(-1)
    assert (command.tau[~finite] == 0).all()
    np.testing.assert_array_equal(command.tau[inside], wish[inside])
    said = np.where(
        ~finite, Verdict.DROPPED | Verdict.HELD, np.where(inside, Verdict.OK, Verdict.LIMITED)
    )
    np.testing.assert_array_equal(verdict, said)
    again, silent = gate(command.tau)
    np.testing.assert_array_equal(again.tau, command.tau)
    assert (silent == Verdict.OK).all()


def test_what_one_world_wishes_does_not_touch_another() -> None:
    gate, wish = TorqueGate(CHEETAH.limits, N), np.full((N, J), 7.0)
    wish[1, 2] = np.nan
    command, verdict = gate(wish)
    np.testing.assert_array_equal(command.tau[[0, 2]], wish[[0, 2]])
    assert verdict.tolist() == [0, Verdict.DROPPED | Verdict.HELD, 0]


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 6\)"):
        TorqueGate(CHEETAH.limits, N)(np.zeros((N, J - 1)))


def test_an_action_is_a_share_of_the_limit() -> None:
    action, gate = JointTorque(CHEETAH), TorqueGate(CHEETAH.limits, J)
    np.testing.assert_array_equal(action(np.eye(J), gate.setpoint), np.diag(CHEETAH.limits.tau))
    np.testing.assert_array_equal(
        action(np.full((J, J), -9.0), gate.setpoint), -np.tile(CHEETAH.limits.tau, (J, 1))
    )
    assert np.isnan(action(np.full((J, J), np.nan), gate.setpoint)).all()
