"""One door to a day's files."""

import base64
import csv
import errno
import gzip
import json
import os
import threading

import pytest

from mm import whole_file
from mm.dayfolder import buffered_writer, day_writer, line_files, manifest
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import gzip_member
from mm.dayfolder.manifest import Contents, write_manifest
from mm.dayfolder.rows import Block, Stamp, Trade
from mm.errors import Mismatch, RunExists, TryLater, UsageError
from mm.instrument import Instrument

T = 1_767_600_000_000_000
HOLE = {"from_id": 5, "to_id": 9, "from_us": 1, "to_us": 2, "cause": "silence"}


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


def test_a_diff_is_stored_as_it_came(folder):
    """The texts of the exchange are never touched, not a zero of them."""
    with start(folder) as writer:
        seq = writer.diff(T + 1_999, 1_767_600_000_001, 10, 12, [["1.10", "0.00000000"]], [])
    assert gzip.decompress(folder.diffs.read_bytes()).decode() == (
        f'{{"recv_ms":{T // 1000 + 1},"recv_us":{T + 1999},"recv_seq":{seq},"run_id":"R1","E":1767600000001,'
        '"U":10,"u":12,"b":[["1.10","0.00000000"]],"a":[]}\n'
    )


def test_a_frame_carries_the_number_of_its_diff_and_no_padding(folder):
    """A missing level is empty, a surplus one is cut, and the time of the exchange is floored to ms."""
    with start(folder) as writer:
        seq = writer.diff(T, 1_767_600_000_001_999, 10, 12, [["1.1", "2"]], [])
        bids = [("1.1", "2"), ("1.0", "3"), ("0.9", "4")]
        writer.frame(Stamp(T + 1, seq, 1_767_600_000_001_999, 12), 1, bids, [["1.2", "5"]])
    head, line = folder.frames.read_text().splitlines()
    assert head.count(",") == line.count(",")
    assert line == f"1767600000001,{T // 1000},{seq},R1,1,1.1,2,1.2,5,1.0,3,,,{T + 1},12"


def test_trades_are_written_with_their_source(folder):
    """A trade from REST has no event time; everything else is the exchange's own."""
    with start(folder) as writer:
        writer.trade(T, Trade(1_767_600_000_002, 7, 1_767_600_000_001, "1.10", "3.00", True, 7, 7))
        writer.trade(T + 1, Trade(None, 5, 1_767_600_000_000_999, "1.10", "3.00", False, 5, 6, "rest"))
    lines = folder.trades.read_text().splitlines()[1:]
    assert lines == [
        f"1767600000002,{T // 1000},2,R1,7,1767600000001,1.10,3.00,true,{T},7,7,ws",
        f",{T // 1000},3,R1,5,1767600000000,1.10,3.00,false,{T + 1},5,6,rest",
    ]


def test_recv_seq_is_one_counter_over_all_files(folder):
    """The order of all events follows from the numbers alone."""
    with start(folder) as writer:
        first = writer.diff(T, 1, 1, 1, [], [])
        writer.frame(Stamp(T, first, 1, 1), 1, [], [])
        second = writer.skip()
        third = writer.trade(T, Trade(1, 1, 1, "1", "1", True, 1, 1))
        writer.gap(T, "gap", 1, HOLE)
        fifth = writer.quarantine(T, "depth", "no u", b"{\xff")
    assert (first, second, third, fifth) == (2, 3, 4, 6)
    assert [row["recv_seq"] for row in rows(folder.events)] == ["1", "5"]
    assert [row["recv_seq"] for row in rows(folder.gaps)] == ["5"]


def test_what_cannot_be_parsed_is_kept_raw(folder):
    """A message that broke the reader can be looked at byte by byte."""
    with start(folder) as writer:
        assert not folder.quarantine.exists()
        writer.quarantine(T, "depth", "not JSON", b"\x00\xff{")
    kept = json.loads(gzip.decompress(folder.quarantine.read_bytes()))
    assert list(kept) == ["recv_us", "recv_seq", "stream", "reason", "raw_base64"]
    assert base64.b64decode(kept["raw_base64"]) == b"\x00\xff{"


def test_a_snapshot_is_there_before_its_event(folder, monkeypatch):
    """An event never names a missing file; a failed snapshot leaves no event and no file."""
    with start(folder) as writer:
        event_id = writer.snapshot(T, "initial", 99, [["1.1", "2"]], [["1.2", "3"]], 1)
        assert rows(folder.events)[-1]["event_id"] == str(event_id)  # written through, not only at the end
        details = json.loads(rows(folder.events)[-1]["details_json"])
        assert details == {"last_update_id": 99, "path": "snapshots/snapshot_2_initial.csv"}
        assert (folder.path / details["path"]).read_text() == (
            "run_id,event_id,side,price,qty,lastUpdateId\nR1,2,bid,1.1,2,99\nR1,2,ask,1.2,3,99\n"
        )
        with pytest.raises(ValueError, match="not a snapshot tag"):
            writer.snapshot(T, "late", 99, [], [], 2)

        def fail(_path, _data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(day_writer, "write_whole", fail)
        with pytest.raises(OSError, match="No space"):
            writer.snapshot(T, "resync", 120, [], [], 2)
    assert len(rows(folder.events)) == 2
    assert [path.name for path in folder.snapshots.iterdir()] == ["snapshot_2_initial.csv"]


def test_diffs_reach_the_disk_before_their_frames(folder, monkeypatch):
    """After a crash no frame refers to a missing diff: full frames flush the diffs first."""
    monkeypatch.setattr(buffered_writer, "FLUSH_BYTES", 200)
    with start(folder) as writer:
        for n in range(6):
            seq = writer.diff(T, 1, n, n, [], [])
            writer.frame(Stamp(T, seq, 1, n), 1, [], [])
            assert len(diffs(folder) if folder.diffs.stat().st_size else []) >= len(rows(folder.frames))
        assert rows(folder.frames)


def test_streams_that_are_not_wanted_are_not_made(folder):
    """WRITE_DIFFS=0 and WRITE_GAPS=0 leave no empty files, and the numbers continue as if they were kept."""
    with start(folder, write_diffs=False, write_gaps=False) as writer:
        assert writer.diff(T, 1, 1, 1, [], []) == 2
        writer.gap(T, "gap", 0, HOLE)
    assert not folder.diffs.exists()
    assert not folder.gaps.exists()
    assert len(rows(folder.events)) == 2


def test_one_writer_a_folder(folder):
    """A second recorder of the same day goes away and touches nothing; the lock ends with its holder."""
    with start(folder):
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        with pytest.raises(TryLater, match="another process") as refused:
            DayWriter(folder, "R2")
        assert refused.value.exit_code == 75
        assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    start(folder, "R2").close()


def test_a_later_run_goes_on_where_the_last_one_stopped(folder):
    """Numbers, event ids and epochs count over the day, whatever restarts in it."""
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


@pytest.mark.parametrize("write_diffs", [True, False])
def test_messages_formatted_elsewhere_are_rows_like_others(folder, write_diffs):
    """The simulator formats in bulk; numbers, units and files are those of one day all the same."""
    frame, trade = "1,1,3,R1,1,,,,,,,,,1,9", "1,1,4,R1,2,1,1,1,true,1,2,2,ws"
    with start(folder, write_diffs=write_diffs) as writer:
        writer.trade(T, Trade(None, 1, 1_767_600_000_001, "1", "1", True, 1, 1))
        assert writer.skip(2) == 4
        packed = gzip_member(b'{"U":7,"u":9}\n')
        writer.append(Block(packed, f"{frame}\n".encode(), f"{trade}\n".encode(), 1_767_600_000_001_000))
        assert writer.diff(T, 1_767_600_000_001, 10, 10, [], []) == 5
        writer.seal()
    assert (folder.frames.read_text().splitlines()[1], folder.trades.read_text().splitlines()[2]) == (frame, trade)
    assert folder.diffs.exists() is write_diffs
    assert not write_diffs or [diff["U"] for diff in diffs(folder)] == [7, 10]
    assert json.loads(folder.schema.read_text())["units"]["E"] == "ms and us"


def test_the_seal_counts_no_file_that_it_was_told_of(folder):
    """A gigabyte is not unpacked to be counted by the process that has just written it; its hash is still read."""
    with start(folder) as writer:
        side = folder.path / "side.csv.gz"
        side.write_bytes(b"not even packed")
        writer.declare(side, Contents(12, 3, 4))
        entry = next(entry for entry in writer.seal().files if entry.path == side.name)
    assert (entry.rows, entry.first_id, entry.last_id, entry.bytes) == (12, 3, 4, 15)


def test_a_used_run_id_and_other_columns_are_refused(folder):
    """Two runs of one name could not be distinguished, two widths not be read as one table."""
    start(folder).close()
    with pytest.raises(RunExists, match="R1"):
        DayWriter(folder, "R1", top_n=2)
    with pytest.raises(Mismatch, match="--top-n"):
        DayWriter(folder, "R2", top_n=3)
    DayWriter(folder, "R2", top_n=2).close()
    for wrong in ("", "a,b", 'a"b', "a\nb", "a b"):
        with pytest.raises(UsageError, match="RUN_ID"):
            DayWriter(folder, wrong, top_n=2)


def test_the_instrument_is_the_grid_or_the_exchange_s_own_words(folder):
    """A recorder keeps the exchange's entry; a simulation has only the grid; a resumed run keeps what is there."""
    grid = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=1_000)
    start(folder, instrument=grid).close()
    assert json.loads(folder.instrument.read_text())["filters"][0]["tickSize"] == "0.01000000"
    start(folder, "R2", instrument='{"symbol":"SIMUSDT"}').close()
    start(folder, "R3").close()
    assert folder.instrument.read_text() == '{"symbol":"SIMUSDT"}'


def test_close_may_be_called_twice_and_frees_the_folder_after_a_failure(folder, monkeypatch):
    """A full disk at the end must not leave the folder locked."""
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


def test_equal_runs_leave_equal_bytes(tmp_path):
    """A simulated day has one hash."""

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


def test_a_day_is_sealed_without_being_read_again(folder, monkeypatch):
    """Hashes run along and rows were counted, over runs, crashes and failed writes: ending takes no time."""
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
    """Return *read*, which must not be called for a file that grows with the day."""

    def reads(path):
        assert path not in folder.streams(), path
        return read(path)

    return reads


def test_a_snapshot_waits_for_space_and_the_ledger_with_it(folder, monkeypatch):
    """A row never names a missing file; what waits is written with the next flush that finds space."""
    full = [True]

    def write(path, data):
        if full[0]:
            raise OSError(errno.ENOSPC, "no space", str(path))
        whole_file.write_whole(path, data)

    with start(folder) as writer:
        writer.wait_for_space()
        monkeypatch.setattr(day_writer, "write_whole", write)
        event_id = writer.snapshot(7, "initial", 10, [("1", "1")], [], 1)
        assert "snapshot_loaded" not in folder.events.read_text()
        with pytest.raises(OSError, match="no space"):
            writer.flush()
        full[0] = False
        writer.flush()
        assert folder.snapshot(event_id, "initial").is_file()
        assert "snapshot_loaded" in folder.events.read_text()


def test_nothing_is_forced_to_the_disk_but_by_a_sync(folder, monkeypatch):
    """A slow disk must not stop the loop in which messages arrive."""
    forced = []
    with start(folder) as writer:
        writer.sync()
        monkeypatch.setattr(os, "fsync", forced.append)
        writer.snapshot(7, "initial", 10, [("1", "1")], [], 1)
        writer.instrument("{}")
        writer.flush()
        assert forced == []
        writer.sync()
        assert len(forced) >= 2


def test_files_are_forced_to_the_disk_side_by_side(tmp_path, monkeypatch):
    """A disk may take seconds for each: a seal forces all of them, and the manifest, at the same time."""
    writer = DayWriter(DayFolder(tmp_path, "A", "20260105"), "R1", top_n=1)
    writer.event(1_767_600_000_000_000, "run_start", 0, {"version": "0", "knobs": {}})
    together = threading.Barrier(7, timeout=60)  # five files that grow, the schema, the manifest
    monkeypatch.setattr(os, "fsync", lambda _fd: together.wait())
    assert writer.seal().sealed
    monkeypatch.undo()
    writer.close()


def test_a_force_that_fails_is_done_again(tmp_path, monkeypatch):
    """Nothing counts as forced that was not."""
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


def test_a_backfill_while_there_is_no_space_waits_with_its_rows(tmp_path, monkeypatch):
    """The ledger does not name missing rows, even if only it has space."""
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


def test_a_first_unreadable_message_while_there_is_no_space_waits(tmp_path, monkeypatch):
    """Its file cannot even be made."""
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
