"""Rows of a day's files: format them as text, and read them with every cell checked."""

import re
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import merge
from itertools import accumulate, chain, repeat
from operator import lt, sub
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.clock import US_PER_MS, US_PER_S, US_STAMPS, checked_stamp_ms, exchange_ms, midnight_us
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import FileTail, known_tail, text_of
from mm.markets.records import Levels, Number, Trade


class DiffLine(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A line of the diffs file, with exactly the keys of the contract; `T` and `seq` only where messages have them."""

    recv_ms: Number
    recv_us: Number
    recv_seq: Number
    run_id: str
    E: Number
    T: Number | msgspec.UnsetType = msgspec.UNSET
    U: Number
    u: Number
    seq: Number | msgspec.UnsetType = msgspec.UNSET
    b: Levels
    a: Levels


class Stamp(NamedTuple):
    """A depth message's fields for its frame; *exch_time* is `E` as received, *last_id* u."""

    recv_us: int
    recv_seq: int
    exch_time: int
    last_id: int


def trade_row(recv_us: int, seq: int, run_id: str, trade: Trade) -> str:
    """Return a line of the trades file; further columns only of a trade that has a name."""
    event_ms = "" if trade.event_time is None else exchange_ms(trade.event_time)
    maker = "true" if trade.is_buyer_maker else "false"
    return (
        f"{event_ms},{recv_us // 1000},{seq},{run_id},{trade.trade_id},{exchange_ms(trade.trade_time)},"
        f"{trade.price},{trade.qty},{maker},{recv_us},{trade.first_id},{trade.last_id},{trade.source}"
        f"{'' if trade.name is None else _counted_cells(trade)}\n"
    )


YES = "true"
_WORDS = {None: "", True: YES, False: "false"}


def _counted_cells(trade: Trade) -> str:
    number = "" if trade.seq is None else trade.seq
    return f",{trade.name},{number},{_WORDS[trade.rpi]},{_WORDS[trade.block]}"


def frame_row(stamp: Stamp, run_id: str, epoch_id: int, cells: str) -> str:
    recv_us, seq, exch_time, last_id = stamp
    event_ms = exch_time // US_PER_MS if exch_time in US_STAMPS else exchange_ms(exch_time)
    return f"{event_ms},{recv_us // 1000},{seq},{run_id},{epoch_id},{cells},{recv_us},{last_id}\n"


MOST_OF_A_KIND = 100
CLOCK_SLACK_US = US_PER_S
_DAY_US = 86_400 * US_PER_S
_MOST_DIGITS, _MOST = 19, 2**63 - 1
_DECIMAL = re.compile(r"0*\d{1,11}(\.\d{0,8}0*)?", re.ASCII)


class Defect(msgspec.Struct, frozen=True):
    file: str
    row: int | None
    kind: str
    message: str

    @property
    def place(self) -> str:
        return self.file if self.row is None else f"{self.file}:{self.row}"


class DefectList:
    """A day's defects: per kind and file the first hundred, and the number of the rest."""

    def __init__(self, folder: DayFolder) -> None:
        self.folder = folder
        self._found: list[Defect] = []
        self._count: Counter[tuple[str, str]] = Counter()

    def add(self, path: Path, row: int | None, kind: str, message: str) -> None:
        name = self.folder.relative(path)
        self._count[name, kind] += 1
        if self._count[name, kind] <= MOST_OF_A_KIND:
            self._found.append(Defect(name, row, kind, message))

    def defects(self) -> list[Defect]:
        more = [
            Defect(name, None, kind, f"{count - MOST_OF_A_KIND} more of this kind")
            for (name, kind), count in self._count.items()
            if count > MOST_OF_A_KIND
        ]
        return self._found + more


class CheckedLines:
    """The complete lines of a file, plain or gzip, with their row numbers; an incomplete last line is a finding.

    Attributes:
        blocks: Complete lines in blocks, for readers that take many at once; the first line is a block. Who takes a
            block counts its rows.
    """

    def __init__(self, path: Path, findings: DefectList, first_row: int = 1) -> None:
        self.path = path
        self.row = first_row - 1
        self._first_row = first_row
        self._whole = False
        self._findings = findings
        self.blocks = self._read(text_of(path))
        self._rows = chain.from_iterable(map(self.rows_of, self.blocks))

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self._rows

    def __next__(self) -> tuple[int, str]:
        return next(self._rows)

    def rows_of(self, block: bytes) -> Iterator[tuple[int, str]]:
        for raw in block[:-1].split(b"\n"):
            self.row += 1
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                message = f"not UTF-8: {error.reason} at byte {error.start} of the row"
                self._findings.add(self.path, self.row, "encoding", message)
            else:
                yield self.row, text

    def whole_tail(self) -> FileTail | None:
        count = self.row - self._first_row + 1
        return known_tail(self.path, count, self.path.stat().st_size) if self._whole else None

    def _read(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        rest, broken, begun = b"", None, False
        try:
            for piece in pieces:
                block, end, rest = (rest + piece).rpartition(b"\n")
                if end and not begun:
                    first, end, block = block.partition(b"\n")
                    begun = True
                    yield first + b"\n"
                if end:
                    yield block + b"\n"
        except (EOFError, zlib.error) as error:
            broken = error
        if broken:
            message = f"cannot be decompressed after row {self.row}: {broken}; the rows before it are complete"
            self._findings.add(self.path, self.row + 1, "torn_gzip", message)
        elif rest:
            message = f"the last row is incomplete ({len(rest)} bytes); the next start of the recorder truncates it"
            self._findings.add(self.path, self.row + 1, "torn_tail", message)
        self._whole = not (broken or rest)


def under_header(
    lines: CheckedLines, columns: Sequence[str], optional: int, findings: DefectList
) -> tuple[list[str], Iterator[tuple[int, str]]]:
    head = next(lines, (0, ""))[1].split(",")
    if len(columns) - optional <= len(head) <= len(columns) and head == list(columns[: len(head)]):
        return head, iter(lines)
    pairs = zip(head, columns, strict=False)
    wrong = next((f"{actual!r} for {expected!r}" for actual, expected in pairs if actual != expected), None)
    findings.add(lines.path, 0, "columns", f"the header has {wrong or f'{len(head)} columns for {len(columns)}'}")
    return [], iter(())


def table(
    lines: CheckedLines,
    columns: Sequence[str],
    optional: int,
    findings: DefectList,
    take: Callable[[int, list[list[str]]], bool] = lambda _row, _columns: False,
) -> Iterator[tuple[int, list[str]]]:
    """Only rows as wide as *columns*."""
    head, _ = under_header(lines, columns, optional, findings)
    missing = [""] * (len(columns) - len(head))
    for block in lines.blocks if head else ():
        cells = block[:-1].replace(b"\n", b",\n,").decode("latin-1").split(",") if block.isascii() else []
        width = len(columns) + 1
        regular = not missing and len(cells) % width == len(columns) and {*cells[len(columns) :: width]} <= {"\n"}
        if regular and take(lines.row + 1, [cells[at::width] for at in range(len(columns))]):
            lines.row += (len(cells) + 1) // width
            continue
        for row, line in lines.rows_of(block):
            cells = line.split(",")
            if len(cells) == len(head):
                yield row, cells + missing if missing else cells
            else:
                findings.add(lines.path, row, "columns", f"{len(cells)} cells under {len(head)} columns")


def integer(text: str, name: str) -> int:
    if text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS and (number := int(text)) <= _MOST:
        return number
    raise ValueError(f"{name} is {text!r}, not a whole number of 64 bits")


def decimal(text: str, name: str) -> str:
    """A plain decimal below 10¹¹."""
    if _DECIMAL.fullmatch(text):
        return text
    raise ValueError(f"{name} is {text!r}, not a plain decimal")


@lru_cache(maxsize=1 << 16)  # prices and quantities repeat
def positive(text: str, name: str) -> str:
    if decimal(text, name).strip("0."):
        return text
    raise ValueError(f"{name} is {text!r}; it must be above 0")


def integers(*columns: list[str]) -> list[list[int]]:
    """Columns of whole numbers below 10¹⁸."""
    cells = list(chain(*columns))
    if not "".join(cells).isdigit() or max(map(len, cells)) >= _MOST_DIGITS:
        raise ValueError("not only whole numbers")
    return [list(map(int, column)) for column in columns]


def number_in(line: bytes, column: int) -> int:
    return int(line.split(b",", column + 1)[column])


def stamp_ms(text: str, name: str) -> int:
    """ValueError for another unit."""
    return checked_stamp_ms(integer(text, name), name)


class Arrival(msgspec.Struct, frozen=True, gc=False):
    seq: int
    run_id: str
    recv_ms: int
    recv_us: int


def arrival(seq: str | None, run_id: str, recv_ms: str, recv_us: str | None) -> Arrival:
    millis, number = integer(recv_ms, "recv_time_ms"), -1 if seq is None else integer(seq, "recv_seq")
    return Arrival(number, run_id, millis, integer(recv_us, "recv_time_us") if recv_us else millis * 1000)


class RowOrder:
    """Checks that a file's rows have rising `recv_seq`, known runs and plausible arrivals.

    Args:
        day: Rows arrive within two days of it.
        stepping: Runs in which the clock was set.
    """

    def __init__(
        self, path: Path, findings: DefectList, day: str, runs: Collection[str] | None, stepping: Collection[str]
    ) -> None:
        self.path = path
        self.seqs = array("q")
        self.rows = array("q")
        self.stamps = array("q")
        self._findings = findings
        self._from_us = midnight_us(day, "UTC") - 2 * _DAY_US
        self._to_us = self._from_us + 5 * _DAY_US
        self._runs = runs
        self._stepping = stepping
        self._run = ""
        self._latest_us = 0

    def check_row(self, row: int, at: Arrival) -> None:
        self.check_number(row, at.seq, at.recv_us)
        if at.run_id != self._run:
            self._run, self._latest_us = at.run_id, 0
            if self._runs is not None and at.run_id not in self._runs:
                self._add(row, "run", f"run {at.run_id!r} is not in the ledger")
        if at.recv_ms != at.recv_us // 1000:
            self._add(row, "time", f"recv_time_ms {at.recv_ms} is not recv_time_us {at.recv_us} in ms")
        elif not self._from_us <= at.recv_us < self._to_us:
            self._add(row, "time", f"recv_time_us {at.recv_us} is not near the day of the folder; is it another unit?")
        elif at.recv_us < self._latest_us - CLOCK_SLACK_US and at.run_id not in self._stepping:
            back = (self._latest_us - at.recv_us) / US_PER_S
            self._add(row, "clock", f"arrival steps back by {back:.3f} s, and the ledger has no clock_step")
        self._latest_us = max(self._latest_us, at.recv_us)

    def take(self, first_row: int, run_id: str, seqs: list[int], stamps: list[int]) -> bool:
        """Take a run's consecutive rows; if not all are good, none is taken, and `check_row` tells which."""
        latest = accumulate(stamps, max, initial=self._latest_us if run_id == self._run else 0)
        good = (
            (self._runs is None or run_id in self._runs)
            and seqs[0] > (self.seqs[-1] if self.seqs else -1)
            and all(map(lt, seqs, seqs[1:]))
            and self._from_us <= min(stamps) <= (newest := max(stamps)) < self._to_us
            and min(map(sub, stamps, latest)) >= -CLOCK_SLACK_US
        )
        if good:
            self._latest_us = max(newest, self._latest_us if run_id == self._run else 0)
            self._run = run_id
            self.seqs.extend(seqs)
            self.rows.extend(range(first_row, first_row + len(seqs)))
            self.stamps.extend(stamps)
        return good

    def check_number(self, row: int, seq: int, recv_us: int) -> None:
        if self.seqs and seq <= self.seqs[-1]:
            self._add(row, "order", f"recv_seq {seq} follows {self.seqs[-1]}; it must increase")
        self.seqs.append(seq)
        self.rows.append(row)
        self.stamps.append(recv_us)

    def _add(self, row: int, kind: str, message: str) -> None:
        self._findings.add(self.path, row, kind, message)


@dataclass(frozen=True, slots=True)
class FileRows:
    lines: CheckedLines
    order: RowOrder


def check_numbers(orders: Sequence[RowOrder], findings: DefectList) -> None:
    last_seq, last_path = -1, Path()
    for seq, at in merge(*(zip(order.seqs, repeat(n), strict=False) for n, order in enumerate(orders))):
        order = orders[at]
        if seq == last_seq and order.path != last_path:
            row = order.rows[min(bisect_left(order.seqs, seq), len(order.rows) - 1)]
            findings.add(order.path, row, "order", f"recv_seq {seq} is used in {last_path.name} too")
        last_seq, last_path = seq, order.path
