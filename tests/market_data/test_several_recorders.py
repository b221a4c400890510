"""Recorder processes side by side with exchanges in boxes, and their status."""

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from test_supervisor import Log, until

from benchmarks.symbols import ManySymbols
from captured import events
from day_files import check
from mm import DayFolder
from mm.__main__ import main
from mm.market_data import supervisor as module
from mm.market_data.health import ENDED, read_health, write_health
from mm.market_data.supervisor import Supervisor
from simulation import make_box
from support import ROOT

SYMBOLS = ("ONEUSDT", "TWOUSDT", "SIXUSDT")
PATIENCE_S = 60
KNOBS = {
    "WINDOW_START": "always",
    "START_JITTER_S": "0",
    "FLUSH_INTERVAL_S": "0.2",
    "MIN_FREE_MB": "0",
    "BACKOFF_MAX_S": "0.1",
    "LOG_LEVEL": "ERROR",
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture(autouse=True)
def _place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in KNOBS.items():
        monkeypatch.setenv(name, value)


def box_of(symbol):
    return make_box("poisson", symbol, limits=False).open()


@pytest.mark.slow
def test_killed_recorder_process_is_restarted_and_others_continue(tmp_path, monkeypatch):
    """After SIGKILL a recorder restarts and repairs its day; the others are not affected. SIGTERM ends all in order."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.05)
    log = Log()

    async def run():
        async with AsyncExitStack() as stack:
            boxes = {symbol: await stack.enter_async_context(box_of(symbol)) for symbol in SYMBOLS}

            def command(symbol, _start):
                urls = ["--ws-url", boxes[symbol].ws_url, "--rest-url", boxes[symbol].rest_url]
                return [sys.executable, "-m", "mm.market_data.recorder", "--symbol", symbol, *urls]

            keeper = Supervisor(SYMBOLS, command, log, lambda: True)
            async with asyncio.timeout(PATIENCE_S):
                running = asyncio.create_task(keeper.run())

                def synced(symbol):
                    found = read_health(tmp_path / "data", symbol)
                    return found is not None and found.state == "synced"

                await until(lambda: all(map(synced, SYMBOLS)))
                os.kill(read_health(tmp_path / "data", "TWOUSDT").pid, signal.SIGKILL)
                await until(lambda: len(log.of("recorder_started")) == 4)
                first = read_health(tmp_path / "data", "TWOUSDT").run_id
                await until(lambda: synced("TWOUSDT") and read_health(tmp_path / "data", "TWOUSDT").run_id != first)
                keeper.stop("SIGTERM")
                return await running

    assert asyncio.run(run()) == dict.fromkeys(SYMBOLS, 0)
    assert [(died["symbol"], died["code"]) for died in log.of("recorder_died")] == [("TWOUSDT", -9)]
    for symbol in SYMBOLS:
        (day,) = os.listdir(tmp_path / "data" / symbol)
        folder = DayFolder(tmp_path / "data", symbol, day)
        report = check(folder)
        assert (report.defects, report.sealed) == ([], True)
        kinds = [kind for kind, _, _ in events(folder)]
        runs = 2 if symbol == "TWOUSDT" else 1
        assert (kinds.count("run_start"), kinds.count("run_stop"), kinds.count("crash_recovered")) == (
            runs,
            1,
            runs - 1,
        )
        assert "clock_offset" in kinds
        assert read_health(tmp_path / "data", symbol).state == ENDED


STARTED = {"RUN_ID": "mine", "LOG_LEVEL": "INFO", "SYMBOLS_PER_PROCESS": "1"}
"""Settings with which the log contains each started process."""


@pytest.mark.slow
def test_list_of_symbols_starts_a_recorder_per_symbol(tmp_path):
    """An unknown symbol fails alone with exit code 2; the overall exit code is the worst one."""

    async def run():
        async with box_of("ONEUSDT") as box, asyncio.timeout(PATIENCE_S):
            process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "mm", "record", "--symbol", "oneusdt,NOSUCH", "--json"],
                env={**os.environ, "WS_URL": box.ws_url, "REST_URL": box.rest_url, **STARTED},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            started = []
            while len(started) < 2:
                started += re.findall(rb"recorder_started .*pid=(\d+)", await process.stderr.readline())
            other = Path("/proc", started[1].decode())
            await until(lambda: getattr(read_health(tmp_path / "data", "ONEUSDT"), "state", "") == "synced")
            await until(lambda: not other.exists())
            process.terminate()
            return process, *await process.communicate()

    process, stdout, stderr = asyncio.run(run())
    answer = json.loads(stdout)
    assert answer["codes"] == {"ONEUSDT": 0, "NOSUCH": 2}
    assert answer["symbols"]["ONEUSDT"]["days"][0]["synced"] is True
    assert process.returncode == 2
    assert b"NOSUCH (exit 2)" in stderr.splitlines()[-1]
    report = read_health(tmp_path / "data", "ONEUSDT")
    assert (report.run_id, report.state) == ("mine", ENDED)


async def _recorded_together(exchange, symbols, during, **knobs):
    """Record *symbols* of *exchange* by one command until *during* returns; return its exit code, answer and log."""
    ready = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(exchange.serve(ready))
    ws_port, rest_port = await ready
    urls = {"WS_URL": f"ws://127.0.0.1:{ws_port}", "REST_URL": f"http://127.0.0.1:{rest_port}"}
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "mm", "record", "--symbol", ",".join(symbols), "--json", "--snapshot-limit", "100"],
        env={**os.environ, **urls, **knobs},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        await during(process)
        process.terminate()
        stdout, stderr = await process.communicate()
    assert stdout, stderr.decode()
    serving.cancel()
    await asyncio.wait({serving})
    return process.returncode, json.loads(stdout), stderr.decode()


def health(symbol):
    return read_health(Path("data"), symbol)


def synced(*symbols):
    return all(getattr(health(symbol), "state", "") == "synced" for symbol in symbols)


def assert_whole(symbol, runs=1):
    """Check the day of *symbol*; return the event types of its ledger."""
    (day,) = os.listdir(f"data/{symbol}")
    report = check(DayFolder(Path("data"), symbol, day))
    kinds = [kind for kind, _, _ in events(DayFolder(Path("data"), symbol, day))]
    assert (report.defects, report.sealed, kinds.count("run_start")) == ([], True, runs)
    return kinds


@pytest.mark.slow
def test_one_process_records_several_symbols():
    """A symbol that the exchange does not have ends alone; each line of the log contains its symbol."""
    pids = []

    async def during(process):
        await until(lambda: synced("ONEUSDT", "TWOUSDT"))
        pids.extend([process.pid, *(health(symbol).pid for symbol in ("ONEUSDT", "TWOUSDT"))])

    symbols = ("ONEUSDT", "NOSUCH", "TWOUSDT")
    exchange = ManySymbols("NOSUCH")
    code, answer, log = asyncio.run(_recorded_together(exchange, symbols, during, LOG_LEVEL="INFO", RUN_ID="mine"))
    assert (code, answer["codes"]) == (2, {"ONEUSDT": 0, "NOSUCH": 2, "TWOUSDT": 0})
    assert len(set(pids)) == 1
    assert [answer["symbols"][symbol]["days"][0]["synced"] for symbol in ("ONEUSDT", "TWOUSDT")] == [True, True]
    assert re.search(r"warning recording_failed symbol=NOSUCH code=2 reason=.*Invalid symbol", log)
    assert len(re.findall(r"info    snapshot_loaded symbol=(ONE|TWO)USDT epoch_id=1", log)) == 2
    assert "NOSUCH (exit 2)" in log.splitlines()[-1]
    for symbol in ("ONEUSDT", "TWOUSDT"):
        assert "gap" not in assert_whole(symbol)
        assert health(symbol).run_id == "mine"


@pytest.mark.slow
def test_killed_process_of_several_symbols_is_restarted():
    """Both symbols of the killed process continue in another run; the third symbol has one run."""
    first = {}

    async def during(process):
        await until(lambda: synced(*SYMBOLS))
        first.update({symbol: health(symbol) for symbol in SYMBOLS})
        os.kill(first["TWOUSDT"].pid, signal.SIGKILL)
        killed = [symbol for symbol in SYMBOLS if first[symbol].pid == first["TWOUSDT"].pid]
        await until(lambda: synced(*killed) and all(health(symbol).run_id != first[symbol].run_id for symbol in killed))

    code, answer, _ = asyncio.run(
        _recorded_together(ManySymbols(), SYMBOLS, during, SYMBOLS_PER_PROCESS="2", RUN_ID="mine")
    )
    assert (code, answer["codes"]) == (0, dict.fromkeys(SYMBOLS, 0))
    assert first["ONEUSDT"].pid != first["TWOUSDT"].pid == first["SIXUSDT"].pid
    assert [answer["symbols"][symbol]["symbol"] for symbol in SYMBOLS] == list(SYMBOLS)
    assert [health(symbol).run_id for symbol in SYMBOLS] == ["mine", "mine_2", "mine_2"]
    for symbol, runs in zip(SYMBOLS, (1, 2, 2), strict=True):
        assert_whole(symbol, runs)


def status(*symbols):
    return CliRunner().invoke(main, ["record", "--status", "--symbol", ",".join(symbols), "--json"])


@pytest.mark.slow
def test_status_reports_whether_the_process_is_alive(tmp_path):
    """A normal end is no trouble; a killed process exits with 3, and so does a symbol that was never recorded."""
    asyncio.run(_one_short_recording())
    ended = status("ONEUSDT")
    answer = json.loads(ended.stdout)
    assert (ended.exit_code, answer["state"], answer["alive"], answer["trouble"]) == (0, ENDED, False, None)
    assert answer["offset_us"] is not None
    report = read_health(tmp_path / "data", "ONEUSDT")
    write_health(msgspec.structs.replace(report, state="synced"))
    killed = status("ONEUSDT")
    assert killed.exit_code == 3
    assert "without a final report" in json.loads(killed.stdout)["trouble"]
    assert status("NEVER").exit_code == 3


async def _one_short_recording():
    async with box_of("ONEUSDT") as box, asyncio.timeout(PATIENCE_S):
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "mm.market_data.recorder", "--symbol", "ONEUSDT"],
            env={**os.environ, "WS_URL": box.ws_url, "REST_URL": box.rest_url},
            stdout=asyncio.subprocess.DEVNULL,
        )
        await until(lambda: getattr(read_health(Path("data"), "ONEUSDT"), "offset_us", None) is not None)
        process.terminate()
        assert await process.wait() == 0
