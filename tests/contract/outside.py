"""A second reader of day folders and run folders, written from the contract alone.

Plain Python with decimals and dicts; it imports nothing from the package, so that it cannot share its mistakes.
"""

import csv
import gzip
import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

E8 = Decimal("0.00000001")
Rows = list[dict[str, str]]


def text_of(path: Path) -> str:
    """Return the whole text of *path*, gzip or plain."""
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()


@lru_cache(maxsize=64)
def rows_of(path: Path) -> Rows:
    """Return the rows of a CSV file as dicts of text; the file must not change afterwards."""
    return list(csv.DictReader(text_of(path).splitlines()))


def header_of(path: Path) -> str:
    """Return the first line of a CSV file."""
    return text_of(path).split("\n", 1)[0]


def json_of(path: Path) -> Any:
    """Return a JSON file with its numbers as exact decimals."""
    return json.loads(path.read_text(), parse_float=Decimal, parse_constant=no_json)


def no_json(name: str) -> None:
    """Reject NaN and Infinity, which are not valid JSON."""
    raise AssertionError(f"{name} is no JSON number")


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Message:
    """A received message: *kind* is snapshot, depth, trade, gap or resync_start."""

    us: int
    seq: int
    kind: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Top:
    """Best prices after one book message; None where there is no valid book."""

    us: int
    seq: int
    bid: Decimal | None
    ask: Decimal | None

    @property
    def mid(self) -> Decimal | None:
        """Return the exact mid price, or None where a side is missing."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


@dataclass(frozen=True)
class Print:
    """One trade; *buyer* is true if the aggressor was a buyer."""

    us: int
    seq: int
    id: int
    trade_ms: int
    price: Decimal
    qty: Decimal
    buyer: bool


@dataclass
class Market:
    """One recorded day, replayed: the messages, the best prices over time, the trades."""

    messages: list[Message]
    tick: Decimal
    step: Decimal
    tops: list[Top] = field(default_factory=list)
    prints: list[Print] = field(default_factory=list)

    @property
    def first_us(self) -> int:
        """Return the instant of the first snapshot."""
        return self.tops[0].us

    @property
    def end_us(self) -> int:
        """Return the instant of the last message."""
        return self.messages[-1].us

    def after(self, us: int, seq: int = 2**62) -> Top:
        """Return the top after all messages up to *us* (and *seq* at that instant)."""
        return self.tops[bisect_right(self.tops, (us, seq), key=lambda top: (top.us, top.seq)) - 1]

    def mark(self, us: int, seq: int = 2**62) -> Decimal:
        """Return the last valid mid at or before *us*."""
        at = bisect_right(self.tops, (us, seq), key=lambda top: (top.us, top.seq)) - 1
        while (mid := self.tops[at].mid) is None:
            at -= 1
        return mid

    def before(self, us: int) -> Top:
        """Return the top before the messages at *us*."""
        return self.tops[bisect_left(self.tops, us, key=lambda top: top.us) - 1]


@lru_cache(maxsize=8)
def read_days(*folders: Path) -> Market:
    """Read consecutive days as one."""
    first, *others = [read_day(folder) for folder in folders]
    return Market(
        [message for day in (first, *others) for message in day.messages],
        first.tick,
        first.step,
        [top for day in (first, *others) for top in day.tops],
        [trade for day in (first, *others) for trade in day.prints],
    )


@lru_cache(maxsize=8)
def read_day(folder: Path) -> Market:
    """Read a day folder and rebuild its book diff by diff; the day must not change afterwards."""
    messages = sorted(_messages(folder), key=lambda message: message.seq)
    clock, ordered = 0, []
    for message in messages:
        clock = max(clock, message.us)
        ordered.append(Message(clock, message.seq, message.kind, message.body))
    filters = {entry["filterType"]: entry for entry in json_of(folder / "instrument.json")["filters"]}
    market = Market(ordered, Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"]))
    book = Book()
    for message in ordered:
        if message.kind == "trade":
            market.prints.append(_print(message))
        elif book.take(message):
            market.tops.append(book.top())
    return market


def _messages(folder: Path) -> Iterator[Message]:
    for row in rows_of(next(folder.glob("events_*"))):
        us, seq = int(row["recv_time_us"]), int(row["recv_seq"])
        if row["type"] == "snapshot_loaded":
            path = json.loads(row["details_json"])["path"]
            yield Message(us, seq, "snapshot", {"rows": rows_of(folder / path)})
        elif row["type"] in {"gap", "resync_start"}:
            yield Message(us, seq, row["type"], {})
    for line in text_of(next((folder / "diffs").glob("depth_diffs_*"))).splitlines():
        diff = json.loads(line)
        yield Message(diff["recv_us"], diff["recv_seq"], "depth", diff)
    for row in rows_of(next(folder.glob("trades_ws_*"))):
        yield Message(int(row["recv_time_us"]), int(row["recv_seq"]), "trade", row)


def _print(message: Message) -> Print:
    row = message.body
    return Print(
        message.us,
        message.seq,
        int(row["trade_id"]),
        int(row["trade_time_ms"]),
        Decimal(row["price"]),
        Decimal(row["qty"]),
        row["is_buyer_maker"] == "false",
    )


class Book:
    """A book as two dicts; invalid until a snapshot, and from the last message before a gap to the next snapshot."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
        self.last_id: int | None = None
        self.waiting: list[Message] = []
        self.ended = self.latest = (0, 0)

    def take(self, message: Message) -> bool:
        """Apply one message; return whether the book may have changed."""
        before = self.latest
        if message.kind in {"snapshot", "depth"}:
            self.latest = (message.us, message.seq)
        if message.kind == "snapshot":
            self.load(message.body["rows"])
            for early in self.waiting:
                self.apply(early.body)
            self.waiting = []
            return True
        if message.kind in {"gap", "resync_start"}:
            # Missing ids end the book after the last message before them; a resync ends it where it begins.
            self.ended = before if message.kind == "gap" else (message.us, message.seq)
            had, self.last_id = self.last_id is not None, None
            return had
        if self.last_id is None or message.body["U"] > self.last_id + 1:
            self.ended = before
            had, self.last_id = self.last_id is not None, None
            self.waiting.append(message)
            return had
        return self.apply(message.body)

    def load(self, rows: Rows) -> None:
        """Replace the book by a snapshot's rows."""
        self.sides = {
            key: {Decimal(row["price"]): Decimal(row["qty"]) for row in rows if row["side"] == side}
            for key, side in (("b", "bid"), ("a", "ask"))
        }
        self.last_id = int(rows[0]["lastUpdateId"])

    def apply(self, diff: dict[str, Any]) -> bool:
        """Apply a diff that follows the last id; ignore an old one."""
        assert self.last_id is not None
        if diff["u"] <= self.last_id:
            return False
        assert diff["U"] <= self.last_id + 1, "the snapshot and what was buffered do not meet"
        for key in "ba":
            for price, qty in diff[key]:
                self.sides[key].pop(Decimal(price), None)
                if Decimal(qty):
                    self.sides[key][Decimal(price)] = Decimal(qty)
        self.last_id = diff["u"]
        return True

    def top(self) -> Top:
        """Return the best prices right after the latest message, or the end of the book."""
        if self.last_id is None:
            return Top(*self.ended, None, None)
        return Top(*self.latest, max(self.sides["b"], default=None), min(self.sides["a"], default=None))
