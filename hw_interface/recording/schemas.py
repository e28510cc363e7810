"""Topics of a recording and their JSON schemas, with the field names of Foxglove's messages."""

import json
import zlib
from typing import Any, NamedTuple

Schema = dict[str, Any]

ENCODING = "jsonschema"
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
NUMBERS: Schema = {"type": "array", "items": NUMBER}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


TIME: Schema = {"title": "time", **_object(sec=INTEGER, nsec=INTEGER)}
VECTOR = _object(x=NUMBER, y=NUMBER, z=NUMBER)
QUATERNION = _object(x=NUMBER, y=NUMBER, z=NUMBER, w=NUMBER)
JOINT = _object(name=TEXT, position=NUMBER, velocity=NUMBER, effort=NUMBER)
# size: how many numbers the tensor has; values: the numbers themselves if they are few
TENSOR = _object(name=TEXT, size=INTEGER, mean=NUMBER, rms=NUMBER, values=NUMBERS)

# properties of each schema, by its name
SCHEMAS: dict[str, Schema] = {
    "foxglove.JointStates": {
        "timestamp": TIME,
        "joints": {"type": "array", "items": JOINT},
    },
    "foxglove.PoseInFrame": {
        "timestamp": TIME,
        "frame_id": TEXT,
        "pose": _object(position=VECTOR, orientation=QUATERNION),
    },
    "foxglove.Log": {
        "timestamp": TIME,
        "level": INTEGER,
        "message": TEXT,
        "name": TEXT,
    },
    "pliant.Wrench": {
        "timestamp": TIME,
        "force": VECTOR,  # N, of the tool on what it touches
        "torque": VECTOR,  # N·m, at the origin of the tool's frame, axes of the base frame
    },
    "pliant.Control": {
        "timestamp": TIME,
        "mode": TEXT,
        "verdict": INTEGER,  # robots.signals.Verdict flags
        "action": INTEGER,  # sequence number of the active action
    },
    "pliant.Trial": {
        "timestamp": TIME,
        "object": INTEGER,  # number among the trial's
        "policy": TEXT,
        "explore": {"type": "array", "items": FLAG},  # whether each episode explores
        "parameters": {"type": "object", "additionalProperties": NUMBER},  # null: unknown
    },
    "pliant.Again": {
        "timestamp": TIME,
        "episode": INTEGER,  # of the trial with this task, from 0: it is run again
    },
    "pliant.Decision": {
        "timestamp": TIME,
        "episode": INTEGER,  # since the arm was opened, from 0
        "tick": INTEGER,  # decision of the episode, from 0
        "observation": NUMBERS,  # before the action; the metadata names its columns
        "observation_distance": NUMBER,  # from the middle of its range, in half ranges
        "action": NUMBERS,  # in [-1, 1], as the policy chose it, before the gate
        "applied": NUMBERS,  # in [-1, 1], mean of what reached the joints, after the gate
        "verdict": INTEGER,  # robots.signals.Verdict flags of all ticks of the action
        "reward": NUMBER,
        "next_observation": NUMBERS,  # after the action
        "success": FLAG,
        "terminated": FLAG,
        "truncated": FLAG,
    },
    "pliant.Belief": {
        "timestamp": TIME,
        "episode": INTEGER,  # of the trial with this task, from 0
        "tick": INTEGER,  # decision that the belief follows, from 0
        # how many updates the belief had under which this decision was made; not there if that
        # was all of them, as it always is in lockstep
        "updates": INTEGER,
        "tensors": {"type": "array", "items": TENSOR},
    },
}

# name of the schema of each topic
TOPICS = {
    "/joints": "foxglove.JointStates",  # as measured
    "/setpoint": "foxglove.JointStates",  # as commanded
    "/object": "foxglove.PoseInFrame",
    "/wrench": "pliant.Wrench",
    "/events": "foxglove.Log",
    "/control": "pliant.Control",
    "/trial": "pliant.Trial",
    "/again": "pliant.Again",  # the episode that has just ended is forgotten by the policy
    "/decision": "pliant.Decision",
    "/belief": "pliant.Belief",
}


class ChannelPlan(NamedTuple):
    """What a recording declares about one topic."""

    topic: str
    schema: str  # name
    schema_data: bytes  # JSON schema


def planned_channels() -> dict[int, ChannelPlan]:
    """Every channel of a recording by its number in the file, counted from 1."""
    channels = {}
    for number, (topic, name) in enumerate(TOPICS.items(), 1):
        schema = {"title": name, "type": "object", "properties": SCHEMAS[name]}
        data = json.dumps(schema).encode()
        channels[number] = ChannelPlan(topic, name, data)
    return channels


# In the header and the metadata of every recording. It identifies the channels above by a checksum,
# so that a file whose channel declarations are damaged can still be read.
PROFILE = f"pliant-{zlib.crc32(repr(planned_channels()).encode()):08x}"
