"""A checkpoint is whole or refused, and drives only what it was trained for."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptation.rollout import rollout
from adaptation.runs import archive, checkpoint
from robots.catalog import ARMS
from robots.errors import BadArgumentError, DamagedError, RefusedError

pytestmark = pytest.mark.usefixtures("registered")
FAMILY = tiny.Tiny()


def counter() -> Any:
    return checkpoint.build("counter", FAMILY, seed=1)


def save(folder: Path, method: Any = None, trainer: dict[str, Any] | None = None) -> Any:
    method = method or counter()
    trial = rollout(tiny.Script(3), method, FAMILY.sample(np.random.default_rng(0), 3), episodes=2)
    method.learn(trial)
    checkpoint.save(folder, "counter", method, FAMILY, trial, trainer or {"iteration": 7})
    return method


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(tmp_path / "method")
    return tmp_path / "method"


def test_a_loaded_method_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    method = save(tmp_path / "method", trainer={"iteration": 3, "seconds": 0.1})
    found = checkpoint.load(tmp_path / "method", arm="tiny-arm", family="tiny")
    assert found.trainer == {"iteration": 3, "seconds": 0.1}
    trials = [
        rollout(tiny.Script(2), m, FAMILY.sample(np.random.default_rng(1), 2), episodes=2)
        for m in (method, found.method)
    ]
    assert torch.equal(trials[0].ticks.action, trials[1].ticks.action)
    assert method.learn(trials[0]) == found.method.learn(trials[1])


def test_saving_leaves_the_method_as_it_was(tmp_path: Path) -> None:
    method = counter()
    before = method.generator.get_state()
    trial = rollout(
        tiny.Script(1),
        method,
        FAMILY.sample(np.random.default_rng(0), 1),
        episodes=1,
        explore=False,
    )
    checkpoint.save(tmp_path / "a", "counter", method, FAMILY, trial, {})
    assert torch.equal(method.generator.get_state(), before)


def test_every_truncation_and_flip_is_refused(saved: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (*archive.read(saved), archive.MANIFEST):
        whole = (saved / name).read_bytes()
        cuts = [whole[:n] for n in {0, 1, len(whole) // 2, len(whole) - 1}]
        for _ in range(150 if name != archive.MANIFEST else 600):
            flipped = bytearray(whole)
            flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            cuts.append(bytes(flipped))
        for damaged in [*cuts, whole + b" ", whole + b"\n"]:
            (saved / name).write_bytes(damaged)
            with pytest.raises((DamagedError, RefusedError)):
                checkpoint.load(saved)
        (saved / name).unlink()
        with pytest.raises(DamagedError):
            checkpoint.load(saved)
        (saved / name).write_bytes(whole)
    checkpoint.load(saved)


def edit(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change one file as someone would who also mends the manifest."""
    files = archive.read(folder)
    document = json.loads(files[name])
    change(document)
    files[name] = msgspec.json.encode(document)
    archive.write(folder, files)


EDITS = {
    "permuted joints": (
        lambda c: c["joints"].reverse(),
        "joints: trained with ('elbow', 'shoulder'), here",
    ),
    "degrees": (
        lambda c: c["observation"].update(units=["deg", "deg"]),
        "observation.units: trained with ('deg', 'deg')",
    ),
    "another scale": (
        lambda c: c["drives"][0].__setitem__(0, 28.6),
        "drives: trained with ((28.6, 0), (0, 0.5))",
    ),
    "another rate": (lambda c: c.update(dt=0.05), "dt: trained with 0.05, here 0.1"),
    "another family": (
        lambda c: c.update(family="reach"),
        "family: trained for 'reach', asked for 'tiny'",
    ),
    "another arm": (
        lambda c: c.update(arm="ur5e"),
        "arm: trained for 'ur5e', asked to drive 'tiny-arm'",
    ),
    "another version": (lambda c: c.update(pliant="9.9"), "pliant: trained with '9.9', here"),
    "another form": (lambda c: c.update(format=2), "format: trained with 2, here 1"),
    "another limit": (
        lambda c: c["limits"]["dq"].__setitem__(1, 2.0),
        "limits.dq: trained with (1, 2), here (1, 1)",
    ),
    "another normaliser": (
        lambda c: c["normaliser"].update({"/net/obs.scale": [1, 57.3]}),
        "normaliser./net/obs.scale",
    ),
    "another belief": (
        lambda c: c["belief"].update({"/last": [3]}),
        "belief./last: trained with (3), here (2)",
    ),
    "other weights": (lambda c: c.update(sha256="0" * 64), "sha256: trained with"),
    "another history": (lambda c: c.update(observed=4), "observed: trained with 4, here 1"),
    "another delay": (
        lambda c: c["disturbances"].update(high=[0.5]),
        "disturbances.high: trained with (0.5)",
    ),
    "another gain": (lambda c: c["config"].update(gain=0.9), "actions differ by up to"),
    "a missing line": (lambda c: c.pop("dt"), "missing required field `dt`"),
    "an unknown line": (lambda c: c.update(secret=1), "unknown field `secret`"),
    "a wrong type": (lambda c: c.update(dt="fast"), "Expected `float`, got `str`"),
}


@pytest.mark.parametrize(("change", "said"), EDITS.values(), ids=list(EDITS))
def test_a_contract_that_does_not_fit_is_refused_by_name(
    saved: Path, change: Any, said: str
) -> None:
    edit(saved, checkpoint.CONTRACT, change)
    with pytest.raises(RefusedError) as refused:
        checkpoint.load(saved, arm="tiny-arm", family="tiny")
    assert said in str(refused.value)


def test_a_run_for_another_arm_or_family_is_refused_by_name(saved: Path) -> None:
    ARMS.add("other", "tiny:OTHER")
    try:
        with pytest.raises(
            RefusedError, match="trained for 'tiny-arm', asked to drive 'other-arm'"
        ):
            checkpoint.load(saved, arm="other")
    finally:
        del ARMS._entries["other"]
    with pytest.raises(RefusedError, match="trained for 'tiny', asked for 'slide'"):
        checkpoint.load(saved, family="slide")


@pytest.mark.parametrize(
    ("narrow", "refused"), [("dq", 0.5), ("q_low", -2.0), ("q_high", 4.0), ("tool_box", 0.9)]
)
def test_an_arm_may_have_more_room_than_was_trained_with_but_not_less(
    saved: Path, monkeypatch: pytest.MonkeyPatch, narrow: str, refused: float
) -> None:
    value = getattr(tiny.LIMITS, narrow)
    edge = np.sign(value) * abs(refused)
    body = replace(tiny.BODY, limits=replace(tiny.LIMITS, **{narrow: edge}))
    monkeypatch.setattr(tiny, "BODY", body)  # the arm; the family keeps its own
    if (abs(edge) > abs(value)).all():
        checkpoint.load(saved, arm="tiny-arm")
    else:
        with pytest.raises(RefusedError, match=f"limits.{narrow}: trained with"):
            checkpoint.load(saved, arm="tiny-arm")


def test_weights_that_decide_otherwise_are_refused(saved: Path) -> None:
    files = archive.read(saved)
    tree = archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])
    tree["method"]["net"]["weight"] += 0.5
    weights, form = archive.pack(tree)
    contract = json.loads(files[checkpoint.CONTRACT]) | {
        "sha256": hashlib.sha256(weights).hexdigest()
    }
    archive.write(
        saved,
        {
            "weights.safetensors": weights,
            "state.json": form,
            "contract.json": json.dumps(contract).encode(),
        },
    )
    with pytest.raises(RefusedError, match="actions differ by up to"):
        checkpoint.load(saved)


def test_ten_decisions_are_recorded_under_growing_beliefs(saved: Path) -> None:
    files = archive.read(saved)
    examples = archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])["examples"]
    assert len(examples) == 10
    assert [int(x["belief"]["/ticks"]) for x in examples] == list(range(10))


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "nothing")


class KilledError(Exception):
    pass


@pytest.mark.parametrize("step", range(13))
def test_a_kill_at_any_step_of_writing_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = tmp_path / "method"
    old, new = {"a": b"old", "b": b"1"}, {"a": b"new", "b": b"2", "c": b"3"}
    archive.write(folder, old)
    calls = iter(range(1000))

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == step:
                raise KilledError
            return real(*args, **kwargs)

        return call

    finished = False
    with monkeypatch.context() as dies:
        dies.setattr(archive.os, "fsync", dying(archive.os.fsync))
        dies.setattr(Path, "rename", dying(Path.rename))
        dies.setattr(Path, "mkdir", dying(Path.mkdir))
        dies.setattr(shutil, "rmtree", dying(shutil.rmtree))
        try:
            archive.write(folder, new)
            finished = True
        except KilledError:
            pass
    assert archive.exists(folder)
    assert archive.read(folder) in (old, new)
    archive.finish_interrupted_write(folder)
    assert archive.read(folder) == new if finished else archive.read(folder) in (old, new)
    assert [p.name for p in tmp_path.iterdir()] == ["method"]
    archive.write(folder, new)
    assert archive.read(folder) == new
    assert finished == (step >= 12)


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
trees = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=trees)
def test_trees_come_back_as_they_were(tree: Any) -> None:
    def same(a: Any, b: Any) -> bool:
        if isinstance(a, dict):
            return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
        if isinstance(a, (list, tuple)):
            return len(a) == len(b) and all(map(same, a, b))
        return (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))) and type(
            a
        ) is type(b)

    back = archive.unpack(*archive.pack(tree))
    assert type(back) is type(tree)
    assert same(tree, back)


def test_tensors_come_back_as_they_were() -> None:
    shared = torch.arange(6.0)
    optimizer = torch.optim.Adam([torch.nn.Parameter(shared.clone())])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    tree = {
        "a": shared,
        "b": shared[::2],
        "flag": torch.tensor(True),
        "empty": torch.zeros(0, 3),
        "np": np.arange(3),
    }
    tree["adam"] = optimizer.state_dict()
    back = archive.unpack(*archive.pack(tree))
    assert all(
        torch.equal(back[k], tree[k]) and back[k].dtype == tree[k].dtype
        for k in ("a", "b", "flag", "empty")
    )
    assert np.array_equal(back["np"], tree["np"])
    torch.optim.Adam([torch.nn.Parameter(shared.clone())]).load_state_dict(back["adam"])
    back["a"] += 1  # its own memory


def test_what_is_not_a_number_is_refused_at_saving() -> None:
    with pytest.raises(TypeError, match="state/a/0 is a object"):
        archive.pack({"a": [object()]})


def test_settings_are_named_when_wrong() -> None:
    assert (
        checkpoint.configured(
            "counter", "tiny", {"gain": 2, "schedule.meta_batch": 9}
        ).schedule.meta_batch
        == 9
    )
    with pytest.raises(
        BadArgumentError, match=r"no setting 'sac.lr'; there are: gain, sizes, schedule.meta_batch"
    ):
        checkpoint.configured("counter", "tiny", {"sac.lr": 1})
    with pytest.raises(BadArgumentError, match=r"gain"):
        checkpoint.configured("counter", "tiny", {"gain": "much"})
