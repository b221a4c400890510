"""The index of all runs: one page with a link to the page of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mm.base.numbers import number
from mm.report.frame import card, document, grid, header, nothing


@dataclass(frozen=True)
class Listing:
    """A run in the index.

    Attributes:
        cells: Kind, symbol, day, RUN_ID, status and start, as text.
        link: Path of its page relative to the index; None without a page.
        found: Its headline numbers.
    """

    cells: Sequence[str]
    link: str | None
    found: Mapping[str, Any]


def index_page(runs: Sequence[Listing], root: str) -> str:
    """Return the page that lists the *runs* under *root*, the newest first."""
    head = ("started", "kind", "symbol", "day", "run", "status", "results")
    rows = []
    for run in reversed(runs):
        kind, symbol, day, run_id, status, started = map(escape, run.cells)
        name = run_id if run.link is None else f'<a href="{escape(run.link)}">{run_id}</a>'
        found = ", ".join(f"{escape(key)} {_text(value)}" for key, value in run.found.items())
        rows.append((started[:19].replace("T", " "), kind, symbol, day, name, status, found or "–"))
    table = grid(head, rows, "words")
    body = table if rows else nothing("There are no runs.")
    hint = "Click on a head to sort; a name links to the page of its run."
    return document(f"{root} · runs", [header("Runs", root, f"{len(runs):,} runs"), card("All runs", hint, body)])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return "–" if value is None else escape(str(value))
