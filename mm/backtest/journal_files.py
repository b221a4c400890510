"""The files of a run's tables: CSV with exact decimals, the orders also as Parquet (ORDERS_FORMAT).

A decimal has eight places; a column has more only if its unit (tick·lot, half a tick) needs them, and then the same
number in every row. Cells are empty for an instant below 0, a code of 0 without a word, a side of 0, and an amount that
needs a mid while there is none. Parquet has the same columns and rows, typed, and null where a cell of the CSV file is
empty; its size is a tenth of the CSV file.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.base.arrays import Ints
from mm.base.code_identity import HashedFile, hash_file
from mm.clock import US_PER_MS
from mm.tape.frames import sides, words

if TYPE_CHECKING:
    import polars as pl

    from mm.backtest.journal import Table
    from mm.backtest.run_terms import RunTerms
    from mm.instrument import Instrument

    Amounts = Callable[[Ints, int], Any]  # of whole numbers of a unit, in 1e-8

CSV, PARQUET = FORMATS = ("csv", "parquet")
ORDER_FILE = (
    *("recv_ms", "order_id", "action", "status", "side", "price", "qty", "remaining_qty"),
    *("active_recv_ms", "expire_recv_ms", "cancel_req_ms", "cancel_effective_ms", "reject_reason", "cancel_reason"),
    *("recv_us", "active_recv_us", "cancel_effective_us", "expire_recv_us"),
)
"""The columns of the orders file."""
ROWS = 1 << 16  # that are in memory as decimals


def orders_path(folder: Path, symbol: str) -> Path:
    """Return the file of the orders of the run in *folder*, in either format; the CSV path if there is none."""
    parquet = folder / f"orders_{symbol}.{PARQUET}"
    return parquet if parquet.exists() else parquet.with_suffix(f".{CSV}")


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


def write_frames(path: Path, frames: "Iterable[pl.DataFrame]") -> tuple[str, int]:
    """Write *frames*, at least one, to a CSV or Parquet file; return its sha256 in hex, and its rows."""
    rows = 0
    if path.suffix == f".{PARQUET}":
        import polars as pl
        import pyarrow.parquet as pq

        tables = (frame.with_columns(pl.selectors.enum().cast(pl.Categorical)).to_arrow() for frame in frames)
        first = next(tables)
        with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                rows += len(table)
        return hash_file(path), rows
    with HashedFile(path) as file:
        for number, frame in enumerate(frames):
            text = io.BytesIO()
            frame.write_csv(text, include_header=number == 0, quote_style="never")
            file.write(text.getbuffer())
            rows += len(frame)
        return file.sha256.hexdigest(), rows


def order_frames(orders: "Table", grid: "Instrument") -> "Iterator[pl.DataFrame]":
    """Yield the orders file in pieces."""
    import polars as pl

    return (pl.DataFrame(order_columns(piece, grid, exact)) for piece in _pieces(orders))


def fill_frames(fills: "Table", grid: "Instrument", reasons: Sequence[str]) -> "Iterator[pl.DataFrame]":
    """Yield the fills file in pieces; *reasons* are the words of the journal's codes."""
    import polars as pl

    return (pl.DataFrame(fill_columns(piece, grid, reasons, exact)) for piece in _pieces(fills))


def state_frames(pieces: "Iterable[Table]", terms: "RunTerms") -> "Iterator[pl.DataFrame]":
    """Yield the state file, from *pieces* of the state table."""
    import polars as pl

    grid = terms.instrument
    cash_unit, places = _fewest_places(grid.tick_lot_e16, 16)
    worth_unit, worth_places = _fewest_places(5 * grid.tick_lot_e16, 17)
    start = Decimal(terms.initial_cash_e8).scaleb(-8)
    for piece in pieces:
        us, inventory, cash_tl, fees_e8, mid2, open_orders = piece.T
        cash = exact(cash_tl, cash_unit, places) - exact(fees_e8, 1) + start
        marked = pl.Series(mid2).cast(pl.Decimal(38, 0)).set(pl.Series(mid2 <= 0), None)
        worth = exact(inventory, worth_unit, worth_places) * marked
        yield pl.DataFrame(
            {
                "recv_ms": us // US_PER_MS,
                "inventory": exact(inventory, grid.lot_e8),
                "cash": cash.cast(pl.Decimal(38, places)),
                "mid": _mids(mid2, grid.tick_e8, exact),
                "mtm_value": worth.cast(pl.Decimal(38, worth_places)),
                "open_orders": open_orders,
                "recv_us": us,
                "equity": (cash.cast(pl.Decimal(38, worth_places)) + worth).cast(pl.Decimal(38, worth_places)),
            }
        )


def order_columns(orders: "Table", grid: "Instrument", amounts: "Amounts") -> dict[str, Any]:
    """Return the columns of the orders file; instants are null if there is none."""
    us, order_id, action, status, side, ticks, lots, remaining, *instants, reject, cancel = orders.T
    active, expire, cancel_req, cancel_effective = instants
    return {
        "recv_ms": us // US_PER_MS,
        "order_id": order_id,
        "action": words(ACTIONS, action),
        "status": words(STATUSES, status),
        "side": sides(side),
        "price": amounts(ticks, grid.tick_e8),
        "qty": amounts(lots, grid.lot_e8),
        "remaining_qty": amounts(remaining, grid.lot_e8),
        "active_recv_ms": _known(active // US_PER_MS),
        "expire_recv_ms": _known(expire // US_PER_MS),
        "cancel_req_ms": _known(cancel_req // US_PER_MS),
        "cancel_effective_ms": _known(cancel_effective // US_PER_MS),
        "reject_reason": words(REJECT_REASONS[1:], reject - 1),
        "cancel_reason": words(CANCEL_REASONS[1:], cancel - 1),
        "recv_us": us,
        "active_recv_us": _known(active),
        "cancel_effective_us": _known(cancel_effective),
        "expire_recv_us": _known(expire),
    }


def fill_columns(fills: "Table", grid: "Instrument", reasons: Sequence[str], amounts: "Amounts") -> dict[str, Any]:
    """Return the columns of the fills file; the mid is null without a valid book."""
    us, order_id, side, ticks, lots, fee_e8, reason, mid2, inventory = fills.T
    return {
        "recv_ms": us // US_PER_MS,
        "order_id": order_id,
        "side": sides(side),
        "price": amounts(ticks, grid.tick_e8),
        "qty": amounts(lots, grid.lot_e8),
        "fee": amounts(fee_e8, 1),
        "reason": words(reasons, reason),
        "recv_us": us,
        "mid": _mids(mid2, grid.tick_e8, amounts),
        "inventory_after": amounts(inventory, grid.lot_e8),
    }


def exact(numbers: Ints, unit: int, places: int = 8) -> "pl.Series":
    """Return whole *numbers* of a unit, which is in 10**-places, as exact decimals."""
    import polars as pl

    one = pl.Series([Decimal(unit).scaleb(-places)], dtype=pl.Decimal(38, places))
    return pl.Series(numbers).cast(pl.Decimal(38, 0)) * one


def _mids(mid2: Ints, tick_e8: int, amounts: "Amounts") -> "pl.Series":
    """Return the mids of bid + ask in ticks, null for 0: half a tick may need a ninth place."""
    import polars as pl

    half, places = _fewest_places(5 * tick_e8, 9)
    found = exact(mid2, half, places) if amounts is exact else pl.Series(amounts(mid2, tick_e8)) / 2
    return found.set(pl.Series(mid2 <= 0), None)


def _known(instants: Ints) -> "pl.Series":
    """Return instants, null for those below 0."""
    import polars as pl

    return pl.Series(instants).set(pl.Series(instants < 0), None)


def _fewest_places(unit: int, places: int) -> tuple[int, int]:
    """Return *unit*, in 10**-places, and *places*, reduced to as few as it needs, but at least eight."""
    while places > 8 and unit % 10 == 0:
        unit, places = unit // 10, places - 1
    return unit, places


def _pieces(table: "Table") -> "Iterator[Table]":
    """Yield the rows of a table in at least one piece."""
    return (table[first : first + ROWS] for first in range(0, max(len(table), 1), ROWS))
