"""Calibration of days: one fit, and the other content of ``poisson_fit.json``."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.metrics.json_values import finite
from mm.backtest.rules import Rules
from mm.backtest.trading_time import open_parts
from mm.base.arrays import Floats, Ints
from mm.base.random_effects import LEAST
from mm.calibration.alternatives import CurveComparison, chosen_curve, compare
from mm.calibration.calibrator import Calibrator, Measured, first_blocks
from mm.calibration.config import CalibrationConfig
from mm.calibration.depth_counts import DepthCounts, tallied_points
from mm.calibration.exposure import Keep
from mm.calibration.fit_result import PoissonFit
from mm.calibration.moves import moves_between
from mm.calibration.points import Points, joined, sum_by
from mm.calibration.reference import within
from mm.calibration.reference_choice import decay_of, k_by_reference, resolved
from mm.calibration.shared_strength import NextStretch, Stretch, log_rate_half, sentence, shrunk_to
from mm.calibration.volatility import volatility
from mm.errors import DataError
from mm.instrument import E8
from mm.tape.load import known_at_end, tapes_given
from mm.tape.tape import DEPTH
from mm.trials.openings import note_fitted

if TYPE_CHECKING:
    from mm.tape.tape import Tape

LARGE_TICK_SHARE = 0.5
NUMBERS = 64  # of states


class SpreadState(NamedTuple):
    """A state of the spread, *low* to *high* ticks, with its *share* of the valid time."""

    low: int
    high: int
    share: float
    points: Points

    @property
    def name(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def spread_states(calibrator: Calibrator) -> tuple[SpreadState, ...]:
    days = list(zip(calibrator.marks, calibrator.days, strict=True))
    seconds = sum((_us_by_number(marks, *day) for marks, day in days), np.zeros(NUMBERS))
    first, total = first_blocks(calibrator.days), seconds[1:].sum()
    of_days = [_points_of(*day) for day in days]
    states = []
    for number in (np.flatnonzero(seconds[1:]) + 1).tolist():
        low, high = (1 << number - 1) // 2 + 1, 1 << number - 1
        parts = [of_state(number) for of_state in of_days]
        states.append(SpreadState(low, high, float(seconds[number] / total), joined(parts, first)))
    return tuple(states)


def _number(spread: Ints) -> Ints:
    number: Ints = np.where(spread > 0, np.frexp(np.maximum(spread - 1, 0))[1] + 1, 0)
    return number


def _us_by_number(marks: DepthCounts, start_us: int, end_us: int) -> Floats:
    edges, rows, _ = marks.path.segments(start_us, end_us)
    return sum_by(_number(marks.path.spread)[rows], np.diff(edges), NUMBERS)


def _points_of(marks: DepthCounts, day: tuple[int, int]) -> Callable[[int], Points]:
    path, tallies, numbers = marks.path, marks.tallies(*day), _number(marks.path.spread)
    _, rows, _ = path.segments(*within(marks.span, *day), marks.block_us)
    stood = numbers[rows]
    swept = {side: numbers[marks.sweeps[side].between(*day).row] for side in tallies}
    grid, blocks = marks.grid_of(tallies), marks.blocks(*day)

    def of_state(number: int) -> Points:
        wanted = stood == number
        states = {side: tally.where(wanted, swept[side] == number) for side, tally in tallies.items()}
        return tallied_points(grid, states, blocks)

    return of_state


def by_spread(calibrator: Calibrator, states: Iterable[SpreadState]) -> list[dict[str, Any]]:
    """Return the fit of each of *states*, measured by marks for every method."""
    names = ("A", "k", "se_logA", "se_k", "n_fills", "exposure_s", "status")
    rows = []
    for state in states:
        fit = calibrator.fit_single(state.points)
        head = {"from_ticks": state.low, "to_ticks": state.high, "share": state.share}
        rows.append(head | {name: getattr(fit, name) for name in names})
    return rows


def large_tick(states: Sequence[SpreadState], reference: str) -> tuple[str, ...]:
    narrow = next((state.share for state in states if state.high == 1), 0.0)
    if narrow < LARGE_TICK_SHARE:
        return ()
    return (
        f"a large tick: the spread is one tick in {100 * narrow:.0f} % of the time, and there fills depend more on "
        f"queue position than on distance; compare with CALIB_HIT=strict and CALIB_QUEUE_AHEAD=1 at "
        f"CALIB_REFERENCE={reference}, or use a queue model with the symbol's exponent (mm fills fit)",
    )


LARGEST_TICKS = (5.0, 10.0, 20.0, 50.0)  # distances up to which k is compared
OTHER_K = 0.2  # relative difference of k from the displayed book that gives no warning


@dataclass(frozen=True)
class CalibrationResult:
    fit: PoissonFit
    measured: Measured
    calibrator: Calibrator
    states: tuple[SpreadState, ...]
    curves: CurveComparison | None = None
    k_by_reference: dict[str, float | None] = field(default_factory=dict)
    alone: Sequence[PoissonFit] = ()

    @cached_property
    def days(self) -> NextStretch:
        counted = NextStretch()
        for fit in self.alone:
            counted.add(None, Stretch.of(fit))
        return counted

    def told_shared(self) -> str:
        shared = self.days.to_json()
        return "" if shared is None else sentence(shared, "days", _drawn(self))


def measure(
    tape: "Tape | Sequence[Tape]",
    config: CalibrationConfig | None = None,
    rules: Rules | None = None,
    keep: Keep | None = None,
) -> CalibrationResult:
    tapes = open_parts(known_at_end(tapes_given(tape, "the calibration")), None if rules is None else rules.hours)
    config, choice, marks, notes = resolved(tapes, config or CalibrationConfig())
    decays = k_by_reference(tapes, config, marks)
    own = marks[config.reference]
    del marks  # the other references' marks are large, and simulated orders are played next
    calibrator = Calibrator(tapes, config, rules, keep, marks=own)
    fit, measured = calibrator.fit(calibrator.start_us, calibrator.end_us)
    states = spread_states(calibrator)
    by_reference = (*old_book(config.reference, decays), *large_tick(states, config.reference))
    further = short_reach(calibrator) if config.fills else by_reference
    alone = [calibrator.fit_alone(*day) for day in calibrator.days] if len(calibrator.days) >= LEAST else []
    fit = replace(
        fit,
        adverse_moves=moves_between(calibrator, calibrator.start_us, calibrator.end_us),
        warnings=(*notes, *fit.warnings, *further),
        reference_choice=choice,
        points=measured.shown,
        log_rate_half=log_rate_half(fit, alone) if fit.usable else None,
    )
    curves = compare(measured.fitted)
    if curves is not None:
        # the spread is from the book before each aggressive order, which simulated orders do not record
        by_marks = [(state.name, state.points) for state in states] if config.method == "marks" else []
        curve, shape = chosen_curve(curves, by_marks, fit.pivot_delta or 0.0)
        fit = replace(fit, lambda_curve=curve, shape=shape)
    return CalibrationResult(fit, measured, calibrator, states, curves, decays, alone)


@dataclass(frozen=True)
class Permutations:
    """Fits of ladders with permuted distances, and of the same days' marks.

    Attributes:
        count: Usable fits; A (1/s) and k (1/tick) are their means.
    """

    count: int
    A: float
    k: float
    sd_A: float
    sd_k: float
    marks_A: float | None
    marks_k: float | None

    def __str__(self) -> str:
        marks = "not usable" if self.marks_A is None else f"A {self.marks_A:.4g} /s, k {self.marks_k:.4g} /tick"
        return (
            f"{self.count} permutations of the ladder: A {self.A:.4g} /s (sd {self.sd_A:.2g}), k {self.k:.4g} /tick "
            f"(sd {self.sd_k:.2g}), the fit averages them; marks on the same data: {marks}. A ladder has no resting "
            f"orders while it re-quotes after a move of the mid, when fills are most likely, so it counts fewer fills "
            f"than marks, increasingly so with the distance from the touch"
        )


def permutations(calibration: CalibrationResult) -> Permutations | None:
    """None for another method, or with fewer than two fits."""
    config, calibrator = calibration.calibrator.config, calibration.calibrator
    if config.method != "ladder":
        return None
    by_run = calibrator.by_run(calibrator.start_us, calibrator.end_us)
    fits = [calibrator.fit_single(points) for points in by_run.values()]
    pairs = [(fit.A, fit.k) for fit in fits if fit.A is not None and fit.k is not None]
    if len(pairs) < 2:
        return None
    rates, decays = zip(*pairs, strict=True)
    beside = calibrator.fit_single(calibrator.marked(calibrator.start_us, calibrator.end_us))
    return Permutations(
        len(pairs), fmean(rates), fmean(decays), stdev(rates), stdev(decays), marks_A=beside.A, marks_k=beside.k
    )


def calibrate(
    tape: "Tape | Sequence[Tape]",
    config: CalibrationConfig | None = None,
    rules: Rules | None = None,
    *,
    out_root: "str | os.PathLike[str] | None" = None,
) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to one or more days.

    Args:
        tape: A day, a window of one (``tape.between``), or days in chronological order, which are pooled.
        config: Method and options; None is ``marks`` from the reference price that predicts best, ``auto``.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
        out_root: Folder of results whose ledger records that held-out days were opened; needed for such days.

    Raises:
        DataError: If the tape covers no time.
        UsageError: If a day that is held out was opened without an *out_root*.
    """
    tapes = tapes_given(tape, "the calibration")
    if all(one.start_us == one.end_us for one in tapes):
        raise DataError(
            f"the tape of {tapes[0].symbol} covers no time, so nothing can be measured; give a window of it"
        )
    note_fitted(tapes, out_root)
    return measure(tapes, config, rules).fit


def artefact(
    calibration: CalibrationResult,
    permuted: Permutations | None = None,
    times: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """Return the content of ``poisson_fit.json``."""
    calibrator, curves = calibration.calibrator, calibration.curves
    stretches = [(marks.path, *day) for marks, day in zip(calibrator.marks, calibrator.days, strict=True)]
    # the rates are for pages
    curve_keys = ("name", "formula", "parameters", "loglik", "aic", "unseen", "unseen_se")
    beside = {
        "options": options(calibrator.config),
        "measured": _counts(calibrator),
        "timing": times or timing(calibrator.tapes),
        "by_spread": by_spread(calibrator, calibration.states),
        "volatility": volatility(stretches),
        "by_day": _by_day(calibration),
        "shared": calibration.days.to_json(),
        "k_by_reference": calibration.k_by_reference,
        "k_by_max_delta": k_by_max_delta(calibration),
        "alternatives": curves
        and {
            "best": curves.best,
            "sentence": curves.sentence,
            "curves": [{key: getattr(curve, key) for key in curve_keys} for curve in curves.curves],
        },
        "permutations": permuted and asdict(permuted),
    }
    content: dict[str, Any] = finite(calibration.fit.to_json() | beside)
    return content


def options(config: CalibrationConfig) -> dict[str, Any]:
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


def _counts(calibrator: Calibrator) -> dict[str, float]:
    days = [marks.between(*span) for marks, span in zip(calibrator.marks, calibrator.days, strict=True)]
    counts = Counter[str]()
    for day in days:
        counts.update(asdict(day.counts))
    return {**counts, "valid_s": sum(day.valid_s for day in days), "excluded_s": sum(day.excluded_s for day in days)}


def k_by_max_delta(calibration: CalibrationResult) -> list[dict[str, float | None]]:
    """Return k per tick for increasing largest distances, up to the fit's own; empty without a fit."""
    calibrator, fit, rows = calibration.calibrator, calibration.fit, list[dict[str, float | None]]()
    if fit.max_delta_ticks is None:
        return rows
    for far in LARGEST_TICKS:
        if far >= fit.max_delta_ticks:
            break
        if calibrator.config.method == "marks":
            nearer = replace(calibrator.config, max_delta_ticks=far)
            k = decay_of(Calibrator(calibrator.tapes, nearer, marks=list(calibrator.marks)))
        else:
            k = calibrator.fit_points(
                calibration.measured.fitted.where(calibration.measured.fitted.delta_ticks <= far)
            ).k
        rows.append({"max_delta_ticks": far, "k": k})
    return [*rows, {"max_delta_ticks": fit.max_delta_ticks, "k": fit.k}]


def old_book(reference: str, decays: Mapping[str, float | None]) -> tuple[str, ...]:
    shown, own = decays["best"], decays["sweep"]
    if reference == "sweep" or shown is None or own is None or abs(shown / own - 1) <= OTHER_K:
        return ()
    return (
        f"k is {shown:.4g} per tick from the displayed best price, and {own:.4g} by the depth of aggressive orders "
        f"from their first print: the displayed book lags the prints, and price moves during the lag count as distance",
    )


def _by_day(calibration: CalibrationResult) -> list[dict[str, Any]]:
    calibrator = calibration.calibrator
    if len(calibrator.tapes) == 1:
        return []
    fits = [calibrator.fit_points(calibrator.points(*day)) for day in calibrator.days]
    names = ("A", "k", "se_logA", "se_k", "n_fills", "status")
    drawn = _drawn(calibration) or [shrunk_to(None, None)] * len(fits)
    return [
        {"day": tape.days[0], **{name: getattr(fit, name) for name in names}, **shrunk}
        for tape, fit, shrunk in zip(calibrator.tapes, fits, drawn, strict=True)
    ]


def _drawn(calibration: CalibrationResult) -> list[dict[str, Any]]:
    shared = calibration.days.shared()
    return [shrunk_to(shared, Stretch.of(fit)) for fit in calibration.alone]


def short_reach(calibrator: Calibrator) -> tuple[str, ...]:
    reach, far = calibrator.reach(calibrator.start_us, calibrator.end_us), calibrator.config.distances[-1]
    if reach <= 2 * far:
        return ()
    return (
        f"trades reach {reach:,.0f} ticks, and the farthest order rested at {far:g}: give CALIB_DELTAS (--deltas) that "
        f"include the distances to be quoted",
    )


def timing(tapes: "Sequence[Tape]") -> dict[str, float | None]:
    """Share of prints that continue a sweep, and ms from a trade to the depth that shows it, by exchange times."""
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
