"""`DayWriter`, which writes all files of a day."""

import base64
import csv
import errno
import gzip
import json
import os
import threading

import pytest

from mm import DayFolder
from mm.base import atomic_file
from mm.dayfolder import buffered_writer, day_writer, line_files, manifest
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.manifest import write_manifest
from mm.dayfolder.rows import Stamp
from mm.errors import Mismatch, RunExists, TryLater, UsageError
from mm.instrument import Instrument
from mm.markets.records import Trade

T = 1_767_600_000_000_000
GAP = {"from_id": 5, "to_id": 9, "from_us": 1, "to_us": 2, "cause": "silence"}


@pytest.fixture
def folder(tmp_path):
    return DayFolder(tmp_path, "SIMUSDT", "20260105")


def start(folder, run_id="R1", **knobs):
    writer = DayWriter(folder, run_id, top_n=2, **knobs)
    writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
    return writer


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def diffs(folder):
    return [json.loads(line) for line in gzip.decompress(folder.diffs.read_bytes()).splitlines()]


def test_diff_is_stored_unchanged(folder):
    """The exchange's strings are stored unchanged, including trailing zeros."""
    with start(folder) as writer:
        seq = writer.diff(T + 1_999, 1_767_600_000_001, 10, 12, [["1.10", "0.00000000"]], [])
    assert gzip.decompress(folder.diffs.read_bytes()).decode() == (
        f'{{"recv_ms":{T // 1000 + 1},"recv_us":{T + 1999},"recv_seq":{seq},"run_id":"R1","E":1767600000001,'
        '"U":10,"u":12,"b":[["1.10","0.00000000"]],"a":[]}\n'
    )


def test_frame_has_recv_seq_of_its_diff_and_no_padding(folder):
    """A missing level is empty, a surplus level is dropped, and the exchange time is floored to ms."""
    with start(folder) as writer:
        seq = writer.diff(T, 1_767_600_000_001_999, 10, 12, [["1.1", "2"]], [])
        bids = [("1.1", "2"), ("1.0", "3"), ("0.9", "4")]
        writer.frame(Stamp(T + 1, seq, 1_767_600_000_001_999, 12), 1, bids, [["1.2", "5"]])
    head, line = folder.frames.read_text().splitlines()
    assert head.count(",") == line.count(",")
    assert line == f"1767600000001,{T // 1000},{seq},R1,1,1.1,2,1.2,5,1.0,3,,,{T + 1},12"


def test_trades_are_written_with_their_source(folder):
    """A trade from REST has no event time; all other values are the exchange's."""
    with start(folder) as writer:
        writer.trade(T, Trade(1_767_600_000_002, 7, 1_767_600_000_001, "1.10", "3.00", True, 7, 7))
        writer.trade(T + 1, Trade(None, 5, 1_767_600_000_000_999, "1.10", "3.00", False, 5, 6, "rest"))
    lines = folder.trades.read_text().splitlines()[1:]
    assert lines == [
        f"1767600000002,{T // 1000},2,R1,7,1767600000001,1.10,3.00,true,{T},7,7,ws",
        f",{T // 1000},3,R1,5,1767600000000,1.10,3.00,false,{T + 1},5,6,rest",
    ]


def test_recv_seq_is_one_counter_over_all_files(folder):
    """The order of all rows follows from recv_seq alone."""
    with start(folder) as writer:
        first = writer.diff(T, 1, 1, 1, [], [])
        writer.frame(Stamp(T, first, 1, 1), 1, [], [])
        second = writer.skip()
        third = writer.trade(T, Trade(1, 1, 1, "1", "1", True, 1, 1))
        writer.gap(T, "gap", 1, GAP)
        fifth = writer.quarantine(T, "depth", "no u", b"{\xff")
    assert (first, second, third, fifth) == (2, 3, 4, 6)
    assert [row["recv_seq"] for row in rows(folder.events)] == ["1", "5"]
    assert [row["recv_seq"] for row in rows(folder.gaps)] == ["5"]


def test_unparsable_message_is_quarantined_raw(folder):
    """The raw bytes of an unreadable message can be inspected."""
    with start(folder) as writer:
        assert not folder.quarantine.exists()
        writer.quarantine(T, "depth", "not JSON", b"\x00\xff{")
    kept = json.loads(gzip.decompress(folder.quarantine.read_bytes()))
    assert list(kept) == ["recv_us", "recv_seq", "stream", "reason", "raw_base64"]
    assert base64.b64decode(kept["raw_base64"]) == b"\x00\xff{"


def test_snapshot_file_is_written_before_its_event(folder, monkeypatch):
    """An event never refers to a missing file; a failed snapshot leaves no event and no file."""
    with start(folder) as writer:
        event_id = writer.snapshot(T, "initial", 99, [["1.1", "2"]], [["1.2", "3"]], 1)
        assert rows(folder.events)[-1]["event_id"] == str(event_id)  # written immediately, not only at close
        details = json.loads(rows(folder.events)[-1]["details_json"])
        assert details == {"last_update_id": 99, "path": "snapshots/snapshot_2_initial.csv"}
        assert (folder.path / details["path"]).read_text() == (
            "run_id,event_id,side,price,qty,lastUpdateId\nR1,2,bid,1.1,2,99\nR1,2,ask,1.2,3,99\n"
        )
        with pytest.raises(ValueError, match="not a snapshot tag"):
            writer.snapshot(T, "late", 99, [], [], 2)

        def fail(_path, _data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(day_writer, "write_atomic", fail)
        with pytest.raises(OSError, match="No space"):
            writer.snapshot(T, "resync", 120, [], [], 2)
    assert len(rows(folder.events)) == 2
    assert [path.name for path in folder.snapshots.iterdir()] == ["snapshot_2_initial.csv"]


def test_diffs_are_flushed_before_their_frames(folder, monkeypatch):
    """After a crash no frame refers to a missing diff: full frames flush the diffs first."""
    monkeypatch.setattr(buffered_writer, "FLUSH_BYTES", 200)
    with start(folder) as writer:
        for n in range(6):
            seq = writer.diff(T, 1, n, n, [], [])
            writer.frame(Stamp(T, seq, 1, n), 1, [], [])
            assert len(diffs(folder) if folder.diffs.stat().st_size else []) >= len(rows(folder.frames))
        assert rows(folder.frames)


def test_disabled_streams_are_not_created(folder):
    """WRITE_DIFFS=0 and WRITE_GAPS=0 create no files, and recv_seq continues as if they were written."""
    with start(folder, write_diffs=False, write_gaps=False) as writer:
        assert writer.diff(T, 1, 1, 1, [], []) == 2
        writer.gap(T, "gap", 0, GAP)
    assert not folder.diffs.exists()
    assert not folder.gaps.exists()
    assert len(rows(folder.events)) == 2


def test_second_writer_of_folder_raises_try_later(folder):
    """A second recorder of the same day exits and changes nothing; the lock is released with its holder."""
    with start(folder):
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        with pytest.raises(TryLater, match="another process") as raised:
            DayWriter(folder, "R2")
        assert raised.value.exit_code == 75
        assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    start(folder, "R2").close()


def test_later_run_continues_counters_of_previous_run(folder):
    """recv_seq, event ids and epochs continue over restarts within a day."""
    with start(folder) as writer:
        writer.snapshot(T, "initial", 5, [], [], 1)
        writer.diff(T, 1_767_600_000_001, 6, 9, [], [])
        writer.trade(T, Trade(1_767_600_000_001, 77, 1_767_600_000_001, "1", "1", True, 77, 77))
        writer.event(T, "run_stop", 1, {"reason": "signal"})
        assert writer.seal().runs == ["R1"]
    assert json.loads(folder.manifest.read_text())["sealed"] is True
    with DayWriter(folder, "R2", top_n=2) as writer:
        earlier = writer.earlier
        assert (earlier.next_seq, earlier.next_event_id, earlier.epoch_id) == (6, 4, 1)
        assert (earlier.runs, earlier.open_runs, earlier.last_diff_id, earlier.last_trade_id) == (("R1",), (), 9, 77)
        assert json.loads(folder.manifest.read_text())["sealed"] is False
        assert writer.event(T, "run_start", 0, {"version": "0", "knobs": {}}) == 4
        assert writer.diff(T, 1_767_600_000_001_000, 10, 10, [], []) == 7
        assert writer.seal().runs == ["R1", "R2"]
    assert json.loads(folder.schema.read_text())["units"]["E"] == "ms and us"
    assert folder.events.read_text().count("event_id") == 1


def test_used_run_id_and_other_columns_are_rejected(folder):
    """Two runs with one id could not be distinguished, and two widths could not be read as one table."""
    start(folder).close()
    with pytest.raises(RunExists, match="R1"):
        DayWriter(folder, "R1", top_n=2)
    with pytest.raises(Mismatch, match="top_n"):
        DayWriter(folder, "R2", top_n=3)
    DayWriter(folder, "R2", top_n=2).close()
    for wrong in ("", "a,b", 'a"b', "a\nb", "a b"):
        with pytest.raises(UsageError, match="run_id"):
            DayWriter(folder, wrong, top_n=2)


def test_instrument_file_is_grid_or_exchange_entry(folder):
    """A recorder stores the exchange's entry, a simulation only the grid; a resumed run keeps the existing file."""
    grid = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=1_000)
    start(folder, instrument=grid).close()
    assert json.loads(folder.instrument.read_text())["filters"][0]["tickSize"] == "0.01000000"
    start(folder, "R2", instrument='{"symbol":"SIMUSDT"}').close()
    start(folder, "R3").close()
    assert folder.instrument.read_text() == '{"symbol":"SIMUSDT"}'


def test_close_releases_lock_after_failure_and_can_be_repeated(folder, monkeypatch):
    """A full disk at close must not leave the folder locked."""
    writer = start(folder)
    writer.trade(T, Trade(1, 1, 1, "1", "1", True, 1, 1))

    def fail(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space"):
            writer.close()
    writer.close()
    start(folder, "R2").close()


def test_equal_runs_write_equal_bytes(tmp_path):
    """A simulated day is reproducible."""

    def write(root):
        folder = DayFolder(root, "SIMUSDT", "20260105")
        with start(folder) as writer:
            writer.snapshot(T, "initial", 5, [["1", "2"]], [["2", "2"]], 1)
            for n in range(50):
                seq = writer.diff(T + n, T // 1000, n, n, [["1", str(n)]], [])
                writer.frame(Stamp(T + n, seq, T // 1000, n), 1, [["1", str(n)]], [["2", "2"]])
            writer.seal()
        files = (path for path in folder.path.rglob("*") if path.is_file())
        return {folder.relative(path): path.read_bytes() for path in files}

    assert write(tmp_path / "a") == write(tmp_path / "b")


def test_seal_does_not_read_growing_files_again(folder, monkeypatch):
    """Hashes and row counts are kept while writing, over runs, crashes and failed writes, so sealing is fast."""
    before = None
    for run in range(3):
        with start(folder, f"R{run}") as writer:
            for n in range(4):
                number = 10 * run + n
                writer.event(T, "exchange_info", 0, {"status": "TRADING"})
                seq = writer.diff(T, T, number + 1, number + 1, [["1", "2"]], [])
                writer.frame(Stamp(T, seq, T, number + 1), 0, [["1", "2"]], [])
                writer.trade(T, Trade(T, number, T, "1", "2", True, number, number))
                writer.quarantine(T, "ws", "noise", b"x")
                writer.flush(sync=n % 2 == 0)
            if run == 1:
                continue  # killed: not sealed
            full = os.write

            def fails(fd, data, full=full):
                if "trades" in os.readlink(f"/proc/self/fd/{fd}"):
                    raise OSError(errno.ENOSPC, "full")
                return full(fd, data)

            writer.trade(T, Trade(T, number + 1, T, "1", "2", True, number + 1, number + 1))
            writer.diff(T, T, number + 2, number + 2, [["1", "2"]], [])
            monkeypatch.setattr(os, "write", fails)
            with pytest.raises(OSError, match="full"):
                writer.flush(sync=True)
            monkeypatch.setattr(os, "write", full)
            with monkeypatch.context() as patch:
                for module, name in ((line_files, "scan"), (manifest, "sha256_of")):
                    patch.setattr(module, name, _only_small(getattr(module, name), folder))
                sealed = writer.seal()
            before = write_manifest(folder, sealed.runs)
            assert sealed == before
    assert before.sealed


def _only_small(read, folder):
    """Return *read* with an assertion that it is not called for a file that grows during the day."""

    def reads(path):
        assert path not in folder.streams(), path
        return read(path)

    return reads


def test_snapshot_and_its_event_wait_for_disk_space(folder, monkeypatch):
    """A row never refers to a missing file; waiting data is written by the next flush that has space."""
    full = [True]

    def write(path, data):
        if full[0]:
            raise OSError(errno.ENOSPC, "no space", str(path))
        atomic_file.write_atomic(path, data)

    with start(folder) as writer:
        writer.wait_for_space()
        monkeypatch.setattr(day_writer, "write_atomic", write)
        event_id = writer.snapshot(7, "initial", 10, [("1", "1")], [], 1)
        assert "snapshot_loaded" not in folder.events.read_text()
        with pytest.raises(OSError, match="no space"):
            writer.flush()
        full[0] = False
        writer.flush()
        assert folder.snapshot(event_id, "initial").is_file()
        assert "snapshot_loaded" in folder.events.read_text()


def test_fsync_is_called_only_by_sync(folder, monkeypatch):
    """A slow disk must not block the receive loop."""
    synced = []
    with start(folder) as writer:
        writer.sync()
        monkeypatch.setattr(os, "fsync", synced.append)
        writer.snapshot(7, "initial", 10, [("1", "1")], [], 1)
        writer.instrument("{}")
        writer.flush()
        assert synced == []
        writer.sync()
        assert len(synced) >= 2


def test_seal_syncs_files_in_parallel(tmp_path, monkeypatch):
    """A sync may take seconds per file: sealing syncs all files and the manifest in parallel."""
    writer = DayWriter(DayFolder(tmp_path, "A", "20260105"), "R1", top_n=1)
    writer.event(1_767_600_000_000_000, "run_start", 0, {"version": "0", "knobs": {}})
    barrier = threading.Barrier(7, timeout=60)  # five growing files, the schema, the manifest
    monkeypatch.setattr(os, "fsync", lambda _fd: barrier.wait())
    assert writer.seal().sealed
    monkeypatch.undo()
    writer.close()


def test_failed_fsync_is_retried(tmp_path, monkeypatch):
    """A file whose fsync failed is synced again."""
    writer = DayWriter(DayFolder(tmp_path, "A", "20260105"), "R1", top_n=1)

    def fail(_fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    done = []
    monkeypatch.setattr(os, "fsync", done.append)
    writer.sync()
    assert len(done) == 6
    monkeypatch.undo()
    writer.close()


def test_backfill_event_waits_for_its_rows_on_full_disk(tmp_path, monkeypatch):
    """The ledger does not refer to missing rows, even if only the ledger can be written."""
    folder, write = DayFolder(tmp_path, "A", "20260105"), os.write

    def full(fd, data):
        if "events" in os.readlink(f"/proc/self/fd/{fd}"):
            return write(fd, data)
        raise OSError(errno.ENOSPC, "No space left on device")

    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.wait_for_space()
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        monkeypatch.setattr(os, "write", full)
        writer.trade(T, Trade(None, 7, T, "1", "1", True, 7, 7, "rest"))
        writer.flush_before_event()
        writer.event(T, "backfill", 0, {"from_id": 7, "to_id": 7, "rows": 1})
        with pytest.raises(OSError, match="No space"):
            writer.flush()
        assert b"backfill" not in folder.events.read_bytes()
        monkeypatch.undo()
        writer.flush()
        assert b",7," in folder.trades.read_bytes()
        assert b"backfill" in folder.events.read_bytes()
        writer.event(T, "window_end", 0, {})
        assert b"window_end" in folder.events.read_bytes()


def test_first_quarantined_message_waits_on_full_disk(tmp_path, monkeypatch):
    """The quarantine file cannot even be created."""
    folder, make = DayFolder(tmp_path, "A", "20260105"), os.open

    def full(path, flags, *mode):
        if flags & os.O_CREAT and "quarantine" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return make(path, flags, *mode)

    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.wait_for_space()
        monkeypatch.setattr(os, "open", full)
        assert [writer.quarantine(T + n, "ws", "no JSON", b"{") for n in range(2)] == [1, 2]
        with pytest.raises(OSError, match="No space"):
            writer.flush()
        monkeypatch.undo()
        writer.flush()
        kept = [json.loads(line) for line in gzip.decompress(folder.quarantine.read_bytes()).splitlines()]
        assert [row["recv_us"] for row in kept] == [T, T + 1]
