"""The motors in a walker's model: one for each of its joints, in their order."""

import mujoco

from robots.arm import Walker
from robots.errors import BadArgumentError


def order_motors(spec: mujoco.MjSpec, body: Walker) -> None:
    """Put the motors into the order of the joints that they drive.

    Raises:
        BadArgumentError: there is not exactly one motor for each joint.
    """
    driven = tuple(motor.target for motor in spec.actuators)
    if driven == body.joints:
        return
    if sorted(driven) != sorted(body.joints):
        raise BadArgumentError(
            f"{body.name}: {body.mjcf} must have one motor for each of {', '.join(body.joints)};"
            f" it has motors for {', '.join(driven) or 'none'}"
        )
    motors = {motor.target: motor for motor in spec.actuators}
    for joint in body.joints:
        old = motors[joint]
        copied = {
            "gear": old.gear.copy(),
            "ctrllimited": old.ctrllimited,
            "ctrlrange": old.ctrlrange.copy(),
        }
        spec.delete(old)
        motor = spec.add_actuator(name=joint, target=joint, **copied)
        motor.set_to_motor()
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
