"""Order-by-order captures of Bitstamp, line by line, plain, gzip, bzip2 or xz, in both forms that are published.

- ``<receive time, ms> <kind> <JSON>`` with the kinds ``order_created``, ``order_changed``, ``order_deleted``, ``trade``
  and ``order_book`` (the venue's best levels). A trade has neither side nor order ids: `matched` identifies both orders
  by their reduction in quantity.
- ``orders.csv`` of ob-analytics, the orders alone: `with_trades` infers the trades from the reduced orders.
"""

import bz2
import gzip
import lzma
import re
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from mm.clock import stamp_to_us
from mm.errors import BrokenFile, OffGrid
from mm.instrument import E8
from mm.market_data.captures import BOM
from mm.market_data.grid import Grid

CREATED, CHANGED, DELETED, TRADE, BOOK = "order_created", "order_changed", "order_deleted", "trade", "order_book"
KINDS = (CREATED, CHANGED, DELETED, TRADE, BOOK)
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
    b"created": CREATED,
    b"changed": CHANGED,
    b"modified": CHANGED,
    b"deleted": DELETED,
    b"0": CREATED,
    b"1": CHANGED,
    b"2": DELETED,
}
_DIRECTIONS = {b"bid": 1, b"ask": -1, b"0": 1, b"1": -1}
_ACCEPTED = (
    f"accepted, plain, gzip, bzip2 or xz: lines of '<receive time, ms> <kind> <JSON>', kinds {', '.join(KINDS)}, or "
    f"CSV with the header {b','.join(_HEADERS[0]).decode()}"
)
_LINE = re.compile(rb"(\d{13}) (order_created|order_changed|order_deleted|trade|order_book) (\{.*\})\s*\Z", re.DOTALL)
_SIDES = {0: 1, 1: -1}


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


class OrderMessage(NamedTuple):
    number: int
    us: int
    kind: str
    id: int
    side: int
    price_e8: int
    amount_e8: int
    body: bytes


class TradeOrders(NamedTuple):
    """The orders of a trade, by the positions of the messages that reduced them; -1 if unknown."""

    maker: int
    taker: int


def book_of(line: OrderMessage) -> _Book:
    return msgspec.json.decode(line.body, type=_Book)


def read_lines(path: Path, grid: Grid, progress: Callable[[int], None] = lambda _done: None) -> Iterator[OrderMessage]:
    """*progress* gets the bytes read so far."""
    number = 0
    with path.open("rb") as raw:
        head = raw.read(8)
        raw.seek(0)
        unpack, opener = next(((name, call) for magic, name, call in _OPENERS if head.startswith(magic)), ("cat", None))
        stream = opener(raw, "rb") if opener else raw
        table = False
        try:
            for number, text in enumerate(stream, 1):  # type: ignore[arg-type, var-annotated]
                if number == 1 and (table := _is_table(text)):
                    whole_lots = b"local.ts" in text
                    continue
                if table:
                    yield _row(path, number, text, grid, in_e8=whole_lots)
                else:
                    yield _line(path, number, text if number > 1 else text.removeprefix(BOM), grid)
                if number % 1000 == 0:
                    progress(raw.tell())
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise BrokenFile(
                f"{path}:{number + 1}: the compressed stream ends early or is damaged ({error}); copy the capture "
                f"again, or import the complete lines: {unpack} {path} | head -n {number} > part.log"
            ) from error
    progress(path.stat().st_size)
    if not number:
        raise BrokenFile(f"{path}: the file is empty; leave it out, or copy the capture again")


def _is_table(text: bytes) -> bool:
    return tuple(text.removeprefix(BOM).replace(b'"', b"").strip().split(b",")) in _HEADERS


def _row(path: Path, number: int, text: bytes, grid: Grid, *, in_e8: bool) -> OrderMessage:
    cells = text.replace(b'"', b"").strip().split(b",")
    try:
        name, stamp, _, price, volume, action, direction = cells
        amount = f"{int(volume) // E8}.{int(volume) % E8:08d}" if in_e8 else volume.decode()
        price_e8, amount_e8 = grid.price(price.decode()), grid.qty(amount)
        us = stamp_to_us(int(stamp))
        return OrderMessage(number, us, _ACTIONS[action], int(name), _DIRECTIONS[direction], price_e8, amount_e8, b"")
    except (ValueError, KeyError, OffGrid) as error:
        shown = text[:60].decode(errors="replace").rstrip()
        raise BrokenFile(
            f"{path}:{number}: this row cannot be read ({error}): {shown!r}; correct the row, or leave it out"
        ) from error


def with_trades(lines: Sequence[OrderMessage]) -> list[OrderMessage]:
    """Infer the trades if *lines* contain none.

    A trade reduces two orders on opposite sides by the same quantity within `MATCH_US`, at prices that meet; the
    earlier order is the maker and sets the price. The print follows the first of the two messages.
    """
    if any(line.kind == TRADE for line in lines):
        return list(lines)
    prints: dict[int, list[OrderMessage]] = defaultdict(list)
    for amount_e8, losses in _losses(lines).items():
        used: set[int] = set()
        for place, loss in enumerate(losses):
            if loss.at in used:
                continue
            for other in losses[place + 1 :]:
                if other.us - loss.us > MATCH_US:
                    break
                meets = loss.side * (loss.price_e8 - other.price_e8) >= 0
                if other.at not in used and other.side == -loss.side and meets:
                    used |= {loss.at, other.at}
                    maker = loss if loss.came < other.came else other
                    print_ = OrderMessage(0, loss.us, TRADE, 0, 0, maker.price_e8, amount_e8, b"")
                    prints[loss.at].append(print_)
                    break
    made, number = list[OrderMessage](), 0
    for at, line in enumerate(lines):
        made.append(line)
        for trade in prints.get(at, ()):
            number += 1
            made.append(trade._replace(id=number, number=line.number))
    return made


def _line(path: Path, number: int, text: bytes, grid: Grid) -> OrderMessage:
    fields = _LINE.match(text)
    if not fields and number == 1:
        raise BrokenFile(
            f"{path}:1: not an order-by-order capture of Bitstamp: its first line is "
            f"{text[:60].decode(errors='replace').rstrip()!r}; {_ACCEPTED}"
        )
    try:
        if not fields:
            raise ValueError(f"{text[:60].decode(errors='replace').rstrip()!r} is not a complete line of it")
        stamp, kind, body = int(fields[1]), fields[2].decode(), fields[3]
        return _message(number, stamp_to_us(stamp), kind, body, grid)
    except (ValueError, KeyError, OffGrid, msgspec.MsgspecError) as error:
        rest = f"import the lines before it (head -n {number - 1}), or " if number > 1 else ""
        raise BrokenFile(f"{path}:{number}: this line cannot be read ({error}); {rest}remove the line") from error


def _message(number: int, us: int, kind: str, body: bytes, grid: Grid) -> OrderMessage:
    if kind == BOOK:
        msgspec.json.decode(body, type=_Book)
        return OrderMessage(number, us, kind, 0, 0, 0, 0, body)
    if kind == TRADE:
        trade = msgspec.json.decode(body, type=_Trade)
        return OrderMessage(number, us, kind, trade.id, 0, round(trade.price * E8), round(trade.amount * E8), b"")
    order = msgspec.json.decode(body, type=_BookOrder)
    price_e8, amount_e8 = grid.price(order.price), grid.qty(order.amount)
    return OrderMessage(number, us, kind, order.id, _SIDES[order.order_type], price_e8, amount_e8, b"")


class _Loss(NamedTuple):
    at: int
    us: int
    side: int
    price_e8: int
    came: int


def matched(lines: Sequence[OrderMessage]) -> dict[int, TradeOrders]:
    lost = _losses(lines)
    used: set[int] = set()
    fills = {}
    for at, line in enumerate(lines):
        if line.kind != TRADE:
            continue
        candidates = [
            loss
            for amount_e8 in (line.amount_e8, line.amount_e8 - 1, line.amount_e8 + 1)  # prices and amounts are floats
            for loss in _within(lost.get(amount_e8, []), line.us)
            if loss.at not in used
        ]
        candidates.sort(key=lambda loss: abs(loss.us - line.us))
        fills[at] = fill = _pair(candidates, line.price_e8)
        used.update(fill)
    return fills


def _losses(lines: Sequence[OrderMessage]) -> dict[int, list[_Loss]]:
    left: dict[int, tuple[int, int]] = {}  # remaining quantity and arrival rank of each order
    lost = defaultdict(list)
    for at, line in enumerate(lines):
        if line.kind == CREATED:
            left[line.id] = line.amount_e8, at
        elif line.kind in (CHANGED, DELETED) and line.id in left:
            before, came = left[line.id]
            if before > line.amount_e8:
                lost[before - line.amount_e8].append(_Loss(at, line.us, line.side, line.price_e8, came))
            left[line.id] = line.amount_e8, came
            if line.kind == DELETED:
                del left[line.id]
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
