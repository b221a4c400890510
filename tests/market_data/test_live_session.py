import base64
import gzip
import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import (
    ASKS,
    DAY,
    NOON_US,
    SYMBOL,
    agg_trade,
    diff,
    events,
    exchange_info,
    folder,
    frames,
    rows,
    snapshot,
    tags,
    ticker,
    trade,
)
from day_files import defects_of
from hand_fed import answer, record_into
from mm.clock import midnight_us
from mm.errors import BrokenFile
from mm.market_data.days import Days
from mm.market_data.message_latency import RoundTrip

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"
INFO_URL = f"http://x/api/v3/exchangeInfo?symbol={SYMBOL}"


pytestmark = pytest.mark.usefixtures("road")


def text_of(message):
    """Return a message in the exchange's compact JSON form."""
    return json.dumps(message, separators=(",", ":")).encode()


class Desk:
    """A session and its days; a message arrives every 100 ms."""

    def __init__(self, tmp_path, us=NOON_US, run_id="R1", day=DAY):
        self.tmp_path = tmp_path
        self.us = us
        self.conn = None
        self.days = Days(
            data_root=tmp_path / "data",
            symbol=SYMBOL,
            run_id=run_id,
            own_id=True,
            top_n=3,
            trade_stream="trade",
            flush_interval_s=5.0,
            write_diffs=True,
            write_gaps=True,
            min_free_mb=0.0,
            knobs={"trade_stream": "trade"},
        )
        self.session = record_into(self.days.open(day, us), us)

    def tick(self):
        self.us += 100_000
        return self.us

    def take(self, *messages):
        """Process stream messages; request and deliver those with ``lastUpdateId`` as snapshots."""
        for message in messages:
            if isinstance(message, bytes):
                self.session.message(self.tick(), message, self.conn)
            elif "lastUpdateId" in message:
                self.session.snapshot_requested(self.tick(), 1)
                self.answer(json.dumps(message).encode())
            else:
                self.session.message(self.tick(), text_of(message), self.conn)
        return self

    def answer(self, body=b"", status=200, cause=None):
        self.session.snapshot_answered(answer(self.tick(), URL, body, status, cause))

    def connect(self, conn):
        self.conn = conn
        self.session.connected(self.tick(), "ws://x", conn)

    def learn(self, body=b"", status=200, cause=None):
        return self.session.learn(answer(self.tick(), INFO_URL, body, status, cause))

    def close(self, reason="window_end", expected=None):
        self.session.finish(self.tick(), reason, window_over=reason == "window_end")
        self.session.writer.seal()
        self.session.writer.close()
        day = self.session.writer.folder
        assert [defect for defect in defects_of(day) if defect.kind != expected] == []
        return day


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def kinds(day):
    """Return the ledger's event types between start and end, anomalies by their kind, without clock offsets."""
    reported = [event for event in events(day) if event[0] != "clock_offset"]
    return [details["kind"] if kind == "anomaly" else kind for kind, _, details in reported][2:-2]


def quarantined(day):
    return [json.loads(line) for line in gzip.decompress(day.quarantine.read_bytes()).splitlines()]


def test_session_writes_the_same_rows_as_an_import(desk):
    """Diffs, frames and trades; the ledger opens and closes the run."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 13, [["99.95", "4.0"]]), trade(7))
    day = desk.close()
    assert frames(day) == [(1, 13, ("99.95", "4.0"), tuple(ASKS[0]))]
    assert [(row["trade_id"], row["source"], row["first_trade_id"]) for row in rows(day.trades)] == [("7", "ws", "7")]
    assert kinds(day) == ["snapshot_request", "snapshot_loaded"]
    ends = [kind for kind, _, _ in events(day)]
    assert (ends[:2], ends[-2:]) == (["run_start", "window_start"], ["window_end", "run_stop"])
    assert desk.session.report.line() == f"{DAY}  2 diffs, 1 trade, 1 frame, 1 snapshot, 1 epoch, 0 gaps"


def test_message_returns_its_kind(desk):
    """The watchdog needs the stream of each message."""
    texts = [json.dumps(message).encode() for message in (diff(11, 11), trade(1), agg_trade(2, 3, 4), ticker(5))]
    kinds = [desk.session.message(desk.tick(), text).kind for text in texts]
    assert [getattr(kind, "__name__", None) for kind in kinds] == ["DepthUpdate", "TradePrint", "AggTrade", None]


def test_snapshot_is_wanted_only_while_an_update_waits(desk):
    """Not before the first update, whose ids it must reach, and not while disconnected."""
    session = desk.session
    assert not session.needs_snapshot
    assert desk.take(diff(11, 11)).session.needs_snapshot
    assert desk.take(snapshot(9)).session.needs_snapshot
    assert not desk.take(snapshot(11)).session.needs_snapshot
    assert desk.take(diff(15, 15)).session.needs_snapshot
    session.disconnected(desk.tick(), 1, 1006, "")
    assert not session.needs_snapshot
    assert kinds(desk.close())[:4] == ["snapshot_request", "snapshot_failed", "snapshot_request", "snapshot_loaded"]


def test_disconnection_without_missing_ids_keeps_the_book(desk):
    """Only the ids matter: if they are consecutive, the book is kept."""
    desk.take(diff(11, 11), snapshot(11))
    desk.session.disconnected(desk.tick(), 1, 1001, "going away")
    desk.connect(2)
    day = desk.take(diff(12, 12)).close()
    assert kinds(day)[2:] == ["ws_disconnected", "ws_connected"]
    assert [epoch for epoch, *_ in frames(day)] == [1]


def test_ids_missing_after_a_disconnection_are_a_gap_with_that_cause(desk):
    """For update and trade ids; later missing ids have another cause."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(1))
    desk.session.disconnected(desk.tick(), 1, 1006, "")
    desk.connect(2)
    desk.take(diff(15, 16), trade(4), diff(18, 18), trade(6))
    day = desk.close()
    assert [(gap["from_id"], gap["to_id"], gap["cause"]) for gap in events(day, "gap")] == [
        (13, 14, "disconnected"),
        (17, 17, "ids_missing"),
    ]
    assert [(gap["from_id"], gap["to_id"], gap["cause"]) for gap in events(day, "trade_gap")] == [
        (2, 3, "disconnected"),
        (5, 5, "ids_missing"),
    ]


@pytest.mark.parametrize(
    ("answer", "cause", "status"),
    [
        ({"status": 503, "cause": "http 503"}, "http 503", 503),
        ({"status": None, "cause": "timeout"}, "timeout", None),
        ({"body": b'{"lastUpdateId":11,"bids":[["99.9","1'}, "unreadable", 200),
        ({"body": b'{"lastUpdateId":11,"bids":[["99.9","x"]],"asks":[]}'}, "unreadable", 200),
        ({"body": b"{}"}, "unreadable", 200),
    ],
)
def test_failed_snapshot_keeps_the_buffer(desk, answer, cause, status):
    """The next snapshot bridges to the buffer."""
    desk.take(diff(11, 12))
    desk.session.snapshot_requested(desk.tick(), 1)
    desk.answer(**answer)
    day = desk.take(snapshot(11)).close()
    assert events(day, "snapshot_failed") == [{"cause": cause, "http_status": status}]
    assert [last_id for _, last_id, *_ in frames(day)] == [12]
    assert day.quarantine.exists() == ("body" in answer)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"stream":"simusdt@depth', "truncated"),
        (b"\xff\xfe\x00", "JSON"),
        (json.dumps(diff(12, 12) | {"data": {"e": "depthUpdate", "U": 12}}).encode(), "missing required field"),
        (json.dumps(diff(12, 12, [["abc", "1"]])).encode(), "not a plain decimal"),
        (json.dumps(diff(13, 12)).encode(), "from U=13 down to u=12"),
        (json.dumps({"e": "outboundAccountPosition", "E": 1}).encode(), "neither a depth update nor a trade"),
        (json.dumps(diff(12, 12, symbol="XUSDT")).encode(), "neither a depth update nor a trade"),
        (json.dumps({"stream": "simusdt@markPrice", "data": {"e": "markPriceUpdate"}}).encode(), "markPrice"),
    ],
)
def test_unusable_message_is_quarantined_and_leaves_a_gap(desk, raw, reason):
    """If the message was an update, its ids are reported as a gap."""
    desk.take(diff(11, 11), snapshot(11), raw, diff(13, 13))
    day = desk.close()
    (kept,) = quarantined(day)
    assert (kept["stream"], reason in kept["reason"]) == ("ws", True), kept["reason"]
    assert "quarantined" in kinds(day)
    assert [(gap["from_id"], gap["to_id"]) for gap in events(day, "gap")] == [(12, 12)]
    assert desk.session.report.quarantined == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"stream":"simusdt@depth","data":' + b"[" * 100_000,
        json.dumps(diff(12, 2**64)).encode(),
        json.dumps(diff(-5, -3)).encode(),
        json.dumps(diff(12, 12, E=10**40)).encode(),
        json.dumps(diff(12, 12, [["9" * 5000, "1"]])).encode(),
        json.dumps(trade(2**70)).encode(),
    ],
)
def test_message_with_unwritable_numbers_is_quarantined(desk, raw):
    """The same holds for deeply nested JSON."""
    desk.take(diff(11, 11), snapshot(11), raw, diff(12, 12))
    assert len(quarantined(desk.close())) == 1


MESSAGES = [json.dumps(message).encode() for message in (diff(12, 13, [["99.95", "1"]], [["100.3", "0"]]), trade(2))]


PATCHES = st.tuples(st.sampled_from(MESSAGES), st.integers(0, 300), st.binary(min_size=1, max_size=3))


@settings(max_examples=25, deadline=None)
@given(st.lists(PATCHES | st.binary(), min_size=5, max_size=40))
def test_arbitrary_bytes_neither_end_a_recording_nor_damage_its_day(messages):
    """A message with changed bytes is an update, a trade, or quarantined; the day has no defect."""
    with TemporaryDirectory() as place:
        desk = Desk(Path(place)).take(diff(11, 11), snapshot(11), trade(1))
        for message in messages:
            if isinstance(message, bytes):
                desk.take(message)
            else:
                whole, at, patch = message
                desk.take(whole[:at] + patch + whole[at + len(patch) :])
        desk.close()


def test_duplicate_trade_is_dropped_and_late_trade_is_quarantined(desk):
    """Rows of the stream are in id order; the late trade stays missing, and its raw bytes are kept."""
    day = desk.take(trade(1), trade(3), trade(3), trade(2), trade(4)).close()
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "3", "4"]
    assert kinds(day) == ["trade_gap", "duplicate", "late", "quarantined"]
    (kept,) = quarantined(day)
    assert kept["reason"] == "a trade with an id out of order"


def test_repeated_trade_with_another_price_is_named_by_the_check(desk):
    """Only the first is stored, but the ledger has the content of the other."""
    day = desk.take(trade(1), trade(2, price="101"), trade(2, price="102"), trade(2, price="101"))
    day = day.close(expected="contradiction")
    (defect,) = defects_of(day)
    assert defect.file == day.events.name
    assert "trade 2 has price 102," in defect.message
    assert f"in row 2 of {day.trades.name} price 101," in defect.message


@pytest.mark.parametrize("conn", [None, 1])
def test_ids_far_ahead_are_quarantined_with_their_arrival_time(desk, conn):
    """The book continues, no id is missing, and the day is sound."""
    if conn:
        desk.connect(conn)
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(1))
    far_us = desk.us + 100_000
    far = diff(900_012, 900_013), trade(800_000)
    day = desk.take(*far, diff(13, 14), trade(2), diff(15, 15)).close()
    assert [row["last_update_id"] for row in rows(day.frames)] == ["12", "14", "15"]
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "2"]
    assert [(row["recv_us"], row["reason"]) for row in quarantined(day)] == [
        (far_us, "its ids do not follow those before it"),
        (far_us + 100_000, "its ids do not follow those before it"),
    ]
    assert [base64.b64decode(row["raw_base64"]) for row in quarantined(day)] == [text_of(message) for message in far]
    assert kinds(day).count("far_ids") == 2
    assert not {"gap", "trade_gap", "resync_start", "id_reset"} & set(kinds(day))


def test_clock_step_back_between_messages_is_reported(desk):
    """A step back between two arrivals is a `clock_step` event."""
    desk.take(diff(11, 11))
    desk.us -= 2_000_000
    day = desk.take(diff(12, 12)).close()
    assert events(day, "clock_step") == [{"by_us": -1_900_000}]


def test_filters_come_from_exchange_info(desk):
    """Filters are stored as sent, including unused fields; the tick is checked from then on."""
    body = json.dumps(exchange_info("OTHER", SYMBOL)).encode()
    assert desk.learn(body) == "TRADING"
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    session = desk.session
    assert json.loads(session.writer.folder.instrument.read_text()) == exchange_info(SYMBOL)["symbols"][0]
    assert session.instrument == session.writer.folder.instrument.read_text()
    session.finish(desk.tick(), "SIGTERM", window_over=False)
    session.writer.close()
    day = session.writer.folder
    assert events(day, "exchange_info") == [{"status": "TRADING"}]
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05"}]
    assert [last_id for _, last_id, *_ in frames(day)] == [12]


def grid_of(desk, tick="0.10000000", step="0.10000000"):
    return desk.learn(json.dumps(exchange_info(SYMBOL, tick=tick, step=step)).encode())


def history(day):
    entry = json.loads(day.instrument.read_text())
    return [
        (grid["from_seq"], Decimal(grid["tick_size"]), Decimal(grid["step_size"])) for grid in entry.get("history", [])
    ]


def seqs(day, **details):
    """Return the sequence numbers of the ledger rows that contain these details."""
    numbered = [(int(row["recv_seq"]), json.loads(row["details_json"])) for row in rows(day.events)]
    return [seq for seq, found in numbered if details.items() <= found.items()]


def test_finer_grid_is_reported_and_then_added_to_the_history(desk):
    """No row is lost before exchangeInfo arrives, and its grid is valid from the first row on it."""
    grid_of(desk)
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1.25"]]), trade(7, price="99.95"))
    assert desk.session.off_grid
    desk.take(diff(13, 13, [["99.96", "1"]]))
    grid_of(desk, "0.01000000", "0.01000000")
    assert not desk.session.off_grid
    day = desk.take(diff(14, 14, [["99.97", "1.01"]])).close()
    assert [best for _, _, best, _ in frames(day)] == [("99.95", "1.25"), ("99.96", "1"), ("99.97", "1.01")]
    assert events(day, "anomaly") == [
        {"kind": "grid", "tick_size": "0.05", "step_size": "0.05"},
        {"kind": "grid", "tick_size": "0.01"},
    ]
    (first,) = seqs(day, kind="grid", tick_size="0.05")
    assert history(day) == [(0, Decimal("0.1"), Decimal("0.1")), (first, Decimal("0.01"), Decimal("0.01"))]
    assert json.loads(day.instrument.read_text())["filters"][0]["tickSize"] == "0.01000000"
    assert events(day, "resync_start") == []


def test_coarser_grid_keeps_the_orders_of_the_old_grid(desk):
    """Old orders rest, change and trade at their prices; only new orders must be on the new grid."""
    grid_of(desk, "0.05000000")
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    grid_of(desk)
    desk.take(diff(13, 13, [["99.95", "0.5"]]), trade(7, price="99.95", qty="0.5"))
    day = desk.close()
    assert not desk.session.off_grid
    assert events(day, "anomaly") == []
    assert [tick for _, tick, _ in history(day)] == [Decimal("0.05"), Decimal("0.1")]
    assert [best for _, _, best, _ in frames(day)] == [("99.95", "1"), ("99.95", "0.5")]


def test_rows_off_the_official_grid_are_kept(desk):
    """exchangeInfo still has the old grid: the ledger reports the prices as an anomaly."""
    grid_of(desk)
    desk.take(diff(11, 11), snapshot(11, [["99.9", "1"], ["50.05", "3"]]), diff(12, 12, [["99.95", "1"]]))
    grid_of(desk)
    assert desk.session.off_grid
    day = desk.close()
    assert history(day) == []
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05"}]
    assert [best for _, _, best, _ in frames(day)] == [("99.95", "1")]


def test_off_grid_rows_before_exchange_info_are_reported_from_seq_0(desk):
    """A snapshot may arrive before exchangeInfo, and contain orders older than a tick change."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    grid_of(desk)
    day = desk.close()
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05", "from_seq": 0}]


@pytest.mark.parametrize("then", ["0.05000000", "0.01000000", "0.50000000"])
def test_grid_change_between_two_runs_is_added_to_the_history(desk, tmp_path, then):
    """Finer or coarser; the grid of the previous run is valid until exchangeInfo arrives."""
    grid_of(desk)
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close("SIGTERM")
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    if then < "0.1":
        again.take(diff(13, 13), snapshot(13), diff(14, 14, [["99.95", "1"]]))
        assert again.session.report.book.anomalies["grid"] == 1
    grid_of(again, then)
    day = again.take(diff(15, 15)).close()
    assert [tick for _, tick, _ in history(day)] == [Decimal("0.1"), Decimal(then)]
    third = Desk(tmp_path, again.us + 5_000_000, "R3")
    assert grid_of(third, then) == "TRADING"
    assert len(history(third.close())) == 2


def test_recorder_killed_before_exchange_info_leaves_a_sound_day(desk, tmp_path):
    """The anomaly is in the ledger before the rows; the next run reads the new grid."""
    grid_of(desk)
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    desk.session.writer.flush()
    desk.session.writer.close()
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    grid_of(again, "0.05000000")
    day = again.take(diff(13, 13), snapshot(13), diff(14, 14)).close()
    assert [tick for _, tick, _ in history(day)] == [Decimal("0.1"), Decimal("0.05")]


def test_next_day_begins_with_the_current_grid_only(desk, tmp_path):
    """Off-grid levels of the carried book are reported again before the snapshot, so each day can be read alone."""
    grid_of(desk, "0.05000000")
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    grid_of(desk)
    desk.us = midnight_us("20260106")
    before = desk.session.roll(desk.days.open("20260106", desk.us, desk.session.instrument), desk.us, carry=True)
    before.seal()
    before.close()
    assert len(history(before.folder)) == 2
    day = desk.take(diff(13, 13)).close()
    assert history(day) == []
    assert [details.get("tick_size") for _, _, details in events(day)[2:4]] == ["0.05", None]
    assert tags(day) == [("carried", 12)]
    assert not defects_of(before.folder)


def test_off_grid_trades_from_rest_are_reported(desk):
    """Trades from REST are checked against the grid like those of the stream."""
    grid_of(desk)
    desk.take(diff(11, 11), snapshot(11), trade(1), trade(3))
    (request,) = [desk.session.backfill.plan.next_request()]
    body = [{"id": 2, "price": "100.05", "qty": "1", "time": desk.us, "isBuyerMaker": True, "quoteQty": "1"}]
    url = f"http://x{request.path}"
    assert desk.session.trades_answered(answer(desk.tick(), url, json.dumps(body).encode())) == 1
    day = desk.close()
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05"}]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"symbol":"SIMUSDT","filters":[]}', b"\xff", b"[" * 100_000])
def test_unreadable_instrument_file_raises_broken_file(desk, tmp_path, text):
    """The file may contain grids that exchangeInfo no longer has; without the file the exchange's grid is used."""
    desk.close("SIGTERM")
    folder(tmp_path).instrument.write_bytes(text)
    with pytest.raises(BrokenFile, match=r"instrument\.json.*remove"):
        Desk(tmp_path, desk.us + 5_000_000, "R2")
    folder(tmp_path).instrument.unlink()
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    again.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    assert again.session.report.book.frames == 1
    assert grid_of(again, "0.05000000") == "TRADING"
    again.close("SIGTERM")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": None, "cause": "timeout"},
        {"body": b'{"symbols":[]}'},
        {"body": b'{"symbols":[{"symbol":"OTHER"}]}'},
        {"body": b'{"symbols":[{"symbol":"SIMUSDT","filters":[]}]}'},
        {"body": b"<html>"},
    ],
)
def test_recording_continues_without_filters(desk, answer):
    """Filters are requested again."""
    assert desk.learn(**answer) is None
    assert not desk.session.writer.folder.instrument.exists()
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close()


def test_pending_snapshot_request_fails_at_the_end(desk):
    """Every request in the ledger has a result."""
    desk.take(diff(11, 11))
    desk.session.snapshot_requested(desk.tick(), 3)
    day = desk.close("SIGTERM")
    assert events(day)[-2:] == [
        ("snapshot_failed", 0, {"cause": "SIGTERM", "http_status": None}),
        ("run_stop", 0, {"reason": "SIGTERM"}),
    ]


def test_second_run_continues_after_the_first(desk, tmp_path):
    """Sequence numbers, events and epochs continue, and ids missed in between are a gap with cause restart."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(1)).close("SIGTERM")
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    again.take(diff(20, 21), trade(5), snapshot(21), diff(22, 22))
    day = again.close()
    assert [(epoch, last_id) for epoch, last_id, *_ in frames(day)] == [(1, 12), (2, 22)]
    (gap,), (trade_gap,) = events(day, "gap"), events(day, "trade_gap")
    assert (gap["from_id"], gap["to_id"], gap["cause"]) == (13, 19, "restart")
    assert (trade_gap["from_id"], trade_gap["to_id"], trade_gap["cause"]) == (2, 4, "restart")
    assert gap["from_us"] < trade_gap["from_us"] < gap["to_us"]
    assert tags(day) == [("initial", 11), ("initial", 21)]
    assert [row["event_id"] for row in rows(day.events)] == [str(number + 1) for number in range(len(rows(day.events)))]


def test_restart_without_missing_ids_reports_no_gap(desk, tmp_path):
    """A quick restart on a quiet symbol loses nothing."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close("SIGTERM")
    day = Desk(tmp_path, desk.us, "R2").take(diff(13, 13), snapshot(13), diff(14, 14)).close()
    assert not events(day, "gap")
    assert [epoch for epoch, *_ in frames(day)] == [1, 2]


@pytest.mark.parametrize("pending", [False, True])
def test_roll_at_midnight_opens_another_folder_and_loses_nothing(desk, tmp_path, pending):
    """The book is carried over, also while a snapshot request is pending."""
    desk.learn(json.dumps(exchange_info(SYMBOL, tick="0.01")).encode())
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "2"]]))
    if pending:
        desk.take(diff(14, 14))
        desk.session.snapshot_requested(desk.tick(), 1)
    desk.us = midnight_us("20260106")
    writer = desk.days.open("20260106", desk.us, desk.session.instrument)
    before = desk.session.roll(writer, desk.us, carry=True)
    before.seal()
    before.close()
    if pending:
        desk.answer(json.dumps(snapshot(13)).encode())
    desk.take(diff(15 if pending else 13, 15))
    days = folder(tmp_path), desk.close()
    assert [defects_of(day) for day in days] == [[], []]
    assert [last_id for _, last_id, *_ in frames(days[1])] == [15]
    assert tags(days[1]) == [("carried", 14 if pending else 12)]
    assert events(days[0])[-1] == ("run_stop", 1, {"reason": "day_over"})
    assert days[1].instrument.read_text() == desk.session.instrument
    assert (desk.session.report.day, desk.session.report.book.diffs) == ("20260106", 1)
    (path,) = days[1].snapshots.iterdir()
    assert ("99.95" in path.read_text()) == (not pending)


def test_clock_offsets_are_reported_per_stream(desk):
    """Median and 99th percentile of arrival less the exchange's stamp, and the offset measured by REST."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(7))
    late_us = desk.us - NOON_US
    desk.session.clock_offsets(desk.tick(), RoundTrip(took_us=800, answered_us=desk.us, server_us=desk.us - 5_400))
    offsets = {found["stream"]: found for found in events(desk.close(), "clock_offset")}
    assert set(offsets) == {"depth", "trade", "rest"}
    assert (offsets["rest"]["median_us"], offsets["rest"]["p99_us"]) == (5_000, 5_400)
    assert offsets["depth"]["p99_us"] == pytest.approx(late_us, abs=300_000 + 0.04 * abs(late_us))


def test_measurement_after_the_end_is_not_written(desk):
    """A REST answer may arrive after the end of a recording, but nothing may follow run_stop."""
    desk.take(diff(11, 11), snapshot(11))
    desk.session.finish(desk.tick(), "SIGTERM", window_over=False)
    desk.session.clock_offsets(desk.tick(), RoundTrip(took_us=800, answered_us=desk.us, server_us=desk.us))
    desk.session.clock_read(desk.tick(), 2_000_000)
    desk.session.writer.seal()
    desk.session.writer.close()
    day = desk.session.writer.folder
    assert events(day)[-1][0] == "run_stop"
    assert defects_of(day) == []


@pytest.mark.parametrize(("step_us", "written"), [(0, []), (2_000_000, [2_000_000]), (-70_000, [-70_000])])
def test_clock_steps_are_written_to_the_ledger(desk, step_us, written):
    """A step forward is reported as well, although arrivals do not show it."""
    desk.session.clock_read(desk.tick(), step_us)
    desk.session.clock_read(desk.tick(), 0)
    assert [found["by_us"] for found in events(desk.close(), "clock_step")] == written


def test_step_back_seen_in_arrivals_is_reported_once(desk):
    """A step gets only one ledger row."""
    desk.take(diff(11, 11))
    desk.us -= 2_000_000
    desk.take(diff(12, 12))
    desk.session.clock_read(desk.tick(), -2_000_000)
    desk.session.clock_read(desk.tick(), -3_000_000)
    assert [found["by_us"] for found in events(desk.close(), "clock_step")] == [-1_900_000, -3_000_000]
