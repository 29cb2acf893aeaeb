"""Self-contained pages: a player for skeletons, line charts for sensor windows, a grid for images.

A page is one file that opens from disk: its code, style and motions are inline and its
Content-Security-Policy forbids every connection. The player's code is compressed; a short
script unpacks it, and the policy names both by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from common.motion.skeleton import FRAME_RATE
from common.player.clip import Clip, packed
from common.player.picture import Picture, picture_grid
from common.player.window import Window, sensor_charts

_WEB = Path(__file__).parent / "web"
_LICENCE: Final = (
    "<!-- The player includes three.js, Copyright 2010-2026 three.js authors, MIT License; "
    "the licence stands at the head of the packed script. -->"
)


@cache
def asset(name: str) -> str:
    """The text of a file of the player's folder."""
    return (_WEB / name).read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def _scripts() -> tuple[str, tuple[str, ...]]:
    """The player's scripts as HTML, and the digests of the code that they run."""
    code, loader = asset("player.js"), asset("loader.js")
    text = base64.b64encode(zlib.compress(code.encode(), 9, wbits=-15)).decode()
    html = (
        f'{_LICENCE}\n<script type="text/plain" id="player-code">{text}</script>\n<script>{loader}</script>'
    )
    return html, (_digest(loader), _digest(code))


def _digest(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def page(title: str, body: str, *, script: bool) -> str:
    """A whole document around `body` (HTML); runs the player's script and no other, if any."""
    html, digests = _scripts() if script else ("", (_digest(""),))
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    policy += f"; form-action 'none'; script-src {' '.join(digests)}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}{asset('player.css')}</style>\n</head>\n"
        f"<body>\n{body}\n{html}\n</body>\n</html>\n"
    )


def player_page(
    clips: Sequence[Clip],
    *,
    title: str,
    rate: float = FRAME_RATE,
    caption: str = "",
    alarm: str = "",
    start: str = "",
) -> str:
    """A page that plays `clips` at `rate` frames a second, under `alarm` (HTML, see `markup.alarm`).

    `start` is the view it opens with, as the page's addresses say it (docs/player.md).
    Raises InputError as `clip.packed` does.
    """
    shown = player(clips, rate=rate, start=start)
    body = f'<main class="full">\n{_header(title, caption)}\n{alarm}{shown}\n</main>'
    return page(title, body, script=True)


def player(clips: Sequence[Clip], *, rate: float, embedded: bool = False, start: str = "") -> str:
    """The player as a part of a page made by `page(..., script=True)`; at most one a page."""
    data = {"rate": rate, **packed(clips)}
    # "<" never appears inside the block, so no title can close it or open a comment.
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    flag = f' data-start="{escape(start)}"' + (" data-embedded" if embedded else "")
    return (
        f'<div class="player" data-clips="motions"{flag}>'
        "<noscript>Switch on JavaScript to see the motions.</noscript></div>\n"
        f'<script type="application/json" id="motions">{text}</script>'
    )


def sensor_page(
    windows: Sequence[Window], *, title: str, rate: float, caption: str = "", alarm: str = ""
) -> str:
    """A page of line charts, one card a window, under `alarm`; `rate` is in frames a second.

    Raises InputError if there is no window, or a shape or value is wrong.
    """
    charts = sensor_charts(windows, rate=rate)
    body = f'<main class="sheet">\n{_header(title, caption)}\n{alarm}{charts}\n</main>'
    return page(title, body, script=False)


def picture_page(pictures: Sequence[Picture], *, title: str, caption: str = "", alarm: str = "") -> str:
    """A page with a grid of images under `alarm`; raises InputError as `picture_grid` does."""
    grid = picture_grid(pictures)
    body = f'<main class="sheet">\n{_header(title, caption)}\n{alarm}{grid}\n</main>'
    return page(title, body, script=False)


def _header(title: str, caption: str) -> str:
    text = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<header><h1>{escape(title)}</h1>{text}</header>"
