"""The CSV tables of a day as integer columns: trades, frames and snapshots."""

from pathlib import Path

import numpy as np

from mm.clock import MS_BELOW, US_PER_MS
from mm.dayfolder.layout import PACKED, levels_shown
from mm.dayfolder.line_files import first_lines
from mm.dayfolder.rows import YES
from mm.errors import BrokenFile
from mm.markets.records import REST
from mm.tape._parse import Cell, TableParser
from mm.tape.columns import Column, Ints, bounds, growing, stored
from mm.tape.files import ROWS, DiffStream, FileSteps, ParsedFile, Snapshot, exchange_us, parse_table, steps_of

_MAYBE_INT = int(Cell.INT | Cell.OPTIONAL)
_MAYBE_WORD = int(Cell.WORD | Cell.OPTIONAL)
_STAMPS = {"recv_time_ms": _MAYBE_INT, "recv_time_us": _MAYBE_INT, "recv_seq": _MAYBE_INT, "run_id": _MAYBE_WORD}
_TRADE_CELLS = {
    **_STAMPS,
    "event_time_ms": _MAYBE_INT,
    "trade_time_ms": _MAYBE_INT,
    "trade_id": int(Cell.INT),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "is_buyer_maker": int(Cell.FLAG),
    "source": _MAYBE_WORD,
    "block": _MAYBE_WORD,
}
_SNAPSHOT_CELLS = {
    "side": int(Cell.WORD),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "lastUpdateId": int(Cell.INT),
}


_TRADE_NUMBERS = ("recv_us", "recv_seq", "run", "exchange_us", "last_id")


def read_trades(path: Path, steps: FileSteps, folder: Path | None, *, lenient: bool = False) -> DiffStream:
    """Read the trades of the book: those that were agreed outside it (``block``) could have filled no order of it."""
    parser = TableParser(str(path), _TRADE_CELLS, 0 if lenient else steps.tick_e8, steps.lot_e8)
    parsed = ParsedFile(path, parser)
    line, blocks, lines_out, ids_out, fetched = 2, 0, list[int](), list[int](), list[int]()
    with growing(dict.fromkeys(_TRADE_NUMBERS, np.int64) | ROWS, folder) as columns:
        for _ in parsed:
            cell = dict(zip(_TRADE_CELLS, parser.take().T, strict=True))
            recv_us = _arrivals(path, line, cell)
            kept = np.ones(len(recv_us), bool)
            if lenient:
                kept = cell["price"] % steps.tick_e8 == 0
                lines_out += (np.flatnonzero(~kept) + line).tolist()
            if YES in parser.words:
                agreed = kept & (cell["block"] == parser.words.index(YES))
                blocks += int(np.count_nonzero(agreed))
                kept &= ~agreed
            ids_out += cell["trade_id"][~kept].tolist()
            if REST in parser.words:
                by_rest = kept & (cell["source"] == parser.words.index(REST)) & (cell["recv_seq"] >= 0)
                fetched += cell["recv_seq"][by_rest].tolist()
            traded = np.where(cell["trade_time_ms"] < 0, cell["event_time_ms"], cell["trade_time_ms"])
            numbers = recv_us, cell["recv_seq"], cell["run_id"], exchange_us(traded), cell["trade_id"]
            sides = 1 - 2 * cell["is_buyer_maker"]
            columns.add(*(items[kept] for items in (*numbers, sides, cell["price"], cell["qty"])))
            line += len(kept)
        whole = columns.whole()
    rows = whole.pop("side"), whole.pop("price"), whole.pop("qty")
    count = len(whole["last_id"])
    return DiffStream(
        read=parsed.read,
        steps=FileSteps(steps.tick_e8, parser.lot_e8) if lenient else steps_of(parser),
        runs=tuple(parser.words),
        start=stored(np.arange(count), folder),
        size=stored(np.ones(count, np.int64), folder),
        rows=rows,
        first_id=whole["last_id"],
        repeats=np.zeros(count, bool),
        left_out=len(lines_out),
        first_left_out=lines_out[0] if lines_out else 0,
        blocks=blocks,
        ids_out=np.array(ids_out, np.int64),
        fetched=np.array(fetched, np.int64),
        **whole,
    )


def read_frames(path: Path, steps: FileSteps) -> DiffStream:
    """Only valid books (epoch 1 and later), each complete."""
    head = b"".join(first_lines(path)[:1]).decode("utf-8", "replace").strip()
    top_n = max(1, levels_shown(head.split(",")))
    price, qty = int(Cell.PRICE | Cell.OPTIONAL), int(Cell.QTY | Cell.OPTIONAL)
    levels = {
        f"{side}{n}_{what}": cell
        for what, cell in (("price", price), ("qty", qty))
        for side in ("bid", "ask")
        for n in range(1, top_n + 1)
    }
    columns = {**_STAMPS, "event_time_ms": _MAYBE_INT, "epoch_id": _MAYBE_INT, "last_update_id": _MAYBE_INT, **levels}
    parser = TableParser(str(path), columns, steps.tick_e8, steps.lot_e8)
    cells, read = parse_table(path, parser)
    cells = cells[cells[:, list(columns).index("epoch_id")] != 0]
    cell = {name: np.ascontiguousarray(cells[:, place]) for place, name in enumerate(columns) if name not in levels}
    books = cells[:, -len(levels) :]
    prices, quantities = books[:, : 2 * top_n], books[:, 2 * top_n :]
    sides = np.repeat(np.array([1, -1], np.int8), top_n)
    present = prices > 0
    size = present.sum(axis=1)
    ids = np.maximum(cell["last_update_id"], 0)
    return DiffStream(
        read=read,
        steps=steps_of(parser),
        recv_us=_arrivals(path, 2, cell),
        recv_seq=cell["recv_seq"],
        run=cell["run_id"],
        exchange_us=exchange_us(cell["event_time_ms"]),
        runs=tuple(parser.words),
        start=bounds(size)[:-1],
        size=size,
        rows=(sides[np.nonzero(present)[1]], prices[present], quantities[present]),
        first_id=ids,
        last_id=ids,
        repeats=np.concatenate((np.zeros(min(len(ids), 1), bool), (books[1:] == books[:-1]).all(axis=1))),
    )


def read_snapshot(path: Path, steps: FileSteps, known_id: int | None, *, lenient: bool = False) -> Snapshot:
    """*known_id* is the ledger's; without one the rows must agree, else BrokenFile."""
    parser = TableParser(str(path), _SNAPSHOT_CELLS, 0 if lenient else steps.tick_e8, steps.lot_e8)
    cells, read = parse_table(path, parser)
    lines_out = np.flatnonzero(cells[:, 1] % steps.tick_e8) + 2 if lenient else cells[:0, 0]
    word, price, qty, last_id = np.delete(cells, lines_out - 2, axis=0).T
    ids = set(last_id.tolist())
    if known_id is not None:
        ids.add(known_id)
    if len(ids) != 1:
        raise BrokenFile(
            f"{path}: lastUpdateId is {' and '.join(map(str, sorted(ids))) or 'missing'} in file and ledger, "
            f"but must be one id; restore the file, or remove its event from the ledger"
        )
    if read.torn_lines or read.cut_off:
        raise BrokenFile(f"{path}: the file is truncated after line {read.lines}; restore it")
    words = [{"bid": 1, "ask": -1}.get(word, 0) for word in parser.words]
    side = np.array(words or [0], np.int8)[word]
    if not side.all():
        line = int(np.flatnonzero(side == 0)[0]) + 2
        raise BrokenFile(f"{path}:{line}: side is neither bid nor ask; restore the file")
    order = np.argsort(-side, kind="stable")
    return Snapshot(
        read=read,
        steps=FileSteps(steps.tick_e8, parser.lot_e8) if lenient else steps_of(parser),
        tag=path.name.removesuffix(PACKED).removesuffix(".csv").split("_")[-1],
        last_update_id=ids.pop(),
        rows=(side[order], price[order], qty[order]),
        left_out=len(lines_out),
        first_left_out=int(lines_out[0]) if len(lines_out) else 0,
    )


def _arrivals(path: Path, first_line: int, cell: dict[str, Column]) -> Ints:
    micros, millis = cell["recv_time_us"], cell["recv_time_ms"]
    for wrong, what in (
        ((micros < 0) & (millis >= MS_BELOW), "recv_time_ms {} is not a time in ms"),
        ((micros < 0) & (millis < 0), "neither recv_time_us nor recv_time_ms"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise BrokenFile(f"{path}:{first_line + at}: {what.format(millis[at])}; restore the file")
    return np.where(micros < 0, millis * US_PER_MS, micros)
