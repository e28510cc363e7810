"""A checkpoint is whole or refused, and drives only what it was trained for."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
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
from adaptation.runs.contract import describe
from adaptation.runs.decisions import record_decisions
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.belief import named_tensors
from policies.method import TrialBatch
from policies.methods import METHODS
from robots.catalog import ARMS
from robots.errors import BadArgumentError, DamagedError, RefusedError

pytestmark = pytest.mark.usefixtures("registered")
FAMILY: Any = tiny.Tiny()


def counter() -> Any:
    return checkpoint.build("counter", FAMILY, seed=1)


def act(method: Any, n: int, seed: int = 0, episodes: int = 2, explore: bool = True) -> TrialBatch:
    """One trial of n tasks in a scripted world."""
    task = FAMILY.sample(np.random.default_rng(seed), n)
    return rollout(tiny.Script(n), method, task, episodes, explore)


def save(folder: Path, trainer: dict[str, Any] | None = None) -> Any:
    method = counter()
    trial = act(method, n=3)
    method.learn(trial)
    checkpoint.save(folder, "counter", method, "tiny", trial, trainer or {"iteration": 7})
    return method


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(tmp_path / "method")
    return tmp_path / "method"


def test_a_loaded_method_continues_as_the_saved_one(tmp_path: Path) -> None:
    method = save(tmp_path / "method", trainer={"iteration": 3, "seconds": 0.1})
    loaded = checkpoint.load(tmp_path / "method", arm="tiny-arm", family="tiny")
    assert loaded.trainer == {"iteration": 3, "seconds": 0.1}
    saved_trial, loaded_trial = (act(m, n=2, seed=1) for m in (method, loaded.method))
    assert torch.equal(saved_trial.ticks.action, loaded_trial.ticks.action)
    assert method.learn(saved_trial) == loaded.method.learn(loaded_trial)


def test_a_loaded_method_can_be_put_back_into_its_saved_state(saved: Path) -> None:
    loaded = checkpoint.load(saved)
    first = act(loaded.method, n=2)
    loaded.restore()
    assert torch.equal(act(loaded.method, n=2).ticks.action, first.ticks.action)


def test_a_checkpoint_reaches_another_process_without_being_read_again(saved: Path) -> None:
    loaded = checkpoint.load(saved)
    expected = act(loaded.method, n=2)
    sent = ForkingPickler.dumps(loaded)  # after acting: what is sent is the saved state
    shutil.rmtree(saved)
    received = ForkingPickler.loads(sent)
    assert torch.equal(act(received.method, n=2).ticks.action, expected.ticks.action)
    assert received.contract == loaded.contract
    assert received.trainer == loaded.trainer


def test_saving_leaves_the_method_as_it_was(tmp_path: Path) -> None:
    method = counter()
    before = method.generator.get_state()
    trial = act(method, n=1, episodes=1, explore=False)
    checkpoint.save(tmp_path / "a", "counter", method, "tiny", trial, {})
    assert torch.equal(method.generator.get_state(), before)


def test_every_truncation_and_flip_is_refused(saved: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (*archive.read(saved), archive.MANIFEST):
        whole = (saved / name).read_bytes()
        sizes = {0, 1, len(whole) // 2, len(whole) - 1}
        versions = [whole[:size] for size in sizes]
        versions += [whole + b" ", whole + b"\n"]
        for _ in range(600 if name == archive.MANIFEST else 150):
            flipped = bytearray(whole)
            flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            versions.append(bytes(flipped))
        for damaged in versions:
            (saved / name).write_bytes(damaged)
            with pytest.raises((DamagedError, RefusedError)):
                checkpoint.load(saved)
        (saved / name).unlink()
        with pytest.raises(DamagedError):
            checkpoint.load(saved)
        (saved / name).write_bytes(whole)
    checkpoint.load(saved)


def edit(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change one file of a checkpoint and write a manifest that fits."""
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
        lambda c: c["unit_action_response"][0].__setitem__(0, 28.6),
        "unit_action_response: trained with ((28.6, 0), (0, 0.5))",
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
    "another format": (
        lambda c: c.update(format=1),
        "written by format 1, this version reads format 2: train again",
    ),
    "fields of another format": (
        lambda c: (c.update(format=1, told=[]), c.pop("privileged_parameters")),
        "written by format 1, this version reads format 2: train again",
    ),
    "another limit": (
        lambda c: c["limits"]["dq"].__setitem__(1, 2.0),
        "limits.dq: trained with (1, 2), here (1, 1)",
    ),
    "another normalizer": (
        lambda c: c["normalizers"].update({"/net/obs_norm.inv_std": [1, 57.3]}),
        "normalizers./net/obs_norm.inv_std: trained with (1, 57.3), here (1, 1)",
    ),
    "another belief": (
        lambda c: c["belief"].update({"/last": [3]}),
        "belief./last: trained with (3), here (2)",
    ),
    "other weights": (lambda c: c.update(sha256="0" * 64), "sha256: trained with"),
    "another history": (
        lambda c: c.update(observation_steps=4),
        "observation_steps: trained with 4, here 1",
    ),
    "another delay": (
        lambda c: c["disturbances"].update(high=[0.5]),
        "disturbances.high: trained with (0.5)",
    ),
    "another gain": (lambda c: c["config"].update(gain=0.9), "actions differ by up to"),
    "an unknown setting": (
        lambda c: c["config"]["schedule"].update(secret=1),
        "config.schedule.secret: trained with 1, here None",
    ),
    "a missing line": (lambda c: c.pop("dt"), "missing required field `dt`"),
    "an unknown line": (lambda c: c.update(secret=1), "unknown field `secret`"),
    "a wrong type": (lambda c: c.update(dt="fast"), "Expected `float`, got `str`"),
}


@pytest.mark.parametrize(("change", "message"), EDITS.values(), ids=list(EDITS))
def test_a_contract_that_does_not_fit_is_refused_by_name(
    saved: Path, change: Any, message: str
) -> None:
    edit(saved, checkpoint.CONTRACT, change)
    with pytest.raises(RefusedError) as refused:
        checkpoint.load(saved, arm="tiny-arm", family="tiny")
    assert message in str(refused.value)


def test_a_run_from_before_the_limit_of_the_tool_s_speed_is_still_read(saved: Path) -> None:
    edit(saved, checkpoint.CONTRACT, lambda c: c["limits"].pop("tool_speed"))
    checkpoint.load(saved, arm="tiny-arm", family="tiny")
    edit(saved, checkpoint.CONTRACT, lambda c: c["limits"].update(tool_speed=9.0))
    with pytest.raises(RefusedError, match=r"limits\.tool_speed: trained with 9"):
        checkpoint.load(saved, arm="tiny-arm", family="tiny")


def test_a_setting_that_is_newer_than_the_checkpoint_takes_its_default_and_a_note_says_so(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint.load(saved)
    assert capfd.readouterr().err == ""

    def forget(contract: Any) -> None:
        del contract["config"]["gain"]
        del contract["config"]["schedule"]

    edit(saved, checkpoint.CONTRACT, forget)
    loaded = checkpoint.load(saved, arm="tiny-arm", family="tiny")
    assert loaded.method.config == counter().config
    assert "gain=0.5, schedule.meta_batch=4," in capfd.readouterr().err


def test_a_default_that_decides_otherwise_than_the_checkpoint_did_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(saved, checkpoint.CONTRACT, lambda c: c["config"].pop("gain"))

    @dataclass(frozen=True)
    class Changed(tiny.CounterConfig):
        gain: float = 0.9

    monkeypatch.setattr(tiny.Counter, "Config", Changed)
    with pytest.raises(RefusedError, match="actions differ by up to"):
        checkpoint.load(saved)


WITHOUT_NETWORKS = ("sysid_mpc",)


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_records_what_every_normalizer_of_a_method_scales_with(name: str) -> None:
    family = checkpoint.family_named("point")
    method = checkpoint.build(name, family, seed=0)
    expected = set()
    for path in named_tensors(method.state_dict()):
        if path.endswith("running_mean"):
            normalizer = path.removesuffix("running_mean")
            expected |= {f"{normalizer}mean", f"{normalizer}inv_std"}
    assert bool(expected) == (name not in WITHOUT_NETWORKS)
    assert set(describe("point", family, name, method, "").normalizers) == expected


def test_a_run_for_another_arm_or_family_is_refused_by_name(saved: Path) -> None:
    message = "trained for 'tiny-arm', asked to drive 'other-arm'"
    with (
        ARMS.temporarily("other", "tiny:OTHER"),
        pytest.raises(RefusedError, match=message),
    ):
        checkpoint.load(saved, arm="other")
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


def edit_tree(folder: Path, change: Callable[[Any], None]) -> None:
    """Change what a checkpoint holds and write a contract and a manifest that fit."""
    files = archive.read(folder)
    tree = archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])
    change(tree)
    weights, form = archive.pack(tree)
    contract = json.loads(files[checkpoint.CONTRACT])
    contract["sha256"] = hashlib.sha256(weights).hexdigest()
    files = {
        checkpoint.WEIGHTS: weights,
        checkpoint.STATE: form,
        checkpoint.CONTRACT: json.dumps(contract).encode(),
    }
    archive.write(folder, files)


def test_weights_that_decide_otherwise_are_refused(saved: Path) -> None:
    def change(tree: Any) -> None:
        tree["method"]["net"]["weight"] += 0.5

    edit_tree(saved, change)
    with pytest.raises(RefusedError, match="actions differ by up to"):
        checkpoint.load(saved)


@pytest.mark.parametrize("number", [0, 5, 9])
@pytest.mark.parametrize("value", [0.5, torch.nan])
def test_every_decision_is_repeated(saved: Path, number: int, value: float) -> None:
    def change(tree: Any) -> None:
        tree["examples"][number]["action"] += value

    edit_tree(saved, change)
    with pytest.raises(RefusedError, match="actions differ by up to"):
        checkpoint.load(saved)


def test_loading_leaves_the_random_stream_as_it_was_saved(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a method that draws random numbers in every decision."""
    state = checkpoint.load(saved).method.generator.get_state()
    decide = tiny.Counter.act

    def draw_and_decide(self: tiny.Counter, *args: Any, **kwargs: Any) -> torch.Tensor:
        torch.rand(1, generator=self.generator)
        return decide(self, *args, **kwargs)

    monkeypatch.setattr(tiny.Counter, "act", draw_and_decide)
    assert torch.equal(checkpoint.load(saved).method.generator.get_state(), state)


def test_ten_decisions_are_recorded_under_growing_beliefs(saved: Path) -> None:
    files = archive.read(saved)
    examples = archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])["examples"]
    assert len(examples) == 10
    assert [int(x["belief"]["/ticks"]) for x in examples] == list(range(10))


def test_no_decision_of_a_short_trial_is_recorded_twice() -> None:
    decisions = record_decisions(counter(), act(counter(), n=1, episodes=1))
    assert [int(x["belief"]["/ticks"]) for x in decisions] == list(range(FAMILY.horizon))


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "nothing")


class KilledError(Exception):
    pass


@pytest.mark.parametrize("step", range(13))
def test_a_kill_at_any_step_of_writing_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = tmp_path / "method"
    old = {"a": b"old", "b": b"1"}
    new = {"a": b"new", "b": b"2", "c": b"3"}
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
    allowed = (new,) if finished else (old, new)
    assert archive.read(folder) in allowed
    assert [p.name for p in tmp_path.iterdir()] == ["method"]
    archive.write(folder, new)
    assert archive.read(folder) == new
    assert finished == (step >= 12)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    keys = st.one_of(st.text(), st.integers(0, 9))
    return st.one_of(lists, lists.map(tuple), st.dictionaries(keys, inner, max_size=3))


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
TREES = st.recursive(LEAVES, containers, max_leaves=8)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return a == b


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=TREES)
def test_trees_come_back_as_they_were(tree: Any) -> None:
    assert same(tree, archive.unpack(*archive.pack(tree)))


def test_tensors_come_back_as_they_were() -> None:
    shared = torch.arange(6.0)
    parameter = torch.nn.Parameter(shared.clone())
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
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
    for name in ("a", "b", "flag", "empty"):
        assert torch.equal(back[name], tree[name])
        assert back[name].dtype == tree[name].dtype
    assert np.array_equal(back["np"], tree["np"])
    torch.optim.Adam([torch.nn.Parameter(shared.clone())]).load_state_dict(back["adam"])
    back["a"] += 1  # its own memory


def test_objects_are_refused_at_saving() -> None:
    with pytest.raises(TypeError, match="state/a/0 is a object"):
        archive.pack({"a": [object()]})


def test_settings_are_named_when_wrong() -> None:
    changes = {"gain": 2, "schedule.meta_batch": 9}
    tiny = checkpoint.family_named("tiny")
    config = checkpoint.method_config("counter", tiny, "cpu", changes)
    assert config.schedule.meta_batch == 9
    with pytest.raises(BadArgumentError, match=r"sac.lr.*gain, sizes, schedule.meta_batch"):
        checkpoint.method_config("counter", tiny, "cpu", {"sac.lr": 1})
    with pytest.raises(BadArgumentError, match=r"gain"):
        checkpoint.method_config("counter", tiny, "cpu", {"gain": "much"})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with a checkpoint of its method and one of ``blind``."""
    run = Run.create(tmp_path / "run", RunConfig("counter", "tiny"))
    for role in ("method", "blind"):
        save(run.checkpoint_folder(role))
    return run


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The first argument of every call of a function from now on."""
    calls: list[Any] = []
    function = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[0])
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def test_a_run_reads_each_checkpoint_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_calls(monkeypatch, archive, "read")
    for _ in range(2):
        assert [name for name, _ in run.policies()] == ["adapted", "no_adaptation", "blind"]
    assert [name for name, _ in run.policies("tiny-arm")] == ["adapted", "no_adaptation", "blind"]
    assert [folder.name for folder in reads] == ["method", "blind"]
    with pytest.raises(RefusedError, match="asked to drive 'panda'"):
        run.load("method", arm="panda")


def test_every_policy_starts_in_the_state_it_was_saved_in(run: Run) -> None:
    for explore in (True, False):
        repetitions = []
        for _ in range(2):
            actions = {}
            for name, policy in run.policies():
                actions[name] = act(policy, n=2, explore=explore).ticks.action
            repetitions.append(actions)
        first, again = repetitions
        for name, taken in first.items():
            assert torch.equal(taken, again[name])
    assert torch.equal(first["adapted"][0, 0], first["no_adaptation"][0, 0]), "without exploration"
