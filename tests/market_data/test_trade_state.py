"""Which trades are new or missing, and how missing ones are fetched."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import NOON_US, agg_trade, events, folder, rows, trade
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.rows import STREAM, Trade
from mm.errors import BrokenFile
from mm.ids import IdRange, MissingIds
from mm.market_data.binance_spot import BINANCE_SPOT
from mm.market_data.binance_trades import AGGREGATES, HISTORICAL
from mm.market_data.day_journal import DayJournal
from mm.market_data.grid import Grid
from mm.market_data.market_events import TradeVerdict
from mm.market_data.market_state import Before, MarketState
from mm.market_data.trade_state import MOST_MISSES, MOST_MISSING, FillPlan, TradeIds
from mm.market_data.venue import AggTrade, TradePrint

NEW, GAP, LATE, DUPLICATE, RESET = TradeVerdict


@given(st.lists(st.integers(1, 30), max_size=60))
def test_every_id_counts_once_and_every_hole_is_known(ids):
    """Compared with a plain set of the received ids; ids before the first one do not count as missing."""
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

    def __init__(self, tmp_path, source, before=None):
        self.writer = DayWriter(folder(tmp_path), "R1", top_n=3)
        self.journal = DayJournal(self.writer, NOON_US, source)
        keeps_late = source != STREAM
        self.market = MarketState(Grid(), (self.journal,), top_n=3, keeps_late=keeps_late, before=before)
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
    """Its rows may be in order of arrival; those of the stream are in the order of their ids."""
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


US = 1_767_600_000_000_000


def hole(first, last):
    return MissingIds(first, last, US, US + 1_000_000)


def plan(*holes, aggregates=False):
    made = FillPlan(BINANCE_SPOT.trade_history(aggregates=aggregates))
    for one in holes:
        made.missing(hole(*one))
    return made


def historical(*ids_of):
    rows = [
        {"id": one, "price": "1.5", "qty": "2", "quoteQty": "3", "time": US, "isBuyerMaker": True, "isBestMatch": True}
        for one in ids_of
    ]
    return json.dumps(rows).encode()


def aggregates(*spans, first=50):
    rows = [
        {"a": first + at, "p": "1.5", "q": "2", "f": low, "l": high, "T": US, "m": False, "M": True}
        for at, (low, high) in enumerate(spans)
    ]
    return json.dumps(rows).encode()


def ids_of(found):
    return [span for span, _ in found]


def test_a_hole_is_asked_for_by_id_with_the_trade_behind_it():
    """That one means that what is missing in the response will always be missing."""
    made = plan((7, 9))
    request = made.next_request()
    assert (request.path, request.params, request.weight) == (HISTORICAL, {"fromId": "7", "limit": "4"}, 25)
    found = made.answered(historical(7, 8, 9, 10))
    assert ids_of(found) == [(7, 7), (8, 8), (9, 9)]
    trade = found[0][1]
    assert (trade.event_time, trade.trade_id, trade.first_id, trade.source) == (None, 7, 7, "rest")
    assert made.next_request() is None


def test_ids_that_the_exchange_never_gave_out_are_not_asked_for_again():
    """The hole stays in the ledger."""
    made = plan((7, 9))
    assert ids_of(made.answered(historical(7, 10))) == [(7, 7)]
    assert made.next_request() is None


def test_a_long_hole_is_filled_page_by_page():
    """A thousand rows are all that one answer has."""
    made = plan((1, 2_500))
    assert made.next_request().params["limit"] == "1000"
    made.answered(historical(*range(1, 1_001)))
    assert made.next_request().params == {"fromId": "1001", "limit": "1000"}


def test_what_is_too_new_for_the_exchange_is_asked_for_again_but_not_for_ever():
    """Its REST lags behind its streams; other holes have their turn in between."""
    made = plan((7, 9), (20, 20))
    made.answered(b"[]")
    assert made.next_request().params["fromId"] == "20"
    made.answered(historical(20, 21))
    for _ in range(MOST_MISSES - 1):
        assert made.next_request().params["fromId"] == "7"
        made.answered(b"[]")
    assert made.next_request() is None


def test_a_host_without_single_trades_is_asked_for_aggregates_by_time():
    """And then goes on by their ids_of; an aggregate that is only in part missing cannot be taken apart."""
    made = plan((7, 12))
    made.refused(BINANCE_SPOT.refusal(404))
    request = made.next_request()
    assert (request.path, request.weight) == (AGGREGATES, 4)
    assert request.params == {
        "startTime": str(US // 1000 - 5_000),
        "endTime": str(US // 1000 + 6_000),
        "limit": "1000",
    }
    assert ids_of(made.answered(aggregates((5, 6), (7, 7), first=50))) == [(7, 7)]
    assert made.next_request().params == {"fromId": "52", "limit": "1000"}
    assert ids_of(made.answered(aggregates((8, 10), (11, 14), first=52))) == [(8, 10)]
    assert made.next_request() is None


def test_aggregates_are_counted_by_their_own_ids():
    """If the day's trades are aggregates; their ranges are in their rows."""
    made = plan((7, 8), aggregates=True)
    assert made.next_request().params == {"fromId": "7", "limit": "3"}
    found = made.answered(aggregates((70, 75), (76, 76), (77, 80), first=7))
    assert ids_of(found) == [(7, 7), (8, 8)]
    assert [(one.trade_id, one.first_id, one.last_id) for _, one in found] == [(7, 70, 75), (8, 76, 76)]


@pytest.mark.parametrize("status", [None, 403, 418, 429, 500, 503])
def test_what_may_pass_is_asked_again_as_it_was(status):
    """Trouble of the moment is no reason to give up."""
    made = plan((7, 9))
    before = made.next_request()
    made.refused(BINANCE_SPOT.refusal(status))
    assert made.next_request() == before


def test_a_host_that_has_neither_leaves_the_hole_in_the_ledger():
    """There is no venue to query."""
    made = plan((7, 9))
    made.refused(BINANCE_SPOT.refusal(404))
    made.refused(BINANCE_SPOT.refusal(404))
    assert made.next_request() is None


@pytest.mark.parametrize("body", [b"{", b"{}", b'[{"id":1}]', historical(9, 8), aggregates((1, 2))])
def test_what_is_no_list_of_trades_is_refused(body):
    """Nothing of it is written."""
    made = plan((7, 9))
    with pytest.raises((msgspec.MsgspecError, BrokenFile)):
        made.answered(body)
    for _ in range(MOST_MISSES):
        made.unreadable()
    assert made.next_request() is None


def test_a_hole_that_would_take_hours_is_left_alone():
    """And those of a day that is over."""
    made = plan((1, MOST_MISSING + 1), (1, 5))
    assert made.next_request().params["limit"] == "6"
    made.clear()
    assert made.next_request() is None


@given(st.sets(st.integers(1, 60)), st.integers(1, 60), st.integers(0, 30))
def test_whatever_there_is_of_a_hole_comes_once_and_then_it_is_over(there, first, more):
    """However many answers it takes, and nothing beside it."""
    made, got = plan((first, first + more)), []
    for _ in range(200):
        request = made.next_request()
        if request is None:
            break
        since = int(request.params["fromId"])
        rows = [one for one in sorted(there) if one >= since][: min(3, int(request.params["limit"]))]
        got += [low for (low, _), _ in made.answered(historical(*rows))]
    assert made.next_request() is None
    assert got == sorted(there & set(range(first, first + more + 1)))


def test_one_id_far_ahead_does_not_make_the_trades_after_it_late(tmp_path):
    """It is kept aside; only a second one there shows that the ids between are missing."""
    desk = Desk(tmp_path, STREAM)
    found = desk.take(trade(1), trade(5_000_000), trade(2), trade(3), trade(9_000), trade(9_001), trade(9_002))
    assert not any(one.late for one in found)
    assert [one.advanced for one in found] == [True, False, True, True, False, True, True]
    assert [one.ids_missing for one in found] == [False] * 5 + [True, False]
    day = desk.close()
    stamps = {row["trade_id"]: int(row["recv_time_us"]) - NOON_US for row in rows(day.trades)}
    assert stamps == {"1": 1000, "2": 3000, "3": 4000, "9000": 5000, "9001": 6000, "9002": 7000}
    assert [(hole["from_id"], hole["to_id"]) for hole in events(day, "trade_gap")] == [(4, 8_999)]
    assert [one["kind"] for one in events(day, "anomaly")] == ["far_ahead", "quarantined"]


def test_a_late_trade_is_still_missing_and_fetched(tmp_path):
    """The stream brings it out of order, so that it is no row; REST brings it once."""
    desk = Desk(tmp_path, STREAM)
    desk.take(trade(1), trade(5), trade(3))
    fetched = [
        (IdRange(number, number), Trade(None, number, US, "1", "1", True, number, number, "rest"))
        for number in (2, 3, 4)
    ]
    assert desk.market.trades.fetched(desk.us, fetched) == 3
    assert desk.market.trades.fetched(desk.us, fetched) == 0
    assert [row["trade_id"] for row in rows(desk.close().trades)] == ["1", "5", "2", "3", "4"]


def test_an_answer_far_ahead_declares_nothing(tmp_path):
    """REST names the last trade where a stream is silent; a wrong one must not make the next trades late."""
    desk = Desk(tmp_path, STREAM)
    desk.take(trade(1))
    desk.market.trades_lost(desk.us, 2, 5_000_000)
    desk.take(trade(2), trade(4))
    desk.market.trades_lost(desk.us, 5, 7)
    day = desk.close()
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "2", "4"]
    assert [(hole["from_id"], hole["to_id"]) for hole in events(day, "trade_gap")] == [(3, 3), (5, 7)]
