"""The metrics of a trader: their names, and the effect of each value and counter."""

import asyncio
import re
import shutil
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import ACK_BUCKETS_S, BucketCounts, TradingMetrics

START_US = 1_767_600_000_000_000
# The specified metrics: name, kind, labels besides the symbol.
SPECIFIED = {
    "mm_book_age_seconds": ("gauge", ()),
    "mm_gaps_total": ("counter", ()),
    "mm_messages_total": ("counter", ("stream",)),
    "mm_position": ("gauge", ()),
    "mm_pnl": ("gauge", ("part",)),
    "mm_pnl_all_legs": ("gauge", ()),
    "mm_equity": ("gauge", ()),
    "mm_account_age_seconds": ("gauge", ()),
    "mm_unvalued_fees": ("gauge", ("asset",)),
    "mm_fee_rate": ("gauge", ("role",)),
    "mm_quote_distance_ticks": ("gauge", ("side",)),
    "mm_not_quoting": ("gauge", ("reason",)),
    "mm_unmanaged_orders": ("gauge", ()),
    "mm_two_sided_seconds_total": ("counter", ()),
    "mm_orders_total": ("counter", ("action",)),
    "mm_fills_total": ("counter", ("side",)),
    "mm_rejects_total": ("counter", ("reason",)),
    "mm_order_ack_seconds": ("histogram", ()),
    "mm_ack_fill_seconds": ("histogram", ()),
    "mm_risk_used_ratio": ("gauge", ("limit",)),
    "mm_killed": ("gauge", ()),
    "mm_limits_unjudged": ("gauge", ()),
    "mm_market_late_seconds": ("gauge", ()),
    "mm_clock_uncertainty_seconds": ("gauge", ()),
    "mm_account_transfers": ("gauge", ("asset",)),
    "mm_account_transfer_timestamp_seconds": ("gauge", ()),
    "mm_state_writer_queue": ("gauge", ()),
    "mm_state_writer_lag_seconds": ("gauge", ()),
}


class Now:
    """A wall clock that is set manually."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us


def samples(metrics: TradingMetrics) -> dict[str, str]:
    """Return the values of a page as text, by the sample's name and its labels besides the symbol."""
    found = {}
    for line in SymbolsPage([metrics]).page().splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r'(\w+)\{symbol="SIMUSDT",?(.*?)\} (\S+)', line).groups()
            found[f"{name}{{{labels}}}" if labels else name] = value
    return found


def busy(clock: Now | None = None) -> TradingMetrics:
    """Return metrics with a sample in every family."""
    metrics = TradingMetrics("SIMUSDT", clock or Now())
    metrics.book_us = START_US - 20_000
    metrics.late_us, metrics.clock_within_us = 15_000, 2_000
    metrics.gaps, metrics.messages = 2, {"depth": 1_200, "trade": 30}
    metrics.position_e8 = -1_500_000
    metrics.equity_e8 = 100_000_000_001
    metrics.account_us = START_US - 4_000_000
    metrics.pnl_e8 = {"realized": 150_000_000, "unrealized": -20_000_000, "fees": -1, "total": 129_999_999}
    metrics.quotes(START_US - 5_000_000, 1.5, 2)
    for action in ("place", "place", "cancel"):
        metrics.orders[action] += 1
    metrics.fills[+1] += 1
    metrics.rejects["-2010"] += 1
    metrics.ack.observe(0.004)
    metrics.ack_fill.observe(2.0)
    metrics.used["MAX_POSITION"] = 0.15
    metrics.killed = True
    metrics.writer, metrics.fees_e8 = (7, 0.5), (-5_000, 40_000)
    metrics.transferred_us = START_US
    metrics.unmanaged = lambda: 2
    metrics.unjudged, metrics.transfers_e8 = False, {"USDT": -500_000_000}
    return metrics


NOT_OF_EACH = {"mm_unvalued_fees", "mm_pnl_all_legs"}  # all fees have a value, and there is one market


def test_metric_families_match_specification() -> None:
    """Dashboards, alerts and users' scripts rely on these names."""
    assert {one.name: (one.kind, one.labels) for one, _ in busy().filled()} == SPECIFIED
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", SymbolsPage([busy()]).page(), re.MULTILINE))
    shown = {name: kind for name, (kind, _) in SPECIFIED.items() if name not in NOT_OF_EACH}
    assert types == shown


def test_without_the_value_of_a_fee_no_net_result_is_shown() -> None:
    metrics = busy()
    metrics.unvalued_e8 = {"BNB": 5_000_000}
    lines = SymbolsPage([metrics]).page().splitlines()
    found = {line.split("{")[0] + "".join(re.findall(r'(?:part|asset)="\w+"', line)) for line in lines}
    assert 'mm_unvalued_feesasset="BNB"' in found
    assert {'mm_pnlpart="realized"', 'mm_pnlpart="unrealized"'} <= found
    assert not {'mm_pnlpart="total"', 'mm_pnlpart="fees"', "mm_equity"} & found


def test_page_shows_all_values() -> None:
    """Money to the last decimal, as the exchange writes it."""
    found = samples(busy())
    assert {name: value for name, value in found.items() if "_bucket" not in name} == {
        "mm_book_age_seconds": "0.02",
        "mm_gaps_total": "2",
        'mm_messages_total{stream="depth"}': "1200",
        'mm_messages_total{stream="trade"}': "30",
        "mm_position": "-0.01500000",
        "mm_equity": "1000.00000001",
        "mm_account_age_seconds": "4.0",
        'mm_pnl{part="realized"}': "1.50000000",
        'mm_pnl{part="unrealized"}': "-0.20000000",
        'mm_pnl{part="fees"}': "-0.00000001",
        'mm_pnl{part="total"}': "1.29999999",
        'mm_fee_rate{role="maker"}': "-0.00005000",
        'mm_fee_rate{role="taker"}': "0.00040000",
        'mm_quote_distance_ticks{side="buy"}': "1.5",
        'mm_quote_distance_ticks{side="sell"}': "2.0",
        'mm_not_quoting{reason="the kill switch is triggered"}': "1",
        "mm_unmanaged_orders": "2",
        "mm_two_sided_seconds_total": "5.0",
        'mm_orders_total{action="place"}': "2",
        'mm_orders_total{action="cancel"}': "1",
        'mm_orders_total{action="replace"}': "0",
        'mm_fills_total{side="buy"}': "1",
        'mm_fills_total{side="sell"}': "0",
        'mm_rejects_total{reason="-2010"}': "1",
        "mm_order_ack_seconds_sum": "0.004",
        "mm_order_ack_seconds_count": "1",
        "mm_ack_fill_seconds_sum": "2.0",
        "mm_ack_fill_seconds_count": "1",
        'mm_risk_used_ratio{limit="MAX_POSITION"}': "0.15",
        "mm_killed": "1",
        "mm_account_transfer_timestamp_seconds": str(START_US / 1e6),
        "mm_limits_unjudged": "0",
        "mm_market_late_seconds": "0.015",
        "mm_clock_uncertainty_seconds": "0.002",
        'mm_account_transfers{asset="USDT"}': "-5.00000000",
        "mm_state_writer_queue": "7",
        "mm_state_writer_lag_seconds": "0.5",
    }


def test_counters_exist_before_first_event() -> None:
    """Prometheus sees no increase from a missing sample; unknown values have no sample."""
    found = samples(TradingMetrics("SIMUSDT", Now()))
    assert found['mm_orders_total{action="place"}'] == found['mm_fills_total{side="sell"}'] == found["mm_killed"] == "0"
    assert found["mm_order_ack_seconds_count"] == found["mm_gaps_total"] == "0"
    for unknown in ("mm_book_age_seconds", "mm_position", "mm_equity", "mm_state_writer_queue"):
        assert unknown not in found


def test_reason_of_no_quotes_has_no_time_in_it() -> None:
    """Else each look would make a series of its own."""
    metrics = TradingMetrics("SIMUSDT")
    metrics.why_not_ready = "gateway: the exchange has blocked requests for 17.3 s"
    name = 'mm_not_quoting{reason="gateway: the exchange has blocked requests for … s"}'
    assert samples(metrics)[name] == "1"
    metrics.why_not_ready = ""
    assert not any(name.startswith("mm_not_quoting") for name in samples(metrics))


def test_two_sided_seconds_count_time_with_both_quotes() -> None:
    """One side alone does not count; a current interval counts up to the moment of the page."""
    clock = Now()
    metrics = TradingMetrics("SIMUSDT", clock)
    for after_s, buy, sell in ((0, 1, 1), (2, 3, 1), (5, None, 1), (9, 1, None), (10, 2, 2)):
        metrics.quotes(START_US + after_s * 1_000_000, buy, sell)
    clock.us = START_US + 11_500_000
    assert samples(metrics)["mm_two_sided_seconds_total"] == "6.5"
    metrics.quotes(clock.us, None, None)
    clock.us += 60_000_000
    assert samples(metrics)["mm_two_sided_seconds_total"] == "6.5"
    assert not [name for name in samples(metrics) if "distance" in name]


@given(st.lists(st.floats(0, 20), max_size=60))
def test_bucket_counts_are_cumulative(observed: list[float]) -> None:
    """Each bucket has all observations up to its bound, by a plain count."""
    bounds = ACK_BUCKETS_S
    counts = BucketCounts(bounds)
    for one in observed:
        counts.observe(one)
    found = {labels.get("le", suffix): value for suffix, labels, value in counts.samples()}
    for bound in bounds:
        assert found[repr(bound)] == sum(one <= bound for one in observed)
    assert found["+Inf"] == found["_count"] == len(observed)
    assert found["_sum"] == sum(observed)


def test_ready_requires_synced_book_and_no_kill() -> None:
    """Otherwise the status is 503."""

    async def fetch(port: int, path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return int(head.split(" ")[1]), body

    async def scenario() -> None:
        metrics = TradingMetrics("SIMUSDT", Now())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        page = SymbolsPage([metrics])
        async with page.served("127.0.0.1", 0) as none, page.served("127.0.0.1", port) as bound:
            assert (none, bound) == (0, port)
            assert await fetch(port, "/health/live") == (200, "live\n")
            assert await fetch(port, "/health/ready") == (503, "not ready: starting\n")
            metrics.why_not_ready = ""
            assert await fetch(port, "/health/ready") == (200, "ready\n")
            metrics.killed = True
            assert await fetch(port, "/health/ready") == (503, "not ready: the kill switch is triggered\n")
            metrics.gaps = 5
            assert 'mm_gaps_total{symbol="SIMUSDT"} 5' in (await fetch(port, "/metrics"))[1]

    asyncio.run(scenario())


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed; it comes with prometheus")
def test_promtool_accepts_metrics_page() -> None:
    """By its own parser and its own rules for names."""
    page = SymbolsPage([busy()]).page()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=120, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
