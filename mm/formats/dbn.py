"""DBN, Databento's own encoding: the records of the schema MBO as columns, by its library."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from mm.clock import parse_day
from mm.errors import BrokenFile, UsageError
from mm.formats.tables import COPY_AGAIN, file_of
from mm.market_data.captures import FilePlace

RECORD = np.dtype(
    [
        *(("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"), ("ts_event", "<u8")),
        *(("order_id", "<u8"), ("price", "<i8"), ("size", "<u4"), ("flags", "u1"), ("channel_id", "u1")),
        *(("action", "u1"), ("side", "u1"), ("ts_recv", "<u8"), ("ts_in_delta", "<i4"), ("sequence", "<u4")),
    ]
)
"""A record of the schema MBO, 56 bytes."""
MBO = 160
_LACKS = "{what} needs its library: pip install 'mm-research[databento]'"
_BYTES_AT_ONCE = 1 << 22
_ZSTD = b"\x28\xb5\x2f\xfd"


def dbn_blocks(path: Path, symbol: str, place: FilePlace, moved: Callable[[int], None]) -> Iterator[pl.DataFrame]:
    """*symbol*'s records, numbered as rows, letters as numbers; raises UsageError or BrokenFile."""
    with file_of(path) as raw:
        head = raw.peek(4)[:4]
        stream: Any = pa.CompressedInputStream(pa.PythonFile(raw), "zstd") if head == _ZSTD else raw
        try:
            instruments, size = _metadata(path, stream)
            first, rest, publishers = 1, b"", set[int]()
            while chunk := stream.read(_BYTES_AT_ONCE):
                data = rest + chunk
                count = len(data) // size
                rest = data[count * size :]
                records = np.frombuffer(data, _padded(size), count)
                wrong = (records["rtype"] != MBO) | (records["length"] != size // 4)
                if wrong.any():
                    at = int(wrong.argmax())
                    what = f"the record is of type {records['rtype'][at]}, not of the schema mbo ({MBO})"
                    raise place.broken(what, "request the schema mbo alone", first + at)
                frame = _ours(records, first, instruments, symbol, place)
                publishers.update(frame["publisher_id"].unique().to_list())
                if len(publishers) > 1:
                    what = f"records of the venues {', '.join(map(str, sorted(publishers)))} (publisher_id)"
                    raise place.broken(what, "request the records of one venue", first)
                if frame.height:
                    yield frame.drop("publisher_id")
                first += count
                moved(raw.tell())
            if rest:
                raise place.broken(f"the file ends within record {first}", COPY_AGAIN, first)
        except (pa.ArrowException, EOFError) as error:
            raise BrokenFile(f"{path}: the compressed file is damaged or truncated ({error}); {COPY_AGAIN}") from error


def _metadata(path: Path, stream: Any) -> tuple[list[tuple[str, int, str, str]], int]:
    """Symbol, instrument and [first, end) dates of each mapping, and the size of a record."""
    try:
        from databento_dbn import DBNError, Metadata
    except ImportError as error:
        what = _LACKS.format(what=f"{path} is DBN, Databento's own encoding, and")
        raise UsageError(f"{what}, or request the file as CSV") from error
    prefix = stream.read(8)
    length = int.from_bytes(prefix[4:], "little")
    try:
        metadata = Metadata.decode(prefix + stream.read(length))
        version = int(prefix[3])
    except (DBNError, IndexError, ValueError) as error:
        raise BrokenFile(f"{path}:1: its head is not DBN ({error}); {COPY_AGAIN}") from error
    if metadata.schema is not None and str(metadata.schema) != "mbo":
        raise BrokenFile(f"{path}:1: it has the schema {metadata.schema}; request the schema mbo")
    found = []
    try:
        for name, intervals in dict(metadata.mappings).items():
            for interval in intervals:
                dates = (str(interval[key]).replace("-", "")[:8] for key in ("start_date", "end_date"))
                found.append((name.upper(), int(interval["symbol"]), *dates))
    except ValueError as error:
        raise BrokenFile(f"{path}:1: its symbols are not of instruments ({error}); {COPY_AGAIN}") from error
    if not found:
        raise BrokenFile(
            f"{path}:1: it names no symbol of an instrument (version {version}); request it with stype_out "
            f"instrument_id, or as CSV with the column symbol (map_symbols)"
        )
    return found, RECORD.itemsize + 8 * bool(metadata.ts_out)


def _padded(size: int) -> np.dtype[np.void]:
    fields = {name: RECORD.fields[name] for name in RECORD.names or ()} if RECORD.fields else {}
    return np.dtype(
        {
            "names": list(fields),
            "formats": [field[0] for field in fields.values()],
            "offsets": [field[1] for field in fields.values()],
            "itemsize": size,
        }
    )


def _ours(
    records: Any, first: int, instruments: list[tuple[str, int, str, str]], symbol: str, place: FilePlace
) -> pl.DataFrame:
    us = (records["ts_recv"] // 1_000).astype(np.int64)
    ours = np.zeros(len(records), bool)
    present = set(np.unique(records["instrument_id"]).tolist())
    for name, instrument, begin, end in instruments:
        if instrument in present:
            place.symbols[name] += 1
        if name == symbol:
            days = (np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}", "us") for date in (begin, end))
            since, until = (day.astype(np.int64) for day in days)
            ours |= (records["instrument_id"] == instrument) & (us >= since) & (us < until)
    kept, us = (records, us) if ours.all() else (records[ours], us[ours])
    price = kept["price"].astype(np.int64)
    columns = {
        "row": np.flatnonzero(ours) + first,
        "recv_us": us,
        "exch_us": (kept["ts_event"] // 1_000).astype(np.int64),
        "action": kept["action"],
        "side": kept["side"],
        "price": price,
        "size": kept["size"].astype(np.int64),
        "order_id": kept["order_id"].astype(np.uint64).view(np.int64),
        "flags": kept["flags"].astype(np.int64),
        "publisher_id": kept["publisher_id"].astype(np.int64),
    }
    return pl.DataFrame(columns)


def head_of(symbol: str, instrument: int, day: str, start_ns: int) -> bytes:
    try:
        from databento_dbn import Metadata, Schema, SType
    except ImportError as error:
        raise UsageError(_LACKS.format(what="DBN, Databento's own encoding") + ", or write CSV") from error
    begin = parse_day(day)
    mapping = _Mapping(symbol, [_Interval(begin - timedelta(days=1), begin + timedelta(days=2), str(instrument))])
    types = {"stype_in": SType.RAW_SYMBOL, "stype_out": SType.INSTRUMENT_ID, "schema": Schema.MBO}
    return bytes(Metadata("MM.SIM", start_ns, **types, symbols=[symbol], mappings=[mapping]))


class _Interval(NamedTuple):
    start_date: date
    end_date: date
    symbol: str


class _Mapping(NamedTuple):
    raw_symbol: str
    intervals: list[_Interval]
