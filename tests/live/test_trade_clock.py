"""``mm trade`` while its wall clock is set forwards and backwards, also with a dead connection."""

import time

import pytest
from trading_box import ended, page, venue
from trading_truth import assert_all_known, assert_equal_books, log_rows
from usdm_box import QUOTING

from set_clock import WallClock
from state_servers import free_port
from support import in_time

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
KNOBS = {"MAX_POSITION": "0.15", "LATENCY_THRESHOLD_MS": "60000", "FEED_STALE_S": "60"}  # a step would break these
SECOND_US = 1_000_000
STEPS_US = (2 * SECOND_US, -SECOND_US, 4 * SECOND_US)
HOUR_S = 3_600


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    """Yield the exchange after a trade with steps of its clock, the trade's output, and its last metrics."""
    folder, port = tmp_path_factory.mktemp("clock"), free_port()
    clock = WallClock(folder)
    with venue(folder, *MARKET) as box:
        with box.trader(entry=clock.entry("trade"), METRICS_PORT=str(port), **KNOBS) as process:
            _traded(box, process)
            for off_us in STEPS_US:
                clock.set(off_us)
                _traded(box, process)
            box.post("/sim/faults", "at time 0 do half_open of=user")
            clock.set(-HOUR_S * SECOND_US)
            _traded(box, process)
            metrics = page(port)
            code, output, seconds = ended(process)
        assert code == 0, output
        assert in_time(seconds, 30)
        yield box, output, metrics


def _traded(box, process):
    """Wait for further orders and a fill at the exchange, and check that the logs contain all orders."""
    account = box.account()
    orders, trades = len(account["orders"]), len(account["trades"])
    box.until(lambda: len(box.account()["orders"]) > orders + 2, "orders after a step", process=process)
    box.until(lambda: len(box.account()["trades"]) > trades, "a fill after a step", process=process)
    assert_all_known(box)


@pytest.mark.slow
def test_trading_continues_and_books_match_exchange(stepped):
    box, output, _ = stepped
    assert_equal_books(box)
    assert "clock_measured" in output
    assert "gateway_disconnected" in output


@pytest.mark.slow
def test_audit_log_timestamps_never_decrease(stepped):
    """A step back is not followed; the log verifies."""
    box, _, _ = stepped
    stamps = [row["us"] for row in log_rows(box)]
    assert stamps == sorted(stamps)
    assert stamps[-1] - box.account()["now_us"] < 10 * SECOND_US
    assert box.run("audit", "verify", str(box.logs()[0])).returncode == 0


@pytest.mark.slow
def test_latency_metrics_are_unaffected_by_clock_steps(stepped):
    """One clock stamps requests and answers; with two, a limit on slow answers would be blind after a step."""
    *_, metrics = stepped
    found = {line.partition("{")[0]: float(line.split()[-1]) for line in metrics if line[0] != "#"}
    for name in ("mm_order_ack_seconds", "mm_ack_fill_seconds"):
        assert found[f"{name}_count"] > 0
        assert 0 < found[f"{name}_sum"] < HOUR_S / 2


FAST = {
    "REQUOTE_INTERVAL_MS": "20",
    "MAX_ORDERS_PER_S": "100",
    "ORDER_LIMIT_10S": "0",
    "RECONCILE_INTERVAL_S": "60",
    "MAX_POSITION": "100",
}
MARKETS = {"spot": ((), {}), "usdm": (("--market", "usdm"), {"MARKET": "usdm", **QUOTING})}


def _follows(box):
    """Return whether the trade has stamped a request by a clock of the exchange that was set back."""
    return any(int(one["params"]["timestamp"]) < one["us"] // 1_000 - 2_000 for one in box.account()["requests"][-9:])


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS)
def test_clock_an_hour_ahead_keeps_no_side_from_quoting(tmp_path, market):
    """What the exchange has refused for its timestamp cannot arrive later, though its window ends in an hour."""
    flags, knobs = MARKETS[market]
    clock = WallClock(tmp_path)
    with (
        venue(tmp_path, *MARKET, *flags) as box,
        box.trader(
            entry=clock.entry("trade"), **{**KNOBS, **knobs, **FAST, "FEED_STALE_S": str(9 * HOUR_S)}
        ) as process,
    ):
        box.until(lambda: box.sent() > 5, "orders", process=process)
        for off_s in (HOUR_S, 0, 2 * HOUR_S, 3 * HOUR_S):  # some of the first requests after a step are orders
            clock.set(off_s * SECOND_US)
            known = {one["orderId"] for one in box.account()["orders"]}
            new = lambda known=known: [one for one in box.account()["orders"] if one["orderId"] not in known]  # noqa: E731
            both = lambda new=new: {one["side"] for one in new()} == {"BUY", "SELL"}  # noqa: E731
            box.until(both, "orders of both sides", 20, process=process)
        code, output, _ = ended(process)
        assert (code, box.account()["openOrders"]) == (0, []), output
        assert "may still be open" not in output


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("market", MARKETS)
def test_trade_that_ends_as_the_exchange_sets_its_clock_back_names_no_order(tmp_path, market, lost):
    """Orders stamped in the future are refused; one whose request was *lost* is unknown for as long as the step."""
    flags, knobs = MARKETS[market]
    with (
        venue(tmp_path, *MARKET, *flags) as box,
        box.trader(**{**KNOBS, **knobs, **FAST}) as process,
    ):
        box.until(lambda: box.sent() > 5, "orders", process=process)
        if lost:
            rules = [f"at time 0 do ack_lost undone=1 path={path}" for path in ("order.place", "order.cancelReplace")]
            box.post("/sim/faults", "\n".join(rules))
            missing = lambda: [one for one in box.account()["requests"] if "ack_lost" in one["faults"]]  # noqa: E731
            box.until(missing, "a lost request", process=process)
        box.post("/sim/faults", "at time 0 do clock_offset ms=-2600")
        if not lost:
            box.until(lambda: _follows(box), "a request by the new clock", process=process)
        code, output, seconds = ended(process)
        assert (code, box.account()["openOrders"]) == (0, []), output
        assert "may still be open" not in output
        assert in_time(seconds, 15)


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS)
def test_exchange_whose_clock_goes_back_for_an_hour_is_traded_on(tmp_path, market):
    """The balances of before bear later instants, which must not keep the new ones out."""
    flags, knobs = MARKETS[market]
    with (
        venue(tmp_path, *MARKET, *flags) as box,
        box.trader(**{**KNOBS, **knobs, **FAST, "RECONCILE_INTERVAL_S": "1"}) as process,
    ):
        box.until(lambda: box.account()["trades"], "a fill", process=process)
        box.post("/sim/faults", f"at time 0 do clock_offset ms={-1_000 * HOUR_S}")
        for _ in range(3):
            had = len(box.account()["trades"])
            box.until(lambda had=had: len(box.account()["trades"]) > had, "a fill", 30, process=process)
            time.sleep(3)  # reconciles
        code, output, _ = ended(process)
        assert code == 0, output
        assert "account_differs" not in output


@pytest.mark.slow
def test_a_short_block_of_requests_while_the_clock_is_an_hour_ahead_is_short(tmp_path):
    """Kept by the wall clock it lasted for an hour once the clock had come back, over restarts too."""
    clock, knobs = WallClock(tmp_path, HOUR_S * SECOND_US), {**KNOBS, **FAST, "FEED_STALE_S": str(9 * HOUR_S)}
    with venue(tmp_path, *MARKET) as box:
        with box.trader(entry=clock.entry("trade"), **knobs) as process:
            box.until(lambda: box.sent() > 5, "orders", process=process)
            box.post("/sim/faults", "at time 0 do error n=1 code=-1003\nat time 0 do status n=1 code=429 retry_after=3")
            box.until(lambda: any(one["faults"] for one in box.account()["requests"][-40:]), "a 429", process=process)
            clock.set(0)
            before = box.sent()
            box.until(lambda: box.sent() > before, "orders after the block", 30, process=process)
            assert ended(process)[0] == 0
        with box.trader(entry=clock.entry("trade"), **knobs) as process:
            before = box.sent()
            box.until(lambda: box.sent() > before, "orders after a restart", 30, process=process)
            assert ended(process)[0] == 0
