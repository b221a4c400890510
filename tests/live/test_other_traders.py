"""Gateways of one account with audit logs of their own: each knows its own runs' orders, and notices the other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from gateway_rig import ALICE, BOB, FollowingListener, MemoryAudit, Rig, make_gateway, place_for, run_of, trading

from mm.errors import Mismatch, TryLater
from mm.instrument import E8
from mm.live.account.account_check import AccountCheck
from mm.live.orders import gateway as gateways
from mm.live.orders.gateway import Gateway
from mm.live.orders.other_traders import COPIED_US, OtherTraders


def other_in(rig: Rig, **more: object) -> tuple[Gateway, FollowingListener]:
    """Return a gateway of the same account with another audit log, and its listener."""
    listener = FollowingListener()
    return make_gateway(rig.box, MemoryAudit(), listener, run=run_of("other", **more)), listener


def played(scenario: Callable[[Rig, Gateway, FollowingListener], Awaitable[None]]) -> None:
    """Play a scenario with two gateways that are ready."""

    async def run() -> None:
        async with trading() as rig:
            other, listener = other_in(rig)
            try:
                await other.start()
                await scenario(rig, other, listener)
            finally:
                await other.stop()

    asyncio.run(run())


def test_order_of_another_trader_ends_a_start() -> None:
    """It sends nothing, and leaves the order."""

    async def run() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            other, _ = other_in(rig)
            with pytest.raises(TryLater, match="another trader of SIMUSDT"):
                await other.start()
            await other.stop()
            assert len(rig.at_exchange()) == 1
            assert rig.gateway.readiness.contested is None

    asyncio.run(run())


def test_two_that_trade_both_stop_and_cancel_their_own() -> None:
    async def scenario(rig: Rig, other: Gateway, listener: FollowingListener) -> None:
        rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
        other.orders.place(1, +1, "99.4", "1", "LIMIT_MAKER")
        await rig.until(lambda: rig.gateway.readiness.contested and other.readiness.contested)
        assert (rig.gateway.readiness.ready, other.readiness.ready) == (False, False)
        await rig.until(lambda: listener.state.get(1) == "open")
        await other.stop()
        (mine,) = rig.at_exchange()
        assert mine.client_id == rig.audit.of("intent")[0]["client_id"]

    played(scenario)


def test_fills_of_another_trader_are_not_booked() -> None:
    """Nor is one that only a query of trades shows."""

    async def scenario(rig: Rig, other: Gateway, listener: FollowingListener) -> None:
        rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
        await rig.until(lambda: rig.listener.state.get(1) == "open")
        place_for(rig, BOB, -1, 9_950, 1_000)
        await rig.until(lambda: rig.listener.fills)
        other._events.events_lost("executionReport", "cut")
        await asyncio.sleep(0.3)
        assert not listener.fills
        assert other.readiness.contested is not None

    played(scenario)


def test_order_by_hand_is_of_nobody() -> None:
    """Only ids of the form of ours name another trader."""

    async def scenario(rig: Rig, other: Gateway, _listener: FollowingListener) -> None:
        place_for(rig, ALICE, +1, 9_000, 1_000, "web_1")
        await asyncio.sleep(0.3)
        other._events.events_lost("executionReport", "cut")
        await asyncio.sleep(0.3)
        assert (rig.gateway.readiness.contested, other.readiness.contested) == (None, None)

    played(scenario)


@pytest.mark.parametrize("alive", [True, False])
def test_start_whose_balances_another_trader_has_moved_waits_for_a_sign_of_it(alive, monkeypatch) -> None:
    """It may have no order at that moment: 75 if it places one, else the account differs, 3."""
    monkeypatch.setattr(gateways, "OTHER_S", 5.0 if alive else 0.3)

    async def run() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            place_for(rig, BOB, -1, 9_950, 1_000)
            await rig.until(lambda: rig.listener.fills)
            check = AccountCheck(rig.gateway.rules.instrument, (1_000 * E8, 1_000_000 * E8))
            mine = replace(run_of("other"), account=check, last_trade_id=0)
            other = make_gateway(rig.box, MemoryAudit(), FollowingListener(), run=mine)
            starting = asyncio.ensure_future(other.start())
            await rig.until(lambda: other.readiness.differs)
            if alive:
                await asyncio.sleep(0.2)
                rig.gateway.orders.place(2, +1, "90", "1", "LIMIT_MAKER")
            with pytest.raises(TryLater if alive else Mismatch, match="another trader"):
                await starting
            await other.stop()

    asyncio.run(run())


def test_trades_before_the_start_do_not_end_it_as_those_after() -> None:
    """Of a trader that is dead: the balances then differ, which ends the start with 3 and a way out."""
    others = OtherTraders("SIMUSDT", ["mm-a"])
    others.begun_us = 1_000
    others.sees_trade("mm-b-1b", 7, 999)
    assert (others.error, others.before) == (None, "trade 7 is of the order mm-b-1b")
    others.sees_trade("mm-b-1b", 8, 1_000)
    assert "trade 8" in str(others.error)


@pytest.mark.parametrize(("age_us", "new", "found"), [(0, True, False), (1, True, True), (1, False, False)])
def test_new_order_of_a_predecessor_is_of_a_copy_of_its_log(age_us: int, new: bool, found: bool) -> None:
    """None can still be on its way so late after the start."""
    others = OtherTraders("SIMUSDT", ["mm-a"])
    others.begun_us = 5
    assert others.sees_event("mm-a-1b", 5 + COPIED_US + age_us, new=new) is found
    assert (others.error is not None) is found
