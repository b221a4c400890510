"""Fire the alerts of a trader through a real Prometheus and a real Alertmanager, with the deployed rules and routes.

    PYTHONPATH=.:tests python tests/live/fired_alerts.py

It needs Debian's packages prometheus, prometheus-alertmanager and redis-server, the right to mount a small disk, and
takes twenty minutes. Pages and mails go to receivers of this process; that of the mails takes them and never answers.
A line per alert: after how many seconds it fired, was received, and ended. Exit code 1 if a rule did not fire, or if
one fired while all was well.

``--quiet 60`` plays nothing but an hour of a trader, a shadow and a recorder in which all is well, and names each alert
that fired meanwhile, however briefly, and each that was about to.
"""

import argparse
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
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import yaml
from certificates import self_signed
from trading_box import Venue

from mm.base.doors import new_token
from mm.instrument import E8
from serving import serving
from state_servers import RedisServer, redis_server
from support import ROOT

DEPLOY = ROOT / "mm" / "ops" / "deploy"
LONGEST_S = 3_600
EVALUATED_S = 5  # each so many seconds, by prometheus.yml
QUIET_S = 75
CALM = {
    "LATENCY_THRESHOLD_MS": "5000",
    "MAX_POSITION": "100",
    "MAX_LEVERAGE": "5",
    "MAX_DAILY_LOSS": "100000",
    "MAX_DRAWDOWN": "0.5",
}

RESTING = {"trader": ["trader", "shadow"], "recorder": ["recorder"], "watchdog": ["watchdog"]}
AT_LIMIT = {"INITIAL_INVENTORY": "500", "TARGET_INVENTORY": "0", "MAX_POSITION": "500", "QUOTE_QTY": "0.06"}
NEAR_LIMIT = {"INITIAL_INVENTORY": "500", "TARGET_INVENTORY": "0", "MAX_POSITION": "505", "QUOTE_QTY": "0.06"}


class Pager(BaseHTTPRequestHandler):
    """Receives the messages of Alertmanager."""

    received: ClassVar[list[tuple[str, str]]] = []

    def take(self) -> None:
        """Keep name and status of each alert."""
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received += [(one["labels"]["alertname"], one["status"]) for one in content["alerts"]]

    def do_POST(self) -> None:
        """Take and answer."""
        self.take()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no line."""


class Hanging(Pager):
    """Receives and never answers."""

    received: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        """Take and hang."""
        self.take()
        time.sleep(LONGEST_S)


class Monitoring:
    """Prometheus, Alertmanager and a watchdog, as deployed but for addresses.

    Args:
        folder: Folder of all processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        names = ("prometheus", "alertmanager", "trader", "shadow", "recorder", "watchdog", "door")
        self.ports = {name: free_port() for name in names}
        self._jobs = {name: [name] for name in ("trader", "recorder", "watchdog")}
        self.failures = 0
        rules = [rule for group in _deployed("alerts.yml")["groups"] for rule in group["rules"]]
        self._paged = {rule["alert"] for rule in rules if rule["labels"]["severity"] == "page"}
        self.unproved = {rule["alert"] for rule in rules}

    def start(self, jobs: dict[str, list[str]] | None = None) -> None:
        """Start all three; *jobs* are those of Prometheus, with the processes of each, without it a trader's."""
        self._jobs = jobs or self._jobs
        receivers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Pager, Hanging)]
        for server in receivers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        shutil.copy(DEPLOY / "alerts.yml", self._folder)
        self._write_prometheus()
        self._write_alertmanager([f"http://127.0.0.1:{server.server_port}/" for server in receivers])
        (self._folder / "out").mkdir()
        at = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        alertmanager = ("--config.file=alertmanager.yml", "--cluster.listen-address=", "--storage.path=messages")
        self.run("alertmanager", "prometheus-alertmanager", *alertmanager, f"--web.listen-address={at['alertmanager']}")
        prometheus = ("--config.file=prometheus.yml", "--storage.tsdb.path=series")
        self.run("prometheus", "prometheus", *prometheus, f"--web.listen-address={at['prometheus']}")
        port = str(self.ports["watchdog"])
        self.watchdog = self.run("watchdog", sys.executable, "-m", "mm", "watchdog", "--metrics-port", port)

    def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(120)

    def expect(
        self, name: str, act: Callable[[], object] | None = None, ends: Callable[[], object] | None = None
    ) -> None:
        """Report when an alert fires after *act* (None: it may fire already), is received, and ends after *ends*."""
        receiver = Pager if name in self._paged else Hanging
        before = len(receiver.received) if act else 0
        if act:
            act()
        fired_s = self._wait(lambda: name in self.firing())
        received_s = None
        if fired_s is not None:
            received_s = self._wait(lambda: (name, "firing") in receiver.received[before:])
        quiet = ""
        if ends is not None:
            ends()
            quiet = _shown(self._wait(lambda: name not in self.firing()))
        failed = fired_s is None or received_s is None or quiet == "never"
        self.failures += failed
        self.unproved -= set() if failed else {name}
        by = "page" if receiver is Pager else "mail"
        print(f"{name:<26}{_shown(fired_s):>8}{_shown(received_s):>10}{by:>6}{quiet:>8}", flush=True)

    def expect_nothing(self, seconds: float) -> None:
        """Report what fires although all is well."""
        time.sleep(seconds)
        firing = self.firing() - {"AlertingAlive"}
        self.failures += bool(firing)
        print(f"after {seconds:.0f} s of trading: {', '.join(sorted(firing)) or 'nothing fires'}", flush=True)

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/alerts"
        with urllib.request.urlopen(url, timeout=120) as answer:
            found = json.load(answer)["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    def were(self, state: str, seconds: float) -> dict[str, int]:
        """Return how many of the last *seconds* each alert spent in a state, "firing" or "pending"."""
        samples = f'sum by (alertname) (count_over_time(ALERTS{{alertstate="{state}"}}[{seconds:.0f}s]))'
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query?{urllib.parse.urlencode({'query': samples})}"
        with urllib.request.urlopen(url, timeout=120) as answer:
            found = json.load(answer)["data"]["result"]
        return {one["metric"]["alertname"]: EVALUATED_S * int(one["value"][1]) for one in found}

    @staticmethod
    def _wait(condition: Callable[[], bool], longest_s: float = 240) -> float | None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < longest_s:
            if condition():
                return time.monotonic() - began_s
            time.sleep(0.5)
        return None

    def run(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a process, which is ended with the others, and return it."""
        log = (self._folder / f"{name}.log").open("wb")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        process = subprocess.Popen(words, cwd=self._folder, env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def _write_prometheus(self) -> None:
        config = _deployed("prometheus.yml")
        config["alerting"]["alertmanagers"][0]["static_configs"] = [self._targets(["alertmanager"])]
        config["scrape_configs"] = [
            {**job, "static_configs": [self._targets(self._jobs[job["job_name"]])]}
            for job in config["scrape_configs"]
            if job["job_name"] in self._jobs
        ]
        own = {"credentials_file": "prometheus_token"}
        tls = {"scheme": "https", "tls_config": {"ca_file": "door.crt"}}
        door = {"job_name": "door", "authorization": own, **tls, "static_configs": [self._targets(["door"])]}
        config["scrape_configs"].append(door)
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        text, token = new_token("prometheus", ["read"])
        (self._folder / "prometheus_token").write_text(text)  # only the watchdog with a door asks for it
        (self._folder / "tokens").touch(0o600)
        (self._folder / "tokens").write_text(token.line())
        self_signed(self._folder, "door", days=3)

    def _write_alertmanager(self, urls: list[str]) -> None:
        config = _deployed("alertmanager.yml")
        config["receivers"] = [
            {"name": one["name"], "webhook_configs": [{"url": url}]}
            for one, url in zip(config["receivers"], [*urls, urls[-1]], strict=True)
        ]
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def _targets(self, names: list[str]) -> dict[str, list[str]]:
        return {"targets": [f"127.0.0.1:{self.ports[name]}" for name in names]}


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


def lost(box: Venue, share: float) -> dict[str, str]:
    """Let so much of both limits of loss be used at the next start, and return the limits."""
    path = box.folder / "out" / "risk" / f"{box.ready['symbol']}.equity.json"
    kept = json.loads(path.read_text())
    equity_e8 = kept["day_equity_e8"]
    kept["day_equity_e8"] = equity_e8 + round(share * 50_000) * E8
    kept["peak_equity_e8"] = round(equity_e8 / (1 - share * 0.5))
    path.write_text(json.dumps(kept))
    return {"MAX_DAILY_LOSS": "50000", "MAX_DRAWDOWN": "0.5"}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Yield a file system of 50 MB, which root alone can make."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def knock(port: int) -> None:
    """Ask for a page ten times, without a token."""
    for _ in range(10):
        with suppress(httpx.HTTPStatusError):
            httpx.get(f"https://127.0.0.1:{port}/metrics", verify=False, timeout=60).raise_for_status()


def answer(pipe: Path) -> None:
    """Let whoever hangs in a pipe go on, and remove it."""
    os.close(os.open(pipe, os.O_WRONLY))
    shutil.rmtree(pipe.parent)


def play_doors(monitoring: Monitoring, folder: Path) -> None:
    """Play what a watchdog with a certificate, tokens and little space shows."""
    door = {"TLS_CERT_FILE": str(folder / "door.crt"), "TLS_KEY_FILE": str(folder / "door.key")}
    door |= {"TOKENS_FILE": str(folder / "tokens"), "METRICS_PORT": str(monitoring.ports["door"])}
    with small_disk(folder / "small") as small:
        watchdog = (sys.executable, "-m", "mm", "watchdog", "--out-root", str(small))
        monitoring.expect("CertificateExpires", lambda: monitoring.run("door", *watchdog, **door))
        monitoring.expect("DiskNearlyFull")
        monitoring.expect("StrangersAtTheDoor", lambda: knock(monitoring.ports["door"]))


def play_orders(monitoring: Monitoring, traders: Traders, redis: RedisServer) -> None:
    """Play what an exchange and a store can do to a trader."""
    box = traders.box

    def fault(script: str) -> Callable[[], object]:
        return lambda: box.post("/sim/faults", script)

    store = redis.url
    traders.start(STATE_URL=store)
    monitoring.expect("StateWriterBehind", lambda: redis.send(signal.SIGSTOP), lambda: redis.send(signal.SIGCONT))
    monitoring.expect("SlowAcknowledgement", fault("at time 0 do ack_late n=300 delay_s=1.5"), traders.end)
    traders.start()
    monitoring.expect("RejectsMany", fault("at time 0 do error n=100 code=-2010 undone=1"), traders.end)
    monitoring.expect("RejectsByLimit", lambda: traders.start(quotes=False, **AT_LIMIT), traders.end)
    monitoring.expect("DrawdownNearLimit", lambda: traders.start(**lost(box, 0.9)))
    monitoring.expect("DailyLossNearLimit", ends=traders.end)


def play_feed(monitoring: Monitoring, box: Venue) -> None:
    """Play what an exchange can do to a recorder."""

    def fault(*scripts: str) -> Callable[[], object]:
        return lambda: [box.post("/sim/faults", script) for script in scripts]

    def lose() -> None:
        for _ in range(8):
            box.post("/sim/faults", "at time 0 do drop n=1 of=depth")
            time.sleep(8)

    monitoring.expect("GapsInFeed", lose)
    monitoring.expect("QuarantineGrows", fault("at time 0 do bad_json n=30 of=trade"))
    refused = "at time 0 do status n=40 path=/api/v3/depth code=503"
    monitoring.expect("SnapshotsRefused", fault(refused, "at time 0 do drop n=1 of=depth"))
    monitoring.expect("RecorderWithoutBook")
    monitoring.expect("ClockOff", fault("at time 0 do clock_offset ms=1300"))


def play(monitoring: Monitoring, exchange: Any, traders: Traders) -> None:
    """Play every scenario."""
    box = traders.box
    print(f"{'alert':<26}{'fires':>8}{'received':>10}{'by':>6}{'ends':>8}")
    recorder = box.variables(METRICS_PORT=str(monitoring.ports["recorder"]), DATA_ROOT="recorder")
    monitoring.run("recorder", sys.executable, "-m", "mm", "record", **recorder)
    traders.start()
    monitoring.expect_nothing(QUIET_S)
    monitoring.expect("AlertingAlive")
    for _ in range(2):  # the second is in the group of the first
        monitoring.expect(
            "KillSwitchThrown", lambda: box.run("risk", "kill", "--reason", "proof"), lambda: box.run("risk", "rearm")
        )
        traders.start()
    monitoring.expect("TraderEndedUnexpectedly", lambda: traders.end(signal.SIGKILL))
    monitoring.expect("OrdersLeftOpen", ends=traders.start)
    with stopped(exchange):
        for name in ("StaleFeed", "StaleAccount"):
            monitoring.expect(name)
    monitoring.expect("StaleTarget", traders.end, lambda: traders.start(**NEAR_LIMIT))
    monitoring.expect("PositionNearLimit", ends=traders.end)
    too_little = "0.02"  # below the minimum notional: nothing can be placed
    monitoring.expect("NotQuoting", lambda: traders.start(quotes=False, QUOTE_QTY=too_little), traders.end)
    hung = box.folder / "out" / "audit" / "HUNGUSDT" / "20260105_hung.ndjson"
    hung.parent.mkdir(parents=True)
    monitoring.expect("WatchdogSilent", lambda: os.mkfifo(hung), lambda: answer(hung))
    damaged = box.folder / "out" / "audit" / "BADUSDT" / "20260105_damaged.ndjson"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("no row\n")
    monitoring.expect("WatchdogCannotRead", ends=lambda: shutil.rmtree(damaged.parent))
    play_doors(monitoring, box.folder)
    with redis_server(box.folder / "redis") as redis:
        play_orders(monitoring, traders, redis)
    play_feed(monitoring, box)
    print(f"not proved: {', '.join(sorted(monitoring.unproved)) or 'none'}")
    monitoring.failures += len(monitoring.unproved)


def rest(monitoring: Monitoring, traders: Traders, minutes: float) -> None:
    """Let a trader, a shadow and a recorder run, and report what fired."""
    box = traders.box
    others = [
        monitoring.run(
            name,
            *(sys.executable, "-m", "mm", command),
            **box.variables(**CALM, DATA_ROOT=name, METRICS_PORT=str(monitoring.ports[name])),
        )
        for command, name in (("shadow", "shadow"), ("record", "recorder"))
    ]
    traders.start()
    time.sleep(QUIET_S)  # Prometheus tried them before they served a page
    began_s, received = time.monotonic(), len(Pager.received)
    while (left_s := minutes * 60 - (time.monotonic() - began_s)) > 0:
        time.sleep(min(60, left_s))
        now = monitoring.firing()
        if now:
            print(f"after {time.monotonic() - began_s:.0f} s: {', '.join(sorted(now))}", flush=True)
    lasted_s = time.monotonic() - began_s
    fired, pending = (monitoring.were(state, lasted_s) for state in ("firing", "pending"))
    running = [one.poll() is None for one in (traders.process, *others) if one is not None]
    paged = Pager.received[received:]
    monitoring.failures += bool(fired or paged or not all(running))
    print(f"{lasted_s:.0f} s: fired {fired or 'nothing'}, received {paged or 'nothing'}, pending {pending}")
    print(f"all still run: {all(running)}", flush=True)


def main() -> int:
    """Play all, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", type=float, metavar="MINUTES", help="let all be well for so long")
    minutes = parser.parse_args().quiet
    with tempfile.TemporaryDirectory() as folder:
        monitoring = Monitoring(Path(folder))
        monitoring.start(None if minutes is None else RESTING)
        try:
            market = ("--scenario", "zero_intelligence", "--seed", "7")
            with serving(*market, longest_s=LONGEST_S + 60 * (minutes or 0)) as (exchange, ready):
                traders = Traders(Venue(folder, ready), monitoring.ports["trader"])
                try:
                    if minutes is None:
                        play(monitoring, exchange, traders)
                    else:
                        rest(monitoring, traders, minutes)
                finally:
                    if traders.process is not None and traders.process.poll() is None:
                        traders.end()
        finally:
            monitoring.stop()
    return int(monitoring.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
