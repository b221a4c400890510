"""Finds digits that were lost before a file was read: numbers in too short a type, and rounded times."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from math import frexp, gcd

import polars as pl
import pyarrow as pa

from mm.clock import US_PER_S
from mm.formats.instants import UNITS
from mm.formats.tables import RowBlock
from mm.market_data.captures import FilePlace

_MANTISSAS = {16: 11, 32: 24, 64: 53}
_DIGITS = {11: "three", 24: "seven", 53: "fifteen"}
_AGAIN = "write the column again from its source as double precision or text"
_ENOUGH_ROWS, _FEW_ROWS = 20, 10
_MINUTE_US = 60 * US_PER_S
_BURST = 100  # changes of levels that one message cannot hold, since it changes each level once
_SCALE = 12
_FIRST_INT32_S = 10**9  # 2001: a smaller number is one of milliseconds that has overflown


@dataclass(frozen=True)
class Types:
    """The number types of a file's columns: binary digits of floats, and integers of 32 bits."""

    floats: Mapping[str, int] = field(default_factory=dict)
    short_ints: frozenset[str] = frozenset()

    @classmethod
    def of(cls, schema: pa.Schema) -> "Types":
        floats, short = dict[str, int](), set[str]()
        for column in schema:
            inner = column.type
            while pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
                inner = inner.value_type
            if pa.types.is_floating(inner):
                floats[column.name] = _MANTISSAS[inner.bit_width]
            elif pa.types.is_integer(inner) and inner.bit_width <= 32:
                short.add(column.name)
        return cls(floats, frozenset(short))

    def narrow(self, column: str) -> int:
        """Binary digits of a float that is shorter than double precision, else 0."""
        bits = self.floats.get(column, 0)
        return bits if bits < _MANTISSAS[64] else 0

    def check_times(self, block: RowBlock, column: str, unit: str, place: FilePlace) -> None:
        """Raise BrokenFile if the type cannot hold an instant to the second."""
        if bits := self.narrow(column):
            what = f"{column} is a float of {_DIGITS[bits]} digits, so its times lie minutes apart"
            raise place.broken(what, _AGAIN, block.row(0))
        if column in self.short_ints and unit != "iso":
            first = int(block.cells[column][0] or 0)
            if unit != "s" or first < _FIRST_INT32_S:
                what = f"{column} is {first}, a whole number of 32 bits, which holds no Unix time but of seconds"
                raise place.broken(what, "write the column again from its source in 64 bits", block.row(0))

    def check_ids(self, block: RowBlock, column: str, place: FilePlace) -> None:
        """Raise BrokenFile for ids that a float cannot tell apart."""
        bits = self.floats.get(column, 0)
        if bits:
            most = max((abs(float(text)) for text in block.cells[column].to_list() if text), default=0.0)
            if most >= 2**bits:
                what = f"{column} is a float, which cannot tell ids from {2**bits:,} on apart"
                raise place.broken(what, "write the column again from its source as whole numbers", block.row(0))

    def check_prices(self, block: RowBlock, column: str, texts: Sequence[str], place: FilePlace) -> None:
        """Raise BrokenFile if prices lie further apart than half their step."""
        if (bits := self.narrow(column)) and (lost := _lost(texts, bits)):
            what = f"{column} is a float of {_DIGITS[bits]} digits, so prices of {lost}"
            raise place.broken(what, _AGAIN, block.row(0))

    def loses_qty(self, column: str, texts: Sequence[str]) -> str:
        """A warning about quantities that lost digits, or nothing."""
        bits = self.narrow(column)
        lost = _lost(texts, bits) if bits else ""
        return f"{column} is a float of {_DIGITS[bits]} digits, so quantities of {lost}; {_AGAIN}" if lost else ""


def _lost(texts: Sequence[str], bits: int) -> str:
    """The largest number and how far apart its type has them, if that is more than half the step of all."""
    step, most = 0, Decimal(0)
    for text in set(texts):
        with suppress(InvalidOperation):
            number = abs(Decimal(text))
            if number.is_finite():
                step, most = gcd(step, int(number.scaleb(_SCALE))), max(most, number)
    apart = Decimal(2) ** (frexp(float(most))[1] - bits)
    if not step or 2 * apart <= Decimal(step).scaleb(-_SCALE):
        return ""
    return f"about {most:f} lie {float(apart):.3g} apart"


def shortest(column: pl.Series) -> pl.Series:
    """Lists of single precision become the shortest texts of their numbers, as its cells do."""
    inner, depth = column.dtype, 0
    texts: pl.DataType = pl.String()
    while isinstance(inner, pl.List | pl.Array):
        inner, depth = pl.DataFrame(schema={"": inner.inner}).dtypes[0], depth + 1
    if not depth or inner != pl.Float32:
        return column
    for _ in range(depth):
        texts = pl.List(texts)
    return column.cast(texts)


def check_written(block: RowBlock, column: str, unit: str, place: FilePlace) -> None:
    """Raise BrokenFile if times have exponents, and fewer digits than a second of their unit needs (1.7676E+12)."""
    parts = block.cells[column].str.extract_groups(r"^\d\.?(\d*)[eE]\+?(\d+)$").struct.unnest()
    if parts.height < _FEW_ROWS or parts["2"].null_count():
        return
    finest = int((parts["2"].cast(pl.Int64) - parts["1"].str.len_chars().cast(pl.Int64)).min())  # type: ignore[arg-type]
    apart_s = 10**finest * UNITS.get(unit, 1e-3) / US_PER_S
    if apart_s > 1:
        what = f"{column} is {block.cells[column][0]}, whose digits end {apart_s:g} s apart: these times were rounded"
        raise place.broken(what, "write the column again from its source, as whole numbers", block.row(0))


class Stamps:
    """Counts the rows of one stream that have one time, to find times that were rounded.

    Attributes:
        again: Rows that change what another row of the same time has, or trades after the first.
    """

    def __init__(self, *, trades: bool) -> None:
        self._trades = trades
        self._rows = self.again = 0
        self._step_us = self._last_us = 0
        self._run = self._run_again = self._most = self._most_again = 0

    def add(self, us: int, rows: int = 1, again: int = 0) -> None:
        if us == self._last_us:
            again += 1
        else:
            self._run = self._run_again = 0
            self._step_us, self._last_us = gcd(self._step_us, us), us
        self._rows += rows
        self.again += again
        self._run += rows
        self._run_again += again
        self._most, self._most_again = max(self._most, self._run), max(self._most_again, self._run_again)

    def rounded(self) -> str:
        """What is wrong with the times, or nothing."""
        if self._rows < _ENOUGH_ROWS or 10 * self.again < self._rows:
            return ""
        if 10 * self._most >= 9 * self._rows:
            return f"{self._most:,} of {self._rows:,} rows have one time"
        if self._step_us % _MINUTE_US == 0 or self._step_us > _MINUTE_US:
            return f"all times are multiples of {self._step_us // US_PER_S:,} s, and rows share them"
        if not self._trades and self._most_again >= _BURST and self._step_us % US_PER_S:
            return f"{self._most_again:,} rows change levels that other rows of the same time change"
        return ""

    def whole_seconds(self) -> bool:
        return self.again > 0 and self._step_us % US_PER_S == 0
