"""Repair of a whole day: sound days, damage beyond repair, and interrupted repairs."""

import json
import os

import pytest
from mended_days import assert_repaired, details, repaired, tree

from day_files import check
from hand_fed import open_day
from mm import DayFolder
from mm.dayfolder.line_files import gzip_member
from mm.dayfolder.manifest import unseal, write_manifest
from mm.errors import MissingDay, TryLater


def test_repair_does_not_change_sound_day(recorded_day):
    """Nothing is written, not even to the ledger: repairing all days of a disk must not change sound ones."""
    before = tree(recorded_day)
    result = repaired(recorded_day)
    assert (result.changed, result.repairs, result.after.ok) == (False, [], True)
    assert tree(recorded_day) == before


def test_damaged_day_with_compressed_tables_is_repaired(recorded_day):
    """A sealed day whose tables were compressed afterwards loses its frames."""
    for path in (recorded_day.trades, recorded_day.events, recorded_day.gaps):
        path.with_name(path.name + ".gz").write_bytes(gzip_member(path.read_bytes()))
        path.unlink()
    write_manifest(recorded_day, [])
    recorded_day.frames.unlink()
    assert repaired(recorded_day).changed
    assert_repaired(recorded_day)


def test_invalid_manifest_and_schema_are_rebuilt(recorded_day):
    """Manifest and schema can be rebuilt from the rows."""
    recorded_day.manifest.write_text("{")
    recorded_day.schema.write_text("[")
    assert repaired(recorded_day).changed
    assert json.loads(recorded_day.schema.read_text())["top_n"] == 3
    assert_repaired(recorded_day)


def test_irreparable_ledger_row_is_kept_and_reported(recorded_day):
    """A falsified ledger row is not a torn tail and cannot be restored from the raw data."""
    text = recorded_day.events.read_text()
    recorded_day.events.write_text(text.replace("window_start", "window_stort", 1))
    result = repaired(recorded_day)
    assert [defect.kind for defect in result.after.defects if defect.kind != "manifest"] == ["event"]


def test_repair_records_altered_file_in_ledger(recorded_day):
    """The recorded bytes cannot be restored; the ledger records the altered file."""
    text = recorded_day.trades.read_text()
    recorded_day.trades.write_text(text.replace(",0.5,", ",0.6,", 1))
    result = repaired(recorded_day)
    assert (result.changed, [defect.kind for defect in result.after.defects]) == (False, ["manifest"])
    recorded_day.frames.unlink()
    assert repaired(recorded_day).changed
    (event,) = [event for event in details(recorded_day, "anomaly") if event["kind"] == "altered"]
    assert event["path"] == recorded_day.trades.name


def test_repair_does_not_change_day_being_recorded(recorded_day):
    """A repair must not run while a recorder writes the day."""
    before = tree(recorded_day)
    with open_day(recorded_day, "LIVE", top_n=3):
        during = tree(recorded_day)
        with pytest.raises(TryLater):
            repaired(recorded_day)
        assert tree(recorded_day) == during
    assert before != during


def test_full_disk_during_repair_leaves_day_unchanged(recorded_day, monkeypatch):
    """The repair works on a copy; a partially repaired day never replaces the original."""
    recorded_day.frames.unlink()
    before = tree(recorded_day)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mm.dayfolder.repair_ledger.DayWriter", full)
    with pytest.raises(OSError, match="No space"):
        repaired(recorded_day)
    assert tree(recorded_day) == before
    assert sorted(path.name for path in recorded_day.path.parent.iterdir()) == [recorded_day.day]


def test_next_repair_completes_killed_repair(recorded_day, monkeypatch):
    """Between two renames the day is unsealed, and no data is lost."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.unlink()
    os.truncate(recorded_day.trades, recorded_day.trades.stat().st_size - 5)
    moved = []

    def killed(work, folder):
        unseal(folder)
        work.trades.replace(folder.trades)
        moved.append(True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mm.dayfolder.repair._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            repaired(recorded_day)
    assert moved
    assert not check(recorded_day).sealed
    repaired(recorded_day, "FIX2")
    assert recorded_day.frames.read_bytes() == frames
    assert_repaired(recorded_day)


def test_missing_folder_raises_missing_day(tmp_path):
    """No folder is created."""
    with pytest.raises(MissingDay):
        repaired(DayFolder(tmp_path, "SIMUSDT", "20260105"))
    assert not list(tmp_path.iterdir())
