"""The result of a trade, and its files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mm.backtest.as_traded import steps_name, with_acceptances
from mm.backtest.journal import LEGS
from mm.backtest.summary_text import text_of
from mm.errors import MMError
from mm.live.run.decisions import DecisionLags, decisions_name, decisions_of, write_decisions
from mm.live.run.live_play import TradePlay
from mm.live.run.trade_account import TradeAccount
from mm.live.run.trade_files import write_fills, write_state
from mm.live.run.trader import Trader

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.runs.in_progress import Run

KILLED = 5


@dataclass(frozen=True)
class TradeEnd:
    """The result of a trade.

    Attributes:
        reason: Why it ended: ``kill``, ``audit``, ``disk``, ``grid``, ``venue_reset``, ``key``, ``gateway``, a signal,
            the end of another symbol, or ``window_end``.
        refused: The disk's error for rows of the audit log or the day, or the error of a changed grid, a reset venue, a
            revoked key or a failed gateway; None if it could have continued.
    """

    reason: str
    killed_for: str | None
    refused: MMError | None
    play: TradePlay
    account: TradeAccount
    trader: Trader
    lags: DecisionLags

    @property
    def why(self) -> str | None:
        killed = [f"killed: {self.killed_for}"] if self.killed_for is not None else []
        return "; ".join([*killed, *([str(self.refused)] if self.refused else [])]) or None

    @cached_property
    def result(self) -> "Result":
        journal = with_acceptances(self.play.engine.journal(), self.trader.accepted_us)
        ended = {"reason": self.reason, "why": self.why}
        payments = [(payment.us, payment.paid_e8, payment.of_target_e8) for payment in self.account.payments]
        return self.play.result(journal, ended, self.account.unvalued(), payments)


def write_trade(run: "Run", end: TradeEnd, legs: Mapping[str, TradeEnd]) -> None:
    result = replace(end.result, legs={name: leg.result for name, leg in legs.items()})
    run.write_result(result)
    _write_account(run, end)
    for name, leg in legs.items():
        _write_account(run, leg, f"{LEGS}/{name}/")
    decisions, name = decisions_of(result.journal), decisions_name(run.symbol)
    rows = write_decisions(run.path(name), decisions, end.lags.lags_us(decisions).tolist(), end.play.grid)
    run.output(name, rows, digest=False)
    run.print(text_of(result.summary))
    run.print(f"{len(end.account.fills)} fills; trading ended: {end.reason}")


def _write_account(run: "Run", end: TradeEnd, folder: str = "") -> None:
    journal, grid, fills = end.result.journal, end.play.grid, end.account.fills
    payments = end.account.payments
    names = [f"{folder}{table}_{grid.symbol}.csv" for table in ("fills", "state")]
    run.output(names[0], write_fills(run.path(names[0]), fills, journal.mids, grid))
    rows = write_state(run.path(names[1]), journal.state, fills, end.account.start_e8, grid, payments)
    run.output(names[1], rows)
    name = f"{folder}{steps_name(grid.symbol)}"
    run.output(name, end.play.write_steps(run.path(name), run.id), digest=False)
