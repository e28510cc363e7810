"""``pliant arm add`` and ``pliant gripper add``: catalog entries of one's own."""

from dataclasses import dataclass
from math import degrees
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, OptionalName

if TYPE_CHECKING:
    from adaptation.jobs.add_arm import NewArm
    from adaptation.jobs.add_gripper import NewGripper


@dataclass(frozen=True)
class Arm:
    """Add an arm of your own: `pliant arm add NAME --model FILE` writes its catalog entry.

    The folder NAME gets a copy of the model, a picture of it, and an ArmSpec with the numbers of
    the model. A number that the model does not have, such as an acceleration, is marked there: the
    arm cannot be used until you have filled it in.
    """

    action: Annotated[Positional[Literal["add"]], arg(metavar="add")]
    """What is done."""
    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Name of the new arm, and of its folder."""
    model: str
    """URDF or MJCF of the arm: a file, package:NAME/PATH for a file in a Python package, or
    menagerie:NAME for a robot of the MuJoCo Menagerie."""
    tool: OptionalName = None
    """Link, of an MJCF body or site, whose frame is the tool frame. Default: the arm's last."""
    package: Path = Path()
    """Folder that gets the arm's folder, such as that of your Python package."""
    as_json: Json = False

    def run(self) -> "NewArm":
        """Write the folder and say what to fill in."""
        from adaptation.jobs.add_arm import add_arm

        added = add_arm(self.name, self.model, self.tool, self.package)
        for file in added.files:
            print(f"wrote {file}")
        print(f"{len(added.joints)} joints move the link {added.tool}: {', '.join(added.joints)}")
        _tell_what_is_left(added)
        return added


@dataclass(frozen=True)
class Gripper:
    """Add a gripper of your own: `pliant gripper add NAME --model FILE --pads A B --arm ARM`.

    The gripper is closed in simulation, with nothing and with objects of several widths: its MJCF
    may have closed loops, tendons and springs, as linkages have. The folder NAME gets a gripper of
    the same stroke, force, stiffness, mass and shape, whose two fingers slide, for both engines;
    a picture of it at the arm; and a catalog entry. Fill in what no model has, such as the speed.
    """

    action: Annotated[Positional[Literal["add"]], arg(metavar="add")]
    """What is done."""
    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Name of the new gripper, of the arm with it, and of its folder."""
    model: str
    """MJCF of the gripper: a file, package:NAME/PATH for a file in a Python package, or
    menagerie:NAME for a model of the MuJoCo Menagerie."""
    pads: Annotated[tuple[str, str], arg(metavar="BODY BODY")]
    """The two bodies of the model that touch an object."""
    arm: Annotated[str, arg(metavar="NAME")]
    """Arm that carries it in place of its own tool, such as ur5e or panda."""
    package: Path = Path()
    """Folder that gets the gripper's folder, such as that of your Python package."""
    as_json: Json = False

    def run(self) -> "NewGripper":
        """Write the folder, and say what was measured and what to fill in."""
        from adaptation.jobs.add_gripper import add_gripper

        added = add_gripper(self.name, self.model, self.pads, self.arm, self.package)
        for file in added.files:
            print(f"wrote {file}")
        closed, opened = (1e3 * width for width in added.width)
        print(f"{added.mass:.3f} kg, {closed:.1f} to {opened:.1f} mm between the pads")
        print(f"each presses with {added.force:.1f} N, within {100 * added.force_spread:.0f} %")
        print(
            f"left out: the pads move by {1e3 * added.heave:.1f} mm across their stroke "
            f"and turn by {degrees(added.turn):.1f}°"
        )
        _tell_what_is_left(added)
        return added


def _tell_what_is_left(added: "NewArm | NewGripper") -> None:
    """What the user has to fill in, and how the entry is registered."""
    print("\nfill in, in the entry:")
    for field, meaning in added.missing.items():
        print(f"  {field:<12} {meaning}")
    print("\nthen name the arm in your pyproject.toml, and install your package:")
    print('  [project.entry-points."pliant.arms"]')
    print(f"  {added.entry_point}")
