"""Export of the order log of a day, order by order, in the formats that the import reads."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from mm.base.atomic_file import atomic_file
from mm.clock import US_PER_S, midnight_us, parse_day
from mm.dayfolder.day_grids import read_grids
from mm.dayfolder.layout import (
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_REDUCE,
    ROW_REST,
    ROW_TRADE,
    DayFolder,
    day_folder,
)
from mm.dayfolder.order_log import OrderLog, Steps
from mm.errors import DataError, RunExists, UsageError
from mm.formats import databento, dbn, hftbacktest, lobster
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

FORMS = ("databento", "dbn", "lobster", "hftbacktest_l3")
LEVELS = 10
"""Levels of a side in a LOBSTER orderbook file."""
_INSTRUMENT, _PUBLISHER = 1, 1
_COLUMNS = ("us", "kind", "order_id", "other_id", "side", "ticks", "lots")


@dataclass(frozen=True)
class OrderExport:
    files: tuple[Path, ...]
    rows: int
    left_out: int


class OrderRows(NamedTuple):
    """What happens to displayed orders, one row each, in order.

    Attributes:
        side: The order's; TRADE: the aggressor's.
        lots: REST: all; REDUCE: what is left; CANCEL, TRADE: what is gone.
        ends: Last row of its instant.
    """

    us: "Ints"
    kind: "Ints"
    number: "Ints"
    side: "Ints"
    ticks: "Ints"
    lots: "Ints"
    ends: "NDArray[np.bool_]"
    opening: "NDArray[np.bool_]"


def export_orders(folder: DayFolder, form: str, target: Path, levels: int = LEVELS) -> OrderExport:
    """Write the file *target* (``lobster``: the folder) in the format *form*."""
    day_folder(folder.root, folder.symbol, folder.day)  # raises MissingDay if it does not exist
    if not folder.order_log.is_file():
        raise DataError(
            "{}: it has no order log, so no single orders; simulated days and imports of databento, lobster, "
            "bitstamp, hftbacktest's L3 and tables with {order_id_column} have one",
            folder.path,
        )
    files = _lobster_files(folder, target, levels) if form == "lobster" else (target,)
    for path in files:
        if path.exists():
            raise RunExists(f"{path} exists already; remove it, or give another --out")
        path.parent.mkdir(parents=True, exist_ok=True)
    log = OrderLog.open(folder.order_log)
    steps, rows = log.steps or _steps_of(folder), order_rows(log)
    with ExitStack() as held:
        unfinished = [held.enter_context(atomic_file(path)) for path in files]
        if form == "lobster":
            count, left_out = _write_lobster(folder, log, steps, unfinished, levels)
        elif form == "hftbacktest_l3":
            count, left_out = _write_hftbacktest(rows, steps, unfinished[0])
        else:
            count, left_out = _write_databento(folder, rows, steps, unfinished[0], packed=form == "dbn"), 0
    return OrderExport(files, count, left_out)


def order_rows(log: OrderLog) -> OrderRows:
    column = log.columns
    kind, number, side = column["kind"], column["order_id"].copy(), column["side"]
    rested = np.append((kind[1:] == ROW_LEVEL) & (number[1:] == number[:-1]), False)
    kind = np.where((kind == ROW_EXPIRE) & rested, ROW_CANCEL, kind)
    number = np.where(kind == ROW_TRADE, column["other_id"], number)
    kept = np.flatnonzero(np.isin(kind, (ROW_REST, ROW_REDUCE, ROW_CANCEL, ROW_TRADE)))
    us = column["us"][kept]
    first = us == us[0] if len(us) else np.zeros(0, bool)
    return OrderRows(
        us,
        kind[kept],
        number[kept],
        side[kept],
        column["ticks"][kept],
        column["lots"][kept],
        np.append(np.diff(us) > 0, True) if len(us) else first,
        first & bool((kind[kept][first] == ROW_REST).all()),
    )


def _steps_of(folder: DayFolder) -> Steps:
    grids = read_grids(folder)
    if not grids:
        raise DataError(f"{folder.instrument}: there is none, so the tick of the order log is unknown")
    return Steps(grids[0].tick_e8, grids[0].lot_e8)


# Databento

_HEAD = (
    *("ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action", "side", "price", "size"),
    *("channel_id", "order_id", "flags", "ts_in_delta", "sequence", "symbol"),
)


def _records(rows: OrderRows, steps: Steps) -> "NDArray[np.void]":
    is_trade = rows.kind == ROW_TRADE
    count = np.where(is_trade, np.where(rows.number > 0, 3, 1), 1)
    opening = int(rows.opening.any())
    at = np.repeat(np.arange(len(rows.us)), count)
    part = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
    records = np.zeros(len(at) + opening, dbn.RECORD)
    made = records[opening:]
    letters = np.zeros(16, np.uint8)
    letters[[ROW_REST, ROW_REDUCE, ROW_CANCEL]] = list(b"AMC")
    execution = np.frombuffer(b"TFC", np.uint8)
    made["action"] = np.where(is_trade[at], execution[part], letters[rows.kind[at]])
    side = np.where(is_trade[at] & (part > 0), -rows.side[at], rows.side[at])
    made["side"] = np.where(side > 0, ord("B"), ord("A"))
    made["order_id"] = np.where(is_trade[at] & (part == 0), 0, rows.number[at])
    made["price"] = rows.ticks[at] * steps.tick_e8 * 10
    made["size"] = rows.lots[at]
    made["ts_recv"] = made["ts_event"] = rows.us[at] * 1_000
    last = np.append(at[1:] != at[:-1], True)
    made["flags"] = np.where(last & rows.ends[at], databento.F_LAST, 0)
    made["flags"] |= np.where(rows.opening[at], databento.F_SNAPSHOT | databento.F_BAD_TS_RECV, 0).astype(np.uint8)
    if opening:  # a snapshot begins with a clearing
        first = records[:1]
        first["action"], first["side"], first["price"] = ord("R"), ord("N"), databento.NO_PRICE
        first["ts_recv"] = first["ts_event"] = made["ts_recv"][0]
        first["flags"] = databento.F_SNAPSHOT | databento.F_BAD_TS_RECV
    records["length"], records["rtype"] = dbn.RECORD.itemsize // 4, dbn.MBO
    records["publisher_id"], records["instrument_id"] = _PUBLISHER, _INSTRUMENT
    records["sequence"] = np.arange(len(records))
    return records


def _write_databento(folder: DayFolder, rows: OrderRows, steps: Steps, path: Path, *, packed: bool) -> int:
    if len(rows.lots) and int(rows.lots.max()) >= 2**32:
        raise UsageError(f"{folder.order_log}: a quantity of {int(rows.lots.max()):,} lots has no place in 32 bits")
    records = _records(rows, steps)
    if packed:
        with path.open("wb") as file:
            file.write(dbn.head_of(folder.symbol, _INSTRUMENT, folder.day, int(records["ts_event"][0])))
            records.tofile(file)
        return len(records)
    letters = pl.DataFrame({"code": np.arange(256), "letter": [chr(code) for code in range(256)]})
    frame = pl.DataFrame({name: records[name] for name in _HEAD[:-1]}).with_columns(
        pl.col("action", "side").cast(pl.Int64).replace_strict(letters["code"], letters["letter"]),
        symbol=pl.lit(folder.symbol),
    )
    frame.select(_HEAD).write_csv(path)
    return len(records)


# LOBSTER


def _lobster_files(folder: DayFolder, target: Path, levels: int) -> tuple[Path, Path]:
    day = parse_day(folder.day).isoformat()
    names = (f"{folder.symbol}_{day}_0_86400000_{kind}_{levels}.csv" for kind in ("message", "orderbook"))
    message, book = (target / name for name in names)
    return message, book


def _write_lobster(folder: DayFolder, log: OrderLog, steps: Steps, files: list[Path], levels: int) -> tuple[int, int]:
    if steps.tick_e8 % 10_000:
        raise UsageError(f"{folder.symbol}: LOBSTER's prices have four places, and the tick is {steps.tick_e8}e-8")
    midnight = midnight_us(folder.day, lobster.ZONE)
    price_unit, book = steps.tick_e8 // 10_000, {1: dict[int, int](), -1: dict[int, int]()}
    left, rows = dict[int, int](), 0
    with files[0].open("w", encoding="ascii") as messages, files[1].open("w", encoding="ascii") as books:
        for us, kind, number, gone, side, ticks, change in _lobster_rows(log, left):
            if kind == 0:
                book[side][ticks] = change
                if not change:
                    del book[side][ticks]
                continue
            rows += 1
            seconds, micros = divmod(us - midnight, US_PER_S)
            messages.write(f"{seconds}.{micros:06d},{kind},{number},{gone},{ticks * price_unit},{side}\n")
            books.write(_book_line(book, levels, price_unit))
    return rows, 0


def _lobster_rows(log: OrderLog, left: dict[int, int]) -> Iterator[tuple[int, int, int, int, int, int, int]]:
    held: tuple[int, int, int, int, int, int, int] | None = None
    columns = [log.columns[name].tolist() for name in _COLUMNS]
    for us, kind, number, other, side, ticks, lots in zip(*columns, strict=True):
        if kind == ROW_LEVEL:
            yield us, 0, 0, 0, side, ticks, lots
            if held is not None:
                yield held
                held = None
        elif kind == ROW_REST:
            left[number] = lots
            held = us, lobster.SUBMITTED, number, lots, side, ticks, 0
        elif kind == ROW_REDUCE:
            gone, left[number] = left[number] - lots, lots
            held = us, lobster.REDUCED, number, gone, side, ticks, 0
        elif kind in (ROW_CANCEL, ROW_EXPIRE) and number in left:
            held = us, lobster.DELETED, number, left.pop(number), side, ticks, 0
        elif kind == ROW_TRADE and other in left:
            left[other] -= lots
            if not left[other]:
                del left[other]
            held = us, lobster.EXECUTED, other, lots, -side, ticks, 0
        elif kind == ROW_TRADE:
            yield us, lobster.HIDDEN, 0, lots, -side, ticks, 0


def _book_line(book: dict[int, dict[int, int]], levels: int, unit: int) -> str:
    asks, bids = sorted(book[-1])[:levels], sorted(book[1], reverse=True)[:levels]
    cells = []
    for at in range(levels):
        for side, prices, none in ((-1, asks, lobster.NO_PRICE), (1, bids, -lobster.NO_PRICE)):
            known = at < len(prices)
            cells += [prices[at] * unit if known else none, book[side][prices[at]] if known else 0]
    return ",".join(map(str, cells)) + "\n"


# hftbacktest


def _write_hftbacktest(rows: OrderRows, steps: Steps, path: Path) -> tuple[int, int]:
    is_trade, left = rows.kind == ROW_TRADE, _left_of(rows)
    count = np.where(is_trade, np.where(rows.number > 0, 3, 1), 1)
    at = np.repeat(np.arange(len(rows.us)), count)
    part = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
    code = np.zeros(16, np.uint64)
    code[[ROW_REST, ROW_REDUCE, ROW_CANCEL]] = hftbacktest.ADD_ORDER, hftbacktest.MODIFY_ORDER, hftbacktest.CANCEL_ORDER
    ends = np.where(left[at] > 0, hftbacktest.MODIFY_ORDER, hftbacktest.CANCEL_ORDER)
    execution = np.where(part == 0, hftbacktest.TRADE_EVENT, np.where(part == 1, hftbacktest.FILL_ORDER, ends))
    side = np.where(is_trade[at] & (part > 0), -rows.side[at], rows.side[at])
    events = np.zeros(len(at), hftbacktest.EVENT)
    flags = np.where(side > 0, hftbacktest.BUY, hftbacktest.SELL) | hftbacktest.EXCH | hftbacktest.LOCAL
    events["ev"] = np.where(is_trade[at], execution, code[rows.kind[at]]).astype(np.uint64) | flags.astype(np.uint64)
    events["exch_ts"] = events["local_ts"] = rows.us[at] * 1_000
    events["px"] = rows.ticks[at] * (steps.tick_e8 / E8)
    lots = np.where(is_trade[at] & (part == 2) & (left[at] > 0), left[at], rows.lots[at])
    events["qty"] = lots * (steps.lot_e8 / E8)
    events["order_id"] = np.where(is_trade[at] & (part == 0), 0, rows.number[at])
    with path.open("wb") as file:
        np.savez_compressed(file, data=events)
    return len(events), 0


def _left_of(rows: OrderRows) -> "Ints":
    change = np.where(rows.kind == ROW_REST, rows.lots, -rows.lots)
    reduce = rows.kind == ROW_REDUCE
    frame = pl.DataFrame({"number": rows.number, "change": change, "kept": np.where(reduce, rows.lots, -1)})
    if not reduce.any():
        return frame.select(pl.col("change").cum_sum().over("number")).to_series().to_numpy()
    frame = frame.with_columns(part=(pl.col("kept") >= 0).cast(pl.Int64).cum_sum().over("number"))
    value = pl.when(pl.col("kept") >= 0).then("kept").otherwise("change")
    return frame.select(value.cum_sum().over("number", "part")).to_series().to_numpy()
