"""How a model for MuJoCo is compiled: without files and words that no user can do something about.

MuJoCo is imported late: it is slow to import.
"""

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mujoco


def compile_model(spec: "mujoco.MjSpec") -> "mujoco.MjModel":
    """Compile a model; from then on MuJoCo keeps no log file in the user's folder.

    Without that it appends each warning to MUJOCO_LOG.TXT there. They are still printed, and what
    breaks a simulation is counted by the engine.
    """
    import mujoco

    log = mujoco.MjLogConfig.get()
    log.logto_file = False
    log.set()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*settotalmass")  # Gymnasium's models use it
        return spec.compile()
