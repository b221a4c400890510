"""Market: the current book and flow of a recording, a trader or an exchange in a box; and a whole recorded day."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import streamlit as st

from mm.clock import US_PER_S, iso, now_us
from mm.dashboard import charts, live_view
from mm.dashboard.charts import Bars, Dots, Trace, Zoom
from mm.dashboard.live_view import LiveMarket
from mm.dashboard.sources import Folders, day_market, one_line
from mm.dayfolder.day_grids import read_grids
from mm.dayfolder.layout import DayFolder
from mm.instrument import E8
from mm.market_data.health import ENDED, read_health, trouble_of
from mm.numbers import number, signed
from mm.report.run_columns import MarketColumns

REFRESH_S = 0.8
WINDOW_US = 300 * US_PER_S  # shown by the live charts
CELL_S = 60
STEADY = "<style>[data-stale='true'] {opacity: 1 !important;}</style>"  # no fading during a refresh
CLIENT = "mm_1"  # the client name of mm trade --venue api
MINUTE_US = 60 * US_PER_S


def show(folders: Folders) -> None:
    """Draw the page; ``?symbol=&day=`` chooses a day, ``&metrics=`` and ``&box=`` name addresses."""
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
    """Draw the current state; streamlit calls it repeatedly, without the rest of the page."""
    market: LiveMarket | None = None
    own: live_view.SeenOrders | None = None
    with one_line():
        if box:
            key = f"box {box} {symbol}"
            market = st.session_state[key] = live_view.box_market(box, symbol, st.session_state.get(key))
            own = live_view.box_orders(box, st.query_params.get("client", CLIENT))
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
            _figures(figures)
    if market is None:
        st.info("No book yet: choose a recorded day, or give the address of an exchange in a box.")
        return
    _now(market)
    left, right = st.columns([2, 1])
    with left:
        _price(market, own, figures, tick)
        _flow(market)
    with right:
        _depth(market)


def _health(folders: Folders, symbol: str, day: str) -> None:
    """Show the last reported state of the day's recording, and its problems."""
    report = read_health(folders.data_root, symbol)
    if report is not None and report.path is not None and Path(report.path).name == day:
        age_s = (now_us() - report.at_us) / US_PER_S
        streams = ", ".join(f"{name} {one.rate_per_s:.1f}/s" for name, one in report.streams.items())
        st.caption(f"Recording {report.run_id}: {report.state}, {age_s:.0f} s ago; {streams}")
        if trouble := trouble_of(report, now_us(), alive=None):
            st.warning(trouble)


def _figures(figures: dict[str, dict[str, float]]) -> None:
    pnl, held, bought, sold, ready = st.columns(5)
    one = {name: values.get("") for name, values in figures.items()}
    fills = figures.get("mm_fills_total", {})
    pnl.metric("PnL", signed(figures.get("mm_pnl", {}).get("total")))
    held.metric("Position", number(one.get("mm_position")))
    bought.metric("Fills, buys", number(fills.get("buy")))
    sold.metric("Fills, sells", number(fills.get("sell")))
    ready.metric("Kill switch", "triggered" if one.get("mm_killed") else "armed")


def _now(market: LiveMarket) -> None:
    bid, ask, mid, micro = (float(column[-1]) for column in (market.bid, market.ask, market.mid, market.micro))
    recent = market.trade_us > market.us[-1] - MINUTE_US
    flow = float((market.trades[2] * market.trades[1])[recent].sum())
    tiles = (
        ("Mid", number(mid, 7)),
        ("Micro-price", number(micro, 7)),
        ("Spread", number(ask - bid)),
        ("Volatility, 5 min", f"{number(_volatility(market.us, market.mid))} bp"),
        ("Trade flow, 1 min", signed(flow)),
    )
    for (name, value), column in zip(tiles, st.columns(len(tiles)), strict=True):
        column.metric(name, value)
    st.caption(f"As of {iso(int(market.us[-1]))}")


def _volatility(us: charts.Instants, mid: charts.Floats) -> float:
    """Return the standard deviation of the mid's change per minute, in basis points, over the last five minutes."""
    grid = np.arange(us[-1] - WINDOW_US, us[-1] + 1, US_PER_S)
    seen = mid[np.maximum(np.searchsorted(us, grid[grid >= us[0]], side="right") - 1, 0)]
    change = np.diff(np.log(seen[~np.isnan(seen)]))
    return float(np.sqrt((change**2).mean() * 60) * 1e4) if len(change) else float("nan")


def _price(
    market: LiveMarket, own: live_view.SeenOrders | None, figures: dict[str, dict[str, float]], tick: float | None
) -> None:
    """Draw mid, micro-price and best prices of the last minutes, with our quotes and fills."""
    span = (int(max(market.us[0], market.us[-1] - WINDOW_US)), int(market.us[-1]) + 1)
    lines = (
        ("best bid", market.bid, charts.BUY),
        ("best ask", market.ask, charts.SELL),
        ("mid", market.mid, charts.SOFT),
        ("micro-price", market.micro, charts.THIRD),
    )
    traces = [Trace(name, market.us, values, colour) for name, values, colour in lines]
    marks = [] if own is None else _own_marks(own, span)
    distances = figures.get("mm_quote_distance_ticks", {})
    if own is None and tick is not None:
        for name, sign, colour in (("buy", -1, charts.GAIN), ("sell", 1, charts.LOSS)):
            if name in distances:
                price = np.array([float(market.mid[-1]) + sign * distances[name] * tick])
                since, until = (np.array([one], dtype=np.int64) for one in (max(span[0], span[1] - MINUTE_US), span[1]))
                marks.append(Bars(f"our {name} quote now", since, until, price, colour))
    st.markdown("**Prices of the last five minutes**")
    st.vega_lite_chart(spec=charts.over_time(traces, span, marks, height=280), key="live prices", width="stretch")
    st.markdown("**Spread**")
    spread = Trace("spread", market.us, market.ask - market.bid)
    st.vega_lite_chart(spec=charts.over_time([spread], span, height=90, zero=True), key="live spread", width="stretch")


def _own_marks(own: live_view.SeenOrders, span: charts.Span) -> list[Dots | Bars]:
    """Return our open orders, over the whole span, and our fills."""
    marks: list[Dots | Bars] = []
    for sign, names, colour, shape in (
        (1, ("our bids", "our buys"), charts.GAIN, "triangle-up"),
        (-1, ("our asks", "our sells"), charts.LOSS, "triangle-down"),
    ):
        prices = np.array([price for side, price, _ in own.open.values() if side == sign], dtype=np.float64)
        since, until = (np.full(len(prices), one, dtype=np.int64) for one in span)
        marks.append(Bars(names[0], since, until, prices, colour))
        fills = [(us, price) for us, side, price, _ in own.fills if side == sign]
        us = np.array([us for us, _ in fills], dtype=np.int64)
        price = np.array([price for _, price in fills], dtype=np.float64)
        marks.append(Dots(names[1], us, price, charts.MAIN if sign > 0 else charts.THIRD, shape))
    return marks


def _tick(folders: Folders, symbol: str) -> float | None:
    """Return the price step of a symbol's newest day; None if unknown."""
    days = folders.days(symbol)
    grids = read_grids(DayFolder(folders.data_root, symbol, days[0])) if days else ()
    return grids[-1].tick_e8 / E8 if grids else None


def _depth(market: LiveMarket) -> None:
    """Draw the quantity at each level, and the cumulative quantity from the best price."""
    rows = []
    for name, levels in zip(("bids", "asks"), market.book, strict=True):
        total = np.cumsum([qty for _, qty in levels])
        rows += [
            {"price": price, "qty": qty, "sum": float(upto), "name": name}
            for (price, qty), upto in zip(levels, total, strict=True)
        ]
    st.markdown("**Depth**")
    if not rows:
        st.caption("The book is empty.")
        return
    frame = pl.DataFrame(rows)
    colour = charts.colours({"bids": charts.BUY, "asks": charts.SELL})
    tip = [{"field": name} for name in ("name", "price", "qty", "sum")]
    enc = {"x": charts.quantity("price", zero=False), "color": colour, "tooltip": tip}
    area = {"type": "area", "interpolate": "step", "opacity": 0.25}
    sums = charts.layer(frame, area, {**enc, "y": {**charts.quantity("sum"), "stack": None}})
    single = {**enc, "y": charts.quantity("qty"), "y2": {"datum": 0}}
    at_each = charts.layer(frame, {"type": "rule", "strokeWidth": 4}, single)
    st.vega_lite_chart(spec=charts.chart([sums, at_each], 380), key="live depth", width="stretch")
    st.caption("Quantity of each level, and the cumulative quantity from the best price.")


def _flow(market: LiveMarket) -> None:
    """Draw the quantity taken by aggressive buyers and sellers per ten seconds."""
    us, (_, qty, side) = market.trade_us, market.trades
    recent = us > market.us[-1] - WINDOW_US
    if recent.any():
        _flow_chart("Trade flow, by ten seconds", us[recent], side[recent] * qty[recent], 10)


def _flow_chart(title: str, us: charts.Instants, signed_qty: charts.Floats, step_s: int) -> None:
    cell = us // (step_s * US_PER_S)
    first = int(cell.min())
    rows = []
    for name, sign in (("aggressive buys", 1.0), ("aggressive sells", -1.0)):
        taken = np.where(signed_qty * sign > 0, signed_qty, 0.0)
        sums = np.bincount(cell - first, weights=taken)
        rows += [
            {"t": (first + place) * step_s * 1e3, "u": (first + place + 1) * step_s * 1e3, "v": value, "name": name}
            for place, value in enumerate(sums.tolist())
        ]
    x = {"field": "t", "type": "temporal", "scale": {"type": "utc"}, "axis": {"title": None, "format": "%H:%M:%S"}}
    colour = charts.colours({"aggressive buys": charts.BUY, "aggressive sells": charts.SELL})
    enc = {"x": x, "x2": {"field": "u"}, "y": charts.quantity("v"), "y2": {"datum": 0}, "color": colour}
    st.markdown(f"**{title}**")
    st.vega_lite_chart(spec=charts.chart([charts.layer(pl.DataFrame(rows), {"type": "rect"}, enc)], 130))


def _whole_day(folders: Folders, symbol: str, day: str) -> None:
    """Draw a whole day, if its recording has ended or on request."""
    st.subheader(f"{symbol} {day}, the whole day", anchor=False)
    with one_line():
        report = read_health(folders.data_root, symbol)
        growing = report is not None and report.state != ENDED and Path(report.path or "").name == day
        if not st.toggle("Read the whole day", value=not growing, key=f"whole {symbol} {day}"):
            return
        market = day_market(folders, symbol, day)
        zoom = Zoom(f"{symbol} {day}", (int(market.us[0]), int(market.us[-1])))
        zoom.bar()
        best = (("best bid", market.bid, charts.BUY), ("best ask", market.ask, charts.SELL))
        prints = [
            Dots(name, taken.us, taken.price, colour)
            for name, sign, colour in (("aggressive buys", 1, charts.GAIN), ("aggressive sells", -1, charts.LOSS))
            if len((taken := market.prints[sign]).us)
        ]
        traces = [Trace(name, market.us, values, colour) for name, values, colour in best]
        zoom.draw("Best prices and trades", charts.over_time(traces, zoom.span, prints, height=260))
        spread = [Trace("spread", market.us, market.ask - market.bid)]
        zoom.draw("Spread of the day", charts.over_time(spread, zoom.span, height=110, zero=True))
        _heat_map(market)


def _heat_map(market: MarketColumns) -> None:
    """Draw the volatility of each minute: hours vertically, minutes horizontally."""
    rows = volatility_cells(market.us, (market.bid + market.ask) / 2)
    st.markdown("**Volatility**, basis points in a minute, by hour (UTC) and minute")
    if not rows:
        st.caption("Requires two minutes with a valid book.")
        return
    across = {"title": None, "labelAngle": 0, "values": list(range(0, 60, 5))}
    tip = [{"field": name} for name in ("hour", "minute", "bp")]
    enc = {
        "x": {"field": "minute", "type": "ordinal", "axis": across},
        "y": {"field": "hour", "type": "ordinal", "axis": {"title": None}},
        "color": {"field": "bp", "type": "quantitative", "scale": {"scheme": "viridis"}, "legend": {"title": "bp"}},
        "tooltip": tip,
    }
    height = 28 * len({row["hour"] for row in rows}) + 40
    st.vega_lite_chart(spec=charts.chart([charts.layer(pl.DataFrame(rows), {"type": "rect"}, enc)], height))


def volatility_cells(us: charts.Instants, mid: charts.Floats) -> Sequence[dict[str, float | str]]:
    """Return the volatility of each minute with a valid book, in bp per √minute, from changes per second."""
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
