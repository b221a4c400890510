"""A minute's market as a picture: the book as a heat map, our quotes, fills and queue places."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.explain import apply_event
from mm.base.arrays import Floats, Ints
from mm.base.numbers import number, short
from mm.clock import US_PER_S, iso
from mm.instrument import E8
from mm.report import figures
from mm.report.backtest_charts import SIDES
from mm.report.figures import SOFT, Figure, Panel, Trace
from mm.report.frame import base_asset, card, chart, document, header, notes, quote_asset, zoom_bar
from mm.tape._book import CompiledBook
from mm.tape.feed import happened
from mm.tape.tape import GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.play.queue_places import Place
    from mm.report.run_columns import RunColumns, Standing
    from mm.tape.tape import Tape

CELLS, MOST_ROWS = 120, 80
BEYOND_ROWS = 10  # prices shown beyond the best ones and our own
WINDOW = 1 << 20  # ticks of the book on both sides
DEEPEST = 0.95  # quantile of the displayed quantities at which the colour is full
SCALE = [[0.0, "rgba(76,120,221,0)"], [0.02, "rgba(76,120,221,0.12)"], [1.0, "rgba(76,120,221,0.95)"]]


@dataclass(frozen=True, eq=False)
class BookCells:
    """*qty* is the displayed quantity at the end of each cell, base asset, float64[rows, cells]; NaN without a book."""

    us: Ints
    ticks: Ints
    height: int
    qty: Floats
    best: Ints
    prints: Ints


def stretch(middle_us: int, seconds: float) -> tuple[int, int]:
    half = round(seconds * US_PER_S / 2)
    return middle_us - half, middle_us + half


def sampled(first_us: int, last_us: int) -> list[int]:
    return [int(us) for us in np.linspace(first_us, last_us, CELLS + 1)[1:]]


def book_cells(tape: "Tape", first_us: int, last_us: int, own: Sequence[int], feed: Any = None) -> BookCells:
    """Include every price (ticks) of *own*."""
    ahead = tape.feed_in(feed)
    if ahead is not None:
        tape = happened(tape, ahead, first_us, last_us + 1)
    ends = sampled(first_us, last_us)
    books = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == KEYFRAME))
    before = books[tape.event_us[books] <= first_us]
    begin = int(before[-1]) if len(before) else 0
    stop = int(np.searchsorted(tape.event_us, last_us, side="right"))
    levels, best, prints = list[dict[int, float]](), list[tuple[int, int]](), list[tuple[int, ...]]()
    near = int(tape.row_ticks[tape.first_row[begin]]) if len(tape.row_ticks) else 0
    book, valid, at = CompiledBook(max(near - WINDOW, 0), near + WINDOW), False, begin
    for end_us in ends:
        while at < stop and tape.event_us[at] <= end_us:
            kind = int(tape.kind[at])
            if kind == TRADE:
                if tape.event_us[at] >= first_us:
                    ((side, ticks, lots),) = tape.rows(at)
                    prints.append((int(tape.event_us[at]), side, ticks, lots))
            elif kind == GAP:
                valid = False
            else:
                valid = valid or kind == SNAPSHOT or at == begin
                apply_event(book, tape, at, whole=kind == SNAPSHOT or at == begin)
            at += 1
        best.append(book.best() if valid else (0, 0))
        levels.append({t: lots for side in (1, -1) for t, lots in book.levels(side)} if valid else {})
    return _gridded(tape, ends, levels, best, prints, own)


def _gridded(
    tape: "Tape",
    ends: Sequence[int],
    levels: Sequence[dict[int, float]],
    best: Sequence[tuple[int, int]],
    prints: Sequence[tuple[int, ...]],
    own: Sequence[int],
) -> BookCells:
    known = [ticks for pair in best for ticks in pair if ticks] + list(own) + [ticks for _, _, ticks, _ in prints]
    low, high = (min(known), max(known)) if known else (0, 1)
    height = max(1, -(-(high - low) // (MOST_ROWS - 2 * BEYOND_ROWS)))
    rows = (high - low) // height + 1 + 2 * BEYOND_ROWS
    first = low - BEYOND_ROWS * height
    qty = np.full((rows, len(ends)), np.nan)
    for cell, shown in enumerate(levels):
        if shown:
            qty[:, cell] = 0.0
        for ticks, lots in shown.items():
            if 0 <= (row := (ticks - first) // height) < rows:
                qty[row, cell] += lots * tape.instrument.lot_e8 / E8
    width = (ends[1] - ends[0]) // 2
    return BookCells(
        us=np.array(ends, np.int64) - width,
        ticks=first + height * np.arange(rows),
        height=height,
        qty=qty,
        best=np.array(best, np.int64),
        prints=np.array(prints, np.int64).reshape(-1, 4),
    )


def book_figure(tape: "Tape", cells: BookCells, run: "RunColumns", places: "Sequence[Place]") -> Figure:
    grid = tape.instrument
    tick, (base, quote) = grid.tick_e8 / E8, _assets(tape)
    width = int(cells.us[1] - cells.us[0]) // 2
    span = (int(cells.us[0]) - width, int(cells.us[-1]) + width)
    price = (cells.ticks + (cells.height - 1) / 2) * tick
    shown = cells.qty[cells.qty > 0]
    heat: Trace = {
        "type": "heatmap",
        "name": "book",
        "x": figures.ms(cells.us),
        "y": price,
        "z": cells.qty,
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": float(np.quantile(shown, DEEPEST)) if len(shown) else 1.0,
        "showscale": False,
        "hovertemplate": f"%{{z:,.6~r}} {base} at %{{y:,.10~r}}<extra></extra>",
    }
    traces = [heat]
    for _, sign, colour, name in SIDES:
        values = cells.best[:, 0 if sign > 0 else 1] * tick
        best = figures.step(f"best {name}", cells.us + width, np.where(values > 0, values, np.nan), colour)
        traces.append({**best, "line": {**best["line"], "width": 1}, "opacity": 0.7})
        traces.append(_prints(cells, sign, colour, tick, grid.lot_e8 / E8))
    for _, sign, colour, name in SIDES:
        resting: Standing = run.quotes[sign]
        if len(resting.us):
            traces.append(
                figures.spans(f"our {name}", resting.us, resting.until_us, resting.price, colour, line={"width": 3})
            )
    traces += [_fills(run, word, sign, colour) for word, sign, colour, _ in SIDES]
    ends = [float(price[0] - tick * cells.height), float(price[-1] + tick * cells.height)]
    panels = [Panel("Book", quote, traces, 420, {"range": ends})]
    if places:
        ahead = [_ahead([one for one in places if one.side == sign], name, colour) for _, sign, colour, name in SIDES]
        panels.append(Panel("Ahead of us in the queue", base, ahead, 150, figures.FROM_ZERO))
    return figures.stacked(panels, figures.time_axis(*map(float, span)))


def _assets(tape: "Tape") -> tuple[str, str]:
    grid = tape.instrument
    return base_asset(grid), quote_asset(grid)


def _prints(cells: BookCells, sign: int, colour: str, tick: float, lot: float) -> Trace:
    us, _, ticks, lots = cells.prints[cells.prints[:, 1] == sign].T
    who = "buyers" if sign > 0 else "sellers"
    tips = [f"{who[:-1]} took {short(q)} at {short(p)}" for q, p in zip(lots * lot, ticks * tick, strict=True)]
    mark = {"size": 5, "symbol": "circle-open"}
    return figures.points(f"{who}' trades", figures.ms(us), ticks * tick, colour, tips=tips, marker=mark)


def _fills(run: "RunColumns", word: str, sign: int, colour: str) -> Trace:
    at = np.asarray(run.fills["side"]) == word
    us, price, qty = (np.asarray(run.fills[name])[at].astype(np.float64) for name in ("recv_us", "price", "qty"))
    which = np.asarray(run.fills["fill"])[at] + 1
    tips = [
        f"fill {n}: our {word.lower()} of {short(q)} at {short(p)}" for n, q, p in zip(which, qty, price, strict=True)
    ]
    mark = {"size": 13, "symbol": f"triangle-{'up' if sign > 0 else 'down'}", "line": {"color": SOFT, "width": 1}}
    more = {"stop": True}
    return figures.points(f"our {word.lower()}s", figures.ms(us), price, colour, tips=tips, marker=mark, meta=more)


def _ahead(places: "Sequence[Place]", name: str, colour: str) -> Trace:
    x, y = list[float](), list[float]()
    last = 0
    for order_id, _, us, ahead in sorted(places, key=lambda place: (place.order_id, place.us)):
        if x and order_id != last:
            x.append(us / 1_000)
            y.append(np.nan)
        x.append(us / 1_000)
        y.append(ahead)
        last = order_id
    trace = figures.line(f"of our {name}", np.array(x), np.array(y), colour, mode="lines+markers", marker={"size": 3})
    return {**trace, "hovertemplate": "%{y:,.6~r} ahead<extra></extra>"}


def page(tape: "Tape", figure: Figure, cells: BookCells, name: str, lines: Sequence[str]) -> str:
    first, last = (iso(int(us))[:19].replace("T", " ") for us in (cells.us[0], cells.us[-1]))
    grid, (base, _) = tape.instrument, _assets(tape)
    full = figure["data"][0]["zmax"]
    hint = (
        f"Colour: displayed quantity at each price at the end of each {number((cells.us[1] - cells.us[0]) / 1e6)} s, "
        f"full from {number(full)} {base} up; a row is {short(cells.height * grid.tick_e8 / E8)} high. Bars: our "
        "resting orders; triangles: our fills; circles: trades of others. Below: the quantity ahead of our orders at "
        "their price, as the fill model estimates, at the same instants; a line ends with its order."
    )
    body = card("The book around us", hint, zoom_bar("fill", 10) + chart(figure))
    head = header(tape.symbol, f"{first} to {last[11:]} UTC", escape(name))
    return document(f"{tape.symbol} {first}", [head, notes(lines), body])
