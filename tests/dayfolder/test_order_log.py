"""The order log in columns: written, read in both forms, and refused with file and row."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from log_book import write_order_log
from mm.dayfolder.layout import ORDER_COLUMNS, DayFolder
from mm.dayfolder.order_log import OrderLog, OrderLogWriter
from mm.errors import BrokenFile

EXTREMES = [-(2**63), 2**63 - 1, 0, -1, 9, 10, 99_999_999, 10**8, 10**16, -(10**16)]
ROWS = [*([10**15 + n, 1 + n % 8, n, 0, 0, 1, 500 - n, 7, 0, n] for n in range(1000)), EXTREMES]
HEADER = (",".join(ORDER_COLUMNS) + "\n").encode()


def rows_of(log):
    return np.column_stack([log.columns[name] for name in ORDER_COLUMNS]).tolist()


def written_as_csv(path, rows):
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(HEADER + lines.encode()))
    return path


def test_written_rows_are_read_back_with_spans(tmp_path):
    """In the order of writing, the extremes of 64 bits too; equal rows are equal bytes."""
    for name in ("a.parquet", "b.parquet"):
        with OrderLogWriter(tmp_path / name) as log:
            log.add(np.array(ROWS[:300]))
            log.add(np.array(ROWS[300:]))
            log.spans = [(5, 9), (12, 20)]
    read = OrderLog.open(tmp_path / "a.parquet")
    assert rows_of(read) == ROWS
    assert read.spans == [(5, 9), (12, 20)]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_both_forms_give_the_same_columns(tmp_path):
    """An older log, in CSV, is read as before; a log without spans covers everything."""
    write_order_log(tmp_path / "log.parquet", ROWS)
    text = OrderLog.open(written_as_csv(tmp_path / "log.csv.gz", ROWS))
    columns = OrderLog.open(tmp_path / "log.parquet")
    assert rows_of(text) == rows_of(columns) == ROWS
    assert text.spans is columns.spans is None
    assert [list(block) for block in columns.blocks(("us", "kind"))] == [["us", "kind"]]


def test_empty_log_has_empty_columns(tmp_path):
    write_order_log(tmp_path / "log.parquet", [])
    assert {
        name: len(cells) for name, cells in OrderLog.open(tmp_path / "log.parquet").columns.items()
    } == dict.fromkeys(ORDER_COLUMNS, 0)


def test_day_resolves_to_the_form_that_exists(tmp_path):
    """Columns where both or none exist."""
    day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    assert day.order_log == day.order_log_columns
    day.path.mkdir(parents=True)
    written_as_csv(day.order_log_text, ROWS)
    assert day.order_log == day.order_log_text
    write_order_log(day.order_log_columns, ROWS)
    assert day.order_log == day.order_log_columns


@pytest.mark.parametrize(
    ("line", "named"),
    [(b"1,2,3\n", "row 1001"), (b"1,2,3,4,5,6,7,8,9,ten\n", "ten"), (b"1,2,3,4,5,6,7,8,9,\n", "row 1001")],
)
def test_row_that_is_not_ten_numbers_is_named(tmp_path, line, named):
    path = tmp_path / "log.csv.gz"
    lines = "".join(",".join(map(str, row)) + "\n" for row in ROWS[:1000]).encode()
    path.write_bytes(gzip.compress(HEADER + lines + line))
    with pytest.raises(BrokenFile, match=named):
        _ = OrderLog.open(path).columns


def test_other_parquet_and_torn_log_are_refused(tmp_path):
    """The message names the file, its columns, and what helps."""
    pq.write_table(pa.table({"us": [1.5]}), tmp_path / "other.parquet")
    with pytest.raises(BrokenFile, match="us double"):
        OrderLog.open(tmp_path / "other.parquet")
    write_order_log(tmp_path / "log.parquet", ROWS)
    whole = (tmp_path / "log.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[:-100])
    with pytest.raises(BrokenFile, match="torn"):
        OrderLog.open(tmp_path / "torn.parquet")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads of a process are not listed here")
def test_reading_begins_no_thread(tmp_path):
    """A process that ended at once was aborted by one that had just begun."""
    write_order_log(tmp_path / "a.parquet", ROWS)

    def threads():
        return {path.name for path in Path("/proc/self/task").iterdir()}

    before = threads()
    assert rows_of(OrderLog.open(tmp_path / "a.parquet")) == ROWS
    assert threads() <= before
