from types import SimpleNamespace

import pytest
from captured import DAY, NOON_US, SYMBOL, agg_trade, events, folder, rows, trade

from mm.market_data.book_keeper import BookKeeper
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter
from mm.market_data.grid import Grid
from mm.market_data.messages import AggTrade, TradePrint
from mm.market_data.trade_ids import TradeVerdict
from mm.market_data.trade_keeper import STREAM, TradeKeeper

NEW, GAP, LATE, DUPLICATE = TradeVerdict.NEW, TradeVerdict.GAP, TradeVerdict.LATE, TradeVerdict.DUPLICATE


class Desk:
    """A keeper and its day; trades arrive one every ms."""

    def __init__(self, tmp_path, source, tick_e8=None):
        grid = Grid(tick_e8)
        writer = DayWriter(folder(tmp_path), "R1", top_n=3)
        keeper = BookKeeper(writer, grid, 3)
        self.day = SimpleNamespace(writer=writer, keeper=keeper, report=DayReport(DAY, 0, 0))
        self.trades = TradeKeeper(grid, source)
        self.us = NOON_US

    def take(self, *messages):
        found = []
        for message in messages:
            self.us += 1000
            fields = {key: value for key, value in message["data"].items() if key not in ("e", "M")}
            kind = TradePrint if "t" in fields else AggTrade
            found.append(self.trades.take(self.us, kind(**fields), self.day))
        return found

    def close(self):
        self.day.writer.close()
        return self.day.writer.folder


@pytest.mark.parametrize(("source", "ids"), [("import", ["1", "4", "2"]), (STREAM, ["1", "4"])])
def test_a_late_trade_is_a_row_of_an_import_only(tmp_path, source, ids):
    """Whose rows may stand where they arrived; those of the stream stand in the order of their ids."""
    desk = Desk(tmp_path, source)
    assert desk.take(trade(1), trade(4), trade(2), trade(4)) == [NEW, GAP, LATE, DUPLICATE]
    day = desk.close()
    assert [row["trade_id"] for row in rows(day.trades)] == ids
    assert len(events(day, "backfill")) == (source == "import")
    report = desk.day.report
    assert (report.trades, report.trade_gaps, report.duplicate_trades) == (len(ids), 1, 1)


def test_a_hole_is_told_with_ids_times_and_cause(tmp_path):
    """The cause that was set counts until the next trade is written."""
    desk = Desk(tmp_path, STREAM)
    desk.trades.resume(6, NOON_US - 5)
    desk.trades.gap_cause = "restart"
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
    assert desk.take(agg_trade(5, 70, 72), agg_trade(6, 73, 73)) == [NEW, NEW]
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
