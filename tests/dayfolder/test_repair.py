"""A repair as a whole: what it leaves alone, what it cannot mend, and what happens when it is killed."""

import json
import os

import pytest
from mended_days import assert_mended, details, repaired, tree

from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import unseal
from mm.errors import MissingDay, TryLater


def test_a_sound_day_is_left_as_it_is(recorded_day):
    """Nothing is written, not even the ledger: repairing all days of a disk must not change the good ones."""
    before = tree(recorded_day)
    result = repaired(recorded_day)
    assert (result.changed, result.repairs, result.after.ok) == (False, [], True)
    assert tree(recorded_day) == before


def test_a_manifest_and_a_schema_that_are_no_json_are_made_anew(recorded_day):
    """They say nothing that the rows do not say."""
    recorded_day.manifest.write_text("{")
    recorded_day.schema.write_text("[")
    assert repaired(recorded_day).changed
    assert json.loads(recorded_day.schema.read_text())["top_n"] == 3
    assert_mended(recorded_day)


def test_what_cannot_be_mended_is_left_and_named(recorded_day):
    """A falsified ledger is no torn tail: the raw data do not allow to guess."""
    text = recorded_day.events.read_text()
    recorded_day.events.write_text(text.replace("window_start", "window_stort", 1))
    result = repaired(recorded_day)
    assert [defect.kind for defect in result.after.defects if defect.kind != "manifest"] == ["event"]


def test_a_file_that_was_altered_is_not_sealed_as_if_nothing_were(recorded_day):
    """Its bytes are not those that were recorded, and nothing can tell which were right: the ledger keeps that."""
    text = recorded_day.trades.read_text()
    recorded_day.trades.write_text(text.replace(",0.5,", ",0.6,", 1))
    result = repaired(recorded_day)
    assert (result.changed, [defect.kind for defect in result.after.defects]) == (False, ["manifest"])
    recorded_day.frames.unlink()
    assert repaired(recorded_day).changed
    (told,) = [told for told in details(recorded_day, "anomaly") if told["kind"] == "altered"]
    assert told["path"] == recorded_day.trades.name


def test_a_day_that_is_being_recorded_is_not_touched(recorded_day):
    """A repair must not race a recorder."""
    before = tree(recorded_day)
    with DayWriter(recorded_day, "LIVE", top_n=3):
        during = tree(recorded_day)
        with pytest.raises(TryLater):
            repaired(recorded_day)
        assert tree(recorded_day) == during
    assert before != during


def test_no_space_for_the_copy_leaves_the_day_as_it_was(recorded_day, monkeypatch):
    """The work is done beside; nothing half-mended is ever in the place of the day."""
    recorded_day.frames.unlink()
    before = tree(recorded_day)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mm.dayfolder.repair_ledger.DayWriter", full)
    with pytest.raises(OSError, match="No space"):
        repaired(recorded_day)
    assert tree(recorded_day) == before
    assert sorted(path.name for path in recorded_day.path.parent.iterdir()) == [recorded_day.day]


def test_a_repair_that_was_killed_is_finished_by_the_next(recorded_day, monkeypatch):
    """Between two renames the day is not sealed, and nothing is lost."""
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
    assert not check_day(recorded_day).sealed
    repaired(recorded_day, "FIX2")
    assert recorded_day.frames.read_bytes() == frames
    assert_mended(recorded_day)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """No folder is made where one is missing."""
    with pytest.raises(MissingDay):
        repaired(DayFolder(tmp_path, "SIMUSDT", "20260105"))
    assert not list(tmp_path.iterdir())
