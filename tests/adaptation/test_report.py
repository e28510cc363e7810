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

import numpy as np
import pytest
from websockets.sync.client import connect

from adaptation.reporting.report import report
from adaptation.reporting.statistics import compare_policies
from robots.catalog import ARMS
from robots.errors import BadArgumentError

ARM = ARMS["panda"]
POLICIES = ("method", "frozen", "blind", "oracle")
QUIET = """
    --headless --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-sync
    --disable-component-update --use-angle=swiftshader --enable-unsafe-swiftshader --window-size=1000,900
    --remote-debugging-port=0
"""


def line(k: int, policy: str, episode: int, rng: np.random.Generator) -> dict[str, Any]:
    worth = {"method": 0.4 + 0.25 * episode, "frozen": 0.4, "blind": 0.5, "oracle": 0.95}[policy]
    t = np.arange(20) * 0.1
    way = np.linspace(0.5, 0.5 + 0.45 * worth, 20)
    return {
        "object": k,
        "policy": policy,
        "episode": episode,
        "clock": "lockstep",
        "return": worth + 0.02 * rng.normal(),
        "success": policy == "oracle",
        "ticks": 20,
        "verdicts": {"LIMITED": 4},
        "events": [{"number": 0, "event": "STALE", "stamp": 1.5, "detail": 0.3}]
        if policy == "blind"
        else [],
        "task": {
            "object.shape": float(2 + k % 3),
            "object.friction": 0.1,
            "object.mass": 0.2,
            "evil": None,
        },
        "timing": None,
        "trace": {
            "t": t.tolist(),
            "q": (ARM.home + 0.1 * np.sin(t)[:, None]).tolist(),
            "object_pos": np.stack([way, 0 * way, 0 * way + 0.02], 1).tolist(),
            "object_quat": np.tile([1.0, 0, 0, 0], (20, 1)).tolist(),
            "marker": np.tile([0.95, 0.0, 0.0], (20, 1)).tolist(),
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small trial: three objects, two episodes, at the wall's pace one more, and a name that tries to be markup."""
    rng = np.random.default_rng(0)
    lines = [line(k, p, e, rng) for k, p, e in itertools.product(range(3), POLICIES, range(2))]
    quantiles = {"p50": 0.04, "p99": 0.12, "max": 0.9}
    timing = {"rate_hz": 500.0, "ticks": 1000, "missed": 0, "realtime": True}
    timing |= {"lateness_ms": quantiles, "policy_ms": quantiles}
    wall = line(0, "method", 0, rng) | {"clock": "wall", "timing": timing}
    asked = {
        "run": "runs/<b>bold</b>",
        "arm": "panda",
        "driver": "twin",
        "objects": 3,
        "clock": "lockstep",
        "seed": 0,
    }
    grid = {
        key: {p: np.array([[x[key] for x in lines if (x["policy"], x["episode"]) == (p, e)] for e in range(2)])
              for p in POLICIES}
        for key in ("return", "success")
    }  # fmt: skip
    result = compare_policies(grid["return"], grid["success"])
    result |= {"seconds": 1.0, "verdicts": {"LIMITED": 96}, "timing": timing}
    (tmp_path / "trial.json").write_text(json.dumps(asked))
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "episodes-0.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (tmp_path / "episodes-wall.jsonl").write_text(json.dumps(wall) + "\n")
    return tmp_path


def test_a_folder_that_is_neither_run_nor_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="neither"):
        report(tmp_path, tmp_path / "report.html")


def test_a_trial_that_has_not_ended_is_refused(folder: Path) -> None:
    (folder / "result.json").unlink()
    with pytest.raises(BadArgumentError, match="has not ended"):
        report(folder, folder / "report.html")


def test_it_says_what_was_measured_and_escapes_what_it_was_told(folder: Path) -> None:
    page = report(folder, folder / "report.html").read_text()
    assert "<b>bold</b>" not in page
    assert "3 new objects on panda" in page
    assert "0 missed" in page
    assert "<td>stale</td>" in page
    assert page.count("<svg") >= 1
    for shape in ("cylinder", "L", "T"):
        assert f'<td class="left">{shape}</td>' in page


def test_a_trial_without_an_object_has_a_report_too(folder: Path) -> None:
    """What is not measured is NaN, and null in a log."""
    log = folder / "episodes-0.jsonl"
    lines = [json.loads(row) for row in log.read_text().splitlines()]
    for row in lines:
        row["task"] = {"goal.x": 0.5}
        for name in ("object_pos", "object_quat", "marker"):
            row["trace"][name] = [[None] * len(x) for x in row["trace"][name]]
    log.write_text("".join(json.dumps(row) + "\n" for row in lines))
    (folder / "episodes-wall.jsonl").unlink()
    page = report(folder, folder / "report.html").read_text()
    assert "3 new objects on panda" in page
    assert 'id="scene"' not in page


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
        self.number, self.heard = 0, []
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
            self.heard.append(message)

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
def test_it_opens_in_a_browser_without_a_network_and_the_replay_draws(
    folder: Path, browser: Browser
) -> None:
    page = report(folder, folder / "report.html")
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

    asked = [
        x["params"]["request"]["url"]
        for x in browser.heard
        if x["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in asked), asked
    errors = [x for x in browser.heard if x["method"] == "Runtime.exceptionThrown"]
    assert not errors
