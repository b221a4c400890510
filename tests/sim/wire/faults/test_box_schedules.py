"""Random schedules of faults against a user who trades at random: the exchange's books stay correct.

`FAULT_SCHEDULES=1000` runs that many; a failure shows its seed, which alone repeats it.
"""

import asyncio
import json
import os
from collections import Counter
from decimal import Decimal
from random import Random

import httpx
import pytest
from traded import EVENTS, Floor, Talk, floor, limit
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

SCHEDULES = int(os.environ.get("FAULT_SCHEDULES", "10"))
STEPS, STEP_S = 60, 0.1
PATHS = ("", "order.place", "order.cancel", "order.cancelReplace", "order.amend.keepPriority", "/api/v3/order")
FUNDS = {"SIM": Decimal(1_000), "USDT": Decimal(1_000_000)}
GONE = (ConnectionClosed, InvalidHandshake, InvalidMessage, ConnectionError, httpx.TransportError)


def schedule(draw: Random) -> str:
    """Return a script of a dozen faults of order handling, at random times."""
    of_users = (
        "drop of=user n={n}",
        "duplicate of=user n={n}",
        "swap of=user n={n}",
        "lag of=user delay_s={short} for_s={long}",
        "stall of=user for_s={long}",
        "close of=user code=1001",
        "reset of=user",
        "logon_expired",
        "terminate",
    )
    of_requests = (
        "ack_lost n={n} path={path} undone={undone}",
        "ack_late n={n} path={path} delay_s={short} undone={undone}",
        "error n={n} path={path} code={code} undone={undone}",
        "status n={n} path={path} code={status} undone={undone}",
        "fill_on_cancel n={n} share={share}",
    )
    of_all = ("restart books=kept for_s={short}", "restart books=lost for_s={short}")
    lines = []
    for _ in range(12):
        fault = draw.choice(draw.choices((of_users, of_requests, of_all), (5, 7, 1))[0])
        values = {
            "n": draw.randint(1, 4),
            "short": round(draw.uniform(0.05, 0.6), 3),
            "long": round(draw.uniform(0.2, 2), 3),
            "path": draw.choice(PATHS) or "''",
            "undone": draw.randint(0, 1),
            "code": draw.choice((-1006, -1007, -1013, -1015, -1021, -2010, -2011)),
            "status": draw.choice((418, 429, 500, 503)),
            "share": round(draw.uniform(0.1, 1), 2),
        }
        lines.append(f"at time {draw.uniform(0.2, STEPS * STEP_S):.3f} do {fault.format(**values)}")
    return "\n".join(lines)


async def act(desk: Floor, talk: Talk, draw: Random, number: int) -> None:
    """Send a random request of alice's, by WebSocket API or REST, and wait until the exchange has handled it."""
    truth = desk.alice.truth["openOrders"]
    which = {"origClientOrderId": draw.choice(truth)["clientOrderId"] if truth else "none"}
    side, price = draw.choice((("BUY", "99.98"), ("BUY", "100.00"), ("SELL", "100.00"), ("SELL", "100.02")))
    new = limit(side, price, draw.choice(("0.5", "2", "7")), newClientOrderId=f"n{number}")
    by_rest = draw.random() < 0.2
    kind = draw.choices(("place", "cancel", "replace", "amend", "all"), (10, 5, 3, 2, 1))[0]
    if by_rest and kind in ("place", "cancel"):
        verb, given = ("POST", new) if kind == "place" else ("DELETE", which)
        waiting = asyncio.create_task(desk.alice.rest(verb, "order", **given))
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return
    replace = {"cancelReplaceMode": draw.choice(("STOP_ON_FAILURE", "ALLOW_FAILURE"))}
    replace["cancelOrigClientOrderId"] = which["origClientOrderId"]
    method, given = {
        "place": ("order.place", new),
        "cancel": ("order.cancel", which),
        "replace": ("order.cancelReplace", new | replace),
        "amend": ("order.amend.keepPriority", which | {"newQty": "0.3"}),
        "all": ("openOrders.cancelAll", {}),
    }[kind]
    await talk.send_signed(method, **given)


async def connected(desk: Floor) -> Talk:
    """Return a session of alice's, as soon as the exchange accepts one."""
    while True:
        try:
            return await desk.talk()
        except GONE:
            desk.talks = [one for one in desk.talks if not one.ended]
            await desk.box.advance(seconds=STEP_S)


async def day(seed: int) -> tuple[str, list[Talk]]:
    """Run a schedule, check the exchange's books, and return them with the client's sessions."""
    draw, failures = Random(seed), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with floor(schedule(draw), scenario="large_tick") as desk:
        talks = [await connected(desk)]
        for number in range(STEPS):
            try:
                await act(desk, talks[-1], draw, number)
                await desk.play(STEP_S)
            except GONE:
                await desk.box.advance(seconds=STEP_S)
            if talks[-1].ended or draw.random() < 0.02:
                talks.append(await connected(desk))
        await desk.box.advance(seconds=5)
        assert not failures
        check_money(desk)
        check_orders(desk)
        check_events(desk, talks)
        return json.dumps([desk.alice.truth, [one.got for one in talks]]), talks


def check_money(desk: Floor) -> None:
    """Balances are the initial funds plus all trades, computed independently; locks are those of open orders."""
    truth, exchange = desk.alice.truth, desk.box.exchange
    moved, locked = Counter[str](), Counter[str]()
    for one in truth["trades"]:
        sign = 1 if one["isBuyer"] else -1
        moved["SIM"] += sign * Decimal(one["qty"])
        moved["USDT"] -= sign * Decimal(one["quoteQty"])
        moved[one["commissionAsset"]] -= Decimal(one["commission"])
    for one in truth["openOrders"]:
        left = Decimal(one["origQty"]) - Decimal(one["executedQty"])
        locked["USDT" if one["side"] == "BUY" else "SIM"] += left * (
            Decimal(one["price"]) if one["side"] == "BUY" else 1
        )
    for one in truth["balances"]:
        asset = one["asset"]
        assert Decimal(one["free"]) + Decimal(one["locked"]) == FUNDS[asset] + moved[asset]
        assert Decimal(one["locked"]) == locked[asset]
    accounts = [*exchange.accounts.values(), exchange.settlement.market, exchange.settlement.fees]
    for name, asset in (("base", "SIM"), ("quote", "USDT")):
        total = sum(getattr(one, name).free + getattr(one, name).locked for one in accounts)
        assert total == 2 * FUNDS[asset] * 10**8


def check_orders(desk: Floor) -> None:
    """Events, requests and orders are consistent, and a request that was not executed has no effect."""
    truth = desk.alice.truth
    status = {one["i"]: one["X"] for one in truth["events"] if one["e"] == EVENTS[0] and one["i"] != -1}
    assert status == {one["orderId"]: one["status"] for one in truth["orders"]}
    open_orders = [one for one in truth["orders"] if one["status"] in ("NEW", "PARTIALLY_FILLED")]
    assert truth["openOrders"] == open_orders
    for one in truth["requests"]:
        outcome, name = one["outcome"], one["params"].get("newClientOrderId")
        if one["method"] == "order.place":
            placed = outcome is not None and outcome["status"] == 200
            assert placed == any(event.get("c") == name for event in truth["events"])
        if outcome is None:
            assert one["faults"]


def check_events(desk: Floor, talks: list[Talk]) -> None:
    """A client received only events that happened."""
    happened = {json.dumps({k: v for k, v in one.items() if k != "us"}) for one in desk.alice.truth["events"]}
    for talk in talks:
        assert {json.dumps(one) for one in talk.events if one["e"] in EVENTS} <= happened


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_books_are_consistent_after_random_faults(seed: int) -> None:
    """The reference for tests of a gateway must be correct itself."""
    asyncio.run(day(seed))


@pytest.mark.slow
def test_schedules_cause_trades_disconnects_and_faults() -> None:
    """Most faults are applied."""
    faults, ends, fills = Counter[str](), 0, 0
    for seed in range(min(SCHEDULES, 6)):
        books, talks = asyncio.run(day(seed))
        truth = json.loads(books)[0]
        faults.update(name for one in truth["requests"] for name in one["faults"])
        fills += len(truth["trades"])
        ends += len(talks) - 1
    assert faults.keys() >= {"ack_lost", "ack_late", "error", "status", "fill_on_cancel"}
    assert fills > 50
    assert ends > 5
