"""The script that streamlit runs for each visitor: the pages by their paths.

Its arguments are the folders: ``app.py DATA_ROOT OUT_ROOT``.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import polars as pl
import streamlit as st

from mm.base.numbers import number
from mm.dashboard import backtest_page, calibration_page, gate, look, market_page, report_page, risk_page, runs_page
from mm.dashboard.sources import Folders
from mm.runs.manifest import headlines, shown

PAGES: dict[str, Callable[[Folders], None]] = {
    "market": market_page.show,
    "runs": runs_page.show,
    "calibration": calibration_page.show,
    "backtest": backtest_page.show,
    "risk": risk_page.show,
    "page": report_page.show,
}
MOST_RUNS = 200
LABELS = {
    "pnl_quoting": "PnL of quoting",
    "pnl_total": "in all",
    "n_fills": "fills",
    "max_drawdown": "drawdown",
    "played": "days played",
    "pnl": "PnL of quoting",
    "daily.mean": "a day",
    "holes": "days not played",
    "best.pnl_quoting": "PnL of the best",
    "walkforward.pnl": "of the walk-forward choice",
}


def home(folders: Folders) -> None:
    st.title("mm")
    st.caption(f"Days in {folders.data_root}, runs in {folders.out_root}.")
    days = [(symbol, day) for symbol in folders.symbols() for day in folders.days(symbol)]
    runs = folders.menu()
    for (name, count), column in zip(
        (("Recorded days", len(days)), ("Finished runs", len(runs)), ("Unfinished", len(folders.invalid_runs()))),
        st.columns(3),
        strict=True,
    ):
        column.metric(name, count)
    rows = [
        {
            **{name: str(run.manifest[name]) for name in ("kind", "symbol", "day")},
            "status": str(run.manifest["summary"].get("status", run.manifest["status"])),
            "run": f"/runs?run={quote(key)}",
            "page": f"/page?run={quote(key)}" if look.page_of(run) else None,
            "result": ", ".join(f"{_label(name)} {_text(value)}" for name, value in headlines(run.manifest).items()),
        }
        for key, run in list(runs.items())[:MOST_RUNS]
    ]
    if not rows:
        st.info("There are no finished runs yet: start one on Backtest, or with mm backtest.")
        return
    links = {
        "run": st.column_config.LinkColumn("run", display_text=r"run=(.+)"),
        "page": st.column_config.LinkColumn("page", display_text="open"),
    }
    st.dataframe(pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String)), hide_index=True, column_config=links)


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").replace(".", " "))


def _text(value: object) -> str:
    return number(value) if isinstance(value, int | float) else shown(value)


def main() -> None:
    folders = Folders(Path(sys.argv[1]), Path(sys.argv[2]))
    st.set_page_config(page_title="mm", layout="wide")
    look.dress()
    gate.enter()
    pages = [st.Page(partial(home, folders), title="Home", url_path="home", default=True)]
    for name, draw in PAGES.items():
        pages.append(st.Page(partial(draw, folders), title=name.capitalize(), url_path=name))
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
