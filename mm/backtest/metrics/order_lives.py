"""Order lifetimes; time at rest, fills and predicted fills by distance from the mid and hour."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.journal import NEVER, Lives
from mm.backtest.metrics.long_run import BLOCK_US, fill_intervals, stretch_intervals
from mm.backtest.metrics.spans import Spans
from mm.base.arithmetic import (
    changes,
    distinct,
    poisson_mid_p,
    quantiles,
    ratio_interval,
    whole_sum,
)
from mm.base.arrays import Floats, Ints, Mask
from mm.base.estimate import Ends
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.backtest.journal import Fills, Journal, Mids

    Path = tuple[Ints, Ints, Ints]
    Ratio = tuple[float | None, float | None, float | None]

SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
EDGES_US = np.array([digit * 10**power for power in range(11) for digit in (1, 2, 5)], dtype=np.int64)
EDGES_S = (EDGES_US / US_PER_S).tolist()
HOUR_US = 3_600 * US_PER_S
FOREVER_US = 1 << 62
AT_ONCE = 1 << 19  # stretches per piece
MOST_ROWS = 40
COMMON = 0.99  # share of the time at rest in separate rows; the outermost two rows include the remainder
GIVEN = "the fit, this day"  # what an interval of the ratio of fills does not allow for
NO_RATIO = (None, None, None)
MOST_OUTSIDE = 0.2  # share of the order time; above it predicted fills are not compared with the observed ones
QUOTED = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
WIDTHS = (1, 2, 4, 10, 20)  # half ticks, times powers of ten


def partial_and_times(orders: Lives, fills: "Fills") -> tuple[int, dict[str, Any]]:
    """Number of partially filled orders, and latencies and lifetimes (`spread_of`); ``hit_rate`` is the share with a
    fill.
    """
    row = fills.order_id - orders.first_id
    known = (row >= 0) & (row < len(orders))
    row, fill_us, lots = row[known], fills.us[known], orders.lots
    is_partial = np.zeros(len(orders), np.bool_)
    is_partial[row[fills.lots[known] < lots[row]]] = True
    first_us = np.full(len(orders), NEVER)
    first_us[row[::-1]] = fill_us[::-1]
    hit = first_us != NEVER
    has_ended, arrived = orders.end_us >= 0, (orders.end_us >= 0) | (orders.active_us <= orders.last_us)
    rested = has_ended & ~orders.rejected
    return (
        int(is_partial.sum()),
        {
            "hit_rate": int(hit.sum()) / len(orders) if len(orders) else None,
            "quote_lifetime_s": spread_of((orders.end_us - orders.active_us)[rested]),
            "order_to_ack_s": spread_of((orders.active_us - orders.sent_us)[arrived]),
            "live_to_fill_s": spread_of((first_us - orders.active_us)[hit]),
            "order_to_fill_s": spread_of((first_us - orders.sent_us)[hit]),
        },
    )


def spread_of(times_us: Ints) -> dict[str, Any]:
    """Number, mean, quantiles, maximum (s) and histogram of *times_us*.

    The histogram has pairs: an upper edge (s; 1, 2 or 5 times a power of ten, or the maximum), and the number up to it.
    """
    if len(times_us) == 0:
        return {"n": 0, **dict.fromkeys(("mean", *SHARES, "max")), "histogram": []}
    ordered = np.sort(times_us)
    at, most_s = quantiles(ordered, list(SHARES.values())), int(ordered[-1]) / US_PER_S
    counts = np.diff(np.searchsorted(ordered, EDGES_US, side="right"), prepend=0, append=len(ordered)).tolist()
    return {
        "n": len(ordered),
        "mean": whole_sum(ordered) / len(ordered) / US_PER_S,
        **{name: us / US_PER_S for name, us in zip(SHARES, at, strict=True)},
        "max": most_s,
        "histogram": [[edge, count] for edge, count in zip([*EDGES_S, most_s], counts, strict=True) if count],
    }


def fill_rates(
    journal: "Journal",
    orders: Lives,
    intensity: "Intensity | None",
    offsets: Ints | None = None,
) -> tuple[dict[str, Any], float | None]:
    """Fills, time at rest and predicted fills by distance and by hour, and the total predicted."""
    pieces = [] if intensity is None else intensity.rows()
    cells = TimeCells.of(Spans.of(journal.spans), int(journal.mids.us[0]) if len(journal.mids) else 0)
    borders = _borders(journal, cells, pieces)
    with np.errstate(over="ignore"):  # beyond the largest float, fills and ratios are undefined
        spent, beyond = rest(orders, _path(journal, borders, offsets), cells, intensity)
    seen = spent.fills(journal.fills)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(spent.rows[:, :, 1].sum()) if pieces else None
        foretold = spent.rows[:, :, 1].sum(axis=1) > 0
        if pieces:  # what a model did before the first segment has nothing to be compared with
            foretold |= _pieces_at(pieces, cells.begin_us) >= 0
            by_distance = _by_distance(spent.within(foretold), seen * foretold[:, None], predicted=True)
        else:
            by_distance = _by_distance(spent, seen, predicted=False)
        by_hour, ratio = _by_hour(spent, seen, foretold) if pieces else ([], NO_RATIO)
    if beyond is not None and beyond > MOST_OUTSIDE:
        ratio = NO_RATIO
    return {
        "fills_by_distance": by_distance,
        "fills_by_hour": by_hour,
        "fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)),
        "share_outside_fit": beyond,
        "quoted_half_spread_ticks": _quoted(spent),
    }, total


def for_another_day(ratio: Mapping[str, Any], log_rate_half: float | None) -> dict[str, Any]:
    """Widen the ratio's interval by half of the 95 % interval of ln λ; None below three days.

    ``given`` says what the interval assumes known; None if it is predictive.
    """
    value, low, high = (ratio[name] for name in ("value", "low", "high"))
    if not value or low is None or not low > 0 or log_rate_half is None:
        return {**ratio, "given": None if value is None else GIVEN}
    down, up = (math.hypot(math.log(value / end), log_rate_half) for end in (low, high))
    return {"value": value, "low": value * math.exp(-down), "high": value * math.exp(up), "given": None}


class TimeCells(NamedTuple):
    """Stretches within one block and one hour (UTC); time after a stretch and before the next counts in it."""

    begin_us: Ints
    block: Ints

    @classmethod
    def of(cls, spans: Spans, first_us: int) -> "TimeCells":
        """Blocks are five minutes; without *spans* one cell begins at *first_us*."""
        blocks = spans.blocks(BLOCK_US)
        if not len(blocks.begin_us):
            return cls(np.array([first_us]), np.zeros(1, np.int64))
        hours = -(-blocks.begin_us // HOUR_US) * HOUR_US  # blocks are shorter than an hour
        inside = (blocks.begin_us < hours) & (hours < blocks.end_us)
        us = np.sort(np.concatenate((blocks.begin_us, hours[inside])))
        return cls(us, blocks.index_of(us))

    def at(self, us: Ints) -> Ints:
        periods: Ints = np.maximum(np.searchsorted(self.begin_us, us, side="right") - 1, 0)
        return periods

    def by_block(self, values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values, changes(self.block), axis=0)
        return sums


class RestSums(NamedTuple):
    """Time at rest and predicted fills.

    Attributes:
        grid: First distance, width and number of rows, half ticks; the outermost two are open.
        rows: float64[cells, rows, 2], order-seconds and predicted fills.
    """

    time: Floats
    half_ticks: Ints
    grid: tuple[int, int, int]
    cells: TimeCells
    rows: Floats

    def row(self, half_ticks: Ints) -> Ints:
        first, width, rows = self.grid
        row: Ints = np.clip((half_ticks - first) // width, 0, rows - 1)
        return row

    def summed(self, us: Ints, half_ticks: Ints, values: Ints | Floats | None = None) -> Floats:
        cells, rows, _ = self.rows.shape
        if not cells * rows:
            return np.zeros((cells, rows))
        sums = np.bincount(self.cells.at(us) * rows + self.row(half_ticks), values, cells * rows)
        return sums.reshape(cells, rows).astype(np.float64)

    def predict(self, us: Ints, half_ticks: Ints, mean: Floats) -> None:
        self.rows[:, :, 1] = self.summed(us, half_ticks, mean)

    def within(self, cells: Mask) -> "RestSums":
        return self._replace(rows=self.rows * cells[:, None, None])

    def fills(self, fills: "Fills") -> Floats:
        fills = fills[fills.mid2 > 0]
        return self.summed(fills.us, fills.side * (fills.mid2 - 2 * fills.ticks))


def rest(orders: Lives, path: "Path", cells: TimeCells, intensity: "Intensity | None") -> tuple[RestSums, float | None]:
    """Time at rest with predicted fills, and the share outside the fit's distances.

    Args:
        path: Instants when mid, piece, offset or cell changes; bid + ask, and the mid's offsets, from then on.
    """
    cuts, mid2, offsets = path
    pieces = [] if intensity is None else intensity.rows()
    in_force = np.column_stack((cells.at(cuts), _pieces_at(pieces, cuts)))
    begins = changes(in_force)
    period, parts = np.searchsorted(begins, np.arange(len(cuts)), side="right") - 1, [np.empty((0, 5), np.int64)]
    signed2 = 2 * orders.side * orders.ticks
    for order, cut, us in stretches(orders.active_us, orders.until_us, cuts, mid2 > 0):
        side = orders.side[order]
        columns = [period[cut], side * mid2[cut] - signed2[order]]
        if pieces:
            columns += [side, offsets[cut, (side < 0).astype(np.intp)] if len(offsets) else np.zeros_like(cut)]
        rows, into = distinct(np.stack(columns).T)
        rows = np.pad(rows, ((0, 0), (0, 4 - len(columns))))
        parts.append(np.column_stack((rows, np.bincount(into, us, len(rows)).astype(np.int64))))
    number, half, side, offset, spent_us = np.concatenate(parts).T
    (cell, piece), seconds = in_force[begins[number]].T, spent_us / US_PER_S
    half_ticks, at = np.unique(half, return_inverse=True)
    time = np.bincount(at, seconds, len(half_ticks)).astype(np.float64)
    grid, us = _grid(half_ticks, time), cells.begin_us[cell]
    sums = RestSums(time, half_ticks, grid, cells, np.zeros((len(cells.begin_us), grid[2], 2)))
    sums.rows[:, :, 0] = sums.summed(us, half, seconds)
    if intensity is None or not pieces:
        return sums, None
    delta = half / 2 - offset / 8
    sums.predict(us, half, seconds * _rates(intensity, np.stack((piece, side, 4 * half - offset)).T))
    ends = [(piece.min_delta_ticks, piece.max_delta_ticks) for piece in pieces]
    near, far = np.array([[np.nan if end is None else end for end in pair] for pair in [*ends, (None, None)]]).T
    ranged = near[piece] <= far[piece]
    total, out = (float(seconds[of].sum()) for of in (ranged, ranged & ((delta < near[piece]) | (delta > far[piece]))))
    return sums, out / total if total > 0 else None


def stretches(begin_us: Ints, end_us: Ints, cuts: Ints, valid: Mask) -> "Iterator[tuple[Ints, Ints, Ints]]":
    """Divide spans at *cuts*; yield arrays of span, last cut before, and length.

    Time before the first cut is left out; a span that ends before it begins has none.
    """
    first = np.maximum(np.searchsorted(cuts, begin_us, side="right") - 1, 0)
    count = np.where(end_us > begin_us, np.maximum(np.searchsorted(cuts, end_us) - first, 0), 0)
    until_us, upto = np.append(cuts[1:], FOREVER_US), np.cumsum(count)
    pieces = np.searchsorted(upto, np.arange(AT_ONCE, upto[-1:].sum(), AT_ONCE))
    for spans in np.split(np.arange(len(count)), pieces):
        many = count[spans]
        span = np.repeat(spans, many)
        cut = np.arange(len(span)) + np.repeat(first[spans] - np.cumsum(many) + many, many)
        if not valid.all():
            span, cut = span[valid[cut]], cut[valid[cut]]
        yield span, cut, np.minimum(end_us[span], until_us[cut]) - np.maximum(begin_us[span], cuts[cut])


def _rates(intensity: "Intensity", states: Ints) -> Floats:
    pieces = intensity.rows()
    different, into = distinct(states)
    rates = [
        intensity.at(pieces[piece].start_us, side, eighths / 8) if piece >= 0 else 0.0
        for piece, side, eighths in different.tolist()
    ]
    return np.array(rates, np.float64)[into]


def _quoted(spent: RestSums) -> dict[str, float | None]:
    time = np.cumsum(spent.time)
    if not len(time) or not time[-1] > 0:
        return dict.fromkeys(QUOTED)
    place = np.searchsorted(time, np.array(list(QUOTED.values())) * time[-1])
    return {name: float(spent.half_ticks[at]) / 2 for name, at in zip(QUOTED, place.tolist(), strict=True)}


def mid_offsets(reference: str, us: Ints, prices: "Sequence[Ints]", lots: "Sequence[Ints]") -> Ints:
    """When the mid's distance from ``best`` or ``micro`` changes, and the new values.

    Returns:
        int64[n, 3]: us, and bids' and asks' distances in eighths of a tick, to which the micro-price is rounded.
    """
    (bid, ask), (bid_lots, ask_lots) = prices, lots
    eighths, valid = 4 * (ask - bid), (bid > 0) & (bid < ask)
    if reference == "micro":
        above = np.rint(2 * eighths * (bid_lots / np.where(valid, bid_lots + ask_lots, 1))).astype(np.int64)
        bids, asks = eighths - above, above - eighths
    else:
        bids = asks = eighths
    mids: Ints = np.column_stack((us, bids, asks))[valid]
    return mids[changes(mids[:, 1:])]


def _path(journal: "Journal", borders: Ints, offsets: Ints | None) -> "Path":
    if offsets is None or not len(offsets) or not len(journal.mids):
        return *_cut_at(journal.mids, borders), np.empty((0, 2), np.int64)
    moved_us = offsets[offsets[:, 0] > journal.mids.us[0], 0]
    both = np.sort(np.concatenate((borders, moved_us)))
    cuts, mid2 = _cut_at(journal.mids, both[changes(both)])
    row = np.maximum(np.searchsorted(offsets[:, 0], cuts, side="right") - 1, 0)
    return cuts, mid2, offsets[row, 1:]


def _cut_at(mids: "Mids", instants: Ints) -> tuple[Ints, Ints]:
    """Add ascending *instants* after the first row of *mids*; return all instants and bid + ask from each on."""
    row = np.searchsorted(mids.us, instants, side="right")
    return np.insert(mids.us, row, instants), np.insert(mids.mid2, row, mids.mid2[row - 1])


def _borders(journal: "Journal", cells: TimeCells, pieces: "list[IntensityPiece]") -> Ints:
    mids, last_us = journal.mids, journal.counters["last_us"]
    first_us = int(mids.us[0]) if len(mids) else last_us
    ends = (at for piece in pieces for at in (piece.start_us, piece.end_us))
    return np.array(sorted({at for at in (*cells.begin_us.tolist(), *ends) if first_us < at < last_us}), np.int64)


def _pieces_at(pieces: "list[IntensityPiece]", us: Ints) -> Ints:
    if not pieces:
        return np.full(len(us), -1)
    piece = np.searchsorted(np.array([piece.start_us for piece in pieces]), us, side="right") - 1
    return np.where(us < np.array([piece.end_us for piece in pieces])[piece], piece, -1)


def _by_distance(spent: RestSums, seen: Floats, *, predicted: bool) -> list[dict[str, Any]]:
    if not len(spent.time):
        return []
    first, width, rows = spent.grid
    weighted = np.bincount(spent.row(spent.half_ticks), spent.time * spent.half_ticks, rows)
    seconds, mean = spent.rows.sum(axis=0).T
    # One interval serves rate and ratio: fills vary around the predicted ones, if there are any.
    weights = np.where(mean > 0, spent.rows[:, :, 1], spent.rows[:, :, 0])
    count, ends = seen.sum(axis=0), fill_intervals(*map(spent.cells.by_block, (seen, weights)))
    return [
        {
            "from_ticks": (first + i * width) / 2,
            "to_ticks": (first + (i + 1) * width - 1) / 2,
            "delta_ticks": float(weighted[i] / seconds[i]) / 2,
            **_rate(int(count[i]), float(seconds[i]), ends[i]),
            **(_ratio(int(count[i]), float(mean[i]), ends[i]) if predicted else {}),
        }
        for i in np.flatnonzero(seconds > 0).tolist()
    ]


def _grid(half_ticks: Ints, seconds: Floats) -> tuple[int, int, int]:
    if not len(seconds):
        return 0, 1, 0
    time, tail = np.cumsum(seconds), (1 - COMMON) / 2
    low, high = (int(half_ticks[np.searchsorted(time, share * time[-1])]) for share in (tail, 1 - tail))
    power = 1
    while (high - low) // (power * WIDTHS[-1]) >= MOST_ROWS:
        power *= 10
    width = next(power * factor for factor in WIDTHS if (high - low) // (power * factor) < MOST_ROWS)
    first = low // width * width
    return first, width, (high - first) // width + 1


def _by_hour(spent: RestSums, seen: Floats, foretold: Mask) -> "tuple[list[dict[str, Any]], Ratio]":
    cells = np.concatenate((seen.sum(axis=1)[:, None], spent.rows.sum(axis=1)), axis=1)
    fills, seconds, mean = cells.T
    first_hour = int(spent.cells.begin_us[0]) // HOUR_US
    hour = spent.cells.begin_us // HOUR_US - first_hour
    count, time, predicted = (np.bincount(hour, column) for column in (fills, seconds, mean))
    ends = stretch_intervals(fills, np.where(predicted[hour] > 0, mean, seconds), hour, hour)
    compared = fills * foretold
    [all_ends] = fill_intervals(*map(spent.cells.by_block, (compared[:, None], mean[:, None])))
    rows = [
        {
            "start_us": (first_hour + i) * HOUR_US,
            **_rate(int(count[i]), float(time[i]), ends[i]),
            **_ratio(int(count[i]), float(predicted[i]), ends[i]),
        }
        for i in np.flatnonzero(time > 0).tolist()
    ]
    return rows, ratio_interval(float(compared.sum()), float(mean.sum()), all_ends)


def _rate(fills: int, seconds: float, ends: Ends) -> dict[str, Any]:
    low, high = (None if end is None else end / seconds for end in ends)
    return {"exposure_s": seconds, "fills": fills, "rate_per_s": fills / seconds, "rate_low": low, "rate_high": high}


def _ratio(fills: int, predicted: float, ends: Ends) -> dict[str, Any]:
    ratio = ratio_interval(fills, predicted, ends)
    named = dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
    return {"predicted": predicted, **named, "pit": poisson_mid_p(fills, predicted)}
