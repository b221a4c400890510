"""The real recorder with an exchange of known truth."""

import base64
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
from day_files import check, defects_of
from mm import DayFolder
from mm.base.common_knobs import Name
from mm.cli import recorders
from mm.cli.task_knobs import Recorder
from mm.clock import iso, now_us
from mm.commands.record import record as main
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.line_files import lines_of_file
from mm.market_data import recording
from mm.market_data.days import RecordingWindow, WindowRule
from mm.play.knobs import Source
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
    shared = tmp_path.parent / f"{tmp_path.name}_shared"  # shared by the recorders of a machine
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(recorders, "_REST_DELAY_S", 0.05)


@pytest.fixture(autouse=True)
def _signals_do_not_end_the_test_run():
    """Let a signal outside the recorder's handling fail its test instead of the whole run."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def call(exchange=None, *args, **knobs):
    """Call the command in this process."""
    return CliRunner().invoke(main, args, env={**QUICK, **(exchange.urls() if exchange else {}), **knobs})


def recorded(exchange, **knobs):
    """Record *exchange* until it sends SIGTERM, and return the day."""
    with exchange:
        result = call(exchange, **knobs)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return the_day()


def the_day():
    """Return the only day folder; assert that it is sealed and has no defects."""
    (path,) = DayFolder.at("data/SIMUSDT/20260105").path.parent.iterdir()
    folder = DayFolder.at(path)
    report = check(folder)
    assert (report.defects, report.sealed) == ([], True)
    return folder


def assert_true(day, exchange):
    """Compare every frame and every trade with the exchange's book and trades; return the ids of the frames."""
    found = rows(day.frames)
    for row in found:
        bids, asks = exchange.market.book(int(row["last_update_id"]))
        for side, levels in (("bid", bids), ("ask", asks)):
            recorded_levels = [
                [row[f"{side}{level}_price"], row[f"{side}{level}_qty"]] for level in range(1, TOP_N + 1)
            ]
            assert recorded_levels == levels[:TOP_N]
    made = {str(trade["t"]): trade for trade in exchange.market.trades}
    for row in rows(day.trades):
        trade = made.pop(row["trade_id"])
        assert (row["price"], row["qty"], row["trade_time_ms"]) == (trade["p"], trade["q"], str(trade["T"] // 1000))
        assert row["is_buyer_maker"] == json.dumps(trade["m"])
    missing = {number for gap in events(day, "trade_gap") for number in range(gap["from_id"], gap["to_id"] + 1)}
    assert set(map(int, made)) == missing
    return [int(row["last_update_id"]) for row in found]


def ledger(day):
    """Return the events of the ledger without clock offsets."""
    return [event for event in events(day) if event[0] != "clock_offset"]


def kinds(day):
    return [kind for kind, _, _ in ledger(day)]


def test_recorded_day_matches_the_exchange():
    """Every update has a frame and every trade a row; the streams are requested with microseconds."""
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
    assert ledger(day)[-2:] == [
        ("ws_disconnected", 1, {"conn": 1, "code": 1000, "reason": "SIGTERM"}),
        ("run_stop", 1, {"reason": "SIGTERM"}),
    ]


def test_json_output_is_one_object():
    """The object contains the path and the counts of the day."""
    with FakeExchange(messages=20, then=terminate) as exchange:
        result = call(exchange, "--json")
    found = json.loads(result.stdout)
    day = the_day()
    assert (found["path"], found["symbol"]) == (os.path.relpath(day.path), SYMBOL)
    assert (found["days"][0]["diffs"], found["days"][0]["gaps"], found["days"][0]["synced"]) == (20, 0, True)


def test_dropped_update_causes_one_gap_one_snapshot_and_one_epoch():
    """There is no frame between the gap and the bridging snapshot; trades continue."""
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
def test_lost_connection_is_replaced(fault):
    """Missed updates are reported with ids and times; the book is correct afterwards."""
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


def test_connection_pair_records_one_day():
    """Both connections deliver everything, and each row is written once."""
    exchange = FakeExchange(messages=80, faults={30: "close"}, then=terminate)
    day = recorded(exchange, WS_PAIR="1")
    assert assert_true(day, exchange)[-1] == exchange.market.last_id
    opened = [details["conn"] for details in events(day, "ws_connected")]
    assert opened == [1, 2, 3, 4]
    assert len({row["last_update_id"] for row in rows(day.frames)}) == len(rows(day.frames))
    # On a loaded machine past trades may be asked for; this exchange does not have them.
    assert not [found for found in events(day, "anomaly") if found["stream"] != "rest"]


def test_recorders_of_a_machine_share_budget_files():
    """Weight per REST host and attempts per stream host, below the system's folder for temporary files."""
    exchange = FakeExchange(messages=20, then=terminate)
    recorded(exchange)
    netlocs = {name: url.partition("//")[2].replace(":", "_") for name, url in exchange.urls().items()}
    shared = {path.name for path in Path(tempfile.gettempdir()).glob("mm-*/*")}
    assert shared == {f"weight_{netlocs['REST_URL']}.json", f"connections_{netlocs['WS_URL']}.json"}


def test_late_snapshot_loses_nothing():
    """Updates wait in the buffer and get their frames in order when the snapshot bridges."""
    exchange = FakeExchange(messages=100, snapshots=[0.2], then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 20
    assert len(tags(day)) == 1


def test_snapshot_is_requested_until_one_is_usable():
    """After errors, torn bodies and old snapshots the buffer is kept, so nothing is lost."""
    exchange = FakeExchange(messages=130, snapshots=[500, "broken", "old"], faults={1: "drop"}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert [details["cause"] for details in events(day, "snapshot_failed")] == ["http 500", "unreadable", "too_old"]
    assert [details["attempt"] for details in events(day, "snapshot_request")] == [1, 2, 3, 4]
    assert ids[-1] == exchange.market.last_id
    assert len(ids) > 20  # how many follow the snapshot depends on the time of its request


def test_silent_depth_stream_is_a_stall_and_ends_the_connection():
    """A timer detects the silence; exchangeInfo is requested as well."""
    exchange = FakeExchange(messages=130, faults={20: "mute"}, then=terminate)
    day = recorded(exchange, DEPTH_SILENCE_S="0.2")
    assert_true(day, exchange)
    stall = events(day, "stall")[0]
    assert (stall["stream"], 0.2 <= stall["silent_s"] < 1) == ("depth", True)
    assert events(day, "ws_disconnected")[0]["reason"] == "stall"
    assert len(events(day, "exchange_info")) > 1


def test_stream_gets_the_configured_maximum_age(monkeypatch):
    """The replacement itself is tested with the stream."""
    streams = []
    monkeypatch.setattr(recorders, "WsStream", lambda *args: streams.append(args))
    recorders.parts_of(Source(symbol=SYMBOL), Recorder(ws_max_age_s=77.0), Name(), None)
    ((url, backoffs, max_age_s, *_),) = streams
    assert (url.partition("/stream?")[0], len(backoffs), max_age_s) == ("wss://stream.binance.com:9443", 1, 77.0)


def test_damaged_and_repeated_messages_are_anomalies():
    """An unparsable message is kept raw and leaves a gap; a repeated one gets no second frame."""
    exchange = FakeExchange(messages=70, faults={20: "twice", 40: "garbage"}, then=terminate)
    day = recorded(exchange)
    ids = assert_true(day, exchange)
    assert len(ids) == len(set(ids))
    assert [details["kind"] for details in events(day, "anomaly")] == ["duplicate", "quarantined"]
    assert len(events(day, "gap")) == 1
    assert day.quarantine.exists()


def test_switches_omit_files_and_set_levels():
    """Diffs and gaps can be omitted; the numbers of levels are options."""
    exchange = FakeExchange(messages=20, then=terminate)
    day = recorded(exchange, WRITE_DIFFS="0", WRITE_GAPS="0", TOP_N="3", SNAPSHOT_LIMIT="7")
    assert not day.diffs.exists()
    assert not day.gaps.exists()
    assert "ask3_qty" in rows(day.frames)[0]
    assert "ask4_qty" not in rows(day.frames)[0]
    assert [request for request in exchange.requests if "/depth?" in request] == [
        f"/api/v3/depth?symbol={SYMBOL}&limit=7"
    ]


@pytest.mark.slow
def test_end_of_the_window_ends_the_recording(monkeypatch):
    """The exit code is 0, no later rows are written, and all buffered rows are sealed.

    The window ends while messages arrive, long after the first book.
    """
    folder = DayFolder.at("data/SIMUSDT/20260105")
    window = SimpleNamespace(day=folder.day, start_us=0, end_us=now_us() + 5_000_000)
    monkeypatch.setattr(WindowRule, "at", lambda _self, _now: window)
    with FakeExchange(messages=5000) as exchange:
        result = call(exchange, "--json", WINDOW_START="08:00", FLUSH_INTERVAL_S="60")
    assert result.exit_code == 0, result.stderr
    assert events(folder)[-2:] == [("window_end", 1, {}), ("run_stop", 1, {"reason": "window_end"})]
    assert int(rows(folder.events)[-1]["recv_time_us"]) >= window.end_us
    (day_report,) = json.loads(result.stdout)["days"]
    assert (day_report["frames"], day_report["trades"]) == (len(rows(folder.frames)), len(rows(folder.trades)))
    stamps = [int(row["recv_time_us"]) for row in [*rows(folder.frames), *rows(folder.trades)]]
    assert 0 < max(stamps) < window.end_us


def test_recorder_waits_for_its_window_and_can_be_stopped(monkeypatch):
    """There is no folder yet, and the log contains the opening time."""
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
    """Record days of which the first ends *before_s* after its window opens; return exchange and midnight, in µs.

    The exchange plays long enough for midnight to be within its messages, even after a late connection.
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


@pytest.mark.slow
def test_recording_continues_in_another_folder_at_midnight(monkeypatch, tmp_path):
    """Recording continues on the same connection and with the same book.

    A busy machine may have no book yet at midnight; then the test records again with a later midnight.
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
    for day in (first, second):  # their rows are of today, so defects of the date are ignored
        assert {defect.kind for defect in defects_of(day)} <= {"time"}
        assert check(day).sealed
    assert second.instrument.exists()


def test_second_recorder_of_a_day_exits_with_75():
    """Existing files stay unchanged."""
    exchange = FakeExchange(messages=20, then=terminate)
    day = recorded(exchange)
    with DayWriter(day, "other"), FakeExchange() as again:
        before = {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()}
        result = call(again)
        after = {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()}
    assert (result.exit_code, "is being written by another process" in result.stderr) == (75, True)
    assert before == after


def test_no_space_at_the_start_exits_with_75_and_leaves_no_folder():
    """The message contains the option."""
    with FakeExchange() as exchange:
        result = call(exchange, MIN_FREE_MB="1000000000")
    assert (result.exit_code, result.stdout, os.listdir()) == (75, "", [])
    assert "MB are free, --min-free-mb (MIN_FREE_MB) is 1000000000" in result.stderr


def test_recording_ends_at_the_minimum_free_space(monkeypatch):
    """The ledger reports the full disk, the day is sealed, and the exit code is 75."""

    def usage(_path):
        there = any(path.stat().st_size > 5_000 for path in Path("data").rglob("orderbook*.csv"))
        return Usage(10**6 if there else 10**12)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with FakeExchange(messages=1000) as exchange:
        result = call(exchange, MIN_FREE_MB="200")
    assert (result.exit_code, "1 MB are free" in result.stderr) == (75, True)
    day = the_day()
    assert assert_true_so_far(day, exchange)
    assert ledger(day)[-2:] == [("disk_full", 1, {"errno": 28}), ("run_stop", 1, {"reason": "disk_full"})]


def assert_true_so_far(day, exchange):
    """Like `assert_true`, for an exchange that continued after the end of the recording."""
    last_id = max(int(row["trade_id"]) for row in rows(day.trades))
    del exchange.market.trades[last_id:]
    return assert_true(day, exchange)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ws-url", "wss://fstream.binance.com"], "--ws-url (WS_URL) was 'wss://fstream.binance.com'"),
        (["--symbol=-BTCUSDT"], "--symbol (SYMBOL) was '-BTCUSDT': it must be a symbol such as BTCUSDT"),
        (["--window-start", "8"], "--window-start (WINDOW_START) was '8': it must be HH:MM or always"),
        (["--window-tz", "Berlin"], "--window-tz (WINDOW_TZ) was 'Berlin': it must be a time zone"),
    ],
)
def test_unsupported_options_exit_with_2(args, message):
    """The error is one line, before any request or file."""
    result = call(None, *args)
    assert (result.exit_code, result.stderr.count("\n"), os.listdir()) == (2, 1, [])
    assert result.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize("head_start_s", [5.0, 0.0])
def test_unknown_symbol_exits_with_2_and_leaves_no_files(head_start_s, monkeypatch):
    """The symbol is checked at the start; a slow exchange refuses it when the day is open already."""
    monkeypatch.setattr(recording, "HEAD_START_S", head_start_s)
    with FakeExchange(messages=0, infos=[400] * 20) as exchange:  # on a loaded machine some have no answer in time
        result = call(exchange)
    assert (result.exit_code, os.listdir()) == (2, [])
    assert "--symbol (SYMBOL) 'SIMUSDT'" in result.stderr
    assert "Invalid symbol" in result.stderr


def test_symbol_that_is_refused_once_is_recorded():
    """A server that has just started may not know its symbols yet."""
    exchange = FakeExchange(messages=40, infos=[400], then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 10


def test_single_message_with_small_ids_is_no_id_reset():
    """It is kept in the quarantine, and costs neither book nor epoch."""
    exchange = FakeExchange(messages=80, faults={40: "stray"}, then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 60
    assert (events(day, "gap"), [tag for tag, _ in tags(day)]) == ([], ["initial"])
    assert [found["kind"] for found in events(day, "anomaly")] == ["far_ids", "quarantined"]
    (kept,) = lines_of_file(day.quarantine)
    assert b'"U": 3,' in base64.b64decode(json.loads(kept)["raw_base64"])


def test_filters_are_requested_until_they_arrive():
    """REST may be down when the window opens; the stream is recorded in the meantime."""
    exchange = FakeExchange(messages=60, infos=[503, 503, {"symbol": SYMBOL, "filters": []}], then=terminate)
    day = recorded(exchange)
    assert len(assert_true(day, exchange)) > 20
    assert json.loads(day.instrument.read_text()) == ENTRY


def test_another_trade_stream_of_the_day_exits_with_3():
    """Ids of both trade streams differ."""
    recorded(FakeExchange(messages=10, then=terminate))
    with FakeExchange() as exchange:
        result = call(exchange, TRADE_STREAM="aggTrade")
    assert (result.exit_code, "was started with --trade-stream (TRADE_STREAM) trade" in result.stderr) == (3, True)


def test_impossible_data_root_exits_with_2():
    """A file is in the way of the folder."""
    with FakeExchange() as exchange:
        result = call(exchange, "--data-root", "/dev/null/data")
    assert (result.exit_code, "--data-root (DATA_ROOT) /dev/null/data: cannot be written" in result.stderr) == (2, True)


@pytest.mark.parametrize("state", ["connecting", "between snapshots", "waiting for a snapshot"])
def test_signal_ends_a_recording_in_every_state(state):
    """The end does not wait for a handshake, a delay or an answer; a pending request fails in the ledger."""
    snapshots = {"between snapshots": [429] * 9, "waiting for a snapshot": [30.0]}.get(state, [])
    with (
        FakeExchange(messages=5000, snapshots=snapshots) as exchange,
        closing(socket.create_server(("127.0.0.1", 0))) as deaf,
    ):
        knobs = {"WS_URL": f"ws://127.0.0.1:{deaf.getsockname()[1]}"} if state == "connecting" else {}
        held = []
        reached = (lambda: held.append(deaf.accept()[0])) if state == "connecting" else exchange.depth_requested.wait
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
    """Start the module as a process; kill it at the end if it still runs."""
    started = []

    def start(exchange, **knobs):
        env = {**os.environ, "PYTHONPATH": str(ROOT), **QUICK, **exchange.urls(), **knobs}
        command = [sys.executable, "-m", "mm.market_data.recorder"]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


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
def test_signal_ends_the_process_in_order(process, number):
    """The exit code is 0 within five seconds, all received messages are written, and the day is sealed."""
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


def test_killed_run_is_recovered_by_the_next_one(process):
    """The ledger reports the crash and the lost ids, and the day is sound."""
    with FakeExchange(messages=2000) as exchange:
        first = process(exchange)
        wait_for_frames(20)
        first.kill()
        first.communicate()
        assert not check_day_of_today().sealed
        second = process(exchange)
        wait_for_frames(80)
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=120)
    day = the_day()
    assert_true_so_far(day, exchange)
    assert len(events(day, "crash_recovered")) == 1
    assert events(day, "gap")[0]["cause"] == "restart"
    assert [tag for tag, _ in tags(day)] == ["initial", "initial"]


def check_day_of_today():
    (path,) = DayFolder.at("data/SIMUSDT/20260105").path.parent.iterdir()
    return check(path)


USDM = {"MARKET": "usdm", "TOP_N": str(TOP_N), "CONTRACT_DATA": "0"}


def test_recorded_usdm_day_matches_the_exchange():
    """Paths and update ids are those of USD-M; the schema has the venue of the market."""
    exchange = UsdmExchange(messages=60, then=terminate)
    day = recorded(exchange, **USDM)
    assert_true_usdm(day, exchange, frames=40)
    assert exchange.paths == ["/public/stream?streams=simusdt@depth@100ms/simusdt@trade"]
    assert {request.partition("?")[0] for request in exchange.requests} <= {
        f"/fapi/v1/{path}" for path in ("depth", "exchangeInfo", "fundingRate", "time", "aggTrades")
    }
    assert f"/fapi/v1/depth?symbol={SYMBOL}&limit=1000" in exchange.requests
    schema = json.loads(day.schema.read_text())
    assert (schema["venue"], schema["time_unit"]) == ("binance-usdm", "ms")
    assert not events(day, "gap")


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_usdm_gap_is_found_by_pu(fault):
    """The next snapshot bridges, although its id is between those of the symbol."""
    exchange = UsdmExchange(messages=120, faults={30: fault}, then=terminate)
    day = recorded(exchange, **USDM)
    assert_true_usdm(day, exchange, frames=60)
    if fault == "drop":
        (gap,) = events(day, "gap")
        assert gap["to_id"] % STRIDE == 0
        assert [tag for tag, _ in tags(day)] == ["initial", "resync"]


def test_paid_funding_is_written_to_the_ledger_once():
    """Only a recent payment is written, although REST repeats its answers."""

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


@pytest.mark.parametrize("status", [200, 503])
def test_funding_due_after_the_last_request_is_asked_for_at_the_end(status):
    """A day that ends within the minute has it all the same, and is whole where the exchange is away by then."""

    class Paying(UsdmExchange):
        def _answer(self, target):
            if "fundingRate" not in target or not ended:
                return super()._answer(target)
            stamp = 1000 * (now_us() // 10**6)
            texts = {"symbol": SYMBOL, "fundingRate": "0.0001", "markPrice": "99.5"}
            rows = [texts | {"fundingTime": ms} for ms in (stamp - 1_000, stamp + 90_000_000)]
            return status, json.dumps(rows).encode()

    ended = []

    def end():
        ended.append(True)
        terminate()

    found = events(recorded(Paying(messages=60, then=end), **USDM), "funding")
    assert [paid["rate"] for paid in found] == (["0.0001"] if status == 200 else [])


def test_day_of_another_market_exits_with_3():
    recorded(FakeExchange(messages=20, then=terminate))
    with UsdmExchange() as exchange:
        result = call(exchange, **USDM)
    assert (result.exit_code, "is a day of binance-spot" in result.stderr) == (3, True)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"MARKET": "usdm", "TRADE_STREAM": "aggTrade"}, "use trade"),
        ({"MARKET": "usdm", "WS_URL": "wss://stream.binance.com:9443"}, None),
        ({"MARKET": "usdm", "REST_URL": "https://data-api.binance.vision"}, "another market"),
        ({"WS_URL": "wss://fstream.binance.com"}, "--market usdm"),
    ],
)
def test_addresses_and_streams_of_the_other_market_exit_with_2(knobs, message):
    """The error contains the remedy; the Spot default is replaced by the market's own address."""
    if message is None:
        assert recorders.of_market(Recorder(ws_url=knobs["WS_URL"]), "usdm").ws_url == "wss://fstream.binance.com"
        return
    result = call(None, **{"REST_URL": "http://127.0.0.1:9", **knobs})
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def assert_true_usdm(day, exchange, *, frames):
    """Compare every frame and trade with those of the exchange, whose ids are `STRIDE` apart."""
    found = rows(day.frames)
    for row in found:
        bids, asks = exchange.market.book(int(row["last_update_id"]) // STRIDE)
        assert row["last_update_id"].endswith("0")
        for side, levels in (("bid", bids), ("ask", asks)):
            recorded_levels = [
                [row[f"{side}{level}_price"], row[f"{side}{level}_qty"]] for level in range(1, TOP_N + 1)
            ]
            assert recorded_levels == levels[:TOP_N]
    assert len(found) > frames
    assert int(found[-1]["last_update_id"]) == STRIDE * exchange.market.last_id
    made = {str(trade["t"]): (trade["p"], trade["q"]) for trade in exchange.market.trades}
    kept = {row["trade_id"]: (row["price"], row["qty"]) for row in rows(day.trades)}
    missing = {str(number) for gap in events(day, "trade_gap") for number in range(gap["from_id"], gap["to_id"] + 1)}
    assert {number: made[number] for number in made if number not in missing - kept.keys()} == kept
