"""The documents: every link leads somewhere, generated pages are up to date, the site builds."""

import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image, ImageFont

from adaptation.commands.listing import format_value
from docs.site.build import build_site
from docs.site.families import FOLDER, PICTURE_SIZE, family_page, intervals
from docs.site.method_pictures import FOLDER as METHOD_PAGES
from docs.site.method_pictures import Loss, Picture, draw_method, load_pictures
from docs.site.pages import EVIDENCE, GUIDES, PACKAGES, documents, menu
from docs.site.settings import settings_page
from policies.fields import declared_fields
from policies.methods import METHODS
from policies.settings import default_values
from sim.families import FAMILIES

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(documents().values())
LARGEST_PICTURE = 60_000  # bytes
LOADS = {"img": "src", "script": "src", "iframe": "src", "link": "href"}  # what a page loads
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FONTS = Path(get_data_path(), "fonts", "ttf")
SECTIONS = [
    "How it works",
    "Differences from the paper",
    "When to choose it",
    "Results",
    "Settings",
]
SETTING = re.compile(r"^\| `([\w.]+)` \| (.*?) \|", re.MULTILINE)  # a row of a table of settings

builds_the_site = pytest.mark.timeout(900)  # s: 15 s of one core, which others may be using too


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(document: Path) -> set[str]:
    """The anchors that a code host makes of a document's headings."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in words}


def broken_links(document: Path) -> Iterator[str]:
    """Relative links of a document to a file or to a heading that does not exist."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    without_code = re.sub(r"`[^`\n]*`", "", text)
    for link in LINK.findall(without_code):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):  # an address in the web
            continue
        path = document.parent / target if target else document
        leads_somewhere = path.exists() and (not anchor or anchor in anchors(path))
        if not leads_somewhere:
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=map(name_of, DOCUMENTS))
def test_every_link_leads_to_a_file_and_to_a_heading(document: Path) -> None:
    assert not list(broken_links(document))


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[ok](#a-b-c) [no](#d) [gone](e.md) [web](https://f.org)\n")
    assert list(broken_links(page)) == ["#d", "e.md"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_of_a_family_is_up_to_date(family: str) -> None:
    page = FOLDER / f"{family}.md"
    assert page.read_text(encoding="utf-8") == family_page(family), "run `make docs`"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_small_picture_of_something(family: str) -> None:
    path = FOLDER / f"{family}.jpg"
    assert path.stat().st_size <= LARGEST_PICTURE
    with Image.open(path) as picture:
        assert picture.size == PICTURE_SIZE
        assert np.asarray(picture).std() > 10


def test_every_method_has_a_page_and_a_picture() -> None:
    names = set(METHODS)
    assert {path.stem for path in METHOD_PAGES.glob("*.md")} == names
    assert {path.stem for path in METHOD_PAGES.glob("*.svg")} == names
    overview = (METHOD_PAGES.parent / "methods.md").read_text(encoding="utf-8")
    for name in names:
        assert f"[`{name}`](methods/{name}.md)" in overview


@pytest.mark.parametrize("method", METHODS)
def test_the_page_of_a_method_has_its_sections_and_true_defaults(method: str) -> None:
    page = (METHOD_PAGES / f"{method}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {method}\n")
    introduction = page.split("\n## ")[0]
    assert f"]({method}.svg)" in introduction
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    settings = page.split("\n## Settings\n")[1]
    assert f"`pliant settings {method} --family FAMILY`" in settings
    defaults = default_values(METHODS[method].Config)
    for name, default in SETTING.findall(settings):
        assert default == format_value(defaults[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_the_picture_of_a_method_is_up_to_date(method: str) -> None:
    picture = (METHOD_PAGES / f"{method}.svg").read_text(encoding="utf-8")
    drawn = draw_method(method, load_pictures()[method])
    assert picture == drawn, "run `python -m docs.site.method_pictures`"


@pytest.mark.parametrize(("trains", "arrows"), [((), 0), (("tick",), 1), (("tick", "policy"), 2)])
def test_a_picture_colors_what_a_loss_trains(trains: tuple[str, ...], arrows: int) -> None:
    loss = Loss("loss", "text", trains)
    drawn = draw_method("toy", Picture("belief", "policy", "data", (loss,), tick="tick"))
    assert drawn.count('class="trains"') == arrows
    assert drawn.count('class="learned"') == arrows + 2  # the loss, and the legend


@pytest.mark.parametrize("method", METHODS)
def test_the_text_of_a_picture_stays_in_its_box(method: str) -> None:
    """In a wide font, and measured by another program."""
    box: dict[str, float] = {}
    for element in ElementTree.parse(METHOD_PAGES / f"{method}.svg").iter():
        if element.tag.endswith("rect") and element.get("x"):
            box = {key: float(element.attrib[key]) for key in ("x", "y", "width", "height")}
        if element.get("class") in ("title", "text"):
            bold = "-Bold" if element.get("class") == "title" else ""
            font = ImageFont.truetype(Path(FONTS, f"DejaVuSans{bold}.ttf"), 13)
            right = float(element.attrib["x"]) + font.getlength(element.text or "")
            assert right < box["x"] + box["width"], element.text
            assert box["y"] + 13 < float(element.attrib["y"]) < box["y"] + box["height"] - 3


@pytest.mark.parametrize("belief", ["word " * 100, "w" * 40])
def test_a_text_that_does_not_fit_is_refused(belief: str) -> None:
    with pytest.raises(ValueError, match=r"do not fit|is wider than"):
        draw_method("toy", Picture(belief, "policy", "data", ()))


def test_ranges_are_told_apart_from_single_values() -> None:
    rng = np.random.default_rng(0)
    fraction = rng.random(10_000)
    assert intervals(fraction) == "0 to 1"
    assert intervals(np.where(fraction < 0.5, 0.04, 0.13) + 0.01 * fraction) == (
        "0.04 to 0.045, 0.135 to 0.14"
    )
    assert intervals(np.where(fraction < 0.3, 1.0, -0.5 * fraction)) == "-0.5 to -0.15, 1"
    assert intervals(np.full(10, 2.0)) == "2"


@pytest.mark.parametrize("method", METHODS)
def test_the_settings_of_a_method_are_all_there(method: str) -> None:
    text = settings_page(method)
    for name, field in declared_fields(METHODS[method].Config).items():
        assert f"`{name}`" in text
        assert field.meaning.replace("|", "\\|") in text


def row(method: str, setting: str) -> str:
    lines = settings_page(method).splitlines()
    (found,) = [line for line in lines if line.startswith(f"| `{setting}`<br>")]
    return found


def test_the_values_of_presets_are_shown_beside_the_default() -> None:
    discount = row("blind", "gamma")
    assert "<br>*a number of at least 0 and below 1* | `0.95` |" in discount
    assert "`0.0`: door, latch, lift, push, slide" in discount
    assert "`the settings below`: carry, cheetah_cripple" in row("context_mpc", "terminal_value")


class Loads(HTMLParser):
    """Collects the addresses that a page loads, and the text of its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        address = values.get(LOADS.get(tag, ""))
        if address and values.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a warning of MkDocs, such as of a docstring that cannot be read, is an error."""
    folder = tmp_path_factory.mktemp("site")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build_site(folder)
    return folder


def load(page: Path) -> Loads:
    parser = Loads()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


@pytest.mark.slow
@builds_the_site
def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        for address in load(page).addresses:
            assert not re.match(r"\w+:|//", address), f"{page}: {address}"
            if page.name != "404.html":  # its links start from the root of a server
                assert (page.parent / unquote(address)).exists(), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\((https?:|//)", sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.slow
@builds_the_site
def test_the_site_has_a_page_for_each_part(site: Path) -> None:
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    guides = [uri.replace(".md", ".html") for uri in (*GUIDES.values(), *EVIDENCE.values())]
    assert pages >= {"index.html", "families.html", "methods.html", *guides}
    assert pages >= {f"api/{name}.html" for name in PACKAGES}
    assert pages >= {f"families/{name}.html" for name in FAMILIES}
    assert pages >= {f"methods/{name}.html" for name in METHODS}
    assert pages >= {f"settings/{name}.html" for name in METHODS}


def test_the_menu_names_families_and_methods_as_the_commands_do() -> None:
    titles = {title for section in menu() for title in section}
    for section in menu():
        for pages in section.values():
            if isinstance(pages, list):
                titles |= {title for page in pages if isinstance(page, dict) for title in page}
    assert titles >= {*FAMILIES, *METHODS}


@pytest.mark.slow
@builds_the_site
def test_the_python_reference_has_docstrings_fields_and_constructors(site: Path) -> None:
    page = site / "api" / "robots.html"
    assert {"robots.safety", "robots.world.Step", "robots.actions.JointVelocity.__call__"} <= load(
        page
    ).ids
    text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
    assert "N·m/rad or N/m, of the servos" in text  # the comment on a field of ArmSpec
    assert "rad/s at an action of 1, or one number for all joints" in text  # of a constructor
