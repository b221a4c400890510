"""``mm dashboard`` as a process: its paths, its end, and rejected starts."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from mm.commands.dashboard import HOST, OPTIONS, START_S, answers, free_port
from mm.dashboard.app import PAGES
from mm.errors import UsageError
from support import ROOT, run_python


def test_missing_extra_is_named(tmp_path):
    """One line, and exit code 2."""
    code = (
        "import sys; sys.modules['streamlit'] = None; sys.argv = ['mm', 'dashboard', '--port', '0']\n"
        "from mm.__main__ import main\nmain()"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[dashboard]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_port_in_use_is_rejected(tmp_path):
    """With the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_python("-m", "mm", "dashboard", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 2
    assert f"--port (DASHBOARD_PORT) was {port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_port_0_chooses_a_free_port():
    """And a free port is used as given."""
    port = free_port(0)
    with socket.create_server((HOST, port)), pytest.raises(UsageError, match="give another port"):
        free_port(port)
    assert free_port(port) == port


def test_server_that_does_not_answer_ends_with_an_error(tmp_path):
    """Within the time limit; one line states the limit and the way out."""
    code = (
        "import sys; sys.argv = ['mm', 'dashboard', '--port', '0']\n"
        "from mm.commands import dashboard\n"
        "dashboard.START_S = 0.0\n"
        "from mm.__main__ import main\nmain()"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (75, "")
    assert "did not answer within 0 s of its start; start it again" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wait_for_an_answer_has_a_limit():
    """A port on which nothing listens, and one that accepts but never answers."""
    begin = time.monotonic()
    assert not answers(f"http://{HOST}:{free_port(0)}", 0.2)
    with socket.create_server((HOST, 0)) as silent:
        assert not answers(f"http://{HOST}:{silent.getsockname()[1]}", 0.2)
    assert time.monotonic() - begin < 10


@pytest.fixture(scope="module")
def served(made):
    """The dashboard of `made`: its process and its address; it is stopped afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", "dashboard", "--port", "0", "--json"],
        cwd=made,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(2 * START_S, process.kill)  # only until it is ready: a loaded machine takes its time
    killer.start()
    try:
        ready = json.loads(process.stdout.readline())
        killer.cancel()
        assert ready["ready"]
        yield process, ready["url"]
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("path", ["", *PAGES, "runs?run=base&with=wide"])
def test_every_path_is_served(served, path):
    """By a page with a script."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{served[1]}/{path}", timeout=120) as answer:
        page = answer.read().decode()
    assert answer.status == 200
    assert "<script" in page


def test_server_listens_on_loopback_without_usage_statistics(served):
    """And opens no browser."""
    assert served[1].startswith("http://127.0.0.1:")
    assert OPTIONS["server_address"] == "127.0.0.1"
    assert OPTIONS["server_headless"]
    assert not OPTIONS["browser_gatherUsageStats"]


def test_sigterm_ends_the_server_with_0(served):
    """As a service manager does; the last test of the process."""
    served[0].send_signal(signal.SIGTERM)
    assert served[0].wait(60) == 0
    assert served[0].stderr.read() == ""
