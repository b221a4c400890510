"""Accounts of several quote assets: balances by asset, sums and limits in one, against plain fractions."""

from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_one_account import UNIT, Near

from account_purse import purse_of
from engine_tapes import BEGIN_US, one_tape
from mm import Quotes, Rules, Tape
from mm.backtest.account_limits import AccountBounds
from mm.backtest.fills.base import QueueProbPower, TradeCross
from mm.backtest.numeraire import PER_UNIT, Numeraire
from mm.backtest.one_account import AccountMarket, backtest_account
from mm.errors import UsageError
from mm.instrument import E8, Instrument

BTCUSDT = Instrument("BTCUSDT", E8, 100_000, base_asset="BTC", quote_asset="USDT")
ETHBTC = Instrument("ETHBTC", 10_000, 1_000_000, base_asset="ETH", quote_asset="BTC")
ETHUSDT = Instrument("ETHUSDT", 10_000_000, 1_000_000, base_asset="ETH", quote_asset="USDT")
TRIANGLE = (BTCUSDT, ETHBTC, ETHUSDT)
WAYS = {"USDT": ("BTC", "BTCUSDT", False), "BTC": ("USDT", "BTCUSDT", True)}  # what is converted, and by which mid
ASSETS = {grid.symbol: grid.assets for grid in TRIANGLE}


def market(tape, grid, *, quotes=Near, fills=TradeCross, **changes):
    terms = {"requote_us": 100_000, "start_lots": 2, "quote_lots": 2, "maker_fee_e8": 75_000, **changes}
    own = replace(tape, symbol=grid.symbol, instrument=grid)
    return AccountMarket((own,), quotes(), fills(), Rules(grid.tick_e8, grid.lot_e8, **terms))


def triangle(tapes, order=TRIANGLE, **changes):
    built = dict(zip(TRIANGLE, tapes, strict=True))
    return {grid.symbol: market(built[grid], grid, **changes) for grid in order}


@given(
    st.tuples(*(one_tape(UNIT),) * 3),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.sampled_from([TradeCross, QueueProbPower]),
    st.sampled_from(list(permutations(TRIANGLE))),
)
@settings(max_examples=25, deadline=None)
def test_the_balances_of_a_triangle_are_those_of_a_plain_purse(drawn, cash, fills, order):
    """Every order is covered by the balance of its asset: BTC is the base of one symbol and the quote of another."""
    markets = triangle([tape for tape, _ in drawn], order, fills=fills, order_latency_us=60_000)
    cash_e8 = {"USDT": cash[0] * E8 // 10, "BTC": cash[1] * E8 // 10_000}
    bounds = AccountBounds(numeraire="USDT", balances_e8=(("BTC", cash_e8["BTC"]),))
    result = backtest_account(markets, cash_e8["USDT"], bounds)
    purse = purse_of(markets, cash_e8, result.results)
    kept = balances_of(markets, result.results, cash_e8)
    assert kept == {asset: Fraction(held, E8 * E8) for asset, held in purse.held.items()}
    assert kept == {asset: Fraction(ends["end"]) for asset, ends in result.balances().items()}


def balances_of(markets, results, cash_e8):
    """Return the balances after all fills, from cash and inventories at the start."""
    held = {asset: Fraction(amount, E8) for asset, amount in cash_e8.items()}
    for symbol, one in markets.items():
        grid, (base, quote) = one.instrument, one.instrument.assets
        held[base] = held.get(base, 0) + Fraction(one.rules.start_lots * grid.lot_e8, E8)
        for _, _, side, ticks, lots, fee_e8, *_ in results[symbol].journal.fills.tolist():
            quantity = Fraction(lots * grid.lot_e8, E8)
            held[base] += side * quantity
            held[quote] -= side * quantity * Fraction(ticks * grid.tick_e8, E8) + Fraction(fee_e8, E8)
    return held


@given(
    st.tuples(*(one_tape(UNIT),) * 3),
    st.sampled_from(sorted(WAYS)),
    st.sampled_from([TradeCross, QueueProbPower]),
    st.sampled_from(list(permutations(TRIANGLE))),
)
@settings(max_examples=25, deadline=None)
def test_sums_are_those_of_a_ledger_of_fills_and_mids(drawn, numeraire, fills, order):
    """Row by row: what each symbol holds of two assets at its mid, and in the numeraire at that of its pair."""
    markets = triangle([tape for tape, _ in drawn], order, fills=fills)
    cash_e8 = {"USDT": 40 * E8, "BTC": E8 // 100}
    result = backtest_account(
        markets, cash_e8["USDT"], AccountBounds(numeraire=numeraire, balances_e8=(("BTC", cash_e8["BTC"]),))
    )
    series = result.series
    if series is None:
        assert not result.counted
        return
    starts = {symbol: one.terms.initial_cash_e8 for symbol, one in result.results.items()}
    ledgers = {symbol: Ledger(markets[symbol], result.results[symbol].journal, starts[symbol]) for symbol in markets}
    asset, pair, inverse = WAYS[numeraire]
    counted = [symbol for symbol in markets if symbol in result.counted]
    rows = list(zip(series.us.tolist(), series.equity.tolist(), strict=True))
    for us, units in rows[1:]:  # the first one is before all fills
        expected = Fraction(0)
        for symbol in counted:
            worth = ledgers[symbol].worth(us)
            if ASSETS[symbol][1] == asset:
                mid = ledgers[pair].mid(max(us, ledgers[symbol].first_us))
                worth = Fraction(round((worth / mid if inverse else worth * mid) * PER_UNIT), PER_UNIT)
            expected += worth
        assert Fraction(units, series.per_quote) == expected, us
    summary = result.summary
    total = Fraction(series.equity.tolist()[-1] - series.equity.tolist()[0], series.per_quote)
    if len(counted) == len(markets):
        assert summary["pnl_total"] == pytest.approx(float(total), abs=1e-9)
    assert summary["quote_asset"] == summary["numeraire"]["asset"] == numeraire


class Ledger:
    """One symbol's cash and inventory after each fill, and its mid at each row of the state."""

    def __init__(self, market, journal, cash_e8):
        grid = market.instrument
        self.first_us = int(journal.state[0, 0]) if len(journal.state) else 0
        lots, cash, mid2 = (
            market.rules.start_lots,
            Fraction(cash_e8, E8),
            int(next(filter(None, journal.state[:, 4]), 0)),
        )
        self.held, self.mids = [(0, lots, cash)], [(0, mid2)]
        for us, _, side, ticks, size, fee_e8, *_ in journal.fills.tolist():
            lots += side * size
            cash -= Fraction(side * size * ticks * grid.lot_e8 * grid.tick_e8, E8 * E8) + Fraction(fee_e8, E8)
            self.held.append((us, lots, cash))
        begins = set(journal.spans[:, 0].tolist())  # a span begins with a row of its own
        marks = [(row[0], 0, row[4]) for row in journal.state.tolist() if row[4]]
        marks += [(us, 1, mid2) for us, mid2 in journal.mids.tolist() if us in begins and us >= self.first_us and mid2]
        self.mids += [(us, mid2) for us, _, mid2 in sorted(marks, key=lambda mark: mark[:2])]
        self.grid = grid

    def mid(self, us):
        return Fraction(at(self.mids, max(us, self.first_us))[1] * self.grid.tick_e8, 2 * E8)

    def worth(self, us):
        _, lots, cash = at(self.held, us)
        return cash + Fraction(lots * self.grid.lot_e8, E8) * self.mid(us)


def at(rows, us):
    """Return the last row up to an instant."""
    return rows[bisect_right(rows, us, key=lambda row: row[0]) - 1]


def books(grid, *tops):
    """Return a tape: at each second, the best bid and ask."""
    first, *rest = tops
    events = [(BEGIN_US, "snapshot", [(first[0], 9)], [(first[1], 9)])]
    for at, (before, now) in enumerate(zip(tops, rest, strict=False), start=1):
        gone = ([(before[0], 0)] * (before[0] != now[0]), [(before[1], 0)] * (before[1] != now[1]))
        events.append((BEGIN_US + at * 1_000_000, "depth", [*gone[0], (now[0], 9)], [*gone[1], (now[1], 9)]))
    end = BEGIN_US + len(tops) * 1_000_000
    return Tape.of(grid, [*events, (end, "depth", [(tops[-1][0], 9)], [])])


class Bid:
    def quote(self, view):
        return Quotes(view.bid_ticks, None, 100)


class Nothing:
    def quote(self, view):
        return Quotes(None, None)


def placed(result, symbol):
    return [row for row in result.results[symbol].orders.to_dicts() if row["action"] == "PLACE"]


@pytest.mark.parametrize("more_e8", [0, 1])
def test_the_notional_of_all_is_limited_in_the_numeraire(more_e8):
    """An order of 1 ETH at 0.05 BTC, with BTC at 60,000 USDT, is 3,000 at its price and 3,030 at the mid 0.0505."""
    tapes = books(BTCUSDT, (59_990, 60_010)), books(ETHBTC, (500, 510)), books(ETHUSDT, (30_000, 30_010))
    markets = triangle(tapes, quotes=Nothing, start_lots=0)
    markets["ETHBTC"] = market(tapes[1], ETHBTC, quotes=Bid, start_lots=0, maker_fee_e8=0)
    bound_e8 = 3_030 * E8 - more_e8
    bounds = AccountBounds(notional_e8=bound_e8, balances_e8=(("BTC", E8),))
    result = backtest_account(markets, 10_000 * E8, bounds)
    assert bool(placed(result, "ETHBTC")) is (more_e8 == 0)
    breaches = result.results["ETHBTC"].journal.breaches
    assert breaches is not None
    assert [row[2:4] for row in breaches.tolist()] == ([[3_030 * E8, bound_e8]] if more_e8 else [])


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("less_e8", [0, 1])
def test_the_loss_of_a_day_is_counted_in_the_numeraire(less_e8, inverse):
    """Cash of 1 BTC loses in USDT when BTC falls, and 2,400 USDT lose in BTC when it rises."""
    tapes = (
        books(BTCUSDT, (59_990, 60_010), *((47_990, 48_010),) * 3)
        if not inverse
        else books(BTCUSDT, (47_990, 48_010), *((59_990, 60_010),) * 3),
        books(ETHBTC, *((500, 510),) * 4),
        books(ETHUSDT, *((30_000, 30_010),) * 4),
    )
    markets = triangle(tapes, quotes=Nothing, start_lots=0)
    loss_e8 = (2_400 * E8 // 48_000 - 2_400 * E8 // 60_000) if inverse else 12_000 * E8
    bounds = AccountBounds(
        loss_e8=loss_e8 - less_e8, numeraire="BTC" if inverse else "USDT", balances_e8=(("BTC", E8),)
    )
    result = backtest_account(markets, 2_400 * E8, bounds)
    assert (result.killed is not None) is (less_e8 == 1)


def test_what_converts_is_a_symbol_of_the_account():
    assert Numeraire.of(ASSETS).asset == "USDT"
    assert {symbol: way.pair for symbol, way in Numeraire.of(ASSETS).by.items()} == {"ETHBTC": "BTCUSDT"}
    assert Numeraire.of(ASSETS, "BTC").main == "USDT"
    for order in permutations(ASSETS.items()):
        assert Numeraire.of(dict(order)) == Numeraire.of(ASSETS)
    with pytest.raises(UsageError, match="BTCUSDT"):
        Numeraire.of({"ETHBTC": ("ETH", "BTC"), "ETHUSDT": ("ETH", "USDT")}, "USDT")
    with pytest.raises(UsageError, match="EUR"):
        Numeraire.of(ASSETS, "EUR")


def test_a_balance_that_no_symbol_is_quoted_in_is_refused():
    markets = triangle((books(BTCUSDT, (9, 11)), books(ETHBTC, (9, 11)), books(ETHUSDT, (9, 11))))
    for asset in ("USDT", "ETH", "EUR"):
        with pytest.raises(UsageError, match=asset):
            backtest_account(markets, E8, AccountBounds(balances_e8=((asset, 1),)))
