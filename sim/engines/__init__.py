"""Physics engines: each loads a ``Scene`` and runs n independent simulations of it."""

from robots.errors import BadArgumentError
from robots.registry import Registry
from robots.scene import Scene

PHYSICS_THREADS = "PLIANT_PHYSICS_THREADS"  # variable: threads of an engine's pool

ENGINES = Registry(
    "engine",
    "pliant.engines",
    {
        "mujoco": "sim.engines.mujoco:MujocoEngine",
        "bullet": "sim.engines.bullet:BulletEngine",
        "ideal": "sim.engines.ideal:IdealEngine",
        "dm_control": "sim.engines.suite:SuiteEngine",
        "metaworld": "sim.engines.metaworld:MetaworldEngine",
    },
)


def engine_for(scene: Scene, name: str | None = None) -> str:
    """Choose the engine of a scene.

    Args:
        scene: what is to be simulated.
        name: the requested engine; None: the first registered one that supports the scene.

    Returns:
        The engine's name.

    Raises:
        UnknownNameError: there is no engine of this name.
        BadArgumentError: the engine does not support the scene; the message names those that do.
    """
    candidates = [name] if name else ENGINES
    for candidate in candidates:  # stops at the first: the others need not be imported
        if ENGINES[candidate].supports(scene):
            return candidate
    supporting = [other for other in ENGINES if ENGINES[other].supports(scene)]
    engines = ", ".join(supporting) or "no engine"
    refused = f", not on {name}" if name else ""
    raise BadArgumentError(f"{scene.description} runs on {engines}{refused}")
