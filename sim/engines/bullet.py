"""Physics by PyBullet: one client per world, under the same contract as every engine."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path

import numpy as np

from robots.arm import Body, Walker
from robots.bodies import make_kinematics
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Mask, ObjectMotion, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.engines import bullet_loaded  # noqa: F401  drives arms with a payload
from sim.engines.base import (
    count_ticks,
    first_object,
    is_registered,
    missing_signals,
    require_known_physics,
    require_support,
    tool_signals,
    world_indices,
)
from sim.engines.bullet_drives import Drive, bullet_drive
from sim.engines.bullet_refusals import require_carried
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_world import BulletWorld
from sim.engines.fixture_fields import FIXTURE_FIELDS, FixtureFields
from sim.engines.object_fields import ObjectFields
from sim.engines.tool_shapes import TOOL_SHAPE_FIELDS, ToolShapes
from sim.scene_model import compile_scene

# Bullet never frees the shapes of removed objects, 5 KiB each: a world whose client has built so
# many of them gets a fresh client, which takes as long as 50 objects.
OBJECTS_PER_CLIENT = 500
MOST_WORLDS = 1024  # clients that Bullet can have in a process (MAX_PHYSICS_CLIENTS)
WORLD_BYTES = 35 * 2**20  # of memory that a client takes, with an arm and an object


@singledispatch
def needs_mujoco(body: Body) -> bool:
    """Whether Bullet lacks a part of the body's physics, although it can drive its kind."""
    return False


@needs_mujoco.register
def _(body: Walker) -> bool:
    return body.needs_mujoco


class BulletEngine:
    """An Engine over PyBullet: a client of its own per world, all built from one model."""

    n = 0

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Every kind of body that can be driven; ``load`` still refuses what a model may have."""
        return is_registered(bullet_drive, scene.body) and not needs_mujoco(scene.body)

    def load(self, scene: Scene, n: int) -> None:
        """Compile the scene and build it in n clients.

        Raises:
            BadArgumentError: the scene is not supported, its model has a part that Bullet cannot
                carry, or the memory is too small.
        """
        require_support(self, scene)
        check_memory(n, available_memory())
        self._model = compile_scene(scene)
        require_carried(self._model, bullet_drive(scene.body).rotors, scene.objects)
        self.scene = scene
        self.n = n
        self._kinematics = make_kinematics(scene.body)
        objects = ObjectFields(scene, self._model)
        self._field_names = {*FIXTURE_FIELDS, *TOOL_SHAPE_FIELDS, *objects.names}
        fixtures = FixtureFields(scene, self._model, can_slope=False)
        self._writers = (fixtures, ToolShapes(scene.body, self._model), objects)
        self._drives = [self._build() for _ in range(n)]
        self._missing = missing_signals(n)
        self._time = np.zeros(n)
        self._diverged = np.zeros(n, dtype=bool)

    def _build(self) -> Drive:
        """One world, and what drives its body."""
        kind = bullet_drive(self.scene.body)
        world = BulletWorld(self.scene, self._model, connect(), kind.rotors)
        return kind(world, self._model)

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set some worlds' physics; their objects are built again."""
        body = self.scene.body
        require_known_physics(body, task, bullet_drive(body).physics)
        rows = world_indices(mask, self.n)
        task = task.take(rows)
        values = {}
        for name in self._field_names:
            values[name] = np.repeat(getattr(self._model, name)[None], len(rows), 0)
        for writer in self._writers:
            writer.write(values, task)
        for row, i in enumerate(rows.tolist()):
            drive = self._drive_with_room(i)
            drive.write(task.take([row]))
            drive.world.write({name: value[row] for name, value in values.items()})

    def _drive_with_room(self, i: int) -> Drive:
        """The i-th world, with its joints in a fresh client if the old one is full of shapes."""
        old = self._drives[i]
        if old.world.made < OBJECTS_PER_CLIENT:
            return old
        old.world.close()
        fresh = self._build()
        fresh.world.place_joints(old.world.q, old.world.dq)
        self._drives[i] = fresh
        return fresh

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        for i in world_indices(mask, self.n).tolist():
            drive = self._drives[i]
            drive.world.place(start, i)
            drive.tau = np.zeros_like(drive.tau)
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
                drive = self._drives[i]
                drive.run(kind(**own), substeps)
                self._diverged[i] = not np.isfinite(drive.world.q).all()
            self._time += seconds

    def read(self) -> Signals:
        """Fresh: the tool is computed from the joints, the object is read from its body."""
        q, dq, tau = self.joints()
        objects = self._object_motions()
        fields = self._missing | first_object(objects)
        if self._kinematics is not None:
            fields |= tool_signals(self._kinematics, q, dq)
        return Signals(
            q=q,
            dq=dq,
            tau=tau,
            stamp=self._time.copy(),
            objects=objects,
            wrench=self.tool_wrenches() if self.scene.measures_wrench else None,
            **fields,
        )

    def _object_motions(self) -> dict[str, ObjectMotion]:
        """Of every object by its name."""
        states = np.array([drive.world.object_states() for drive in self._drives])
        result = {}
        for number, item in enumerate(self.scene.objects):
            own = states[:, number]
            result[item.name] = ObjectMotion(
                pos=own[:, :3],
                quat=own[:, 3:7],
                vel=own[:, 7:],
            )
        return result

    def joints(self) -> tuple[Array, Array, Array]:
        """Joint positions, velocities and torques alone, (n, j) each.

        These are all that an arm's driver reads in every tick.
        """
        q = np.array([drive.world.q for drive in self._drives])
        dq = np.array([drive.world.dq for drive in self._drives])
        tau = np.array([drive.tau for drive in self._drives])
        return q, dq, tau

    def hold_positions(self) -> Array:
        """The setpoints at which the joints stay where they are, under their load too, (n, j)."""
        return np.array([drive.hold_position() for drive in self._drives])

    def poses(self) -> Array:
        """Position, quaternion and twist of the first object alone, (n, 13)."""
        return np.array([drive.world.object_states()[0] for drive in self._drives])

    def tool_wrenches(self) -> Array:
        """Force N and torque N·m of the tools on what they touch now, (n, 6); NaN without a tool.

        At the origin of the tool's frame, along the axes of the world.
        """
        return np.array([drive.tool_wrench() for drive in self._drives])

    @property
    def diverged(self) -> Mask:
        """Worlds whose physics broke down since their last reset."""
        return self._diverged.copy()

    def close(self) -> None:
        """End the clients."""
        for drive in self._drives:
            drive.world.close()
        self._drives = []


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
