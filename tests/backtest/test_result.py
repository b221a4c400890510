"""A result's files, frames and text."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from drawn_runs import page_of
from journals import START_US, Scribe, run_terms, scribes, seeded
from mm import Result
from mm.backtest.risk import LIMITS
from mm.instrument import E8, Instrument
from support import write_run

FILES = ["fills_BTCUSDT.csv", "orders_BTCUSDT.csv", "report.html", "state_BTCUSDT.csv", "summary.json"]


def result_of(scribe, **terms):
    return Result(scribe.journal(), run_terms(scribe.instrument, **terms))


def test_write_run_writes_the_documented_files(tmp_path):
    """Names and numbers of rows."""
    result = result_of(seeded(60))
    rows = write_run(result, tmp_path / "deep" / "run")
    assert sorted(path.name for path in (tmp_path / "deep" / "run").iterdir()) == FILES == sorted(rows)
    for name, count in rows.items():
        if name.endswith(".csv"):
            assert (tmp_path / "deep" / "run" / name).read_bytes().count(b"\n") == count + 1
        else:
            assert count is None
    assert json.loads((tmp_path / "deep" / "run" / "summary.json").read_text(encoding="utf-8")) == result.summary


def test_breaches_are_written_for_runs_with_limits(tmp_path):
    """Values are in the unit of each setting."""
    rows = [(START_US, LIMITS.index("MAX_POSITION"), 3 * E8, 2 * E8 + 1, -1), (START_US + 5, 1, E8, 0, 0)]
    journal = replace(seeded(60).journal(), breaches=np.array(rows, np.int64))
    assert Result(journal, run_terms()).write_tables(tmp_path)["breaches_BTCUSDT.csv"] == 2
    assert (tmp_path / "breaches_BTCUSDT.csv").read_text().splitlines() == [
        "recv_us,limit,side,value,bound",
        f"{START_US},MAX_POSITION,SELL,3.00000000,2.00000001",
        f"{START_US + 5},MAX_DAILY_LOSS,,1.00000000,0.00000000",
    ]


@pytest.mark.parametrize("scribe", [Scribe(), seeded(120)], ids=["empty", "short"])
def test_equal_runs_write_equal_bytes(tmp_path, scribe):
    """Nothing in a file depends on the clock, the host or the order of a set."""
    write_run(result_of(scribe), tmp_path / "a")
    write_run(result_of(scribe), tmp_path / "b")
    assert [(tmp_path / "a" / n).read_bytes() for n in FILES] == [(tmp_path / "b" / n).read_bytes() for n in FILES]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(scribes())
def test_frames_equal_the_read_files(tmp_path_factory, scribe):
    """The same columns, the same empty fields, the same numbers up to the last bits of a float."""
    folder, result = tmp_path_factory.mktemp("run"), result_of(scribe)
    write_run(result, folder)
    symbol = scribe.instrument.symbol
    for name, frame in [
        ("orders", result.orders),
        ("fills", result.fills),
        ("state", result.state),
    ]:
        read = pl.read_csv(folder / f"{name}_{symbol}.csv", schema=frame.schema)
        assert frame.columns == pl.read_csv(folder / f"{name}_{symbol}.csv", n_rows=0).columns
        for column in frame.columns:
            if frame[column].dtype == pl.Float64:
                found, expected = (values[column].fill_null(np.nan).to_list() for values in (frame, read))
                assert found == pytest.approx(expected, rel=1e-14, nan_ok=True)
            else:
                assert frame[column].to_list() == read[column].to_list()


def test_numbers_of_a_frame_are_the_nearest_floats():
    """0.00192 is not 0.0019200000000000002."""
    scribe = Scribe()
    scribe.move(17_400_001)
    scribe.fill(scribe.place(1, 8_700_013, 192), 1, 8_700_013, 192)
    result = result_of(scribe)
    assert result.fills["price"].to_list() == [87000.13]
    assert result.fills["qty"].to_list() == [0.00192]
    assert result.state["mid"].to_list() == [87000.005]
    assert result.state["equity"].to_list() == [999.83271975]


def test_amounts_beyond_64_bits_reach_the_frame():
    """The account's own integers become floats like all others."""
    scribe = Scribe(instrument=Instrument("BIGUSDT", tick_e8=3, lot_e8=7), fee_rate=0.0)
    scribe.move(2 * 10**12)
    scribe.fill(scribe.place(1, 10**12, 9 * 10**6), 1, 10**12, 9 * 10**6)
    assert result_of(scribe).state["mtm_value"].to_list() == [pytest.approx(10**12 * 9e6 * 21e-16)]


def test_excluded_intervals_begin_and_end_with_the_book():
    """The last one ends with the data."""
    scribe = Scribe()
    for wait_us, mid2 in [(0, 100), (10, 0), (5, 100), (20, 0), (7, 0)]:
        scribe.wait(wait_us)
        scribe.move(mid2)
    intervals = result_of(scribe).excluded() - START_US
    assert intervals.tolist() == [[10, 15], [35, 42]]


def test_report_page_contains_command_and_settings(tmp_path):
    """As given by the runner."""
    about = {"command": ["mm", "backtest", "--day", "20251216"], "knobs": {"SEED": {"value": 7, "source": "flag"}}}
    write_run(result_of(seeded(30)), tmp_path, **about)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "mm backtest --day 20251216" in html
    assert ">SEED<" in html


def test_charts_written_with_the_run_equal_those_of_the_page(tmp_path):
    """Also for a run without state rows."""
    for seed in (30, None):
        result = result_of(Scribe() if seed is None else seeded(seed))
        write_run(result, tmp_path)
        assert (tmp_path / "report.html").read_text(encoding="utf-8") == page_of(result)


def test_str_of_a_result_is_a_short_summary():
    """Several lines for a terminal."""
    scribe = Scribe()
    scribe.move(20_000)
    scribe.state()
    order_id = scribe.place(1, 9_990, 100)
    scribe.wait(1_000_000)
    scribe.fill(order_id, 1, 9_990, 100)
    scribe.wait(90_000_000)
    scribe.move(20_040)
    scribe.state()
    assert str(result_of(scribe, fill_model="poisson", knows_next_move=False)) == (
        "BTCUSDT 20251216: avellaneda_stoikov quotes, poisson fills\n"
        "  Quoting   +0.0002001 USDT = spread +0.0001, inventory +0.0002, fees 0.0000999; "
        "hold 0, account +0.0002001\n"
        "  Risk      –, 1 of 20 days; PnL without a verdict, drawdown 0 USDT over 0 s\n"
        "  Fills     1 of 1 orders, 100 % of the quantity; half-spread 0.1, after 60 s 0.1\n"
        "  Inventory rms 0.000994 BTC, at most 0.001; both sides quoted 0 % of the time\n"
        "  Covered   1 min 31 s, excluded 0 s\n"
        "  Trials    nothing is remembered, so no other trial is known (in Python, give out_root)\n"
        "  ! no_next_move: fills of poisson are drawn independently of the market, so they have less adverse selection "
        "than real ones, and nothing is concluded from this PnL (no verdict, interval or rank): read this PnL as an "
        "upper bound, and compare it with a run with a queue model"
    )


def test_unknown_assets_leave_no_gap_in_the_text():
    """An instrument read from a bare capture has no names of its assets."""
    scribe = seeded(30)
    scribe.instrument = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
    lines = str(result_of(scribe)).splitlines()
    assert not any("  " in line.strip()[10:] or " ," in line for line in lines)


def test_day_in_two_parts_is_listed_once():
    """Slices of a tape keep their day."""
    result = result_of(seeded(30), days=("20251216", "20251216", "20251217"))
    assert result.summary["days"] == ["20251216", "20251217"]


def test_result_keeps_the_arrays_of_the_engine():
    """Nothing is copied."""
    journal = seeded(10).journal()
    assert Result(journal, run_terms()).journal.orders is journal.orders
    assert journal.orders.dtype == np.int64
