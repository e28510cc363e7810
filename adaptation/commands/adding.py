"""``pliant arm add``: a catalog entry for an arm of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, OptionalName

if TYPE_CHECKING:
    from adaptation.runs.records import NewArm


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
        print("\nfill in, in the entry:")
        for field, meaning in added.missing.items():
            print(f"  {field:<11} {meaning}")
        print("\nthen name the arm in your pyproject.toml, and install your package:")
        print('  [project.entry-points."pliant.arms"]')
        print(f"  {added.entry_point}")
        return added
