"""Commands of a shell that is not the trader's: another folder, another OUT_ROOT, a trader that hangs or has died."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from test_watched_trader import go_on, guardian
from trading_box import ended, host_of, venue
from usdm_box import contract_box

from support import ROOT

SYMBOLS = ("--symbol", "SIMUSDT,BOXUSDT")


@pytest.fixture
def shell(tmp_path):
    """Return a command of a shell without any setting of the trader but its TMPDIR, in a folder of its own."""
    folder = tmp_path / "shell"
    folder.mkdir()

    def run(*words):
        plain = {"PATH": os.environ["PATH"], "TMPDIR": str(host_of(tmp_path)), "PYTHONPATH": str(ROOT)}
        words = (sys.executable, "-m", "mm", *words)
        return subprocess.run(words, cwd=folder, env=plain, capture_output=True, text=True, timeout=120, check=False)

    return run


def quoting(box, held, **variables):
    """Return a trader of the box with open orders; the stack ends it."""
    process = held.enter_context(box.trader(**variables))
    box.until(lambda: box.account()["openOrders"], "orders", process=process)
    return process


@pytest.mark.slow
def test_kill_of_another_folder_is_heard_and_a_misspelt_one_says_so(tmp_path, shell):
    with venue(tmp_path) as box, ExitStack() as held:
        process = quoting(box, held, OUT_ROOT="results")
        misspelt = shell("risk", "kill", "--symbol", "SIMUSTD")
        assert misspelt.returncode == 3
        assert "did you mean SIMUSDT?" in misspelt.stderr
        seen = json.loads(shell("watchdog", "--once", "--json").stdout)["symbols"]["SIMUSDT"]
        assert (seen["running"], seen["killed"], seen["folder"]) == (["trade"], False, str(tmp_path / "results"))
        assert shell("watchdog", "--once", "--symbol", "SIMUSTD").returncode == 3
        heard = shell("risk", "kill", "--symbol", "simusdt", "--reason", "odd fills", "--json")
        assert heard.returncode == 0, heard.stderr
        (trader,) = json.loads(heard.stdout)["traders"]
        assert (trader["pid"], trader["empty"], trader["left"]) == (process.pid, True, [])
        assert trader["cancelled"]
        assert box.account()["openOrders"] == []
        assert ended(process, number=None)[0] == 5
        assert shell("risk", "rearm", "--symbol", "SIMUSDT", "--reason", "looked at").returncode == 0
        again = quoting(box, held, OUT_ROOT="results")
        assert ended(again)[0] == 0
        logs = sorted((tmp_path / "results" / "audit" / "SIMUSDT").glob("*.ndjson"))
        second = json.loads(logs[-1].read_text().splitlines()[1])
        assert (second["type"], second["reason"], second["was"]) == ("rearm", "looked at", "odd fills")
        for words in (("state", "show"), ("audit", "verify", "SIMUSDT"), ("audit", "show", "simusdt")):
            done = shell(*words)
            assert (done.returncode, str(tmp_path / "results") in done.stdout) == (0, True), done.stderr
        (tmp_path / "other").mkdir()
        refused = box.run("trade", "flatten", OUT_ROOT="other")
        assert refused.returncode == 3, refused.stdout
        assert f"give --out-root {tmp_path / 'results'}" in refused.stderr


@pytest.mark.slow
def test_trader_that_hangs_is_named_and_its_guardian_empties_the_exchange(tmp_path, shell):
    with venue(tmp_path) as box, ExitStack() as held:
        process = quoting(box, held)
        process.send_signal(signal.SIGSTOP)
        held.callback(go_on, process.pid)
        hung = shell("risk", "kill", "--symbol", "SIMUSDT", "--wait-s", "6")
        assert hung.returncode == 75, hung.stdout
        assert f"kill -9 {process.pid}" in hung.stderr
        box.until(lambda: not box.account()["openOrders"], "the end of all orders, by the guardian")
        again = shell("risk", "kill", "--symbol", "SIMUSDT", "--wait-s", "1")
        assert "the exchange listed no order of it" in again.stderr
        assert shell("risk", "rearm", "--symbol", "SIMUSDT").returncode == 75, "it would trade on"
        go_on(process.pid)
        assert ended(process, number=None)[0] == 5


@pytest.mark.slow
def test_orders_of_a_trader_that_died_with_its_guardian_are_no_success(tmp_path, shell):
    with venue(tmp_path) as box, ExitStack() as held:
        process = quoting(box, held)
        guard = guardian(process)
        os.kill(guard, signal.SIGKILL)
        process.kill()
        process.wait()
        dead = shell("risk", "kill", "--symbol", "SIMUSDT", "--wait-s", "1")
        assert dead.returncode == 75, dead.stdout
        assert "no trader of it runs, and" in dead.stderr
        variables = box.variables()
        variables = {name: variables[name] for name in ("VENUE", "REST_URL", "BINANCE_API_KEY", "BINANCE_API_SECRET")}
        cancelled = box.run("trade", "cancel", OUT_ROOT="other", **variables)
        assert cancelled.returncode == 0, cancelled.stderr
        assert box.account()["openOrders"] == []
        emptied = shell("risk", "kill", "--symbol", "SIMUSDT")
        assert emptied.returncode == 0, emptied.stderr
        assert "no trader of it runs" in emptied.stdout
        assert not (tmp_path / "other").exists(), "the cancel is noted where the trader was"


@pytest.mark.slow
def test_contract_and_symbol_of_one_name_are_both_killed_and_so_is_all_of_a_process(tmp_path, shell):
    for name in ("spot", "usdm"):
        (tmp_path / name).mkdir()
    with venue(tmp_path / "spot", *SYMBOLS) as spot, contract_box(tmp_path / "usdm") as usdm, ExitStack() as held:
        host = {"TMPDIR": str(host_of(tmp_path))}
        first = quoting(spot, held, SYMBOL="SIMUSDT,BOXUSDT", **host)
        second = quoting(usdm, held, **host)
        heard = shell("risk", "kill", "--symbol", usdm.ready["symbol"], "--json")
        assert heard.returncode == 0, heard.stderr
        told = json.loads(heard.stdout)["traders"]
        assert sorted((one["market"], one["empty"]) for one in told) == [("spot", True), ("usdm", True)]
        assert [box.account()["openOrders"] for box in (spot, usdm)] == [[], []]
        assert [ended(process, number=None)[0] for process in (first, second)] == [5, 5]
        states = json.loads(shell("risk", "status", "--symbol", "ALL", "--json").stdout)["symbols"]
        assert all(state["killed"] for state in states.values())
        assert {"SIMUSDT", "BOXUSDT"} <= states.keys()
