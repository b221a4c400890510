"""One connection, and the inbox: in which order messages come out, and what a connection does not bear."""

import asyncio
from time import perf_counter

import pytest
from websockets.server import ServerProtocol

from mm.market_data.ws_link import (
    MOST_CONTROL_FRAMES,
    MOST_FRAGMENTS,
    MOST_UNSENT_BYTES,
    SLICE_S,
    Inbox,
    Link,
)


class OneLink:
    """An opened connection, with an inbox, and a listener that ends it."""

    url, slot = "ws://x", 0

    def __init__(self, inbox):
        self.inbox, self.turns, self.came = inbox, 0, []
        inbox.links.append(self)
        inbox.opened_or_ended(self)

    def connected(self, url, conn, slot):
        pass

    def message(self, recv_us, conn, slot, raw):
        self.came.append((recv_us, raw, self.turns))
        self.inbox.opened_or_ended(self)

    def disconnected(self, conn, slot, code, reason):
        pass

    def ending(self):
        return None, ""


def turns_until_handed_out(gather_s):
    """Return the stamp of a message as handed out, and how many turns of the loop it waited for that."""

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
        return link.came[0]

    return asyncio.run(run())


def test_without_gathering_a_message_is_handed_out_before_put_returns_with_its_stamp():
    """An order that follows on it does not wait for a turn of the event loop."""
    assert turns_until_handed_out(0.0) == (5, b"m", 0)
    assert turns_until_handed_out(0.05)[2] > 10


class Wire:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = bytearray()
        self.write = self.written.extend
        self.unsent, self.aborted = 0, False

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return self.unsent

    def abort(self):
        self.aborted = True


def test_an_answer_to_a_handshake_that_was_given_up_is_nothing():
    """The task that opened it was cancelled in the same turn of the loop."""

    async def run():
        inbox, wire, server = Inbox(), Wire(), ServerProtocol()
        link = Link(inbox, "ws://127.0.0.1:1/stream", 0)
        link.connection_made(wire)
        server.receive_data(bytes(wire.written))
        server.send_response(server.accept(server.events_received()[0]))
        link._opened.cancel()
        link.data_received(b"".join(server.data_to_send()))
        assert (link.announced, len(inbox.waiting)) == (False, 0)

    asyncio.run(run())


class SlowLink(OneLink):
    """Its listener takes longer than a slice for each message, and fails at one of them."""

    def message(self, recv_us, conn, slot, raw):
        ends_s = perf_counter() + SLICE_S
        while perf_counter() <= ends_s:
            pass
        self.came.append((raw, self.turns))
        if raw == b"wrong":
            raise ValueError(raw)


def handed_out_slowly(raws):
    """Put in *raws* at once; return them as handed out, each with the turn of the loop, and the error of the end."""

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
        return link.came, task.exception()

    return asyncio.run(run())


def test_without_gathering_the_loop_has_its_turn_after_a_slice_of_time():
    """Many messages at once do not keep the sockets waiting, and stay in order."""
    came, error = handed_out_slowly([b"a", b"b", b"c"])
    assert error is None
    assert [raw for raw, _ in came] == [b"a", b"b", b"c"]
    turns = [turn for _, turn in came]
    assert turns[0] == 0 < turns[1] < turns[2]


@pytest.mark.parametrize("raws", [[b"wrong", b"a"], [b"a", b"wrong", b"b"]])
def test_what_a_listener_raises_ends_the_handing_out_and_nothing_follows(raws):
    """Raised in the socket's callback, it would be taken for a fault of the connection, and another one opened."""
    came, error = handed_out_slowly(raws)
    assert [raw for raw, _ in came] == raws[: raws.index(b"wrong") + 1]
    assert isinstance(error, ValueError)


def an_open_link():
    """Return a link whose handshake is over, and its wire; call it in a loop."""
    wire, server = Wire(), ServerProtocol()
    link = Link(Inbox(), "ws://127.0.0.1:1/stream", 0)
    link.connection_made(wire)
    server.receive_data(bytes(wire.written))
    server.send_response(server.accept(server.events_received()[0]))
    link.data_received(b"".join(server.data_to_send()))
    wire.written.clear()
    return link, wire


def in_a_loop(work):
    async def run():
        return work()

    return asyncio.run(run())


def test_a_message_of_fragments_without_an_end_takes_no_memory_and_ends_the_connection():
    """Parts of no bytes would pass every limit of bytes."""

    def work():
        link, wire = an_open_link()
        link.data_received(b"\x01\x01a" + b"\x00\x00" * MOST_FRAGMENTS)
        assert wire.aborted
        assert len(link._fragments) == 1
        assert [raw for _, _, raw in link._inbox.waiting] == [None]

    in_a_loop(work)


def test_a_message_of_some_fragments_is_one_message():
    """Also behind one that is whole, and with a ping between its parts."""

    def work():
        link, wire = an_open_link()
        link.data_received(b"\x81\x01z\x01\x02ab\x89\x01p\x00\x01c\x80\x01d")
        assert [raw for _, _, raw in link._inbox.waiting] == [None, b"z", b"abcd"]
        assert not wire.aborted
        assert len(wire.written) == 2 + 4 + 1

    in_a_loop(work)


@pytest.mark.parametrize("frame", [b"\x89\x01p", b"\x8a\x01p"])
def test_a_flood_of_pings_costs_neither_answers_nor_messages(frame):
    """Most are passed over; what comes between them is taken, and the connection stays."""

    def work():
        link, wire = an_open_link()
        for _ in range(20):
            link.data_received(frame * 2_000 + b"\x81\x01m")
        assert [raw for _, _, raw in link._inbox.waiting] == [None, *[b"m"] * 20]
        assert len(wire.written) <= 30 * MOST_CONTROL_FRAMES * len(frame) * 3
        assert not wire.aborted
        assert link._pong.is_set() == (frame[0] == 0x8A)

    in_a_loop(work)


def test_answers_that_nobody_reads_end_the_connection():
    """They would fill the memory."""

    def work():
        link, wire = an_open_link()
        wire.unsent = MOST_UNSENT_BYTES + 1
        link.data_received(b"\x89\x01p")
        assert wire.aborted

    in_a_loop(work)


def test_what_is_held_is_handed_out_in_order_later():
    """From an instant on, or all; the stamps are those of the arrival."""

    async def run():
        inbox = Inbox(gather_s=0.0)
        link = OneLink(inbox)
        link.message = lambda recv_us, _conn, _slot, raw: link.came.append((recv_us, raw))
        task = asyncio.ensure_future(inbox.hand_out(link, lambda: False))
        while not inbox.numbers:
            await asyncio.sleep(0)
        inbox.hold_from(7)
        for us, raw in ((5, b"a"), (7, b"b"), (6, b"c")):
            inbox.put(link, [raw], us)
        await asyncio.wait_for(inbox.held.wait(), 30)
        assert link.came == [(5, b"a")]
        inbox.hold_from(None)
        inbox.put(link, [b"d"], 8)
        for _ in range(20):
            await asyncio.sleep(0)
        assert link.came == [(5, b"a")]
        inbox.hold_from(100)
        while inbox.waiting:
            await asyncio.sleep(0)
        assert link.came == [(5, b"a"), (7, b"b"), (6, b"c"), (8, b"d")]
        assert not inbox.held.is_set()
        task.cancel()

    asyncio.run(run())


def test_what_waits_has_an_end(monkeypatch):
    """What comes beyond it is not kept, and its connection is to end."""
    monkeypatch.setattr("mm.market_data.ws_link.MOST_WAITING_BYTES", 10)
    inbox = Inbox()
    inbox.hold_from(None)
    kept = [inbox.put(None, [b"x" * 6], us) for us in range(9)]
    assert kept == [True, *[False] * 8]
    assert len(inbox.waiting) == 2
