"""A trader under the eyes of the watchdog: it runs, dies with open orders, and is killed by its switch."""

import json
import os
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen

import pytest
from trading_box import Venue, ended, page, venue

from promql import Alerts, Samples
from support import ROOT

SETTLED_S = 3.5  # a run log without an end is that of a dead process only after this
NEEDED = (
    'mm_account_age_seconds{symbol="SIMUSDT"}',
    'mm_risk_used_ratio{symbol="SIMUSDT",limit="MAX_POSITION"}',
    'mm_risk_used_ratio{symbol="SIMUSDT",limit="MAX_DRAWDOWN"}',
    'mm_risk_used_ratio{symbol="SIMUSDT",limit="MAX_DAILY_LOSS"}',
    'mm_two_sided_seconds_total{symbol="SIMUSDT"}',
    'mm_quote_distance_ticks{symbol="SIMUSDT",side=',
    'mm_book_age_seconds{symbol="SIMUSDT"}',
    'mm_killed{symbol="SIMUSDT"} 0',
)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def guardian(process: Popen) -> int:
    """Return the process that guards a trader."""
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


def go_on(pid: int) -> None:
    """Continue a stopped process, unless it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def stopped_with_orders(box: Venue, process: Popen) -> bool:
    """Stop a trader; it goes on, and False is returned, if none of its orders is open then."""
    process.send_signal(signal.SIGSTOP)
    if box.account()["openOrders"]:
        return True
    process.send_signal(signal.SIGCONT)
    return False


@pytest.mark.slow
def test_page_of_a_trader_has_what_alerts_rest_on(tmp_path: Path) -> None:
    """A family that is not there would never fire."""
    port = free_port()
    with venue(tmp_path) as box, box.trader(METRICS_PORT=str(port)) as process:
        box.until(lambda: box.account()["openOrders"], "orders", process=process)

        def missing() -> set[str]:
            shown = "\n".join(page(port))
            return {name for name in NEEDED if f"\n{name}" not in shown}

        box.until(lambda: not missing(), "all families", process=process)


AWAY = {
    "no line": (
        "at time 0 do status n=0 path=/api/v3 code=503 undone=1",
        "at time 0 do refuse_handshake n=1000",
        "at time 0 do half_open of=user",
    ),
    "no rest": ("at time 0 do status n=0 path=/api/v3/order code=503 undone=1",),
    "refused": ("at time 0 do error n=0 code=-1008 undone=1",),
}


@pytest.mark.slow
@pytest.mark.parametrize("away", AWAY)
def test_quotes_that_nobody_can_manage_page_within_30_s(tmp_path: Path, away: str) -> None:
    """The market is in time, so that nothing else pages while they may fill."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; it comes with the extra cluster")
    rules = yaml.safe_load((ROOT / "mm" / "ops" / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
    knobs = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 4}'}
    port, samples, scraped = free_port(), Samples(), set()
    alerts = Alerts(rules, samples)
    if away == "no rest":
        knobs["ORDER_TRANSPORT"] = "rest"
    with venue(tmp_path) as box, box.trader(METRICS_PORT=str(port), **knobs) as process:

        def looks() -> dict:
            at_s = int(time.time())
            if at_s % 5 == 0 and at_s not in scraped:
                scraped.add(at_s)
                samples.scrape(at_s, "\n".join(page(port)), job="trader", instance="trader:8000")
            alerts.evaluate(at_s)
            time.sleep(0.5)
            return alerts.firing("OrdersUnmanaged")

        box.until(lambda: len(box.account()["openOrders"]) == 2, "two quotes", process=process)
        assert not looks()
        for fault in AWAY[away]:
            box.post("/sim/faults", fault)
        begun_s = time.monotonic()
        (found,) = box.until(looks, "the alert", process=process).items()
        assert time.monotonic() - begun_s < 30
        labels, count = dict(found[0]), found[1]
        assert (labels["severity"], labels["symbol"]) == ("page", "SIMUSDT")
        assert count >= len(box.account()["openOrders"])
        shown = page(port)
        assert any(line.startswith("mm_not_quoting{") for line in shown)
        assert not any(line.startswith("mm_quote_distance_ticks{") for line in shown)


@pytest.mark.slow
def test_real_trader_is_watched_while_it_runs_dies_and_is_killed(tmp_path: Path) -> None:
    def state() -> dict:
        done = box.run("watchdog", "--once", "--json", SYMBOL="")
        return json.loads(done.stdout)["symbols"].get("SIMUSDT", {})

    with ExitStack() as held, venue(tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            running = state()
            assert (running["running"], running["orders_left_open"], running["last_end"]) == (["trade"], [], {})
            box.until(lambda: state()["report_age_s"] is not None, "a health report", process=process)
            guard = guardian(process)
            os.kill(guard, signal.SIGSTOP)
            held.callback(go_on, guard)
            box.until(lambda: stopped_with_orders(box, process), "orders of a trader that is stopped", process=process)
            process.kill()
            process.wait()
        time.sleep(SETTLED_S)
        died = state()
        open_ids = {one["clientOrderId"] for one in box.account()["openOrders"]}
        assert died["orders_left_open"]
        assert open_ids <= set(died["orders_left_open"])  # some may have been filled since
        assert (died["running"], died["last_end"]["trade"]["code"]) == ([], -1)
        go_on(guard)
        box.until(lambda: state()["orders_left_open"] == [], "the end of all orders, by the guard")
        assert box.account()["openOrders"] == []
        with box.trader() as process:
            box.until(lambda: state()["running"] and box.account()["openOrders"], "the next trade", process=process)
            assert state()["orders_left_open"] == []
            box.run("risk", "kill", "--reason", "odd fills")
            code, output, _ = ended(process, number=None)
            assert code == 5, output
        killed = state()
        assert (killed["killed"], killed["reason"]) == (True, "odd fills")
        assert (killed["last_end"]["trade"]["code"], killed["last_end"]["trade"]["reason"]) == (5, "kill")
        assert killed["orders_left_open"] == []
