"""What the report page draws over time: price, quotes and fills, equity, its parts, inventory, and A and k."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.markouts import HORIZONS_S
from mm.clock import US_PER_S
from mm.numbers import short
from mm.report.course import Course
from mm.report.frame import nothing
from mm.report.packing import changes, unit_of
from mm.report.svg import Plot, padded, steps
from mm.report.timeline import Line, Marks, Panel, Stays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.report.run_columns import RunColumns

    Floats = NDArray[np.float64]
    Instants = NDArray[np.int64]

WIDE = 1072
SIDES = (("BUY", 1, "buy", "bid"), ("SELL", -1, "sell", "ask"))
MARKED_FILLS = 400  # more would hide each other and the price
# More than these are drawn one of several, for the page's size.
TOLD_FILLS = 60_000
TOLD_QUOTES = 150_000  # of one side
COUNT_BARS = 166


def panels(run: "RunColumns", course: Course, summary: Mapping[str, Any]) -> list[Panel]:
    """Return the charts over time, from top to bottom; all share the course's span."""
    quote, base = escape(summary["quote_asset"] or "quote asset"), escape(summary["base_asset"] or "base asset")
    marks = [_fills_of(run, word, sign, kind, summary["tick_size"]) for word, sign, kind, _ in SIDES]
    parts = [
        _line("spread captured", "line spread", course.us, course.spread),
        _line("inventory", "line carried", course.us, course.carried),
        _line("fees", "line fees", course.us, -course.fees),
    ]
    clip = short(summary["quote_qty"])
    equity = _line("equity", "line", course.us, course.equity)
    held = _line("held", "line", course.us, course.inventory)
    return [
        _price_panel(run, course, marks, quote, summary["tick_size"]),
        Panel("Fills", "", _counts_picture(run, course), 84, marks=[bare(one) for one in marks], counts=True),
        _lines_panel(run, course, ("Equity", f"{quote}, change since the start, at the mid"), [equity], 170),
        replace(
            _lines_panel(run, course, ("Where it came from", f"{quote}, since the left edge; adds up"), parts, 190),
            zero=True,
            since=True,
        ),
        _lines_panel(run, course, ("Inventory", f"{base}; a quote offers {clip}"), [held], 130),
        *_rate_panels(run, course),
    ]


def _line(name: str, kind: str, us: "Instants", values: "Floats") -> Line:
    """Return a step line without the rows that change nothing, but with the last."""
    at = np.append(changes(values.view(np.int64)), len(us) - 1)
    return Line(name, kind, us[at], values[at], unit_of(values))


def _fills_of(run: "RunColumns", word: str, sign: int, kind: str, tick: float) -> Marks:
    """Return the fills of one side, with what their tips say."""
    fills = run.fills
    rows = np.flatnonzero(np.asarray(fills["side"]) == word)
    us, price, qty, mid = (np.asarray(fills[name])[rows] for name in ("recv_us", "price", "qty", "mid"))
    us, price, mid = us.astype(np.int64), price.astype(np.float64), mid.astype(np.float64)
    reason = np.asarray(fills["reason"], dtype=object)[rows].tolist()
    later = [(f"worth after {h} s", sign * (run.later(us + h * US_PER_S) - price)) for h in HORIZONS_S]
    told: list[tuple[str, Any, float]] = [
        ("fill", (rows + 1).astype(np.float64), 1.0),
        (word.lower(), qty.astype(np.float64), 1e-8),
        ("at", price, tick),
        ("because", [str(one or "") for one in reason], 1.0),
        ("worth at once", sign * (mid - price), tick / 2),
        *((label, worth, tick / 2) for label, worth in later),
    ]
    return Marks(f"our {word.lower()}s", kind, sign, us, price, tick, told)


def bare(marks: Marks) -> Marks:
    """Return *marks* without what is told of each, to be counted."""
    return Marks(marks.name, marks.kind, marks.side, marks.us, np.zeros(len(marks.us)), 1.0)


def one_of(rows: int, most: int) -> int:
    """Return of how many rows one is drawn, so that there are *most* or fewer."""
    return max(1, -(-rows // most))


def _price_panel(run: "RunColumns", course: Course, marks: Sequence[Marks], quote: str, tick: float) -> Panel:
    """Return the chart of the mid, our quotes and our fills."""
    inside = (run.mid_us >= course.us[0]) | (np.append(run.mid_us[1:], course.us[-1]) > course.us[0])
    us, mid = np.maximum(run.mid_us[inside], course.us[0]), run.mid[inside]
    most = max((len(one.us) for one in run.quotes.values()), default=0)
    every = one_of(most, TOLD_QUOTES)
    quotes = [
        Stays(f"our {name}", f"quote {name}", stood.us, stood.until_us, stood.price, tick).sampled(every)
        for _, sign, _, name in SIDES
        if len((stood := run.quotes[sign]).us)
    ]
    drawn = one_of(sum(len(one.us) for one in marks), TOLD_FILLS)
    seldom = [f"one of {many} {what}" for many, what in ((every, "quotes"), (drawn, "fills")) if many > 1]
    return Panel(
        "Price, quotes and fills",
        ", ".join([quote, *seldom]),
        _price_picture(run, course, (us, mid), marks),
        290,
        [Line("mid", "price", us, mid, tick / 2)],
        quotes,
        [one.sampled(drawn) for one in marks],
    )


def _price_picture(run: "RunColumns", course: Course, path: tuple["Instants", "Floats"], marks: Sequence[Marks]) -> str:
    us, mid = path
    seen = np.concatenate([mid[~np.isnan(mid)], *(one.values for one in marks)])
    if len(seen) == 0:
        return nothing("The book was never valid.")
    plot = Plot(WIDE, 290, course.x, padded(seen.min(), seen.max()))
    few = marks if sum(len(one.us) for one in marks) <= MARKED_FILLS else ()
    return plot.picture(
        _shade(plot, run),
        plot.value_axis(),
        plot.time_axis(),
        plot.line(*steps(us, mid), "price"),
        *(plot.triangles(one.us.astype(np.float64), one.values, one.side, one.kind) for one in few),
        title="Mid price over time and our fills",
    )


def _counts_picture(run: "RunColumns", course: Course) -> str:
    """Draw the number of fills in each stretch of time: buys upwards, sells downwards."""
    us, side = np.asarray(run.fills["recv_us"], dtype=np.float64), np.asarray(run.fills["side"])
    edges = np.linspace(*course.x, COUNT_BARS + 1)
    counts = {word: np.histogram(us[side == word], edges)[0] for word, *_ in SIDES}
    most = max(1.0, *(float(many.max()) for many in counts.values()))
    plot = Plot(WIDE, 84, course.x, (-1.15 * most, 1.15 * most))
    bars = [plot.columns(edges, sign * counts[word], kind) for word, sign, kind, _ in SIDES]
    return plot.picture(plot.value_axis(count, 4), *bars, plot.time_axis(), title="Number of fills over time")


def count(value: float) -> str:
    """Return the size of a whole number, and nothing for any other: an axis of counts has no halves."""
    return short(abs(value)) if value == round(value) else ""


def _lines_panel(
    run: "RunColumns", course: Course, names: tuple[str, str], lines: Sequence[Line], height: int
) -> Panel:
    """Return a chart of step lines: its heading and a note."""
    seen = np.concatenate([line.values for line in lines])
    seen = seen[~np.isnan(seen)]
    if len(seen) == 0:
        picture = nothing("The book was never valid, so equity has no mark.")
    else:
        plot = Plot(WIDE, height, course.x, padded(float(seen.min()), float(seen.max())))
        picture = plot.picture(
            _shade(plot, run),
            plot.value_axis(most=6 if height > 150 else 4),
            plot.time_axis(),
            *(plot.line(*steps(line.us, line.values), line.kind) for line in lines),
            title=f"{names[0]} over time",
        )
    return Panel(*names, picture, height, lines)


def _shade(plot: Plot, run: "RunColumns") -> str:
    return plot.spans(merged(run.excluded, plot.x), "off", "no valid book")


def merged(excluded: "Instants", x: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the stretches within *x*, neighbours merged where no eye could part them."""
    apart = (x[1] - x[0]) / 1_000
    spans: list[tuple[float, float]] = []
    for first, last in np.clip(excluded, *x).tolist():
        if spans and first - spans[-1][1] < apart:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        elif last > x[0] and first < x[1]:
            spans.append((first, last))
    return spans


def _rate_panels(run: "RunColumns", course: Course) -> list[Panel]:
    """Return A and k over time, where a schedule let them change."""
    pieces = [piece for piece in run.rates if piece.end_us > course.us[0] and piece.start_us < course.us[-1]]
    if len(pieces) < 2:
        return []
    found = []
    for name, note, column in (("A", "1/s, as the schedule has it", "A_bid"), ("k", "1/tick, likewise", "k")):
        us, values = _held(pieces, column, course)
        largest = max(getattr(piece, column) for piece in pieces)
        line = Line(name, "line", us, values, 10.0 ** (math.floor(math.log10(largest)) - 4) if largest > 0 else 1.0)
        found.append(_lines_panel(run, course, (f"{name} in force", note), [line], 110))
    return found


def _held(pieces: "Sequence[IntensityPiece]", column: str, course: Course) -> tuple["Instants", "Floats"]:
    """Return a number of the *pieces* as a step function over the whole course, NaN where none was in force."""
    rows: list[tuple[int, float]] = [(int(course.us[0]), np.nan)]
    for piece in pieces:
        rows += [(max(piece.start_us, rows[-1][0]), getattr(piece, column)), (piece.end_us, np.nan)]
    rows = [row for row in rows if row[0] <= course.us[-1]]
    us, values = (np.array(one) for one in zip(*rows, strict=True))
    last = np.append(us[1:] != us[:-1], True)
    return us[last], values[last]
