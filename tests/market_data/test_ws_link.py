"""Frames cut out of bytes, held against the library that makes them and reads them."""

import asyncio
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from mm.market_data.ws_link import SLICE_S, FrameCutter, Inbox, Link, text_frame

MOST_BYTES = 70_000
SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, MOST_BYTES])

messages = st.builds(
    lambda size, opcode: Frame(opcode, b"m" * size), SIZES, st.sampled_from([Opcode.TEXT, Opcode.BINARY])
)
controls = st.builds(
    lambda size, opcode: Frame(opcode, b"c" * size), st.integers(0, 125), st.sampled_from([Opcode.PING, Opcode.PONG])
)


def fragments(pieces, between):
    """Return the frames of a message in fragments, with a control frame among them."""
    kinds = [Opcode.TEXT, *[Opcode.CONT] * len(pieces)]
    frames = [Frame(kind, piece, fin=False) for kind, piece in zip(kinds, pieces, strict=False)]
    return [*frames, between, Frame(Opcode.CONT, b"end")]


in_fragments = st.builds(fragments, st.lists(st.binary(max_size=200), min_size=1, max_size=3), controls)
streams = st.lists(
    st.one_of(messages.map(lambda one: [one]), controls.map(lambda one: [one]), in_fragments), max_size=6
)


def in_parts(data, cuts):
    """Yield *data* cut at some places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[low:high] for low, high in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 10**6), max_size=12))
def test_wherever_a_socket_cuts_the_bytes_every_frame_comes_out_whole_and_in_order(groups, cuts):
    """A message that is one frame comes as its payload; all else as the frame that it was, for the library to read."""
    frames = [frame for group in groups for frame in group]
    inside = {id(frame) for group in groups if len(group) > 1 for frame in group}
    wanted = [
        (True, bytes(frame.data))
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY) and id(frame) not in inside
        else (False, frame.serialize(mask=False))
        for frame in frames
    ]
    cutter = FrameCutter(MOST_BYTES)
    data = b"".join(frame.serialize(mask=False) for frame in frames)
    assert [piece for part in in_parts(data, cuts) for piece in cutter.cut(part)] == wanted


def test_single_bytes_are_enough():
    """The slowest of sockets."""
    data = b"".join(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False) for size in (3, 200, 70_000))
    cutter = FrameCutter(MOST_BYTES)
    found = [piece for at in range(len(data)) for piece in cutter.cut(data[at : at + 1])]
    assert [(whole, len(payload)) for whole, payload in found] == [(True, 3), (True, 200), (True, 70_000)]


def test_a_frame_that_claims_too_much_goes_to_the_library_with_all_behind_it():
    """It is not waited for: the library closes the connection and says why."""
    long = Frame(Opcode.TEXT, b"x" * (MOST_BYTES + 1)).serialize(mask=False)
    cutter = FrameCutter(MOST_BYTES)
    assert cutter.cut(long[:100]) == [(False, long[:100])]
    assert cutter.cut(b"more") == [(False, b"more")]


def test_what_no_server_may_send_is_left_to_the_library():
    """Masked frames, reserved bits, a message amid the fragments of another one."""
    masked = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
    assert FrameCutter(MOST_BYTES).cut(masked) == [(False, masked)]
    reserved = b"\xc1\x01x"
    assert FrameCutter(MOST_BYTES).cut(reserved) == [(False, reserved)]
    begun, message = b"\x01\x01a", b"\x81\x01b"
    assert FrameCutter(MOST_BYTES).cut(begun + message) == [(False, begun), (False, message)]


class OneLink:
    """A connection that has opened, as the inbox sees it, and a listener that ends it."""

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

    def is_closing(self):
        return False


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


@given(st.binary(max_size=200) | st.integers(65_500, 65_600).map(bytes), st.binary(min_size=4, max_size=4))
def test_a_text_frame_is_what_the_library_would_send(text, mask):
    """It takes a third of the time; the library unmasks it, of any length of the head."""
    sent = ServerProtocol(state=OPEN, max_size=None)
    sent.receive_data(text_frame(text, mask))
    (frame,) = sent.events_received()
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, text)
