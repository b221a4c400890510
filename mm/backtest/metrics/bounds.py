"""Bounds of a run under a queue model: the same quotes with every cancellation ahead of our orders, and with none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.markouts import half_spreads
from mm.backtest.metrics.notes import of_verdict
from mm.backtest.metrics.pnl import account_of
from mm.backtest.metrics.summary import largest_position
from mm.backtest.metrics.verdict import NO_POSITIONS, Positions, Sample, verdicts
from mm.base.arithmetic import quotient, whole_sum

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.metrics.pnl import EquitySeries
    from mm.backtest.run_terms import RunTerms
    from mm.base.arrays import Floats, Ints
    from mm.trials.on_record import OnRecord

BACK, CHOSEN, FRONT = PLAYS = ("back", "chosen", "front")
MARKOUT_S = 5
POINTS = 240  # of a curve


@dataclass(frozen=True, eq=False)
class BoundPlay:
    """A play under one of the bounds, or under the chosen model.

    Attributes:
        numbers: ``n_fills``, ``fill_ratio``, ``markout_5s`` (half-spread realised after 5 s), ``pnl_quoting``.
        sample: None where nothing is concluded.
        us, pnl: The curve of the quoting PnL, at `POINTS` instants.
        minutes: The quoting PnL of each period of 60 s.
    """

    numbers: Mapping[str, float | int | None]
    sample: Sample | None
    positions: Positions
    us: "Ints"
    pnl: "Floats"
    minutes: "Floats | None" = None

    @classmethod
    def of(cls, journal: "Journal", terms: "RunTerms", legs: "EquitySeries | None" = None) -> "BoundPlay":
        """*legs*: the series of all markets of a strategy that sends orders to several."""
        account = account_of(journal, terms)
        series = account if legs is None else legs
        _, placed_lots = journal.order_totals()
        earned, after = half_spreads(journal, terms.instrument, [MARKOUT_S], terms.target_lots)
        moved, valid = after[MARKOUT_S].mean().value, series.valid.any()
        us = np.linspace(series.us[0], series.us[-1], POINTS).astype(np.int64) if valid else series.us[:0]
        at = np.searchsorted(series.us, us, side="right") - 1
        pnl = series.quoting[at].astype(np.float64) / series.per_quote
        concludes = terms.knows_next_move and terms.liquidated_us is None
        alone = {} if legs is not None else {terms.instrument.symbol: largest_position(account, terms)}
        numbers = {
            "n_fills": len(journal.fills),
            "fill_ratio": quotient(whole_sum(journal.fills.lots), placed_lots),
            "markout_5s": None if earned.value is None or moved is None else earned.value + moved,
            "pnl_quoting": series.quote(series.quoting[-1]) if valid else None,
        }
        minutes = series.changes / series.per_quote
        sample = Sample.of(minutes, len(set(terms.days))) if concludes and valid else None
        return cls(numbers, sample, alone or NO_POSITIONS, us, pnl, minutes)


def least_of(pnl: Mapping[str, float | int | None]) -> str | None:
    """Return the play with the least PnL, the chosen one among equals; None without plays, or a PnL of each."""
    known = {name: value for name, value in pnl.items() if value is not None}
    if not known or len(known) < len(pnl):
        return None
    return min(known, key=lambda name: (known[name], name != CHOSEN))


@dataclass(frozen=True, eq=False)
class Bounds:
    back: BoundPlay
    chosen: BoundPlay
    front: BoundPlay

    @property
    def plays(self) -> dict[str, BoundPlay]:
        return dict(zip(PLAYS, (self.back, self.chosen, self.front), strict=True))

    @property
    def least(self) -> str | None:
        return least_of({name: play.numbers["pnl_quoting"] for name, play in self.plays.items()})

    @property
    def open_share(self) -> float | None:
        """The difference between the largest and the least PnL, as a share of the chosen one's size."""
        known = [pnl for play in self.plays.values() if (pnl := play.numbers["pnl_quoting"]) is not None]
        own = self.chosen.numbers["pnl_quoting"]
        return (max(known) - min(known)) / abs(own) if own and len(known) == len(PLAYS) else None

    @property
    def block(self) -> dict[str, Any]:
        return {
            "bounds": {name: dict(play.numbers) for name, play in self.plays.items()},
            "open_share": self.open_share,
        }

    def minutes(self) -> dict[str, list[float]]:
        """The PnL per 60 s of each play."""
        return {name: play.minutes.tolist() for name, play in self.plays.items() if play.minutes is not None}

    def curve(self) -> dict[str, list[float]]:
        return {"us": self.chosen.us.tolist(), **{name: play.pnl.tolist() for name, play in self.plays.items()}}

    def within(self, summary: Mapping[str, Any], record: "OnRecord | None") -> dict[str, Any]:
        """A summary with the bounds, judged by the least of the three plays."""
        block = self.block | {"bounds_curve": self.curve()}
        least = self.least
        if least in (None, CHOSEN) or summary.get("verdict") is None:
            return {**summary, **block}
        play = self.plays[str(least)]
        judged = verdicts(play.sample, record, play.positions)
        told = {} if play.sample is None else play.sample.to_summary() | {"positions": play.positions}
        found = {**summary, **block, **judged, "verdict_chosen": summary["verdict"], "judged": {"play": least, **told}}
        before = of_verdict(summary)
        kept = [line for line in summary["warnings"] if line not in before]
        return {**found, "warnings": [*kept, *of_verdict(found)]}
