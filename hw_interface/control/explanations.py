"""What the modes and events of an arm mean, in words for the person who stands beside it."""

from hw_interface.control.events import Event, Mode

MODES = {
    Mode.DISCONNECTED: "no arm is connected",
    Mode.IDLE: "at rest, or on its way to a start",
    Mode.ARMED: "at its start, and waits for the first action",
    Mode.RUNNING: "follows the policy",
    Mode.HOLD: "brakes or stands; a fresh action resumes",
    Mode.FAULT: "stopped by a fault; nothing moves until clear",
    Mode.EXTERNAL_STOP: "stopped by the arm's own controller; release it there, then clear",
}
OPERATOR_HOLD = "held by an operator; nothing moves until release"

EVENTS = {
    Event.ACTION_NOT_FINITE: "an action was no number and was dropped",
    Event.OUT_OF_ORDER: "an old action came late and was dropped",
    Event.STALE: "no action came in time: hold",
    Event.SILENT: "no action came for long: fault",
    Event.LINK_LOST: "the arm's controller no longer answers: fault",
    Event.DRIVER_FAILED: "the driver failed: fault",
    Event.NOT_TRACKING: "a joint is far from its setpoint: fault",
    Event.ARM_ERROR: "the arm reports an error: fault",
    Event.ARM_STOPPED: "an emergency or protective stop at the arm",
    Event.OPERATOR_HOLD: "an operator holds the arm",
    Event.OPERATOR_STOP: "an operator stopped the arm",
    Event.POLICY_DIED: "the policy's process ended: fault",
    Event.MEASUREMENT_NOT_FINITE: "a measurement was no number: fault",
    Event.OVERRUN: "the control loop was late: fault",
    Event.CLEARED: "an operator cleared the fault",
    Event.OBJECT_LOST: "the tracker failed: hold",
    Event.TORQUE_LIMIT: "a joint's torque was above its limit: fault",
    Event.RELEASED: "an operator released the arm",
    Event.OBJECT_STALE: "the tracker repeats an old pose: hold",
    Event.POSITION_LIMIT: "a joint was beyond its position limit: fault",
    Event.SPEED_LIMIT: "a joint was above its velocity limit: fault",
    Event.WILD_READINGS: "implausible readings were not used",
    Event.TORQUE_UNKNOWN: "a joint's torque is no longer measured",
    Event.OBSERVATION_UNUSUAL: "an observation outside its range: slowed down",
    Event.OBSERVATION_FAR: "an observation far outside its range: fault",
    Event.FORCE_LIMIT: "the force at the tool was above its limit: fault",
    Event.FORCE_UNKNOWN: "the force at the tool is no longer measured",
    Event.CONTROL_FAILED: "the control process itself failed: fault",
    Event.BAD_RECORD: "damaged numbers in the shared memory were ignored",
    Event.BLOCKED: "a move did not arrive, and the arm stands",
}


def explain_event(name: str) -> str:
    """The meaning of an event by its name; the name itself where it is not one of ``Event``."""
    return EVENTS[Event[name]] if name in Event.__members__ else name
