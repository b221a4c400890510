"""Pages that are released are no longer in memory, and read as before."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.tape import columns
from mm.tape.columns import bounds, gathered, in_pieces, release

ITEMS = 1 << 22
NEEDS_LINUX = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux which pages are there")


@pytest.fixture
def column(tmp_path):
    """Return 32 MiB that lie in a file, from its byte 8 on."""
    path = tmp_path / "column"
    np.arange(-1, ITEMS, dtype=np.int64).tofile(path)
    return np.frombuffer(columns.mapped(path), np.int64, ITEMS, 8)


def resident(column):
    """Return how many bytes of the mapping behind *column* are in memory."""
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
    """All but those at the ends, which may belong to a neighbour; and what they hold is still there."""
    total = int(column.sum())
    assert resident(column) >= column.nbytes
    release(column)
    assert resident(column) <= 1 << 17
    assert int(column.sum()) == total == ITEMS * (ITEMS - 1) // 2


@NEEDS_LINUX
def test_only_the_part_that_is_named_is_released(column):
    """A window of a column may be done with while the rest is still wanted."""
    assert column.sum()
    release(column[ITEMS // 2 :].view())
    assert 0 <= resident(column) - column.nbytes // 2 <= 1 << 17


@NEEDS_LINUX
def test_a_column_is_read_without_ever_being_whole_in_memory(column, monkeypatch):
    """Neither piece by piece nor by places all over it."""
    monkeypatch.setattr(columns, "PIECE", 1 << 15)
    release(column)
    most = max(resident(column) for _, piece in in_pieces(column) if piece.sum())
    assert most <= column.nbytes // 4  # the system maps some pages around one that is asked for
    assert gathered(column, np.arange(0, ITEMS, 100)).tolist() == list(range(0, ITEMS, 100))
    assert resident(column) <= column.nbytes // 4


def test_what_is_not_mapped_stays_as_it_is():
    """The pages of other memory would come back empty."""
    column = np.arange(ITEMS)
    release(column)
    release(column[:0])
    assert int(column.sum()) == ITEMS * (ITEMS - 1) // 2


@pytest.mark.parametrize("count", [0, 9, ITEMS])
def test_fresh_memory_is_kept_until_its_column_ends(count):
    """It is mapped where it is large, but no file has its pages."""
    column = columns.fresh(count, np.int64)
    column[:] = np.arange(count)
    release(column)
    assert (column.dtype, len(column), int(column.sum())) == (np.int64, count, count * (count - 1) // 2)


@given(st.sets(st.integers(0, 99)).map(sorted), st.integers(1, 120))
def test_items_are_gathered_whatever_the_pieces(places, piece):
    """Places on both sides of a bound, pieces without any."""
    with patch.object(columns, "PIECE", piece):
        assert gathered(np.arange(100) * 3, np.array(places, np.int64)).tolist() == [3 * place for place in places]


@given(st.lists(st.integers(0, 9)))
def test_bounds_are_where_runs_begin_and_the_last_ends(sizes):
    """Without runs there is one bound, 0."""
    expected = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    assert bounds(np.array(sizes, np.int64)).tolist() == expected
