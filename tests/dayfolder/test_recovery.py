"""What a run finds of the runs before it, also of one that was killed."""

import gzip

import pytest

from mm.dayfolder import line_files as tail
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.recovery import RecoveredState, recover
from mm.dayfolder.rows import Stamp, Trade
from mm.errors import BrokenFile

T = 1_767_600_000_000_000


@pytest.fixture
def folder(tmp_path):
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.snapshot(T, "initial", 5, [["1", "2"]], [["2", "2"]], 1)
        for n in range(3):
            seq = writer.diff(T + n, T // 1000, 6 + n, 6 + n, [["1", str(n)]], [])
            writer.frame(Stamp(T + n, seq, T // 1000, 6 + n), 1, [["1", str(n)]], [["2", "2"]])
            writer.flush()
    return folder


def test_a_new_day_begins_at_one(tmp_path):
    """Numbers, events and epochs count from the day's first message."""
    assert recover(DayFolder(tmp_path, "A", "20260105")) == RecoveredState()


def test_the_last_rows_say_when_they_came(folder):
    """What is missing behind them is missing from then on; the knobs of the run tell what it recorded."""
    found = recover(folder)
    assert (found.last_diff_id, found.last_diff_us, found.last_trade_id, found.last_trade_us) == (8, T + 2, None, 0)
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {"trade_stream": "trade"}})
        writer.trade(T + 7, Trade(None, 5, T // 1000, "1", "2", True, 5, 5))
    found = recover(folder)
    assert (found.last_trade_id, found.last_trade_us, found.knobs) == (5, T + 7, {"trade_stream": "trade"})


def test_where_no_diff_has_survived_the_snapshot_says_what_is_missing(folder):
    """A run loaded a book and was killed before its first flush: what the next run misses, is missing behind that."""
    folder.diffs.unlink()
    assert recover(folder).last_diff_id == 8  # the last frame's
    folder.frames.unlink()
    found = recover(folder)
    assert (found.last_diff_id, found.last_diff_us) == (5, T)


def test_where_ids_began_anew_the_snapshot_says_what_is_missing(folder):
    """The diffs behind the snapshot were lost with the run: those on the disk are of the old ids."""
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.diff(T + 8, T // 1000, 3_000_001, 3_000_002, [["1", "1"]], [])
        writer.snapshot(T + 9, "resync", 2_985, [["1", "2"]], [["2", "2"]], 2)
    found = recover(folder)
    assert (found.last_diff_id, found.last_diff_us) == (2_985, T + 9)


def test_runs_that_did_not_stop_are_named(folder):
    """The next run writes `crash_recovered` for each of them, also where one crashed while it recovered another."""
    assert recover(folder).open_runs == ("R1",)
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
    assert recover(folder).open_runs == ("R1", "R2")
    with DayWriter(folder, "R3", top_n=1) as writer:
        writer.event(T, "crash_recovered", 0, {"previous_run_id": "R1"})
        writer.event(T, "crash_recovered", 0, {"previous_run_id": "R2"})
        writer.event(T, "run_stop", 0, {"reason": "signal"})
    assert recover(folder).open_runs == ()


def test_torn_tails_are_told_before_they_are_cut(folder):
    """A run can say in the ledger how much was lost, and appends behind whole rows only."""
    for path in (folder.frames, folder.diffs):
        with path.open("ab") as stream:
            stream.write(b"\x1f\x8b\x08 torn")
    found = recover(folder)
    assert found.lost == {folder.frames: 8, folder.diffs: 8} == recover(folder).lost
    with DayWriter(folder, "R2", top_n=1) as writer:
        assert (writer.earlier.lost, recover(folder).lost) == (found.lost, found.lost)
    assert len(gzip.decompress(folder.diffs.read_bytes()).splitlines()) == 3
    assert recover(folder).lost == {}


def test_the_highest_number_of_any_file_counts(folder):
    """The ledger is written at once, other files later: none of them alone has the last number."""
    assert recover(folder).next_seq == 6
    folder.diffs.unlink()
    folder.frames.unlink()
    assert recover(folder).next_seq == 3


def test_an_orphan_is_removed_and_its_id_never_used_again(folder):
    """A crash between a snapshot and its event leaves an unreferenced file."""
    folder.snapshot(9, "resync").write_text("run_id,event_id,side,price,qty,lastUpdateId\n")
    (folder.snapshots / "snapshot_11_resync.csv.tmp").write_text("half")
    assert recover(folder).next_event_id == 10
    assert [path.name for path in folder.snapshots.iterdir()] == ["snapshot_2_initial.csv"]


def test_a_last_row_without_a_number_is_an_error(folder):
    """Counting on from a guess would give two rows one number."""
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
def test_trades_that_rest_brought_before_a_crash_are_not_fetched_again(folder, stream, rows, left):
    """Their rows came to the disk, and the run was killed before its ledger could say so: 200 kills found that."""
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {"trade_stream": stream}})
        writer.trade(T, Trade(None, 5, T // 1000, "1", "2", True, 5, 5))
        writer.gap(T, "trade_gap", 0, {"from_id": 6, "to_id": 9, "from_us": T, "to_us": T + 8, "cause": "restart"})
        writer.trade(T + 8, Trade(T, 10, T // 1000, "1", "2", True, 10, 10))
        for number, first, last in rows:
            writer.trade(T + 9, Trade(None, number, T // 1000, "1", "2", True, first, last, "rest"))
    with folder.trades.open("ab") as trades:
        trades.write(b"1767600000000,1767600000000,99,R2,9")  # what is torn does not count
    found = recover(folder)
    assert (found.last_trade_id, found.trade_holes) == (10, left)


@pytest.mark.parametrize(("first", "reached"), [(6, 8), (9, 9)])
def test_a_stale_message_at_the_end_does_not_hide_how_far_the_updates_had_come(folder, first, reached):
    """Else the next run would tell of a gap that is none: random schedules of faults found that."""
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.diff(T + 9, T // 1000, first, first, [["1", "1"]], [])
    assert recover(folder).last_diff_id == reached


def test_ids_that_have_begun_anew_are_where_the_updates_are(folder):
    """The frames before tell of other ids."""
    with DayWriter(folder, "R2", top_n=1) as writer:
        seq = writer.diff(T + 8, T // 1000, 10**9, 10**9, [["1", "1"]], [])
        writer.frame(Stamp(T + 8, seq, T // 1000, 10**9), 1, [["1", "1"]], [["2", "2"]])
        writer.diff(T + 9, T // 1000, 5, 6, [["1", "1"]], [])
    assert recover(folder).last_diff_id == 6


def sealed(folder):
    """Seal the day in a run of its own, and return what recovery finds then."""
    with DayWriter(folder, "R2", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.trade(T + 7, Trade(None, 5, T // 1000, "1", "2", True, 5, 5))
        writer.quarantine(T + 8, "ws", "why", b"raw")
        writer.seal()
    return recover(folder)


def rest_of_a_run(folder, torn):
    """Record on behind a seal, and end as a power cut would."""
    with DayWriter(folder, "R3", top_n=1) as writer:
        seq = writer.diff(T + 9, T // 1000, 9, 9, [["1", "9"]], [])
        writer.frame(Stamp(T + 9, seq, T // 1000, 9), 1, [["1", "9"]], [["2", "2"]])
        writer.flush()
    for path in (folder.frames, folder.diffs)[:torn]:
        with path.open("ab") as stream:
            stream.write(b"\x1f\x8b\x08 torn")


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_what_a_manifest_proves_is_not_read_row_by_row_again(folder, torn, monkeypatch):
    """A start amid a full day must not take as long as reading it; what it finds is the same."""
    sealed(folder)
    sizes = {path: path.stat().st_size for path in folder.streams()}
    rest_of_a_run(folder, torn)
    before = {path: path.read_bytes() for path in folder.streams()}
    begun = []
    scans = tail.scan
    monkeypatch.setattr(tail, "scan", lambda path, known: begun.append((path, known.good_bytes)) or scans(path, known))
    quick = recover(folder)
    assert dict(begun) == sizes
    for path, content in before.items():
        path.write_bytes(content)
    folder.manifest.unlink()
    assert recover(folder) == quick
    assert len(quick.lost) == torn


@pytest.mark.parametrize("how", ["changed", "shorter", "gone"])
def test_a_file_that_is_not_what_the_manifest_says_is_read_whole(folder, how):
    """Damage is found where it was found before."""
    sealed(folder)
    data = folder.diffs.read_bytes()
    if how == "gone":
        folder.diffs.unlink()
    else:
        folder.diffs.write_bytes(data[:25] + b"\xff" + data[26:] if how == "changed" else data[:-30])
    folder.frames.write_bytes(folder.frames.read_bytes())
    if how == "changed":
        with pytest.raises(BrokenFile, match="good rows after it"):
            recover(folder)
    else:
        assert recover(folder).tails.get(folder.diffs, tail.FileTail()).lines == (2 if how == "shorter" else 0)
