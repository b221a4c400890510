"""Raw captures of Binance Spot, line by line, as typed messages with their receive time.

Two forms are read, each plain or gzip, and recognised file by file:

- stamped lines: ``<stamp> <JSON>``, the stamp in s (with a fraction), ms, µs or ns; the JSON is a combined-stream
  message (``{"stream", "data"}``), a bare payload, or a REST answer. A connection may stand between them as
  ``wss://… <-> <stamp>``, and a REST answer may bring its address: ``https://… -> <stamp>: <JSON>``.
- JSON lines that begin with ``{"t":"header", …}``: ``t``, ``ts`` and the raw text in ``data``. Each connection is in
  order there, but REST answers may stand before everything else: they are handed out when the stream reaches their
  time.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from mm.clock import LAST_US, US_PER_S, stamp_to_us
from mm.errors import BrokenFile, OffGrid
from mm.market_data.capture_lines import ACCEPTED, CaptureLines
from mm.market_data.grid import Grid
from mm.market_data.messages import Futures, Message, Messages, Other, Unreadable

EARLIEST_US = 10**15
RECOGNISE_LINES = 20
SPOT_RECORDERS = ("BINANCE", "BINANCE_US")


class Broken(Struct):
    """A line that could not be read: its bytes, where and why, and whether it was only cut off."""

    raw: bytes
    reason: str
    cut: bool


class Received(NamedTuple):
    """One line: when it was received (µs; None where it does not say), what it is, and whether a REST request asked."""

    recv_us: int | None
    message: Message | Broken
    answer: bool = False


class _Packet(NamedTuple):
    """A line taken apart: receive time, the address of a connection or REST answer, and the JSON (empty: none)."""

    recv_us: int | None
    url: str
    body: bytes | str


class _Record(Struct, gc=False):
    """A line of the JSON form."""

    t: str
    ts: Raw = Raw(b"")
    url: str = ""
    addr: str = ""
    data: str = ""
    exchange: str = ""


_HEADER = re.compile(rb'\{\s*"t"\s*:\s*"header"')
_RECORD = msgspec.json.Decoder(_Record)
_OTHER = Other()


class Capture:
    """Iterate over the messages of one symbol in one capture.

    Args:
        path: The file.
        symbol: The asked symbol, upper case.
        grid: Checks, and learns from, every price and quantity of the symbol.
        progress: Called with the bytes of the file read so far.

    Attributes:
        lines: The lines under it, which know what was lost.
        messages: What decodes them, which knows the symbols that were seen.

    Raises:
        BrokenFile: If the file has another form, or is a capture of futures; the message says what it is.
    """

    def __init__(self, path: Path, symbol: str, grid: Grid, progress: Callable[[int], None] | None = None) -> None:
        self.lines = CaptureLines(path, progress)
        self.messages = Messages(symbol, grid)
        self._split = self._recognise()

    def __iter__(self) -> Iterator[Received]:
        received = (self._received(line) for line in self.lines if line.strip())
        return _answers_in_time(received) if self._split is _split_record else received

    def where(self) -> str:
        """Return file and line of the message handed out last."""
        return f"{self.lines.path.name}:{self.lines.number}"

    def _received(self, line: bytes) -> Received:
        recv_us = None
        try:
            recv_us, url, body = self._split(line)
            return Received(recv_us, self._message(url, body), answer=bool(url and body))
        except (ValueError, OffGrid, msgspec.MsgspecError) as error:
            return Received(recv_us, Broken(line, f"{self.where()}: {error}", self.lines.cut))
        except Futures as error:
            raise BrokenFile(
                f"{self.lines.path}:{self.lines.number}: {error} belongs to futures, whose update ids follow another "
                f"rule; only captures of Binance Spot are accepted"
            ) from error

    def _message(self, url: str, body: bytes | str) -> Message:
        if not body:
            return self.messages.connected(url) if url else _OTHER
        return self.messages.answer(url, body) if url else self.messages.received(body)

    def _recognise(self) -> Callable[[bytes], _Packet]:
        """Return what takes the lines of this file apart."""
        first = [line for line in islice(CaptureLines(self.lines.path), RECOGNISE_LINES) if line.strip()]
        for line in first:
            if _HEADER.match(line):
                self._check_recorder(line)
                return _split_record
            try:
                _split_stamped(line)
            except ValueError:
                continue
            return _split_stamped
        what = _describe(first[0]) if first else "it holds no line"
        raise BrokenFile(f"{self.lines.path}:1: not a capture of Binance Spot: {what}; {ACCEPTED}")

    def _check_recorder(self, line: bytes) -> None:
        path = self.lines.path
        try:
            exchange = _RECORD.decode(line).exchange
        except msgspec.MsgspecError as error:
            raise BrokenFile(f"{path}:1: the configuration record is broken ({error}); {ACCEPTED}") from error
        if exchange not in SPOT_RECORDERS:
            known = " or ".join(SPOT_RECORDERS)
            raise BrokenFile(f"{path}:1: a capture of exchange {exchange!r}; only Binance Spot ({known}) is accepted")


def _answers_in_time(received: Iterator[Received]) -> Iterator[Received]:
    """Hold back REST answers until the stream has reached their receive time."""
    answers: deque[Received] = deque()
    for one in received:
        if one.answer:
            answers.append(one)
            continue
        while answers and (answers[0].recv_us or 0) <= (one.recv_us or 0):
            yield answers.popleft()
        yield one
    yield from answers


def _split_stamped(line: bytes) -> _Packet:
    """Take ``[URL <->|->] <stamp>[:] [JSON]`` apart."""
    url = ""
    if not line[:1].isdigit():
        address, arrow, line = line.partition(b"-> ")
        url = address.rstrip(b" <").decode()
        if not line.strip() or not arrow or "://" not in url:
            raise Unreadable("no receive stamp at its beginning")
    stamp, *rest = line.split(maxsplit=1)
    body = rest[0] if rest else b""
    if (body or not url) and not body.startswith((b"{", b"[")):
        raise Unreadable("no JSON behind the receive stamp")
    return _Packet(_stamp_us(stamp.rstrip(b":")), url, body)


def _split_record(line: bytes) -> _Packet:
    """Take a line of the JSON form apart; a record that is neither a connection nor a message is empty."""
    record = _RECORD.decode(line)
    if record.t == "connect":
        return _Packet(_stamp_us(bytes(record.ts)), record.addr, "")
    if record.t in ("http", "recv"):
        return _Packet(_stamp_us(bytes(record.ts)), record.url if record.t == "http" else "", record.data)
    return _Packet(None, "", "")


def _stamp_us(text: bytes) -> int:
    """Return a Unix stamp of any unit, with or without a fraction, in µs, floored."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise Unreadable(f"{text[:40].decode(errors='replace')!r} is not a receive stamp")
    stamp = int(whole)
    us = stamp_to_us(stamp)
    if not EARLIEST_US <= us < LAST_US:
        raise Unreadable(f"receive stamp {stamp} does not lie in the years 2001 to 2099, in s, ms, µs or ns")
    if fraction and us > stamp:  # s or ms: the fraction reaches down to the µs
        places = 6 if us == stamp * US_PER_S else 3
        us += int(fraction[:places].ljust(places, b"0"))
    return us


def _describe(line: bytes) -> str:
    """Say what the first line of a file that is no capture looks like."""
    text = line[:60].decode(errors="replace")
    if line.startswith((b"{", b"[")):
        return f"JSON without a receive stamp before it ({text!r})"
    if line.count(b",") >= 2 and b"{" not in line[:60]:
        return f"a CSV table ({text!r})"
    return f"its first line is {text!r}"
