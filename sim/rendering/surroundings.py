"""What is around every body in a picture: a sky, lights and a floor."""

import mujoco

from robots.camera import Light
from sim.rendering.arm import TABLE_SIZE

HIDDEN_GROUP = 3  # MuJoCo draws the groups 0 to 2
FLOOR = -TABLE_SIZE[2]  # m, under an arm's table
LIGHT_POSITION = (0.5, -1.5, 3.0)  # m; MuJoCo draws shadows around it
SKY = (0.93, 0.95, 0.97)
HORIZON = (0.78, 0.83, 0.88)
TILES = ((0.80, 0.82, 0.84), (0.74, 0.76, 0.78))


def add_surroundings(spec: mujoco.MjSpec, lights: tuple[Light, ...]) -> None:
    """A sky, lights with shadows, and a tiled floor, instead of those that the model has."""
    spec.visual.headlight.ambient = (0.35, 0.35, 0.35)
    spec.visual.headlight.diffuse = (0.35, 0.35, 0.35)
    spec.visual.headlight.specular = (0, 0, 0)
    spec.visual.quality.shadowsize = 4096
    spec.visual.map.znear = 0.02
    for own_light in list(spec.lights):
        spec.delete(own_light)
    for light in lights:
        spec.worldbody.add_light(
            pos=LIGHT_POSITION,
            dir=light.direction,
            diffuse=(light.brightness,) * 3,
            specular=(0.1, 0.1, 0.1),
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        )
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    spec.add_texture(
        name="shown_sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=SKY,
        rgb2=HORIZON,
        width=256,
        height=1536,  # six faces
    )
    _add_floor(spec)


def _add_floor(spec: mujoco.MjSpec) -> None:
    """Tiles of 1 m, in the place of the model's own ground or under the table."""
    own_floors = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    for geom in own_floors:
        geom.group = HIDDEN_GROUP
    spec.add_texture(
        name="shown_tiles",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=TILES[0],
        rgb2=TILES[1],
        width=256,
        height=256,
    )
    material = spec.add_material(name="shown_tiles", texrepeat=(1, 1), texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "shown_tiles"
    spec.worldbody.add_geom(
        name="shown_floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(0, 0, 0.05),  # without end
        pos=(0, 0, 0.0 if own_floors else FLOOR),
        material="shown_tiles",
        rgba=(1, 1, 1, 1),
        contype=0,
        conaffinity=0,
    )
