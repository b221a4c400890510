"""The order log of a day: every order of the market, as Parquet with the columns `ORDER_COLUMNS`.

docs/specification/exchange.md describes it.

An older log is the same as CSV in gzip. ``order_id`` numbers the order's joining of its queue: ascending, new after a
price change or where the venue takes the place away, kept when it only shrinks. So one comparison tells who was ahead.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mm.dayfolder.layout import ORDER_COLUMNS, PACKED, ROW_LEVEL, ROW_TRADE
from mm.errors import BrokenFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

SPANS = "spans"
"""Key of the file's metadata: a JSON list of [begin_us, end_us) that the log covers."""
LEAST_CONSISTENT = 0.95
"""Share of executed lots of first orders, below which a market is no plain FIFO."""
ROWS_AT_ONCE = 1 << 18
_PIECE_BYTES = 1 << 25
_REPEATED = ["kind", "account", "side", "ticks"]
_SCHEMA = pa.schema([(name, pa.int64()) for name in ORDER_COLUMNS])
_WAY_OUT = "import or simulate the day again; docs/specification/exchange.md lists the columns"


class Steps(NamedTuple):
    tick_e8: int
    lot_e8: int


class OrderLog:
    """Read when its columns are first used."""

    def __init__(self, path: Path, spans: Sequence[tuple[int, int]] | None, steps: Steps | None) -> None:
        self.path, self.spans, self.steps = path, spans, steps

    @classmethod
    def open(cls, path: Path) -> "OrderLog":
        if path.name.endswith(PACKED):
            return cls(path, None, None)
        with _parquet(path) as file:
            metadata = file.metadata.metadata or {}
            steps = [int(metadata.get(name.encode(), 0)) for name in Steps._fields]
            known = Steps(*steps) if all(steps) else None
            return cls(path, _spans(path, metadata), known)

    @cached_property
    def columns(self) -> "dict[str, Ints]":
        parts = list(self.blocks())
        empty = np.empty(0, np.int64)
        return {name: np.concatenate([empty, *(part[name] for part in parts)]) for name in ORDER_COLUMNS}

    def blocks(self, names: Sequence[str] = ORDER_COLUMNS) -> "Iterator[dict[str, Ints]]":
        """Parts of up to some 260,000 rows; raises BrokenFile."""
        tables = _csv_tables(self.path) if self.path.name.endswith(PACKED) else _parquet_tables(self.path, names)
        for table in tables:
            yield {name: table.column(name).to_numpy() for name in names}

    def changes(self, names: Sequence[str]) -> "Iterator[list[Ints]]":
        """Columns, the kind first, in parts that end with a LEVEL row, so that no change is cut."""
        held: list[Ints] = []
        for part in self.blocks(names):
            cells = (
                [np.concatenate(pair) for pair in zip(held, part.values(), strict=True)] if held else [*part.values()]
            )
            levels = np.flatnonzero(cells[0] == ROW_LEVEL)
            end = int(levels[-1]) + 1 if len(levels) else 0
            held = [column[end:] for column in cells]
            if end:
                yield [np.ascontiguousarray(column[:end]) for column in cells]
        if held and len(held[0]):
            yield [np.ascontiguousarray(column) for column in held]


class OrderLogWriter:
    """Writes a day's order log: `add` rows in order, then leave the context."""

    def __init__(
        self,
        path: Path,
        spans: Sequence[tuple[int, int]] | None = None,
        steps: Steps | None = None,
        compression: str = "zstd",
    ) -> None:
        self.spans, self._steps = spans, steps
        self._file = path.open("xb")
        self._writer = pq.ParquetWriter(
            self._file,
            _SCHEMA,
            compression=compression,
            compression_level=3 if compression == "zstd" else None,
            # Ids and instants compress better plain than as a dictionary or by delta: measured, 5 bytes a row for 7.
            use_dictionary=_REPEATED,
            write_statistics=False,
            store_schema=False,
        )
        self._rows_at_once = ROWS_AT_ONCE if compression == "zstd" else ROWS_AT_ONCE // 8
        self._waiting: list[Mapping[str, Ints]] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def close(self) -> None:
        try:
            self._flush(self._rows)
            if self.spans is not None:
                self._writer.add_key_value_metadata({SPANS: json.dumps([list(span) for span in self.spans])})
            if self._steps is not None:
                self._writer.add_key_value_metadata({key: str(e8) for key, e8 in self._steps._asdict().items()})
        finally:
            self.discard()

    def discard(self) -> None:
        try:
            self._writer.close()
        finally:
            self._file.close()

    def add(self, rows: "Ints") -> None:
        self.add_columns(dict(zip(ORDER_COLUMNS, rows.T, strict=True)))

    def add_columns(self, columns: "Mapping[str, Ints]") -> None:
        self._waiting.append(columns)
        self._rows += len(columns["us"])
        if self._rows >= self._rows_at_once:
            self._flush(self._rows - self._rows % self._rows_at_once)

    def _flush(self, count: int) -> None:
        """Write exactly *count* rows at once, so that the file does not depend on the batches added."""
        if not count:
            return
        joined = [np.concatenate([part[name] for part in self._waiting]) for name in ORDER_COLUMNS]
        # Of buffers, as pyarrow imports pandas, if there is one, before it takes an array.
        columns = [pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(column)]) for column in joined]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), self._rows_at_once)
        self._rows -= count
        rest = (column[count:].copy() for column in joined)
        self._waiting = [dict(zip(ORDER_COLUMNS, rest, strict=True))] if self._rows else []


def is_fifo(executed: int, first: int) -> bool:
    return first >= LEAST_CONSISTENT * executed


def fifo_text(executed: int, first: int) -> str:
    if not executed:
        return ""
    share = f"{100 * first / executed:.2f} % of the executed lots were of the first order in its queue"
    if is_fifo(executed, first):
        return share
    return (
        f"only {share}: the market is no plain FIFO (pro rata, leading market makers), fills carry another order's "
        f"price, or the source lacks rows; queue positions of its order log are doubtful"
    )


def names_makers(path: Path) -> bool:
    """Whether nearly all trades of a log executed a displayed order, which proves their side and price."""
    trades = named = 0
    for part in OrderLog.open(path).blocks(("kind", "other_id")):
        maker = part["other_id"][part["kind"] == ROW_TRADE]
        trades += len(maker)
        named += int(np.count_nonzero(maker))
    return trades > 0 and named >= LEAST_CONSISTENT * trades


def row_count(path: Path) -> int:
    with _parquet(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    with ExitStack() as held:
        try:
            # Opened here: the library cannot open a name that is not UTF-8. Buffering would begin threads, and a
            # process that ends before they do is aborted.
            file = pq.ParquetFile(held.enter_context(path.open("rb")), pre_buffer=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise BrokenFile(f"{path}: not an order log ({_first_line(error)}); {_WAY_OUT}") from error
        schema = file.schema_arrow
        if tuple(schema.names) != ORDER_COLUMNS or not all(pa.types.is_int64(kind) for kind in schema.types):
            named = ", ".join(f"{name} {kind}" for name, kind in zip(schema.names, schema.types, strict=True))
            raise BrokenFile(
                f"{path}: not an order log (the columns are {named}; whole numbers {', '.join(ORDER_COLUMNS)} are "
                f"needed); {_WAY_OUT}"
            )
        yield file


def _spans(path: Path, metadata: Mapping[bytes, bytes]) -> list[tuple[int, int]] | None:
    text = metadata.get(SPANS.encode())
    if text is None:
        return None
    try:
        spans = [(int(begin), int(end)) for begin, end in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise BrokenFile(f"{path}: not an order log (its spans are {text!r}: {error}); {_WAY_OUT}") from error
    edges = [edge for span in spans for edge in span]
    if edges != sorted(edges):
        raise BrokenFile(f"{path}: not an order log (its spans are not in order: {spans}); {_WAY_OUT}")
    return spans


def _parquet_tables(path: Path, names: Sequence[str]) -> Iterator[Any]:
    with _parquet(path) as file:
        row = 1
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, list(names), use_threads=False)
                nulls = [name for name in names if table.column(name).null_count]
                if nulls:
                    raise ValueError(f"a row without {nulls[0]}")
            except (pa.ArrowException, OSError, ValueError) as error:
                last = row + file.metadata.row_group(group).num_rows - 1
                raise BrokenFile(
                    f"{path}: not an order log (rows {row} to {last}: {_first_line(error)}); {_WAY_OUT}"
                ) from error
            row += table.num_rows
            yield table


def _csv_tables(path: Path) -> Iterator[Any]:
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(ORDER_COLUMNS, pa.int64()), null_values=[])
    read = pa_csv.ReadOptions(column_names=list(ORDER_COLUMNS), use_threads=False)
    row = 1
    try:
        with gzip.open(path, "rb") as stream:
            if (header := stream.readline().rstrip(b"\n")) != ",".join(ORDER_COLUMNS).encode():
                raise ValueError(f"the header is {header.decode(errors='replace')!r}")
            while piece := stream.read(_PIECE_BYTES):
                piece += stream.readline()
                try:
                    table = pa_csv.read_csv(pa.BufferReader(piece), read, convert_options=convert)
                except pa.ArrowInvalid as error:
                    at, text = _bad_row(piece)
                    raise ValueError(f"row {row + at} is {text!r}, not ten whole numbers") from error
                row += table.num_rows
                yield table
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise BrokenFile(f"{path}: not an order log ({error}); {_WAY_OUT}") from error


def _bad_row(piece: bytes) -> tuple[int, str]:
    for at, line in enumerate(piece.split(b"\n")):
        cells = line.split(b",")
        if len(cells) != len(ORDER_COLUMNS) or not all(cell.lstrip(b"-").isdigit() for cell in cells):
            return at, line[:80].decode(errors="replace")
    return 0, piece.split(b"\n", 1)[0][:80].decode(errors="replace")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
