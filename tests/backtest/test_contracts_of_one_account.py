"""Several contracts of one margin account: its margin and liquidation, equal to the box and to fractions."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from test_margin_replay import ROWS, Plan, rules, tape, walk

import mm
from exchange_rig import INSTRUMENT, START_US
from mm import Tape, backtest
from mm.backtest.account_limits import AccountBounds
from mm.backtest.account_result import AccountResult
from mm.backtest.journal import TAKEN
from mm.backtest.margin_terms import MarginTerms
from mm.backtest.models import trade_cross
from mm.backtest.one_account import AccountMarket, backtest_account
from mm.backtest.quotes.simple import FixedSpread
from mm.clock import iso
from mm.instrument import E8
from mm.margin.wallet import ABOVE_BRACKET, MARGIN_INSUFFICIENT
from mm.sim.exchange.api_error import ApiError
from mm.tape.columns import Payment
from plain_margin import PlainMargin, PlainPosition
from usdm_rig import ALICE, BOB, SECOND_US, Pit

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
NO_LIMITS = AccountBounds()
DEEP = 10**7
IN_PART = {(1, 20_000)}  # seeds and scales of the box of which a position is liquidated in part
TABLES = ("orders", "fills", "state", "mids", "spans")


def of_symbol(built: Tape, symbol: str) -> Tape:
    return replace(built, symbol=symbol, instrument=replace(INSTRUMENT, symbol=symbol, base_asset=symbol[:-4]))


def market(built: Tape, symbol: str, quotes: Any, terms: MarginTerms | None, cash: int, **more: Any) -> AccountMarket:
    return AccountMarket((of_symbol(built, symbol),), quotes, trade_cross(), rules(terms, cash, **more))


def played(tapes: Sequence[Tape], plans: Sequence[Any], terms: Sequence[MarginTerms], cash: int) -> AccountResult:
    named = zip(SYMBOLS[: len(tapes)], tapes, plans, terms, strict=True)
    markets = {symbol: market(built, symbol, Plan(plan), own, cash) for symbol, built, plan, own in named}
    return backtest_account(markets, cash * E8, NO_LIMITS)


@pytest.mark.parametrize("seed", range(6))
def test_with_an_ample_margin_each_contract_plays_as_alone(seed: int) -> None:
    """Row by row, with the funding of each, and the wallet is the sum."""
    draw = random.Random(seed)
    given = {"requote_us": 250_000, "order_latency_us": 50_000, "quote_lots": 500, "feed_us": draw.choice([0, 70_000])}
    pay = Payment(START_US + 17 * SECOND_US + 1, 20_000, 99 * E8)
    tapes = [of_symbol(walk(draw, 60), symbol) for symbol in SYMBOLS[:2]]
    tapes = [replace(one, meta=replace(one.meta, funding=(pay,))) for one in tapes]
    terms = MarginTerms(leverage=20, isolated=draw.random() < 0.3)
    cash = 10**6
    markets = {
        one.symbol: AccountMarket((one,), FixedSpread(delta_ticks=1.0), trade_cross(), rules(terms, cash, **given))
        for one in tapes
    }
    result = backtest_account(markets, cash * E8, NO_LIMITS)
    earned = 0
    for one in tapes:
        single = backtest(one, FixedSpread(delta_ticks=1.0), trade_cross(), rules(terms, cash, **given))
        for name in TABLES:
            assert np.array_equal(getattr(result.results[one.symbol].journal, name), getattr(single.journal, name))
        assert result.results[one.symbol].terms.funding_e8 == single.terms.funding_e8
        state = single.journal.state[-1].tolist()
        earned += state[2] * INSTRUMENT.tick_e8 * INSTRUMENT.lot_e8 // E8 - state[3]
    assert result.wallet is not None
    costs = sum(contract.cost_e8 for contract in result.wallet.wallet.contracts.values())
    assert result.wallet.wallet.balance_e8 - costs == cash * E8 + earned
    parts = [Decimal(str(one["pnl_total"])) for one in result.summary["symbols"].values()]
    assert Decimal(str(result.summary["pnl_total"])) == sum(parts)


def drawn(draw: random.Random) -> list[int]:
    mids = [10_000]
    for _ in range(60):
        mids.append(min(max(mids[-1] + draw.choice([-1, 1, 1]) * draw.randrange(0, 150), 6_000), 16_000))
    return mids if draw.random() < 0.5 else [20_000 - mid for mid in mids]


class Boxes:
    """The exchange in a box with two contracts on one wallet: all marks of a second are set before any is looked at."""

    def __init__(self, cash: int, terms: Sequence[MarginTerms]) -> None:
        self.pits = [Pit(interval_us=10 * SECOND_US, fund_e8=10**9 * E8) for _ in terms]
        wallet = self.pits[0].wallet(ALICE)
        wallet.balance_e8 = cash * E8
        wallet.contracts = {}
        for pit, symbol, own in zip(self.pits, SYMBOLS, terms, strict=False):
            pit.wallet(BOB).balance_e8 = 10**12 * E8
            account = pit.exchange.account(ALICE)
            account.wallet, account.contract.symbol = wallet, symbol
            wallet.contracts[symbol] = account.contract
            pit.exchange.set_leverage(pit.us, ALICE, own.leverage)
            if own.isolated:
                pit.exchange.set_isolated(pit.us, ALICE, True)

    def second(self, us: int, mids: Sequence[int], depth: int, rates: Sequence[int]) -> None:
        """Let a second pass, with the book of one level a side that the replay has then."""
        books = []
        for pit, mid, rate in zip(self.pits, mids, rates, strict=True):
            pit.exchange.terms.rate_e8 = rate
            books.append([pit.core.submit(us - 1, 1_000, side, mid - side, depth) for side in (1, -1)])
            pit.exchange.drain()
            pit.exchange.set_mark(mid * E8 // 100)
            pit.exchange.mark.e8 = mid * E8 // 100
        for pit in self.pits:
            pit.us = us
            pit.exchange.advance(us)
        for pit, book in zip(self.pits, books, strict=True):
            for order_id in book:
                pit.core.cancel(us, order_id)
            pit.exchange.drain()

    @property
    def forced(self) -> bool:
        return any(pit.exchange.forced for pit in self.pits)

    def take(self, at: int, side: int, ticks: int, lots: int) -> int:
        """Take as the replay does; return the code of a refusal, 0 for none."""
        self.pits[at].market_order(-side, ticks, lots)
        try:
            self.pits[at].limit(ALICE, side, ticks, lots, time_in_force="IOC")
        except ApiError as error:
            self.pits[at].market(BOB, side, lots)  # what it would have taken
            return error.code
        return 0


@pytest.mark.parametrize(
    ("seed", "scale"), [*((seed, 1) for seed in range(40)), *((seed, 20_000) for seed in range(6))]
)
def test_orders_balances_and_the_end_are_those_of_the_box(seed: int, scale: int) -> None:
    """Refusals, fills, funding, the instants of liquidations, forced orders, and each balance, to the last digit."""
    draw = random.Random(seed)
    mids = [drawn(draw), drawn(draw)]
    terms = [MarginTerms(leverage=draw.choice([5, 20, 100]), isolated=draw.random() < 0.3) for _ in mids]
    clip, depth = draw.randrange(5_000, 20_000) * scale, draw.choice([DEEP, 3_000]) * scale
    if scale > 1:  # large positions, of which a part is closed if little is missing
        mids = [[10_000 + (mid - 10_000) // 2 for mid in own] for own in mids]
        terms = [replace(own, leverage=20) for own in terms]
    cash = max(60, clip * 100 // 1_000 * 4 // min(own.leverage for own in terms))
    instants = [at for at in range(1, 50) if at % 10]  # none with a payment
    plans = [
        {at: draw.choice([-1, 1]) * draw.randrange(1_000, 3 * clip) for at in draw.sample(instants, 10)} for _ in mids
    ]
    pays = [
        {
            at: Payment(START_US + at * SECOND_US, draw.randrange(-40_000, 40_000), own[at] * E8 // 100)
            for at in (20, 40)
        }
        for own in mids
    ]
    if scale > 1:
        plans = [{at: lots // 9 for at, lots in plan.items()} for plan in plans]
        plans = [plan | {2: clip if own[-1] < own[0] else -clip} for plan, own in zip(plans, mids, strict=True)]
        cash = cash * 35 // 100
    tapes = [tape(own, tuple(pay.values()), depth) for own, pay in zip(mids, pays, strict=True)]
    result = played(tapes, plans, terms, cash)
    assert result.wallet is not None
    boxes = Boxes(cash, terms)
    rows = [one.journal.fills.tolist() for one in result.results.values()]
    reasons = [one.journal.fill_reasons for one in result.results.values()]
    refused = [
        {row["recv_us"]: row["reject_reason"] for row in one.orders.to_dicts() if row["action"] == "REJECT"}
        for one in result.results.values()
    ]
    codes = {"insufficient_margin": MARGIN_INSUFFICIENT, "above_bracket": ABOVE_BRACKET}
    for at in range(len(mids[0])):
        us = START_US + at * SECOND_US
        if at:
            rates = [pay[at].rate_e8 if at in pay else 0 for pay in pays]
            boxes.second(us, [own[at] for own in mids], depth, rates)
        if any(row.us == us for row in result.wallet.liquidations):
            assert boxes.forced
        ends = result.wallet.ended is not None and result.wallet.ended.us == us
        for number, plan in enumerate(plans):
            taken = [row for row in rows[number] if row[0] == us and reasons[number][row[6]] == TAKEN]
            lots = plan.get(at, 0)
            if not lots or (ends and not taken):  # another contract plays the instant of the end to its end
                continue
            side = 1 if lots > 0 else -1
            code = boxes.take(number, side, mids[number][at] + side, sum(row[4] for row in taken) or abs(lots))
            assert code == codes.get(refused[number].get(us, ""), 0)
        if ends:
            break
    assert bool(result.wallet.liquidations) is boxes.forced
    assert any(row.left_lots for row in result.wallet.liquidations) is ((seed, scale) in IN_PART)
    for number, pit in enumerate(boxes.pits):
        theirs = [(fill.side, fill.ticks, fill.lots) for fill in pit.exchange.users.fills(ALICE)]
        assert theirs == [tuple(row[2:5]) for row in rows[number]]
        ours, box = result.wallet.contract(SYMBOLS[number]), pit.contract(ALICE)
        for name in ("lots", "cost_e8", "fees_e8", "realised_e8", "wallet_e8"):
            assert getattr(ours, name) == getattr(box, name), name
        forced = [row for row in rows[number] if reasons[number][row[6]].startswith("liquidation")]
        assert bool(forced) is bool(pit.exchange.forced)
    assert result.wallet.wallet.balance_e8 == boxes.pits[0].wallet(ALICE).balance_e8


def test_the_seeds_end_in_every_way() -> None:
    """One, both and none of the positions are liquidated among plays as above."""
    ends = set()
    for seed in range(40):
        draw = random.Random(seed)
        mids = [drawn(draw), drawn(draw)]
        plans = [{1: 60_000}, {1: draw.choice([-1, 1]) * 60_000}]
        terms = [MarginTerms(leverage=20), MarginTerms(leverage=20, isolated=draw.random() < 0.5)]
        result = played([tape(own) for own in mids], plans, terms, 800)
        assert result.wallet is not None
        ends.add(len(result.wallet.liquidations))
    assert ends == {0, 1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_the_instant_of_a_liquidation_is_that_of_fractions(seed: int) -> None:
    """Equity and maintenance over three contracts, by the fills and the marks alone."""
    draw = random.Random(seed)
    mids = [drawn(draw) for _ in SYMBOLS]
    plans = [
        {at: draw.choice([-1, 1]) * draw.randrange(10_000, 40_000) for at in draw.sample(range(1, 40), 4)} for _ in mids
    ]
    cash = draw.choice([600, 1_500])
    result = played([tape(own) for own in mids], plans, [MarginTerms(leverage=20)] * 3, cash)
    plain = PlainMargin(Fraction(cash), {symbol: PlainPosition(ROWS) for symbol in SYMBOLS})
    fills = sorted(
        (row[0], symbol, row)
        for symbol, one in result.results.items()
        for row in one.journal.fills.tolist()
        if not one.journal.fill_reasons[row[6]].startswith("liq")
    )
    ended = None
    for at in range(len(mids[0])):
        us = START_US + at * SECOND_US
        while fills and fills[0][0] < us:
            _, symbol, (_, _, side, ticks, lots, fee_e8, *_) = fills.pop(0)
            plain.trade(symbol, side, Fraction(ticks, 100), Fraction(lots, 1_000), Fraction(fee_e8, E8))
        for symbol, own in zip(SYMBOLS, mids, strict=True):
            plain.positions[symbol].mark = Fraction(own[at], 100)
        if plain.needed and plain.equity <= plain.needed:
            ended = us
            break
    assert result.wallet is not None
    assert [row.us for row in result.wallet.liquidations][:1] == ([] if ended is None else [ended])
    assert result.summary.get("liquidated_at") == (None if ended is None else iso(ended))
    if ended is not None:
        assert result.summary["verdict"] is None
        for one in result.results.values():
            assert one.journal.counters["last_us"] == ended
            assert one.summary["liquidated_at"] == iso(ended)


def test_a_position_that_gains_backs_one_that_loses() -> None:
    """Long one and short another that fall together: alone the long one is liquidated, beside the short one not."""
    falls = [10_000 - at * 40 for at in range(40)]
    long, short = {1: 90_000}, {1: -90_000}
    cross = [MarginTerms(leverage=20)] * 2
    both = played([tape(falls), tape(falls)], [long, short], cross, 1_000)
    assert both.wallet is not None
    assert not both.wallet.liquidations
    assert both.summary["margin"]["ratio_max"] < 0.5 < both.summary["margin"]["maintenance_max"]
    alone = played([tape(falls), tape(falls)], [long, {}], cross, 1_000)
    apart = played([tape(falls), tape(falls)], [long, short], [replace(own, isolated=True) for own in cross], 1_000)
    for result in (alone, apart):
        assert result.wallet is not None
        assert [row.symbol for row in result.wallet.liquidations] == ["AUSDT"]
    assert apart.results["BUSDT"].journal.state[-1].tolist()[1] == -90_000  # still held, and counts as it is then
    assert apart.summary["balances"]["BUSDT"] == {"start": "0", "end": "-90"}


def test_a_kill_does_not_keep_a_position_from_its_liquidation() -> None:
    """A limit ends all trading; the position that stays is liquidated later, at its mark."""
    falls = [10_000 - at * 40 for at in range(40)]
    markets = {
        symbol: market(tape(falls), symbol, Plan(plan), MarginTerms(leverage=20), 1_000)
        for symbol, plan in (("AUSDT", {1: 90_000}), ("BUSDT", {2: 100}))
    }
    free = backtest_account(dict(markets), 1_000 * E8, NO_LIMITS)
    again = {
        symbol: replace(one, quotes=Plan({1: 90_000} if symbol == "AUSDT" else {})) for symbol, one in markets.items()
    }
    killed = backtest_account(again, 1_000 * E8, AccountBounds(loss_e8=100 * E8))
    assert free.wallet is not None
    assert killed.wallet is not None
    assert killed.killed is not None
    assert killed.killed[1] != "liquidated"
    [end] = killed.wallet.liquidations
    assert killed.killed[0] < end.us
    assert killed.summary["liquidated_at"] == iso(end.us)
    assert killed.results["BUSDT"].journal.counters["last_us"] == end.us


def test_python_plays_contracts_on_one_account() -> None:
    """By knobs, with those of a single symbol."""
    tapes = [of_symbol(walk(random.Random(seed), 20), symbol) for seed, symbol in enumerate(SYMBOLS)]
    given: dict[str, Any] = {"initial_cash": "900", "quote_qty": "0.5", "leverage": 10}
    own = {"CUSDT": {"margin_type": "isolated", "leverage": 5}}
    result: Any = mm.backtest(tapes, one_account=True, per_symbol=own, **given)
    types = {
        symbol: (one["margin"]["margin_type"], one["margin"]["leverage"])
        for symbol, one in result.summary["symbols"].items()
    }
    assert types == {"AUSDT": ("cross", 10), "BUSDT": ("cross", 10), "CUSDT": ("isolated", 5)}
    assert result.summary["balances"]["USDT"]["start"] == "900"
    assert "margin of the cross positions" in str(result)


@pytest.mark.parametrize("late_us", [0, 1_500_000])
def test_funding_is_paid_by_symbol_late_twice_and_at_another_rate(late_us: int) -> None:
    """The wallet has each payment once, for the position of the instant at which it was due."""
    calm, rates = [10_000] * 30, {"AUSDT": (10_000, 10_000, -4_000), "BUSDT": (7_000, 2_000_000)}
    due = {"AUSDT": (5, 5, 20), "BUSDT": (5, 12)}
    pays = {
        symbol: tuple(
            Payment(
                START_US + at * SECOND_US + late_us,
                rate,
                101 * E8,
                due_us=START_US + at * SECOND_US if late_us else 0,
            )
            for at, rate in zip(due[symbol], rates[symbol], strict=True)
        )
        for symbol in rates
    }
    plans = [{1: 30_000, 6: -10_000}, {1: -20_000, 13: 20_000}]
    tapes = [tape(calm, pay) for pay in pays.values()]
    result = played(tapes, plans, [MarginTerms(leverage=20), MarginTerms(leverage=20, isolated=True)], 1_000)
    held = {"AUSDT": (30, 30, 20), "BUSDT": (-20, -20)}
    paid = {
        symbol: [Fraction(lots * 101 * rate, E8) for lots, rate in zip(held[symbol], rates[symbol], strict=True)]
        for symbol in rates
    }
    for symbol, parts in paid.items():
        assert Fraction(result.results[symbol].terms.funding_e8 or 0, E8) == sum(parts)
    fees = [Fraction(row[5], E8) for one in result.results.values() for row in one.journal.fills.tolist()]
    assert result.wallet is not None
    realised = Fraction(sum(one.realised_e8 for one in result.wallet.wallet.contracts.values()), E8)
    funding = sum(part for parts in paid.values() for part in parts)
    assert Fraction(result.wallet.wallet.balance_e8, E8) == 1_000 - sum(fees) - funding + realised


def test_a_jump_beyond_bankruptcy_closes_both_and_leaves_no_debt() -> None:
    """The first at the price at which all is lost; what is then left for the second is nothing."""
    jump = [10_000] * 10 + [6_000] * 5
    result = played([tape(jump), tape(jump)], [{1: 60_000}, {2: 60_000}], [MarginTerms(leverage=20)] * 2, 1_000)
    assert result.wallet is not None
    first, second = result.wallet.liquidations
    assert (first.symbol, second.symbol) == ("AUSDT", "BUSDT")
    assert first.us == second.us == START_US + 10 * SECOND_US
    assert result.wallet.wallet.balance_e8 == 0
    assert [one.journal.state[-1].tolist()[1] for one in result.results.values()] == [0, 0]
    assert result.summary["margin"]["ratio_max"] is None  # the margin balance was below 0


def test_a_symbol_that_is_delisted_while_it_is_held_counts_at_its_last_mark() -> None:
    """Its gain backs the other until the end; without a book the insurance fund closes it."""
    falls = [10_000 - at * 60 for at in range(60)]
    backed = played([tape(falls), tape(falls[:11])], [{1: 60_000}, {1: -30_000}], [MarginTerms(leverage=20)] * 2, 1_000)
    bare = played([tape(falls), tape(falls[:11])], [{1: 60_000}, {}], [MarginTerms(leverage=20)] * 2, 1_000)
    assert backed.wallet is not None
    assert bare.wallet is not None
    assert bare.wallet.liquidations[0].us < backed.wallet.liquidations[0].us
    ends = {end.symbol: end for end in backed.wallet.liquidations}
    assert ends["AUSDT"].us > START_US + 20 * SECOND_US
    assert {fill.by for fill in ends["BUSDT"].fills} == {1}
    assert ends["BUSDT"].us == ends["AUSDT"].us


def test_a_liquidation_amid_requotes_of_another_symbol_ends_these() -> None:
    """Its resting orders are cancelled at that instant, one on its way is refused, and no further one is sent."""

    class Quoting:
        name = "quoting"

        def quote(self, view: Any) -> mm.Quotes:
            return mm.Quotes(5_000 + view.us // 200_000 % 2, 15_000, 1, 1)

    jump = [10_000] * 20 + [8_400] * 5
    terms = MarginTerms(leverage=20)
    given = {"order_latency_us": 300_000, "cancel_latency_us": 300_000, "requote_us": 100_000}
    markets = {
        "AUSDT": market(tape(jump), "AUSDT", Plan({1: 80_000}), terms, 1_000),
        "BUSDT": market(tape([10_000] * 25), "BUSDT", Quoting(), terms, 1_000, **given),
    }
    result = backtest_account(markets, 1_000 * E8, NO_LIMITS)
    assert result.wallet is not None
    [end] = result.wallet.liquidations
    assert end.us == START_US + 20 * SECOND_US
    orders = result.results["BUSDT"].orders.to_dicts()
    assert max(row["recv_us"] for row in orders if row["action"] == "PLACE") <= end.us
    assert result.results["BUSDT"].journal.killed == (end.us, "liquidated")
    assert result.results["BUSDT"].journal.spans.max() <= end.us
