"""Checks of the logs of traders against the exchange's own books, with any faults of either."""

import json
from collections import Counter
from decimal import Decimal

SIGNS = {"BUY": 1, "SELL": -1}
PLACING = ("order.place", "order.cancelReplace")


def log_rows(box):
    """Return the complete rows of all audit logs, without a row that a kill has torn."""
    rows = []
    for path in box.logs():
        rows += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]
    return rows


def booked(box):
    """Return the fills of the logs, by trade id; fails if one is booked twice."""
    fills = [row for row in log_rows(box) if row["type"] == "fill"]
    twice = [one for one, count in Counter(row["trade_id"] for row in fills).items() if count > 1]
    assert not twice, f"booked twice: {twice}"
    return {row["trade_id"]: row for row in fills}


def balance_change_of(fills):
    """Return the change of base and quote asset by fills of the logs."""
    base = quote = Decimal(0)
    for row in fills:
        sign, qty, price, fee = (
            SIGNS[row["side"]],
            *(Decimal(row[name]) for name in ("qty", "price", "commission")),
        )
        base += sign * qty - (fee if row["commission_asset"] == "SIM" else 0)
        quote -= sign * qty * price + (fee if row["commission_asset"] == "USDT" else 0)
    return base, quote


def assert_all_known(box):
    """The logs contain every order that was ever placed: at any moment, also with faults."""
    account = box.account()
    intended = {row["client_id"] for row in log_rows(box) if row["type"] == "intent" and row["action"] != "cancel"}
    taken = {one["clientOrderId"] for one in account["orders"]}
    assert taken <= intended, f"orders that no log holds: {taken - intended}"


def assert_equal_books(box):
    """After an orderly end: orders, fills, position and cash equal the exchange's, and no order is open."""
    assert_all_known(box)
    account = box.account()
    assert account["openOrders"] == []
    fills = booked(box)
    theirs = {int(one["id"]): one for one in account["trades"]}
    assert fills.keys() == theirs.keys(), (
        f"missing {theirs.keys() - fills.keys()}, extra {fills.keys() - theirs.keys()}"
    )
    for trade_id, row in fills.items():
        trade = theirs[trade_id]
        assert row["side"] == ("BUY" if trade["isBuyer"] else "SELL")
        ours = tuple(Decimal(row[name]) for name in ("price", "qty", "commission"))
        assert ours == tuple(Decimal(trade[name]) for name in ("price", "qty", "commission"))
        assert row["order_id"] == trade["orderId"]
    assert balance_change_of(fills.values()) == box.balance_change()
    done = Counter()
    for row in fills.values():
        done[row["order_id"]] += Decimal(row["qty"])
    for order in account["orders"]:
        assert done[order["orderId"]] == Decimal(order["executedQty"])


def assert_only_cancels_after(box, us, within_us):
    """After the row of a kill no log has an intent to place, and no request is later than *within_us* after *us*.

    A request whose intent precedes that row may still arrive after it.
    """
    requests = box.account()["requests"]
    late = [one for one in requests if one["us"] > us + within_us]
    assert not late, late[:3]
    rows = log_rows(box)
    (kill,) = (number for number, row in enumerate(rows) if row["type"] == "kill")
    placing = [row["type"] == "intent" and row["action"] != "cancel" for row in rows]
    assert not any(placing[kill:]), rows[kill:]
    before = {row["client_id"] for row, places in zip(rows, placing, strict=True) if places}
    placed = {one["params"]["newClientOrderId"] for one in requests if one["method"] in PLACING}
    assert placed <= before


def largest_exposure(box):
    """Return the largest position, long or short, possible with the orders that were ever open at the exchange."""
    left, position, largest = {}, Decimal(0), Decimal(0)
    for event in box.account()["events"]:
        one = event.get("event", event)
        if one.get("e") != "executionReport":
            continue
        sign, filled = SIGNS[one["S"]], Decimal(one["l"]) if one["x"] == "TRADE" else Decimal(0)
        fee = Decimal(one["n"] or 0) if one["x"] == "TRADE" and one["N"] == "SIM" else Decimal(0)
        position += sign * filled - fee
        rest = Decimal(one["q"]) - Decimal(one["z"])
        left[one["i"]] = (sign, rest if one["X"] in ("NEW", "PARTIALLY_FILLED") else Decimal(0))
        for side in (1, -1):
            reach = position + side * sum(qty for way, qty in left.values() if way == side)
            largest = max(largest, side * reach)
    return largest
