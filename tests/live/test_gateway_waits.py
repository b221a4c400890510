"""Requests that must wait, for the disk or for the acknowledgement of their order, and what overtakes them."""

import asyncio
import time

import pytest
from gateway_rig import (
    ALICE,
    BOB,
    FollowingListener,
    MemoryAudit,
    Rig,
    attempts_of,
    beside,
    make_gateway,
    place_for,
    run_of,
    trading,
)

from mm.errors import TryLater
from mm.instrument import E8, e8
from simulation import inject

SLOW = {"recv_window_ms": 60_000}


class StallingAudit(MemoryAudit):
    """Rows are on the disk while *disk* is set."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = asyncio.Event()
        self.disk.set()

    async def synced(self, seq: int) -> None:
        await self.disk.wait()


async def resting(rig: Rig) -> None:
    """Place order 1, and stall the disk."""
    rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
    await rig.until(lambda: rig.listener.state.get(1) == "open")
    rig.audit.disk.clear()


@pytest.mark.parametrize("kind", ["LIMIT_MAKER", "LIMIT", "IOC", "FOK", "MARKET"])
def test_order_withdrawn_before_it_left_never_leaves(kind: str) -> None:
    """It ends at once; neither order nor cancel is sent when the disk is back."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit(), access=SLOW) as rig:
            rig.audit.disk.clear()
            rig.gateway.orders.place(1, +1, "" if kind == "MARKET" else "99.5", "1", kind)
            rig.gateway.orders.cancel(1)
            await rig.until(lambda: rig.listener.state.get(1) == "rejected")
            assert not rig.gateway.states.open
            rig.audit.disk.set()
            await rig.gateway.stop()
            assert rig.box.exchange.users.all(ALICE) == []
            assert [row["type"] for row in rig.audit.rows] == ["intent", "reject"]

    asyncio.run(scenario())


def test_order_withdrawn_in_the_step_that_placed_it_never_leaves() -> None:
    """Its intent is on the disk at once, and the gateway goes on: a later order leaves, this one does not."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit(), access=SLOW) as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            rig.gateway.orders.cancel(1)
            rig.gateway.orders.place(2, -1, "100.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "open")
            assert rig.listener.state[1] == "rejected"
            assert [order.request.side for order in rig.box.exchange.users.all(ALICE)] == [-1]
            await rig.gateway.stop()

    asyncio.run(scenario())


def test_withdrawn_replacement_cancels_what_it_was_to_replace_at_once() -> None:
    """The disk is still stalled; the replacement never leaves."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit(), access=SLOW) as rig:
            await resting(rig)
            rig.gateway.orders.replace(1, 2, +1, "99.4", "1", "LIMIT_MAKER")
            rig.gateway.orders.cancel(2)
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED")
            assert rig.listener.state[2] == "rejected"
            rig.audit.disk.set()
            await rig.gateway.stop()
            assert len(rig.box.exchange.users.all(ALICE)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("replaces", [False, True])
def test_order_that_waited_longer_than_its_window_never_leaves(replaces: bool) -> None:
    """RECV_WINDOW_MS counts from the intent; what it was to replace is cancelled all the same."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit(), access={"recv_window_ms": 50}) as rig:
            await resting(rig)
            if replaces:
                rig.gateway.orders.replace(1, 2, +1, "99.4", "1", "LIMIT_MAKER")
            else:
                rig.gateway.orders.place(2, -1, "100.5", "1", "LIMIT_MAKER")
            asyncio.get_running_loop().call_later(0.1, rig.audit.disk.set)
            await rig.until(lambda: rig.listener.state.get(2) == "rejected")
            (row,) = rig.audit.of("reject")
            assert "RECV_WINDOW_MS" in row["message"]
            if replaces:
                await rig.until(lambda: rig.listener.state[1] == "CANCELED")
            assert len(rig.box.exchange.users.all(ALICE)) == 1

    asyncio.run(scenario())


def test_nothing_that_waits_for_the_disk_leaves_after_a_kill() -> None:
    """Neither an order nor a replacement."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit(), access=SLOW) as rig:
            await resting(rig)
            rig.gateway.orders.replace(1, 2, +1, "99.4", "1", "LIMIT_MAKER")
            rig.gateway.orders.place(3, -1, "100.5", "1", "IOC")
            rig.gateway.ending.kill()
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED")
            rig.audit.disk.set()
            await rig.until(lambda: not rig.gateway.states.open)
            assert (rig.listener.state[2], rig.listener.state[3]) == ("rejected", "rejected")
            assert len(rig.box.exchange.users.all(ALICE)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("side", "price", "better"), [(+1, "100", "100.5"), (-1, "101", "100.6")])
def test_replacement_may_use_what_the_replaced_order_locks(side: int, price: str, better: str) -> None:
    """Six tenths of the balance rest; the move needs them again, and both sides have them."""

    async def scenario() -> None:
        async with trading() as rig:
            qty = "6000" if side > 0 else "600"
            rig.gateway.orders.place(1, side, price, qty, "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            for number in range(2, 8):
                rig.gateway.orders.replace(
                    number - 1, number, side, better if number % 2 == 0 else price, qty, "LIMIT_MAKER"
                )
                await rig.until(lambda number=number: rig.listener.state.get(number) == "open")
            await rig.until(lambda: rig.listener.ours_e8 == (1_000 * E8, 1_000_000 * E8))
            assert {log[0] for log in rig.listener.log} == {"accepted", "closed"}

    asyncio.run(scenario())


def test_orders_of_the_day_are_asked_for_until_the_exchange_counts_anew() -> None:
    """Its day begins when it says so, not a day after its last answer."""

    async def scenario() -> None:
        async with trading(limits=True, access={"reconcile_interval_s": 1}) as rig:
            count = rig.box.exchange.accounts[ALICE].count
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            count._counts[-1] = 200_000
            rig.gateway.orders.place(2, +1, "99.4", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "rejected")
            rig.gateway.orders.place(3, +1, "99.4", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(3) == "rejected")
            assert "200000 of 200000" in rig.listener.log[-1][-1]
            count._counts = [0] * len(count._counts)
            await rig.until(lambda: not rig.gateway.session.limits.orders_used)
            rig.gateway.orders.place(4, +1, "99.4", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(4) == "open")

    asyncio.run(scenario())


@pytest.mark.parametrize("shared", [True, False])
def test_429_of_one_gateway_stops_those_that_share_its_session_at_once(shared: bool) -> None:
    """As the symbols of a trader do: nothing else of the account is sent, and their quotes are pulled."""

    async def scenario() -> None:
        async with trading(access={"order_transport": "rest"}) as rig:
            terms = run_of("beside", **SLOW)
            listener = FollowingListener()
            if shared:
                other = beside(rig, terms)
                other.reports.attach(listener)
            else:
                other = make_gateway(rig.box, MemoryAudit(), listener, run=terms)
            await other.start()
            inject(rig.box, "at time 0 do status code=429 retry_after=5 path=/api/v3/order")
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "rejected")
            await asyncio.sleep(0)
            assert other.readiness.ready != shared
            other.orders.place(1, +1, "99.4", "1", "LIMIT_MAKER")
            await rig.until(lambda: 1 in listener.state)
            assert listener.state[1] == ("rejected" if shared else "open")
            assert len(rig.box.exchange.users.all(ALICE)) == (0 if shared else 1)
            await other.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("filled", [0, 400, 1_000])
def test_order_withdrawn_before_a_late_acknowledgement_is_cancelled_once_it_has_come(filled: int) -> None:
    """Answer and event are late; what fills meanwhile is booked, and the cancel leaves once."""

    async def scenario() -> None:
        async with trading(access=SLOW) as rig:
            inject(rig.box, "at time 0 do ack_late path=order.place delay_s=0.7")
            inject(rig.box, "at time 0 do lag of=user delay_s=0.7 for_s=1.5")
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(rig.at_exchange)
            rig.gateway.orders.cancel(1)
            rig.gateway.orders.cancel(1)
            if filled:
                place_for(rig, BOB, -1, 9_950, filled)
            await rig.until(lambda: not rig.gateway.states.open)
            assert rig.at_exchange() == []
            cancels = [row for row in rig.audit.of("intent") if row["action"] == "cancel"]
            assert len(cancels) == 1
            assert (rig.listener.state[1] == "CANCELED") == (filled < 1_000)
            assert sum(e8(one.qty) for one in rig.listener.fills) == filled * E8 // 1_000
            rig.check()

    asyncio.run(scenario())


def test_amendment_before_the_acknowledgement_is_sent_after_it() -> None:
    """One intent, one acknowledgement; the order keeps its id."""

    async def scenario() -> None:
        async with trading(audit=StallingAudit()) as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            rig.gateway.orders.amend(1, "0.4")
            await rig.until(lambda: rig.listener.qty.get(1) == "0.4")
            (order,) = rig.at_exchange()
            assert order.lots == 400
            assert [(row["type"], row["action"]) for row in rig.audit.rows] == [
                ("intent", "place"),
                ("ack", "place"),
                ("intent", "amend"),
                ("ack", "amend"),
            ]

    asyncio.run(scenario())


def test_amendment_that_waits_is_dropped_by_a_cancel_and_by_its_order_s_rejection() -> None:
    """The cancel is reported to have failed the amendment; a rejected order has none."""

    async def scenario() -> None:
        async with trading() as rig:
            for number, price in ((1, "99.5"), (2, "99.4")):
                rig.gateway.orders.place(number, +1, price, "1", "LIMIT_MAKER")
                rig.gateway.orders.amend(number, "0.4")
            for _ in range(3):  # the orders leave
                await asyncio.sleep(0)
            rig.gateway.orders.cancel(1)
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED" and 2 in rig.listener.qty)
            assert ("amend_failed", 1, 0) in rig.listener.log
            assert [(row["client_id"], row.get("message")) for row in rig.audit.of("reject")] == [
                (rig.audit.rows[0]["client_id"], "the order is cancelled instead")
            ]
            rig.check()

    asyncio.run(scenario())


def test_amendment_that_cannot_be_sent_after_the_acknowledgement_is_reported() -> None:
    """Below the minimum notional: one row, and the order keeps its quantity."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            rig.gateway.orders.amend(1, "0.01")
            await rig.until(lambda: ("amend_failed", 1, -1013) in rig.listener.log)
            assert [row["action"] for row in rig.audit.of("reject")] == ["amend"]
            assert [order.lots for order in rig.at_exchange()] == [1_000]

    asyncio.run(scenario())


@pytest.mark.parametrize("symbols", [1, 2])
def test_refused_handshake_is_not_repeated_before_retry_after(symbols: int) -> None:
    """By no symbol of the account: the refusal is of this host, and attempts before its end make a ban of it."""

    async def scenario() -> None:
        limits = attempts_of(290, 300)
        async with trading(gateway_limits=limits) as rig:
            gateways = [rig.gateway]
            for _ in range(symbols - 1):
                gateways.append(beside(rig, run_of("other")))
                await gateways[-1].start()
            inject(rig.box, "at connect 1 do refuse_handshake status=429 retry_after=2")
            inject(rig.box, "at time 0 do close of=user")
            await rig.until(lambda: not any(one.readiness.ready for one in gateways))
            began_s = time.monotonic()
            await rig.until(lambda: all(one.readiness.ready for one in gateways))
            assert time.monotonic() - began_s > 1.9
            assert rig.box.injector._attempts == 2  # of the one connection of all
            for one in gateways[1:]:
                await one.stop()

    asyncio.run(scenario())


def test_connections_keep_to_the_budget_of_the_host() -> None:
    """Each attempt counts, whatever became of it, so that a storm of ends is no storm of handshakes."""

    async def scenario() -> None:
        limits = attempts_of(3, 3)
        async with trading(gateway_limits=limits) as rig:
            inject(rig.box, "at connect 1 do storm n=20 of=user")
            began_s = time.monotonic()
            inject(rig.box, "at time 0 do close of=user")
            await rig.until(lambda: rig.box.injector._attempts >= 4)
            assert time.monotonic() - began_s > 2.5

    asyncio.run(scenario())


def test_filters_that_refuse_our_orders_are_asked_for() -> None:
    """A coarser grid shows in no row of the book that rests; the error names it, and the trade ends with 75."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.52", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            inject(rig.box, "at time 0 do filters tick=0.05")
            rig.gateway.orders.replace(1, 2, +1, "99.53", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.gateway.rules.regridded)
            assert "tick_size from 0.01 to 0.05" in str(rig.gateway.rules.regridded)
            assert isinstance(rig.gateway.rules.regridded, TryLater)

    asyncio.run(scenario())
