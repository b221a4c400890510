"""Draw the picture of the README: three charts from the report of a backtest on a simulated day.

python tools/picture.py  writes docs/backtest.svg (make picture)
"""

import tempfile
from pathlib import Path
from typing import Any

import mm
from mm.dayfolder.layout import DayFolder
from mm.report.frame import stacked, standalone
from mm.report.notebook import result_parts
from mm.report.run_columns import columns_of
from mm.report.svg import WIDE
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "backtest.svg"
SHOWN = ("Price and fills", "Equity", "Inventory")


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as place:
        folder = DayFolder(Path(place), "SIMUSDT", "20260105")
        make_day(folder, SCENARIOS["poisson"](), Session("SIMUSDT", "20260105", hours=0.2, seed=7))
        tape = mm.load_day(folder)
        terms: dict[str, Any] = {"maker_fee_rate": 0, "initial_inventory": 0.5, "sensitivity": False}
        result = mm.backtest(tape, fills="poisson", fit=mm.calibrate(tape), **terms)
    parts = [one for one in result_parts(result.summary, columns_of(result)) if one.title in SHOWN]
    picture = stacked(parts, "A backtest: mid price and fills, equity, inventory", WIDE)
    PICTURE.write_text(standalone(picture) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
