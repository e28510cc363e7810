"""What a live page shows, and where it is served."""

from dataclasses import dataclass

from hw_interface.control.layout import Sizes
from hw_interface.drivers import DRIVERS
from robots.arm import ArmSpec
from robots.camera import Camera
from robots.catalog import ARMS
from robots.scene import FLAT_OBJECT, SceneObject
from robots.world import Family
from sim.rendering.camera import camera_of

HOST = "127.0.0.1"


@dataclass(frozen=True)
class PagePlan:
    """What the page shows and where; sent to its process."""

    port: int
    title: str
    arm: ArmSpec
    sizes: Sizes  # of the shared memory
    rate: float  # Hz, of the control loop
    item: SceneObject  # that the tasks describe
    camera: Camera  # where the page is looked at from at first


def plan_page(port: int, family: Family, arm: str, driver: str) -> PagePlan:
    """The page for an arm that is driven in a family.

    Args:
        port: to serve at; 0: any that is free.
        family: what the arm is to do.
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
    """
    return PagePlan(
        port=port,
        title=f"{arm}, {family.name}",
        arm=ARMS[arm],
        sizes=Sizes.of(family),
        rate=1 / DRIVERS[driver].capabilities.dt,
        item=next(iter(family.scene.objects), FLAT_OBJECT),
        camera=camera_of(family.scene),
    )
