"""Read again what lies in quarantine: a newer version may understand what the one that recorded it did not."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mm.errors import BrokenFile, OffGrid
from mm.market_data.check_books import DiffRow
from mm.market_data.check_ledger import Event
from mm.market_data.day_rows import trade_row
from mm.market_data.day_writer import Trade
from mm.market_data.grid import Grid
from mm.market_data.live_session import STREAM
from mm.market_data.messages import AggTrade, DepthUpdate, Messages, TradePrint


class QuarantineRow(msgspec.Struct, frozen=True):
    """A line of the quarantine file."""

    recv_us: int
    recv_seq: int
    stream: str
    reason: str
    raw_base64: bytes


@dataclass(frozen=True, slots=True)
class Reread:
    """A message that can be read now.

    Attributes:
        stream: ``depth`` or ``trade``.
        seq: Its `recv_seq`, which it keeps.
        first_id: Its first id.
        last_id: Its last one.
        line: Its line in the file it belongs to.
    """

    stream: str
    seq: int
    first_id: int
    last_id: int
    line: bytes


class Rereader:
    """Read quarantined messages of one symbol.

    Args:
        symbol: Upper case.
        events: The ledger: it knows which run received what.
        trade_stream: Which trades the day has, ``trade`` or ``aggTrade``.
    """

    def __init__(self, symbol: str, events: Sequence[Event], trade_stream: str) -> None:
        self._messages = Messages(symbol, Grid())
        self._trades = AggTrade if trade_stream == "aggTrade" else TradePrint
        self._seqs = [event.at.seq for event in events]
        self._runs = [event.at.run_id for event in events]

    def read(self, line: bytes) -> Reread | None:
        """Return the message of a line of the quarantine, or None where it still cannot be read, or was no message."""
        try:
            row = msgspec.json.decode(line, type=QuarantineRow)
            if row.stream != STREAM:
                return None
            message = self._messages.received(row.raw_base64)
        except (ValueError, RecursionError, BrokenFile, OffGrid, msgspec.MsgspecError):
            return None
        if isinstance(message, DepthUpdate):
            return self._depth(row, message)
        return self._trade(row, message) if isinstance(message, self._trades) else None

    def _run_of(self, seq: int) -> str:
        """Return the run that gave out *seq*: that of the event before it."""
        return self._runs[max(bisect_right(self._seqs, seq) - 1, 0)] if self._runs else ""

    def _depth(self, row: QuarantineRow, update: DepthUpdate) -> Reread:
        at = (row.recv_us // 1000, row.recv_us, row.recv_seq, self._run_of(row.recv_seq))
        diff = DiffRow(*at, update.E, update.U, update.u, list(update.b), list(update.a))
        return Reread("depth", row.recv_seq, update.U, update.u, msgspec.json.encode(diff))

    def _trade(self, row: QuarantineRow, message: TradePrint | AggTrade) -> Reread:
        if isinstance(message, TradePrint):
            ids = (message.t, message.t, message.t)
        else:
            ids = (message.a, message.f, message.l)
        trade = Trade(message.E, ids[0], message.T, message.p, message.q, message.m, ids[1], ids[2], STREAM)
        text = trade_row(row.recv_us, row.recv_seq, self._run_of(row.recv_seq), trade)
        return Reread("trade", row.recv_seq, ids[0], ids[0], text.removesuffix("\n").encode())
