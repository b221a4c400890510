"""``mm sim serve`` as a process: its line, its end, its errors."""

import json
import signal
import socket

import httpx
import pytest
from websockets.sync.client import connect

from serving import serving
from support import run_python


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_clean_with_connections_open(number):
    """Exit code 0 within a second, one line on stdout, nothing on stderr; clients are told."""
    with serving("--scenario", "poisson", "--seed", "3", "--port", "0") as (process, ready):
        assert ready["ready"] is True
        with (
            connect(ready["ws_url"] + "/ws/simusdt@depth@100ms", proxy=None) as stream,
            socket.create_connection(("127.0.0.1", int(ready["ws_url"].rpartition(":")[2]))) as half,
            httpx.Client() as client,
        ):
            half.sendall(b"GET /api/v3/ping HTTP/1.1\r\n")
            assert client.get(ready["rest_url"] + "/api/v3/ping").json() == {}
            first = json.loads(stream.recv(timeout=10))
            assert first["e"] == "depthUpdate"
            process.send_signal(number)
            out, err = process.communicate(timeout=1)
            assert (process.returncode, out, err) == (0, "", "")
            *_, last = stream
            assert json.loads(last)["e"] == "serverShutdown"
            assert stream.close_code == 1001


def test_with_json_too_the_line_comes_when_it_is_ready():
    """A script that always asks for JSON does not wait for the end."""
    with serving("--scenario", "empty", "--speed", "0", "--start-ms", "1767600000123", "--json") as (_, ready):
        stamp = httpx.get(ready["rest_url"] + "/api/v3/time").json()["serverTime"]
        assert stamp == 1_767_600_000_100
        assert ready["symbol"] == "SIMUSDT"


def test_limits_and_speed_and_symbol_are_knobs():
    """Flags and variables; without limits the attempts are not counted."""
    flags = ("--scenario", "empty", "--limits", "off", "--speed", "60", "--symbol", "btcusdt")
    with serving(*flags, SEED="5") as (_, ready):
        assert ready["symbol"] == "BTCUSDT"
        for _ in range(310):
            with connect(ready["ws_url"] + "/ws", proxy=None):
                pass


def test_a_port_in_use_is_exit_code_2(tmp_path):
    """One line that names the flag, before anything is ready."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_python("-m", "mm", "sim", "serve", "--port", port, cwd=tmp_path, LOG_LEVEL="ERROR")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"--port (SERVE_PORT) {port}" in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        "--scenario none",
        "--speed -1",
        "--limits maybe",
        "--port 70000",
        "--faults nowhere",
        "--start-ms 5",
        "--levels 3",
    ],
)
def test_a_wrong_knob_is_said_in_one_line(flags, tmp_path):
    """Nothing is served, and the exit code is 2."""
    done = run_python("-m", "mm.sim", "serve", *flags.split(), cwd=tmp_path, LOG_LEVEL="ERROR")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
