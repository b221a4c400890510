"""The real recorder against an exchange whose truth is known."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fake_exchange import ENTRY, SYMBOL, FakeExchange
from usdm_exchange import STRIDE, UsdmExchange

from captured import events, rows, tags
from mm.cli.config import Name, Source
from mm.cli.task_knobs import Recorder
from mm.clock import iso, now_us
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.market_data import recorder
from mm.market_data.days import RecordingWindow, WindowRule
from mm.market_data.recorder import main
from support import ROOT, in_time

TOP_N = 20
QUICK = {
    "SYMBOL": SYMBOL.lower(),
    "WINDOW_START": "always",
    "START_JITTER_S": "0",
    "FLUSH_INTERVAL_S": "0.1",
    "BACKOFF_MAX_S": "0.05",
    "MIN_FREE_MB": "0",
}
Usage = namedtuple("Usage", "free")


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shared = tmp_path.parent / f"{tmp_path.name}_shared"  # what the recorders of a machine share
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(recorder, "_REST_DELAY_S", 0.05)


@pytest.fixture(autouse=True)
def _no_signal_ends_the_tests():
    """A signal that comes before the recorder listens, or after, fails its test and not the whole run."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def call(exchange=None, *args, **knobs):
    """Call the command in this process."""
    return CliRunner().invoke(main, args, env={**QUICK, **(exchange.urls() if exchange else {}), **knobs})


def recorded(exchange, **knobs):
    """Record what *exchange* plays, until it sends SIGTERM, and return the day."""
    with exchange:
        result = call(exchange, **knobs)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return the_day()


def the_day():
    """Return the only day folder, which must be sealed and without a defect."""
    (path,) = DayFolder.at("data/SIMUSDT/20260105").path.parent.iterdir()
    folder = DayFolder.at(path)
    report = check_day(folder)
    assert (report.defects, report.sealed) == ([], True)
    return folder


def assert_true(day, exchange):
    """Hold every frame and every trade against the exchange's own book and list; return the ids of the frames."""
    found = rows(day.frames)
    for row in found:
        bids, asks = exchange.market.book(int(row["last_update_id"]))
        for side, levels in (("bid", bids), ("ask", asks)):
            told = [[row[f"{side}{level}_price"], row[f"{side}{level}_qty"]] for level in range(1, TOP_N + 1)]
            assert told == levels[:TOP_N]
    made = {str(trade["t"]): trade for trade in exchange.market.trades}
    for row in rows(day.trades):
        trade = made.pop(row["trade_id"])
        assert (row["price"], row["qty"], row["trade_time_ms"]) == (trade["p"], trade["q"], str(trade["T"] // 1000))
        assert row["is_buyer_maker"] == json.dumps(trade["m"])
    missing = {number for gap in events(day, "trade_gap") for number in range(gap["from_id"], gap["to_id"] + 1)}
    assert set(map(int, made)) == missing
    return [int(row["last_update_id"]) for row in found]


def told(day):
    """Return the ledger without the clock offsets, which are at the end of a run."""
    return [event for event in events(day) if event[0] != "clock_offset"]


def kinds(day):
    return [kind for kind, _, _ in told(day)]


def test_a_day_is_recorded_as_it_was():
    """Every update has its frame and every trade its row; the streams are requested in microseconds."""
    exchange = FakeExchange(messages=60, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert len(ids) > 40
    assert ids[-1] == exchange.market.last_id
    assert len(rows(day.trades)) == len(exchange.market.trades) == 60
    assert exchange.paths == ["/stream?streams=simusdt@depth@100ms/simusdt@trade&timeUnit=MICROSECOND"]
    assert json.loads(day.instrument.read_text()) == ENTRY
    assert json.loads(day.schema.read_text())["time_unit"] == "us"
    assert kinds(day)[:2] == ["run_start", "window_start"]
    assert set(kinds(day)[2:6]) == {"ws_connected", "exchange_info", "snapshot_request", "snapshot_loaded"}
    assert told(day)[-2:] == [
        ("ws_disconnected", 1, {"conn": 1, "code": 1000, "reason": "SIGTERM"}),
        ("run_stop", 1, {"reason": "SIGTERM"}),
    ]


def test_the_answer_is_one_json_object():
    """A script reads the contents of the day and its path."""
    with FakeExchange(messages=20, then=terminate) as exchange:
        result = call(exchange, "--json")
    found = json.loads(result.stdout)
    day = the_day()
    assert (found["path"], found["symbol"]) == (os.path.relpath(day.path), SYMBOL)
    assert (found["days"][0]["diffs"], found["days"][0]["gaps"], found["days"][0]["synced"]) == (20, 0, True)


def test_a_dropped_update_is_one_gap_one_snapshot_and_one_more_epoch():
    """No frame between the gap and the snapshot that bridges; trades continue."""
    exchange = FakeExchange(messages=80, faults={30: "drop"}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    (gap,) = events(day, "gap")
    assert gap["cause"] == "ids_missing"
    assert not set(range(gap["from_id"], gap["to_id"] + 1)) & set(ids)
    assert [tag for tag, _ in tags(day)] == ["initial", "resync"]
    assert {row["epoch_id"] for row in rows(day.frames)} == {"1", "2"}
    assert len(rows(day.trades)) == len(exchange.market.trades)
    assert not events(day, "trade_gap")
    order = [kind for kind in kinds(day) if kind in ("gap", "resync_start", "snapshot_request", "resync_done")]
    assert order == ["snapshot_request", "gap", "resync_start", "snapshot_request", "resync_done"]


@pytest.mark.parametrize("fault", ["cut", "down"])
def test_a_lost_connection_is_followed_by_another(fault):
    """What was missed is reported with both its ids and its time; the book is correct again after it."""
    exchange = FakeExchange(messages=120, faults={30: fault}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert [details["conn"] for details in events(day, "ws_connected")] == [1, 2]
    ended = events(day, "ws_disconnected")[0]
    assert (ended["conn"], ended["code"]) == (1, 1006)
    for gap in events(day, "gap"):
        assert gap["cause"] == "disconnected"
        assert gap["to_us"] > gap["from_us"]
    assert ids[-1] == exchange.market.last_id


def test_a_pair_of_connections_makes_one_day():
    """Both deliver everything, and each item is there once."""
    exchange = FakeExchange(messages=80, faults={30: "close"}, then=terminate)
    day = recorded(exchange, WS_PAIR="1")
    assert assert_true(day, exchange)[-1] == exchange.market.last_id
    opened = [details["conn"] for details in events(day, "ws_connected")]
    assert opened == [1, 2, 3, 4]
    assert len({row["last_update_id"] for row in rows(day.frames)}) == len(rows(day.frames))
    assert not events(day, "anomaly")


def test_recorders_of_a_machine_share_what_they_spend():
    """Weight by the host of REST, attempts by that of the streams, below the system's folder for temporary files."""
    exchange = FakeExchange(messages=20, then=terminate)
    recorded(exchange)
    netlocs = {name: url.partition("//")[2].replace(":", "_") for name, url in exchange.urls().items()}
    shared = {path.name for path in Path(tempfile.gettempdir()).glob("mm-*/*")}
    assert shared == {f"weight_{netlocs['REST_URL']}.json", f"connections_{netlocs['WS_URL']}.json"}


def test_a_late_snapshot_loses_nothing():
    """Updates wait for it in the buffer and get their frames, in order, when it bridges."""
    exchange = FakeExchange(messages=100, snapshots=[0.2], then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 20
    assert len(tags(day)) == 1


def test_a_snapshot_is_asked_for_until_one_can_be_used():
    """Errors, torn bodies and snapshots from before the stream; the buffer stays, so that nothing is lost."""
    exchange = FakeExchange(messages=130, snapshots=[500, "broken", "old"], faults={1: "drop"}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert [details["cause"] for details in events(day, "snapshot_failed")] == ["http 500", "unreadable", "too_old"]
    assert [details["attempt"] for details in events(day, "snapshot_request")] == [1, 2, 3, 4]
    assert ids[-1] == exchange.market.last_id
    assert len(ids) > 20  # how many follow the snapshot depends on the instant it was asked for


def test_a_silent_depth_stream_is_a_stall_and_ends_the_connection():
    """A timer detects it, since in silence nothing else happens; the exchange's status is requested as well."""
    exchange = FakeExchange(messages=130, faults={20: "mute"}, then=terminate)
    day = recorded(exchange, DEPTH_SILENCE_S="0.2")
    assert_true(day, exchange)
    stall = events(day, "stall")[0]
    assert (stall["stream"], 0.2 <= stall["silent_s"] < 1) == ("depth", True)
    assert events(day, "ws_disconnected")[0]["reason"] == "stall"
    assert len(events(day, "exchange_info")) > 1


def test_a_connection_gets_the_age_that_was_asked_for(monkeypatch):
    """That it is then replaced, and reported, is the stream's own test."""
    streams = []
    monkeypatch.setattr("mm.market_data.ws_stream.WsStream", lambda *args: streams.append(args))
    recorder.parts_of(Source(symbol=SYMBOL), Recorder(ws_max_age_s=77.0), Name(), None)
    ((url, backoffs, max_age_s, *_),) = streams
    assert (url.partition("/stream?")[0], len(backoffs), max_age_s) == ("wss://stream.binance.com:9443", 1, 77.0)


def test_damage_and_repetition_on_the_wire():
    """What cannot be parsed is kept raw and leaves a gap, what comes twice gets no second frame."""
    exchange = FakeExchange(messages=70, faults={20: "twice", 40: "garbage"}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert len(ids) == len(set(ids))
    assert [details["kind"] for details in events(day, "anomaly")] == ["duplicate", "quarantined"]
    assert len(events(day, "gap")) == 1
    assert day.quarantine.exists()


def test_switches_leave_files_away():
    """And the number of levels is a knob."""
    exchange = FakeExchange(messages=20, then=terminate)
    day = recorded(exchange, WRITE_DIFFS="0", WRITE_GAPS="0", TOP_N="3", SNAPSHOT_LIMIT="7")
    assert not day.diffs.exists()
    assert not day.gaps.exists()
    assert "ask3_qty" in rows(day.frames)[0]
    assert "ask4_qty" not in rows(day.frames)[0]
    assert [asked for asked in exchange.asked if "/depth?" in asked] == [f"/api/v3/depth?symbol={SYMBOL}&limit=7"]


def test_the_window_ends_the_recording(monkeypatch):
    """By the clock, and with exit code 0: nothing behind it is written, and its rows, which all wait, are sealed.

    It ends while messages come, long behind the first book.
    """
    folder = DayFolder.at("data/SIMUSDT/20260105")
    window = SimpleNamespace(day=folder.day, start_us=0, end_us=now_us() + 5_000_000)
    monkeypatch.setattr(WindowRule, "at", lambda _self, _now: window)
    with FakeExchange(messages=5000) as exchange:
        result = call(exchange, "--json", WINDOW_START="08:00", FLUSH_INTERVAL_S="60")
    assert result.exit_code == 0, result.stderr
    assert events(folder)[-2:] == [("window_end", 1, {}), ("run_stop", 1, {"reason": "window_end"})]
    assert int(rows(folder.events)[-1]["recv_time_us"]) >= window.end_us
    (told,) = json.loads(result.stdout)["days"]
    assert (told["frames"], told["trades"]) == (len(rows(folder.frames)), len(rows(folder.trades)))
    stamps = [int(row["recv_time_us"]) for row in [*rows(folder.frames), *rows(folder.trades)]]
    assert 0 < max(stamps) < window.end_us


def test_a_recorder_that_is_early_waits_and_may_be_stopped(monkeypatch):
    """There is no folder yet, and the log has the opening time of the window."""
    window = WindowRule("08:00", "22:00", "Europe/Berlin").of_day("20991231")
    monkeypatch.setattr(WindowRule, "at", lambda _self, _now: window)

    class Impatient(FakeExchange):
        def _info_answer(self):
            self._loop.call_later(0.2, terminate)
            return super()._info_answer()

    with Impatient() as exchange:
        result = call(exchange)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"window_awaited opens={iso(window.start_us)}" in result.stderr
    assert os.listdir() == []


def record_over_midnight(monkeypatch, days, before_s):
    """Record days of which the first ends *before_s* after its window is opened; return exchange and midnight, in µs.

    The exchange plays long enough that midnight is within its messages, however late it is connected to.
    """
    turns_us = []

    def at(_self, now):
        turns_us.append(now + int(before_s * 1e6))
        return RecordingWindow(days[now >= turns_us[0]], 0, turns_us[0] if now < turns_us[0] else now + 10**12)

    monkeypatch.setattr(WindowRule, "at", at)
    exchange = FakeExchange(messages=int(400 * before_s), then=terminate)
    with exchange:
        result = call(exchange)
    assert result.exit_code == 0, result.stderr
    return exchange, turns_us[0]


def test_midnight_goes_into_another_folder(monkeypatch, tmp_path):
    """Round the clock, on the same connection and with the same book.

    A busy machine may have no book yet at midnight; then the test records again, with a later one.
    """
    days = ["20260105", "20260106"]
    for before_s in (0.5, 2, 8, 32):
        folder = tmp_path / f"{before_s}s"
        folder.mkdir()
        monkeypatch.chdir(folder)
        first, second = (DayFolder.at(f"data/SIMUSDT/{day}") for day in days)
        exchange, midnight_us = record_over_midnight(monkeypatch, days, before_s)
        if first.frames.exists() and rows(first.frames):
            break
    ids = [int(row["last_update_id"]) for day in (first, second) for row in rows(day.frames)]
    assert ids[-1] == exchange.market.last_id
    assert not [gap for day in (first, second) for gap in events(day, "gap")]
    assert len(rows(first.trades)) + len(rows(second.trades)) == len(exchange.market.trades)
    assert tags(second)[0][0] == "carried"
    assert [events(day)[-1][2]["reason"] for day in (first, second)] == ["day_over", "SIGTERM"]
    assert max(int(row["recv_time_us"]) for row in rows(first.frames)) < midnight_us
    for day in (first, second):  # their rows are of today, so only what does not concern the date is checked
        assert {defect.kind for defect in check_day(day).defects} <= {"time"}
        assert check_day(day).sealed
    assert second.instrument.exists()


def test_a_day_that_is_being_written_is_left_alone():
    """Exit code 75: try later. What is there stays as it is."""
    exchange = FakeExchange(messages=20, then=terminate)
    day = recorded(exchange)
    with DayWriter(day, "other"), FakeExchange() as again:
        before = {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()}
        result = call(again)
        after = {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()}
    assert (result.exit_code, "is being written by another process" in result.stderr) == (75, True)
    assert before == after


def test_no_space_at_the_start_is_75_and_no_folder():
    """The message names the knob."""
    with FakeExchange() as exchange:
        result = call(exchange, MIN_FREE_MB="1000000000")
    assert (result.exit_code, result.stdout, os.listdir()) == (75, "", [])
    assert "MB are free, --min-free-mb (MIN_FREE_MB) is 1000000000" in result.stderr


def test_a_disk_that_fills_ends_the_recording_while_there_is_room_to_say_so(monkeypatch):
    """The ledger reports it, the day is sealed, and the exit code means: try later."""

    def usage(_path):
        there = any(path.stat().st_size > 5_000 for path in Path("data").rglob("orderbook*.csv"))
        return Usage(10**6 if there else 10**12)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with FakeExchange(messages=1000) as exchange:
        result = call(exchange, MIN_FREE_MB="200")
    assert (result.exit_code, "1 MB are free" in result.stderr) == (75, True)
    day = the_day()
    assert assert_true_so_far(day, exchange)
    assert told(day)[-2:] == [("disk_full", 1, {"errno": 28}), ("run_stop", 1, {"reason": "disk_full"})]


def assert_true_so_far(day, exchange):
    """As `assert_true`, where the exchange went on when the recording had ended."""
    last_id = max(int(row["trade_id"]) for row in rows(day.trades))
    del exchange.market.trades[last_id:]
    return assert_true(day, exchange)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ws-url", "wss://fstream.binance.com"], "--ws-url (WS_URL) was 'wss://fstream.binance.com'"),
        (["--window-start", "8"], "--window-start (WINDOW_START) was '8': it must be HH:MM or always"),
        (["--window-tz", "Berlin"], "--window-tz (WINDOW_TZ) was 'Berlin': it must be a time zone"),
    ],
)
def test_what_this_recorder_does_not_do_is_refused(args, message):
    """In one line, before any request or any file."""
    result = call(None, *args)
    assert (result.exit_code, result.stderr.count("\n"), os.listdir()) == (2, 1, [])
    assert result.stderr.startswith(f"error: {message}")


def test_a_symbol_that_the_exchange_does_not_know_is_refused():
    """At the start, not after a day of silence."""
    with FakeExchange(infos=[400]) as exchange:
        result = call(exchange)
    assert (result.exit_code, os.listdir()) == (2, [])
    assert "--symbol (SYMBOL) 'SIMUSDT'" in result.stderr
    assert "Invalid symbol" in result.stderr


def test_filters_are_asked_for_until_they_come():
    """REST may be down when the window opens; the stream is recorded meanwhile."""
    exchange = FakeExchange(messages=60, infos=[503, 503, {"symbol": SYMBOL, "filters": []}], then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 20
    assert json.loads(day.instrument.read_text()) == ENTRY


def test_another_stream_of_trades_is_not_mixed_into_a_day():
    """Their ids count differently."""
    recorded(FakeExchange(messages=10, then=terminate))
    with FakeExchange() as exchange:
        result = call(exchange, TRADE_STREAM="aggTrade")
    assert (result.exit_code, "was started with --trade-stream (TRADE_STREAM) trade" in result.stderr) == (3, True)


def test_a_data_root_that_cannot_be_is_a_wrong_knob():
    """Here a file is in its way."""
    with FakeExchange() as exchange:
        result = call(exchange, "--data-root", "/dev/null/data")
    assert (result.exit_code, "--data-root (DATA_ROOT) /dev/null/data: cannot be written" in result.stderr) == (2, True)


@pytest.mark.parametrize("state", ["connecting", "between snapshots", "waiting for a snapshot"])
def test_a_signal_ends_a_recording_in_every_state(state):
    """Nobody waits for a handshake, a delay or an answer; an open request gets its end in the ledger."""
    snapshots = {"between snapshots": [429] * 9, "waiting for a snapshot": [30.0]}.get(state, [])
    with (
        FakeExchange(messages=5000, snapshots=snapshots) as exchange,
        closing(socket.create_server(("127.0.0.1", 0))) as deaf,
    ):
        knobs = {"WS_URL": f"ws://127.0.0.1:{deaf.getsockname()[1]}"} if state == "connecting" else {}
        held = []
        reached = (lambda: held.append(deaf.accept()[0])) if state == "connecting" else exchange.depth_asked.wait
        threading.Thread(target=lambda: (reached(), terminate())).start()
        begun_s = time.monotonic()
        result = call(exchange, **knobs)
        for connection in held:
            connection.close()
    assert (result.exit_code, in_time(time.monotonic() - begun_s, 20.0)) == (0, True)  # the answer would take 30 s
    day = the_day()
    assert events(day)[-1] == ("run_stop", 0, {"reason": "SIGTERM"})
    if state == "waiting for a snapshot":
        assert events(day, "snapshot_failed") == [{"cause": "SIGTERM", "http_status": None}]


@pytest.fixture
def process():
    """Start the module as a process; what is left of it is killed."""
    started = []

    def start(exchange, **knobs):
        env = {**os.environ, "PYTHONPATH": str(ROOT), **QUICK, **exchange.urls(), **knobs}
        command = [sys.executable, "-m", "mm.market_data.recorder"]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()


def wait_for_frames(count):
    """Wait until a day folder has *count* frames on the disk."""
    give_up_s = time.monotonic() + 60
    while time.monotonic() < give_up_s:
        for path in DayFolder.at("data/SIMUSDT/20260105").path.parent.glob("*/orderbook_*.csv"):
            with path.open(newline="") as stream:
                if sum(1 for _ in csv.reader(stream)) > count:
                    return
        time.sleep(0.02)
    raise AssertionError("no frames came")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(process, number):
    """Exit code 0 in less than five seconds, everything that had arrived written, the manifest sealed."""
    with FakeExchange(messages=2000) as exchange:
        recorder = process(exchange)
        wait_for_frames(20)
        recorder.send_signal(number)
        begun_s = time.monotonic()
        out, _ = recorder.communicate(timeout=60)
    assert (recorder.returncode, in_time(time.monotonic() - begun_s)) == (0, True)
    day = the_day()
    assert_true_so_far(day, exchange)
    assert events(day)[-1] == ("run_stop", 1, {"reason": number.name})
    assert out.splitlines()[-1] == os.path.relpath(day.path)


def test_a_killed_run_is_recovered_by_the_next_one(process):
    """The torn end is cut, the ledger reports the crash and the lost ids, and the counters continue."""
    with FakeExchange(messages=2000) as exchange:
        first = process(exchange)
        wait_for_frames(20)
        first.kill()
        first.communicate()
        assert not check_day_of_today().sealed
        second = process(exchange)
        wait_for_frames(80)
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=10)
    day = the_day()
    assert_true_so_far(day, exchange)
    assert len(events(day, "crash_recovered")) == 1
    assert events(day, "gap")[0]["cause"] == "restart"
    assert [tag for tag, _ in tags(day)] == ["initial", "initial"]


def check_day_of_today():
    (path,) = DayFolder.at("data/SIMUSDT/20260105").path.parent.iterdir()
    return check_day(DayFolder.at(path))


USDM = {"MARKET": "usdm", "TOP_N": str(TOP_N)}


def test_a_day_of_usdm_is_recorded_as_it_was():
    """Its paths and its ids, most of which are not of this symbol; the day has the name of its market."""
    exchange = UsdmExchange(messages=60, then=terminate)
    day = recorded(exchange, **USDM)
    assert_true_usdm(day, exchange, frames=40)
    assert exchange.paths == ["/public/stream?streams=simusdt@depth@100ms/simusdt@trade"]
    assert {asked.partition("?")[0] for asked in exchange.asked} <= {
        f"/fapi/v1/{path}" for path in ("depth", "exchangeInfo", "fundingRate", "time", "aggTrades")
    }
    assert f"/fapi/v1/depth?symbol={SYMBOL}&limit=1000" in exchange.asked
    schema = json.loads(day.schema.read_text())
    assert (schema["venue"], schema["time_unit"]) == ("binance-usdm", "ms")
    assert not events(day, "gap")


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_a_gap_of_usdm_is_found_by_the_update_that_names_another_one(fault):
    """And the next snapshot, whose id is between those of the symbol, bridges."""
    exchange = UsdmExchange(messages=120, faults={30: fault}, then=terminate)
    day = recorded(exchange, **USDM)
    assert_true_usdm(day, exchange, frames=60)
    if fault == "drop":
        (gap,) = events(day, "gap")
        assert gap["to_id"] % STRIDE == 0
        assert [tag for tag, _ in tags(day)] == ["initial", "resync"]


def test_funding_that_was_paid_stands_in_the_ledger():
    """That of the last day, once, whatever REST answers again."""

    class Paying(UsdmExchange):
        payments = (
            {"symbol": SYMBOL, "fundingTime": now_us() // 1000 - 90_000_000, "fundingRate": "0.1", "markPrice": "1"},
            {
                "symbol": SYMBOL,
                "fundingTime": 1000 * (now_us() // 10**6) - 9_997,
                "fundingRate": "-0.0001",
                "markPrice": "99.5",
            },
        )

    exchange = Paying(messages=60, then=terminate)
    (paid,) = events(recorded(exchange, **USDM), "funding")
    assert (paid["rate"], paid["mark_price"], paid["paid_ms"] % 1000) == ("-0.0001", "99.5", 0)


def test_a_day_of_one_market_is_not_continued_with_the_other():
    recorded(FakeExchange(messages=20, then=terminate))
    with UsdmExchange() as exchange:
        result = call(exchange, **USDM)
    assert (result.exit_code, "is a day of binance-spot" in result.stderr) == (3, True)


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"MARKET": "usdm", "TRADE_STREAM": "aggTrade"}, "record trade"),
        ({"MARKET": "usdm", "WS_URL": "wss://stream.binance.com:9443"}, None),
        ({"MARKET": "usdm", "REST_URL": "https://data-api.binance.vision"}, "another market"),
        ({"WS_URL": "wss://fstream.binance.com"}, "--market usdm"),
    ],
)
def test_addresses_and_streams_of_the_other_market_are_refused(knobs, why):
    """With the remedy; the default of Spot means the market's own."""
    if why is None:
        assert recorder.of_market(Recorder(ws_url=knobs["WS_URL"]), "usdm").ws_url == "wss://fstream.binance.com"
        return
    result = call(None, **{"REST_URL": "http://127.0.0.1:9", **knobs})
    assert (result.exit_code, why in result.stderr) == (2, True), result.stderr


def assert_true_usdm(day, exchange, *, frames):
    """Hold every frame and trade against the exchange's own, whose ids are `STRIDE` apart."""
    found = rows(day.frames)
    for row in found:
        bids, asks = exchange.market.book(int(row["last_update_id"]) // STRIDE)
        assert row["last_update_id"].endswith("0")
        for side, levels in (("bid", bids), ("ask", asks)):
            told = [[row[f"{side}{level}_price"], row[f"{side}{level}_qty"]] for level in range(1, TOP_N + 1)]
            assert told == levels[:TOP_N]
    assert len(found) > frames
    assert int(found[-1]["last_update_id"]) == STRIDE * exchange.market.last_id
    made = {str(trade["t"]): (trade["p"], trade["q"]) for trade in exchange.market.trades}
    kept = {row["trade_id"]: (row["price"], row["qty"]) for row in rows(day.trades)}
    missing = {str(number) for gap in events(day, "trade_gap") for number in range(gap["from_id"], gap["to_id"] + 1)}
    assert {number: made[number] for number in made if number not in missing - kept.keys()} == kept
