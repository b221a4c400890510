import pytest

from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.errors import RunExists, UsageError
from mm.instrument import Instrument, to_exchange_info
from mm.market_data.capture_import import Staging

US = 1_767_610_800_000_000


def everything(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def write(staging, day):
    writer = staging.open(day)
    writer.event(US, "run_start", 0, {"version": "0", "knobs": {}})
    writer.seal()
    writer.close()


def test_days_get_their_names_when_all_are_whole(tmp_path):
    """Until then a reader finds no day; afterwards nothing temporary is left."""
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


def test_what_is_discarded_leaves_nothing_behind(tmp_path):
    """Not even the folders that were made for it."""
    staging = Staging(tmp_path / "deep/data", "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.open("20260106")
    staging.discard()
    assert everything(tmp_path) == []


def test_discarding_spares_what_was_there_before(tmp_path):
    """Another day of the symbol is none of this run's business."""
    other = tmp_path / "SIMUSDT/20260101/events.csv"
    other.parent.mkdir(parents=True)
    other.touch()
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.discard()
    assert everything(tmp_path) == ["SIMUSDT", "SIMUSDT/20260101", "SIMUSDT/20260101/events.csv"]


def test_a_recorded_day_is_never_touched(tmp_path):
    """The message names it and the way out; an empty folder is no day."""
    place = tmp_path / "SIMUSDT/20260105"
    place.mkdir(parents=True)
    staging = Staging(tmp_path, "SIMUSDT", "R1", 2)
    write(staging, "20260105")
    staging.publish(None)
    with pytest.raises(RunExists, match=r"SIMUSDT/20260105 holds a recorded day already; .*--data-root"):
        Staging(tmp_path, "SIMUSDT", "R2", 2).open("20260105")


def test_a_left_over_is_named_and_not_removed(tmp_path):
    """It may belong to an import that is running."""
    write(Staging(tmp_path, "SIMUSDT", "R1", 2), "20260105")
    second = Staging(tmp_path, "SIMUSDT", "R2", 2)
    with pytest.raises(RunExists, match=r"20260105\.partial is there"):
        second.open("20260105")
    second.discard()
    assert (tmp_path / "SIMUSDT/20260105.partial").is_dir()


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    """There is a file at the path of the folder."""
    (tmp_path / "data").touch()
    with pytest.raises(UsageError, match=r"--data-root \(DATA_ROOT\) .*data: cannot be written"):
        Staging(tmp_path / "data", "SIMUSDT", "R1", 2).open("20260105")
