"""The parts every page is made of: the document, cards, tiles, tables, and how to get the page again."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from mm.report.style import STYLE

Row = tuple[str, str]

# The browser itself refuses whatever would leave the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class About:
    """What the numbers alone cannot say.

    Attributes:
        command: The exact command, as the words of its line; empty where there was none (a notebook).
        knobs: Name to ``{"value": …, "source": …}``, as in the manifest.
        folder: How a link to a file of the run begins: ``""`` where the page lies among them, else ends with ``/``.
    """

    command: Sequence[str] = ()
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: str = ""


def document(title: str, parts: Sequence[str], script: str = "") -> str:
    """Return a whole HTML file that needs nothing else, and may ask for nothing; empty *parts* are left out.

    Args:
        title: Of the window.
        parts: HTML, from top to bottom.
        script: Run when all parts are there.
    """
    run = f"<script>\n{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in parts if part)}\n</main>\n{run}</body></html>\n"
    )


def nothing(why: str) -> str:
    """Return the words that stand where a chart would."""
    return f'<p class="none">{why}</p>'


def card(heading: str, hint: str, body: str, keys: Sequence[tuple[str, str]] = ()) -> str:
    """Return a titled box around *body*; all is HTML. *keys* are the classes of colours and what they stand for."""
    legend = "".join(f'<span><i class="key {kind}"></i>{text}</span>' for kind, text in keys)
    return (
        f'<section class="card"><div class="head"><h2>{heading}</h2><p class="legend">{legend}</p></div>'
        f'<p class="hint">{hint}</p>{body}</section>'
    )


def wide(chart: str) -> str:
    """Return *chart* so that a narrow screen scrolls it instead of making it too small to read."""
    return f'<div class="wide">{chart}</div>'


def tile(name: str, value: str, more: str, kind: str = "") -> str:
    """Return one headline number: name, value, a line under it; *kind* is ``gain``, ``loss`` or empty."""
    return f'<div class="tile"><span>{name}</span><b class="{kind}">{value}</b><i>{more}</i></div>'


def notes(warnings: Sequence[str], kind: str) -> str:
    """Return *warnings* as a list of a *kind* (``notes``, ``why``); nothing where there are none."""
    if not warnings:
        return ""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in warnings)}</ul>'


def table(caption: str, rows: Sequence[Row]) -> str:
    """Return *rows* of name and HTML value under a *caption*, which may be empty."""
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f"<table>{head}{''.join(f'<tr><th>{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)}</table>"
    )


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* of HTML cells under a *head*; the first column is the name of its row."""
    first, *others = map(escape, head)
    names = f'<tr class="cols"><th>{first}</th>{"".join(f"<td>{name}</td>" for name in others)}</tr>'
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<div class="wide"><table class="grid">{names}{body}</table></div>'


def origin(about: About) -> str:
    """Return how to get the page again: the exact command, and every knob; nothing where neither is known."""
    if not about.command and not about.knobs:
        return ""
    command = f"<pre>{escape(shlex.join(about.command))}</pre>" if about.command else ""
    knobs = "".join(_knob(name, str(knob["value"]), str(knob["source"])) for name, knob in about.knobs.items())
    return card(
        "How to get this again", "The exact command, and every knob.", f'{command}<div class="knobs">{knobs}</div>'
    )


def _knob(name: str, value: str, source: str) -> str:
    kind = "default" if source == "default" else "set"
    return f'<div class="{kind}"><code>{escape(name)}</code><b>{escape(value)}</b><span>{escape(source)}</span></div>'
