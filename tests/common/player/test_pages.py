"""Pages are self-contained, hold what they were given, and run the player's script alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.motion.population import PRIVATE, synthesise
from common.player.clip import Clip
from common.player.pages import asset, player_page, sensor_page
from common.player.window import Window
from server.guarantee import no_guarantee

PLAYER = Path(__file__).parents[3] / "common" / "player" / "web"
HOSTILE = "</script><script>alert(1)</script><!-- \"'& <img src=http://x.example/a>"
CHANNELS = ("wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_gyro_x", "wrist_gyro_y", "wrist_gyro_z")


class Page(HTMLParser):
    """The tags of a page, its addresses and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.policy = ""
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.addresses += [named[name] for name in ("src", "href", "xlink:href") if name in named]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        self._script = named.get("id", "code") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
            self._script = None


def motions(count: int, group: str = "real", title: str = "") -> list[Clip]:
    recordings = synthesise(PRIVATE, 3, range(-(-count // 3)))
    return [Clip(title or str(r.label), group, r.samples) for r in recordings][:count]


def hostile(count: int) -> list[Clip]:
    return [Clip(HOSTILE, HOSTILE, clip.joints, HOSTILE, HOSTILE) for clip in motions(count)]


def windows(count: int, title: str = "walk") -> list[Window]:
    rng = np.random.default_rng(0)
    return [
        Window(title, "real", rng.normal(size=(100, 6)).astype(np.float32), CHANNELS) for _ in range(count)
    ]


def test_twelve_motions_fit_into_a_megabyte_that_needs_no_network() -> None:
    text = player_page(motions(12), title="Twelve")
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert page.addresses == []
    assert not {"link", "iframe", "img", "base"} & set(page.tags)
    assert "default-src 'none'" in page.policy and "connect-src" not in page.policy


def test_the_policy_allows_the_players_scripts_only() -> None:
    page = Page(player_page(motions(1), title="One"))
    unpacked = zlib.decompress(base64.b64decode(page.scripts["player-code"]), wbits=-15).decode()
    assert unpacked == asset("player.js")
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
        for code in (page.scripts["code"], unpacked)
    ]
    assert re.findall(r"script-src ([^;]*)", page.policy) == [" ".join(digests)]


def test_hostile_titles_stay_text() -> None:
    page = Page(player_page(hostile(2), title=HOSTILE, caption=HOSTILE, start=HOSTILE))
    plain = Page(player_page(motions(2), title="plain", caption="plain"))
    assert page.tags == plain.tags
    clip = json.loads(page.scripts["motions"])["clips"][0]
    assert [clip[name] for name in ("title", "group", "label", "caption")] == [HOSTILE] * 4
    sensor, harmless = (Page(sensor_page(windows(2, t), title=t, rate=50.0)) for t in (HOSTILE, "plain"))
    assert sensor.tags == harmless.tags and sensor.addresses == []


def test_what_cannot_be_shown_is_refused_by_name() -> None:
    bad = np.full((10, 22, 3), np.nan, dtype=np.float32)
    with pytest.raises(InputError, match="'broken' holds a position that is not finite"):
        player_page([Clip("broken", "generated", bad)], title="t")
    with pytest.raises(InputError, match="expected \\[frames, 22, 3\\]"):
        player_page([Clip("flat", "generated", bad[:, :, 0])], title="t")
    with pytest.raises(InputError, match="at least one"):
        player_page([], title="t")
    with pytest.raises(InputError, match="expected \\[frames, 6\\]"):
        sensor_page([Window("w", "real", np.zeros((5, 2), np.float32), CHANNELS)], title="t", rate=50.0)
    with pytest.raises(InputError, match="not finite"):
        sensor_page([Window("w", "real", bad[:, :6, 0], CHANNELS)], title="t", rate=50.0)


def test_sensor_charts_share_a_scale_and_name_their_units() -> None:
    quiet, loud = windows(2)
    loud = Window("loud", "generated", loud.samples * 40, CHANNELS)
    text = sensor_page([quiet, loud], title="t", rate=50.0)
    assert text.count("wrist_acc, m/s²</figcaption>") == 2
    assert text.count("wrist_gyro, rad/s</figcaption>") == 2
    heights = [
        np.ptp([float(p.split(",")[1]) for p in line.split()])
        for line in re.findall(r'class="curve curve-0" points="([^"]*)"', text)
    ]
    assert heights[2] > 20 * heights[0]


def test_an_alarm_stands_above_the_motions_and_is_text() -> None:
    alarm = no_guarantee(f"no privacy guarantee: {HOSTILE}")
    for text, shown in (
        (player_page(motions(1), title="t", alarm=alarm), 'class="player"'),
        (sensor_page(windows(1), title="t", rate=50.0, alarm=alarm), 'class="windows"'),
    ):
        assert text.index('role="alert"') < text.index(shown) and "alert(1)</script>" not in text
    plain = Page(player_page(motions(1), title="t", alarm=no_guarantee("no privacy guarantee")))
    assert Page(player_page(motions(1), title="t", alarm=alarm)).tags == plain.tags


def test_a_constant_window_and_a_single_frame_have_a_chart() -> None:
    still = Window("still", "real", np.zeros((50, 6), np.float32), CHANNELS)
    single = Window("single", "real", np.ones((1, 6), np.float32), CHANNELS)
    text = sensor_page([still, single], title="t", rate=50.0)
    assert text.count("<svg") == 4 and "nan" not in text


def test_the_bundle_is_what_its_sources_build() -> None:
    command = shlex.split(json.loads((PLAYER / "package.json").read_text())["scripts"]["build"])
    if not (PLAYER / command[0]).exists():
        pytest.skip("esbuild is not installed: npm ci --ignore-scripts in server/player")
    arguments = [a for a in command if not a.startswith("--outfile")]
    built = subprocess.run(arguments, cwd=PLAYER, capture_output=True, check=True).stdout
    bundle = (PLAYER / "player.js").read_bytes()
    assert built == bundle
    assert len(bundle) < 800_000
    assert b"three.js authors" in bundle and b"MIT License" in bundle
