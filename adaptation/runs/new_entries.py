"""What is written for a new arm or gripper: answers of the commands that add them."""

import msgspec


class NewArm(msgspec.Struct, frozen=True):
    """What was written for a new arm."""

    arm: str
    joints: list[str]  # that move the tool, from the base
    tool: str  # name of the link
    files: list[str]
    missing: dict[str, str]  # what the user has to fill in: field and meaning
    entry_point: str  # the line for the user's pyproject.toml


class NewGripper(msgspec.Struct, frozen=True):
    """What was written for a new gripper, and what was measured on its model."""

    arm: str  # that carries it
    gripper: str
    width: list[float]  # m, between the pads: closed, open
    force: float  # N, of each pad on an object, the mean over several widths
    force_spread: float  # (largest - smallest) / mean of these forces
    heave: float  # m, by which the pads move across their stroke, which the entry leaves out
    turn: float  # rad, by which they turn, the same
    mass: float  # kg
    files: list[str]
    missing: dict[str, str]  # what the user has to fill in: field and meaning
    entry_point: str  # the line for the user's pyproject.toml
