"""The limits of an account over several symbols: they hold whatever the symbols do, in any order."""

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import Quotes, Rules
from mm.backtest.account_limits import AccountLimits
from mm.backtest.engine.live_feed import FeedEvent
from mm.backtest.risk import Risk, RiskLimits
from mm.errors import SafetyError, UsageError
from mm.instrument import E8, e8
from mm.live._live_engine import LiveEngine
from mm.live.account.limits import LOSS, NOTIONAL, ORDERS, AccountSymbol, TradedAccount
from mm.tape.tape import SNAPSHOT

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
PRICE, CLIP, SECOND_US = 100, 3, 1_000_000
RULES = Rules(
    tick_e8=E8,
    lot_e8=E8,
    quote_lots=CLIP,
    requote_us=SECOND_US,
    start_cash_e8=10**6 * E8,
    start_lots=1_000,
    risk=RiskLimits(max_open_orders=100),
)


class Joins:
    """Quotes a clip on each side of the touch."""

    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


def joined(account, **rules):
    """Return an engine for each symbol, all of them members of the account, with a book around `PRICE`."""
    engines = {name: LiveEngine(Joins(), dataclasses.replace(RULES, start_lots=0, **rules)) for name in SYMBOLS}

    async def join():
        members = {name: AccountSymbol(engine) for name, engine in engines.items()}
        await asyncio.gather(*(account.join(name, one) for name, one in members.items()))

    asyncio.run(join())
    for engine in engines.values():
        engine.feed([FeedEvent(SNAPSHOT, SECOND_US, 1, 1, ((1, PRICE - 1, 9), (-1, PRICE + 1, 9)))])
        engine.funds(10**9, 2**62)
        engine.manager.pull("start")
        engine.advance(SECOND_US)  # it has a mid from then on
        engine.manager.resume()
    return engines


@st.composite
def steps(draw):
    """What happens to which symbol: a requote, or a report of the exchange about one of its orders."""
    acts = st.tuples(
        st.sampled_from(SYMBOLS),
        st.sampled_from(("advance", "advance", "accept", "fill", "part", "close", "reject")),
        st.integers(0, 5),
    )
    return draw(st.lists(acts, min_size=1, max_size=60))


@given(steps(), st.integers(3, 30), st.integers(1, 7))
def test_no_order_of_any_symbol_exceeds_the_limits_of_the_account(acts, lots, orders):
    """Counted by a plain twin from the messages and reports alone; the mid does not move."""
    limits = AccountLimits(account_max_notional=str(lots * PRICE), account_max_open_orders=orders)
    account = TradedAccount(limits, [Risk()] * 3, SYMBOLS)
    engines, us = joined(account), SECOND_US
    open_orders = {name: {} for name in SYMBOLS}  # side and lots by id
    held = dict.fromkeys(SYMBOLS, 0)
    for name, act, number in acts:
        engine, own, us = engines[name], open_orders[name], us + SECOND_US
        if act == "advance":
            account.allow(name)
            for action, order_id, side, _, qty, _ in engine.advance(us):
                if action == "place":
                    own[order_id] = [side, qty]
        elif own:
            order_id = sorted(own)[number % len(own)]
            side, left = own[order_id]
            if act == "accept":
                engine.accepted(order_id, us)
            elif act == "close":
                engine.closed(order_id, us, False)
                del own[order_id]
            elif act == "reject":
                engine.rejected(order_id, us, "exchange_refused")
                del own[order_id]
            else:
                done = left if act == "fill" else 1
                engine.filled(order_id, us, side, PRICE, done, 0, 0, False)
                held[name], own[order_id][1] = held[name] + side * done, left - done
                if left == done:
                    del own[order_id]
        reach = {
            one: max(
                held[one] + sum(qty for side, qty in open_orders[one].values() if side > 0),
                sum(qty for side, qty in open_orders[one].values() if side < 0) - held[one],
            )
            for one in SYMBOLS
        }
        assert sum(reach.values()) <= lots
        assert sum(map(len, open_orders.values())) <= orders
        assert account.standing()[NOTIONAL][0] == sum(reach.values()) * PRICE * E8
        assert account.standing()[ORDERS][0] == sum(map(len, open_orders.values()))


def test_withheld_order_is_a_named_breach_of_the_whole_account():
    account = TradedAccount(AccountLimits(account_max_notional="450"), [Risk()] * 3, SYMBOLS)
    engines = joined(account)
    for name, engine in engines.items():
        account.allow(name)
        engine.advance(2 * SECOND_US)
        assert engine.manager.breaches(0) == [] or name != SYMBOLS[0]
    (first, second) = engines[SYMBOLS[1]].manager.breaches(0)
    assert first[1:4] == (NOTIONAL, e8("600"), e8("450"))
    assert (first[4], second[4]) == (1, -1)
    assert engines[SYMBOLS[1]].manager.withheld_for == ("account_max_notional", "account_max_notional")


def test_order_that_reduces_a_position_is_never_withheld():
    account = TradedAccount(AccountLimits(account_max_notional="0"), [Risk()] * 3, SYMBOLS)
    engine = joined(account)[SYMBOLS[0]]
    engine.filled(0, SECOND_US, 1, PRICE, 10, 0, 0, False)
    account.allow(SYMBOLS[0])
    assert [(action, side) for action, _, side, *_ in engine.advance(2 * SECOND_US)] == [("place", -1)]


def test_a_symbol_does_not_count_its_own_orders_twice():
    """It holds half of the limit, and its bid takes the other half."""
    account = TradedAccount(AccountLimits(account_max_notional="600"), [Risk()] * 3, SYMBOLS)
    engine = joined(account)[SYMBOLS[0]]
    engine.filled(0, SECOND_US, 1, PRICE, CLIP, 0, 0, False)
    account.allow(SYMBOLS[0])
    assert sorted(side for _, _, side, *_ in engine.advance(2 * SECOND_US)) == [-1, 1]


def test_notional_below_the_smallest_amount_counts_as_one():
    tiny = {"tick_e8": 1, "lot_e8": 1}
    engine = joined(TradedAccount(AccountLimits(), [Risk()] * 3, SYMBOLS), **tiny)[SYMBOLS[0]]
    engine.filled(0, SECOND_US, 1, PRICE, 1, 0, 0, False)
    assert AccountSymbol(engine).used() == (1, 0)


def test_losses_of_all_symbols_add_up():
    """Each is below its own limit."""
    account = TradedAccount(AccountLimits(account_max_daily_loss="50"), [Risk(max_daily_loss="1000")] * 3, SYMBOLS)
    engines = joined(account)
    for name, price in zip(SYMBOLS, (110, 105, 90), strict=True):
        account.allow(name)
        engines[name].advance(2 * SECOND_US)
        engines[name].filled(0, 2 * SECOND_US, 1, price, 4, 0, 0, False)
        account.allow(name)
        engines[name].advance(3 * SECOND_US)
    assert account.standing()[LOSS] == (e8("20"), e8("50"))
    assert used_of(account)[LOSS] == 0.4
    assert account.broken_loss() is None
    engines[SYMBOLS[0]].filled(0, 3 * SECOND_US, 1, 110, 4, 0, 0, False)
    engines[SYMBOLS[0]].advance(4 * SECOND_US)
    assert account.broken_loss() == (e8("60"), e8("50"))
    engines[SYMBOLS[1]].filled(0, 4 * SECOND_US, 1, 90, 10, 0, 0, False)
    engines[SYMBOLS[1]].advance(5 * SECOND_US)
    assert account.standing()[LOSS][0] == e8("-40")
    assert used_of(account)[LOSS] == 0  # a profit uses nothing of it


def used_of(account):
    """Return the used share of each limit, as the page of metrics tells it."""
    (samples,) = (samples for family, samples in account.filled() if family.name == "mm_account_risk_used_ratio")
    return {labels["limit"]: share for _, labels, share in samples}


@pytest.mark.parametrize(("own", "expected"), [(["10", "30"], "30"), (["10", None], None)])
def test_largest_loss_of_a_symbol_is_the_default_of_the_account(own, expected):
    account = TradedAccount(AccountLimits(), [Risk(max_daily_loss=one) for one in own], SYMBOLS[:2])
    assert account.standing()[LOSS][1] == (None if expected is None else e8(expected))


def test_different_quote_assets_are_refused():
    account = TradedAccount(AccountLimits(), [Risk()] * 2, SYMBOLS[:2])
    account.check_assets(["USDT", "USDT"])
    with pytest.raises(SafetyError, match="AUSDT in USDT, BUSDT in BTC"):
        account.check_assets(["USDT", "BTC"])


def test_limit_below_one_order_is_refused():
    account = TradedAccount(AccountLimits(account_max_notional="300"), [Risk()] * 2, SYMBOLS[:2])
    account.check_order("AUSDT", e8("300"))
    with pytest.raises(UsageError, match="301"):
        account.check_order("AUSDT", e8("301"))


def unpriced(account, price=PRICE, **rules):
    """Return engines with a position and the mark of a day, none of which has a book yet."""
    limits = RiskLimits(day_equity_e8=(10**6 + 10 * price) * E8, peak_equity_e8=(10**6 + 10 * price) * E8)
    rules = {"start_lots": 10, "target_lots": 10, "risk": limits, **rules}
    engines = {name: LiveEngine(Joins(), dataclasses.replace(RULES, **rules)) for name in SYMBOLS}

    async def join():
        members = {name: AccountSymbol(engine) for name, engine in engines.items()}
        await asyncio.gather(*(account.join(name, one) for name, one in members.items()))

    asyncio.run(join())
    return engines


def see(engine, us, price=PRICE):
    engine.feed([FeedEvent(SNAPSHOT, us, 1, 1, ((1, price - 1, 9), (-1, price + 1, 9)))])
    return engine.advance(us)


def test_no_limit_on_money_is_judged_before_each_symbol_had_a_mid():
    """What is held is neither lost nor worth nothing; a page that is read meanwhile changes nothing of that."""
    limits = AccountLimits(account_max_daily_loss="30", account_max_notional="100000")  # two of three have lost more
    account = TradedAccount(limits, [Risk(max_daily_loss="1000")] * 3, SYMBOLS)
    assert account.standing()[LOSS][0] is None  # before they have joined
    engines = unpriced(account)
    for at, (name, engine) in enumerate(engines.items(), 1):
        us = (1 + at) * SECOND_US
        for other in engines.values():
            assert other.manager.guard.used().keys().isdisjoint({"MAX_DAILY_LOSS", "MAX_DRAWDOWN", "MAX_LEVERAGE"}) or (
                other.manager.guard.equities_e8() is not None
            )
        assert account.broken_loss() is None
        assert account.standing()[LOSS][0] is account.standing()[NOTIONAL][0] is None
        families = {family.name: samples for family, samples in account.filled()}
        assert families["mm_account_daily_loss"] == families["mm_account_notional"] == []
        assert families["mm_account_limits_unjudged"] == [("", {}, 1)]
        assert bool(account.allow(name)) is (at < len(SYMBOLS))
        see(engine, us, PRICE - 2)
    assert account.standing()[LOSS] == (60 * E8, 30 * E8)
    assert account.broken_loss() == (60 * E8, 30 * E8)
    assert account.standing()[NOTIONAL][0] >= 30 * (PRICE - 2) * E8
    assert {account.allow(name) for name in SYMBOLS} == {""}
    assert {family.name: samples for family, samples in account.filled()}["mm_account_limits_unjudged"] == [("", {}, 0)]


def test_without_a_limit_on_money_of_the_account_no_symbol_waits_for_another():
    account = TradedAccount(AccountLimits(account_max_open_orders=3), [Risk()] * 3, SYMBOLS)
    unpriced(account)
    assert {account.allow(name) for name in SYMBOLS} == {""}


@pytest.mark.parametrize("limit", ["account_max_notional", "account_max_daily_loss"])
def test_with_either_limit_on_money_every_symbol_waits_for_the_others(limit):
    account = TradedAccount(AccountLimits(**{limit: "100000"}), [Risk()] * 3, SYMBOLS)
    engines = unpriced(account)
    for at, (name, engine) in enumerate(engines.items(), 1):
        assert bool(account.allow(name)) is (at < len(SYMBOLS))
        see(engine, (1 + at) * SECOND_US)
    assert {account.allow(name) for name in SYMBOLS} == {""}


def test_equity_of_a_guard_is_unknown_before_a_mid_and_transfers_are_no_loss():
    account = TradedAccount(AccountLimits(account_max_daily_loss="5"), [Risk(max_daily_loss="1000")], SYMBOLS[:1])
    (engine,) = list(unpriced(account).values())[:1]
    guard = engine.manager.guard
    guard.transfer(-1_000 * E8)
    assert guard.equities_e8() is None
    see(engine, 2 * SECOND_US)
    worth_e8 = (10**6 + 10 * PRICE - 1_000) * E8
    assert guard.equities_e8() == (worth_e8, worth_e8, worth_e8)
    see(engine, 3 * SECOND_US, PRICE - 10)
    guard.transfer(-worth_e8 // 2)
    equity_e8, day_e8, peak_e8 = guard.equities_e8()
    assert day_e8 - equity_e8 == 100 * E8
    assert (peak_e8 - equity_e8) / peak_e8 == pytest.approx(100 * E8 / worth_e8, rel=1e-9)
    guard.transfer(worth_e8)
    equity_e8, day_e8, peak_e8 = guard.equities_e8()
    assert day_e8 - equity_e8 == 100 * E8
    assert (peak_e8 - equity_e8) / peak_e8 == pytest.approx(100 * E8 / worth_e8, rel=1e-9)
