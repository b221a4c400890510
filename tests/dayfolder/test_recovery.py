"""The state that a run recovers from previous runs, including killed ones."""

import gzip

import pytest

from day_files import RowWriter
from mm import DayFolder
from mm.dayfolder import line_files as tail
from mm.dayfolder.recovery import RecoveredState, recover
from mm.errors import BrokenFile

T = 1_767_600_000_000_000


@pytest.fixture
def folder(tmp_path):
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.snapshot(T, "initial", 5, [["1", "2"]], [["2", "2"]], 1)
        for n in range(3):
            seq = writer.diff(T + n, T // 1000, 6 + n, 6 + n, [["1", str(n)]], [])
            writer.frame((T + n, seq, T // 1000, 6 + n), 1, [["1", str(n)]], [["2", "2"]])
            writer.flush()
    return folder


def test_new_day_has_initial_state(tmp_path):
    """recv_seq, event ids and epochs start at the day's first message."""
    assert recover(DayFolder(tmp_path, "A", "20260105")) == RecoveredState()


def test_recovered_state_has_ids_and_times_of_last_rows(folder):
    """The recovered state has the ids and times of the last rows, and the settings of the last run."""
    state = recover(folder)
    assert (state.last_diff_id, state.last_diff_us, state.last_trade_id, state.last_trade_us) == (8, T + 2, None, 0)
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {"trade_stream": "trade"}})
        writer.trade(T + 7, None, 5, T // 1000, "1", "2", True, 5, 5)
    state = recover(folder)
    assert (state.last_trade_id, state.last_trade_us, state.knobs) == (5, T + 7, {"trade_stream": "trade"})


def test_last_diff_id_falls_back_to_frame_then_snapshot(folder):
    """If a run was killed before its first flush, the last id is that of its snapshot."""
    folder.diffs.unlink()
    assert recover(folder).last_diff_id == 8  # from the last frame
    folder.frames.unlink()
    state = recover(folder)
    assert (state.last_diff_id, state.last_diff_us) == (5, T)


def test_last_diff_id_is_that_of_snapshot_after_id_restart(folder):
    """The diffs after the snapshot were lost with the run: those on disk have the old ids."""
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.diff(T + 8, T // 1000, 3_000_001, 3_000_002, [["1", "1"]], [])
        writer.snapshot(T + 9, "resync", 2_985, [["1", "2"]], [["2", "2"]], 2)
    state = recover(folder)
    assert (state.last_diff_id, state.last_diff_us) == (2_985, T + 9)


def test_open_runs_are_runs_without_run_stop(folder):
    """The next run writes `crash_recovered` for each open run, even if a run crashed during a recovery."""
    assert recover(folder).open_runs == ("R1",)
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
    assert recover(folder).open_runs == ("R1", "R2")
    with RowWriter(folder, "R3", top_n=1) as writer:
        writer.event(T, "crash_recovered", 0, {"previous_run_id": "R1"})
        writer.event(T, "crash_recovered", 0, {"previous_run_id": "R2"})
        writer.event(T, "run_stop", 0, {"reason": "signal"})
    assert recover(folder).open_runs == ()


def test_torn_tails_are_reported_before_they_are_cut(folder):
    """The number of lost bytes is available for the ledger, and rows are appended only after whole rows."""
    for path in (folder.frames, folder.diffs):
        with path.open("ab") as stream:
            stream.write(b"\x1f\x8b\x08 torn")
    state = recover(folder)
    assert state.lost == {folder.frames: 8, folder.diffs: 8} == recover(folder).lost
    with RowWriter(folder, "R2", top_n=1) as writer:
        assert (writer.earlier.lost, recover(folder).lost) == (state.lost, state.lost)
    assert len(gzip.decompress(folder.diffs.read_bytes()).splitlines()) == 3
    assert recover(folder).lost == {}


def test_next_seq_follows_highest_recv_seq_of_all_files(folder):
    """The ledger is written immediately, other files later, so any of them may have the last recv_seq."""
    assert recover(folder).next_seq == 6
    folder.diffs.unlink()
    folder.frames.unlink()
    assert recover(folder).next_seq == 3


def test_orphan_snapshot_is_removed_and_its_id_is_not_reused(folder):
    """A crash between a snapshot and its event leaves an orphan file."""
    folder.snapshot(9, "resync").write_text("run_id,event_id,side,price,qty,lastUpdateId\n")
    (folder.snapshots / "snapshot_11_resync.csv.tmp").write_text("half")
    assert recover(folder).next_event_id == 10
    assert [path.name for path in folder.snapshots.iterdir()] == ["snapshot_2_initial.csv"]


def test_last_row_without_recv_seq_raises_broken_file(folder):
    """Continuing from a guess could assign one recv_seq to two rows."""
    with folder.trades.open("a") as stream:
        stream.write("nonsense\n")
    with pytest.raises(BrokenFile, match="mm data check"):
        recover(folder)


@pytest.mark.parametrize(
    ("stream", "rows", "left"),
    [
        ("trade", [(6, 6, 6), (7, 7, 7)], ((8, 9, T, T + 8),)),
        ("trade", [(7, 7, 8)], ((6, 6, T, T + 8), (9, 9, T, T + 8))),
        ("trade", [(number, number, number) for number in (9, 8, 7, 6)], ()),
        ("aggTrade", [(6, 6, 9), (8, 20, 21)], ((7, 7, T, T + 8), (9, 9, T, T + 8))),
    ],
)
def test_rest_trades_written_before_crash_are_not_requested_again(folder, stream, rows, left):
    """The rows are on disk, but the run was killed before the ledger recorded the backfill."""
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {"trade_stream": stream}})
        writer.trade(T, None, 5, T // 1000, "1", "2", True, 5, 5)
        writer.gap(T, "trade_gap", 0, {"from_id": 6, "to_id": 9, "from_us": T, "to_us": T + 8, "cause": "restart"})
        writer.trade(T + 8, T, 10, T // 1000, "1", "2", True, 10, 10)
        for number, first, last in rows:
            writer.trade(T + 9, None, number, T // 1000, "1", "2", True, first, last, "rest")
    with folder.trades.open("ab") as trades:
        trades.write(b"1767600000000,1767600000000,99,R2,9")  # a torn row is ignored
    state = recover(folder)
    assert (state.last_trade_id, state.trade_holes) == (10, left)


@pytest.mark.parametrize(("first", "reached"), [(6, 8), (9, 9)])
def test_stale_last_diff_does_not_lower_last_diff_id(folder, first, reached):
    """Otherwise the next run would report a false gap."""
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.diff(T + 9, T // 1000, first, first, [["1", "1"]], [])
    assert recover(folder).last_diff_id == reached


def test_last_diff_id_follows_restarted_ids(folder):
    """Earlier frames have the old ids."""
    with RowWriter(folder, "R2", top_n=1) as writer:
        seq = writer.diff(T + 8, T // 1000, 10**9, 10**9, [["1", "1"]], [])
        writer.frame((T + 8, seq, T // 1000, 10**9), 1, [["1", "1"]], [["2", "2"]])
        writer.diff(T + 9, T // 1000, 5, 6, [["1", "1"]], [])
    assert recover(folder).last_diff_id == 6


def seal_day(folder):
    """Seal the day in a separate run, and return the recovered state."""
    with RowWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.trade(T + 7, None, 5, T // 1000, "1", "2", True, 5, 5)
        writer.quarantine(T + 8, "ws", "why", b"raw")
        writer.seal()
    return recover(folder)


def record_after_seal(folder, torn):
    """Record after a seal, and end with *torn* torn files, as after a power cut."""
    with RowWriter(folder, "R3", top_n=1) as writer:
        seq = writer.diff(T + 9, T // 1000, 9, 9, [["1", "9"]], [])
        writer.frame((T + 9, seq, T // 1000, 9), 1, [["1", "9"]], [["2", "2"]])
        writer.flush()
    for path in (folder.frames, folder.diffs)[:torn]:
        with path.open("ab") as stream:
            stream.write(b"\x1f\x8b\x08 torn")


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_recovery_scans_only_rows_after_manifest(folder, torn, monkeypatch):
    """Recovery scans only the bytes after the manifest's sizes; the state is the same as after a full scan."""
    seal_day(folder)
    streams = [path for path in folder.streams() if path.exists()]
    sizes = {path: path.stat().st_size for path in streams}
    record_after_seal(folder, torn)
    before = {path: path.read_bytes() for path in streams}
    scanned = []
    scan = tail.scan
    monkeypatch.setattr(tail, "scan", lambda path, known: scanned.append((path, known.good_bytes)) or scan(path, known))
    partial = recover(folder)
    assert {path: known for path, known in scanned if path in sizes} == sizes
    for path, content in before.items():
        path.write_bytes(content)
    folder.manifest.unlink()
    assert recover(folder) == partial
    assert len(partial.lost) == torn


@pytest.mark.parametrize("how", ["changed", "shorter", "gone"])
def test_file_that_differs_from_manifest_is_scanned_whole(folder, how):
    """Damage is found as without a manifest."""
    seal_day(folder)
    data = folder.diffs.read_bytes()
    if how == "gone":
        folder.diffs.unlink()
    else:
        folder.diffs.write_bytes(data[:25] + b"\xff" + data[26:] if how == "changed" else data[:-30])
    if how == "changed":
        with pytest.raises(BrokenFile, match="good rows after it"):
            recover(folder)
    else:
        assert recover(folder).tails.get(folder.diffs, tail.FileTail()).lines == (2 if how == "shorter" else 0)
