"""Export of a day folder as Parquet files with typed columns, and import back to the same text."""

import csv
import gzip
import io
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mm.base.paths import target_of
from mm.dayfolder.layout import PACKED, DayFolder, day_folder, diff_keys
from mm.dayfolder.line_files import line_writer
from mm.dayfolder.manifest import day_files, read_manifest, write_manifest
from mm.errors import BrokenFile, MissingDay, RunExists
from mm.markets.registry import DEFAULT, MARKETS

SUFFIX = ".parquet"
ROWS_AT_ONCE = 50_000
PARTIAL = ".partial"
_WHOLE = (
    *("event_time_ms", "recv_time_ms", "recv_time_us", "trade_time_ms", "recv_seq", "epoch_id", "event_id"),
    *("trade_id", "first_trade_id", "last_trade_id", "last_update_id", "lastUpdateId"),
    *("recv_ms", "recv_us", "E", "T", "U", "u", "seq"),
)
_SWITCHES = frozenset(["is_buyer_maker", "rpi", "block"])
_QUOTED = frozenset(["details_json", "details"])


@dataclass
class MovedFile:
    path: str
    rows: int | None
    text_bytes: int
    file_bytes: int


def export_day(folder: DayFolder, target: Path) -> list[MovedFile]:
    """Tables as Parquet, other files unchanged; raises RunExists or BrokenFile."""
    day_folder(folder.root, folder.symbol, folder.day)  # raises MissingDay if it does not exist
    with _staged(target, f"{target} exists already; remove it, or give another --out") as partial:
        moved = []
        for path in [*day_files(folder), *([folder.manifest] if folder.manifest.is_file() else [])]:
            name = Path(folder.relative(path))
            as_it_is = path in (folder.order_log_columns, folder.order_log_text) or path.name.endswith(".json")
            if as_it_is or path.parent.name == folder.quarantine.parent.name:
                moved.append(_copied(path, partial / name, name))
            else:
                moved.append(_to_parquet(path, partial / _bare(name).with_suffix(SUFFIX), partial))
    return moved


def import_day(source: Path, data_root: Path) -> tuple[DayFolder, list[MovedFile]]:
    """Import a day exported to *source* (``…/SYMBOL/YYYYMMDD``); BrokenFile if the text differs from its manifest."""
    there = DayFolder.at(source)
    if not any(there.path.rglob(f"*{SUFFIX}")):
        raise MissingDay(f"no Parquet files below {source}; give a folder that `mm data export` wrote")
    folder = DayFolder(data_root, there.symbol, there.day)
    with _staged(folder.path, f"{folder.path} exists already; move it, or give another --data-root") as partial:
        work = DayFolder(partial / "work", there.symbol, there.day)
        moved = []
        for path in sorted(path for path in there.path.rglob("*") if path.is_file()):
            name = path.relative_to(there.path)
            if path.suffix == SUFFIX and not _is_order_log(path, there):
                text = (
                    work.diffs if name.parent.name == work.diffs.parent.name else work.path / name.with_suffix(".csv")
                )
                moved.append(_to_text(path, text, work.path))
            else:
                moved.append(_copied(path, work.path / name, name))
        _seal(work)
        for path in work.path.iterdir():
            path.replace(partial / path.name)
        shutil.rmtree(work.root)
    return folder, moved


@contextmanager
def _staged(place: Path, taken: str) -> Iterator[Path]:
    """Renamed to *place* if the block succeeds, else removed."""
    place = target_of(place)
    if place.exists():
        raise RunExists(taken)
    partial = place.with_name(place.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(place)


def _copied(path: Path, target: Path, name: Path) -> MovedFile:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return MovedFile(name.as_posix(), None, path.stat().st_size, target.stat().st_size)


def _is_order_log(path: Path, folder: DayFolder) -> bool:
    return path == folder.order_log_columns and pq.read_schema(path).field("us").type == pa.int64()


def _bare(name: Path) -> Path:
    return name.with_suffix("") if name.suffix == PACKED else name


def _to_parquet(path: Path, target: Path, root: Path) -> MovedFile:
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = size = 0
    with ExitStack() as held:
        raw = held.enter_context(path.open("rb"))
        stream = held.enter_context(gzip.GzipFile(fileobj=raw)) if path.suffix == PACKED else raw
        head = b"" if _bare(path).suffix == ".ndjson" else stream.readline()
        names = head.decode().rstrip("\n").split(",") if head else _diff_keys(path)
        writer: pq.ParquetWriter | None = None
        for text in _blocks(path, cast("BinaryIO", stream)):
            table = _checked(path, names, text)
            arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or held.enter_context(pq.ParquetWriter(target, arrow.schema, compression="zstd"))
            writer.write_table(arrow)
            rows, size = rows + table.height, size + len(text)
    return MovedFile(target.relative_to(root).as_posix(), rows, size + len(head), target.stat().st_size)


def _blocks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    first = True
    try:
        while (lines := list(islice(stream, ROWS_AT_ONCE))) or first:
            first = False
            if lines and not lines[-1].endswith(b"\n"):
                raise BrokenFile(f"{path}: the last row has no end; `mm data repair` repairs the day")
            yield b"".join(lines)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenFile(f"{path}: damaged gzip data ({error}); `mm data repair` repairs the day") from error


def _diff_keys(path: Path) -> Sequence[str]:
    schema = path.parents[1] / "schema.json"
    venue = json.loads(schema.read_bytes()).get("venue") if schema.is_file() else None
    return diff_keys(MARKETS.of_venue(venue) if venue else DEFAULT)


def _checked(path: Path, names: Sequence[str], text: bytes) -> pl.DataFrame:
    try:
        table = _read(names, text)
        same = _text(table) == text
    except (pl.exceptions.PolarsError, ValueError, csv.Error) as error:
        raise BrokenFile(f"{path}: a row does not fit its columns ({error}); run `mm data check`") from error
    if not same:
        raise BrokenFile(f"{path}: a row cannot be held exactly in typed columns; run `mm data check`")
    return table


def _read(names: Sequence[str], text: bytes) -> pl.DataFrame:
    types = pl.Schema({name: _type(name) for name in names})
    if "b" in names:
        return pl.read_ndjson(text, schema=types) if text else pl.DataFrame(schema=types)
    if _QUOTED & set(names):
        cells = list(csv.reader(io.StringIO(text.decode(), newline="")))
        return (
            pl.DataFrame(cells, schema=names, orient="row").cast(pl.Schema(types))
            if cells
            else pl.DataFrame(schema=types)
        )
    if not text:
        return pl.DataFrame(schema=types)
    return pl.read_csv(text, has_header=False, new_columns=names, schema=types, quote_char=None)


def _type(name: str) -> pl.DataType:
    if name in "ba":
        return pl.List(pl.List(pl.String))
    return pl.Int64() if name in _WHOLE else pl.Boolean() if name in _SWITCHES else pl.String()


def _text(table: pl.DataFrame) -> bytes:
    if not table.height:
        return b""
    if "b" in table.columns:
        written = io.BytesIO()
        table.write_ndjson(written)
        return written.getvalue().replace(b',"T":null', b"").replace(b',"seq":null', b"")
    if _QUOTED & set(table.columns):
        cells = [pl.col(name).cast(pl.String) for name in table.columns]
        details = next(name for name in table.columns if name in _QUOTED)
        quoted = pl.format('"{}"', pl.col(details).str.replace_all('"', '""', literal=True)).alias(details)
        table = table.select(cells).with_columns(quoted)
    written = io.BytesIO()
    table.write_csv(written, include_header=False, quote_style="never")
    return written.getvalue()


def _to_text(path: Path, target: Path, root: Path) -> MovedFile:
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (OSError, ValueError) as error:
        raise BrokenFile(f"{path}: not a Parquet file ({error}); export the day again") from error
    rows = size = 0
    with file, line_writer(target) as writer:
        if target.suffix != PACKED:
            writer.add(",".join(file.schema_arrow.names).encode() + b"\n")
        for batch in file.iter_batches(ROWS_AT_ONCE):
            table = cast("pl.DataFrame", pl.from_arrow(batch))
            text = _text(table)
            writer.add(text)
            rows, size = rows + table.height, size + len(text)
    return MovedFile(target.relative_to(root).as_posix(), rows, size, target.stat().st_size)


def _seal(folder: DayFolder) -> None:
    before = read_manifest(folder)
    if before is None or not before.sealed:
        return
    after = {entry.path: entry for entry in write_manifest(folder, before.runs).files}
    for entry in before.files:
        name = entry.path if entry.path in after else entry.path.removesuffix(PACKED)
        packed = after.get(name)
        contents = (entry.rows, entry.first_id, entry.last_id)
        if packed is None or (packed.rows, packed.first_id, packed.last_id) != contents:
            raise BrokenFile(f"{folder.path / name}: differs from the exported manifest; export the day again")
        if name == entry.path and not name.endswith(PACKED) and packed.sha256 != entry.sha256:
            raise BrokenFile(f"{folder.path / name}: differs from the exported text; export the day again")
