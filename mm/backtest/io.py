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
    CASH,
    EQUITY,
    INSTANT,
    INSTANT_MS,
    MID,
    MONEY,
    NUMBER,
    PRICE,
    QTY,
    REASON,
    SIDE,
    WORTH,
    Fills,
    Orders,
    State,
)
from mm.backtest.table import Column, Table, Written
from mm.base.arrays import Ints
from mm.base.code_identity import HashedFile, hash_file
from mm.clock import US_PER_MS
from mm.tape.frames import floats, frame, instants, sides, words

if TYPE_CHECKING:
    import polars as pl

    from mm.backtest.journal import Journal
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


Cell = Whole | Instant | Word | SideColumn | Amount
Columns = Mapping[str, Cell]
"""The columns of a file, by name."""


@dataclass(frozen=True, slots=True)
class Units:
    """What the numbers of a run's tables are worth."""

    grid: "Instrument"
    reasons: Sequence[str] = ()
    initial_cash_e8: int = 0

    def cell(self, column: Column | Written) -> Cell:
        """Return the cell of a declared column."""
        kind, grid, places = column.kind, self.grid, [one.index for one in column.of]
        if kind in (CASH, WORTH, EQUITY):
            return self._money(column, places)
        (at,) = places
        if kind.names is not None or kind == REASON:
            return Word(at, self.reasons if kind.names is None else kind.names, kind.first)
        if kind == MID:  # null for 0; half a tick may need a ninth place
            half, digits = _fewest_places(5 * grid.tick_e8, 9)
            return Amount(((half, at),), digits, 0, at)
        plain: dict[Any, Cell] = {
            NUMBER: Whole(at),
            INSTANT: Instant(at),
            INSTANT_MS: Instant(at, US_PER_MS),
            SIDE: SideColumn(at),
            PRICE: Amount(((grid.tick_e8, at),)),
            QTY: Amount(((grid.lot_e8, at),)),
            MONEY: Amount(((1, at),)),
        }
        return plain[kind]

    def _money(self, column: Column | Written, places: Sequence[int]) -> Amount:
        """Return the cell of cash (of cash_tl and fees), worth (of inventory and mid), or the sum of both."""
        tick_lot, terms, start = self.grid.tick_lot_e16, list[tuple[int, ...]](), 0
        worth_unit, digits = _fewest_places(5 * tick_lot, 17)
        if column.kind == CASH:
            digits = _fewest_places(tick_lot, 16)[1]
        if column.kind != WORTH:
            e8 = 10 ** (digits - 8)
            terms += [(tick_lot * 10**digits // 10**16, places[0]), (-e8, places[1])]
            start = self.initial_cash_e8 * e8
        if column.kind == CASH:
            return Amount(tuple(terms), digits, start)
        return Amount((*terms, (worth_unit, *places[-2:])), digits, start, places[-1])


def columns_of(table: type[Table], units: Units) -> Columns:
    """Return the columns of a table's file, as they are declared."""
    return {column.file: units.cell(column) for column in table.written}


def order_columns(grid: "Instrument") -> Columns:
    return columns_of(Orders, Units(grid))


def fill_columns(grid: "Instrument", reasons: Sequence[str]) -> Columns:
    return columns_of(Fills, Units(grid, reasons))


def state_columns(terms: "RunTerms") -> Columns:
    return columns_of(State, Units(terms.instrument, (), terms.initial_cash_e8))


def bought_lots(journal: "Journal") -> Ints:
    """The lots of each fill before a commission in the base asset."""
    fills = journal.fills
    return fills.lots if journal.base_fee_lots is None else fills.lots + fills.side * journal.base_fee_lots


def fills_table(journal: "Journal", grid: "Instrument") -> tuple[Ints, Columns]:
    """Return the fills with the columns of their file; of a trade that is played again with ``base_commission``."""
    columns = fill_columns(grid, journal.fill_reasons)
    if journal.base_fee_lots is None:
        return journal.fills, columns
    table = np.column_stack((journal.fills, bought_lots(journal), journal.base_fee_lots))
    first = Fills.width()
    own = {"qty": Amount(((grid.lot_e8, first),)), "base_commission": Amount(((grid.lot_e8, first + 1),))}
    return table, {**columns, **own}


def frame_for_users(table: Table, units: Units) -> "pl.DataFrame":
    """Return a frame of the columns in memory, with instants as datetimes and the nearest floats."""
    shown = {}
    for column in table.columns:
        if column.frame:
            values = column.of_table(table)
            is_instant = column.kind in (INSTANT, INSTANT_MS)
            shown[column.frame] = (
                instants(values) if is_instant else units.cell(column).series(table.array, exactly=False)
            )
    return frame(shown)


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
    """Return the unit and decimals with as few places as needed, at least eight."""
    while places > 8 and unit % 10 == 0:
        unit, places = unit // 10, places - 1
    return unit, places
