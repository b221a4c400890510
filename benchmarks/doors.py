"""The public interfaces: an order at the trading interface until its acknowledgement, and a day on the dashboard.

Each turn runs ``python -m benchmarks.doors orders COUNT`` and ``… page DATA_ROOT OUT_ROOT SYMBOL DAY``; each prints one
JSON object.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.turns import PYTHON, Measured, Row, at_most, run

ORDERS, WARM = 3_000, 200
AIM_MS, AIM_S = 2.0, 2.0
WITHIN = "a part of a row that is watched"
SYMBOL, DAY, HOURS = "SIMUSDT", "20260105", 7.0
SCENARIO = "zero_intelligence"
_HEADERS = {"Content-Type": "application/json"}


def measure(turns: int, hours: float = HOURS, orders: int = ORDERS) -> Measured:
    """Measure both in *turns* fresh processes each.

    Args:
        turns: Number of processes of each.
        hours: Length of the simulated day on the page; seven hours give a million rows.
        orders: Number of orders per process at the interface.
    """
    sent = [run([*PYTHON, "benchmarks.doors", "orders", str(orders)]).output for _ in range(turns)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        flags = ("--symbol", SYMBOL, "--day", DAY, "--hours", f"{hours:g}", "--scenario", SCENARIO, "--seed", "7")
        run([*PYTHON, "mm", "sim", "day", *flags, "--data-root", folder], capture_stdout=False)
        page = [*PYTHON, "benchmarks.doors", "page", folder, str(out), SYMBOL, DAY]
        first = run(page).output
        opened = [run(page).output for _ in range(turns)]
    rows = [
        Row("order to ACK, median", "ms", [output["p50_ms"] for output in sent], aim=WITHIN),
        Row("order to ACK, p99", "ms", [output["p99_ms"] for output in sent], aim=at_most(AIM_MS)),
        Row("in the server, p99", "ms", [output["server_p99_ms"] for output in sent], aim=at_most(AIM_MS)),
        Row("an empty request, p99", "ms", [output["health_p99_ms"] for output in sent], aim=WITHIN),
        Row("processor of the server, an order", "ms", [output["server_ms"] for output in sent], aim=WITHIN),
        Row("a day on /market", "s", [output["page_s"] for output in opened], aim=at_most(AIM_S)),
        Row("the same, processor", "s", [output["user_s"] for output in opened], aim=WITHIN),
    ]
    facts = {"orders": orders, "rows of the day": first["rows"], "the day's first opening, s": first["page_s"]}
    return Measured(rows, facts, [f"one connection that is kept; {SCENARIO}, {hours:g} h; the tape is kept"])


def orders_sent(count: int) -> dict[str, float]:
    """Return the times of *count* orders far from the market, each cancelled before the next, in ms."""
    server = subprocess.Popen(
        [*PYTHON, "mm", "sim", "api", "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        address = urlsplit(json.loads(server.stdout.readline())["url"])
        connection = HTTPConnection(address.hostname or "", address.port)
        price = str(round(0.9 * _request(connection, "GET", "/book")[0]["best_bid"], 2))
        order = {"client_id": "bench", "side": "buy", "type": "limit", "price": price, "size": "1"}
        trips, inside, health = list[float](), list[float](), list[float]()
        for number in range(WARM + count):
            if number == WARM:
                for times in (trips, inside, health):
                    times.clear()
            answer, took_ms = _request(connection, "POST", "/order", order)
            trips.append(took_ms)
            inside.append(answer["ack_us"] / 1e3)
            _request(connection, "POST", f"/cancel/{answer['order_id']}")
            health.append(_request(connection, "GET", "/health")[1])
        connection.close()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "p50_ms": _share(trips, 50),
        "p99_ms": _share(trips, 99),
        "server_p99_ms": _share(inside, 99),
        "health_p99_ms": _share(health, 99),
        "server_ms": 1e3 * (used.ru_utime + used.ru_stime) / (WARM + count),
    }


def page_drawn(data_root: str, out_root: str, symbol: str, day: str) -> dict[str, float]:
    """Return the time to draw a complete day on ``/market``, in s; streamlit itself is imported before."""
    from streamlit.testing.v1 import AppTest

    from mm.dashboard.sources import Folders, day_market

    def page(data_root: str, out_root: str) -> None:
        from pathlib import Path

        from mm.dashboard import market_page
        from mm.dashboard.sources import Folders

        market_page.show(Folders(Path(data_root), Path(out_root)))

    at = AppTest.from_function(page, args=(data_root, out_root), default_timeout=600)
    at.query_params["symbol"], at.query_params["day"] = symbol, day
    began_s, used_s = time.perf_counter(), time.process_time()
    at.run()
    took = {"page_s": time.perf_counter() - began_s, "user_s": time.process_time() - used_s}
    assert not at.exception
    assert not at.error
    market = day_market(Folders(Path(data_root), Path(out_root)), symbol, day)
    return took | {"rows": len(market.us) + sum(len(one.us) for one in market.prints.values())}


def _request(connection: HTTPConnection, verb: str, path: str, body: Any = None) -> tuple[dict[str, Any], float]:
    """Return the response to a request, and its duration in ms."""
    text = None if body is None else json.dumps(body)
    began_s = time.perf_counter()
    connection.request(verb, path, text, _HEADERS)
    answer = connection.getresponse().read()
    return json.loads(answer), 1e3 * (time.perf_counter() - began_s)


def _share(times: list[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


if __name__ == "__main__":
    found = orders_sent(int(sys.argv[2])) if sys.argv[1] == "orders" else page_drawn(*sys.argv[2:])
    print(json.dumps(found), flush=True)
