"""Check the trades of a day: cells, ids, and the range of prices and quantities."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from operator import le, sub
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.clock import checked_stamp_ms
from mm.dayfolder import layout, rows
from mm.dayfolder.check_books import OFF_STEP, OFF_TICK
from mm.dayfolder.day_grids import CAPPED_QTY, DayGrids
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.ledger import DUPLICATE, LedgerView
from mm.dayfolder.rows import DefectList, FileRows
from mm.errors import BrokenFile, OffGrid
from mm.ids import IdRange, IdRanges
from mm.instrument import decimal_text, e8, from_exchange_info, short_text
from mm.markets.grid import MOST_E8
from mm.markets.market import Market
from mm.markets.records import REST, SENT_LATE_MS, STREAM
from mm.markets.registry import DEFAULT
from mm.markets.trade_ids import CountedPrints, TradeIds, TradeVerdict

WIDE = 5
"""Factor by which a trade may be above the highest best price, or below the lowest."""
_COMPARED = 10_000
"""Maximum number of repeated rows whose contents are compared: a file appended to itself repeats all of them."""


@dataclass(frozen=True)
class TradeRange:
    """The allowed range of price and quantity of a trade, in 1e-8; 0 is no limit."""

    least_price_e8: int = 0
    most_price_e8: int = 0
    most_qty_e8: int = 0

    @classmethod
    def of(cls, folder: DayFolder, prices_e8: tuple[int, int] | None) -> "TradeRange":
        low, high = prices_e8 or (0, 0)
        try:
            entry = msgspec.json.decode(folder.instrument.read_bytes(), type=dict[str, object])
            named = from_exchange_info(entry, folder.instrument.name).filters
        except (OSError, ValueError, BrokenFile, msgspec.MsgspecError):
            return cls(low // WIDE, high * WIDE)  # defects of the file are findings already
        return cls(low // WIDE, high * WIDE, 0 if "history" in entry else named.max_qty_e8)

    def out_of_range(self, price_e8: int, qty_e8: int, price: str, qty: str) -> str | None:
        if price_e8 < self.least_price_e8 or 0 < self.most_price_e8 < price_e8:
            return f"price {price} is not within {WIDE} times the best prices of the day"
        if 0 < self.most_qty_e8 < qty_e8:
            return f"qty {qty} is more than one order may have, {decimal_text(self.most_qty_e8)}"
        return None


_BOOLEANS = ("true", "false")


def check_trades(
    view: LedgerView,
    grids: DayGrids,
    findings: DefectList,
    source: FileRows,
    within: TradeRange,
    market: Market = DEFAULT,
) -> list[tuple[int, IdRange]]:
    """Return the ids that are missing, each with the row after them; of counted prints, of rows that were lost."""
    path, order, ids = source.lines.path, source.order, _Ids()
    single = view.knob("trade_stream", None) == "trade"
    named = len(layout.TRADE_COLUMNS) if market.trade_numbers.are_counted else None
    fetched, older = IdRanges(), False
    names: CountedPrints | None = None if named is None else CountedPrints()
    repeats: dict[int, int] = {}  # row and id

    def take(first_row: int, columns: list[list[str]]) -> bool:
        sent, recv_ms, seq, runs, trade_id, traded, prices, qtys, makers, recv_us, first, last, sources = columns
        usual = {*makers} <= {*_BOOLEANS} and {*sources} <= {*layout.TRADE_SOURCES} - {REST} and len({*runs}) == 1
        if not usual or recv_ms != [text[:-3] for text in recv_us]:
            return False
        try:
            sent_ms, traded_ms, seqs, stamps, taken = rows.integers(sent, traded, seq, recv_us, trade_id)
            if not trade_id == first == last and (single or not all(map(le, *rows.integers(first, last)))):
                return False
            for stamp in (min(sent_ms), max(sent_ms), min(traded_ms), max(traded_ms)):
                checked_stamp_ms(stamp, "time")
            prices_e8, qtys_e8 = {*map(e8, {*prices})}, {*map(e8, {*qtys})}
        except (ValueError, OffGrid):
            return False
        good = (
            0 < min(*prices_e8, *qtys_e8) <= max(*prices_e8, *qtys_e8) < MOST_E8
            and max(map(abs, map(sub, sent_ms, traded_ms))) <= SENT_LATE_MS
            and grids.are_ticks(gcd(*prices_e8), seqs[0])  # later steps divide the one at the first row
            and grids.are_lots(gcd(*qtys_e8), seqs[0])
            and not any(within.out_of_range(price, max(qtys_e8), "", "") for price in (min(prices_e8), max(prices_e8)))
            and ids.follows(taken)
            and order.take(first_row, runs[0], seqs, stamps)
        )
        if good:
            ids.extend(taken)
        return good

    taken_at_once = take if names is None else _row_by_row
    for row, cells in _trade_table(source.lines, market, findings, taken_at_once):
        try:
            at = rows.arrival(cells[2], cells[3], cells[1], cells[9])
            order.check_row(row, at)
            trade_id = _typed(cells)
            if names is not None:
                _check_name(cells[named:], names)
            price_e8, qty_e8 = grids.price(cells[6]), e8(cells[7])
            out = within.out_of_range(price_e8, qty_e8, *cells[6:8])
        except (ValueError, OffGrid) as error:
            findings.add(path, row, "type", str(error))
            continue
        if not grids.are_ticks(price_e8, at.seq):
            findings.add(path, row, "off_tick", f"price {cells[6]} is {OFF_TICK}")
        if not grids.are_lots(qty_e8, at.seq) and cells[7] != CAPPED_QTY:
            findings.add(path, row, "off_step", f"quantity {cells[7]} is {OFF_STEP}")
        if out:
            findings.add(path, row, "range", out)
        if single and cells[12] == STREAM and not cells[4] == cells[10] == cells[11]:
            message = f"trade {trade_id} spans the ids {cells[10]} to {cells[11]}, but single trades were recorded"
            findings.add(path, row, "trade_id", message)
        older |= not cells[12]
        if cells[12] == REST:
            fetched.add(trade_id, trade_id)
            fetched.add(*map(int, cells[10:12]))
        if not ids.take(row, trade_id, cells[12]):
            findings.add(path, row, "trade_id", f"trade {trade_id} occurs twice, or after a later one")
            if len(repeats) < _COMPARED:
                repeats[row] = trade_id
    missing = ids.missing(view.holes("trade_gap"))
    for row, hole in missing:
        message = f"trade ids {hole.first} to {hole.last} are missing before this row"
        findings.add(path, row, "trade_hole", f"{message}, and the ledger has no trade_gap for them")
    if not older:
        _check_backfills(view, fetched, findings)
    _check_contents(view, path, repeats, findings, market)
    return missing


def _row_by_row(_row: int, _columns: list[list[str]]) -> bool:
    return False


def _trade_table(
    lines: rows.CheckedLines,
    market: Market,
    findings: DefectList,
    take: Callable[[int, list[list[str]]], bool] = _row_by_row,
) -> Iterator[tuple[int, list[str]]]:
    return rows.table(lines, layout.trade_columns(market), layout.optional_trade_columns(market), findings, take)


def _check_name(cells: list[str], names: CountedPrints) -> None:
    """Check the exchange's id, number and kind of a print; raises ValueError."""
    name, number, *kinds = cells
    if not name:
        raise ValueError("venue_trade_id is empty")
    if number:
        rows.integer(number, "seq")
    if not {*kinds} <= {"", *_BOOLEANS}:
        raise ValueError(f"rpi, block are {kinds[0]!r}, {kinds[1]!r}, not true, false or empty")
    if names.number(name) is None:
        raise ValueError(f"venue_trade_id {name} occurs twice")


class _TradeContent(NamedTuple):
    price_e8: int
    qty_e8: int
    is_buyer_maker: str
    trade_time_ms: int

    def __str__(self) -> str:
        numbers = f"price {short_text(self.price_e8)}, qty {short_text(self.qty_e8)}"
        return f"{numbers}, is_buyer_maker {self.is_buyer_maker}, trade_time_ms {self.trade_time_ms}"


def _check_contents(
    view: LedgerView, path: Path, repeats: dict[int, int], findings: DefectList, market: Market
) -> None:
    received = list(_received_again(view))
    wanted = {*repeats.values(), *(trade_id for _, trade_id, _ in received)}
    if not wanted:
        return
    unreported, stored = DefectList(findings.folder), dict[int, tuple[int, _TradeContent]]()

    def compare(at: tuple[Path, int], trade_id: int, content: _TradeContent) -> None:
        row, first = stored.get(trade_id, (0, content))
        if content != first:
            message = f"trade {trade_id} has {content}, but in row {row} of {path.name} {first}; one of them is wrong"
            findings.add(*at, "contradiction", message)

    for row, cells in _trade_table(rows.CheckedLines(path, unreported, 0), market, unreported):
        if cells[4].isdigit() and (trade_id := int(cells[4])) in wanted:
            with suppress(ValueError, OffGrid):  # a row that cannot be read is a defect already
                content = _TradeContent(e8(cells[6]), e8(cells[7]), cells[8], int(cells[5]))
                if row in repeats:
                    compare((path, row), trade_id, content)
                else:
                    stored[trade_id] = row, content
    for row, trade_id, content in received:
        compare((view.path, row), trade_id, content)


def _received_again(view: LedgerView) -> Iterator[tuple[int, int, _TradeContent]]:
    for event in view.of_kind("anomaly"):
        told = event.details
        if told.get("kind") == DUPLICATE and "trade_time_ms" in told:
            with suppress(LookupError, TypeError, ValueError, OffGrid):
                maker = str(told["is_buyer_maker"]).lower()
                content = _TradeContent(e8(told["price"]), e8(told["qty"]), maker, int(told["trade_time_ms"]))
                yield event.row, int(told["trade_id"]), content


def _check_backfills(view: LedgerView, fetched: IdRanges, findings: DefectList) -> None:
    if view.of_kind("tail_recovered"):
        return
    for event in view.of_kind("backfill"):
        first, last, count = (event.details.get(key) for key in ("from_id", "to_id", "rows"))
        if isinstance(first, int) and isinstance(last, int) and (count != 1 or first != last):
            absent = [str(number) for number in (first, last) if number not in fetched]
            if absent:
                message = f"a backfill from {first} to {last}, but trade {absent[0]} has no row from REST"
                findings.add(view.path, event.row, "event", message)


class _Ids:
    def __init__(self) -> None:
        self._ids = TradeIds()
        self._first: int | None = None
        self._before_first: set[int] = set()
        self._late = IdRanges()
        self._holes: list[tuple[int, IdRange]] = []

    def take(self, row: int, trade_id: int, source: str) -> bool:
        """False for a repetition, or a streamed row out of order."""
        if self._first is None:
            self._first = trade_id
        verdict = self._ids.take(trade_id)
        if verdict is TradeVerdict.GAP:
            self._holes.append((row, self._ids.hole))
        if verdict is TradeVerdict.LATE:
            self._late.add(trade_id, trade_id)
            return source != "ws"
        if verdict is TradeVerdict.DUPLICATE and trade_id < self._first and trade_id not in self._before_first:
            self._before_first.add(trade_id)
            return source != "ws"
        return verdict is not TradeVerdict.DUPLICATE

    def follows(self, ids: list[int]) -> bool:
        return self._ids.last_id in (None, ids[0] - 1) and ids == list(range(ids[0], ids[0] + len(ids)))

    def extend(self, ids: list[int]) -> None:
        if self._first is None:
            self._first = ids[0]
        self._ids.last_id = ids[-1]

    def missing(self, declared: IdRanges) -> list[tuple[int, IdRange]]:
        known = declared | self._late
        return [(row, left) for row, hole in self._holes for left in IdRanges([hole]) - known]


def _typed(cells: list[str]) -> int:
    traded_ms = rows.stamp_ms(cells[5], "trade_time_ms")
    if cells[0] or cells[12] != REST:
        sent_ms = rows.stamp_ms(cells[0], "event_time_ms")
        if cells[12] == REST:
            raise ValueError(f"event_time_ms is {cells[0]}; a trade from REST has none")
        if abs(sent_ms - traded_ms) > SENT_LATE_MS:
            raise ValueError(f"event_time_ms {sent_ms} is far from trade_time_ms {traded_ms}")
    rows.positive(cells[6], "price")
    rows.positive(cells[7], "qty")
    if cells[8] not in _BOOLEANS:
        raise ValueError(f"is_buyer_maker is {cells[8]!r}, not true or false")
    ends = cells[10:12]
    several = ends[0] and ends != [cells[4], cells[4]]  # few rows: the id itself is checked below
    if several and rows.integer(ends[0], "first_trade_id") > rows.integer(ends[1], "last_trade_id"):
        raise ValueError(f"first_trade_id {cells[10]} is greater than last_trade_id {cells[11]}")
    if cells[12] and cells[12] not in layout.TRADE_SOURCES:
        raise ValueError(f"source is {cells[12]!r}, not one of {', '.join(layout.TRADE_SOURCES)}")
    return rows.integer(cells[4], "trade_id")
