"""Trade ids: once each, in order, and each missing one reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import NOON_US, SYMBOL, agg_trade, events, folder, rows, trade
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.rows import STREAM
from mm.market_data.day_journal import DayJournal
from mm.market_data.grid import Grid
from mm.market_data.market_events import TradeVerdict
from mm.market_data.market_state import Before, MarketState
from mm.market_data.messages import AggTrade, TradePrint
from mm.market_data.trade_state import TradeIds

NEW, GAP, LATE, DUPLICATE, RESET = TradeVerdict


@given(st.lists(st.integers(1, 30), max_size=60))
def test_every_id_counts_once_and_every_hole_is_known(ids):
    """Against a plain set of the ids that came; what stands before the first id is not known to be missing."""
    trades, came = TradeIds(), set()
    for trade_id in ids:
        verdict = trades.take(trade_id)
        highest, first = max(came, default=None), min(came, default=trade_id)
        if highest is None or trade_id == highest + 1:
            assert verdict is NEW
        elif trade_id > highest:
            assert verdict is GAP
            assert tuple(trades.hole) == (highest + 1, trade_id - 1)
        elif trade_id in came or trade_id < first:
            assert verdict is DUPLICATE
        else:
            assert verdict is LATE
        if verdict is not DUPLICATE:
            came.add(trade_id)
        assert trades.last_id == max(came)


def test_ids_that_begin_anew_are_new_trades():
    """After a reset nothing is a duplicate of what came before it."""
    trades = TradeIds()
    assert [trades.take(i) for i in (9_000_000, 9_000_003, 1, 2, 2)] == [NEW, GAP, RESET, NEW, DUPLICATE]


class Desk:
    """A market, its journal and its day; trades arrive one every ms."""

    def __init__(self, tmp_path, source, tick_e8=None, before=None):
        self.writer = DayWriter(folder(tmp_path), "R1", top_n=3)
        self.journal = DayJournal(self.writer, NOON_US, source)
        keeps_late = source != STREAM
        self.market = MarketState(Grid(tick_e8), (self.journal,), top_n=3, keeps_late=keeps_late, before=before)
        self.us = NOON_US

    def take(self, *messages):
        found = []
        for message in messages:
            self.us += 1000
            fields = {key: value for key, value in message["data"].items() if key not in ("e", "M")}
            kind = TradePrint if "t" in fields else AggTrade
            found.append(self.market.take(self.us, kind(**fields)))
        return found

    def close(self):
        self.writer.close()
        return self.writer.folder


@pytest.mark.parametrize(("source", "ids"), [("import", ["1", "4", "2"]), (STREAM, ["1", "4"])])
def test_a_late_trade_is_a_row_of_an_import_only(tmp_path, source, ids):
    """Whose rows may stand where they arrived; those of the stream stand in the order of their ids."""
    desk = Desk(tmp_path, source)
    found = desk.take(trade(1), trade(4), trade(2), trade(4))
    assert [one.ids_missing for one in found] == [False, True, False, False]
    assert [one.advanced for one in found] == [True, True, False, False]
    assert [one.late for one in found] == [False, False, True, False]
    day = desk.close()
    assert [row["trade_id"] for row in rows(day.trades)] == ids
    assert len(events(day, "backfill")) == (source == "import")
    report = desk.journal.report
    assert (report.trades, report.trade_gaps, report.duplicate_trades) == (len(ids), 1, 1)


def test_a_hole_is_told_with_ids_times_and_cause(tmp_path):
    """The cause that was set counts until the next trade is written."""
    desk = Desk(tmp_path, STREAM, before=Before(trade_id=6, trade_us=NOON_US - 5, cause="restart"))
    desk.take(trade(9), trade(11))
    holes = events(desk.close(), "trade_gap")
    assert [(hole["from_id"], hole["to_id"], hole["cause"]) for hole in holes] == [
        (7, 8, "restart"),
        (10, 10, "ids_missing"),
    ]
    assert [(hole["from_us"] - NOON_US, hole["to_us"] - NOON_US) for hole in holes] == [(-5, 1000), (1000, 2000)]


def test_an_aggregate_keeps_the_trades_it_spans(tmp_path):
    """Its own id is the one that counts."""
    desk = Desk(tmp_path, STREAM)
    assert [one.ids_missing for one in desk.take(agg_trade(5, 70, 72), agg_trade(6, 73, 73))] == [False, False]
    spans = [(row["trade_id"], row["first_trade_id"], row["last_trade_id"]) for row in rows(desk.close().trades)]
    assert spans == [("5", "70", "72"), ("6", "73", "73")]


def test_a_price_off_the_tick_is_told_and_stored(tmp_path):
    """The exchange traded there."""
    desk = Desk(tmp_path, STREAM, tick_e8=100_000_000)
    desk.take(trade(1, price="100.50"), trade(2, price="101.00"))
    day = desk.close()
    (told,) = events(day, "anomaly")
    assert told == {"kind": "off_tick", "stream": "trade", "price": "100.50", "trade_id": 1}
    assert len(rows(day.trades)) == 2
    assert rows(day.trades)[0]["source"] == STREAM
    assert SYMBOL in day.trades.name
