"""Columns spilled to files: the same items, read-only, outside of memory, and no files left in the folder."""

import mmap
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from day_stories import PLAIN, tape_events, write_day

from mm.backtest.io import load_day
from mm.tape import spill
from mm.tape.columns import release
from mm.tape.spill import Spill

ITEMS = np.arange(5_000)


def base_of(column):
    while isinstance(column, np.ndarray):
        column = column.base
    return column.obj if isinstance(column, memoryview) else column


def test_columns_without_folder_are_not_copied():
    """Without a folder nothing is copied."""
    place = Spill()
    assert place.kept(ITEMS) is ITEMS
    assert place.keep_block is None


def test_spilled_columns_are_equal_and_read_only(tmp_path):
    """Columns of any type and length are equal, also after their memory is released, and read-only."""
    place = Spill(tmp_path / "new" / "folder")
    for column in (ITEMS, ITEMS.astype(np.int8), ITEMS > 9, ITEMS[::3], ITEMS[:1], ITEMS[:0]):
        kept = place.kept(column)
        release(kept)
        assert (kept.dtype, kept.tolist()) == (column.dtype, column.tolist())
        assert len(column) == 0 or (isinstance(base_of(kept), mmap.mmap) and not kept.flags.writeable)
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize("rows", [0, 1, 3, 5_000])
def test_spilled_block_is_equal_and_aligned(tmp_path, rows):
    """Its columns are aligned."""
    block = ITEMS[:rows].astype(np.int8), ITEMS[:rows].astype(np.int32), ITEMS[:rows], 7, 9
    kept = Spill(tmp_path).keep_block(block)
    assert kept[3:] == (7, 9)
    for column, other in zip(kept[:3], block[:3], strict=True):
        assert (column.dtype, column.tolist(), column.flags.aligned) == (other.dtype, other.tolist(), True)


@pytest.mark.parametrize("folder", [None, "spill"])
@pytest.mark.parametrize("room", [0, 3, 100])
def test_growing_column_contains_all_parts(tmp_path, folder, room):
    """It grows beyond its initial room, by parts of any length; without a part it is empty."""
    place = Spill(tmp_path / folder if folder else None)
    with closing(place.growing(np.int64, room)) as growing:
        assert growing.whole().tolist() == []
    with closing(place.growing(np.int8, room)) as growing:
        for part in (ITEMS[:0], ITEMS[:2], ITEMS[2:3], ITEMS[3:90]):
            growing.add(part)
        found = growing.whole()
    assert (found.dtype, found.tolist()) == (np.int8, list(range(90)))


def test_full_disk_leaves_tape_in_memory_with_note(tmp_path, monkeypatch):
    """A full disk causes no error: the day is read without a cache, and a note gives the reason."""
    folder, cache = write_day(tmp_path, PLAIN), tmp_path / "tapes"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spill, "put", full)
        tape = load_day(folder, cache=cache)
    (note,) = tape.meta.warnings
    assert note.endswith(
        "the tape is not kept for the next run (No space left on device); check --out-root or the disk"
    )
    assert tape_events(tape) == tape_events(load_day(folder))
    assert tape.meta.cache == "off"
    assert list(Path(cache).glob("*.arrow")) == []
