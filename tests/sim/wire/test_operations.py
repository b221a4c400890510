"""Public operations over REST, compared with the answers in the exchange's documentation."""

import json
from urllib.parse import quote

import pytest

from exchange_rig import ALICE, BOB, BUY, MS, SELL, START_US, SYMBOL, Door, door


def test_ping_and_time() -> None:
    """Time is the exchange's own, in ms, or in µs if the header requests it."""
    rest = door()
    assert rest.get("ping") == {}
    rest.desk.us += 1_234_567
    assert rest.get("time") == {"serverTime": MS + 1_234}
    for unit in ("MICROSECOND", "microsecond"):
        response = rest.raw("GET", "time", {"x-mbx-time-unit": unit})
        assert json.loads(response.body) == {"serverTime": START_US + 1_234_567}
    response = rest.raw("GET", "time", {"x-mbx-time-unit": "SECOND"})
    assert (response.status, json.loads(response.body)["code"]) == (400, -1194)


def test_exchange_info_contains_symbol_limits_and_permissions() -> None:
    """Symbol, assets, order types, limits, permissions."""
    info = door().get("exchangeInfo")
    assert (info["timezone"], info["serverTime"], info["exchangeFilters"]) == ("UTC", MS, [])
    assert [
        (one["rateLimitType"], one["interval"], one["intervalNum"], one["limit"]) for one in info["rateLimits"]
    ] == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, 300_000),
    ]
    (symbol,) = info["symbols"]
    assert (symbol["symbol"], symbol["status"], symbol["baseAsset"], symbol["quoteAsset"]) == (
        SYMBOL,
        "TRADING",
        "SIM",
        "USDT",
    )
    assert symbol["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    assert symbol["permissionSets"] == [["SPOT"]]
    assert (symbol["cancelReplaceAllowed"], symbol["amendAllowed"], symbol["icebergAllowed"]) == (True, True, False)


@pytest.mark.parametrize(
    ("query", "code", "symbols"),
    [
        (f"symbol={SYMBOL}", None, 1),
        (f'symbols=["{SYMBOL}"]', None, 1),
        ("symbolStatus=TRADING", None, 1),
        ("symbolStatus=HALT", None, 0),
        ("permissions=SPOT", None, 1),
        ("permissions=MARGIN", None, 0),
        ('permissions=["MARGIN","SPOT"]', None, 1),
        ("symbol=BTCUSDT", -1121, 0),
        (f'symbols=["{SYMBOL}","BTCUSDT"]', -1121, 0),
        (f'symbols=["{SYMBOL}","{SYMBOL}"]', -1151, 0),
        ("symbols=[", -1100, 0),
        ("symbols=[]", -1100, 0),
        (f"symbol={SYMBOL}&permissions=SPOT", -1128, 0),
        (f"symbol={SYMBOL}&symbolStatus=TRADING", -1128, 0),
        ("symbolStatus=ASLEEP", -1130, 0),
    ],
)
def test_exchange_info_accepts_documented_parameters(query: str, code: int | None, symbols: int) -> None:
    """All of them are optional; some exclude each other."""
    answer = json.loads(door().raw("GET", f"exchangeInfo?{quote(query, safe='=&')}").body)
    assert answer.get("code") == code
    assert len(answer.get("symbols", [])) == symbols


def test_depth_returns_book_and_last_update_id() -> None:
    """Best first; an empty side is an empty list."""
    rest = door()
    assert rest.get("depth", symbol=SYMBOL) == {"lastUpdateId": 0, "bids": [], "asks": []}
    for step in range(3):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000 + step)
    rest.desk.limit(BOB, SELL, 10_010, 500)
    assert rest.get("depth", symbol=SYMBOL, limit=2) == {
        "lastUpdateId": 4,
        "bids": [["99.90000000", "1.00000000"], ["99.89000000", "1.00100000"]],
        "asks": [["100.10000000", "0.50000000"]],
    }


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        (f"depth?symbol={SYMBOL}", 5),
        (f"depth?symbol={SYMBOL}&limit=100", 5),
        (f"depth?symbol={SYMBOL}&limit=101", 25),
        (f"depth?symbol={SYMBOL}&limit=500", 25),
        (f"depth?symbol={SYMBOL}&limit=501", 50),
        (f"depth?symbol={SYMBOL}&limit=1000", 50),
        (f"depth?symbol={SYMBOL}&limit=1001", 250),
        (f"depth?symbol={SYMBOL}&limit=5000", 250),
        (f"depth?symbol={SYMBOL}&limit=90000", 250),
        (f"trades?symbol={SYMBOL}", 25),
        (f"historicalTrades?symbol={SYMBOL}", 25),
        (f"aggTrades?symbol={SYMBOL}", 4),
        (f"avgPrice?symbol={SYMBOL}", 2),
        (f"ticker/price?symbol={SYMBOL}", 2),
        ("ticker/price", 4),
        (f"ticker/bookTicker?symbol={SYMBOL}", 2),
        ("ticker/bookTicker", 4),
        (f"ticker/24hr?symbol={SYMBOL}", 2),
        ("ticker/24hr", 80),
        (f"executionRules?symbol={SYMBOL}", 2),
        (f'executionRules?symbols=["{SYMBOL}"]', 2),
        ("executionRules", 40),
    ],
)
def test_market_data_requests_have_documented_weights(path: str, weight: int) -> None:
    """The weight is in the header of each answer."""
    response = door().raw("GET", path)
    assert (response.status, response.headers["X-MBX-USED-WEIGHT-1M"]) == (200, str(weight))


def test_no_symbol_has_execution_rules_reference_price_or_block_trades() -> None:
    """As the documentation answers for such a symbol: an empty list of rules, −2043, and no block trade."""
    rest = door()
    empty = {"symbolRules": [{"symbol": SYMBOL, "rules": []}]}
    assert rest.get("executionRules", symbol=SYMBOL) == rest.get("executionRules") == empty
    assert rest.get("executionRules", symbolStatus="HALT") == {"symbolRules": []}
    for path in ("referencePrice", "referencePrice/calculation"):
        answer = rest.raw("GET", f"{path}?symbol={SYMBOL}")
        assert (answer.status, json.loads(answer.body)["code"]) == (400, -2043)
    assert rest.get("referencePrice")["code"] == -1102
    assert rest.get("referencePrice/calculation", symbol=SYMBOL, symbolStatus="HALT")["code"] == -1220
    assert rest.get("historicalBlockTrades", symbol=SYMBOL, fromId=1) == []


def traded() -> Door:
    """Return an exchange with four trades: 1 at 100.00 twice of one order, then 1 at 100.10, then 2."""
    rest = door()
    for ticks, lots in ((10_000, 1_000), (10_000, 1_000), (10_010, 3_000)):
        rest.desk.limit(BOB, SELL, ticks, lots)
    rest.desk.market(ALICE, BUY, 3_000)
    rest.desk.us += 60_000_000
    rest.desk.limit(ALICE, BUY, 10_010, 2_000)
    return rest


def test_trades_have_consecutive_ids() -> None:
    """The latest, and older ones from an id on, inclusive."""
    rest = traded()
    trades = rest.get("trades", symbol=SYMBOL)
    assert [one["id"] for one in trades] == [1, 2, 3, 4]
    assert trades[2] == {
        "id": 3,
        "price": "100.10000000",
        "qty": "1.00000000",
        "quoteQty": "100.10000000",
        "time": MS,
        "isBuyerMaker": False,
        "isBestMatch": True,
    }
    assert [one["id"] for one in rest.get("trades", symbol=SYMBOL, limit=2)] == [3, 4]
    assert [one["id"] for one in rest.get("historicalTrades", symbol=SYMBOL, fromId=2, limit=2)] == [2, 3]
    assert [one["id"] for one in rest.get("historicalTrades", symbol=SYMBOL)] == [1, 2, 3, 4]
    assert rest.get("historicalTrades", symbol=SYMBOL, fromId=5) == []


def test_aggregate_trades_join_fills_of_one_order_at_one_price() -> None:
    """Two at 100.00 become one; the third has another price, the fourth another order."""
    trades = traded().get("aggTrades", symbol=SYMBOL)
    assert [(one["a"], one["p"], one["q"], one["f"], one["l"], one["T"], one["m"]) for one in trades] == [
        (1, "100.00000000", "2.00000000", 1, 2, MS, False),
        (2, "100.10000000", "1.00000000", 3, 3, MS, False),
        (3, "100.10000000", "2.00000000", 4, 4, MS + 60_000, False),
    ]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({"fromId": 2}, [2, 3]),
        ({"fromId": 2, "limit": 1}, [2]),
        ({"startTime": MS}, [1, 2, 3]),
        ({"startTime": MS, "limit": 2}, [1, 2]),
        ({"startTime": MS + 1}, [3]),
        ({"endTime": MS}, [1, 2]),
        ({"endTime": MS, "limit": 1}, [2]),
        ({"startTime": MS + 1, "endTime": MS + 59_999}, []),
        ({"startTime": START_US, "endTime": START_US}, [1, 2]),
        ({"limit": 1}, [3]),
    ],
)
def test_aggregate_trades_are_selected_by_id_and_time(parameters: dict[str, int], ids: list[int]) -> None:
    """Both ends are inclusive; with a start the first ones, without one the last ones; stamps in ms or in µs."""
    assert [one["a"] for one in traded().get("aggTrades", symbol=SYMBOL, **parameters)] == ids


def test_tickers() -> None:
    """2 at 100.00 and 3 at 100.10 are 100.06 on average; then no order is left."""
    rest = traded()
    assert rest.get("avgPrice", symbol=SYMBOL) == {"mins": 5, "price": "100.06000000", "closeTime": MS + 60_000}
    assert rest.get("ticker/price", symbol=SYMBOL) == {"symbol": SYMBOL, "price": "100.10000000"}
    assert rest.get("ticker/price") == [{"symbol": SYMBOL, "price": "100.10000000"}]
    assert rest.get("ticker/bookTicker", symbol=SYMBOL) == {
        "symbol": SYMBOL,
        "bidPrice": "0.00000000",
        "bidQty": "0.00000000",
        "askPrice": "0.00000000",
        "askQty": "0.00000000",
    }
    day = rest.get("ticker/24hr", symbol=SYMBOL)
    shown = ("priceChange", "priceChangePercent", "weightedAvgPrice", "lastPrice", "volume", "quoteVolume", "count")
    assert [day[name] for name in shown] == [
        "0.10000000",
        "0.100",
        "100.06000000",
        "100.10000000",
        "5.00000000",
        "500.30000000",
        4,
    ]
    mini = rest.get("ticker/24hr", symbol=SYMBOL, type="MINI")
    assert mini == {name: day[name] for name in mini}
    assert rest.get("ticker/price", symbol=SYMBOL, symbolStatus="HALT")["code"] == -1220


def test_market_data_without_trades_is_empty() -> None:
    """Nothing is invented, and nothing fails."""
    rest = door()
    assert rest.get("trades", symbol=SYMBOL) == rest.get("aggTrades", symbol=SYMBOL) == []
    assert rest.get("avgPrice", symbol=SYMBOL) == {"mins": 5, "price": "0.00000000", "closeTime": 0}
    assert rest.get("ticker/24hr", symbol=SYMBOL)["count"] == 0
