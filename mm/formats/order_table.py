"""A user's tables with a row per event of a single order: messages and an order log."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from mm.errors import OffGrid, Sentence
from mm.formats.event_columns import EventColumns, Prints, Records, Texts
from mm.formats.events import TimedEvent
from mm.formats.feed import finer_way_out
from mm.formats.orders import HOLE, OP, Commands, OrderRecords, log_us
from mm.formats.tables import COPY_AGAIN, RowBlock, plain_decimal
from mm.instrument import e8, short_text
from mm.market_data.captures import BookLoss, FilePlace

ADD, MODIFY, CANCEL, DELETE, CLEAR, TRADE = "add", "modify", "cancel", "delete", "clear", "trade"
KINDS = {
    **dict.fromkeys((ADD, "new", "created", "open", "insert", "submit", "a"), ADD),
    **dict.fromkeys((MODIFY, "change", "changed", "update", "replace", "amend", "m"), MODIFY),
    **dict.fromkeys((CANCEL, "reduce", "c"), CANCEL),
    **dict.fromkeys((DELETE, "deleted", "done", "remove", "d"), DELETE),
    **dict.fromkeys((CLEAR, "r"), CLEAR),
    **dict.fromkeys((TRADE, "fill", "execute", "executed", "match", "t", "f"), TRADE),
}
"""What happened, by words in lower case."""
_NEEDED = {
    ADD: ("order id", "side", "price", "quantity"),
    MODIFY: ("order id", "side", "price"),
    CANCEL: ("order id", "quantity"),
    DELETE: ("order id",),
    CLEAR: (),
    TRADE: ("side", "price", "quantity"),
}
_WAYS_OUT = {
    "side": Sentence("give {side_words}, such as 0=bid,1=ask"),
    "order id": Sentence("give {order_id_column}"),
}
NO_IDS = ("", "0", "null", "none", "nan")


class OrderCells(NamedTuple):
    """Cells of a block of rows; *side* +1, -1, or 0 if unknown."""

    us: Sequence[int]
    kind: Sequence[str]
    side: Sequence[int]
    order_id: pl.Series
    price: pl.Series
    qty: pl.Series


def commands_of(block: RowBlock, cells: OrderCells, place: FilePlace) -> Commands:
    """An execution makes two commands; BrokenFile if a row lacks what its kind needs."""
    known = ~cells.order_id.str.to_lowercase().is_in(NO_IDS)
    numbers = cells.order_id.cast(pl.Int64, strict=False)
    if numbers.filter(known).null_count():
        numbers = cells.order_id.hash().reinterpret(signed=True)
    columns = (
        cells.us,
        cells.kind,
        cells.side,
        numbers.to_list(),
        known.to_list(),
        _in_e8(block, cells.price, place),
        _in_e8(block, cells.qty, place),
        block.rows,
    )
    made = []
    for at, (us, kind, side, number, has_id, price, qty, row) in enumerate(zip(*columns, strict=True)):
        has = {"order id": has_id, "side": side, "price": price > 0, "quantity": qty > 0}
        lacks = [what for what in _NEEDED[kind] if not has[what]]
        if lacks:
            raise place.broken(f"{kind} has no {lacks[0]}", _WAYS_OUT.get(lacks[0], COPY_AGAIN), row)
        ends = at + 1 == len(cells.us) or cells.us[at + 1] != us
        op, side_of = ("execute" if kind == TRADE else kind), 0 if kind == CLEAR else side
        if kind == TRADE:
            made.append((us, OP["trade"], 0, -side if has_id else side, price, qty, ends and not has_id, row))
        if kind != TRADE or has_id:
            made.append((us, OP[op], number or 0, side_of, price, qty, ends, row))
    table = np.array(made, np.int64).reshape(-1, 8)
    us_, op_, number_, side_, price_, lots_, ends_, row_ = (np.ascontiguousarray(column) for column in table.T)
    op8, side8, ends8 = (column.astype(np.int8) for column in (op_, side_, ends_))
    return Commands(us_, op8, number_, side8, price_, lots_, ends8, row_)


def events_of(
    place: FilePlace, commands: Commands, exchange_us: Sequence[int], records: OrderRecords
) -> Iterator[TimedEvent | EventColumns]:
    exch_us = np.asarray(exchange_us, np.int64)
    for part, lost in records.parts(place.path, commands._replace(us=log_us(commands.us, exch_us))):
        ours = commands.part(part)
        if lost:
            yield int(ours.us[0]), 0, (place.path, int(ours.row[0])), BookLoss(HOLE, unseen=True)
        at = np.flatnonzero(ours.op == OP["trade"])
        number = records.trades + 1 + np.arange(len(at))
        prints = Prints(at, ours.side[at].astype(np.int64), ours.price[at], ours.lots[at], number)
        messages = records.play(place.path, ours._replace(us=log_us(ours.us, exch_us[part])))
        played = Records(place.path, ours.us, exch_us[part], ours.row)
        events = EventColumns.of(played, prints, messages, Texts(_text, _text))
        if len(events):
            yield events


def _in_e8(block: RowBlock, column: pl.Series, place: FilePlace) -> list[int]:
    found = []
    for at, text in enumerate(column.to_list()):
        try:
            found.append(_e8(text))
        except OffGrid as error:
            way_out = finer_way_out(len(plain_decimal(text).partition(".")[2].rstrip("0"))) or COPY_AGAIN
            raise place.broken(f"{column.name}: {error}", way_out, block.row(at)) from error
    return found


@lru_cache(maxsize=1 << 16)
def _e8(text: str) -> int:
    return 0 if text.lower() in ("", "null", "nan", "none") else e8(plain_decimal(text))


@lru_cache(maxsize=1 << 16)
def _text(value_e8: int) -> str:
    return short_text(value_e8) or "0"
