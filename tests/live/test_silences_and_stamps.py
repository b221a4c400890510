"""Requests that the exchange forbids for a time, and those that it refuses for their timestamp."""

import asyncio

import pytest
from gateway_rig import Rig, trading
from sender_rig import Desk

from mm.live.orders.order_steps import Ask, Rejected
from mm.live.venues.requests import ApiAnswer, Outcome

STALE = -1021


async def silent(rig: Rig, seconds: float = 0.4) -> None:
    """Let order 1 rest, then forbid requests for a time."""
    rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
    await rig.until(lambda: rig.listener.state.get(1) == "open")
    rig.gateway.session.limits.hold_off(seconds)


def test_a_cancel_in_a_silence_leaves_as_soon_as_it_ends() -> None:
    """The order may fill meanwhile: no time is lost, and no request is sent before."""

    async def scenario() -> None:
        async with trading() as rig:
            await silent(rig)
            rig.gateway.orders.cancel(1)
            await asyncio.sleep(0.05)
            assert len(rig.at_exchange()) == 1
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED", 20)
            rig.check()

    asyncio.run(scenario())


def test_nothing_is_placed_in_a_silence_and_orders_are_again_after_it() -> None:
    async def scenario() -> None:
        async with trading() as rig:
            await silent(rig)
            rig.gateway.orders.place(2, -1, "100.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "rejected", 20)
            assert not rig.gateway.readiness.ready
            await rig.until(lambda: rig.gateway.readiness.ready, 20)
            rig.gateway.orders.place(3, -1, "100.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(3) == "open", 20)

    asyncio.run(scenario())


def test_a_kill_in_a_silence_cancels_as_soon_as_it_ends() -> None:
    async def scenario() -> None:
        async with trading() as rig:
            await silent(rig)
            rig.gateway.ending.kill()
            assert len(rig.at_exchange()) == 1
            await rig.until(lambda: not rig.at_exchange(), 20)

    asyncio.run(scenario())


@pytest.mark.parametrize(("code", "at_once"), [(STALE, True), (0, False)])
def test_an_order_that_was_refused_for_its_timestamp_cannot_arrive_later(code: int, at_once: bool) -> None:
    """One without an answer may: that it is not there proves nothing before its window has ended."""
    desk = Desk()
    order = desk.order()
    desk.sender.place(order)
    desk.ws.answer(code=code, outcome=Outcome.UNKNOWN, status=400 if code else 0)
    assert desk.steps() == [Ask]
    assert desk.states.absent(order, 7, order.sent_ms + 1) is at_once
    assert desk.steps() == ([Rejected] if at_once else [])
    assert desk.states.absent(order, 7, order.sent_ms + 60_000)


@pytest.mark.parametrize(("code", "at_once"), [(STALE, True), (0, False)])
def test_an_amendment_that_was_refused_for_its_timestamp_cannot_arrive_later(code: int, at_once: bool) -> None:
    desk = Desk()
    order = desk.live()
    desk.states.amending(order, "0.5")
    desk.sender.amend(order)
    desk.ws.answer(code=code, outcome=Outcome.UNKNOWN, status=400 if code else 0)
    assert desk.steps() == [Ask]
    assert desk.states.amend_shown(order, 7, 1_000_001) is at_once
    assert desk.states.amend_shown(order, 7, 1_060_000)


def test_an_order_without_an_answer_keeps_back_its_own_side_alone() -> None:
    """It may rest: a second one of its side would double what is quoted, the other side is still wanted."""

    async def scenario() -> None:
        async with trading() as rig:
            api, lost = rig.gateway.session.orders, []
            real = api.request

            def request(route, parameters, done):
                if route.name == "order.place" and not lost:
                    lost.append(parameters)
                    asyncio.get_running_loop().call_soon(done, ApiAnswer(Outcome.UNKNOWN, 0))
                    return round(rig.gateway.session.clock.timestamp_ms())
                return real(route, parameters, done)

            api.request = request
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: lost)
            await asyncio.sleep(0.02)
            rig.gateway.orders.place(2, +1, "99.4", "1", "LIMIT_MAKER")
            rig.gateway.orders.place(3, -1, "100.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "rejected", 20)
            await rig.until(lambda: rig.listener.state.get(3) == "open", 20)
            await rig.until(lambda: rig.listener.state.get(1) == "rejected", 30)
            rig.gateway.orders.place(4, +1, "99.4", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(4) == "open", 20)

    asyncio.run(scenario())
