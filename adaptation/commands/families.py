"""``pliant families``: every family at a glance."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from adaptation.commands.arguments import Json, OptionalPath, check_name
from adaptation.commands.listing import print_table
from sim.families import FAMILIES

if TYPE_CHECKING:
    from adaptation.jobs.families import FamilyMeasure

Names = Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="")]
RESULTS = Path("docs/results.md")


@dataclass(frozen=True)
class Families:
    """Measure the families: simulation speed, hidden parameters, what blind and oracle reach.

    Speed is measured with as many worlds as the oracle's training has, and compared with the same
    physics alone in C. Results are read from a page that `pliant bench` wrote.
    """

    only: Names = ()
    """Only these families. Default: every registered one."""
    results: Path = RESULTS
    """Page of results; without it there are none to show."""
    page: OptionalPath = None
    """Write the table as a Markdown page."""
    as_json: Json = False

    def run(self) -> "dict[str, list[FamilyMeasure]]":
        """Measure, print the table and write the page."""
        for name in self.only:
            check_name(FAMILIES, name)
        from adaptation.jobs.families import measure_families
        from adaptation.reporting.families_table import families_page, family_rows
        from adaptation.runs.files import check_writable, replace_file
        from adaptation.runs.versions import this_machine

        if self.page is not None:
            check_writable(self.page, (".md",))
        measures = measure_families(self.only or sorted(FAMILIES), self.results)
        rows = family_rows(measures)
        print_table(list(rows[0]), [list(row.values()) for row in rows])
        if self.page is not None:
            text = families_page(measures, self._command(), this_machine())
            replace_file(self.page, text.encode())
            print(f"wrote {self.page}")
        return {"families": measures}

    def _command(self) -> str:
        """The command that writes the page, for the page itself."""
        assert self.page is not None
        words = ["pliant families"]
        if self.only:
            words += ["--only", *self.only]
        return " ".join([*words, "--page", self.page.as_posix()])
