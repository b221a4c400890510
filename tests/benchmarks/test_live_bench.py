"""The bench of a trader: its exchange sends valid messages, and its stopwatch measures the stated times."""

import json
from itertools import islice

import msgspec

from benchmarks import live_venue
from benchmarks.live import Stopwatch
from benchmarks.live_steps import STEPS, StepClock
from mm.market_data.local_orderbook import LocalOrderBook


def test_the_messages_follow_on_each_other_and_every_tenth_moves_both_best_prices():
    feed = live_venue.MovingFeed(5)
    found = json.loads(feed.snapshot())
    book, last = LocalOrderBook.of(found["bids"], found["asks"]), found["lastUpdateId"]
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


def test_an_order_rests_until_it_is_replaced():
    api = live_venue.OrderApi()

    def ask(method, **params):
        return msgspec.json.decode(api.answer({"id": 1, "method": method, "params": params}))["result"]

    terms = {"side": "BUY", "type": "LIMIT_MAKER", "quantity": "1", "price": "59999.99"}
    placed = ask("order.place", newClientOrderId="one", **terms)
    assert [one["clientOrderId"] for one in ask("openOrders.status")] == ["one"]
    replaced = ask("order.cancelReplace", newClientOrderId="two", cancelOrderId=placed["orderId"], **terms)
    assert replaced["cancelResponse"]["origClientOrderId"] == "one"
    assert [one["clientOrderId"] for one in ask("openOrders.status")] == ["two"]


MOVES = live_venue.stamped(b"," + live_venue.MOVED + b"...", 1_700_000_000_000_000)
STAYS = live_venue.stamped(b",...", 1_700_000_000_000_009)


def test_the_stopwatch_reads_first_and_last_request_of_a_move_and_none_that_follows_on_an_answer():
    watch = Stopwatch()
    send = watch.sends(print)

    def take(data):
        for _ in range(2):
            send(b'{"method":"order.place"}')

    watch.came(take)(STAYS + MOVES)
    (move,) = watch.moves
    assert 0 < move.first_s < move.last_s
    assert move.stamp_us == 1_700_000_000_000_000
    assert move.worked_s > 0
    assert move.sent_s > move.last_s
    last_s = move.last_s
    watch.answered(take)(b"an answer")
    watch.came(take)(STAYS)
    assert watch.moves == [move]
    assert move.last_s == last_s


def test_a_move_without_a_request_waits_for_the_next_one():
    watch = Stopwatch()
    send = watch.sends(print)
    watch.came(print)(MOVES)
    send(b'{"method":"time"}')
    assert watch.moves[0].first_s == 0
    watch.came(lambda _: send(b'{"method":"order.cancel"}'))(MOVES)
    assert [one.first_s > 0 for one in watch.moves] == [True, False]


def test_a_move_counts_whose_steps_come_once_and_in_order():
    clock = StepClock()
    orders = [range(len(STEPS)), [0, 1, 0, *range(1, len(STEPS))], [1, *range(2, len(STEPS))], range(len(STEPS))]
    for order in orders:
        clock.begin(0.0)
        for step in order:
            clock.close(step)
    assert [len(one) for one in clock.found] == [len(STEPS)] * 2
    assert all(step_s > 0 for one in clock.found for step_s in one)
