"""The bench of a trader: its exchange sends valid messages, and its stopwatch measures the documented times."""

import json
from itertools import islice

import msgspec
import pytest

from benchmarks import live_venue
from benchmarks.live import Stopwatch
from benchmarks.live_steps import STEPS, StepClock
from mm.market_data.local_orderbook import LocalOrderBook

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_feed_messages_are_consecutive_and_every_tenth_moves_best_prices():
    feed = live_venue.MovingFeed(5)
    snapshot = json.loads(feed.snapshot())
    book, last = LocalOrderBook.of(snapshot["bids"], snapshot["asks"]), snapshot["lastUpdateId"]
    bests = [book.best()]
    for raw in islice(feed.messages(), 60):
        data = json.loads(live_venue.stamped(raw, 1_700_000_000_000_000))["data"]
        assert data["U"] == last + 1
        last = data["u"]
        assert not book.change(data["b"], data["a"])
        assert (live_venue.MOVED in raw) == (book.best() != bests[-1])
        bests.append(book.best())
    moved = [at for at in range(1, 61) if bests[at] != bests[at - 1]]
    assert moved == [1, 11, 21, 31, 41, 51]
    assert all(bests[at][side] != bests[at - 1][side] for at in moved for side in (0, 1))


def test_order_api_keeps_order_until_it_is_replaced():
    api = live_venue.OrderApi()

    def request(method, **params):
        return msgspec.json.decode(api.answer({"id": 1, "method": method, "params": params}))["result"]

    terms = {"side": "BUY", "type": "LIMIT_MAKER", "quantity": "1", "price": "59999.99"}
    placed = request("order.place", newClientOrderId="one", **terms)
    assert [one["clientOrderId"] for one in request("openOrders.status")] == ["one"]
    replaced = request("order.cancelReplace", newClientOrderId="two", cancelOrderId=placed["orderId"], **terms)
    assert replaced["cancelResponse"]["origClientOrderId"] == "one"
    assert [one["clientOrderId"] for one in request("openOrders.status")] == ["two"]


MOVES = live_venue.stamped(b"," + live_venue.MOVED + b"...", 1_700_000_000_000_000)
STAYS = live_venue.stamped(b",...", 1_700_000_000_000_009)


def test_stopwatch_times_requests_of_a_move_but_not_of_a_response():
    watch = Stopwatch()
    send = watch.wrap_send(print)

    def take(data):
        for _ in range(2):
            send(b'{"method":"order.place"}')

    watch.wrap_market(take)(STAYS + MOVES)
    (move,) = watch.moves
    assert 0 < move.first_s < move.last_s
    assert move.stamp_us == 1_700_000_000_000_000
    assert move.worked_s > 0
    assert move.sent_s > move.last_s
    last_s = move.last_s
    watch.wrap_responses(take)(b"an answer")
    watch.wrap_market(take)(STAYS)
    assert watch.moves == [move]
    assert move.last_s == last_s


def test_stopwatch_attributes_later_request_to_first_pending_move():
    watch = Stopwatch()
    send = watch.wrap_send(print)
    watch.wrap_market(print)(MOVES)
    send(b'{"method":"time"}')
    assert watch.moves[0].first_s == 0
    watch.wrap_market(lambda _: send(b'{"method":"order.cancel"}'))(MOVES)
    assert [one.first_s > 0 for one in watch.moves] == [True, False]


def test_step_clock_counts_moves_with_every_step_once_and_in_order():
    clock = StepClock()
    orders = [range(len(STEPS)), [0, 1, 0, *range(1, len(STEPS))], [1, *range(2, len(STEPS))], range(len(STEPS))]
    for order in orders:
        clock.begin(0.0)
        for step in order:
            clock.close(step)
    assert [len(one) for one in clock.step_times] == [len(STEPS)] * 2
    assert all(step_s > 0 for one in clock.step_times for step_s in one)
