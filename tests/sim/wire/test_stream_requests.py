"""The names of streams and the requests on a stream connection."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.sim.wire.stream_requests import METHODS, BadTimeUnit, StreamControl, StreamName, read_opening, read_stream


def names(opening):
    return [stream.name for stream in opening.streams]


@pytest.mark.parametrize(
    ("name", "kind", "interval_ms", "levels"),
    [
        ("btcusdt@trade", "trade", 0, 0),
        ("btcusdt@aggTrade", "aggTrade", 0, 0),
        ("btcusdt@bookTicker", "bookTicker", 0, 0),
        ("btcusdt@depth", "depth", 1000, 0),
        ("btcusdt@depth@100ms", "depth", 100, 0),
        ("btcusdt@depth5", "partial", 1000, 5),
        ("btcusdt@depth10@100ms", "partial", 100, 10),
        ("btcusdt@depth20@100ms", "partial", 100, 20),
    ],
)
def test_stream_name_gives_kind_interval_and_levels(name, kind, interval_ms, levels):
    """Speeds and level counts are those of the exchange's documentation."""
    assert read_stream(name) == StreamName(name, "btcusdt", kind, interval_ms, levels)


@pytest.mark.parametrize(
    ("name", "kind", "symbol", "detail", "pace_ms"),
    [
        ("btcusdt@kline_1s", "kline", "btcusdt", "1s", 1_000),
        ("btcusdt@kline_1m", "kline", "btcusdt", "1m", 2_000),
        ("btcusdt@kline_1d@+08:00", "kline", "btcusdt", "1d@+08:00", 2_000),
        ("btcusdt@miniTicker", "miniTicker", "btcusdt", "", 1_000),
        ("btcusdt@ticker_4h", "ticker_4h", "btcusdt", "", 1_000),
        ("btcusdt@avgPrice", "avgPrice", "btcusdt", "", 1_000),
        ("!ticker@arr", "ticker", "", "", 1_000),
        ("!ticker_1h@arr", "ticker_1h", "", "", 1_000),
    ],
)
def test_summaries_have_a_pace_and_an_interval(name, kind, symbol, detail, pace_ms):
    """Those of all symbols have none."""
    assert read_stream(name) == StreamName(name, symbol, kind, pace_ms, detail=detail)


@pytest.mark.parametrize("name", ["btcusdt@referencePrice", "btcusdt@blockTrade"])
def test_unsupported_streams_of_the_exchange_are_silent(name):
    """A client library that also requests one must not be rejected."""
    assert read_stream(name).kind == "silent"


@pytest.mark.parametrize(
    "name", ["", "btcusdt", "btcusdt@", "@depth", "btcusdt@depth7", "btcusdt@depth@50ms", "btcusdt@Trade", "a b@trade"]
)
def test_invalid_stream_name_returns_none(name):
    """The exchange has depth of 5, 10 and 20 levels only, and names are case sensitive."""
    assert read_stream(name) is None


@pytest.mark.parametrize(
    ("path", "query", "expected", "combined"),
    [
        ("/ws", "", [], False),
        ("/ws/", "", [], False),
        ("/ws/a@trade", "", ["a@trade"], False),
        ("/ws/a%40trade", "", ["a@trade"], False),
        ("/ws/a@trade/b@depth", "", ["a@trade", "b@depth"], False),
        ("/ws/0", "", [], False),
        ("/stream", "", [], True),
        ("/stream/", "", [], True),
        ("/stream", "streams=a@trade/b@depth", ["a@trade", "b@depth"], True),
        ("/stream", "streams=a%40trade/b@depth%40100ms&timeUnit=MICROSECOND", ["a@trade", "b@depth@100ms"], True),
        ("/stream", "streams=a@trade/a@trade/nonsense", ["a@trade"], True),
    ],
)
def test_every_form_of_address_opens_its_streams(path, query, expected, combined):
    """Unknown names of an address are left out, as on the exchange; libraries open /ws/0 and subscribe later."""
    opening = read_opening(path, query)
    assert names(opening) == expected
    assert opening.combined is combined


@pytest.mark.parametrize("path", ["/", "/wss", "/stream/x", "/streams", "//ws", "/api/v3/ping"])
def test_read_opening_returns_none_for_other_paths(path):
    """The exchange answers them with 404."""
    assert read_opening(path, "") is None


@pytest.mark.parametrize(
    ("query", "micro"),
    [("", False), ("timeUnit=MILLISECOND", False), ("timeUnit=MICROSECOND", True), ("timeUnit=microsecond", True)],
)
def test_time_unit_of_address_selects_microseconds(query, micro):
    """The unit holds for the whole connection."""
    assert read_opening("/ws/a@trade", query).micro is micro


def test_unknown_time_unit_raises_bad_time_unit():
    """It would otherwise be read a thousand times off."""
    with pytest.raises(BadTimeUnit, match="NANOSECOND"):
        read_opening("/ws", "timeUnit=NANOSECOND")


def control(most=1024, *, combined=False):
    return StreamControl(combined=combined, most=most)


def send(box, **message):
    return box.handle(json.dumps(message))


def error_of(reply):
    return reply.answer["error"]["code"], reply.answer["error"]["msg"]


def test_repeated_subscription_is_ignored():
    """The second request is acknowledged and changes nothing."""
    box = control()
    first = send(box, method="SUBSCRIBE", params=["a@trade", "a@depth", "a@trade"], id=1)
    assert first.answer == {"result": None, "id": 1}
    assert [stream.name for stream in first.joined] == ["a@trade", "a@depth"]
    again = send(box, method="SUBSCRIBE", params=["a@trade"], id="x")
    assert (again.answer, list(again.joined)) == ({"result": None, "id": "x"}, [])


def test_unsubscribe_ignores_streams_that_are_not_subscribed():
    """Unsubscribing a stream twice is no error."""
    box = control()
    send(box, method="SUBSCRIBE", params=["a@trade", "a@depth"], id=1)
    reply = send(box, method="UNSUBSCRIBE", params=["a@depth", "b@depth"], id=None)
    assert reply.answer == {"result": None, "id": None}
    assert [stream.name for stream in reply.left] == ["a@depth"]
    assert send(box, method="LIST_SUBSCRIPTIONS", id=2).answer == {"result": ["a@trade"], "id": 2}


def test_combined_property_is_read_and_set():
    """It is false on /ws and true on /stream, until the client sets it."""
    box = control()
    assert send(box, method="GET_PROPERTY", params=["combined"], id=1).answer == {"result": False, "id": 1}
    assert send(box, method="SET_PROPERTY", params=["combined", True], id=2).answer == {"result": None, "id": 2}
    assert box.combined
    assert send(box, method="GET_PROPERTY", params=["combined"], id=3).answer == {"result": True, "id": 3}


@pytest.mark.parametrize(
    ("text", "code", "msg"),
    [
        ("", 3, "Invalid JSON: expected value at line 1 column 1"),
        ("{", 3, "Invalid JSON: expected value at line 1 column 2"),
        ('{"id":NaN}', 3, "Invalid JSON"),
        ("[" * 50_000, 3, "Invalid JSON"),
        ('{"id":' + "9" * 5_000 + "}", 3, "Invalid JSON"),
        ("[]", 2, "missing field `method` at line 1 column 2"),
        ('{"id":1}', 2, "missing field `method` at line 1 column 8"),
        ('{"method":"SUBSCRIBE","params":[]}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":[],"id":1.5}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":[],"id":true}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":[],"id":' + str(2**63) + "}", 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":[],"id":"' + "a" * 37 + '"}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIB","id":1}', 2, "unknown variant `SUBSCRIB`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`"),
        ('{"method":7,"id":1}', 2, "unknown variant `7`"),
        ('{"method":["SUBSCRIBE"],"id":1}', 2, "unknown variant"),
        ('{"method":"SUBSCRIBE","params":{},"id":1}', 2, "params must be an array"),
        ('{"method":"SUBSCRIBE","params":[5],"id":1}', 2, "invalid stream"),
        ('{"method":"SUBSCRIBE","params":["nonsense"],"id":1}', 2, "Invalid request: invalid stream"),
        ('{"method":"SUBSCRIBE","params":["a@depth7"],"id":1}', 2, "Invalid request: invalid stream"),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["a"],"id":1}', 2, "too many parameters"),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', 2, "too many parameters"),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name must be a string"),
        ('{"method":"SET_PROPERTY","params":[1,true],"id":1}', 2, "property name must be a string"),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1, "Invalid value type: expected Boolean"),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 1, "Invalid value type: expected Boolean"),
        ('{"method":"SET_PROPERTY","params":["compact",true],"id":1}', 0, "Unknown property"),
    ],
)
def test_invalid_request_returns_exchange_error_code_and_message(text, code, msg):
    """As in the exchange's documentation; nothing is subscribed, the connection continues."""
    box = control()
    reply = box.handle(text)
    assert error_of(reply)[0] == code
    assert msg in error_of(reply)[1]
    assert not box.streams
    assert not reply.closes


def test_error_contains_request_id():
    """A client with several pending requests can identify the failed one."""
    assert send(control(), method="X", id=17).answer["id"] == 17


def test_too_many_subscriptions_close_the_connection():
    """The exchange answers with code 4 and closes; the whole request is rejected."""
    box = control(most=2)
    send(box, method="SUBSCRIBE", params=["a@trade"], id=1)
    reply = send(box, method="SUBSCRIBE", params=["a@depth", "a@bookTicker"], id=2)
    assert error_of(reply) == (4, "Too many subscriptions")
    assert reply.closes == "Invalid request"
    assert list(box.streams) == ["a@trade"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(METHODS),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["method", "params", "id", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_any_json_message_is_answered(message):
    """With a result or an error of a known code."""
    reply = control().handle(json.dumps(message))
    assert "result" in reply.answer or reply.answer["error"]["code"] in range(5)


@given(st.text())
def test_any_text_message_is_answered(text):
    """Also text that is not JSON."""
    assert control().handle(text).answer
