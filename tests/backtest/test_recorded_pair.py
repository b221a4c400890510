"""Other markets on recorded days: two Spot symbols of one minute, and a Spot and a USD-M day.

The recorded Spot and USD-M days do not overlap, which is refused; the second one is moved onto the first for the rest.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_other_market import twin

import mm
from captured import import_files
from mm.dayfolder.layout import days_of
from mm.errors import Mismatch
from mm.play.market import feed_of_market

DATA = Path(__file__).parents[3] / "shared/data"
MINUTE_US = 60_000_000


class Watching:
    """Quotes nothing, and keeps what it sees of the other market every 100 ms."""

    def __init__(self):
        self.seen = []

    def quote(self, view):
        other = view.other("lead")
        trade = other.last_trade and tuple(other.last_trade)
        self.seen.append(
            (view.us, (other.bid_ticks, other.bid_lots, other.ask_ticks, other.ask_lots, trade, other.age_us))
        )


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Return a function that imports the captures of a folder for a symbol, and the tape of the last day."""
    if not DATA.exists():
        pytest.skip("needs the recorded days in ../shared/data")
    root = tmp_path_factory.mktemp("data")

    def imported(folder, symbol):
        place = root / folder
        import_files(sorted((DATA / folder).glob("*.gz")), place, symbol)
        return mm.load_day(place / symbol / days_of(place, symbol)[-1])

    return imported


def assert_seen(own, lead, feed_latency_ms=None):
    """Check what a strategy on *own* sees of *lead*, against the twin that knows only a list of events."""
    model, place = Watching(), {"tape": lead, "feed_latency_ms": feed_latency_ms}
    mm.backtest(own, model, others={"lead": place}, requote_interval_ms=100, sensitivity=False)
    feed = feed_of_market("lead", [own], [lead], feed_latency_ms)
    assert len(model.seen) > 400
    for us, seen in model.seen[:: len(model.seen) // 25]:
        assert seen == twin(feed.tapes, feed.delay_us, us)
    assert len({seen[0] for _, seen in model.seen}) > 10


@pytest.mark.slow
def test_recorded_spot_markets_of_one_minute(days):
    own, lead = (days("binance-spot-multi-20210404", symbol) for symbol in ("ETHUSDT", "BTCUSDT"))
    assert feed_of_market("lead", [own], [lead]).notes == ()
    minute = own.between(own.start_us + 10_000_000, own.start_us + 10_000_000 + MINUTE_US)
    assert_seen(minute, lead)
    assert_seen(minute, lead, feed_latency_ms=15)


@pytest.mark.slow
def test_recorded_spot_and_futures_days(days):
    """Their recorders' clocks were 1.27 s behind and about right: by exchange time, both are in their true order."""
    spot, perp = (
        days("binance-spot-btcusdt-20240808-09", "BTCUSDT"),
        days("binance-usdm-btcusdt-20230404-05", "BTCUSDT"),
    )
    with pytest.raises(Mismatch, match="lead does not overlap with the run"):
        mm.backtest(spot, others={"lead": perp}, sensitivity=False)
    later_us = int(spot.event_exch_us[spot.event_exch_us > 0][0] - perp.event_exch_us[perp.event_exch_us > 0][0])
    stamps = np.where(perp.event_exch_us > 0, perp.event_exch_us + later_us, 0)
    moved = perp.restamped(perp.event_us + later_us, perp.start_us + later_us, perp.end_us + later_us)
    moved = replace(moved, event_exch_us=stamps)
    minute = spot.between(spot.start_us + MINUTE_US, spot.start_us + 2 * MINUTE_US)
    notes = feed_of_market("lead", [minute], [moved]).notes
    assert any(note.startswith("clocks: lead") for note in notes)
    assert_seen(minute, moved)
    assert_seen(minute, moved, feed_latency_ms=20)
    feed = feed_of_market("lead", [minute], [moved], 20)
    known = (feed.tapes[0].event_exch_us > 0) & (feed.tapes[0].event_us > minute.start_us)
    late = feed.tapes[0].event_us[known] - feed.tapes[0].event_exch_us[known] - minute.feed.offset_us
    assert np.median(late) < 5_000  # at their exchange time on the clock of the run, but for messages in between
