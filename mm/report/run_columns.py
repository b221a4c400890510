"""Columns for the charts of a page, from a finished backtest or its files."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.io import read_orders, rows_of
from mm.backtest.journal import ACTIONS, LEGS, NEVER, REJECT_REASONS, Fills, State, Stretches
from mm.backtest.metrics.pnl import EquitySeries, account_changes, account_of, changes_60s, pairs, round_trips
from mm.backtest.metrics.spans import Spans
from mm.backtest.own_series import Recorded, read_own_series, recorded_of
from mm.backtest.run_terms import OWN_MARKET, own_market_of
from mm.base.arithmetic import median
from mm.base.arrays import Floats, Ints, Mask, Numbers, Rows
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.report.contents import SUMMARY
from mm.report.figures import drawn_rows
from mm.tape.columns import gathered, in_pieces
from mm.tape.frames import floats

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.backtest.journal import Journal
    from mm.backtest.result import Result
    from mm.tape.tape import Tape


DRAWN = ("inventory", "mid", "equity")
"""The columns of the state file that pages draw, in addition to its instants: one row per second of all days."""
ALL_DRAWN = 200_000
"""Number of state rows up to which all are drawn; above it, rows without a change are thinned."""
STILL_US = 5 * US_PER_S
INT32_MAX = 2**31 - 1
FILL_COLUMNS = ("recv_us", "side", "price", "qty", "fee", "reason", "mid")
REFUSALS = ("REJECT", "SKIP")
ENDS = ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT")
_ORDER_TEXTS, _ORDER_INSTANTS = ("action", "side", "reject_reason"), ("order_id", "recv_us", "active_recv_us")
ACCOUNT_FILLS = ("recv_us", "side", "price", "qty", "fee", "mid")  # columns that an account's fills have


@dataclass(frozen=True, eq=False)
class Standing:
    """When our orders of one side rested, in order of their start."""

    us: Ints
    until_us: Ints
    price: Floats


@dataclass(frozen=True, eq=False)
class MarketPrints:
    """One aggressor's prints in whole steps: of millions, only a few are converted."""

    tick_e8: int
    lot_e8: int
    us: Ints
    ticks: Ints
    lots: Ints

    @property
    def price(self) -> Floats:
        return floats(self.ticks, self.tick_e8)

    @property
    def qty(self) -> Floats:
        return floats(self.lots, self.lot_e8)

    def at(self, rows: Rows | slice) -> "MarketPrints":
        return replace(self, us=self.us[rows], ticks=self.ticks[rows], lots=self.lots[rows])

    def between(self, first_us: int, last_us: int, most: int) -> "MarketPrints":
        inside = self.at(slice(*np.searchsorted(self.us, (first_us, last_us + 1))))
        return inside.at(drawn_rows(inside.ticks.astype(np.float64), most=most))


@dataclass(frozen=True, eq=False)
class MarketColumns:
    us: Ints
    bid: Floats
    ask: Floats
    prints: Mapping[int, MarketPrints]

    def between(self, first_us: int, last_us: int) -> "MarketColumns":
        first, last = np.searchsorted(self.us, (first_us, last_us), side="right")
        at = slice(max(0, int(first) - 1), int(last))
        return replace(self, us=np.maximum(self.us[at], first_us), bid=self.bid[at], ask=self.ask[at])


@dataclass(frozen=True, eq=False)
class RefusedOrders:
    us: Ints
    side: Ints
    price: Floats
    reason: Sequence[str]
    sent: Mask


@dataclass(frozen=True, eq=False)
class LegColumns:
    """What a strategy earned and held in another market, at each of its state rows."""

    us: Ints
    quoting: Floats
    inventory: Floats

    def rows(self, us: Ints) -> Rows:
        return np.maximum(np.searchsorted(self.us, us, side="right") - 1, 0)


@dataclass(frozen=True, eq=False)
class Draws:
    """PnL of single minutes and round trips, quote asset; None if the files do not tell."""

    minutes: Floats | None = None
    trips: Floats | None = None


@dataclass(frozen=True, eq=False)
class RunColumns:
    fills: Mapping[str, Any]
    state: Mapping[str, Any]
    quotes: Mapping[int, Standing]
    mid_us: Ints
    mid: Floats
    excluded: Ints
    refused: RefusedOrders | None = None
    rates: Sequence["IntensityPiece"] = ()
    market: MarketColumns | None = None
    usual_us: float | None = None
    target: float = 0.0
    legs: Mapping[str, LegColumns] = field(default_factory=dict)
    draws: Draws = Draws()
    day_us: Sequence[tuple[str, int]] = ()
    recorded: Recorded = field(default_factory=dict)

    @cached_property
    def quoting(self) -> Floats:
        return _quoting(self.state, self.target)

    def beside(self, market: MarketColumns) -> "RunColumns":
        return replace(self, market=market, mid_us=market.us, mid=(market.bid + market.ask) / 2)

    @cached_property
    def curve(self) -> "EquityCurve":
        return equity_curve(self)

    def between(self, first_us: int, last_us: int) -> "RunColumns":
        def inside(us: Ints, before: int = 0) -> slice:
            first, last = np.searchsorted(us, (first_us, last_us + 1))
            return slice(max(0, int(first) - before), int(last))

        fills, mid = inside(np.asarray(self.fills["recv_us"], np.int64)), inside(self.mid_us, 1)
        columns = {name: np.asarray(self.fills[name])[fills] for name in FILL_COLUMNS}
        columns["fill"] = np.arange(fills.start, fills.stop)
        quotes = {}
        for side, quote in self.quotes.items():
            rows = np.flatnonzero((quote.until_us > first_us) & (quote.us <= last_us))
            ends = np.maximum(quote.us[rows], first_us), np.minimum(quote.until_us[rows], last_us)
            quotes[side] = Standing(*ends, quote.price[rows])
        market, refused = self.market, self.refused
        if market is not None:
            prints = {sign: of_side.at(inside(of_side.us)) for sign, of_side in market.prints.items()}
            market = replace(market.between(first_us, last_us), prints=prints)
        if refused is not None:
            at = inside(refused.us)
            signs, price = refused.side[at], refused.price[at]
            refused = RefusedOrders(refused.us[at], signs, price, refused.reason[at], refused.sent[at])
        recorded = {name: (us[inside(us, 1)], values[inside(us, 1)]) for name, (us, values) in self.recorded.items()}
        return replace(
            self,
            fills=columns,
            quotes=quotes,
            mid_us=self.mid_us[mid],
            mid=self.mid[mid],
            market=market,
            refused=refused,
            recorded=recorded,
        )

    def later(self, us: Ints) -> Floats:
        """Return the mid at later instants; NaN if there was none or the data had ended."""
        end = int(self.state["recv_us"][-1]) if len(self.state["recv_us"]) else 0
        row = np.searchsorted(self.mid_us, us, side="right") - 1
        known = (row >= 0) & (us <= end)
        return np.where(known, self.mid[np.maximum(row, 0)], np.nan) if len(self.mid) else np.full(len(us), np.nan)


def _quoting(state: Mapping[str, Any], target: float) -> Floats:
    equity, mid = (np.asarray(state[name], dtype=np.float64) for name in ("equity", "mid"))
    return equity - target * mid if target else equity


def columns_of(result: "Result") -> RunColumns:
    terms, state = result.terms, result.journal.state
    us, mid2 = result.journal.mids.us, result.journal.mids.mid2
    excluded = result.excluded()
    rows, usual = (None, None) if len(state) <= ALL_DRAWN else state_rows(state, excluded)
    return RunColumns(
        fills=_fills_of(result),
        state=result.account_columns(DRAWN, rows),
        quotes=standing_of(result.journal, terms.instrument.tick_e8),
        mid_us=us,
        mid=np.where(mid2 > 0, mid2 * terms.instrument.tick_e8 / (2 * E8), np.nan),
        excluded=excluded,
        refused=_refused_of(result),
        rates=() if terms.intensity is None else terms.intensity.rows(),
        market=market_of(result.tapes, terms.feed) if result.tapes else None,
        usual_us=usual,
        target=_target_of(result),
        legs=_legs_of(result) if result.summary.get(OWN_MARKET) else {},
        draws=_draws_of(result),
        recorded=result.journal.recorded.by_name,
        day_us=list(zip(terms.days, terms.starts_us, strict=True)) if len(terms.days) == len(terms.starts_us) else (),
    )


def _draws_of(result: "Result") -> Draws:
    journal, terms = result.journal, result.terms
    series = result.series if result.summary.get(OWN_MARKET) else account_of(journal, terms)
    known = series is not None and series.valid.any() and not terms.unvalued_fees
    matched, notional = pairs(journal.fills), terms.instrument.tick_lot_e16 / (E8 * E8)
    trips = round_trips(journal.fills, matched, notional)[0] if len(matched.lots) else np.empty(0)
    return Draws(changes_60s(series) if known and series is not None else None, trips)


def _target_of(result: "Result") -> float:
    return result.terms.target_lots * result.terms.instrument.lot_e8 / E8


def _legs_of(result: "Result") -> dict[str, LegColumns]:
    legs = {}
    for name, leg in result.legs.items():
        state = leg.account_columns(DRAWN)
        quoting = _quoting(state, _target_of(leg))
        legs[_leg_name(name, leg.terms.instrument.symbol)] = LegColumns(state["recv_us"], quoting, state["inventory"])
    return legs


def _leg_name(name: str, symbol: str) -> str:
    return symbol if name == symbol else f"{name} ({symbol})"


def _fills_of(result: "Result") -> dict[str, Numbers]:
    journal, grid = result.journal, result.terms.instrument
    fills, reasons = journal.fills, np.array(journal.fill_reasons, object)
    columns = {
        "recv_us": fills.us,
        "side": np.where(fills.side > 0, "BUY", "SELL"),
        "price": floats(fills.ticks, grid.tick_e8),
        "qty": floats(fills.lots, grid.lot_e8),
        "fee": floats(fills.fee_e8),
        "reason": reasons[fills.reason] if len(fills) else np.empty(0, object),
        "mid": np.where(fills.mid2 > 0, floats(fills.mid2, grid.tick_e8, 2 * E8), np.nan),
    }
    return {name: columns[name] for name in FILL_COLUMNS}


def state_rows(state: State, excluded: Ints) -> tuple[Rows, float]:
    """Keep each change with the row before it, one row per five seconds of the rest, and those around *excluded*."""
    drawn, apart_us = np.zeros(len(state), np.bool_), np.empty(max(len(state) - 1, 0), np.int32)
    edges_us = excluded.ravel()
    drawn[[0, -1]] = True
    for begin, rows in in_pieces(state, 1):
        piece, end = State(rows), begin + len(rows)
        us, apart = piece.us, np.diff(piece.us)
        changed = (apart > STILL_US) | account_changes(piece)
        changed |= np.diff(np.searchsorted(edges_us, us, side="right")) != 0
        drawn[begin : end - 1] |= changed
        drawn[begin + 1 : end] |= changed | (np.diff(us // STILL_US) != 0)
        apart_us[begin : end - 1] = np.minimum(apart, INT32_MAX)
    return np.flatnonzero(drawn), median(apart_us) if len(apart_us) else 0.0


def market_of(tapes: Sequence["Tape"], feed: Mapping[str, Any] | None = None) -> MarketColumns:
    """Return events as they happened with the summary's *feed*, else as received."""
    best, taken = list[tuple[Any, ...]](), {1: list[tuple[Any, ...]](), -1: list[tuple[Any, ...]]()}
    grids = [tape.instrument for tape in tapes]  # their ticks and lots are multiples of these steps, in 1e-8
    tick_e8, lot_e8 = math.gcd(*(grid.tick_e8 for grid in grids)), math.gcd(*(grid.lot_e8 for grid in grids))
    for tape in tapes:
        happened = tape.instants_in(feed)
        us = gathered(happened, tape.top_event)
        first = max(0, int(np.searchsorted(us, tape.start_us, side="right")) - 1)
        sides = (tape.top_bid_ticks[first:], tape.top_ask_ticks[first:])
        prices = (np.where(ticks > 0, floats(ticks, tape.instrument.tick_e8), np.nan) for ticks in sides)
        best.append((np.maximum(us[first:], tape.start_us), *prices))
        us = gathered(happened, tape.trades)
        ticks = narrow(_in_steps(tape.trade_ticks, tape.instrument.tick_e8 // tick_e8))
        lots = narrow(_in_steps(tape.trade_lots, tape.instrument.lot_e8 // lot_e8))
        for side, parts in taken.items():
            rows = np.flatnonzero((tape.trade_side == side) & (us >= tape.start_us))
            parts.append((us[rows], ticks[rows], lots[rows]))
        tape.release_memory()  # release each day, the last one before the page is drawn
    us, bid, ask = _joined(best)
    return MarketColumns(
        us, bid, ask, {side: MarketPrints(tick_e8, lot_e8, *_joined(parts)) for side, parts in taken.items()}
    )


def _joined(rows: Sequence[tuple[Any, ...]]) -> Iterator[Numbers]:
    return (column[0] if len(column) == 1 else np.concatenate(column) for column in zip(*rows, strict=True))


def narrow(numbers: Ints) -> "NDArray[np.signedinteger[Any]]":
    fit = numbers.min(initial=0) >= -INT32_MAX and numbers.max(initial=0) <= INT32_MAX
    return numbers.astype(np.int32) if fit else numbers


def _in_steps(numbers: Ints, steps: int) -> Ints:
    return numbers if steps == 1 else numbers * steps


def _refused_of(result: "Result") -> RefusedOrders:
    orders = result.journal.orders
    refused = orders[np.isin(orders.action, [ACTIONS.index(action) for action in REFUSALS])]
    return RefusedOrders(
        refused.us,
        refused.side,
        floats(refused.ticks, result.terms.instrument.tick_e8),
        [REJECT_REASONS[code] for code in refused.reject_reason.tolist()],
        refused.action == ACTIONS.index("REJECT"),
    )


def standing_of(journal: "Journal", tick_e8: int) -> dict[int, Standing]:
    sent = journal.order_lives
    until_us = np.where(sent.end_us == NEVER, journal.counters["last_us"], sent.end_us)
    return _by_side(sent.side, sent.ticks * tick_e8 / E8, sent.active_us, np.where(sent.rested, until_us, 0))


def _by_side(side: Ints, price: Floats, us: Ints, until_us: Ints) -> dict[int, Standing]:
    orders = {}
    for sign in (1, -1):
        rows = np.flatnonzero((until_us > us) & (side == sign))
        if (np.diff(us[rows]) < 0).any():  # with a varying latency orders overtake each other
            rows = rows[np.argsort(us[rows], kind="stable")]
        orders[sign] = Standing(us[rows], until_us[rows], price[rows])
    return orders


def read_columns(folder: Path, symbol: str, account: str = "") -> RunColumns:
    """Between two state rows the first one's mid holds. *account* names the symbols whose files the symbol is in."""
    import polars as pl

    # Most rows are orders: only the drawn columns are read, with given types.
    texts, numbers = dict.fromkeys(_ORDER_TEXTS, pl.String), dict.fromkeys(_ORDER_INSTANTS, pl.Int64)
    types = {**texts, **numbers, "price": pl.Float64} | ({"symbol": pl.String} if account else {})
    named = account or symbol
    tables = [
        read_orders(folder, named, types),
        *(pl.read_csv(folder / f"{name}_{named}.csv", infer_schema_length=None) for name in ("fills", "state")),
    ]
    orders, fills, state = (rows_of(table, symbol) if account else table for table in tables)
    us, mid = state["recv_us"].to_numpy(), state["mid"].cast(pl.Float64).to_numpy()
    end_us = int(us[-1]) if len(us) else 0
    ended = orders.filter(pl.col("action").is_in(ENDS)).select("order_id", pl.col("recv_us").alias("until_us"))
    sent = orders.filter(pl.col("action") == "PLACE").join(ended, on="order_id", how="left", maintain_order="left")
    quotes = _by_side(
        np.where(sent["side"].to_numpy() == "BUY", 1, -1),
        sent["price"].cast(pl.Float64).to_numpy(),
        sent["active_recv_us"].cast(pl.Int64).to_numpy(),
        sent["until_us"].cast(pl.Int64).fill_null(end_us).to_numpy(),
    )
    summary = _summary(folder)
    summary = summary["symbols"][symbol] if account else summary
    excluded = _stretches_without_book(us, mid, summary.get("spans") or [])
    none = orders.filter(pl.col("action").is_in(REFUSALS))
    refused = RefusedOrders(
        us=none["recv_us"].to_numpy(),
        side=np.where(none["side"].to_numpy() == "BUY", 1, -1),
        price=none["price"].cast(pl.Float64).to_numpy(),
        reason=[reason or "" for reason in none["reject_reason"].to_list()],
        sent=(none["action"] == "REJECT").to_numpy(),
    )
    target = float(summary.get("target_inventory") or 0.0)  # an earlier version had none
    columns = RunColumns(
        *(_arrays(fills), _arrays(state), quotes, us, mid, excluded, refused),
        target=target,
        legs=_read_legs(folder, summary),
        recorded=recorded_of(read_own_series(folder, symbol if account else "")),
    )
    return replace(columns, draws=_read_draws(columns, summary))


def account_columns(symbols: Sequence[RunColumns]) -> RunColumns:
    """Sum the PnL of the quoting and the fills; each symbol counts with its last known PnL, and there is no mid."""
    us = np.unique(np.concatenate([np.asarray(one.state["recv_us"], np.int64) for one in symbols]))
    pnl = np.full(len(us), np.nan)
    for one in symbols:
        known = ~np.isnan(one.quoting)
        if known.any():
            own_us, own = np.asarray(one.state["recv_us"], np.int64)[known], one.quoting[known]
            earned = own[np.maximum(np.searchsorted(own_us, us, side="right") - 1, 0)] - own[0]
            pnl = np.where(np.isnan(pnl), 0.0, pnl) + earned
    fills = {name: np.concatenate([np.asarray(one.fills[name]) for one in symbols]) for name in ACCOUNT_FILLS}
    order = np.argsort(fills["recv_us"], kind="stable")
    unknown = np.full(len(us), np.nan)
    return RunColumns(
        fills={name: column[order] for name, column in fills.items()},
        state={"recv_us": us, "equity": pnl, "mid": unknown, "inventory": unknown},
        quotes={},
        mid_us=np.empty(0, np.int64),
        mid=np.empty(0),
        excluded=np.empty((0, 2), np.int64),
    )


def _read_draws(run: RunColumns, summary: Mapping[str, Any]) -> Draws:
    told, spans = summary.get("returns"), Stretches(summary.get("spans") or [])
    minutes = trips = None
    valid = ~np.isnan(run.quoting)
    if told and not run.legs and valid.any():
        us, inventory, cash, mid = (np.asarray(run.state[name]) for name in ("recv_us", "inventory", "cash", "mid"))
        row = np.flatnonzero(valid)  # without a book the last mark holds
        mark = mid[row[np.maximum(np.searchsorted(row, np.arange(len(mid)), side="right") - 1, 0)]]
        quoting = cash + (inventory - run.target) * mark
        series = EquitySeries(us, valid, quoting, quoting, 1, Spans.of(spans))
        minutes = _same(changes_60s(series), told["periods"], told["mean"])
    if (told := summary.get("round_trips")) and told["n"]:
        names = ("recv_us", "side", "price", "qty", "fee")
        us, side, price, qty, fee = (np.asarray(run.fills[name]) for name in names)
        e8 = [np.rint(np.asarray(each, np.float64) * E8).astype(np.int64) for each in (price, qty, fee)]
        table = Fills.empty(len(us))
        table.us, table.side = us, np.where(side == "BUY", 1, -1)
        table.ticks, table.lots, table.fee_e8 = e8
        trips = _same(round_trips(table, pairs(table), 1 / (E8 * E8))[0], told["n"], told["mean"])
    return Draws(minutes, trips)


def _same(values: Floats, count: int, mean: float | None) -> Floats | None:
    same = len(values) == count and mean is not None and math.isclose(values.mean(), mean, rel_tol=1e-6, abs_tol=1e-9)
    return values if same else None


def _read_legs(folder: Path, summary: Mapping[str, Any]) -> dict[str, LegColumns]:
    import polars as pl

    legs = {}
    for name, leg in (summary.get("legs") or {}).items() if own_market_of(summary) else ():
        path = folder / LEGS / name / f"state_{leg['symbol']}.csv"
        table = pl.read_csv(path, columns=["recv_us", *DRAWN], infer_schema_length=None)
        state = _arrays(table.select(pl.col("recv_us").cast(pl.Int64), pl.col(DRAWN).cast(pl.Float64)))
        quoting = _quoting(state, float(leg.get("target_inventory") or 0.0))  # an earlier version told none
        legs[_leg_name(name, leg["symbol"])] = LegColumns(state["recv_us"], quoting, state["inventory"])
    return legs


def _summary(folder: Path) -> Mapping[str, Any]:
    path = folder / SUMMARY
    return json.loads(path.read_bytes()) if path.exists() else {}


def _stretches_without_book(us: Ints, mid: Floats, spans: Sequence[Sequence[int]]) -> Ints:
    """Return stretches without a mid, and time outside *spans*."""
    edges = np.flatnonzero(np.diff(np.isnan(mid), prepend=False, append=False))
    at = np.append(us, us[-1:])
    rows = [*zip(at[edges[::2]].tolist(), at[edges[1::2]].tolist(), strict=True)]
    rows += [(end, begin) for (_, end), (begin, _) in pairwise(spans)]
    joined = list[list[int]]()
    for begin, end in sorted(rows):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    return np.array(joined, np.int64).reshape(-1, 2)


def _arrays(frame: "pl.DataFrame") -> dict[str, Any]:
    return {name: frame[name].to_numpy() for name in frame.columns}


class Drawdown(NamedTuple):
    """A stretch below the highest PnL; *until_us* is None if the run ends in it."""

    depth: float
    peak_us: int
    lowest_us: int
    until_us: int | None


ROUNDING = 1e-11  # of an amount in quote; a step of a cheap coin times a clip is a million times that
PAUSE_US = 60 * US_PER_S


@dataclass(frozen=True, eq=False)
class EquityCurve:
    """The quoting's earnings and the account at each state row; NaN without a valid book or data.

    Attributes:
        equity: Equity of all legs without the target inventory at the mid, as change since its first value.
        below: Drawdown, the distance of *equity* below its highest value before; None computes it.
    """

    us: Ints
    inventory: Floats
    equity: Floats
    spread: Floats
    fees: Floats
    below: Floats | None = None
    legs: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)

    @property
    def own(self) -> Floats:
        return self.equity - sum(earned for earned, _ in self.legs.values()) if self.legs else self.equity

    @property
    def drawdown(self) -> Floats:
        return under_water(self.equity) if self.below is None else self.below

    def worst(self, most: int) -> list[Drawdown]:
        """Return the *most* deepest drawdowns, the deepest first."""
        known = ~np.isnan(self.drawdown)
        us, below = self.us[known], self.drawdown[known]
        ends = np.flatnonzero(np.diff(below < 0, prepend=False, append=False)).reshape(-1, 2).tolist()
        lowest = [begin + int(below[begin:end].argmin()) for begin, end in ends]
        found = [
            Drawdown(
                float(-below[at]), int(us[max(begin - 1, 0)]), int(us[at]), int(us[end]) if end < len(us) else None
            )
            for (begin, end), at in zip(ends, lowest, strict=True)
        ]
        return sorted(found, key=lambda one: -one.depth)[:most]

    def between(self, first_us: int, last_us: int) -> "EquityCurve":
        first, last = np.searchsorted(self.us, (first_us, last_us), side="right")
        rows = slice(max(0, int(first) - 1), max(int(last), 1))
        columns = (column[rows] for column in (self.inventory, self.equity, self.spread, self.fees, self.drawdown))
        inventory, equity, spread, fees, below = (np.append(column, column[-1:]) for column in columns)
        us = np.clip(np.append(self.us[rows], last_us), first_us, last_us)
        legs = {
            name: _each(pair, lambda column: np.append(column[rows], column[rows][-1:]))
            for name, pair in self.legs.items()
        }
        return EquityCurve(us, inventory, equity, spread, fees, below, legs)

    @property
    def x(self) -> tuple[float, float]:
        return float(self.us[0]), float(max(self.us[-1], self.us[0] + US_PER_S))

    @property
    def carried(self) -> Floats:
        """The rest of equity, so that the parts add up at every row."""
        return _rounded(self.own - self.spread + self.fees)


def _each(pair: tuple[Floats, Floats], change: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    return change(pair[0]), change(pair[1])


def equity_curve(run: "RunColumns") -> EquityCurve:
    us, inventory, equity, legs = _all_legs(run)
    if len(run.excluded):
        begun = np.searchsorted(run.excluded[:, 0], us, side="right")
        equity = np.where(begun > np.searchsorted(run.excluded[:, 1], us, side="right"), np.nan, equity)
        del begun  # one row per second of all days: release memory early
    known = ~np.isnan(equity)
    first = int(known.argmax()) if known.any() else 0
    change = equity - equity[first] if known.any() else equity
    legs = {name: (earned - earned[first], held) for name, (earned, held) in legs.items()}
    after = pauses(us, run.usual_us)
    before = after - 1
    spread, fees = _until(us, run)
    if not len(after):
        return EquityCurve(us, inventory, change, spread, fees, legs=legs)
    return EquityCurve(
        us=np.insert(us, after, us[before] + 1),
        inventory=np.insert(inventory, after, inventory[before]),
        equity=np.insert(change, after, np.nan),
        spread=np.insert(spread, after, spread[before]),
        fees=np.insert(fees, after, fees[before]),
        legs={
            name: _each(pair, lambda column: np.insert(column, after, column[before])) for name, pair in legs.items()
        },
    )


def _all_legs(run: "RunColumns") -> tuple[Ints, Floats, Floats, dict[str, tuple[Floats, Floats]]]:
    us = np.asarray(run.state["recv_us"], dtype=np.int64)
    inventory, equity = np.asarray(run.state["inventory"], dtype=np.float64), run.quoting
    if not run.legs or not len(us):
        return us, inventory, equity, {}
    every = np.unique(np.concatenate((us, *(leg.us for leg in run.legs.values()))))
    row = np.maximum(np.searchsorted(us, every, side="right") - 1, 0)
    legs = {}
    for name, leg in run.legs.items():
        at = leg.rows(every)
        legs[name] = leg.quoting[at], leg.inventory[at]
    return every, inventory[row], sum((earned for earned, _ in legs.values()), equity[row]), legs


def usual_us(us: Ints) -> float:
    return median(np.diff(us)) if len(us) > 1 else 0.0


def pauses(us: Ints, usual: float | None = None) -> Rows:
    """Return rows after pauses (nights): over a minute and ten times the *usual* µs (default: the median)."""
    return np.flatnonzero(np.diff(us) > max(PAUSE_US, 10 * (usual_us(us) if usual is None else usual))) + 1


def _until(us: Ints, run: "RunColumns") -> tuple[Floats, Floats]:
    fills = run.fills
    fill_us, mid = np.asarray(fills["recv_us"], dtype=np.int64), np.asarray(fills["mid"], dtype=np.float64)
    marks, marked_us = np.asarray(run.state["mid"], dtype=np.float64), np.asarray(run.state["recv_us"], dtype=np.int64)
    known = np.flatnonzero(~np.isnan(marks))
    if len(known):
        row = np.searchsorted(known, np.searchsorted(marked_us, fill_us, side="right") - 1, side="right") - 1
        mid = np.where(np.isnan(mid), marks[known[np.maximum(row, 0)]], mid)
    signs = np.where(np.asarray(fills["side"]) == "BUY", 1.0, -1.0)
    earned = signs * np.asarray(fills["qty"], np.float64) * (mid - np.asarray(fills["price"], np.float64))
    row = np.searchsorted(fill_us, us, side="right")
    spread, fees = (
        np.concatenate(([0.0], np.cumsum(part)))[row] for part in (earned, np.asarray(fills["fee"], np.float64))
    )
    return spread, fees


def under_water(equity: Floats) -> Floats:
    highest = np.maximum.accumulate(np.where(np.isnan(equity), -np.inf, equity))
    return _rounded(np.where(np.isnan(equity), np.nan, equity - np.where(np.isinf(highest), 0.0, highest)))


def _rounded(values: Floats) -> Floats:
    """Differences of floats without what only their rounding left, which an axis would be scaled to."""
    return np.where(np.abs(values) < ROUNDING, 0.0, values)
