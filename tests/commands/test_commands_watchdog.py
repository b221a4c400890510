"""``mm watchdog`` as a process: its page, health, textfile and errors."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.clock import now_us
from mm.live.account.kill_switch import KillSwitch
from support import ROOT


@contextmanager
def watching(folder: Path, *words: str):
    """Yield a watchdog and the address of its page."""
    command = [sys.executable, "-m", "mm", "watchdog", "--metrics-port", free_port(), "--watch-interval-s", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip().removesuffix("/metrics")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(condition, what: str, seconds: float = 30):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def test_page_health_and_textfile_show_a_kill_until_rearmed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    switch, text = KillSwitch(tmp_path / "out", "BTCUSDT"), tmp_path / "mm_watchdog.prom"
    with watching(tmp_path, "--textfile", ".") as (process, url):
        assert fetch(f"{url}/health/ready") == (200, "ready\n")
        switch.trigger("odd fills", now_us())
        _, body = until(lambda: (got := fetch(f"{url}/health/ready"))[0] == 503 and got, "not ready")
        assert "BTCUSDT: killed since" in body
        assert "odd fills" in body
        line = 'mm_watchdog_killed{symbol="BTCUSDT",reason="odd fills"} 1\n'
        assert line in fetch(f"{url}/metrics")[1]
        until(lambda: line in text.read_text(), "the textfile")
        switch.rearm("checked", 1)
        until(lambda: fetch(f"{url}/health/ready")[0] == 200, "ready again")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "trouble_began" in err
        assert "trouble_ended" in err
        assert "error:" not in err
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--out-root", "nowhere"], 3, "OUT_ROOT"),
        (["--textfile", "nowhere"], 2, "TEXTFILE_DIR"),
        (["--metrics-host", "203.0.113.1"], 5, "METRICS_HOST"),
        (["--metrics-port", "70000"], 2, "METRICS_PORT"),
        (["--watch-interval-s", "0"], 2, "WATCH_INTERVAL_S"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(words, code, named, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    done = CliRunner().invoke(main, ["watchdog", *words])
    assert done.exit_code == code
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


def test_once_prints_the_state_and_ends_with_3_in_trouble(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    fine = CliRunner().invoke(main, ["watchdog", "--once"])
    assert fine.exit_code == 0
    assert fine.stdout.startswith(f"no trader has left a file: looked into {tmp_path / 'out'}, ")
    KillSwitch(tmp_path / "out", "BTCUSDT").trigger("odd fills", now_us())
    killed = CliRunner().invoke(main, ["watchdog", "--once", "--json"])
    assert killed.exit_code == 3
    assert "odd fills" in killed.stderr
    found = json.loads(killed.stdout)["symbols"]["BTCUSDT"]
    assert (found["killed"], found["reason"], found["running"]) == (True, "odd fills", [])
