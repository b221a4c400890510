"""Order lifetimes: the orders file compared with the recorded market and with itself."""

from collections import defaultdict
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from contract_runs import RUNS, every_run, knob, knob_us, market_of, run_of, sign
from lab import Lab
from outside import Market, Order, read_orders, rows_of

pytestmark = pytest.mark.slow  # a process for each case

PAIRS = (
    ("recv_ms", "recv_us"),
    ("active_recv_ms", "active_recv_us"),
    ("expire_recv_ms", "expire_recv_us"),
    ("cancel_effective_ms", "cancel_effective_us"),
)
FINAL = {"CANCEL_ACK": "CANCELLED", "CLOSE_FILLED": "FILLED", "EXPIRE": "EXPIRED", "REJECT": "REJECTED"}


def orders_of(lab: Lab, name: str) -> dict[int, Order]:
    return read_orders(run_of(lab, name).file("orders_*.csv"))


def crosses(order: Order, market: Market) -> bool:
    """Whether the order would take liquidity on arrival, before the market messages of that instant."""
    top = market.before(order.active_us)
    assert top.bid is not None
    assert top.ask is not None
    return order.price >= top.ask if order.sign > 0 else order.price <= top.bid


@every_run
def test_only_orders_that_would_cross_on_arrival_are_rejected(lab: Lab, name: str) -> None:
    """The exchange rejects exactly the LIMIT_MAKER orders that would take (apart from insufficient funds)."""
    market = market_of(lab, name)
    for order in orders_of(lab, name).values():
        if order.active_us > market.end_us or order.reject.startswith("insufficient"):
            continue
        valid = market.before(order.active_us).mid is not None
        assert valid == (order.reject != "book_invalid"), order
        if not valid:
            continue
        assert crosses(order, market) == (order.reject == "would_cross"), order


@every_run
def test_orders_have_configured_latencies_and_ttl(lab: Lab, name: str) -> None:
    """An order arrives one latency after it is sent, expires one TTL later, and its cancel never overtakes it."""
    latency, cancel = knob_us(name, "ORDER_LATENCY_MS", "50"), knob_us(name, "CANCEL_LATENCY_MS", "25")
    ttl, market = knob_us(name, "ORDER_TTL_MS", "0"), market_of(lab, name)
    for order in orders_of(lab, name).values():
        assert order.active_us == order.sent_us + latency
        assert order.expire_us == (order.active_us + ttl if ttl else None)
        for row in order.rows:
            assert int(row["active_recv_us"]) == order.active_us
            if row["cancel_reason"] == "epoch_break":
                assert int(row["recv_us"]) == order.cancel_us
                assert market.after(order.cancel_us).mid is None
                continue
            if row["action"] == "CANCEL_REQ":
                requested = int(row["recv_us"])
                assert int(row["cancel_req_ms"]) == requested // 1000
                assert int(row["cancel_effective_us"]) == max(requested + cancel, order.active_us)
            if row["action"] in {"CANCEL_ACK", "EXPIRE", "REJECT"}:
                ends = {"CANCEL_ACK": order.cancel_us, "EXPIRE": order.expire_us, "REJECT": order.active_us}
                assert int(row["recv_us"]) == ends[row["action"]], row


@every_run
def test_orders_fill_only_between_arrival_and_end(lab: Lab, name: str) -> None:
    """Contract §4: at one instant our messages take effect first, so a cancelled order cannot fill."""
    orders = orders_of(lab, name)
    for row in rows_of(run_of(lab, name).file("fills_*.csv")):
        order = orders[int(row["order_id"])]
        assert not order.reject
        assert order.active_us <= int(row["recv_us"]) < order.end_us, row
        assert (sign(row), Decimal(row["price"])) == (order.sign, order.price), "fills are at the order's own price"


@every_run
def test_every_order_has_one_valid_lifetime(lab: Lab, name: str) -> None:
    """PLACE first, at most one final row, nothing after it, the remaining quantity never grows; others stay open."""
    end = market_of(lab, name).end_us
    fills: dict[int, Decimal] = defaultdict(Decimal)
    for row in rows_of(run_of(lab, name).file("fills_*.csv")):
        fills[int(row["order_id"])] += Decimal(row["qty"])
    for order in orders_of(lab, name).values():
        actions = [row["action"] for row in order.rows]
        assert actions.count("PLACE") == 1
        assert actions[0] == "PLACE"
        assert actions.count("CANCEL_REQ") <= 1
        ends = [row for row in order.rows if row["action"] in FINAL]
        assert len(ends) <= 1
        assert ends == order.rows[-1:] or not ends
        assert not ends or ends[0]["status"] == FINAL[ends[0]["action"]]
        left = [Decimal(row["remaining_qty"]) for row in order.rows]
        assert left == sorted(left, reverse=True)
        assert left[-1] == order.qty - fills[order.id]
        assert (actions[-1] == "CLOSE_FILLED") == (left[-1] == 0)
        if not ends:
            assert order.end_us > end or order.active_us > end, order


@every_run
def test_rows_are_ordered_and_ms_match_us(lab: Lab, name: str) -> None:
    """Milliseconds are the floor of microseconds, ids count from 1 in sending order, and rows are ordered by time."""
    rows = rows_of(run_of(lab, name).file("orders_*.csv"))
    instants = [int(row["recv_us"]) for row in rows]
    assert instants == sorted(instants)
    placed = [int(row["order_id"]) for row in rows if row["action"] == "PLACE"]
    assert placed == list(range(1, len(placed) + 1))
    for row in rows:
        assert (row["action"] == "SKIP") == (row["order_id"] == "0")
        assert (row["action"] in {"SKIP", "REJECT"}) == bool(row["reject_reason"])
        for ms, us in PAIRS:
            assert row[ms] == (str(int(row[us]) // 1000) if row[us] else ""), row


@pytest.mark.parametrize("name", [name for name in RUNS if name != "default"])
def test_fixed_spread_quotes_are_rounded_around_mid(lab: Lab, name: str) -> None:
    """Bids are floored and asks ceiled to the tick; requotes are on a grid that begins at the first valid book."""
    market = market_of(lab, name)
    delta = Decimal(RUNS[name]["QUOTE_PARAMS_JSON"].split(":")[1].strip(" }"))
    interval = knob_us(name, "REQUOTE_INTERVAL_MS", "250")
    for row in rows_of(run_of(lab, name).file("orders_*.csv")):
        if row["action"] not in {"PLACE", "SKIP", "CANCEL_REQ"}:
            continue
        us = int(row["recv_us"])
        assert (us - market.first_us) % interval == 0, row
        if row["action"] == "CANCEL_REQ":
            continue
        mid = market.after(us).mid
        assert mid is not None
        ticks = (mid - sign(row) * delta * market.tick) / market.tick
        rounded = ticks.to_integral_value(ROUND_FLOOR if sign(row) > 0 else ROUND_CEILING)
        assert Decimal(row["price"]) == rounded * market.tick, row


@pytest.mark.parametrize("name", [name for name in RUNS if name != "default"])
def test_each_side_has_one_order_at_quoted_price_after_requote(lab: Lab, name: str) -> None:
    """After a requote each side's order equals the quote, unless the file has a SKIP row or the order was rejected."""
    market, orders = market_of(lab, name), orders_of(lab, name)
    delta = Decimal(RUNS[name]["QUOTE_PARAMS_JSON"].split(":")[1].strip(" }"))
    refresh = knob_us(name, "REFRESH_INTERVAL_MS", "0")
    end_us = {
        order.id: next((int(r["recv_us"]) for r in order.rows if r["action"] in {*FINAL, "CANCEL_REQ"}), 2**62)
        for order in orders.values()
    }
    skips = {
        (int(r["recv_us"]), sign(r)) for r in rows_of(run_of(lab, name).file("orders_*.csv")) if r["action"] == "SKIP"
    }
    for side in (1, -1):
        mine = [order for order in orders.values() if order.sign == side]
        next_index, skipping = 0, False
        for us in range(market.first_us, market.end_us + 1, knob_us(name, "REQUOTE_INTERVAL_MS", "250")):
            sent = False
            while next_index < len(mine) and mine[next_index].sent_us <= us:
                next_index, sent = next_index + 1, True
            skipping = (us, side) in skips or (skipping and not sent)
            mid = market.after(us).mid
            if mid is None:
                assert not sent
                continue
            ticks = (mid - side * delta * market.tick) / market.tick
            quoted = ticks.to_integral_value(ROUND_FLOOR if side > 0 else ROUND_CEILING) * market.tick
            newest = mine[next_index - 1] if next_index else None
            is_open = newest is not None and end_us[newest.id] > us
            assert is_open or skipping, (us, side)
            if is_open and not skipping:
                assert newest.price == quoted, (us, newest)
                assert not refresh or us - newest.sent_us < refresh or sent


@every_run
def test_balances_cover_all_open_orders(lab: Lab, name: str) -> None:
    """The balances cover all SENT and LIVE orders without a cancel request whenever a new order is sent."""
    rate = knob(name, "MAKER_FEE_RATE", "0.001")
    run = run_of(lab, name)
    states = rows_of(run.file("state_*.csv"))
    money = [(int(row["recv_us"]), Decimal(row["cash"]), Decimal(row["inventory"])) for row in states]
    bound: dict[int, tuple[int, Decimal, Decimal]] = {}
    at = 0
    for row in rows_of(run.file("orders_*.csv")):
        us, order = int(row["recv_us"]), int(row["order_id"])
        while at + 1 < len(money) and money[at + 1][0] <= us:
            at += 1
        if row["action"] in {*FINAL, "CANCEL_REQ"}:
            bound.pop(order, None)
        elif row["action"] == "PLACE" or (row["action"] == "FILL" and order in bound):
            bound[order] = (sign(row), Decimal(row["price"]), Decimal(row["remaining_qty"]))
        if row["action"] == "PLACE":
            buys = sum(price * left * (1 + rate) for side, price, left in bound.values() if side > 0)
            sells = sum(left for side, _, left in bound.values() if side < 0)
            assert buys <= money[at][1] + Decimal("0.000001"), row
            assert sells <= money[at][2], row
