"""Physics by PyBullet: one client per world, under the same contract as every engine."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Body, Walker
from robots.bodies import make_kinematics
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim import objects
from sim.engines.base import (
    actuator_strength,
    count_ticks,
    is_registered,
    joint_damping,
    require_known_physics,
    require_support,
    tool_motion,
    world_indices,
)
from sim.engines.bullet_arm import BulletArm
from sim.engines.bullet_body import BulletBody
from sim.engines.bullet_object import Client

# Bullet never frees the shapes of removed objects, 5 KiB each: a world whose client has built so
# many of them gets a fresh client, which takes as long as 50 objects.
OBJECTS_PER_CLIENT = 500
MOST_WORLDS = 1024  # clients that Bullet can have in a process (MAX_PHYSICS_CLIENTS)
WORLD_BYTES = 35 * 2**20  # of memory that a client takes, with an arm and an object


@singledispatch
def bullet_world(body: Body, scene: Scene, client: Client) -> BulletBody:
    """Build a scene in a fresh client. A new kind of body registers: ``@bullet_world.register``.

    Raises:
        BadArgumentError: nothing is registered for this kind of body.
    """
    raise BadArgumentError(f"{body.name}: PyBullet cannot build a {type(body).__name__}")


@bullet_world.register
def _(body: ArmSpec, scene: Scene, client: Client) -> BulletBody:
    return BulletArm(body, scene, client)


@bullet_world.register
def _(body: Walker, scene: Scene, client: Client) -> BulletBody:
    from sim.engines.bullet_walker import BulletWalker  # imports MuJoCo

    return BulletWalker(body, scene, client)


@singledispatch
def needs_mujoco(body: Body) -> bool:
    """Whether a body of a kind that can be built cannot be simulated as it should be."""
    return False


@needs_mujoco.register
def _(body: Walker) -> bool:
    return body.needs_mujoco


class BulletEngine:
    """An Engine over PyBullet: one ``BulletBody``, with a client of its own, per world."""

    n = 0

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Every kind of body that can be built; a loose object needs one that has a tool."""
        if not is_registered(bullet_world, scene.body) or needs_mujoco(scene.body):
            return False
        has_tool = is_registered(make_kinematics, scene.body)
        return has_tool or not scene.loose_object

    def load(self, scene: Scene, n: int) -> None:
        """Start n clients with the body in each.

        Raises:
            BadArgumentError: the scene is not supported, or the memory is too small.
        """
        require_support(self, scene)
        check_memory(n, available_memory())
        self.scene = scene
        self.n = n
        self._kinematics = make_kinematics(scene.body)
        self._worlds = []
        for _ in range(n):
            world = bullet_world(scene.body, scene, connect())
            self._worlds.append(world)
        self._no_vector = np.full((n, 3), np.nan)
        self._no_quat = np.full((n, 4), np.nan)
        self._time = np.zeros(n)
        self._diverged = np.zeros(n, dtype=bool)

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set some worlds' physics; their object is built again."""
        require_known_physics(self.scene.body, task)
        damping = joint_damping(task)
        joints = self.scene.body.joints
        strength = actuator_strength(task, joints)
        described = None
        if self.scene.loose_object:
            described = objects.describe(task)
        for i in world_indices(mask, self.n).tolist():
            world = self._world_with_room(i)
            world.damping = float(damping[i])
            world.set_strength(strength[i])
            if world.object is not None and described is not None:
                world.object.make(described, i)

    def _world_with_room(self, i: int) -> BulletBody:
        """The i-th world, with its joints in a fresh client if the old one is full of shapes."""
        old = self._worlds[i]
        if old.object is None or old.object.made < OBJECTS_PER_CLIENT:
            return old
        old.close()
        fresh = bullet_world(self.scene.body, self.scene, connect())
        fresh.place_joints(old.q, old.dq)
        self._worlds[i] = fresh
        return fresh

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        for i in world_indices(mask, self.n).tolist():
            self._worlds[i].place(start, i)
            self._time[i] = 0.0
            self._diverged[i] = False

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate some ticks; a world whose command or state is not finite stops for good."""
        seconds = substeps * self.scene.timestep
        kind = type(command)
        columns = vars(command)  # (k, n, j) each
        for tick in range(count_ticks(command)):
            rows = {name: column[tick] for name, column in columns.items()}
            for row in rows.values():
                is_finite = np.isfinite(row).all(-1)
                self._diverged |= ~is_finite
            running = np.flatnonzero(~self._diverged)
            for i in running.tolist():
                own = {name: row[i] for name, row in rows.items()}
                world = self._worlds[i]
                stays_finite = world.step(kind(**own), substeps)
                self._diverged[i] = not stays_finite
            self._time += seconds

    def read(self) -> Signals:
        """Fresh: the tool is computed from the joints, the object is read from its body."""
        q, dq, tau = self.joints()
        tool_pos, tool_quat, tool_vel = self._tool(q, dq)
        objects_now = self.poses()
        return Signals(
            q=q,
            dq=dq,
            tau=tau,
            tool_pos=tool_pos,
            tool_quat=tool_quat,
            tool_vel=tool_vel,
            object_pos=objects_now[:, :3],
            object_quat=objects_now[:, 3:7],
            object_vel=objects_now[:, 7:],
            marker=self._no_vector,
            stamp=self._time.copy(),
        )

    def _tool(self, q: Array, dq: Array) -> tuple[Array, Array, Array]:
        """The tool's position (n, 3) m, quaternion (n, 4) and velocity (n, 3) m/s."""
        if self._kinematics is None:
            return self._no_vector, self._no_quat, self._no_vector
        return tool_motion(self._kinematics, q, dq)

    def joints(self) -> tuple[Array, Array, Array]:
        """Joint positions, velocities and torques alone, (n, j) each.

        These are all that an arm's driver reads in every tick.
        """
        q = np.array([world.q for world in self._worlds])
        dq = np.array([world.dq for world in self._worlds])
        tau = np.array([world.tau for world in self._worlds])
        return q, dq, tau

    def poses(self) -> Array:
        """Position, quaternion and twist of the objects alone, (n, 13)."""
        return np.array([world.object_state() for world in self._worlds])

    @property
    def diverged(self) -> Mask:
        """Worlds whose physics broke down since their last reset."""
        return self._diverged.copy()

    def close(self) -> None:
        """End the clients."""
        for world in self._worlds:
            world.close()
        self._worlds = []


def check_memory(n: int, available: int) -> None:
    """Refuse more worlds than the memory holds, before it is taken.

    Args:
        n: worlds.
        available: bytes.

    Raises:
        BadArgumentError: the message says what a world takes.
    """
    most = min(MOST_WORLDS, available // WORLD_BYTES)
    if n > most:
        gibibytes = n * WORLD_BYTES / 2**30
        raise BadArgumentError(
            f"{n} PyBullet worlds take {gibibytes:.0f} GiB, {WORLD_BYTES // 2**20} MiB each; here "
            f"are at most {most} possible: simulate fewer at once (schedule.meta_batch), or use "
            "another engine"
        )


def available_memory() -> int:
    """Bytes that can be taken now without swapping; all of the machine's where that is unknown."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                kibibytes = int(amount.split()[0])
                return kibibytes * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def connect() -> Client:
    """A fresh client. PyBullet is imported late because its import prints a greeting, too."""
    with _silence():
        from pybullet import DIRECT
        from pybullet_utils.bullet_client import BulletClient

        class CachingClient(BulletClient):  # type: ignore[misc]
            """A client that looks every function up once: a lookup takes longer than most calls."""

            def __getattr__(self, name: str) -> Callable[..., object]:
                function: Callable[..., object] = super().__getattr__(name)
                setattr(self, name, function)
                return function

        return CachingClient(DIRECT)


@contextmanager
def _silence() -> Iterator[None]:
    """Swallow PyBullet's greetings: standard output and error belong to the caller.

    They are printed from C, whose buffer may be flushed as late as at exit: it is flushed here.
    """
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    streams = (1, 2)
    copies = [os.dup(stream) for stream in streams]
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(devnull, stream)
    try:
        yield
    finally:
        libc.fflush(None)
        for stream, copy in zip(streams, copies, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(devnull)
