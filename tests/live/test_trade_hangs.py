"""A model that does not return: the exchange is emptied, the process ends by name, and the next start is free."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_trade_symbols import CALM, FIRST, SECOND, SYMBOLS, account
from trading_box import ended, venue

from mm.live.pages.watchdog import Watchdog
from support import ROOT, in_time

pytestmark = pytest.mark.slow
HERE = str(Path(__file__).parent)
MODEL = {"QUOTE_MODEL": "hanging_models:Hangs", "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}


def hang(box):
    """Let the model hang, and give it a moment to begin."""
    (box.folder / "hang").touch()
    time.sleep(0.3)


def emptied(box, since_s, process):
    """Wait until nothing is open, and return how long that took, in s."""
    box.until(lambda: not box.account()["openOrders"], "an empty exchange", 60)
    return time.monotonic() - since_s


def quoting(box, process):
    box.until(lambda: len(box.account()["openOrders"]) == 2, "orders", process=process)


def assert_end_is_known(box, kind, code):
    """The watchdog has the exit code and the cause, the audit log its stop, and no run folder is left half-written."""
    out = box.folder / "out"
    dog = Watchdog(out, box.folder / "data", out / "logs")

    def ends():
        here = [one for one in dog.look().symbols if not one.folder]  # other tests have traders of other folders
        found = [one.ends[kind] for one in here if kind in one.ends]
        return [end for end in found if end.code == code]

    (end,) = box.until(ends, f"an end with {code} that the watchdog knows", 60)
    if code == -1:
        return
    if code == 1:
        assert "Hangs.quote" in end.reason
    assert list((out / kind).glob("*/*.partial")) == []
    if kind == "trade":
        assert box.rows()[-1]["type"] == "stop"
        verified = box.run("audit", "verify", str(box.logs()[-1].parent))
        assert verified.returncode == 0, verified.stderr


def assert_next_start_is_free(box):
    (box.folder / "hang").unlink()
    with box.trader(**MODEL) as process:
        quoting(box, process)
        code, output, _ = ended(process)
        assert code == 0, output
    assert box.account()["openOrders"] == []


@pytest.mark.parametrize("how", ["loop", "stubborn_loop", "sleep", "held", "matching"])
def test_call_beyond_its_limit_ends_the_trade_with_1_and_its_name(tmp_path, how):
    with venue(tmp_path) as box:
        with box.trader(**MODEL, HANG=how) as process:
            quoting(box, process)
            since_s = time.monotonic()
            hang(box)
            took_s = emptied(box, since_s, process)
            code, output, _ = ended(process, number=None)
        assert in_time(took_s, 5)
        assert code == 1, output
        (line,) = [one for one in output.splitlines() if one.startswith("error:")]
        assert "Hangs.quote" in line
        assert "MODEL_CALL_LIMIT_S" in line
        assert_end_is_known(box, "trade", 1)
        assert_next_start_is_free(box)


@pytest.mark.parametrize("how", ["loop", "held"])
@pytest.mark.parametrize("kill", ["switch", "SIGUSR1", "SIGTERM", "SIGKILL"])
def test_kill_of_a_hung_trader_empties_the_exchange(tmp_path, how, kill):
    """Within a second where the model gives the interpreter back, within five where it holds it."""
    with venue(tmp_path) as box:
        with box.trader(**MODEL, HANG=how, MODEL_CALL_LIMIT_S="30") as process:
            quoting(box, process)
            hang(box)
            since_s = time.monotonic()
            if kill == "switch":
                assert box.run("risk", "kill").returncode == 0
                since_s = time.monotonic()
            else:
                process.send_signal(getattr(signal, kill))
            took_s = emptied(box, since_s, process)
            code, output, _ = ended(process, number=None)
        assert in_time(took_s, 1 if how == "loop" else 5)
        expected = {"SIGTERM": 0 if how == "loop" else 1, "SIGKILL": -9}.get(kill, 5)
        assert code == expected, output
        assert_end_is_known(box, "trade", -1 if kill == "SIGKILL" else expected)
        if expected == 5:
            assert json.loads(box.run("risk", "status", "--json").stdout)["killed"]
            assert box.run("risk", "rearm").returncode == 0
        assert_next_start_is_free(box)


def test_guardian_ends_with_its_trader_and_has_no_key_in_its_command(tmp_path):
    with venue(tmp_path) as box:
        with box.trader(**MODEL) as process:
            quoting(box, process)
            (number,) = guardians(process.pid)
            secret = box.variables()["BINANCE_API_SECRET"].encode()
            for name in ("cmdline", "environ"):
                assert secret not in Path(f"/proc/{number}/{name}").read_bytes()
            os.kill(number, signal.SIGKILL)
            box.until(lambda: guardians(process.pid) not in ([], [number]), "another guardian", process=process)
            (number,) = guardians(process.pid)
            code, output, _ = ended(process)
        assert code == 0, output
        box.until(lambda: not Path(f"/proc/{number}").exists(), "the end of the guardian", 30)


def guardians(parent):
    """Return the process ids of the guardians of a trader."""
    text = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    ).stdout
    return [int(line.split()[0]) for line in text.splitlines() if "mm.live.run.guardian" in line]


@contextmanager
def shadow(box, **variables):
    """Yield a shadow that records."""
    count = lambda: len(list(box.folder.glob("data/SIMUSDT/*/snapshots/*")))  # noqa: E731
    before = count()
    with box.trader(entry=("-m", "mm", "shadow"), **MODEL, **variables) as process:
        box.until(lambda: count() > before, "a recording", process=process)
        yield process


@pytest.mark.parametrize("how", ["loop", "held", "matching"])
def test_shadow_ends_with_1_where_a_call_is_too_long(tmp_path, how):
    with venue(tmp_path) as box:
        with shadow(box, HANG=how, MODEL_CALL_LIMIT_S="0.5") as process:
            hang(box)
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 1, output
        (line,) = [one for one in output.splitlines() if one.startswith("error:")]
        assert "Hangs.quote" in line
        assert_end_is_known(box, "shadow", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_shadow_whose_model_holds_the_interpreter(tmp_path, number):
    """Within five seconds; the kill switch only ends its paper orders."""
    with venue(tmp_path) as box:
        with shadow(box, HANG="held", MODEL_CALL_LIMIT_S="60") as process:
            hang(box)
            process.send_signal(signal.SIGUSR1)
            time.sleep(5)
            assert process.poll() is None
            code, output, took_s = ended(process, number)
        assert in_time(took_s, 5)
        assert code == 1, output
        assert_end_is_known(box, "shadow", 1)
        (box.folder / "hang").unlink()
        with shadow(box) as process:
            code, output, _ = ended(process)
            assert code == 0, output


@pytest.mark.parametrize("how", ["loop", "matching"])
def test_hang_of_a_hedged_strategy_empties_both_symbols(tmp_path, how):
    """In its call for an event, with orders of its own open in the market and in its leg."""
    with account(tmp_path) as box:
        others = {"second": {"symbol": SECOND, "orders": {"taker_fee_rate": "0.001", "quote_qty": "0.2"}}}
        hedged = {
            **CALM,
            **MODEL,
            "SYMBOL": FIRST,
            "QUOTE_MODEL": "hanging_models:HedgesAndHangs",
            "OTHERS": json.dumps(others),
        }
        open_in = lambda: [bool(box.account(symbol=symbol)["openOrders"]) for symbol in SYMBOLS]  # noqa: E731
        with box.trader(**hedged, HANG=how) as process:
            box.until(lambda: all(open_in()), "orders of both symbols", process=process)
            hang(box)
            began_s = time.monotonic()
            box.until(lambda: not any(open_in()), "an empty exchange", 60)
            assert in_time(time.monotonic() - began_s, 5)
            code, output, _ = ended(process, number=None)
        assert code == 1, output
        assert "HedgesAndHangs.on_event" in output
        for symbol in SYMBOLS:
            (log,) = (tmp_path / "out" / "audit" / symbol).glob("*.ndjson")
            assert json.loads(log.read_text().splitlines()[-1])["type"] == "stop"
        assert list((tmp_path / "out" / "trade").glob("*/*.partial")) == []


def test_backtest_names_slow_calls(tmp_path):
    """It counts them, and ends as ever."""
    (tmp_path / "slow_models.py").write_text(SLOW)

    def call(*words):
        command = [sys.executable, "-m", "mm", *words]
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=False
        )

    day = ("--symbol", "SIMUSDT", "--day", "20260105")
    assert call("sim", "day", *day, "--hours", "0.05").returncode == 0
    done = call("backtest", *day, "--quote-model", "slow_models:SlowOnce", "--fill-model", "trade_cross")
    assert done.returncode == 0, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if "slow_calls" in one]
    assert "hook=SlowOnce.quote" in line


SLOW = """
import time
import mm

class SlowOnce:
    def __init__(self):
        self.slow = True

    def quote(self, view):
        if self.slow:
            self.slow = False
            time.sleep(1.1)
        return mm.Quotes(view.bid_ticks, view.ask_ticks)
"""
