"""Repeated queries, the reads of a reconcile, and the identification of our own orders."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from order_parts import queries_of
from played_api import PlayedApi

from exchange_rig import INSTRUMENT
from mm.live.account.account_check import AccountCheck
from mm.live.account.fee_values import FeeValues
from mm.live.account.holdings import Holdings
from mm.live.account.ledger import Ledger
from mm.live.knobs import OrderAccess
from mm.live.orders.access import GatewayRun
from mm.live.orders.order_steps import EARLIER, Booked, Rejected
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.states import OrderStates
from mm.live.venues.binance_requests import PAGE
from mm.live.venues.binance_spot import SpotAccount, SpotVenue
from mm.live.venues.binance_usdm import UsdmAccount
from mm.live.venues.filters import OrderChecks
from mm.live.venues.live_orders import LiveOrder, OrderState
from mm.live.venues.requests import ApiAnswer, ExchangeClock, Outcome, Unanswered
from virtual_loop import VirtualLoop


class QueryRig:
    """Queries, and the resulting steps."""

    def __init__(self, adopt: bool = False) -> None:
        self.api, self.states = PlayedApi(), OrderStates()
        self.steps: list[Any] = []
        self.checks = OrderChecks(INSTRUMENT)
        clock = ExchangeClock(lambda: 10**15)
        self.holdings = Holdings()
        self.fees = FeeValues("BNB")
        self.others = OtherTraders("SIMUSDT", ["mm-a", "mm-lost", "mm-x"])
        run = GatewayRun(symbol="SIMUSDT", run_id="r", access=OrderAccess(adopt=adopt))
        self.queries = queries_of(
            *(SpotAccount(), self.api, run, self.states, self.checks),
            holdings=self.holdings,
            clock=clock,
            fees=self.fees,
            others=self.others,
            changed=self.changed,
        )

    def changed(self) -> None:
        self.steps += self.states.next_steps()

    def order(self, client_id: str = "mm-a-1b", exchange_id: int = 0) -> LiveOrder:
        order = LiveOrder(1, client_id, +1, "100", "2", "LIMIT", sent_ms=1_000_000, window_ms=1_000)
        order.exchange_id = exchange_id
        self.states.add(order)
        return order

    async def answers(self, *results: Any) -> None:
        for result in results:
            await settled()
            self.api.answer(result)
        await settled()


async def settled() -> None:
    """Let tasks go on until each waits for an answer."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(scenario: Callable[[QueryRig], Awaitable[None]], *, adopt: bool = False) -> QueryRig:
    async def main() -> QueryRig:
        rig = QueryRig(adopt)
        await scenario(rig)
        rig.queries.closed = True
        return rig

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def trade(trade_id: int, order_id: int, time: int = 1) -> dict[str, Any]:
    texts = {"price": "100", "qty": "1", "commission": "0", "commissionAsset": "SIM"}
    return {
        "id": trade_id,
        "orderId": order_id,
        **texts,
        "time": 1_000_000_000_000 + time,
        "isBuyer": True,
        "isMaker": True,
    }


def entry(client_id: str, order_id: int = 7, status: str = "NEW", executed: str = "0") -> dict[str, Any]:
    head = {"orderId": order_id, "clientOrderId": client_id, "status": status, "executedQty": executed}
    return head | {"origQty": "2", "price": "100", "side": "BUY", "type": "LIMIT"}


def test_missing_order_is_queried_until_it_cannot_arrive() -> None:
    """By the timestamps of both requests."""

    async def scenario(rig: QueryRig) -> None:
        order = rig.order()
        order.state = OrderState.UNKNOWN
        rig.queries.ask(order)
        rig.queries.ask(order)
        assert rig.api.methods == ["order.status"]
        rig.api.answer(code=-2013, status=400)
        assert order.state is OrderState.UNKNOWN
        rig.api.now_ms += 2_499
        await asyncio.sleep(0.3)
        rig.api.answer(code=-2013, status=400)
        assert order.state is OrderState.UNKNOWN
        rig.api.now_ms += 1
        await asyncio.sleep(0.3)
        rig.api.answer(code=-2013, status=400)
        assert [type(step) for step in rig.steps] == [Rejected]

    run(scenario)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.UNSENT])
def test_unanswered_query_is_retried(outcome: Outcome) -> None:
    """Until there is an answer."""

    async def scenario(rig: QueryRig) -> None:
        order = rig.order()
        rig.queries.ask(order)
        for _ in range(5):
            rig.api.answer(outcome=outcome, status=0)
            await asyncio.sleep(0.3)
        rig.api.answer(entry(order.client_id))
        assert order.state is OrderState.LIVE
        assert len(rig.api.requests) == 6

    run(scenario)


def test_trades_are_fetched_after_a_delay_for_events() -> None:
    """And again, at growing intervals, until they add up."""

    async def scenario(rig: QueryRig) -> None:
        order = rig.order(exchange_id=7)
        order.executed_e8 = 200_000_000
        rig.queries.fetch(order)
        assert rig.api.requests == []
        await asyncio.sleep(0.2)
        rig.api.answer([trade(1, 7)])
        await asyncio.sleep(1)
        rig.api.answer([trade(1, 7), trade(2, 7)])
        await asyncio.sleep(9)
        assert rig.api.methods == ["myTrades", "myTrades"]
        assert [step.fill.trade_id for step in rig.steps if isinstance(step, Booked)] == [1, 2]

    run(scenario)


def test_reconcile_reads_orders_trades_and_balances() -> None:
    """The ledger begins after the last existing trade."""

    async def scenario(rig: QueryRig) -> None:
        task = asyncio.ensure_future(rig.queries.reconcile())
        balances = {"balances": [{"asset": "USDT", "free": "5", "locked": "1"}]}
        fees = {"symbol": "SIMUSDT", "standardCommission": {"maker": "0.001", "taker": "0.001"}}
        await settled()
        assert sorted(rig.api.waiting) == ["account.commission", "avgPrice", "openOrders.status"], "at once"
        rig.api.answer(fees, of="account.commission")
        rig.api.answer({"mins": 5, "price": "99.5"}, of="avgPrice")
        await rig.answers([], [trade(41, 9)], [], balances)
        await task
        assert rig.api.methods[3:] == ["myTrades", "myTrades", "account.status"], "each after the one before"
        assert [asked["fromId"] for name, asked in rig.api.requests if "fromId" in asked] == [42]
        assert rig.fees.paid_e8 == (100_000, 100_000)
        assert rig.holdings.balances == {"USDT": ("5", "1")}
        assert rig.checks.average_e8 == 9_950_000_000

    run(scenario)


def test_paged_trades_are_attributed_by_their_order() -> None:
    """An unknown order id is looked up once; foreign ones are remembered."""

    async def scenario(rig: QueryRig) -> None:
        rig.queries.checked_id = 0
        rig.api.us += 60_000_000
        task = asyncio.ensure_future(rig.queries._trades())
        first = [trade(number, 8) for number in range(1, PAGE + 1)]
        await rig.answers(first, entry("web_1", 8), [trade(2_000, 8), trade(2_001, 9)])
        await rig.answers(entry("mm-lost-1b", 9, "FILLED", "2"))
        await task
        assert rig.api.methods == ["myTrades", "order.status", "myTrades", "order.status"]
        booked = [step for step in rig.steps if isinstance(step, Booked)]
        assert [(step.order_id, step.fill.trade_id) for step in booked] == [(EARLIER, 2_001)]
        assert rig.queries.checked_id == 2_001

    run(scenario)


def test_newest_booked_trades_beyond_a_page_of_those_of_others_are_not_missing() -> None:
    """The page ends before them: what it does not show is no sign of an exchange that was reset."""

    async def scenario(rig: QueryRig) -> None:
        rig.states._booked.update({5: 0, 4_000: 0})
        task = asyncio.ensure_future(rig.queries._recognise())
        await rig.answers([trade(number, 8) for number in range(5, 5 + PAGE)])
        await task
        assert rig.states.reset == ""
        rig.states._booked[1_000] = 1  # that one it should show, with its terms
        task = asyncio.ensure_future(rig.queries._recognise())
        await rig.answers([trade(number, 8) for number in range(5, 5 + PAGE)])
        await task
        assert "1000" in rig.states.reset

    run(scenario)


def test_trades_of_an_open_order_before_the_ledger_begins_are_not_booked() -> None:
    """Its earlier run had another ledger; the balances from which this one begins have them."""

    async def scenario(rig: QueryRig) -> None:
        task = asyncio.ensure_future(rig.queries._trades())
        await rig.answers([trade(50, 9)], [])
        await task
        listing = asyncio.ensure_future(rig.queries.listed(rig.api))
        await rig.answers([entry("mm-x-1b", 7, "PARTIALLY_FILLED", "1")])
        await listing
        order = rig.states.by_client["mm-x-1b"]
        for trade_id in (49, 51):
            (fill,) = SpotVenue("SIMUSDT").trades(answer_of_trades(trade_id))
            rig.states.fill(order, fill)
        rig.changed()
        assert [step.fill.trade_id for step in rig.steps if isinstance(step, Booked)] == [51]

    run(scenario)


def answer_of_trades(trade_id: int) -> ApiAnswer:
    return ApiAnswer(Outcome.DONE, 1, json.dumps([trade(trade_id, 7)]).encode())


def test_price_of_nothing_is_no_price_of_a_commission() -> None:
    """A market without a trade is answered with 0: fees in it stay without a value, which limits count at the most."""

    async def scenario(rig: QueryRig) -> None:
        rig.queries._fees.trade(INSTRUMENT)
        for price, known in (("0.00000000", {}), ("600", {"BNB": 60_000_000_000})):
            task = asyncio.ensure_future(rig.queries._fee_prices())
            await rig.answers({"symbol": "BNBUSDT", "price": price})
            await task
            assert rig.queries._fees.prices_e8 == known

    run(scenario)


def test_recent_trades_are_read_again_by_next_reconcile() -> None:
    """The list may lack a trade of the same second."""

    async def scenario(rig: QueryRig) -> None:
        rig.queries.checked_id = 0
        order = rig.order(exchange_id=7)
        order.state = OrderState.LIVE
        task = asyncio.ensure_future(rig.queries._trades())
        await rig.answers([trade(1, 7, time=-60_000), trade(2, 7, time=-5_000)])
        await task
        assert rig.queries.checked_id == 1

    run(scenario)


@pytest.mark.parametrize(("adopt", "orders"), [(False, 1), (True, 2)])
def test_foreign_orders_are_taken_over_only_with_adopt(adopt: bool, orders: int) -> None:
    """Our own are identified by the runs in their client ids."""

    async def scenario(rig: QueryRig) -> None:
        task = asyncio.ensure_future(rig.queries.listed(rig.api))
        await rig.answers([entry("mm-x-1b", 7), entry("web_1", 8)])
        ours, foreign = await task
        assert (len(ours), foreign) == (orders, 2 - orders)
        assert all(order.cancel_wanted for order in rig.states.open.values())

    run(scenario, adopt=adopt)


def test_reconcile_without_answer_raises_unanswered() -> None:
    """Its caller retries it."""

    async def scenario(rig: QueryRig) -> None:
        task = asyncio.ensure_future(rig.queries.reconcile())
        await settled()
        while rig.api.waiting:
            rig.api.answer(outcome=Outcome.UNKNOWN, status=0)
        with pytest.raises(Unanswered, match="openOrders"):
            await task

    run(scenario)


@pytest.mark.parametrize("lost", ["openOrders.status", "account.status", "avgPrice"])
def test_answers_of_a_reconcile_that_are_still_true_are_kept_over_the_next_try(lost: str) -> None:
    """Whichever request has no answer: the others end, trades are read on, and rates are not asked for again."""
    given: dict[str, Any] = {
        "openOrders.status": [],
        "account.status": {"balances": []},
        "account.commission": {"symbol": "SIMUSDT", "standardCommission": {"maker": "0.001", "taker": "0.001"}},
        "avgPrice": {"mins": 5, "price": "99.5"},
    }

    async def reconcile(rig: QueryRig, lost: str) -> list[str]:
        known, task = len(rig.api.methods), asyncio.ensure_future(rig.queries.reconcile())
        while not task.done():
            await asyncio.sleep(0)
            for name in rig.api.waiting:
                begins = name == "myTrades" and "fromId" not in rig.api.requests[-1][1]
                result = [trade(41, 9)] if begins else given.get(name, [])
                rig.api.answer(result, of=name, outcome=Outcome.UNKNOWN if name == lost else None)
        assert isinstance(task.exception(), Unanswered) is bool(lost)
        return rig.api.methods[known:]

    async def scenario(rig: QueryRig) -> None:
        first = await reconcile(rig, lost)
        assert {"openOrders.status", "account.commission", "avgPrice"} <= set(first)
        again = await reconcile(rig, "")
        assert "account.commission" not in again
        assert [*first, *again].count("myTrades") == (2 if lost == "openOrders.status" else 3)
        assert (rig.queries.checked_id, rig.fees.paid_e8) == (41, (100_000, 100_000))

    run(scenario)


def test_order_with_thousands_of_trades_is_fetched_page_by_page() -> None:
    """It closes only when all are booked: a page of the oldest alone would never add up."""

    async def scenario(rig: QueryRig) -> None:
        order = rig.order(exchange_id=7)
        order.qty, order.executed_e8 = "2500", 2_400 * 10**8
        rig.queries.fetch(order)
        await asyncio.sleep(0.2)
        for first in (1, 1_001, 2_001):
            rig.api.answer([trade(one, 7) for one in range(first, min(first + PAGE, 2_401))])
        assert [request[1].get("fromId") for request in rig.api.requests] == [None, 1_001, 2_001]
        assert order.booked_e8 == order.executed_e8
        assert len([step for step in rig.steps if isinstance(step, Booked)]) == 2_400

    run(scenario)


def test_payments_of_before_the_ledger_are_not_booked() -> None:
    """They are asked for from a minute before on; the balance with which it begins has them."""
    begun_us = 1_700_000_000_000_000
    ledger = Ledger(INSTRUMENT, contract=True)
    check = AccountCheck(INSTRUMENT, (0, 0), ledger=ledger)
    run = GatewayRun(symbol="SIMUSDT", run_id="r", access=OrderAccess(), account=check, begun_us=begun_us)
    api = PlayedApi()
    queries = queries_of(
        *(UsdmAccount(), api, run, OrderStates(), OrderChecks(INSTRUMENT)),
        others=OtherTraders("SIMUSDT", []),
        changed=lambda: None,
    )
    rows = [
        {"incomeType": "FUNDING_FEE", "income": income, "asset": "USDT", "time": ms, "tranId": ms, "symbol": "SIMUSDT"}
        for ms, income in ((1_699_999_999_999, "-8"), (1_700_000_000_000, "-0.25"), (1_700_000_100_000, "0.5"))
    ]

    async def main() -> None:
        task = asyncio.ensure_future(queries._payments())
        await asyncio.sleep(0)
        api.answer(rows)
        await task

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert ledger.paid_e8 == 25_000_000
