"""The player in a real browser, on a desk and on a phone: what stands where, and what the controls do."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import numpy as np
import pytest

from common.player.gallery import RECORDINGS
from common.player.markup import notice
from common.player.pages import player_page
from tests.browser import Browser
from tests.common.player.pictures import (
    ALARM,
    DESK,
    LYING,
    PHONE,
    VIEWS,
    assert_inside,
    clips,
    edges,
    figures,
    of_stage,
)  # fmt: skip

LABELS = "[...document.querySelectorAll('.cell .label')]"
TAGS = "[...document.querySelectorAll('.tag')]"
FRAME = "Number(document.querySelector('.track input').value)"
CELLS = "[...document.querySelectorAll('.cell')].map((e) => Number(e.dataset.index))"


@pytest.fixture(scope="module")
def opened(window: Browser) -> Browser:
    """One page, loaded once: the tests go to other addresses of it."""
    head = ALARM + notice(RECORDINGS)
    window.size(*DESK)
    window.open(player_page(clips(), title="Generated and real", caption="six motions", alarm=head), "#f=0")
    return window


@pytest.fixture
def shown(opened: Browser) -> Iterator[Browser]:
    """The page on a desk; what it complained about meanwhile fails the test."""
    opened.look(*DESK)
    opened.prefer()
    yield opened
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("file://")] == []


def state(browser: Browser) -> dict[str, str]:
    """The address that the page has written."""
    return {name: values[0] for name, values in parse_qs(browser.run("location.hash")[1:]).items()}


@pytest.mark.parametrize(("frame", "size"), [(5, DESK), (40, PHONE)])
def test_a_figure_stands_inside_its_frame(frame: int, size: tuple[int, int], shown: Browser) -> None:
    shown.look(*size)
    shown.go(f"#f={frame}&m=5&trail=0")
    stage = of_stage(shown, shown.picture())
    (figure,) = figures(stage, "real", 2000)
    assert figures(stage, "generated", 300) == []
    assert_inside(figure, 8)
    top, bottom, left, right = edges(figure)
    height, width = figure.shape
    assert bottom - top > 0.4 * min(height, 1.6 * width)
    assert abs((left + right) / 2 - width / 2) < 0.15 * width
    assert np.ptp(stage[figure], axis=0).max() > 0.2  # shaded, not a flat silhouette


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("layout", ["side", "floor", "over"])
def test_real_and_generated_stand_together_and_are_named(
    layout: str, size: tuple[int, int], shown: Browser
) -> None:
    shown.look(*size)
    shown.go(f"#f=40&compare=1,5&layout={layout}&trail=0")
    stage = of_stage(shown, shown.picture())
    for group in ("generated", "real"):
        (figure,) = figures(stage, group, 700)
        assert_inside(figure, 4)
    names = LABELS if layout == "side" else TAGS
    named = shown.run(f"{names}.map((e) => e.innerText)")
    assert len(named) == 2 and "generated" in named[0] and "real" in named[1]
    shapes = shown.run(f"{names}.map((e) => getComputedStyle(e.querySelector('.swatch')).borderRadius)")
    assert len(set(shapes)) == 2  # told apart without colours: a disc and a square


def test_the_gallery_shows_every_motion_and_a_frame_is_a_picture(shown: Browser) -> None:
    shown.look(900, 760)
    shown.go("#f=10&view=all&trail=0")
    stage = of_stage(shown, shown.picture())
    assert [len(figures(stage, group, 300)) for group in ("generated", "real")] == [3, 3]
    shown.go("#f=30&view=all&trail=0")
    later = of_stage(shown, shown.picture())
    assert np.abs(stage - later).max(2).astype(bool).mean() > 0.01
    shown.go("#f=10&view=all&trail=0")
    np.testing.assert_allclose(of_stage(shown, shown.picture()), stage, atol=1.5 / 255)


@pytest.mark.parametrize(("size", "views"), [(DESK, VIEWS[:3]), (PHONE, VIEWS), (LYING, VIEWS[1::2])])
def test_the_alarm_is_seen_in_every_view(
    size: tuple[int, int], views: tuple[str, ...], shown: Browser
) -> None:
    shown.look(*size)
    for view in views:
        shown.go(f"#f=3&{view}")
        shown.run("scrollTo(0, document.documentElement.scrollHeight)")
        shown.settle()
        left, top, right, bottom = shown.box(".warning strong")
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1], view
        middle = f"{(left + right) / 2}, {(top + bottom) / 2}"
        assert shown.run(f"!!document.elementFromPoint({middle}).closest('.warning')"), view
        assert "No privacy guarantee" in shown.run("document.querySelector('.warning').innerText")
        assert "recordings of people" in shown.run("document.querySelector('.notice').innerText")


def test_keys_do_what_the_help_says(shown: Browser) -> None:
    shown.look(640, 480)
    shown.go("#f=10&m=1")
    for key, changed in (
        ("ArrowRight", {"f": "11"}), ("ArrowLeft", {"f": "10"}), ("End", {"f": "60"}), ("Home", {"f": "0"}),
        ("ArrowDown", {"m": "2"}), (".", {"speed": "1.5"}), ("l", {"loop": "0"}), ("f", {"follow": "0"}),
        ("t", {"trail": "0"}), ("3", {"view": "all"}), ("2", {"compare": "2,5"}), ("o", {"layout": "floor"}),
        ("e", {"sync": "end"}), ("1", {"view": "one"}),
    ):  # fmt: skip
        shown.press(key)
        assert state(shown).items() >= changed.items(), key
    for key, way in (("d", 0), ("w", 1), ("+", 2)):
        before = [float(x) for x in state(shown).get("cam", "35.52,14.37,1").split(",")]
        shown.press(key)
        after = [float(x) for x in state(shown)["cam"].split(",")]
        assert after[way] > before[way], key
    shown.press("r")
    assert "cam" not in state(shown)
    shown.press("?")
    told = shown.run("document.querySelector('dialog[open]').innerText")
    assert all(word in told for word in ("play, pause", "overlaid", "turn the view", "two fingers"))
    shown.run("document.querySelector('dialog[open] button').click()")
    assert shown.run("document.querySelector('dialog[open]')") is None


def test_it_plays_pauses_and_ends(shown: Browser) -> None:
    shown.look(320, 480)
    shown.go("#f=0&m=1&loop=0")
    shown.press(" ")
    shown.wait(f"{FRAME} > 3")
    shown.press(" ")
    paused = shown.run(FRAME)
    shown.settle()
    assert shown.run(FRAME) == paused == int(state(shown)["f"])
    shown.press("End")
    shown.press("ArrowLeft")
    shown.press(" ")
    shown.wait("document.querySelector('.primary').title.startsWith('Play')")
    assert state(shown)["f"] == "60"  # without a loop it stands at its last frame


def test_a_finger_turns_the_figure_and_leaves_the_page(shown: Browser) -> None:
    shown.look(*PHONE)
    shown.go("#f=10&m=5&trail=0")
    before = shown.picture()
    shown.swipe((120, 450), (280, 470))
    assert float(state(shown)["cam"].split(",")[0]) < 0
    assert shown.run("[scrollX, scrollY]") == [0, 0]
    after = shown.picture()
    assert np.abs(before - after).max(2).astype(bool).mean() > 0.01
    (figure,) = figures(of_stage(shown, after), "real", 2000)
    assert_inside(figure, 8)


def test_the_mouse_opens_chooses_and_filters(shown: Browser) -> None:
    shown.look(800, 600)
    shown.go("#f=10&view=all")
    shown.click('.cell[data-index="3"]')
    assert state(shown)["m"] == "4" and state(shown)["view"] == "one"
    shown.go("#f=10&view=all")
    for index in (2, 4):
        shown.click(f'.cell[data-index="{index}"] .choose')
    shown.click('.controls [data-value="compare"]')
    assert state(shown)["compare"] == "3,5"
    shown.click('.controls [data-value="all"]')
    shown.click(".legend button.entry")
    assert state(shown)["group"] == "real" and shown.run(CELLS) == [3, 4, 5]
    label = clips()[1].label
    shown.go(f"#f=10&view=all&label={label}")
    assert shown.run(CELLS) == [k for k, clip in enumerate(clips()) if clip.label == label]


def test_motions_start_or_end_together(shown: Browser) -> None:
    held = f"{LABELS}.map((e) => e.dataset.held)"
    for address, said in (
        ("#f=59&compare=1,6&sync=start", ["", "ended"]),
        ("#f=1&compare=1,6&sync=end", ["", "waits"]),
        ("#f=60&compare=1,6&sync=end", ["", ""]),
    ):
        shown.go(address)
        assert shown.run(held) == said


def test_everything_has_a_name(shown: Browser) -> None:
    shown.look(640, 480)
    for view in VIEWS:
        shown.go(f"#f=3&{view}")
        nameless = shown.run(
            "[...document.querySelectorAll('.player :is(button, select, input, [tabindex])')].filter((e) => "
            "!(e.getAttribute('aria-label') || e.innerText.trim())).map((e) => e.outerHTML)"
        )
        assert nameless == []


def test_nonsense_in_the_address_is_passed_over(shown: Browser) -> None:
    shown.go("#f=9999999&m=77&compare=5,zz,,-1&layout=%00&speed=NaN&cam=1,x,2&group=&label=nobody&sync=")
    assert shown.run(CELLS) == [0, 1, 2, 3, 4, 5]
    shown.go("#f=999&m=2&cam=1e9,-1e9,1e9")
    assert state(shown).items() >= {"f": "57", "m": "2"}.items()


def test_a_link_opens_what_its_maker_saw(shown: Browser) -> None:
    shown.look(640, 480)
    shown.go("#f=12&compare=2,5&layout=floor&sync=end&speed=0.5&loop=0&trail=0&cam=-20,30,1.4")
    written, first = shown.run("location.hash"), of_stage(shown, shown.picture())
    shown.go("#f=3&m=1")
    shown.go(written)
    assert shown.run("location.hash") == written
    np.testing.assert_allclose(of_stage(shown, shown.picture()), first, atol=1.5 / 255)


def test_the_page_follows_the_dark(shown: Browser) -> None:
    shown.prefer(prefers_color_scheme="dark")
    shown.go("#f=10&m=5&trail=0")
    stage = of_stage(shown, shown.picture())
    assert np.median(stage) < 0.25
    (figure,) = figures(stage, "real", 2000)
    assert_inside(figure, 4)
