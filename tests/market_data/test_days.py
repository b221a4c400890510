import errno
import itertools
import os
import shutil
import signal
import warnings
from collections import Counter, namedtuple
from pathlib import Path

import pytest

from captured import NOON_US, SYMBOL, events, folder, rows
from mm.dayfolder.recovery import recover
from mm.errors import Mismatch, RunExists, TryLater, UsageError
from mm.market_data.days import Days

DAY = "20260105"
Usage = namedtuple("Usage", "free")


def days(data_root, **changes):
    knobs = {
        "data_root": Path(data_root),
        "symbol": SYMBOL,
        "run_id": "R1",
        "own_id": False,
        "top_n": 3,
        "trade_stream": "trade",
        "flush_interval_s": 2.5,
        "write_diffs": True,
        "write_gaps": True,
        "min_free_mb": 200.0,
        "knobs": {"trade_stream": "trade"},
    }
    return Days(**(knobs | changes))


def opened(data_root, **changes):
    """Open the day and close it in order; return the run's id."""
    with days(data_root, **changes).open(DAY, NOON_US) as writer:
        writer.event(NOON_US, "run_stop", 0, {"reason": "SIGTERM"})
    return writer.run_id


def test_day_begins_with_run_start_and_window_start(tmp_path):
    """The ledger has the requested knobs."""
    opened(tmp_path / "data")
    first, second, _ = events(folder(tmp_path))
    assert (first[0], first[2]["knobs"], second[0]) == ("run_start", {"trade_stream": "trade"}, "window_start")


def test_generated_run_id_gets_a_number_if_the_day_has_it(tmp_path):
    """Two starts within a second have the same stamp; an id given by the user is refused."""
    assert [opened(tmp_path / "data") for _ in range(3)] == ["R1", "R1_2", "R1_3"]
    with pytest.raises(RunExists, match="run R1 already"):
        opened(tmp_path / "data", own_id=True)


def test_start_within_the_second_of_a_crash_reports_the_torn_tail(tmp_path):
    """The id of the crashed run is refused before its torn tail is cut."""
    days(tmp_path / "data").open(DAY, NOON_US).close()
    with folder(tmp_path).frames.open("ab") as stream:
        stream.write(b"17676")
    with pytest.raises(RunExists, match="run R1 already"):
        opened(tmp_path / "data", own_id=True)
    assert folder(tmp_path).frames.read_bytes().endswith(b"17676")
    assert opened(tmp_path / "data") == "R1_2"
    (torn,) = events(folder(tmp_path), "tail_recovered")
    assert torn["bytes"] == 5


def test_crash_and_torn_tail_are_reported(tmp_path):
    """The reported loss is at most one flush interval."""
    days(tmp_path / "data").open(DAY, NOON_US).close()
    with folder(tmp_path).frames.open("ab") as stream:
        stream.write(b"17676")
    opened(tmp_path / "data", run_id="R2")
    assert events(folder(tmp_path), "crash_recovered") == [{"previous_run_id": "R1"}]
    (torn,) = events(folder(tmp_path), "tail_recovered")
    assert torn == {"path": folder(tmp_path).frames.name, "bytes": 5, "lost_s": 2.5}


def torn_day(tmp_path, *, ledger=False):
    """Write a day of a killed run with torn files (with *ledger* that one, too); return the others with torn sizes."""
    days(tmp_path / "data").open(DAY, NOON_US).close()
    day = folder(tmp_path)
    member = b"\x1f\x8b\x08 torn"
    torn = {day.gaps: b"17", day.frames: b"17676", day.trades: b"recv_se", day.diffs: member, day.quarantine: member}
    day.trades.write_bytes(b"")  # killed while it wrote the header
    day.quarantine.parent.mkdir()
    for path, piece in (torn | ({day.events: b"3,17676,R"} if ledger else {})).items():
        with path.open("ab") as stream:
            stream.write(piece)
    return {(day.relative(path), len(piece)) for path, piece in torn.items()}


def reported_tails(tmp_path):
    """Return how often the ledger reports torn tails."""
    return Counter((torn["path"], torn["bytes"]) for torn in events(folder(tmp_path), "tail_recovered"))


def killed_at(call, act):
    """Do *act* in a process that is killed at the *call*-th call that changes a file; return whether it was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that other tests left
        child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code != 0
    calls, failed = [], True

    def deadly(real):
        def maybe(*args):
            calls.append(real)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        return maybe

    try:
        for name in ("write", "ftruncate", "fsync"):
            setattr(os, name, deadly(getattr(os, name)))
        act()
        failed = False
    finally:
        os._exit(failed)


@pytest.mark.slow
def test_torn_tails_are_reported_whenever_a_start_is_killed(tmp_path):
    """Reported and then cut: a kill in between leads to a second report, and never to an unreported cut."""
    again = killed = 0
    for place in (tmp_path / str(call) for call in itertools.count(1)):
        torn = torn_day(place)
        dead = killed_at(killed + 1, lambda: opened(place / "data", run_id="R2"))  # noqa: B023 - called at once
        day = folder(place)
        left = {(day.relative(path), lost) for path, lost in recover(day).lost.items()}
        assert torn == {*reported_tails(place)} | left
        opened(place / "data", run_id="R3")
        again += any(count > 1 for count in reported_tails(place).values())
        assert torn == {*reported_tails(place)}
        assert recover(day).lost == {}
        if not dead:
            break
        killed += 1
    assert killed > again > 2


def test_torn_files_that_the_run_does_not_write_are_cut(tmp_path):
    """An earlier run wrote these files; they get no new rows."""
    torn = torn_day(tmp_path)
    knobs = {"write_diffs": False, "write_gaps": False}
    with days(tmp_path / "data", run_id="R2", **knobs).open(DAY, NOON_US) as writer:
        writer.diff(NOON_US, 1, 1, 1, [], [])
        writer.gap(NOON_US, "gap", 1, {"from_id": 5, "to_id": 9, "from_us": 1, "to_us": 2, "cause": "restart"})
    day = folder(tmp_path)
    assert (torn, recover(day).lost) == ({*reported_tails(tmp_path)}, {})
    assert (rows(day.gaps), day.diffs.read_bytes(), day.quarantine.read_bytes()) == ([], b"", b"")


@pytest.mark.parametrize("changes", [{"top_n": 4}, {"trade_stream": "aggTrade"}])
def test_refused_start_cuts_nothing(tmp_path, changes):
    """Torn tails stay for the next start, including that of the ledger."""
    torn = torn_day(tmp_path, ledger=True)
    with pytest.raises(Mismatch):
        opened(tmp_path / "data", run_id="R2", **changes)
    assert opened(tmp_path / "data", run_id="R3") == "R3"
    assert {*reported_tails(tmp_path)} == torn | {(folder(tmp_path).events.name, 9)}


def test_ledger_is_synced_before_torn_files_are_cut(tmp_path, monkeypatch):
    """After a power cut, no file is cut without the ledger row that reports it."""
    torn_day(tmp_path)
    calls = []

    def recorded(name, real):
        def record(fd, *args):
            calls.append((name, os.readlink(f"/proc/self/fd/{fd}")))
            return real(fd, *args)

        return record

    with days(tmp_path / "data", run_id="R2").open(DAY, NOON_US) as writer:
        for name in ("ftruncate", "fsync"):
            monkeypatch.setattr(os, name, recorded(name, getattr(os, name)))
        writer.flush()
        day = writer.folder
        cuts = [
            ("ftruncate", str(path.resolve())) for path in (day.gaps, day.diffs, day.frames, day.trades, day.quarantine)
        ]
        assert calls == [("fsync", str(day.events.resolve())), *cuts]


def test_day_has_one_trade_stream(tmp_path):
    """Ids of trades and of aggregates differ; the refused folder stays unchanged and unlocked."""
    opened(tmp_path / "data")
    before = rows(folder(tmp_path).events)
    with pytest.raises(Mismatch, match=r"trade_stream trade, this run has aggTrade"):
        opened(tmp_path / "data", trade_stream="aggTrade")
    assert rows(folder(tmp_path).events) == before
    assert opened(tmp_path / "data") == "R1_2"


def test_second_writer_of_a_day_raises_try_later(tmp_path):
    """The second writer may try again later."""
    with days(tmp_path / "data").open(DAY, NOON_US), pytest.raises(TryLater):
        opened(tmp_path / "data")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_unwritable_folder_raises_try_later(tmp_path, monkeypatch, number):
    """The folder may become writable while the supervisor restarts the recorder."""

    def fail(*_, **__):
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(TryLater, match=r"data_root .*: cannot be written"):
        opened(tmp_path / "x")


def test_impossible_folder_raises_usage_error():
    """The message contains the path."""
    with pytest.raises(UsageError, match=r"data_root /dev/null/x: cannot be written"):
        opened("/dev/null/x")


@pytest.mark.parametrize("free_mb", [199, 200])
def test_check_space_raises_below_the_minimum_free_space(tmp_path, monkeypatch, free_mb):
    """If the folder does not exist yet, the disk of its nearest existing parent is checked."""
    checked_paths = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: checked_paths.append(path) or Usage(free_mb * 10**6))
    target = days(tmp_path / "data" / "deeper")
    if free_mb < 200:
        with pytest.raises(OSError, match=r"199 MB are free, min_free_mb is 200"):
            target.check_space()
    else:
        target.check_space()
    assert checked_paths == [tmp_path]
