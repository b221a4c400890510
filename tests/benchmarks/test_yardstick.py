"""Our own yardstick: a busy market with known rates and reproducible bytes, and its complete copy for the peer."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import yardstick
from benchmarks.turns import FAR_K, NEAR_K
from benchmarks.yardstick import Yardstick
from mm import load_day
from mm.base.code_identity import hash_file
from mm.formats.hftbacktest import TRADE_EVENT
from mm.tape.columns import DEPTH, TRADE
from mm.terminal.console import Console

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

HOURS = 0.1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A yardstick of some minutes, its day and the peer's events."""
    sample = Yardstick(None, HOURS, tmp_path_factory.mktemp("bench"))
    console = Console(as_json=True, level="INFO")
    return sample, sample.day(console), sample.events(console)


def test_market_has_documented_rates(made):
    """30 level changes in each of ten messages per second, and 20 trades per second."""
    sample, day, _ = made
    tape = load_day(day.path, cache=sample.out / "tapes")
    seconds, rows = (tape.end_us - tape.start_us) / 1e6, np.diff(tape.first_row)
    assert (tape.kind == DEPTH).sum() / seconds == pytest.approx(10, rel=0.02)
    assert rows[tape.kind == DEPTH].mean() == pytest.approx(30, rel=0.1)
    assert (tape.kind == TRADE).sum() / seconds == pytest.approx(20, rel=0.3)
    assert (tape.row_lots == 0).mean() == pytest.approx(0.26, abs=0.06)
    spread = (tape.top_ask_ticks - tape.top_bid_ticks)[(tape.top_ask_ticks > 0) & (tape.top_bid_ticks > 0)]
    assert spread.min() == 1


def test_same_hours_give_same_bytes(made, tmp_path):
    """So measurements elsewhere use the same day."""
    again = Yardstick(None, HOURS, tmp_path).day(Console(as_json=True, level="INFO"))
    names = sorted(path.relative_to(again.path) for path in again.path.rglob("*.ndjson.gz"))
    assert names
    for name in (*names, Path("truth.json"), again.trades.relative_to(again.path)):
        assert hash_file(again.path / name) == hash_file(made[1].path / name)


def test_peer_events_contain_all_trades_and_levels(made):
    """One record each, and one to clear the book; the file is uncompressed, and no other file is left."""
    sample, day, events = made
    tape, rows = load_day(day.path, cache=sample.out / "tapes"), np.load(events)
    assert (rows["ev"] & 0xFF == TRADE_EVENT).sum() == (tape.kind == TRADE).sum()
    assert len(rows) >= len(tape.row_ticks)
    assert sorted(path.name for path in sample.root.iterdir()) == ["data", "events.npy"]


def test_peer_command_has_price_range_and_quote_distance_of_day(made):
    """Its dense book covers all prices of the day; it quotes at our distance from the mid."""
    sample, _, events = made
    words = sample.plays(Console(as_json=True, level="INFO"), Path(sys.executable))
    assert words[:3] == (sys.executable, str(yardstick.PEER_SCRIPT), str(events))
    flags = dict(zip(words[3::2], map(float, words[4::2]), strict=True))
    rows = np.load(events)
    assert flags["--lowest"] == pytest.approx(rows["px"][rows["px"] > 0].min())
    assert flags["--highest"] == pytest.approx(rows["px"].max())
    assert flags["--half-ticks"] == pytest.approx(6.5, abs=0.01)
    assert (sample.k, Yardstick(Path(), 1.0, Path()).k) == (NEAR_K, FAR_K)
    assert yardstick.half_ticks(FAR_K) == pytest.approx(64.54, abs=0.01)
