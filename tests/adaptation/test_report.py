"""The report, as a person opens it: one file, in a browser, without a network."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.sync.client import connect

from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.metrics import describe_metric
from adaptation.reporting.report import write_report
from adaptation.reporting.statistics import compare_policies, policy_result
from adaptation.reporting.trial_grids import episode_grids
from adaptation.runs.records import (
    EpisodeRecord,
    Estimate,
    Event,
    GapClosed,
    HeldoutProgress,
    Trace,
    TrainProgress,
    TrialResult,
)
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from hw_interface.control.timing import Quantiles, Timing
from robots.catalog import ARMS
from robots.errors import BadArgumentError

ARM = ARMS["panda"]
OBJECTS = 3
EPISODES = 6
TICKS = 20
TARGET = 0.95  # m, along x
QUIET = """
    --headless --no-sandbox --disable-quic --no-first-run --disable-background-networking
    --disable-sync --disable-component-update --use-angle=swiftshader
    --enable-unsafe-swiftshader --window-size=1000,900 --remote-debugging-port=0
"""
HEADER = {
    "run": "runs/<b>bold</b>",
    "arm": "panda",
    "driver": "twin",
    "objects": OBJECTS,
    "episodes": None,
    "clock": "lockstep",
    "seed": 0,
    "options": {},
}
QUANTILES = Quantiles(p50=0.04, p99=0.12, max=0.9)
TIMING = Timing(
    rate_hz=500.0,
    ticks=1000,
    missed=0,
    realtime=True,
    lateness_ms=QUANTILES,
    policy_ms=QUANTILES,
)
# Of the first episode; the last name is a rival's.
SCORES = {
    "adapted": 0.4,
    "no_adaptation": 0.4,
    "blind": 0.5,
    "oracle": 0.95,
    "sysid_mpc": 0.6,
}


def trace(score: float) -> Trace:
    """The arm swings and the object slides a share of the way to its target."""
    t = np.arange(TICKS) * 0.1
    x = np.linspace(0.5, 0.5 + (TARGET - 0.5) * score, TICKS)
    height = np.full(TICKS, 0.02)
    return Trace(
        t=t.tolist(),
        q=(ARM.home + 0.1 * np.sin(t)[:, None]).tolist(),
        object_pos=np.stack([x, 0 * x, height], 1).tolist(),
        object_quat=np.tile([1.0, 0.0, 0.0, 0.0], (TICKS, 1)).tolist(),
        marker=np.tile([TARGET, 0.0, 0.0], (TICKS, 1)).tolist(),
    )


def episode_record(number: int, policy: str, episode: int, noise: float) -> EpisodeRecord:
    score = SCORES[policy]
    if policy == "adapted":
        score += 0.25 * min(episode, 1)
    stale = Event(number=0, event="STALE", stamp=1.5, detail=0.3)
    return EpisodeRecord(
        object=number,
        policy=policy,
        clock="lockstep",
        episode=episode,
        returns=score + 0.02 * noise,
        success=policy == "oracle",
        ticks=TICKS,
        verdicts={"LIMITED": 4},
        metrics={"distance_m": (TARGET - 0.5) * (1 - score)},
        task={
            "object.shape": float(2 + number % 3),
            "object.friction": 0.1 + 0.01 * number,
            "object.mass": 0.2,
            "evil": None,
        },
        events=[stale] if policy == "blind" else [],
        timing=None,
        most_stale=0,
        trace=trace(score),
    )


def trial_result(records: list[EpisodeRecord]) -> TrialResult:
    """What a trial concludes from its records, with differences that are easy to find in a page."""
    judged = compare_policies(episode_grids(records, "lockstep", Path("trial")))
    estimate = Estimate(
        success=0.3, gained=4, lost=1, mcnemar_p=0.375, value=0.25, interval=(0.2, 0.3)
    )
    changes = {
        "adaptation": estimate,
        "over_blind": msgspec.structs.replace(estimate, value=0.15, interval=(0.1, 0.2)),
        "gap_closed": GapClosed(0.33, (0.2, 0.4), None),
        "seconds": 1.0,
        "run": HEADER["run"],
    }
    return TrialResult(
        **msgspec.structs.asdict(judged) | changes,
        arm="panda",
        driver="twin",
        verdicts={"LIMITED": 96},
        timing=TIMING,
    )


def write_log(path: Path, records: list[EpisodeRecord]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


@pytest.fixture
def records() -> list[EpisodeRecord]:
    rng = np.random.default_rng(0)
    combinations = itertools.product(range(OBJECTS), SCORES, range(EPISODES))
    return [episode_record(*combination, rng.normal()) for combination in combinations]


@pytest.fixture
def folder(tmp_path: Path, records: list[EpisodeRecord]) -> Path:
    """A small trial, with one more episode in real time, of a run whose name is markup."""
    realtime = msgspec.structs.replace(records[0], clock="realtime", timing=TIMING, most_stale=2)
    (tmp_path / "trial.json").write_text(json.dumps(HEADER))
    (tmp_path / "result.json").write_bytes(msgspec.json.encode(trial_result(records)))
    write_log(tmp_path / "episodes-0.jsonl", records)
    write_log(tmp_path / "episodes-realtime.jsonl", [realtime])
    return tmp_path


def test_a_folder_that_is_neither_run_nor_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="neither"):
        write_report(tmp_path, tmp_path / "report.html")


def test_a_trial_that_has_not_ended_is_refused(folder: Path) -> None:
    (folder / "result.json").unlink()
    with pytest.raises(BadArgumentError, match="has not ended"):
        write_report(folder, folder / "report.html")


def test_a_trial_whose_run_is_gone_says_why_no_training_is_shown(folder: Path) -> None:
    text = write_report(folder, folder / "report.html").read_text(encoding="utf-8")
    assert "Its training is not shown: the run is gone, or has other weights by now." in text


def test_the_page_shows_what_was_measured_and_escapes_markup(folder: Path) -> None:
    page = write_report(folder, folder / "report.html").read_text()
    assert "<b>bold</b>" not in page
    assert "3 new objects on panda" in page
    assert "0 missed" in page
    assert "2 updates behind" in page
    assert "<td>stale</td>" in page
    assert page.count("<svg") >= 1
    for shape in ("cylinder", "L", "T"):
        assert f"<b>{shape}</b>" in page


def test_success_and_the_metric_of_the_family_come_before_returns(folder: Path) -> None:
    page = write_report(folder, folder / "report.html").read_text()
    in_order = (
        "0 of 3</b>objects solved",
        "success 0 %, with 95 % between 0 and 56 %",
        "27 → 15.7 cm</b>median distance, first to last episode",
        "<small>mean",
        "+0.25</b>return gained by adaptation",
        "95 %: +0.20 to +0.30",
        "success +30 points: 4 objects gained, 1 lost, p = 0.38",
        "+0.15</b>return above blind",
        "return above sysid mpc",
        "33 %</b>of the gap",
        "success, %, in episode",
        "distance, cm, in episode (median below)",
        "return, in episode",
    )
    position = 0
    for text in in_order:
        position = page.index(text, position)
    assert "95 % intervals over tasks of one training" in page
    assert "limited" in page
    assert "changed to stay inside a limit" in page


def test_a_share_of_the_gap_that_means_nothing_is_replaced_by_its_note(
    folder: Path, records: list[EpisodeRecord]
) -> None:
    note = "the oracle is under-trained"
    judged = trial_result(records)
    result = msgspec.structs.replace(
        judged,
        adaptation=msgspec.structs.replace(judged.adaptation, interval=None),
        gap_closed=GapClosed(None, None, note),
        oracle=None,
    )
    (folder / "result.json").write_bytes(msgspec.json.encode(result))
    page = write_report(folder, folder / "report.html").read_text()
    assert note in page
    assert "33 %" not in page
    assert "one object is no sample" in page


def test_a_trial_without_an_object_has_a_report_too(
    folder: Path, records: list[EpisodeRecord]
) -> None:
    """What is not measured is NaN, and null in a log."""
    nothing: list[list[float | None]] = [[None] * 4] * TICKS
    unmeasured = {"object_pos": nothing, "object_quat": nothing, "marker": nothing}
    without_object = [
        msgspec.structs.replace(
            record,
            task={"goal.x": 0.5},
            trace=msgspec.structs.replace(record.trace, **unmeasured),
        )
        for record in records
    ]
    write_log(folder / "episodes-0.jsonl", without_object)
    (folder / "episodes-realtime.jsonl").unlink()
    page = write_report(folder, folder / "report.html").read_text()
    assert "3 new objects on panda" in page
    assert 'id="scene"' not in page
    assert "mass, kg" not in page


def test_a_runs_page_shows_what_it_reached_on_held_out_tasks_during_training(
    tmp_path: Path, registered: None
) -> None:
    run = Run.create(tmp_path / "run", RunConfig("counter", "tiny", references=False))
    progress = TrainProgress(
        iteration=1,
        steps=40,
        gradient_steps=1,
        seconds=0.5,
        returns=[-3.0, -2.0],
        success=[0.0, 0.5],
        learn={},
    )
    run.log_path("method").write_bytes(msgspec.json.encode(progress) + b"\n")
    without = write_report(run.path, tmp_path / "report.html").read_text()
    assert without.count("<svg") == 1
    assert "held-out tasks" not in without
    result = policy_result(EpisodeGrid(np.zeros((2, 5)), np.ones((2, 5)), {}))
    for role in ("method", "oracle"):
        line = HeldoutProgress(iteration=1, steps=40, gradient_steps=1, seconds=0.5, result=result)
        run.heldout_path(role).write_bytes(msgspec.json.encode(line) + b"\n")
    page = write_report(run.path, tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "on held-out tasks, evaluated during training" in page
    curves = page[page.index("held-out tasks") :]
    for text in ("success, %", "environment steps", ">oracle<"):
        assert text in curves


@pytest.mark.parametrize(
    ("name", "label", "unit", "shown"),
    [
        ("distance_m", "distance", "cm", "12.3"),
        ("speed_error_mps", "speed error", "m/s", "0.123"),
        ("angle_rad", "angle", "rad", "0.123"),
        ("steps", "steps", "", "0.123"),
    ],
)
def test_a_metric_is_shown_with_its_unit(name: str, label: str, unit: str, shown: str) -> None:
    metric = describe_metric(name)
    assert (metric.label, metric.unit) == (label, unit)
    assert metric.show(0.1234) == shown
    assert metric.show(None) == "–"


class Browser:
    """Headless Chromium over its DevTools protocol, on loopback."""

    def __init__(self, profile: Path) -> None:
        binary = shutil.which("chromium") or shutil.which("google-chrome")
        if binary is None:
            pytest.skip("no chromium on this machine: the report was not opened in a browser")
        command = [binary, *QUIET.split(), f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = self._wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0])
        import urllib.request

        def page() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as found:
                return next(
                    x["webSocketDebuggerUrl"] for x in json.load(found) if x["type"] == "page"
                )

        self.socket = connect(self._wait(page), max_size=None)
        self.number = 0
        self.messages: list[Any] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    @staticmethod
    def _wait(get: Any, seconds: float = 30.0) -> Any:
        until = time.monotonic() + seconds
        while True:
            try:
                return get()
            except (OSError, StopIteration, IndexError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.number:
                assert "error" not in message, message
                return dict(message["result"])
            self.messages.append(message)

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def picture(self, selector: str) -> bytes:
        """A PNG of one element."""
        corners = "(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])"
        box = self.evaluate(
            f"{corners}(document.querySelector('{selector}').getBoundingClientRect())"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", clip=clip)["data"])

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def shown(picture: bytes) -> tuple[bool, bool, bool]:
    """Whether a PNG has an arm's darkest parts, an orange object and a green target in it."""
    import matplotlib.image

    red, green, blue = np.moveaxis(matplotlib.image.imread(io.BytesIO(picture))[..., :3], -1, 0)
    dark = (red < 0.3) & (green < 0.3) & (blue < 0.35)
    orange = (red > 0.5) & (red > 1.3 * green) & (green > 1.3 * blue)
    lush = (green > 1.2 * red) & (green > 1.1 * blue)
    return bool(dark.sum() > 500), bool(orange.sum() > 50), bool(lush.sum() > 100)


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_it_opens_in_a_browser_without_a_network_and_the_replay_draws(
    folder: Path, browser: Browser
) -> None:
    page = write_report(folder, folder / "report.html")
    browser.call("Page.navigate", url=page.as_uri())
    until = time.monotonic() + 30
    while browser.evaluate("document.readyState") != "complete" and time.monotonic() < until:
        time.sleep(0.2)
    assert browser.evaluate("document.querySelectorAll('table').length") >= 4
    assert browser.evaluate("document.querySelectorAll('svg path').length") > 10
    assert not browser.evaluate("document.documentElement.scrollWidth > innerWidth"), (
        "it scrolls sideways"
    )

    browser.evaluate(
        "document.getElementById('play').click(); document.querySelector('iframe').scrollIntoView()"
    )
    drawn, until = (False,) * 3, time.monotonic() + 90
    while not all(drawn) and time.monotonic() < until:
        time.sleep(2)
        drawn = shown(browser.picture("iframe"))
    assert all(drawn), f"arm, object and target in the 3-D replay: {drawn}"

    requested = [
        x["params"]["request"]["url"]
        for x in browser.messages
        if x["method"] == "Network.requestWillBeSent"
    ]
    assert requested
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in requested), (
        requested
    )
    errors = [x for x in browser.messages if x["method"] == "Runtime.exceptionThrown"]
    assert not errors

    narrow = {"width": 500, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **narrow)
    boxes = "[...document.querySelectorAll('.scroll, body')]"
    cut_off = f"{boxes}.filter(x => x.scrollWidth > x.clientWidth)"
    assert browser.evaluate(f"{cut_off}.length") == 0, "a table scrolls sideways at 500 pixels"
