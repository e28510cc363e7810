"""A new catalog entry from a URDF or MJCF: its numbers, and a mark for each that it does not have.

Axes: j driven joints.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.errors import BadArgumentError
from robots.mjcf import check_couplings, compile_mjcf
from robots.mjcf_numbers import entry_numbers
from robots.mjcf_urdf import UrdfWriter
from robots.signals import Array
from robots.urdf import read_arm_tree
from robots.urdf_elements import describe, errors_about, required_number
from robots.urdf_joints import LIMIT_ATTRIBUTES
from robots.urdf_tree import UrdfTree, link_name, moves, read_tree

# Fields of ArmSpec and Limits that no URDF has, and what they mean.
MISSING = {
    "home": "a pose to start from, (j,) rad or m",
    "ddq": "largest acceleration of each joint, (j,) rad/s² or m/s²",
    "jerk": "largest jerk of each joint, (j,) rad/s³ or m/s³",
    "tool_box": "(3, 2) m, lowest and highest x, y, z of the tool",
    "tool_speed": "m/s, largest speed of the tool",
    "force": "N, largest force of the tool on what it touches",
    "stiffness": "(j,) N·m/rad or N/m, of the joints' servos in simulation",
    "damping": "(j,) N·m·s/rad or N·s/m, of the joints' servos in simulation",
    "armature": "(j,) kg·m² or kg, inertia of the rotors behind their gears",
    "rest_pose": "(j,) rad or m, where it rests without torque; None: home",
    "reach_zone": "a ReachZone for reach, cripple_arm and carry; or None",
    "strike_zone": "a StrikeZone for slide and slide_plane; or None",
    "push_zone": "a PushZone for push; or None",
}
# Fields that a URDF has, and an MJCF may not have.
MISSING_IN_MJCF = {
    "dq": "largest speed of each joint, (j,) rad/s or m/s",
    "tau": "largest torque or force of each joint, (j,) N·m or N",
}
OF_LIMITS = ("dq", "ddq", "jerk", "tau")  # the fields above that belong to Limits
PLACEHOLDER = 1.0  # of a missing number, while the URDF is read and drawn
FULL_TURN = (-np.pi, np.pi)  # rad, of a continuous joint, which has no end of its own
LINE = 100  # characters

ENTRY = '''\
"""{name}, from {source}: the numbers here are those of this model. Cite their source.

Write a number in every place of ``fill_in``. Until then this module cannot be imported, and the arm
does not move. {page} explains them.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits, fill_in

{constant} = ArmSpec(
    name="{name}",
    joints={joints},
    home={home},
    limits=Limits(
        q_low={q_low},
        q_high={q_high},
        dq={dq},
        ddq={ddq},
        jerk={jerk},
        tau={tau},
        tool_box={tool_box},
        tool_speed={tool_speed},
        force={force},
        # s, largest age of a command: two and a half control periods of 0.1 s.
        deadline={deadline},
    ),
    urdf=Path(__file__).parent / "{model}",
    tool="{tool}",
    stiffness={stiffness},
    damping={damping},
    armature={armature},
    rest_pose={rest_pose},
    reach_zone={reach_zone},
    strike_zone={strike_zone},
    push_zone={push_zone},
)
'''
PAGE = "docs/add_your_own.md"


@dataclass(frozen=True)
class Draft:
    """A new arm with the numbers of its model, and placeholders for the others."""

    arm: ArmSpec
    missing: Mapping[str, str]  # fields of ArmSpec and Limits without a number, and their meaning


def read_new_arm(name: str, urdf: Path, tool: str | None) -> Draft:
    """An arm with the numbers of its URDF, and placeholders for those in ``MISSING``.

    Its home is the position 0 of every joint, or the limit nearest to 0.

    Args:
        name: of the arm.
        urdf: its model.
        tool: name of the link whose frame is the tool frame; None: the last link of the arm.

    Raises:
        BadArgumentError: the URDF cannot be read or simulated, has no such link, or several that
            could be the last one; or no joint moves the link, or one has no limits. The message
            names the file and the joint or link.
    """
    with errors_about(str(urdf)):
        return Draft(_read_urdf(name, urdf, tool), MISSING)


def convert_new_arm(name: str, mjcf: Path, tool: str | None, urdf: Path) -> Draft:
    """Write an arm's MJCF as a URDF with meshes beside it, and read that: see ``read_new_arm``.

    Its home is that of the MJCF, if it has one.

    Args:
        name: of the arm.
        mjcf: its model.
        tool: name of the body or site whose frame is the tool frame; None: the last one.
        urdf: the file to write.

    Raises:
        BadArgumentError: the MJCF cannot be read, or the arm is no open chain of hinges and slides;
            or see ``read_new_arm``. The message names the file and what is wrong in it.
    """
    with errors_about(str(mjcf)):
        model = compile_mjcf(mjcf)
        UrdfWriter(model, urdf).write(f"written by `pliant arm add` from {mjcf.name}, an MJCF")
        arm = _read_urdf(name, urdf, tool)
        check_couplings(model, arm.joints)
        known: dict[str, Any] = dict(entry_numbers(model, arm.joints))
    missing = {
        field: meaning
        for field, meaning in (MISSING_IN_MJCF | MISSING).items()
        if field not in known
    }
    limits = replace(arm.limits, tau=known.pop("tau", arm.limits.tau))
    return Draft(replace(arm, limits=limits, **known), missing)


def _read_urdf(name: str, urdf: Path, tool: str | None) -> ArmSpec:
    """The arm of a URDF; see ``read_new_arm``."""
    tree = read_tree(urdf)
    tool = tool or _last_link(tree)
    driven = _driven(tree, tool)
    if not driven:
        raise BadArgumentError(f"no joint moves the link {tool!r}")
    limits = _limits(driven)
    low = limits.q_low
    ones = np.full(len(low), PLACEHOLDER)
    arm = ArmSpec(
        name=name,
        joints=tuple(joint.attrib["name"] for joint in driven),
        home=np.clip(0.0, low, limits.q_high),
        limits=limits,
        urdf=urdf,
        tool=tool,
        stiffness=ones,
        damping=ones,
        armature=ones,
    )
    read_arm_tree(arm)  # raises what else is wrong with it
    return arm


def write_entry(draft: Draft, source: str) -> str:
    """The Python source of an arm's catalog entry; the missing numbers are marked.

    Args:
        draft: the arm.
        source: name of the model that the numbers come from.
    """
    arm = draft.arm
    fields = {}
    for field in MISSING_IN_MJCF | MISSING:
        if field in draft.missing:
            fields[field] = f'fill_in("{field}: {draft.missing[field]}")'
        elif field in OF_LIMITS:
            fields[field] = _array(getattr(arm.limits, field), indent=8)
        else:
            fields[field] = _array(getattr(arm, field), indent=4)
    return ENTRY.format(
        name=arm.name,
        constant=arm.name.upper(),
        source=source,
        model=arm.urdf.name,
        page=PAGE,
        joints=_wrapped("(", [f'"{joint}",' for joint in arm.joints], ")", indent=4),
        q_low=_array(arm.limits.q_low, indent=8),
        q_high=_array(arm.limits.q_high, indent=8),
        deadline=arm.limits.deadline,
        tool=arm.tool,
        **fields,
    )


def _last_link(tree: UrdfTree) -> str:
    """The link that most joints move, of those that carry no other link."""
    parents = {link_name(joint, "parent") for joint in tree.joints.values()}
    ends = [link for link in tree.links if link not in parents]
    counts = {link: len(_driven(tree, link)) for link in ends}
    most = max(counts.values())
    last = [link for link, count in counts.items() if count == most]
    if len(last) > 1:
        names = ", ".join(last)
        raise BadArgumentError(f"it ends in several links; name the tool with --tool: {names}")
    return last[0]


def _driven(tree: UrdfTree, tool: str) -> list[Element]:
    """The joints between base and tool that move, and follow no other joint."""
    return [joint for joint in tree.chain(tool) if moves(joint) and joint.find("mimic") is None]


def _limits(driven: Sequence[Element]) -> Limits:
    """The URDF's limits of the joints, with placeholders for the others."""
    rows = []
    for joint in driven:
        with errors_about(describe(joint)):
            rows.append(_joint_limits(joint))
    q_low, q_high, dq, tau = np.array(rows).T
    ones = np.full(len(rows), PLACEHOLDER)
    return Limits(
        q_low=q_low,
        q_high=q_high,
        dq=dq,
        ddq=ones,
        jerk=ones,
        tau=tau,
        tool_box=np.array([[-PLACEHOLDER, PLACEHOLDER]] * 3),
        tool_speed=PLACEHOLDER,
        force=PLACEHOLDER,
        deadline=0.25,
    )


def _joint_limits(joint: Element) -> tuple[float, float, float, float]:
    """Lowest and highest position, velocity and effort of one joint."""
    limit = joint.find("limit")
    if limit is None:
        attributes = ", ".join(LIMIT_ATTRIBUTES)
        raise BadArgumentError(f"it has no <limit>; an arm's joint needs {attributes}")
    velocity = required_number(limit, "velocity")
    effort = required_number(limit, "effort")
    for name, value in (("velocity", velocity), ("effort", effort)):
        if value <= 0:
            raise BadArgumentError(f"its {name} is {value:g}; write its real limit there")
    low, high = FULL_TURN
    if joint.attrib["type"] != "continuous":
        low = required_number(limit, "lower")
        high = required_number(limit, "upper")
        if low >= high:
            raise BadArgumentError(
                f"it goes from {low:g} to {high:g}: the lower limit is not lower"
            )
    return low, high, velocity, effort


def _array(values: Array, indent: int) -> str:
    """The source of an array (j,)."""
    words = [f"{value!r}," for value in values.tolist()]
    return _wrapped("np.array([", words, "])", indent)


def _wrapped(begin: str, words: Sequence[str], end: str, indent: int) -> str:
    """Words on one line if they fit, else on several lines."""
    line = begin + " ".join(words).removesuffix(",") + end
    if len(words) > 1 and indent + len("q_high=") + len(line) < LINE:
        return line
    inner = " " * (indent + 4)
    filled = textwrap.fill(
        " ".join(words), LINE, initial_indent=inner, subsequent_indent=inner, break_long_words=False
    )
    return f"{begin}\n{filled}\n{' ' * indent}{end}"
