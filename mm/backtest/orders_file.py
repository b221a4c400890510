"""The orders file of a run, by far its largest: CSV like the other tables, or Parquet (ORDERS_FORMAT).

Both have the same columns, rows and names. Parquet holds instants and ids as whole numbers, prices and quantities as
exact decimals of eight places, and null where a cell of the CSV file is empty; its size is a tenth of the CSV file.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest._journal_csv import ORDER_FILE, write_orders
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, ORDER_COLUMNS, REJECT_REASONS, STATUSES
from mm.clock import US_PER_MS
from mm.code_identity import HashedFile, hash_file

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table
    from mm.instrument import Instrument

CSV, PARQUET = FORMATS = ("csv", "parquet")
SIDES = ("", "BUY", "SELL")  # 0, +1, −1, modulo 3
_ROWS = 1 << 17  # per row group
_SOURCES = {  # columns with another name than in the journal
    "price": "ticks",
    "qty": "lots",
    "remaining_qty": "remaining_lots",
    **{f"{name}_recv_{unit}": f"{name}_us" for name in ("active", "expire") for unit in ("ms", "us")},
    "recv_ms": "us",
    "recv_us": "us",
    "cancel_req_ms": "cancel_req_us",
    "cancel_effective_ms": "cancel_effective_us",
}
_WORDS: Mapping[str, Sequence[str]] = {
    "action": ACTIONS,
    "status": STATUSES,
    "side": SIDES,
    "reject_reason": REJECT_REASONS,
    "cancel_reason": CANCEL_REASONS,
}


def orders_path(folder: Path, symbol: str) -> Path:
    """Return the file of the orders of the run in *folder*, in either format; the CSV path if there is none."""
    parquet = folder / _name(symbol, PARQUET)
    return parquet if parquet.exists() else folder / _name(symbol, CSV)


def write_orders_file(folder: Path, journal: "Journal", grid: "Instrument", form: str = CSV) -> tuple[str, str, int]:
    """Write the orders of a *journal* in one of `FORMATS`; return the name of the file, its sha256 in hex, its rows.

    Only a piece of the rows is in memory if the journal has no table of them yet.
    """
    name = _name(grid.symbol, form)
    if form == PARQUET:
        rows = _write_parquet(folder / name, journal.order_pieces(_ROWS), grid)
        return name, hash_file(folder / name), rows
    with HashedFile(folder / name) as file:
        rows = write_orders(file, journal.order_pieces(), grid.tick_e8, grid.lot_e8)
        return name, file.sha256.hexdigest(), rows


def read_orders(folder: Path, symbol: str, types: "Mapping[str, Any] | None" = None) -> "pl.DataFrame":
    """Read the orders of the run in *folder*, in either format.

    Args:
        folder: Folder of the run.
        symbol: The traded symbol.
        types: Columns to read, and their polars types; None reads all, each cell as the text of the CSV file.
    """
    import polars as pl

    path = orders_path(folder, symbol)
    if path.suffix == f".{PARQUET}":
        found = pl.read_parquet(path, columns=list(types or ORDER_FILE))
        return found.cast(dict(types)) if types else found.cast(pl.String)  # type: ignore[arg-type]
    if types is None:
        return pl.read_csv(path, infer_schema=False)
    return pl.read_csv(path, columns=list(types), schema_overrides=dict(types))


def _name(symbol: str, form: str) -> str:
    return f"orders_{symbol}.{form}"


def _write_parquet(path: Path, pieces: "Iterator[Table]", grid: "Instrument") -> int:
    """Write *pieces* of rows, each as a row group; return the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = (pa.table({name: _column(name, piece, grid) for name in ORDER_FILE}) for piece in pieces)
    first, rows = next(tables), 0
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            rows += len(table)
    return rows


def _column(name: str, rows: "Table", grid: "Instrument") -> "pa.Array":
    """Return a column of the orders file, for *rows* of the journal's table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values: NDArray[np.int64] = np.ascontiguousarray(rows[:, ORDER_COLUMNS.index(_SOURCES.get(name, name))])
    if name in _WORDS:
        words = _WORDS[name]
        codes = values % 3 if name == "side" else values
        empty = np.array([*(not word for word in words), True])[codes]  # the code -1 is null, too
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8(), mask=empty), pa.array(words))
    if name in ("price", "qty", "remaining_qty"):
        unit_e8 = grid.tick_e8 if name == "price" else grid.lot_e8
        unit = pa.scalar(Decimal(unit_e8).scaleb(-8), pa.decimal128(18, 8))
        return pc.multiply(pa.array(values).cast(pa.decimal128(19, 0)), unit)
    if name == "order_id":
        return pa.array(values)
    return pa.array(values // US_PER_MS if name.endswith("_ms") else values, mask=values < 0)
