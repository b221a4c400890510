"""A strategy under each fill model, less the same under every order of the market.

The quoting PnL differs by *count*, the surplus lots filled, at what a true lot earns; *adverse*, what own lots earn
less than true ones until `HORIZON_US` after the fill; and the rest, what the inventory does later. A lot earns its
distance from the mid then, less its fee.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.pnl import account_of, changes_60s
from mm.backtest.numeraire import mids_at
from mm.base.estimate import Estimate, estimated
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.play.python import backtest
from mm.probes.queue_score import LEAST_BLOCKS, stated

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.tape.tape import Tape

HORIZON_US = 30 * US_PER_S
PERIODS = 3  # of 60 s in a block
_COLUMNS = ("fills", "earns", "PnL", "less truth", "by count", "adverse", "rest")


@dataclass(frozen=True)
class StrategyScore:
    """A strategy under one fill model against the truth, in the quote asset.

    Attributes:
        earned: Per unit of the base asset by the horizon, after its fee.
    """

    fills: int
    lots: int
    earned: float | None
    pnl: float
    pnl_less_truth: Estimate
    by_count: float
    adverse: float
    rest: float


@dataclass(frozen=True)
class _Played:
    fills: int
    lots: int
    earned: float
    unit: float
    periods: "np.ndarray"
    pnl: float

    @classmethod
    def of(cls, result: "Result") -> "_Played":
        fills, terms = result.journal.fills, result.terms
        mid2 = mids_at(result.journal.mids, fills.us + HORIZON_US)
        edge = fills.side * (mid2 - 2 * fills.ticks) / 2 * fills.lots
        grid = terms.instrument
        earned = float(edge.sum()) * grid.tick_lot_e16 / E8 / E8 - float(fills.fee_e8.sum()) / E8
        account = result.series or account_of(result.journal, terms)  # of all legs, if their PnL has a sum
        pnl = account.quote(account.quoting[-1]) if len(account.quoting) else 0.0
        return cls(len(fills), int(fills.lots.sum()), earned, grid.lot_e8 / E8, changes_60s(account), pnl)


def strategy_scores(
    tapes: "Sequence[Tape]",
    strategy: tuple[str, Mapping[str, Any]],
    models: Mapping[str, object],
    settings: Mapping[str, Any],
    step: Callable[[int], None],
) -> dict[str, StrategyScore]:
    """The truth (``queue_orders``) first."""

    def played(fills: object) -> _Played:
        found = _Played.of(backtest(tapes, strategy, fills, sensitivity=False, bounds=False, **settings))
        step(1)
        return found

    truth = played("queue_orders")
    every = {"queue_orders (the truth)": truth, **{name: played(fills) for name, fills in models.items()}}
    return {name: _compare(own, truth) for name, own in every.items()}


def _compare(own: _Played, truth: _Played) -> StrategyScore:
    per_lot = truth.earned / truth.lots if truth.lots else 0.0
    own_per_lot = own.earned / own.lots if own.lots else 0.0
    by_count, adverse = (own.lots - truth.lots) * per_lot, own.lots * (own_per_lot - per_lot)
    both = min(len(own.periods), len(truth.periods))
    less = own.periods[:both] - truth.periods[:both]
    blocks = np.add.reduceat(less, np.arange(0, both, PERIODS)) if both else less
    mean, difference = estimated(blocks, least=LEAST_BLOCKS), own.pnl - truth.pnl
    scaled = mean.times(len(blocks)) if mean.error else Estimate(difference)
    shift = 0.0 if scaled.value is None else difference - scaled.value  # outside the whole periods
    low, high = (None if end is None else end + shift for end in (scaled.low, scaled.high))
    return StrategyScore(
        own.fills,
        own.lots,
        own_per_lot / own.unit if own.lots else None,
        own.pnl,
        Estimate(difference, scaled.error, low, high, scaled.n),
        by_count,
        adverse,
        difference - by_count - adverse,
    )


def strategy_rows(scores: Mapping[str, StrategyScore]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("model", *_COLUMNS)]
    for name, own in scores.items():
        parts = [part + 0.0 for part in (own.by_count, own.adverse, own.rest)]  # no minus before zero
        earned = "–" if own.earned is None else f"{own.earned:+.4g}"
        is_truth = own is next(iter(scores.values()))
        less = ("",) * 4 if is_truth else (stated(own.pnl_less_truth, 1, "+"), *(f"{part:+.4g}" for part in parts))
        rows.append((name, f"{own.fills:,}", earned, f"{own.pnl:.4f}", *less))
    return rows
