"""Boxes with text, and arrows, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

TITLE_SIZE = 13  # px, of letters
TEXT_SIZE = 12.5
LINE = 16  # px from one line of text to the next
PADDING = 10  # px between a box's edge and its text

# Widths of letters as a share of the font's size: upper bounds over the usual sans-serif fonts.
NARROW = "fijlrtI.,:;'|!()[] \u00a0"
WIDE = "mwMW%@"
NARROW_WIDTH = 0.38
USUAL_WIDTH = 0.61
CAPITAL_WIDTH = 0.7
WIDE_WIDTH = 0.95

STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #656d76; --line: #57606a;
      --box: #f3f6fa; --edge: #57606a; --learned: #fff1dd; --learned-edge: #b45309; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1e2129; --ink: #e6edf3; --faint: #9aa4af; --line: #9aa4af;
        --box: #2a303b; --edge: #9aa4af; --learned: #46300f; --learned-edge: #f0a64a; } }
.paper { fill: var(--paper); }
.fixed { fill: var(--box); stroke: var(--edge); }
.learned { fill: var(--learned); stroke: var(--learned-edge); stroke-width: 1.6; }
.idle { fill: none; stroke: var(--faint); stroke-dasharray: 4 4; }
.frame { fill: none; stroke: var(--learned-edge); stroke-dasharray: 2 4; }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.4; }
.trains { fill: none; stroke: var(--learned-edge); stroke-width: 1.6; }
.head { fill: var(--line); }
.trains-head { fill: var(--learned-edge); }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
       font-size: 12.5px; fill: var(--ink); }
.title { font-size: 13px; font-weight: 600; }
.label { font-size: 11.5px; fill: var(--faint); }
"""
MARKERS = """\
<defs>
<marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">\
<path class="head" d="M0,0 L8,4 L0,8 Z"/></marker>
<marker id="trains-head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">\
<path class="trains-head" d="M0,0 L8,4 L0,8 Z"/></marker>
</defs>"""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Where a box is: its upper left corner and its size, px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """x of its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """y of its lower edge."""
        return self.y + self.height

    @property
    def center(self) -> float:
        """x of its middle."""
        return self.x + self.width / 2

    @property
    def middle(self) -> float:
        """y of its middle."""
        return self.y + self.height / 2


def document(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """An SVG file with a background, which makes it readable on any page."""
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
    )
    background = f'<rect class="paper" width="{width}" height="{height}" rx="8"/>'
    head = [opening, f"<title>{title}</title>", f"<style>{STYLE}</style>", MARKERS, background]
    return "\n".join([*head, *parts, "</svg>", ""])


def box_of(place: Box, title: str, text: str, kind: str) -> str:
    """A box with a title and wrapped text; ``kind`` is its class in the style.

    Raises:
        ValueError: the text does not fit.
    """
    size = f'x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" height="{place.height:g}"'
    parts = [f'<rect class="{kind}" {size} rx="5"/>']
    room = place.width - 2 * PADDING
    lines = [(line, "title") for line in wrap(title, room, TITLE_SIZE)]
    lines += [(line, "text") for line in wrap(text, room, TEXT_SIZE)]
    if len(lines) * LINE + PADDING > place.height and lines:
        raise ValueError(f"{len(lines)} lines do not fit into a box of {place.height} px: {text}")
    for number, (line, style) in enumerate(lines, start=1):
        y = place.y + PADDING / 2 + LINE * number
        parts.append(
            f'<text class="{style}" x="{place.x + PADDING:g}" y="{y:g}">{escape(line)}</text>'
        )
    return "\n".join(parts)


def wrap(text: str, room: float, size: float) -> list[str]:
    """A text as lines that are no wider than a number of pixels.

    Raises:
        ValueError: a single word is wider.
    """
    lines: list[str] = []
    for word in text.split(" ") if text else ():  # a non-breaking space stays
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    for line in lines:
        if text_width(line, size) > room:
            raise ValueError(f"{line!r} is wider than {room:g} px")
    return lines


def text_width(text: str, size: float) -> float:
    """An upper bound of the width of a text, px; ``size`` is that of its letters."""
    total = 0.0
    for letter in text:
        if letter in NARROW:
            total += NARROW_WIDTH
        elif letter in WIDE:
            total += WIDE_WIDTH
        elif letter.isupper():
            total += CAPITAL_WIDTH
        else:
            total += USUAL_WIDTH
    return total * size


def label(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """A short text beside an arrow; ``anchor`` is the side of it that is at x."""
    return f'<text class="label" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def arrow(
    start: Point,
    lane: float | None,
    end: Point,
    *,
    learned: bool = False,
    around: float | None = None,
) -> str:
    """An arrow of horizontal and vertical pieces.

    Args:
        start: where it begins, px.
        lane: y of its horizontal piece; None: it is straight.
        end: where its head is, px.
        learned: whether it leads from a loss to a part that it trains.
        around: x at which it rises to the height of ``end``, which it enters from the side;
            None: it enters from below or above.
    """
    points = [start]
    if lane is not None:
        turn = end[0] if around is None else around
        points += [(start[0], lane), (turn, lane)]
        if around is not None:
            points.append((around, end[1]))
    points.append(end)
    style, head = ("trains", "trains-head") if learned else ("arrow", "head")
    path = " L".join(f"{x:g},{y:g}" for x, y in points)
    return f'<path class="{style}" d="M{path}" marker-end="url(#{head})"/>'
