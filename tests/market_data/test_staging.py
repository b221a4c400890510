import shutil
import subprocess
import sys

import pytest

from mm import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.errors import RunExists, TryLater, UsageError
from mm.instrument import Instrument, to_exchange_info
from mm.market_data.capture_import import Staging

US = 1_767_610_800_000_000


def paths_in(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def write(staging, day):
    writer = staging.open(day)
    writer.event(US, "run_start", 0, {"version": "0", "knobs": {}})
    writer.seal()
    writer.close()


def test_days_are_renamed_when_all_are_complete(tmp_path):
    """Before that a reader finds no day; afterwards no temporary files are left."""
    staging = Staging(tmp_path / "data", "SIMUSDT", "R1", 2)
    for day in ("20260105", "20260106"):
        write(staging, day)
        assert not (tmp_path / "data/SIMUSDT" / day).exists()
    places = staging.publish(to_exchange_info(Instrument("SIMUSDT", 1, 1)))
    assert places == [tmp_path / "data/SIMUSDT" / day for day in ("20260105", "20260106")]
    assert sorted(path.name for path in (tmp_path / "data/SIMUSDT").iterdir()) == ["20260105", "20260106"]
    manifest = read_manifest(DayFolder.at(places[0]))
    assert manifest.sealed
    assert "instrument.json" in [entry.path for entry in manifest.files]
    assert not list(places[0].glob("*.lock"))


def test_discard_leaves_no_files(tmp_path):
    """The folders created for the import are removed as well."""
    staging = Staging(tmp_path / "deep/data", "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.open("20260106")
    staging.discard()
    assert paths_in(tmp_path) == []


def test_discard_keeps_existing_files(tmp_path):
    """Another day of the symbol is kept."""
    other = tmp_path / "SIMUSDT/20260101/events.csv"
    other.parent.mkdir(parents=True)
    other.touch()
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.discard()
    assert paths_in(tmp_path) == ["SIMUSDT", "SIMUSDT/20260101", "SIMUSDT/20260101/events.csv"]


def test_existing_day_raises_run_exists(tmp_path):
    """The message contains the day and a remedy; an empty folder does not count as a day."""
    place = tmp_path / "SIMUSDT/20260105"
    place.mkdir(parents=True)
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.publish(None)
    with pytest.raises(RunExists, match=r"SIMUSDT/20260105 already contains a recorded day; .*data_root"):
        Staging(tmp_path, "SIMUSDT", "R2", 2).open("20260105")


def test_day_that_another_import_writes_is_kept(tmp_path):
    """Also between its days, when no file of a day is open; once it has ended, the day can be imported."""
    first = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(first, "20260105")
    second = Staging(tmp_path, "SIMUSDT", "R2", 2)
    with pytest.raises(TryLater, match=r"20260105\.partial: another import is writing it"):
        second.open("20260105")
    second.discard()
    assert (tmp_path / "SIMUSDT/20260105.partial/SIMUSDT/20260105").is_dir()
    first.discard()
    assert paths_in(tmp_path) == []


KILLED = """
import os, sys
from pathlib import Path
from mm.market_data.capture_import import Staging
staging = Staging(Path(sys.argv[1]), "SIMUSDT", "R1", 2)
staging.open("20260105").close()
staging.open("20260106").event(1_767_700_000_000_000, "run_start", 0, {"version": "0", "knobs": {}})
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("run_id", ["R1", "R2"])
def test_killed_import_does_not_block_the_next(tmp_path, run_id):
    """Nothing of it gets into the days of the next, which may have the same RUN_ID."""
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert (tmp_path / "SIMUSDT/20260106.partial/SIMUSDT/20260106/day.lock").is_file()
    staging, clean = Staging(tmp_path, "SIMUSDT", run_id, 2), Staging(tmp_path / "clean", "SIMUSDT", run_id, 2)
    for one in (staging, clean):
        for day in ("20260105", "20260106"):
            write(one, day)
        one.publish(None)
    shutil.move(tmp_path / "clean", tmp_path.with_name("clean" + run_id))
    assert paths_in(tmp_path) == paths_in(tmp_path.with_name("clean" + run_id))


def test_partial_folder_of_another_is_refused(tmp_path):
    """A file of the user is not removed."""
    mine = tmp_path / "SIMUSDT/20260105.partial/notes.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    with pytest.raises(RunExists, match=r"20260105\.partial has files that no import wrote; .*data_root"):
        staging.open("20260105")
    staging.discard()
    assert mine.is_file()


def test_unwritable_root_raises_usage_error(tmp_path):
    """A file is at the path of the folder."""
    (tmp_path / "data").touch()
    with pytest.raises(UsageError, match=r"data_root .*data: cannot be written"):
        Staging(tmp_path / "data", "SIMUSDT", "R1", 2).open("20260105")


def test_day_is_written_to_the_target_of_its_link(tmp_path):
    """A day on another disk is made there, and the link stays; a link to nothing is named."""
    disk = tmp_path / "disk"
    (tmp_path / "SIMUSDT").mkdir()
    (tmp_path / "SIMUSDT/20260105").symlink_to(disk)
    with pytest.raises(UsageError, match=r"20260105 is a link to .*disk, which does not exist"):
        Staging(tmp_path, "SIMUSDT", "R1", 2).open("20260105")
    disk.mkdir()
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    assert staging.publish(None) == [tmp_path / "SIMUSDT/20260105"]
    assert (tmp_path / "SIMUSDT/20260105").is_symlink()
    assert (disk / "events_SIMUSDT_20260105.csv").is_file()
