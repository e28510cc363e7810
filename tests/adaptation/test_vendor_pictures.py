"""Pictures of an arm whose URDF has meshes, colors in place and shapes without a color."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray
from vendor_arm import BLUE, BOX, RED, edited, write_vendor_arm

from adaptation.reporting.playback import render_playback
from robots.arm import ArmSpec
from robots.scene import Scene
from sim.rendering import Clip, Image, canvas
from sim.rendering.render import draw
from sim.rendering.stage import Stage

GEOMS = mujoco.mjtGeom
# The pedestal as a thin mast of its own color, and the lift in another color than the turret.
MAST = {
    '<geometry><cylinder length="0.2" radius="0.08"/></geometry>': (
        '<geometry><cylinder length="0.8" radius="0.03"/></geometry>'
        '<material name=""><color rgba="0 1 0 1"/></material>'
    ),
    '<material name="vendor_blue"/>': '<material name="x"><color rgba="0.8 0.1 0.1 1"/></material>',
}


@pytest.fixture
def arm(tmp_path: Path) -> ArmSpec:
    return edited(write_vendor_arm(tmp_path), MAST)


def clip_of(arm: ArmSpec) -> Clip:
    """Two moments at home, nothing else in the scene."""
    return Clip(
        title="vendor",
        task={},
        t=np.array([0.0, 0.1]),
        q=np.stack([arm.home, arm.home]),
        object_pos=np.full((2, 3), np.nan),
        object_quat=np.full((2, 4), np.nan),
        marker=np.full(3, np.nan),
    )


def test_the_stage_has_every_shape_in_its_size_and_color(arm: ArmSpec) -> None:
    model = Stage(Scene(arm), clip_of(arm)).model
    shown = {}
    for geom in range(model.ngeom):
        red, green, blue, _ = model.geom_rgba[geom].tolist()
        shown[model.geom_type[geom], round(red, 3), round(green, 3), round(blue, 3)] = geom
    mast = shown[GEOMS.mjGEOM_CYLINDER, 0, 1, 0]
    np.testing.assert_allclose(model.geom_size[mast], [0.03, 0.4, 0])  # radius, half length
    for color in (BLUE, RED):
        mesh = model.geom_dataid[shown[(GEOMS.mjGEOM_MESH, *color)]]
        first = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        lengths = sorted(np.ptp(vertices, axis=0))  # MuJoCo turns a mesh to its principal axes
        np.testing.assert_allclose(lengths, sorted(BOX), atol=1e-6)
    assert (GEOMS.mjGEOM_BOX, 0.5, 0.5, 0.5) in shown
    assert (GEOMS.mjGEOM_SPHERE, 0.5, 0.5, 0.5) in shown


def pixels_like(image: Image, color: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Pixels of a color's hue, however light or dark."""
    flat = image.reshape(-1, 3).astype(np.float64)
    hue = flat - flat.min(1, keepdims=True)
    hue /= np.maximum(hue.max(1, keepdims=True), 1.0)
    wanted = np.array(color, dtype=np.float64) - min(color)
    wanted /= wanted.max()
    saturated = np.ptp(flat, axis=1) > 40
    close = abs(hue - wanted).max(1) < 0.25
    return (saturated & close).reshape(image.shape[:2])


@pytest.mark.parametrize("opengl", [True, False])
def test_both_renderers_show_meshes_colors_and_an_upright_cylinder(
    arm: ArmSpec, opengl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opengl:
        monkeypatch.setattr(canvas, "offscreen_context", lambda: None)
    (image,) = draw(Scene(arm), clip_of(arm), np.zeros(1))
    assert pixels_like(image, BLUE).mean() > 0.01
    assert pixels_like(image, RED).mean() > 0.01
    rows, columns = np.nonzero(pixels_like(image, (0, 1, 0)))
    assert len(rows) > 1000
    assert np.ptp(rows) > 2 * np.ptp(columns), "length and radius of the cylinder are swapped"


def test_a_page_plays_meshes(arm: ArmSpec) -> None:
    page = render_playback(arm, [clip_of(arm)])
    without = edited(arm, {"<visual": "<hidden", "</visual": "</hidden"})
    assert len(page) > len(render_playback(without, [clip_of(arm)]))
