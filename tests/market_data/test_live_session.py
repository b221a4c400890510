import gzip
import json
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
from mm.clock import midnight_us
from mm.dayfolder.check import check_day
from mm.market_data.days import Days
from mm.market_data.latency import RoundTrip
from mm.market_data.live_session import LiveSession
from mm.market_data.venue import AggTrade, Answer, DepthUpdate, TradePrint

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"
INFO_URL = f"http://x/api/v3/exchangeInfo?symbol={SYMBOL}"


pytestmark = pytest.mark.usefixtures("road")


def text_of(message):
    """Return a message as the exchange writes it, without blanks."""
    return json.dumps(message, separators=(",", ":")).encode()


class Desk:
    """A session, its days, and messages that arrive one every 100 ms."""

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
        self.session = LiveSession(self.days.open(day, us), us, 3)

    def tick(self):
        self.us += 100_000
        return self.us

    def take(self, *messages):
        """Take stream messages and, where one has ``lastUpdateId``, ask for it as a snapshot and get it."""
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
        self.session.snapshot_answered(Answer(self.tick(), URL, status, body, cause))

    def connect(self, conn):
        self.conn = conn
        self.session.connected(self.tick(), "ws://x", conn)

    def learn(self, body=b"", status=200, cause=None):
        return self.session.learn(Answer(self.tick(), INFO_URL, status, body, cause))

    def close(self, reason="window_end"):
        self.session.finish(self.tick(), reason, window_over=reason == "window_end")
        self.session.writer.seal()
        self.session.writer.close()
        day = self.session.writer.folder
        assert check_day(day).defects == []
        return day


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def kinds(day):
    """Return the ledger's types between the opening and the end, anomalies by their kind, clock offsets left out."""
    told = [event for event in events(day) if event[0] != "clock_offset"]
    return [details["kind"] if kind == "anomaly" else kind for kind, _, details in told][2:-2]


def quarantined(day):
    return [json.loads(line) for line in gzip.decompress(day.quarantine.read_bytes()).splitlines()]


def test_a_session_writes_what_an_import_would(desk):
    """Diffs, frames and trades; the ledger opens and closes the run."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 13, [["99.95", "4.0"]]), trade(7))
    day = desk.close()
    assert frames(day) == [(1, 13, ("99.95", "4.0"), tuple(ASKS[0]))]
    assert [(row["trade_id"], row["source"], row["first_trade_id"]) for row in rows(day.trades)] == [("7", "ws", "7")]
    assert kinds(day) == ["snapshot_request", "snapshot_loaded"]
    ends = [kind for kind, _, _ in events(day)]
    assert (ends[:2], ends[-2:]) == (["run_start", "window_start"], ["window_end", "run_stop"])
    assert desk.session.report.line() == f"{DAY}  2 diffs, 1 trades, 1 frames, 1 snapshots, 1 epochs, 0 gaps"


def test_the_kind_of_a_message_is_told(desk):
    """The watchdog wants to know which stream has spoken."""
    texts = [json.dumps(message).encode() for message in (diff(11, 11), trade(1), agg_trade(2, 3, 4), ticker(5))]
    assert [desk.session.message(desk.tick(), text).kind for text in texts] == [DepthUpdate, TradePrint, AggTrade, None]


def test_a_snapshot_is_wanted_when_an_update_waits_for_one(desk):
    """Not before the first update, whose ids it must reach, nor while nothing comes."""
    session = desk.session
    assert not session.wants_snapshot
    assert desk.take(diff(11, 11)).session.wants_snapshot
    assert desk.take(snapshot(9)).session.wants_snapshot
    assert not desk.take(snapshot(11)).session.wants_snapshot
    assert desk.take(diff(15, 15)).session.wants_snapshot
    session.disconnected(desk.tick(), 1, 1006, "")
    assert not session.wants_snapshot
    assert kinds(desk.close())[:4] == ["snapshot_request", "snapshot_failed", "snapshot_request", "snapshot_loaded"]


def test_a_disconnection_without_missing_ids_costs_nothing(desk):
    """The ids alone decide: where they follow on, the book stays."""
    desk.take(diff(11, 11), snapshot(11))
    desk.session.disconnected(desk.tick(), 1, 1001, "going away")
    desk.connect(2)
    day = desk.take(diff(12, 12)).close()
    assert kinds(day)[2:] == ["ws_disconnected", "ws_connected"]
    assert [epoch for epoch, *_ in frames(day)] == [1]


def test_what_is_missing_behind_a_disconnection_is_a_gap_with_that_cause(desk):
    """Both kinds of ids; the next ones that are missing are missing for another reason."""
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
def test_an_answer_that_is_no_snapshot_leaves_everything_as_it_was(desk, answer, cause, status):
    """The buffer stays, and the next snapshot bridges to it."""
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
def test_what_cannot_be_used_is_kept_raw_and_damages_no_book(desk, raw, reason):
    """Where it was an update, its ids are missing, and the gap says so; never a crash."""
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
def test_numbers_that_no_file_can_hold_are_no_numbers(desk, raw):
    """Nor does a text that is nested without end bring down the recorder."""
    desk.take(diff(11, 11), snapshot(11), raw, diff(12, 12))
    assert len(quarantined(desk.close())) == 1


MESSAGES = [json.dumps(message).encode() for message in (diff(12, 13, [["99.95", "1"]], [["100.3", "0"]]), trade(2))]


PATCHES = st.tuples(st.sampled_from(MESSAGES), st.integers(0, 300), st.binary(min_size=1, max_size=3))


@settings(max_examples=25, deadline=None)
@given(st.lists(PATCHES | st.binary(), min_size=5, max_size=40))
def test_no_bytes_whatever_end_a_recording_or_damage_its_day(messages):
    """A byte changed anywhere is an update, a trade, or a line in quarantine; the day is without a defect."""
    with TemporaryDirectory() as place:
        desk = Desk(Path(place)).take(diff(11, 11), snapshot(11), trade(1))
        for message in messages:
            if isinstance(message, bytes):
                desk.take(message)
            else:
                whole, at, patch = message
                desk.take(whole[:at] + patch + whole[at + len(patch) :])
        desk.close()


def test_a_trade_is_written_once_and_a_late_one_is_set_aside(desk):
    """Rows of the stream stand in the order of their ids; the late one stays in its gap, and its bytes are kept."""
    day = desk.take(trade(1), trade(3), trade(3), trade(2), trade(4)).close()
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "3", "4"]
    assert kinds(day) == ["trade_gap", "duplicate", "late", "quarantined"]
    (kept,) = quarantined(day)
    assert kept["reason"] == "a trade whose id does not follow"


def test_a_clock_that_is_set_back_is_told(desk):
    """Rows keep their stamps, and their order is that of their numbers."""
    desk.take(diff(11, 11))
    desk.us -= 2_000_000
    day = desk.take(diff(12, 12)).close()
    assert events(day, "clock_step") == [{"by_us": -1_900_000}]


def test_filters_come_from_exchange_info(desk):
    """As the exchange sent them, fields that nobody asked for included; the tick is checked from then on."""
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
    assert events(day, "resync_start") == [{"cause": "off_tick"}]


def test_the_filters_of_the_run_before_hold_until_the_exchange_answers(desk, tmp_path):
    """Else a price off the tick would come into frames, of which the check of the day then tells."""
    desk.learn(json.dumps(exchange_info(SYMBOL)).encode())
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close("SIGTERM")
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    again.take(diff(13, 13), snapshot(13), diff(14, 14, [["99.95", "1"]]))
    again.session.writer.close()
    assert [last_id for _, last_id, *_ in frames(folder(tmp_path))] == [12]
    assert again.session.report.book.anomalies == {"off_tick": 1}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"symbol":"SIMUSDT","filters":[]}', b"\xff", b"[" * 100_000])
def test_filters_of_the_run_before_that_cannot_be_read_are_none(desk, tmp_path, text):
    """They come from the exchange anyway."""
    desk.close("SIGTERM")
    folder(tmp_path).instrument.write_bytes(text)
    again = Desk(tmp_path, desk.us + 5_000_000, "R2")
    again.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "1"]]))
    assert again.session.report.book.frames == 1
    assert again.learn(json.dumps(exchange_info(SYMBOL, tick="0.05000000")).encode()) == "TRADING"
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
def test_without_filters_the_recording_goes_on(desk, answer):
    """They are asked for again."""
    assert desk.learn(**answer) is None
    assert not desk.session.writer.folder.instrument.exists()
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close()


def test_a_request_that_is_open_at_the_end_has_an_end(desk):
    """The ledger's states are never left hanging."""
    desk.take(diff(11, 11))
    desk.session.snapshot_requested(desk.tick(), 3)
    day = desk.close("SIGTERM")
    assert events(day)[-2:] == [
        ("snapshot_failed", 0, {"cause": "SIGTERM", "http_status": None}),
        ("run_stop", 0, {"reason": "SIGTERM"}),
    ]


def test_another_run_of_the_day_goes_on_where_the_first_one_ended(desk, tmp_path):
    """Numbers, events and epochs count on, and what was missed in between is a gap of its own."""
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


def test_a_run_without_a_pause_continues_the_ids(desk, tmp_path):
    """A quick restart on a quiet symbol loses nothing, and says nothing of a loss."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12)).close("SIGTERM")
    day = Desk(tmp_path, desk.us, "R2").take(diff(13, 13), snapshot(13), diff(14, 14)).close()
    assert not events(day, "gap")
    assert [epoch for epoch, *_ in frames(day)] == [1, 2]


@pytest.mark.parametrize("asked", [False, True])
def test_midnight_begins_another_folder_and_loses_nothing(desk, tmp_path, asked):
    """The book is carried over, and a request that is under way is told in both ledgers."""
    desk.learn(json.dumps(exchange_info(SYMBOL, tick="0.01")).encode())
    desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.95", "2"]]))
    if asked:
        desk.take(diff(14, 14))
        desk.session.snapshot_requested(desk.tick(), 1)
    desk.us = midnight_us("20260106")
    writer = desk.days.open("20260106", desk.us, desk.session.instrument)
    before = desk.session.roll(writer, desk.us, carry=True)
    before.seal()
    before.close()
    if asked:
        desk.answer(json.dumps(snapshot(13)).encode())
    desk.take(diff(15 if asked else 13, 15))
    days = folder(tmp_path), desk.close()
    assert [check_day(day).defects for day in days] == [[], []]
    assert [last_id for _, last_id, *_ in frames(days[1])] == [15]
    assert tags(days[1]) == [("carried", 14 if asked else 12)]
    assert events(days[0])[-1] == ("run_stop", 1, {"reason": "day_over"})
    assert days[1].instrument.read_text() == desk.session.instrument
    assert (desk.session.report.day, desk.session.report.book.diffs) == ("20260106", 1)
    (path,) = days[1].snapshots.iterdir()
    assert ("99.95" in path.read_text()) == (not asked)


def test_each_stream_tells_how_late_its_messages_were(desk):
    """Median and 99th percentile of arrival less the exchange's stamp, and the clock's own offset beside them."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(7))
    late_us = desk.us - NOON_US
    desk.session.clock_offsets(desk.tick(), RoundTrip(took_us=800, answered_us=desk.us, server_us=desk.us - 5_400))
    offsets = {found["stream"]: found for found in events(desk.close(), "clock_offset")}
    assert set(offsets) == {"depth", "trade", "rest"}
    assert (offsets["rest"]["median_us"], offsets["rest"]["p99_us"]) == (5_000, 5_400)
    assert offsets["depth"]["p99_us"] == pytest.approx(late_us, abs=300_000 + 0.04 * abs(late_us))


@pytest.mark.parametrize(("step_us", "written"), [(0, []), (2_000_000, [2_000_000]), (-70_000, [-70_000])])
def test_a_clock_that_was_set_is_in_the_ledger(desk, step_us, written):
    """Also a step forward, which no arrival shows, and one back between two messages."""
    desk.session.clock_read(desk.tick(), step_us)
    desk.session.clock_read(desk.tick(), 0)
    assert [found["by_us"] for found in events(desk.close(), "clock_step")] == written


def test_a_step_back_that_arrivals_have_shown_is_told_once(desk):
    """Two rows for one step would look like two steps."""
    desk.take(diff(11, 11))
    desk.us -= 2_000_000
    desk.take(diff(12, 12))
    desk.session.clock_read(desk.tick(), -2_000_000)
    desk.session.clock_read(desk.tick(), -3_000_000)
    assert [found["by_us"] for found in events(desk.close(), "clock_step")] == [-1_900_000, -3_000_000]
