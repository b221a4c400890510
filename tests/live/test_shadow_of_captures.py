"""Shadows of recorded real markets: the live path equals the tape of the day imported from the same bytes."""

import json
import random

import pytest
from shadowed import CHANCE, QUEUE, strategy

from captured import import_files
from engine_tapes import BEGIN_US, TEST, Teller
from mm import Tape
from mm.backtest.engine.live_feed import LiveFeed, feed_events
from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics.order_lives import mid_offsets
from mm.instrument import E8, Instrument, e8, to_exchange_info
from mm.live.run.decisions import decisions_name, decisions_of, write_decisions
from mm.live.run.live_play import PaperPlay
from mm.live.run.live_terms import ShadowTerms
from mm.live.run.replay_check import compare, replay
from mm.market_data import import_session
from mm.market_data.day_journal import DayJournal
from mm.play.models import PlayModels
from support import SHARED

CAPTURES = SHARED / "data"
RECORDED = [
    (
        "NEXOUSDT",
        "binance-spot-nexousdt-20240723-24/nexousdt_20240723.dat.gz",
        "0.001",
        "0.1",
        CHANCE | {"quote_qty": "10"},
    ),
    (
        "BTCUSDT",
        "binance-spot-btcusdt-20240808-09/btcusdt_20240808.gz",
        "0.01",
        "0.00001",
        QUEUE | {"quote_qty": "0.001"},
    ),
]


@pytest.mark.slow
@pytest.mark.skipif(not CAPTURES.exists(), reason="needs the recorded captures in ../shared/data")
@pytest.mark.parametrize(("symbol", "path", "tick", "step", "models"), RECORDED)
def test_shadow_of_capture_equals_replay_of_imported_day(  # noqa: PLR0917
    symbol, path, tick, step, models, tmp_path, monkeypatch
):
    """Exchange messages through the market state into the feed, and the tape of the day imported from them."""
    instrument = Instrument(symbol, e8(tick), e8(step), 5 * E8, symbol[:-4], "USDT")
    entry = json.loads(to_exchange_info(instrument))
    account = {"initial_inventory": "1000", "initial_cash": "1000000"}
    knobs = strategy(requote_ms=100.0, account=account, risk={}, **models)
    followed = []

    class Followed(DayJournal):
        def __init__(self, writer, at_us, source):
            super().__init__(writer, at_us, source)
            play = PaperPlay(ShadowTerms(symbol, writer.folder.day, entry, None, None, at_us), knobs)
            followed.append((writer.folder.day, play, LiveFeed(play.exchange, play.grid, self)))
            self.then = followed[-1][2]

    monkeypatch.setattr(import_session, "DayJournal", Followed)
    import_files([CAPTURES / path], tmp_path / "data", symbol, tick_size=tick, qty_step=step)
    day, play, feed = followed[0]
    feed.advance(end_us := feed.now_us)
    terms = ShadowTerms(symbol, day, entry, None, None, 0, "R1", end_us)
    live, again = tmp_path / "live", tmp_path / "again"
    result = play.result()
    result.write_tables(live)
    table = decisions_of(result.journal)
    write_decisions(live / decisions_name(symbol), table, [0] * len(table), play.grid)
    again.mkdir()
    replay(terms, knobs, tmp_path / "data", again)
    found = compare(live, again, symbol, 0)
    assert found.first_difference is None
    assert found.same, found
    assert found.decisions > 1_000
    assert found.rows["fills_live"] > 10


@pytest.mark.parametrize("reference", ["best", "micro"])
def test_best_prices_are_kept_as_reference_of_an_intensity(tmp_path, monkeypatch, reference):
    """They equal those of the tape of the same events, so that fills are predicted as in its backtest."""
    chance, teller = random.Random(5), Teller(100, BEGIN_US)
    for _ in range(300):
        teller.us += chance.choice([20_000, 50_000, 130_000])
        levels = [(chance.choice([1, -1]), chance.randint(-1, 3), chance.randint(0, 4)) for _ in range(2)]
        teller.tell(chance.choices(["depth", "trade", "snapshot"], [60, 39, 0.7])[0], levels)
    tape = Tape.of(TEST, teller.events)
    monkeypatch.setattr(PlayModels, "intensity", property(lambda _: Intensity.constant(0.5, 0.4, reference)))
    entry = json.loads(to_exchange_info(tape.instrument))
    terms = ShadowTerms(tape.symbol, tape.days[0], entry, None, None, tape.start_us)
    play = PaperPlay(terms, strategy(requote_ms=100.0, account={"initial_cash": "1000000"}, risk={}, **QUEUE))
    play.feed(feed_events(tape))
    play.advance(tape.end_us)
    prices, lots = (tape.top_bid_ticks, tape.top_ask_ticks), (tape.top_bid_lots, tape.top_ask_lots)
    expected = mid_offsets(reference, tape.event_us[tape.top_event], prices, lots)
    assert len(set(expected[:, 1].tolist())) > 2
    assert play.result().terms.offsets.tolist() == expected.tolist()
