"""A page for each family of tasks: a picture, and the data that the family's code defines."""

import inspect
import re
from pathlib import Path

import numpy as np

from docs.site.markdown import bullets, join_lines, table
from robots.signals import Array, Spec
from robots.world import Family
from sim.engines import ENGINES
from sim.families import FAMILIES, arms_for
from sim.families.splits import SPLITS
from sim.randomization import Range, describe_allowed, parameters_of

FOLDER = Path(__file__).parents[1] / "families"
OVERVIEW = FOLDER.parent / "families.md"
PICTURE_SIZE = (1280, 720)  # pixels
PICTURE_QUALITIES = (85, 70, 55, 40)  # of JPEG; the first with which a picture is small enough
PICTURE_BYTES = 60_000
# Seed and decision of the picture, where a body falls under random actions: it still stands there.
PICTURE_MOMENTS = {"go1_vel": (3, 5), "quadruped_vel": (0, 15)}
SAMPLES = 100_000  # tasks of a split: their extremes agree with the ranges to three digits
# A gap between sampled values that is wider than this share of their span divides a range in two.
GAP = 0.02


RANGES = """\
A setting changes a range: `--set range.NAME=LOW,HIGH`, or `=VALUE,VALUE,...` where values are
listed. `range.NAME.heldout` changes the range of held-out tasks, if they have one of their own."""

FOLLOWS = "The simulation or the reward reads these numbers, which follow from the ranges:"


def write_families() -> None:
    """Write the page of every family, and draw the pictures that are missing."""
    FOLDER.mkdir(exist_ok=True)
    for name in FAMILIES:
        page = FOLDER / f"{name}.md"
        page.write_text(family_page(name), encoding="utf-8")
        picture = FOLDER / f"{name}.jpg"
        if not picture.exists():
            draw_picture(name, picture)


def draw_picture(name: str, path: Path) -> None:
    """A moment of an episode under random actions, as a small JPEG."""
    from PIL import Image

    from sim.rendering import record_trial, render_clip

    family: Family = FAMILIES[name]()
    seed, moment = PICTURE_MOMENTS.get(name, (0, None))
    clip = record_trial(family, seed=seed)[-1]
    if moment is None:
        moment = len(clip.t) // 3  # when something is under way
    image = render_clip(family, clip, clip.t[: moment + 1])[-1]  # with the path up to this moment
    picture = Image.fromarray(image).resize(PICTURE_SIZE)
    for quality in PICTURE_QUALITIES:
        picture.save(path, quality=quality)
        if path.stat().st_size <= PICTURE_BYTES:
            return


def family_page(name: str) -> str:
    """The page of a family, as Markdown."""
    family: Family = FAMILIES[name]()
    return join_lines(
        "<!-- written by `make docs` from the family's own data -->",
        f"# {name}",
        f"![An episode of {name}]({name}.jpg)",
        _doc(family, type(family)),
        f"[What it is for, and why it is made this way](../families.md#{_section(name)})",
        _facts(name, family),
        "## Observation",
        "The range scales the observation; values may lie outside it.",
        _spec_table(family.obs, "from", "to"),
        "## Action",
        _doc(family, type(family.action)),
        _spec_table(family.action.spec, "at −1", "at 1"),
        "## Reward and success",
        _judgements(family),
        "## What differs between tasks",
        _doc(family, family.sample),
        _parameter_table(family),
        RANGES,
        _task_table(family),
    )


def _section(name: str) -> str:
    """The anchor of the section of the overview that names a family in its heading."""
    overview = OVERVIEW.read_text(encoding="utf-8")
    for heading in re.findall(r"^## (.+)$", overview, re.MULTILINE):
        names = re.findall(r"\w+", heading)
        if name in names:
            words: str = re.sub(r"[^\w\- ]", "", heading.lower())
            return words.replace(" ", "-")
    raise ValueError(f"no heading of {OVERVIEW.name} names the family {name}")


def _doc(family: Family, part: object) -> str:
    """A docstring as Markdown; a number of the family that it names is followed by its value."""
    text = inspect.getdoc(part) or ""
    for name, value in _numbers(family).items():
        text = text.replace(f"``{name}``", f"`{name}` = {value:g}")
    return text.replace("``", "`")


def _numbers(family: Family) -> dict[str, float]:
    """The numbers that a family, its class and its bases define, by name."""
    numbers = {}
    bases_first = reversed(type(family).__mro__)
    for owner in (*bases_first, family):
        for name, value in vars(owner).items():
            if isinstance(value, int | float):
                numbers[name] = value
    return numbers


def _facts(name: str, family: Family) -> str:
    """What a family runs on and how long it takes, as a list."""
    body = family.body
    engines = [f"`{engine}`" for engine in ENGINES if ENGINES[engine].supports(family.scene)]
    decision = family.dt * family.action_repeat
    plural = "" if family.horizon == 1 else "s"
    shown_body = f"`{body.name}` ({len(body.joints)} joints)"
    arms = [f"`{arm}`" for arm in arms_for(name)]
    if arms:
        shown_body += f"; with `--arm` one of {', '.join(arms)}: see [arms](../arms.md)"
    facts = {
        "Body": shown_body,
        "Engines": ", ".join(engines),
        "Episode": f"{family.horizon} decision{plural} of {decision:g} s",
        "Trial": f"{family.episodes} episodes of one task",
        "Gymnasium": f"`pliant/{name}-v0`",
    }
    return bullets(facts)


def _judgements(family: Family) -> str:
    """Reward, success and metrics in the words of their docstrings."""
    metrics = ", ".join(_metrics(family))
    parts: dict[str, object] = {"Reward": family.reward}
    if family.training_reward is not None:
        parts["Reward that actors and critics learn from"] = type(family).training_reward
    parts["Success"] = family.success
    parts[f"Metric {metrics}"] = family.metrics
    judgements = {}
    for title, part in parts.items():
        words = _doc(family, part).split()
        judgements[title] = " ".join(words)
    if family.hidden_reward:
        judgements["Hidden"] = "the reward depends on a goal that is not observed."
    return bullets(judgements)


def _metrics(family: Family) -> list[str]:
    """The names of a family's metrics, each as code."""
    obs_dim = len(family.obs)
    task_dim = len(family.task_names)
    metrics = family.metrics(np.zeros((1, obs_dim)), np.zeros((1, task_dim)))
    return [f"`{name}`" for name in metrics]


def _spec_table(spec: Spec, low: str, high: str) -> str:
    """The columns of an observation or of an action."""
    rows = []
    columns = zip(spec.names, spec.units, spec.low, spec.high, strict=True)
    for name, unit, at_low, at_high in columns:
        cells = (
            f"`{name}`",
            unit,
            f"{at_low:.3g}",
            f"{at_high:.3g}",
        )
        rows.append(cells)
    return table(("name", "unit", low, high), rows)


def _parameter_table(family: Family) -> str:
    """The ranges that tasks are drawn from, as the family declares them."""
    rows = []
    for parameter in parameters_of(family):
        training = parameter.of("train")
        held_out = parameter.of("heldout")
        cells = (
            f"`{parameter.name}`",
            parameter.unit,
            _range_text(training),
            "the same range" if held_out == training else _range_text(held_out),
            describe_allowed(parameter),
            parameter.meaning,
        )
        rows.append(cells)
    headings = ("range", "unit", "training", "held out", "allowed", "meaning")
    return table(headings, rows)


def _range_text(source: Range) -> str:
    """The numbers of a range, and how they are distributed where that is not evenly."""
    if source.distribution == "categorical":
        return ", ".join(f"{number:g}" for number in source.numbers)
    if len(set(source.numbers)) == 1:
        return f"{source.numbers[0]:.3g}"
    parts = [f"{low:.3g} to {high:.3g}" for low, high in source.intervals]
    return f"{', '.join(parts)}, {source.distribution}"


def _task_table(family: Family) -> str:
    """The values in both splits of what a task holds beside the parameters themselves."""
    declared = [parameter.name for parameter in parameters_of(family)]
    if set(family.task_names) <= set(declared):
        return ""
    by_split = []
    for split in SPLITS:
        rng = np.random.default_rng(0)
        by_split.append(family.sample(rng, SAMPLES, split).values)
    training, heldout = by_split
    rows = []
    columns = zip(family.task_names, training.T, heldout.T, strict=True)
    for name, in_training, held_out in columns:
        cells = (
            f"`{name}`",
            intervals(in_training),
            intervals(held_out),
        )
        if name not in declared:
            rows.append(cells)
    return join_lines(FOLLOWS, table(("number", "training", "held out"), rows)).strip()


def intervals(values: Array) -> str:
    """Where sampled values (n,) lie: intervals and single values, to about three digits."""
    ordered = np.unique(values)
    span = float(ordered[-1] - ordered[0])
    if span == 0:
        return f"{ordered[0]:.3g}"
    order_of_magnitude = np.floor(np.log10(span))
    digits = 2 - int(order_of_magnitude)
    steps = np.diff(ordered)
    gaps = np.flatnonzero(steps > GAP * span)
    parts = []
    for part in np.split(ordered, gaps + 1):
        low = _rounded(part[0], digits)
        high = _rounded(part[-1], digits)
        parts.append(low if low == high else f"{low} to {high}")
    return ", ".join(parts)


def _rounded(value: float, digits: int) -> str:
    rounded = round(float(value), digits) + 0.0  # + 0 turns -0 into 0
    return f"{rounded:g}"
