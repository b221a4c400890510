"""The rows of an order log that change what rests, in pieces: a day has tens of millions of them."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from mm.errors import BrokenFile
from mm.sim.matching.order_log import COLUMNS, ROW_EXPIRE, ROW_LEVEL, ROW_TRADE

if TYPE_CHECKING:
    from mm.sim.matching.order_log import Row

PIECE_BYTES = 1 << 25
KINDS = (ROW_TRADE, ROW_LEVEL, ROW_EXPIRE)


class OrderRow(NamedTuple):
    """One row of the log; its columns are described in ``mm.sim.matching.order_log``."""

    us: int
    kind: int
    order_id: int
    other_id: int
    side: int
    ticks: int
    lots: int
    trade_id: int


_KEPT = [COLUMNS.index(name) for name in OrderRow._fields]


def rows_of(log: "Iterable[Row]") -> Iterator[OrderRow]:
    """Yield the rows of a log in memory that change what rests."""
    for row in log:
        if row[1] in KINDS:
            yield OrderRow(*(row[column] for column in _KEPT))


def read_rows(path: Path) -> Iterator[OrderRow]:
    """Yield the rows of the order log at *path* (``.csv.gz``) that change what rests.

    Raises:
        BrokenFile: If it has another header, or a row that is not ten whole numbers, or its packing is damaged.
    """
    try:
        with gzip.open(path, "rb") as stream:
            if (header := stream.readline().rstrip(b"\n")) != ",".join(COLUMNS).encode():
                raise ValueError(f"the header is {header.decode(errors='replace')!r}")
            while piece := stream.read(PIECE_BYTES):
                yield from map(OrderRow._make, _parsed(piece + stream.readline()).iter_rows())
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error, PolarsError) as error:
        raise BrokenFile(f"{path}: no order log ({error}); write the day again") from error


def _parsed(lines: bytes) -> pl.DataFrame:
    """Return the rows of whole *lines* that change what rests."""
    table = pl.read_csv(
        io.BytesIO(lines), has_header=False, schema=dict.fromkeys(COLUMNS, pl.Int64), truncate_ragged_lines=False
    )
    if table.null_count().sum_horizontal().item():
        raise ValueError("a row is not ten whole numbers")
    return table.filter(pl.col("kind").is_in(KINDS)).select(OrderRow._fields)
