"""Draw the picture of the README: three charts of a report page, of a backtest on a simulated day.

python tools/picture.py  writes docs/backtest.svg (make picture)
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import mm
from mm.dayfolder.layout import DayFolder
from mm.report.backtest import write_run
from mm.report.frame import About, alone
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "backtest.svg"
SHOWN = ("Mid price over time and our fills", "Equity over time", "Inventory over time")
GAP, LINE = 26, 18
SVG = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)" role="img" aria-label="([^"]+)">(.*?)</svg>', re.DOTALL)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as place:
        folder = DayFolder(Path(place), "SIMUSDT", "20260105")
        make_day(folder, SCENARIOS["poisson"](), Session("SIMUSDT", "20260105", hours=0.2, seed=7))
        tape = mm.load_day(folder)
        terms: dict[str, Any] = {"maker_fee_rate": 0, "initial_inventory": 0.5, "honesty": False}
        result = mm.backtest(tape, fills="poisson", fit=mm.calibrate(tape), **terms)
        write_run(result, Path(place), About())
        page = (Path(place) / "report.html").read_text(encoding="utf-8")
    PICTURE.write_text(alone(stacked(page)) + "\n", encoding="utf-8")


def stacked(page: str) -> str:
    """Return one SVG of the charts of a page, one below the other, each under its title."""
    found = {title: (int(wide), int(high), body) for wide, high, title, body in SVG.findall(page)}
    parts, width, top = list[str](), 0, 0
    for title in SHOWN:
        wide, high, body = found[title]
        parts.append(f'<text class="tick" x="8" y="{top + LINE}">{title}</text>')
        parts.append(f'<g transform="translate(0 {top + GAP})">{body}</g>')
        width, top = max(width, wide), top + GAP + high
    label = "A backtest: mid price and fills, equity, inventory"
    return f'<svg viewBox="0 0 {width} {top}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


if __name__ == "__main__":
    main()
