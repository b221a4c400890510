"""Runs: results of a run over time, at any zoom; two runs side by side."""

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
import polars as pl
import streamlit as st

from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import sign_of_mean, tried_of
from mm.base.numbers import SHARPE_DAYS, number, percent, short, signed
from mm.clock import iso
from mm.dashboard.charts import Zoom, draw
from mm.dashboard.look import page_of, show_notes
from mm.dashboard.sources import Folders, compared, label_of, market_of_run, one_line, short_label, traded_run
from mm.errors import MMError
from mm.report.backtest_charts import count_panel, price_panel
from mm.report.figures import (
    merged,
    stacked,
    time_axis,
)
from mm.report.frame import base_asset, quote_asset
from mm.report.tear_sheet import TearSheet, account_panels, markouts_figure
from mm.runs.finished import RunFolder
from mm.runs.manifest import ACCOUNTS, shown

KINDS = ("backtest", "walkforward", "shadow", "trade", *ACCOUNTS.values())
OTHERS = {"sweep": ("backtest", "sweep"), "calibration": ("calibration", "run"), "schedule": ("calibration", "run")}
NONE = "–"
LISTED = 500  # fills in the table


def show(folders: Folders) -> None:
    st.title("Runs")
    runs = dict[str, RunFolder]()
    for key, listed in folders.menu(*KINDS).items():
        runs |= {f"{key}/{symbol}": listed.part(symbol) for symbol in listed.symbols} or {key: listed}
    labels = {key: label_of(run) for key, run in runs.items()}
    selected, compared_with = (folders.choice(st.query_params.get(name), runs) for name in ("run", "with"))
    _list_invalid_folders(folders)
    if not labels and selected is None:
        st.info(f"No finished backtest, walk-forward, shadow or trade below {folders.out_root}: start one on Backtest.")
        return
    left, right = st.columns(2)
    selected, compared_with = (
        st.session_state.setdefault(*pair)
        for pair in (("run", selected or next(iter(labels))), ("with", compared_with or NONE))
    )
    names = list(dict.fromkeys([selected, *labels]))
    chosen = left.selectbox("Run", names, format_func=lambda name: labels.get(name, name), key="run")
    others = list(dict.fromkeys([NONE, compared_with, *(name for name in labels if name != chosen)]))
    other = right.selectbox(
        "Compare with",
        others,
        format_func=lambda name: labels.get(name, name),
        key="with",
    )
    _keep(chosen, other)
    pair = []
    for name in (chosen, other):
        if name and name != NONE:
            with one_line():
                run = folders.run(name)
                if run.manifest["kind"] in OTHERS:
                    page, word = OTHERS[run.manifest["kind"]]
                    st.info(f"{name} is a {run.manifest['kind']}: [see it on its page](/{page}?{word}={quote(name)}).")
                elif run.kind == "evaluation":
                    st.info(f"{name} is an evaluation: [see its page](/page?run={quote(name)}).")
                else:
                    pair.append(traded_run(run))
    if pair:
        _draw(pair, folders)


def _keep(chosen: str | None, other: str | None) -> None:
    wanted = {"run": chosen, "with": None if other == NONE else other}
    for name, value in wanted.items():
        if value is None and name in st.query_params:
            del st.query_params[name]
        elif value is not None and st.query_params.get(name) != value:
            st.query_params[name] = value


def _list_invalid_folders(folders: Folders) -> None:
    invalid = folders.invalid_runs()
    if invalid:
        with st.expander(f"Folders that are not finished runs: {len(invalid)}"):
            for run in invalid:
                st.text(f"{run.folder}: {run.why}")


def _draw(pair: Sequence[RunFolder], folders: Folders) -> None:
    for run, column in zip(pair, st.columns(len(pair)), strict=True):
        with column:
            _head(run)
    known = [run for run in pair if len(run.columns.state["recv_us"])]
    if not known:
        st.info("There are no state rows: the run ended before the book was valid.")
        return
    whole = (min(int(run.columns.curve.x[0]) for run in known), max(int(run.columns.curve.x[1]) for run in known))
    zoom = Zoom(" ".join(run.run_id for run in known), whole)
    zoom.bar()
    _price_chart(known[0], folders, zoom)
    _account_charts(known, zoom)
    left, right = st.columns(2)
    with left:
        _markouts(known)
    with right:
        _fills_table(known[0], zoom)
    if len(pair) == 2:
        _numbers(pair)
    for run in pair:
        st.markdown(f"**Notes of {run.run_id}**") if run.summary["warnings"] else None
        show_notes(run.summary["warnings"])


def _head(run: RunFolder) -> None:
    summary, manifest = Summary.read(run.now), run.manifest
    st.subheader(run.name, anchor=False)
    models = f"{summary.models.get('quote')} quotes, {summary.models.get('fill')} fills"
    page = f" · [its page](/page?run={quote(run.run_id)})" if page_of(run) else ""
    st.caption(f"{manifest['kind']} of {manifest['symbol']} {manifest['day']}: {models}{page}")
    quote_, base = quote_asset(summary), base_asset(summary)
    sharpe = number(summary.sharpe, 3) if len(summary.days) >= SHARPE_DAYS else NONE
    inventory = summary.inventory_from_target or summary.inventory or {}
    tiles = (
        (
            f"PnL of the quoting, {quote_}",
            signed(summary.quoting),
            f"After {number(summary.fees)} fees; the inventory held earned {signed(summary.pnl_hold or 0.0)} apart.",
        ),
        (
            f"Max drawdown, {quote_}",
            number(summary.whole.max_drawdown),
            "From the previous peak of the PnL of the quoting.",
        ),
        ("Sharpe, annual", sharpe, f"Of {SHARPE_DAYS} days or more; annualising an hour would be meaningless."),
        ("Fills", f"{summary.n_fills:,}", f"Of {summary.n_orders:,} orders."),
        (
            f"Inventory from its target, rms, {base}",
            number(inventory.get("rms"), 3),
            f"Target {short(summary.target_inventory or 0.0)}, at most {number(inventory.get('max'), 3)} from it.",
        ),
        ("Quoting both sides", percent(summary.two_sided_uptime), "Of the time with a valid book."),
    )
    st.caption(f"Mean PnL: {sign_of_mean(summary)}. {tried_of(summary)}")
    for row in (tiles[:3], tiles[3:]):
        for (name, value, why), column in zip(row, st.columns(3), strict=True):
            column.metric(name, value, help=why)


def _price_chart(run: RunFolder, folders: Folders, zoom: Zoom) -> None:
    columns = run.columns
    try:
        columns = columns.beside(market_of_run(run, folders))
    except MMError as error:
        st.caption(f"Without the market's best prices: {' '.join(str(error).split())}")
    part, curve = columns.between(*zoom.span), run.columns.curve.between(*zoom.span)
    panels = [price_panel(part, curve, quote_asset(Summary.read(run.summary))), count_panel(part, curve)]
    zoom.draw(f"prices {run.run_id}", stacked(panels, time_axis(*zoom.span), merged(part.excluded, curve.x)))


def _account_charts(runs: Sequence[RunFolder], zoom: Zoom) -> None:
    summary = Summary.read(runs[0].summary)
    curves = [(short_label(run), run.columns.curve.between(*zoom.span)) for run in runs]
    panels = account_panels(curves, quote_asset(summary), base_asset(summary))
    zoom.draw("account", stacked(panels, time_axis(*zoom.span)))


def _markouts(runs: Sequence[RunFolder]) -> None:
    st.markdown(f"**Markouts**: value of fills at later times, {quote_asset(Summary.read(runs[0].summary))} per unit")
    figure = markouts_figure([compared(run) for run in runs])
    if figure is None:
        st.caption("No fill was early enough to have a markout before the end.")
        return
    draw(figure, key="markouts")


def _fills_table(run: RunFolder, zoom: Zoom) -> None:
    fills = run.columns.fills
    first, last = np.searchsorted(np.asarray(fills["recv_us"], np.int64), (zoom.span[0], zoom.span[1] + 1)).tolist()
    summary = Summary.read(run.summary)
    asset = f"prices and fees in {quote_asset(summary)}, quantities in {base_asset(summary)}"
    st.markdown(f"**Fills of {run.run_id}** in this span: {last - first:,}, the newest first; {asset}")
    shown = slice(max(first, last - LISTED), last)
    rows = {name: np.asarray(fills[name])[shown][::-1] for name in ("side", "price", "qty", "fee", "reason")}
    times = [iso(int(us))[11:] for us in np.asarray(fills["recv_us"])[shown][::-1]]
    st.dataframe(pl.DataFrame({"time": times, **rows}), height=240, hide_index=True)


def _numbers(pair: Sequence[RunFolder]) -> None:
    sheet = TearSheet([compared(run) for run in pair])
    for why in sheet.unequal():
        st.warning(why)
    left, right = st.columns(2)
    numbers = [(name, *(number(value, 6) for value in values)) for name, values in sheet.numbers().items()]
    left.markdown("**Numbers**, names as in summary.json")
    left.dataframe(_table("number", pair, numbers), hide_index=True)
    apart = sheet.knobs().items()
    knobs = [(name, *(NONE if value is None else shown(value) for value in values)) for name, values in apart]
    right.markdown("**Knobs that differ**")
    right.dataframe(_table("knob", pair, knobs), hide_index=True)


def _table(head: str, pair: Sequence[RunFolder], rows: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    names = [head, pair[0].run_id, pair[1].run_id if pair[1].run_id != pair[0].run_id else f"{pair[1].run_id} again"]
    return pl.DataFrame([list(row) for row in rows], schema=dict.fromkeys(names, pl.String), orient="row")
