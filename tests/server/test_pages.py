"""Pages are self-contained, hold what they were given, and show it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from common.errors import InputError
from common.motion.population import PRIVATE, synthesise
from server.guarantee import no_guarantee
from server.pages import Clip, Window, player_page, sensor_page

PLAYER = Path(__file__).parents[2] / "server" / "player"
HOSTILE = "</script><script>alert(1)</script><!-- \"'& <img src=http://x.example/a>"
STAGE = (233, 236, 241)  # --stage of the light style
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


def test_the_policy_allows_the_players_script_only() -> None:
    page = Page(player_page(motions(1), title="One"))
    digest = base64.b64encode(hashlib.sha256(page.scripts["code"].encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*)", page.policy) == [f"'sha256-{digest}'"]


def test_hostile_titles_stay_text() -> None:
    page = Page(player_page(motions(2, HOSTILE, HOSTILE), title=HOSTILE, caption=HOSTILE))
    plain = Page(player_page(motions(2), title="plain", caption="plain"))
    assert page.tags == plain.tags
    assert json.loads(page.scripts["motions"])["clips"][0]["title"] == HOSTILE
    sensor, harmless = (Page(sensor_page(windows(2, t), title=t, rate=50.0)) for t in (HOSTILE, "plain"))
    assert sensor.tags == harmless.tags and sensor.addresses == []


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_positions_come_back_to_half_a_step(scale: float) -> None:
    clip = motions(1)[0]
    joints = np.add(clip.joints, (3.0, 0.0, -8.0)) * scale
    page = Page(player_page([Clip("far", "real", joints.astype(np.float32))], title="far"))
    packed = json.loads(page.scripts["motions"])["clips"][0]
    steps = np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(joints.shape)
    expected = joints - joints[0, 0] * (1.0, 0.0, 1.0)
    assert packed["step"] >= 0.001
    np.testing.assert_allclose(steps * packed["step"], expected, atol=0.51 * packed["step"])


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


def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on this machine: the page was not looked at")


def screenshot(folder: Path, text: str, query: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """RGB in 0..1 of the page at `size`; the headless viewport ends 87 pixels above the picture's end."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [
        browser(), "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--virtual-time-budget=4000",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1] + 87}",
        f"--screenshot={folder / 'shot.png'}", f"{(folder / 'page.html').as_uri()}?{query}",
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    picture = np.asarray(matplotlib.image.imread(folder / "shot.png"), dtype=np.float64)
    return picture[: size[1], :, :3]


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def figures(picture: NDArray[np.float64], least: int) -> Sequence[NDArray[np.bool_]]:
    """Connected patches of the tint of real motions (orange), of at least `least` pixels."""
    labels, count = ndimage.label(picture[:, :, 0] - picture[:, :, 2] > 0.1)
    patches = [labels == k for k in range(1, count + 1)]
    return [patch for patch in patches if patch.sum() >= least]


@pytest.mark.parametrize(("frame", "size"), [(5, (900, 700)), (40, (390, 844))])
def test_a_figure_stands_inside_its_frame(tmp_path: Path, frame: int, size: tuple[int, int]) -> None:
    text = player_page(motions(1, title=HOSTILE), title="One motion")
    picture = screenshot(tmp_path, text, f"f={frame}", size)
    stage = box(np.abs(picture * 255 - STAGE).max(2) < 0.5)
    (figure,) = figures(picture, 3000)
    top, bottom, left, right = box(figure)
    assert top > stage[0] + 8 and bottom < stage[1] - 8
    assert left > stage[2] + 8 and right < stage[3] - 8
    assert bottom - top > 0.4 * min(stage[1] - stage[0], 1.6 * (stage[3] - stage[2]))
    middle = (stage[2] + stage[3]) / 2
    assert abs((left + right) / 2 - middle) < 0.15 * (stage[3] - stage[2])
    assert np.ptp(picture[figure], axis=0).max() > 0.2  # shaded, not a flat silhouette


def test_the_gallery_shows_every_motion_and_a_frame_is_a_picture(tmp_path: Path) -> None:
    text = player_page(motions(4), title="Four motions")
    early, late = (screenshot(tmp_path, text, f"f={frame}", (640, 480)) for frame in (0, 30))
    assert len(figures(early, 500)) == 4
    assert np.abs(early - late).max(2).astype(bool).mean() > 0.01
