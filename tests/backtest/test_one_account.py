"""Several markets of one account: one clock, balances that all share, limits over all."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from account_purse import purse_of
from engine_tapes import BEGIN_US, TEST, one_tape
from mm import Quotes, Rules, Tape, backtest
from mm.backtest.account_limits import AccountBounds
from mm.backtest.fills.base import QueueProbPower, TradeCross
from mm.backtest.journal import ACTIONS
from mm.backtest.one_account import AccountMarket, backtest_account
from mm.backtest.quotes.simple import FixedSpread
from mm.errors import UsageError
from mm.markets.binance import USDM

UNIT = 250_000
E8 = 10**8
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100_000, start_lots=2, quote_lots=2, maker_fee_e8=75_000)
SECOND = replace(TEST, symbol="OTHERUSDT")
TABLES = ("orders", "fills", "state", "mids", "spans")
NO_LIMITS = AccountBounds()
LARGEST_CREDIT = 5  # orders that a fill gives back to the count of the exchange


class Near:
    """Quotes at the best prices."""

    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


def market(tape, instrument, *, fills=TradeCross, quotes=Near, **changes):
    return AccountMarket(
        (replace(tape, symbol=instrument.symbol, instrument=instrument),), quotes(), fills(), replace(RULES, **changes)
    )


def pair(one, other, **changes):
    return {TEST.symbol: market(one, TEST, **changes), SECOND.symbol: market(other, SECOND, **changes)}


def alone(one):
    return backtest(one.tapes, type(one.quotes)(), type(one.fills)(), one.rules)


def same_rows(result, other):
    return all(np.array_equal(getattr(result.journal, name), getattr(other.journal, name)) for name in TABLES)


@given(one_tape(UNIT), one_tape(UNIT), st.sampled_from([TradeCross, QueueProbPower]), st.sampled_from([0, 20_000]))
@settings(max_examples=60, deadline=None)
def test_with_ample_balances_each_market_plays_as_alone(one, other, fills, feed_us):
    """Row by row: orders, fills, state, mids and time with a market."""
    markets = pair(one[0], other[0], fills=fills, start_cash_e8=10**15, start_lots=10**6, feed_us=feed_us)
    played = backtest_account(markets, 2 * 10**15, NO_LIMITS)
    for symbol, market_played in markets.items():
        single = alone(market_played)
        assert same_rows(played.results[symbol], single)
        assert played.results[symbol].journal.counters == single.journal.counters


@given(
    one_tape(UNIT),
    one_tape(UNIT),
    st.integers(0, 40),
    st.sampled_from([0, 75_000]),
    st.sampled_from([TradeCross, QueueProbPower]),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_the_balances_are_those_of_a_plain_purse(one, other, tenths, fee, fills, same_base):
    """Every order that is sent is covered at that instant, and none that the balances refuse would have been."""
    changes = {"maker_fee_e8": fee, "order_latency_us": 60_000, "fills": fills, "order_amend": True}
    markets = pair(one[0], other[0], **changes)
    if same_base:
        instrument = replace(SECOND, base_asset="TEST", quote_asset="USDT")
        markets[SECOND.symbol] = market(other[0], instrument, **changes)
    cash_e8 = tenths * 200 * E8 // 10_000
    results = backtest_account(markets, cash_e8, NO_LIMITS).results
    purse = purse_of(markets, cash_e8, results)
    for asset in purse.held:
        shares = sum(end_of(markets, results, symbol, asset) for symbol in markets)
        assert purse.held[asset] == shares


def end_of(markets, results, symbol, asset):
    """Return what the account of a market ends with of an asset, 1e-16."""
    rules, journal, (base, quote) = results[symbol].terms, results[symbol].journal, markets[symbol].instrument.assets
    start = markets[symbol].rules.start_lots
    _, lots, cash_tl, fees_e8, *_ = journal.state[-1].tolist() if len(journal.state) else (0, start, 0, 0, 0)
    cash = (rules.initial_cash_e8 - fees_e8) * E8 + cash_tl * markets[symbol].rules.tick_lot_e16
    return (base == asset) * lots * TEST.lot_e8 * E8 + (quote == asset) * cash


class Around:
    """Quotes as ``fixed_spread``, and is called at each requote, as every model in Python."""

    def quote(self, view):
        mid = (view.bid_ticks + view.ask_ticks) / 2
        return Quotes(mid - 1, mid + 1)


@given(one_tape(UNIT), one_tape(UNIT), st.integers(0, 40))
@settings(max_examples=120, deadline=None)
def test_cash_that_another_market_frees_is_used_at_the_next_requote(one, other, tenths):
    """A compiled model is not called while nothing changes; the rows are those of one that always is."""
    rows = []
    for quotes in (Around, lambda: FixedSpread(delta_ticks=1)):
        markets = pair(one[0], other[0], order_latency_us=60_000, quotes=quotes)
        rows.append(backtest_account(markets, tenths * 200 * E8 // 10_000, NO_LIMITS).results)
    for symbol, result in rows[0].items():
        assert same_rows(result, rows[1][symbol])


@given(one_tape(UNIT), one_tape(UNIT), st.integers(0, 40), st.integers(0, 30), st.sampled_from([0, 20_000]))
@settings(max_examples=80, deadline=None)
def test_nothing_depends_on_what_comes_later(one, other, tenths, cut, feed_us):
    """Rows up to an instant are the same whatever follows it in any of the markets."""
    cash_e8, cut_us = tenths * 200 * E8 // 10_000, BEGIN_US + cut * UNIT // 2
    whole, part = (
        backtest_account(pair(*tapes, order_latency_us=60_000, feed_us=feed_us), cash_e8, NO_LIMITS).results
        for tapes in ((one[0], other[0]), (until(one[0], cut_us), until(other[0], cut_us)))
    )
    for symbol, result in whole.items():
        for name in ("orders", "fills"):
            rows = [getattr(each.journal, name) for each in (result, part[symbol])]
            early, known = (table[table[:, 0] < cut_us - feed_us] for table in rows)  # what arrives later happened then
            assert np.array_equal(early, known)


def until(tape, us):
    """Return a tape with nothing after an instant but silence, up to the same end."""
    return replace(tape.between(tape.start_us, max(us, tape.start_us)), end_us=tape.end_us)


@given(one_tape(UNIT), one_tape(UNIT), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_exchange_counts_the_orders_of_all_symbols(one, other, limit):
    markets = pair(one[0], other[0], start_lots=10**6, orders_per_day=limit)
    results = backtest_account(markets, 10**15, NO_LIMITS).results
    placed = sum(int((result.journal.orders[:, 2] == ACTIONS.index("PLACE")).sum()) for result in results.values())
    filled = sum(len(result.journal.fills) for result in results.values())
    assert placed <= limit + filled * LARGEST_CREDIT


@given(one_tape(UNIT), one_tape(UNIT), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_open_orders_of_all_stay_within_the_limit_of_the_account(one, other, limit):
    markets = pair(one[0], other[0], start_lots=10**6, order_latency_us=60_000)
    bounds = AccountBounds(orders=limit)
    results = backtest_account(markets, 10**15, bounds).results
    rows = sorted(
        (row[0], place, number, symbol, row)
        for place, (symbol, result) in enumerate(results.items())
        for number, row in enumerate(result.journal.orders.tolist())
    )
    open_orders = set()
    for us, _, _, symbol, row in rows:
        open_orders = {key for key in open_orders if us <= markets[key[0]].tapes[0].end_us}
        if ACTIONS[row[2]] == "PLACE":
            open_orders.add((symbol, row[1]))
        elif ACTIONS[row[2]] in ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT"):
            open_orders.discard((symbol, row[1]))
        assert len(open_orders) <= limit


def test_markets_without_a_common_account_are_refused():
    one = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 2)], [(101, 2)])])
    other = replace(SECOND, symbol="OTHERBTC")
    with pytest.raises(UsageError, match="no symbol of the account has both"):
        backtest_account({TEST.symbol: market(one, TEST), other.symbol: market(one, other)}, E8, NO_LIMITS)
    contract = market(replace(one, meta=replace(one.meta, venue=USDM.venue)), SECOND)
    with pytest.raises(UsageError, match="separate accounts"):
        backtest_account({TEST.symbol: market(one, TEST), SECOND.symbol: contract}, E8, NO_LIMITS)
