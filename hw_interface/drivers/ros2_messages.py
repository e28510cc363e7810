"""The ROS 2 messages that an arm under ros2_control exchanges, as DDS types.

Member names, order and types are those of the public ``.msg`` and ``.srv`` files of ROS 2. ROS 2
names the DDS type of ``package/msg/Name`` ``package::msg::dds_::Name_``. Requests and answers of a
service begin with an id, as ``rmw_cyclonedds`` sends it.
"""

from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import float64, int32, int64, sequence, uint8, uint32, uint64

ACTIVE = "active"  # label of a lifecycle state
STRING = 4  # ParameterType.msg: PARAMETER_STRING
STRING_ARRAY = 9  # ParameterType.msg: PARAMETER_STRING_ARRAY


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
class ParameterValue(IdlStruct, typename="rcl_interfaces.msg.dds_.ParameterValue_"):
    """The value of a node's parameter; ``type`` says which field it is in."""

    type: uint8 = 0
    bool_value: bool = False
    integer_value: int64 = 0
    double_value: float64 = 0.0
    string_value: str = ""
    byte_array_value: sequence[uint8] = field(default_factory=list)
    bool_array_value: sequence[bool] = field(default_factory=list)
    integer_array_value: sequence[int64] = field(default_factory=list)
    double_array_value: sequence[float64] = field(default_factory=list)
    string_array_value: sequence[str] = field(default_factory=list)


@final
@dataclass
class GetParameters(IdlStruct, typename="rcl_interfaces.srv.dds_.GetParameters_Request_"):
    """Asks a node for parameters; ``guid`` and ``seq`` identify the request."""

    guid: uint64 = 0
    seq: int64 = 0
    names: sequence[str] = field(default_factory=list)


@final
@dataclass
class Parameters(IdlStruct, typename="rcl_interfaces.srv.dds_.GetParameters_Response_"):
    """The answer, with the id of its request; no values if a parameter is unknown."""

    guid: uint64 = 0
    seq: int64 = 0
    values: sequence[ParameterValue] = field(default_factory=list)
