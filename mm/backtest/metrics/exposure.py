"""How long our orders rested at which distance from the mid, how often they filled there, and what was foreseen."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._lives import outside, reach, rest
from mm.backtest.metrics.poisson_interval import mean_interval, ratio_interval, standing
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.backtest.journal import Journal
    from mm.backtest.metrics.order_lives import Lives

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

WINDOW_US = 3_600 * US_PER_S
MOST_ROWS = 40
COMMON = 0.99  # of the time at rest that rows of their own hold; the outermost two take the rest
FINE = 100_000  # bins, of half a tick where they suffice
MOST_OUTSIDE = 0.2  # of the order time: beyond, foreseen fills are not held against those seen
QUOTED = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
WIDTHS = (1, 2, 4, 10, 20)  # half ticks, times powers of ten


def fill_rates(
    journal: "Journal", found: "Lives", intensity: "Intensity | None"
) -> tuple[dict[str, Any], float | None]:
    """Return fills, time at rest and what was foreseen, by distance from the mid and by hour; and all foreseen.

    ``fills_by_distance``: rows of equal width in ticks (the outermost two hold what is farther, too) with the mean
    distance, order-seconds, fills, fills a second with exact 95 % interval, and with an intensity the fills it
    foresees, the ratio of both, its interval, and where the count stands among those foreseen (``pit``).
    ``fills_by_hour``: the same by hours of UTC; empty without intensity. ``share_outside_fit``: the share of the order
    time that was spent nearer or farther than the fit in force has distances; None without a fit that says how far it
    reaches. ``fills_ratio``: that of all fills; None without intensity, and where more than a fifth of the time was
    outside the fit. ``quoted_half_spread_ticks``: the distances below which orders stood for 10, 50 and 90 % of their
    time at rest, None where none rested. Times without a valid book do not count.

    Args:
        journal: Its fills, and its path of the mid.
        found: Its orders.
        intensity: What foresees fills, by the distance from the mid.
    """
    pieces = [] if intensity is None else intensity.rows()
    cuts, mid2 = _cuts(journal, [one.start_us for one in pieces] + [one.end_us for one in pieces])
    least, most = reach(found.table, cuts, mid2, found.last_us)
    width = max(most - least, 0) // FINE + 1
    first_hour = int(cuts[0]) // WINDOW_US if len(cuts) else 0
    bins = (least, width, (most - least) // width + 1)
    near, when = rest(
        found.table, cuts, mid2, _rates(pieces, cuts), cuts // WINDOW_US - first_hour, found.last_us, bins
    )
    fills = journal.fills[journal.fills[:, 7] > 0]
    total = float(near[:, 2].sum()) if pieces else None
    half_ticks = fills[:, 2] * (fills[:, 7] - 2 * fills[:, 3])
    beyond = share_outside_fit(found, (cuts, mid2), pieces)
    ratio = ratio_interval(len(fills), 0.0 if beyond is not None and beyond > MOST_OUTSIDE else total or 0.0)
    return {
        "fills_by_distance": _by_distance(near, bins, half_ticks, foreseen=bool(pieces)),
        "fills_by_hour": _by_hour(when, first_hour, fills[:, 0] // WINDOW_US) if pieces else [],
        "fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)),
        "share_outside_fit": beyond,
        "quoted_half_spread_ticks": _quoted(near, bins),
    }, total


def _quoted(near: "Floats", bins: tuple[int, int, int]) -> dict[str, float | None]:
    """Return the quantiles of distance over time at rest, in ticks; a bin stands for its nearest end."""
    time = np.cumsum(near[:, 0])
    if not len(time) or not time[-1] > 0:
        return dict.fromkeys(QUOTED)
    place = np.searchsorted(time, np.array(list(QUOTED.values())) * time[-1])
    return {name: float(bins[0] + bins[1] * at) / 2 for name, at in zip(QUOTED, place.tolist(), strict=True)}


def share_outside_fit(found: "Lives", path: tuple["Column", "Column"], pieces: "list[IntensityPiece]") -> float | None:
    """Return the share of the order time spent outside the distances of the fit in force; None without such time.

    Args:
        found: The orders.
        path: Instants at which the mid or the piece in force changes, and bid + ask from then on.
        pieces: The fit's or the schedule's.
    """
    us, mid2 = path
    if not pieces or len(us) == 0:
        return None
    piece = np.searchsorted(np.array([one.start_us for one in pieces]), us, side="right") - 1
    inside = (piece >= 0) & (us < np.array([one.end_us for one in pieces])[piece])
    ends = [(one.min_delta_ticks, one.max_delta_ticks) for one in pieces]
    ranges = np.array([[np.nan if end is None else end for end in pair] for pair in ends], np.float64)[piece]
    ranges[~inside] = np.nan
    total, out = outside(found.table, us, mid2, ranges, found.last_us)
    return out / total if total > 0 else None


def _cuts(journal: "Journal", more: list[int]) -> tuple["Column", "Column"]:
    """Return the instants at which the mid or the intensity changes or an hour begins, and the mid behind each."""
    us, mid2 = np.ascontiguousarray(journal.mids.T)
    if len(us) == 0:
        return us, mid2
    last_us = journal.counters["last_us"]
    hours = range((int(us[0]) // WINDOW_US + 1) * WINDOW_US, last_us, WINDOW_US)
    inside = np.array(sorted({*hours, *(at for at in more if us[0] < at < last_us)}), np.int64)
    row = np.searchsorted(us, inside, side="right")
    return np.insert(us, row, inside), np.insert(mid2, row, mid2[row - 1])


def _rates(pieces: "list[IntensityPiece]", us: "Column") -> "Floats":
    """Return A and k of both sides behind each instant, A 0 between and outside all *pieces*; no row without any."""
    if not pieces:
        return np.empty((0, 4))
    piece = np.searchsorted(np.array([one.start_us for one in pieces]), us, side="right") - 1
    inside = (piece >= 0) & (us < np.array([one.end_us for one in pieces])[piece])
    rates = np.array([(one.A_bid, one.k_bid, one.A_ask, one.k_ask) for one in pieces], np.float64)
    found: Floats = rates[piece]
    found[~inside, 0] = found[~inside, 2] = 0.0
    return found


def _by_distance(
    near: "Floats", bins: tuple[int, int, int], fill_half_ticks: "Column", *, foreseen: bool
) -> list[dict[str, Any]]:
    if len(near) == 0:
        return []
    half_ticks = bins[0] + bins[1] * np.arange(bins[2])
    first, width, rows = _grid(half_ticks, near[:, 0])
    place, fills = (np.clip((halves - first) // width, 0, rows - 1) for halves in (half_ticks, fill_half_ticks))
    seconds, weighted, mean = (np.bincount(place, column, rows) for column in near.T)
    count = np.bincount(fills, minlength=rows)
    return [
        {
            "from_ticks": (first + i * width) / 2,
            "to_ticks": (first + (i + 1) * width - 1) / 2,
            "delta_ticks": float(weighted[i] / seconds[i]) / 2,
            **_rate(int(count[i]), float(seconds[i])),
            **(_ratio(int(count[i]), float(mean[i])) if foreseen else {}),
        }
        for i in np.flatnonzero(seconds > 0).tolist()
    ]


def _grid(half_ticks: "Column", seconds: "Floats") -> tuple[int, int, int]:
    """Return the first distance, the width and the number of rows, in half ticks, that hold nearly all time at rest."""
    time, tail = np.cumsum(seconds), (1 - COMMON) / 2
    low, high = (int(half_ticks[np.searchsorted(time, share * time[-1])]) for share in (tail, 1 - tail))
    power = 1
    while (high - low) // (power * WIDTHS[-1]) >= MOST_ROWS:
        power *= 10
    width = next(power * one for one in WIDTHS if (high - low) // (power * one) < MOST_ROWS)
    first = low // width * width
    return first, width, (high - first) // width + 1


def _by_hour(when: "Floats", first_hour: int, fill_hours: "Column") -> list[dict[str, Any]]:
    place = fill_hours - first_hour
    count = np.bincount(place[(place >= 0) & (place < len(when))], minlength=len(when))
    return [
        {
            "start_us": (first_hour + i) * WINDOW_US,
            **_rate(int(count[i]), float(when[i, 0])),
            **_ratio(int(count[i]), float(when[i, 1])),
        }
        for i in np.flatnonzero(when[:, 0] > 0).tolist()
    ]


def _rate(fills: int, seconds: float) -> dict[str, Any]:
    low, high = mean_interval(fills)
    rates = {"rate_per_s": fills / seconds, "rate_low": low / seconds, "rate_high": high / seconds}
    return {"exposure_s": seconds, "fills": fills, **rates}


def _ratio(fills: int, foreseen: float) -> dict[str, Any]:
    ratio = ratio_interval(fills, foreseen)
    named = dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
    return {"predicted": foreseen, **named, "pit": standing(fills, foreseen)}
