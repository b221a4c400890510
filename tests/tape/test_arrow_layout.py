"""Where the columns of a kept tape lie: what pyarrow finds, and one error for whatever is something else."""

import struct
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.tape.arrow_layout import ColumnPlace, read_layout
from mm.tape.columns import DTYPES, mapped
from mm.tape.keep import read_arrow, write_arrow

SIZES = st.dictionaries(st.sampled_from(["us", *DTYPES]), st.integers(0, 40), min_size=1, max_size=20)


def written(path, columns, entry=b"{}"):
    """Write *columns* as a tape is kept, and return the bytes of the file."""
    shapes = {name: (column.dtype, len(column)) for name, column in columns.items()}
    write_arrow(path, entry, shapes, ((name, 0, column) for name, column in columns.items()))
    return path.read_bytes()


def arrow(columns, rows=1, **writing):
    """Return the bytes of an Arrow file with lists of columns, as pyarrow itself writes it."""
    table = pa.table({name: pa.array([items] * rows, kind) for name, (items, kind) in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**writing)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@settings(max_examples=60)
@given(SIZES, st.binary(max_size=300))
def test_columns_lie_where_pyarrow_finds_them(tmp_path_factory, sizes, entry):
    """Whatever their types and lengths, empty ones among them; and the entry is read back."""
    chance, path = np.random.default_rng(len(entry)), tmp_path_factory.mktemp("layout") / "tape.arrow"
    columns = {name: chance.integers(0, 100, size).astype(DTYPES.get(name, np.int64)) for name, size in sizes.items()}
    content = written(path, columns, entry)
    batch = pa.ipc.open_file(pa.py_buffer(content)).get_batch(0)
    metadata, places = read_layout(content)
    assert metadata == batch.schema.metadata == {b"mm.tape": entry}
    assert list(places) == batch.schema.names
    for name, place in places.items():
        items = batch.column(name).values
        assert str(items.type) == place.dtype
        found = np.frombuffer(content, place.dtype, place.size, place.offset if place.size else 0)
        assert found.tolist() == items.tolist()


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
def test_other_files_are_refused(name):
    """Also Arrow files that hold something else than lists of whole numbers in one row."""
    with pytest.raises(ValueError, match=r"\w"):
        read_layout(FOREIGN[name])


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A file of two columns, and its place."""
    path = tmp_path_factory.mktemp("kept") / "tape.arrow"
    columns = {"event_us": np.arange(50, dtype=np.int64), "kind": np.ones(50, np.uint8)}
    return path, written(path, columns), columns


@settings(max_examples=500)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(kept, tmp_path_factory, data):
    """Four bytes anywhere become others: what is found lies in the file, or one error says what is wrong."""
    path, content, columns = kept
    harmed = bytearray(content)
    at = data.draw(st.integers(0, len(content) - 4))
    harmed[at : at + 4] = data.draw(
        st.sampled_from([struct.pack("<i", one) for one in (-1, 0, 1, 2**31 - 1, -(2**31), 999)])
    )
    place = tmp_path_factory.mktemp("harmed") / path.name
    place.write_bytes(harmed)
    with suppress(ValueError):
        file = read_arrow(place, tuple(columns))
        assert {name: column.dtype for name, column in file.columns.items()} == {
            name: column.dtype for name, column in columns.items()
        }
        assert all("has the checksum" in one for one in file.wrong_sums())


def test_a_mapped_file_is_read_like_its_bytes(kept):
    """A tape is mapped, so that nothing of it is copied."""
    path, content, columns = kept
    places = read_layout(mapped(path))[1]
    assert places == read_layout(content)[1]
    assert {name: (one.dtype, one.size) for name, one in places.items() if name in columns} == {
        name: (column.dtype.name, len(column)) for name, column in columns.items()
    }
    assert isinstance(places["kind"], ColumnPlace)
