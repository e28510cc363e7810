"""The dashboard server of an emulated Universal Robots controller: lines of text."""

from hw_interface.drivers.ur_modes import RuntimeState
from hw_interface.emulators.ur_controller import UrController

GREETING = "Connected: Universal Robots Dashboard Server"
VERSION = (5, 15, 0, 126801)  # of the software, as RTDE reports it too
SERIAL_NUMBER = "20230000001"


def answer(line: str, controller: UrController) -> str:
    """Execute one line; returns the answer, without the end of the line."""
    match line.strip().lower():
        case "polyscopeversion":
            version = ".".join(str(number) for number in VERSION)
            return f"URSoftware {version} (May 22 2023)"
        case "get serial number":
            return SERIAL_NUMBER
        case "get robot model":
            # the dashboard reports an e-series arm by the name of the older series
            model, *_ = controller.arm.name.split("_")
            return model.upper().removesuffix("E")
        case "is in remote control":
            return str(controller.remote_control).lower()
        case "robotmode":
            return f"Robotmode: {controller.robot_mode.name}"
        case "safetymode":
            return f"Safetymode: {controller.safety_mode.name}"
        case "safetystatus":
            return f"Safetystatus: {controller.safety_mode.name}"
        case "running":
            is_running = controller.runtime_state is RuntimeState.PLAYING
            return f"Program running: {str(is_running).lower()}"
        case "programstate":
            return f"{controller.runtime_state.name} rtde_control"
        case request:
            return _command(request, controller)


def _command(request: str, controller: UrController) -> str:
    """Execute a command that changes the controller's state; refused without remote control."""
    if not controller.remote_control:
        return "Command is not allowed due to safety reasons"
    match request:
        case "stop":
            controller.stop_program()
            return "Stopped"
        case "power on":
            controller.power_on()
            return "Powering on"
        case "power off":
            controller.power_off()
            return "Powering off"
        case "brake release":
            controller.release_brakes()
            return "Brake releasing"
        case "unlock protective stop":
            if controller.unlock_protective_stop():
                return "Protective stop releasing"
            return "Cannot unlock protective stop until 5s after occurrence"
        case "close safety popup":
            return "closing safety popup"
    return f"could not understand: {request!r}"
