"""Words for task parameters and verdicts: the same in the report and on the live page."""

UNKNOWN = "–"  # in the place of a number

# Task parameters that are shown for each object, with their headings.
PHYSICS = {
    "object.friction": "friction",
    "object.mass": "mass, kg",
    "object.restitution": "restitution",
}

VERDICTS = {
    "LIMITED": "the command was changed to stay inside a limit of the arm",
    "DROPPED": "the command was not finite, too old or out of order, and was not used",
    "HELD": "the arm braked to rest or stood: no usable command, or its tool would leave the box",
    "STOPPED": "a controlled stop, requested by the operator or by the software",
    "FAULT": "the watchdog stopped the arm; only the operator clears it",
    "DIVERGED": "the simulated physics broke down",
}
