"""A picture for each method: what the belief is, what updates it, and which loss trains which part.

``python -m docs.site.method_pictures`` draws all of them from method_pictures.toml. They are plain
SVG, follow the reader's light or dark theme, and load no font.
"""

import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from docs.site.svg import Box, arrow, box_of, document, label

DATA = Path(__file__).with_name("method_pictures.toml")
FOLDER = Path(__file__).parents[1] / "methods"
WIDTH, HEIGHT = 960, 448  # of a picture; all lengths are in pixels at its full size

# The boxes of what happens in use. Of the two updates, the one at every tick is the upper one.
WORLD = Box(16, 80, 134, 168)
TICK = Box(222, 80, 240, 78)
EPISODE = Box(222, 170, 240, 78)
BELIEF = Box(504, 80, 190, 168)
POLICY = Box(736, 80, 208, 168)

# The boxes of training, below.
DATA_BOX = Box(16, 298, 134, 112)
LOSSES = Box(184, 298, 760, 112)
GAP = 12  # between two losses, and between them and the frame
LANE = 10  # between two arrows side by side

PLACES = {"tick": TICK, "episode": EPISODE, "belief": BELIEF, "policy": POLICY}


@dataclass(frozen=True)
class Loss:
    """One loss, and the parts of the picture that it trains."""

    name: str
    text: str
    trains: tuple[str, ...]  # keys of PLACES; empty if only parts are trained that are not drawn


@dataclass(frozen=True)
class Picture:
    """What differs between the pictures of two methods."""

    belief: str
    policy: str
    data: str  # what the losses are computed on
    losses: tuple[Loss, ...]
    tick: str = ""  # the update at every tick; empty: none
    episode: str = ""  # the update between episodes; empty: none
    episode_reads: bool = False  # whether that update reads the episode's transitions
    policy_title: str = "Policy"

    def learned(self, part: str) -> bool:
        """Whether a loss trains a part."""
        return any(part in loss.trains for loss in self.losses)


def load_pictures() -> dict[str, Picture]:
    """The data of all pictures by the name of the method.

    Raises:
        TypeError: an entry lacks a key, or has one that does not exist.
        ValueError: a loss trains a part that does not exist.
    """
    tables = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return {name: _picture(name, table) for name, table in tables.items()}


def _picture(name: str, table: dict[str, Any]) -> Picture:
    losses = []
    for entry in table.pop("losses"):
        trains = tuple(entry.pop("trains"))
        unknown = set(trains) - set(PLACES)
        if unknown:
            raise ValueError(f"{name}: a loss trains {unknown}, of {set(PLACES)}")
        losses.append(Loss(**entry, trains=trains))
    return Picture(**table, losses=tuple(losses))


def draw_method(name: str, picture: Picture) -> str:
    """The picture of a method, as the text of an SVG file.

    Raises:
        ValueError: a text does not fit into its box.
    """
    title = f"{name}: its belief, what updates it, and what is learned"
    parts = [
        *_boxes_in_use(picture),
        *_arrows_in_use(picture),
        *_training(picture),
        *_legend(),
    ]
    return document(WIDTH, HEIGHT, escape(title), parts)


def _boxes_in_use(picture: Picture) -> list[str]:
    """World, updates, belief and policy."""
    parts = [box_of(WORLD, "World", "A new task: its physics or its goal are hidden", "fixed")]
    described = {
        "tick": ("Update at every tick", picture.tick),
        "episode": ("Update between episodes", picture.episode),
        "belief": ("Belief", picture.belief),
        "policy": (picture.policy_title, picture.policy),
    }
    for part, (title, text) in described.items():
        kind = "learned" if picture.learned(part) else "fixed"
        if not text:
            kind = "idle"
        parts.append(box_of(PLACES[part], title, text or "none", kind))
    return parts


def _arrows_in_use(picture: Picture) -> list[str]:
    """The loop of acting: action, observation, transition, belief."""
    action_y = 38
    observation_y = 62
    parts = [
        arrow((POLICY.right - 60, POLICY.y), action_y, (WORLD.x + 50, WORLD.y)),
        label(WIDTH / 2, action_y - 6, "action"),
        arrow((WORLD.x + 90, WORLD.y), observation_y, (POLICY.x + 60, POLICY.y)),
        label(WIDTH / 2, observation_y - 6, "observation"),
        arrow((BELIEF.right, BELIEF.middle), None, (POLICY.x, BELIEF.middle)),
    ]
    if picture.tick:
        parts.append(arrow((WORLD.right, TICK.middle), None, (TICK.x, TICK.middle)))
        parts.append(arrow((TICK.right, TICK.middle), None, (BELIEF.x, TICK.middle)))
        parts.append(label(WORLD.right + 6, TICK.middle - 8, "transition", anchor="start"))
    if picture.episode:
        parts.append(arrow((EPISODE.right, EPISODE.middle), None, (BELIEF.x, EPISODE.middle)))
    if picture.episode_reads:
        parts.append(arrow((WORLD.right, EPISODE.middle), None, (EPISODE.x, EPISODE.middle)))
        parts.append(label(WORLD.right + 6, EPISODE.middle - 8, "episode", anchor="start"))
    return parts


def _training(picture: Picture) -> list[str]:
    """The data, the losses, and an arrow from each loss to each part that it trains."""
    if not picture.losses:
        return [box_of(LOSSES, "Training", picture.data, "idle")]
    world_center = WORLD.center
    parts = [
        box_of(DATA_BOX, "Training data", picture.data, "fixed"),
        arrow((world_center, WORLD.bottom), None, (world_center, DATA_BOX.y)),
        arrow((DATA_BOX.right, DATA_BOX.middle), None, (LOSSES.x, DATA_BOX.middle)),
        box_of(LOSSES, "", "", "frame"),
    ]
    lane = WORLD.bottom + GAP
    taken: dict[str, int] = {}  # arrows that already end at a part
    for loss, place in zip(picture.losses, _loss_boxes(len(picture.losses)), strict=True):
        parts.append(box_of(place, loss.name, loss.text, "learned"))
        for part in loss.trains:
            before = taken.get(part, 0)
            parts.append(_trains(place, part, lane, before))
            taken[part] = before + 1
            lane += LANE
    return parts


def _loss_boxes(count: int) -> list[Box]:
    """Boxes of equal width side by side in the frame."""
    width = (LOSSES.width - GAP * (count + 1)) / count
    left = LOSSES.x + GAP
    top = LOSSES.y + GAP
    height = LOSSES.height - 2 * GAP
    return [Box(left + number * (width + GAP), top, width, height) for number in range(count)]


def _trains(loss: Box, part: str, lane: float, before: int) -> str:
    """An arrow from a loss up to a part, straight where the part is above the loss.

    Args:
        loss: where the loss is.
        part: where to.
        lane: y of the horizontal piece, if there is one.
        before: how many arrows end at the part already.
    """
    place = PLACES[part]
    if part == "tick":  # the box below it is in the way: around it, to the left edge
        turn = TICK.x - 16 - before * LANE
        end = (TICK.x, TICK.bottom - GAP - before * LANE)
        around: float | None = turn
    else:
        turn = place.center + before * 2 * LANE
        end = (turn, place.bottom)
        around = None
    start = min(max(turn, loss.x + LANE), loss.right - LANE)
    return arrow((start, loss.y), lane, end, learned=True, around=around)


def _legend() -> list[str]:
    """What the colors mean."""
    y = HEIGHT - 26
    return [
        box_of(Box(184, y, 14, 14), "", "", "learned"),
        label(206, y + 11, "learned in training, and the losses that train it", anchor="start"),
        box_of(Box(512, y, 14, 14), "", "", "fixed"),
        label(534, y + 11, "not learned", anchor="start"),
    ]


def write_pictures() -> None:
    """Draw the picture of every method."""
    for name, picture in load_pictures().items():
        path = FOLDER / f"{name}.svg"
        path.write_text(draw_method(name, picture), encoding="utf-8")


if __name__ == "__main__":
    write_pictures()
