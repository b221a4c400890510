"""The page of runs: a run, two runs side by side, and folders that are not runs."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
from page_reading import figures_of, text_of, titles_of

from pages import named
from support import run_mm

PANELS = [
    *("Price, quotes and fills", "Fills"),
    *("PnL of the quoting", "Under water", "Inventory", "Half-spread"),
]


def test_run_shows_its_id_pnl_and_charts(opened, made):
    """The number is that of summary.json."""
    at = opened("runs_page", run="base")
    summary = json.loads((made / "out/backtest/SIMUSDT/20260105_base/summary.json").read_text())
    assert not at.exception
    assert titles_of(at) == PANELS
    assert [element.value for element in at.subheader] == ["base"]
    tiles = {element.label: element.value for element in at.metric}
    pnl = float(tiles["PnL of the quoting, USDT"].replace("−", "-"))
    assert pnl == pytest.approx(summary["pnl_total"] - summary["pnl_hold"], rel=1e-3)
    assert tiles["Fills"] == f"{summary['n_fills']:,}"


def test_two_runs_are_side_by_side(opened):
    """Both names, the numbers of both, and the knobs that differ."""
    at = opened("runs_page", run="base", **{"with": "wide"})
    assert not at.exception
    assert [element.value for element in at.subheader] == ["base", "wide"]
    numbers, knobs = (element.value for element in at.dataframe[1:])
    assert list(numbers.columns) == ["number", "base", "wide"]
    # The second run knows the largest move that the first one has put on record.
    assert set(knobs["knob"]) == {"quote_model", "quote_params_json", "stress_moves"}


def test_charts_are_those_of_the_run(opened, made):
    """Names say model and day; the fills are those of its file, and the account is that of its state."""
    at = opened("runs_page", run="base", **{"with": "wide"})
    prices, account, _ = figures_of(at)
    fills = pl.read_csv(made / "out/backtest/SIMUSDT/20260105_base/fills_SIMUSDT.csv")
    for word in ("BUY", "SELL"):
        trace = named(prices, f"our {word.lower()}s")
        expected = fills.filter(pl.col("side") == word)
        assert trace["x"].tolist() == (expected["recv_us"].to_numpy() / 1e3).tolist()
        assert trace["y"].tolist() == expected["price"].cast(pl.Float64).to_list()
    names = [trace["name"] for trace in account["data"]]
    assert names[:2] == ["base, avellaneda_stoikov, 20260105", "wide, fixed_spread, 20260105"]
    colours = [trace["line"]["color"] for trace in account["data"][:2]]
    assert len(set(colours)) == 2
    assert (account["layout"]["dragmode"], account["layout"]["selectdirection"]) == ("select", "h")


def test_run_outside_the_folder_of_runs_is_not_opened(opened, made, tmp_path):
    """An address may come from anyone."""
    shutil.copytree(made / "out/backtest/SIMUSDT/20260105_base", tmp_path / "elsewhere")
    at = opened("runs_page", run=str(tmp_path / "elsewhere"))
    assert not at.exception
    assert "is not below" in at.error[0].value
    assert not at.get("plotly_chart")


def test_newest_run_is_shown_by_default_and_set_in_the_address(opened):
    """The address can then be shared."""
    at = opened("runs_page")
    assert "".join(at.query_params["run"]) == "wide"
    assert [element.value for element in at.subheader] == ["wide"]
    at.selectbox(key="run").select("base").run()
    assert "".join(at.query_params["run"]) == "base"


@pytest.mark.parametrize(("name", "link"), [("grid", "/backtest?sweep=grid"), ("fitted", "/calibration?run=fitted")])
def test_run_of_another_kind_links_to_its_page(opened, name, link):
    at = opened("runs_page", run=name)
    assert not at.exception
    assert link in text_of(at)


def write_file(folder, file, text):
    (folder / file).write_text(text)


BROKEN = {
    "no manifest": (lambda run: (run / "run_manifest.json").unlink(), "it has no run_manifest.json"),
    "half a manifest": (lambda run: write_file(run, "run_manifest.json", '{"run_id": "ba'), "cannot be read"),
    "no fills": (lambda run: (run / "fills_SIMUSDT.csv").unlink(), "cannot be read"),
    "half a row": (lambda run: write_file(run, "state_SIMUSDT.csv", "recv_ms,inven"), "cannot be read"),
    "text for numbers": (
        lambda run: write_file(run, "state_SIMUSDT.csv", "recv_ms,inventory,cash,mid,recv_us,equity\nx,x,x,x,x,x\n"),
        "cannot be read",
    ),
    "an empty table": (lambda run: write_file(run, "orders_SIMUSDT.csv", ""), "cannot be read"),
    "half a summary": (lambda run: write_file(run, "summary.json", '{"pnl_total": 1,'), "cannot be read"),
    "no PnL": (lambda run: write_file(run, "summary.json", '{"fees": 1}'), "pnl_total is missing"),
    "a list": (lambda run: write_file(run, "summary.json", "[]"), "summary.json"),
    "unfinished": (lambda run: run.rename(run.with_name(f"{run.name}.partial")), "not finished"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_run_gives_one_error(opened, made, tmp_path, kind):
    """No traceback for any damage; the other runs are still shown."""
    for name in ("base", "wide"):
        run = f"out/backtest/SIMUSDT/20260105_{name}"
        shutil.copytree(made / run, tmp_path / run)
    damage, message = BROKEN[kind]
    damage(tmp_path / "out/backtest/SIMUSDT/20260105_base")
    at = opened("runs_page", tmp_path, run="base", **{"with": "wide"})
    assert not at.exception
    assert len(at.error) == 1
    assert message in at.error[0].value
    assert "\n" not in at.error[0].value
    assert [element.value for element in at.subheader] == ["wide"]


def test_missing_run_is_reported(opened, tmp_path):
    """An empty folder, and an unknown name."""
    assert "No finished backtest" in text_of(opened("runs_page", tmp_path))
    assert "'nope' is neither a run folder" in text_of(opened("runs_page", tmp_path, run="nope"))


def test_market_of_a_changed_day_is_not_drawn(opened, made, tmp_path):
    """The prices of another day would be drawn with the quotes of the run."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with next((tmp_path / "data").glob("*/*/trades_ws*")).open("a") as file:
        file.write("\n")
    at = opened("runs_page", tmp_path, run="base")
    assert re.search(
        r"is not the data that the run read: it has [\d,]+ bytes, but had [\d,]+ when the run read it", text_of(at)
    )
    assert titles_of(at) == PANELS
    assert "best bid" not in [trace["name"] for trace in figures_of(at)[0]["data"]]


@pytest.mark.slow
def test_run_of_a_million_rows_is_thinned_before_sending(opened, made, tmp_path):
    """All charts together have less than 3 MB."""
    run = tmp_path / "out/backtest/SIMUSDT/20260105_base"
    shutil.copytree(made / "out/backtest/SIMUSDT/20260105_base", run)
    state = pl.read_csv(run / "state_SIMUSDT.csv", infer_schema=False)
    rows, first = 1_000_000, int(state["recv_us"][0])
    walk = np.random.default_rng(1).normal(size=rows).cumsum()
    us = first + np.arange(rows) * 80_000
    numbers = {"inventory": walk, "cash": 1000.0 + walk, "mid": 100.0 + walk / 1e3, "equity": 1000.0 + walk}
    pl.DataFrame({"recv_ms": us // 1000, **numbers, "mtm_value": walk, "open_orders": 2, "recv_us": us}).write_csv(
        run / "state_SIMUSDT.csv"
    )
    at = opened("runs_page", tmp_path, run="base")
    assert not at.exception
    assert titles_of(at) == PANELS
    assert sum(len(chart.proto.SerializeToString()) for chart in at.get("plotly_chart")) < 3_000_000


def test_an_account_is_shown_by_symbol(opened, tmp_path):
    """A run of several symbols is listed once for each, with the numbers of that symbol."""
    symbols = ("AAAUSDT", "BBBUSDT")
    for symbol in symbols:
        run_mm("sim", "day", "--symbol", symbol, "--day", "20260105", "--hours", "0.05", cwd=tmp_path)
    words = ("--symbol", ",".join(symbols), "--day", "20260105", "--one-account", "1", "--run-id", "both")
    done = run_mm("backtest", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [path] = tmp_path.glob("out/backtest/*/*_both/summary.json")
    summary = json.loads(path.read_text())
    at = opened("runs_page", tmp_path, run="both/BBBUSDT", **{"with": "both/AAAUSDT"})
    assert not at.exception
    assert not at.error
    assert [element.value for element in at.subheader] == ["both/BBBUSDT", "both/AAAUSDT"]
    fills = [element.value for element in at.metric if element.label == "Fills"]
    assert fills == [f"{summary['symbols'][symbol]['n_fills']:,}" for symbol in symbols[::-1]]
    at = opened("runs_page", tmp_path, run="both")
    assert not at.exception
    assert at.subheader[0].value.startswith("both/")
