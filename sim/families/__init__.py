"""Task families: one file each, pure and batched; none imports an engine."""

from robots.registry import Registry

FAMILIES = Registry(
    "family",
    "pliant.families",
    {
        "cheetah_cripple": "sim.families.cheetah_faults:CheetahCripple",
        "cheetah_fwd_back": "sim.families.cheetah_goals:CheetahFwdBack",
        "cheetah_inverted": "sim.families.cheetah_faults:CheetahInverted",
        "cheetah_vel": "sim.families.cheetah_goals:CheetahVel",
        "point": "sim.families.point:Point",
        "point_sparse": "sim.families.point:SparsePoint",
        "reach": "sim.families.reach:Reach",
        "reach_viperx": "sim.families.reach:ReachViperx",
        "slide": "sim.families.slide:Slide",
    },
)
