"""A toy command."""

from dataclasses import dataclass

from tyro.conf import Positional

from adaptation.commands.arguments import Json


@dataclass(frozen=True)
class Toy:
    """Print a greeting."""

    name: Positional[str]
    """The person to greet."""
    as_json: Json = False

    def run(self) -> dict[str, str]:
        print(f"hello {self.name}")
        return {"greeted": self.name}
