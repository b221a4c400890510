import json

import pytest

from captured import NOON_US, SYMBOL, diff, exchange_info, lines, snapshot, ticker, trade, write
from mm.errors import BrokenFile
from mm.market_data.captures import Capture
from mm.markets.grid import Grid

URL = "wss://stream.binance.com:9443/stream?streams=simusdt@depth@100ms"


def read(tmp_path, raw, symbol=SYMBOL):
    return list(Capture(write(tmp_path / "capture.dat", raw), symbol, Grid()))


def name(item):
    """Return the class of a message by its name."""
    return type(item.message).__name__


def of(received, kind):
    return [(item.recv_us, item.message) for item in received if name(item) == kind]


@pytest.mark.parametrize(
    ("stamp", "us"),
    [
        (f"{NOON_US}", NOON_US),
        (f"{NOON_US // 1000}", NOON_US // 1000 * 1000),
        (f"{NOON_US}789", NOON_US),
        (f"{NOON_US // 10**6}.1065369", NOON_US + 106_536),
        (f"{NOON_US // 10**6}.5", NOON_US + 500_000),
        (f"{NOON_US // 1000}.494", NOON_US + 494),
        (f"{NOON_US // 10**6}", NOON_US),
    ],
)
@pytest.mark.parametrize("separator", [" ", ": ", "\t"])
def test_stamps_of_every_unit_are_converted_to_us(tmp_path, stamp, us, separator):
    """A fraction below 1 µs is truncated, not rounded: the next day must not begin early."""
    received = read(tmp_path, f"{stamp}{separator}{json.dumps(diff(1, 2))}\n".encode())
    assert [(item.recv_us, name(item)) for item in received] == [(us, "DepthUpdate")]


def test_plain_capture_returns_its_messages_in_order(tmp_path):
    """Combined, bare and REST lines are mixed, empty lines skipped, Windows line ends accepted."""
    raw = lines([snapshot(1), diff(2, 3), trade(1)["data"], b"\n", ticker(3)]).replace(b"\n", b"\r\n")
    received = read(tmp_path, raw)
    assert [name(item) for item in received] == ["DepthSnapshot", "DepthUpdate", "TradePrint", "BookTicker"]
    assert [item.recv_us - NOON_US for item in received] == [0, 100_000, 200_000, 300_000]


def test_capture_with_a_configuration_record_tells_symbols_apart(tmp_path):
    """REST lines contain their URL, so several symbols can share a capture."""
    seconds = NOON_US // 10**6
    rest = "https://api.binance.com/api/v1/depth?symbol={}&limit=1000 -> {}.5: {}\n"
    raw = (
        f"{URL} <-> {seconds}.25\n"
        f"{seconds}.3: {json.dumps(diff(1, 2))}\n"
        + rest.format("ABCUSDT", seconds, json.dumps(snapshot(7)))
        + rest.format(SYMBOL, seconds, json.dumps(snapshot(8)))
    ).encode()
    received = read(tmp_path, raw)
    assert [(us, message.url) for us, message in of(received, "Connected")] == [(NOON_US + 250_000, URL)]
    assert [(us, message.lastUpdateId) for us, message in of(received, "DepthSnapshot")] == [(NOON_US + 500_000, 8)]
    assert len(of(received, "DepthUpdate")) == len(of(received, "Other")) == 1


def record(kind, at_s, **fields):
    return json.dumps({"t": kind, "conn": "c", "ts": NOON_US // 10**6 + at_s, **fields}, separators=(",", ":")) + "\n"


def test_rest_answers_are_sorted_into_the_stream_by_time(tmp_path):
    """The JSON form is in order per connection only: a snapshot must not come before its buffered updates."""
    depth = "https://api.binance.com/api/v3/depth?symbol={}&limit=1000"
    raw = (
        '{"t": "header","format":2,"exchange":"BINANCE"}\n'
        + record("http", 0.5, url="https://api.binance.com/api/v3/exchangeInfo", data=json.dumps(exchange_info(SYMBOL)))
        + record("http", 2.5, url=depth.format(SYMBOL), data=json.dumps(snapshot(3)))
        + record("http", 9, url=depth.format("ABCUSDT"), data=json.dumps(snapshot(3)))
        + record("connect", 1, addr=URL)
        + "".join(record("recv", at, data=json.dumps(diff(at, at))) for at in (2, 3, 4))
        + record("send", 5, data="{}")
    ).encode()
    received = [item for item in read(tmp_path, raw) if name(item) != "Other"]
    kinds = [name(item) for item in received]
    assert kinds == ["ExchangeInfo", "Connected", "DepthUpdate", "DepthSnapshot", "DepthUpdate", "DepthUpdate"]
    assert [item.recv_us for item in received] == sorted(item.recv_us for item in received)


def test_broken_line_is_returned_raw_with_its_place(tmp_path):
    """One bad line does not affect the others; its place is reported."""
    raw = lines([diff(1, 2), b'1767610800000000 {"stream":"simusdt@de\n', b"no stamp {}\n", diff(3, 4)])
    received = read(tmp_path, raw)
    assert len(of(received, "DepthUpdate")) == 2
    (first_us, first), (second_us, second) = of(received, "Broken")
    assert (first.raw, first.cut, first_us) == (b'1767610800000000 {"stream":"simusdt@de', False, 1767610800000000)
    assert first.reason.startswith("capture.dat:2: ")
    assert (second_us, second.reason) == (None, "capture.dat:3: no receive stamp at its start")


def test_last_line_is_broken_only_if_its_json_is_cut(tmp_path):
    """A complete JSON object is whole, with or without a newline."""
    whole = lines([diff(1, 2), diff(3, 4)])
    assert len(of(read(tmp_path, whole[:-1]), "DepthUpdate")) == 2
    (_, broken), *_ = of(read(tmp_path, whole[:-2]), "Broken")
    assert broken.cut


@pytest.mark.parametrize("stamp", ["0", "999999999", "12.x", "-5", "4102444800", "9" * 30, "9" * 5000])
def test_impossible_stamp_is_a_broken_line(tmp_path, stamp):
    """Such a stamp must not open another day."""
    received = read(tmp_path, lines([diff(1, 2)]) + f"{stamp} {json.dumps(diff(3, 4))}\n".encode())
    assert name(received[1]) == "Broken"


def test_form_is_recognized_after_a_torn_first_line(tmp_path):
    """A capture may be the second half of a rotated one."""
    received = read(tmp_path, b'.80000000","0.0000"]]}}\n' + lines([diff(1, 2)]))
    assert [name(item) for item in received] == ["Broken", "DepthUpdate"]


@pytest.mark.parametrize(
    ("raw", "description"),
    [
        (b"recv_tsec,recv_tnsec,venue\n1,2,x\n", "a CSV table"),
        (b'1430438404518 order_created {"price": 1}\n', "its first line is '1430438404518 order_created"),
        (b'{"stream":"simusdt@depth","data":{}}\n', "JSON without a receive stamp"),
        (b"\n\n", "its first lines are empty"),
        (b'{"t":"header","exchange":"BINANCE_FUTURES"}\n', "a capture of exchange 'BINANCE_FUTURES'"),
        (b'{"t":"header",\n', "the configuration record is broken"),
        (b'{"t":"header","exchange":"\xff"}\n', "the configuration record is broken"),  # found by fuzzing
        (b"\x00\x01\x02binary", "its first line is"),
        (b"wss://stream.binance.com -> \n", "its first line is"),
    ],
)
def test_other_forms_raise_broken_file_with_a_description(tmp_path, raw, description):
    """The error contains the path, the form found and the accepted forms."""
    with pytest.raises(BrokenFile) as error:
        read(tmp_path, raw)
    assert description in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'capture.dat'}:1: ")
    assert "accepted" in str(error.value)
    assert ("<receive stamp> <JSON>" in str(error.value)) == ("of other sources need --format" in str(error.value))


@pytest.mark.parametrize(
    "message", [diff(3, 4)["data"] | {"pu": 2}, {"stream": "simusdt@markPrice@1s", "data": {"e": "markPriceUpdate"}}]
)
def test_futures_messages_raise_broken_file_with_their_line(tmp_path, message):
    """The futures message may come late in the file."""
    with pytest.raises(BrokenFile, match=r"capture\.dat:2: .* belongs to futures"):
        read(tmp_path, lines([trade(1), message]))
