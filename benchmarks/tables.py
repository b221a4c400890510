"""The tables of ``docs/performance.md``, from runs of ``mm bench`` that were kept.

``python -m benchmarks.tables RUN.json ...`` takes the measurements of these runs for the page, and writes its tables;
without a run it writes them again. What the page shows is in ``shown.json``, so that the tables can be made anywhere.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kept import read_run
from benchmarks.turns import amount, counted

SHOWN = Path(__file__).with_name("shown.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
ABOUT = ("stamp", "version", "commit", "code", "python", "numpy", "processor", "processors", "memory_gb", "load")
ABOUT_DAY = ("load_at_end", "turns", "day", "hours", "yardstick", "peer")
_SECTION = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
_HEAD = ("", "mm", "user", "against", "", "user", "ratio", "of turns", "by user", "aim")
Json = dict[str, Any]


def taken(shown: Json, run: Mapping[str, Any]) -> Json:
    """Return what the page shows, with the measurements of *run* in place of those of their names."""
    about = {key: run.get(key) for key in (*ABOUT, *ABOUT_DAY)}
    return shown | {name: {"run": about, **measured} for name, measured in run["measured"].items()}


def page(text: str, shown: Mapping[str, Json]) -> str:
    """Return the page with each section of a measurement as *shown* has it; others stay empty."""

    def section(found: "re.Match[str]") -> str:
        lines = list(lines_of(shown[found[2]])) if found[2] in shown else []
        return f"{found[1]}{''.join(f'{line}{chr(10)}' for line in lines)}{found[3]}"

    return _SECTION.sub(section, text)


def lines_of(measured: Json) -> Iterator[str]:
    """Yield the lines of a measurement's section: of which run it is, the table, what was counted."""
    run = measured["run"]
    busy = f"a load of {run['load']:g} before and {run['load_at_end']:g} after"
    code = f"commit {(run['commit'] or 'unknown')[:12]}, Python {run['python']}"
    yield f"Run {run['stamp']}, {run['turns']} turns, {code}, {run['processor']} × {run['processors']}, {busy}:"
    yield ""
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{'---|' * len(_HEAD)}"
    for row in measured["rows"]:
        yield f"| {' | '.join(_cells(row))} |"
    yield ""
    yield from (f"- {key}: {counted(value)}" for key, value in measured["facts"].items())


def _cells(row: Json) -> Sequence[str]:
    def number(key: str) -> str:
        return "" if row.get(key) is None else amount(row[key], row["unit"])

    ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
    spread = "" if row["least"] is None else f"{row['least']:.3g} to {row['greatest']:.3g}"
    by_user = "" if row.get("user_ratio") is None else f"{row['user_ratio']:.3g}"
    own = (row["name"], number("ours"), number("user"))
    return (
        *own,
        row["against"] or "",
        number("theirs"),
        number("their_user"),
        ratio,
        spread,
        by_user,
        row["aim"] or "",
    )


def main(paths: Sequence[str]) -> None:
    """Take the runs at *paths*, and write the page."""
    shown: Json = json.loads(SHOWN.read_text(encoding="utf-8"))
    for path in paths:
        shown = taken(shown, read_run(Path(path)))
    SHOWN.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), shown), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
