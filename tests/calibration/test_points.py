"""Tables of points: reading, validation and writing."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import Points, fit_poisson
from mm.calibration.points import as_points, group, read_points, write_points
from mm.errors import BrokenFile, DataError

GOOD = {"delta_ticks": [1, 2], "exposure_s": [10, 20], "fills": [3, 1]}


def write(folder, text, encoding="utf-8"):
    path = folder / "points.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_may_be_in_any_order_and_unknown_ones_are_ignored(tmp_path):
    """A table exported from another program needs no changes."""
    path = write(
        tmp_path, "fills, note,side,delta_ticks,exposure_s,block\n3,a,bid,1,10.5,x\n1,b,ask,2.5,20,y\n\n0,c,,3,5,\n"
    )
    points = read_points(path)
    assert points.delta_ticks.tolist() == [1, 2.5, 3]
    assert points.exposure_s.tolist() == [10.5, 20, 5]
    assert points.fills.tolist() == [3, 1, 0]
    assert points.side.tolist() == [1, -1, 0]
    assert points.block.tolist() == [0, 1, -1]
    assert np.isinf(points.width_ticks).all()


def test_byte_order_mark_is_ignored(tmp_path):
    """Spreadsheets write one."""
    assert len(read_points(write(tmp_path, "delta_ticks,exposure_s,fills\n1,2,3\n", "utf-8-sig"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "points.csv:1: no column delta_ticks"),
        ("delta_ticks;exposure_s;fills\n1;2;3\n", "separated by commas"),
        ("delta_ticks,exposure_s\n1,2\n", "points.csv:1: no column fills"),
        ("fills,delta_ticks,exposure_s,fills\n1,2,3,4\n", "points.csv:1: more than one column fills"),
        ("delta_ticks,exposure_s,fills\n1,2,3\n1,2\n", "points.csv:3: 2 fields under 3 columns"),
        ("delta_ticks,exposure_s,fills\n1,2,3\n1,two,3\n", "points.csv:3: exposure_s is 'two', not a number"),
        ("delta_ticks,exposure_s,fills\n1,2,1_000\n", "points.csv:2: fills is '1_000', not a number"),
        ("delta_ticks,exposure_s,fills\n1,2,3\n\n1,-2,3\n", "points.csv:4: exposure_s is -2"),
        ("delta_ticks,exposure_s,fills\nnan,2,3\n", "points.csv:2: delta_ticks is nan"),
        ("delta_ticks,exposure_s,fills\n1,inf,3\n", "points.csv:2: exposure_s is inf"),
        ("delta_ticks,exposure_s,fills\n1,2,-1\n", "points.csv:2: fills is -1"),
        ("delta_ticks,exposure_s,fills\n1,0,1\n", "points.csv:2: exposure_s is 0; fills require"),
        ("delta_ticks,exposure_s,fills,side\n1,2,3,buy\n", "points.csv:2: side is 'buy'; write bid or ask"),
    ],
)
def test_malformed_table_is_rejected_with_file_line_and_value(tmp_path, text, message):
    """The exit code is that of a broken file."""
    with pytest.raises(BrokenFile) as caught:
        read_points(write(tmp_path, text))
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'delta_ticks,exposure_s,fills\n"1,2,3' + b"x" * 200_000])
def test_file_that_is_not_a_table_is_rejected(tmp_path, content):
    """Binary files, endless fields, missing files and folders do not crash."""
    path = tmp_path / "points.csv"
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=r"points\.csv"):
        read_points(path)
    with pytest.raises(BrokenFile, match="absent"):
        read_points(tmp_path / "absent.csv")
    with pytest.raises(BrokenFile):
        read_points(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"delta_ticks": [1, float("nan")]}, "row 2: delta_ticks is nan"),
        ({"exposure_s": [-1, 20]}, "row 1: exposure_s is -1"),
        ({"exposure_s": [10, 1e301]}, "row 2: exposure_s is 1e\\+301"),
        ({"fills": [3, -1]}, "row 2: fills is -1"),
        ({"exposure_s": [10, 0]}, "row 2: exposure_s is 0; fills require"),
        ({"fills": [3, 1, 2]}, "shapes"),
        ({"fills": ["many", 1]}, "column fills is not all numbers"),
        ({"side": ["bid", "left"]}, "row 2: side is 'left'"),
        ({"side": [3, 1]}, "row 1: side is 3"),
        ({"block": [0, 1.5]}, "row 2: block is 1.5"),
        ({"block": [-2, 1]}, "row 1: block is -2"),
        ({"width_ticks": [1, 0]}, "row 2: width_ticks is 0"),
    ],
)
def test_invalid_columns_are_rejected_with_row(changed, message):
    """The same rules apply to tables made in Python."""
    with pytest.raises(DataError, match=message):
        as_points(GOOD | changed)


def test_as_points_accepts_mapping_columns_and_points():
    """Same inputs as `mm.fit_poisson`."""
    points = as_points({**GOOD, "side": ["bid", -1], "remark": ["x", "y"]})
    assert as_points(points) is points
    assert points.side.tolist() == [1, -1]
    assert as_points(list(GOOD.values())).fills.tolist() == [3, 1]
    for incomplete in ({"fills": [1]}, [[1], [2]]):
        with pytest.raises(DataError, match="exposure_s"):
            as_points(incomplete)


def test_points_are_read_only_copies():
    """Validated data cannot change afterwards."""
    source = np.array([1.0, 2.0])
    points = Points.of(source, [10, 20], [3, 1])
    source[0] = np.nan
    assert points.delta_ticks.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        points.fills[0] = 7


def test_written_file_is_sorted_and_sums_blocks(tmp_path):
    """`calibration_points.csv`: by distance, bid before ask; without exposure the intensity is empty."""
    points = Points.of(
        [2, 1, 1, 1, 3.5, 9],
        [10, 5, 5, 20, 8, 0],
        [1, 2, 3, 4, 0, 0],
        ["bid", "ask", "ask", "bid", "", "bid"],
        range(6),
    )
    path = tmp_path / "calibration_points.csv"
    write_points(path, points)
    assert path.read_text() == (
        "delta_ticks,side,exposure_s,fills,lambda_per_s\n"
        "1,bid,20,4,0.2\n"
        "1,ask,10,5,0.5\n"
        "2,bid,10,1,0.1\n"
        "3.5,,8,0,0\n"
        "9,bid,0,0,\n"
    )


rows = st.tuples(
    st.floats(-100, 100),
    st.floats(1e-3, 1e9),
    st.one_of(st.integers(0, 10**9), st.floats(0, 1e9)),
    st.sampled_from([-1, 0, 1]),
)


@given(st.lists(rows, min_size=1, max_size=8, unique_by=lambda row: (row[0], row[3])))
def test_points_round_trip_through_csv(tmp_path_factory, table):
    """No number changes."""
    delta, exposure, fills, side = zip(*sorted(table, key=lambda row: (row[0], -row[3])), strict=True)
    points = Points.of(delta, exposure, fills, side)
    path = tmp_path_factory.mktemp("points") / "points.csv"
    write_points(path, points)
    again = read_points(path)
    for name in ("delta_ticks", "exposure_s", "fills", "side"):
        assert getattr(again, name).tolist() == getattr(points, name).tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_group_returns_sorted_distinct_keys(keys):
    """Every sum over rows depends on this."""
    pairs = np.array(keys, np.int64).reshape(-1, 2)
    first, groups = group(pairs[:, 0], pairs[:, 1])
    assert [tuple(pairs[row]) for row in first] == sorted(set(keys))
    assert [tuple(pairs[first[number]]) for number in groups] == keys


TABLE = {
    "side": ["bid", "ask", None, "bid"],
    "fills": [40, 12, 9, 2],
    "note": ["a", "b", "c", "d"],
    "exposure_s": [100.0, 100.0, 200.0, 300.0],
    "delta_ticks": [1.0, 2.0, 2.0, 4.0],
}


@pytest.mark.parametrize("kind", ["mapping", "polars", "arrow", "structured"])
def test_named_columns_are_read_by_name(kind):
    """Regression: a frame in another order counted fills as distances."""
    rows = np.rec.fromarrays(
        [np.array([one or "" for one in TABLE["side"]]), *(np.array(TABLE[name]) for name in list(TABLE)[1:])],
        names=list(TABLE),
    )
    makers = {"mapping": lambda: TABLE, "polars": lambda: pl.DataFrame(TABLE), "structured": lambda: rows}
    points = as_points(makers.get(kind, lambda: pa.table(TABLE))())
    assert points.delta_ticks.tolist() == TABLE["delta_ticks"]
    assert points.exposure_s.tolist() == TABLE["exposure_s"]
    assert points.fills.tolist() == TABLE["fills"]
    assert points.side.tolist() == [1, -1, 0, 1]


def test_written_points_can_be_fitted_as_frame(tmp_path):
    """A CSV reader makes nulls of the empty sides in ``calibration_points.csv``."""
    points = Points.of([1, 2, 3], [100, 100, 100], [60, 30, 14])
    write_points(tmp_path / "points.csv", points)
    by_frame = fit_poisson(pl.read_csv(tmp_path / "points.csv"))
    assert by_frame.usable
    assert (by_frame.A, by_frame.k) == (fit_poisson(points).A, fit_poisson(points).k)
    with pytest.raises(DataError, match="no column fills among delta_ticks"):
        fit_poisson(pl.read_csv(tmp_path / "points.csv").drop("fills"))


def test_weighed_points_keep_distances_and_blocks():
    """Weights change exposure and fills alone."""
    points = Points.of([1, 2, 1], [4, 6, 8], [1, 0, 2], block=[0, 0, 2])
    weighed = points.weighed(np.array([0.5, 1.0, 0.25]))
    assert weighed.exposure_s.tolist() == [2.0, 6.0, 2.0]
    assert weighed.fills.tolist() == [0.5, 0.0, 0.5]
    assert [column.tolist() for column in weighed.groups] == [column.tolist() for column in points.groups]
    with pytest.raises(ValueError, match="read-only"):
        weighed.exposure_s[0] = 1.0
