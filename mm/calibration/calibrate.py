"""Calibration of days: one fit, and the further content of ``poisson_fit.json`` and ``adverse_selection.csv``."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.metrics.json_values import finite
from mm.backtest.rules import Rules
from mm.calibration.alternatives import CurveComparison, compare
from mm.calibration.calibrator import CalibrationConfig, Calibrator, Measured, first_blocks
from mm.calibration.captured import PNL_GAIN
from mm.calibration.fit_result import PoissonFit, ReferenceChoice
from mm.calibration.lambda_curve import chosen_curve
from mm.calibration.reference import AUTO, BLOCK_US
from mm.calibration.reference_choice import decay_of, k_by_reference, resolved
from mm.calibration.simulated_runs import Keep
from mm.calibration.spread_states import SpreadState, by_spread, large_tick, spread_states
from mm.calibration.volatility import volatility
from mm.calibration.window_moves import WindowMoves, later, offset_ticks
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.tape.load import known_at_end, tapes_given
from mm.tape.tape import DEPTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.depth_counts import DepthCounts
    from mm.tape.tape import Tape

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

HORIZONS_S = (1, 5, 30)
LARGEST_TICKS = (5.0, 10.0, 20.0, 50.0)  # distances up to which k is compared
OTHER_K = 0.2  # relative difference of k from the displayed book that gives no warning
SIDES = (("bid", (1,)), ("ask", (-1,)), ("both", (1, -1)))


@dataclass(frozen=True)
class CalibrationResult:
    """A fit with its points.

    Attributes:
        fit: Fit of the whole days.
        measured: Its points.
        calibrator: The calibrator that measured them, for windows of the days and for runs of simulated orders.
        states: The states of the spread, by marks, for every method.
        curves: The shapes of λ(δ) compared on those points; None if no exponential could be fitted.
        k_by_reference: Decay per tick by the marks from each reference price.
    """

    fit: PoissonFit
    measured: Measured
    calibrator: Calibrator
    states: tuple[SpreadState, ...]
    curves: "CurveComparison | None" = None
    k_by_reference: dict[str, float | None] = field(default_factory=dict)


class Prepared(NamedTuple):
    """Days ready to be fitted: their reference price is chosen, and all simulated orders are run.

    Attributes:
        calibrator: The calibrator of the days.
        choice: The choice of its reference price; None if it was given.
        notes: Remarks on the choice.
        k_by_reference: k per tick by reference price, by marks; None without a fit.
    """

    calibrator: Calibrator
    choice: ReferenceChoice | None
    notes: tuple[str, ...]
    k_by_reference: dict[str, float | None]


def measure(
    tape: "Tape | Sequence[Tape]",
    config: CalibrationConfig | None = None,
    rules: Rules | None = None,
    keep: Keep | None = None,
) -> CalibrationResult:
    """Calibrate whole days and return the fit with its points and its calibrator.

    Args:
        tape, config, rules: As for `calibrate`.
        keep: As for `Calibrator`.
    """
    return fitted(prepare(tape, config, rules, keep))


def prepare(
    tape: "Tape | Sequence[Tape]",
    config: CalibrationConfig | None = None,
    rules: Rules | None = None,
    keep: Keep | None = None,
) -> Prepared:
    """Choose the reference price of whole days and run simulated orders; the arguments are those of `measure`."""
    tapes = known_at_end(tapes_given(tape, "the calibration"))
    chosen = resolved(tapes, config or CalibrationConfig(reference=AUTO))
    config, decays = chosen.config, k_by_reference(tapes, chosen.config, chosen.marks)
    chosen = chosen._replace(marks={config.reference: chosen.marks[config.reference]})  # the others are large
    calibrator = Calibrator(tapes, config, rules, keep, marks=chosen.marks[config.reference])
    return Prepared(calibrator, chosen.choice, chosen.notes, decays)


def fitted(days: Prepared) -> CalibrationResult:
    """Return the fit of prepared *days*."""
    calibrator, decays = days.calibrator, days.k_by_reference
    config = calibrator.config
    fit, measured = calibrator.fit(calibrator.start_us, calibrator.end_us)
    fit = replace(fit, adverse_moves=WindowMoves(calibrator).between(calibrator.start_us, calibrator.end_us))
    fit = replace(fit, measured_states=calibrator.states.get(calibrator.end_us), recent_s=calibrator.recent_s)
    states = spread_states(calibrator)
    by_reference = (*old_book(config.reference, decays), *large_tick(states, config.reference))
    further = short_reach(calibrator) if config.fills else by_reference
    warnings = (*days.notes, *fit.warnings, *further)
    fit = replace(fit, warnings=warnings, reference_choice=days.choice, points=measured.shown)
    curves = compare(measured.fitted, offset_ticks(config.reference, fit.half_spread_ticks), fit.tick_size)
    if curves is not None:
        # the spread is that of the book before each aggressive order, which simulated orders do not record
        by_marks = [(state.name, state.points) for state in states] if config.method == "marks" else []
        curve, shape = chosen_curve(curves, by_marks, fit.pivot_delta or 0.0)
        fit = replace(fit, lambda_curve=curve, shape=shape)
    return CalibrationResult(fit, measured, calibrator, states, curves, decays)


@dataclass(frozen=True)
class Permutations:
    """The fits of ladders with permuted distances, and that of the marks of the same days.

    Attributes:
        count: Number of usable fits; A (1/s) and k (1/tick) are their means.
        sd_A, sd_k: Standard deviations over permutations.
        marks_A, marks_k: Fit of the marks; None if it is not usable.
    """

    count: int
    A: float
    k: float
    sd_A: float
    sd_k: float
    marks_A: float | None
    marks_k: float | None

    def __str__(self) -> str:
        """Return a summary sentence."""
        marks = "not usable" if self.marks_A is None else f"A {self.marks_A:.4g} /s, k {self.marks_k:.4g} /tick"
        return (
            f"{self.count} permutations of the ladder: A {self.A:.4g} /s (sd {self.sd_A:.2g}), k {self.k:.4g} /tick "
            f"(sd {self.sd_k:.2g}), the fit averages them; marks on the same data: {marks}. A ladder has no resting "
            f"orders while it re-quotes after a move of the mid, when fills are most likely, so it counts fewer fills "
            f"than marks, increasingly so with the distance from the touch"
        )


def permutations(found: CalibrationResult) -> Permutations | None:
    """Return the fits of all permutations of the ladder; None for another method, or with fewer than two fits."""
    config, calibrator = found.calibrator.config, found.calibrator
    if config.method != "ladder":
        return None
    fits = [calibrator.fit_single(points) for points in found.measured.runs.values()]
    pairs = [(fit.A, fit.k) for fit in fits if fit.A is not None and fit.k is not None]
    if len(pairs) < 2:
        return None
    rates, decays = zip(*pairs, strict=True)
    beside = calibrator.fit_single(calibrator.marked(calibrator.start_us, calibrator.end_us))
    return Permutations(
        len(pairs), fmean(rates), fmean(decays), stdev(rates), stdev(decays), marks_A=beside.A, marks_k=beside.k
    )


def calibrate(
    tape: "Tape | Sequence[Tape]", config: CalibrationConfig | None = None, rules: Rules | None = None
) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to one or more days.

    Args:
        tape: A day, a window of one (``tape.between``), or days in chronological order, which are pooled.
        config: Method and options; None is ``marks`` from the reference price that predicts best, ``auto``.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
    """
    return measure(tape, config, rules).fit


def artefact(
    found: "CalibrationResult",
    permuted: "Permutations | None" = None,
    times: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """Return the content of ``poisson_fit.json``: null for unknown or non-finite values.

    Args:
        found: The fit, its calibrator and the compared curves.
        permuted: Permutations of a ladder; None for another method.
        times: The result of `timing`, if it is known.
    """
    calibrator, curves = found.calibrator, found.curves
    stretches = [(marks.path, *day) for marks, day in zip(calibrator.marks, calibrator.days, strict=True)]
    # the rates are for pages
    curve_keys = ("name", "formula", "parameters", "loglik", "aic", "unseen", "unseen_se", *PNL_GAIN)
    beside = {
        "options": options(calibrator.config),
        "measured": _counts(calibrator),
        "timing": times or timing(calibrator.tapes),
        "by_spread": by_spread(calibrator, found.states),
        "volatility": asdict(volatility(stretches)),
        "by_day": _by_day(calibrator),
        "k_by_reference": found.k_by_reference,
        "k_by_max_delta": k_by_max_delta(found),
        "alternatives": curves
        and {
            "best": curves.best,
            "sentence": curves.sentence,
            "curves": [{key: getattr(curve, key) for key in curve_keys} for curve in curves.curves],
        },
        "permutations": permuted and asdict(permuted),
    }
    content: dict[str, Any] = finite(found.fit.to_json() | beside)
    return content


def options(config: "CalibrationConfig") -> dict[str, Any]:
    """Return all options of the points, by the name of the knob in lower case."""
    simulated = config.method != "marks"
    return {
        "calib_method": config.method,
        "calib_reference": config.reference,
        "calib_fills": config.fills and config.fills.name,
        "calib_fill_params": config.fills and config.fills.params,
        "calib_hit": None if config.fills else config.rule.hit,
        "calib_order_qty": config.rule.order_e8 / E8,
        "calib_queue_ahead": config.rule.queue_ahead,
        "calib_sweeps": config.rule.grouped,
        "calib_distance": config.distance if simulated else None,
        "calib_deltas": list(config.distances) if simulated else None,
        "calib_dwell_ms": config.dwell_ms if config.method == "ladder" else None,
        "calib_mid_move_threshold_ticks": config.mid_move_threshold_ticks if simulated and not config.fills else None,
        "permutations": config.permutations if config.method == "ladder" else None,
        "seed": config.seed if config.method == "ladder" else None,
        "min_exposure_s": config.min_exposure_s,
        "min_usable_deltas": config.min_usable_deltas,
        "max_delta_ticks": "auto" if config.max_delta_ticks is None else config.max_delta_ticks,
    }


def _counts(calibrator: "Calibrator") -> dict[str, float]:
    """Return the counts of the days' aggressive orders by outcome, and the time without a valid book."""
    days = [marks.between(*span) for marks, span in zip(calibrator.marks, calibrator.days, strict=True)]
    counts = Counter[str]()
    for day in days:
        counts.update(asdict(day.counts))
    return {**counts, "valid_s": sum(day.valid_s for day in days), "excluded_s": sum(day.excluded_s for day in days)}


def k_by_max_delta(found: "CalibrationResult") -> list[dict[str, float | None]]:
    """Return k per tick by the largest distance used, in increasing order; the last row is that of the fit.

    Empty without a fit.
    """
    calibrator, fit, rows = found.calibrator, found.fit, list[dict[str, float | None]]()
    if fit.max_delta_ticks is None:
        return rows
    for far in LARGEST_TICKS:
        if far >= fit.max_delta_ticks:
            break
        if calibrator.config.method == "marks":
            nearer = replace(calibrator.config, max_delta_ticks=far)
            k = decay_of(Calibrator(calibrator.tapes, nearer, marks=list(calibrator.marks)))
        else:
            k = calibrator.fit_points(found.measured.fitted.where(found.measured.fitted.delta_ticks <= far)).k
        rows.append({"max_delta_ticks": far, "k": k})
    return [*rows, {"max_delta_ticks": fit.max_delta_ticks, "k": fit.k}]


def old_book(reference: str, decays: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return a warning if k from the displayed best price differs by a fifth from k after the first print."""
    shown, own = decays["best"], decays["sweep"]
    if reference == "sweep" or shown is None or own is None or abs(shown / own - 1) <= OTHER_K:
        return ()
    return (
        f"k is {shown:.4g} per tick from the displayed best price, and {own:.4g} by the depth of aggressive orders "
        f"from their first print: the displayed book lags the prints, and price moves during the lag count as distance",
    )


def _by_day(calibrator: "Calibrator") -> list[dict[str, Any]]:
    """Return the fit of each day; empty for a single day."""
    if len(calibrator.tapes) == 1:
        return []
    fits = [calibrator.fit_points(calibrator.points(*day)) for day in calibrator.days]
    names = ("A", "k", "se_logA", "se_k", "n_fills", "status")
    return [
        {"day": tape.days[0], **{name: getattr(fit, name) for name in names}}
        for tape, fit in zip(calibrator.tapes, fits, strict=True)
    ]


def short_reach(calibrator: Calibrator) -> tuple[str, ...]:
    """Return a warning if trades reach far beyond the farthest simulated order."""
    reach, far = calibrator.reach(calibrator.start_us, calibrator.end_us), calibrator.config.distances[-1]
    if reach <= 2 * far:
        return ()
    return (
        f"trades reach {reach:,.0f} ticks, and the farthest order rested at {far:g}: give CALIB_DELTAS (--deltas) that "
        f"include the distances to be quoted",
    )


def timing(tapes: "Sequence[Tape]") -> dict[str, float | None]:
    """Return statistics of the exchange times of *tapes*; None without exchange times.

    ``same_instant_share``: share of the prints with the trade time of the previous print of their side, and so of its
    sweep. ``book_age_ms_p50``: median time from a trade to the exchange time of the first depth message that can
    include it, in ms: the delay of the displayed book.
    """
    shared, ages = [], []
    for tape in tapes:
        stamp = tape.event_exch_us
        printed = (stamp[tape.trades] > 0) & (tape.event_us[tape.trades] >= tape.start_us)
        trades, side = tape.trades[printed], tape.trade_side[printed]
        same = np.zeros(trades.size, bool)
        for sign in (1, -1):
            same_side = np.flatnonzero(side == sign)
            same[same_side[1:]] = np.diff(stamp[trades[same_side]]) == 0
        shown = stamp[(tape.kind == DEPTH) & (stamp > 0)]
        if (shown[1:] < shown[:-1]).any():
            shown = np.sort(shown)
        after = np.searchsorted(shown, stamp[trades])
        included = after < shown.size
        shared.append(same)
        ages.append(shown[after[included]] - stamp[trades[included]])
    same_instant, age = np.concatenate(shared), np.concatenate(ages)
    return {
        "same_instant_share": float(same_instant.mean()) if same_instant.size else None,
        "book_age_ms_p50": float(np.median(age)) / 1000 if age.size else None,
    }


@dataclass(frozen=True, slots=True)
class AdverseMove:
    """The mean adverse move of the mid after hits of probes at one distance.

    Attributes:
        delta_ticks: Distance of the probes from the reference.
        side: ``bid``, ``ask`` or ``both``.
        horizon_s: Time from the hit to the later mid.
        hits: Number of hits with the later mid in the same epoch.
        mean_move_ticks: Move from the mid before the sweep; above 0 is against the order.
        se_ticks: Its standard error, by blocks of five minutes; None with fewer than two of them.
        kept_ticks: Delta less the move: what remains of the distance, before fees (from the mid only).
    """

    delta_ticks: float
    side: str
    horizon_s: int
    hits: int
    mean_move_ticks: float
    se_ticks: float | None
    kept_ticks: float


class _Hits(NamedTuple):
    """Sweeps that hit the probes from *touch* to *depth*, in steps, and the moves of the mid after them."""

    touch: "Ints"
    depth: "Ints"
    block: "Ints"
    moves: "Floats"  # a column per horizon, in ticks; NaN after a gap or the end of the day

    @classmethod
    def of(cls, marks: "DepthCounts", side: int, day: tuple[int, int], first_block: int) -> "_Hits":
        """Return the hits of one side and day."""
        path, (start_us, end_us) = marks.path, day
        hits, touch = marks.hits(side, start_us, end_us)
        near = touch <= marks.grid.last
        us, row = hits.us[near], hits.row[near]
        moves = np.empty((us.size, len(HORIZONS_S)))
        for column, horizon_s in enumerate(HORIZONS_S):
            then, whole = later(path, us, row, horizon_s)
            whole &= us + horizon_s * US_PER_S <= end_us
            moves[:, column] = np.where(whole, side * (path.mid2[row] - path.mid2[then]) / 2, np.nan)
        block = first_block + (us - start_us) // BLOCK_US
        return cls(touch[near], np.minimum(hits.depth[near], marks.grid.last), block, moves)


def adverse_selection(calibrator: "Calibrator") -> list[AdverseMove]:
    """Return the moves at every distance that was hit, by the marks of all days, for every method."""
    days = list(zip(calibrator.marks, calibrator.days, first_blocks(calibrator.days), strict=True))
    hits = {side: [_Hits.of(marks, side, day, first) for marks, day, first in days] for side in (1, -1)}
    per_tick = calibrator.marks[0].path.per_tick
    nears = [near for marks in calibrator.marks for near in marks.grid.near if near <= marks.grid.last]
    places = np.unique(np.array(nears))
    rows: list[AdverseMove] = []
    for name, sides in SIDES:
        pooled = _Hits(*map(np.concatenate, zip(*(day_hits for side in sides for day_hits in hits[side]), strict=True)))
        for column, horizon_s in enumerate(HORIZONS_S):
            rows += _moves(pooled, column, places, per_tick, (name, horizon_s))
    return sorted(rows, key=lambda row: (row.delta_ticks, row.horizon_s))


def _moves(hits: _Hits, column: int, places: "Ints", per_tick: int, named: tuple[str, int]) -> Iterator[AdverseMove]:
    """Yield a row for each distance with a move; probes are whole ticks from the touch.

    Args:
        hits: Hits of one side, or of both.
        column: Column of the moves.
        places: Distances of probes, in steps.
        per_tick: Steps of distance in one tick.
        named: The side and the horizon in s.
    """
    side, horizon_s = named
    counts, sums = _at_probes(hits, hits.moves[:, column], places, per_tick)
    for at in np.flatnonzero(counts.any(axis=0)).tolist():
        count, n = int(counts[:, at].sum()), int(np.count_nonzero(counts[:, at]))
        delta, mean = float(places[at]) / per_tick, float(sums[:, at].sum()) / count
        # summed deviations by block, as moves within a block are dependent
        squares = float(((sums[:, at] - mean * counts[:, at]) ** 2).sum())
        error = float(np.sqrt(n / (n - 1) * squares)) / count if n > 1 else None
        yield AdverseMove(delta, side, horizon_s, count, mean, error, delta - mean)


def _at_probes(hits: _Hits, moves: "Floats", places: "Ints", per_tick: int) -> "tuple[Floats, Floats]":
    """Return number and sum of the moves after the sweeps that hit each of *places*, float64[blocks, places]."""
    size = int(hits.block.max(initial=0)) + 1, len(places)
    found = np.zeros((2, *size))
    for fraction in range(per_tick):
        at = np.flatnonzero(places % per_tick == fraction)
        hit = (hits.touch % per_tick == fraction) & ~np.isnan(moves)
        block, move, columns = hits.block[hit], moves[hit], len(at) + 1
        first, beyond = (np.searchsorted(places[at], ends) for ends in (hits.touch[hit], hits.depth[hit] + 1))
        for sums, weights in zip(found, (np.ones(len(move)), move), strict=True):
            change = np.bincount(block * columns + first, weights, size[0] * columns)
            change = change - np.bincount(block * columns + beyond, weights, size[0] * columns)
            sums[:, at] = change.reshape(size[0], columns).cumsum(axis=1)[:, :-1]
    return found[0], found[1]


def write_adverse_selection(path: Path, rows: list[AdverseMove]) -> None:
    """Write ``adverse_selection.csv``; an empty ``se_ticks`` is unknown."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in fields(AdverseMove)]
        writer.writerow(names)
        writer.writerows(map(attrgetter(*names), rows))  # None is written as an empty cell
