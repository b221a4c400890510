"""Names of streams, and addresses of connections."""

import pytest

from mm.sim.wire.stream_names import BadTimeUnit, Stream, read_opening, read_stream


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
def test_a_served_name_says_kind_speed_and_levels(name, kind, interval_ms, levels):
    """Speeds and level counts are those of the exchange's documentation."""
    assert read_stream(name) == Stream(name, "btcusdt", kind, interval_ms, levels)


@pytest.mark.parametrize(
    "name",
    [
        "btcusdt@kline_1m",
        "btcusdt@kline_1d@+08:00",
        "btcusdt@miniTicker",
        "btcusdt@ticker",
        "btcusdt@ticker_4h",
        "btcusdt@avgPrice",
        "!ticker@arr",
        "!ticker_1h@arr",
    ],
)
def test_other_streams_of_the_exchange_are_known_and_silent(name):
    """A client library that asks for a ticker as well must not be refused."""
    assert read_stream(name).kind == "silent"


@pytest.mark.parametrize(
    "name", ["", "btcusdt", "btcusdt@", "@depth", "btcusdt@depth7", "btcusdt@depth@50ms", "btcusdt@Trade", "a b@trade"]
)
def test_what_is_no_stream_is_none(name):
    """The exchange has depth of 5, 10 and 20 levels only, and names are case sensitive."""
    assert read_stream(name) is None


@pytest.mark.parametrize(
    ("path", "query", "found", "combined"),
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
def test_every_form_of_address_opens_its_streams(path, query, found, combined):
    """Unknown names of an address are left out, as the exchange does; libraries open /ws/0 and subscribe later."""
    opening = read_opening(path, query)
    assert names(opening) == found
    assert opening.combined is combined


@pytest.mark.parametrize("path", ["/", "/wss", "/stream/x", "/streams", "//ws", "/api/v3/ping"])
def test_other_paths_open_nothing(path):
    """The exchange answers them with 404."""
    assert read_opening(path, "") is None


@pytest.mark.parametrize(
    ("query", "micro"),
    [("", False), ("timeUnit=MILLISECOND", False), ("timeUnit=MICROSECOND", True), ("timeUnit=microsecond", True)],
)
def test_stamps_are_ms_unless_the_address_asks_for_us(query, micro):
    """The unit holds for the whole connection."""
    assert read_opening("/ws/a@trade", query).micro is micro


def test_an_unknown_unit_is_an_error():
    """It would otherwise be read a thousand times off."""
    with pytest.raises(BadTimeUnit, match="NANOSECOND"):
        read_opening("/ws", "timeUnit=NANOSECOND")
