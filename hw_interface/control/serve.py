"""The target of the control process."""

from hw_interface.control.config import ControlConfig
from hw_interface.control.own_session import enter_own_session
from hw_interface.control.process import ControlLoop


def serve(config: ControlConfig) -> None:
    """Run the control process from its start to its end."""
    loop = ControlLoop(config)
    enter_own_session(loop.signaled)
    loop.run()
