"""The manifest matches the disk."""

import hashlib
import json

import pytest

from day_files import RowWriter
from mm import DayFolder
from mm.dayfolder import buffered_writer
from mm.dayfolder.manifest import proved_tails, read_manifest, unseal
from mm.errors import BrokenFile

T = 1_767_600_000_000_000


@pytest.fixture
def folder(tmp_path):
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": 'a, "b"', "knobs": {}})
        writer.snapshot(T, "initial", 5, [["1", "2"]], [["2", "2"]], 1)
        for n in range(3):
            seq = writer.diff(T + n, T // 1000, 6 + 2 * n, 7 + 2 * n, [["1", str(n)]], [])
            writer.frame((T + n, seq, T // 1000, 7 + 2 * n), 1, [["1", str(n)]], [["2", "2"]])
        writer.trade(T, T // 1000, 40, T // 1000, "1", "1", True, 40, 40)
        writer.trade(T, T // 1000, 41, T // 1000, "1", "1", True, 41, 41)
        writer.quarantine(T, "depth", "why", b"raw")
        (folder.path / "health.json").write_text("{}")
        (folder.path / "health_SIMUSDT.json").write_text("{}")
        writer.seal()
    return folder


def test_manifest_lists_every_file_with_rows_and_ids(folder):
    """All files are listed, except lock and health files."""
    files = {entry.path: (entry.rows, entry.first_id, entry.last_id) for entry in read_manifest(folder).files}
    assert files == {
        "diffs/depth_diffs_SIMUSDT_20260105.ndjson.gz": (3, 6, 11),
        "events_SIMUSDT_20260105.csv": (2, 1, 2),
        "gaps_SIMUSDT_20260105.csv": (0, None, None),
        "orderbook_ws_depth_SIMUSDT_20260105.csv": (3, 7, 11),
        "quarantine/frames_SIMUSDT_20260105.ndjson.gz": (1, None, None),
        "schema.json": (1, None, None),
        "snapshots/snapshot_2_initial.csv": (2, 5, 5),
        "trades_ws_SIMUSDT_20260105.csv": (2, 40, 41),
    }


def test_sizes_and_hashes_match_files(folder):
    """A copied day can be verified with standard tools."""
    manifest = json.loads(folder.manifest.read_text())
    assert list(manifest) == ["schema_version", "symbol", "day", "sealed", "runs", "files"]
    for entry in manifest["files"]:
        data = (folder.path / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_unsealing_keeps_files_and_runs(folder):
    """Unsealing changes only the `sealed` flag."""
    before = read_manifest(folder)
    unseal(folder)
    after = read_manifest(folder)
    assert (after.sealed, after.files, after.runs) == (False, before.files, before.runs)


def test_unreadable_manifest_raises_broken_file(folder):
    """A missing manifest gives None; a broken one is an error."""
    folder.manifest.write_text("{")
    with pytest.raises(BrokenFile, match=r"manifest_SIMUSDT_20260105\.json"):
        read_manifest(folder)
    folder.manifest.unlink()
    assert read_manifest(folder) is None


def test_noted_manifest_covers_rows_written_so_far(tmp_path):
    """After a crash the next run continues from the noted sizes, which exclude later rows."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        for number in range(3):
            writer.trade(T, T // 1000, number, T // 1000, "1", "1", True, number, number)
        writer.flush()
        writer.note()
        writer.trade(T, T // 1000, 3, T // 1000, "1", "1", True, 3, 3)
        writer.flush()
    manifest = read_manifest(folder)
    assert (manifest.sealed, manifest.runs) == (False, ["R1"])
    assert {entry.path: entry.rows for entry in manifest.files}[folder.trades.name] == 3
    proved = proved_tails(folder)[folder.trades]
    assert (proved.lines, proved.last.split(b",")[4]) == (4, b"2")
    assert proved.good_bytes < folder.trades.stat().st_size


def test_manifest_is_not_written_while_hashes_are_incomplete(tmp_path, monkeypatch):
    """No manifest is written that would cover less data than the previous one."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.quarantine(T, "ws", "why", b"raw" * 99)
        writer.flush(sync=True)
        monkeypatch.setattr(buffered_writer, "MOST_HASHED_BYTES", 10)
        writer.trade(T, T // 1000, 3, T // 1000, "1", "1", True, 3, 3)
        writer.flush()
        writer.note()
        assert read_manifest(folder) is None
