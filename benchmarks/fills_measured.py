"""``python -m benchmarks.fills_measured CAPTURES [unseen|following]``: predictions of fits under each fill model.

CAPTURES is the folder of recorded captures (``../shared/data``). Each fill model and quantity is calibrated under
itself (``CALIB_FILLS``, ``CALIB_ORDER_QTY``) with the default distances. Orders at fixed distances, mostly others, are
backtested with that fit, and with a fit by marks. A row is a distance at which a backtest had at least 100 fills. A
line has the predicted over observed fills, over all rows of a model and quantity: the minimum and maximum ratio, the
number of rows outside .9 to 1.1, and the number that failed: those whose complete 95 % interval is outside, so that
clustering does not explain them. With ``unseen`` the fits are of the first half of a day and the orders are played in
the second: a level, all predicted over all observed fills, measures the change of the whole flow in between, and ratios
are relative to it. With ``following`` the quotes are those of models that follow the inventory or the volatility, on
whole days and on simulated ones of known flow, under the queue models. ``noise`` is how many rows would be outside .9
to 1.1 if every prediction were right on average: blocks of five minutes or less, 60 at least, are drawn with
replacement (Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6), and the ratio of a draw is taken
over that of all blocks.
"""

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import mm
from benchmarks.curves import CAPTURES, MIN_FILLS, tape_of
from benchmarks.yardstick import MARKET as YARDSTICK
from mm.backtest.metrics.market_paths import MarketPaths
from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import OrderMarkets, RestingStates
from mm.backtest.models import FILL_MODELS
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import CalibrationConfig, FillsMeasured
from mm.calibration.intensities import measured_intensity
from mm.calibration.sweeps import HitRule
from mm.instrument import E8, short_text
from mm.sim.flow.scenario import Hawkes, PoissonMarket

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.calibration.fit_result import PoissonFit
    from mm.sim.flow.market import Scenario
    from mm.tape.tape import Tape

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CROSSED = ("price_cross", "queue_prob_power")  # models of the hybrid
MODELS = ("queue_risk_averse", "queue_prob_log", "queue_prob_power", "trade_cross", "hybrid", "poisson")
CLIPS = (1, 10, 100)
HELD = 10**6  # initial and target inventory in the base asset: an account without it can only buy at first
FOLLOWING = ("avellaneda_stoikov", "glft", "gueant", "symmetric")
QUEUES = ("queue_risk_averse", "queue_prob_power")
FLOWS: "dict[str, tuple[Scenario, int]]" = {  # flow, and clip in 1e-8
    "Poisson flow": (PoissonMarket(A_per_s=1.2, k_per_tick=0.4), E8),
    "Hawkes flow": (Hawkes(mu_per_s=0.32, branching_ratio=0.6, beta_per_s=2.0, k_per_tick=0.4), E8),
    "the yardstick market": (YARDSTICK, E8 // 1_000),
}
SEEDS = (3, 4, 5)
BLOCK_US, BLOCKS, DRAWS = 300_000_000, 60, 1_000
QUOTED = (0.5, 1.0, 1.5, 2.0, 2.5, 4.0, 6.0, 10.0, 20.0, 50.0)  # ticks from the mid
CLOSE = 0.9, 1.1
JUDGED = f"{'outside':>9}{'failed':>8}"
HEAD = f"{'fill model':<19}{'clips':>6}{'rows':>6}{'fills':>9}{'default δ':>18}{JUDGED}{'marks':>18}{JUDGED}"
FOLLOWING_HEAD = f"{'quote model':<20}{'rows':>5}{'fills':>9}{'predicted/seen':>18}{JUDGED}{'noise':>8}{'all':>7}"


class Compared(NamedTuple):
    """A row of a backtest: its fills, the ratio predicted over observed, and the 95 % interval of the ratio."""

    fills: int
    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, row: "Mapping[str, Any]") -> "Compared":
        """Convert a row of ``fills_by_distance``, which has observed over predicted; a missing interval has width 0."""
        ends = (row[f"ratio_{end}"] for end in ("high", "low"))
        ratio = row["predicted"] / row["fills"]
        low, high = (ratio if end is None else 1 / end if end else math.inf for end in ends)
        return cls(row["fills"], ratio, low, high)

    def outside(self, level: float) -> bool:
        """Return whether the ratio over a *level* is outside `CLOSE`."""
        return not CLOSE[0] < self.ratio / level < CLOSE[1]

    def failed(self, level: float) -> bool:
        """Return whether the complete interval of the ratio over a *level* is outside `CLOSE`."""
        return self.high / level <= CLOSE[0] or self.low / level >= CLOSE[1]


class Market(NamedTuple):
    """A day, and a clip in 1e-8: the exchange's minimum quantity, or a quantity that is small in this market."""

    name: str
    tape: "Tape"
    clip_e8: int
    later: "Tape | None" = None  # tape of the backtests; None for that of the fits

    def halves(self) -> "Market":
        """Return the market with fits on the first half of its day, and backtests on the second."""
        middle_us = (self.tape.start_us + self.tape.end_us) // 2
        first, second = self.tape.between(self.tape.start_us, middle_us), self.tape.between(middle_us, self.tape.end_us)
        return self._replace(name=f"{self.name}, second half by fits of the first", tape=first, later=second)


def markets(captures: Path) -> Iterator[Market]:
    """Yield a day of a large tick, one of a small tick, and a simulated one."""
    for capture, clip_e8 in ((CAPTURES[1], 4 * E8), (CAPTURES[2], E8 // 10_000)):
        yield Market(f"{capture.symbol} {capture.day}", tape_of(captures, capture), clip_e8)
    flow, clip_e8 = FLOWS["Poisson flow"]
    yield Market("simulated hour", simulated(flow, 1), clip_e8)


def followed(captures: Path) -> Iterator[list[Market]]:
    """Yield recorded days, and simulated ones of one flow together."""
    for capture, clip_e8 in zip(CAPTURES[:4], (4 * E8, 4 * E8, E8 // 10_000, E8 // 100), strict=True):
        yield [Market(f"{capture.symbol} {capture.day}", tape_of(captures, capture), clip_e8)]
    for name, (flow, clip_e8) in FLOWS.items():
        of = f"two hours of {name}, {len(SEEDS)} seeds"
        yield [Market(of, simulated(flow, 2, seed), clip_e8) for seed in SEEDS]


def simulated(market: "Scenario", hours: float, seed: int = SEEDS[0]) -> "Tape":
    """Return a simulated day."""
    from mm.backtest.io import load_day
    from mm.dayfolder.layout import DayFolder
    from mm.sim.flow.day import make_day
    from mm.sim.flow.session import Session

    with tempfile.TemporaryDirectory() as root:
        folder = DayFolder(Path(root), "SIMUSDT", "20260105")
        make_day(folder, market, Session("SIMUSDT", "20260105", hours, seed))
        return load_day(folder)


def filled_by(name: str, marks: "PoissonFit") -> FillsMeasured:
    """Return a fill model by its name; a Poisson model has the A and k of the marks."""
    if name == "poisson":
        rates = dict(zip(("A", "k"), marks.parameters(), strict=True))
        return FillsMeasured(name, rates, lambda: FILL_MODELS[name](**rates))
    if name == "hybrid":
        params = {"models": [[one, {}] for one in CROSSED]}
        return FillsMeasured(name, params, lambda: FILL_MODELS[name]([FILL_MODELS[one]() for one in CROSSED]))
    return FillsMeasured(name, {}, FILL_MODELS[name])


def fitted(tape: "Tape", fills: FillsMeasured, qty_e8: int) -> "PoissonFit":
    """Return the fit of a day under a fill model at the default distances."""
    return measure(tape, CalibrationConfig(method="fixed", rule=HitRule(order_e8=qty_e8), fills=fills)).fit


def played(tape: "Tape", fills: FillsMeasured, qty_e8: int, quoted: float | str, fit: "PoissonFit") -> "Result":
    """Return the backtest of orders at one distance, or of a quote model."""
    terms: dict[str, Any] = {"initial_cash": 10**9, "initial_inventory": HELD, "target_inventory": HELD}
    quotes: dict[str, Any] = {"quote_qty": short_text(qty_e8)}
    if not isinstance(quoted, str):
        quotes["quote_params_json"] = {"delta_ticks": quoted}
    model = quoted if isinstance(quoted, str) else "fixed_spread"
    return mm.backtest(tape, model, fills.name, fit=fit, sensitivity=False, **quotes, **terms)


def ratios(result: "Result") -> list[Compared]:
    """Return the rows of a backtest with enough fills to be evaluated."""
    return [Compared.of(row) for row in result.summary["fills_by_distance"] if row["fills"] >= MIN_FILLS]


def by_block(result: "Result", fit: "PoissonFit") -> "tuple[Floats, Floats]":
    """Return the fills of the rows of a backtest by block, and the predicted ones, float64[blocks, rows]."""
    intensity, journal, tape = measured_intensity(fit), result.journal, result.tapes[0]
    assert intensity is not None
    assert intensity.states is not None
    states, last_us = intensity.states, journal.counters["last_us"]
    market, edges = MarketPaths.of_days([tape]), [row["from_ticks"] for row in result.summary["fills_by_distance"]]
    orders = RestingStates(lives(journal), journal.mids, journal.fills, OrderMarkets(states.recent_us, market))
    block_us = min(BLOCK_US, (tape.end_us - tape.start_us) // BLOCKS)
    waited = orders.stretches((0, last_us), np.arange(tape.start_us + block_us, last_us, block_us))
    filled_us, filled = orders.filled((0, last_us))
    blocks = (last_us - tape.start_us) // block_us + 1

    def summed(block: Any, half_ticks: Any, weights: Any) -> "Floats":
        row = np.searchsorted(edges[1:], half_ticks / 2, side="right")
        cell = block * len(edges) + row
        return np.bincount(cell, weights, blocks * len(edges)).reshape(blocks, len(edges)).astype(np.float64)

    observed = summed((filled_us - tape.start_us) // block_us, filled[:, 1], np.ones(len(filled)))
    return observed, summed(waited.period, waited.states[waited.state, 1], states.predicted(waited))


def by_noise(observed: "Floats", predicted: "Floats") -> float:
    """Return how many evaluated rows are expected outside `CLOSE` if all predictions are right on average."""
    judged = observed.sum(axis=0) >= MIN_FILLS
    observed, predicted = observed[:, judged], predicted[:, judged]
    drawn = np.random.default_rng(0).multinomial(len(observed), np.full(len(observed), 1 / len(observed)), DRAWS)
    level = predicted.sum(axis=0) / observed.sum(axis=0)
    ratio = drawn @ predicted / np.maximum(drawn @ observed, 0.5) / level
    return float(((ratio < CLOSE[0]) | (ratio > CLOSE[1])).mean(axis=0).sum())


def following(markets: list[Market]) -> Iterator[str]:
    """Yield the table of markets for quotes that follow the inventory or volatility, over queue models and clips."""
    yield FOLLOWING_HEAD
    found: dict[str, list[Compared]] = {quotes: [] for quotes in FOLLOWING}
    noise = dict.fromkeys(FOLLOWING, 0.0)
    for market in markets:
        for name in QUEUES:
            for clips in CLIPS:
                fills = FillsMeasured(name, {}, FILL_MODELS[name])
                fit = fitted(market.tape, fills, clips * market.clip_e8)
                for quotes in FOLLOWING:
                    result = played(market.tape, fills, clips * market.clip_e8, quotes, fit)
                    rows = ratios(result)
                    found[quotes] += rows
                    noise[quotes] += by_noise(*by_block(result, fit)) if rows else 0.0
    for quotes, rows in found.items():
        if rows:
            observed, shown = sum(row.fills for row in rows), _range(rows, levelled=False)
            yield f"{quotes:<20}{len(rows):>5}{observed:>9,}{shown}{noise[quotes]:>8.1f}{_level(rows):>7.3f}"


def lines(market: Market) -> Iterator[str]:
    """Yield the table of a market."""
    marks, later = mm.calibrate(market.tape), market.later or market.tape
    yield HEAD if market.later is None else HEAD.replace("failed", "failed   level")
    for name in MODELS:
        fills = filled_by(name, marks)
        for clips in CLIPS:
            qty_e8 = clips * market.clip_e8
            own = fitted(market.tape, fills, qty_e8)
            other = replace(marks, calib_fills=fills.name, calib_fill_params=fills.params)  # the backtest takes both
            found = [
                [row for delta in QUOTED for row in ratios(played(later, fills, qty_e8, delta, fit))]
                for fit in (own, other)
            ]
            if found[0]:
                count = f"{len(found[0]):>6}{sum(row.fills for row in found[0]):>9,}"
                shown = [_range(rows, levelled=market.later is not None) for rows in found]
                yield f"{name:<19}{clips:>6}{count}" + "".join(shown)


def _level(rows: list[Compared]) -> float:
    return sum(row.fills * row.ratio for row in rows) / sum(row.fills for row in rows)


def _range(rows: list[Compared], *, levelled: bool) -> str:
    level = _level(rows) if levelled else 1.0
    found = [row.ratio / level for row in rows]
    outside, failed = (sum(predicate(row, level) for row in rows) for predicate in (Compared.outside, Compared.failed))
    shown = f"{f'{min(found):.3f} to {max(found):.3f}':>18}{outside:>9}{failed:>8}"
    return f"{shown}{level:>8.3f}" if levelled else shown


def main(captures: str, which: str = "") -> None:
    """Print the tables of the markets."""
    if which not in ("", "unseen", "following"):
        sys.exit(f"{which!r} is not known; give unseen, following, or nothing")
    root = Path(captures)
    if which == "following":
        tables = ((many[0].name, following(many)) for many in followed(root))
    else:
        each = (market.halves() if which == "unseen" else market for market in markets(root))
        tables = ((market.name, lines(market)) for market in each)
    for name, table in tables:
        print(f"{name}: predicted over seen fills, rows of {MIN_FILLS} fills or more")
        for line in table:
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
