"""Check the trades of a day: each id once, in order, and none missing in silence."""

from mm.errors import OffGrid
from mm.ids import IdRange, IdRanges
from mm.market_data.check_ledger import LedgerView
from mm.market_data.check_rows import Findings, RowOrder, arrival, decimal, stamp_ms, table, whole
from mm.market_data.grid import Grid
from mm.market_data.layout import TRADE_COLUMNS, TRADE_SOURCES
from mm.market_data.market_events import TradeVerdict
from mm.market_data.trade_state import TradeIds

OPTIONAL_COLUMNS = 4
_BOOLEANS = ("true", "false")


def check_trades(view: LedgerView, grid: Grid, findings: Findings, order: RowOrder) -> list[tuple[int, IdRange]]:
    """Check the rows of the trades file, which is that of *order*.

    Return the ids that are missing and that the ledger does not declare, each with the row after them.
    """
    path, ids = order.path, _Ids()
    for row, cells in table(path, TRADE_COLUMNS, OPTIONAL_COLUMNS, findings):
        try:
            trade_id = _typed(cells)
            order.see(row, arrival(cells[2], cells[3], cells[1], cells[9]))
            off = grid.off_tick(cells[6:7])
        except (ValueError, OffGrid) as error:
            findings.add(path, row, "type", str(error))
            continue
        if off:
            findings.add(path, row, "off_tick", f"price {off} is not a multiple of the tick in instrument.json")
        if not ids.take(row, trade_id, cells[12]):
            findings.add(path, row, "trade_id", f"trade {trade_id} stands twice, or behind a later one")
    missing = ids.missing(view.holes("trade_gap"))
    for row, hole in missing:
        message = f"trade ids {hole.first} to {hole.last} are missing before this row"
        findings.add(path, row, "trade_hole", f"{message}, and the ledger has no trade_gap for them")
    return missing


class _Ids:
    """Which ids came, and which never did."""

    def __init__(self) -> None:
        self._ids = TradeIds()
        self._first: int | None = None
        self._before_first: set[int] = set()
        self._late = IdRanges()
        self._holes: list[tuple[int, IdRange]] = []

    def take(self, row: int, trade_id: int, source: str) -> bool:
        """Take a row's id; False where it came before, or out of order although it is from the stream."""
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

    def missing(self, declared: IdRanges) -> list[tuple[int, IdRange]]:
        """Return the ids that never came and were not declared, each range with the row after it."""
        known = declared | self._late
        return [(row, left) for row, hole in self._holes for left in IdRanges([hole]) - known]


def _typed(cells: list[str]) -> int:
    """Return the trade's id; raises ValueError where a cell is not what its column says."""
    if cells[0] or cells[12] != "rest":
        stamp_ms(cells[0], "event_time_ms")
    stamp_ms(cells[5], "trade_time_ms")
    decimal(cells[6], "price")
    decimal(cells[7], "qty")
    if cells[8] not in _BOOLEANS:
        raise ValueError(f"is_buyer_maker is {cells[8]!r}, not true or false")
    if cells[10] and whole(cells[10], "first_trade_id") > whole(cells[11], "last_trade_id"):
        raise ValueError(f"first_trade_id {cells[10]} is behind last_trade_id {cells[11]}")
    if cells[12] and cells[12] not in TRADE_SOURCES:
        raise ValueError(f"source is {cells[12]!r}, not one of {', '.join(TRADE_SOURCES)}")
    return whole(cells[4], "trade_id")
