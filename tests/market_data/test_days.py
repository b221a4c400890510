import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from captured import NOON_US, SYMBOL, events, folder, rows

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


def test_a_day_begins_with_the_run_and_the_window(tmp_path):
    """The ledger says what was asked for."""
    opened(tmp_path / "data")
    first, second, _ = events(folder(tmp_path))
    assert (first[0], first[2]["knobs"], second[0]) == ("run_start", {"trade_stream": "trade"}, "window_start")


def test_a_generated_run_id_that_the_day_has_gets_a_number(tmp_path):
    """Two starts within a second have the same stamp; an id of the user's own is refused."""
    assert [opened(tmp_path / "data") for _ in range(3)] == ["R1", "R1_2", "R1_3"]
    with pytest.raises(RunExists, match="run R1 already"):
        opened(tmp_path / "data", own_id=True)


def test_a_start_within_the_second_of_a_crash_tells_what_it_tore(tmp_path):
    """The id of the run that crashed is refused before its torn tail is cut, not behind that."""
    days(tmp_path / "data").open(DAY, NOON_US).close()
    with folder(tmp_path).frames.open("ab") as stream:
        stream.write(b"17676")
    with pytest.raises(RunExists, match="run R1 already"):
        opened(tmp_path / "data", own_id=True)
    assert folder(tmp_path).frames.read_bytes().endswith(b"17676")
    assert opened(tmp_path / "data") == "R1_2"
    (torn,) = events(folder(tmp_path), "tail_recovered")
    assert torn["bytes"] == 5


def test_a_crash_and_what_it_tore_are_told(tmp_path):
    """With the most that can be lost: one interval between two flushes."""
    days(tmp_path / "data").open(DAY, NOON_US).close()
    with folder(tmp_path).frames.open("ab") as stream:
        stream.write(b"17676")
    opened(tmp_path / "data", run_id="R2")
    assert events(folder(tmp_path), "crash_recovered") == [{"previous_run_id": "R1"}]
    (torn,) = events(folder(tmp_path), "tail_recovered")
    assert torn == {"path": folder(tmp_path).frames.name, "bytes": 5, "lost_s": 2.5}


def test_a_day_has_one_stream_of_trades(tmp_path):
    """Ids of trades and of aggregates count differently; the folder is left as it was, and free."""
    opened(tmp_path / "data")
    before = rows(folder(tmp_path).events)
    with pytest.raises(Mismatch, match=r"TRADE_STREAM\) trade, this run has aggTrade"):
        opened(tmp_path / "data", trade_stream="aggTrade")
    assert rows(folder(tmp_path).events) == before
    assert opened(tmp_path / "data") == "R1_2"


def test_a_day_has_one_writer(tmp_path):
    """The other one may come later."""
    with days(tmp_path / "data").open(DAY, NOON_US), pytest.raises(TryLater):
        opened(tmp_path / "data")


def test_a_folder_that_cannot_be_made_is_a_wrong_knob():
    """The message names it."""
    with pytest.raises(UsageError, match=r"DATA_ROOT\) /dev/null/x: cannot be written"):
        opened("/dev/null/x")


@pytest.mark.parametrize("free_mb", [199, 200])
def test_space_must_be_left_to_others(tmp_path, monkeypatch, free_mb):
    """Where the folder is not there yet, the disk is that of the nearest one above it."""
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(free_mb * 10**6))
    there = days(tmp_path / "data" / "deeper")
    if free_mb < 200:
        with pytest.raises(OSError, match=r"199 MB are free, --min-free-mb \(MIN_FREE_MB\) is 200"):
            there.check_space()
    else:
        there.check_space()
    assert asked == [tmp_path]
