"""What an arm is driven by, and how its object is seen and placed.

A driver wraps the vendor's own client. It lives in the control process, where the controller is its
only caller; whatever is written has passed the safety gate.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from robots.arm import ArmSpec
from robots.signals import Command, JointState, ObjectState
from robots.world import Start, Task


@dataclass(frozen=True)
class Capabilities:
    """What a driver can do, known before it is built or connected."""

    dt: float  # s between two writes: the control tick
    realtime: bool  # time passes by itself; False: one tick passes per ``read``, as in simulation
    commands: tuple[str, ...] = ("position",)  # kinds of command that the controller takes


class Driver(Protocol):
    """One arm's controller.

    Built as ``kind(arm, scene, options)``; building touches no hardware and raises
    ``BadArgumentError`` for options that make no sense. Every verb below is called from one thread
    and must return within a tick unless it says otherwise. A verb raises ``OSError`` for a lost
    connection and ``RuntimeError`` for a refusal by the arm; either one stops the arm.
    """

    capabilities: ClassVar[Capabilities]
    arm: ArmSpec

    def connect(self) -> None:
        """Open the connection and check that this is the expected arm; nothing moves.

        May block for seconds.

        Raises:
            OSError: there is no connection.
            RuntimeError: it is another arm, or it is set up differently than the options say.
        """
        ...

    def enable(self) -> None:
        """Switch the motors on at the measured position, so that commands are followed.

        May block for seconds. Also called to re-enable after ``stop``.
        """
        ...

    def read(self) -> JointState:
        """The newest measurement: rad, rad/s, N·m, and the controller's own clock in s.

        A reading that was lost is answered with the previous one, whose stamp does not advance.
        """
        ...

    def write(self, command: Command) -> None:
        """Send one position target (j,) rad with its velocity feed-forward (j,) rad/s."""
        ...

    def stop(self) -> None:
        """Come to rest and ignore commands until ``enable``; motors stay on. May be called twice."""
        ...

    def disconnect(self) -> None:
        """Close the connection; nothing moves. May block for seconds."""
        ...


class Tracker(Protocol):
    """Measures the pose of the object, in the base frame of the arm."""

    def read(self) -> ObjectState:
        """The newest pose: m, w x y z, m/s, rad/s, and the tracker's own clock in s.

        Called in every control tick: returns at once with the last pose it has. A tracker that
        computes does so in a thread or process of its own.

        Raises:
            OSError: the tracker is gone.
        """
        ...


class ObjectPlacer(Protocol):
    """Puts the object at the start of an episode: a simulation, a second robot, a fixture."""

    def place(self, task: Task, start: Start) -> None:
        """Place the object of ``task`` (one row) at ``start``; returns when it is there.

        Raises:
            OSError: the object could not be placed.
        """
        ...


class SimulatedArm(Driver, Protocol):
    """A driver whose capabilities say ``realtime=False``: a simulation of arm and object.

    It knows where its object is and can place it.
    """

    tracker: Tracker
    placer: ObjectPlacer
