"""Each fault of responses, and of the whole exchange, as received by a client on loopback: one case per fault."""

import asyncio
from itertools import pairwise

import httpx
import pytest
from stage import gaps
from wired import Case, book_by, falls, run_case, wired

from mm.errors import UsageError
from simulation import inject


async def status() -> None:
    async with wired("at request 1 of /api/v3/depth do status code=418 retry_after=120 n=2") as wire:
        assert (await wire.info())["status"] == "TRADING"
        for _ in range(2):
            answer = await wire.rest.get("/api/v3/depth", params={"symbol": "SIMUSDT"})
            assert (answer.status_code, answer.headers["Retry-After"]) == (418, "120")
            assert answer.json()["code"] == -1003
        assert "lastUpdateId" in await wire.depth()
    for code in (403, 429, 500, 502, 504):
        async with wired(f"at request 1 do status code={code}", clients=0) as wire:
            assert (await wire.rest.get("/api/v3/time")).status_code == code
            assert (await wire.rest.get("/api/v3/time")).status_code == 200


async def slow() -> None:
    async with wired("at request 1 do slow delay_s=0.05") as wire:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answer = asyncio.create_task(wire.rest.get("/api/v3/time"))
        await wire.play(1)
        assert wire.clients[0].depth, "the streams continue while the answer is delayed"
        assert not answer.done()
        assert (await answer).status_code == 200
        assert loop.time() - began_s >= 0.05


async def cut_body() -> None:
    async with wired("at request 1 of /api/v3/depth do cut_body share=0.3") as wire:
        with pytest.raises(httpx.RemoteProtocolError):
            await wire.depth()
        assert "lastUpdateId" in await wire.depth()


async def reset_request() -> None:
    async with wired("at request 1 of /api/v3/depth do reset_request") as wire:
        with pytest.raises(httpx.ReadError):
            await wire.depth()
        assert "lastUpdateId" in await wire.depth()


async def broken_body() -> None:
    async with wired("at request 1 of /api/v3/depth do broken_body") as wire:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            await wire.depth()
        assert "lastUpdateId" in await wire.depth()


async def empty_sides() -> None:
    for side, empty in (("both", {"bids", "asks"}), ("bids", {"bids"}), ("asks", {"asks"})):
        async with wired(f"at request 1 do empty_sides side={side}") as wire:
            content = await wire.depth()
            assert {name for name in ("bids", "asks") if not content[name]} == empty
            content = await wire.depth()
            assert content["bids"]
            assert content["asks"]


async def wrong_symbol() -> None:
    script = "at request 1 of /api/v3/depth do wrong_symbol\nat request 1 of /api/v3/exchangeInfo do wrong_symbol"
    async with wired(script) as wire:
        wrong, right = await wire.depth(), await wire.depth()
        assert float(wrong["bids"][0][0]) == pytest.approx(float(right["bids"][0][0]) / 2, abs=0.02)
        assert wrong["lastUpdateId"] < right["lastUpdateId"]
        assert [(await wire.info())["symbol"] for _ in range(2)] == ["OTHERUSDT", "SIMUSDT"]


async def snapshot() -> None:
    for where in ("old", "before", "inside", "newer"):
        async with wired(f"at request 1 do snapshot where={where} back=7 n=2") as wire:
            await wire.play(2)
            events = wire.clients[0].depth
            first, last = events[0]["U"], events[0]["u"]
            expected = {"old": first - 8, "before": first - 1, "inside": (first + last) // 2}
            for _ in range(2):
                content = await wire.depth()
                assert content["lastUpdateId"] == expected.get(where, wire.box.truth.last_update_id)
                assert book_by([], content) == wire.box.truth.book(content["lastUpdateId"])
            if where != "old":
                assert book_by(events, content) == wire.box.truth.book(max(events[-1]["u"], content["lastUpdateId"]))
            assert (await wire.depth())["lastUpdateId"] == wire.box.truth.last_update_id


async def filters() -> None:
    async with wired("at request 2 do filters tick=0.5 step=0.02\nat request 4 do filters tick=0.01") as wire:
        filters_of = [{one["filterType"]: one for one in (await wire.info())["filters"]} for _ in range(4)]
        ticks = [one["PRICE_FILTER"]["tickSize"] for one in filters_of]
        assert ticks == ["0.01000000", "0.50000000", "0.50000000", "0.01000000"]
        assert [one["LOT_SIZE"]["stepSize"] for one in filters_of[1:]] == ["0.02000000"] * 3
        for steps, message in (("tick=0.005", "multiple of the market's step 0.01"), ("step=x", "plain decimal")):
            with pytest.raises(UsageError, match=message):
                inject(wire.box, f"at time 0 do filters {steps}")


async def halt() -> None:
    async with wired("at time 0.5 do halt for_s=1.5") as wire:
        await wire.play(0.6)
        late = await wire.connect()
        before = len(wire.clients[0].got)
        await wire.play(1)
        assert (await wire.info())["status"] == "BREAK"
        assert (len(wire.clients[0].got), len(late.got)) == (before, 0)
        await wire.play(1)
        assert (await wire.info())["status"] == "TRADING"
        assert not gaps(wire.clients[0].depth)
        assert wire.clients[0].trades == [*range(1, wire.box.truth.last_trade_id + 1)]
        assert late.depth


async def id_reset() -> None:
    async with wired("at id 1150 do id_reset first=7", clients=2) as wire:
        await wire.play(3)
        for client in wire.clients:
            events = client.depth
            (at,) = falls(events)
            assert events[at]["U"] == 7
            assert not gaps(events[:at])
            assert not gaps(events[at:])
            old = wire.box.truth.book(1149, era=0)
            snapshot = {"lastUpdateId": 6, "bids": old[0], "asks": old[1]}
            assert book_by(events[at:], snapshot) == wire.box.truth.book(events[-1]["u"])
        content = await wire.depth()
        assert content["lastUpdateId"] == wire.box.truth.last_update_id < 1000
        assert book_by([], content) == wire.box.truth.book(content["lastUpdateId"])
        assert wire.clients[0].trades == [*range(1, wire.box.truth.last_trade_id + 1)]


async def clock_offset() -> None:
    async with wired("at time 1 do clock_offset ms=-1300") as wire:
        await wire.play(0.9)
        true = (await wire.rest.get("/api/v3/time")).json()["serverTime"]
        assert true == wire.box.scheduler.done_us // 1_000
        await wire.play(1)
        assert (await wire.rest.get("/api/v3/time")).json()["serverTime"] == wire.box.scheduler.done_us // 1_000 - 1_300
        stamps = [event["E"] for event in wire.clients[0].depth]
        (fall,) = [after - before for before, after in pairwise(stamps) if after < before]
        assert fall == -1_200
        times = (await wire.rest.get("/api/v3/trades", params={"symbol": "SIMUSDT"})).json()
        since_us = wire.box.injector._start_us + 1_000_000
        trades = wire.box.truth.trades(1, wire.box.truth.last_trade_id)
        assert [one["time"] for one in times] == [
            one.us // 1_000 - (1_300 if one.us > since_us else 0) for one in trades
        ]
        assert trades[0].us < since_us < trades[-1].us


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        status,
        slow,
        cut_body,
        reset_request,
        broken_body,
        empty_sides,
        wrong_symbol,
        snapshot,
        filters,
        halt,
        id_reset,
        clock_offset,
    )
}


@pytest.mark.parametrize("name", CASES)
def test_response_fault_reaches_the_client(name: str) -> None:
    """A snapshot that never loads, and one that must not be used, are the recorder's hardest cases."""
    run_case(CASES[name])
