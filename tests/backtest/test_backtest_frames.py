"""The frames of a result, compared with its files and its summary."""

import csv
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from journals import Scribe, run_terms, scribes, seeded
from mm import Result
from mm.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# for each frame: its file, and the columns whose names differ
FILES = {
    "orders_frame": (
        "orders",
        {
            "time": "recv_us",
            "active_time": "active_recv_us",
            "expire_time": "expire_recv_us",
            "cancel_request_time": "cancel_req_ms",
            "cancel_effective_time": "cancel_effective_us",
        },
    ),
    "fills_frame": ("fills", {"time": "recv_us", "inventory": "inventory_after"}),
    "state_frame": ("state", {"time": "recv_us"}),
}


def result_of(scribe, **terms):
    return Result(scribe.journal(), run_terms(scribe.instrument, **terms))


def as_file(value, text, name):
    """Return a cell of a frame and the text of the file's cell as two comparable values."""
    if text == "":
        return value, None
    if isinstance(value, datetime):
        us = (value - EPOCH) // timedelta(microseconds=1)
        return (us // 1000 if name.endswith("_ms") else us), int(text)
    return value, type(value)(text)


@settings(max_examples=25, deadline=None)
@given(scribes())
def test_frames_equal_the_written_files(tmp_path_factory, scribe):
    """Row by row and cell by cell; a number is exactly the float of its text in the file."""
    folder, result = tmp_path_factory.mktemp("run"), result_of(scribe)
    result.write_tables(folder)
    for method, (table, renamed) in FILES.items():
        frame = getattr(result, method)()
        with (folder / f"{table}_{scribe.instrument.symbol}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(frame) == len(rows)
        for name in frame.columns:
            column = renamed.get(name, name)
            for value, row in zip(frame[name].to_list(), rows, strict=True):
                found, expected = as_file(value, row[column], column)
                assert found == expected, (name, row)


@pytest.mark.parametrize("method", [*FILES, "equity_frame", "markouts_frame"])
def test_frames_have_utc_times_and_convert_to_pandas(method):
    """Times are in µs with their zone; an empty run has the same columns."""
    frame, empty = (getattr(result_of(scribe), method)() for scribe in (seeded(120, breaks=1), Scribe()))
    assert frame.schema == empty.schema or method in ("fills_frame", "markouts_frame")
    assert frame.columns == empty.columns
    assert len(frame) > 0 == len(empty)
    for name, kind in frame.schema.items():
        assert kind == pl.Datetime("us", "UTC") if name.endswith("time") else kind != pl.Object
    pandas = pytest.importorskip("pandas", reason="pandas comes with nothing that mm needs")
    assert str(frame.to_pandas().dtypes["time"]) == "datetime64[us, UTC]"
    assert isinstance(frame.to_pandas(), pandas.DataFrame)


@pytest.mark.parametrize("table", ["orders", "fills", "state"])
def test_tables_go_into_pandas_as_they_are(table):
    """The same rows and columns; where pandas is missing, polars names it."""
    pandas = pytest.importorskip("pandas", reason="pandas comes with nothing that mm needs")
    frame = getattr(result_of(seeded(60)), table)
    found = frame.to_pandas()
    assert list(found.columns) == frame.columns
    assert found["recv_us"].tolist() == frame["recv_us"].to_list()
    assert isinstance(found, pandas.DataFrame)


def test_equity_frame_agrees_with_pnl_and_drawdown_of_summary():
    """The last value is the PnL, the largest drawdown is max_drawdown; rows before the first book are left out."""
    result = result_of(seeded(600, breaks=3, seed=204))
    equity, state = result.equity_frame(), result.state_frame()
    assert equity["pnl"][-1] == result.summary["pnl_total"]
    assert equity["drawdown"].max() == result.summary["max_drawdown"]
    assert equity["drawdown"].min() == 0
    assert 0 < len(equity) < len(state)
    assert equity["equity"].to_list() == state["equity"].drop_nulls().to_list()


def test_mean_markouts_equal_those_of_the_summary():
    """Weighted by quantity, over the fills with a known markout."""
    result = result_of(seeded(900, breaks=2))
    frame, summary = result.markouts_frame(), result.summary
    side = pl.col("side").replace_strict({"BUY": 1.0, "SELL": -1.0}, return_dtype=pl.Float64)
    frame = frame.with_columns(earned=side * (pl.col("mid") - pl.col("price")))
    known = frame.drop_nulls("earned")
    earned = np.average(known["earned"], weights=known["qty"])
    assert earned == pytest.approx(summary["effective_half_spread"], rel=1e-12)
    assert list(summary["realised_half_spread"]) == ["0", "1", "5", "30", "60"]
    for horizon, value in summary["realised_half_spread"].items():
        adverse = frame.drop_nulls(f"markout_{horizon}s")
        alone = np.average(adverse[f"markout_{horizon}s"] - adverse["earned"], weights=adverse["qty"])
        assert summary["effective_half_spread"] + alone == pytest.approx(value, rel=1e-9)


def test_markout_0s_is_just_after_the_event_that_filled():
    """As the row of horizon 0 in the summary: a book change that reaches our bid takes the mid past it."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    scribe.state()
    scribe.wait(1_000_000)
    for reason in (0, 1):
        scribe.fill(scribe.place(1, 9_990, 100), 1, 9_990, 100, reason=reason)
    scribe.move(19_970)
    scribe.wait(1_000_000)
    scribe.state()
    result = result_of(scribe)
    frame = result.markouts_frame([1])
    assert frame["markout_0s"].to_list() == pytest.approx([0.1, -0.05])
    assert (frame["mid"] - frame["price"]).to_list() == pytest.approx([0.1, 0.1])
    assert result.summary["realised_half_spread"]["0"] == pytest.approx(frame["markout_0s"].mean())


def test_markouts_frame_accepts_custom_horizons():
    """Fractions are allowed; negative horizons are rejected."""
    result = result_of(seeded(60))
    assert result.markouts_frame([0.5, 10]).columns[-3:] == ["markout_0s", "markout_0.5s", "markout_10s"]
    with pytest.raises(UsageError, match="a horizon is -1 s; give seconds above 0"):
        result.markouts_frame([-1])
