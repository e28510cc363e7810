"""The live page: what it shows, what its buttons do, and that its troubles stay with it."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from live_arm import FAMILY, PATIENCE, Browser, PublishedArm
from websockets.exceptions import InvalidStatus

from adaptation import cli
from adaptation.live import panel
from adaptation.live.belief_numbers import MOST, describe_belief
from adaptation.live.client import LivePage
from adaptation.live.plan import HOST, plan_page
from adaptation.live.snapshot import BUTTONS, BeliefNumber, JudgedEpisode, Snapshot
from hw_interface.control.events import Event, Mode
from hw_interface.control.explanations import EVENTS, MODES, explain_event
from policies.models.particles import InfersParameters, Particles
from policies.models.posterior import Posterior
from policies.models.trial_vae import DiagonalGaussian
from robots.errors import BadArgumentError
from robots.world import Step


def start_page(port: int = 0) -> LivePage:
    return LivePage(plan_page(port, FAMILY, "panda", "twin"), FAMILY)


class Told:
    """What the buttons have asked for."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.changed = threading.Condition()

    def obey(self, word: str) -> str:
        with self.changed:
            self.words.append(word)
            self.changed.notify_all()
        return f"{word}: obeyed"

    def wait_for(self, words: list[str]) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.words == words, PATIENCE)


@pytest.fixture(scope="module")
def arm() -> Iterator[PublishedArm]:
    published = PublishedArm()
    yield published
    published.shared.close()


@pytest.fixture(scope="module")
def page(arm: PublishedArm) -> Iterator[LivePage]:
    with start_page() as served:
        yield served


@pytest.fixture
def told(page: LivePage, arm: PublishedArm) -> Iterator[Told]:
    told = Told()
    page.attach(arm, told.obey)  # type: ignore[arg-type]
    yield told
    page.detach()


@pytest.fixture
def browser(page: LivePage, told: Told) -> Iterator[Browser]:
    opened = Browser(page.address)
    yield opened
    opened.close()


def step(reward: float) -> Step:
    nothing = np.zeros(1, dtype=bool)
    return Step(
        obs=np.zeros((1, 2)),
        reward=np.array([reward]),
        terminated=nothing,
        truncated=nothing,
        success=nothing,
        applied=np.zeros((1, 2)),
        verdict=np.zeros(1, dtype=np.int64),
        stamp=np.zeros(1),
    )


def test_it_shows_mode_event_episode_belief_verdict_and_timing_in_words(
    page: LivePage, arm: PublishedArm, browser: Browser
) -> None:
    task = FAMILY.sample(np.random.default_rng(0), 1)
    page.begin("3 (<b>mug</b>)", "no_adaptation", None, task)
    page.follow(1, 0, step(-0.25), 4, {"z": torch.tensor([[0.5]])})
    page.follow(1, 1, step(-0.5), 4, {"z": torch.tensor([[0.5]])})
    page.judge(0, True, "distance 1.2 cm", "limited 2")
    arm.publish(Mode.FAULT, Event.TORQUE_LIMIT)
    shown = browser.read_until(
        "FAULT", "4 behind", "success", "7 of 1000", escape(EVENTS[Event.TORQUE_LIMIT])
    )
    for words in (
        MODES[Mode.FAULT],
        "3 (&lt;b&gt;mug&lt;/b&gt;)",
        "no adaptation",
        "-0.75",
        "distance 1.2 cm; limited 2",
        "age of the observation",
        "No button on this page is an emergency stop",
    ):
        assert words in shown, words
    assert "0.5" in shown
    arm.publish(Mode.HOLD, operator_hold=True)
    browser.read_until("held by an operator")


def test_each_button_does_what_its_key_does_and_says_what_came_of_it(
    browser: Browser, told: Told
) -> None:
    browser.read_until("No button on this page is an emergency stop")
    labels = ("Hold", "Release", "Stop", "Clear")
    for count, label in enumerate(labels, start=1):
        browser.press(label)
        assert told.wait_for(list(BUTTONS[:count]))
    browser.read_until("clear: obeyed")
    assert len(browser.buttons) == len(labels)


def test_a_browser_that_hangs_or_leaves_is_nothing_to_the_others(
    page: LivePage, arm: PublishedArm, browser: Browser, told: Told
) -> None:
    hanging = Browser(page.address)  # never reads
    leaving = Browser(page.address)
    leaving.close()
    for number in range(30):
        arm.publish(Mode.RUNNING, q=FAMILY.body.home + 0.01 * number, missed_ticks=number)
        page._tell()
    browser.read_until("29 of 1000")
    browser.press("Stop")
    assert told.wait_for(["stop"])
    hanging.close()


def test_a_page_of_another_site_in_the_same_browser_is_refused(page: LivePage) -> None:
    with pytest.raises(InvalidStatus):
        Browser(page.address, origin="http://elsewhere.example")
    Browser(page.address, origin=page.address).close()


def test_it_is_served_on_loopback_alone(page: LivePage) -> None:
    port = int(page.address.rsplit(":", 1)[1])
    table = Path("/proc/net/tcp").read_text()
    listening = [line.split() for line in table.splitlines()[1:]]
    addresses = {
        words[1].split(":")[0]
        for words in listening
        if words[3] == "0A" and int(words[1].split(":")[1], 16) == port
    }
    assert addresses == {"0100007F"}


def test_a_port_in_use_is_refused_before_a_process_is_started() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        page = start_page(port)
        with pytest.raises(BadArgumentError, match=f"--live {port}: Address already in use"):
            page.__enter__()
        assert page._process is None


@pytest.mark.parametrize(("given", "reason"), [("1 2", "takes one port"), ("70000", "from 0 to")])
def test_what_is_no_port_is_refused_before_a_run_is_opened(
    given: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"deploy nowhere --arm panda --live {given}"
    assert cli.main(words.split()) == 2
    assert reason in capsys.readouterr().err


def test_a_page_that_hangs_or_is_killed_delays_nothing_and_is_reported_once(
    arm: PublishedArm, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    with start_page() as page:
        page.attach(arm, told.obey)  # type: ignore[arg-type]
        assert page._process is not None
        assert page._process.pid is not None
        os.kill(page._process.pid, signal.SIGSTOP)
        numbers = [BeliefNumber(f"number {i}", 0.1, 0.2) for i in range(MOST)]
        for _ in range(2000):  # far more than a socket holds
            page._set(belief=numbers)
            page._tell()
        os.kill(page._process.pid, signal.SIGKILL)
        assert page._thread is not None
        page._thread.join(PATIENCE)
        assert not page._thread.is_alive()
        page.follow(0, 0, step(1.0), 0, None)
        page.judge(0, False, "return 1.00", "")
        page.detach()
    complaint = capfd.readouterr().err
    assert complaint.count("the live page was killed by SIGKILL; the arm goes on") == 1


def test_the_arm_may_close_and_another_one_open(
    page: LivePage, arm: PublishedArm, browser: Browser
) -> None:
    page.detach()
    browser.read_until("NO ARM")
    second = PublishedArm()
    second.publish(Mode.ARMED)
    page.attach(second, lambda word: word)  # type: ignore[arg-type]
    browser.read_until("ARMED")
    second.shared.promise(-1.0)
    browser.read_until("NO ANSWER")
    page.detach()
    second.shared.close()


# ---- words and numbers ----


def test_every_mode_and_event_has_words() -> None:
    assert set(MODES) == set(Mode)
    assert set(EVENTS) == set(Event)
    assert explain_event("UNKNOWN 99") == "UNKNOWN 99"


def test_the_panel_escapes_what_it_is_told() -> None:
    script = "<script>x</script>"
    judged = JudgedEpisode(script, script, 1, True, script, script)
    numbers = [BeliefNumber(script, None, None)]
    shown = Snapshot(object=script, policy=script, episode=1, belief=numbers, judged=[judged])
    html = panel.episode_html(shown) + panel.belief_html(shown) + panel.judged_html(shown)
    html += panel.safety_html(script)
    assert "<script>" not in html


class Inferring(InfersParameters):
    """Its two particles stand for a mass and a friction, told as they are."""

    problem: Any
    hidden: Any

    def inferred(self, particles: Particles) -> dict[str, torch.Tensor]:
        return {"object.mass": particles.u[..., 0], "object.size_x": particles.u[..., 1]}


def test_particles_are_told_in_the_words_of_the_report_with_weighted_spread() -> None:
    u = torch.tensor([[[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]]])
    weights = np.array([0.5, 0.25, 0.25])
    belief = {"particles": Particles(u, torch.tensor(weights).log()[None])}
    mass, size = describe_belief(belief, Inferring(), FAMILY)
    values = np.array([1.0, 2.0, 4.0])
    mean = np.average(values, weights=weights)
    assert mass.name == "mass, kg"
    assert mass.mean == pytest.approx(mean)
    assert mass.spread == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    assert size.spread == pytest.approx(0.0, abs=1e-6)


def test_gaussian_beliefs_have_the_spread_of_their_covariance() -> None:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 3))
    precision = np.eye(3) + factor.T @ factor
    weighted = rng.normal(size=3)
    posterior = Posterior(torch.tensor(precision)[None], torch.tensor(weighted)[None])
    covariance = np.linalg.inv(precision)
    numbers = describe_belief(posterior, None, FAMILY)
    assert [number.mean for number in numbers] == pytest.approx(covariance @ weighted)
    assert [number.spread for number in numbers] == pytest.approx(np.sqrt(np.diag(covariance)))
    diagonal = DiagonalGaussian(torch.tensor([[1.0]]), torch.tensor([[np.log(4.0)]]))
    (number,) = describe_belief(diagonal, None, FAMILY)
    assert number.spread == pytest.approx(2.0)


def test_any_other_belief_is_told_as_numbers_and_not_too_many() -> None:
    many = {f"part {i}": torch.zeros(1) for i in range(2 * MOST)}
    assert len(describe_belief(many, None, FAMILY)) == MOST
    (number,) = describe_belief({"hidden_state": torch.tensor([[1.0, 3.0] * 20])}, None, FAMILY)
    assert number.name == "hidden state, over 40 numbers"
    assert number.mean == pytest.approx(2.0)
    assert describe_belief(None, None, FAMILY) == []


def test_a_belief_that_cannot_be_told_says_so_and_costs_nothing_else() -> None:
    page = start_page()
    page._belief = {"particles": Particles(torch.zeros(1, 1, 1), torch.zeros(1, 1))}

    class Broken(Inferring):
        def inferred(self, particles: Particles) -> dict[str, torch.Tensor]:
            raise RuntimeError("no such column")

    page._policy = Broken()
    (number,) = page._numbers()
    assert "no such column" in number.name
    assert msgspec.json.encode(number)


def test_ages_are_short_texts() -> None:
    assert panel._age(float("nan")) == "–"
    assert panel._age(0.0214) == "21 ms"
    assert panel._age(75.0) == "75 s"
