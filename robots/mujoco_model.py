"""Compiles MuJoCo models, without log files and warnings that a user cannot act on; reads meshes.

MuJoCo is imported late: it is slow to import.
"""

import warnings
from typing import TYPE_CHECKING

from robots.signals import Array, Indices

if TYPE_CHECKING:
    import mujoco


def compile_model(spec: "mujoco.MjSpec") -> "mujoco.MjModel":
    """Compile a model; from then on MuJoCo writes no log file to the current folder.

    By default it appends each warning to MUJOCO_LOG.TXT there. Warnings are still printed, and the
    engine counts those that break a simulation.
    """
    import mujoco

    log = mujoco.MjLogConfig.get()
    log.logto_file = False
    log.set()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*settotalmass")  # Gymnasium's models use it
        return spec.compile()


def read_mesh(model: "mujoco.MjModel", mesh: int) -> tuple[Array, Indices]:
    """The vertices (v, 3) m and triangles (f, 3) of vertex indices of a model's mesh."""
    first = model.mesh_vertadr[mesh]
    vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
    first = model.mesh_faceadr[mesh]
    faces = model.mesh_face[first : first + model.mesh_facenum[mesh]]
    return vertices, faces
