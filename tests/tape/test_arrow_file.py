"""The Arrow file of a kept tape, and one error for other files."""

import struct
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.tape.columns import DTYPES
from mm.tape.keep import read_arrow, write_arrow

SIZES = st.dictionaries(st.sampled_from(["us", *DTYPES]), st.integers(0, 40), min_size=1, max_size=20)


def write_tape(path, columns, entry=b"{}"):
    """Write *columns* as a kept tape, and return the bytes of the file."""
    shapes = {name: (column.dtype, len(column)) for name, column in columns.items()}
    write_arrow(path, entry, shapes, ((name, 0, column) for name, column in columns.items()))
    return path.read_bytes()


def arrow(columns, rows=1, **writing):
    """Return the bytes of an Arrow file with list columns, written by pyarrow."""
    table = pa.table({name: pa.array([items] * rows, kind) for name, (items, kind) in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**writing)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@settings(max_examples=60)
@given(SIZES, st.binary(max_size=300))
def test_columns_are_read_as_written(tmp_path_factory, sizes, entry):
    """Covers columns of any type and length; the entry is read back as well."""
    chance, path = np.random.default_rng(len(entry)), tmp_path_factory.mktemp("kept") / "tape.arrow"
    columns = {name: chance.integers(0, 100, size).astype(DTYPES.get(name, np.int64)) for name, size in sizes.items()}
    write_tape(path, columns, entry)
    file = read_arrow(path, tuple(columns))
    assert file.entry == entry
    assert list(file.wrong_sums()) == []
    for name, column in columns.items():
        np.testing.assert_array_equal(file.columns[name], column, strict=True)


FOREIGN = {
    "nothing": b"",
    "text": b"ARROW1 is not all there is to a file",
    "floats": arrow({"us": ([1.0, 2.0], pa.large_list(pa.float64()))}),
    "small lists": arrow({"us": ([1, 2], pa.list_(pa.int64()))}),
    "numbers": arrow({"us": (1, pa.int64())}),
    "two rows": arrow({"us": ([1, 2], pa.large_list(pa.int64()))}, rows=2),
    "compressed": arrow({"us": ([1, 2] * 1_000, pa.large_list(pa.int64()))}, compression="zstd"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_raise_value_error(tmp_path, name):
    """This includes Arrow files without lists of integers in one row."""
    (tmp_path / "tape.arrow").write_bytes(FOREIGN[name])
    with pytest.raises(ValueError, match=r"\w"):
        read_arrow(tmp_path / "tape.arrow", ("us",))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the path, content and columns of a file with two columns."""
    path = tmp_path_factory.mktemp("kept") / "tape.arrow"
    columns = {"event_us": np.arange(50, dtype=np.int64), "kind": np.ones(50, np.uint8)}
    return path, write_tape(path, columns), columns


@pytest.mark.slow
@settings(max_examples=500)
@given(st.data())
def test_damaged_file_is_read_or_raises_value_error(kept, tmp_path_factory, data):
    """With any four bytes replaced, the columns are within the file, or a ValueError is raised."""
    path, content, columns = kept
    damaged = bytearray(content)
    at = data.draw(st.integers(0, len(content) - 4))
    damaged[at : at + 4] = data.draw(
        st.sampled_from([struct.pack("<i", value) for value in (-1, 0, 1, 2**31 - 1, -(2**31), 999)])
    )
    place = tmp_path_factory.mktemp("harmed") / path.name
    place.write_bytes(damaged)
    with suppress(ValueError):
        file = read_arrow(place, tuple(columns))
        assert {name: column.dtype for name, column in file.columns.items()} == {
            name: column.dtype for name, column in columns.items()
        }
        assert all("has the checksum" in value for value in file.wrong_sums())


def test_columns_are_views_of_the_mapped_file(kept):
    """A tape is memory-mapped and not copied."""
    path, _, columns = kept
    for column in read_arrow(path, tuple(columns)).columns.values():
        assert not column.flags.owndata
        assert not column.flags.writeable
