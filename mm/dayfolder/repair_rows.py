"""The part of a repair that changes rows: rewritten files, frames from messages, the quarantine parsed again."""

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from mm.dayfolder import layout
from mm.dayfolder.check_books import Replay, read_diffs
from mm.dayfolder.check_frames import FrameSink, Wanted
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.layout import DayFolder, existing
from mm.dayfolder.ledger import Event, LedgerView, event_of
from mm.dayfolder.line_files import LineWriter, line_writer, lines_of_file
from mm.dayfolder.recovery import read_schema
from mm.dayfolder.rows import CheckedLines, DefectList, DiffLine, FileRows, RowOrder, number_in, trade_row
from mm.errors import BrokenFile, OffGrid
from mm.ids import MissingIds
from mm.markets.feed import feed_of
from mm.markets.grid import Grid
from mm.markets.market import Market
from mm.markets.messages import AggTrade, DepthUpdate, TradePrint
from mm.markets.records import STREAM, Trade
from mm.markets.registry import DEFAULT

_SEQ_COLUMN = layout.TRADE_COLUMNS.index("recv_seq")  # as in events and frames


class Dropped:
    """Complete rows that no longer fit into their file; they are stored for the quarantine."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path

    def add(self, reason: str, line: bytes) -> None:
        with self._path.open("ab") as stream:
            stream.write(msgspec.json.encode((reason, line)) + b"\n")
        self.count += 1

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        if self._path.is_file():
            decode = msgspec.json.Decoder(tuple[str, bytes]).decode
            with self._path.open("rb") as stream:
                yield from map(decode, stream)


def head_of(folder: DayFolder, path: Path, first_line: bytes) -> bytes:
    columns = {
        folder.events: layout.EVENT_COLUMNS,
        folder.gaps: layout.GAP_COLUMNS,
        folder.trades: _trade_columns(first_line),
    }.get(path) or folder.columns_of(path)
    if columns is None:
        return first_line
    proper = ",".join(columns).encode()
    return first_line if first_line and proper.startswith(first_line + b",") else proper


def _trade_columns(first_line: bytes) -> tuple[str, ...]:
    counted = first_line.startswith(",".join((*layout.TRADE_COLUMNS, *layout.COUNTED_TRADE_COLUMNS)).encode())
    return (*layout.TRADE_COLUMNS, *(layout.COUNTED_TRADE_COLUMNS if counted else ()))


def valid_row(folder: DayFolder, path: Path, width: int) -> Callable[[bytes], bool]:
    if path == folder.diffs:
        return _is_diff
    if path in (folder.frames, folder.trades, folder.contract, folder.best):
        return partial(_is_numbered, width)
    if path == folder.events:
        return partial(_is_event, layout.EVENT_COLUMNS[:width])
    return lambda _line: True


def _is_diff(line: bytes) -> bool:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        diff = _DIFF.decode(line)
        return diff.u >= diff.U
    return False


def _is_numbered(width: int, line: bytes) -> bool:
    cells = line.split(b",")
    return len(cells) == width and cells[_SEQ_COLUMN].isdigit()


def _is_event(columns: Sequence[str], line: bytes) -> bool:
    with suppress(ValueError, csv.Error, msgspec.MsgspecError):
        event_of(0, dict(zip(columns, next(csv.reader([line.decode()]), []), strict=True)))
        return True
    return False


def seq_of(line: bytes, *, packed: bool) -> int:
    return PACKED_ROW.decode(line).recv_seq if packed else number_in(line, _SEQ_COLUMN)


def top_n_of(folder: DayFolder) -> int:
    head = next(lines_of_file(folder.frames), b"").decode(errors="replace").split(",")
    return layout.levels_shown(head) or read_schema(folder).top_n


class PackedRow(msgspec.Struct, frozen=True):
    """The arrival in a line of diffs or quarantine; a quarantined one has no run."""

    recv_seq: int
    recv_us: int
    run_id: str = ""


PACKED_ROW = msgspec.json.Decoder(PackedRow)
_DIFF = msgspec.json.Decoder(DiffLine)


class QuarantineRow(msgspec.Struct, frozen=True):
    recv_us: int
    recv_seq: int
    stream: str
    reason: str
    raw_base64: bytes


@dataclass(frozen=True, slots=True)
class Reread:
    stream: str
    seq: int
    first_id: int
    last_id: int
    line: bytes


class Rereader:
    def __init__(self, symbol: str, events: Sequence[Event], trade_stream: str, market: Market = DEFAULT) -> None:
        self._messages = feed_of(market).decoder(symbol, Grid())
        self._trades = AggTrade if trade_stream == "aggTrade" else TradePrint
        self._seqs = [event.at.seq for event in events]
        self._runs = [event.at.run_id for event in events]

    def read(self, line: bytes) -> Reread | None:
        try:
            row = msgspec.json.decode(line, type=QuarantineRow)
            if row.stream != STREAM:
                return None
            message = self._messages.received(row.raw_base64)
        except (ValueError, RecursionError, BrokenFile, OffGrid, msgspec.MsgspecError):
            return None
        if isinstance(message, DepthUpdate):
            return self._depth(row, message)
        if isinstance(message, TradePrint) and message.name is not None:
            return None  # the prints after it are counted already
        return self._trade(row, message) if isinstance(message, self._trades) else None

    def _run_of(self, seq: int) -> str:
        return self._runs[max(bisect_right(self._seqs, seq) - 1, 0)] if self._runs else ""

    def _depth(self, row: QuarantineRow, update: DepthUpdate) -> Reread:
        diff = DiffLine(
            recv_ms=row.recv_us // 1000,
            recv_us=row.recv_us,
            recv_seq=row.recv_seq,
            run_id=self._run_of(row.recv_seq),
            E=update.E,
            T=msgspec.UNSET if update.T is None else update.T,
            U=update.U,
            u=update.u,
            seq=msgspec.UNSET if update.seq is None else update.seq,
            b=list(update.b),
            a=list(update.a),
        )
        return Reread("depth", row.recv_seq, update.U, update.u, msgspec.json.encode(diff))

    def _trade(self, row: QuarantineRow, message: TradePrint | AggTrade) -> Reread:
        if isinstance(message, TradePrint):
            ids = (message.t, message.t, message.t)
        else:
            ids = (message.a, message.f, message.l)
        trade = Trade(message.E, ids[0], message.T, message.p, message.q, message.m, ids[1], ids[2], STREAM)
        text = trade_row(row.recv_us, row.recv_seq, self._run_of(row.recv_seq), trade)
        return Reread("trade", row.recv_seq, ids[0], ids[0], text.removesuffix("\n").encode())


@dataclass(frozen=True, slots=True)
class FramesMade:
    words: str
    undeclared: list[MissingIds]
    last_id: int | None


def write_frames(folder: DayFolder, view: LedgerView, grids: DayGrids, order: RowOrder, dropped: Dropped) -> FramesMade:
    """Only if books and messages give others, and the day has frames."""
    fresh, findings, top_n = folder.frames.with_name("frames.csv"), DefectList(folder), top_n_of(folder)
    with line_writer(fresh) as writer:
        sink = _NewFrames(writer, top_n, lines_of_file(folder.frames), dropped)
        replay = Replay(folder, view, sink if top_n else FrameSink(), grids, findings)
        diffs = existing(folder.diffs) or folder.diffs
        replay.play(read_diffs(FileRows(CheckedLines(diffs, findings), order), findings), diffs)
    if not top_n:
        fresh.unlink()
        return FramesMade("", replay.undeclared, replay.seen.last_id)
    return FramesMade(_replaced(folder, fresh, sink), replay.undeclared, replay.seen.last_id)


def _replaced(folder: DayFolder, fresh: Path, sink: "_NewFrames") -> str:
    old = existing(folder.frames)
    if old and sink.same:
        fresh.unlink()
        return ""
    if old:
        old.unlink()
    fresh.replace(folder.frames)
    return f"frames: {sink.made:,} written again, {sink.left_out:,} without a depth message are in quarantine"


class _NewFrames(FrameSink):
    def __init__(self, writer: LineWriter, top_n: int, old: Iterator[bytes], dropped: Dropped) -> None:
        self.top_n = top_n
        self.made = self.left_out = 0
        self._writer = writer
        self._old = old
        self._dropped = dropped
        head = ",".join(layout.frame_columns(top_n)).encode()
        self._writer.add(head + b"\n")
        self._same_head = next(old, head) == head
        self._next = next(old, None)

    @property
    def same(self) -> bool:
        return self._same_head and not self.made and not self.left_out

    def expect(self, wanted: Wanted) -> None:
        seq, line = wanted.stamp.recv_seq, wanted.line.encode()
        self._leave_out(seq)
        self.made += self._next is None or self._next != line[:-1]
        if self._next is not None and seq_of(self._next, packed=False) == seq:
            self._next = next(self._old, None)
        self._writer.add(line)

    def finish(self) -> None:
        self._leave_out(None)

    def _leave_out(self, seq: int | None) -> None:
        while self._next is not None and (seq is None or seq_of(self._next, packed=False) < seq):
            self._dropped.add("a frame without a depth message", self._next)
            self.left_out += 1
            self._next = next(self._old, None)
