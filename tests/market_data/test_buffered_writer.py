"""Append-only files."""

import errno
import gzip
import hashlib
import json
import os
import zlib
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.dayfolder import buffered_writer
from mm.dayfolder.buffered_writer import AppendFile, CsvWriter, NdjsonWriter, flush_together
from mm.dayfolder.line_files import gzip_member
from mm.errors import BrokenFile, Mismatch


@pytest.fixture
def held():
    with ExitStack() as stack:
        yield stack


def members(data):
    """Count the gzip members of *data*."""
    count = 0
    while data:
        inflate = zlib.decompressobj(31)
        inflate.decompress(data)
        data, count = inflate.unused_data, count + 1
    return count


def test_header_is_written_once_over_many_runs(tmp_path, held):
    """Two runs of a day write one table."""
    for line in ("1,2\n", "3,4\n"):
        writer = CsvWriter(tmp_path / "new" / "a.csv", ("x", "y"), held)
        writer.add(line)
        writer.flush()
    assert (tmp_path / "new" / "a.csv").read_text() == "x,y\n1,2\n3,4\n"
    assert writer.rows == 1


def test_rows_stay_in_memory_until_a_flush(tmp_path, held):
    """A flush is one write, so readers never get half a row."""
    writer = CsvWriter(tmp_path / "a.csv", ("x",), held)
    writer.add("1\n")
    assert (tmp_path / "a.csv").read_text() == "x\n"
    writer.flush(sync=True)
    assert (tmp_path / "a.csv").read_text() == "x\n1\n"


def test_other_columns_are_rejected(tmp_path, held):
    """A day whose frames have 20 levels cannot continue with 10."""
    CsvWriter(tmp_path / "a.csv", ("x", "y"), held)
    with pytest.raises(Mismatch, match="has 2 columns, this run writes 3"):
        CsvWriter(tmp_path / "a.csv", ("x", "y", "z"), held)


def test_csv_writer_rejects_existing_compressed_file(tmp_path, held):
    """A plain file next to the compressed one would hide it from readers."""
    (tmp_path / "a.csv.gz").write_bytes(gzip_member(b"x\n1\n"))
    with pytest.raises(BrokenFile, match=r"a\.csv\.gz exists already"):
        CsvWriter(tmp_path / "a.csv", ("x",), held)
    assert not (tmp_path / "a.csv").exists()


def test_one_gzip_member_per_flush(tmp_path, held):
    """Flushed rows are readable regardless of the bytes after them."""
    path = tmp_path / "a.ndjson.gz"
    writer = NdjsonWriter(path, held)
    for n in range(3):
        writer.add({"n": n, "text": "é"})
        writer.flush()
    writer.flush()
    assert members(path.read_bytes()) == 3
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert rows == [{"n": n, "text": "é"} for n in range(3)]


def test_equal_rows_give_equal_bytes(tmp_path, held):
    """Gzip files contain no timestamp or name."""
    for name in ("a", "b"):
        writer = NdjsonWriter(tmp_path / f"{name}.ndjson.gz", held)
        for n in range(100):
            writer.add({"n": n})
        writer.flush()
    assert (tmp_path / "a.ndjson.gz").read_bytes() == (tmp_path / "b.ndjson.gz").read_bytes()
    assert (tmp_path / "a.ndjson.gz").read_bytes()[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_full_buffer_is_flushed(tmp_path, held, monkeypatch, kind):
    """Memory stays bounded between two timed flushes."""
    monkeypatch.setattr(buffered_writer, "FLUSH_BYTES", 10)
    writer = CsvWriter(tmp_path / "a.csv", ("x",), held) if kind == "csv" else NdjsonWriter(tmp_path / "a.gz", held)
    empty = os.path.getsize(tmp_path / ("a.csv" if kind == "csv" else "a.gz"))
    writer.add("12345678\n")
    writer.add("1\n")
    assert os.path.getsize(tmp_path / ("a.csv" if kind == "csv" else "a.gz")) > empty


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_failed_flush_leaves_file_unchanged_and_keeps_rows(tmp_path, held, monkeypatch, kind):
    """A full disk leaves no partial row, and no row is lost once there is space again."""
    path = tmp_path / ("a.csv" if kind == "csv" else "a.ndjson.gz")
    writer = CsvWriter(path, ("x",), held) if kind == "csv" else NdjsonWriter(path, held)
    write = os.write

    def half(fd, data):
        if len(data) > 4:
            return write(fd, data[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    writer.add("1234567\n" if kind == "csv" else {"n": 1})
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    assert path.read_bytes() == before
    monkeypatch.setattr(os, "write", write)
    writer.flush()
    after = path.read_bytes() if kind == "csv" else gzip.decompress(path.read_bytes())
    assert after == (b"x\n1234567\n" if kind == "csv" else b'{"n":1}\n')


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_partial_row_is_truncated_before_next_write(tmp_path, held, monkeypatch, kind):
    """Even if truncation fails, later rows are never appended to half a row."""
    path = tmp_path / ("a.csv" if kind == "csv" else "a.ndjson.gz")
    writer = CsvWriter(path, ("x",), held) if kind == "csv" else NdjsonWriter(path, held)
    write, cut, tries = os.write, os.ftruncate, []

    def half(fd, data):
        tries.append(fd)
        if len(tries) == 1:
            return write(fd, data[:4])
        raise OSError(errno.EIO, "Input/output error")

    def refuse(fd, size):
        raise OSError(errno.EIO, "Input/output error")

    before = path.read_bytes()
    writer.add("1234567\n" if kind == "csv" else {"n": 1})
    monkeypatch.setattr(os, "write", half)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(OSError, match="Input/output"):
        writer.flush()
    assert len(path.read_bytes()) == len(before) + 4
    with pytest.raises(OSError, match="Input/output"):
        writer.flush()
    assert len(path.read_bytes()) == len(before) + 4
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "ftruncate", cut)
    writer.add("8\n" if kind == "csv" else {"n": 2})
    writer.flush()
    after = path.read_bytes() if kind == "csv" else gzip.decompress(path.read_bytes())
    assert after == (b"x\n1234567\n8\n" if kind == "csv" else b'{"n":1}\n{"n":2}\n')


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_files_are_flushed_together_or_not_at_all(tmp_path, held, monkeypatch, failing):
    """If the disk fills up between two files, no file has rows that the others lack."""
    paths = [tmp_path / "a.ndjson.gz", tmp_path / "b.csv", tmp_path / "c.csv"]
    writers = [NdjsonWriter(paths[0], held), *(CsvWriter(path, ("x",), held) for path in paths[1:])]
    for writer, row in zip(writers, ({"n": 1}, "1\n", "2\n"), strict=True):
        writer.add(row)
    before, write, calls = [path.read_bytes() for path in paths], os.write, []

    def full(fd, data):
        calls.append(fd)
        if len(calls) > failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        flush_together(writers)
    assert [path.read_bytes() for path in paths] == before
    assert all(writer.waiting for writer in writers)
    monkeypatch.setattr(os, "write", write)
    flush_together(writers)
    assert gzip.decompress(paths[0].read_bytes()) == b'{"n":1}\n'
    assert [path.read_text() for path in paths[1:]] == ["x\n1\n", "x\n2\n"]
    assert not any(writer.waiting for writer in writers)


def test_file_is_synced_once_per_change(tmp_path, held, monkeypatch):
    """A file without new rows is not synced again; a failed fsync is retried."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(fd) or fsync(fd))
    writer = CsvWriter(tmp_path / "a.csv", ("x",), held)
    for _ in range(3):
        writer.flush(sync=True)
    assert len(synced) == 1
    writer.add("1\n")
    writer.flush(sync=True)
    assert len(synced) == 2
    writer.add("2\n")

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            writer.flush(sync=True)


steps = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 60), st.just("hash")), max_size=12)


@given(steps)
def test_size_and_hash_match_file(tmp_path_factory, steps):
    """Size and hash stay correct while data is appended and cut."""
    path = tmp_path_factory.mktemp("grows") / "made" / "a.csv"
    with ExitStack() as held:
        file, expected = AppendFile(path, held), b""
        for step in steps:
            if step == "hash":
                file.hash_on()
            elif isinstance(step, int):
                file.cut(min(step, len(expected)))
                expected = expected[:step]
            else:
                file.append(step)
                expected += step
            assert (path.read_bytes(), file.size, file.torn) == (expected, len(expected), False)
        assert file.sha256() == file.sha256_at(len(expected)) == hashlib.sha256(expected).hexdigest()


def test_failed_append_leaves_file_unchanged(tmp_path, monkeypatch):
    """A partial write is removed."""
    write = os.write
    with ExitStack() as held:
        file = AppendFile(tmp_path / "a.csv", held)
        file.append(b"one\n")

        def half(fd, data):
            monkeypatch.setattr(os, "write", full)
            return write(fd, bytes(data)[:2])

        def full(_fd, _data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            file.append(b"two\n")
        monkeypatch.undo()
        assert (file.size, file.torn, (tmp_path / "a.csv").read_bytes()) == (4, False, b"one\n")
        file.append(b"three\n")
    assert (tmp_path / "a.csv").read_bytes() == b"one\nthree\n"


def test_torn_tail_is_cut_by_first_write(tmp_path):
    """The tail is not cut earlier, because the ledger must report it first."""
    (tmp_path / "a.csv").write_bytes(b"one\ntw")
    with ExitStack() as held:
        file = AppendFile(tmp_path / "a.csv", held, good_bytes=4)
        assert (file.torn, (tmp_path / "a.csv").read_bytes()) == (True, b"one\ntw")
        file.append(b"")
        assert (file.torn, (tmp_path / "a.csv").read_bytes()) == (False, b"one\n")
