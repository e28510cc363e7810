"""The modes of an arm, and the events that its watchdog reports."""

from collections.abc import Callable
from enum import IntEnum


class Mode(IntEnum):
    """The states; the policy's actions are followed in RUNNING only."""

    DISCONNECTED = 0
    IDLE = 1  # at rest, or moving to an episode's start
    ARMED = 2  # driver enabled, at the start, waiting for the first action
    RUNNING = 3
    HOLD = 4  # braking or at rest; a fresh action resumes, unless an operator holds the arm
    FAULT = 5  # latched: brakes while the arm can still be commanded, then the driver is stopped
    EXTERNAL_STOP = 6  # latched: the arm's own safety controller has stopped it


class Event(IntEnum):
    """What happened; each comment gives the consequence and the number reported with the event."""

    ACTION_NOT_FINITE = 1  # NaN or infinity: dropped, hold; how many in a row
    OUT_OF_ORDER = 2  # action older than the last: dropped; its sequence number
    STALE = 3  # no action within the deadline: hold; age s
    SILENT = 4  # no action for several deadlines: fault; age s
    LINK_LOST = 5  # the controller's stamp does not advance: fault; stamp s
    DRIVER_FAILED = 6  # the driver raised: fault
    NOT_TRACKING = 7  # joints far from their setpoint: fault; rad
    ARM_ERROR = 8  # the controller reports an error or has disabled itself: fault
    ARM_STOPPED = 9  # emergency or protective stop at the arm: external stop
    OPERATOR_HOLD = 10  # hold until RELEASED
    OPERATOR_STOP = 11  # controlled stop, then fault
    POLICY_DIED = 12  # the policy's process is gone: fault
    MEASUREMENT_NOT_FINITE = 13  # NaN or infinity in q or dq: fault
    OVERRUN = 14  # the control loop itself was late: fault; s
    CLEARED = 15  # the operator cleared a fault: idle
    OBJECT_LOST = 16  # the tracker failed: hold
    TORQUE_LIMIT = 17  # a joint's torque above its limit: fault; share of the limit
    RELEASED = 18  # the operator released their hold
    OBJECT_STALE = 19  # the tracker repeats an old pose: hold; age s
    POSITION_LIMIT = 20  # a joint measured beyond its position limit: fault; rad beyond it
    SPEED_LIMIT = 21  # a joint measured above its velocity limit: fault; share of the limit
    WILD_READINGS = 22  # several implausible readings, which were not used; how many
    TORQUE_UNKNOWN = 23  # a joint no longer measures torque, so its limit is not checked; s
    OBSERVATION_UNUSUAL = 24  # an observation outside its range: slowed down; half ranges
    OBSERVATION_FAR = 25  # an observation far outside its range: fault; half ranges
    FORCE_LIMIT = 26  # the force at the tool above its limit: fault; N
    FORCE_UNKNOWN = 27  # the arm no longer measures the force, so its limit is not checked; s
    CONTROL_FAILED = 30  # an error in the control process itself: fault, and the process ends
    BAD_RECORD = 31  # damaged or impossible numbers in the shared memory: ignored; the number
    BLOCKED = 40  # a move did not arrive, and the arm stands; after how long, s


# Faults of contact: something blocks or moves the arm, so the joints are away from their setpoint.
CONTACT = (Event.NOT_TRACKING, Event.TORQUE_LIMIT, Event.FORCE_LIMIT, Event.ARM_ERROR)
# Faults in which the readings themselves may be wrong.
UNTRUSTED = (Event.MEASUREMENT_NOT_FINITE, Event.LINK_LOST, Event.DRIVER_FAILED)

Report = Callable[[Event, float], None]  # called once per event, with its number
