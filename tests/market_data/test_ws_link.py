"""A connection and the inbox: order of messages, and limits of a connection."""

import asyncio
from time import perf_counter

import pytest
from websockets.server import ServerProtocol

from mm.market_data.ws_link import (
    MOST_FRAGMENTS,
    MOST_PINGS,
    MOST_UNSENT_BYTES,
    SLICE_S,
    Inbox,
    Link,
)


class OneLink:
    """An open connection with an inbox, whose listener ends the delivery."""

    url, slot = "ws://x", 0

    def __init__(self, inbox):
        self.inbox, self.turns, self.received = inbox, 0, []
        inbox.links.append(self)
        inbox.opened_or_ended(self)

    def connected(self, url, conn, slot):
        pass

    def message(self, recv_us, conn, slot, raw):
        self.received.append((recv_us, raw, self.turns))
        self.inbox.opened_or_ended(self)

    def disconnected(self, conn, slot, code, reason):
        pass

    def ending(self):
        return None, ""


def turns_until_delivery(gather_s):
    """Return a delivered message with its stamp and the number of loop turns that it waited."""

    async def run():
        inbox = Inbox(gather_s=gather_s)
        link = OneLink(inbox)
        task = asyncio.ensure_future(inbox.hand_out(link, lambda: True))
        while not inbox.numbers:
            await asyncio.sleep(0)
        inbox.put(link, [b"m"], 5)
        while not task.done():
            await asyncio.sleep(0)
            link.turns += 1
        return link.received[0]

    return asyncio.run(run())


def test_message_is_delivered_within_put_without_gathering():
    """A reaction to the message does not wait for a turn of the event loop."""
    assert turns_until_delivery(0.0) == (5, b"m", 0)
    assert turns_until_delivery(0.05)[2] > 10


class Wire:
    """A transport that keeps the written bytes."""

    def __init__(self):
        self.written = bytearray()
        self.write = self.written.extend
        self.unsent, self.aborted = 0, False

    def is_closing(self):
        return False

    def set_write_buffer_limits(self, *_bounds):
        pass

    pause_reading = resume_reading = set_write_buffer_limits

    def get_write_buffer_size(self):
        return self.unsent

    def abort(self):
        self.aborted = True


def shaken(give_up=False):
    """Return a link after the response to its handshake, and its wire; call it within an event loop."""
    wire, server = Wire(), ServerProtocol()
    link = Link(Inbox(), "ws://127.0.0.1:1/stream", 0)
    connection, protocol = link.connection, link.connection.protocol
    connection.connection_made(wire)
    protocol.send_request(protocol.connect())
    connection.send_data()
    server.receive_data(bytes(wire.written))
    server.send_response(server.accept(server.events_received()[0]))
    link.given_up = give_up
    connection.data_received(b"".join(server.data_to_send()))
    wire.written.clear()
    return link, wire


def test_answer_to_a_cancelled_handshake_is_ignored():
    """The opening task was cancelled in the same turn of the loop."""

    async def run():
        link, _ = shaken(give_up=True)
        assert (link.announced, len(link.inbox.waiting)) == (False, 0)

    asyncio.run(run())


class SlowLink(OneLink):
    """A link whose listener takes longer than a time slice per message, and fails at one of them."""

    def message(self, recv_us, conn, slot, raw):
        ends_s = perf_counter() + SLICE_S
        while perf_counter() <= ends_s:
            pass
        self.received.append((raw, self.turns))
        if raw == b"wrong":
            raise ValueError(raw)


def delivered_slowly(raws):
    """Put *raws* at once; return the delivered messages with their loop turns, and the final error."""

    async def run():
        inbox = Inbox(gather_s=0.0)
        link = SlowLink(inbox)
        task = asyncio.ensure_future(inbox.hand_out(link, lambda: True))
        while not inbox.numbers:
            await asyncio.sleep(0)
        inbox.put(link, raws, 5)
        inbox.opened_or_ended(link)
        while not task.done():
            link.turns += 1
            await asyncio.sleep(0)
        return link.received, task.exception()

    return asyncio.run(run())


def test_delivery_yields_to_the_loop_after_a_time_slice():
    """Many messages at once do not block the sockets, and stay in order."""
    received, error = delivered_slowly([b"a", b"b", b"c"])
    assert error is None
    assert [raw for raw, _ in received] == [b"a", b"b", b"c"]
    turns = [turn for _, turn in received]
    assert turns[0] == 0 < turns[1] < turns[2]


@pytest.mark.parametrize("raws", [[b"wrong", b"a"], [b"a", b"wrong", b"b"]])
def test_listener_error_ends_the_delivery(raws):
    """In the socket's callback the error would look like a connection fault, and another connection would open."""
    received, error = delivered_slowly(raws)
    assert [raw for raw, _ in received] == raws[: raws.index(b"wrong") + 1]
    assert isinstance(error, ValueError)


def in_a_loop(work):
    async def run():
        return work()

    return asyncio.run(run())


def test_endless_fragments_end_the_connection_without_filling_memory():
    """Empty fragments would pass every limit of bytes."""

    def work():
        link, wire = shaken()
        link.connection.data_received(b"\x01\x01a" + b"\x00\x00" * MOST_FRAGMENTS)
        assert wire.aborted
        assert len(link._fragments) == MOST_FRAGMENTS
        assert [raw for _, _, raw in link.inbox.waiting] == [None]

    in_a_loop(work)


def test_fragmented_message_is_delivered_as_one_message():
    """Also after a single-frame message, and with a ping between its fragments."""

    def work():
        link, wire = shaken()
        link.connection.data_received(b"\x81\x01z\x01\x02ab\x89\x01p\x00\x01c\x80\x01d")
        assert [raw for _, _, raw in link.inbox.waiting] == [None, b"z", b"abcd"]
        assert not wire.aborted
        assert len(wire.written) == 2 + 4 + 1

    in_a_loop(work)


@pytest.mark.parametrize("frame", [b"\x89\x01p", b"\x8a\x01p"])
def test_flood_of_control_frames_is_limited_and_loses_no_message(frame):
    """Most pings are not answered; messages between them are received, and the connection stays open."""

    def work():
        link, wire = shaken()
        for _ in range(20):
            link.connection.data_received(frame * 2_000 + b"\x81\x01m")
        assert [raw for _, _, raw in link.inbox.waiting] == [None, *[b"m"] * 20]
        assert len(wire.written) <= 30 * MOST_PINGS * len(frame) * 3
        assert not wire.aborted

    in_a_loop(work)


def test_unsent_pongs_end_the_connection():
    """Unread answers would fill the memory."""

    def work():
        link, wire = shaken()
        wire.unsent = MOST_UNSENT_BYTES + 1
        link.connection.data_received(b"\x89\x01p")
        assert wire.aborted

    in_a_loop(work)


def test_held_messages_are_delivered_later_in_order():
    """All messages, or those from a given time on; stamps are those of arrival."""

    async def run():
        inbox = Inbox(gather_s=0.0)
        link = OneLink(inbox)
        link.message = lambda recv_us, _conn, _slot, raw: link.received.append((recv_us, raw))
        task = asyncio.ensure_future(inbox.hand_out(link, lambda: False))
        while not inbox.numbers:
            await asyncio.sleep(0)
        inbox.hold_from(7)
        for us, raw in ((5, b"a"), (7, b"b"), (6, b"c")):
            inbox.put(link, [raw], us)
        await asyncio.wait_for(inbox.held.wait(), 30)
        assert link.received == [(5, b"a")]
        inbox.hold_from(None)
        inbox.put(link, [b"d"], 8)
        for _ in range(20):
            await asyncio.sleep(0)
        assert link.received == [(5, b"a")]
        inbox.hold_from(100)
        while inbox.waiting:
            await asyncio.sleep(0)
        assert link.received == [(5, b"a"), (7, b"b"), (6, b"c"), (8, b"d")]
        assert not inbox.held.is_set()
        task.cancel()

    asyncio.run(run())


def test_waiting_messages_are_limited(monkeypatch):
    """Messages beyond the limit are dropped, and `put` returns False."""
    monkeypatch.setattr("mm.market_data.ws_link.MOST_WAITING_BYTES", 10)
    inbox = Inbox()
    inbox.hold_from(None)
    kept = [inbox.put(None, [b"x" * 6], us) for us in range(9)]
    assert kept == [True, *[False] * 8]
    assert len(inbox.waiting) == 2
