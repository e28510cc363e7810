"""The names of Meta-World's tasks and of its benchmarks for meta-learning.

They are those of the package metaworld 3.1.1 without the ending -v3, written out so that they can
be listed without importing it. A task's number is its place in ``TASKS``.
"""

from robots.errors import UnknownNameError

PREFIX = "metaworld/"
ML1 = "ML1-"
TASKS = (
    *("assembly", "basketball", "bin-picking", "box-close", "button-press-topdown"),
    *("button-press-topdown-wall", "button-press", "button-press-wall", "coffee-button"),
    *("coffee-pull", "coffee-push", "dial-turn", "disassemble", "door-close", "door-lock"),
    *("door-open", "door-unlock", "hand-insert", "drawer-close", "drawer-open", "faucet-open"),
    *("faucet-close", "hammer", "handle-press-side", "handle-press", "handle-pull-side"),
    *("handle-pull", "lever-pull", "pick-place-wall", "pick-out-of-hole", "pick-place"),
    *("plate-slide", "plate-slide-side", "plate-slide-back", "plate-slide-back-side"),
    *("peg-insert-side", "peg-unplug-side", "soccer", "stick-push", "stick-pull", "push"),
    *("push-wall", "push-back", "reach", "reach-wall", "shelf-place", "sweep-into", "sweep"),
    *("window-open", "window-close"),
)
ML10_TRAIN = (
    *("reach", "push", "pick-place", "door-open", "drawer-close", "button-press-topdown"),
    *("peg-insert-side", "window-open", "sweep", "basketball"),
)
ML10_TEST = ("drawer-open", "door-close", "shelf-place", "sweep-into", "lever-pull")
ML45_TEST = ("bin-picking", "box-close", "hand-insert", "door-lock", "door-unlock")
ML45_TRAIN = tuple(task for task in TASKS if task not in ML45_TEST)
MANY = {"ML10": (ML10_TRAIN, ML10_TEST), "ML45": (ML45_TRAIN, ML45_TEST)}


def metaworld_names() -> list[str]:
    """Every family's name, such as ``"metaworld/ML1-reach"``."""
    single = [f"{PREFIX}{ML1}{task}" for task in TASKS]
    return [*single, *(f"{PREFIX}{benchmark}" for benchmark in MANY)]


def split_tasks(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks of a family's training split, and those of its held-out split.

    Those of ML1 are the same: there the goals differ.

    Raises:
        UnknownNameError: the name is none of ``metaworld_names``.
    """
    if name not in metaworld_names():
        known = ", ".join(metaworld_names())
        raise UnknownNameError(f"no family named {name!r}; of Meta-World there are: {known}")
    benchmark = name.removeprefix(PREFIX)
    if benchmark in MANY:
        return MANY[benchmark]
    task = benchmark.removeprefix(ML1)
    return (task,), (task,)
