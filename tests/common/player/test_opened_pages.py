"""Pages as they open: hostile texts on a phone, other preferences, sensors, and what the policy stops."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from common.player.clip import Clip
from common.player.gallery import RECORDINGS
from common.player.markup import notice
from common.player.pages import player_page, sensor_page
from common.player.window import Window
from tests.browser import Browser
from tests.common.player.pictures import ALARM, DESK, PHONE, VIEWS, clips
from tests.common.player.test_pages import HOSTILE, windows


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The browser as usual; what a page complained about fails the test that opened it."""
    window.size(*DESK)
    window.prefer()
    yield window
    assert window.complaints == []
    assert [url for url in window.requests if not url.startswith("file://")] == []


@pytest.mark.parametrize("text", [HOSTILE, "Walk" * 80])
def test_a_phone_scrolls_nowhere_and_a_thumb_reaches_the_controls(text: str, browser: Browser) -> None:
    browser.size(*PHONE, phone=True)
    named = [Clip(text, c.group if k else text, c.joints, text, text) for k, c in enumerate(clips())]
    browser.open(player_page(named, title=text, caption=text, alarm=ALARM), "#f=3")
    for view in VIEWS:
        browser.go(f"#f=3&{view}")
        scroll = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert browser.run(scroll) == list(PHONE), view
        for control in (".primary", ".track input", ".controls .segmented", ".more"):
            left, top, right, bottom = browser.box(control)
            assert 0 <= left < right <= PHONE[0], control
            assert PHONE[1] * 0.75 < top < bottom <= PHONE[1], control
        for control in (".primary", ".controls .segmented button", ".more"):
            _, top, _, bottom = browser.box(control)
            assert bottom - top >= 38, control
    browser.run("document.querySelector('.more').click()")
    browser.settle()
    _, top, _, bottom = browser.box(".extra")
    assert PHONE[1] * 0.6 < top < bottom <= PHONE[1]
    assert browser.run("document.documentElement.scrollWidth") == PHONE[0]


def test_it_opens_playing_or_still_as_the_reader_prefers(browser: Browser) -> None:
    browser.size(320, 480)
    text = player_page(clips(), title="Opened", start="compare=generated,real")
    browser.open(text)
    frame = "Number(document.querySelector('.track input').value)"
    browser.wait(f"{frame} > 2")
    assert browser.run("document.querySelectorAll('.cell').length") == 6
    browser.prefer(prefers_reduced_motion="reduce")
    browser.open(text, "#m=2")
    assert browser.run("document.querySelector('.primary').title") == "Play (space)"
    assert browser.run(frame) == 0 and browser.run("document.querySelectorAll('.cell').length") == 1


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_sensors_stand_beside_each_other_under_the_alarm(size: tuple[int, int], browser: Browser) -> None:
    browser.size(*size, phone=size == PHONE)
    generated = [Window("walk", "generated", w.samples, w.channels) for w in windows(3)]
    text = sensor_page(generated + windows(2), title="Sensors", rate=50.0, alarm=ALARM + notice(RECORDINGS))
    browser.open(text, "", ".windows")
    picture = browser.picture()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    first, second = (browser.box(f".window:nth-child({k})") for k in (1, 2))
    assert (first[1] == second[1]) == (size == DESK)  # in one row, or one under the other
    assert second[2] <= size[0]
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.settle()
    assert browser.run("scrollY") > 0
    _, top, _, bottom = browser.box(".warning strong")
    assert 0 <= top < bottom <= size[1]
    assert browser.run("document.documentElement.scrollWidth") == size[0]


def test_a_strange_script_is_stopped_and_heard_of(window: Browser) -> None:
    """The control of every other test: the policy stops what it does not name, and complaints are heard."""
    window.size(320, 240)
    page = player_page(clips()[:1], title="One")
    window.open(page.replace("</main>", "</main><script>document.title = 'owned'</script>"), "#f=1")
    assert window.run("document.title") == "One"
    assert any("Content Security Policy" in line for line in window.complaints)
    window.open(page.replace("</main>", "</main><img src='http://127.0.0.1:9/a'>"), "#f=1")
    assert any("Content Security Policy" in line for line in window.complaints)
    window.open(page.replace('id="motions"', 'id="lost"'), "", ".failure")
    assert "cannot be shown" in window.run("document.querySelector('.failure').innerText")


def test_an_exchanged_player_does_not_run(window: Browser) -> None:
    """The packed script is under the policy too: its digest is that of what is unpacked."""
    window.size(320, 240)
    page = player_page(clips()[:1], title="One")
    start = page.index('id="player-code">') + len('id="player-code">')
    other = base64.b64encode(zlib.compress(b"document.title = 'owned'", 9, wbits=-15)).decode()
    window.open(page[:start] + other + page[page.index("</script>", start) :], "", "script:last-of-type")
    window.wait("document.scripts.length === 4")  # motions, packed player, loader, and what it unpacked
    assert window.run("document.title") == "One" and window.run("document.querySelector('.cells')") is None
    assert any("Content Security Policy" in line for line in window.complaints)
