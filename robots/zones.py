"""Zones: free space for a kind of task, in an arm's catalog entry and in the arm's base frame.

A family of tasks runs on any arm that has the zone it needs.
"""

from dataclasses import dataclass

from robots.signals import Array


@dataclass(frozen=True)
class ReachZone:
    """Free space in front of an arm, for tasks of bringing the tool to a place."""

    ready: Array  # (j,) rad or m, the tool in the center, pointing down
    center: Array  # (3,) m, of the box of goals
    half_range: Array  # (3,) m, half the box along each axis
    speed: float  # m/s of the tool along each axis
    goal_radius: float  # m, a tool this close to a goal is at the goal


@dataclass(frozen=True)
class StrikeZone:
    """A lane on the table along the x axis, for tasks of striking an object out of reach.

    ``slide_plane`` also needs the ground to its left and right, 19 cm about the mark.
    """

    ready: Array  # (j,) rad or m, the tool behind the object on the x axis, pointing down
    height: float  # m, z of the tool
    mark: float  # m, x of the object's center before the strike
    tool_box: Array  # (3, 2) m, of the tool; the far face in x is the line that stops it


@dataclass(frozen=True)
class PushZone:
    """Free space on the table before the arm, for tasks of pushing an object along."""

    ready: Array  # (j,) rad or m, the tool at the start of pushes on the x axis, pointing down
    height: float  # m, z of the tool
    start: float  # m, x where pushes start
    tool_box: Array  # (3, 2) m, of the tool


@dataclass(frozen=True)
class LiftZone:
    """Two places before an arm with a gripper, side by side along y, to take an object between."""

    ready: Array  # (j,) rad or m, over the pick place, fingers open along y, pointing down
    pick: tuple[float, float]  # m, x and y where objects lie
    place: tuple[float, float]  # m, x and y where they are put down
    tool_box: Array  # (3, 2) m, of the tool
