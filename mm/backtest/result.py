"""What a backtest gives back: the journal, the grid to read it on, and the files of a run folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest import _journal_csv
from mm.backtest.books import Books
from mm.backtest.journal import ACTIONS, BREACHES, CANCEL_REASONS, REJECT_REASONS, STATUSES, Journal
from mm.backtest.metrics.pnl import AccountSeries, ledger
from mm.backtest.metrics.summary import summarise
from mm.backtest.summary_text import describe
from mm.clock import US_PER_MS
from mm.instrument import E8, decimal_text

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]

BREACHES_HEAD = "recv_us,limit,side,value,bound\n"
SIDES = ("", "BUY", "SELL")  # 0, +1, −1, modulo 3


@dataclass(frozen=True)
class Result:
    """A finished backtest.

    Attributes:
        journal: The engine's tables: numpy arrays of integers, exact.
        books: Their units, and the run's terms.
    """

    journal: Journal
    books: Books

    def __str__(self) -> str:
        return describe(self.summary)

    @cached_property
    def orders(self) -> "pl.DataFrame":
        """The order rows, a polars frame with the columns of ``orders_<S>.csv``."""
        return _frame(self.order_columns())

    @cached_property
    def fills(self) -> "pl.DataFrame":
        """The fills, a polars frame with the columns of ``fills_<S>.csv``."""
        return _frame(self.fill_columns())

    @cached_property
    def state(self) -> "pl.DataFrame":
        """The state rows, a polars frame with the columns of ``state_<S>.csv``."""
        return _frame(self.state_columns())

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers of ``summary.json``: JSON values, None where undefined and why in ``warnings``."""
        return summarise(self.journal, self.books)

    def order_columns(self) -> "Columns":
        """Return the order rows as numpy columns; -1 is no instant, None no word."""
        us, order_id, action, status, side, ticks, lots, remaining, *instants, reject, cancel = self.journal.orders.T
        active, expire, cancel_req, cancel_effective = instants
        return {
            "recv_ms": us // US_PER_MS,
            "order_id": order_id,
            "action": _words(ACTIONS, action),
            "status": _words(STATUSES, status),
            "side": _words(SIDES, side % 3),
            "price": self._price(ticks),
            "qty": self._qty(lots),
            "remaining_qty": self._qty(remaining),
            "active_recv_ms": active // US_PER_MS,
            "expire_recv_ms": expire // US_PER_MS,
            "cancel_req_ms": cancel_req // US_PER_MS,
            "cancel_effective_ms": cancel_effective // US_PER_MS,
            "reject_reason": _words(REJECT_REASONS, reject),
            "cancel_reason": _words(CANCEL_REASONS, cancel),
            "recv_us": us,
            "active_recv_us": active,
            "cancel_effective_us": cancel_effective,
            "expire_recv_us": expire,
        }

    def fill_columns(self) -> "Columns":
        """Return the fills as numpy columns; a mid of NaN is none."""
        us, order_id, side, ticks, lots, fee_e8, reason, mid2, inventory = self.journal.fills.T
        return {
            "recv_ms": us // US_PER_MS,
            "order_id": order_id,
            "side": _words(SIDES, side % 3),
            "price": self._price(ticks),
            "qty": self._qty(lots),
            "fee": fee_e8 / E8,
            "reason": _words(self.journal.fill_reasons, reason),
            "recv_us": us,
            "mid": self._mid(mid2),
            "inventory_after": self._qty(inventory),
        }

    def state_columns(self) -> "Columns":
        """Return the state rows as numpy columns; mid, mtm_value and equity are NaN where the book was not valid."""
        us, inventory, _, _, mid2, open_orders = self.journal.state.T
        account = ledger(self.journal.state, self.books.instrument, self.books.initial_cash_e8)
        mtm = account.half_tl * inventory.astype(account.equity.dtype) * account.marks2
        return {
            "recv_ms": us // US_PER_MS,
            "inventory": self._qty(inventory),
            "cash": _quote(account, account.equity - mtm),
            "mid": self._mid(mid2),
            "mtm_value": np.where(account.valid, _quote(account, mtm), np.nan),
            "open_orders": open_orders,
            "recv_us": us,
            "equity": np.where(account.valid, _quote(account, account.equity), np.nan),
        }

    def excluded(self) -> "NDArray[np.int64]":
        """Return the first and the last µs of each stretch without a valid book, one a row."""
        us, mid2 = self.journal.mids.T
        begins = np.flatnonzero(mid2 == 0)
        ends = np.append(us, self.journal.counters["last_us"])[begins + 1]
        return np.stack([us[begins], ends], axis=1)

    def write_tables(self, folder: Path) -> dict[str, int]:
        """Write orders, fills and state, and the breaches of a run with limits; return the rows of each file.

        *folder* is created where it does not exist.
        """
        folder.mkdir(parents=True, exist_ok=True)
        journal, grid = self.journal, self.books.instrument
        unit = (grid.tick_e8, grid.lot_e8)
        orders, fills, state = (f"{table}_{grid.symbol}.csv" for table in ("orders", "fills", "state"))
        with (folder / orders).open("wb", buffering=0) as file:
            _journal_csv.write_orders(file, journal.orders, *unit)
        with (folder / fills).open("wb", buffering=0) as file:
            _journal_csv.write_fills(file, journal.fills, *unit, journal.fill_reasons)
        with (folder / state).open("wb", buffering=0) as file:
            _journal_csv.write_state(file, journal.state, *unit, self.books.initial_cash_e8)
        rows = {orders: len(journal.orders), fills: len(journal.fills), state: len(journal.state)}
        if journal.breaches is not None:
            name = f"breaches_{grid.symbol}.csv"
            (folder / name).write_text(BREACHES_HEAD + "".join(_breach_lines(journal.breaches)), encoding="ascii")
            rows[name] = len(journal.breaches)
        return rows

    def _price(self, ticks: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return ticks * self.books.instrument.tick_e8 / E8

    def _qty(self, lots: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return lots * self.books.instrument.lot_e8 / E8

    def _mid(self, mid2: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return np.where(mid2 > 0, mid2 * self.books.instrument.tick_e8 / (2 * E8), np.nan)


def _breach_lines(breaches: "NDArray[np.int64]") -> Iterator[str]:
    """Yield the rows of breaches, what was found and what is allowed in the unit of the limit's knob."""
    for us, limit, value_e8, bound_e8, side in breaches.tolist():
        yield f"{us},{BREACHES[limit]},{SIDES[side % 3]},{decimal_text(value_e8)},{decimal_text(bound_e8)}\n"


def _quote(account: AccountSeries, units: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return ledger *units* in the quote asset, to the last bit a float has."""
    return (units / account.per_quote).astype(np.float64)


def _words(words: Sequence[str], codes: "NDArray[np.int64]") -> "NDArray[np.object_]":
    """Return the word of each code: None for an empty one, and (as the last) for the code -1."""
    return np.array([*(word or None for word in words), None], dtype=object)[codes]


def _frame(columns: "Columns") -> "pl.DataFrame":
    """Return *columns* as a polars frame in which what is empty in the file is null."""
    import polars as pl

    words = {
        name: pl.Series(values.tolist(), dtype=pl.String) for name, values in columns.items() if values.dtype == object
    }
    frame = pl.DataFrame({**columns, **words}, nan_to_null=True)
    instants = [name for name in columns if name.endswith(("_ms", "_us"))]
    return frame.with_columns(pl.col(name).replace(-1, None) for name in instants)
