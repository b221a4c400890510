"""Result of a backtest: the journal, its units, and the files of a run folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.io import (
    CSV,
    Units,
    bought_lots,
    fills_table,
    frame_for_users,
    frame_of,
    order_columns,
    state_columns,
    write_table,
)
from mm.backtest.journal import BREACHES, LEGS, Breaches, Journal
from mm.backtest.metrics.markouts import HORIZONS_S, just_after, moves
from mm.backtest.metrics.notes import NULL, of_verdict
from mm.backtest.metrics.numbers import OF_A_LEG, PARTS
from mm.backtest.metrics.pnl import EquitySeries, account_of, account_series, together
from mm.backtest.metrics.summary import strategy_summary, summarise
from mm.backtest.own_series import OWN_SERIES, own_series_frame
from mm.backtest.run_terms import OWN_MARKET, RunTerms
from mm.backtest.summary_text import describe
from mm.base.notebook import Picture, Shown, picture_of
from mm.errors import UsageError
from mm.instrument import E8, decimal_text
from mm.tape.frames import floats, frame, instants

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Columns = dict[str, NDArray[Any]]

SIDES = ("", "BUY", "SELL")  # 0, +1, −1, modulo 3
ACCOUNT = ("inventory", "cash", "mid", "mtm_value", "equity")  # columns of `Result.account_columns`
OF_A_FILL = ("time", "order_id", "side", "price", "qty", "mid")  # first columns of a frame of fills
BREACHES_HEAD = "recv_us,limit,side,value,bound\n"


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A finished backtest.

    Attributes:
        journal: The engine's tables: numpy arrays of integers, exact.
        terms: Their units, and the run's terms.
        tapes: The played tapes, for charts of the market; empty if not kept, as in a live market.
        legs: The results of the strategy's orders in other markets, by the name of the market.
    """

    journal: Journal
    terms: RunTerms
    tapes: Sequence["Tape"] = field(default=(), compare=False)
    legs: Mapping[str, "Result"] = field(default_factory=dict, compare=False)

    def lines(self) -> Iterator[str]:
        """Yield the setup, the PnL and its parts, the fills, and the number of warnings."""
        text = str(self).splitlines()
        yield from text[:4]
        warnings = [line for line in text if line.startswith("  ! ")]
        if len(warnings) > 1:
            yield f"  ! {len(warnings)} warnings: print the result"
        yield from warnings if len(warnings) == 1 else ()

    def plot(self) -> Picture:
        """Draw the run page's charts over time: price, fills, equity and its sources, inventory."""
        return picture_of(self)

    def __str__(self) -> str:
        return describe(self.summary)

    @cached_property
    def orders(self) -> "pl.DataFrame":
        """The order rows, a polars frame with the columns of ``orders_<S>.csv``."""
        return _with_text(frame_of(self.journal.orders, order_columns(self.terms.instrument)))

    @cached_property
    def fills(self) -> "pl.DataFrame":
        """The fills, a polars frame with the columns of ``fills_<S>.csv``."""
        return _with_text(frame_of(*fills_table(self.journal, self.terms.instrument)))

    @cached_property
    def state(self) -> "pl.DataFrame":
        """The state rows, a polars frame with the columns of ``state_<S>.csv``."""
        state, account = self.journal.state, self.account_columns(ACCOUNT)
        cells = state_columns(self.terms).items()
        return frame(
            {
                name: account[name] if name in account else cell.series(state.array, exactly=False)
                for name, cell in cells
            }
        )

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers of ``summary.json``: JSON values, None if undefined, with the reason in ``warnings``."""
        summary = summarise(self.journal, self.terms)
        whole = {**summary, **self._of_legs(summary)} if self.legs else summary
        bounds = self.terms.bounds
        return whole if bounds is None else bounds.within(whole, self.terms.trials)

    def _of_legs(self, summary: dict[str, Any]) -> dict[str, Any]:
        legs = {name: {key: leg.summary[key] for key in OF_A_LEG} for name, leg in self.legs.items()}
        for name, leg in self.legs.items():
            held = leg.journal.state.inventory_lots
            end = held[-1] if len(held) else leg.terms.target_lots
            legs[name]["inventory_end"] = float(end) * leg.terms.instrument.lot_e8 / E8
            legs[name] |= {key: leg.summary[key] for key in ("funding",) if key in leg.summary}  # of a perpetual
            if ("funding" in leg.summary) != ("funding" in summary):  # spot and perpetual: symbols may be the same
                legs[name]["market"] = leg.terms.market
        together = self.all_legs(summary)
        for name, leg in self.legs.items():
            together["warnings"] += [f"{name}: {note}" for note in leg.summary["warnings"] if not note.startswith(NULL)]
        return {"legs": legs, **together}

    def all_legs(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """PnL, verdict and ratios of all legs, the same of the own market alone, and warnings; empty without legs.

        ``own_market`` is None, and the summary the own market's, if a leg's money has no sum, or another quote asset.
        """
        if not self.legs:
            return {}
        series, each = self.series, (self, *self.legs.values())
        if series is None:
            why = f"the PnL of the legs has no sum, so every number is of {summary['symbol']} alone"
            return {OWN_MARKET: None, "warnings": [*summary["warnings"], why]}
        numbers = strategy_summary(series, self.terms, knows=all(leg.terms.knows_next_move for leg in each))
        numbers |= _sums(summary, [leg.summary for leg in self.legs.values()])
        own = {name: summary[name] for name in numbers if name in summary}
        own_symbol = f"own_market has the numbers of {summary['symbol']} alone, as all else"
        why = f"PnL, its parts, verdict and ratios are of all legs; {own_symbol}"
        lines = summary["warnings"]
        if "undone_by" in summary:  # not of a sweep's point
            alone = of_verdict(summary)
            lines = [*(line for line in lines if line not in alone), *of_verdict(numbers)]
        return {**numbers, OWN_MARKET: own, "warnings": [*lines, why]}

    @cached_property
    def series(self) -> EquitySeries | None:
        """Exact money of all legs; None without money in one, fees of unknown value, or several quote assets."""
        each, quote = (self, *self.legs.values()), self.terms.instrument.quote_asset
        accounts = [account_of(leg.journal, leg.terms) for leg in each]
        if any(leg.terms.instrument.quote_asset != quote or leg.terms.unvalued_fees for leg in each):
            return None
        return together(accounts) if all(account.valid.any() for account in accounts) else None

    @property
    def pnl_all_legs(self) -> float | None:
        """Exact PnL of all legs, quote asset; None as `series`."""
        series = self.series
        return None if series is None else series.quote(series.equity[-1] - series.equity[0])

    def orders_frame(self) -> "pl.DataFrame":
        """Return the order rows as a polars frame, one row per event of an order.

        Columns: ``time``, ``order_id``, ``action``, ``status``, ``side``, ``price``, ``qty``, ``remaining_qty``,
        ``active_time``, ``expire_time``, ``cancel_request_time``, ``cancel_effective_time``, ``reject_reason``,
        ``cancel_reason``. Words and rows are as in ``orders_<S>.csv``; instants are datetimes in UTC; prices (quote
        asset) and quantities (base asset) are the floats nearest to the exact decimals.
        """
        return frame_for_users(self.journal.orders, Units(self.terms.instrument))

    def fills_frame(self) -> "pl.DataFrame":
        """Return the fills as a polars frame.

        Columns: ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid`` (null without a valid book), ``fee`` in
        the quote asset, ``reason``, ``inventory`` after the fill.
        """
        import polars as pl

        return self._fills_frame.with_columns(pl.Series("qty", self._qty(bought_lots(self.journal))))

    def markouts_frame(self, horizons_s: Sequence[float] = HORIZONS_S) -> "pl.DataFrame":
        """Return the value of each fill at later instants, as a polars frame.

        Args:
            horizons_s: Seconds after a fill.

        Returns:
            Columns ``time``, ``order_id``, ``side``, ``price``, ``qty``, ``mid``, ``markout_0s`` (just after the event
            that filled) and for each horizon ``markout_5s``: side · (mid then − price), in the quote asset for a unit
            of the base asset, before fees; null where the data end first or a book was not valid. Weighted by ``qty``
            their means are ``realised_half_spread``; side · (``mid`` − price) gives ``effective_half_spread``: ``mid``
            is before the event.

        Raises:
            UsageError: If a horizon is not above 0.
        """
        journal = self.journal
        side, ticks, mid2 = journal.fills.side, journal.fills.ticks, journal.fills.mid2
        half, after2 = (self.terms.instrument.tick_e8, 2 * E8), just_after(journal)
        known = (mid2 > 0) & (after2 > 0)
        later: Columns = {"markout_0s": np.where(known, floats(side * (after2 - 2 * ticks), *half), np.nan)}
        for horizon_s in horizons_s:
            if not horizon_s > 0:
                raise UsageError(f"a horizon is {horizon_s} s; give seconds above 0")
            move2, known = moves(journal, horizon_s)
            markout = floats(side * (move2 + mid2 - 2 * ticks), *half)
            later[f"markout_{horizon_s:g}s"] = np.where(known, markout, np.nan)
        return self._fills_frame.select(OF_A_FILL).with_columns(frame(later))

    def state_frame(self) -> "pl.DataFrame":
        """Return the account over time as a polars frame: a row after every fill, and one per second.

        Columns: ``time``, ``inventory``, ``cash``, ``mid``, ``mtm_value``, ``equity`` (null without a valid book),
        ``open_orders``.
        """
        columns = self.account_columns(ACCOUNT)
        time = instants(columns.pop("recv_us"))
        return frame({"time": time, **columns, "open_orders": self.journal.state.open_orders})

    def series_frame(self) -> "pl.DataFrame":
        """Return what the strategy recorded (``view.record``) as a polars frame, a row per call.

        Columns: ``time``, ``name``, ``value`` (null where None was recorded).
        """
        return own_series_frame(self.journal.recorded.frame())

    def equity_frame(self) -> "pl.DataFrame":
        """Return the equity over time as a polars frame: the state rows with a valid book.

        Columns: ``time``, ``equity`` (cash and inventory at the mid), ``pnl`` of the quoting since the first row,
        ``drawdown`` below the highest ``pnl`` so far (0 or above), all in the quote asset; ``inventory``. The last
        ``pnl`` is ``pnl_quoting`` of the summary, and the largest ``drawdown`` its ``max_drawdown``.
        """
        terms = self.terms
        account = account_series(
            self.journal.state, terms.instrument, terms.initial_cash_e8, terms.target_lots, terms.target_funding
        )
        valid, equity = account.valid, account.equity[account.valid]
        pnl = account.quoting[valid] - account.quoting[valid][:1]
        drawdown = np.maximum.accumulate(pnl) - pnl if len(pnl) else pnl
        return frame(
            {
                "time": instants(account.us[valid]),
                "equity": floats(equity, per=account.per_quote),
                "pnl": floats(pnl, per=account.per_quote),
                "drawdown": floats(drawdown, per=account.per_quote),
                "inventory": self._qty(account.inventory[valid]),
            }
        )

    def account_columns(self, names: Sequence[str], rows: "NDArray[np.intp] | None" = None) -> "Columns":
        """Return the columns *names* of the account at each state row, and its instant ``recv_us``.

        *rows* must include the first and the last row of each stretch of constant mid.
        """
        state = self.journal.state if rows is None else self.journal.state_at(rows)
        account = account_series(state, self.terms.instrument, self.terms.initial_cash_e8)
        held = account.half_tl * account.inventory.astype(account.equity.dtype) * account.marks2

        def valued(units: "NDArray[Any]") -> "NDArray[np.float64]":
            return np.where(account.valid, floats(units, per=account.per_quote), np.nan)

        make: dict[str, Callable[[], NDArray[Any]]] = {
            "inventory": lambda: self._qty(account.inventory),
            "cash": lambda: floats(account.equity - held, per=account.per_quote),
            "mid": lambda: self._mid(state.mid2),
            "mtm_value": lambda: valued(held),
            "equity": lambda: valued(account.equity),
        }
        return {"recv_us": account.us, **{name: make[name]() for name in names}}

    def excluded(self) -> "NDArray[np.int64]":
        """Return the first and the last µs of each stretch without a valid book, one per row."""
        us, mid2 = self.journal.mids.us, self.journal.mids.mid2
        begins = np.flatnonzero(mid2 == 0)
        ends = np.append(us, self.journal.counters["last_us"])[begins + 1]
        return np.stack([us[begins], ends], axis=1)

    def write_tables(
        self, folder: Path, hashes: dict[str, str] | None = None, orders_format: str = CSV
    ) -> dict[str, int]:
        """Write orders, fills and state, the breaches of a run with limits, and what the strategy recorded.

        Returns:
            The rows of each file.

        Args:
            folder: Created if it does not exist.
            hashes: Gets each file's sha256, computed while writing.
            orders_format: ``csv`` or ``parquet``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        journal, grid = self.journal, self.terms.instrument
        orders, state = f"orders_{grid.symbol}.{orders_format}", f"state_{grid.symbol}.{CSV}"
        digests = {} if hashes is None else hashes
        rows = dict[str, int]()
        digests[orders], rows[orders] = write_table(folder / orders, [journal.orders], order_columns(grid))
        rows |= self.write_fills(folder, digests)
        digests[state], rows[state] = write_table(folder / state, journal.state_pieces(), state_columns(self.terms))
        if journal.breaches is not None:
            name = f"breaches_{grid.symbol}.csv"
            (folder / name).write_text(BREACHES_HEAD + "".join(_breach_lines(journal.breaches)), encoding="utf-8")
            rows[name] = len(journal.breaches)
        if len(journal.recorded):
            journal.recorded.frame().write_csv(folder / OWN_SERIES)
            rows[OWN_SERIES] = len(journal.recorded)
        for name, leg in self.legs.items():
            inner = dict[str, str]()
            counts = leg.write_tables(folder / LEGS / name, inner, orders_format)
            rows |= {f"{LEGS}/{name}/{file}": count for file, count in counts.items()}
            digests |= {f"{LEGS}/{name}/{file}": sha256 for file, sha256 in inner.items()}
        return rows

    def write_fills(self, folder: Path, hashes: dict[str, str]) -> dict[str, int]:
        """Write the fills as `write_tables` does."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"fills_{self.terms.instrument.symbol}.{CSV}"
        table, columns = fills_table(self.journal, self.terms.instrument)
        hashes[name], rows = write_table(folder / name, [table], columns)
        return {name: rows}

    @property
    def _fills_frame(self) -> "pl.DataFrame":
        import polars as pl

        units = Units(self.terms.instrument, self.journal.fill_reasons)
        return frame_for_users(self.journal.fills, units).select(*OF_A_FILL, pl.exclude(OF_A_FILL))

    def _qty(self, lots: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return floats(lots, self.terms.instrument.lot_e8)

    def _mid(self, mid2: "NDArray[np.int64]") -> "NDArray[np.float64]":
        return np.where(mid2 > 0, floats(mid2, self.terms.instrument.tick_e8, 2 * E8), np.nan)


def _breach_lines(breaches: Breaches) -> Iterator[str]:
    columns = (breaches.us, breaches.limit, breaches.side, breaches.value_e8, breaches.bound_e8)
    for us, limit, side, value_e8, bound_e8 in zip(*(column.tolist() for column in columns), strict=True):
        yield f"{us},{BREACHES[limit]},{SIDES[side % 3]},{decimal_text(value_e8)},{decimal_text(bound_e8)}\n"


def _with_text(table: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    return table.with_columns(pl.selectors.enum().cast(pl.String))


def _sums(summary: Mapping[str, Any], legs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    sums: dict[str, float | None] = {}
    for name in PARTS:
        values = [one[name] for one in (summary, *legs) if name in summary]
        if values:
            known = all(value is not None for value in values)
            sums[name] = float(sum(Decimal(str(value)) for value in values)) if known else None
    return sums
