"""When a stream of the account's events is taken for dead: only if it says nothing of an order, before or after."""

import asyncio
import json

import pytest
from test_usdm_connection import STREAMS, play

from mm.live.venues.binance_usdm import CANCEL, PLACE
from mm.live.venues.usdm_connection import SILENT_S

EVENT = {"e": "ORDER_TRADE_UPDATE", "o": {}}


def opened(world):
    return sum(url.startswith(STREAMS) for url in world.opened)


@pytest.mark.parametrize(("event_s", "answer_s"), [(0.1, 0.4), (0.4, 0.1)])
def test_event_of_an_order_may_come_before_its_answer(event_s, answer_s):
    """They come over two connections, and either may be faster."""

    async def story(world):
        loop, sent = asyncio.get_running_loop(), []
        world.api.send = lambda text: sent.append(json.loads(text)["id"])
        world.connection.request(PLACE, {"symbol": "SIMUSDT"}, lambda _: None)
        loop.call_later(event_s, world.stream.push, EVENT)
        loop.call_later(answer_s, world.api.push, {"id": sent[0], "status": 200, "result": {}})
        await asyncio.sleep(SILENT_S + 5)
        assert opened(world) == 1

    play(story)


@pytest.mark.parametrize(("route", "refused"), [(CANCEL, False), (PLACE, True)])
def test_only_an_order_that_was_accepted_must_be_told_of(route, refused):
    """A refused order has no event, and a cancel may find an order that has ended before."""

    async def story(world):
        if refused:
            world.answers[route.name] = {"status": 400, "error": {"code": -2019, "msg": "Margin is insufficient."}}
        world.connection.request(route, {"symbol": "SIMUSDT"}, lambda _: None)
        await asyncio.sleep(SILENT_S + 5)
        assert opened(world) == 1

    play(story)


def test_an_order_before_a_new_stream_does_not_end_it():
    """Its event may have come over the old one, or is found by the reconcile of the new one."""

    async def story(world):
        world.connection.request(PLACE, {"symbol": "SIMUSDT"}, lambda _: None)
        await asyncio.sleep(1)
        world.stream.abort()
        await asyncio.sleep(SILENT_S + 10)
        assert opened(world) == 2

    play(story)
