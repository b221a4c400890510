"""Files that are there whole or not at all."""

import errno
import os
import time

import pytest

from mm.whole_file import clear_unfinished, whole_file, write_whole
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
