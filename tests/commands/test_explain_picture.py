"""``mm runs explain --picture``: the book of a chosen minute, our orders in it, and our place in the queue."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import mm
from mm import DayFolder
from mm.__main__ import main
from mm.backtest.explain import market
from mm.clock import us_of
from mm.tape.feed import happened
from pages import check_figure, figures_of, named, read, without_scripts


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a simulated day and a backtest of it."""
    folder = tmp_path_factory.mktemp("desk")
    day = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", folder / "data"]
    assert call("sim", "day", *day, "--hours", "0.1", "--scenario", "zero_intelligence").exit_code == 0
    params = ["--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}']
    run = [*day, "--out-root", folder / "out", "--run-id", "one", "--initial-inventory", "100", *params]
    assert call("backtest", *run).exit_code == 0
    return folder


def draw(desk, *words, name="one", page="page.html"):
    path = desk / page
    answer = call("runs", "explain", name, *words, "--picture", path, "--out-root", desk / "out")
    return answer, path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def drawn(desk):
    """The picture of the third fill, and the folder of the run."""
    answer, html = draw(desk, "--fill", 3, "--picture-s", 20)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[-1] == str(desk / "page.html")
    return html, desk / "out" / "backtest" / "SIMUSDT" / "20260105_one"


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_picture_is_one_page_with_our_orders_and_fills_of_the_time(drawn):
    """Every fill of these seconds, at its price; the chosen one is in the middle."""
    html, folder = drawn
    read(without_scripts(html))
    (figure,) = figures_of(html)
    check_figure(figure)
    first, last = figure["layout"]["xaxis"]["range"]
    fills = rows(folder / "fills_SIMUSDT.csv")
    assert (first + last) / 2 == pytest.approx(int(fills[2]["recv_us"]) / 1_000, abs=1)
    for word in ("BUY", "SELL"):
        own = [row for row in fills if row["side"] == word and first <= int(row["recv_us"]) / 1_000 <= last]
        trace = named(figure, f"our {word.lower()}s")
        assert sorted(trace["y"].tolist()) == pytest.approx(sorted(float(row["price"]) for row in own))
    assert any(len(named(figure, f"our {side}")["x"]) for side in ("bid", "ask"))


def test_colours_are_the_displayed_quantities(desk, drawn):
    """As the text of the command has them, at the same instants."""
    html, folder = drawn
    heat = named(figures_of(html)[0], "book")
    summary = json.loads((folder / "summary.json").read_text())
    tape = mm.load_day(DayFolder(desk / "data", "SIMUSDT", "20260105"))
    feed = tape.feed_in(summary["feed"])
    width = heat["x"][1] - heat["x"][0]
    prices, qty, grid = np.asarray(heat["y"]), np.asarray(heat["z"]), tape.instrument
    for cell in (10, 60, 110):
        end_us = round((heat["x"][cell] + width / 2) * 1_000)
        seen = tape if feed is None else happened(tape, feed, end_us - 60_000_000, end_us + 1)
        for row in [*np.flatnonzero(qty[:, cell] > 0)[:4].tolist(), 0]:
            ticks = round(prices[row] * 1e8 / grid.tick_e8)
            lots = [next(event.lots for event in market(seen, end_us + 1, side, ticks, 1)) for side in (1, -1)]
            assert qty[row, cell] == pytest.approx(sum(lots) * grid.lot_e8 / 1e8)


def test_place_in_the_queue_only_falls_and_ends_with_the_order(drawn):
    """The run is played again for it; an order keeps its place or gets ahead."""
    html, _ = drawn
    figure = figures_of(html)[0]
    assert "is not drawn" not in html
    for side in ("bid", "ask"):
        ahead = np.asarray(named(figure, f"of our {side}")["y"], float)
        for line in np.split(ahead, np.flatnonzero(np.isnan(ahead))):
            assert (np.diff(line[~np.isnan(line)]) <= 1e-9).all()
            assert (line[~np.isnan(line)] >= 0).all()


def test_minute_without_a_fill_can_be_chosen(desk):
    """By its middle."""
    summary = json.loads((desk / "out/backtest/SIMUSDT/20260105_one/summary.json").read_text())
    begin = summary["spans"][0][0] + 60_000_000
    moment = np.datetime64(begin, "us").astype(str)[:19]
    answer, html = draw(desk, "--moment", moment, page="moment.html")
    assert answer.exit_code == 0, answer.output
    first, last = figures_of(html)[0]["layout"]["xaxis"]["range"]
    assert (first + last) / 2 == pytest.approx(us_of(moment) / 1_000, abs=1)


def test_run_that_cannot_be_played_has_a_picture_without_the_queue(desk):
    """Its page says why."""
    folder = desk / "out" / "backtest" / "SIMUSDT"
    shutil.copytree(folder / "20260105_one", folder / "20260105_other")
    manifest = json.loads((folder / "20260105_other" / "run_manifest.json").read_text())
    manifest["run_id"] = "other"
    manifest["knobs"]["quote_params_json"]["value"] = '{"delta_ticks": 3}'
    (folder / "20260105_other" / "run_manifest.json").write_text(json.dumps(manifest))
    answer, html = draw(desk, "--fill", 3, name="other", page="other.html")
    assert answer.exit_code == 0, answer.output
    assert "Our place in the queue is not drawn" in html
    assert "plays it to other fills" in html


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--picture", "a.svg"), "FILE.html"),
        (("--moment", "2026-01-05T08:30"), "--picture"),
        (("--moment", "noon", "--picture", "a.html"), "MOMENT"),
        (("--moment", "2020-01-05T08:30", "--picture", "a.html"), "no day of the run"),
    ],
)
def test_wrong_picture_is_refused(desk, words, said, monkeypatch):
    """With what would work; nothing is written."""
    monkeypatch.chdir(desk)
    answer = call("runs", "explain", "one", *words, "--out-root", desk / "out")
    assert answer.exit_code in (2, 3)
    assert said in answer.stderr
    assert not (desk / "a.html").exists()
