"""Past trades: the requests of each market, and the ids in their answers; `test_trade_state` fills holes."""

import json

import pytest

from mm.ids import MissingIds
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.binance_trades import last_id
from mm.markets.binance_usdm import BINANCE_USDM

US = 1_767_600_000_000_000


@pytest.mark.parametrize(
    ("venue", "paths", "weights"),
    [
        (BINANCE_SPOT, ["/api/v3/historicalTrades", "/api/v3/aggTrades"], [25, 4]),
        (BINANCE_USDM, ["/fapi/v1/aggTrades"], [20]),
    ],
)
def test_each_market_requests_trades_by_its_own_paths(venue, paths, weights):
    """Recording needs no API key, so USD-M does not request single trades by id."""
    requests = [way.request(MissingIds(5, 6, US, US)) for way in venue.trade_history(aggregates=False)]
    assert [(request.path, request.weight) for request in requests] == list(zip(paths, weights, strict=True))
    assert (venue.last_trade().path, venue.last_trade().params) == (paths[-1], {"limit": "1"})
    (by_id,) = [way.request(MissingIds(5, 6)) for way in venue.trade_history(aggregates=True)]
    assert (by_id.path, by_id.params) == (paths[-1], {"fromId": "5", "limit": "3"})


def test_page_by_time_requests_the_next_page_by_id():
    """The next page begins after the id of the last aggregate."""
    (spans,) = BINANCE_USDM.trade_history(aggregates=False)
    row = {"a": 70, "p": "1.5", "q": "2", "f": 5, "l": 6, "T": US // 1000, "m": False}
    more = spans.page(json.dumps([row]).encode()).more
    assert (more.path, more.params["fromId"], more.weight) == ("/fapi/v1/aggTrades", "71", 20)
    assert spans.page(b"[]").more is None


@pytest.mark.parametrize(("aggregates", "wanted"), [(True, 70), (False, 6)])
def test_last_id_is_of_aggregates_or_of_single_trades(aggregates, wanted):
    body = json.dumps([{"a": 70, "p": "1", "q": "2", "f": 5, "l": 6, "T": 1, "m": True}]).encode()
    assert last_id(body, aggregates=aggregates) == wanted
    assert last_id(b"[]", aggregates=aggregates) is None
    assert last_id(b"{}", aggregates=aggregates) is None
