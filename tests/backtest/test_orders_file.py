"""The orders of a run as CSV and as Parquet: the same rows, and every reader of a run accepts both."""

import hashlib
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from journals import scribes, seeded
from mm import open_run
from mm.__main__ import main
from mm.backtest.io import FORMATS, order_columns, read_orders, write_table
from mm.instrument import Instrument

SYMBOL = "SIMUSDT"


@pytest.mark.slow
@settings(deadline=None)
@given(scribes(), st.sampled_from([(1, 1), (1_000_000, 1_000), (10**17, 3), (7, 10**12)]))
def test_csv_and_parquet_hold_the_same_cells(tmp_path_factory, scribe, units):
    """Text for text, for any grid; empty cells of one are null in the other."""
    folder, grid = tmp_path_factory.mktemp("run"), Instrument(SYMBOL, *units)
    journal, read = scribe.journal(), {}
    for form in FORMATS:
        name = f"orders_{SYMBOL}.{form}"
        sha256, rows = write_table(folder / name, [journal.orders], order_columns(grid))
        assert rows == len(journal.orders)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        read[form] = read_orders(folder, SYMBOL)
        (folder / name).unlink()
    assert read["csv"].columns == list(order_columns(grid))
    assert read["parquet"].equals(read["csv"].cast(pl.String))


def test_parquet_has_typed_columns_and_exact_decimals(tmp_path):
    """Readers need no parsing."""
    journal = seeded(60).journal()
    orders = journal.orders
    path = tmp_path / f"orders_{SYMBOL}.parquet"
    write_table(path, [orders], order_columns(Instrument(SYMBOL, 1_000_000, 1_000)))
    table = pl.read_parquet(path)
    assert table["recv_us"].to_list() == orders[:, 0].tolist()
    assert table["price"].to_list() == [Decimal(int(ticks)) / 100 for ticks in orders[:, 5]]
    assert table["active_recv_us"].null_count() == int(np.count_nonzero(orders[:, 8] < 0)) > 0


def test_long_parquet_is_written_in_groups_of_rows(tmp_path, monkeypatch):
    """Every row once, in order."""
    monkeypatch.setattr("mm.backtest.io.ROWS", 7)
    orders, path = seeded(60).journal().orders, tmp_path / f"orders_{SYMBOL}.parquet"
    assert write_table(path, [orders, orders[:3]], order_columns(Instrument(SYMBOL, 1, 1)))[1] == len(orders) + 3
    assert pl.read_parquet(path)["recv_us"].to_list() == [*orders[:, 0].tolist(), *orders[:3, 0].tolist()]


def test_columns_are_read_as_requested_types(tmp_path):
    """From either format, in the same types."""
    journal, types = seeded(60).journal(), {"order_id": pl.Int64, "action": pl.String, "price": pl.Float64}
    read = []
    for form in FORMATS:
        name = f"orders_{SYMBOL}.{form}"
        write_table(tmp_path / name, [journal.orders], order_columns(Instrument(SYMBOL, 1_000_000, 1_000)))
        read.append(read_orders(tmp_path, SYMBOL, types))
        (tmp_path / name).unlink()
    assert read[0].select(list(types)).equals(read[1].select(list(types)))
    assert dict(read[1].schema) == types


def run(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The out-root of the same backtest in both formats."""
    root = tmp_path_factory.mktemp("runs")
    flags = ["--symbol", SYMBOL, "--day", "20260105", "--data-root", root / "data"]
    run("sim", "day", *flags, "--hours", "0.5")
    for form in FORMATS:
        flags_of_run = ["--run-id", form, "--orders-format", form, "--sensitivity", "0"]
        run("backtest", *flags, "--out-root", root / form, *flags_of_run)
    return root


def test_run_with_parquet_has_the_same_files_and_frames(runs):
    """The other files are the same bytes, and `open_run` reads the same orders."""
    csv, parquet = (open_run(form, runs / form) for form in FORMATS)
    assert (parquet.folder / f"orders_{SYMBOL}.parquet").exists()
    assert not (parquet.folder / f"orders_{SYMBOL}.csv").exists()
    for name in (f"fills_{SYMBOL}.csv", f"state_{SYMBOL}.csv", "summary.json"):
        assert (csv.folder / name).read_bytes() == (parquet.folder / name).read_bytes()
    assert len(csv.orders_frame())
    assert parquet.orders_frame().equals(csv.orders_frame())
    (listed,) = (opened for opened in parquet.manifest["outputs"] if opened["path"].startswith("orders"))
    assert listed["rows"] == len(csv.orders_frame())
    for opened in (csv, parquet):
        for listed in opened.manifest["outputs"]:  # including outputs hashed while they were written
            assert hashlib.sha256((opened.folder / listed["path"]).read_bytes()).hexdigest() == listed["sha256"]


def test_report_explain_and_compare_read_parquet(runs, tmp_path):
    """With the same output as from CSV."""
    outputs = []
    for form in FORMATS:
        page = tmp_path / f"{form}.html"
        run("report", form, "--out-root", runs, "--sensitivity", "0", "--out", page)
        explained = run("runs", "explain", form, "--out-root", runs, "--fill", 1)
        outputs.append((page.read_text().split("Get this page again")[0].count('class="chart"'), explained))
    assert outputs[0] == outputs[1]
    run("compare", *(folder for form in FORMATS for folder in (runs / form).glob("backtest/*/*")), "--out-root", runs)
