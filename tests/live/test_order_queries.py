"""Repeated queries, what a reconcile reads, and which orders count as ours."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from played_api import PlayedApi
from schedule_world import VirtualLoop

from exchange_rig import INSTRUMENT
from mm.live.api_messages import Fate
from mm.live.api_requests import ExchangeClock
from mm.live.live_orders import EARLIER, Booked, LiveOrder, OrderState, Rejected
from mm.live.order_access import is_ours
from mm.live.order_checks import OrderChecks
from mm.live.order_queries import PAGE, OrderQueries, Unanswered
from mm.live.order_states import OrderStates


class Questions:
    """Queries, and the steps that they led to."""

    def __init__(self) -> None:
        self.api, self.states = PlayedApi(), OrderStates()
        self.steps: list[Any] = []
        self.checks = OrderChecks(INSTRUMENT)
        clock = ExchangeClock(lambda: 10**15)
        self.queries = OrderQueries(self.states, clock, self.checks, lambda: self.api, self.changed, is_ours)

    def changed(self) -> None:
        self.steps += self.states.take()

    def order(self, client_id: str = "mm-a-1b", exchange_id: int = 0) -> LiveOrder:
        order = LiveOrder(1, client_id, +1, "100", "2", "LIMIT", sent_ms=1_000_000, window_ms=1_000)
        order.exchange_id = exchange_id
        self.states.add(order)
        return order

    async def answers(self, *results: Any) -> None:
        for result in results:
            await asyncio.sleep(0)
            self.api.answer(result)
        await asyncio.sleep(0)


def run(story: Callable[[Questions], Awaitable[None]]) -> Questions:
    async def main() -> Questions:
        questions = Questions()
        await story(questions)
        questions.queries.closed = True
        return questions

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


def test_an_order_that_may_still_arrive_is_asked_for_until_it_cannot() -> None:
    """By the timestamps of the two requests."""

    async def story(questions: Questions) -> None:
        order = questions.order()
        order.state = OrderState.UNKNOWN
        questions.queries.ask(order)
        questions.queries.ask(order)
        assert questions.api.methods == ["order.status"]
        questions.api.answer(code=-2013, status=400)
        assert order.state is OrderState.UNKNOWN
        questions.api.now_ms += 2_499
        await asyncio.sleep(0.3)
        questions.api.answer(code=-2013, status=400)
        assert order.state is OrderState.UNKNOWN
        questions.api.now_ms += 1
        await asyncio.sleep(0.3)
        questions.api.answer(code=-2013, status=400)
        assert [type(step) for step in questions.steps] == [Rejected]

    run(story)


@pytest.mark.parametrize("fate", [Fate.UNKNOWN, Fate.UNSENT])
def test_a_question_without_an_answer_is_asked_again(fate: Fate) -> None:
    """Until there is one."""

    async def story(questions: Questions) -> None:
        order = questions.order()
        questions.queries.ask(order)
        for _ in range(5):
            questions.api.answer(fate=fate, status=0)
            await asyncio.sleep(0.3)
        questions.api.answer(entry(order.client_id))
        assert order.state is OrderState.LIVE
        assert len(questions.api.asked) == 6

    run(story)


def test_trades_are_fetched_after_a_moment_in_which_events_may_come() -> None:
    """And again, later and later, until they add up."""

    async def story(questions: Questions) -> None:
        order = questions.order(exchange_id=7)
        order.executed_e8 = 200_000_000
        questions.queries.fetch(order)
        assert questions.api.asked == []
        await asyncio.sleep(0.2)
        questions.api.answer([trade(1, 7)])
        await asyncio.sleep(1)
        questions.api.answer([trade(1, 7), trade(2, 7)])
        await asyncio.sleep(9)
        assert questions.api.methods == ["myTrades", "myTrades"]
        assert [step.fill.trade_id for step in questions.steps if isinstance(step, Booked)] == [1, 2]

    run(story)


def test_a_reconcile_reads_orders_trades_and_balances() -> None:
    """The ledger begins after the last trade that there was."""

    async def story(questions: Questions) -> None:
        task = asyncio.ensure_future(questions.queries.reconcile())
        balances = {"balances": [{"asset": "USDT", "free": "5", "locked": "1"}]}
        await questions.answers([], [trade(41, 9)], [], balances, {"mins": 5, "price": "99.5"})
        await task
        assert questions.api.methods == ["openOrders.status", "myTrades", "myTrades", "account.status", "avgPrice"]
        assert questions.api.asked[2][1]["fromId"] == 42
        assert questions.queries.balances == {"USDT": ("5", "1")}
        assert questions.checks.average_e8 == 9_950_000_000
        assert questions.checks.free == {"USDT": 500_000_000}

    run(story)


def test_trades_come_in_pages_and_belong_to_whoever_placed_the_order() -> None:
    """An order id that is not known is looked up once; foreign ones are remembered."""

    async def story(questions: Questions) -> None:
        questions.queries.checked_id = 0
        questions.api.us += 60_000_000
        task = asyncio.ensure_future(questions.queries._trades())
        first = [trade(number, 8) for number in range(1, PAGE + 1)]
        await questions.answers(first, entry("web_1", 8), [trade(2_000, 8), trade(2_001, 9)])
        await questions.answers(entry("mm-lost-1b", 9, "FILLED", "2"))
        await task
        assert questions.api.methods == ["myTrades", "order.status", "myTrades", "order.status"]
        booked = [step for step in questions.steps if isinstance(step, Booked)]
        assert [(step.order_id, step.fill.trade_id) for step in booked] == [(EARLIER, 2_001)]
        assert questions.queries.checked_id == 2_001

    run(story)


def test_fresh_trades_are_read_again_by_the_next_reconcile() -> None:
    """The list may lack one of the same second."""

    async def story(questions: Questions) -> None:
        questions.queries.checked_id = 0
        order = questions.order(exchange_id=7)
        order.state = OrderState.LIVE
        task = asyncio.ensure_future(questions.queries._trades())
        await questions.answers([trade(1, 7, time=-60_000), trade(2, 7, time=-5_000)])
        await task
        assert questions.queries.checked_id == 1

    run(story)


@pytest.mark.parametrize(("adopt", "orders"), [(False, 1), (True, 2)])
def test_whose_orders_are_taken_over(adopt: bool, orders: int) -> None:
    """Ours by their client ids; others only on request."""

    async def story(questions: Questions) -> None:
        questions.queries.adopt = adopt
        task = asyncio.ensure_future(questions.queries.listed(questions.api))
        await questions.answers([entry("mm-x-1b", 7), entry("web_1", 8)])
        ours, foreign = await task
        assert (len(ours), foreign) == (orders, 2 - orders)
        assert all(order.cancel_wanted for order in questions.states.open.values())

    run(story)


def test_an_exchange_that_does_not_answer_leaves_the_reconcile_undone() -> None:
    """It is retried by its caller."""

    async def story(questions: Questions) -> None:
        task = asyncio.ensure_future(questions.queries.reconcile())
        await asyncio.sleep(0)
        questions.api.answer(fate=Fate.UNKNOWN, status=0)
        with pytest.raises(Unanswered, match="openOrders"):
            await task

    run(story)
