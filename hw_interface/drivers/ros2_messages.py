"""The ROS 2 messages that an arm under ros2_control exchanges, as DDS types.

Member names, order and types are those of the public ``.msg`` and ``.srv`` files of ROS 2. ROS 2
names the DDS type of ``package/msg/Name`` ``package::msg::dds_::Name_``. Requests and answers of a
service begin with an id, as ``rmw_cyclonedds`` sends it.
"""

from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import float64, int32, int64, sequence, uint8, uint16, uint32, uint64

ACTIVE = "active"  # label of a lifecycle state
STRICT = 2  # SwitchController.srv: all that is asked for is done, or nothing


@final
@dataclass
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    """A time."""

    sec: int32 = 0
    nanosec: uint32 = 0


@final
@dataclass
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    """When a message was measured."""

    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@final
@dataclass
class JointStates(IdlStruct, typename="sensor_msgs.msg.dds_.JointState_"):
    """What was measured: rad, rad/s, and efforts, whose unit depends on the hardware."""

    header: Header = field(default_factory=Header)
    name: sequence[str] = field(default_factory=list)
    position: sequence[float64] = field(default_factory=list)
    velocity: sequence[float64] = field(default_factory=list)
    effort: sequence[float64] = field(default_factory=list)


@final
@dataclass
class Dimension(IdlStruct, typename="std_msgs.msg.dds_.MultiArrayDimension_"):
    """One dimension of an array."""

    label: str = ""
    size: uint32 = 0
    stride: uint32 = 0


@final
@dataclass
class Layout(IdlStruct, typename="std_msgs.msg.dds_.MultiArrayLayout_"):
    """The dimensions of an array; none for a plain list."""

    dim: sequence[Dimension] = field(default_factory=list)
    data_offset: uint32 = 0


@final
@dataclass
class Commands(IdlStruct, typename="std_msgs.msg.dds_.Float64MultiArray_"):
    """Position targets, rad, in the order of the controller's joints."""

    layout: Layout = field(default_factory=Layout)
    data: sequence[float64] = field(default_factory=list)


@final
@dataclass
class State(IdlStruct, typename="lifecycle_msgs.msg.dds_.State_"):
    """A lifecycle state: unconfigured, inactive, active, finalized."""

    id: uint8 = 0
    label: str = ""


@final
@dataclass
class NamedState(IdlStruct, typename="controller_manager_msgs.msg.dds_.NamedLifecycleState_"):
    """The state of one controller or of one part of the hardware."""

    name: str = ""
    state: State = field(default_factory=State)


@final
@dataclass
class Activity(IdlStruct, typename="controller_manager_msgs.msg.dds_.ControllerManagerActivity_"):
    """The states of all controllers, sent whenever one changes."""

    header: Header = field(default_factory=Header)
    controllers: sequence[NamedState] = field(default_factory=list)
    hardware_components: sequence[NamedState] = field(default_factory=list)


@final
@dataclass
class Duration(IdlStruct, typename="builtin_interfaces.msg.dds_.Duration_"):
    """A span of time."""

    sec: int32 = 0
    nanosec: uint32 = 0


@final
@dataclass
class TrajectoryPoint(IdlStruct, typename="trajectory_msgs.msg.dds_.JointTrajectoryPoint_"):
    """Where the joints are to be at a time: rad, rad/s, rad/s², and efforts."""

    positions: sequence[float64] = field(default_factory=list)
    velocities: sequence[float64] = field(default_factory=list)
    accelerations: sequence[float64] = field(default_factory=list)
    effort: sequence[float64] = field(default_factory=list)
    time_from_start: Duration = field(default_factory=Duration)


@final
@dataclass
class JointTrajectory(IdlStruct, typename="trajectory_msgs.msg.dds_.JointTrajectory_"):
    """Points that joints are to pass; it starts at the header's stamp, at once if that is zero."""

    header: Header = field(default_factory=Header)
    joint_names: sequence[str] = field(default_factory=list)
    points: sequence[TrajectoryPoint] = field(default_factory=list)


@final
@dataclass
class ChainConnection(IdlStruct, typename="controller_manager_msgs.msg.dds_.ChainConnection_"):
    """A controller that another one feeds."""

    name: str = ""
    reference_interfaces: sequence[str] = field(default_factory=list)


@final
@dataclass
class ControllerState(IdlStruct, typename="controller_manager_msgs.msg.dds_.ControllerState_"):
    """A controller that is loaded, as in ROS 2 Jazzy and newer; an interface is ``joint/position``.

    It claims the command interfaces that it owns while active, and requires those that it needs.
    """

    name: str = ""
    state: str = ""
    type: str = ""
    is_async: bool = False
    update_rate: uint16 = 0
    claimed_interfaces: sequence[str] = field(default_factory=list)
    required_command_interfaces: sequence[str] = field(default_factory=list)
    required_state_interfaces: sequence[str] = field(default_factory=list)
    is_chainable: bool = False
    is_chained: bool = False
    exported_state_interfaces: sequence[str] = field(default_factory=list)
    reference_interfaces: sequence[str] = field(default_factory=list)
    chain_connections: sequence[ChainConnection] = field(default_factory=list)


@final
@dataclass
class ListControllers(
    IdlStruct, typename="controller_manager_msgs.srv.dds_.ListControllers_Request_"
):
    """Asks for the controllers; ``guid`` and ``seq`` identify the request."""

    guid: uint64 = 0
    seq: int64 = 0
    structure_needs_at_least_one_member: uint8 = 0  # as ROS 2 fills every empty structure


@final
@dataclass
class ControllerList(
    IdlStruct, typename="controller_manager_msgs.srv.dds_.ListControllers_Response_"
):
    """The answer, with the id of its request."""

    guid: uint64 = 0
    seq: int64 = 0
    controller: sequence[ControllerState] = field(default_factory=list)


@final
@dataclass
class SwitchController(
    IdlStruct, typename="controller_manager_msgs.srv.dds_.SwitchController_Request_"
):
    """Asks to activate and to deactivate controllers, in one cycle of the manager."""

    guid: uint64 = 0
    seq: int64 = 0
    activate_controllers: sequence[str] = field(default_factory=list)
    deactivate_controllers: sequence[str] = field(default_factory=list)
    strictness: int32 = 0
    activate_asap: bool = False
    timeout: Duration = field(default_factory=Duration)


@final
@dataclass
class Switched(IdlStruct, typename="controller_manager_msgs.srv.dds_.SwitchController_Response_"):
    """The answer, with the id of its request, and why it was not done."""

    guid: uint64 = 0
    seq: int64 = 0
    ok: bool = False
    message: str = ""
