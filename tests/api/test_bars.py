"""Bars of Yahoo Finance and Alpha Vantage, by fake servers on loopback, and the market that follows them."""

import http.server
import json
import threading
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from desks import market_of

from mm.api.bars import STEPS, Bar, bar_events, load_bars
from mm.errors import BrokenFile, DataError, TryLater, UsageError
from mm.instrument import E8, Instrument
from named import kind_of
from support import run_python

GRID = Instrument("AAPL", 1_000_000, E8)
OPENS_S = 1_795_184_100
MINUTE_US = 60_000_000
ROWS = [
    (189.25, 189.5, 189.0, 189.4, 12_345),
    (189.4, 189.41, 188.7, 188.75, 60_001),
    (188.75, 188.75, 188.75, 188.75, 0),
]
KEY = "SECRET-KEY-OF-A-TEST"


def chart(rows=ROWS, error=None):
    """Return an answer like Yahoo Finance's chart service."""
    columns = (
        dict(zip(("open", "high", "low", "close", "volume"), zip(*rows, strict=True), strict=True)) if rows else {}
    )
    stamps = [OPENS_S + 60 * number for number in range(len(rows))]
    result = [{"meta": {"currency": "USD"}, "timestamp": stamps, "indicators": {"quote": [columns]}}]
    return {"chart": {"result": None if error else result, "error": error}}


def series(rows=ROWS):
    """Return an answer like Alpha Vantage's TIME_SERIES_INTRADAY, newest first."""
    zone = ZoneInfo("US/Eastern")
    names = ("1. open", "2. high", "3. low", "4. close", "5. volume")
    bars = {
        datetime.fromtimestamp(OPENS_S + 60 * number, zone).strftime("%Y-%m-%d %H:%M:%S"): dict(
            zip(names, map(str, row), strict=True)
        )
        for number, row in enumerate(rows)
    }
    meta = {"2. Symbol": "AAPL", "4. Interval": "1min", "6. Time Zone": "US/Eastern"}
    return {"Meta Data": meta, "Time Series (1min)": dict(reversed(bars.items()))}


@contextmanager
def service(content, status=200):
    """Yield the address of a server that gives one answer, and the requested paths."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paths
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def load_answer(content, source="yahoo", status=200, key=KEY):
    """Return the bars of one answer."""
    with service(content, status) as (address, _):
        return load_bars(source, "AAPL", "1m", address=address, key=key)


def in_e8(rows=ROWS):
    """Return rows as bars, with another way of rounding."""
    return [
        Bar((OPENS_S + 60 * number) * 1_000_000, *(round(value * 1_000_000) * 100 for value in row))
        for number, row in enumerate(rows)
    ]


def test_both_services_give_the_same_bars():
    """Each in its own form, oldest first, times in UTC."""
    assert load_answer(chart()) == load_answer(series(), "alphavantage") == in_e8()


def test_requests_match_the_apis_of_the_services():
    """A symbol with special characters is quoted; the key is sent to Alpha Vantage only."""
    with service(chart()) as (address, paths):
        load_bars("yahoo", "^GSPC", "5m", address=address, key=KEY)
    assert paths == ["/v8/finance/chart/%5EGSPC?interval=5m&range=5d&includePrePost=false"]
    with service(series()) as (address, paths):
        load_bars("alphavantage", "IBM", "15m", address=f"{address}/", key=KEY)
    assert paths == [f"/query?function=TIME_SERIES_INTRADAY&symbol=IBM&interval=15min&outputsize=full&apikey={KEY}"]


def test_minute_without_trades_is_left_out():
    """Yahoo Finance has nulls there."""
    assert load_answer(chart([ROWS[0], (None,) * 5, ROWS[1]]))[1].us == (OPENS_S + 120) * 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "status", "kind", "words"),
    [
        (chart(error={"code": "Not Found", "description": "may be delisted"}), 404, DataError, "may be delisted"),
        (chart([]), 200, DataError, "no bars of AAPL at 1m"),
        (b"<html>Edge: Too Many Requests</html>", 429, TryLater, "it responds with status 429"),
        (b"<html>", 503, TryLater, "--data-source synthetic"),
        (b"<html>", 200, BrokenFile, "not JSON"),
        ([], 200, BrokenFile, "the form of a chart"),
        ({"chart": {"error": None, "result": [{"indicators": {"quote": [{"open": [1]}]}, "timestamp": [1, 2]}]}}, 200,
         BrokenFile, "the form of a chart"),
        (chart([(10, 9, 8, 8.5, 1)]), 200, BrokenFile, "'10', '9', '8', '8.5', '1'"),
        (chart([(1, 1, 1, 1, -1)]), 200, BrokenFile, "'-1'"),
        (chart([("NaN", 1, 1, 1, 1)]), 200, BrokenFile, "not five numbers"),
        (chart([(0, 0, 0, 0, 1)]), 200, BrokenFile, "AAPL at"),
    ],
)  # fmt: skip
def test_malformed_chart_is_rejected(content, status, kind, words):
    """With the place, the value and the remedy."""
    with pytest.raises(kind) as error:
        load_answer(content, status=status)
    assert words in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ({"Error Message": "Invalid API call."}, DataError, "Invalid API call"),
        ({"Note": "5 calls a minute"}, DataError, "5 calls a minute"),
        ({"Information": "25 requests a day"}, DataError, "25 requests a day"),
        ({"Meta Data": {"6. Time Zone": "Moon/Base"}, "Time Series (1min)": {}}, BrokenFile, "the form of a series"),
        ({"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (1min)": {"noon": {}}}, BrokenFile, "noon"),
    ],
)
def test_malformed_series_is_rejected_without_showing_the_key(content, kind, words):
    """The service sends errors with status 200 as well; its sentence is shown, the key is not."""
    with pytest.raises(kind) as error:
        load_answer(content, "alphavantage")
    assert words in str(error.value)
    assert KEY not in str(error.value)


@pytest.mark.slow
def test_network_error_message_contains_no_key(tmp_path):
    """At the command line, at the most verbose level: one line, and exit code 75."""
    words = (
        "-m",
        "mm",
        "sim",
        "api",
        "--data-source",
        "alphavantage",
        "--symbol",
        "IBM",
        "--bars-url",
        "http://127.0.0.1:9",
    )
    done = run_python(*words, cwd=tmp_path, ALPHAVANTAGE_API_KEY=KEY, LOG_LEVEL="DEBUG")
    assert done.returncode == 75, done.stderr
    assert "cannot be reached" in done.stderr
    assert KEY not in done.stderr + done.stdout
    done = run_python(*words, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "ALPHAVANTAGE_API_KEY" in done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_mid_follows_the_bars_and_trades_add_up_to_the_volume(seed):
    """Open first, close last, high and low at least once, nothing beyond; the volume to the lot."""
    bars = in_e8()
    events = list(bar_events(bars, MINUTE_US, GRID, seed))
    assert events == list(bar_events(bars, MINUTE_US, GRID, seed))
    assert [event.recv_seq for event in events] == list(range(1, len(events) + 1))
    assert [event.us for event in events] == sorted(event.us for event in events)
    book, mids, traded = {}, {bar.us: [] for bar in bars}, dict.fromkeys((bar.us for bar in bars), 0)
    for event in events:
        begins = max(us for us in mids if us <= event.us)
        if kind_of(event) == "trade":
            ((side, ticks, lots),) = event.rows
            assert ticks == (min if side > 0 else max)(at for side_of, at in book if side_of != side)
            assert lots <= book[-side, ticks]
            traded[begins] += lots
            continue
        assert kind_of(event) == ("depth" if book else "snapshot")
        book.update({(side, ticks): lots for side, ticks, lots in event.rows})
        book = {place: lots for place, lots in book.items() if lots}
        bid, ask = max(at for side_of, at in book if side_of > 0), min(at for side_of, at in book if side_of < 0)
        assert ask - bid == 2
        if kind_of(event) == "depth":
            mids[begins].append((bid + ask) // 2)
    last = None
    for bar in bars:
        first, steps = mids[bar.us][:-STEPS], mids[bar.us][-STEPS:]
        assert first == ([last] if last else [])
        last = steps[-1]
        expected = [round(price / GRID.tick_e8) for price in bar[1:5]]
        assert [steps[0], max(steps), min(steps), steps[-1]] == expected
        assert traded[bar.us] == bar.volume_e8 // GRID.lot_e8


def test_client_trades_in_the_market_of_the_bars():
    """At the bars' own times; the market's name includes "synthetic"."""
    with service(chart()) as (address, _):
        market = market_of(data_source="yahoo", symbol="aapl", bars_url=address, preset="equity")
    desk = market.desk
    assert (market.source, desk.grid.symbol, desk.us) == ("synthetic, along bars of yahoo", "AAPL", OPENS_S * 1_000_000)
    order = desk.place("mm_1", 1, "limit", 18_900 * 1_000_000, 10 * E8)
    market.pace.advance_to(desk.us + 2 * MINUTE_US)
    assert order.left_lots == 0
    market.pace.advance_to(desk.us + 60 * MINUTE_US)
    assert desk.best() == (18_874, 18_876)


def test_missing_key_of_alpha_vantage_raises_usage_error():
    """The message names the variable, and no request is made."""
    with pytest.raises(UsageError, match="ALPHAVANTAGE_API_KEY"):
        load_bars("alphavantage", "IBM", "1m", address="http://127.0.0.1:9")
