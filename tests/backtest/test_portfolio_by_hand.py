"""Accounts of symbols of different ticks and lots, against a portfolio in plain fractions."""

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_margin_replay import ROWS, Plan, rules, tape
from test_one_account import UNIT, Near

from account_purse import purse_of
from engine_tapes import BEGIN_US, TEST, one_tape
from exchange_rig import INSTRUMENT, START_US
from mm import Quotes, Rules, Tape
from mm.backtest.account_limits import AccountBounds
from mm.backtest.account_result import AccountResult
from mm.backtest.fills.base import QueueProbPower, TradeCross
from mm.backtest.margin_terms import MarginTerms
from mm.backtest.models import trade_cross
from mm.backtest.one_account import AccountMarket, backtest_account
from mm.instrument import E8, Instrument
from mm.tape.columns import Payment
from plain_margin import PlainMargin, PlainPosition
from usdm_rig import SECOND_US

NO_LIMITS = AccountBounds()
PAID, MARKED, TRADED = range(3)
Event = tuple[int, int, Instrument, Any]
GRIDS = (
    TEST,
    replace(TEST, symbol="COARSEUSDT", tick_e8=5_000_000, lot_e8=100_000),
    replace(TEST, symbol="FINEUSDT", tick_e8=10_000, lot_e8=E8),
)


def spot(built: Tape, grid: Instrument, quotes: Any, fills: Any = TradeCross, **more: Any) -> AccountMarket:
    own: dict[str, Any] = {"requote_us": 100_000, "quote_lots": 2, "maker_fee_e8": 75_000, **more}
    terms = Rules(grid.tick_e8, grid.lot_e8, **own)
    return AccountMarket((replace(built, symbol=grid.symbol, instrument=grid),), quotes(), fills(), terms)


@given(
    one_tape(UNIT),
    one_tape(UNIT),
    one_tape(UNIT),
    st.integers(0, 40),
    st.sampled_from([TradeCross, QueueProbPower]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_a_purse_of_three_grids_is_that_of_the_plain_one(one, other, third, tenths, fills, same_base):
    grids = [*GRIDS[:2], replace(GRIDS[2], base_asset="TEST", quote_asset="USDT") if same_base else GRIDS[2]]
    given_ = {"start_lots": 2, "order_latency_us": 60_000, "order_amend": True}
    tapes = (one[0], other[0], third[0])
    markets = {grid.symbol: spot(built, grid, Near, fills, **given_) for built, grid in zip(tapes, grids, strict=True)}
    cash_e8 = tenths * 2 * E8
    results = backtest_account(markets, cash_e8, NO_LIMITS).results
    purse = purse_of(markets, cash_e8, results)
    held = dict.fromkeys(purse.held, 0)
    for symbol, market in markets.items():
        journal, grid, (base, quote) = results[symbol].journal, market.instrument, market.instrument.assets
        start = (0, market.rules.start_lots, 0, 0)
        _, lots, cash_tl, fees_e8, *_ = journal.state[-1].tolist() if len(journal.state) else start
        held[base] += lots * grid.lot_e8 * E8
        held[quote] += (results[symbol].terms.initial_cash_e8 - fees_e8) * E8 + cash_tl * grid.tick_lot_e16
    assert held == purse.held


def test_a_buy_waits_for_the_balance_that_the_sale_of_another_symbol_gives():
    """60 and 50 locked of 100, then a sale at 101: the second bid is sent at the first requote after it."""

    class Bid:
        def quote(self, view):
            return Quotes(view.bid_ticks, None, 2)

    class Ask:
        def quote(self, view):
            return Quotes(None, view.ask_ticks, None, 1)

    def at(ms: int) -> int:
        return BEGIN_US + ms * 1_000

    buys = replace(TEST, symbol="BUYUSDT", tick_e8=E8, lot_e8=E8)
    more = replace(TEST, symbol="MOREUSDT", tick_e8=E8 // 2, lot_e8=E8)
    sells = replace(TEST, symbol="SELLUSDT", tick_e8=E8, lot_e8=E8)
    quiet = [(at(10_000), "depth", [(1, 1)], [])]
    tapes = {
        buys: Tape.of(buys, [(at(0), "snapshot", [(30, 9)], [(32, 9)]), *quiet]),
        more: Tape.of(more, [(at(0), "snapshot", [(50, 9)], [(52, 9)]), *quiet]),
        sells: Tape.of(sells, [(at(0), "snapshot", [(99, 9)], [(101, 9)]), (at(4_050), "trade", 1, 101, 1), *quiet]),
    }
    markets = {
        grid.symbol: spot(built, grid, Ask if grid is sells else Bid, start_lots=grid is sells, maker_fee_e8=0)
        for grid, built in tapes.items()
    }
    results = backtest_account(markets, 100 * E8, NO_LIMITS).results
    placed = {name: [row for row in one.orders.to_dicts() if row["action"] == "PLACE"] for name, one in results.items()}
    assert [row["recv_us"] for row in placed["BUYUSDT"]] == [at(0)]  # 60 of the 100
    assert [row["recv_us"] for row in placed["MOREUSDT"]] == [at(4_100)]  # 50 of the 40 that are left, then of 141
    skipped = [row for row in results["MOREUSDT"].orders.to_dicts() if row["action"] == "SKIP"]
    assert {row["reject_reason"] for row in skipped} == {"insufficient_cash"}
    [sale] = results["SELLUSDT"].journal.fills.tolist()
    assert (sale[0], sale[3], sale[4]) == (at(4_050), 101, 1)


CONTRACTS = (
    replace(INSTRUMENT, symbol="AUSDT", base_asset="A"),
    replace(INSTRUMENT, symbol="BUSDT", base_asset="B", tick_e8=E8 // 10, lot_e8=E8 // 10_000),
    replace(INSTRUMENT, symbol="CUSDT", base_asset="C", tick_e8=E8 // 1_000, lot_e8=E8 // 100),
)
HOURS = (
    (4, 8, 12, 16, 20, 24, 28),
    (6, 14, 18, 22),
    (20,),
)  # each second is an hour: every four, another interval, one


@pytest.mark.parametrize("seed", range(24))
def test_a_margin_account_of_three_grids_is_that_of_fractions(seed: int) -> None:
    """Wallet, funding and instant of the end, from fills, marks and payments: cross, or the third one isolated."""
    draw = random.Random(seed)
    isolated = draw.random() < 0.5
    cash = draw.choice([400, 700, 1_500])
    mids = [_walk(draw) for _ in CONTRACTS]
    if draw.random() < 0.5:  # a mark that jumps
        at = draw.randrange(10, 30)
        mids[0] = [*mids[0][:at], *(mid * 9 // 10 for mid in mids[0][at:])]
    pays = [
        tuple(
            Payment(START_US + at * SECOND_US + 500_000, draw.randrange(-200_000, 200_000), own[at] * grid.tick_e8)
            for at in hours
        )
        for own, grid, hours in zip(mids, CONTRACTS, HOURS, strict=True)
    ]
    plans = [
        {at: draw.choice([-1, 1]) * draw.randrange(10, 50) * 10**9 // (grid.tick_e8 // 100 * grid.lot_e8 // 10**3)
         for at in draw.sample(range(1, 35), 4)}
        for grid in CONTRACTS
    ]  # fmt: skip
    terms = [MarginTerms(leverage=20, isolated=isolated and grid.symbol == "CUSDT") for grid in CONTRACTS]
    markets = {}
    for grid, own, pay, plan, margin in zip(CONTRACTS, mids, pays, plans, terms, strict=True):
        built = replace(tape(own, pay), symbol=grid.symbol, instrument=grid)
        known = rules(margin, cash, tick_e8=grid.tick_e8, lot_e8=grid.lot_e8)
        markets[grid.symbol] = AccountMarket((built,), Plan(plan), trade_cross(), known)
    result = backtest_account(markets, cash * E8, NO_LIMITS)
    assert result.wallet is not None
    end_us = result.wallet.liquidations[0].us if result.wallet.liquidations else None

    plain = PlainMargin(Fraction(cash), {grid.symbol: PlainPosition(ROWS) for grid in CONTRACTS})
    ended, funding = played_by_hand(plain, events_of(result, mids, pays), cross=not isolated, end_us=end_us)
    if not isolated:
        assert ended == end_us
    for grid in CONTRACTS:
        assert Fraction(result.results[grid.symbol].terms.funding_e8 or 0, E8) == funding[grid.symbol]
    if end_us is None:
        wallet = result.wallet.wallet
        costs = sum(one.cost_e8 for one in wallet.contracts.values())
        earned = sum(one.cash for one in plain.positions.values())
        assert Fraction(wallet.balance_e8 - costs, E8) == plain.start + earned


def events_of(result: AccountResult, mids: Sequence[Sequence[int]], pays: Sequence[Sequence[Payment]]) -> list[Event]:
    """Return payments, marks and fills in the order of time: at one instant in this order, each by contract."""
    events: list[Event] = []
    for grid, own, pay in zip(CONTRACTS, mids, pays, strict=True):
        one = result.results[grid.symbol].journal
        trades = [row for row in one.fills.tolist() if not one.fill_reasons[row[6]].startswith("liq")]
        events += [(each.us, PAID, grid, each) for each in pay]
        events += [(START_US + at * SECOND_US, MARKED, grid, mid) for at, mid in enumerate(own)]
        events += [(row[0], TRADED, grid, row) for row in trades]
    return sorted(events, key=lambda event: event[:2])


def played_by_hand(
    plain: PlainMargin, events: Sequence[Event], *, cross: bool, end_us: int | None
) -> tuple[int | None, dict[str, Fraction]]:
    """Play events up to the end of a run; return when the margin of cross positions is used up, and the funding."""
    funding = dict.fromkeys(plain.positions, Fraction(0))
    for us, kind, grid, what in events:
        if end_us is not None and us > end_us:
            break
        if kind == PAID:
            paid = plain.fund(grid.symbol, Fraction(what.mark_e8, E8), Fraction(what.rate_e8, E8))
            booked = Fraction(round(paid * E8), E8)  # half to even
            plain.positions[grid.symbol].cash += paid - booked
            funding[grid.symbol] += booked
        elif kind == MARKED:
            plain.positions[grid.symbol].mark = Fraction(what * grid.tick_e8, E8)
            if cross and grid is CONTRACTS[-1] and plain.equity <= plain.needed > 0:
                return us, funding
        else:
            _, _, side, ticks, lots, fee_e8, *_ = what
            price, quantity = Fraction(ticks * grid.tick_e8, E8), Fraction(lots * grid.lot_e8, E8)
            assert fee_e8 == round(price * quantity * 50_000)
            plain.trade(grid.symbol, side, price, quantity, Fraction(fee_e8, E8))
    return None, funding


def _walk(draw: random.Random) -> list[int]:
    mids = [10_000]
    for _ in range(39):
        mids.append(max(mids[-1] + draw.randrange(-120, 110), 6_000))
    return mids
