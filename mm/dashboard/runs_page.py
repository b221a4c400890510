"""Runs: results of a run over time, at any zoom; two runs side by side."""

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
import polars as pl
import streamlit as st

from mm.backtest.metrics.risk import rolling_sharpe
from mm.clock import iso
from mm.dashboard import charts
from mm.dashboard.charts import Bars, Dots, Trace, Zoom
from mm.dashboard.sources import Folders, TradedRun, label_of, market_of_run, one_line, traded_run
from mm.errors import MMError
from mm.numbers import SHARPE_DAYS, number, percent, signed
from mm.report.backtest_charts import SIDES, under_water
from mm.report.frame import quoting
from mm.report.run_pages import NO_MATTER, compared
from mm.runs.manifest import shown

KINDS = ("backtest", "walkforward", "shadow", "trade")
OTHERS = {"sweep": ("backtest", "sweep"), "calibration": ("calibration", "run"), "schedule": ("calibration", "run")}
COLOURS = (charts.MAIN, charts.SELL)  # of the run, and of the run compared with it
NONE = "–"
ACCOUNT = ("PnL of the quoting", "Drawdown", "Sharpe ratio, rolling", "Inventory")


def show(folders: Folders) -> None:
    """Draw the page; ``?run=RUN_ID`` chooses a run, ``&with=RUN_ID`` another run to compare."""
    st.title("Runs")
    runs = folders.menu(*KINDS)
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
                found = folders.run(name)
                if found.manifest["kind"] in OTHERS:
                    page, word = OTHERS[found.manifest["kind"]]
                    st.info(
                        f"{name} is a {found.manifest['kind']}: [see it on its page](/{page}?{word}={quote(name)})."
                    )
                else:
                    pair.append(traded_run(found))
    if pair:
        _draw(pair, folders)


def _keep(chosen: str | None, other: str | None) -> None:
    """Write the selection to the address, so that the page can be shared and opened again."""
    wanted = {"run": chosen, "with": None if other == NONE else other}
    for name, value in wanted.items():
        if value is None and name in st.query_params:
            del st.query_params[name]
        elif value is not None and st.query_params.get(name) != value:
            st.query_params[name] = value


def _list_invalid_folders(folders: Folders) -> None:
    """List the folders that are not valid runs, one per line."""
    invalid = folders.invalid_runs()
    if invalid:
        with st.expander(f"Folders that are not finished runs: {len(invalid)}"):
            for one in invalid:
                st.text(f"{one.folder}: {one.why}")


def _draw(pair: Sequence[TradedRun], folders: Folders) -> None:
    for run, column in zip(pair, st.columns(len(pair)), strict=True):
        with column:
            _head(run)
    known = [run for run in pair if len(run.columns.state["recv_us"])]
    if not known:
        st.info("There are no state rows: the run ended before the book was valid.")
        return
    whole = (min(int(run.curve.x[0]) for run in known), max(int(run.curve.x[1]) for run in known))
    zoom = Zoom(" ".join(run.name for run in known), whole)
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
        _warnings(run)


def _head(run: TradedRun) -> None:
    summary, manifest = run.summary, run.found.manifest
    st.subheader(run.name, anchor=False)
    models = f"{summary['models'].get('quote')} quotes, {summary['models'].get('fill')} fills"
    st.caption(f"{manifest['kind']} of {manifest['symbol']} {manifest['day']}: {models}")
    sharpe = number(summary.get("sharpe"), 3) if len(summary["days"]) >= SHARPE_DAYS else NONE
    inventory = summary.get("inventory") or {}
    tiles = (
        (
            "PnL of the quoting",
            signed(quoting(summary)),
            f"In the quote asset, after {number(summary['fees'])} fees; the inventory held earned "
            f"{signed(summary.get('pnl_hold', 0.0))} apart.",
        ),
        ("Max drawdown", number(summary["max_drawdown"]), "From the previous peak of the PnL of the quoting."),
        ("Sharpe, annual", sharpe, f"Of {SHARPE_DAYS} days or more; annualising an hour would be meaningless."),
        ("Fills", f"{summary['n_fills']:,}", f"Of {summary['n_orders']:,} orders."),
        ("Inventory, rms", number(inventory.get("rms"), 3), f"At most {number(inventory.get('max'), 3)}."),
        ("Quoting both sides", percent(summary.get("two_sided_uptime")), "Of the time with a valid book."),
    )
    for row in (tiles[:3], tiles[3:]):
        for (name, value, why), column in zip(row, st.columns(3), strict=True):
            column.metric(name, value, help=why)


def _price_chart(run: TradedRun, folders: Folders, zoom: Zoom) -> None:
    """Draw the market's best prices, our quotes and our fills."""
    columns, market = run.columns, None
    try:
        market = market_of_run(run, folders)
    except MMError as error:
        st.caption(f"Without the market's best prices: {' '.join(str(error).split())}")
    traces = [Trace("mid", columns.mid_us, columns.mid, charts.SOFT)]
    if market is not None:
        traces = [
            Trace("best bid", market.us, market.bid, charts.BUY),
            Trace("best ask", market.us, market.ask, charts.SELL),
        ]
    marks: list[Dots | Bars] = []
    for _, sign, _, side in SIDES:
        quotes = columns.quotes[sign]
        colour = charts.MAIN if sign > 0 else charts.THIRD
        marks.append(Bars(f"our {side}", quotes.us, quotes.until_us, quotes.price, colour))
    marks += [_fills(run, word, sign) for word, sign, _, _ in SIDES]
    zoom.draw(f"Price, quotes and fills: {run.name}", charts.over_time(traces, zoom.span, marks, height=320))


def _fills(run: TradedRun, word: str, sign: int) -> Dots:
    fills = run.columns.fills
    rows = np.flatnonzero(np.asarray(fills["side"]) == word)
    us, price = (np.asarray(fills[name])[rows] for name in ("recv_us", "price"))
    tips = {name: np.asarray(fills[name], dtype=object)[rows] for name in ("qty", "reason")}
    shape, colour = ("triangle-up", charts.BUY) if sign > 0 else ("triangle-down", charts.LOSS)
    return Dots(f"our {word.lower()}s", us.astype(np.int64), price.astype(np.float64), colour, shape, tips)


def _account_charts(runs: Sequence[TradedRun], zoom: Zoom) -> None:
    """Draw equity, drawdown, rolling Sharpe ratio and inventory, overlaid for two runs."""
    panels: dict[str, list[Trace]] = {title: [] for title in ACCOUNT}
    equity, drawdown, rolling, inventory = panels.values()
    for run, colour in zip(runs, COLOURS, strict=False):
        us, values = run.curve.us, run.curve.equity
        equity.append(Trace(run.name, us, values, colour))
        drawdown.append(Trace(run.name, us, under_water(values), colour))
        inventory.append(Trace(run.name, us, run.curve.inventory, colour))
        state = run.columns.quoting
        ends, ratio = rolling_sharpe(np.asarray(run.columns.state["recv_us"], np.int64), state, ~np.isnan(state))
        if len(ends) and not np.isnan(ratio).all():
            rolling.append(Trace(run.name, ends, ratio, colour, straight=True))
    for title, traces in panels.items():
        if traces:
            zoom.draw(title, charts.over_time(traces, zoom.span, height=150, zero=title != "Inventory"))
        else:
            st.caption(f"{title}: requires 20 minutes with changes of the equity.")


def _markouts(runs: Sequence[TradedRun]) -> None:
    """Draw the value of fills at later times (markouts), per unit, with 95 % bars."""
    rows = []
    for run in runs:
        spread, error = run.summary.get("realised_half_spread") or {}, run.summary.get("adverse_selection_se") or {}
        rows += [
            {"after": f"{after} s", "value": value, "bar": 1.96 * (error.get(after) or 0.0), "name": run.name}
            for after, value in spread.items()
            if value is not None
        ]
    st.markdown("**Markouts**: value of fills at later times, quote asset per unit")
    if not rows:
        st.caption("No fill was early enough to have a markout before the end.")
        return
    frame = pl.DataFrame(rows).with_columns(low=pl.col("value") - pl.col("bar"), high=pl.col("value") + pl.col("bar"))
    enc = {
        "x": {"field": "after", "type": "nominal", "sort": None, "axis": {"title": None, "labelAngle": 0}},
        "xOffset": {"field": "name"},
        "color": charts.colours({run.name: colour for run, colour in zip(runs, COLOURS, strict=False)}),
        "tooltip": [*({"field": name} for name in ("name", "after", "value")), {"field": "bar", "title": "± 95 %"}],
    }
    bars = charts.layer(frame, {"type": "rule"}, {**enc, "y": charts.quantity("low"), "y2": {"field": "high"}})
    dots = charts.layer(frame, {"type": "point", "filled": True, "size": 60}, {**enc, "y": charts.quantity("value")})
    zero = charts.layer(
        pl.DataFrame({"value": [0.0]}), {"type": "rule", "color": charts.SOFT}, {"y": charts.quantity("value")}
    )
    st.vega_lite_chart(spec=charts.chart([zero, bars, dots], 240), width="stretch")


def _fills_table(run: TradedRun, zoom: Zoom) -> None:
    fills = run.columns.fills
    first, last = np.searchsorted(np.asarray(fills["recv_us"], np.int64), (zoom.span[0], zoom.span[1] + 1)).tolist()
    st.markdown(f"**Fills of {run.name}** in this span: {last - first:,}")
    rows = {name: fills[name][first : min(last, first + 500)] for name in ("side", "price", "qty", "fee", "reason")}
    times = [iso(int(us))[11:] for us in fills["recv_us"][first : min(last, first + 500)]]
    st.dataframe(pl.DataFrame({"time": times, **rows}), height=240, hide_index=True)


def _numbers(pair: Sequence[TradedRun]) -> None:
    """Draw the numbers of two runs side by side, and the knobs that differ."""
    left, right = st.columns(2)
    rows = [row[:-1] for row in compared([run.summary for run in pair])]
    left.markdown("**Numbers**, names are those of summary.json")
    left.dataframe(_table("number", pair, rows), hide_index=True)
    knobs = [{name: one["value"] for name, one in run.found.manifest["knobs"].items()} for run in pair]
    apart = [
        (name, *(NONE if one.get(name) is None else shown(one[name]) for one in knobs))
        for name in dict.fromkeys([*knobs[0], *knobs[1]])
        if name not in NO_MATTER and knobs[0].get(name) != knobs[1].get(name)
    ]
    right.markdown("**Knobs that differ**")
    right.dataframe(_table("knob", pair, apart), hide_index=True)


def _table(head: str, pair: Sequence[TradedRun], rows: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    names = [head, pair[0].name, pair[1].name if pair[1].name != pair[0].name else f"{pair[1].name} again"]
    return pl.DataFrame([list(row) for row in rows], schema=dict.fromkeys(names, pl.String), orient="row")


def _warnings(run: TradedRun) -> None:
    if run.summary["warnings"]:
        with st.expander(f"Notes of {run.name}"):
            for line in run.summary["warnings"]:
                st.text(line)
