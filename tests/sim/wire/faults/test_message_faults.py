"""Each fault of messages, as received by a client on loopback: one case per fault."""

import json
from itertools import pairwise

import pytest
from stage import gaps
from wired import Case, book_by, falls, run_case, until, wired

from mm.sim.wire.faults.message_faults import CAPPED_QTY


async def drop() -> None:
    async with wired("at id 1150 on 1 do drop n=2", clients=2) as wire:
        await wire.play()
        (gap,) = gaps(wire.clients[0].depth)
        assert gap[0] <= 1150 <= gap[1]
        assert not gaps(wire.clients[1].depth)
        assert wire.clients[0].log.lost == {"drop": 2}


async def duplicate() -> None:
    async with wired("at trade 5 do duplicate of=trade n=2") as wire:
        await wire.play(4)
        trades = wire.clients[0].trades
        assert [before for before, after in pairwise(trades) if before == after] == [5, 6]
        assert sorted({*trades}) == [*range(1, trades[-1] + 1)]


async def stale() -> None:
    async with wired("at id 1150 do stale back=4") as wire:
        await wire.play(3)
        events = wire.clients[0].depth
        (at,) = falls(events)
        assert events[at] == events[at - 5]
        assert events[at + 1]["U"] == events[at - 1]["u"] + 1


async def overlap() -> None:
    async with wired("at id 1150 do overlap by=40 n=2") as wire:
        snapshot = await wire.depth()
        await wire.play(3)
        events = wire.clients[0].depth
        steps = [after["U"] - before["u"] for before, after in pairwise(events)]
        assert sorted(steps)[:3] == [-39, -39, 1]
        assert book_by(events, snapshot) == wire.box.truth.book(events[-1]["u"])


async def wrong_id() -> None:
    async with wired("at id 1150 do wrong_id by=30") as wire:
        await wire.play(3)
        steps = [after["U"] - before["u"] for before, after in pairwise(wire.clients[0].depth)]
        assert sorted(steps)[:2] == [-29, 1]


async def swap() -> None:
    async with wired("at id 1150 do swap") as wire:
        await wire.play(3)
        ids = [event["u"] for event in wire.clients[0].depth]
        (at,) = falls(wire.clients[0].depth)
        assert sorted(ids) == [*ids[: at - 1], ids[at], ids[at - 1], *ids[at + 1 :]]


async def burst() -> None:
    async with wired("at id 1150 on 1 do burst n=30", clients=2) as wire:
        most = 0
        for _ in range(50):
            before = len(wire.clients[0].got)
            await wire.play(0.1)
            most = max(most, len(wire.clients[0].got) - before)
        assert most >= 30
        assert wire.clients[0].trades == wire.clients[1].trades
        assert not gaps(wire.clients[0].depth)


async def lag() -> None:
    async with wired("at connect 2 do lag delay_s=0.5", clients=2) as wire:
        for _ in range(20):
            await wire.play(0.1)
        quick, slow = (client.trades for client in wire.clients)
        assert slow == quick[: len(slow)]
        trades = wire.box.truth.trades(1, quick[-1])
        assert quick[-1] == wire.box.truth.last_trade_id
        assert all(one.us <= wire.box.scheduler.done_us - 400_000 for one in trades[: len(slow)])
        assert all(one.us >= wire.box.scheduler.done_us - 600_000 for one in trades[len(slow) :])


async def delay() -> None:
    async with wired("at time 0 do delay delay_s=0.5 grow_s=1", clients=2) as wire:
        await wire.play(2)
        assert wire.clients[0].trades == wire.clients[1].trades
        late = wire.box.truth.trades(wire.clients[0].trades[-1] + 1, wire.box.truth.last_trade_id)
        assert all(one.us >= wire.box.scheduler.done_us - 600_000 for one in late)
        assert any(one.us < wire.box.scheduler.done_us - 300_000 for one in late)


async def stall() -> None:
    async with wired("at time 0.5 do stall of=depth for_s=1") as wire:
        await wire.play(3)
        assert len(gaps(wire.clients[0].depth)) == 1
        assert wire.clients[0].trades == [*range(1, wire.box.truth.last_trade_id + 1)]
        assert wire.clients[0].log.lost["stall"] >= 9


async def bad_json() -> None:
    async with wired("at id 1150 do bad_json") as wire:
        await wire.play(3)
        (text,) = [one for one, event in zip(wire.clients[0].got, wire.clients[0].events, strict=True) if not event]
        assert text.startswith('{"e":"depthUpdate"')
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


async def bad_utf8() -> None:
    async with wired("at id 1150 do bad_utf8", clients=1) as wire:
        client = wire.clients[0]
        await wire.play(3)
        await until(lambda: client.ended)
        assert client.ended.sent.code == 1007


async def unknown_event() -> None:
    async with wired("at id 1150 do unknown_event") as wire:
        await wire.play(3)
        assert [event["e"] for event in wire.clients[0].events if event["e"] not in ("trade", "depthUpdate")] == [
            "somethingNew"
        ]
        assert not gaps(wire.clients[0].depth)


async def missing_field() -> None:
    async with wired("at id 1150 do missing_field field=b") as wire:
        await wire.play(3)
        (event,) = [event for event in wire.clients[0].depth if "b" not in event]
        assert set(event) == {"e", "E", "s", "U", "u", "a"}


async def extra_field() -> None:
    async with wired("at id 1150 do extra_field field=pu") as wire:
        snapshot = await wire.depth()
        await wire.play(3)
        assert sum("pu" in event for event in wire.clients[0].depth) == 1
        assert book_by(wire.clients[0].depth, snapshot) == wire.box.truth.book(wire.clients[0].depth[-1]["u"])


async def non_ascii() -> None:
    async with wired("at id 1150 do non_ascii text=Ж") as wire:
        await wire.play(3)
        (text,) = [one for one in wire.clients[0].got if "Ж" in one]
        assert json.loads(text)["note"] == "Ж"


async def binary() -> None:
    async with wired("at id 1150 do binary") as wire:
        await wire.play(3)
        (frame,) = [one for one in wire.clients[0].got if isinstance(one, bytes)]
        assert json.loads(frame)["e"] == "depthUpdate"


async def huge() -> None:
    async with wired("at id 1150 do huge", clients=0) as wire:
        small, large = await wire.connect(), await wire.connect(max_size=None)
        await wire.play(3)
        await until(lambda: small.ended)
        assert small.ended.sent.code == 1009
        assert max(map(len, large.got)) > 2 * 1024 * 1024
        assert not gaps(large.depth)


async def foreign_symbol() -> None:
    async with wired("at id 1150 do foreign_symbol n=2") as wire:
        await wire.play(3)
        assert [event["s"] for event in wire.clients[0].depth if event["s"] != "SIMUSDT"] == ["OTHERUSDT"] * 2


async def crossed() -> None:
    async with wired("at id 1150 do crossed ticks=2") as wire:
        snapshot = await wire.depth()
        await wire.play(3)
        events = wire.clients[0].depth
        at = next(place for place, event in enumerate(events) if event["u"] >= 1150)
        bids, asks = book_by(events[: at + 1], snapshot)
        truth = wire.box.truth.book(events[at]["u"])
        assert float(bids[0][0]) == pytest.approx(float(truth[1][0][0]) + 0.02)
        assert (bids[1:], asks) == truth
        assert book_by(events[:at], snapshot) == wire.box.truth.book(events[at - 1]["u"])
        assert [one.faults for one in wire.clients[0].log.frames if one.faults] == [("crossed",)]


async def off_tick() -> None:
    async with wired("at id 1150 do off_tick") as wire:
        await wire.play(3)
        prices = {price for event in wire.clients[0].depth for price, _ in event["b"] + event["a"]}
        (price,) = [price for price in prices if int(price.replace(".", "")) % 1_000_000]
        assert price.endswith("500000")


async def capped_qty() -> None:
    async with wired("at id 1150 do capped_qty") as wire:
        await wire.play(3)
        levels = [level for event in wire.clients[0].depth for level in event["b"] + event["a"]]
        assert [qty for _, qty in levels if qty == CAPPED_QTY] == [CAPPED_QTY]


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        drop,
        duplicate,
        stale,
        overlap,
        wrong_id,
        swap,
        burst,
        lag,
        delay,
        stall,
        bad_json,
        bad_utf8,
        unknown_event,
        missing_field,
        extra_field,
        non_ascii,
        binary,
        huge,
        foreign_symbol,
        crossed,
        off_tick,
        capped_qty,
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_message_fault_reaches_the_client(name: str) -> None:
    """A fault without effect would make the recorder's tests prove nothing."""
    run_case(CASES[name])
