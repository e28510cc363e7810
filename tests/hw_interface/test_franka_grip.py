"""The rule by which a Franka Hand gets its commands, on a hand that only its rules describe."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hw_interface.drivers.franka_grip import STEP, HandCommand, HandState, next_command

OPENED = 0.08  # m
TICK_WAY = 0.002  # m that the fingers move in an exchange: 0.1 m/s for 20 ms
AT_REST = HandState(width=0.04, grasps=False)
widths = st.floats(0.0, OPENED)


@dataclass
class SimpleHand:
    """A hand that moves at a constant speed, and closes until it meets something."""

    object_width: float = 0.0  # m; 0: nothing is between the fingers
    can_stop: bool = True  # whether a stop ends a motion at once; else it waits for its end
    state: HandState = AT_REST
    goal: float = 0.04  # m, of the command that runs
    log: list[HandCommand] = field(default_factory=list)
    let_go: list[float] = field(default_factory=list)  # m, wanted when a held object was let go

    def exchange(self, wanted: float) -> None:
        """One period: the command that the rule chooses, then the motion."""
        state = self.state
        command = next_command(wanted, state)
        if command is not HandCommand.NONE:
            self.log.append(command)
            if state.grasps:
                self.let_go.append(wanted)
            stops = command is HandCommand.STOP
            state = replace(state, running=command, last=command, sent=wanted, grasps=False)
            if not stops:
                self.goal = wanted if command is HandCommand.OPEN else 0.0
            elif self.can_stop:
                self.goal = state.width
        self.state = self._moved(state)

    def _moved(self, state: HandState) -> HandState:
        end = max(self.goal, self.object_width) if self.goal < state.width else self.goal
        width = state.width + np.clip(end - state.width, -TICK_WAY, TICK_WAY)
        if width != end or state.running is HandCommand.NONE:
            return replace(state, width=float(width))
        closed = state.running is HandCommand.CLOSE
        grasps = state.grasps or (closed and width > 0)
        return replace(state, width=float(width), grasps=grasps, running=HandCommand.NONE)


def settle(hand: SimpleHand, wanted: float) -> None:
    for _ in range(130):
        hand.exchange(wanted)


@pytest.mark.parametrize(
    ("change", "wanted", "command"),
    [
        ({}, 0.04 + 0.9 * STEP, HandCommand.NONE),
        ({}, 0.04 + 1.1 * STEP, HandCommand.OPEN),
        ({}, 0.04 - 0.9 * STEP, HandCommand.NONE),
        ({}, 0.04 - 1.1 * STEP, HandCommand.CLOSE),
        ({"grasps": True}, 0.0, HandCommand.NONE),
        ({"grasps": True}, 0.08, HandCommand.OPEN),
        ({"running": HandCommand.CLOSE}, 0.0, HandCommand.NONE),
        ({"running": HandCommand.CLOSE}, 0.08, HandCommand.STOP),
        ({"running": HandCommand.OPEN}, 0.08, HandCommand.NONE),
        ({"running": HandCommand.OPEN}, 0.0, HandCommand.STOP),
        ({"running": HandCommand.STOP}, 0.08, HandCommand.NONE),
        ({"last": HandCommand.OPEN, "sent": 0.08}, 0.08, HandCommand.NONE),
        ({"last": HandCommand.OPEN, "sent": 0.08}, 0.08 - 1.1 * STEP, HandCommand.OPEN),
        ({"last": HandCommand.CLOSE, "sent": 0.08}, 0.08, HandCommand.OPEN),
    ],
)
def test_one_command_for_one_state(
    change: dict[str, object], wanted: float, command: HandCommand
) -> None:
    assert next_command(wanted, replace(AT_REST, **change)) is command


@given(st.lists(widths, min_size=1, max_size=8), st.booleans())
@example([0.0039], False)  # the closing fingers end in the exchange in which they pass it
def test_empty_fingers_end_where_they_are_wanted(wanted: list[float], can_stop: bool) -> None:
    """Whatever was wanted before, and whether or not a stop ends a motion."""
    hand = SimpleHand(can_stop=can_stop)
    for width in wanted:
        settle(hand, width)
        assert abs(hand.state.width - width) <= STEP + 1e-9
        assert hand.state.running is HandCommand.NONE


@given(st.lists(widths, min_size=1, max_size=300), st.floats(0.01, 0.06))
def test_a_held_object_is_let_go_only_for_a_wider_hand(wanted: list[float], size: float) -> None:
    """A new width in every exchange, as a policy may ask for."""
    hand = SimpleHand(object_width=size, state=replace(AT_REST, width=OPENED), goal=OPENED)
    for width in wanted:
        hand.exchange(width)
    assert all(width > size + STEP for width in hand.let_go)


def test_an_object_is_grasped_once_by_a_moving_width_and_kept() -> None:
    hand = SimpleHand(object_width=0.03, state=replace(AT_REST, width=OPENED), goal=OPENED)
    for width in np.arange(OPENED, 0.02, -TICK_WAY):
        hand.exchange(float(width))
    settle(hand, 0.02)
    assert hand.log == [HandCommand.CLOSE]
    assert hand.state.grasps
    settle(hand, 0.03)
    assert hand.state.grasps, "the width of the object itself lets nothing go"
    settle(hand, 0.05)
    assert not hand.state.grasps
    assert hand.state.width == pytest.approx(0.05)
