"""Files that are there whole or not at all."""

import errno
import os
import time

import pytest

from mm import whole_file as module
from mm.whole_file import VerifiedFiles, clear_unfinished, whole_file, write_whole
from support import run_python


def test_a_file_gets_its_place_when_it_is_whole(tmp_path):
    """A reader never sees half of it; what was there before stays until then."""
    path = tmp_path / "kept.json"
    path.write_text("before")
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        assert path.read_text() == "before"
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_nothing(tmp_path):
    """Neither half a file nor its place."""

    def write() -> None:
        with whole_file(tmp_path / "kept.json") as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_durable_file_is_forced_to_the_disk_or_not_there(tmp_path, monkeypatch):
    """A reader of a manifest or a snapshot reads all of it, and no temporary name stays."""
    write_whole(tmp_path / "made" / "a.json", b"one", durable=True)

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "made" / "a.json", b"two", durable=True)
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "made").iterdir()] == [("a.json", b"one")]


def idle(path, seconds):
    """Let *path* be written to so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_only_what_the_dead_left_is_cleared(tmp_path):
    """A process that works keeps its file, also one of another machine; other names are nobody's to remove."""
    code = "import os, sys\nfrom pathlib import Path\nfrom mm.whole_file import whole_file\n"
    code += "with whole_file(Path('kept.json')) as unfinished:\n"
    code += "    unfinished.write_text('half')\n    os.kill(os.getpid(), 9)\n"
    assert run_python("-c", code, cwd=tmp_path).returncode == -9
    (left,) = tmp_path.iterdir()
    own = tmp_path / f"kept.json.{os.getpid()}.partial"
    others = [tmp_path / name for name in ("kept.json", "mine.partial", "1.partial")]
    for path in (own, *others):
        path.touch()
        idle(path, 3_600)
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([left, own, *others]), "it was written to a moment ago"
    idle(left, 120)
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([own, *others])
    idle(own, 2 * 86_400)  # a number that another process has since
    clear_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)
    clear_unfinished(tmp_path / "nowhere")


@pytest.fixture
def verified(tmp_path, monkeypatch):
    """Return a memory of verified files, in which files written a moment ago count."""
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    return VerifiedFiles(tmp_path / "verified")


def asked(verified, path, claim, *, holds=True):
    """Return what *verified* answers, and how often it called the check."""
    calls = []
    answer = verified.verified_once(path, claim, lambda: calls.append(path) or holds)
    return answer, len(calls)


def test_a_file_is_verified_once_for_each_identity(tmp_path, verified):
    """Whatever is done to it: written in place with its time put back, replaced by a copy, or another file's claim."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    before = path.stat().st_mtime_ns
    assert [asked(verified, path, "a") for _ in range(3)] == [(True, 1), (True, 0), (True, 0)]
    assert asked(verified, path, "b") == (True, 1)
    path.write_bytes(b"two")
    os.utime(path, ns=(before, before))
    assert [asked(verified, path, "b") for _ in range(2)] == [(True, 1), (True, 0)]
    copy = tmp_path / "copy"
    copy.write_bytes(b"six")
    os.utime(copy, ns=(before, before))
    copy.replace(path)
    assert asked(verified, path, "b") == (True, 1)


def test_what_does_not_hold_is_asked_every_time(tmp_path, verified):
    """A file that is mended in a way that its times do not show must not stay refused."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    assert [asked(verified, path, "a", holds=False) for _ in range(2)] == [(False, 1), (False, 1)]
    assert not verified.folder.exists()


def test_a_memory_that_is_damaged_or_not_there_costs_a_check_alone(tmp_path, verified):
    """It may only save work: what it holds is compared whole, and where it cannot be kept, nothing is lost."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    assert asked(verified, path, "a") == (True, 1)
    (kept,) = verified.folder.iterdir()
    for harmed in (b"", kept.read_bytes()[:-1], kept.read_bytes().replace(b"a", b"b"), bytes(100)):
        kept.write_bytes(harmed)
        assert [asked(verified, path, "a") for _ in range(2)] == [(True, 1), (True, 0)]
    nowhere = VerifiedFiles(path / "no folder")
    assert [asked(nowhere, path, "a") for _ in range(2)] == [(True, 1), (True, 1)]


def test_a_file_written_just_now_is_not_remembered(tmp_path, monkeypatch):
    """A second write within one step of the file system's clock would have the same times."""
    path = tmp_path / "day.csv"
    path.write_bytes(b"one")
    verified = VerifiedFiles(tmp_path / "verified")
    monkeypatch.setattr(module, "SETTLED_S", 3_600.0)
    assert [asked(verified, path, "a") for _ in range(2)] == [(True, 1), (True, 1)]
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    writes = iter((b"two", b""))  # a file that is written to while it is verified
    assert verified.verified_once(path, "a", lambda: bool(path.write_bytes(next(writes))))
    assert not verified.folder.exists()
