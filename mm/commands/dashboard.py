"""``mm dashboard``: days, runs, calibrations and risk in a browser, by streamlit in this process, on loopback."""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.knobs import PATH, integer, knob
from mm.cli.config import Results
from mm.cli.console import Console, write_line
from mm.cli.frame import command
from mm.errors import TryLater, UsageError

HOST = "127.0.0.1"
"""Loopback only, because pages start backtests and trigger the kill switch."""
APP = Path(__file__).parents[1] / "dashboard" / "app.py"
_LOOK_S = 0.05
START_S = 120.0
"""Time limit of the start, s."""
# No usage statistics, no browser, no file watcher. Errors outside of the project's error tree are bugs: the terminal
# shows their traceback, a page only their name.
OPTIONS: dict[str, Any] = {
    "server_address": HOST,
    "server_headless": True,
    "server_fileWatcherType": "none",
    "server_runOnSave": False,
    "server_showEmailPrompt": False,
    "browser_gatherUsageStats": False,
    "browser_serverAddress": HOST,
    "client_toolbarMode": "minimal",
    "client_showErrorDetails": "type",
    "global_developmentMode": False,
    "logger_level": "error",
    "logger_hideWelcomeMessage": True,
}


@dataclass(frozen=True, kw_only=True)
class Dashboard(Results):
    """The port of the dashboard, and the folders that it shows."""

    dashboard_port: int = knob(8501, integer(0, 65535), "Port on loopback; 0: a free one.", flag="--port")
    data_root: Path = knob(Path("data"), PATH, "Folder of the day folders <SYMBOL>/<YYYYMMDD>.", matters=False)


@command(Dashboard)
def main(console: Console, place: Dashboard) -> None:
    """Show days, runs, calibrations and risk in a browser, on this machine only; SIGTERM and Ctrl-C end it.

    No browser is opened: open the printed address.

    Example: mm dashboard --port 8501
    """
    from streamlit.web import bootstrap

    def ready(url: str) -> None:
        write_line(sys.stdout, json.dumps({"ready": True, "url": url}) if console.as_json else f"dashboard at {url}")

    def watch() -> None:
        if answers(url, START_S):
            ready(url)
        else:
            late.set()
            os.kill(os.getpid(), signal.SIGTERM)  # streamlit's loop runs in the main thread, and ends by it

    port, late = free_port(place.dashboard_port), threading.Event()
    url = f"http://{HOST}:{port}"
    options = {**OPTIONS, "server_port": port}
    bootstrap.load_config_options(flag_options=options)
    folders = [str(place.data_root.absolute()), str(place.out_root.absolute())]
    try:
        threading.Thread(target=watch, daemon=True).start()
        bootstrap.run(str(APP), False, folders, options)
    finally:
        if late.is_set():
            raise TryLater(f"the dashboard at {url} did not answer within {START_S:g} s of its start; start it again")


def free_port(port: int) -> int:
    """Return *port*, or a free one if it is 0.

    Raises:
        UsageError: If it cannot be bound.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"--port (DASHBOARD_PORT) was {port}: {HOST}:{port} cannot be bound ({error.strerror}); give "
                f"another port, or 0 for a free one"
            ) from error
        return int(listener.getsockname()[1])


def answers(url: str, within_s: float) -> bool:
    """Return whether the server at *url* answers before a time limit.

    Args:
        url: URL of the server.
        within_s: The limit, s.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(OSError), opener.open(f"{url}/_stcore/health", timeout=1):
            return True
        time.sleep(_LOOK_S)
    return False
