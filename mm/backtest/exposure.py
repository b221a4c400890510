"""How long our orders rested at which distance from the mid, how often they filled there, and what was foreseen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.order_lives import NEVER
from mm.backtest.poisson_interval import mean_interval, ratio_interval
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.journal import Journal
    from mm.backtest.order_lives import Lives

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

WINDOW_US = 3_600 * US_PER_S
MOST_ROWS = 40
COMMON = 0.99  # of the time at rest that rows of their own hold; the outermost two take the rest
WIDTHS = (1, 2, 4, 10, 20)  # half ticks, times powers of ten


@dataclass(frozen=True)
class Stretches:
    """Times at which an order rested while the mid, the intensity and the window stayed the same.

    Attributes:
        from_us: Begin.
        to_us: End.
        side: +1 for a buy, -1 for a sell.
        half_ticks: Distance from the mid, away from the market; may be negative.
        foreseen: Fills that the intensity foresees in it; None without one.
    """

    from_us: "Column"
    to_us: "Column"
    side: "Column"
    half_ticks: "Column"
    foreseen: "Floats | None"

    @property
    def seconds(self) -> "Floats":
        """Their lengths, in s."""
        return (self.to_us - self.from_us) / US_PER_S


def stretches(journal: "Journal", found: "Lives", intensity: "Intensity | None") -> Stretches:
    """Return the stretches of all orders, while the book was valid.

    Args:
        journal: Its path of the mid.
        found: Its orders.
        intensity: What foresees fills, measured from the mid; None for the distances alone.
    """
    last_us = journal.counters["last_us"]
    end_us = np.where(found.end_us == NEVER, last_us, found.end_us)
    order = np.flatnonzero(found.rested & (end_us > found.active_us))
    pieces = intensity.rows() if intensity is not None else []
    cuts, mid2 = _cuts(journal, [one[0] for one in pieces] + [one[1] for one in pieces])
    if len(order) == 0 or len(cuts) == 0:
        nothing = np.empty(0, np.int64)
        return Stretches(nothing, nothing, nothing, nothing, np.empty(0) if pieces else None)
    begin, end = found.active_us[order], end_us[order]
    first = np.searchsorted(cuts, begin, side="right") - 1
    count = np.searchsorted(cuts, end, side="left") - first
    row = np.repeat(np.arange(len(order)), count)
    place = np.arange(len(row)) + np.repeat(first - (np.cumsum(count) - count), count)
    valid = place >= 0
    valid[valid] = mid2[place[valid]] > 0
    row, place = row[valid], place[valid]
    from_us = np.maximum(cuts[place], begin[row])
    to_us = np.minimum(np.append(cuts[1:], last_us)[place], end[row])
    side = found.side[order][row]
    half_ticks = side * (mid2[place] - 2 * found.ticks[order][row])
    foreseen = _foreseen(pieces, from_us, side, half_ticks) * (to_us - from_us) / US_PER_S if pieces else None
    return Stretches(from_us, to_us, side, half_ticks, foreseen)


def _cuts(journal: "Journal", more: list[int]) -> tuple["Column", "Column"]:
    """Return the instants at which the mid or the intensity changes or a window begins, and the mid behind each."""
    us, mid2 = journal.mids.T
    if len(us) == 0:
        return us, mid2
    last_us = journal.counters["last_us"]
    windows = range(_window(us[0]) + WINDOW_US, last_us, WINDOW_US)
    inside = np.array(sorted({*windows, *(at for at in more if us[0] < at < last_us)}), np.int64)
    row = np.searchsorted(us, inside, side="right")
    return np.insert(us, row, inside), np.insert(mid2, row, mid2[row - 1])


def _foreseen(pieces: list[Any], us: "Column", side: "Column", half_ticks: "Column") -> "Floats":
    """Return the intensity of each stretch, 1/s; 0 between and outside all *pieces*."""
    start, end = (np.array([one[column] for one in pieces]) for column in (0, 1))
    piece = np.searchsorted(start, us, side="right") - 1
    inside = (piece >= 0) & (us < end[piece])
    A, k = (
        np.where(side > 0, np.array([one[bid] for one in pieces])[piece], np.array([one[ask] for one in pieces])[piece])
        for bid, ask in ((2, 4), (3, 5))
    )
    rate: Floats = np.where(inside, A * np.exp(-k * half_ticks / 2), 0.0)
    return rate


def fill_rates(spent: Stretches, journal: "Journal") -> dict[str, Any]:
    """Return fills, time at rest and what was foreseen, by distance from the mid and by hour.

    ``fills_by_distance``: rows of equal width in ticks (the outermost two hold what is farther, too) with the mean
    distance, order-seconds, fills, fills a second with exact 95 % interval, and with an intensity the fills it
    foresees, the ratio of both and its interval. ``fills_by_hour``: the same by hours of UTC; empty without intensity.
    ``fills_ratio``: that of all fills; None without intensity.
    """
    fills = journal.fills[journal.fills[:, 7] > 0]
    total = 0.0 if spent.foreseen is None else float(spent.foreseen.sum())
    ratio = ratio_interval(len(fills), total)
    return {
        "fills_by_distance": _by_distance(spent, fills[:, 2] * (fills[:, 7] - 2 * fills[:, 3])),
        "fills_by_hour": [] if spent.foreseen is None else _by_hour(spent, fills[:, 0]),
        "fills_ratio": dict(zip(("value", "low", "high"), ratio, strict=True)),
    }


def _by_distance(spent: Stretches, fill_half_ticks: "Column") -> list[dict[str, Any]]:
    if len(spent.half_ticks) == 0:
        return []
    first, width, rows = _grid(spent)
    place, fills = (
        np.clip((half_ticks - first) // width, 0, rows - 1) for half_ticks in (spent.half_ticks, fill_half_ticks)
    )
    seconds, count = np.bincount(place, spent.seconds, rows), np.bincount(fills, minlength=rows)
    mean = np.bincount(place, spent.seconds * spent.half_ticks, rows) / np.where(seconds > 0, seconds, 1.0) / 2
    foreseen = None if spent.foreseen is None else np.bincount(place, spent.foreseen, rows)
    return [
        {
            "from_ticks": (first + i * width) / 2,
            "to_ticks": (first + (i + 1) * width - 1) / 2,
            "delta_ticks": float(mean[i]),
            **_rate(int(count[i]), float(seconds[i])),
            **({} if foreseen is None else _ratio(int(count[i]), float(foreseen[i]))),
        }
        for i in np.flatnonzero(seconds > 0).tolist()
    ]


def _grid(spent: Stretches) -> tuple[int, int, int]:
    """Return the first distance, the width and the number of rows, in half ticks, that hold nearly all time at rest."""
    least, most = int(spent.half_ticks.min()), int(spent.half_ticks.max())
    coarse = max(1, (most - least) // 100_000)
    time = np.cumsum(np.bincount((spent.half_ticks - least) // coarse, spent.seconds))
    tail = (1 - COMMON) / 2
    low, high = (least + coarse * int(np.searchsorted(time, share * time[-1])) for share in (tail, 1 - tail))
    power = 1
    while (high - low) // (power * WIDTHS[-1]) >= MOST_ROWS:
        power *= 10
    width = next(power * one for one in WIDTHS if (high - low) // (power * one) < MOST_ROWS)
    first = low // width * width
    return first, width, (high - first) // width + 1


def _by_hour(spent: Stretches, fill_us: "Column") -> list[dict[str, Any]]:
    if len(spent.from_us) == 0 or spent.foreseen is None:
        return []
    begin = _window(int(spent.from_us.min()))
    place, fills = (spent.from_us - begin) // WINDOW_US, (fill_us - begin) // WINDOW_US
    rows = int(place.max()) + 1
    seconds, foreseen = np.bincount(place, spent.seconds, rows), np.bincount(place, spent.foreseen, rows)
    count = np.bincount(fills[(fills >= 0) & (fills < rows)], minlength=rows)
    return [
        {
            "start_us": begin + i * WINDOW_US,
            **_rate(int(count[i]), float(seconds[i])),
            **_ratio(int(count[i]), float(foreseen[i])),
        }
        for i in np.flatnonzero(seconds > 0).tolist()
    ]


def _rate(fills: int, seconds: float) -> dict[str, Any]:
    low, high = mean_interval(fills)
    rates = {"rate_per_s": fills / seconds, "rate_low": low / seconds, "rate_high": high / seconds}
    return {"exposure_s": seconds, "fills": fills, **rates}


def _ratio(fills: int, foreseen: float) -> dict[str, Any]:
    ratio = ratio_interval(fills, foreseen)
    return {"predicted": foreseen, **dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))}


def _window(us: int) -> int:
    return int(us) // WINDOW_US * WINDOW_US
