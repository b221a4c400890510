"""A model that does not return: the exchange is emptied, the process ends by name, and the next start is free."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trading_box import ended, venue

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


def assert_next_start_is_free(box):
    (box.folder / "hang").unlink()
    with box.trader(**MODEL) as process:
        quoting(box, process)
        code, output, _ = ended(process)
        assert code == 0, output
    assert box.account()["openOrders"] == []


@pytest.mark.parametrize("how", ["loop", "stubborn_loop", "sleep", "held"])
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
    return [int(line.split()[0]) for line in text.splitlines() if "mm.live.guardian" in line]


def test_shadow_ends_with_1_where_a_call_is_too_long(tmp_path):
    with venue(tmp_path) as box:
        with box.trader(entry=("-m", "mm", "shadow"), **MODEL, HANG="loop", MODEL_CALL_LIMIT_S="0.5") as process:
            box.until(lambda: list(tmp_path.glob("data/SIMUSDT/*/snapshots/*")), "a recording", process=process)
            hang(box)
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 1, output
        assert "Hangs.quote took 0.5" in output


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
