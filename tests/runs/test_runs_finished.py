"""``mm.open_run``: frames, cards and charts of a run on disk equal those of the original result."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import mm
from mm import RunFolder
from mm.errors import BrokenFile, DataError, UsageError
from pages import named
from simulation import simulate_day
from support import run_mm

KNOBS = {"maker_fee_rate": 0, "fills": "queue_prob_power", "sensitivity": False, "initial_inventory": 2}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a folder with a day and its calibration and backtest by the command line, and the day's tape."""
    root = tmp_path_factory.mktemp("desk")
    day = simulate_day(root / "data", "zero_intelligence", hours=0.1, seed=5)
    common = ("--symbol", "SIMUSDT", "--day", "20260105")
    played = ("--maker-fee-rate", "0", "--initial-inventory", "2", "--sensitivity", "0")
    for words in (("calibrate", *common, "--run-id", "cal"), ("backtest", *common, *played, "--run-id", "bt")):
        done = run_mm(*words, cwd=root)
        assert done.returncode == 0, done.stderr
    return root, mm.load_day(day)


@pytest.mark.slow
def test_frames_of_run_folder_equal_frames_of_result(workspace):
    """Columns, types and values are equal; reasons are compared as strings, and cancel requests are in ms."""
    root, tape = workspace
    result, run = mm.backtest(tape, **KNOBS), mm.open_run("bt", root / "out")
    assert (run.kind, run.summary["n_fills"]) == ("backtest", len(result.fills))
    assert run.knobs["fill_model"] == "queue_prob_power"
    assert run.fills_frame()["reason"].cast(pl.String).str.ends_with(":book").any()
    ms = pl.col("cancel_request_time").dt.truncate("1ms")
    assert_frame_equal(run.orders_frame(), result.orders_frame().with_columns(ms))
    fills = result.fills_frame().with_columns(pl.col("reason").cast(pl.String))
    assert_frame_equal(run.fills_frame().with_columns(pl.col("reason").cast(pl.String)), fills)
    assert_frame_equal(run.state_frame(), result.state_frame())
    assert_frame_equal(run.equity_frame(), result.equity_frame(), abs_tol=1e-9)


@pytest.mark.slow
def test_markouts_are_exact_with_tape_and_approximate_without(workspace):
    """Without the tape, only the markout columns differ, and only slightly."""
    root, tape = workspace
    result, run = mm.backtest(tape, **KNOBS), mm.open_run("bt", root / "out")
    exact = result.markouts_frame((1, 60))
    assert_frame_equal(run.markouts_frame((1, 60), tape), exact, abs_tol=1e-9)
    approximate = run.markouts_frame((1, 60))
    assert approximate.columns == exact.columns
    assert_frame_equal(
        approximate.drop("markout_1s", "markout_60s"), exact.drop("markout_1s", "markout_60s"), abs_tol=1e-9
    )
    difference = (approximate["markout_60s"] - exact["markout_60s"]).abs().drop_nulls()
    assert difference.max() < 0.1
    with pytest.raises(UsageError, match=r"horizons are \[0\] s"):
        run.markouts_frame([0])


def test_run_has_repr_html_card_and_plot(workspace):
    """The repr has text lines, the card the headline numbers, and the plot the charts of the page."""
    root, tape = workspace
    run = mm.open_run(root / "out" / "backtest" / "SIMUSDT" / "20260105_bt")
    assert repr(run).startswith("backtest SIMUSDT 20260105, run bt, ok\n  pnl_quoting=")
    assert f"{run.summary['n_fills']:,}" in run._repr_html_()
    picture = run.plot(tape)
    names = [[trace["name"] for trace in one.charts[0][1]["data"]] for one in (picture, run.plot())]
    assert "our buys" in names[0]
    assert ["best bid" in one for one in names] == [True, False]


def test_calibration_run_has_fit_and_plot_with_residuals(workspace):
    """The plot has points and residuals; frames of another kind of run raise UsageError."""
    root, _ = workspace
    run = mm.open_run("cal", root / "out")
    content = json.loads((run.folder / "poisson_fit.json").read_text(encoding="utf-8"))
    assert (run.fit.A, run.fit.k) == (content["A"], content["k"])
    ((_, figure),) = run.plot().charts
    assert len(named(figure, "bids")["x"]) + len(named(figure, "asks")["x"]) > 10
    assert len(named(figure, "more than fitted")["x"]) + len(named(figure, "fewer")["x"]) > 5
    assert "usable" in run._repr_html_()
    with pytest.raises(UsageError, match="is a calibration, which has no orders, fills and state; give a backtest or"):
        run.fills_frame()
    with pytest.raises(DataError, match="neither a run folder nor a RUN_ID"):
        mm.open_run("nothing", root / "out")


def test_sweep_run_has_rows_frame_and_plot(tmp_path):
    """The grid, the ranking and the PnL series are read from its files."""
    rows = [
        {
            "rank": n,
            "point": n,
            "status": "ok",
            "GAMMA": str(n),
            "pnl_lower95": 4.0 - n,
            "pnl_total": 1.0 / n,
            "n_fills": n,
        }
        | dict.fromkeys(("pnl_quoting", "pnl_hold", "deflated_sharpe", "max_drawdown"), 0.5)
        | {"tied": False, "pnl_first_half": 0.5, "pnl_second_half": 0.5}
        for n in (1, 2, 3)
    ]
    content = {
        "rank_by": "pnl_lower95",
        "axes": [{"name": "GAMMA", "values": ["1", "2", "3"]}],
        "points": 3,
        "failed": 0,
    }
    content |= {"independent_trials": 2.0, "deflated_sharpe": 0.5, "block_s": 300, "assumptions": []}
    content |= {"trials": 3, "expected_best_sharpe": 1.0, "pbo": None, "walkforward": None, "rows": rows, "best": None}
    (tmp_path / "sweep.json").write_text(json.dumps(content), encoding="utf-8")
    series = "start_s,point_1,point_2\n1767596400,1,2\n1767596460,0.5,-1\n"
    (tmp_path / "pnl_60s.csv").write_text(series, encoding="ascii")
    manifest = {"kind": "sweep", "symbol": "X", "day": "20260105", "run_id": "s", "status": "ok", "summary": {}}
    run = RunFolder(tmp_path, manifest)
    assert run.rows_frame()["pnl_total"].to_list() == [1.0, 1.0 / 2, 1.0 / 3]
    headings = [heading for heading, _ in run.plot().charts]
    assert headings == ["The best points by pnl_lower95", "PnL of every trial"]
    assert "<td>" in run._repr_html_()
    for row in rows:
        del row["tied"]
    (tmp_path / "sweep.json").write_text(json.dumps({**content, "assumptions": None}), encoding="utf-8")
    old = RunFolder(tmp_path, manifest)
    with pytest.raises(BrokenFile, match=r"sweep\.json: has no tied, which this version shows; make the run again"):
        old.plot()
    assert "has no tied" in old._repr_html_()
    assert old.rows_frame()["pnl_total"].to_list() == [1.0, 1.0 / 2, 1.0 / 3]
