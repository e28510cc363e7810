"""Task families: one file each, pure and batched; none imports an engine."""

from robots.registry import Registry

FAMILIES = Registry(
    "family",
    {
        "point": "sim.families.point:Point",
        "point_sparse": "sim.families.point:SparsePoint",
        "reach": "sim.families.reach:Reach",
        "slide": "sim.families.slide:Slide",
    },
)
