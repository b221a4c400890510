"""The data contract of a day folder: the path and the columns of each file.

Writers and readers import it; no other module defines a file name or a column of ``data/<SYMBOL>/<YYYYMMDD>/``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.paths import as_given, dead_link
from mm.clock import next_day, parse_day, plain_days
from mm.errors import MissingDay, UsageError
from mm.markets.market import Market

SCHEMA_VERSION, CONTRACT_SCHEMA_VERSION, SEQUENCED_SCHEMA_VERSION = 1, 2, 3
"""Versions of a day's schema: of Spot; of a contract, which has the files `DayFolder.contract` and `best`; of a market
whose rows have more columns (`seq`, `venue_trade_id`), with or without those files."""
PACKED = ".gz"
DAMAGED = "damaged"
"""Folder, below ``DATA_ROOT``, of days that a recorder could not continue."""

TRADE_COLUMNS = (
    "event_time_ms",
    "recv_time_ms",
    "recv_seq",
    "run_id",
    "trade_id",
    "trade_time_ms",
    "price",
    "qty",
    "is_buyer_maker",
    "recv_time_us",
    "first_trade_id",
    "last_trade_id",
    "source",
)
OPTIONAL_TRADE_COLUMNS = 4
"""Number of last columns that may be missing in an older day."""
COUNTED_TRADE_COLUMNS = ("venue_trade_id", "seq", "rpi", "block")
"""Further columns where `trade_id` counts the day's prints: the exchange's id, the matching engine's number, and
whether the print is of hidden retail liquidity, or was agreed outside the book; empty if unknown."""
EVENT_COLUMNS = (
    "event_id",
    "recv_time_ms",
    "recv_seq",
    "run_id",
    "type",
    "epoch_id",
    "details_json",
    "recv_time_us",
)
GAP_COLUMNS = ("recv_time_ms", "recv_seq", "run_id", "epoch_id", "event", "details", "recv_time_us")
SNAPSHOT_COLUMNS = ("run_id", "event_id", "side", "price", "qty", "lastUpdateId")
DIFF_KEYS = ("recv_ms", "recv_us", "recv_seq", "run_id", "E", "U", "u", "b", "a")
TIMED_DIFF_KEYS = ("recv_ms", "recv_us", "recv_seq", "run_id", "E", "T", "U", "u", "b", "a")
"""Keys of a depth message with a time of matching: `T` is absent where the message had none."""
SEQUENCED_DIFF_KEYS = ("recv_ms", "recv_us", "recv_seq", "run_id", "E", "T", "U", "u", "seq", "b", "a")
"""Keys with the matching engine's number."""
CONTRACT_COLUMNS = (
    "event_time_ms",
    "recv_time_ms",
    "recv_seq",
    "run_id",
    "kind",
    "mark_price",
    "index_price",
    "settle_price",
    "funding_rate",
    "next_funding_ms",
    "open_interest",
    "side",
    "price",
    "average_price",
    "qty",
    "filled_qty",
    "status",
    "recv_time_us",
)
"""What is told of a contract beside book and trades; a value that a kind of row does not have is empty."""
MARK, LIQUIDATION, OPEN_INTEREST = "mark", "liquidation", "open_interest"
"""Kinds of rows: mark and index price with the next funding (each second), a forced order, open interest (a minute)."""
BEST_COLUMNS = (
    "event_time_ms",
    "recv_time_ms",
    "recv_seq",
    "run_id",
    "update_id",
    "bid_price",
    "bid_qty",
    "ask_price",
    "ask_qty",
    "match_time_ms",
    "recv_time_us",
)
QUARANTINE_KEYS = ("recv_us", "recv_seq", "stream", "reason", "raw_base64")
ORDER_COLUMNS = ("us", "kind", "order_id", "other_id", "account", "side", "ticks", "lots", "trade_id", "update_id")
"""Columns of an order log (market by order), described in ``mm.sim.matching.order_log``."""
OrderRow = tuple[int, int, int, int, int, int, int, int, int, int]
ROW_NEW, ROW_TRADE, ROW_LEVEL, ROW_REST, ROW_CANCEL, ROW_REDUCE, ROW_EXPIRE, ROW_REFUSE = range(1, 9)
"""Kinds of rows of an order log."""
SNAPSHOT_TAGS = ("initial", "resync", "refresh", "carried")
TRADE_SOURCES = ("ws", "rest", "import")

_FRAME_HEAD = ("event_time_ms", "recv_time_ms", "recv_seq", "run_id", "epoch_id")
_FRAME_TAIL = ("recv_time_us", "last_update_id")
_LEVEL = ("bid{0}_price", "bid{0}_qty", "ask{0}_price", "ask{0}_qty")
FRAME_FIRST_LEVEL = len(_FRAME_HEAD)


def frame_columns(top_n: int) -> tuple[str, ...]:
    levels = (name.format(level) for level in range(1, top_n + 1) for name in _LEVEL)
    return (*_FRAME_HEAD, *levels, *_FRAME_TAIL)


def levels_shown(header: Sequence[str]) -> int:
    return sum(name.startswith("bid") and name.endswith("_price") for name in header)


class _File:
    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "DayFolder", owner: type) -> Path:
        return folder.path / self._name.format(symbol=folder.symbol, day=folder.day)


@dataclass(frozen=True, slots=True)
class DayFolder:
    """The paths of one recorded day; creating the object does not create or read files.

    The paths are for writers; readers use `existing`, which also finds the compressed or uncompressed twin.

    Attributes:
        root: The folder of the symbols' folders (``DATA_ROOT``).
        symbol: Upper case, converted if necessary.
        day: ``YYYYMMDD``, the local date on which the window opened.
    """

    root: Path
    symbol: str
    day: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "symbol", _symbol(self.symbol))
        object.__setattr__(self, "day", plain_days(self.day))
        if not _is_day(self.day):
            raise UsageError("{day} {!r} is not a day; write YYYYMMDD, such as 20251216", self.day)

    @classmethod
    def at(cls, path: Path) -> "DayFolder":
        """Return the day folder at *path* (``…/SYMBOL/YYYYMMDD``), under the names of its links.

        Raises:
            UsageError: If its name is not a day.
        """
        whole = as_given(path)
        if not _is_day(whole.name):
            days = ", ".join(_days_in(whole))
            hint = f"it has {days}" if days else "try data/BTCUSDT/20251216"
            raise UsageError(f"{path} is not a day folder: its name is not YYYYMMDD; {hint}")
        return cls(whole.parent.parent, whole.parent.name, whole.name)

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.symbol / self.day

    frames = _File("orderbook_ws_depth_{symbol}_{day}.csv")
    """Top-N book frames, one per applied diff."""
    trades = _File("trades_ws_{symbol}_{day}.csv")
    """Trades."""
    events = _File("events_{symbol}_{day}.csv")
    """The ledger."""
    gaps = _File("gaps_{symbol}_{day}.csv")
    """Gap diagnostics."""
    diffs = _File("diffs/depth_diffs_{symbol}_{day}.ndjson.gz")
    """Every depth message, as received."""
    quarantine = _File("quarantine/frames_{symbol}_{day}.ndjson.gz")
    """Unparsable messages, raw."""
    contract = _File("contract_{symbol}_{day}.csv")
    """Mark prices, liquidations and open interest of a contract."""
    best = _File("best_{symbol}_{day}.csv")
    """Best prices of a contract, each change."""
    order_log_columns = _File("order_log_{symbol}_{day}.parquet")
    """Every order, if the source has them; `order_log` finds the older form as well."""
    order_log_text = _File("order_log_{symbol}_{day}.csv.gz")
    """The same as an older version wrote it."""
    snapshots = _File("snapshots")
    """The folder of book snapshots."""
    instrument = _File("instrument.json")
    """The exchange's own filters of the symbol."""
    schema = _File("schema.json")
    """Schema version, columns and units."""
    manifest = _File("manifest_{symbol}_{day}.json")
    """Rows, ids, bytes and sha256 of each file."""
    lock = _File("day.lock")
    """The lock of the writer."""
    health = _File("health_{symbol}.json")
    """The health of the recorder; not part of the day's data."""

    @property
    def order_log(self) -> Path:
        """The order log (``mm.dayfolder.order_log``) in the form that exists; in columns if there is none."""
        columns, text = self.order_log_columns, self.order_log_text
        return text if text.is_file() and not columns.is_file() else columns

    def snapshot(self, event_id: int, tag: str) -> Path:
        return self.snapshots / f"snapshot_{event_id}_{tag}.csv"

    def streams(self) -> tuple[Path, ...]:
        """Return the files that grow while a day is recorded, the ledger first."""
        return (self.events, self.gaps, self.diffs, self.frames, self.trades, self.contract, self.best, self.quarantine)

    def columns_of(self, path: Path) -> tuple[str, ...] | None:
        """Return the columns of a file of a contract; None for any other file."""
        return {self.contract: CONTRACT_COLUMNS, self.best: BEST_COLUMNS}.get(path)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


def twin_of(path: Path) -> Path:
    """Return the compressed or uncompressed twin (``.csv`` / ``.csv.gz``)."""
    return path.with_suffix("") if path.suffix == PACKED else path.with_name(path.name + PACKED)


def existing(path: Path) -> Path | None:
    return next((candidate for candidate in (path, twin_of(path)) if candidate.is_file()), None)


def snapshot_event_id(path: Path) -> int | None:
    parts = path.name.removesuffix(PACKED).removesuffix(".csv").split("_")
    named = len(parts) == 3 and parts[0] == "snapshot" and parts[1].isascii() and parts[1].isdigit()
    return int(parts[1]) if named and path.name.removesuffix(PACKED).endswith(".csv") else None


def diff_keys(market: Market) -> tuple[str, ...]:
    """Return the keys of a line of the diffs file."""
    if market.sequenced:
        return SEQUENCED_DIFF_KEYS
    return TIMED_DIFF_KEYS if market.matched_times else DIFF_KEYS


def trade_columns(market: Market) -> tuple[str, ...]:
    """Return the columns of the trades file."""
    return (*TRADE_COLUMNS, *COUNTED_TRADE_COLUMNS) if market.trade_numbers.are_counted else TRADE_COLUMNS


def optional_trade_columns(market: Market) -> int:
    """Return the number of last columns of the trades file that may be missing: only older days lack some."""
    return 0 if market.trade_numbers.are_counted else OPTIONAL_TRADE_COLUMNS


def schema_version(market: Market) -> int:
    """Return the version of the schema of the market's days."""
    if market.sequenced or market.trade_numbers.are_counted:
        return SEQUENCED_SCHEMA_VERSION
    return CONTRACT_SCHEMA_VERSION if market.contract else SCHEMA_VERSION


def schema_json(
    folder: DayFolder, top_n: int, exchange_unit: str | None, market: Market, book_depth: int | None = None
) -> str:
    """*book_depth*: levels a side of a stream that shows only the best ones."""
    schema: dict[str, Any] = {
        "schema_version": schema_version(market),
        "symbol": folder.symbol,
        "day": folder.day,
        "venue": market.venue,
        "units": {
            "*_ms": "Unix UTC, milliseconds",
            "*_us": "Unix UTC, microseconds",
            "E": exchange_unit,
            "T": exchange_unit,
            "price": "quote asset, decimal text of the exchange",
            "qty": "base asset, decimal text of the exchange",
        },
        "time_unit": exchange_unit,
        "top_n": top_n,
        "columns": {
            "orderbook_ws_depth": frame_columns(top_n),
            "trades_ws": trade_columns(market),
            "events": EVENT_COLUMNS,
            "gaps": GAP_COLUMNS,
            "snapshot": SNAPSHOT_COLUMNS,
            "depth_diffs": diff_keys(market),
            "quarantine": QUARANTINE_KEYS,
        },
    }
    if book_depth is not None:
        schema["book_depth"] = book_depth
    if market.contract:
        schema["columns"] |= {"contract": CONTRACT_COLUMNS, "best": BEST_COLUMNS}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def day_folder(data_root: Path, symbol: str, day: str) -> DayFolder:
    """Raises MissingDay with the folder and the existing days."""
    folder = DayFolder(Path(data_root), symbol, day)
    if folder.path.is_dir():
        return folder
    days = days_of(folder.root, folder.symbol)
    if days:
        known = f"available days: {', '.join(days)}"
        beside = [neighbour for neighbour in (next_day(folder.day, -1), next_day(folder.day)) if neighbour in days]
        if beside:
            known += f"; the day is the Berlin date on which the window opened; {' and '.join(beside)} is there"
    else:
        symbols = sorted(path.name for path in folder.root.iterdir() if path.is_dir()) if folder.root.is_dir() else []
        known = f"there is no day of {folder.symbol} (symbols: {', '.join(symbols) or 'none'})"
    dead = dead_link(folder.path)
    raise MissingDay("no day folder {}; {}; set {data_root}, {symbol} or {day}", folder.path, dead or known)


def days_of(data_root: Path, symbol: str) -> tuple[str, ...]:
    return _days_in(Path(data_root) / _symbol(symbol))


def _days_in(home: Path) -> tuple[str, ...]:
    if not home.is_dir():
        return ()
    return tuple(sorted(path.name for path in home.iterdir() if path.is_dir() and _is_day(path.name)))


def _is_day(day: str) -> bool:
    try:
        parse_day(day)
    except ValueError:
        return False
    return True


def _symbol(symbol: str) -> str:
    upper = symbol.upper()
    if not upper or not upper.isprintable() or any(char in " /\\,\"'" for char in upper) or upper.startswith("."):
        raise UsageError("{symbol} {!r} is not a symbol; write it as the exchange does, such as BTCUSDT", symbol)
    return upper


def plain_run_id(run_id: str) -> str:
    """Raises UsageError if it cannot stand in rows."""
    if not run_id or not run_id.isprintable() or any(char in ' ,"' for char in run_id):
        raise UsageError("{run_id} {!r} is used in CSV rows; use letters, digits, '-', '_' and '.'", run_id)
    return run_id
