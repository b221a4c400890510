"""The market on a backtest's page: best prices, prints and rejected orders match the files."""

import csv
import gzip
import json

import numpy as np
import polars as pl
import pytest

import mm
from drawn_runs import page_of
from mm.backtest.metrics.numbers import Summary
from mm.report.backtest_charts import market_figure
from mm.report.run_columns import columns_of, read_columns
from pages import named
from simulation import simulate_day
from support import write_run


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A simulated day, the result of a backtest that lacks inventory at times, and its run folder."""
    root = tmp_path_factory.mktemp("market")
    day = simulate_day(root, hours=0.1, seed=3)
    result = mm.backtest(mm.load_day(day), fills="trade_cross", sensitivity=False, feed_latency="none")
    write_run(result, root / "run")
    return day, result, root / "run"


def prints_of(day):
    """Return time, price, quantity and aggressor of every trade, straight from the day's own file."""
    (path,) = day.path.glob("trades_ws_*")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (int(row["recv_time_us"]), float(row["price"]), float(row["qty"]), -1 if row["is_buyer_maker"] == "true" else 1)
        for row in rows
    ]


def test_prints_match_the_trades_of_the_day(played):
    """All of them, in order."""
    day, result, _ = played
    market = columns_of(result).market
    for sign, found in market.prints.items():
        rows = zip(*(column.tolist() for column in (found.us, found.price, found.qty)), strict=True)
        assert list(rows) == [row[:3] for row in prints_of(day) if row[3] == sign]


@pytest.mark.parametrize("feed", ["recorded", "7.5"])
def test_prints_are_at_the_instants_at_which_they_filled_orders(played, feed):
    """With a feed latency the market of the charts is that which met the orders, not that which was received."""
    _, before, _ = played
    (tape,) = before.tapes
    result = mm.backtest(tape, fills="trade_cross", sensitivity=False, feed_latency=feed)
    market = columns_of(result).market
    own = {us for us, *_ in result.journal.fills.tolist()}
    printed = {us for found in market.prints.values() for us in found.us.tolist()}
    assert len(own) > 10
    assert own <= printed
    assert not own <= set(tape.event_us.tolist())


def test_best_prices_match_the_tape(played):
    """Compared with the frame for notebooks."""
    _, result, _ = played
    market, frame = columns_of(result).market, result.tapes[0].best_prices_frame()
    assert market.bid.tolist() == frame["bid_price"].to_list()
    assert market.ask.tolist() == frame["ask_price"].to_list()
    assert market.us.tolist() == frame["time"].dt.timestamp("us").to_list()


def test_refused_orders_match_the_orders_file(played):
    """From the result and from its files."""
    _, result, folder = played
    orders = pl.read_csv(folder / "orders_SIMUSDT.csv", infer_schema_length=None)
    rows = orders.filter(pl.col("action").is_in(["REJECT", "SKIP"]))
    assert len(rows) > 3
    for run in (columns_of(result), read_columns(folder, "SIMUSDT")):
        rejected = run.refused
        assert rejected.us.tolist() == rows["recv_us"].to_list()
        assert rejected.price.tolist() == rows["price"].cast(pl.Float64).to_list()
        assert rejected.reason == rows["reject_reason"].to_list()
        assert rejected.sent.tolist() == (rows["action"] == "REJECT").to_list()
        assert np.where(rejected.side > 0, "BUY", "SELL").tolist() == rows["side"].to_list()


def test_figure_shows_the_market_of_the_files(played):
    """All prints and refused orders of a short day, and the best prices at each change."""
    day, result, folder = played
    run = columns_of(result)
    figure = market_figure(run, run.curve, Summary.read(result.summary))
    for sign, name in ((1, "buyers' trades"), (-1, "sellers' trades")):
        trace = named(figure, name)
        rows = [row for row in prints_of(day) if row[3] == sign]
        assert trace["x"].tolist() == [row[0] / 1e3 for row in rows]
        assert trace["y"].tolist() == [row[1] for row in rows]
        assert trace["customdata"].tolist() == [row[2] for row in rows]
        assert trace["visible"] == "legendonly"
    orders = pl.read_csv(folder / "orders_SIMUSDT.csv", infer_schema_length=None)
    skipped = orders.filter(pl.col("action") == "SKIP")
    trace = named(figure, "not sent")
    assert trace["y"].tolist() == skipped["price"].cast(pl.Float64).to_list()
    assert all(reason in tip for reason, tip in zip(skipped["reject_reason"], trace["text"], strict=True))
    best = result.tapes[0].best_prices_frame()
    for name in ("bid", "ask"):
        trace = named(figure, f"best {name}")
        instants = best["time"].dt.timestamp("us").to_numpy() / 1e3
        expected = set(zip(instants.tolist(), best[f"{name}_price"].to_list(), strict=True))
        assert set(zip(trace["x"].tolist(), trace["y"].tolist(), strict=True)) <= expected


def test_page_from_files_alone_has_no_market(played):
    """`mm report` explains the reason if the day is gone."""
    _, _, folder = played
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    html = page_of(summary, read_columns(folder, "SIMUSDT"))
    assert "best bid" not in html
    assert "our buys" in html
