"""Detection of new and missing trades, and requests for missing ones."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import NOON_US, events, folder, rows, trade
from hand_fed import open_day
from mm.dayfolder.ledger import SKIPPED, Event, excused_trades
from mm.dayfolder.rows import arrival
from mm.errors import BrokenFile
from mm.ids import IdRange, MissingIds
from mm.market_data.day_journal import DayJournal
from mm.market_data.market_events import TradesMissing
from mm.market_data.market_state import MarketState, PreviousRun
from mm.market_data.trade_state import MOST_MISSES, MOST_MISSING, FillPlan, TradeState
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.binance_trades import AGGREGATES, HISTORICAL
from mm.markets.grid import Grid
from mm.markets.messages import AggTrade, TradePrint
from mm.markets.records import STREAM, Trade
from mm.markets.trade_ids import TradeIds, TradeVerdict

NEW, GAP, LATE, DUPLICATE, RESET = TradeVerdict


@given(st.lists(st.integers(1, 30), max_size=60))
def test_every_id_counts_once_and_every_hole_is_reported(ids):
    """Compared with a plain set of the received ids; ids before the first one do not count as missing."""
    trades, received = TradeIds(), set()
    for trade_id in ids:
        verdict = trades.take(trade_id)
        highest, first = max(received, default=None), min(received, default=trade_id)
        if highest is None or trade_id == highest + 1:
            assert verdict is NEW
        elif trade_id > highest:
            assert verdict is GAP
            assert tuple(trades.hole) == (highest + 1, trade_id - 1)
        elif trade_id in received or trade_id < first:
            assert verdict is DUPLICATE
        else:
            assert verdict is LATE
        if verdict is not DUPLICATE:
            received.add(trade_id)
        assert trades.last_id == max(received)


def test_ids_after_a_reset_are_new_trades():
    """After a reset no trade is a duplicate of earlier ones."""
    trades = TradeIds()
    assert [trades.take(i) for i in (9_000_000, 9_000_003, 1, 2, 2)] == [NEW, GAP, RESET, NEW, DUPLICATE]


class Desk:
    """A market, its journal and its day; a trade arrives every ms."""

    def __init__(self, tmp_path, source, before=None):
        self.writer = open_day(folder(tmp_path), top_n=3)
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
def test_late_trade_is_written_by_imports_only(tmp_path, source, ids):
    """Rows of an import may be in order of arrival; rows of the stream are in id order."""
    desk = Desk(tmp_path, source)
    found = desk.take(trade(1), trade(4), trade(2), trade(4))
    assert [taken.ids_missing for taken in found] == [False, True, False, False]
    assert [taken.advanced for taken in found] == [True, True, False, False]
    assert [taken.late for taken in found] == [False, False, True, False]
    day = desk.close()
    assert [row["trade_id"] for row in rows(day.trades)] == ids
    assert len(events(day, "backfill")) == (source == "import")
    report = desk.journal.report
    assert (report.trades, report.trade_gaps, report.duplicate_trades) == (len(ids), 1, 1)


def test_hole_is_reported_with_ids_times_and_cause(tmp_path):
    """The given cause is valid until the first trade."""
    desk = Desk(tmp_path, STREAM, before=PreviousRun(trade_id=6, trade_us=NOON_US - 5, cause="restart"))
    desk.take(trade(9), trade(11))
    holes = events(desk.close(), "trade_gap")
    assert [(hole["from_id"], hole["to_id"], hole["cause"]) for hole in holes] == [
        (7, 8, "restart"),
        (10, 10, "ids_missing"),
    ]
    assert [(hole["from_us"] - NOON_US, hole["to_us"] - NOON_US) for hole in holes] == [(-5, 1000), (1000, 2000)]


US = 1_767_600_000_000_000


def hole(first, last):
    return MissingIds(first, last, US, US + 1_000_000)


def plan(*holes, aggregates=False):
    fill_plan = FillPlan(BINANCE_SPOT.trade_history(aggregates=aggregates))
    for ids in holes:
        fill_plan.missing(hole(*ids))
    return fill_plan


def historical(*ids):
    rows = [
        {
            "id": trade_id,
            "price": "1.5",
            "qty": "2",
            "quoteQty": "3",
            "time": US,
            "isBuyerMaker": True,
            "isBestMatch": True,
        }
        for trade_id in ids
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


def test_hole_is_requested_by_id_with_the_next_trade():
    """The next trade in the answer shows that missing ids do not exist."""
    fill_plan = plan((7, 9))
    request = fill_plan.next_request()
    assert (request.path, request.params, request.weight) == (HISTORICAL, {"fromId": "7", "limit": "4"}, 25)
    found = fill_plan.answered(historical(7, 8, 9, 10))
    assert ids_of(found) == [(7, 7), (8, 8), (9, 9)]
    trade = found[0][1]
    assert (trade.event_time, trade.trade_id, trade.first_id, trade.source) == (None, 7, 7, "rest")
    assert fill_plan.next_request() is None


def test_ids_that_do_not_exist_are_not_requested_again():
    """The next trade is in the answer, so the other ids do not exist."""
    fill_plan = plan((7, 9))
    assert ids_of(fill_plan.answered(historical(7, 10))) == [(7, 7)]
    assert fill_plan.next_request() is None


def test_long_hole_is_filled_page_by_page():
    """An answer has a thousand rows at most."""
    fill_plan = plan((1, 2_500))
    assert fill_plan.next_request().params["limit"] == "1000"
    fill_plan.answered(historical(*range(1, 1_001)))
    assert fill_plan.next_request().params == {"fromId": "1001", "limit": "1000"}


def test_empty_answers_are_retried_a_limited_number_of_times():
    """REST may lag behind the streams; other holes are requested in between."""
    fill_plan = plan((7, 9), (20, 20))
    fill_plan.answered(b"[]")
    assert fill_plan.next_request().params["fromId"] == "20"
    fill_plan.answered(historical(20, 21))
    for _ in range(MOST_MISSES - 1):
        assert fill_plan.next_request().params["fromId"] == "7"
        fill_plan.answered(b"[]")
    assert fill_plan.next_request() is None


def test_aggregates_are_requested_by_time_if_single_trades_are_refused():
    """Later pages are requested by id; aggregates that are only partly missing are dropped."""
    fill_plan = plan((7, 12))
    fill_plan.refused(BINANCE_SPOT.refusal(404))
    request = fill_plan.next_request()
    assert (request.path, request.weight) == (AGGREGATES, 4)
    assert request.params == {
        "startTime": str(US // 1000 - 5_000),
        "endTime": str(US // 1000 + 6_000),
        "limit": "1000",
    }
    assert ids_of(fill_plan.answered(aggregates((5, 6), (7, 7), first=50))) == [(7, 7)]
    assert fill_plan.next_request().params == {"fromId": "52", "limit": "1000"}
    assert ids_of(fill_plan.answered(aggregates((8, 10), (11, 14), first=52))) == [(8, 10)]
    assert fill_plan.next_request() is None


def test_aggregates_are_requested_by_their_own_ids():
    """If the day records aggregates, holes are in ids of aggregates; trade id ranges are in the rows."""
    fill_plan = plan((7, 8), aggregates=True)
    assert fill_plan.next_request().params == {"fromId": "7", "limit": "3"}
    found = fill_plan.answered(aggregates((70, 75), (76, 76), (77, 80), first=7))
    assert ids_of(found) == [(7, 7), (8, 8)]
    assert [(row.trade_id, row.first_id, row.last_id) for _, row in found] == [(7, 70, 75), (8, 76, 76)]


@pytest.mark.parametrize("status", [None, 403, 418, 429, 500, 503])
def test_temporary_errors_repeat_the_same_request(status):
    """A temporary failure does not end the plan."""
    fill_plan = plan((7, 9))
    request = fill_plan.next_request()
    fill_plan.refused(BINANCE_SPOT.refusal(status))
    assert fill_plan.next_request() == request


def test_plan_ends_if_singles_and_aggregates_are_refused():
    """There is no other way to fetch the trades."""
    fill_plan = plan((7, 9))
    fill_plan.refused(BINANCE_SPOT.refusal(404))
    fill_plan.refused(BINANCE_SPOT.refusal(404))
    assert fill_plan.next_request() is None


@pytest.mark.parametrize("body", [b"{", b"{}", b'[{"id":1}]', historical(9, 8), aggregates((1, 2))])
def test_answer_without_a_list_of_trades_raises(body):
    """The plan ends after several unreadable answers."""
    fill_plan = plan((7, 9))
    with pytest.raises((msgspec.MsgspecError, BrokenFile)):
        fill_plan.answered(body)
    for _ in range(MOST_MISSES):
        fill_plan.missed()
    assert fill_plan.next_request() is None


def test_too_long_and_cleared_holes_are_not_requested():
    """Holes are cleared at the end of a day."""
    fill_plan = plan((1, MOST_MISSING + 1), (1, 5))
    assert fill_plan.next_request().params["limit"] == "6"
    fill_plan.clear()
    assert fill_plan.next_request() is None


@given(st.sets(st.integers(1, 60)), st.integers(1, 60), st.integers(0, 30))
def test_existing_trades_of_a_hole_are_returned_exactly_once(existing, first, more):
    """For any number of answers, and without other trades."""
    fill_plan, fetched = plan((first, first + more)), []
    for _ in range(200):
        request = fill_plan.next_request()
        if request is None:
            break
        since = int(request.params["fromId"])
        rows = [trade_id for trade_id in sorted(existing) if trade_id >= since][: min(3, int(request.params["limit"]))]
        fetched += [low for (low, _), _ in fill_plan.answered(historical(*rows))]
    assert fill_plan.next_request() is None
    assert fetched == sorted(existing & set(range(first, first + more + 1)))


def test_single_id_far_ahead_does_not_make_later_trades_late(tmp_path):
    """The id is refused; only a second id far ahead shows that ids are missing."""
    desk = Desk(tmp_path, STREAM)
    found = desk.take(trade(1), trade(5_000_000), trade(2), trade(3), trade(9_000), trade(9_001), trade(9_002))
    assert not any(taken.late for taken in found)
    assert [taken.advanced for taken in found] == [True, False, True, True, False, True, True]
    assert [taken.ids_missing for taken in found] == [False] * 5 + [True, False]
    day = desk.close()
    stamps = {row["trade_id"]: int(row["recv_time_us"]) - NOON_US for row in rows(day.trades)}
    assert stamps == {"1": 1000, "2": 3000, "3": 4000, "9000": 5000, "9001": 6000, "9002": 7000}
    assert [(hole["from_id"], hole["to_id"]) for hole in events(day, "trade_gap")] == [(4, 8_999)]
    assert [details["kind"] for details in events(day, "anomaly")] == ["far_ids", "quarantined"]


def test_late_trade_of_the_stream_is_fetched_by_rest(tmp_path):
    """The trade out of order is not written from the stream, but once from REST."""
    desk = Desk(tmp_path, STREAM)
    desk.take(trade(1), trade(5), trade(3))
    fetched = [
        (IdRange(number, number), Trade(None, number, US, "1", "1", True, number, number, "rest"))
        for number in (2, 3, 4)
    ]
    assert desk.market.trades.fetched(desk.us, fetched) == 3
    assert desk.market.trades.fetched(desk.us, fetched) == 0
    assert [row["trade_id"] for row in rows(desk.close().trades)] == ["1", "5", "2", "3", "4"]


def test_rest_answer_far_ahead_reports_no_hole(tmp_path):
    """A wrong last trade id of REST must not make the next trades late."""
    desk = Desk(tmp_path, STREAM)
    desk.take(trade(1))
    desk.market.trades_lost(desk.us, 2, 5_000_000)
    desk.take(trade(2), trade(4))
    desk.market.trades_lost(desk.us, 5, 7)
    day = desk.close()
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "2", "4"]
    assert [(hole["from_id"], hole["to_id"]) for hole in events(day, "trade_gap")] == [(3, 3), (5, 7)]


def test_known_id_on_a_new_day_is_another_trade_if_its_single_trades_are_later():
    """Binance has given an aggregate of a new day the id of the last one of the day before."""
    state = TradeState([].append, keeps_late=True)

    def take(number, first, last, price="1"):
        return state.take(1, AggTrade(1, "SIM", number, price, "1", first, last, 1, False), "x")

    assert take(555, 700, 701) is TradeVerdict.NEW
    assert take(555, 702, 702) is TradeVerdict.DUPLICATE  # within a day an id is unique
    state.next_day()
    assert take(555, 700, 701) is TradeVerdict.DUPLICATE
    assert take(555, 702, 703) is TradeVerdict.NEW
    assert take(555, 704, 704) is TradeVerdict.DUPLICATE
    assert take(556, 705, 705) is TradeVerdict.NEW


def test_missing_ids_of_a_venue_that_skips_some_are_declared_as_skipped():
    """Bitstamp counts the trades of all pairs together: such a gap excludes no time."""
    found = []
    state = TradeState(found.append, keeps_late=True, ids_skip=True)
    for number in (5, 9):
        state.take(1, TradePrint(1, "SIM", number, "1", "1", 1, False), "ids_missing")
    (missing,) = [event for event in found if isinstance(event, TradesMissing)]
    assert (missing.cause, missing.missing.ids) == (SKIPPED, IdRange(6, 8))
    row = Event(1, 1, arrival("1", "r", "1", "1000"), "trade_gap", 0, missing.missing.details(missing.cause))
    assert IdRange(6, 8) in list(excused_trades([row]))
