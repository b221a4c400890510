"""Market: the current book and flow of a recording, a trader or a box; and a whole recorded day."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from mm.base.arrays import Floats, Ints
from mm.base.numbers import number, signed
from mm.clock import US_PER_S, iso, now_us
from mm.dashboard import gate, live_view
from mm.dashboard.charts import Zoom, draw
from mm.dashboard.live_view import KEPT, LiveMarket
from mm.dashboard.sources import Folders, day_market, one_line
from mm.dayfolder.day_grids import read_grids
from mm.dayfolder.layout import DayFolder
from mm.instrument import E8, assets_of
from mm.market_data.health import ENDED, read_health, trouble_of
from mm.report.figures import (
    BUY,
    FROM_ZERO,
    GAIN,
    LOSS,
    SELL,
    SOFT,
    THIRD,
    Panel,
    Trace,
    bars,
    chart,
    heat,
    line,
    ms,
    numbers_axis,
    points,
    spans,
    stacked,
    step,
    time_axis,
)
from mm.report.run_columns import MarketColumns, under_water

REFRESH_S = 0.8
WINDOW_US = 300 * US_PER_S  # shown by the live charts
CELL_S = 60
FLOW_S = 10
MOST_PRINTS = 2_500
STEADY = "<style>[data-stale='true'] {opacity: 1 !important;}</style>"  # no fading during a refresh
CLIENT = "mm_1"  # the client name of mm trade --venue api
MINUTE_US = 60 * US_PER_S


def show(folders: Folders) -> None:
    st.title("Market")
    st.html(STEADY)
    first, second, third, fourth = st.columns(4)
    for name in ("symbol", "day", "metrics", "box"):
        st.session_state.setdefault(f"market {name}", st.query_params.get(name))
    symbols, here = folders.symbols(), st.session_state["market symbol"]
    words = [*symbols, here] if here and here not in symbols else symbols
    if here is None and words:
        st.session_state["market symbol"] = words[0]
    help_text = "Symbol of a recorded day, or of an exchange in a box."
    symbol = first.selectbox("Symbol", words, key="market symbol", accept_new_options=True, help=help_text) or ""
    days = folders.days(symbol.upper())
    if st.session_state["market day"] not in days:
        st.session_state["market day"] = days[0] if days else None
    day = second.selectbox("Day", days, key="market day")
    help_text = "Address of a metrics page (METRICS_PORT of a shadow, a trader or a recorder)."
    metrics = third.text_input("Metrics page", key="market metrics", placeholder="127.0.0.1:9109", help=help_text)
    help_text = "Address of mm sim api or mm sim serve, whose book is shown instead of the day's."
    box = fourth.text_input("Exchange in a box", key="market box", placeholder="127.0.0.1:8000", help=help_text)
    _live(folders, symbol.upper(), day, metrics or "", box or "")
    if day:
        _whole_day(folders, symbol.upper(), day)


@st.fragment(run_every=REFRESH_S)
def _live(folders: Folders, symbol: str, day: str | None, metrics: str, box: str) -> None:
    """Streamlit calls this repeatedly, without the rest of the page."""
    gate.enter()
    market: LiveMarket | None = None
    own: live_view.SeenOrders | None = None
    with one_line():
        if box:
            key = f"box {box} {symbol}"
            market = st.session_state[key] = live_view.box_market(box, symbol, st.session_state.get(key))
            client = st.query_params.get("client", CLIENT)
            seen, now = f"orders {box} {client}", int(market.us[-1])
            own = st.session_state[seen] = live_view.box_orders(box, client, now, st.session_state.get(seen))
        elif day:
            market = live_view.recorded_tail(DayFolder(folders.data_root, symbol, day))
            own = live_view.own_orders(folders.out_root, symbol, market.run_id) if market else None
            _health(folders, symbol, day)
    figures: dict[str, dict[str, float]] = {}
    tick: float | None = None
    with one_line():
        tick = _tick(folders, symbol)
    if metrics:
        with one_line():
            figures = live_view.metrics_of(metrics)
            _figures(figures, assets_of(symbol))
    if market is None:
        st.info("No book yet: choose a recorded day, or give the address of an exchange in a box.")
        return
    _now(market, assets_of(symbol))
    left, right = st.columns([2, 1])
    with left:
        _live_figure(market, own, figures, _LiveNames(symbol, metrics, tick))
    with right:
        _depth(market, assets_of(symbol))


def _health(folders: Folders, symbol: str, day: str) -> None:
    report = read_health(folders.data_root, symbol)
    if report is not None and report.path is not None and Path(report.path).name == day:
        age_s = (now_us() - report.at_us) / US_PER_S
        streams = ", ".join(f"{name} {stream.rate_per_s:.1f}/s" for name, stream in report.streams.items())
        st.caption(f"Recording {report.run_id}: {report.state}, {age_s:.0f} s ago; {streams}")
        if trouble := trouble_of(report, now_us(), alive=None):
            st.warning(trouble)


def _figures(figures: dict[str, dict[str, float]], assets: tuple[str, str]) -> None:
    pnl, held, bought, sold, ready = st.columns(5)
    gauges = {name: values.get("") for name, values in figures.items()}
    fills = figures.get("mm_fills_total", {})
    pnl.metric(_in("PnL", assets[1]), signed(figures.get("mm_pnl", {}).get("total")))
    held.metric(_in("Position", assets[0]), number(gauges.get("mm_position")))
    bought.metric("Fills, buys", number(fills.get("buy")))
    sold.metric("Fills, sells", number(fills.get("sell")))
    killed = gauges.get("mm_killed")  # a recorder has no switch
    ready.metric("Kill switch", "–" if killed is None else "triggered" if killed else "armed")


def _now(market: LiveMarket, assets: tuple[str, str]) -> None:
    bid, ask, mid, micro = (float(column[-1]) for column in (market.bid, market.ask, market.mid, market.micro))
    recent = market.trade_us > market.us[-1] - MINUTE_US
    flow = float((market.trades[2] * market.trades[1])[recent].sum())
    tiles = (
        (_in("Mid", assets[1]), number(mid, 7)),
        (_in("Micro-price", assets[1]), number(micro, 7)),
        (_in("Spread", assets[1]), number(ask - bid)),
        ("Volatility, 5 min", f"{number(_volatility(market.us, market.mid))} bp"),
        (_in("Trade flow, 1 min", assets[0]), signed(flow)),
    )
    for (name, value), column in zip(tiles, st.columns(len(tiles)), strict=True):
        column.metric(name, value)
    st.caption(f"As of {iso(int(market.us[-1]))}")


def _in(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


def _volatility(us: Ints, mid: Floats) -> float:
    grid = np.arange(us[-1] - WINDOW_US, us[-1] + 1, US_PER_S)
    seen = mid[np.maximum(np.searchsorted(us, grid[grid >= us[0]], side="right") - 1, 0)]
    change = np.diff(np.log(seen[~np.isnan(seen)]))
    return float(np.sqrt((change**2).mean() * 60) * 1e4) if len(change) else float("nan")


@dataclass(frozen=True)
class _LiveNames:
    symbol: str
    metrics: str
    tick: float | None


def _live_figure(
    market: LiveMarket, own: live_view.SeenOrders | None, figures: dict[str, dict[str, float]], names: _LiveNames
) -> None:
    span = (int(max(market.us[0], market.us[-1] - WINDOW_US)), int(market.us[-1]) + 1)
    base, quote = assets_of(names.symbol)
    panels = [
        Panel("Prices", quote, _price_traces(market, own, figures, names), 290),
        Panel("Spread", quote, [step("spread", market.us, market.ask - market.bid)], 80, FROM_ZERO),
    ]
    if (flow := _flow(market)) is not None:
        panels.append(Panel("Trade flow", f"{base} by {FLOW_S} s, aggressive buys upwards", flow, 90))
    us, equity = _earned(market, own, figures, names)
    if len(us):
        panels += [
            Panel(
                "PnL",
                f"{quote}, since the page was opened" if names.metrics else f"{quote}, of the fills",
                [step("PnL", us, equity)],
                110,
            ),
            Panel("Drawdown", quote, [step("drawdown", us, under_water(equity), LOSS, fill="tozeroy")], 60, FROM_ZERO),
        ]
    st.markdown("**The last five minutes**")
    draw(stacked(panels, time_axis(*span)), key="live")


def _price_traces(
    market: LiveMarket, own: live_view.SeenOrders | None, figures: dict[str, dict[str, float]], names: _LiveNames
) -> list[Trace]:
    until = int(market.us[-1])
    traces = [
        step("best bid", market.us, market.bid, BUY, opacity=0.6, line={"width": 1}),
        step("best ask", market.us, market.ask, SELL, opacity=0.6, line={"width": 1}),
        step("mid", market.us, market.mid, SOFT),
        step("micro-price", market.us, market.micro, THIRD, line={"width": 1}),
    ]
    for sign, bids, buys, colour, shape in (
        (1, "our bids", "our buys", GAIN, "triangle-up"),
        (-1, "our asks", "our sells", LOSS, "triangle-down"),
    ):
        if own is not None:
            traces.append(spans(bids, *own.quotes(sign, until), colour))
            fills = [(us, price) for us, side, price, _ in own.fills if side == sign]
            x, y = np.array([us for us, _ in fills], np.int64), np.array([price for _, price in fills], np.float64)
            traces.append(points(buys, ms(x), y, colour, marker={"size": 10, "symbol": shape}))
        elif names.tick is not None and f"{names.metrics} {bids}" in _history(names, figures, market):
            us, price = _history(names, figures, market)[f"{names.metrics} {bids}"]
            traces.append(step(bids, us, price, colour, line={"width": 2}))
    return traces


def _history(
    names: _LiveNames, figures: dict[str, dict[str, float]], market: LiveMarket
) -> dict[str, tuple[Ints, Floats]]:
    kept: dict[str, tuple[Ints, Floats]] = st.session_state.setdefault("live history", {})
    distances, now = figures.get("mm_quote_distance_ticks", {}), int(market.us[-1])
    values = {"PnL": figures.get("mm_pnl", {}).get("total")}
    for side, sign, name in (("buy", -1, "our bids"), ("sell", 1, "our asks")):
        if side in distances and names.tick is not None:
            values[name] = float(market.mid[-1]) + sign * distances[side] * names.tick
    for name, value in values.items():
        us, numbers = kept.get(f"{names.metrics} {name}", (np.empty(0, np.int64), np.empty(0)))
        if value is not None and (not len(us) or us[-1] < now):
            kept[f"{names.metrics} {name}"] = np.append(us, now)[-KEPT:], np.append(numbers, value)[-KEPT:]
    return kept


def _earned(
    market: LiveMarket, own: live_view.SeenOrders | None, figures: dict[str, dict[str, float]], names: _LiveNames
) -> tuple[Ints, Floats]:
    if names.metrics:
        return _history(names, figures, market).get(f"{names.metrics} PnL", (np.empty(0, np.int64), np.empty(0)))
    if own is None or not own.fills:
        return np.empty(0, np.int64), np.empty(0)
    us, side, price, qty = (np.array(column) for column in zip(*sorted(own.fills), strict=True))
    held, paid = (np.append(0.0, np.cumsum(flow)) for flow in (side * qty, side * qty * price))
    at = np.searchsorted(us, market.us, side="right")
    return market.us, held[at] * market.mid - paid[at]


def _tick(folders: Folders, symbol: str) -> float | None:
    days = folders.days(symbol)
    grids = read_grids(DayFolder(folders.data_root, symbol, days[0])) if days else ()
    return grids[-1].tick_e8 / E8 if grids else None


def _depth(market: LiveMarket, assets: tuple[str, str]) -> None:
    st.markdown("**Depth**")
    if not any(market.book):
        st.caption("The book is empty.")
        return
    traces = list[Trace]()
    for name, levels, colour in zip(("bids", "asks"), market.book, (BUY, SELL), strict=True):
        price, qty = (
            (np.array(column) for column in zip(*levels, strict=True)) if levels else (np.empty(0), np.empty(0))
        )
        shape = {"shape": "vh" if name == "bids" else "hv"}
        traces.append(line(name, price, np.cumsum(qty), colour, fill="tozeroy", opacity=0.6, line=shape))
        traces.append(bars(name, price, qty, colour, showlegend=False))
    x = numbers_axis(_in("price", assets[1]), tickformat="~r", nticks=5)
    figure = chart(traces, x, 340, title="Quantity", unit=assets[0])
    draw(figure, key="live depth")
    st.caption("Bars: quantity of each level; areas: summed from the best price.")


def _flow(market: LiveMarket) -> list[Trace] | None:
    us, (_, qty, side) = market.trade_us, market.trades
    recent = us > market.us[-1] - WINDOW_US
    if not recent.any():
        return None
    cell = us[recent] // (FLOW_S * US_PER_S)
    first = int(cell.min())
    x = ms((np.arange(first, int(cell.max()) + 1) + 0.5) * FLOW_S * US_PER_S)
    return [
        bars(
            name, x, sign * np.bincount(cell - first, weights=(qty * (side == sign))[recent]), colour, showlegend=False
        )
        for name, sign, colour in (("aggressive buys", 1, BUY), ("aggressive sells", -1, SELL))
    ]


def _whole_day(folders: Folders, symbol: str, day: str) -> None:
    st.subheader(f"{symbol} {day}, the whole day", anchor=False)
    with one_line():
        report = read_health(folders.data_root, symbol)
        growing = report is not None and report.state != ENDED and Path(report.path or "").name == day
        if not st.toggle("Read the whole day", value=not growing, key=f"whole {symbol} {day}"):
            return
        market = day_market(folders, symbol, day)
        zoom = Zoom(f"{symbol} {day}", (int(market.us[0]), int(market.us[-1])))
        zoom.bar()
        rows = market.between(*zoom.span)
        prints = [
            points(name, ms(taken.us), taken.price, colour, marker={"size": 3, "opacity": 0.6})
            for name, sign, colour in (("aggressive buys", 1, GAIN), ("aggressive sells", -1, LOSS))
            if len((taken := market.prints[sign].between(*zoom.span, MOST_PRINTS)).us)
        ]
        best = [step("best bid", rows.us, rows.bid, BUY), step("best ask", rows.us, rows.ask, SELL)]
        quote = assets_of(symbol)[1]
        panels = [
            Panel("Best prices and trades", quote, [*prints, *best], 280),
            Panel("Spread of the day", quote, [step("spread", rows.us, rows.ask - rows.bid)], 110, FROM_ZERO),
        ]
        zoom.draw("day", stacked(panels, time_axis(*zoom.span)))
        _heat_map(market)


def _heat_map(market: MarketColumns) -> None:
    rows = volatility_cells(market.us, (market.bid + market.ask) / 2)
    st.markdown("**Volatility**, basis points in a minute, by hour (UTC) and minute")
    if not rows:
        st.caption("Requires two minutes with a valid book.")
        return
    hours = list(dict.fromkeys(str(row["hour"]) for row in rows))
    known = {(row["hour"], row["minute"]): float(row["bp"]) for row in rows}
    values = [[known.get((hour, minute)) for minute in range(60)] for hour in hours]
    more: dict[str, Any] = {"texttemplate": "", "colorscale": "Viridis", "showscale": True, "zmin": 0.0}
    names = [str(minute) if minute % 5 == 0 else "" for minute in range(60)]
    draw(heat(("minute", names), ("hour", hours), values, **more))


def volatility_cells(us: Ints, mid: Floats) -> Sequence[dict[str, float | str]]:
    first, last = -(-int(us[0]) // MINUTE_US), int(us[-1]) // MINUTE_US
    if last <= first:
        return []
    grid = np.arange(first * CELL_S, last * CELL_S + 1) * US_PER_S
    seen = np.log(mid[np.searchsorted(us, grid, side="right") - 1])
    squares = np.diff(seen).reshape(-1, CELL_S) ** 2
    cells = []
    for minute, sum_ in enumerate(squares.sum(axis=1).tolist(), first):
        if not np.isnan(sum_):
            cells.append({"hour": iso(minute * MINUTE_US)[5:13], "minute": minute % 60, "bp": sum_**0.5 * 1e4})
    return cells
