"""The diagnostics of a fit on flow with known truth: how often each is wrong, and how often it detects a fault.

Every function draws one day from its seed and returns, by row of `ROWS`, the diagnostic's results for the true model
and for a wrong model; an empty list if a day has no such case.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import truth
from benchmarks.truth import Arrivals, Floats, Truth
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.points import Points

LEVEL = 0.01  # a lower p-value is an alarm
TRAIN, AHEAD = 24, 3  # blocks of 300 s: two hours, and the quarter of an hour after them
LONG_H = 14.0
RESTED, MID = (1, 2, 5, 8), 1_000  # ticks
BRANCHING = 0.7
CAPTURE = "binance-spot-nexousdt-20240723-24"
FILES = ("nexousdt_20240723.dat.gz", "nexousdt_20240724.dat.gz")
NEXO = "NEXOUSDT 20240724, two hours before each quarter of an hour"
Outcomes = tuple[list[float], list[float]]
Day = dict[str, Outcomes]


@dataclass(frozen=True, slots=True)
class Row:
    """One diagnostic on one kind of data.

    Attributes:
        diagnostic: Its key in ``poisson_fit.json``, or its name.
        on: Its input; after a semicolon, the fault whose detection is the power.
        nominal: The nominal value of the diagnostic, as text.
        low: Minimum accepted measured value.
        high: Maximum accepted measured value.
        power: Minimum accepted share of detected faults; NaN without a fault to detect.
    """

    diagnostic: str
    on: str
    nominal: str
    low: float
    high: float
    power: float = math.nan


def _goodness_rows() -> dict[str, Row]:
    rows = {}
    for k, fills in SIZES:
        power = 0.7 if fills == MANY else math.nan
        fault = "; second row +30 %" if fills == MANY else ""
        rows[f"cells {k} {fills}"] = Row(
            "goodness_p", f"51 cells, k {k}, {fills:,} fills{fault}", "1 %", 0.003, 0.025, power
        )
    on = f"6 resting orders, k 0.3, {MANY:,} fills; second row +30 %"
    return {**rows, "orders": Row("goodness_p", on, "1 %", 0.003, 0.025, 0.7)}


MANY = 2_000
SIZES = ((0.3, MANY), (0.7, MANY), (1.0, MANY), (1.6, MANY), (0.3, 400), (0.6, 60))
_HAWKES = f"Hawkes, branching {BRANCHING}, 2 h"
_POISSON = "Poisson, 2 h"
_DAY = f"Hawkes, branching {BRANCHING}, 14 h"
ROWS: dict[str, Row] = {
    **_goodness_rows(),
    "side poisson": Row("side_lr_p", _POISSON, "1 %", 0.0, 0.02),
    "side hawkes": Row("side_lr_p", f"{_HAWKES}; A .05 and .10, 6 h", "1 %", 0.0, 0.02, 0.9),
    "bend poisson": Row("curvature_p", _POISSON, "1 %", 0.0, 0.02),
    "bend hawkes": Row("curvature_p", f"{_HAWKES}; half k .15, half .6, 6 h", "1 %", 0.0, 0.02, 0.7),
    "spread poisson": Row("dispersion", f"{_POISSON}; warned of {_HAWKES}", "1", 0.9, 1.1, 0.95),
    "spread hawkes": Row("dispersion", _HAWKES, "11.1 in long blocks", 7.0, 11.2),
    "A poisson": Row("ci95_A_block", _POISSON, "95 %", 0.925, 0.965),
    "k poisson": Row("ci95_k_block", _POISSON, "95 %", 0.925, 0.965),
    "A hawkes": Row("ci95_A_block", _HAWKES, "95 %", 0.925, 0.965),
    "k hawkes": Row("ci95_k_block", _HAWKES, "95 %", 0.925, 0.965),
    "next poisson": Row("predictive_ci95", _POISSON, "95 %", 0.9, 1.0),
    "next hawkes": Row("predictive_ci95", _HAWKES, "95 %", 0.9, 0.97),
    "next nexo": Row("predictive_ci95", NEXO, "95 %", 0.9, 0.97),
    "ratio poisson": Row("fills_ratio", "Poisson, 14 h; two thirds predicted", "95 %", 0.94, 0.985, 0.95),
    "ratio hawkes": Row("fills_ratio", f"{_DAY}; two thirds predicted", "95 %", 0.925, 0.965, 0.95),
    "distances hawkes": Row("fills_by_distance", _DAY, "95 %", 0.93, 0.975),
    "hours hawkes": Row("fills_by_hour", _DAY, "95 %", 0.93, 0.975),
    "sharpe": Row("sharpe_ci95", "14 h of small noise, 2 % large gains, 1 % large losses", "95 %", 0.93, 0.98),
}


def tables(seed: int) -> Day:
    """Draw the tables of one day from exponentials, and from exponentials whose second row is 30 % too high."""
    rng = np.random.default_rng(seed)
    day: Day = {}
    for k, fills in SIZES:
        day[f"cells {k} {fills}"] = _alarms(Truth(k=k), "marks", fills, rng)
    day["orders"] = _alarms(Truth(), "ladder", MANY, rng)
    return day


def _alarms(of: Truth, layout: str, fills: int, rng: np.random.Generator) -> Outcomes:
    """Return whether the fit rejects a true table, and a wrong one if the table is large enough."""
    columns = truth.few(of, layout, fills, rng)
    size = _alarm(columns)
    if fills < MANY:
        return size, []
    delta, width = columns["delta_ticks"], columns["width_ticks"]
    mean = columns["exposure_s"] * of.A * (np.exp(-of.k * delta) - np.exp(-of.k * (delta + width)))
    mean[1] *= 1.3
    return size, _alarm({**columns, "fills": rng.poisson(mean)})


def _alarm(columns: Mapping[str, Floats]) -> list[float]:
    from mm.calibration.fit_points import fit_poisson

    return _below(fit_poisson(columns).goodness_p)


def flows(seed: int) -> Day:
    """Draw days of Poisson and of Hawkes flow, and fit the cells of both; faults in days of six hours."""
    rng = np.random.default_rng(seed)
    quiet, _ = _two_hours(rng, "poisson", 0.0)
    busy, clustered = _two_hours(rng, "hawkes", BRANCHING)
    day = quiet | busy
    apart = _fit(hawkes(rng, 6, BRANCHING, (0.05, 0.1)))
    flow = hawkes(rng, 6, BRANCHING)
    depth = rng.exponential(1, flow.depth.size) / np.where(rng.random(flow.depth.size) < 0.5, 0.15, 0.6)
    bent = _fit(replace(flow, depth=depth))
    for row, found in (
        ("side hawkes", _below(apart.side_lr_p)),
        ("bend hawkes", _below(bent.curvature_p)),
        ("spread poisson", [float(any("bursts" in warning for warning in clustered.warnings))]),
    ):
        day[row] = day[row][0], found
    return day


def _two_hours(rng: np.random.Generator, name: str, branching: float) -> tuple[Day, "PoissonFit"]:
    """Return the results of a two-hour fit, in sample and on the following quarter of an hour, and the fit."""
    from mm.calibration.intervals import predictive_ci95
    from mm.calibration.points import as_points

    columns = truth.marks(hawkes(rng, (TRAIN + AHEAD) / 12, branching))
    points = as_points(columns)
    train, fit = points.where(points.block < TRAIN), _fit(points.where(points.block < TRAIN))
    later_fills = float(points.fills[points.block >= TRAIN].sum())
    return {
        f"side {name}": (_below(fit.side_lr_p), []),
        f"bend {name}": (_below(fit.curvature_p), []),
        f"spread {name}": ([] if fit.dispersion is None else [fit.dispersion], []),
        f"A {name}": (_contains(fit.ci95_A_block, Truth().A), []),
        f"k {name}": (_contains(fit.ci95_k_block, Truth().k), []),
        f"next {name}": (_contains(predictive_ci95(train, AHEAD * truth.BLOCK_S), later_fills), []),
    }, fit


def _fit(drawn: "Arrivals | Points") -> "PoissonFit":
    from mm.calibration.fit_points import fit_poisson

    return fit_poisson(truth.marks(drawn) if isinstance(drawn, Arrivals) else drawn)


def _below(p: float | None) -> list[float]:
    return [] if p is None else [float(p < LEVEL)]


def _contains(ends: Sequence[float | None] | None, value: float) -> list[float]:
    """Return whether an interval, open at an end that is None, contains a value; nothing without an interval."""
    if ends is None:
        return []
    low, high = ends
    return [float((low is None or low <= value) and (high is None or value <= high))]


def hawkes(
    rng: np.random.Generator, hours: float, branching: float, rates: tuple[float, float] = (0.05, 0.05)
) -> Arrivals:
    """Draw two self-exciting sides with known mean rates; each order excites *branching* others, 5 s later on average.

    Args:
        rng: Random generator of the day.
        hours: Its length, h.
        branching: 0 is a Poisson process.
        rates: Orders per second that reach distance 0, by side.
    """
    end, parts = round(hours * 3600), []
    for side, rate in enumerate(rates):
        generation = rng.uniform(-100, end, rng.poisson(rate * (1 - branching) * (end + 100)))
        generations = [generation]
        while branching and generation.size:
            generation = np.repeat(generation, rng.poisson(branching, generation.size))
            generation = generation + rng.exponential(5, generation.size)
            generation = generation[generation < end]
            generations.append(generation)
        times = np.concatenate(generations)
        times = times[times >= 0]
        parts.append((times, np.full(times.size, side)))
    second, sides = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Arrivals(end // truth.BLOCK_S, second, sides, rng.exponential(1 / Truth().k, second.size))


def filled(seed: int) -> Day:
    """Draw days of Poisson and of Hawkes flow that fill resting orders, and predict the fills by the true A and k."""
    rng = np.random.default_rng(seed)
    quiet, busy = hawkes(rng, LONG_H, 0.0), hawkes(rng, LONG_H, BRANCHING)
    right, wrong = [[_rates(flow, level)["fills_ratio"] for flow in (quiet, busy)] for level in (1.0, 1 / 1.5)]
    day = {
        name: (
            _contains((good["low"], good["high"]), 1.0),
            [1 - one for one in _contains((bad["low"], bad["high"]), 1.0)],
        )
        for name, good, bad in zip(("ratio poisson", "ratio hawkes"), right, wrong, strict=True)
    }
    rates = _rates(busy, 1.0)
    for name in ("distances", "hours"):
        rows = rates["fills_by_hour" if name == "hours" else "fills_by_distance"]
        contained = [one for row in rows for one in _contains((row["ratio_low"], row["ratio_high"]), 1.0)]
        day[f"{name} hawkes"] = ([float(np.mean(contained))], [])  # rows of one day share its bursts
    return day


def _rates(flow: Arrivals, level: float) -> dict[str, Any]:
    """Return the summary's rates for orders that rest for a day at `RESTED` on both sides of a constant mid.

    Every arrival that reaches an order fills one lot of it; the prediction is *level* times the actual rate.
    """
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.journal import Fills, Journal, Lives, Mids, Orders, State, Stretches
    from mm.backtest.metrics.order_lives import fill_rates

    places = [(side, place) for side in (0, 1) for place in RESTED]
    end_us, prices = flow.blocks * truth.BLOCK_S * US_PER_S, [MID - (1 - 2 * side) * place for side, place in places]
    signs, ticks = np.array([1 - 2 * side for side, _ in places]), np.array(prices)
    none, rows = np.zeros_like(ticks), []
    for number, (side, place) in enumerate(places):
        at = flow.second[(flow.side == side) & (flow.depth >= place)]
        fills = Fills.empty(len(at))
        fills.us, fills.order_id, fills.side = at * US_PER_S, number + 1, 1 - 2 * side
        fills.ticks, fills.lots, fills.mid2 = prices[number], 1, 2 * MID
        rows.append(fills)
    filled = Fills(np.concatenate(rows))
    filled = filled[np.argsort(filled.us, kind="stable")]
    mids, spans = Mids([[0, 2 * MID]]), Stretches([[0, end_us]])
    journal = Journal(Orders(), filled, State(), mids, counters={"last_us": end_us}, spans=spans)
    found = Lives(1, end_us, none, none, signs, ticks, none + 1, none - 1, none != 0)
    return fill_rates(journal, found, Intensity.constant(level * Truth().A, Truth().k))[0]


def lumpy(seed: int) -> Day:
    """Draw the gains of 840 minutes, nearly all of them noise, and compare their Sharpe ratio with its interval."""
    from mm.backtest.metrics.risk import sharpe_ci95

    rng, minutes = np.random.default_rng(seed), 840
    noise, gains, losses = rng.normal(0, 0.1, minutes), rng.exponential(2, minutes), rng.exponential(3, minutes)
    changes = noise + gains * (rng.random(minutes) < 0.02) - losses * (rng.random(minutes) < 0.01)
    mean, square = 0.02 * 2 - 0.01 * 3, 0.01 + 0.02 * 8 + 0.01 * 18  # an exponential's mean square is twice its mean's
    per_year = 365 * 24 * 60
    true = mean / math.sqrt(square - mean**2) * math.sqrt(per_year)
    return {"sharpe": (_contains(sharpe_ci95(changes, per_year, seed), true), [])}


def rolling(data: Path) -> Day:
    """Return, for the recorded day under *data*, whether the fills after each window were in its interval.

    The windows start every five minutes; empty without the capture.
    """
    from mm.calibration.calibrator import Calibrator
    from mm.calibration.config import CalibrationConfig
    from mm.calibration.intervals import predictive_ci95
    from mm.market_data.import_capture import ImportOptions, import_captures
    from mm.tape.load import load_day

    captures = [data / CAPTURE / name for name in FILES]
    if not all(path.is_file() for path in captures):
        return {}
    with TemporaryDirectory() as root:
        options = ImportOptions(tick_size="0.001", qty_step="0.01", min_notional="5")
        import_captures(captures, "NEXOUSDT", Path(root), run_id="bench", options=options)
        calibrator = Calibrator(
            load_day(Path(root) / "NEXOUSDT" / "20240724"), CalibrationConfig(reference="mid", method="marks"), None
        )
    block_us = truth.BLOCK_S * US_PER_S
    contained: list[float] = []
    for at_us in range(calibrator.start_us, calibrator.end_us - (TRAIN + AHEAD) * block_us, block_us):
        now_us = at_us + TRAIN * block_us
        after = calibrator.points(now_us, now_us + AHEAD * block_us).fills.sum()
        contained += _contains(predictive_ci95(calibrator.points(at_us, now_us), AHEAD * truth.BLOCK_S), float(after))
    # Windows start five minutes apart, so their following quarters of an hour overlap: one value per three windows.
    whole = len(contained) - len(contained) % AHEAD
    return {"next nexo": (np.reshape(contained[:whole], (-1, AHEAD)).mean(axis=1).tolist(), [])}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A study for some rows, and its number of repetitions.

    Attributes:
        one: Function that draws one day from its seed.
        quick: Days of the short form.
        full: Days of the full form.
    """

    one: Callable[[int], Day]
    quick: int
    full: int


DRAWN = {
    "tables": Drawn(tables, 150, 3_000),
    "flows": Drawn(flows, 100, 4_000),
    "filled": Drawn(filled, 60, 2_000),
    "lumpy": Drawn(lumpy, 60, 2_000),
}
