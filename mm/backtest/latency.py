"""Reads the file of measured message latencies from which a backtest draws."""

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mm.base.texts import read_text
from mm.clock import US_PER_MS
from mm.errors import BrokenFile

ORDER, CANCEL, RATE = "order_ms", "cancel_ms", "rate_per_s"
MOST_MS = 1e10


@dataclass(frozen=True, eq=False)
class Latencies:
    """Measured latencies, one row per measurement.

    Attributes:
        order_us: Also of amendments, int64[n].
        rate_per_s: Market messages, ascending, float64[n].
        in_order: Whether order n has row n − 1, cyclically; else the row is drawn.
    """

    order_us: NDArray[np.int64]
    cancel_us: NDArray[np.int64]
    rate_per_s: NDArray[np.float64] | None = None
    in_order: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            table = csv.DictReader(read_text(path).splitlines())
            names = table.fieldnames or []
            if ORDER not in names:
                raise BrokenFile(f"{path}: column {ORDER} is missing; {CANCEL} and {RATE} are optional")
            rows = [
                [_value(path, table.line_num, row, name) for name in (ORDER, CANCEL, RATE) if name in names]
                for row in table
            ]
        except (OSError, ValueError, csv.Error) as error:
            raise BrokenFile(f"{path}: cannot be read ({error}); give a CSV file of measured latencies") from error
        if not rows:
            raise BrokenFile(f"{path}: the file has no rows; give at least one measurement, one per row")
        columns = dict(zip([name for name in (ORDER, CANCEL, RATE) if name in names], np.array(rows).T, strict=True))
        return cls.of(columns[ORDER], columns.get(CANCEL), columns.get(RATE))

    @classmethod
    def of(
        cls,
        order_ms: NDArray[np.float64],
        cancel_ms: NDArray[np.float64] | None = None,
        rate_per_s: NDArray[np.float64] | None = None,
    ) -> Self:
        """Columns in ms; without *cancel_ms* a cancel takes as long as an order."""
        cancel = order_ms if cancel_ms is None else cancel_ms
        by_rate = slice(None) if rate_per_s is None else np.argsort(rate_per_s, kind="stable")
        rate = None if rate_per_s is None else np.ascontiguousarray(rate_per_s[by_rate], dtype=np.float64)
        return cls(_us(order_ms[by_rate]), _us(cancel[by_rate]), rate)

    def times(self, factor: float) -> Self:
        order, cancel = (np.rint(us * factor).astype(np.int64) for us in (self.order_us, self.cancel_us))
        return replace(self, order_us=order, cancel_us=cancel)


def _us(ms: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.round(np.asarray(ms, dtype=np.float64) * US_PER_MS).astype(np.int64))


def _value(path: Path, line: int, row: dict[str, str], name: str) -> float:
    if row[name] is None:
        raise BrokenFile(f"{path}:{line}: {name} is missing in this row; every row needs one")
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST_MS:
        raise BrokenFile(f"{path}:{line}: {name} is {row[name]!r}; it must be a number from 0 to {MOST_MS:g}")
    return value
