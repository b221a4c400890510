"""What a strategy records by ``view.record``: in the result, the run's files and its page."""

import csv
import math

import numpy as np
import polars as pl
import pytest

import mm
from mm.backtest.metrics.numbers import Summary
from mm.errors import ModelError
from mm.report.backtest_charts import market_panels
from simulation import simulate_day
from support import ROOT, run_python

SYMBOL, DAY = "SIMUSDT", "20260105"
PLAYED = {"initial_inventory": 1, "maker_fee_rate": 0, "sensitivity": False}


class Records:
    """Join the best prices, and record the mid and, at every second call, a signal."""

    def __init__(self):
        self.calls, self.seen = 0, []

    def quote(self, view):
        self.calls += 1
        mid = view.mid2_ticks / 2
        view.record("mid", np.float64(mid))
        self.seen.append((view.us, "mid", mid))
        if self.calls % 2:
            view.record("half the calls", None if self.calls == 1 else self.calls)
            self.seen.append((view.us, "half the calls", None if self.calls == 1 else float(self.calls)))
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for seed, symbol in enumerate((SYMBOL, "OTHUSDT")):
        simulate_day(folder / "data", hours=0.05, seed=seed, symbol=symbol, day=DAY)
    return folder


@pytest.fixture(scope="module")
def tape(workspace):
    return mm.load_day(workspace / "data" / SYMBOL / DAY)


def rows_of(frame):
    us = frame["time"].dt.timestamp("us")
    return list(zip(us.to_list(), frame["name"].to_list(), frame["value"].to_list(), strict=True))


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: mm.backtest.models.steps(model=model, steps=[])])
def test_values_are_kept_in_the_order_of_the_calls(tape, wrap):
    """Also of a model inside others."""
    model = Records()
    result = mm.backtest(tape, wrap(model), **PLAYED)
    assert rows_of(result.series_frame()) == model.seen
    assert len(model.seen) > 500
    assert result.series_frame().schema == {"time": pl.Datetime("us", "UTC"), "name": pl.String, "value": pl.Float64}


def test_a_strategy_of_orders_records_as_well(tape):
    class Strategy:
        def __init__(self):
            self.inner = Records()

        def on_event(self, market, orders):
            self.inner.quote(market)

    strategy = Strategy()
    assert rows_of(mm.backtest(tape, strategy, **PLAYED).series_frame()) == strategy.inner.seen


def test_what_is_recorded_changes_no_row(tape):
    class Silent:
        def quote(self, view):
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    loud, silent = mm.backtest(tape, Records(), **PLAYED), mm.backtest(tape, Silent(), **PLAYED)
    assert loud.orders.equals(silent.orders)
    assert silent.series_frame().is_empty()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fair", "100.5", "finite number"),
        ("fair", math.inf, "finite number"),
        ("fair", [1, 2], "finite number"),
        ("", 1.0, "must be text"),
        (7, 1.0, "must be text"),
    ],
)
def test_anything_else_is_refused_with_its_value(tape, name, value, words):
    class Wrong:
        def quote(self, view):
            view.record(name, value)

    with pytest.raises(ModelError, match=words) as refused:
        mm.backtest(tape, Wrong(), **PLAYED)
    assert repr(name) in str(refused.value)


def test_a_name_for_each_call_is_refused(tape):
    class Named:
        def quote(self, view):
            view.record(f"at {view.us}", 1.0)

    with pytest.raises(ModelError, match="one series one name"):
        mm.backtest(tape, Named(), **PLAYED)


def command(workspace, run_id, symbol, **more):
    done = run_python(
        *("-m", "mm", "backtest", "--quote-model", "test_own_series:Records", "--run-id", run_id),
        cwd=workspace,
        PYTHONPATH=f"{ROOT / 'tests' / 'backtest'}:{ROOT / 'tests'}",
        **{"SYMBOL": symbol, "DAY": DAY, "INITIAL_INVENTORY": "1", "MAKER_FEE_RATE": "0", **more},
    )
    assert done.returncode == 0, done.stderr
    return mm.open_run(workspace / "out" / "backtest" / symbol.replace(",", "+") / f"{DAY}_{run_id}")


def test_a_run_keeps_them_and_draws_them_under_the_price(workspace, tape):
    run = command(workspace, "alone", SYMBOL)
    with (run.folder / "series.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["recv_us", "name", "value"]
    assert len(rows) - 1 == next(one["rows"] for one in run.manifest["outputs"] if one["path"] == "series.csv")
    assert run.series_frame().equals(mm.backtest(tape, Records, **PLAYED).series_frame())
    titles = [panel.title for panel in market_panels(run.columns, run.columns.curve, Summary.read(run.summary))]
    assert titles[:4] == ["Price, quotes and fills", "mid", "half the calls", "Fills"]
    assert "half the calls" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_an_account_keeps_those_of_each_symbol(workspace, tape):
    run = command(workspace, "account", f"OTHUSDT,{SYMBOL}", ONE_ACCOUNT="1")
    both = pl.read_csv(run.folder / "series.csv")
    assert both.columns == ["recv_us", "name", "value", "symbol"]
    for symbol in (SYMBOL, "OTHUSDT"):
        mid = both.filter((pl.col("symbol") == symbol) & (pl.col("name") == "mid"))
        assert run.part(symbol).columns.recorded["mid"][1].tolist() == mid["value"].to_list()
