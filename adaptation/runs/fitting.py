"""Checks that a checkpoint fits the family and the arm that it is used for."""

import numpy as np

from adaptation.runs.contract import Contract, limit_names, show
from robots.arm import ArmSpec, Body
from robots.catalog import ARMS
from robots.errors import RefusedError
from robots.world import Family
from sim.families import full_name

# Limits this close are equal, in their own unit: a JSON number was rounded.
LIMIT_TOLERANCE = 1e-9


def check_family(contract: Contract, family: str, arm: str | None, origin: str) -> None:
    """Refuse a policy that was trained for another family, or for it with another arm.

    Args:
        contract: of the policy.
        family: its name, as the user gave it.
        arm: the arm that the family was given; None: it has its own.
        origin: of the policy, for the message.

    Raises:
        RefusedError: the names differ.
    """
    trained = full_name(contract.family, contract.family_arm)
    asked = full_name(family, arm)
    if asked != trained:
        raise RefusedError(f"{origin}: family: trained for {trained!r}, asked for {asked!r}")


def limit_mismatches(family: Family, arm: Body) -> list[str]:
    """One line for each limit of an arm that is tighter than in training; or for other joints."""
    if family.body.joints != arm.joints:
        return [f"joints: trained with {family.body.joints}, the arm has {arm.joints}"]
    # The sign of a less strict limit: +1, except for lower bounds.
    outward = {"q_low": -1.0, "tool_box": np.array([-1.0, 1.0])}
    mismatches = []
    for name in limit_names(family):
        trained = np.asarray(getattr(family.limits, name))
        available = np.asarray(getattr(arm.limits, name))
        room = (available - trained) * outward.get(name, 1.0)
        if (room < -LIMIT_TOLERANCE).any():
            was = show(trained.tolist())
            now = show(available.tolist())
            mismatches.append(f"limits.{name}: trained with {was}, the arm has {now}")
    return mismatches


def check_arm(contract: Contract, family: Family, arm: str, origin: str) -> None:
    """Refuse to drive an arm that a policy was not trained for.

    Raises:
        UnknownNameError: there is no such arm.
        RefusedError: it is another arm, or has tighter limits than were trained with.
    """
    name = ARMS[arm].name
    if name != contract.arm:
        reason = ""
        if not isinstance(family.body, ArmSpec):
            reason = f": {contract.arm} is no arm, and runs in simulation alone"
        raise RefusedError(
            f"{origin}: arm: trained for {contract.arm!r}, asked to drive {name!r}{reason}"
        )
    tighter = limit_mismatches(family, ARMS[arm])
    if tighter:
        raise RefusedError("\n  ".join([f"{origin} does not fit:", *tighter]))
