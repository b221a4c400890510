"""Captures from pipes: the same day as from a file, or a refusal by name."""

import gzip
import os
import threading

import pytest

from captured import SYMBOL, diff, folder, lines, snapshot, trade
from mm.base import paths
from mm.base.knobs import PATH
from mm.errors import BrokenFile
from mm.market_data.capture_import import import_captures

MESSAGES = [snapshot(10), diff(11, 11), trade(1), diff(12, 12)]


def fed(path, content):
    """Make a pipe at *path* into which a thread writes *content*."""
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()
    return path


def test_day_from_a_pipe_is_the_day_from_a_file(tmp_path):
    """Users decompress on the fly; one of several captures may be a pipe, and a pipe has no ending in its name."""
    first, rest = lines(MESSAGES[:2]), lines(MESSAGES[2:], from_us=1_767_620_000_000_000)
    days = []
    for name, kind in (("files", lambda path, content: path.write_bytes(content)), ("pipes", fed)):
        here = tmp_path / name
        here.mkdir()
        kind(here / "a", gzip.compress(first))
        (here / "b").write_bytes(rest)
        import_captures([here / "a", here / "b"], SYMBOL, here / "data", run_id="R")
        day = folder(here)
        days.append({path.name: path.read_bytes() for path in day.path.rglob("*") if path.is_file()})
    assert days[0] == days[1]


def test_pipe_without_a_writer_ends(tmp_path, monkeypatch):
    """A pipe that nobody writes to must not hang for ever; the error names the pipe."""
    monkeypatch.setattr(paths, "FIRST_BYTE_S", 0.01)
    os.mkfifo(tmp_path / "p")
    with pytest.raises(BrokenFile, match=r"/p: nothing was written"):
        import_captures([tmp_path / "p"], SYMBOL, tmp_path / "data", run_id="R")


@pytest.mark.parametrize("content", [b"", b"no capture\n"])
def test_error_names_the_pipe_not_its_copy(tmp_path, content):
    """The user has never seen the copy."""
    with pytest.raises(BrokenFile, match=f"^{tmp_path}/p:"):
        import_captures([fed(tmp_path / "p", content)], SYMBOL, tmp_path / "data", run_id="R")


def test_device_is_refused():
    """It has no end."""
    with pytest.raises(BrokenFile, match="/dev/zero: this is a device"), paths.read_twice([paths.Path("/dev/zero")]):
        pass


def test_knob_refuses_a_pipe(tmp_path):
    """Files of fits and latencies are hashed for the manifest after they were read."""
    with pytest.raises(ValueError, match="read more than once"):
        PATH.parse(str(fed(tmp_path / "p", b"x")))
