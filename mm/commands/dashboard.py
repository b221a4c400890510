"""``mm dashboard``."""

import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.common_knobs import data_root_knob
from mm.base.knobs import integer, knob, matching
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.errors import TryLater, UsageError, parameter
from mm.play.knobs import Results
from mm.terminal.console import Console, write_line

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Dashboard(Doors, Results):
    """The address of the dashboard, and the folders that it shows."""

    dashboard_host: str = knob(HOST, matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    dashboard_port: int = knob(8501, integer(0, 65535), "Port; 0: a free one.", flag="--port")
    data_root: Path = data_root_knob(common="")


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


@command()
def dashboard(console: Console, place: Dashboard) -> None:
    """Show days, runs, calibrations and risk in a browser; SIGTERM and Ctrl-C end it.

    Beyond this machine it needs TLS and tokens: read shows, trade starts backtests, kill and rearm set the kill switch.
    No browser is opened: open the printed address.

    Example: mm dashboard --port 8501
    """
    from streamlit import config
    from streamlit.web import bootstrap

    from mm.dashboard import gate, look

    door = place.door(place.dashboard_host, parameter("dashboard_host"), console.log.warning)
    gate.guard(door)

    def ready(url: str) -> None:
        write_line(sys.stdout, json.dumps({"ready": True, "url": url}) if console.as_json else f"dashboard at {url}")

    def watch() -> None:
        if answers(url, START_S):
            ready(url)
        else:
            late.set()
            os.kill(os.getpid(), signal.SIGTERM)  # streamlit's loop runs in the main thread, and ends by it

    host, late = place.dashboard_host, threading.Event()
    port = free_port(place.dashboard_port, host)
    scheme = "https" if door.context else "http"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    known = config._config_options_template  # an older streamlit has one theme for light and dark
    colours = {name: value for name, value in look.theme().items() if name.replace("_", ".") in known}
    options = {**OPTIONS, **(colours if len(colours) > 1 else {}), **_addresses(place, host), "server_port": port}
    bootstrap.load_config_options(flag_options=options)
    folders = [str(place.data_root.absolute()), str(place.out_root.absolute())]
    try:
        threading.Thread(target=watch, daemon=True).start()
        bootstrap.run(str(APP), False, folders, options)
    finally:
        if late.is_set():
            raise TryLater(f"the dashboard at {url} did not answer within {START_S:g} s of its start; start it again")


def _addresses(place: Dashboard, host: str) -> dict[str, Any]:
    """Streamlit accepts sockets only from pages of these hosts."""
    names = place.allowed_hosts.split(",") if place.allowed_hosts else []
    tls = {"server_sslCertFile": place.tls_cert_file, "server_sslKeyFile": place.tls_key_file or place.tls_cert_file}
    origins = [f"https://{name}" for name in names]
    return {"server_address": host, "server_corsAllowedOrigins": origins, **(tls if place.tls_cert_file else {})}


def free_port(port: int, host: str = HOST) -> int:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            return int(listener.getsockname()[1])
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            "{dashboard_port} was {}: {}:{} cannot be bound ({}); give another port, or 0 for a free one",
            port,
            host,
            port,
            reason,
        ) from error


def answers(url: str, within_s: float) -> bool:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https"):  # an address has no certificate of its own
        handlers.append(urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
    opener = urllib.request.build_opener(*handlers)
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(OSError), opener.open(f"{url}/_stcore/health", timeout=1):
            return True
        time.sleep(_LOOK_S)
    return False
