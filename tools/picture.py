"""Draw the picture of the README: equity, prices with fills, and inventory of a backtest on a simulated day.

make picture  writes docs/backtest.svg; plotly draws it in the browser that tests use
"""

import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mm
from browser import browser, started
from mm.backtest.metrics.numbers import Summary
from mm.dayfolder.layout import DayFolder
from mm.report import figures
from mm.report.backtest_charts import equity_panels, market_panels
from mm.report.frame import chart, document
from mm.report.run_columns import columns_of
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "backtest.svg"
SHOWN = ("PnL of the quoting", "Price, quotes and fills", "Inventory")
WIDTH = 1072
DRAWN = """(async () => {
  await window.charts;
  const div = document.querySelector(".chart");
  return Plotly.toImage(div, { format: "svg", width: WIDTH, height: div.layout.height });
})()""".replace("WIDTH", str(WIDTH))


def main() -> None:
    """Write the picture."""
    program = browser()
    if program is None:
        raise SystemExit("no browser on PATH: install chromium")
    with tempfile.TemporaryDirectory() as place:
        folder = DayFolder(Path(place), "SIMUSDT", "20260105")
        make_day(folder, SCENARIOS["poisson"](), Session("SIMUSDT", "20260105", hours=0.2, seed=7))
        tape = mm.load_day(folder)
        knobs: dict[str, Any] = {"maker_fee_rate": 0, "initial_inventory": 0.5, "sensitivity": False}
        result = mm.backtest(tape, fills="poisson", fit=mm.calibrate(tape), **knobs)
        run = columns_of(result)
        terms = Summary.read(result.summary)
        every = [*equity_panels(run, run.curve, terms), *market_panels(run, run.curve, terms)]
        figure = figures.stacked([one for one in every if one.title in SHOWN], figures.time_axis(*run.curve.x))
        figure["layout"] |= {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff"}
        page = Path(place) / "page.html"
        page.write_text(document("picture", [chart(figure)]), encoding="utf-8")
        with started(program) as chrome, chrome.tab(page, width=WIDTH + 100) as tab:
            _, _, svg = tab.value(DRAWN).partition(",")
    text = unquote(svg)
    for drawn in dict.fromkeys(re.findall(r'id="defs-(\w+)"', text)):  # random names of clips
        text = text.replace(drawn, "chart")
    text = re.sub(r" trace[0-9a-f]{6}\b", "", text)
    PICTURE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
