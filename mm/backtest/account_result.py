"""Result of a backtest of several markets of one account: each market alone, and their exact sum."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.account_limits import JOIN, LOSS, NOTIONAL, ORDERS, AccountBounds
from mm.backtest.account_text import IN_NUMERAIRE, account_text
from mm.backtest.engine.contract_margin import peaks_shown
from mm.backtest.io import CSV, PARQUET
from mm.backtest.margin import MarginAccount
from mm.backtest.metrics.json_values import finite
from mm.backtest.metrics.notes import NULL, of_verdict
from mm.backtest.metrics.numbers import PARTS
from mm.backtest.metrics.pnl import AccountSeries, EquitySeries, account_of, together
from mm.backtest.metrics.risk import drawdowns_of, moments
from mm.backtest.metrics.spans import PERIOD_US, Spans
from mm.backtest.metrics.summary import strategy_summary
from mm.backtest.numeraire import Numeraire, converted_number
from mm.backtest.own_series import OWN_SERIES
from mm.backtest.result import Result
from mm.backtest.run_terms import RunTerms
from mm.base.code_identity import hash_file
from mm.clock import US_PER_S, iso
from mm.instrument import E8, decimal_text
from mm.trials.on_record import ALONE, OnRecord

if TYPE_CHECKING:
    import polars as pl

    from mm.base.arrays import Floats

COUNTS = ("n_orders", "n_fills", "n_rejects", "n_skips")
TABLES = ("orders", "fills", "state", "breaches", OWN_SERIES)


def name_of(symbols: Sequence[str]) -> str:
    return JOIN.join(symbols)


@dataclass(frozen=True)
class AccountResult:
    """A finished backtest of an account.

    Attributes:
        killed: When and why nothing was sent any more.
        absent: The days of the run that a market lacks, by symbol.
    """

    results: Mapping[str, Result]
    bounds: AccountBounds
    killed: tuple[int, str] | None = None
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wallet: MarginAccount | None = None
    trials: OnRecord | None = None

    @property
    def symbol(self) -> str:
        return name_of(tuple(self.results))

    @property
    def terms(self) -> RunTerms:
        each = [result.terms for result in self.results.values()]
        return replace(
            each[0],
            days=tuple(sorted({day for terms in each for day in terms.days})),
            trials=self.trials,
            liquidated_us=min((terms.liquidated_us for terms in each if terms.liquidated_us is not None), default=None),
        )

    @cached_property
    def accounts(self) -> dict[str, AccountSeries]:
        series = {symbol: account_of(result.journal, result.terms) for symbol, result in self.results.items()}
        return {symbol: account for symbol, account in series.items() if account.valid.any()}

    @cached_property
    def numeraire(self) -> Numeraire:
        return Numeraire.of(
            {symbol: result.terms.instrument.assets for symbol, result in self.results.items()}, self.bounds.numeraire
        )

    @cached_property
    def counted(self) -> dict[str, EquitySeries]:
        """The money of each market in the numeraire; a market in another quote asset counts at the mids of a pair."""
        grids = {symbol: result.terms.instrument for symbol, result in self.results.items()}
        return self.numeraire.series(self.accounts, grids)

    @cached_property
    def series(self) -> EquitySeries | None:
        """The money of all markets together, over the time in which at least one had a market."""
        if not self.counted:
            return None
        series = together(list(self.counted.values()))
        spans = Spans.union([account.spans for account in self.counted.values()])
        return replace(series, valid=np.ones(len(series.us), np.bool_), spans=spans)

    @cached_property
    def summary(self) -> dict[str, Any]:
        symbols = {symbol: result.summary for symbol, result in self.results.items()}
        summary = self._summed(symbols, judges=True) | {
            "account": self._account(),
            "risk": self._risk(list(symbols.values())),
            "trials": dict(ALONE) if self.trials is None else self.trials.to_json(),
        }
        summary["warnings"] = [
            *self._notes(),
            *(of_verdict(summary) if "undone_by" in summary else ()),
            *_warnings(symbols),
        ]
        return {**summary, "symbols": self.with_numeraire(symbols)}

    def with_numeraire(self, symbols: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Add to the summary of each market in another quote asset its money in the numeraire."""
        return {
            symbol: {**one, IN_NUMERAIRE: self._converted(symbol, one)} if symbol in self.numeraire.by else one
            for symbol, one in symbols.items()
        }

    def in_numeraire(self, symbol: str, outcome: dict[str, Any]) -> dict[str, Any]:
        """An outcome of a market (`mm.sweep.play_point`) with its money in the numeraire."""
        if symbol not in self.counted or symbol not in self.numeraire.by:
            return outcome
        summary = outcome["summary"] | self._converted(symbol, outcome["summary"])
        pnl = self.counted[symbol].changes / self.counted[symbol].per_quote
        return {**outcome, "summary": summary, "series": {**outcome["series"], "pnl": pnl.tolist()}}

    def _converted(self, symbol: str, one: Mapping[str, Any]) -> dict[str, Any]:
        """A market's money in the numeraire; what has no rows of its own counts at the last mid of the pair."""
        way, series = self.numeraire.by[symbol], self.counted.get(symbol)
        numbers: dict[str, Any] = {"quote_asset": self.numeraire.asset, "pair": way.pair}
        if series is None:
            nothing = dict.fromkeys((*PARTS, "pnl_total", "pnl_quoting", "pnl_hold", "rate", "max_drawdown"))
            return {**numbers, **nothing, "volume": {"quote": None}}
        over, under = way.fraction(self.results[way.pair].terms.instrument)
        mark2 = int(self.accounts[way.pair].marks2[-1])
        rate = Fraction(over, under * mark2) if way.inverse else Fraction(over * mark2, under)
        money = {name: converted_number(one[name], rate) for name in PARTS if name in one}
        terms = self.results[symbol].terms
        largest = {name: converted_number(one["largest_position"][name], rate) for name in ("value", "loss")}
        return {
            **numbers,
            "rate": float(rate),
            **strategy_summary(series, terms, knows=bool(one["knows_next_move"]), judges=False),
            **money,
            "volume": {**one["volume"], "quote": converted_number(one["volume"]["quote"], rate)},
            "largest_position": {**one["largest_position"], **largest},
        }

    def point_summary(self, symbols: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        killed = None if self.killed is None else list(self.killed)
        return self._summed(symbols, judges=False) | {"killed": killed, "warnings": _warnings(symbols)}

    def _summed(self, symbols: Mapping[str, Mapping[str, Any]], *, judges: bool) -> dict[str, Any]:
        terms, series = self.terms, self.series
        each = [{**one, **one.get(IN_NUMERAIRE, {})} for one in self.with_numeraire(symbols).values()]
        knows = all(result.terms.knows_next_move for result in self.results.values())
        if series is None:
            numbers: dict[str, Any] = {"returns": moments(np.empty(0), 0.0)}
        else:
            numbers = strategy_summary(
                series,
                terms,
                {symbol: one["largest_position"] for symbol, one in zip(symbols, each, strict=True)},
                knows=knows and terms.liquidated_us is None,
                judges=judges,
            )
        numbers |= {name: sum_of(each, name) for name in (*PARTS, "pnl_total", "pnl_quoting", "pnl_hold")}
        numbers |= {name: sum(one[name] for one in each) for name in COUNTS if all(name in one for one in each)}
        return {
            "symbol": self.symbol,
            "one_account": True,
            "days": list(terms.days),
            "models": _models(each),
            "knows_next_move": knows,
            "quote_asset": self.numeraire.asset,
            **({"numeraire": self.numeraire.to_json()} if self.numeraire.by else {}),
            **dict(finite(numbers)),
            "volume": {"quote": sum_of([one["volume"] for one in each], "quote")},
            "balances": self.balances(),
            **self.margin(),
            "diversification": self.diversification(),
            "seconds_covered": 0.0 if series is None else series.spans.covered_us / US_PER_S,
            "absent": {symbol: list(days) for symbol, days in self.absent.items()},
        }

    def _account(self) -> dict[str, float | None]:
        series = self.series
        if series is None:
            return dict.fromkeys(("equity_start", "equity_end", "max_drawdown"))
        fall = drawdowns_of(series.clock, series.equity).deepest
        worth = {"equity_start": series.equity[0], "equity_end": series.equity[-1], "max_drawdown": fall or 0}
        return {name: series.quote(value) for name, value in worth.items()}

    def margin(self) -> dict[str, Any]:
        if self.wallet is None:
            return {}
        us = self.terms.liquidated_us
        ended = {} if us is None else {"liquidated_at": iso(us)}
        return {**ended, "margin": dict(finite(peaks_shown(self.wallet.peaks)))}

    def balances(self) -> dict[str, dict[str, str]]:
        """Each asset's balance at the start and the end, as exact decimals; for contracts the wallet and each
        position.
        """
        held: dict[str, list[int]] = {}
        if self.wallet is not None:
            ends = (self.wallet.start_e8, self.wallet.wallet.balance_e8)
            held = {self.terms.instrument.assets[1]: [amount * E8 for amount in ends]}
        for symbol, result in self.results.items():
            grid, state, terms = result.terms.instrument, result.journal.state, result.terms
            base, quote = grid.assets
            for end, row in enumerate((0, -1)):
                account = (state.inventory_lots, state.cash_tl, state.fees_e8)
                lots, cash_tl, fees_e8 = (int(column[row]) if len(state) else 0 for column in account)
                cash = (terms.initial_cash_e8 - fees_e8) * E8 + cash_tl * grid.tick_lot_e16
                owned = ((base, lots * grid.lot_e8 * E8), (quote, cash))
                for asset, amount in owned if self.wallet is None else ((symbol, owned[0][1]),):
                    held.setdefault(asset, [0, 0])[end] += amount
        return {
            asset: dict(
                zip(
                    ("start", "end"), (decimal_text(amount, 16).rstrip("0").rstrip(".") for amount in ends), strict=True
                )
            )
            for asset, ends in held.items()
        }

    def diversification(self) -> dict[str, Any] | None:
        """The risk of the sum beside the sum of the risks; None without a period of 60 s.

        At the end of each of the account's periods every market counts with its last PnL.
        """
        series = self.series
        if series is None or len(series.spans.periods) < 2:
            return None
        begins = series.spans.periods
        changes = {symbol: _changes(account, begins) for symbol, account in self.counted.items()}
        total, falls = sum(changes.values()), {}
        for symbol, account in self.counted.items():
            falls[symbol] = account.quote(drawdowns_of(account.us, account.quoting).deepest or 0)
        whole_fall = series.quote(drawdowns_of(series.us, series.quoting).deepest or 0)
        deviations = {symbol: float(change.std(ddof=1)) for symbol, change in changes.items()}
        apart, fell = sum(deviations.values()), sum(falls.values())
        deviation = float(np.std(total, ddof=1))
        return {
            "periods": len(begins),
            "std_60s": {**deviations, "sum": deviation},
            "std_60s_share": deviation / apart if apart else None,
            "max_drawdown": {**falls, "sum": whole_fall},
            "max_drawdown_share": whole_fall / fell if fell else None,
            "correlation": {f"{a},{b}": _correlation(changes[a], changes[b]) for a, b in combinations(changes, 2)},
        }

    def _risk(self, each: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        breaches: dict[str, int] = {}
        for one in each:
            for name, count in ((one.get("risk") or {}).get("breaches") or {}).items():
                breaches[name] = breaches.get(name, 0) + count
        if not (self.bounds.limited or breaches or self.killed):
            return None
        money = {LOSS: self.bounds.loss_e8, NOTIONAL: self.bounds.notional_e8}
        limits: dict[str, Any] = {name: bound / E8 for name, bound in money.items() if bound is not None}
        limits |= {} if self.bounds.orders is None else {ORDERS: self.bounds.orders}
        killed = None if self.killed is None else dict(zip(("us", "reason"), self.killed, strict=True))
        return {"limits": limits, "breaches": breaches, "killed": killed}

    def _notes(self) -> list[str]:
        notes = [
            f"{symbol} has no data on {', '.join(days)}: it is absent there, and the other symbols play"
            for symbol, days in self.absent.items()
        ]
        last_us = max(result.journal.counters["last_us"] for result in self.results.values())
        for symbol, result in self.results.items():
            journal, grid = result.journal, result.terms.instrument
            held = int(journal.state.inventory_lots[-1]) if len(journal.state) else 0
            if held and journal.counters["last_us"] < last_us - PERIOD_US:
                notes.append(
                    f"{symbol} ends at {iso(journal.counters['last_us'])}, before the others, while the account holds "
                    f"{decimal_text(held * grid.lot_e8)} {grid.assets[0]}, which count at its last mid from then on"
                )
            if symbol not in self.accounts:
                notes.append(
                    f"{symbol} never had a valid book, so it traded nothing and what is held of it has no price"
                )
            elif symbol not in self.counted:
                notes.append(
                    f"{self.numeraire.by[symbol].pair} never had a valid book, so {symbol} is in no sum: nothing "
                    f"converts {grid.assets[1]} to {self.numeraire.asset}"
                )
        if self.killed:
            us, reason = self.killed
            notes.append(f"all trading ended at {iso(us)}: {reason}")
        return notes

    def lines(self) -> Iterator[str]:
        yield from str(self).splitlines()

    def __str__(self) -> str:
        return account_text(self.summary)

    @property
    def orders(self) -> "pl.DataFrame":
        return self._joined("orders")

    @property
    def fills(self) -> "pl.DataFrame":
        return self._joined("fills")

    @property
    def state(self) -> "pl.DataFrame":
        return self._joined("state")

    def _joined(self, name: str) -> "pl.DataFrame":
        return _in_time({symbol: getattr(result, name) for symbol, result in self.results.items()})

    def write_tables(
        self, folder: Path, hashes: dict[str, str] | None = None, orders_format: str = CSV
    ) -> dict[str, int]:
        """Write the tables of all markets as `Result.write_tables`; each row has its ``symbol``."""
        import polars as pl

        folder.mkdir(parents=True, exist_ok=True)
        parts = folder / "parts"
        written: dict[str, dict[str, Path]] = {name: {} for name in TABLES}
        for symbol, result in self.results.items():
            for file in result.write_tables(parts / symbol, {}, orders_format):
                written[file if file == OWN_SERIES else file.partition("_")[0]][symbol] = parts / symbol / file
        rows = dict[str, int]()
        for name, files in written.items():
            if not files:
                continue
            is_parquet = name == "orders" and orders_format == PARQUET
            read = {
                symbol: pl.read_parquet(path) if is_parquet else pl.read_csv(path, infer_schema=False)
                for symbol, path in files.items()
            }
            whole, path = _in_time(read), folder / f"{name}_{self.symbol}.{orders_format if name == 'orders' else CSV}"
            path = folder / OWN_SERIES if name == OWN_SERIES else path
            whole.write_parquet(path) if is_parquet else whole.write_csv(path)
            rows[path.name] = len(whole)
            if hashes is not None:
                hashes[path.name] = hash_file(path)
        for files in written.values():
            for path in files.values():
                path.unlink()
        for symbol in self.results:
            (parts / symbol).rmdir()
        parts.rmdir()
        return rows


def _in_time(frames: "Mapping[str, pl.DataFrame]") -> "pl.DataFrame":
    """Rows at one instant keep the order of the markets."""
    import polars as pl

    named = [frame.with_columns(pl.lit(symbol).alias("symbol")) for symbol, frame in frames.items()]
    rows = pl.concat(named, how="vertical_relaxed")
    return rows.sort(pl.col("recv_us").cast(pl.Int64), maintain_order=True)


def sum_of(each: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """None if one of the decimals is unknown."""
    values = [one[name] for one in each if name in one]
    if any(value is None for value in values) or not values:
        return None
    return float(sum(Decimal(str(value)) for value in values))


def _warnings(symbols: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{symbol}: {note}" for symbol, one in symbols.items() for note in one["warnings"] if not note.startswith(NULL)
    ]


def _models(each: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {kind: ", ".join(dict.fromkeys(one["models"][kind] for one in each)) for kind in ("quote", "fill")}


def _changes(account: EquitySeries, begins: Any) -> "Floats":
    first, last = (
        np.maximum(np.searchsorted(account.us, us, side="right") - 1, 0) for us in (begins, begins + PERIOD_US)
    )
    change: Floats = (account.quoting[last] - account.quoting[first]).astype(np.float64) / account.per_quote
    return change


def _correlation(one: "Floats", other: "Floats") -> float | None:
    if not (one.std() and other.std()):
        return None
    return float(np.corrcoef(one, other)[0, 1])
