"""Days in, one fit out."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.rules import Rules
from mm.calibration.calibrator import CalibrationConfig, Calibrator, Measured
from mm.calibration.fit_result import PoissonFit, plain
from mm.calibration.points import joined
from mm.calibration.reference import BLOCK_S, CLOSED, block_length_us, volatility
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.tape.tape import DEPTH, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.result import Result
    from mm.calibration.alternatives import Comparison
    from mm.calibration.depth_counts import DepthCounts
    from mm.calibration.points import Points
    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CalibrationResult:
    """A fit with what it rests on.

    Attributes:
        fit: Of the whole days.
        measured: The points behind it.
        calibrator: What measured them, for windows of the days and for the runs of simulated orders.
    """

    fit: PoissonFit
    measured: Measured
    calibrator: Calibrator

    @property
    def runs(self) -> dict[str, "Result"]:
        """The simulated runs by folder name."""
        return {name: run.result for name, run in self.calibrator.played.items() if run.result is not None}


def measure(
    tape: "Tape | Sequence[Tape]", config: CalibrationConfig | None = None, rules: Rules | None = None
) -> CalibrationResult:
    """Calibrate whole days and return the fit with what it rests on and what stands beside it."""
    calibrator = Calibrator(tape, config or CalibrationConfig(), rules)
    fit, measured = calibrator.fit(calibrator.start_us, calibrator.end_us)
    return CalibrationResult(replace(fit, warnings=(*fit.warnings, *large_tick(calibrator))), measured, calibrator)


@dataclass(frozen=True)
class Permutations:
    """The fits of ladders that held the same distances in other orders, and that of the marks.

    Attributes:
        count: How many usable ones.
        A: Their mean, in 1/s.
        k: Their mean, in 1/tick.
        sd_A: Standard deviation of A from order to order.
        sd_k: That of k.
        marks_A: A of the marks of the same days; None where their fit is not usable.
        marks_k: Their k.
    """

    count: int
    A: float
    k: float
    sd_A: float
    sd_k: float
    marks_A: float | None
    marks_k: float | None

    def __str__(self) -> str:
        """Return all of it in two lines."""
        marks = "not usable" if self.marks_A is None else f"A {self.marks_A:.4g} /s, k {self.marks_k:.4g} /tick"
        return (
            f"{self.count} permutations of the ladder: A {self.A:.4g} /s (sd {self.sd_A:.2g}), k {self.k:.4g} /tick "
            f"(sd {self.sd_k:.2g}), the fit averages them; marks on the same data: {marks}. A ladder's orders are away "
            f"while they follow the mid, which is when fills are likeliest: it sees fewer than marks, the more the "
            f"farther from the touch"
        )


def permutations(found: CalibrationResult, rules: Rules | None) -> Permutations | None:
    """Return the fits of each order of the ladder's distances; None of another method, or with fewer than two fits.

    Args:
        found: The fit of all of them.
        rules: As for it.
    """
    config, calibrator = found.calibrator.config, found.calibrator
    if config.method != "ladder":
        return None
    fits = [calibrator.fit_run(name) for name in calibrator.played]
    pairs = [(fit.A, fit.k) for fit in fits if fit.A is not None and fit.k is not None]
    if len(pairs) < 2:
        return None
    rates, decays = zip(*pairs, strict=True)
    marks = Calibrator(calibrator.tapes, replace(config, method="marks"), rules)
    beside = marks.fit_points(marks.points(calibrator.start_us, calibrator.end_us))
    return Permutations(
        len(pairs), fmean(rates), fmean(decays), stdev(rates), stdev(decays), marks_A=beside.A, marks_k=beside.k
    )


def calibrate(
    tape: "Tape | Sequence[Tape]", config: CalibrationConfig | None = None, rules: Rules | None = None
) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to one or more days.

    Args:
        tape: A day, a window of one (``tape.between``), or days in order of time, which are pooled.
        config: Method and options; None is ``marks`` with its defaults.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
    """
    return measure(tape, config, rules).fit


def artefact(
    found: "CalibrationResult", curves: "Comparison | None" = None, permuted: "Permutations | None" = None
) -> dict[str, Any]:
    """Return the content of ``poisson_fit.json``: null for what is not known or not finite.

    Args:
        found: The fit and its calibrator.
        curves: Other curves than the exponential; None where none could be compared.
        permuted: Other orders of a ladder's distances; None of another method.
    """
    calibrator = found.calibrator
    stretches = [(marks.path, *day) for marks, day in zip(calibrator.marks, calibrator.days, strict=True)]
    beside = {
        "options": options(calibrator.config),
        "measured": _counts(calibrator),
        "timing": timing(calibrator.tapes),
        "by_spread": [asdict(state) for state in by_spread(calibrator)],
        "volatility": asdict(volatility(stretches)),
        "by_day": _by_day(calibrator),
        "alternatives": curves and _curves(curves),
        "permutations": permuted and asdict(permuted),
    }
    content: dict[str, Any] = plain(found.fit.to_json() | beside)
    return content


def options(config: "CalibrationConfig") -> dict[str, Any]:
    """Return every choice that the points depend on, by the name of its knob in small letters."""
    simulated = config.method != "marks"
    return {
        "calib_method": config.method,
        "calib_reference": config.reference,
        "calib_hit": config.rule.hit,
        "calib_order_qty": config.rule.order_e8 / E8,
        "calib_queue_ahead": config.rule.queue_ahead,
        "calib_sweeps": config.rule.grouped,
        "calib_distance": config.distance if simulated else None,
        "calib_deltas": list(config.deltas) if simulated else None,
        "calib_dwell_ms": config.dwell_ms if config.method == "ladder" else None,
        "calib_mid_move_threshold_ticks": config.mid_move_threshold_ticks if simulated else None,
        "permutations": config.permutations if config.method == "ladder" else None,
        "seed": config.seed if config.method == "ladder" else None,
        "min_exposure_s": config.min_exposure_s,
        "min_usable_deltas": config.min_usable_deltas,
        "max_delta_ticks": "auto" if config.max_delta_ticks is None else config.max_delta_ticks,
    }


def _curves(compared: "Comparison") -> dict[str, Any]:
    """Return which curve to believe and how each of them does; their rates are for pages."""
    names = ("name", "formula", "parameters", "loglik", "aic", "unseen", "unseen_se")
    curves = [{name: getattr(curve, name) for name in names} for curve in compared.curves]
    return {"best": compared.best, "sentence": compared.sentence, "curves": curves}


def _counts(calibrator: "Calibrator") -> dict[str, float]:
    """Return where the aggressive orders of the days went, and how long there was no valid book."""
    days = [marks.between(*span) for marks, span in zip(calibrator.marks, calibrator.days, strict=True)]
    counts: dict[str, float] = {}
    for day in days:
        for name, count in asdict(day.counts).items():
            counts[name] = counts.get(name, 0) + count
    return {**counts, "valid_s": sum(day.valid_s for day in days), "excluded_s": sum(day.excluded_s for day in days)}


def _by_day(calibrator: "Calibrator") -> list[dict[str, Any]]:
    """Return each day's own fit; nothing for a single day."""
    if len(calibrator.tapes) == 1:
        return []
    fits = [
        (tape.days[0], calibrator.fit_points(calibrator.points(*day)))
        for tape, day in zip(calibrator.tapes, calibrator.days, strict=True)
    ]
    names = ("A", "k", "se_logA", "se_k", "n_fills", "status")
    return [{"day": day, **{name: getattr(fit, name) for name in names}} for day, fit in fits]


LARGE_TICK_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SpreadState:
    """What the marks say while the spread has a certain width.

    Attributes:
        from_ticks, to_ticks: The least and the greatest spread of the state.
        share: Of the time with a valid book.
        A, k, se_logA, se_k: The fit; None where it is not usable.
        n_fills: Sweeps counted.
        exposure_s: Order-seconds.
        status: What the fit says of itself.
    """

    from_ticks: int
    to_ticks: int
    share: float
    A: float | None
    k: float | None
    se_logA: float | None
    se_k: float | None
    n_fills: float
    exposure_s: float
    status: str


def by_spread(calibrator: Calibrator) -> list[SpreadState]:
    """Return the states 1, 2, 3-4, 5-8, … ticks that occurred, each fitted by itself, by marks whatever the method."""
    seconds = _seconds(calibrator)
    total = sum(seconds.values())
    found = []
    for low, high in _states(max(seconds, default=0)):
        here = sum(spent for spread, spent in seconds.items() if low <= spread <= high)
        if here == 0:
            continue
        fit = calibrator.fit_points(_points(calibrator, low, high))
        state = (fit.A, fit.k, fit.se_logA, fit.se_k, fit.n_fills, fit.exposure_s, fit.status)
        found.append(SpreadState(low, high, here / total, *state))
    return found


def large_tick(calibrator: Calibrator) -> tuple[str, ...]:
    """Return what to tell of a market whose spread is a single tick most of the time; nothing of another."""
    seconds = _seconds(calibrator)
    narrow = seconds.get(1, 0.0) / (sum(seconds.values()) or 1.0)
    if narrow < LARGE_TICK_SHARE:
        return ()
    return (
        f"a large tick: the spread is one tick in {100 * narrow:.0f} % of the time, and there the queue decides on a "
        f"fill more than the distance does; compare with CALIB_HIT=strict and CALIB_QUEUE_AHEAD=1",
    )


def _states(widest: int) -> Iterator[tuple[int, int]]:
    low, high = 1, 1
    while low <= widest:
        yield low, high
        low, high = high + 1, 2 * high


def _seconds(calibrator: Calibrator) -> dict[int, float]:
    """Return the time with a valid book by its spread in ticks."""
    spent: dict[int, float] = {}
    for marks, (start_us, end_us) in zip(calibrator.marks, calibrator.days, strict=True):
        edges, rows, _ = marks.path.segments(start_us, end_us, end_us - start_us + 1)
        valid = marks.path.touch[1][rows] != CLOSED
        widths, into = np.unique(marks.path.spread[rows][valid], return_inverse=True)
        for width, us in zip(widths.tolist(), np.bincount(into, np.diff(edges)[valid]).tolist(), strict=True):
            spent[width] = spent.get(width, 0.0) + us
    return spent


def _points(calibrator: Calibrator, low: int, high: int) -> "Points":
    parts = [
        marks.between(start_us, end_us, (low, high)).cells
        for marks, (start_us, end_us) in zip(calibrator.marks, calibrator.days, strict=True)
    ]
    longest = max(end_us - start_us for start_us, end_us in calibrator.days) // block_length_us(BLOCK_S) + 1
    return joined(parts, [day * longest for day in range(len(parts))])


def timing(tapes: "Sequence[Tape]") -> dict[str, float | None]:
    """Return what the exchange's stamps of *tapes* show; None where nothing was stamped.

    ``same_instant_share``: share of the prints whose side and trade time are those of the print of that side before,
    so that they count as its sweep. ``book_age_ms_p50``: median time from a trade to the stamp of the
    first depth message that can show it, in ms: so long the displayed book is older than the trade.
    """
    shared, ages = zip(*(_of(tape) for tape in tapes), strict=True)
    same, age = np.concatenate(shared), np.concatenate(ages)
    return {
        "same_instant_share": float(same.mean()) if same.size else None,
        "book_age_ms_p50": float(np.median(age)) / 1000 if age.size else None,
    }


def _of(tape: "Tape") -> "tuple[np.ndarray, np.ndarray]":
    """Return of each stamped print whether it shares its instant, and the age of the book in µs."""
    stamp = tape.event_exch_us
    trades = np.flatnonzero((tape.kind == TRADE) & (stamp > 0) & (tape.event_us >= tape.start_us))
    books = np.flatnonzero((tape.kind == DEPTH) & (stamp > 0))
    side = tape.row_side[tape.first_row[trades]]
    same = np.zeros(trades.size, bool)
    for way in (1, -1):
        mine = np.flatnonzero(side == way)
        same[mine[1:]] = np.diff(stamp[trades[mine]]) == 0
    shown = np.sort(stamp[books])
    after = np.searchsorted(shown, stamp[trades])
    met = after < shown.size
    return same, shown[after[met]] - stamp[trades[met]]


HORIZONS_S = (1, 5, 30)
SIDES = (("bid", (1,)), ("ask", (-1,)), ("both", (1, -1)))


@dataclass(frozen=True, slots=True)
class AdverseMove:
    """The mean move of the mid against the probes at one distance.

    Attributes:
        delta_ticks: Distance of the probes from the reference.
        side: ``bid``, ``ask`` or ``both``.
        horizon_s: From the hit to the second look at the mid.
        hits: Those whose second look fell into the same stretch of valid book.
        mean_move_ticks: From the mid before the sweep; above 0 is against the order (a bought price fell).
        se_ticks: Its standard error, by blocks of five minutes; None with fewer than two of them.
        kept_ticks: What is left of the distance: delta less the move, before fees (from the mid only).
    """

    delta_ticks: float
    side: str
    horizon_s: int
    hits: int
    mean_move_ticks: float
    se_ticks: float | None
    kept_ticks: float


@dataclass(frozen=True)
class _Hits:
    """The sweeps of one side and day that hit the probes from *touch* to *depth*, and the moves after them."""

    touch: "Ints"
    depth: "Ints"
    block: "Ints"
    moves: "dict[int, NDArray[np.float64]]"  # by horizon, in ticks; NaN where the book broke or the day ended


def adverse_selection(calibrator: "Calibrator") -> list[AdverseMove]:
    """Return the moves at every distance that was hit, by the marks of all days whatever the method."""
    hits: dict[int, list[_Hits]] = {1: [], -1: []}
    behind = 0
    for marks, (start_us, end_us) in zip(calibrator.marks, calibrator.days, strict=True):
        for side, found in hits.items():
            found.append(_hits(marks, side, start_us, end_us, behind))
        behind += (end_us - start_us) // block_length_us(BLOCK_S) + 1
    per_tick = calibrator.marks[0].path.per_tick
    places = sorted({int(near) for marks in calibrator.marks for near in marks.grid.near if near <= marks.grid.last})
    rows: list[AdverseMove] = []
    for name, sides in SIDES:
        rows += _rows(_pooled([one for side in sides for one in hits[side]]), name, per_tick, places)
    return sorted(rows, key=lambda row: (row.delta_ticks, row.horizon_s))


def write_adverse_selection(path: Path, rows: list[AdverseMove]) -> None:
    """Write ``adverse_selection.csv``; an empty ``se_ticks`` is not known."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(AdverseMove)])
        writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)


def _hits(marks: "DepthCounts", side: int, start_us: int, end_us: int, behind: int) -> _Hits:
    path = marks.path
    reached = marks.sweeps[side].between(start_us, end_us)
    touch = path.touch[side][reached.row]
    hit = (touch != CLOSED) & (reached.depth >= touch) & (touch <= marks.grid.last)
    us, row = reached.us[hit], reached.row[hit]
    breaks = np.cumsum(path.touch[1] == CLOSED)
    moves = {}
    for horizon_s in HORIZONS_S:
        then_us = us + horizon_s * US_PER_S
        then = np.searchsorted(path.us, then_us, side="right") - 1
        whole = (breaks[then] == breaks[row]) & (then_us <= end_us)
        moves[horizon_s] = np.where(whole, side * (path.mid2[row] - path.mid2[then]) / 2, np.nan)
    depth = np.minimum(reached.depth[hit], marks.grid.last)
    return _Hits(touch[hit], depth, behind + (us - start_us) // block_length_us(BLOCK_S), moves)


def _pooled(parts: list[_Hits]) -> _Hits:
    return _Hits(
        touch=np.concatenate([part.touch for part in parts]),
        depth=np.concatenate([part.depth for part in parts]),
        block=np.concatenate([part.block for part in parts]),
        moves={horizon: np.concatenate([part.moves[horizon] for part in parts]) for horizon in HORIZONS_S},
    )


def _rows(hits: _Hits, side: str, per_tick: int, places: list[int]) -> Iterator[AdverseMove]:
    """Yield a row for each distance and horizon with a move; probes stand whole ticks from the touch."""
    for distance in places:
        met = (hits.touch <= distance) & (distance <= hits.depth) & ((distance - hits.touch) % per_tick == 0)
        for horizon_s, moves in hits.moves.items():
            known = met & ~np.isnan(moves)
            if not known.any():
                continue
            delta, mean = distance / per_tick, float(moves[known].mean())
            error = _error(moves[known] - mean, hits.block[known])
            yield AdverseMove(delta, side, horizon_s, int(known.sum()), mean, error, delta - mean)


def _error(off: "NDArray[np.float64]", block: "Ints") -> float | None:
    """Return the standard error of a mean from what its blocks are off together; None with fewer than two."""
    blocks, into = np.unique(block, return_inverse=True)
    count = len(blocks)
    if count < 2:
        return None
    together = np.bincount(into, off)
    return float(np.sqrt(count / (count - 1) * (together**2).sum())) / len(off)
