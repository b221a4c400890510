"""The rows of an order log, market by order, and its file next to a day, shared by its writers and readers.

The columns are described in ``mm.sim.matching.order_log``, the rows of an import in ``mm.market_data.bitstamp``.
"""

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

COLUMNS = ("us", "kind", "order_id", "other_id", "account", "side", "ticks", "lots", "trade_id", "update_id")
Row = tuple[int, int, int, int, int, int, int, int, int, int]
"""One row of the log, with the columns of `COLUMNS`."""

ROW_NEW, ROW_TRADE, ROW_LEVEL, ROW_REST, ROW_CANCEL, ROW_REDUCE, ROW_EXPIRE, ROW_REFUSE = range(1, 9)
"""Kinds of rows."""


def write_rows(path: Path, rows: Iterable[Sequence[int]]) -> None:
    """Write an order log, which must not exist, at once."""
    with path.open("xb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as log:
        log.write((",".join(COLUMNS) + "\n").encode())
        log.writelines((",".join(map(str, row)) + "\n").encode() for row in rows)
