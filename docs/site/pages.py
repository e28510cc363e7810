"""The pages of the site: README.md, the documents in docs/, and what is made of the source.

Documents link to one another, and to files of the repository, as they lie in the repository. On
the site a source file becomes its place in the API reference, and any other file a download.
"""

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from docs.site.settings import settings_index, settings_page
from policies.methods import METHODS
from sim.families import FAMILIES

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("mkdocs.yml")
PACKAGES = ("pliant", "robots", "sim", "policies", "adaptation", "hw_interface")
# Documents outside docs/ by their page of the site.
OUTSIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
GUIDES = {
    "Training": "training.md",
    "Comparing, suites": "bench.md",
    "Recordings": "recordings.md",
    "Arms": "arms.md",
    "Dynamixel arms": "dynamixel.md",
    "Feetech arms": "feetech.md",
    "Franka Research 3": "franka.md",
    "Universal Robots arms": "ur.md",
    "Arms under ros2_control": "ros2.md",
    "Calibrating an arm": "calibration.md",
    "Eyes": "eyes.md",
    "Live page": "live.md",
    "Add your own": "add_your_own.md",
    "For scripts": "scripts.md",
    "Safety": "safety.md",
    "Faults by driver": "faults.md",
    "Trials by driver": "drivers.md",
}
EVIDENCE = {
    "Results": "results.md",
    "Every method on two families": "quick.md",
    "Experiments": "experiments.md",
    "Speed": "speed.md",
}
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")  # the target and anchor in [text](...)


def gather_pages(folder: Path) -> None:
    """Write every page, picture and download of the site into an empty folder."""
    pages = documents()
    downloads: dict[str, Path] = {}
    for uri, source in pages.items():
        text = source.read_text(encoding="utf-8")
        _write(folder / uri, _relink(text, uri, source, pages, downloads))
    for uri, source in downloads.items():
        _copy(source, folder / uri)
    for name in PACKAGES:
        _write(folder / f"api/{name}.md", f"# {name}\n\n::: {name}\n")
    _write(folder / "settings/index.md", settings_index())
    for name in METHODS:
        _write(folder / f"settings/{name}.md", settings_page(name))
    _copy(Path(__file__).with_name("site.css"), folder / "site.css")


def documents() -> dict[str, Path]:
    """The documents of the repository by their page of the site."""
    pages = {uri: ROOT / name for uri, name in OUTSIDE.items()}
    docs = ROOT / "docs"
    for path in sorted(docs.rglob("*.md")):
        uri = path.relative_to(docs).as_posix()
        pages[uri] = path
    return pages


def menu() -> list[Any]:
    """The site's menu, as MkDocs takes it."""
    # With their titles: MkDocs would make "Cheetah vel" of cheetah_vel.
    families = [{name: f"families/{name}.md"} for name in FAMILIES]
    methods = [{name: f"methods/{name}.md"} for name in METHODS]
    settings = [{name: f"settings/{name}.md"} for name in METHODS]
    api = [f"api/{name}.md" for name in PACKAGES]
    guides = [{title: uri} for title, uri in GUIDES.items()]
    evidence = [{title: uri} for title, uri in EVIDENCE.items()]
    measured = {"Measured": "families/measured.md"}
    suite = {"suite/DOMAIN-TASK": "families/suite.md"}
    metaworld = {"metaworld/BENCHMARK": "families/metaworld.md"}
    return [
        {"Start": "index.md"},
        {"Guides": guides},
        {"Families": ["families.md", measured, *families, suite, metaworld]},
        {"Methods": ["methods.md", *methods]},
        {"Settings": ["settings/index.md", *settings]},
        {"Python": api},
        {"Evidence": evidence},
        {"Contributing": "contributing.md"},
        {"Changes": "changelog.md"},
    ]


def _relink(
    text: str,
    uri: str,
    source: Path,
    pages: dict[str, Path],
    downloads: dict[str, Path],
) -> str:
    """A document whose links to files of the repository lead to places of the site.

    Args:
        text: of the document, Markdown.
        uri: its page.
        source: its file; links start from there.
        pages: every document by its page.
        downloads: gets the other files that are linked to, by their place in the site.
    """
    page_of = {path: page for page, path in pages.items()}

    def moved(link: re.Match[str]) -> str:
        target = link[1]
        anchor = link[2] or ""
        path = (source.parent / target).resolve()
        if not path.is_file():
            return link[0]  # an address in the web; MkDocs warns of a file that is missing
        module = _module(path)
        if path in page_of:
            place = page_of[path]
        elif module is not None:
            package = module.split(".")[0]
            place = f"api/{package}.md"
            anchor = f"#{module}"
        else:
            place = _download(path)
            downloads[place] = path
        here = posixpath.dirname(uri)
        return posixpath.relpath(place, here) + anchor

    return LINK.sub(moved, text)


def _module(path: Path) -> str | None:
    """The dotted name of a source file that the API reference has; None for another file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_source = path.suffix == ".py" and parts[0] in PACKAGES
    return ".".join(parts) if is_source else None


def _download(path: Path) -> str:
    """Where a file that is no page is on the site; what lies in docs/ keeps its place."""
    place = path.relative_to(ROOT).as_posix()
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    return f"files/{place}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
