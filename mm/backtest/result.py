"""Result of a backtest: the journal, its units, and the files of a run folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest import _journal_csv, frames
from mm.backtest.frames import mids
from mm.backtest.journal import ACTIONS, BREACHES, CANCEL_REASONS, REJECT_REASONS, STATUSES, Journal
from mm.backtest.metrics.markouts import HORIZONS_S
from mm.backtest.metrics.pnl import ledger
from mm.backtest.metrics.summary import summarise
from mm.backtest.orders_file import CSV, SIDES, write_orders_file
from mm.backtest.run_terms import RunTerms
from mm.backtest.summary_text import describe
from mm.clock import US_PER_MS
from mm.code_identity import HashedFile
from mm.instrument import decimal_text
from mm.notebook import Picture, Shown, picture_of
from mm.tape.frames import floats

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Columns = dict[str, NDArray[Any]]

BREACHES_HEAD = "recv_us,limit,side,value,bound\n"


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A finished backtest.

    Attributes:
        journal: The engine's tables: numpy arrays of integers, exact.
        terms: Their units, and the run's terms.
        tapes: The played tapes, for the charts of the market; empty if they were not kept, as in a live market.
    """

    journal: Journal
    terms: RunTerms
    tapes: Sequence["Tape"] = field(default=(), compare=False)

    def lines(self) -> Iterator[str]:
        """Yield the setup, the PnL and its parts, the fills, and the number of warnings."""
        text = str(self).splitlines()
        yield from text[:4]
        warnings = [line for line in text if line.startswith("  ! ")]
        if len(warnings) > 1:
            yield f"  ! {len(warnings)} warnings: print the result"
        yield from warnings if len(warnings) == 1 else ()

    def plot(self) -> Picture:
        """Draw the charts over time of the run's page: price, fills, equity and its sources, inventory."""
        return picture_of(self)

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
        """The numbers of ``summary.json``: JSON values, None if undefined, with the reason in ``warnings``."""
        return summarise(self.journal, self.terms)

    def orders_frame(self) -> "pl.DataFrame":
        """Return the order rows as a polars frame, one row per event of an order.

        Columns: ``time``, ``order_id``, ``action``, ``status``, ``side``, ``price``, ``qty``, ``remaining_qty``,
        ``active_time``, ``expire_time``, ``cancel_request_time``, ``cancel_effective_time``, ``reject_reason``,
        ``cancel_reason``. Words and rows are those of ``orders_<S>.csv``; instants are datetimes in UTC, prices floats
        in the quote asset, quantities floats in the base asset, each the float nearest to the exact decimal.
        """
        return frames.orders_frame(self.journal, self.terms)

    def fills_frame(self) -> "pl.DataFrame":
        """Return the fills as a polars frame.

        Columns: ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid`` (null without a valid book), ``fee`` in
        the quote asset, ``reason``, ``inventory`` after the fill.
        """
        return frames.fills_frame(self.journal, self.terms)

    def markouts_frame(self, horizons_s: Sequence[float] = HORIZONS_S) -> "pl.DataFrame":
        """Return the value of each fill at later instants, as a polars frame.

        Args:
            horizons_s: Seconds after a fill.

        Returns:
            Columns ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid``, ``markout_0s`` (just after the
            event that filled) and for each horizon ``markout_5s``: side · (mid then − price), in the quote asset for a
            unit of the base asset, before fees; null where the data end first or a book was not valid. Weighted by
            ``qty``, their means are ``realised_half_spread`` of the summary, and that of side · (``mid`` − price) is
            ``effective_half_spread``: ``mid`` is that before the event.

        Raises:
            UsageError: If a horizon is not above 0.
        """
        return frames.markouts_frame(self.journal, self.terms, horizons_s)

    def state_frame(self) -> "pl.DataFrame":
        """Return the account over time as a polars frame: a row after every fill, and one per second.

        Columns: ``time``, ``inventory``, ``cash``, ``mid``, ``mtm_value``, ``equity`` (null without a valid book),
        ``open_orders``.
        """
        return frames.state_frame(self.journal, self.terms)

    def equity_frame(self) -> "pl.DataFrame":
        """Return the equity over time as a polars frame: the state rows at which the book was valid.

        Columns: ``time``, ``equity`` (cash and inventory at the mid), ``pnl`` of the quoting since the first row,
        ``drawdown`` below the highest ``pnl`` so far (0 or above), all in the quote asset; ``inventory``. The last
        ``pnl`` is ``pnl_quoting`` of the summary, and the largest ``drawdown`` its ``max_drawdown``.
        """
        return frames.equity_frame(self.journal, self.terms)

    def order_columns(self) -> "Columns":
        """Return the order rows as numpy columns; -1: no instant, None: no word."""
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
        """Return the fills as numpy columns; the mid is NaN without a valid book."""
        us, order_id, side, ticks, lots, fee_e8, reason, mid2, inventory = self.journal.fills.T
        return {
            "recv_ms": us // US_PER_MS,
            "order_id": order_id,
            "side": _words(SIDES, side % 3),
            "price": self._price(ticks),
            "qty": self._qty(lots),
            "fee": floats(fee_e8),
            "reason": _words(self.journal.fill_reasons, reason),
            "recv_us": us,
            "mid": mids(mid2, self.terms),
            "inventory_after": self._qty(inventory),
        }

    def state_columns(self) -> "Columns":
        """Return the state rows as numpy columns; mid, mtm_value and equity are NaN where the book was not valid."""
        columns = self.account_columns(frames.ACCOUNT)
        return {
            "recv_ms": self.journal.state[:, 0] // US_PER_MS,
            **{name: columns[name] for name in ("inventory", "cash", "mid", "mtm_value")},
            "open_orders": self.journal.state[:, 5],
            "recv_us": columns["recv_us"],
            "equity": columns["equity"],
        }

    def account_columns(self, names: Sequence[str], rows: "NDArray[np.intp] | None" = None) -> "Columns":
        """Return the columns *names* of the account at each state row, and its instant ``recv_us``.

        Only *rows*, if given: these must include the first and the last row of each stretch of constant mid.
        """
        state = self.journal.state if rows is None else self.journal.state_at(rows)
        account = ledger(state, self.terms.instrument, self.terms.initial_cash_e8)
        return {"recv_us": account.us, **frames.account_columns(account, state[:, 4], self.terms, names)}

    def excluded(self) -> "NDArray[np.int64]":
        """Return the first and the last µs of each stretch without a valid book, one per row."""
        us, mid2 = self.journal.mids.T
        begins = np.flatnonzero(mid2 == 0)
        ends = np.append(us, self.journal.counters["last_us"])[begins + 1]
        return np.stack([us[begins], ends], axis=1)

    def write_tables(
        self, folder: Path, hashes: dict[str, str] | None = None, orders_format: str = CSV
    ) -> dict[str, int]:
        """Write orders, fills and state, and the breaches of a run with limits; return the rows of each file.

        Args:
            folder: Created if it does not exist.
            hashes: Filled with the sha256 of each file, in hex, computed while it is written.
            orders_format: Form of the orders file, ``csv`` or ``parquet``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        journal, grid = self.journal, self.terms.instrument
        unit, digests = (grid.tick_e8, grid.lot_e8), {} if hashes is None else hashes
        orders, sha256, count = write_orders_file(folder, journal, grid, orders_format)
        digests[orders], state = sha256, f"state_{grid.symbol}.csv"
        fills = self.write_fills(folder, digests)
        with HashedFile(folder / state) as file:
            _journal_csv.write_state(file, journal.state_pieces(), *unit, self.terms.initial_cash_e8, grid.multiplier)
            digests[state] = file.sha256.hexdigest()
        rows = {orders: count, **fills, state: len(journal.state)}
        if journal.breaches is not None:
            name = f"breaches_{grid.symbol}.csv"
            (folder / name).write_text(BREACHES_HEAD + "".join(_breach_lines(journal.breaches)), encoding="ascii")
            rows[name] = len(journal.breaches)
        return rows

    def write_fills(self, folder: Path, hashes: dict[str, str]) -> dict[str, int]:
        """Write the fills as `write_tables` does."""
        folder.mkdir(parents=True, exist_ok=True)
        journal, grid = self.journal, self.terms.instrument
        name = f"fills_{grid.symbol}.csv"
        with HashedFile(folder / name) as file:
            _journal_csv.write_fills(file, journal.fills, grid.tick_e8, grid.lot_e8, journal.fill_reasons)
            hashes[name] = file.sha256.hexdigest()
        return {name: len(journal.fills)}

    def _price(self, ticks: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return floats(ticks, self.terms.instrument.tick_e8)

    def _qty(self, lots: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return floats(lots, self.terms.instrument.lot_e8)


def _breach_lines(breaches: "NDArray[np.int64]") -> Iterator[str]:
    """Yield the rows of breaches, with the actual and the allowed value in the unit of the limit's knob."""
    for us, limit, value_e8, bound_e8, side in breaches.tolist():
        yield f"{us},{BREACHES[limit]},{SIDES[side % 3]},{decimal_text(value_e8)},{decimal_text(bound_e8)}\n"


def _words(words: Sequence[str], codes: "NDArray[np.int64]") -> "NDArray[np.object_]":
    """Return the word of each code: None for an empty word, and for the code -1 (the last entry)."""
    return np.array([*(word or None for word in words), None], dtype=object)[codes]


def _frame(columns: "Columns") -> "pl.DataFrame":
    """Return *columns* as a polars frame; cells that are empty in the file are null."""
    import polars as pl

    words = {
        name: pl.Series(values.tolist(), dtype=pl.String) for name, values in columns.items() if values.dtype == object
    }
    frame = pl.DataFrame({**columns, **words}, nan_to_null=True)
    instants = [name for name in columns if name.endswith(("_ms", "_us"))]
    return frame.with_columns(pl.col(name).replace(-1, None) for name in instants)
