"""The rows of ``fault_matrix.py``: faults, what strikes them, and why a driver cannot show one."""

from dataclasses import dataclass

COLUMNS = {  # the arm of each driver
    "twin": "viperx",
    "dynamixel": "viperx",
    "feetech": "so101",
    "ur": "ur5e",
    "franka": "fr3",
    "ros2": "viperx",
    "ros2-trajectory": "viperx",  # the same driver, with its other way to stream commands
}

GRIPPERS = {  # the arm of each driver that moves a gripper
    "dynamixel": "viperx_gripper",
    "feetech": "so101_gripper",
    "ur": "ur5e_2f85",
    "franka": "fr3_hand",
}


def driver_of(column: str) -> str:
    """The name of a column's driver."""
    return column.split("-", maxsplit=1)[0]


@dataclass(frozen=True)
class Row:
    """A fault."""

    key: str
    number: str  # in docs/safety.md, "By number"
    text: str
    by: str  # policy, process or arm: what is struck
    harmless: bool = False  # the arm goes on
    missing: str = ""  # why a driver that has no provocation for it cannot show it


NOT_TOLD = "the link does not tell it"
NO_CLOCK = "its readings carry no clock"
STREAM = "its link is a stream that neither loses, repeats nor damages data"
NO_SERVOS = "no bus of servos"
ROWS = [
    Row("nan_action", "1", "an action with NaN", "policy", harmless=True),
    Row("nan_actions", "1", "actions with NaN, on and on", "policy"),
    Row("outward", "2", "the policy pushes outward, on and on", "policy", harmless=True),
    Row("jagged", "3", "actions of ±10⁶ in turn", "policy", harmless=True),
    Row("down", "4", "the policy pushes down to the table", "policy", harmless=True),
    Row("stall", "5", "the policy thinks for two deadlines", "policy", harmless=True),
    Row("policy_stopped", "5", "SIGSTOP of the policy", "process"),
    Row("policy_killed", "6", "`kill -9` of the policy", "process"),
    Row("hold", "", "the operator's hold", "policy", harmless=True),
    Row("stop", "", "the operator's stop", "policy"),
    Row("lost", "18", "one reading is lost", "arm", harmless=True),
    Row("silent", "18", "the arm falls silent", "arm"),
    Row("mute", "18", "one servo falls silent", "arm", missing=NO_SERVOS),
    Row("twice", "19", "every answer comes twice", "arm", harmless=True, missing=STREAM),
    Row("late", "19", "answers come late", "arm", missing="its emulator has no delay"),
    Row("corrupt", "20", "a servo's answers are damaged", "arm", missing=STREAM),
    Row("frozen", "21", "an old reading is repeated", "arm"),
    Row("missing", "21", "readings lack a joint", "arm", missing="readings have no names"),
    Row("nan", "21", "readings with NaN", "arm", missing="its registers hold whole numbers"),
    Row("glitch", "22", "one reading is 1 rad off", "arm", harmless=True),
    Row("jump", "22", "all readings are 1 rad off from now on", "arm"),
    Row("ahead", "23", "the arm's clock jumps ahead by an hour", "arm", missing=NO_CLOCK),
    Row("back", "23", "the arm's clock jumps back by an hour", "arm", missing=NO_CLOCK),
    Row("wait", "24", "the control process is stopped for 0.15 s", "process"),
    Row("control_stopped", "25", "SIGSTOP of the control process", "process"),
    Row("control_killed", "25", "`kill -9` of the control process, with the client", "process"),
    Row("cut", "25", "the link is cut", "arm", missing="DDS keeps no connection"),
    Row("deaf", "25", "the controller hears no more commands", "arm", missing="as a cut link"),
    Row("hang", "25", "a call of the driver does not return", "arm", missing="on the twin only"),
    Row("back_again", "26", "the arm is silent for a second", "arm"),
    Row("estop", "27", "emergency stop at the arm", "arm", missing=NOT_TOLD),
    Row("protective", "27", "protective stop, or a reflex", "arm", missing="the arm has none"),
    Row("error", "27", "the arm reports an error", "arm", missing="see the rows after it"),
    Row("off", "27", "the motors are switched off", "arm", missing=NOT_TOLD),
    Row("ended", "27", "the program or controller at the arm is ended", "arm", missing="none runs"),
    Row("slower", "27", "the speed slider at 50 %", "arm", missing="the arm has none"),
    Row("another", "28", "another arm at connect", "arm", missing="nothing there tells the arm"),
    Row("second", "29", "a second program drives the arm", "process", harmless=True),
    Row("overload", "31", "a servo is overloaded", "arm", missing=NO_SERVOS),
    Row("shadow", "31", "a servo's shadow is overloaded", "arm", missing="no servo has a shadow"),
    Row("heat", "31", "a servo is too hot", "arm", missing="as an overload, or no servos"),
    Row("restart", "31", "a servo restarts", "arm", missing=NO_SERVOS),
    Row("contact", "", "the first joint presses against a wall", "arm"),
    Row("stuck", "", "the first joint does not follow", "arm"),
    Row("force", "", "60 N at the tool", "arm", missing="it measures no force"),
    Row("full_disk", "32", "the disk is full", "process", harmless=True),
    Row("recorder_killed", "33", "`kill -9` of the recorder", "process", harmless=True),
    Row("terminated", "44", "SIGTERM to the control process", "process"),
    Row("hung_up", "44", "SIGHUP to the policy", "process"),
]
# While a gripper holds something.
GRIPPER_ROWS = [
    Row("nan_actions", "1", "actions with NaN, on and on", "policy"),
    Row("tighten", "3", "actions of −10⁶ for the fingers, on and on", "policy", harmless=True),
    Row("policy_stopped", "5", "SIGSTOP of the policy", "process"),
    Row("policy_killed", "6", "`kill -9` of the policy", "process"),
    Row("stop", "", "the operator's stop", "policy"),
    Row("silent", "18", "the arm falls silent", "arm"),
    Row("control_stopped", "25", "SIGSTOP of the control process", "process"),
    Row("control_killed", "25", "`kill -9` of the control process, with the client", "process"),
    Row("finger_link", "25", "the gripper falls silent, or its link is cut", "arm"),
    Row("estop", "27", "emergency stop at the arm", "arm", missing=NOT_TOLD),
    Row("protective", "27", "protective stop, or a reflex", "arm", missing="the arm has none"),
    Row("finger_fault", "31", "the gripper reports overload or heat", "arm", missing=NOT_TOLD),
    Row("slip", "", "the object slips out", "arm", harmless=True),
    Row("jammed", "", "the fingers are told to open and cannot", "arm"),
]
TWIN = (
    *("lost", "silent", "frozen", "nan", "glitch", "jump", "ahead", "back", "cut", "hang"),
    *("estop", "error", "force", "contact", "stuck", "back_again", "mend"),
)
# Where one driver's reason is another than the row's.
REASONS = {
    ("twin", "control_killed"): "the simulated arm ends with it",
    ("twin", "control_stopped"): "the simulated arm stops with it",
    ("twin", "second"): "each program has a twin of its own",
    ("twin", "another"): "it is built from the arm",
    ("twin", "late"): "its latency is part of it",
    ("franka", "late"): "its emulator has no delay",
    ("ros2", "late"): "an old joint state counts as lost",
    ("ros2", "twice"): "DDS drops what comes twice",
    ("ros2", "corrupt"): "DDS drops what is damaged",
    ("ros2", "error"): "joint states tell no errors",
    ("twin", "corrupt"): "there is no link",
    ("twin", "twice"): "there is no link",
}
SKIPPED = [pair for pair in REASONS if pair[1] in ("control_killed", "control_stopped", "second")]
