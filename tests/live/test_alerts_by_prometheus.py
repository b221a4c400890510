"""Alerts by a real Prometheus: it scrapes a trader's page over TLS with a token, and evaluates the deployed rules."""

import asyncio
import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest

pytest.importorskip("cryptography", reason="needs the extra [live]")
from certificates import self_signed

from guarded import add_token, door_of
from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import TradingMetrics
from state_servers import free_port
from support import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; it comes with the extra cluster")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed; Debian's package has it"),
]
DEPLOY = ROOT / "mm" / "ops" / "deploy"
FIRED = {
    "RejectsByLimit",
    "RejectsMany",
    "SlowAcknowledgement",
    "StateWriterBehind",
    "DrawdownNearLimit",
    "DailyLossNearLimit",
    "LimitsNotJudged",
    "AccountTransferred",
}
LONGEST_S = 240


@contextmanager
def prometheus(folder, targets, token, authority):
    """Yield a function that queries a running Prometheus with the deployed rules."""
    shutil.copy(DEPLOY / "alerts.yml", folder)
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    (folder / "prometheus_token").write_text(token)
    (job,) = [one for one in config["scrape_configs"] if one["job_name"] == "trader"]
    tls = {"scheme": "https", "tls_config": {"ca_file": str(authority)}}
    config["scrape_configs"] = [{**job, **tls, "static_configs": [{"targets": targets}]}]
    del config["alerting"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    at = f"127.0.0.1:{free_port()}"
    words = ("--config.file=prometheus.yml", "--storage.tsdb.path=series", f"--web.listen-address={at}")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *words], cwd=folder, stdout=log, stderr=log)

    def get(path):
        with urllib.request.urlopen(f"http://{at}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    try:
        yield get
    finally:
        process.terminate()
        process.wait(30)


def healthy(metrics, us):
    """Count what a trader does in a second in which all is well."""
    metrics.book_us = us
    metrics.account_us = us
    metrics.quotes(us, 2.0, 2.0)
    for _ in range(5):
        metrics.orders["place"] += 1
        metrics.ack.observe(0.02)
    for limit in ("MAX_DRAWDOWN", "MAX_DAILY_LOSS", "MAX_POSITION"):
        metrics.used[limit] = 0.5
    metrics.writer = 10, 0.2
    metrics.unjudged, metrics.transferred_us = False, us - 400_000_000
    metrics.rejects["MAX_ORDERS_PER_S"] += 1


def troubled(metrics, us):
    """Count what it does in one in which everything is wrong but the market."""
    healthy(metrics, us)
    metrics.rejects["MAX_POSITION"] += 1
    metrics.rejects["-2010"] += 1
    metrics.rejects["-2010"] += 1
    metrics.ack.observe(2.0)
    metrics.used["MAX_DRAWDOWN"] = 0.85
    metrics.used["MAX_DAILY_LOSS"] = 0.9
    metrics.writer = 20, 15.0
    metrics.unjudged, metrics.transferred_us = True, us


def test_alerts_of_a_troubled_trader_fire_and_those_of_another_do_not(tmp_path):
    """Through TLS, token, page, scrape, rules: each of the alerts that no scenario of a real trader reaches soon."""
    certificate, key = self_signed(tmp_path, days=30)
    text = add_token(tmp_path / "tokens", "read", name="prometheus")
    files = {"tokens": tmp_path / "tokens", "certificate": certificate, "key": key}

    async def play():
        calm, loud = TradingMetrics("CALM"), TradingMetrics("LOUD")
        doors = [door_of(**files) for _ in range(2)]
        pages = [SymbolsPage([one], door=door) for one, door in zip((calm, loud), doors, strict=True)]
        ports, fired, ups = (free_port(), free_port()), set(), {}
        async with pages[0].served("127.0.0.1", ports[0]), pages[1].served("127.0.0.1", ports[1]):
            with prometheus(tmp_path, [f"127.0.0.1:{port}" for port in ports], text, certificate) as get:
                until_s = time.monotonic() + LONGEST_S
                while time.monotonic() < until_s and fired != {("LOUD", name) for name in FIRED}:
                    us = time.time_ns() // 1_000
                    healthy(calm, us)
                    troubled(loud, us)
                    await asyncio.sleep(1)
                    try:
                        alerts = (await asyncio.to_thread(get, "alerts"))["alerts"]
                        ups = (await asyncio.to_thread(get, "query?query=up"))["result"]
                    except OSError:  # it begins
                        continue
                    firing = [one["labels"] for one in alerts if one["state"] == "firing"]
                    firing = [one for one in firing if one["severity"] != "heartbeat"]  # it always fires
                    fired |= {(one.get("symbol", one.get("instance")), one["alertname"]) for one in firing}
        assert fired == {("LOUD", name) for name in FIRED}
        assert [one["value"][1] for one in ups] == ["1", "1"]
        assert doors[1].refusals.total() == 0

    asyncio.run(play())
