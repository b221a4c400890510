"""``python -m benchmarks.fills_measured CAPTURES [unseen|following]``: predictions of fits under each fill model.

CAPTURES is the folder of recorded captures (``../shared/data``). Each fill model and quantity is calibrated under
itself (``CALIB_FILLS``, ``CALIB_ORDER_QTY``) with the default distances. Orders at fixed distances, mostly others, are
backtested with that fit, and with a fit by marks. A row is a distance at which a backtest had at least 100 fills. A
line has the predicted over observed fills, over all rows of a model and quantity: the minimum and maximum ratio, the
number of rows outside .9 to 1.1, and the number that failed: those whose complete 95 % interval is outside, so that
clustering does not explain them. With ``unseen`` the fits are of the first half of a day and the orders are played in
the second: a level, all predicted over all observed fills, measures the change of the whole flow in between, and ratios
are relative to it. With ``following`` the quotes are those of models that follow the inventory or the volatility, on
the whole day.
"""

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mm
from benchmarks.curves import CAPTURES, LEAST_FILLS, tape_of
from mm.backtest.models import FILL_MODELS
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import CalibrationConfig, FillsMeasured
from mm.calibration.sweeps import HitRule
from mm.instrument import E8, short_text

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.tape.tape import Tape

CROSSED = ("price_cross", "queue_prob_power")  # of the hybrid
MODELS = ("queue_risk_averse", "queue_prob_log", "queue_prob_power", "trade_cross", "hybrid", "poisson")
CLIPS = (1, 10, 100)
FOLLOWING = ("avellaneda_stoikov", "glft", "symmetric")
QUOTED = (0.5, 1.0, 1.5, 2.0, 2.5, 4.0, 6.0, 10.0, 20.0, 50.0)  # ticks from the mid
CLOSE = 0.9, 1.1
JUDGED = f"{'outside':>9}{'failed':>8}"
HEAD = f"{'fill model':<19}{'clips':>6}{'rows':>6}{'fills':>9}{'default δ':>18}{JUDGED}{'marks':>18}{JUDGED}"
FOLLOWING_HEAD = (
    f"{'fill model':<19}{'clips':>6}  {'quote model':<19}{'rows':>5}{'fills':>9}{'predicted/seen':>18}"
    f"{JUDGED}{'all':>7}"
)


class Compared(NamedTuple):
    """A row of a backtest: its fills, predicted over observed, and the 95 % interval of that."""

    fills: int
    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, row: "Mapping[str, Any]") -> "Compared":
        """Return a row of ``fills_by_distance``, which has observed over predicted; without an interval it is exact."""
        ends = (row[f"ratio_{end}"] for end in ("high", "low"))
        ratio = row["predicted"] / row["fills"]
        low, high = (ratio if end is None else 1 / end if end else math.inf for end in ends)
        return cls(row["fills"], ratio, low, high)

    def outside(self, level: float) -> bool:
        """Return whether the ratio over a *level* is outside `CLOSE`."""
        return not CLOSE[0] < self.ratio / level < CLOSE[1]

    def failed(self, level: float) -> bool:
        """Return whether the complete interval is."""
        return self.high / level <= CLOSE[0] or self.low / level >= CLOSE[1]


class Market(NamedTuple):
    """A day and the minimum quantity of its exchange, or a small one in its market, in 1e-8."""

    name: str
    tape: "Tape"
    clip_e8: int
    later: "Tape | None" = None  # where orders are played; None for the tape of the fits

    def halves(self) -> "Market":
        """Return the market with the second half of its day for the plays."""
        middle_us = (self.tape.start_us + self.tape.end_us) // 2
        first, second = self.tape.between(self.tape.start_us, middle_us), self.tape.between(middle_us, self.tape.end_us)
        return self._replace(name=f"{self.name}, second half by fits of the first", tape=first, later=second)


def markets(captures: Path) -> Iterator[Market]:
    """Yield a day of a large tick, one of a small tick, and a simulated one."""
    for capture, clip_e8 in ((CAPTURES[1], 4 * E8), (CAPTURES[2], E8 // 10_000)):
        yield Market(f"{capture.symbol} {capture.day}", tape_of(captures, capture), clip_e8)
    yield Market("simulated hour", simulated(), E8)


def simulated() -> "Tape":
    """Return an hour of a Poisson market."""
    from mm.backtest.io import load_day
    from mm.dayfolder.layout import DayFolder
    from mm.sim.flow.day import make_day
    from mm.sim.flow.scenario import PoissonMarket
    from mm.sim.flow.session import Session

    with tempfile.TemporaryDirectory() as root:
        folder = DayFolder(Path(root), "SIMUSDT", "20260105")
        make_day(folder, PoissonMarket(A_per_s=1.2, k_per_tick=0.4), Session("SIMUSDT", "20260105", 1, 3))
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


def ratios(tape: "Tape", fills: FillsMeasured, qty_e8: int, quoted: float | str, fit: "PoissonFit") -> list[Compared]:
    """Return the rows of orders at one distance, or of a quote model."""
    quotes: dict[str, Any] = {"quote_qty": short_text(qty_e8)}
    terms: dict[str, Any] = {"initial_cash": 10**9, "initial_inventory": 0, "sensitivity": False}
    if not isinstance(quoted, str):
        quotes["quote_params_json"], terms["initial_inventory"] = {"delta_ticks": quoted}, 10**7
    model = quoted if isinstance(quoted, str) else "fixed_spread"
    result = mm.backtest(tape, model, fills.name, fit=fit, **quotes, **terms)
    rows = result.summary["fills_by_distance"]
    return [Compared.of(row) for row in rows if row["fills"] >= LEAST_FILLS]


def following(market: Market) -> Iterator[str]:
    """Yield the table of a market for quotes that follow the inventory or the volatility."""
    marks = mm.calibrate(market.tape)
    yield FOLLOWING_HEAD
    for name in MODELS[:4]:
        fills = filled_by(name, marks)
        for clips in CLIPS:
            fit = fitted(market.tape, fills, clips * market.clip_e8)
            for quotes in FOLLOWING:
                rows = ratios(market.tape, fills, clips * market.clip_e8, quotes, fit)
                if rows:
                    seen, shown = sum(row.fills for row in rows), _range(rows, levelled=False)
                    yield f"{name:<19}{clips:>6}  {quotes:<19}{len(rows):>5}{seen:>9,}{shown}{_level(rows):>7.3f}"


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
                [row for delta in QUOTED for row in ratios(later, fills, qty_e8, delta, fit)] for fit in (own, other)
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
    outside, failed = (sum(judge(row, level) for row in rows) for judge in (Compared.outside, Compared.failed))
    shown = f"{f'{min(found):.3f} to {max(found):.3f}':>18}{outside:>9}{failed:>8}"
    return f"{shown}{level:>8.3f}" if levelled else shown


def main(captures: str, which: str = "") -> None:
    """Print the tables of the markets."""
    if which not in ("", "unseen", "following"):
        sys.exit(f"{which!r} is not known; give unseen, following, or nothing")
    found = markets(Path(captures))
    for market in (one.halves() for one in found) if which == "unseen" else found:
        print(f"{market.name}: predicted over seen fills, rows of {LEAST_FILLS} fills or more")
        for line in (following if which == "following" else lines)(market):
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
