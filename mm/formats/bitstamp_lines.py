"""Order-by-order captures of Bitstamp as columns, plain, gzip, bzip2 or xz, in both forms that are published.

- ``<receive time, ms> <kind> <JSON>`` with the kinds ``order_created``, ``order_changed``, ``order_deleted``, ``trade``
  and ``order_book`` (the venue's best levels). A trade has neither side nor order ids: `matched` identifies both orders
  by their reduction in quantity.
- ``orders.csv`` of ob-analytics, the orders alone: `with_trades` infers the trades from the reduced orders. Its volumes
  are decimals or, as in its own example, whole numbers of 1e-8; a file of whole numbers alone tells by their size.

A pattern reads the rows of a block at once; what it does not match is read, or refused, row by row.
"""

import bz2
import gzip
import lzma
import re
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from mm.clock import stamp_to_us
from mm.errors import BrokenFile, OffGrid
from mm.formats._bitstamp import KINDS, losses
from mm.instrument import E8, decimal_text
from mm.market_data.captures import BOM
from mm.markets.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

CREATED, CHANGED, DELETED, TRADE, BOOK = range(len(KINDS))
MATCH_US = 5_000_000
"""Maximum time between the messages of one trade: the two orders' messages and the print."""
_OPENERS: tuple[tuple[bytes, str, Callable[..., object]], ...] = (
    (b"\x1f\x8b\x08", "zcat", gzip.open),
    (b"BZh", "bzcat", bz2.open),
    (b"\xfd7zXZ", "xzcat", lzma.open),
)
_HEADERS = (
    (b"id", b"timestamp", b"exchange.timestamp", b"price", b"volume", b"action", b"direction"),
    (b"id", b"local.ts", b"exchange.ts", b"price", b"volume", b"type", b"side"),
)
_ACTIONS = {
    "created": CREATED,
    "changed": CHANGED,
    "modified": CHANGED,
    "deleted": DELETED,
    "0": CREATED,
    "1": CHANGED,
    "2": DELETED,
}
_DIRECTIONS = {"bid": 1, "ask": -1, "0": 1, "1": -1}
_ACCEPTED = (
    f"accepted, plain, gzip, bzip2 or xz: lines of '<receive time, ms> <kind> <JSON>', kinds {', '.join(KINDS)}, or "
    f"CSV with the header {b','.join(_HEADERS[0]).decode()}"
)
_LINE = re.compile(rb"(\d{13}) (order_created|order_changed|order_deleted|trade|order_book) (\{.*\})\s*\Z", re.DOTALL)
_SIDES = {0: 1, 1: -1}
_BLOCK_BYTES = 1 << 22
_WHOLE_VOLUME = re.compile(rb"[0-9]+(?:\.0*)?")
LEAST_E8 = 1_000_000
"""Largest volume of a file of whole numbers, from which on they are of 1e-8: .01, for an order of a million coins."""
IN_E8 = "the volumes of {} are whole numbers up to {:,}, read as 1e-8 of the coin: {}"
# Rust's \d has the digits of every script.
_MS, _ID, _WHOLE = "(?P<ms>[1-9][0-9]{12})", "(?P<id>[0-9]{1,18})", "(?:0|[1-9][0-9]{0,9})"
_PRICE, _AMOUNT = rf"(?P<price>{_WHOLE}(?:\.[0-9]{{1,8}})?)", rf"(?P<whole>{_WHOLE})(?:\.(?P<places>[0-9]{{1,8}}))?"
_ORDERS = (
    rf'^{_MS} (?P<kind>{"|".join(KINDS[:3])}) \{{"price": "{_PRICE}", "amount": "{_AMOUNT}", '
    rf'"datetime": "[0-9]+", "id": {_ID}, "order_type": (?P<side>[01])\}}\s*$'
)
_LEVEL = rf'\["{_WHOLE}(?:\.[0-9]{{1,8}})?", "{_WHOLE}\.[0-9]{{8}}"\]'
_LEVELS = rf"(?:{_LEVEL}(?:, {_LEVEL})*)?"
_BOOKS = rf'^{_MS} order_book \{{"bids": \[(?P<bids>{_LEVELS})\], "asks": \[(?P<asks>{_LEVELS})\]\}}\s*$'


def _rows(amount: str) -> str:
    kinds, sides = "|".join(_ACTIONS), "|".join(_DIRECTIONS)
    return rf"^\s*{_ID},{_MS},[^,]*,{_PRICE},{amount},(?P<kind>{kinds}),(?P<side>{sides})\s*$"


class _BookOrder(Struct):
    id: int
    order_type: int
    price: str
    amount: str


class _Trade(Struct):
    id: int
    price: float
    amount: float


class _Book(Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class OrderLines(NamedTuple):
    """Messages of a capture, as columns.

    Attributes:
        number: Row in the file.
        kind: Index in `KINDS`.
        id: Of the order or the trade.
        side: +1 buy, -1 sell; 0 for trades and books.
        price_e8, amount_e8: 0 for books.
        shown: Number of *levels* of a book.
        levels: Side, price and amount of the levels of all books.
    """

    number: "Ints"
    us: "Ints"
    kind: "NDArray[np.int8]"
    id: "Ints"
    side: "NDArray[np.int8]"
    price_e8: "Ints"
    amount_e8: "Ints"
    shown: "Ints"
    levels: "Ints"

    @classmethod
    def empty(cls, first: int, count: int) -> "OrderLines":
        wide, narrow = (np.zeros((6, count), np.int64), np.zeros((2, count), np.int8))
        numbers, levels = np.arange(first, first + count), np.empty((0, 3), np.int64)
        return cls(numbers, wide[0], narrow[0], wide[1], narrow[1], wide[2], wide[3], wide[4], levels)

    @classmethod
    def joined(cls, parts: "Sequence[OrderLines]") -> "OrderLines":
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def at(self, lines: "Ints", us: "Ints") -> "OrderLines":
        """These lines, with other times; they have all books."""
        columns: list[Any] = [column[lines] for column in self[:-1]]
        return OrderLines._make([*columns, self.levels])._replace(us=us)


class TradeOrders(NamedTuple):
    """The orders of a trade, by the positions of the messages that reduced them; -1 if unknown."""

    maker: int
    taker: int


def read_lines(
    path: Path, grid: Grid, progress: Callable[[int], None] = lambda _done: None, told: list[str] | None = None
) -> OrderLines:
    """*progress* gets the bytes read so far, *told* how volumes were read; raises BrokenFile."""
    parts, read, rest = [], _Block(path, grid, [] if told is None else told), b""
    with path.open("rb") as raw:
        head = raw.read(8)
        unpack, opener = next(((name, call) for magic, name, call in _OPENERS if head.startswith(magic)), ("cat", None))
        raw.seek(0)
        stream: Any = opener(raw, "rb") if opener else raw
        try:
            while chunk := stream.read(_BLOCK_BYTES):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    parts.append(read.lines(whole.split(b"\n")))
                progress(raw.tell())
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raw.seek(0)
            before = read.number
            read.lines(list(_undamaged(opener(raw, "rb") if opener else raw))[before:])
            raise BrokenFile(
                f"{path}:{read.number + 1}: the compressed stream ends early or is damaged ({error}); copy the capture "
                f"again, or import the complete lines: {unpack} {path} | head -n {read.number} > part.log"
            ) from error
    if rest:
        parts.append(read.lines([rest]))
    progress(path.stat().st_size)
    if not read.number:
        raise BrokenFile(f"{path}: the file is empty; leave it out, or copy the capture again")
    return OrderLines.joined(parts)


def _undamaged(stream: Any) -> Iterator[bytes]:
    with suppress(EOFError, OSError, zlib.error, lzma.LZMAError):
        yield from stream


class _Block:
    """Reads the next lines of a file.

    Attributes:
        number: Lines read so far.
    """

    def __init__(self, path: Path, grid: Grid, told: list[str]) -> None:
        self.number = 0
        self._path, self._grid, self._told = path, grid, told
        self._one = _line
        self._pattern = _ORDERS
        self._kinds: dict[str, int] = {name: code for code, name in enumerate(KINDS)}
        self._sides, self._in_e8 = {"0": 1, "1": -1}, False

    def lines(self, texts: list[bytes]) -> OrderLines:
        if not self.number and texts:
            texts = self._begun(texts)
        first = self.number + 1
        self.number += len(texts)
        # Latin-1 keeps every byte: what is no ASCII matches no pattern.
        text = pl.Series(b"\n".join(texts).decode("latin-1").split("\n") if texts else [], dtype=pl.String)
        if self._one is not _line:
            text = text.str.replace_all('"', "", literal=True)
        block = OrderLines.empty(first, len(texts))
        read = self._orders(block, text)
        levels = []
        if self._one is _line and len(other := np.flatnonzero(~read)):
            levels.append(self._books(block, text.gather(other), other, read))
        for at in np.flatnonzero(~read).tolist():
            message, shown = self._one(self._path, first + at, texts[at], self._grid)
            columns: tuple[Any, ...] = block[1:7]
            for column, value in zip(columns, message, strict=True):
                column[at] = value
            block.shown[at] = len(shown)
            levels.append(np.array([(at, *level) for level in shown], np.int64).reshape(-1, 4))
        if not levels:
            return block
        every = np.concatenate(levels)
        return block._replace(levels=every[np.argsort(every[:, 0], kind="stable"), 1:])

    def _begun(self, texts: list[bytes]) -> list[bytes]:
        if not _is_table(texts[0]):
            return [texts[0].removeprefix(BOM), *texts[1:]]
        in_e8 = b"local.ts" in texts[0] or self._whole(texts[1:])
        self.number, self._one = 1, partial(_row, in_e8=in_e8)
        self._pattern = _rows(r"(?P<whole>[0-9]{1,18})(?:\.0*)?(?P<places>)" if in_e8 else _AMOUNT)
        self._kinds, self._sides, self._in_e8 = _ACTIONS, _DIRECTIONS, in_e8
        return texts[1:]

    def _whole(self, rows: list[bytes]) -> bool:
        """Whether the volumes of *rows* are whole numbers that only 1e-8 of a coin explain; tell it."""
        volumes = [
            row.replace(b'"', b"").split(b",")[4].strip() for row in rows if row.count(b",") == len(_HEADERS[0]) - 1
        ]
        if not all(map(_WHOLE_VOLUME.fullmatch, volumes)):
            return False
        most = max((int(volume.partition(b".")[0]) for volume in volumes), default=0)
        if most < LEAST_E8:
            return False
        self._told.append(IN_E8.format(self._path.name, most, decimal_text(most)))
        return True

    def _orders(self, block: OrderLines, text: pl.Series) -> "NDArray[np.bool_]":
        """Return which lines were read."""
        found = text.str.extract_groups(self._pattern).struct.unnest()
        price = _priced(found["price"], self._grid)
        plain = (found["ms"].is_not_null() & price.is_not_null()).to_numpy()
        found, at = found.filter(plain), np.flatnonzero(plain)
        amount = found["whole"].cast(pl.Int64)
        if not self._in_e8:
            amount = amount * E8 + found["places"].fill_null("").str.pad_end(8, "0").cast(pl.Int64)
        block.us[at] = found["ms"].cast(pl.Int64) * 1000
        block.kind[at] = found["kind"].replace_strict(self._kinds, return_dtype=pl.Int8)
        block.id[at] = found["id"].cast(pl.Int64)
        block.side[at] = found["side"].replace_strict(self._sides, return_dtype=pl.Int8)
        block.price_e8[at], block.amount_e8[at] = price.filter(plain), amount
        self._grid.passed(0, int(np.gcd.reduce(block.amount_e8[at])))
        return plain

    def _books(self, block: OrderLines, text: pl.Series, lines: "Ints", read: "NDArray[np.bool_]") -> "Ints":
        """Return line, side, price and amount of levels; mark their lines as *read*."""
        found = text.str.extract_groups(_BOOKS).struct.unnest()
        parts = []
        for side, name in ((1, "bids"), (-1, "asks")):
            numbers = found[name].fill_null("").str.extract_all("[0-9.]+")
            line = np.repeat(lines, numbers.list.len().to_numpy() // 2)
            cells = numbers.explode().drop_nulls()
            price = _priced(cells.gather_every(2), self._grid)
            amount = cells.gather_every(2, 1).str.replace(".", "", literal=True).cast(pl.Int64)
            rows = (line, np.full(len(line), side), price.fill_null(-1).to_numpy(), amount.to_numpy())
            parts.append(np.column_stack(rows))
        levels = np.concatenate(parts)
        whole = found["ms"].is_not_null().to_numpy() & ~np.isin(lines, levels[levels[:, 2] < 0, 0])
        at = lines[whole]
        levels = levels[np.isin(levels[:, 0], at)]
        block.us[at], block.kind[at] = found["ms"].filter(whole).cast(pl.Int64) * 1000, BOOK
        np.add.at(block.shown, levels[:, 0], 1)
        self._grid.passed(0, int(np.gcd.reduce(levels[:, 3])))
        read[at] = True
        return levels


def _priced(texts: pl.Series, grid: Grid) -> pl.Series:
    """Prices in 1e-8; null for what is none."""
    known: dict[str, int] = {}
    for text in texts.drop_nulls().unique(maintain_order=True).to_list():
        with suppress(OffGrid):
            known[text] = grid.price(text)
    return texts.replace_strict(known, default=None, return_dtype=pl.Int64)


def _is_table(text: bytes) -> bool:
    return tuple(text.removeprefix(BOM).replace(b'"', b"").strip().split(b",")) in _HEADERS


_Message = tuple[int, int, int, int, int, int]
"""Time, kind, id, side, price and amount."""
_Levels = Sequence[tuple[int, int, int]]


def _row(path: Path, number: int, text: bytes, grid: Grid, *, in_e8: bool) -> tuple[_Message, _Levels]:
    cells = text.replace(b'"', b"").strip().split(b",")
    try:
        name, stamp, _, price, volume, action, direction = (cell.decode(errors="replace") for cell in cells)
        amount = decimal_text(int(volume)) if in_e8 else volume
        price_e8, amount_e8 = grid.price(price), grid.qty(amount)
        us = stamp_to_us(int(stamp))
        return (us, _ACTIONS[action], int(name), _DIRECTIONS[direction], price_e8, amount_e8), ()
    except (ValueError, KeyError, OffGrid) as error:
        shown = text[:60].decode(errors="replace").rstrip()
        raise BrokenFile(
            f"{path}:{number}: this row cannot be read ({error}): {shown!r}; correct the row, or leave it out"
        ) from error


def _line(path: Path, number: int, text: bytes, grid: Grid) -> tuple[_Message, _Levels]:
    fields = _LINE.match(text)
    if not fields and number == 1:
        raise BrokenFile(
            f"{path}:1: not an order-by-order capture of Bitstamp: its first line is "
            f"{text[:60].decode(errors='replace').rstrip()!r}; {_ACCEPTED}"
        )
    try:
        if not fields:
            raise ValueError(f"{text[:60].decode(errors='replace').rstrip()!r} is not a complete line of it")
        return _message(stamp_to_us(int(fields[1])), KINDS.index(fields[2].decode()), fields[3], grid)
    except (ValueError, KeyError, OffGrid, msgspec.MsgspecError) as error:
        rest = f"import the lines before it (head -n {number - 1}), or " if number > 1 else ""
        raise BrokenFile(f"{path}:{number}: this line cannot be read ({error}); {rest}remove the line") from error


def _message(us: int, kind: int, body: bytes, grid: Grid) -> tuple[_Message, _Levels]:
    if kind == BOOK:
        book = msgspec.json.decode(body, type=_Book)
        sides = ((1, book.bids), (-1, book.asks))
        levels = [(side, grid.price(price), grid.qty(qty)) for side, levels in sides for price, qty in levels]
        return (us, kind, 0, 0, 0, 0), levels
    if kind == TRADE:
        trade = msgspec.json.decode(body, type=_Trade)
        return (us, kind, trade.id, 0, round(trade.price * E8), round(trade.amount * E8)), ()
    order = msgspec.json.decode(body, type=_BookOrder)
    price_e8, amount_e8 = grid.price(order.price), grid.qty(order.amount)
    return (us, kind, order.id, _SIDES[order.order_type], price_e8, amount_e8), ()


def with_trades(lines: OrderLines) -> OrderLines:
    """Infer the trades if *lines* contain none.

    A trade reduces two orders on opposite sides by the same quantity within `MATCH_US`, at prices that meet; the
    earlier order is the maker and sets the price. The print follows the first of the two messages.
    """
    if (lines.kind == TRADE).any():
        return lines
    prints: list[tuple[int, int, int, int]] = []  # after which line, when, and at what price and amount
    for amount_e8, lost in _losses(lines).items():
        used: set[int] = set()
        for place, loss in enumerate(lost):
            if loss.at in used:
                continue
            for other in lost[place + 1 :]:
                if other.us - loss.us > MATCH_US:
                    break
                meets = loss.side * (loss.price_e8 - other.price_e8) >= 0
                if other.at not in used and other.side == -loss.side and meets:
                    used |= {loss.at, other.at}
                    maker = loss if loss.came < other.came else other
                    prints.append((loss.at, loss.us, maker.price_e8, amount_e8))
                    break
    if not prints:
        return lines
    at, us, price_e8, amount_e8s = np.array(sorted(prints, key=lambda print_: print_[0]), np.int64).T
    made: tuple[Any, ...] = (lines.number[at], us, TRADE, np.arange(1, len(at) + 1), 0, price_e8, amount_e8s, 0)
    columns: list[Any] = list(lines[:-1])
    columns = [np.insert(column, at + 1, new) for column, new in zip(columns, made, strict=True)]
    return OrderLines._make([*columns, lines.levels])


class _Loss(NamedTuple):
    at: int
    us: int
    side: int
    price_e8: int
    came: int


def matched(lines: OrderLines) -> dict[int, TradeOrders]:
    lost = _losses(lines)
    used: set[int] = set()
    fills = {}
    trades = np.flatnonzero(lines.kind == TRADE)
    columns = (trades, lines.us[trades], lines.price_e8[trades], lines.amount_e8[trades])
    for at, us, price_e8, amount_e8 in zip(*(column.tolist() for column in columns), strict=True):
        candidates = [
            loss
            for amount in (amount_e8, amount_e8 - 1, amount_e8 + 1)  # prices and amounts are floats
            for loss in _within(lost.get(amount, []), us)
            if loss.at not in used
        ]
        candidates.sort(key=lambda loss: abs(loss.us - us))
        fills[at] = fill = _pair(candidates, price_e8)
        used.update(fill)
    return fills


def _losses(lines: OrderLines) -> dict[int, list[_Loss]]:
    at, came, amount_e8 = losses(lines.kind, lines.id, lines.amount_e8)
    lost = defaultdict(list)
    columns = (at, lines.us[at], lines.side[at], lines.price_e8[at], came)
    for *cells, amount in zip(*(column.tolist() for column in (*columns, amount_e8)), strict=True):
        lost[amount].append(_Loss(*cells))
    return lost


def _within(losses: list[_Loss], us: int) -> list[_Loss]:
    first = bisect_left(losses, us - MATCH_US, key=lambda loss: loss.us)
    return losses[first : bisect_left(losses, us + MATCH_US + 1, key=lambda loss: loss.us)]


def _pair(candidates: list[_Loss], price_e8: int) -> TradeOrders:
    makers = [loss for loss in candidates if loss.price_e8 == price_e8]
    for maker in makers:
        for taker in candidates:
            reaches = taker.side * (taker.price_e8 - price_e8) >= 0
            if taker.side == -maker.side and taker.came > maker.came and reaches:
                return TradeOrders(maker.at, taker.at)
    for loss in candidates:  # the other order is older than the capture, so it was the maker
        if loss.side * (loss.price_e8 - price_e8) >= 0:
            return TradeOrders(-1, loss.at)
    return TradeOrders(-1, -1)
