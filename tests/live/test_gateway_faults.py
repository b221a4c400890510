"""The gateway with the scripted faults of the exchange in a box, over real sockets and in real time."""

import asyncio
import time

import pytest
from gateway_rig import ALICE, LOT_E8, Rig, trading
from test_gateway import bob

from mm.live.knobs import OrderAccess
from simulation import inject
from support import in_time

QUICK = OrderAccess(recv_window_ms=1000, reconcile_interval_s=1.0)
HUNDRED = OrderAccess(reconcile_interval_s=1.0)
"""For a hundred orders at once: with a short window a busy machine is too late for some, which are then refused."""

SCRIPTS = [
    "ack_lost path=order.place",
    "ack_lost path=order.place undone=1",
    "ack_lost path=order.cancel",
    "ack_lost path=order.cancelReplace",
    "ack_lost path=order.cancelReplace undone=1",
    "ack_late path=order.place delay_s=0.3",
    "ack_late path=order.place delay_s=0.3 undone=1",
    "ack_late path=order.cancelReplace delay_s=2.5",
    "ack_lost path=order.amend.keepPriority",
    "ack_lost path=order.amend.keepPriority undone=1",
    "ack_late path=order.amend.keepPriority delay_s=2.5",
    *(
        f"error code={code} path={path}{undone}"
        for code in (-1006, -1007, -1021)
        for undone in ("", " undone=1")
        for path in ("order.place", "order.cancel", "order.cancelReplace", "order.amend.keepPriority")
    ),
    *(f"error code={code} path=order.amend.keepPriority undone=1" for code in (-1013, -1015, -2013, -2038)),
    *(f"error code={code} path=order.place undone=1" for code in (-1000, -1001, -1008, -1013, -1015, -2010)),
    "error code=-2011 path=order.cancel undone=1",
    "fill_on_cancel path=order.cancel",
    "fill_on_cancel path=order.cancel share=0.5",
    "fill_on_cancel path=order.amend.keepPriority",
    "fill_on_cancel path=order.amend.keepPriority share=0.5",
    "status code=503 path=order.amend.keepPriority",
    "fill_on_cancel path=order.cancelReplace",
    "fill_on_cancel path=order.cancelReplace share=0.5",
    "status code=503 path=order.place",
    "status code=503 path=order.place undone=1",
    "status code=429 path=order.place retry_after=1",
    "status code=418 path=order.cancel retry_after=1",
    "drop n=2 of=user",
    "duplicate n=9 of=user",
    "swap n=3 of=user",
    "lag delay_s=0.4 of=user for_s=3",
    "stall of=user for_s=1",
    "mute for_s=1 of=user",
    "half_open of=user",
    "reset of=user",
    "close code=1006 of=user",
    "shutdown lead_s=0.2 of=user",
    "logon_expired",
    "terminate",
    "restart books=kept for_s=0.3",
    "restart books=lost for_s=0.3",
]


async def until_settled(rig: Rig) -> None:
    """Wait until the gateway is ready and matches the exchange's state."""

    def settled() -> bool:
        ours = {order.client_id for order in rig.gateway.states.open.values()}
        live = {order.client_id for order in rig.at_exchange()}
        lots = {order.client_id: order.lots * LOT_E8 for order in rig.at_exchange()}
        fills = [fill.trade_id for fill in rig.listener.fills]
        truth = [fill.trade_id for fill in rig.box.exchange.users.fills(ALICE)]
        known = not any(order.doubt.value or order.amend_qty for order in rig.gateway.states.open.values())
        known = known and all(order.qty_e8 == lots.get(name) for name, order in rig.gateway.states.open.items())
        return rig.gateway.readiness.ready and ours == live and sorted(fills) == truth and known

    await rig.until(settled, 12)


async def trade_with_fault(rig: Rig, script: str, kind: str) -> None:
    """Trade with one fault: place, amend, replace, cancel and fill; then compare."""
    gateway, listener = rig.gateway, rig.listener
    gateway.orders.place(1, +1, "99", "1", "LIMIT_MAKER")
    gateway.orders.place(2, -1, "101", "1", "LIMIT_MAKER")
    gateway.orders.place(5, -1, "102", "1", "LIMIT_MAKER")
    await rig.until(lambda: len(rig.at_exchange()) == 3)
    inject(rig.box, f"at time 0 do {script}")
    gateway.orders.amend(5, "0.4")
    gateway.orders.place(3, +1, "98", "0.5", "LIMIT_MAKER")
    gateway.orders.replace(1, 4, +1, "99.5", "0.7", "LIMIT_MAKER")
    gateway.orders.cancel(2)
    await asyncio.sleep(0.02)
    bob(rig, -1, 9_950, 200)
    await until_settled(rig)
    rig.check()
    if listener.state.get(4) == "open":
        bob(rig, -1, 9_950, 2_000)
        await until_settled(rig)
    bob(rig, +1, 10_200, 250)
    await until_settled(rig)
    rig.check()
    if "amend" in script:
        assert {("amended", 5), ("amend_failed", 5), ("filled", 5)} & {one[:2] for one in listener.log}
    places = [row for row in rig.audit.of("intent") if row["action"] not in ("cancel", "amend")]
    assert len({row["client_id"] for row in places}) == len(places)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_books_are_equal_after_any_fault(part: int) -> None:
    """Orders, fills, position and cash, to the last decimal; several exchanges run at once."""

    async def one(number: int, script: str) -> None:
        kind = "HMAC" if number % 2 else "ED25519"
        async with trading(kind=kind, access=QUICK) as rig:
            try:
                await trade_with_fault(rig, script, kind)
            except (AssertionError, TimeoutError) as error:
                error.add_note(f"{script}: {rig.listener.log} {rig.gateway.log.lines}")  # type: ignore[attr-defined]
                raise
            assert not [line for line in rig.gateway.log.lines if "contradiction" in line[0]] or "code=-1021" in script

    async def several() -> None:
        async with asyncio.TaskGroup() as group:
            for number, script in list(enumerate(SCRIPTS))[part::8]:
                group.create_task(one(number, script))

    asyncio.run(several())


KILLS = ["", "stall of=user", "mute of=user", "half_open of=user"]


@pytest.mark.slow
@pytest.mark.parametrize("script", KILLS)
def test_kill_cancels_100_orders_in_time(script: str) -> None:
    """Until no order is open at the exchange, with the user stream or the whole connection dead."""

    async def kill() -> None:
        async with trading(access=HUNDRED) as rig:
            for number in range(1, 101):
                side = +1 if number % 2 else -1
                price = f"{100 - side * (1 + number / 100):.2f}"
                rig.gateway.orders.place(number, side, price, "0.5", "LIMIT_MAKER")
            await rig.until(lambda: len(rig.at_exchange()) == 100)
            if script:
                inject(rig.box, f"at time 0 do {script}")
            began_s = time.monotonic()
            rig.gateway.ending.kill()
            await rig.until(lambda: not rig.at_exchange())
            assert in_time(time.monotonic() - began_s)
            rig.gateway.orders.place(200, +1, "99", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(200) == "rejected")
            await rig.until(lambda: not rig.gateway.states.open)
            assert len(rig.box.exchange.users.all(ALICE)) == 100
            rig.check()

    asyncio.run(kill())


def test_kill_without_websocket_cancels_by_rest() -> None:
    """The connection is lost, and no new one can be made."""

    async def kill() -> None:
        async with trading(access=HUNDRED) as rig:
            for number in range(1, 101):
                rig.gateway.orders.place(number, +1, f"{99 - number / 100:.2f}", "0.5", "LIMIT_MAKER")
            await rig.until(lambda: len(rig.at_exchange()) == 100)
            inject(rig.box, "at time 0 do storm n=1000 of=user\nat time 0 do reset of=user")
            await rig.until(lambda: not rig.gateway.session.ws.up)
            began_s = time.monotonic()
            rig.gateway.ending.kill()
            await rig.until(lambda: not rig.at_exchange())
            assert in_time(time.monotonic() - began_s)
            await rig.until(lambda: not rig.gateway.states.open)

    asyncio.run(kill())


@pytest.mark.slow
def test_foreign_orders_are_cancelled_only_if_adopted() -> None:
    """An order that was placed by hand on the same account."""
    from mm.sim.exchange.orders import NewOrder

    async def start(adopt: bool) -> int:
        async with trading(access=OrderAccess(adopt=adopt, reconcile_interval_s=1.0)) as rig:
            new = NewOrder(side=+1, type="LIMIT", ticks=9_000, lots=1_000, client_id="by-hand")
            rig.box.exchange.place(rig.box.exchange.now_us, ALICE, new)
            await asyncio.sleep(1.5)
            rig.gateway.ending.kill()
            await asyncio.sleep(0.3)
            return len(rig.at_exchange())

    assert asyncio.run(start(adopt=False)) == 1
    assert asyncio.run(start(adopt=True)) == 0


def test_unknown_orders_of_an_earlier_run_are_cancelled() -> None:
    """The end of its audit log was lost; the client id names a run that the log has."""
    from mm.sim.exchange.orders import NewOrder

    async def start() -> None:
        async with trading(access=QUICK, runs=["mm-lost"]) as rig:
            new = NewOrder(side=+1, type="LIMIT", ticks=9_000, lots=1_000, client_id="mm-lost-1b")
            rig.box.exchange.place(rig.box.exchange.now_us, ALICE, new)
            await rig.until(lambda: not rig.at_exchange())

    asyncio.run(start())
