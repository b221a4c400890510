"""Order lifetimes, and time at rest, fills and predicted fills of orders by distance from the mid and by hour."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics._order_lives import (
    any_rested,
    count_fills,
    cut_at,
    outside,
    read_lives,
    rest,
    rested,
    waits,
)
from mm.backtest.metrics.arithmetic import Ends, changes, poisson_mid_p, quantiles, ratio_interval, whole_sum
from mm.backtest.metrics.long_run import BLOCK_US, fill_intervals, stretch_intervals
from mm.backtest.metrics.market_paths import MarketPaths
from mm.backtest.metrics.resting_states import RestingStates
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.backtest.journal import Journal, Table

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Path = tuple[Column, Column, Table]
    Ratio = tuple[float | None, float | None, float | None]

NEVER = -1
SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
EDGES_US = np.array([digit * 10**power for power in range(11) for digit in (1, 2, 5)], dtype=np.int64)
EDGES_S = (EDGES_US / US_PER_S).tolist()
HOUR_BLOCKS = 3_600 * US_PER_S // BLOCK_US
FOREVER_US = 1 << 62
MOST_ROWS = 40
COMMON = 0.99  # share of the time at rest in separate rows; the outermost two rows include the remainder
FINE = 100_000  # bins; each of half a tick if that many suffice
LIKELY = (-1 << 11, 1 << 13)  # first distance and number of bins, in half ticks, that suffice for nearly every run
NEAR = (-1 << 8, 1 << 10)  # the same for most runs; clearing these takes an eighth of the time
MOST_CELLS = 1 << 22  # blocks times bins
NO_RATIO = (None, None, None)
MOST_OUTSIDE = 0.2  # share of the order time; above it predicted fills are not compared with the observed ones
QUOTED = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
WIDTHS = (1, 2, 4, 10, 20)  # half ticks, times powers of ten


@dataclass(frozen=True)
class Lives:
    """Orders sent during a journal, one per row, in order of their ids, which are consecutive.

    Attributes:
        first_id: Id of the first order.
        table: int64[orders, 7]: the columns are sent_us, active_us, side, ticks, lots, end_us and whether it was
            rejected.
        cancels: Number of cancel requests.
        counts: Number of rows of the orders table, by action and reject reason, int64[16, 64].
        last_us: End of the data.
    """

    first_id: int
    table: "Table"
    cancels: int
    counts: "Table"
    last_us: int

    def __len__(self) -> int:
        return len(self.table)

    @property
    def sent_us(self) -> "Column":
        """Instant at which each order was sent."""
        column: Column = self.table[:, 0]
        return column

    @property
    def active_us(self) -> "Column":
        """Instant of arrival, possibly after the end of the data."""
        column: Column = self.table[:, 1]
        return column

    @property
    def side(self) -> "Column":
        """+1 for a buy, -1 for a sell."""
        column: Column = self.table[:, 2]
        return column

    @property
    def ticks(self) -> "Column":
        """Price in ticks."""
        column: Column = self.table[:, 3]
        return column

    @property
    def end_us(self) -> "Column":
        """Instant of cancellation, complete fill, expiry or rejection; -1 for an open order."""
        column: Column = self.table[:, 5]
        return column

    @property
    def rested(self) -> "NDArray[np.bool_]":
        """Whether each order rested: it arrived and was not rejected."""
        return rested(self.table, self.last_us)

    @property
    def any_rested(self) -> bool:
        """Whether any order rested."""
        return any_rested(self.table, self.last_us)


def lives(journal: "Journal") -> Lives:
    """Return the orders sent during a *journal*, with the instants of their lifetimes."""
    return Lives(*sent_orders(journal), last_us=journal.counters["last_us"])


def sent_orders(journal: "Journal") -> "tuple[int, Table, int, Table]":
    """Return the attributes of `Lives` for a *journal* except the end of the data: first id, table, cancels, counts."""
    return read_lives(journal.orders) if (log := journal.order_log()) is None else log.lives()


def lots_and_times(found: Lives, fills: "Table") -> tuple[int, int, dict[str, Any]]:
    """Return the lots of all orders, the number of orders with a partial fill, and latencies and lifetimes.

    Times are in s, each a distribution as returned by ``spread_of``, with None for its statistics without such orders.
    ``quote_lifetime_s`` is from rest to end, of orders that rested and ended. ``order_to_ack_s`` is from sending to
    arrival, of orders that arrived. ``live_to_fill_s`` and ``order_to_fill_s`` are from rest and from sending to an
    order's first fill. ``hit_rate`` is the share of the orders sent that had a fill.
    """
    lots, partial, *times = waits(found.table, fills, found.first_id, found.last_us)
    lifetimes, latencies, from_rest, from_sending = times
    return (
        lots,
        partial,
        {
            "hit_rate": len(from_rest) / len(found) if len(found) else None,
            "quote_lifetime_s": spread_of(lifetimes),
            "order_to_ack_s": spread_of(latencies),
            "live_to_fill_s": spread_of(from_rest),
            "order_to_fill_s": spread_of(from_sending),
        },
    )


def spread_of(times_us: "Column") -> dict[str, Any]:
    """Return the distribution of *times_us*, 0 or more: number, mean, quantiles and maximum in s, and a histogram.

    The histogram is a list of pairs: an upper edge in s, 1, 2 or 5 times a power of ten (the last one may be the
    maximum instead), and the number of times up to that edge and above the previous one.
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
    found: "Lives",
    intensity: "Intensity | None",
    market: MarketPaths | None = None,
    offsets: "Table | None" = None,
) -> tuple[dict[str, Any], float | None]:
    """Return fills, time at rest and predicted fills, by distance from the mid and by hour; and all predicted fills.

    ``fills_by_distance``: rows of equal width in ticks (the outermost two include all nearer or farther distances) with
    the mean distance, order-seconds, fills (each at its order's distance just before the fill), fills per second with
    a 95 % interval, and with an intensity the predicted fills, the ratio of fills to predicted fills, its interval, and
    the quantile of the count in the predicted distribution (``pit``). Intervals are those of `long_run`: valid for
    clustered fills, and None with fewer than two blocks of five minutes.
    ``fills_by_hour``: the same by hours of UTC; empty without intensity. ``share_outside_fit``: the share of the order
    time at distances outside the range of the fit in force; None without a fit that states its range.
    ``fills_ratio``: the ratio over all fills; None without intensity, and if more than a fifth of the time was
    outside the fit. ``quoted_half_spread_ticks``: 10, 50 and 90 % quantiles of the distance over the time at rest,
    None without resting orders. Times without a valid book are excluded.

    Args:
        journal: Source of the fills and of the path of the mid.
        found: The orders.
        intensity: Predicts fills by the distance from its reference price, or by the states of orders if it has them.
        market: Market paths that states depend on; None predicts by distance.
        offsets: Result of `mid_offsets` for the run; None for distances from the mid.
    """
    pieces = [] if intensity is None else intensity.rows()
    borders = _borders(journal, pieces)
    path = _path(journal, borders, offsets)
    cuts = path[0]
    with np.errstate(over="ignore"):  # beyond the largest float, fills and ratios are undefined
        spent = _spent(found, path, intensity or Intensity(()), _pieces_at(pieces, cuts))
    if intensity is not None and intensity.states and market is not None:
        us, half_ticks, mean = _by_states(found, journal, intensity, borders, market)
        spent.predict(us, half_ticks, mean)
    seen = count_fills(journal.fills, BLOCK_US, (spent.first_block, len(spent.rows)), spent.grid)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(spent.rows[:, :, 1].sum()) if pieces else None
        by_distance = _by_distance(spent, seen, predicted=bool(pieces))
        by_hour, ratio = _by_hour(spent, seen) if pieces else ([], NO_RATIO)
    beyond = share_outside_fit(found, path, pieces)
    if beyond is not None and beyond > MOST_OUTSIDE:
        ratio = NO_RATIO
    return {
        "fills_by_distance": by_distance,
        "fills_by_hour": by_hour,
        "fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)),
        "share_outside_fit": beyond,
        "quoted_half_spread_ticks": _quoted(spent),
    }, total


class _RestSums(NamedTuple):
    """Time at rest and predicted fills.

    Attributes:
        time: float64[bins], order-seconds by distance.
        half_ticks: int64[bins], distance of each bin, or its nearest end.
        grid: First distance, width and number of rows by distance, in half ticks; the outermost two include all nearer
            or farther distances.
        first_block: Number of the first block since 1970.
        rows: float64[blocks, rows, 2], order-seconds and predicted fills.
    """

    time: "Floats"
    half_ticks: "Column"
    grid: tuple[int, int, int]
    first_block: int
    rows: "Floats"

    def cells(self, us: "Column", half_ticks: "Column") -> "Column":
        """Return the flat index by block and row of instants and distances; those outside count in the end blocks."""
        blocks, rows, _ = self.rows.shape
        block = np.clip(us // BLOCK_US - self.first_block, 0, blocks - 1)
        found: Column = block * rows + self.row(half_ticks)
        return found

    def row(self, half_ticks: "Column") -> "Column":
        """Return the row of each distance."""
        first, width, rows = self.grid
        found: Column = np.clip((half_ticks - first) // width, 0, rows - 1)
        return found

    def predict(self, us: "Column", half_ticks: "Column", mean: "Floats") -> None:
        """Replace the predicted fills by *mean*, those of stretches that begin at *us*."""
        blocks, rows, _ = self.rows.shape
        self.rows[:, :, 1] = np.bincount(self.cells(us, half_ticks), mean, blocks * rows).reshape(blocks, rows)


def _spent(found: "Lives", path: "Path", intensity: "Intensity", piece: "Column") -> _RestSums:
    """Return time at rest and the fills predicted by the *piece* in force, by block and by distance."""
    cuts, mid2, offsets = path
    first = int(cuts[0]) // BLOCK_US if len(cuts) else 0
    blocks = first, int(cuts[-1]) // BLOCK_US - first + 1 if len(cuts) else 0
    path_of = (found.table, cuts, mid2, offsets, intensity, piece)
    most_bins = max(MOST_CELLS // max(blocks[1], 1), 1)
    near, likely = ((begin, min(bins, most_bins)) for begin, bins in (NEAR, LIKELY))
    rested_us, fills, (least, most), rare = rest(*path_of, BLOCK_US, blocks, found.last_us, (near[0], 1, near[1]))
    width = max(most - least, 0) // FINE + 1
    half_ticks = least + width * np.arange((most - least) // width + 1)
    if likely[0] <= least and most < sum(likely):
        begin = near[0] if near[0] <= least and most < sum(near) else least
        if begin != near[0] and rare is not None and fills is None:
            rested_us = _with_rare(rested_us, near[0], rare, least, most)
        elif begin != near[0]:
            rested_us, fills, *_ = rest(*path_of, BLOCK_US, blocks, found.last_us, (begin, 1, len(half_ticks)))
        used = slice(least - begin, most - begin + 1)
        time = rested_us[:, used].sum(axis=0) / US_PER_S
        grid = _grid(half_ticks, time)
        starts = np.searchsorted(half_ticks, grid[0] + grid[1] * np.arange(1, grid[2]))
        rested_us = _row_sums(rested_us[:, used], starts)
        fills = None if fills is None else _row_sums(fills[:, used], starts)
    else:
        single_block = FOREVER_US, (0, 1), found.last_us
        time = rest(*path_of, *single_block, (least, width, len(half_ticks)))[0][0] / US_PER_S
        grid = _grid(half_ticks, time)
        rested_us, fills, *_ = rest(*path_of, BLOCK_US, blocks, found.last_us, grid)
    rows = np.stack((rested_us / US_PER_S, np.zeros(rested_us.shape) if fills is None else fills), axis=2)
    return _RestSums(time, half_ticks, grid, first, rows)


def _with_rare(rested_us: "Table", first: int, rare: "Table", least: int, most: int) -> "Table":
    """Return the time by block and distance from *least* to *most*, of the inner bins from *first* on and of *rare*.

    It saves a second pass over the orders if a few of their stretches are beyond the bins of the first.
    """
    cells = np.zeros((len(rested_us), most - least + 1), np.int64)
    begin, stop = max(first + 1, least), min(first + rested_us.shape[1] - 2, most) + 1
    if begin < stop:
        cells[:, begin - least : stop - least] = rested_us[:, begin - first : stop - first]
    np.add.at(cells, (rare[:, 0], rare[:, 1] - least), rare[:, 2])
    return cells


def _row_sums(cells: "Table | Floats", starts: "Column") -> "Any":
    """Return the sums of *cells* by row; *starts*: the first distance of each row but the first one, as an index."""
    return np.add.reduceat(cells, np.append(0, starts), axis=1) if cells.shape[1] else cells


def _quoted(spent: _RestSums) -> dict[str, float | None]:
    """Return the quantiles of distance over time at rest, in ticks; a bin counts as its nearest end."""
    time = np.cumsum(spent.time)
    if not len(time) or not time[-1] > 0:
        return dict.fromkeys(QUOTED)
    place = np.searchsorted(time, np.array(list(QUOTED.values())) * time[-1])
    return {name: float(spent.half_ticks[at]) / 2 for name, at in zip(QUOTED, place.tolist(), strict=True)}


def share_outside_fit(found: "Lives", path: "Path", pieces: "list[IntensityPiece]") -> float | None:
    """Return the share of the order time spent outside the distances of the fit in force; None without such time.

    Args:
        found: The orders.
        path: Instants at which the mid, the piece in force or the offset of the mid changes; bid + ask, and the offsets
            of the mid, from then on.
        pieces: Pieces of the fit or the schedule.
    """
    us, mid2, offsets = path
    if not pieces or len(us) == 0:
        return None
    piece = _pieces_at(pieces, us)
    ends = [(one.min_delta_ticks, one.max_delta_ticks) for one in pieces]
    ranges = np.array([[np.nan if end is None else end for end in pair] for pair in ends], np.float64)[piece]
    ranges[piece < 0] = np.nan
    total, out = outside(found.table, us, mid2, offsets, ranges, found.last_us)
    return out / total if total > 0 else None


def mid_offsets(reference: str, us: "Column", prices: "Sequence[Column]", lots: "Sequence[Column]") -> "Table":
    """Return the instants at which the mid's distance from a reference price changes, and its new values by side.

    Args:
        reference: ``best`` or ``micro``.
        us: Instants at which the best prices or their lots change, in order.
        prices: Best bid and ask from then on, in ticks; 0 for none.
        lots: Their quantities.

    Returns:
        int64[n, 3]: us, and the distances of bids and asks in eighths of a tick, to which the micro-price is rounded.
    """
    (bid, ask), (bid_lots, ask_lots) = prices, lots
    eighths, valid = 4 * (ask - bid), (bid > 0) & (bid < ask)
    if reference == "micro":
        above = np.rint(2 * eighths * (bid_lots / np.where(valid, bid_lots + ask_lots, 1))).astype(np.int64)
        bids, asks = eighths - above, above - eighths
    else:
        bids = asks = eighths
    found: Table = np.column_stack((us, bids, asks))[valid]
    return found[changes(found[:, 1:])]


def _path(journal: "Journal", borders: "Column", offsets: "Table | None") -> "Path":
    """Return the path of the mid, cut at *borders* and where the *offsets* of the mid change."""
    if offsets is None or not len(offsets) or not len(journal.mids):
        return *cut_at(journal.mids, borders), np.empty((0, 2), np.int64)
    moved_us = offsets[offsets[:, 0] > journal.mids[0, 0], 0]
    both = np.sort(np.concatenate((borders, moved_us)))
    cuts, mid2 = cut_at(journal.mids, both[changes(both)])
    row = np.maximum(np.searchsorted(offsets[:, 0], cuts, side="right") - 1, 0)
    return cuts, mid2, np.ascontiguousarray(offsets[row, 1:])


def _borders(journal: "Journal", pieces: "list[IntensityPiece]") -> "Column":
    """Return the instants after the first one at which a block begins, or one of *pieces* begins or ends."""
    mids, last_us = journal.mids, journal.counters["last_us"]
    first_us = int(mids[0, 0]) if len(mids) else last_us
    blocks = range((first_us // BLOCK_US + 1) * BLOCK_US, last_us, BLOCK_US)
    ends = (at for one in pieces for at in (one.start_us, one.end_us) if first_us < at < last_us)
    return np.array(sorted({*blocks, *ends}), np.int64)


def _by_states(
    found: "Lives", journal: "Journal", intensity: "Intensity", borders: "Column", market: MarketPaths
) -> "tuple[Column, Column, Floats]":
    """Return the start of each stretch of orders, its distance in half ticks and the fills predicted from its state.

    No stretch crosses one of the *borders*.
    """
    pieces, states = intensity.rows(), intensity.states
    orders = RestingStates(found, journal.mids, journal.fills, states[0].recent_us, market)
    waited = orders.stretches((0, found.last_us), borders)
    at, mean = _pieces_at(pieces, waited.begin_us), np.zeros(len(waited.state))
    used = np.array([*(one.states for one in pieces), -1])[at]
    for number, one in enumerate(states):
        rows = np.flatnonzero(used == number)
        mean[rows] = one.predicted(waited.where(rows))
    mean *= np.array([*(one.states_level for one in pieces), 0.0])[at]
    return waited.begin_us, waited.states[waited.state, 1], mean


def _pieces_at(pieces: "list[IntensityPiece]", us: "Column") -> "Column":
    """Return the index of the piece in force from each instant on; -1 between and outside all *pieces*.

    Empty without pieces.
    """
    if not pieces:
        return np.empty(0, np.int64)
    piece = np.searchsorted(np.array([one.start_us for one in pieces]), us, side="right") - 1
    return np.where(us < np.array([one.end_us for one in pieces])[piece], piece, -1)


def _by_distance(spent: _RestSums, seen: "Floats", *, predicted: bool) -> list[dict[str, Any]]:
    if not len(spent.time):
        return []
    first, width, rows = spent.grid
    weighted = np.bincount(spent.row(spent.half_ticks), spent.time * spent.half_ticks, rows)
    seconds, mean = spent.rows.sum(axis=0).T
    # One interval serves rate and ratio: fills vary around the predicted ones, if there are any.
    weights = np.where(mean > 0, spent.rows[:, :, 1], spent.rows[:, :, 0])
    count, ends = seen.sum(axis=0), fill_intervals(seen, weights)
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


def _grid(half_ticks: "Column", seconds: "Floats") -> tuple[int, int, int]:
    """Return first distance, width and number of rows, in half ticks, that contain nearly all time at rest."""
    if not len(seconds):
        return 0, 1, 0
    time, tail = np.cumsum(seconds), (1 - COMMON) / 2
    low, high = (int(half_ticks[np.searchsorted(time, share * time[-1])]) for share in (tail, 1 - tail))
    power = 1
    while (high - low) // (power * WIDTHS[-1]) >= MOST_ROWS:
        power *= 10
    width = next(power * one for one in WIDTHS if (high - low) // (power * one) < MOST_ROWS)
    first = low // width * width
    return first, width, (high - first) // width + 1


def _by_hour(spent: _RestSums, seen: "Floats") -> "tuple[list[dict[str, Any]], Ratio]":
    """Return the rows of all hours, and the ratio of all fills with its interval."""
    blocks = np.concatenate((seen.sum(axis=1)[:, None], spent.rows.sum(axis=1)), axis=1)
    fills, seconds, mean = blocks.T
    first_hour = spent.first_block // HOUR_BLOCKS
    hour = (spent.first_block + np.arange(len(blocks))) // HOUR_BLOCKS - first_hour
    count, time, predicted = (np.bincount(hour, column) for column in (fills, seconds, mean))
    ends = stretch_intervals(fills, np.where(predicted[hour] > 0, mean, seconds), hour, hour)
    [all_ends] = fill_intervals(fills[:, None], mean[:, None])
    rows = [
        {
            "start_us": (first_hour + i) * HOUR_BLOCKS * BLOCK_US,
            **_rate(int(count[i]), float(time[i]), ends[i]),
            **_ratio(int(count[i]), float(predicted[i]), ends[i]),
        }
        for i in np.flatnonzero(time > 0).tolist()
    ]
    return rows, ratio_interval(float(fills.sum()), float(mean.sum()), all_ends)


def _rate(fills: int, seconds: float, ends: Ends) -> dict[str, Any]:
    low, high = (None if end is None else end / seconds for end in ends)
    return {"exposure_s": seconds, "fills": fills, "rate_per_s": fills / seconds, "rate_low": low, "rate_high": high}


def _ratio(fills: int, predicted: float, ends: Ends) -> dict[str, Any]:
    ratio = ratio_interval(fills, predicted, ends)
    named = dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
    return {"predicted": predicted, **named, "pit": poisson_mid_p(fills, predicted)}
