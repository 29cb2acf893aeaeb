"""Motions written as one page: what is real on it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from common.motion.recording import Modality
from common.motion.skeleton import FRAME_RATE
from common.player.clip import Clip
from common.player.markup import notice
from common.player.pages import picture_page, player_page, sensor_page
from common.player.picture import Picture
from common.player.window import Window

PAGE: Final = "index.html"
REAL: Final = "real"
"""The group of recordings of people."""
Exhibit = Clip | Window | Picture
RECORDINGS: Final = (
    "Motions marked real are recordings of people, as they are: no privacy guarantee covers them. "
    "This page is not a release."
)
REAL_IMAGES: Final = (
    "Images marked real are from the data, as they are: no privacy guarantee covers them. "
    "This page is not a release."
)
PAGE_ITEMS: Final = {"skeleton": 64, "sensor": 24, "image": 200}
"""How many motions of each kind one page shows; beside recordings, half of them."""
_LEAST: Final = 196  # frames to which no motion is cut further: 9.8 s
FRAMES_A_PAGE: Final = 64 * _LEAST
"""Frames of all motions together that a page holds below a megabyte."""


def exhibits(
    motions: Sequence[ArrayLike],
    modality: Modality,
    group: str,
    titles: Sequence[str],
    labels: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> list[Clip] | list[Window] | list[Picture]:
    """`motions` as a page shows them; `labels` and `captions` are one a motion, or none."""
    arrays = [np.asarray(motion, np.float32) for motion in motions]
    if modality.kind == "sensor":
        channels = modality.channels
        return [Window(title, group, array, channels) for title, array in zip(titles, arrays, strict=True)]
    if modality.kind == "image":
        return [Picture(title, group, array) for title, array in zip(titles, arrays, strict=True)]
    labels, captions = labels or [""] * len(arrays), captions or [""] * len(arrays)
    facts = zip(titles, arrays, labels, captions, strict=True)
    return [Clip(title, group, array, label, caption) for title, array, label, caption in facts]


def write_page(
    items: Sequence[Exhibit],
    path: Path,
    title: str,
    *,
    rate: float = FRAME_RATE,
    caption: str = "",
    alarm: str = "",
) -> Path:
    """Write a self-contained page of `items` (of one kind) to `path`, under `alarm` (HTML).

    A page with motions of the group `REAL` says what they are, and one with other motions
    beside them opens with a comparison. Long motions are cut to what a page holds, and
    their captions say so. Raises InputError as `player_page`, `sensor_page` and `picture_page` do.
    """
    groups = {item.group for item in items}
    pictures = [item for item in items if isinstance(item, Picture)]
    head = alarm + (notice(REAL_IMAGES if pictures else RECORDINGS) if REAL in groups else "")
    clips = _shortened([item for item in items if isinstance(item, Clip)], rate)
    windows = [item for item in items if isinstance(item, Window)]
    if pictures:
        text = picture_page(pictures, title=title, caption=caption, alarm=head)
    elif windows:
        text = sensor_page(windows, title=title, rate=rate, caption=caption, alarm=head)
    else:
        start = "view=compare" if REAL in groups and len(groups) > 1 else ""
        text = player_page(clips, title=title, rate=rate, caption=caption, alarm=head, start=start)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _shortened(clips: Sequence[Clip], rate: float) -> list[Clip]:
    longest = max(_LEAST, FRAMES_A_PAGE // max(len(clips), 1))
    shown = []
    for clip in clips:
        frames = len(clip.joints)
        if frames > longest:
            note = f"(the first {longest / rate:.0f} of {frames / rate:.0f} s)"
            caption = f"{clip.caption} {note}".strip()
            clip = replace(clip, joints=clip.joints[:longest], caption=caption)
        shown.append(clip)
    return shown
