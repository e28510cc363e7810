"""What the control process publishes to the policy and the recorder after every tick."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw_interface.control.controller import ArmController
from hw_interface.control.pacing import Pacer
from hw_interface.control.shared_state import SharedState
from hw_interface.control.words import Word


@dataclass
class Progress:
    """What the control process has done so far; published with every state."""

    ticks_per_action: int
    ticks: int = 0
    events: int = 0
    active_action_seq: int = 0  # the newest action in order
    ticks_done: int = 0  # ticks of all actions, ticks_per_action for each before the active one
    last_request_seq: int = 0
    rejected_seq: int = 0  # the newest request that was refused
    move_seq: int = 0  # the newest request whose move has begun
    arrived_seq: int = 0  # the newest request whose move has arrived
    failed_seq: int = 0  # the newest request whose move was blocked or could not arm
    ended_seq: int = 0  # the newest request whose move has ended, arrived or not
    # (words,) how often each Word was handled
    words_handled: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(Word), dtype=np.int64)
    )
    realtime: bool = False  # whether SCHED_FIFO was granted
    arm_error: bool = False  # whether the arm has reported an error that was not cleared

    def begin_action(self, seq: int) -> None:
        """Take the action numbered ``seq`` as the active one, unless it is out of order."""
        if seq > self.active_action_seq:
            self.active_action_seq = seq
            self.ticks_done = (seq - 1) * self.ticks_per_action

    def count_tick(self) -> None:
        """Count a tick, also for the active action if that has ticks left."""
        self.ticks += 1
        if self.action_unfinished:
            self.ticks_done += 1

    def take_words(self, counts: NDArray[np.int64]) -> list[Word]:
        """The words sent since the last call; ``counts`` (words,) is how often each was sent."""
        new_words = [word for word in Word if counts[word] != self.words_handled[word]]
        self.words_handled[...] = counts
        return new_words

    @property
    def action_unfinished(self) -> bool:
        """Whether the active action has ticks left."""
        return self.ticks_done < self.active_action_seq * self.ticks_per_action

    @property
    def move_unfinished(self) -> bool:
        """Whether a move has begun whose end was not handled yet."""
        return self.move_seq != self.ended_seq


def publish_state(
    shared: SharedState, controller: ArmController, pacer: Pacer, progress: Progress, now: float
) -> None:
    """Publish the state at ``now`` s to the policy's process."""
    state = controller.state
    setpoint = controller.gate.setpoint
    shared.state.write(
        tick=progress.ticks,
        stamp=now,
        mode=int(controller.watchdog.mode),
        cause=controller.watchdog.cause or 0,
        verdict=controller.verdict,
        condition=int(state.condition),
        q=state.q,
        dq=state.dq,
        tau=state.tau,
        wrench=state.wrench,
        q_set=setpoint.q[0],
        dq_set=setpoint.dq[0],
        object=controller.object_state,
        active_action_seq=progress.active_action_seq,
        ticks_done=progress.ticks_done,
        last_request_seq=progress.last_request_seq,
        rejected_seq=progress.rejected_seq,
        arrived_seq=progress.arrived_seq,
        failed_seq=progress.failed_seq,
        ended_seq=progress.ended_seq,
        words_handled=progress.words_handled,
        operator_hold=controller.watchdog.operator_hold,
        arm_error=progress.arm_error,
        link_broken=controller.link_broken,
        events=progress.events,
        missed_ticks=pacer.missed_ticks,
        max_lateness=pacer.max_lateness,
        realtime=progress.realtime,
        applied_sum=controller.applied_sum,
        applied_ticks=controller.applied_ticks,
    )


def record_tick(
    shared: SharedState, controller: ArmController, progress: Progress, now: float
) -> None:
    """Add the tick at ``now`` s to the recorder's ring, in the order of ``ring_columns``."""
    state = controller.state
    setpoint = controller.gate.setpoint
    mode = int(controller.watchdog.mode)
    shared.push(
        (now,),
        state.q,
        state.dq,
        state.tau,
        setpoint.q[0],
        setpoint.dq[0],
        controller.object_state,
        state.wrench,
        (mode, controller.verdict, progress.active_action_seq),
    )
