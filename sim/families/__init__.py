"""Task families: one file each, pure and batched; none imports an engine."""

from collections.abc import Callable
from functools import partial
from inspect import signature

from robots.catalog import ARMS
from robots.errors import BadArgumentError, PliantError, UnknownNameError
from robots.registry import Registry
from robots.world import Family
from sim.metaworld.names import PREFIX as METAWORLD
from sim.metaworld.names import metaworld_names, split_tasks
from sim.suite.names import PREFIX as SUITE
from sim.suite.names import domain_and_task, suite_names

OTHERS = f"{SUITE}DOMAIN-TASK, {METAWORLD}ML1-TASK, {METAWORLD}ML10, {METAWORLD}ML45"


class FamilyRegistry(Registry):
    """The families, and those of dm_control's suite and of Meta-World.

    Iteration leaves out the latter two.
    """

    def __getitem__(self, name: str) -> Callable[..., Family]:
        """A family's class, or a factory of one of the others; errors as in ``Registry``."""
        if name.startswith(SUITE):
            domain, task = domain_and_task(name)
            return partial(self["sim.families.suite:Suite"], domain, task)
        if name.startswith(METAWORLD):
            split_tasks(name)  # an unknown name is an error
            return partial(self["sim.families.metaworld:Metaworld"], name)
        try:
            kind: Callable[..., Family] = super().__getitem__(name)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error}; and {OTHERS}") from None
        return kind

    def __contains__(self, name: object) -> bool:
        """Whether the name can be looked up; nothing is imported to find out."""
        others = (*suite_names(), *metaworld_names())
        return name in others or super().__contains__(name)


FAMILIES = FamilyRegistry(
    "family",
    "pliant.families",
    {
        "ant_cripple": "sim.families.ant_faults:AntCripple",
        "ant_fwd_back": "sim.families.ant_goals:AntFwdBack",
        "ant_goal": "sim.families.ant_goals:AntGoal",
        "carry": "sim.families.carry:Carry",
        "cheetah_cripple": "sim.families.cheetah_faults:CheetahCripple",
        "cheetah_fwd_back": "sim.families.cheetah_goals:CheetahFwdBack",
        "cheetah_inverted": "sim.families.cheetah_faults:CheetahInverted",
        "cheetah_params": "sim.families.cheetah_params:CheetahParams",
        "cheetah_pier": "sim.families.cheetah_pier:CheetahPier",
        "cheetah_slope": "sim.families.cheetah_slope:CheetahSlope",
        "cheetah_vel": "sim.families.cheetah_goals:CheetahVel",
        "cripple_arm": "sim.families.cripple_arm:CrippleArm",
        "door": "sim.families.door:Door",
        "go1_vel": "sim.families.go1_vel:Go1Vel",
        "hopper_params": "sim.families.hopper:HopperParams",
        "humanoid_dir": "sim.families.humanoid:HumanoidDir",
        "insert": "sim.families.insert:Insert",
        "latch": "sim.families.latch:Latch",
        "lift": "sim.families.lift:Lift",
        "point": "sim.families.point:Point",
        "point_sparse": "sim.families.point:SparsePoint",
        "push": "sim.families.push:Push",
        "quadruped_vel": "sim.families.quadruped_vel:QuadrupedVel",
        "reach": "sim.families.reach:Reach",
        "slide": "sim.families.slide:Slide",
        "slide_plane": "sim.families.slide_plane:SlidePlane",
        "walker_params": "sim.families.walker:WalkerParams",
    },
)


def full_name(family: str, arm: str | None) -> str:
    """The family's name with the arm appended if one is given, such as reach-viperx."""
    return family if arm is None else f"{family}-{arm}"


def file_name(family: str, arm: str | None) -> str:
    """``full_name`` as a part of a file's name, without the slash of suite/walker-walk."""
    return full_name(family, arm).replace("/", "-")


def make_family(name: str, arm: str | None = None) -> Family:
    """A family by its name, with another arm than its default if one is named.

    A family that runs on several arms has a parameter ``arm``, an ``ArmSpec``, in its class.

    Args:
        name: in ``FAMILIES``.
        arm: in ``ARMS``; None: the family's default.

    Raises:
        UnknownNameError: there is no such family or arm; the message lists those that exist.
        BadArgumentError: the family takes no arm, or this arm has no zone for its tasks.
    """
    kind = FAMILIES[name]
    if arm is None:
        own: Family = kind()
        return own
    body = ARMS[arm]
    if not takes_arm(name):
        raise BadArgumentError(f"{name} takes no arm, it has a body of its own; got {arm!r}")
    family: Family = kind(arm=body)
    return family


def takes_arm(name: str) -> bool:
    """Whether a family runs on several arms."""
    return "arm" in signature(FAMILIES[name]).parameters


def arms_for(name: str) -> list[str]:
    """The registered arms that have a zone for a family's tasks; none if it takes no arm."""
    if not takes_arm(name):
        return []
    arms = []
    for arm in ARMS:
        try:
            make_family(name, arm)
        except PliantError:  # it has no room for the tasks, or its entry is not filled in
            continue
        arms.append(arm)
    return arms
