"""The few pieces of HTML that pages share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def card(title: str, content: str, kind: str = "") -> str:
    """A titled section around `content` (HTML)."""
    return f'<section class="card {kind}"><h2>{title}</h2>{content}</section>\n'


def alarm(title: str, text: str) -> str:
    """What nobody may overlook; `title` and `text` are plain text."""
    content = f"<strong>{escape(title)}</strong><p>{escape(text)}</p>"
    return f'<div class="warning" role="alert">{content}</div>\n'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """A definition list; names and values are HTML."""
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def table(heads: tuple[str, ...], rows: str) -> str:
    """A table whose columns hold numbers, but for the first; `heads` and `rows` are HTML."""
    first, *others = heads
    cells = f"<th>{first}</th>" + "".join(f'<th class="number">{head}</th>' for head in others)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def notice(text: str) -> str:
    """What a reader should know of a page; `text` is plain text."""
    return f'<div class="notice" role="note"><p>{escape(text)}</p></div>\n'
