"""Topics of a recording and their JSON schemas, with the field names of Foxglove's messages."""

from typing import Any

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


TIME: Schema = {"title": "time", **_object(sec=INTEGER, nsec=INTEGER)}
VECTOR = _object(x=NUMBER, y=NUMBER, z=NUMBER)
QUATERNION = _object(x=NUMBER, y=NUMBER, z=NUMBER, w=NUMBER)
JOINT = _object(name=TEXT, position=NUMBER, velocity=NUMBER, effort=NUMBER)

# properties by schema
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
    "pliant.Control": {
        "timestamp": TIME,
        "mode": TEXT,
        "verdict": INTEGER,  # robots.signals.Verdict flags
        "action": INTEGER,  # sequence number of the active action
    },
}

# schema by topic
TOPICS = {
    "/joints": "foxglove.JointStates",  # as measured
    "/setpoint": "foxglove.JointStates",  # as commanded
    "/object": "foxglove.PoseInFrame",
    "/events": "foxglove.Log",
    "/control": "pliant.Control",
}
