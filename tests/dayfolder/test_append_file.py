"""A file that grows by whole writes, and the hash that is kept up with it."""

import errno
import hashlib
import os
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.dayfolder.append_file import AppendFile
from mm.errors import BrokenFile

steps = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 60), st.just("hash")), max_size=12)


@given(steps)
def test_size_and_hash_are_those_of_the_file(tmp_path_factory, steps):
    """Whatever is appended, cut off and hashed in between."""
    path = tmp_path_factory.mktemp("grows") / "made" / "a.csv"
    with ExitStack() as held:
        file, wanted = AppendFile(path, held), b""
        for step in steps:
            if step == "hash":
                file.hash_on()
            elif isinstance(step, int):
                file.cut(min(step, len(wanted)))
                wanted = wanted[:step]
            else:
                file.append(step)
                wanted += step
            assert (path.read_bytes(), file.size, file.torn) == (wanted, len(wanted), False)
        assert file.sha256() == file.sha256_at(len(wanted)) == hashlib.sha256(wanted).hexdigest()


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    """Also where a part of it had come to the disk."""
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


def test_what_is_torn_is_cut_by_the_first_write(tmp_path):
    """And not before: the ledger must report it first."""
    (tmp_path / "a.csv").write_bytes(b"one\ntw")
    with ExitStack() as held:
        file = AppendFile(tmp_path / "a.csv", held, good_bytes=4)
        assert (file.torn, (tmp_path / "a.csv").read_bytes()) == (True, b"one\ntw")
        file.append(b"")
        assert (file.torn, (tmp_path / "a.csv").read_bytes()) == (False, b"one\n")


def test_a_packed_twin_takes_no_rows(tmp_path):
    """Rows would stand in two files."""
    (tmp_path / "a.csv.gz").write_bytes(b"")
    with ExitStack() as held, pytest.raises(BrokenFile, match=r"a\.csv\.gz is there already"):
        AppendFile(tmp_path / "a.csv", held)
