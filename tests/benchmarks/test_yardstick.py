"""The yardstick is our own: a busy market of known rates, the same bytes for the same hours; the peer has all of it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import yardstick
from benchmarks.turns import FAR_K, NEAR_K
from benchmarks.yardstick import Yardstick
from mm.cli.console import Console
from mm.code_identity import hash_file
from mm.formats.hftbacktest import TRADE_EVENT
from mm.tape.columns import DEPTH, TRADE
from mm.tape.load import load_day

HOURS = 0.1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The yardstick of some minutes, its day and the peer's events."""
    own = Yardstick(None, HOURS, tmp_path_factory.mktemp("bench"))
    console = Console(as_json=True, level="INFO")
    return own, own.day(console), own.events(console)


def test_the_market_is_as_busy_as_the_page_says(made):
    """30 level changes in each of ten messages per second, 20 trades a second, a deep book that keeps changing."""
    own, day, _ = made
    tape = load_day(day.path, cache=own.out / "tapes")
    seconds, rows = (tape.end_us - tape.start_us) / 1e6, np.diff(tape.first_row)
    assert (tape.kind == DEPTH).sum() / seconds == pytest.approx(10, rel=0.02)
    assert rows[tape.kind == DEPTH].mean() == pytest.approx(30, rel=0.1)
    assert (tape.kind == TRADE).sum() / seconds == pytest.approx(20, rel=0.3)
    assert (tape.row_lots == 0).mean() == pytest.approx(0.26, abs=0.06)
    spread = (tape.top_ask_ticks - tape.top_bid_ticks)[(tape.top_ask_ticks > 0) & (tape.top_bid_ticks > 0)]
    assert spread.min() == 1


def test_the_same_hours_are_the_same_bytes(made, tmp_path):
    """So an outsider measures on the same day."""
    again = Yardstick(None, HOURS, tmp_path).day(Console(as_json=True, level="INFO"))
    names = sorted(path.relative_to(again.path) for path in again.path.rglob("*.ndjson.gz"))
    assert names
    for name in (*names, Path("truth.json"), again.trades.relative_to(again.path)):
        assert hash_file(again.path / name) == hash_file(made[1].path / name)


def test_the_peer_has_every_trade_and_every_level(made):
    """One record each, and one for clearing the book; it is kept unpacked, and nothing else is left."""
    own, day, events = made
    tape, rows = load_day(day.path, cache=own.out / "tapes"), np.load(events)
    assert (rows["ev"] & 0xFF == TRADE_EVENT).sum() == (tape.kind == TRADE).sum()
    assert len(rows) >= len(tape.row_ticks)
    assert sorted(path.name for path in own.root.iterdir()) == ["data", "events.npy"]


def test_the_peer_plays_within_the_prices_of_the_day(made):
    """Its book is dense, without prices outside it; it quotes as far from the mid as we do."""
    own, _, events = made
    words = own.plays(Console(as_json=True, level="INFO"), Path(sys.executable))
    assert words[:3] == (sys.executable, str(yardstick.PEER_SCRIPT), str(events))
    given = dict(zip(words[3::2], map(float, words[4::2]), strict=True))
    rows = np.load(events)
    assert given["--lowest"] == pytest.approx(rows["px"][rows["px"] > 0].min())
    assert given["--highest"] == pytest.approx(rows["px"].max())
    assert given["--half-ticks"] == pytest.approx(6.5, abs=0.01)
    assert (own.k, Yardstick(Path(), 1.0, Path()).k) == (NEAR_K, FAR_K)
    assert yardstick.half_ticks(FAR_K) == pytest.approx(64.54, abs=0.01)
