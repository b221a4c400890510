"""What a strategy records at its calls by ``view.record``: a row per call in ``series.csv``."""

import math
from array import array
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.errors import ModelError
from mm.tape.frames import instants

if TYPE_CHECKING:
    import polars as pl

OWN_SERIES = "series.csv"
MOST_NAMES = 100
Recorded = dict[str, tuple[Ints, Floats]]
"""Instants in µs and values by name; NaN for none."""


class OwnSeries:
    """Values by name, in the order of the calls that recorded them."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._us, self._code, self._value = array("q"), array("q"), array("d")

    def __len__(self) -> int:
        return len(self._us)

    def add(self, us: int, name: str, value: float | None) -> None:
        """Append a value; ModelError if it is no finite number or None, or there are too many names."""
        try:
            number = math.nan if value is None else math.inf if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise ModelError(f"record({name!r}, {value!r}): the value must be a finite number, or None for none")
        code = self._codes.get(name) if isinstance(name, str) else None
        if code is None:
            code = self._new(name)
        self._us.append(us)
        self._code.append(code)
        self._value.append(number)

    def _new(self, name: object) -> int:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ModelError(f"record({name!r}, …): the name of a series must be text")
        if len(self._codes) == MOST_NAMES:
            raise ModelError(
                f"record({name!r}, …): there are {MOST_NAMES} series already, the first {next(iter(self._codes))!r}; "
                "give the values of one series one name"
            )
        return self._codes.setdefault(name, len(self._codes))

    def frame(self) -> "pl.DataFrame":
        """Return the columns of ``series.csv``: ``recv_us``, ``name``, ``value``."""
        import polars as pl

        names = pl.Series(list(self._codes), dtype=pl.String).gather(np.array(self._code))
        values = pl.Series(np.array(self._value), dtype=pl.Float64).fill_nan(None)
        return pl.DataFrame({"recv_us": pl.Series(np.array(self._us), dtype=pl.Int64), "name": names, "value": values})

    @cached_property
    def by_name(self) -> Recorded:
        us, code, value = np.array(self._us), np.array(self._code), np.array(self._value)
        return {name: (us[code == number], value[code == number]) for name, number in self._codes.items()}


def own_series_frame(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Return rows of a ``series.csv`` as Python shows them: ``time``, ``name``, ``value``."""
    return rows.select(instants(rows["recv_us"].to_numpy()).alias("time"), "name", "value")


def read_own_series(folder: Path, symbol: str = "") -> "pl.DataFrame":
    """Return the rows of a run's ``series.csv``, none without one; *symbol* is that of an account's rows."""
    import polars as pl

    types = {"recv_us": pl.Int64, "name": pl.String, "value": pl.Float64}
    if not (path := folder / OWN_SERIES).is_file():
        return pl.DataFrame(schema=types)
    rows = pl.read_csv(path, schema_overrides=types)
    return rows.filter(pl.col("symbol") == symbol).drop("symbol") if symbol else rows


def recorded_of(rows: "pl.DataFrame") -> Recorded:
    """Return the series of the rows of a ``series.csv``."""
    import polars as pl

    parts = rows.partition_by("name", as_dict=True, maintain_order=True)
    return {
        str(name): (part["recv_us"].to_numpy(), part["value"].fill_null(np.nan).cast(pl.Float64).to_numpy())
        for (name,), part in parts.items()
    }
