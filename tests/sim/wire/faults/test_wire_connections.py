"""Each fault of whole connections, as received by a client on loopback: one case per fault."""

import asyncio

import pytest
from stage import gaps
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from wired import STREAMS, Case, run_case, until, wired


async def close() -> None:
    for code in (1000, 1001, 1008, 1011):
        async with wired(f"at time 0.5 on 1 do close code={code} reason=because", clients=2) as wire:
            client, other = wire.clients
            await wire.play(1)
            await until(lambda client=client: client.ended)
            assert (client.ended.rcvd.code, client.ended.rcvd.reason) == (code, "because")
            assert client.trades == other.trades[: len(client.trades)]
            assert other.ended is None
    async with wired("at time 0.5 do close code=1006") as wire:
        client = wire.clients[0]
        await wire.play(1)
        await until(lambda: client.ended)
        assert isinstance(client.ended, ConnectionClosedError)
        assert client.ended.rcvd is None
        assert isinstance(client.ended.__cause__, (EOFError, type(None)))
        assert len(client.got) == sum(client.log.counts.values())


async def reset() -> None:
    async with wired("at time 0.5 do reset") as wire:
        client = wire.clients[0]
        await wire.play(1)
        await until(lambda: client.ended)
        assert client.ended.rcvd is None
        assert isinstance(client.ended.__cause__, ConnectionResetError)


async def answered(client) -> bool:
    """Return whether a ping is answered within 200 iterations of the event loop."""
    pong = await client.connection.ping()
    for _ in range(200):
        await asyncio.sleep(0)
    return pong.done()


async def mute() -> None:
    async with wired("at time 0.5 on 1 do mute for_s=1", clients=2) as wire:
        client, other = wire.clients
        await wire.box.advance(seconds=0.45)
        assert await answered(client)
        before = len(client.got)
        await wire.box.advance(seconds=1)
        await other.caught_up()
        assert not await answered(client)
        assert await answered(other)
        assert len(client.got) == before
        await wire.box.advance(seconds=1)
        await until(lambda: len(client.got) > before)
        assert await answered(client)
        await client.caught_up()
        assert not gaps(client.depth)


async def half_open() -> None:
    async with wired("at time 0.5 on 1 do half_open", clients=2) as wire:
        client, other = wire.clients
        await wire.box.advance(seconds=2)
        await other.caught_up()
        before = len(client.got)
        assert not await answered(client)
        for one in (client, other):
            await one.connection.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await until(lambda: other.events[-1].get("id") == 1)
        for one in (client, other):
            await one.connection.send("x" * 100_000)
        await until(lambda: other.ended)
        assert len(client.got) == before
        assert client.ended is None, "a message that is not read cannot be too long"


async def shutdown() -> None:
    async with wired("at time 0.5 on 1 do shutdown lead_s=1", clients=2) as wire:
        client = wire.clients[0]
        await wire.box.advance(seconds=1.2)
        await wire.clients[1].caught_up()
        (event,) = [event for event in client.events if event["e"] == "serverShutdown"]
        assert event == {"e": "serverShutdown", "E": client.events[client.events.index(event)]["E"]}
        assert client.ended is None
        assert client.depth[-1]["E"] > event["E"]
        await wire.box.advance(seconds=0.5)
        await until(lambda: client.ended)
        assert client.ended.rcvd.code == 1001
        assert not gaps(client.depth)


async def age() -> None:
    async with wired("at time 0 do age max_s=1") as wire:
        await wire.play(0.6)
        late = await wire.connect()
        await wire.play(0.6)
        await until(lambda: wire.clients[0].ended)
        assert wire.clients[0].ended.rcvd.code == 1001
        assert late.ended is None
        await wire.play(0.6)
        await until(lambda: late.ended)


async def storm() -> None:
    async with wired("at connect 2 do storm n=3 code=1001") as wire:
        for _ in range(3):
            client = await wire.connect()
            await until(lambda client=client: client.ended)
            assert client.ended.rcvd.code == 1001
            assert not client.got
        survivor = await wire.connect()
        await wire.play(1)
        assert survivor.depth
        assert wire.clients[0].ended is None


async def phase() -> None:
    script = "at connect 1 do phase ms=10\nat connect 2 do phase ms=10\nat connect 3 do phase ms=60"
    async with wired(script, clients=3) as wire:
        await wire.play(2)
        one, same, shifted = ([(event["U"], event["u"]) for event in client.depth] for client in wire.clients)
        assert one == same
        assert {u for _, u in one}.isdisjoint({u for _, u in shifted})
        assert {event["E"] % 100 for event in wire.clients[2].depth} == {60}


async def refuse_handshake() -> None:
    async with wired("at connect 2 do refuse_handshake status=429 retry_after=9 n=2") as wire:
        for _ in range(2):
            with pytest.raises(InvalidStatus) as caught:
                await wire.connect()
            assert caught.value.response.status_code == 429
            assert caught.value.response.headers["Retry-After"] == "9"
        await wire.connect(STREAMS)


async def refuse_connect() -> None:
    async with wired("at connect 2 do refuse_connect") as wire:
        with pytest.raises((ConnectionResetError, InvalidMessage)):
            await wire.connect()
        await wire.connect()


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (close, reset, mute, half_open, shutdown, age, storm, phase, refuse_handshake, refuse_connect)
}


@pytest.mark.parametrize("name", CASES)
def test_connection_fault_reaches_the_client(name: str) -> None:
    """Reconnecting clients must distinguish how a connection ends."""
    run_case(CASES[name])
