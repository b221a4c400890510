"""The metrics page and its server: text format, health endpoints, and readiness."""

import asyncio

import pytest
from test_health import fetched, parsed

from captured import SYMBOL
from mm.market_data.metrics import CONTENT_TYPE, MetricFamily, exposition, market_families, metrics_served


def test_exposition_has_each_family_once_with_the_symbol_first() -> None:
    """Exact decimal texts stay exact; a family without samples is omitted."""
    families = [
        (MetricFamily("mm_a", "gauge", "A."), [("", {}, "0.10000000")]),
        (MetricFamily("mm_b_total", "counter", "B.", ("kind",)), [("", {"kind": 'a"b\\c\nd'}, 3)]),
        (MetricFamily("mm_c", "gauge", "C."), []),
        (MetricFamily("mm_d", "summary", "D."), [("_sum", {}, 0.5), ("_count", {}, True)]),
    ]
    assert exposition("BTCUSDT", families).splitlines() == [
        "# HELP mm_a A.",
        "# TYPE mm_a gauge",
        'mm_a{symbol="BTCUSDT"} 0.10000000',
        "# HELP mm_b_total B.",
        "# TYPE mm_b_total counter",
        r'mm_b_total{symbol="BTCUSDT",kind="a\"b\\c\nd"} 3',
        "# HELP mm_d D.",
        "# TYPE mm_d summary",
        'mm_d_sum{symbol="BTCUSDT"} 0.5',
        'mm_d_count{symbol="BTCUSDT"} 1',
    ]


def test_market_families_are_valid_exposition() -> None:
    """Before the first book the page has no age."""
    samples = parsed(exposition(SYMBOL, market_families(0.25, 2, {"depth": 7, "trade": 0})))
    symbol = ("symbol", SYMBOL)
    assert samples == {
        ("mm_book_age_seconds", (symbol,)): 0.25,
        ("mm_gaps_total", (symbol,)): 2,
        ("mm_messages_total", (symbol, ("stream", "depth"))): 7,
        ("mm_messages_total", (symbol, ("stream", "trade"))): 0,
    }
    assert "mm_book_age_seconds" not in exposition(SYMBOL, market_families(None, 0, {}))


@pytest.mark.parametrize(("reason", "status", "body"), [("", 200, "ready\n"), ("syncing", 503, "not ready: syncing\n")])
def test_health_endpoints_report_liveness_and_readiness(reason: str, status: int, body: str) -> None:
    """A process supervisor uses /health/live, a load balancer /health/ready."""

    async def run() -> list[tuple[int, str, str]]:
        async with metrics_served("127.0.0.1", 0, lambda: "x 1\n", lambda: reason) as port:
            paths = ("/health/live", "/health/ready", "/metrics", "/health")
            found = [await asyncio.to_thread(fetched, port, path) for path in paths]
            return [*found, await asyncio.to_thread(fetched, port, "/health/ready", "HEAD")]

    live, ready, page, unknown, head = asyncio.run(run())
    assert (live[0], live[2]) == (200, "live\n")
    assert (ready[0], ready[2]) == (status, body)
    assert page == (200, CONTENT_TYPE, "x 1\n")
    assert unknown[0] == 404
    assert (head[0], head[2]) == (status, "")
