"""The files of a run's tables: CSV with exact decimals, the orders also as Parquet (ORDERS_FORMAT).

A decimal has eight places, and more in every row if its unit (tick·lot, half a tick) needs them. A cell is empty for an
instant below 0, a code of 0 without a word, a side of 0, and an amount that needs a missing mid. Parquet has the same
rows, typed, with null for empty, at a tenth of the size.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.engine._csv_rows import CsvRows
from mm.backtest.journal import (
    ACTIONS,
    CANCEL_REASONS,
    FILL_COLUMNS,
    ORDER_COLUMNS,
    REJECT_REASONS,
    STATE_COLUMNS,
    STATUSES,
)
from mm.base.arrays import Ints
from mm.base.code_identity import HashedFile, hash_file
from mm.clock import US_PER_MS
from mm.tape.frames import floats, sides, words

if TYPE_CHECKING:
    import polars as pl

    from mm.backtest.run_terms import RunTerms
    from mm.instrument import Instrument

CSV, PARQUET = FORMATS = ("csv", "parquet")
ROWS = 1 << 16  # of a Parquet file that are in memory as decimals


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from *column* of the table."""

    column: int

    def put(self, cells: CsvRows) -> None:
        cells.whole(self.column)

    def series(self, table: Ints, *, exactly: bool) -> Any:  # noqa: ARG002
        return table[:, self.column]


@dataclass(frozen=True, slots=True)
class Instant:
    """Instants in *per* µs, rounded down; null below 0."""

    column: int
    per: int = 1

    def put(self, cells: CsvRows) -> None:
        cells.instant(self.column, self.per)

    def series(self, table: Ints, *, exactly: bool) -> Any:  # noqa: ARG002
        import polars as pl

        us = table[:, self.column]
        return pl.Series(us // self.per).set(pl.Series(us < 0), None)


@dataclass(frozen=True, slots=True)
class Word:
    """Words for codes; *code* is the first name's, below it is null."""

    column: int
    names: Sequence[str]
    code: int = 0

    def put(self, cells: CsvRows) -> None:
        cells.word(self.column, self.names, self.code)

    def series(self, table: Ints, *, exactly: bool) -> Any:  # noqa: ARG002
        return words(self.names, table[:, self.column] - self.code)


@dataclass(frozen=True, slots=True)
class SideColumn:
    """``BUY`` for +1 and ``SELL`` for -1; null for 0."""

    column: int

    def put(self, cells: CsvRows) -> None:
        cells.word(self.column, ("SELL", "", "BUY"), -1)

    def series(self, table: Ints, *, exactly: bool) -> Any:  # noqa: ARG002
        return sides(table[:, self.column])


@dataclass(frozen=True, slots=True)
class Amount:
    """Decimals of so many *places*; null where column *mark* is not above 0 (-1: never).

    Attributes:
        terms: Units, in 10**-places, each times the product of one or two columns.
        start: Added, in 10**-places.
    """

    terms: tuple[tuple[int, ...], ...]
    places: int = 8
    start: int = 0
    mark: int = -1

    def put(self, cells: CsvRows) -> None:
        cells.amount(self.terms, self.places, self.start, self.mark)

    def series(self, table: Ints, *, exactly: bool) -> Any:
        import polars as pl

        ((unit, column),) = self.terms
        numbers = table[:, column]
        if exactly:
            in_units = pl.Series([Decimal(unit).scaleb(-self.places)], dtype=pl.Decimal(38, self.places))
            values = pl.Series(numbers).cast(pl.Decimal(38, 0)) * in_units
        else:
            values = pl.Series(floats(numbers, unit, 10**self.places))
        return values if self.mark < 0 else values.set(pl.Series(table[:, self.mark] <= 0), None)


Columns = Mapping[str, Whole | Instant | Word | SideColumn | Amount]
"""The columns of a file, by name."""


def order_columns(grid: "Instrument") -> Columns:
    at = ORDER_COLUMNS.index
    instants = {name: at(f"{name}_us") for name in ("active", "expire", "cancel_req", "cancel_effective")}
    return {
        "recv_ms": Instant(at("us"), US_PER_MS),
        "order_id": Whole(at("order_id")),
        "action": Word(at("action"), ACTIONS),
        "status": Word(at("status"), STATUSES),
        "side": SideColumn(at("side")),
        "price": Amount(((grid.tick_e8, at("ticks")),)),
        "qty": Amount(((grid.lot_e8, at("lots")),)),
        "remaining_qty": Amount(((grid.lot_e8, at("remaining_lots")),)),
        "active_recv_ms": Instant(instants["active"], US_PER_MS),
        "expire_recv_ms": Instant(instants["expire"], US_PER_MS),
        "cancel_req_ms": Instant(instants["cancel_req"], US_PER_MS),
        "cancel_effective_ms": Instant(instants["cancel_effective"], US_PER_MS),
        "reject_reason": Word(at("reject_reason"), REJECT_REASONS[1:], 1),
        "cancel_reason": Word(at("cancel_reason"), CANCEL_REASONS[1:], 1),
        "recv_us": Instant(at("us")),
        "active_recv_us": Instant(instants["active"]),
        "cancel_effective_us": Instant(instants["cancel_effective"]),
        "expire_recv_us": Instant(instants["expire"]),
    }


def fill_columns(grid: "Instrument", reasons: Sequence[str]) -> Columns:
    at = FILL_COLUMNS.index
    return {
        "recv_ms": Instant(at("us"), US_PER_MS),
        "order_id": Whole(at("order_id")),
        "side": SideColumn(at("side")),
        "price": Amount(((grid.tick_e8, at("ticks")),)),
        "qty": Amount(((grid.lot_e8, at("lots")),)),
        "fee": Amount(((1, at("fee_e8")),)),
        "reason": Word(at("reason"), reasons),
        "recv_us": Instant(at("us")),
        "mid": _mid(grid, at("mid2_ticks")),
        "inventory_after": Amount(((grid.lot_e8, at("inventory_lots")),)),
    }


def state_columns(terms: "RunTerms") -> Columns:
    at, grid = STATE_COLUMNS.index, terms.instrument
    inventory, cash_tl, fees, mid2 = map(at, ("inventory_lots", "cash_tl", "fees_e8", "mid2_ticks"))
    cash_unit, places = _fewest_places(grid.tick_lot_e16, 16)
    worth_unit, worth_places = _fewest_places(5 * grid.tick_lot_e16, 17)

    def cash(finer: int) -> tuple[tuple[tuple[int, ...], ...], int]:
        e8 = 10 ** (places + finer - 8)
        return ((cash_unit * 10**finer, cash_tl), (-e8, fees)), terms.initial_cash_e8 * e8

    (own, start), (marked, marked_start), worth = cash(0), cash(worth_places - places), (worth_unit, inventory, mid2)
    return {
        "recv_ms": Instant(at("us"), US_PER_MS),
        "inventory": Amount(((grid.lot_e8, inventory),)),
        "cash": Amount(own, places, start),
        "mid": _mid(grid, mid2),
        "mtm_value": Amount((worth,), worth_places, 0, mid2),
        "open_orders": Whole(at("open_orders")),
        "recv_us": Instant(at("us")),
        "equity": Amount((*marked, worth), worth_places, marked_start, mid2),
    }


def _mid(grid: "Instrument", column: int) -> Amount:
    """Null for 0: half a tick may need a ninth place."""
    half, places = _fewest_places(5 * grid.tick_e8, 9)
    return Amount(((half, column),), places, 0, column)


def orders_path(folder: Path, symbol: str) -> Path:
    parquet = folder / f"orders_{symbol}.{PARQUET}"
    return parquet if parquet.exists() else parquet.with_suffix(f".{CSV}")


def rows_of(table: "pl.DataFrame", symbol: str) -> "pl.DataFrame":
    return table.filter(table["symbol"] == symbol).drop("symbol")


def read_table(folder: Path, symbol: str, name: str) -> "pl.DataFrame":
    import polars as pl

    if name == "orders":
        return read_orders(folder, symbol)
    return pl.read_csv(folder / f"{name}_{symbol}.csv", infer_schema=False)


def read_orders(folder: Path, symbol: str, types: "Mapping[str, Any] | None" = None) -> "pl.DataFrame":
    import polars as pl

    path = orders_path(folder, symbol)
    if path.suffix == f".{PARQUET}":
        frame = pl.read_parquet(path, columns=None if types is None else list(types))
        return frame.cast(dict(types)) if types else frame.cast(pl.String)  # type: ignore[arg-type]
    if types is None:
        return pl.read_csv(path, infer_schema=False)
    return pl.read_csv(path, columns=list(types), schema_overrides=dict(types))


def write_table(path: Path, pieces: "Iterable[Ints]", columns: Columns) -> tuple[str, int]:
    """Return sha256 and rows."""
    if path.suffix == f".{PARQUET}":
        return _write_parquet(path, pieces, columns)
    cells, rows = CsvRows(), 0
    for column in columns.values():
        column.put(cells)
    with HashedFile(path) as file:
        file.write(",".join(columns).encode() + b"\n")
        for piece in pieces:
            cells.write(file, np.ascontiguousarray(piece))
            rows += len(piece)
        return file.sha256.hexdigest(), rows


def _write_parquet(path: Path, pieces: "Iterable[Ints]", columns: Columns) -> tuple[str, int]:
    import polars as pl
    import pyarrow.parquet as pq

    parts = (piece[first : first + ROWS] for piece in pieces for first in range(0, max(len(piece), 1), ROWS))
    frames = (frame_of(part, columns, exactly=True) for part in parts)
    tables = (frame.with_columns(pl.selectors.enum().cast(pl.Categorical)).to_arrow() for frame in frames)
    first, rows = next(tables), 0
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            rows += len(table)
    return hash_file(path), rows


def frame_of(table: Ints, columns: Columns, *, exactly: bool = False) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame({name: column.series(table, exactly=exactly) for name, column in columns.items()})


def _fewest_places(unit: int, places: int) -> tuple[int, int]:
    """As few places as needed, at least eight."""
    while places > 8 and unit % 10 == 0:
        unit, places = unit // 10, places - 1
    return unit, places
