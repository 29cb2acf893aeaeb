"""Grey images on a page: a grid, by what they show."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.image import png


@dataclass(frozen=True, eq=False)
class Picture:
    """One image to show; `pixels` is `[rows, columns]` in 0..1, `title` what it shows."""

    title: str
    group: str
    pixels: NDArray[np.float32]


def picture_grid(pictures: Sequence[Picture]) -> str:
    """All `pictures`, one group after the other and alike titles together.

    Raises InputError if there is none, or a shape or value is wrong.
    """
    if not pictures:
        raise InputError("no image to show: give at least one")
    groups = list(dict.fromkeys(picture.group for picture in pictures))
    return "\n".join(_group(group, [p for p in pictures if p.group == group]) for group in groups)


def _group(group: str, pictures: Sequence[Picture]) -> str:
    cells = "".join(_cell(picture) for picture in sorted(pictures, key=lambda picture: picture.title))
    tint = group if group in ("generated", "real", "public") else "other"
    head = f'<h3><i class="swatch tint-{tint}"></i>{escape(group)}</h3>'
    return f'<section>{head}<div class="pictures">{cells}</div></section>'


def _cell(picture: Picture) -> str:
    pixels = picture.pixels
    if pixels.ndim != 2 or not pixels.size:
        raise InputError(f"image {picture.title!r} has shape {pixels.shape}: expected [rows, columns]")
    if not np.isfinite(pixels).all():
        raise InputError(f"image {picture.title!r} holds a value that is not finite: leave it out")
    data, name = base64.b64encode(png(pixels)).decode(), escape(picture.title)
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(picture.group)} {name}">'
    return f"<figure>{image}<figcaption>{name}</figcaption></figure>"
