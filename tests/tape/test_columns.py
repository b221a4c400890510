"""Released pages leave memory, and can be read again; columns in memory and in files."""

import mmap
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.tape import columns
from mm.tape.columns import bounds, gathered, growing, in_pieces, release, stored

ITEMS = 1 << 22
NEEDS_LINUX = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs smaps of Linux")


@pytest.fixture
def column(tmp_path):
    """Return a column of 32 MiB in a mapped file, at offset 8."""
    path = tmp_path / "column"
    np.arange(-1, ITEMS, dtype=np.int64).tofile(path)
    return np.frombuffer(columns.mapped(path), np.int64, ITEMS, 8)


def resident(column):
    """Return the resident bytes of the mapping of *column*."""
    name, found = None, 0
    address = column.ctypes.data
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head, _, rest = line.partition(" ")
        if "-" in head and not head.endswith(":"):
            low, high = (int(bound, 16) for bound in head.split("-"))
            name = low <= address < high
        elif name and head == "Rss:":
            found += int(rest.split()[0]) * 1024
    return found


@NEEDS_LINUX
def test_released_pages_leave_memory(column):
    """All pages but those at the ends, which may belong to a neighbour, leave memory; the content is unchanged."""
    total = int(column.sum())
    assert resident(column) >= column.nbytes
    release(column)
    assert resident(column) <= 1 << 17
    assert int(column.sum()) == total == ITEMS * (ITEMS - 1) // 2


@NEEDS_LINUX
def test_only_given_part_is_released(column):
    """A window of a column can be released while the rest is in use."""
    assert column.sum()
    release(column[ITEMS // 2 :].view())
    assert 0 <= resident(column) - column.nbytes // 2 <= 1 << 17


@pytest.mark.slow
@NEEDS_LINUX
def test_column_is_read_without_being_whole_in_memory(column, monkeypatch):
    """Reading in pieces or at scattered positions loads only a part at a time."""
    monkeypatch.setattr(columns, "PIECE", 1 << 15)
    release(column)
    most = max(resident(column) for _, piece in in_pieces(column) if piece.sum())
    assert most <= column.nbytes // 4  # the system also maps some pages around a requested one
    assert gathered(column, np.arange(0, ITEMS, 100)).tolist() == list(range(0, ITEMS, 100))
    table, rows = column.reshape(-1, 8), np.arange(0, ITEMS // 8, 1_000)
    assert gathered(table, rows)[:, 3].tolist() == (8 * rows + 3).tolist()
    assert [len(piece) for _, piece in in_pieces(table[:10_000], 1)] == [4_097, 4_097, 1_808]
    assert resident(column) <= column.nbytes // 4


def test_release_does_not_change_unmapped_memory():
    """Released pages of unmapped memory would come back empty."""
    column = np.arange(ITEMS)
    release(column)
    release(column[:0])
    assert int(column.sum()) == ITEMS * (ITEMS - 1) // 2


@given(st.sets(st.integers(0, 99)).map(sorted), st.integers(1, 120))
def test_gathered_items_do_not_depend_on_pieces(places, piece):
    """Covers positions on both sides of a bound, and pieces without any."""
    with patch.object(columns, "PIECE", piece):
        assert gathered(np.arange(100) * 3, np.array(places, np.int64)).tolist() == [3 * place for place in places]


@given(st.lists(st.integers(0, 9)))
def test_bounds_are_starts_of_runs_and_last_end(sizes):
    """Without runs there is a single bound, 0."""
    expected = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    assert bounds(np.array(sizes, np.int64)).tolist() == expected


def base_of(column):
    while isinstance(column, np.ndarray):
        column = column.base
    return column.obj if isinstance(column, memoryview) else column


def test_stored_columns_are_equal_and_read_only(tmp_path):
    """Columns of any type and length are equal, also after their memory is released, and leave no files."""
    items = np.arange(5_000)
    assert stored(items, None) is items
    for column in (items, items.astype(np.int8), items > 9, items[::3], items[:1], items[:0]):
        kept = stored(column, tmp_path)
        release(kept)
        assert (kept.dtype, kept.tolist()) == (column.dtype, column.tolist())
        assert len(column) == 0 or (isinstance(base_of(kept), mmap.mmap) and not kept.flags.writeable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_file", [False, True])
def test_growing_column_contains_all_parts(tmp_path, in_file):
    """Parts may have any length, and are converted; without a part it is empty."""
    items = np.arange(90)
    with growing({"a": np.int8, "b": np.int64}, tmp_path if in_file else None) as columns:
        for part in (items[:0], items[:2], items[2:3], items[3:]):
            columns.add(part, part[:0])
        first, second = columns.whole().values()
    assert (first.dtype, first.tolist(), second.dtype, second.tolist()) == (np.int8, list(range(90)), np.int64, [])
