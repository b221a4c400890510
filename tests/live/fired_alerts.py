"""Fire the alerts of a trader through a real Prometheus and a real Alertmanager, with the deployed rules and routes.

    PYTHONPATH=.:tests python tests/live/fired_alerts.py [SECONDS]

It needs Debian's packages prometheus and prometheus-alertmanager, and takes ten minutes, or as many seconds of quiet
trading more. Pages go to a receiver of this
process, mails to one that never answers. A line per alert: after how many seconds it fired, was received, and ended.
Exit code 1 if one did not, or if one fired while all was well.
"""

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
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import yaml
from trading_box import Venue

from serving import serving
from support import ROOT

DEPLOY = ROOT / "mm" / "ops" / "deploy"
LONGEST_S = 14_400
QUIET_S = 75
CALM = {
    "LATENCY_THRESHOLD_MS": "5000",
    "MAX_POSITION": "100",
    "MAX_LEVERAGE": "5",
    "MAX_DAILY_LOSS": "100000",
    "MAX_DRAWDOWN": "0.5",
}

NEAR_LIMIT = {"INITIAL_INVENTORY": "500", "TARGET_INVENTORY": "0", "MAX_POSITION": "505", "QUOTE_QTY": "0.06"}


class Pager(BaseHTTPRequestHandler):
    """Receives the messages of Alertmanager."""

    received: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        """Keep name and status of each alert."""
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received += [(one["labels"]["alertname"], one["status"]) for one in content["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no line."""


class Hanging(Pager):
    """Receives and never answers."""

    def do_POST(self) -> None:
        """Hang."""
        time.sleep(LONGEST_S)


class Monitoring:
    """Prometheus, Alertmanager and a watchdog, as deployed but for addresses.

    Args:
        folder: Folder of all processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ports = {name: free_port() for name in ("prometheus", "alertmanager", "trader", "watchdog")}
        self.trader_port = self._ports["trader"]
        self.failures = 0
        rules = [rule for group in _deployed("alerts.yml")["groups"] for rule in group["rules"]]
        self._paged = {rule["alert"] for rule in rules if rule["labels"]["severity"] == "page"}

    def start(self) -> None:
        """Start all three."""
        receivers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Pager, Hanging)]
        for server in receivers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        shutil.copy(DEPLOY / "alerts.yml", self._folder)
        self._write_prometheus()
        self._write_alertmanager([f"http://127.0.0.1:{server.server_port}/" for server in receivers])
        (self._folder / "out").mkdir()
        at = {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        alertmanager = ("--config.file=alertmanager.yml", "--cluster.listen-address=", "--storage.path=messages")
        self._run("prometheus-alertmanager", *alertmanager, f"--web.listen-address={at['alertmanager']}")
        prometheus = ("--config.file=prometheus.yml", "--storage.tsdb.path=series")
        self._run("prometheus", *prometheus, f"--web.listen-address={at['prometheus']}")
        port = str(self._ports["watchdog"])
        self.watchdog = self._run(sys.executable, "-m", "mm", "watchdog", "--metrics-port", port)

    def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)

    def expect(self, name: str, act: Callable[[], object], ends: Callable[[], object] | None = None) -> None:
        """Report when an alert fires after *act*, is received, and ends after *ends*."""
        before = len(Pager.received)
        act()
        fired_s = self._wait(lambda: name in self.firing())
        paged = name in self._paged
        received_s = self._wait(lambda: (name, "firing") in Pager.received[before:]) if paged else None
        quiet = ""
        if ends is not None:
            ends()
            quiet = _shown(self._wait(lambda: name not in self.firing()))
        self.failures += fired_s is None or (paged and received_s is None) or quiet == "never"
        received = _shown(received_s) if paged else "by mail"
        print(f"{name:<26}{_shown(fired_s):>8}{received:>10}{quiet:>8}", flush=True)

    def expect_nothing(self, seconds: float) -> None:
        """Report what fires although all is well."""
        firing, ends_s = set[str](), time.monotonic() + seconds
        while time.monotonic() < ends_s:
            time.sleep(2)
            firing |= self.firing()
        firing |= {name for name, _ in Pager.received}
        self.failures += bool(firing)
        print(f"after {seconds:.0f} s of trading: {', '.join(sorted(firing)) or 'nothing fires'}", flush=True)

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        url = f"http://127.0.0.1:{self._ports['prometheus']}/api/v1/alerts"
        with urllib.request.urlopen(url, timeout=120) as answer:
            found = json.load(answer)["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    @staticmethod
    def _wait(condition: Callable[[], bool], longest_s: float = 240) -> float | None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < longest_s:
            if condition():
                return time.monotonic() - began_s
            time.sleep(0.5)
        return None

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{Path(words[0]).name}.log").open("wb")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(words, cwd=self._folder, env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def _write_prometheus(self) -> None:
        config = _deployed("prometheus.yml")
        config["alerting"]["alertmanagers"][0]["static_configs"] = [self._target("alertmanager")]
        config["scrape_configs"] = [
            {**job, "static_configs": [self._target(job["job_name"])]}
            for job in config["scrape_configs"]
            if job["job_name"] in self._ports
        ]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (self._folder / "prometheus_token").write_text("none")  # pages of this machine ask for no token

    def _write_alertmanager(self, urls: list[str]) -> None:
        config = _deployed("alertmanager.yml")
        config["receivers"] = [
            {"name": one["name"], "webhook_configs": [{"url": url}]}
            for one, url in zip(config["receivers"], urls, strict=True)
        ]
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def _target(self, name: str) -> dict[str, list[str]]:
        return {"targets": [f"127.0.0.1:{self._ports[name]}"]}


def _deployed(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def _shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Traders:
    """Traders of one box, one after the other."""

    def __init__(self, box: Venue, port: int) -> None:
        self.box, self._port = box, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, quotes: bool = True, **variables: str) -> None:
        """Start the next one, and wait for its orders if it *quotes*."""
        environment = {**os.environ, **self.box.variables(METRICS_PORT=str(self._port), **{**CALM, **variables})}
        log = (self.box.folder / "trader.log").open("ab")
        command = [sys.executable, "-m", "mm", "trade"]
        self.process = subprocess.Popen(command, cwd=self.box.folder, env=environment, stdout=log, stderr=log)
        if quotes:
            self.box.until(lambda: self.box.account()["openOrders"], "orders")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)


@contextmanager
def stopped(process: Any) -> Iterator[None]:
    """Stop a process until the block ends."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def play(monitoring: Monitoring, exchange: Any, traders: Traders, quiet_s: float) -> None:
    """Play every scenario, after so many seconds of quiet trading."""
    box = traders.box
    print(f"{'alert':<26}{'fires':>8}{'received':>10}{'ends':>8}")
    traders.start()
    monitoring.expect_nothing(quiet_s)
    monitoring.expect(
        "KillSwitchThrown", lambda: box.run("risk", "kill", "--reason", "proof"), lambda: box.run("risk", "rearm")
    )
    traders.start()
    monitoring.expect("TraderEndedUnexpectedly", lambda: traders.end(signal.SIGKILL))
    monitoring.expect("OrdersLeftOpen", lambda: None, traders.start)
    with stopped(exchange):
        for name in ("StaleFeed", "StaleAccount"):
            monitoring.expect(name, lambda: None)
    monitoring.expect("StaleTarget", traders.end, lambda: traders.start(**NEAR_LIMIT))
    monitoring.expect("PositionNearLimit", lambda: None, traders.end)
    too_little = "0.02"  # below the minimum notional: nothing can be placed
    monitoring.expect("NotQuoting", lambda: traders.start(quotes=False, QUOTE_QTY=too_little), traders.end)
    hung = box.folder / "out" / "audit" / "HUNGUSDT" / "20260105_hung.ndjson"
    hung.parent.mkdir(parents=True)
    # Reading a pipe hangs as a disk does, while the page is still served.
    os.mkfifo(hung)
    monitoring.expect("WatchdogSilent", lambda: None, lambda: (hung.open("wb").close(), shutil.rmtree(hung.parent)))
    damaged = box.folder / "out" / "audit" / "BADUSDT" / "20260105_damaged.ndjson"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("no row\n")
    monitoring.expect("WatchdogCannotRead", lambda: None, lambda: shutil.rmtree(damaged.parent))


def main() -> int:
    """Play all, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        monitoring = Monitoring(Path(folder))
        monitoring.start()
        try:
            market = ("--scenario", "zero_intelligence", "--seed", "7")
            with serving(*market, longest_s=LONGEST_S) as (exchange, ready):
                traders = Traders(Venue(folder, ready), monitoring.trader_port)
                try:
                    play(monitoring, exchange, traders, float(sys.argv[1]) if sys.argv[1:] else QUIET_S)
                finally:
                    if traders.process is not None and traders.process.poll() is None:
                        traders.end()
        finally:
            monitoring.stop()
    return int(monitoring.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
