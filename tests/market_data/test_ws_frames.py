"""Frames cut from bytes, compared with the websockets library."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from mm.market_data.ws_frames import FrameCutter, text_frame

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
    st.one_of(messages.map(lambda frame: [frame]), controls.map(lambda frame: [frame]), in_fragments), max_size=6
)


def in_parts(data, cuts):
    """Return *data* split at the given places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[low:high] for low, high in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 10**6), max_size=12))
def test_frames_are_whole_and_in_order_for_any_split_of_the_bytes(groups, cuts):
    """A single-frame message is returned as its payload; other frames unchanged, for the library."""
    frames = [frame for group in groups for frame in group]
    inside = {id(frame) for group in groups if len(group) > 1 for frame in group}
    expected = [
        (True, bytes(frame.data))
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY) and id(frame) not in inside
        else (False, frame.serialize(mask=False))
        for frame in frames
    ]
    cutter = FrameCutter(MOST_BYTES)
    data = b"".join(frame.serialize(mask=False) for frame in frames)
    assert [piece for part in in_parts(data, cuts) for piece in cutter.cut(part)] == expected


def test_frames_are_assembled_from_single_bytes():
    """A socket may deliver one byte at a time."""
    data = b"".join(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False) for size in (3, 200, 70_000))
    cutter = FrameCutter(MOST_BYTES)
    found = [piece for at in range(len(data)) for piece in cutter.cut(data[at : at + 1])]
    assert [(whole, len(payload)) for whole, payload in found] == [(True, 3), (True, 200), (True, 70_000)]


def test_too_long_frame_and_later_bytes_are_left_to_the_library():
    """The library closes the connection with a reason."""
    long = Frame(Opcode.TEXT, b"x" * (MOST_BYTES + 1)).serialize(mask=False)
    cutter = FrameCutter(MOST_BYTES)
    assert cutter.cut(long[:100]) == [(False, long[:100])]
    assert cutter.cut(b"more") == [(False, b"more")]


def test_invalid_server_frames_are_left_to_the_library():
    """Masked frames, reserved bits, and a message between the fragments of another one."""
    masked = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
    assert FrameCutter(MOST_BYTES).cut(masked) == [(False, masked)]
    reserved = b"\xc1\x01x"
    assert FrameCutter(MOST_BYTES).cut(reserved) == [(False, reserved)]
    begun, message = b"\x01\x01a", b"\x81\x01b"
    assert FrameCutter(MOST_BYTES).cut(begun + message) == [(False, begun), (False, message)]


@given(st.binary(max_size=200) | st.integers(65_500, 65_600).map(bytes), st.binary(min_size=4, max_size=4))
def test_text_frame_is_readable_by_the_library(text, mask):
    """For all header lengths and masks."""
    sent = ServerProtocol(state=OPEN, max_size=None)
    sent.receive_data(text_frame(text, mask))
    (frame,) = sent.events_received()
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, text)
