"""The page of the market: a recorded day, a running market, and broken files."""

import shutil

import numpy as np
import pytest
from page_reading import figures_of, text_of, titles_of

from mm.dashboard.market_page import volatility_cells
from mm.dashboard.sources import Folders, day_market

LIVE, DAY = ["Prices", "Spread", "Trade flow", "Quantity"], ["Best prices and trades", "Spread of the day"]


@pytest.mark.slow
def test_recorded_day_shows_its_market(opened):
    """Depth, prices, spread and flow at its end; best prices, spread and volatility of the whole day."""
    at = opened("market_page", symbol="SIMUSDT", day="20260105")
    assert not at.exception
    assert not at.error
    assert titles_of(at) == [*LIVE, *DAY]
    assert len(figures_of(at)) == 4  # with the depth, and the map of volatility
    tiles = {metric.label: metric.value for metric in at.metric}
    assert list(tiles) == [
        *("Mid, USDT", "Micro-price, USDT", "Spread, USDT", "Volatility, 5 min", "Trade flow, 1 min, SIM")
    ]
    assert 90 < float(tiles["Mid, USDT"]) < 110
    assert "Volatility" in text_of(at)


def test_whole_day_can_be_left_out(opened):
    """It is only read if requested."""
    at = opened("market_page")
    at.toggle[0].set_value(False).run()
    assert titles_of(at) == LIVE


def test_page_without_recorded_data_shows_no_book(opened, tmp_path):
    """An empty folder, and a symbol that has no day."""
    assert "No book yet" in text_of(opened("market_page", tmp_path))
    assert "No book yet" in text_of(opened("market_page", tmp_path, symbol="OTHER"))


def test_unreachable_metrics_give_one_error(opened):
    """The day is still shown."""
    at = opened("market_page", metrics="127.0.0.1:1")
    assert not at.exception
    assert len(at.error) == 1
    assert "127.0.0.1:1/metrics does not respond" in at.error[0].value
    assert titles_of(at) == [*LIVE, *DAY]


@pytest.mark.slow
@pytest.mark.parametrize("address", ["192.0.2.1:9109", "http://example.org/metrics", "127.0.0.1.example.org:1"])
def test_addresses_of_other_machines_are_refused(opened, address):
    """A link with such an address must not make this machine ask others; the way out is a forwarded port."""
    for name in ("metrics", "box"):
        at = opened("market_page", **{name: address})
        assert not at.exception
        assert "is not on this machine" in at.error[0].value
        assert "ssh -L" in at.error[0].value


def test_unreachable_exchange_has_no_book(opened):
    at = opened("market_page", box="127.0.0.1:1")
    assert not at.exception
    assert "does not respond" in at.error[0].value
    assert "No book yet" in text_of(at)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "text"),
    [("orderbook_ws_depth*", "a,b\n1,2\n"), ("orderbook_ws_depth*", ""), ("health", "{"), ("instrument*", "[]")],
)
def test_broken_day_gives_single_line_errors(opened, made, tmp_path, pattern, text):
    """No traceback for any kind of damage."""
    shutil.copytree(made / "data", tmp_path / "data")
    day = tmp_path / "data/SIMUSDT/20260105"
    path = day / "health_SIMUSDT.json" if pattern == "health" else next(day.glob(pattern))
    path.write_text(text)
    at = opened("market_page", tmp_path)
    assert not at.exception
    assert at.error
    assert all("\n" not in error.value for error in at.error)


def test_volatility_cells_by_minute():
    """By hand: a step of 1 % in the second minute, none in the first; a hole leaves its minute out."""
    us = np.array([0, 90_000_000, 130_000_000, 200_000_000])
    cells = volatility_cells(us, np.array([100.0, 101.0, np.nan, 101.0]))
    assert [(cell["hour"], cell["minute"]) for cell in cells] == [("01-01T00", 0), ("01-01T00", 1)]
    assert cells[0]["bp"] == 0
    assert cells[1]["bp"] == pytest.approx(1e4 * np.log(1.01))
    assert volatility_cells(us[:1], np.array([100.0])) == []


def test_changed_day_is_read_again(made, tmp_path):
    """By the modification times of its files."""
    shutil.copytree(made / "data", tmp_path / "data")
    folders = Folders(tmp_path / "data", tmp_path / "out")
    first = day_market(folders, "SIMUSDT", "20260105")
    assert day_market(folders, "SIMUSDT", "20260105") is first
    next((tmp_path / "data").glob("*/*/events_*")).touch()
    assert day_market(folders, "SIMUSDT", "20260105") is not first
