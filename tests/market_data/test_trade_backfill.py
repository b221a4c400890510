import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import BrokenFile
from mm.ids import MissingIds
from mm.market_data.trade_backfill import AGGREGATES, HISTORICAL, MOST_MISSES, MOST_MISSING, FillPlan

US = 1_767_600_000_000_000


def hole(first, last):
    return MissingIds(first, last, US, US + 1_000_000)


def plan(*holes, aggregates=False):
    made = FillPlan(aggregates=aggregates)
    for one in holes:
        made.missing(hole(*one))
    return made


def historical(*ids):
    rows = [
        {"id": one, "price": "1.5", "qty": "2", "quoteQty": "3", "time": US, "isBuyerMaker": True, "isBestMatch": True}
        for one in ids
    ]
    return json.dumps(rows).encode()


def aggregates(*spans, first=50):
    rows = [
        {"a": first + at, "p": "1.5", "q": "2", "f": low, "l": high, "T": US, "m": False, "M": True}
        for at, (low, high) in enumerate(spans)
    ]
    return json.dumps(rows).encode()


def ids(found):
    return [span for span, _ in found]


def test_a_hole_is_asked_for_by_id_with_the_trade_behind_it():
    """That one tells that what is not in the answer never will be."""
    made = plan((7, 9))
    request = made.next_request()
    assert (request.path, request.params, request.weight) == (HISTORICAL, {"fromId": "7", "limit": "4"}, 25)
    found = made.answered(historical(7, 8, 9, 10))
    assert ids(found) == [(7, 7), (8, 8), (9, 9)]
    trade = found[0][1]
    assert (trade.event_time, trade.trade_id, trade.first_id, trade.source) == (None, 7, 7, "rest")
    assert made.next_request() is None


def test_ids_that_the_exchange_never_gave_out_are_not_asked_for_again():
    """The hole stays in the ledger."""
    made = plan((7, 9))
    assert ids(made.answered(historical(7, 10))) == [(7, 7)]
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
    """And then goes on by their ids; an aggregate that is only in part missing cannot be taken apart."""
    made = plan((7, 12))
    made.refused(404)
    request = made.next_request()
    assert (request.path, request.weight) == (AGGREGATES, 4)
    assert request.params == {
        "startTime": str(US // 1000 - 5_000),
        "endTime": str(US // 1000 + 6_000),
        "limit": "1000",
    }
    assert ids(made.answered(aggregates((5, 6), (7, 7), first=50))) == [(7, 7)]
    assert made.next_request().params == {"fromId": "52", "limit": "1000"}
    assert ids(made.answered(aggregates((8, 10), (11, 14), first=52))) == [(8, 10)]
    assert made.next_request() is None


def test_aggregates_are_counted_by_their_own_ids():
    """Where the day's trades are aggregates; what they span stands in their rows."""
    made = plan((7, 8), aggregates=True)
    assert made.next_request().params == {"fromId": "7", "limit": "3"}
    found = made.answered(aggregates((70, 75), (76, 76), (77, 80), first=7))
    assert ids(found) == [(7, 7), (8, 8)]
    assert [(one.trade_id, one.first_id, one.last_id) for _, one in found] == [(7, 70, 75), (8, 76, 76)]


@pytest.mark.parametrize("status", [None, 403, 418, 429, 500, 503])
def test_what_may_pass_is_asked_again_as_it_was(status):
    """Trouble of the moment is no reason to give up."""
    made = plan((7, 9))
    before = made.next_request()
    made.refused(status)
    assert made.next_request() == before


def test_a_host_that_has_neither_leaves_the_hole_in_the_ledger():
    """There is nobody to ask."""
    made = plan((7, 9))
    made.refused(404)
    made.refused(404)
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
