"""What a reconcile reads in pages, and from where: payments, and the trades of an exchange that was reset."""

import asyncio
from dataclasses import replace

import pytest
from order_parts import queries_of
from played_api import PlayedApi

from exchange_rig import INSTRUMENT
from mm.instrument import E8
from mm.live.account.account_check import AccountCheck
from mm.live.account.ledger import Ledger
from mm.live.knobs import OrderAccess
from mm.live.orders.access import GatewayRun
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.states import OrderStates
from mm.live.venues.binance import ApiLimit
from mm.live.venues.binance_spot import SpotAccount
from mm.live.venues.binance_usdm import UsdmAccount, UsdmVenue
from mm.live.venues.fills import AccountFill
from mm.live.venues.filters import OrderChecks
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ExchangeClock, Outcome, Unanswered
from virtual_loop import VirtualLoop

NOW_MS = 1_000_000_000_000
FILL = AccountFill(900, 7, "mm-a-1b", 1, "100", "1", "0", "USDT", 1, True)


RATES = {
    "account.commission": lambda _: {"symbol": "SIMUSDT", "standardCommission": {"maker": "0.001", "taker": "0.001"}},
    "commissionRate": lambda _: {"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"},
    "feeBurn": lambda _: {"feeBurn": False},
}


class Desk:
    """Queries of one symbol; the exchange answers each request by its name, or gives no answer but an outcome."""

    def __init__(self, account, answers, run, check):
        self.api, self.answers, self.check = PlayedApi(), RATES | answers, check
        clock, states = ExchangeClock(lambda: NOW_MS * 1_000), OrderStates(run.booked)
        self.clock, self.states, self.limits = clock, states, OrderLimits()
        self.queries = queries_of(
            *(account, self.api, run, states, OrderChecks(INSTRUMENT)),
            clock=clock,
            limits=self.limits,
            changed=lambda: list(states.next_steps()),
            others=OtherTraders("SIMUSDT", ["mm-a"]),
            forgot=lambda _: check.forget_trades(),
        )

    def asked(self, name):
        """Return the parameters of all requests of a name."""
        return [parameters for method, parameters in self.api.requests if method == name]

    async def _reconcile(self):
        task = asyncio.ensure_future(self.queries.reconcile())
        while not task.done():
            await asyncio.sleep(0)
            while self.api.waiting:
                method, parameters = self.api.requests[-len(self.api.waiting)]
                found = self.answers[method](parameters)
                self.api.answer(**{"outcome" if isinstance(found, Outcome) else "result": found})
                await asyncio.sleep(0)
        task.result()

    def reconcile(self):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._reconcile())


def contract_desk(rows, page, begun_us=0, last_trade_id=None, left_out=()):
    """Return a desk of a contract, of whose incomes an answer has *page*; others trade the assets *left_out* too."""
    ledger = Ledger(INSTRUMENT, contract=True)
    check = AccountCheck(INSTRUMENT, (0, 0), ledger=ledger, left_out=lambda: left_out)
    account, venue = UsdmAccount(), UsdmVenue("SIMUSDT")
    venue.income_page, account.orders_of = page, lambda _: venue

    def incomes(asked):
        since = [row for row in rows if row["time"] >= asked["startTime"]]
        return since[(asked["page"] - 1) * page : asked["page"] * page]

    answers = {
        "openOrders": lambda _: [],
        "userTrades": lambda _: [],
        "income": incomes,
        "v2/account.status": lambda _: {"assets": [], "positions": []},
        "premiumIndex": lambda _: {"markPrice": "100"},
    }
    run = GatewayRun(symbol="SIMUSDT", run_id="r", access=OrderAccess(), account=check, begun_us=begun_us)
    run = replace(run, last_trade_id=last_trade_id)
    return Desk(account, answers, run, check), ledger


def income(number, kind="FUNDING_FEE", ms=NOW_MS):
    row = {"symbol": "SIMUSDT", "incomeType": kind, "income": "-0.01", "asset": "USDT", "info": ""}
    return row | {"time": ms, "tranId": number}


def test_payments_of_every_page_are_booked():
    """Commissions and profits stand in the same list, so a payment may be on any of its pages, and on the last one."""
    rows = [income(number, "FUNDING_FEE" if number in (0, 4, 7, 9) else "COMMISSION") for number in range(10)]
    desk, ledger = contract_desk(rows, page=3)
    desk.reconcile()
    assert ledger.paid_e8 == -4 * E8 // 100
    assert [asked["page"] for asked in desk.asked("income")] == [1, 2, 3, 4]


def test_a_last_page_that_is_full_is_followed_by_another_question():
    desk, ledger = contract_desk([income(number) for number in range(6)], page=3)
    desk.reconcile()
    assert ledger.paid_e8 == -6 * E8 // 100
    assert len(desk.asked("income")) == 3


def test_payments_before_the_ledger_began_are_not_ours():
    begun_us = NOW_MS * 1_000
    desk, ledger = contract_desk([income(1, ms=NOW_MS - 1), income(2), income(3, ms=NOW_MS + 1)], 1_000, begun_us)
    desk.reconcile()
    assert ledger.paid_e8 == -2 * E8 // 100


def test_payments_since_the_ledger_began_are_ours_by_the_exchanges_clock():
    """The log has the instant by our clock, which may be an hour ahead."""
    hour_ms = 3_600_000
    desk, ledger = contract_desk([income(1, ms=NOW_MS - hour_ms - 1), income(2)], 1_000, (NOW_MS + 1) * 1_000)
    desk.clock.offset_us = -hour_ms * 1_000
    desk.reconcile()
    assert ledger.paid_e8 == -E8 // 100


@pytest.mark.parametrize(("after_ms", "stranger"), [(1, True), (-1, False)])
def test_strangers_since_the_account_last_matched_are_looked_for_by_the_exchanges_clock(after_ms, stranger):
    """Its clock is ten seconds behind ours, by which the log has the instant."""
    more = {"price": "100", "qty": "1", "commission": "0", "commissionAsset": "SIM", "isBuyer": True, "isMaker": True}
    behind_ms, matched_ms = 10_000, NOW_MS - 60_000
    trade = {"id": 6, "orderId": 3, "time": matched_ms - behind_ms + after_ms, **more}
    answers = {
        "openOrders.status": lambda _: [],
        "myTrades": lambda asked: [trade] if "startTime" in asked or "fromId" not in asked else [],
        "order.status": lambda _: {"orderId": 3, "clientOrderId": "web_1", "status": "FILLED", "side": "BUY"},
        "account.status": lambda _: {"balances": [{"asset": "SIM", "free": "3", "locked": "0"}]},
        "avgPrice": lambda _: {"mins": 5, "price": "100"},
    }
    check = AccountCheck(INSTRUMENT, (0, 0), ledger=Ledger(INSTRUMENT))
    run = GatewayRun(symbol="SIMUSDT", run_id="r", access=OrderAccess(), account=check, matched_us=matched_ms * 1_000)
    desk = Desk(SpotAccount(), answers, run, check)
    desk.clock.offset_us = -behind_ms * 1_000
    desk.reconcile()
    assert check.strangers is stranger


def test_payments_are_asked_for_once_and_again_after_an_announcement():
    desk, _ = contract_desk([], page=3)
    desk.reconcile()
    desk.reconcile()
    assert len(desk.asked("income")) == 1
    desk.queries.announce_payment(NOW_MS * 1_000)
    desk.reconcile()
    desk.reconcile()  # it is not listed yet
    assert len(desk.asked("income")) == 3


@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize("announced", [False, True])
def test_payments_of_which_an_answer_was_lost_are_asked_for_again(announced, page):
    """At a start, and behind an announcement; no wallet that differs says so where others trade its asset."""
    rows = [income(number) for number in range(4)]
    desk, ledger = contract_desk([], page=3, left_out=["USDT"])
    if announced:
        desk.reconcile()
        desk.queries.announce_payment(NOW_MS * 1_000)
    lost = [page]

    def incomes(asked):
        if lost == [asked["page"]]:
            lost.clear()
            return Outcome.UNKNOWN
        return rows[(asked["page"] - 1) * 3 : asked["page"] * 3]

    desk.answers["income"] = incomes
    with pytest.raises(Unanswered):
        desk.reconcile()
    desk.reconcile()
    assert ledger.paid_e8 == -4 * E8 // 100


@pytest.mark.parametrize("late", [0, 1, 5])
def test_each_announced_payment_is_asked_for_until_it_is_listed_and_then_no_more(late):
    """The second one as the first: the exchange lists it after some reconciles."""
    rows: list = []
    desk, ledger = contract_desk(rows, page=3)
    held = lambda: {"asset": "USDT", "walletBalance": f"-0.0{len(rows)}"}  # noqa: E731
    desk.answers["v2/account.status"] = lambda _: {"assets": [held()], "positions": []}
    desk.reconcile()
    for number in (1, 2, 3):
        before, ms = len(desk.asked("income")), NOW_MS + number * 3_600_000
        desk.queries.announce_payment(ms * 1_000)
        for _ in range(late):
            desk.reconcile()
        assert ledger.paid_e8 == -(number - 1) * E8 // 100
        rows.append(income(number, ms=ms))
        desk.reconcile()
        assert ledger.paid_e8 == -number * E8 // 100
        asked = len(desk.asked("income"))
        assert asked > before + late
        desk.reconcile()
        assert len(desk.asked("income")) == asked


def test_a_payment_that_nobody_announced_is_asked_for_while_the_account_differs():
    """Its event was lost: without it, a wallet that is right would stop the trade."""
    rows: list = []
    desk, ledger = contract_desk(rows, page=3)
    held = {"asset": "USDT", "walletBalance": "0"}
    desk.answers["v2/account.status"] = lambda _: {"assets": [held], "positions": []}
    desk.reconcile()
    rows.append(income(1))
    held["walletBalance"] = "-0.01"
    desk.reconcile()
    assert desk.check.pending
    desk.reconcile()
    assert (desk.check.pending, desk.check.why, ledger.paid_e8) == (False, "", -E8 // 100)


def test_trades_of_an_exchange_that_was_reset_count_from_its_own_last_one():
    """Its ids begin anew: behind the last one of the former exchange there would be none for months."""
    check = AccountCheck(INSTRUMENT, None, ledger=Ledger(INSTRUMENT))
    check.filled(FILL)
    trades = [{"id": number, "orderId": 3, "price": "100", "qty": "1"} for number in range(1, 41)]
    more = {"commission": "0", "commissionAsset": "SIM", "time": NOW_MS, "isBuyer": True, "isMaker": True}

    def found(asked):
        first = asked.get("fromId")
        return [one | more for one in (trades[-1:] if first is None else trades) if one["id"] >= (first or 0)]

    answers = {
        "openOrders.status": lambda _: [],
        "myTrades": found,
        "account.status": lambda _: {"balances": []},
        "avgPrice": lambda _: {"mins": 5, "price": "100"},
    }
    run = GatewayRun(
        symbol="SIMUSDT",
        run_id="r",
        access=OrderAccess(adopt=True),
        booked={900: 1},
        last_trade_id=900,
        account=check,
    )
    desk = Desk(SpotAccount(), answers, run, check)
    desk.reconcile()
    assert [asked.get("fromId") for asked in desk.asked("myTrades")] == [900, None, 41]


def test_ledger_of_a_reset_exchange_has_the_last_trade_of_the_new_one():
    """A later start reads on behind it."""
    ledger = Ledger(INSTRUMENT)
    ledger.book(FILL)
    ledger.forget_trades()
    assert ledger.last_trade_id is None
    ledger.book(AccountFill(3, 8, "mm-a-2b", 1, "100", "1", "0", "USDT", 2, True))
    assert ledger.last_trade_id == Ledger.restored(ledger.kept()).last_trade_id == 3
    assert ledger.position_e8 == 2 * E8


def contract_trade(number, order_id):
    texts = {"price": "100", "qty": "1", "commission": "0", "commissionAsset": "USDT", "realizedPnl": "0"}
    return {"id": number, "orderId": order_id, **texts, "time": NOW_MS - 60_000, "side": "BUY", "maker": True}


def test_a_trade_by_which_the_exchange_closes_is_not_the_one_to_read_on_from():
    """Its id may be of another series, behind which no trade of ours would be found."""
    trades = [contract_trade(5, 70), contract_trade(10**15, 71), contract_trade(6, 70)]
    names = {70: "mm-a-1b", 71: "autoclose-71"}
    desk, ledger = contract_desk([], page=3, last_trade_id=4)
    desk.answers["userTrades"] = lambda asked: sorted(
        (one for one in trades[: 2 + (len(desk.asked("userTrades")) > 1)] if one["id"] >= asked["fromId"]),
        key=lambda one: one["id"],
    )
    desk.answers["order.status"] = lambda asked: {
        "orderId": asked["orderId"],
        "clientOrderId": names[asked["orderId"]],
        "status": "FILLED",
        "side": "BUY",
        "type": "LIMIT",
        "price": "100",
        "origQty": "2" if asked["orderId"] == 70 else "1",
        "executedQty": "2" if asked["orderId"] == 70 else "1",
        "updateTime": NOW_MS - 60_000,
    }
    desk.reconcile()
    desk.reconcile()
    assert [asked.get("fromId") for asked in desk.asked("userTrades")] == [5, 6]
    assert ledger.last_trade_id in (None, 6)


def spot_desk(booked, listed):
    """Return a desk of a spot symbol with trades that are booked; *listed* are the ids that the exchange lists."""
    more = {"price": "100", "qty": "1", "commission": "0", "commissionAsset": "SIM", "isBuyer": True, "isMaker": True}

    def found(asked):
        return [{"id": one, "orderId": 3, "time": NOW_MS, **more} for one in listed if one >= asked.get("fromId", 0)]

    answers = {
        "openOrders.status": lambda _: [],
        "myTrades": found,
        "order.status": lambda _: {"orderId": 3, "clientOrderId": "web_1", "status": "FILLED", "side": "BUY"},
        "account.status": lambda _: {"balances": []},
        "avgPrice": lambda _: {"mins": 5, "price": "100"},
    }
    check = AccountCheck(INSTRUMENT, None, ledger=Ledger(INSTRUMENT))
    run = GatewayRun(
        symbol="SIMUSDT",
        run_id="r",
        access=OrderAccess(),
        booked=dict.fromkeys(booked, 0),
        last_trade_id=max(booked),
        account=check,
    )
    return Desk(SpotAccount(), answers, run, check)


def test_a_trade_that_a_new_connection_does_not_list_for_ten_seconds_is_missing():
    """A list may be late by seconds; an exchange that was wiped stays without it."""
    listed = [5, 6]
    desk = spot_desk([5, 6], listed)
    desk.reconcile()
    listed.remove(6)
    desk.queries.recognised = False  # on another connection
    began_us = desk.api.us
    for passed_s in (0, 4, 9):
        desk.api.us = began_us + passed_s * 1_000_000
        with pytest.raises(Unanswered):
            desk.reconcile()
        assert not desk.states.reset
    desk.api.us = began_us + 10_000_000
    desk.reconcile()
    assert "trade 6" in desk.states.reset


def test_a_trade_that_is_listed_late_is_not_missing():
    """However often in a day: each time its ten seconds count anew."""
    listed = [5, 6]
    desk = spot_desk([5, 6], listed)
    desk.reconcile()
    for later_s in (0, 8, 4, 3_600):
        listed.remove(6)
        desk.queries.recognised = False
        desk.api.us += later_s * 1_000_000
        with pytest.raises(Unanswered):
            desk.reconcile()
        listed.append(6)
        desk.reconcile()
    assert not desk.states.reset


def test_a_start_whose_newest_trade_is_not_listed_is_at_another_exchange():
    desk = spot_desk([5, 6], [5])
    desk.reconcile()
    assert "trade 6" in desk.states.reset


def test_counts_of_orders_that_leave_no_room_are_asked_for():
    """Only the exchange knows when its day begins: by our own count nothing would be sent for up to a day."""
    desk = spot_desk([5], [5])
    day = {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 5}
    desk.answers["account.rateLimits.orders"] = lambda _: [day | {"count": 0}]
    desk.reconcile()
    assert desk.asked("account.rateLimits.orders") == []
    desk.limits.counted([ApiLimit(**day, count=5)])
    assert desk.limits.refusal() is not None
    desk.reconcile()
    assert len(desk.asked("account.rateLimits.orders")) == 1
    assert desk.limits.refusal() is None
