"""Clients of the streams without a socket, and a market for them: the messages sent to them, and the resulting book."""

import random

from exchange_double import START_US
from mm.sim.matching.order_log import IOC, LIMIT
from mm.sim.wire.stream_requests import read_stream
from plain_matching import PlainMatching


class Listener:
    """Keep the delivered messages.

    Args:
        phase_ms: When its batches end.
        micro: Whether its stamps are µs.
    """

    def __init__(self, phase_ms=0, *, micro=False):
        self.phase_ms = phase_ms
        self.micro = micro
        self.slow = False
        self.got = []

    def is_slow(self, stream):
        return self.slow

    def deliver(self, message):
        self.got.append(message)

    def events(self, kind=None):
        return [message.event for message in self.got if kind in (None, message.kind)]


def rebuilt(events):
    """Return the book of depth events, with the original decimal texts, and check that they are contiguous."""
    book = {"b": {}, "a": {}}
    for before, event in zip([None, *events], events, strict=False):
        assert before is None or event["U"] == before["u"] + 1
        assert event["U"] <= event["u"]
        for side, levels in book.items():
            prices = [float(price) for price, _ in event[side]]
            assert prices == sorted(set(prices), reverse=side == "b")
            for price, qty in event[side]:
                levels[price] = qty
    return {side: {price: qty for price, qty in levels.items() if float(qty)} for side, levels in book.items()}


def book_of(rows, instrument, until_id=None):
    """Return the book of the LEVEL rows of a log up to an update id, decimal texts by side."""
    book = {"b": {}, "a": {}}
    for _, kind, _, _, _, side, ticks, lots, _, update_id in rows:
        if kind == 3 and (until_id is None or update_id <= until_id):
            levels = book["b" if side > 0 else "a"]
            levels[instrument.price(ticks)] = instrument.qty(lots)
            if not lots:
                del levels[instrument.price(ticks)]
    return book


DEPTH, SLOW = "simusdt@depth@100ms", "simusdt@depth"


def subscribe(feed, listener, *names):
    for name in names:
        feed.subscribe(listener, read_stream(name))
    return listener


def market(seed, orders=120, most_step_us=60_000):
    """Return chunks of rows, each with the instant of its order, often the same: a busy market in a narrow band."""
    draw, matching, us, chunks = random.Random(seed), PlainMatching(), START_US, []
    for _ in range(orders):
        us += draw.choice((0, draw.randrange(most_step_us)))
        side, kind = draw.choice((1, -1)), draw.choice((LIMIT, LIMIT, IOC))
        matching.submit(us, 1_000, side, 10_000 + draw.randint(-6, 6), draw.randint(1, 9), kind)
        resting = matching.open_orders(1_000)
        if len(resting) > 12:
            matching.cancel(us, draw.choice(resting))
        chunks.append((us, matching.take_log()))
    return chunks


def play(feed, chunks):
    for us, rows in chunks:
        feed.take(rows)
        feed.advance(us)
    feed.advance(chunks[-1][0] + 1_000_000)


def one_order(feed, matching, us, *order):
    matching.submit(us, 1_000, *order)
    feed.take(matching.take_log())
