import json

import pytest

from captured import NOON_US, SYMBOL, diff, exchange_info, lines, snapshot, ticker, trade, write
from mm.errors import BrokenFile
from mm.market_data.captures import Broken, Capture
from mm.market_data.grid import Grid
from mm.market_data.venue import BookTicker, Connected, DepthSnapshot, DepthUpdate, ExchangeInfo, Other, TradePrint

URL = "wss://stream.binance.com:9443/stream?streams=simusdt@depth@100ms"


def read(tmp_path, raw, symbol=SYMBOL):
    return list(Capture(write(tmp_path / "capture.dat", raw), symbol, Grid()))


def of(received, kind):
    return [(one.recv_us, one.message) for one in received if isinstance(one.message, kind)]


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
@pytest.mark.parametrize("between", [" ", ": ", "\t"])
def test_stamps_of_every_unit_are_us_inside(tmp_path, stamp, us, between):
    """A fraction finer than µs is cut, not rounded: a later day must not begin early."""
    received = read(tmp_path, f"{stamp}{between}{json.dumps(diff(1, 2))}\n".encode())
    assert [(one.recv_us, type(one.message)) for one in received] == [(us, DepthUpdate)]


def test_a_plain_capture_gives_its_messages_in_order(tmp_path):
    """Combined, bare and REST lines side by side, empty lines skipped, Windows line ends taken."""
    raw = lines([snapshot(1), diff(2, 3), trade(1)["data"], b"\n", ticker(3)]).replace(b"\n", b"\r\n")
    received = read(tmp_path, raw)
    assert [type(one.message) for one in received] == [DepthSnapshot, DepthUpdate, TradePrint, BookTicker]
    assert [one.recv_us - NOON_US for one in received] == [0, 100_000, 200_000, 300_000]


def test_a_capture_with_a_configuration_record_names_symbols(tmp_path):
    """REST lines have their address there, and so several symbols can share a capture."""
    seconds = NOON_US // 10**6
    rest = "https://api.binance.com/api/v1/depth?symbol={}&limit=1000 -> {}.5: {}\n"
    raw = (
        f"{URL} <-> {seconds}.25\n"
        f"{seconds}.3: {json.dumps(diff(1, 2))}\n"
        + rest.format("ABCUSDT", seconds, json.dumps(snapshot(7)))
        + rest.format(SYMBOL, seconds, json.dumps(snapshot(8)))
    ).encode()
    received = read(tmp_path, raw)
    assert of(received, Connected) == [(NOON_US + 250_000, Connected(URL))]
    assert [(us, message.lastUpdateId) for us, message in of(received, DepthSnapshot)] == [(NOON_US + 500_000, 8)]
    assert len(of(received, DepthUpdate)) == len(of(received, Other)) == 1


def record(kind, at_s, **fields):
    return json.dumps({"t": kind, "conn": "c", "ts": NOON_US // 10**6 + at_s, **fields}, separators=(",", ":")) + "\n"


def test_answers_that_stand_first_come_when_the_stream_reaches_them(tmp_path):
    """The JSON form keeps each connection in order, not all of them: a snapshot must not come before its buffer."""
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
    received = [one for one in read(tmp_path, raw) if not isinstance(one.message, Other)]
    kinds = [type(one.message) for one in received]
    assert kinds == [ExchangeInfo, Connected, DepthUpdate, DepthSnapshot, DepthUpdate, DepthUpdate]
    assert [one.recv_us for one in received] == sorted(one.recv_us for one in received)


def test_a_broken_line_is_handed_out_raw_with_its_place(tmp_path):
    """One bad line does not affect the others; its place is reported."""
    raw = lines([diff(1, 2), b'1767610800000000 {"stream":"simusdt@de\n', b"no stamp {}\n", diff(3, 4)])
    received = read(tmp_path, raw)
    assert len(of(received, DepthUpdate)) == 2
    (first_us, first), (second_us, second) = of(received, Broken)
    assert (first.raw, first.cut, first_us) == (b'1767610800000000 {"stream":"simusdt@de', False, 1767610800000000)
    assert first.reason.startswith("capture.dat:2: ")
    assert (second_us, second.reason) == (None, "capture.dat:3: no receive stamp at its start")


def test_a_cut_last_line_says_so_and_a_whole_one_counts(tmp_path):
    """A JSON object that ends is whole, newline or not."""
    whole = lines([diff(1, 2), diff(3, 4)])
    assert len(of(read(tmp_path, whole[:-1]), DepthUpdate)) == 2
    (_, broken), *_ = of(read(tmp_path, whole[:-2]), Broken)
    assert broken.cut


@pytest.mark.parametrize("stamp", ["0", "999999999", "12.x", "-5", "4102444800", "9" * 30, "9" * 5000])
def test_an_impossible_stamp_is_a_broken_line(tmp_path, stamp):
    """It must not open a day of its own."""
    received = read(tmp_path, lines([diff(1, 2)]) + f"{stamp} {json.dumps(diff(3, 4))}\n".encode())
    assert isinstance(received[1].message, Broken)


def test_a_torn_beginning_does_not_hide_the_form(tmp_path):
    """A capture may be the second half of a rotated one."""
    received = read(tmp_path, b'.80000000","0.0000"]]}}\n' + lines([diff(1, 2)]))
    assert [type(one.message) for one in received] == [Broken, DepthUpdate]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"recv_tsec,recv_tnsec,venue\n1,2,x\n", "a CSV table"),
        (b'1430438404518 order_created {"price": 1}\n', "its first line is '1430438404518 order_created"),
        (b'{"stream":"simusdt@depth","data":{}}\n', "JSON without a receive stamp"),
        (b"\n\n", "it holds no line"),
        (b'{"t":"header","exchange":"BINANCE_FUTURES"}\n', "a capture of exchange 'BINANCE_FUTURES'"),
        (b'{"t":"header",\n', "the configuration record is broken"),
        (b'{"t":"header","exchange":"\xff"}\n', "the configuration record is broken"),  # found by fuzzing
        (b"\x00\x01\x02binary", "its first line is"),
        (b"wss://stream.binance.com -> \n", "its first line is"),
    ],
)
def test_other_forms_are_refused_in_one_line(tmp_path, raw, what):
    """Which file, what it is, and what would be accepted."""
    with pytest.raises(BrokenFile) as error:
        read(tmp_path, raw)
    assert what in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'capture.dat'}:1: ")
    assert "accepted" in str(error.value)
    assert ("<receive stamp> <JSON>" in str(error.value)) == ("of other sources need --format" in str(error.value))


@pytest.mark.parametrize(
    "message", [diff(3, 4)["data"] | {"pu": 2}, {"stream": "simusdt@markPrice@1s", "data": {"e": "markPriceUpdate"}}]
)
def test_futures_are_refused_with_their_line(tmp_path, message):
    """However late in the file they show themselves."""
    with pytest.raises(BrokenFile, match=r"capture\.dat:2: .* belongs to futures"):
        read(tmp_path, lines([trade(1), message]))
