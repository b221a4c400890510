"""Reads CSV files of any length, plain or compressed, in blocks of text columns.

Rows count from 1, header included, as in an editor.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import polars as pl
import pyarrow as pa

from mm.errors import BrokenFile
from mm.formats.flags import BOOLEANS
from mm.market_data.captures import BOM, FilePlace

BLOCK_BYTES = 1 << 22
SORTED_AT_ONCE = 1 << 16
PACKED = {".gz": "gzip", ".zst": "zstd", ".zip": "zip", ".parquet": "Parquet"}
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, pa.ArrowException)
_MOST_PLACES = 40
_INT64 = pl.Int64()
csv.field_size_limit(1 << 26)  # a book of thousands of levels is one cell
COPY_AGAIN = "copy the file again, or leave it out"


class RowBlock(NamedTuple):
    """A block of rows: first number, cells as text, and all numbers if sorted."""

    first_row: int
    cells: pl.DataFrame
    numbers: Sequence[int] = ()

    def row(self, at: int) -> int:
        return self.numbers[at] if self.numbers else self.first_row + at

    @property
    def rows(self) -> Sequence[int]:
        return self.numbers or range(self.first_row, self.first_row + self.cells.height)


def is_text(line: bytes) -> bool:
    text = line.decode(errors="replace")
    strange = sum(letter == "\ufffd" or (ord(letter) < 32 and letter != "\t") for letter in text)
    return "\0" not in text and strange <= len(text) // 8


class CsvTable:
    """Iterate over the rows of one file in blocks.

    Raises:
        BrokenFile: If there is no such file, or it is empty, damaged, not a table, or ends within a row.
    """

    def __init__(
        self, path: Path, moved: Callable[[int], None] = lambda _: None, columns: Sequence[str] | None = None
    ) -> None:
        self.path = path
        self._moved = moved
        begin = next(self._blocks(1 << 16), b"")
        first = begin.split(b"\n", 1)[0].rstrip(b"\r")
        if not is_text(first or begin[:100].replace(b"\n", b"\t")):  # random bytes may begin with an end of line
            packed = f", nor {PACKED[path.suffix]}, as its name says" if path.suffix in PACKED else ""
            raise BrokenFile(f"{path}:1: is no text{packed}: it begins with {begin[:12]!r}; {COPY_AGAIN}")
        if not first.strip():
            raise BrokenFile(f"{path}:1: the file has no rows; {COPY_AGAIN}")
        cells = [cell.strip() for cell in _cells_of(first.decode(errors="replace"))]
        if len(cells) == 1 and (other := next((separator for separator in ";\t|" if separator in cells[0]), "")):
            raise BrokenFile(f"{path}:1: cells are separated by {other!r}; give a file with commas")
        self.headed = columns is None or cells[0][:1].isalpha()
        self.columns = tuple(cells if self.headed else (columns or ())[: len(cells)])
        twice = [name for at, name in enumerate(self.columns) if name in self.columns[:at]]
        if twice and cells[0][:1].isalpha():  # else a row of numbers: the header is missing
            raise BrokenFile(f"{path}:1: the column {twice[0]!r} stands twice; leave one out, or rename it")
        if not self.headed and len(cells) > len(columns or ()):
            raise BrokenFile(f"{path}:1: {len(cells)} cells for the columns {','.join(columns or ())}; {COPY_AGAIN}")

    def __iter__(self) -> Iterator[RowBlock]:
        row = 1 + self.headed
        for at, text in enumerate(self._blocks(BLOCK_BYTES)):
            body = text.split(b"\n", 1)[1] if self.headed and at == 0 else text
            if body.strip():
                cells = self._cells(row, body)
                yield RowBlock(row, cells)
                row += cells.height

    def _cells(self, row: int, text: bytes) -> pl.DataFrame:
        width = len(self.columns)
        if b'"' in text or b"'" in text:
            quoted = text.split(b'"')[1::2]
            if any(b"," in cell or b"\n" in cell for cell in quoted) or b",'[" in text:
                return self._quoted_cells(row, text)
            text = text.replace(b'"', b"")  # no quoted cell has a comma, so quotes say nothing
        try:
            names = dict.fromkeys(self.columns, pl.String)
            cells = pl.read_csv(text, schema=names, has_header=False, quote_char=None).fill_null("")
            if cells.height * (width - 1) == text.count(b","):
                spaces = b" " in text or b"\t" in text
                padded = spaces and (b", " in text or b" ," in text or b",\t" in text)
                return cells.with_columns(pl.all().str.strip_chars()) if padded else cells
            error: Exception | None = None
        except pl.exceptions.PolarsError as raised:
            error = raised
        for at, line in enumerate(text.splitlines(), row):
            if line.count(b",") + 1 != width:
                what = f"{line.count(b',') + 1} cells for {width} columns"
                raise BrokenFile(f"{self.path}:{at}: {what}; {COPY_AGAIN}") from error
        raise BrokenFile(f"{self.path}:{row}: not a table of text ({error}); {COPY_AGAIN}") from error

    def _quoted_cells(self, row: int, text: bytes) -> pl.DataFrame:
        width, rows = len(self.columns), []
        for at, line in enumerate(text.decode(errors="replace").split("\n"), row):
            if line.strip():
                rows.append(_cells_of(line))
                if len(rows[-1]) != width:
                    what = f"{len(rows[-1])} cells for {width} columns"
                    raise BrokenFile(f"{self.path}:{at}: {what}; put cells with commas in quotes, or {COPY_AGAIN}")
        return pl.DataFrame(rows, dict.fromkeys(self.columns, pl.String), orient="row")

    def _blocks(self, size: int) -> Iterator[bytes]:
        rest, rows = b"", 0
        try:
            with ExitStack() as held:
                raw = held.enter_context(self.path.open("rb"))
                stream = self._unpacked(raw, held)
                while chunk := stream.read(size):
                    self._moved(raw.tell())
                    chunk = chunk.removeprefix(BOM) if not rows and not rest else chunk
                    head, newline, tail = chunk.rpartition(b"\n")
                    if newline:
                        block = rest + head + newline
                        rows += block.count(b"\n")
                        yield block
                        rest = tail
                    else:
                        rest += chunk
        except _DAMAGED as error:
            raise BrokenFile(
                f"{self.path}:{rows + 1}: the compressed file is damaged or truncated ({error}); {COPY_AGAIN}"
            ) from error
        except OSError as error:
            raise BrokenFile(
                f"{self.path}: cannot be read ({error.strerror or error}); give the path of a file"
            ) from error
        if rest:
            raise BrokenFile(
                f"{self.path}:{rows + 1}: the last row has no end of line, so the file may be truncated; copy it "
                f"again, or add a newline if it is complete"
            )

    def _unpacked(self, raw: BinaryIO, held: ExitStack) -> BinaryIO:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(_GZIP):
            return cast("BinaryIO", held.enter_context(gzip.GzipFile(fileobj=raw)))
        if magic == _ZSTD:
            return cast("BinaryIO", held.enter_context(pa.CompressedInputStream(pa.PythonFile(raw), "zstd")))
        if magic != _ZIP:
            return raw
        packed = held.enter_context(zipfile.ZipFile(raw))
        names = [name for name in packed.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise BrokenFile(f"{self.path}: holds {len(names)} CSV files; unpack it, and give one or more of them")
        return cast("BinaryIO", held.enter_context(packed.open(names[0])))


def _cells_of(line: str) -> list[str]:
    """Lists may be in single quotes too; an open quote makes one cell less."""
    line = line.rstrip("\r")
    quote = "'" if '"' not in line and ",'[" in line else '"'
    try:
        return next(csv.reader([line], quotechar=quote, skipinitialspace=True), [""])
    except csv.Error:
        return [line]


def file_of(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise BrokenFile(f"{path}: cannot be read ({error.strerror}); give the path of a file") from error


def whole_numbers(block: RowBlock, column: str, place: FilePlace, dtype: pl.DataType = _INT64) -> list[int]:
    return whole_column(block, column, place, dtype).to_list()


def whole_column(block: RowBlock, column: str, place: FilePlace, dtype: pl.DataType = _INT64) -> pl.Series:
    """Whole numbers; BrokenFile names the row of any other cell."""
    text = block.cells[column]
    numbers = text.cast(dtype, strict=False)
    if numbers.null_count():
        at = numbers.is_null().arg_max() or 0
        raise place.broken(f"{column} is {text[at]!r}, not a whole number", COPY_AGAIN, block.row(at))
    return numbers


def sorted_by(table: CsvTable, column: str, place: FilePlace) -> tuple[Iterable[RowBlock], bool]:
    """In order of a column, and whether the blocks had to be sorted."""
    last, in_order = None, True
    for block in CsvTable(table.path, columns=None if table.headed else table.columns):
        numbers = pl.Series(whole_numbers(block, column, place), dtype=pl.Int64)
        in_order &= numbers.is_sorted() and (last is None or last <= numbers[0])
        last = numbers[-1]
    if in_order:
        return table, False
    return _sorted_blocks(list(table), column), True


def _sorted_blocks(blocks: Sequence[RowBlock], column: str) -> Iterator[RowBlock]:
    cells = pl.concat([block.cells for block in blocks])
    order = np.argsort(cells[column].cast(pl.Int64).to_numpy(), kind="stable")
    rows = np.array([row for block in blocks for row in block.rows])
    for begin in range(0, len(order), SORTED_AT_ONCE):
        part = order[begin : begin + SORTED_AT_ONCE]
        yield RowBlock(0, cells[part], rows[part].tolist())


def one_of(block: RowBlock, column: str, words: dict[str, Any], place: FilePlace) -> list[Any]:
    text = block.cells[column]
    known = text.is_in(list(words))
    if not known.all():
        at = (~known).arg_max() or 0
        what = f"{column} is {text[at]!r}, not {', '.join(filter(None, words))}"
        raise place.broken(what, COPY_AGAIN, block.row(at))
    return [words[word] for word in text.to_list()]


def flags(block: RowBlock, column: str, place: FilePlace) -> list[bool]:
    lower = RowBlock(block.first_row, block.cells.select(pl.col(column).str.to_lowercase()), block.numbers)
    return one_of(lower, column, BOOLEANS, place)


def plain_decimal(text: str) -> str:
    if "e" in text or "E" in text:
        with suppress(InvalidOperation):
            number = Decimal(text)
            return f"{number:f}" if abs(number.adjusted()) < _MOST_PLACES else text
    return text
