"""Physics engines: each loads a ``Scene`` and runs n independent simulations of it."""

from robots.errors import BadArgumentError
from robots.registry import Registry
from robots.scene import Scene

ENGINES = Registry(
    "engine",
    "pliant.engines",
    {
        "mujoco": "sim.engines.mujoco:MujocoEngine",
        "bullet": "sim.engines.bullet:BulletEngine",
        "ideal": "sim.engines.ideal:IdealEngine",
    },
)


def engine_for(scene: Scene, name: str | None = None) -> str:
    """Choose the engine of a scene.

    Args:
        scene: what is to be simulated.
        name: the engine that is asked for; None: the first registered one that supports the scene.

    Returns:
        The engine's name.

    Raises:
        UnknownNameError: there is no engine of this name.
        BadArgumentError: the engine does not support the scene; the message names those that do.
    """
    for candidate in [name] if name else ENGINES:  # imports no further than to the first
        if ENGINES[candidate].supports(scene):
            return candidate
    able = [candidate for candidate in ENGINES if ENGINES[candidate].supports(scene)]
    body = scene.body.name
    content = f"{body} with an object" if scene.loose_object else body
    engines = ", ".join(able) or "no engine"
    asked = f", not on {name}" if name else ""
    raise BadArgumentError(f"{content} runs on {engines}{asked}")
