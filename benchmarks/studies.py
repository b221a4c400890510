"""Simulation studies of the calibration: one function per study, one call per day.

Each returns, by calibration method, the relative errors of A and k, and whether each interval contains the truth.

Tapes with known truth have a book that moves at irregular instants, with fills or prints drawn from A and k.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import truth
from benchmarks.truth import Arrivals, Ints, Truth
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.points import Points
    from mm.tape.tape import Tape

DELTAS = (1.0, 2.0, 3.0, 5.0, 8.0)
DWELL_MS = 20_000.0
GAP_S = 1.0  # mean of the exponential interval between two messages of the book
Event = tuple[Any, ...]
COLUMNS = ("bias_k", "bias_A", "cover_k", "cover_A", "cover_k_block", "cover_A_block", "fills")
Values = tuple[float, ...]
Day = dict[str, Values]
STEADY, MIXED = Truth(), Truth(mixing=0.5)
FEW = (20, 50, 200)  # expected fills
ABSENT: Values = (math.nan,) * len(COLUMNS)
SAME_TAPE = 20  # number of days of the closed loop that share a book, with different fills
_TABLE = ("delta_ticks", "width_ticks", "exposure_s", "fills")


@dataclass(frozen=True, slots=True)
class Sides:
    """The intensity of the drawn fills.

    Attributes:
        bid: A in 1/s and k in 1/tick of buys.
        ask: A and k of sells.
    """

    bid: tuple[float, float] = (0.3, 0.4)
    ask: tuple[float, float] = (0.15, 0.25)

    def of(self, side: str) -> tuple[float, float]:
        """Return A and k of ``bid`` or ``ask``."""
        return self.bid if side == "bid" else self.ask


SIDES = Sides()


def irregular_tape(rng: np.random.Generator, hours: float = 1.0, arrivals: Arrivals | None = None) -> "Tape":
    """Return a tape whose mid moves by half ticks and ticks at irregular instants.

    Args:
        rng: Random generator of the book.
        hours: Length of the tape.
        arrivals: Aggressive orders; each prints at every price from the best to the farthest that it reaches, if it
            reaches any. None for a tape without prints.
    """
    from mm.instrument import Instrument
    from mm.tape.tape import Tape

    count = rng.poisson(hours * 3600 / GAP_S)
    instants = np.unique(rng.integers(0, round(hours * 3600 * US_PER_S), count))
    bids = 10_000 + np.cumsum(rng.integers(-1, 2, instants.size))
    asks = bids + rng.integers(1, 3, instants.size)
    events = list(_book(instants.tolist(), bids.tolist(), asks.tolist()))
    if arrivals is not None:
        events.extend(_prints(arrivals, instants, bids, asks))
        events.sort(key=lambda event: event[0])
    return Tape.of(Instrument("SIMUSDT", 1_000_000, 100_000), events)


def _book(instants: list[int], bids: list[int], asks: list[int]) -> Iterator[Event]:
    """Yield a snapshot and the messages that move the best prices."""
    displayed: tuple[int, int] | None = None
    for us, bid, ask in zip(instants, bids, asks, strict=True):
        if displayed is None:
            yield us, "snapshot", [(bid, 10)], [(ask, 10)]
        elif displayed != (bid, ask):
            removed = [[(old, 0)] if old != new else [] for old, new in zip(displayed, (bid, ask), strict=True)]
            yield us, "depth", [*removed[0], (bid, 10)], [*removed[1], (ask, 10)]
        displayed = bid, ask


def _prints(arrivals: Arrivals, instants: Ints, bids: Ints, asks: Ints) -> Iterator[Event]:
    """Yield the prints of orders that arrive at a book."""
    for second, reached, depth in zip(*(column.tolist() for column in arrivals.columns), strict=True):
        us = round(second * US_PER_S)
        place = int(np.searchsorted(instants, us, side="right")) - 1
        if place < 0 or us == instants[place]:
            continue
        bid, ask = int(bids[place]), int(asks[place])
        middle, best, direction = (bid + ask) / 2, (bid, ask)[reached], (-1, 1)[reached]
        for ticks in range(best, math.floor(direction * middle + depth) * direction + direction, direction):
            yield us, "trade", direction, ticks, 1


def played(tape: "Tape", truth: Sides, seed: int) -> "Points":
    """Return the exposure and first fills of a ladder of orders with the fill intensity *truth*."""
    from mm.backtest.models import poisson
    from mm.backtest.replay import backtest
    from mm.backtest.rules import Rules
    from mm.calibration.day_orders import DayOrders
    from mm.calibration.exposure import RestingOrders
    from mm.calibration.quotes.calibration_ladder import CalibrationLadder
    from mm.calibration.reference import reference_path, span_of

    bid, ask = ({"A": A, "k": k} for A, k in (truth.bid, truth.ask))
    fills = poisson(bid=bid, ask=ask, seed=seed)
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    quotes = CalibrationLadder(DELTAS, DWELL_MS, seed=seed, start_us=tape.start_us)
    orders = RestingOrders.of(backtest(tape, quotes, fills, rules).journal)
    path, span = reference_path(tape, "mid"), span_of(tape)
    return DayOrders([orders], path, span).between(*span).points(path.per_tick)


def steady(seed: int) -> Day:
    """Draw a day with a steady rate, and calibrate it with every method."""
    return _day_of_tables(STEADY, seed)


def mixed(seed: int) -> Day:
    """Draw a day with a rate that is gamma distributed over its blocks, and calibrate it with every method."""
    return _day_of_tables(MIXED, seed)


def few(seed: int) -> Day:
    """Draw tables of few fills, and return the point estimates, which have no intervals."""
    from mm.calibration.estimators import Estimate, firth, log_linear, maximum_likelihood
    from mm.calibration.likelihood import Table

    rng = np.random.default_rng(seed)
    fitters = {"MLE": maximum_likelihood, "Firth": firth, "log-linear": log_linear}
    day = {}
    for layout, names in (("marks", ("MLE", "Firth")), ("ladder", ("MLE", "Firth", "log-linear"))):
        for n_fills in FEW:
            columns = truth.few(STEADY, layout, n_fills, rng)
            table = Table.of(*(np.asarray(columns[name], np.float64) for name in _TABLE))
            for name in names:
                estimated = fitters[name](table)
                biases = ABSENT[:2]
                if isinstance(estimated, Estimate):
                    biases = estimated.k / STEADY.k - 1, estimated.A / STEADY.A - 1
                day[f"{layout}, {n_fills} fills, {name}"] = (*biases, *ABSENT[2:6], table.total)
    return day


def tape(seed: int) -> Day:
    """Draw a steady day of prints in a moving book, and calibrate its tape like a user."""
    return _day_of_prints(STEADY, seed, ("marks", "ladder"))


def bursts(seed: int) -> Day:
    """Draw a day of prints with a rate that is gamma distributed over its blocks, and calibrate its tape."""
    return _day_of_prints(MIXED, seed, ("marks", "ladder"))


def runs(seed: int) -> Day:
    """Draw a steady day of prints, and calibrate it with one run per distance."""
    return _day_of_prints(STEADY, seed, ("fixed",))


def closed_loop(seed: int) -> Day:
    """Draw fills with the engine's Poisson model, and recover the parameters of each side."""
    from mm.calibration.fit_points import fit_poisson

    book = irregular_tape(np.random.default_rng(seed // SAME_TAPE))
    points = played(book, SIDES, seed)
    return {
        name: _errors_and_coverage(fit_poisson(points.where(points.side == side)), *SIDES.of(name))
        for name, side in (("bid", 1), ("ask", -1))
    }


def _day_of_prints(true: Truth, seed: int, methods: tuple[str, ...]) -> Day:
    """Draw one day as a tape, and calibrate it."""
    from mm.calibration.calibrate import calibrate
    from mm.calibration.config import CalibrationConfig

    rng = np.random.default_rng(seed)
    day = irregular_tape(rng, true.hours, truth.draw(true, rng))
    return {
        method: _errors_and_coverage(
            calibrate(day, CalibrationConfig(reference="mid", method=method, seed=seed, permutations=1)), true.A, true.k
        )
        for method in methods
    }


def _day_of_tables(true: Truth, seed: int) -> Day:
    """Draw one day, and fit it with every method and estimator."""
    from mm.calibration.fit_points import fit_poisson

    rng = np.random.default_rng(seed)
    day = truth.draw(true, rng)
    tables: dict[str, tuple[Mapping[str, Any], str]] = {
        "marks": (truth.marks(day), "poisson_mle"),
        "marks, Firth": (truth.marks(day), "poisson_firth"),
        "ladder, first fill": (truth.ladder(day, rng, first_fill=True), "poisson_mle"),
        "ladder, all fills": (truth.ladder(day, rng, first_fill=False), "poisson_mle"),
        "fixed": (truth.nested(day), "poisson_mle"),
        "fixed, log-linear": (truth.nested(day), "log_linear"),
    }
    return {
        name: _errors_and_coverage(fit_poisson(columns, fit_method=method), true.A, true.k)
        for name, (columns, method) in tables.items()
    }


def _errors_and_coverage(fit: Any, A: float, k: float) -> Values:
    """Return the relative errors of a fit, the coverage of its intervals, and its number of fills."""
    if not fit.usable:
        return ABSENT
    intervals = ((fit.ci95_k, k), (fit.ci95_A, A), (fit.ci95_k_block, k), (fit.ci95_A_block, A))
    contained = [math.nan if ends is None else float(ends[0] <= value <= ends[1]) for ends, value in intervals]
    return (fit.k / k - 1, fit.A / A - 1, *contained, fit.n_fills)


@dataclass(frozen=True, slots=True)
class Study:
    """A study, and its number of repetitions.

    Attributes:
        title: Description of the simulated days.
        one: Function that draws one day from its seed.
        quick: Days of the short form.
        full: Days of the full form.
    """

    title: str
    one: Callable[[int], Day]
    quick: int
    full: int


STUDIES = {
    "steady": Study("days of 2 h, A 0.05 /s a side, k 0.3 /tick", steady, 200, 2_000),
    "mixed": Study("the same, rate gamma distributed with CV 0.5 from one five minutes to the next", mixed, 200, 2_000),
    "few": Study("tables of few fills, k 0.3 /tick", few, 600, 20_000),
    "tape": Study("the steady days as prints in a moving book, calibrated from the tape", tape, 16, 600),
    "bursts": Study("the mixed days as prints in a moving book, calibrated from the tape", bursts, 16, 600),
    "runs": Study("the steady days again, one run of the engine for each distance", runs, 6, 200),
    "loop": Study(
        "hours of a ladder filled by the engine's Poisson model, bid A 0.3 k 0.4, ask A 0.15 k 0.25",
        closed_loop,
        16,
        800,
    ),
}
