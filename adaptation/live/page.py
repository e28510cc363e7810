"""The live page itself: viser's server, the 3-D scene, the panel and its buttons."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial

import numpy as np
import websockets.asyncio.server
from viser import GuiHtmlHandle, SceneNodeHandle, ViserServer
from websockets.typing import Origin

from adaptation.live import panel
from adaptation.live.plan import HOST, PagePlan
from adaptation.live.snapshot import BUTTONS, CLEAR, HOLD, RELEASE, STOP, Snapshot
from adaptation.reporting.viser_scene import (
    add_arm,
    add_shape,
    add_target,
    arm_poses,
    set_up_view,
    show_pose,
)
from hw_interface.control.client import newest_events
from hw_interface.control.layout import POSE, Record
from hw_interface.control.shared_state import SharedState
from sim.rendering.arm import object_shapes

LOOKS = {
    HOLD: ("Hold: brake and wait", "orange", "player-pause"),
    RELEASE: ("Release the hold", "green", "player-play"),
    STOP: ("Stop: brake, latched until clear", "red", "hand-stop"),
    CLEAR: ("Clear a stop or a fault", "gray", "check"),
}


class Page:
    """A server that shows an arm to any number of browsers on this computer."""

    def __init__(self, plan: PagePlan, ask: Callable[[str], None]) -> None:
        """Begin to serve.

        Args:
            plan: what to show.
            ask: gets the word of a button that was pressed; called from another thread.

        Raises:
            OSError: the port is in use.
        """
        self._plan = plan
        self._ask = ask
        self._shared: SharedState | None = None
        self._shared_name: str | None = None
        self._drawn = Snapshot()  # whose target and object are in the scene
        self._moving: list[SceneNodeHandle] = []  # target and object, drawn anew for each task
        _refuse_other_sites(plan.port)
        with redirect_stdout(io.StringIO()):  # viser prints its address
            self.server = ViserServer(host=HOST, port=plan.port, verbose=False)
        if self.server.get_port() != plan.port:
            self.server.stop()
            raise OSError(f"the port {plan.port} is in use")
        self._set_up_scene()
        self._texts: dict[str, GuiHtmlHandle] = {}
        self._set_up_panel()

    def _set_up_scene(self) -> None:
        scene = self.server.scene
        set_up_view(self.server, self._plan.camera)
        self._arm = add_arm(scene, self._plan.arm)
        self._ghost = add_arm(scene, self._plan.arm, "/setpoint", ghost=True)
        home = arm_poses(self._plan.arm, self._plan.arm.home)
        show_pose(self._arm, home)
        show_pose(self._ghost, home)
        self._object = scene.add_frame("/object", show_axes=False, visible=False)

    def _set_up_panel(self) -> None:
        gui = self.server.gui
        gui.configure_theme(
            control_layout="fixed",
            control_width="large",
            show_logo=False,
            show_share_button=False,
        )
        gui.set_panel_label(self._plan.title)
        self._texts["mode"] = gui.add_html(panel.no_arm())
        for word in BUTTONS:
            label, color, icon = LOOKS[word]
            button = gui.add_button(label, color=color, icon=icon)  # type: ignore[arg-type]
            button.on_click(partial(self._press, word))
        self._texts["safety"] = gui.add_html(panel.safety_html(""))
        for name in ("last events", "episode", "belief", "verdicts", "timing"):
            with gui.add_folder(name):
                self._texts[name] = gui.add_html("")

    def _press(self, word: str, _: object) -> None:
        self._ask(word)

    def show(self, shown: Snapshot) -> None:
        """Show what the policy's process has sent, and what the control process publishes now."""
        self._attach(shown.shared)
        with self.server.atomic():
            self._draw_task(shown)
            self._write("safety", panel.safety_html(shown.notice))
            self._write("episode", panel.episode_html(shown))
            self._write("belief", panel.belief_html(shown))
            self._write("verdicts", panel.judged_html(shown))
            self._show_arm(shown)

    def _show_arm(self, shown: Snapshot) -> None:
        """Show the published state."""
        if self._shared is None:
            self._write("mode", panel.no_arm())
            self._write("timing", "no arm is open")
            return
        state = self._shared.state.read_nonblocking()
        silent = self._shared.overdue > 0 and not self._shared.finished
        self._write("mode", panel.silent_arm() if silent else panel.mode_html(state))
        events = newest_events(self._shared, int(state["events"]))
        self._write("last events", panel.events_html(events, float(state["stamp"])))
        action = float(self._shared.action.read_nonblocking()["stamp"])
        is_realtime = shown.clock == "realtime"
        timing = panel.timing_html(state, action, self._plan.rate, is_realtime)
        self._write("timing", timing)
        self._move(state)

    def _move(self, state: Record) -> None:
        """Move the arm, the ghost of its setpoint, and the object."""
        for links, q in ((self._arm, state["q"]), (self._ghost, state["q_set"])):
            if np.isfinite(q).all():
                show_pose(links, arm_poses(self._plan.arm, q))
        pose = state["object"][:POSE]
        is_tracked = bool(np.isfinite(pose).all()) and bool(np.any(pose[3:]))
        if self._object.visible != is_tracked:
            self._object.visible = is_tracked
        if is_tracked:
            show_pose([self._object], [(pose[:3], pose[3:])])

    def _draw_task(self, shown: Snapshot) -> None:
        """Draw the target and the object of another task."""
        drawn = self._drawn
        if shown.marker == drawn.marker and shown.task == drawn.task and self._moving:
            return
        self._drawn = shown
        scene = self.server.scene
        for node in self._moving:
            node.remove()
        self._moving = []
        if shown.marker and np.isfinite(shown.marker[:2]).all():
            target = add_target(scene, "/target", np.array(shown.marker))
            self._moving.append(target)
        body = scene.add_frame("/object/body", show_axes=False)
        for i, part in enumerate(object_shapes(shown.task, self._plan.item)):
            add_shape(scene, f"/object/body/{i}", part)
        self._moving.append(body)

    def _attach(self, name: str | None) -> None:
        """Read another arm's shared memory from now on."""
        if name == self._shared_name:
            return
        self._shared_name = name
        if self._shared is not None:
            self._shared.close()
            self._shared = None
        if name is not None:
            try:
                self._shared = SharedState(self._plan.sizes, name)
            except FileNotFoundError:  # closed in the meantime
                self._shared = None

    def _write(self, name: str, text: str) -> None:
        """Set a text of the panel, if it has changed."""
        handle = self._texts[name]
        if handle.content != text:
            handle.content = text

    def close(self) -> None:
        """Stop to serve."""
        self._attach(None)
        with redirect_stdout(io.StringIO()):  # viser says so
            self.server.stop()


def _refuse_other_sites(port: int) -> None:
    """Let no page of another site in the same browser connect, whose scripts may try to.

    viser does not check where a connection comes from; the library below it can. This process does
    nothing but serve this page.
    """
    own = [Origin(f"http://{host}:{port}") for host in (HOST, "localhost")]
    serve = websockets.asyncio.server.serve
    checked = partial(serve, origins=[*own, None])
    websockets.asyncio.server.serve = checked  # type: ignore[misc,assignment]
