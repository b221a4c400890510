"""The tables of ``docs/evidence/measured.md``, from stored runs of ``mm bench``.

``python -m benchmarks.tables RUN.json ...`` adds the measurements of these runs to the page, and writes its tables;
without a run it rewrites them. ``shown.json`` stores the content of the tables, so that they can be written without the
runs.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from benchmarks.kept import read_run
from benchmarks.turns import amount

SHOWN = Path(__file__).with_name("shown.json")
PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "measured.md"
ABOUT = ("stamp", "version", "commit", "code", "python", "numpy", "processor", "processors", "memory_gb", "load")
ABOUT_DAY = ("load_at_end", "turns", "day", "hours", "yardstick", "peer")
_SECTION = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
_HEAD = ("", "mm", "against", "ratio", "of turns", "aim")
_PARTS = "its share"  # rows that compare a part of the day with its share of the whole are not shown
Json = dict[str, Any]


def merged(shown: Json, run: Mapping[str, Any]) -> Json:
    """Return the content of the page, with the measurements of *run* in place of those with the same names."""
    about = {key: run.get(key) for key in (*ABOUT, *ABOUT_DAY)}
    return shown | {name: {"run": about, **measured} for name, measured in run["measured"].items()}


def page(text: str, shown: Mapping[str, Json]) -> str:
    """Return the page with the section of each measurement in *shown*; other sections are empty."""

    def section(match: "re.Match[str]") -> str:
        lines = list(lines_of(shown[match[2]])) if match[2] in shown else []
        return f"{match[1]}{''.join(f'{line}{chr(10)}' for line in lines)}{match[3]}"

    return _SECTION.sub(section, text)


def lines_of(measured: Json) -> Iterator[str]:
    """Yield the lines of a measurement's section: its run, and the table."""
    run = measured["run"]
    load = f"a load of {run['load']:g} before and {run['load_at_end']:g} after"
    code = f"commit {(run['commit'] or 'unknown')[:12]}, Python {run['python']}"
    turns = f"{run['turns']} turns" + (f" of a day of {run['hours']:g} h" if run["hours"] else "")
    yield f"Run {run['stamp']}, {turns}, {code}, {run['processor']} × {run['processors']}, {load}:"
    yield ""
    rows = [_HEAD, *(_cells(row) for row in measured["rows"] if row["against"] != _PARTS)]
    used = [any(cells) for cells in zip(*rows[1:], strict=True)]  # instructions are compared with nothing
    head, *lines = (f"| {' | '.join(compress(row, used))} |" for row in rows)
    yield from (head, f"|{'---|' * sum(used)}", *lines)


def _cells(row: Json) -> Sequence[str]:
    ratio, turns, theirs = "", "", ""
    if row["ratio"] is not None:
        ratio, theirs = f"{row['ratio']:.3g}", f"{row['against']} {amount(row['theirs'], row['unit'])}"
    if row["least"] is not None:
        turns = f"{row['least']:.3g} to {row['greatest']:.3g}"
    return row["name"], amount(row["ours"], row["unit"]), theirs, ratio, turns, row["aim"] or ""


def main(paths: Sequence[str]) -> None:
    """Add the runs at *paths* to the page, and write it."""
    shown: Json = json.loads(SHOWN.read_text(encoding="utf-8"))
    for path in paths:
        shown = merged(shown, read_run(Path(path)))
    SHOWN.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), shown), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
