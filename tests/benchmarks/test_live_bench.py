"""The bench of a trader: its exchange sends what an exchange sends, and its stopwatch measures what it says."""

import json
from itertools import islice

import msgspec

from benchmarks import live_venue
from benchmarks.live import Stopwatch
from mm.market_data.local_orderbook import LocalOrderBook


def test_the_messages_follow_on_each_other_and_every_tenth_moves_both_best_prices():
    feed = live_venue.MovingFeed(5)
    found = json.loads(feed.snapshot())
    book, last = LocalOrderBook.of(found["bids"], found["asks"]), found["lastUpdateId"]
    bests = [book.best()]
    for raw in islice(feed.messages(), 60):
        data = json.loads(raw)["data"]
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


def test_the_stopwatch_reads_first_and_last_request_of_a_move_and_none_that_follows_on_an_answer():
    watch = Stopwatch()
    send = watch.sends(print)

    def take(data):
        for _ in range(2):
            send(b'{"method":"order.place"}')

    watch.came(take)(b"..." + live_venue.MOVED + b"...")
    (came_s,) = watch.moves
    assert 0 < watch.first[came_s] < watch.last[came_s]
    last_s = watch.last[came_s]
    watch.answered(take)(b"an answer")
    watch.came(take)(b"a message that moves nothing")
    assert (watch.first.keys(), watch.last) == ({came_s}, {came_s: last_s})


def test_a_move_without_a_request_waits_for_the_next_one():
    watch = Stopwatch()
    send = watch.sends(print)
    watch.came(print)(live_venue.MOVED)
    send(b'{"method":"time"}')
    assert watch.first == {}
    watch.came(lambda _: send(b'{"method":"order.cancel"}'))(live_venue.MOVED)
    assert list(watch.first) == watch.moves[:1]
