"""The order log: a book is rebuilt from it alone, and an inconsistent log is rejected."""

import pytest
from hypothesis import given, settings
from log_rows import BUY, SELL, cancel, commands, expire, level, log_of, new, reduce, rest, trade

from log_book import Book, read_log
from mm.dayfolder.buffered_writer import FLUSH_BYTES
from mm.errors import BrokenFile
from mm.sim.matching.order_log import REASON_STP
from plain_matching import PlainMatching, write_log
from support import ROOT, run_python

ME, YOU = 1, 2
OPENED = [
    new(1, ME, BUY, 99, 5), rest(1, ME, BUY, 99, 5), level(1, BUY, 99, 5, 1),
    new(2, YOU, BUY, 99, 4), rest(2, YOU, BUY, 99, 4), level(2, BUY, 99, 9, 2),
]  # fmt: skip


def book_of(*rows):
    book = Book()
    book.play((7, *row) for row in [*OPENED, *rows])
    return book


def test_book_applies_every_kind_of_row():
    """Levels and orders are two views of one book."""
    book = book_of(
        trade(3, 1, YOU, SELL, 99, 2, 1), level(1, BUY, 99, 7, 3),
        reduce(2, YOU, BUY, 99, 1), level(2, BUY, 99, 4, 4),
        new(4, ME, SELL, 101, 6), rest(4, ME, SELL, 101, 6), level(4, SELL, 101, 6, 5),
        expire(4, ME, SELL, 101, 6, REASON_STP), level(4, SELL, 101, 0, 6),
        new(5, ME, BUY, 100, 8), rest(5, ME, BUY, 100, 8), level(5, BUY, 100, 8, 7),
        expire(6, ME, SELL, 103, 2, REASON_STP),
    )  # fmt: skip
    assert (book.depth(BUY), book.depth(SELL)) == ([(100, 8), (99, 4)], [])
    assert (book.orders(BUY), book.orders(SELL)) == ([(5, ME, 100, 8), (1, ME, 99, 3), (2, YOU, 99, 1)], [])
    assert (book.rows, book.update_id) == (19, 7)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (level(1, BUY, 99, 8, 3), "8 lots at 99 ticks on side \\+1, but orders of 9"),
        (level(1, BUY, 99, 9, 4), "update id 4 follows 2"),
        (trade(3, 9, YOU, SELL, 99, 1, 1), "order 9 is not resting"),
        (trade(3, 1, YOU, SELL, 98, 1, 1), "order 1 is not resting at 98"),
        (trade(3, 1, YOU, BUY, 99, 1, 1), "order 1 is not resting at 99"),
        (trade(3, 1, YOU, SELL, 99, 6, 1), "6 lots cannot be taken from order 1, which has 5"),
        (cancel(3, ME, BUY, 99, 1), "order 3 is not resting"),
        (reduce(1, ME, BUY, 99, 6), "-1 lots cannot be taken"),
    ],
)
def test_inconsistent_log_raises_broken_file(row, message):
    """The message contains the row number."""
    with pytest.raises(BrokenFile, match=f"row 7: {message}"):
        book_of(row)


def test_cancel_of_too_few_lots_is_detected_at_its_level():
    """The lots that were not cancelled still count."""
    with pytest.raises(BrokenFile, match="row 8: 4 lots"):
        book_of(cancel(1, ME, BUY, 99, 4), level(1, BUY, 99, 4, 3))


@settings(max_examples=25, deadline=None)
@given(rows=commands())
def test_log_written_to_file_is_read_back_unchanged(tmp_path_factory, rows):
    """Row by row."""
    path = tmp_path_factory.mktemp("log") / "order_log.csv.gz"
    engine = PlainMatching()
    engine.run(rows)
    log = log_of(engine)
    assert write_log(path, log) == len(log)
    assert list(read_log(path)) == log


def test_long_log_is_written_in_gzip_members(tmp_path):
    """The writer buffers at most one member; equal rows give equal bytes."""
    row = (1_767_596_400_000_000, 1, 2, 3, 4, -1, 5, 6, 7, 8)
    count = FLUSH_BYTES // 20
    paths = [tmp_path / name for name in ("one.csv.gz", "two.csv.gz")]
    assert [write_log(path, (row for _ in range(count))) for path in paths] == [count, count]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes().count(b"\x1f\x8b\x08") > 1
    assert sum(1 for _ in read_log(paths[0])) == count


def test_empty_log_has_only_a_header(tmp_path):
    """A file without rows is a valid log."""
    path = tmp_path / "log.csv.gz"
    assert (write_log(path, []), list(read_log(path))) == (0, [])


def test_importing_order_log_does_not_import_numpy():
    """The wire and a recorder box may import it without numpy."""
    code = "import sys, mm.sim.matching.order_log; print('numpy' in sys.modules)"
    assert run_python("-c", code, cwd=ROOT).stdout.strip() == "False"
