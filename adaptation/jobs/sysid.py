"""Find the parameters of a recorded arm, and the ranges of tasks to train for it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from hw_interface.recording.reading import Decision, RecordedSession, read_recording
from robots.counting import counted
from robots.errors import BadArgumentError, DamagedError
from robots.world import Family
from sim.families import make_family
from sim.recorded_motion import DELAY, Motion, Scale
from sim.system_id import Fit, Fitted, Tell, fit, say_nothing

HELDOUT_SHARE = 0.25  # of the episodes, the last ones; at least one
MARGIN = 0.05  # of the old range, by which the new one is wider than the interval at each end


class FoundParameter(msgspec.Struct, frozen=True):
    """What a recording says about one parameter."""

    name: str
    unit: str
    value: float | None  # None: this motion does not show it
    low: float | None  # of the 95 % interval
    high: float | None
    effect: float  # rad, see ``sim.system_id.Fitted``


class SysidResult(msgspec.Struct, frozen=True):
    """Parameters of an arm, and whether a simulation with them moves more like it."""

    family: str
    episodes: int  # that were fitted
    heldout_episodes: int
    parameters: list[FoundParameter]
    error: float  # rad, root mean square over the fitted episodes
    nominal_error: float  # the same in the middle of all ranges
    heldout_error: float  # over the held-out episodes
    heldout_nominal_error: float
    better: bool  # whether the held-out error is smaller than in the middle of all ranges
    settings: list[str]  # ``range.NAME=LOW,HIGH`` around the found values; [] if not better


def sysid(
    path: Path,
    names: Sequence[str] = (),
    family_name: str | None = None,
    trial: int = 0,
    tell: Tell = say_nothing,
) -> SysidResult:
    """Fit the parameters of a family to what its arm did in a recording.

    All trials in the recording with the same object are used; the last quarter of their episodes
    is held out.

    Args:
        path: a recording of ``pliant deploy`` or ``pliant trial``.
        names: parameters to fit; (): all numbers among the family's ranges, and the delay.
        family_name: whose parameters; None: those of the recording's family.
        trial: number of a trial in the recording, from 0, whose object is meant.
        tell: gets a line about each step, which may take a minute.

    Raises:
        FileNotFoundError: there is no such recording.
        DamagedError: it is no whole recording, or lacks joints or setpoints of an episode.
        BadArgumentError: there is no such trial, parameter or family, or fewer than two episodes.
    """
    torch.set_num_threads(1)
    session = read_recording(path)
    family = make_family(family_name or session.notes["family"], session.notes["arm"])
    motions = _motions(session, family, trial, path)
    share = round(HELDOUT_SHARE * len(motions))
    count = max(1, share)
    if len(motions) < 2:
        raise BadArgumentError(
            f"{path} holds {counted(len(motions), 'episode')} with this object: one more is needed "
            "to check the fit"
        )
    found = fit(family, motions[:-count], motions[-count:], names, tell)
    better = found.heldout_error < found.heldout_nominal_error
    return SysidResult(
        family=family.name,
        episodes=len(motions) - count,
        heldout_episodes=count,
        parameters=[_describe(each) for each in found.parameters],
        error=found.error,
        nominal_error=found.nominal_error,
        heldout_error=found.heldout_error,
        heldout_nominal_error=found.heldout_nominal_error,
        better=better,
        settings=_settings(found) if better else [],
    )


def _motions(session: RecordedSession, family: Family, trial: int, path: Path) -> list[Motion]:
    """The motion of every episode with the object of a trial."""
    if not 0 <= trial < len(session.trials):
        raise BadArgumentError(
            f"{path} holds {counted(len(session.trials), 'trial')}; there is no {trial}"
        )
    meant = session.trials[trial].start.object
    motions = []
    for each in session.trials:
        if each.start.object != meant:
            continue
        for episode in each.episodes:
            motion = _motion(session, family, episode, path)
            motions.append(motion)
    return motions


def _motion(
    session: RecordedSession, family: Family, episode: Sequence[Decision], path: Path
) -> Motion:
    """From the beginning of the first action to the end of the last."""
    first = episode[0]
    last = episode[-1]
    duration = family.dt * family.action_repeat
    begin = first.time - duration
    end = last.time
    t, measured = session.joints.between(begin, end)
    set_times, setpoints = session.setpoints.between(begin, end)
    is_whole = len(t) > 1 and np.array_equal(t, set_times)  # both are recorded in every tick
    if not is_whole or not np.isfinite([measured, setpoints]).all():
        raise DamagedError(f"{path} lacks joints or setpoints of the episode that ends at {end} s")
    joints = len(family.body.joints)
    return Motion(
        t=t - t[0],
        q=measured[:, :joints],
        dq=measured[:, joints:],
        q_set=setpoints[:, :joints],
        dq_set=setpoints[:, joints:],
    )


def _describe(found: Fitted) -> FoundParameter:
    parameter = found.parameter
    low, high = found.interval or (None, None)
    value = None if found.interval is None else found.value
    return FoundParameter(parameter.name, parameter.unit, value, low, high, found.effect)


def _settings(found: Fit) -> list[str]:
    """The ranges of training around the found values."""
    settings = []
    for each in found.parameters:
        if each.interval is None or each.parameter is DELAY:
            continue
        scale = Scale(each.parameter)
        low, high = (scale.share(number) for number in each.interval)
        lowest, highest = each.parameter.allowed
        # rounded first: a bound must not be rounded to beyond what is allowed
        low = max(_rounded(scale.value(low - MARGIN)), lowest)
        high = min(_rounded(scale.value(high + MARGIN)), highest)
        settings.append(f"range.{each.parameter.name}={low},{high}")
    return settings


def _rounded(number: float) -> float:
    """With four digits."""
    return float(f"{number:.4g}")
