"""Days, symbols and files that are links to another disk: known by the names of the links, and kept as links."""

import os
import shutil

import pytest
from mended_days import assert_repaired, repaired

import mm
from mm import DayFolder
from mm.base.paths import as_given
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import day_folder
from mm.errors import MissingDay


@pytest.fixture
def linked(recorded_day, tmp_path):
    """Return a data folder whose symbol is a link, and one whose day is a link, both to folders of other names."""
    disk, by_symbol, by_day = tmp_path / "disk", tmp_path / "by_symbol", tmp_path / "by_day"
    disk.mkdir()
    shutil.copytree(recorded_day.path, disk / "sym" / recorded_day.day)
    shutil.copytree(recorded_day.path, disk / "some day")
    by_symbol.mkdir()
    (by_symbol / recorded_day.symbol).symlink_to(disk / "sym")
    (by_day / recorded_day.symbol).mkdir(parents=True)
    (by_day / recorded_day.symbol / recorded_day.day).symlink_to(disk / "some day")
    return [DayFolder(root, recorded_day.symbol, recorded_day.day) for root in (by_symbol, by_day)]


def test_linked_day_is_known_by_the_names_of_the_links(linked):
    """A symbol's folder on another disk has another name there."""
    for folder in linked:
        assert DayFolder.at(folder.path) == folder
        assert DayFolder.at(folder.root / "." / folder.symbol / folder.day / ".").path == folder.path
        assert check_day(DayFolder.at(folder.path)).ok
        assert mm.load_day(folder.path).instrument.symbol == folder.symbol


def test_repair_of_a_linked_day_keeps_the_links(linked):
    """The disk that the user chose gets the repaired files; so does the place of a single linked file."""
    for folder in linked:
        elsewhere = folder.root / "frames.csv"
        shutil.move(folder.frames, elsewhere)
        folder.frames.symlink_to(elsewhere)
        elsewhere.write_bytes(elsewhere.read_bytes()[:-40])
        assert repaired(folder).changed
        assert_repaired(folder)
        assert folder.frames.is_symlink()
        assert folder.path.is_symlink() or folder.path.parent.is_symlink()


def test_link_to_nothing_is_named(tmp_path):
    """An unmounted disk must not read as a day that was never recorded."""
    (tmp_path / "SIM").symlink_to(tmp_path / "gone")
    with pytest.raises(MissingDay, match=r"SIM is a link to .*gone, which does not exist"):
        day_folder(tmp_path, "SIM", "20260105")


def test_parent_of_a_link_is_the_one_that_the_system_sees(tmp_path):
    """``link/..`` is the folder of the target: only there the text and the system disagree."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert as_given(tmp_path / "link" / ".." / "c") == tmp_path / "a" / "c"
    assert as_given(tmp_path / "a" / ".." / "link" / "c") == tmp_path / "link" / "c"
    assert as_given(os.path.relpath(tmp_path / "link")) == tmp_path / "link"
