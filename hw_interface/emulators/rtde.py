"""Real-Time Data Exchange (RTDE, protocol version 2) as a Universal Robots controller speaks it.

Written from the maker's RTDE guide. A packet is a big-endian header (size of the whole packet as
uint16, type as uint8) and a payload. A recipe is the list of variables that data packets carry.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

HEADER = struct.Struct(">HB")
PROTOCOL_VERSION = 2
NOT_FOUND = "NOT_FOUND"
IN_USE = "IN_USE"
OUTPUT_RECIPE = 1  # number of the output recipe, of which a connection has only one

Value = float | int | Sequence[float] | Sequence[int]

FORMATS = {  # format characters of ``struct`` by RTDE type
    "DOUBLE": "d",
    "INT32": "i",
    "UINT32": "I",
    "UINT64": "Q",
    "VECTOR3D": "3d",
    "VECTOR6D": "6d",
    "VECTOR6INT32": "6i",
}
REGISTERS = 48  # of each type and direction

# variables that the emulated controller can send, besides the registers
OUTPUT_TYPES = {
    "timestamp": "DOUBLE",
    "target_q": "VECTOR6D",
    "target_qd": "VECTOR6D",
    "target_qdd": "VECTOR6D",
    "target_current": "VECTOR6D",
    "target_moment": "VECTOR6D",
    "actual_q": "VECTOR6D",
    "actual_qd": "VECTOR6D",
    "actual_current": "VECTOR6D",
    "joint_control_output": "VECTOR6D",
    "actual_TCP_pose": "VECTOR6D",
    "actual_TCP_speed": "VECTOR6D",
    "actual_TCP_force": "VECTOR6D",
    "target_TCP_pose": "VECTOR6D",
    "target_TCP_speed": "VECTOR6D",
    "actual_digital_input_bits": "UINT64",
    "actual_digital_output_bits": "UINT64",
    "joint_temperatures": "VECTOR6D",
    "actual_execution_time": "DOUBLE",
    "robot_mode": "INT32",
    "joint_mode": "VECTOR6INT32",
    "safety_mode": "INT32",
    "actual_tool_accelerometer": "VECTOR3D",
    "speed_scaling": "DOUBLE",
    "target_speed_fraction": "DOUBLE",
    "actual_momentum": "DOUBLE",
    "actual_main_voltage": "DOUBLE",
    "actual_robot_voltage": "DOUBLE",
    "actual_robot_current": "DOUBLE",
    "actual_joint_voltage": "VECTOR6D",
    "runtime_state": "UINT32",
    "standard_analog_input0": "DOUBLE",
    "standard_analog_input1": "DOUBLE",
    "standard_analog_output0": "DOUBLE",
    "standard_analog_output1": "DOUBLE",
    "robot_status_bits": "UINT32",
    "safety_status_bits": "UINT32",
    "ft_raw_wrench": "VECTOR6D",
    "payload": "DOUBLE",
    "payload_cog": "VECTOR3D",
    "payload_inertia": "VECTOR6D",
}
INPUT_TYPES = {
    "speed_slider_mask": "UINT32",
    "speed_slider_fraction": "DOUBLE",
    "external_force_torque": "VECTOR6D",
}
for _number in range(REGISTERS):
    OUTPUT_TYPES[f"output_int_register_{_number}"] = "INT32"
    OUTPUT_TYPES[f"output_double_register_{_number}"] = "DOUBLE"
    INPUT_TYPES[f"input_int_register_{_number}"] = "INT32"
    INPUT_TYPES[f"input_double_register_{_number}"] = "DOUBLE"


class PacketType(IntEnum):
    """The packet types; each is the ASCII code of a letter."""

    PROTOCOL_VERSION = ord("V")
    CONTROLLER_VERSION = ord("v")
    SETUP_OUTPUTS = ord("O")
    SETUP_INPUTS = ord("I")
    START = ord("S")
    PAUSE = ord("P")
    DATA = ord("U")


class Recipe:
    """The variables of one kind of data packet, in order."""

    def __init__(self, names: Sequence[str], known: Mapping[str, str]) -> None:
        """Look up the types; a name that is not in ``known`` gets the type NOT_FOUND."""
        self.names = tuple(names)
        self.types = tuple(known.get(name, NOT_FOUND) for name in names)
        self.is_whole = NOT_FOUND not in self.types and IN_USE not in self.types
        self._structs = []
        for kind in self.types:
            layout = FORMATS.get(kind, "")
            self._structs.append(struct.Struct(f">{layout}"))

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return sum(each.size for each in self._structs)

    def pack(self, variables: Mapping[str, Value]) -> bytes:
        """The values of the recipe's variables; one that is not given is 0."""
        data = b""
        for name, each in zip(self.names, self._structs, strict=True):
            value = variables.get(name)
            if value is None:
                data += bytes(each.size)
            elif isinstance(value, int | float):
                data += each.pack(value)
            else:
                data += each.pack(*value)
        return data

    def unpack(self, data: bytes) -> dict[str, Value]:
        """The values by name that ``size`` bytes hold; a vector is a tuple."""
        values: dict[str, Value] = {}
        start = 0
        for name, each in zip(self.names, self._structs, strict=True):
            found = each.unpack_from(data, start)
            values[name] = found[0] if len(found) == 1 else found
            start += each.size
        return values


def make_packet(kind: int, payload: bytes) -> bytes:
    """A whole packet."""
    return HEADER.pack(HEADER.size + len(payload), kind) + payload


class PacketReader:
    """Finds the packets in a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Type and payload of each packet that ``data`` completes.

        Raises:
            ValueError: a packet's size is impossible; the rest of the stream cannot be read.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            size, kind = HEADER.unpack_from(self._buffer)
            if size < HEADER.size:
                raise ValueError(f"a packet of {size} bytes")
            if len(self._buffer) < size:
                return
            payload = self._buffer[HEADER.size : size]
            self._buffer = self._buffer[size:]
            yield kind, payload


class InputOwners:
    """Tells which connection writes which input: an input belongs to one connection at a time."""

    def __init__(self) -> None:
        self._owners: dict[str, RtdeSession] = {}

    def claim(self, session: "RtdeSession", names: Sequence[str]) -> dict[str, str]:
        """Claim inputs for a connection, either all of them or none.

        Returns:
            The types of all inputs by name; IN_USE for an input of another connection.
        """
        types = dict(INPUT_TYPES)
        for name in names:
            if self._owners.get(name, session) is not session:
                types[name] = IN_USE
        if IN_USE not in types.values():
            for name in names:
                self._owners[name] = session
        return types

    def release(self, session: "RtdeSession") -> None:
        """Free the inputs of a connection that has ended."""
        self._owners = {name: each for name, each in self._owners.items() if each is not session}


class RtdeSession:
    """One client's connection: its recipes, and whether data is being sent."""

    def __init__(
        self, version: tuple[int, int, int, int], owners: "InputOwners | None" = None
    ) -> None:
        """Start without recipes.

        Args:
            version: the controller's software: major, minor, bugfix, build.
            owners: which connection writes which input, shared by all connections.
        """
        self.version = version
        self._owners = InputOwners() if owners is None else owners
        self.outputs: Recipe | None = None
        self.inputs: list[Recipe] = []  # numbered from 1 in the order of their arrival
        self.is_started = False
        self._reader = PacketReader()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, dict[str, Value]]]:
        """The answer to each packet that ``data`` completes, and the inputs that it carries.

        Raises:
            ValueError: the data is not valid RTDE.
        """
        for kind, payload in self._reader.feed(data):
            if kind == PacketType.DATA:
                yield b"", self._take_inputs(payload)
            else:
                yield self._answer(kind, payload), {}

    def _take_inputs(self, payload: bytes) -> dict[str, Value]:
        number = payload[0] if payload else 0
        if not 1 <= number <= len(self.inputs):
            raise ValueError(f"data of the recipe {number}, which does not exist")
        recipe = self.inputs[number - 1]
        if len(payload) != 1 + recipe.size:
            raise ValueError(f"{len(payload)} bytes of data for the recipe {number}")
        return recipe.unpack(payload[1:])

    def _answer(self, kind: int, payload: bytes) -> bytes:
        match kind:
            case PacketType.PROTOCOL_VERSION:
                accepted = payload == PROTOCOL_VERSION.to_bytes(2, "big")
                return make_packet(kind, bytes([accepted]))
            case PacketType.CONTROLLER_VERSION:
                return make_packet(kind, struct.pack(">4I", *self.version))
            case PacketType.SETUP_OUTPUTS:
                names = _split_names(payload[8:])  # the first 8 bytes are the frequency
                self.outputs = Recipe(names, OUTPUT_TYPES)
                number = OUTPUT_RECIPE if self.outputs.is_whole else 0
                return make_packet(kind, bytes([number]) + _join(self.outputs.types))
            case PacketType.SETUP_INPUTS:
                input_names = _split_names(payload)
                recipe = Recipe(input_names, self._owners.claim(self, input_names))
                self.inputs.append(recipe)
                number = len(self.inputs) if recipe.is_whole else 0
                return make_packet(kind, bytes([number]) + _join(recipe.types))
            case PacketType.START:
                self.is_started = self.outputs is not None and self.outputs.is_whole
                return make_packet(kind, bytes([self.is_started]))
            case PacketType.PAUSE:
                self.is_started = False
                return make_packet(kind, b"\x01")
        raise ValueError(f"a packet of the type {kind}")

    def make_data(self, variables: Mapping[str, Value]) -> bytes:
        """The data packet of the output recipe; no bytes until the client has sent START."""
        if self.outputs is None or not self.is_started:
            return b""
        payload = bytes([OUTPUT_RECIPE]) + self.outputs.pack(variables)
        return make_packet(PacketType.DATA, payload)


def _split_names(payload: bytes) -> list[str]:
    """Split names at the commas; some clients append a comma at the end."""
    return [name for name in payload.decode("ascii").split(",") if name]


def _join(types: Sequence[str]) -> bytes:
    return ",".join(types).encode()
