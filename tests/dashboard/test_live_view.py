"""Reading a running market and trader: the ends of growing files, metrics, audit logs, and an exchange."""

import http.server
import json
import threading

import numpy as np
import pytest

from mm import DayFolder
from mm.dashboard.live_view import box_market, box_orders, fetched, metrics_of, own_orders, recorded_tail, tail
from mm.errors import BrokenFile, DataError

HEAD = "run_id,epoch_id,recv_time_us,bid1_price,bid1_qty,ask1_price,ask1_qty,bid2_price,bid2_qty,ask2_price,ask2_qty\n"
TRADES = "price,qty,is_buyer_maker,recv_time_us\n"


def day_of(tmp_path, frames, trades=None):
    """Return a day folder with files of those texts."""
    day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    day.path.mkdir(parents=True)
    for path, text in ((day.frames, frames), (day.trades, trades)):
        if text is not None:
            path.write_text(text)
    return day


@pytest.mark.parametrize("most", [1, 30, 100, 10_000])
def test_tail_returns_the_last_complete_rows(tmp_path, most):
    """For any size of the tail, while a row is being written."""
    path = tmp_path / "rows.csv"
    rows = [f"{number},{number * number}" for number in range(200)]
    path.write_text("\n".join(["a,b", *rows]) + "\n200,4")
    table = tail(path, most)
    if most == 1:
        assert table is None
        return
    lines = [f"{a},{b}" for a, b in table.rows()]
    assert lines == rows[len(rows) - len(lines) :]
    assert lines or most < 10
    assert len("\n".join(lines)) <= most


@pytest.mark.parametrize("text", [None, "", "a,b", "a,b\n", "a,b\n1"])
def test_file_without_a_complete_row_has_no_tail(tmp_path, text):
    if text is not None:
        (tmp_path / "rows.csv").write_text(text)
    assert tail(tmp_path / "rows.csv") is None


def test_tail_of_a_recorded_day_has_book_and_trades(tmp_path):
    """By hand: mid 100.5, micro-price (100·3 + 101·1) / 4; a missing level is left out."""
    frames = HEAD + "T1,1,1000000,99,2,102,2,98,1,103,1\nT1,1,2000000,100,1,101,3,99,5,,\n"
    day = day_of(tmp_path, frames, TRADES + "101,0.5,false,1500000\n100,0.25,true,1600000\n")
    market = recorded_tail(day)
    assert market.mid.tolist() == [100.5, 100.5]
    assert market.micro.tolist() == [100.5, 100.25]
    assert market.book == [[(100.0, 1.0), (99.0, 5.0)], [(101.0, 3.0)]]
    assert market.trade_us.tolist() == [1500000, 1600000]
    assert [column.tolist() for column in market.trades] == [[101.0, 100.0], [0.5, 0.25], [1.0, -1.0]]


def test_tail_is_empty_before_the_first_frame_or_trade(tmp_path):
    assert recorded_tail(DayFolder(tmp_path, "SIMUSDT", "20260106")) is None
    market = recorded_tail(day_of(tmp_path, HEAD + "T1,1,1000000,99,2,102,2,98,1,103,1\n"))
    assert len(market.trade_us) == 0


@pytest.mark.parametrize("frames", ["a,b\n1,2\n", HEAD + "T1,1,x,y,z,1,1,1,1,1,1\n", HEAD + "T1,1,1,2\nT1,1,\x00,\n"])
def test_malformed_frames_raise_broken_file(tmp_path, frames):
    with pytest.raises(BrokenFile, match="20260105"):
        recorded_tail(day_of(tmp_path, frames))


@pytest.fixture
def fake_server():
    """Serve texts by path on loopback; yield the address and the dict of texts."""
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path.partition("?")[0].lstrip("/"))
            body = (page if isinstance(page, str) else json.dumps(page)).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/plain" if isinstance(page, str) else "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", pages
    server.shutdown()
    server.server_close()
    thread.join()


def test_metrics_are_read_by_family_and_label(fake_server):
    """In the format of Prometheus."""
    address, pages = fake_server
    pages["metrics"] = (
        '# HELP mm_position Position.\nmm_position{symbol="A"} -0.5\nmm_pnl{symbol="A",part="total"} 1e-3\n'
        'mm_risk_used_ratio{symbol="A",limit="MAX_POSITION"} 0.25\n'
    )
    assert metrics_of(address) == {
        "mm_position": {"": -0.5}, "mm_pnl": {"total": 0.001}, "mm_risk_used_ratio": {"MAX_POSITION": 0.25},
    }  # fmt: skip
    pages["metrics"] = "hello\n"
    with pytest.raises(DataError, match="not a metrics page"):
        metrics_of(f"http://{address}/")


@pytest.mark.parametrize("address", ["no such host", "10.0.0.1:9109", "http://example.org", "//localhost", "file:///x"])
def test_only_this_machine_is_asked(address):
    with pytest.raises(DataError, match="not on this machine"):
        fetched(address, "metrics")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1", "localhost:1", "127.0.0.1:99999999"])
def test_unreachable_address_raises_data_error(address):
    with pytest.raises(DataError, match="does not respond"):
        fetched(address, "metrics")


def test_box_market_reads_both_kinds_of_exchange(fake_server):
    """The series over time grows with each call; `mm sim serve` has trades as well."""
    address, pages = fake_server
    pages["book"] = {"bids": [[99, 1]], "asks": [[101, 3]], "timestamp": 5.5}
    first = box_market(address, "A", None)
    assert (first.us.tolist(), first.mid.tolist(), first.micro.tolist()) == ([5_500_000], [100.0], [99.5])
    pages["book"] = {"bids": [], "asks": [[102, 3]], "timestamp": 6}
    second = box_market(address, "A", first)
    assert second.us.tolist() == [5_500_000, 6_000_000]
    assert second.ask.tolist() == [101.0, 102.0]
    assert second.bid.tolist()[0] == 99.0
    del pages["book"]
    pages["api/v3/depth"] = {"bids": [["99", "1"]], "asks": [["101", "1"]]}
    pages["api/v3/trades"] = [{"time": 7_000, "price": "101", "qty": "2", "isBuyerMaker": False}]
    third = box_market(address, "A", None)
    assert third.trade_us.tolist() == [7_000_000]
    assert [column.tolist() for column in third.trades] == [[101.0], [2.0], [1.0]]
    pages["api/v3/depth"] = {"error": "?"}
    with pytest.raises(DataError, match="not an exchange in a box"):
        box_market(address, "A", None)


def test_box_orders_returns_open_orders_and_fills(fake_server):
    """Open orders with their remaining size."""
    address, pages = fake_server
    assert box_orders(address, "me", 5_000_000) is None
    pages["orders/me"] = [{"order_id": 4, "side": "sell", "price": 101, "remaining": 0.5}]
    pages["fills/me"] = [{"side": "buy", "price": 99, "size": 1, "timestamp": 2.5}]
    orders = box_orders(address, "me", 5_000_000)
    assert orders.open == {"4": (-1, 101.0, 0.5)}
    assert orders.fills == [(2_500_000, 1, 99.0, 1.0)]


def test_box_orders_become_quotes_over_time(fake_server):
    """From the refresh that first saw an order to the one that no longer did; open ones until now."""
    address, pages = fake_server
    pages["fills/me"] = []
    pages["orders/me"] = [{"order_id": 4, "side": "sell", "price": 101, "remaining": 1}]
    seen = box_orders(address, "me", 5)
    pages["orders/me"] = [{"order_id": 5, "side": "sell", "price": 102, "remaining": 1}]
    seen = box_orders(address, "me", 8, seen)
    assert [column.tolist() for column in seen.quotes(-1, 9)] == [[5, 8], [8, 9], [101.0, 102.0]]
    assert [column.tolist() for column in seen.quotes(1, 9)] == [[], [], []]


ROWS = [
    {"type": "start", "us": 1},
    {"type": "intent", "us": 2, "action": "place", "client_id": "b1", "side": "BUY", "price": "99", "qty": "2"},
    {"type": "intent", "us": 3, "action": "place", "client_id": "s1", "side": "SELL", "price": "101", "qty": "2"},
    {"type": "ack", "us": 4, "action": "place", "client_id": "b1", "order_id": 1},
    {"type": "fill", "us": 5, "client_id": "b1", "side": "BUY", "price": "99", "qty": "0.5"},
    {"type": "intent", "us": 6, "action": "cancel", "client_id": "s1"},
    {"type": "cancel", "us": 7, "client_id": "s1", "status": "CANCELED"},
    {"type": "intent", "us": 8, "action": "place", "client_id": "s2", "side": "SELL", "price": "102", "qty": "1"},
    {"type": "reject", "us": 9, "action": "place", "client_id": "s2"},
]


def test_own_orders_are_read_from_the_end_of_the_audit_log(tmp_path):
    """Placed, partly filled, cancelled, rejected; an incomplete line is left out."""
    assert own_orders(tmp_path, "A", "T1") is None
    log = tmp_path / "audit/A/20260105_T1.ndjson"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + '{"type":"no')
    orders = own_orders(tmp_path, "A", "T1")
    assert orders.open == {"b1": (1, 99.0, 1.5)}
    assert orders.fills == [(5, 1, 99.0, 0.5)]
    assert [column.tolist() for column in orders.quotes(1, 20)] == [[2], [20], [99.0]]
    assert [column.tolist() for column in orders.quotes(-1, 20)] == [[3, 8], [7, 9], [101.0, 102.0]]
    with log.open("a") as file:
        file.write('te"}\n' + json.dumps({"type": "stop", "us": 10}) + "\n")
    assert own_orders(tmp_path, "A", "T1").open == {}


def test_own_orders_are_only_those_of_the_run(tmp_path):
    """A shadow and a trader of one symbol may share OUT_ROOT: the shadow's page does not show the trader's fills."""
    log = tmp_path / "audit/A/20260105_T1.ndjson"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert own_orders(tmp_path, "A", "shadow") is None
    assert own_orders(tmp_path, "A", "T1").run == own_orders(tmp_path, "A", "T1_2").run == "20260105_T1"


def test_prices_are_interrupted_between_two_epochs(tmp_path):
    """After a pause of the recording the last price before it is not drawn on."""
    frames = HEAD + "".join(
        f"{run},{epoch},{us},99,2,102,2,98,1,103,1\n"
        for run, epoch, us in (("T1", 1, 1000), ("T1", 1, 2000), ("T1", 2, 9000), ("T2", 1, 20000))
    )
    market = recorded_tail(day_of(tmp_path, frames))
    assert market.us.tolist() == [1000, 2000, 2001, 9000, 9001, 20000]
    assert np.isnan(market.bid).tolist() == [False, False, True, False, True, False]
