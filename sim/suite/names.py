"""The names of the families that are tasks of dm_control's suite.

They are dm_control's own list ``suite.BENCHMARKING``, written out so that they can be listed
without importing it.
"""

from robots.errors import UnknownNameError

PREFIX = "suite/"
TASKS = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": ("balance", "balance_sparse", "swingup", "swingup_sparse"),
    "cheetah": ("run",),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run"),
    "manipulator": ("bring_ball",),
    "pendulum": ("swingup",),
    "point_mass": ("easy",),
    "reacher": ("easy", "hard"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}


def suite_names() -> list[str]:
    """Every family's name, such as ``"suite/walker-walk"``."""
    return [f"{PREFIX}{domain}-{task}" for domain in TASKS for task in TASKS[domain]]


def domain_and_task(name: str) -> tuple[str, str]:
    """The domain and the task that a family's name stands for.

    Raises:
        UnknownNameError: it is none of ``suite_names``.
    """
    if name not in suite_names():
        known = ", ".join(suite_names())
        raise UnknownNameError(
            f"no family named {name!r}: of dm_control's suite there are the tasks of its list "
            f"BENCHMARKING, which are: {known}"
        )
    domain, _, task = name.removeprefix(PREFIX).partition("-")
    return domain, task
