"""Task families: one file each, pure and batched; none imports an engine."""

from robots.registry import Registry

FAMILIES = Registry(
    "family",
    "pliant.families",
    {
        "ant_cripple": "sim.families.ant_faults:AntCripple",
        "ant_fwd_back": "sim.families.ant_goals:AntFwdBack",
        "ant_goal": "sim.families.ant_goals:AntGoal",
        "cheetah_cripple": "sim.families.cheetah_faults:CheetahCripple",
        "cheetah_fwd_back": "sim.families.cheetah_goals:CheetahFwdBack",
        "cheetah_inverted": "sim.families.cheetah_faults:CheetahInverted",
        "cheetah_params": "sim.families.cheetah_params:CheetahParams",
        "cheetah_vel": "sim.families.cheetah_goals:CheetahVel",
        "hopper_params": "sim.families.hopper:HopperParams",
        "humanoid_dir": "sim.families.humanoid:HumanoidDir",
        "point": "sim.families.point:Point",
        "point_sparse": "sim.families.point:SparsePoint",
        "reach": "sim.families.reach:Reach",
        "reach_viperx": "sim.families.reach:ReachViperx",
        "slide": "sim.families.slide:Slide",
        "walker_params": "sim.families.walker:WalkerParams",
    },
)
