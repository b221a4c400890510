"""Atomic writes of whole files, and the memory of verified files."""

import errno
import os
import time

import pytest

from mm.base import atomic_file as module
from mm.base.atomic_file import VerifiedFiles, atomic_file, clear_unfinished, write_atomic
from support import run_python


def test_atomic_file_appears_only_when_complete(tmp_path):
    """Readers see the previous file until the new one is complete."""
    path = tmp_path / "kept.json"
    path.write_text("before")
    with atomic_file(path) as unfinished:
        unfinished.write_text("half")
        assert path.read_text() == "before"
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_no_file(tmp_path):
    """Neither the file nor a temporary file remains."""

    def write() -> None:
        with atomic_file(tmp_path / "kept.json") as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_failed_fsync_keeps_previous_durable_file(tmp_path, monkeypatch):
    """The previous content stays complete, and no temporary file remains."""
    write_atomic(tmp_path / "made" / "a.json", b"one", durable=True)

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(tmp_path / "made" / "a.json", b"two", durable=True)
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "made").iterdir()] == [("a.json", b"one")]


def set_age(path, seconds):
    """Set the modification time of *path* to *seconds* ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_clear_unfinished_removes_only_files_of_dead_writers(tmp_path):
    """Files of running processes are kept, also those of other machines, and so are files with other names."""
    code = "import os, sys\nfrom pathlib import Path\nfrom mm.base.atomic_file import atomic_file\n"
    code += "with atomic_file(Path('kept.json')) as unfinished:\n"
    code += "    unfinished.write_text('half')\n    os.kill(os.getpid(), 9)\n"
    assert run_python("-c", code, cwd=tmp_path).returncode == -9
    (left,) = tmp_path.iterdir()
    own = tmp_path / f"kept.json.{os.getpid()}.partial"
    others = [tmp_path / name for name in ("kept.json", "mine.partial", "1.partial")]
    for path in (own, *others):
        path.touch()
        set_age(path, 3_600)
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([left, own, *others]), "it was written to a moment ago"
    set_age(left, 120)
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([own, *others])
    set_age(own, 2 * 86_400)  # a process id that has been reused since
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)
    clear_unfinished(tmp_path / "nowhere")


@pytest.fixture
def verified(tmp_path, monkeypatch):
    """Return a memory of verified files that also remembers files written just now."""
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    return VerifiedFiles(tmp_path / "verified")


def verify(verified, path, claim, *, holds=True):
    """Return the answer of *verified* and the number of calls of the check."""
    calls = []
    answer = verified.verified_once(path, claim, lambda: calls.append(path) or holds)
    return answer, len(calls)


def test_file_is_verified_once_per_identity_and_claim(tmp_path, verified):
    """Another claim, a write in place with its mtime restored, or a replacement causes a new check."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    before = path.stat().st_mtime_ns
    assert [verify(verified, path, "a") for _ in range(3)] == [(True, 1), (True, 0), (True, 0)]
    assert verify(verified, path, "b") == (True, 1)
    path.write_bytes(b"two")
    os.utime(path, ns=(before, before))
    assert [verify(verified, path, "b") for _ in range(2)] == [(True, 1), (True, 0)]
    copy = tmp_path / "copy"
    copy.write_bytes(b"six")
    os.utime(copy, ns=(before, before))
    copy.replace(path)
    assert verify(verified, path, "b") == (True, 1)


def test_failed_verification_is_repeated_every_time(tmp_path, verified):
    """A file that is repaired without a change of its times must not stay rejected."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    assert [verify(verified, path, "a", holds=False) for _ in range(2)] == [(False, 1), (False, 1)]
    assert not verified.folder.exists()


def test_damaged_or_missing_memory_only_causes_a_new_check(tmp_path, verified):
    """Entries are compared completely, and a memory that cannot be written is ignored."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    assert verify(verified, path, "a") == (True, 1)
    (entry,) = verified.folder.iterdir()
    for damaged in (b"", entry.read_bytes()[:-1], entry.read_bytes().replace(b"a", b"b"), bytes(100)):
        entry.write_bytes(damaged)
        assert [verify(verified, path, "a") for _ in range(2)] == [(True, 1), (True, 0)]
    unwritable = VerifiedFiles(path / "no folder")
    assert [verify(unwritable, path, "a") for _ in range(2)] == [(True, 1), (True, 1)]


def test_verification_of_recently_written_file_is_not_remembered(tmp_path, monkeypatch):
    """A second write within one step of the file system's clock would have the same times."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    verified = VerifiedFiles(tmp_path / "verified")
    monkeypatch.setattr(module, "SETTLED_S", 3_600.0)
    assert [verify(verified, path, "a") for _ in range(2)] == [(True, 1), (True, 1)]
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    writes = iter((b"two", b""))  # a file that is written to while it is verified
    assert verified.verified_once(path, "a", lambda: bool(path.write_bytes(next(writes))))
    assert not verified.folder.exists()
