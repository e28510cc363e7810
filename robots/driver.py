"""Protocols of the hardware: an arm's driver, an object tracker, and an object placer.

A driver wraps the vendor's own client. It runs in the control process, and the controller is its
only caller: every command that is written has passed the safety gate.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from robots.arm import ArmSpec
from robots.signals import Array, Command, JointState, ObjectState
from robots.world import Start, Task

# rad: a joint closer to its goal than this has reached it. Ours: a soft servo sags under the arm's
# weight by less, and a joint that presses at this distance is far below its torque limit.
REACHED = 0.05


@dataclass(frozen=True)
class Capabilities:
    """What a driver can do; known before it is built or connected."""

    dt: float  # s between two writes: the control tick
    realtime: bool  # True: time passes by itself; False: in simulation, one tick per ``read``
    commands: tuple[str, ...] = ("position",)  # kinds of command that the arm accepts
    wrench: bool = False  # whether it measures the wrench of its tool, see ``JointState``
    # whether it moves the gripper of an arm that has one, which is the arm's last joint
    gripper: bool = False
    # whether its controller is told the payload, by the option ``payload``: mass in kg, and center
    # of mass x, y, z in m in the frame of the flange
    payload: bool = False
    torque: bool = True  # whether it measures the torques of its joints, see ``JointState``
    # whether the arm's controller compensates gravity and load: a joint at rest is then at its
    # setpoint unless contact keeps it away; otherwise it sags below its setpoint
    holds_weight: bool = False


class Driver(Protocol):
    """The connection to one arm's own controller.

    Built as ``kind(arm, scene, kind.Options(...))``, where ``Options`` is a dataclass of the
    driver; building touches no hardware and raises ``BadArgumentError`` for invalid options.
    ``capabilities`` belong to the class. All methods are called from one thread and must return
    within a tick unless they say otherwise. Each of them may raise ``OSError`` for a lost
    connection and ``RuntimeError`` for a refusal by the arm; either one stops the arm.
    """

    capabilities: ClassVar[Capabilities]

    @property
    def arm(self) -> ArmSpec:
        """The arm that it drives."""
        ...

    def connect(self) -> None:
        """Open the connection and check that this is the expected arm; nothing moves.

        May block for seconds.

        Raises:
            OSError: there is no connection.
            RuntimeError: it is another arm, or it is not set up as the options say.
        """
        ...

    def enable(self) -> None:
        """Switch the motors on at the arm's present position, so that commands are followed.

        Motors that are already on and hold the arm close to their last target keep that target,
        which ``JointState.target`` then reports. A soft arm sags below its target, and would be
        lowered each time it is enabled at the measured position.

        May block for seconds. Also called to re-enable after ``stop``.
        """
        ...

    def read(self) -> JointState:
        """The newest measurement: rad, rad/s, N·m, and the time in s on the controller's clock.

        Its wrench is NaN if the arm measures none.

        If a reading is lost, the previous one is returned again; its stamp does not advance.
        """
        ...

    def write(self, command: Command) -> None:
        """Send one position target (j,) rad with its velocity feed-forward (j,) rad/s."""
        ...

    def stop(self) -> None:
        """Come to rest, motors on, and ignore commands until ``enable``; may be called twice.

        Afterwards no joint is pulled towards a goal that it has not reached: a joint farther from
        its goal than ``REACHED`` is held at its measured position, so that an arm in contact does
        not continue to press. If the arm can no longer be measured, its last reading is used. Only
        a gripper keeps its goal and its force: it does not let go of what it holds, neither here
        nor in ``disconnect``, nor when it is enabled again.
        """
        ...

    def torque_off(self) -> None:
        """Switch the motors off and ignore commands until ``enable``: an arm without brakes falls.

        Called with the arm at rest in its rest pose.
        """
        ...

    def disconnect(self) -> None:
        """Close the connection; nothing moves, and ``stop`` stays in effect. May block for seconds.

        A watchdog in the arm's own controller stays armed unless the arm is known to be at rest.
        """
        ...


class Tracker(Protocol):
    """Measures the pose of the object, in the base frame of the arm."""

    def read(self) -> ObjectState:
        """The newest pose: m, w x y z, m/s, rad/s, and the time in s on the tracker's clock.

        Called in every control tick: it returns the last known pose at once. A tracker that needs
        time to compute one does so in a thread or process of its own.

        Raises:
            OSError: the connection to the tracker is lost.
        """
        ...


@runtime_checkable
class NeedsJoints(Protocol):
    """A tracker that needs the arm's joints, because the arm may carry its camera."""

    def take_joints(self, q: Array) -> None:
        """Take the joints (j,) rad that were measured just now; returns at once.

        Called after every new plausible reading of the arm; a repeated one is no new one.
        """
        ...


class ObjectPlacer(Protocol):
    """Puts the object at the start of an episode: a simulation, a second robot, a fixture."""

    def place(self, task: Task, start: Start) -> None:
        """Place the object of ``task`` (one row) at ``start``; blocks until it is there.

        Raises:
            OSError: the object could not be placed.
        """
        ...


class SimulatedArm(Driver, Protocol):
    """A driver whose capabilities say ``realtime=False``: a simulation of arm and object.

    It has its own tracker and placer, because the object is part of the simulation.
    """

    @property
    def tracker(self) -> Tracker:
        """Measures the simulated object."""
        ...

    @property
    def placer(self) -> ObjectPlacer:
        """Puts the simulated object at its start."""
        ...
