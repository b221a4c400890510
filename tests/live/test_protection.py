"""The protective stop of a contract, by the clock, at an exchange that keeps waiting orders as the documents say."""

import asyncio

import pytest
from gateway_rig import MemoryAudit, QuietLog
from played_api import PlayedApi

from mm.instrument import E8, Instrument, decimal_text
from mm.live.orders.access import ClientIds
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.protection import LOOK_S, ProtectiveStop
from mm.live.venues.binance_usdm import UsdmVenue
from mm.live.venues.positions import PositionSeen, StopSeen
from mm.live.venues.requests import Outcome
from virtual_loop import VirtualLoop

GRID = Instrument("SIMUSDT", E8 // 10, E8 // 1_000, 0, "SIM", "USDT")


class Exchange:
    """Lets orders wait; *lost* answers of placements are not given, *refuses* are -2021."""

    def __init__(self):
        self.waiting, self.asked, self.lost, self.refuses = {}, [], 0, 0
        self.rest = self

    def request(self, route, parameters, done):
        played = PlayedApi()
        played.request(route, parameters, done)
        self.asked.append((route.verb, dict(parameters)))
        client_id = parameters.get("clientAlgoId")
        if route.verb == "GET":
            played.answer(list(self.waiting.values()))
        elif route.verb == "DELETE" and self.waiting.pop(client_id, None) is None:
            played.answer(code=-2011, status=400)
        elif route.verb == "DELETE":
            played.answer({"algoId": 1, "clientAlgoId": client_id})
        elif self.refuses:
            self.refuses -= 1
            played.answer(code=-2021, status=400)
        else:
            same = [one for one in self.waiting.values() if one["side"] == parameters["side"]]
            assert not same, "the exchange has -4130 for a second one of a side"
            self.waiting[client_id] = {**parameters, "algoId": 1, "algoStatus": "NEW", "actualOrderId": ""}
            if self.lost:
                self.lost -= 1
                played.answer(outcome=Outcome.UNKNOWN)
            else:
                played.answer(self.waiting[client_id])
        return 0

    def triggers(self):
        return [(one["side"], one["triggerPrice"]) for one in self.waiting.values()]


class Rig:
    def __init__(self, share="0.1", adopts=False):
        self.exchange, self.audit, self.told = Exchange(), MemoryAudit(), []
        ids = ClientIds("first", b"first")
        self.others = OtherTraders("SIMUSDT", (ids.run,))
        self.stop = ProtectiveStop(
            "SIMUSDT",
            UsdmVenue("SIMUSDT"),
            self.exchange,
            ids=ids,
            others=self.others,
            audit=self.audit,
            log=QuietLog(),
            share=share,
            adopts=adopts,
            told=self.told.append,
        )
        self.stop.grid = GRID

    async def held(self, qty, mark):
        await self.stop.keep(PositionSeen(qty_e8=round(qty * E8), mark_e8=round(mark * E8)))
        return self.exchange.triggers()


def run(scenario, **terms):
    async def main():
        await scenario(Rig(**terms))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_it_follows_side_and_price_of_what_is_held():
    """A tenth below the mark of a long, above that of a short, on the tick towards it; none when flat."""

    async def scenario(rig):
        assert await rig.held(0, 100) == []
        assert await rig.held(2, 100.57) == [("SELL", "90.6")]  # 90.513 is towards the mark: up to 90.6
        assert await rig.held(5, 101) == [("SELL", "90.6")]  # any quantity, and a small move
        assert await rig.held(5, 104) == [("SELL", "93.6")]
        assert await rig.held(-1, 104) == [("BUY", "114.4")]
        assert await rig.held(0, 104) == []
        assert rig.told == [None, 90.6 * E8, 90.6 * E8, 93.6 * E8, 114.4 * E8, None]
        asked = next(parameters for verb, parameters in rig.exchange.asked if verb == "POST")
        assert {name: asked[name] for name in ("type", "closePosition", "workingType")} == {
            "type": "STOP_MARKET",
            "closePosition": "true",
            "workingType": "MARK_PRICE",
        }
        intents = [row for row in rig.audit.rows if row["type"] == "intent"]
        assert [row["side"] for row in intents] == ["SELL", "SELL", "BUY"]
        assert len({row["client_id"] for row in intents}) == 3

    run(scenario)


def test_a_lost_answer_never_makes_two():
    """It has arrived: the next look finds it, and nothing is placed before."""

    async def scenario(rig):
        rig.exchange.lost = 1
        await rig.held(1, 100)
        assert await rig.held(1, 100) == [("SELL", "90")]
        assert [verb for verb, _ in rig.exchange.asked].count("POST") == 1
        assert rig.told[-1] == 90 * E8

    run(scenario)


def test_refused_one_is_said_and_tried_again_later():
    """Once a minute; meanwhile the position shows as one without."""

    async def scenario(rig):
        rig.exchange.refuses = 1
        for _ in range(10):
            assert await rig.held(1, 100) == []
            await asyncio.sleep(2)
        assert rig.told[-1] == 0
        assert [row["code"] for row in rig.audit.rows if row["type"] == "reject"] == [-2021]
        await asyncio.sleep(60)
        assert await rig.held(1, 100) == [("SELL", "90")]

    run(scenario)


def test_one_that_somebody_cancels_is_placed_again():
    """At the next look; an event of it is looked at once."""

    async def scenario(rig):
        await rig.held(1, 100)
        rig.exchange.waiting.clear()
        await asyncio.sleep(LOOK_S)
        assert len(await rig.held(1, 100)) == 1
        (client_id,) = rig.exchange.waiting
        rig.exchange.waiting.clear()
        rig.stop.heard(StopSeen("SIMUSDT", client_id, -1, 90 * E8, 77, False))
        assert rig.stop.sent_ids == {77}
        assert len(await rig.held(1, 100)) == 1

    run(scenario)


def test_next_start_goes_on_with_that_of_a_predecessor_and_ends_what_is_not_wanted():
    """Of the same run names; without the knob it is ended."""

    async def scenario(rig):
        before = {"clientAlgoId": f"{ClientIds('first', b'first').run}-p7", "symbol": "SIMUSDT", "algoStatus": "NEW"}
        rig.exchange.waiting[before["clientAlgoId"]] = {**before, "side": "SELL", "triggerPrice": "90"}
        found = await rig.held(1, 100)
        assert found == ([("SELL", "90")] if rig.told else [])
        assert [verb for verb, _ in rig.exchange.asked].count("POST") == 0

    run(scenario)
    run(scenario, share=None)


def test_of_several_the_newest_stays():
    """An answer that was lost may leave one of each side."""

    async def scenario(rig):
        for number, side, trigger in ((7, "SELL", "90"), (8, "BUY", "110")):
            client_id = f"{ClientIds('first', b'first').run}-p{number}"
            one = {"clientAlgoId": client_id, "symbol": "SIMUSDT", "algoStatus": "NEW"}
            rig.exchange.waiting[client_id] = {**one, "side": side, "triggerPrice": trigger}
        assert await rig.held(-1, 100) == [("BUY", "110")]
        assert "POST" not in [verb for verb, _ in rig.exchange.asked]

    run(scenario)


def test_one_of_the_other_side_is_no_protection_however_near_its_trigger_is():
    """The position has turned, and the mark price come to where the two are almost equal."""

    async def scenario(rig):
        assert await rig.held(1, 100) == [("SELL", "90")]
        assert await rig.held(-1, 82) == [("BUY", "90.2")]

    run(scenario)


@pytest.mark.parametrize(("client_id", "contested"), [("mm-zzzzzzzzzzzzz-p1", True), ("web_1", False)])
def test_that_of_another_trader_ends_this_one(client_id, contested):
    """A person's own is left alone, and ours stands beside it on the other side."""

    async def scenario(rig):
        one = {
            "clientAlgoId": client_id,
            "symbol": "SIMUSDT",
            "algoStatus": "NEW",
            "side": "BUY",
            "triggerPrice": "120",
        }
        rig.exchange.waiting[client_id] = one
        found = await rig.held(1, 100)
        assert (rig.others.error is not None) == contested
        assert ("BUY", "120") in found

    run(scenario)


@pytest.mark.parametrize(("qty", "killed", "left"), [(1, False, 1), (1, True, 0), (0, False, 0)])
def test_ends(qty, killed, left):
    """It stays for a position that an orderly end leaves; a kill, and a flat end, leave nothing."""

    async def scenario(rig):
        await rig.held(1, 100)
        await rig.stop.end(PositionSeen(qty_e8=qty * E8, mark_e8=100 * E8), killed=killed)
        assert len(rig.exchange.waiting) == left

    run(scenario)


@pytest.mark.parametrize(("qty", "killed"), [(1, True), (0, False)])
def test_none_is_placed_behind_an_end_that_leaves_none(qty, killed):
    """The exchange may tell of the position once more, and of a fill of what was under way."""

    async def scenario(rig):
        await rig.held(1, 100)
        await rig.stop.end(PositionSeen(qty_e8=qty * E8, mark_e8=100 * E8), killed=killed)
        await asyncio.sleep(2 * LOOK_S)
        assert await rig.held(0.4, 101) == []

    run(scenario)


@pytest.mark.parametrize("changes", [(2, 0.5, -1, 0, 3), (-1, 4, 0, 0, 1, 2)])
def test_what_waits_is_for_the_position_of_now_whatever_it_was(changes):
    """One of its side, which closes all of it, and none when flat: the same after each change as after the first."""

    async def scenario(rig):
        for qty in changes:
            await asyncio.sleep(LOOK_S)
            waiting = await rig.held(qty, 100)
            assert waiting == ([] if not qty else [("SELL", "90") if qty > 0 else ("BUY", "110")])
            assert all(one.get("closePosition") == "true" for one in rig.exchange.waiting.values())
            assert not any("quantity" in one for one in rig.exchange.waiting.values())

    run(scenario)


def test_trigger_is_never_farther_than_asked():
    """For any mark on a coarse grid, by plain arithmetic."""

    async def scenario(rig):
        for mark in (99.97, 100.0, 100.03, 123.45):
            for qty, side in ((1, -1), (-1, 1)):
                await rig.held(0, mark)
                ((_, trigger),) = await rig.held(qty, mark)
                far = side * (float(trigger) - mark) / mark
                assert 0.1 - 0.1 / mark <= far <= 0.1 + 1e-9, (mark, trigger)
                assert round(float(trigger) * 10) == pytest.approx(float(trigger) * 10)
        assert decimal_text(GRID.tick_e8) == "0.10000000"

    run(scenario)


def test_start_that_adopts_takes_over_that_of_another_trader():
    """A dead one's, whose logs are not here: it is ended where it does not fit, and nobody is said to trade."""

    async def scenario(rig):
        one = {"clientAlgoId": "mm-zzzzzzzzzzzzz-p1", "symbol": "SIMUSDT", "algoStatus": "NEW"}
        rig.exchange.waiting[one["clientAlgoId"]] = {**one, "side": "BUY", "triggerPrice": "120"}
        assert await rig.held(1, 100) == [("SELL", "90")]
        assert rig.others.error is None

    run(scenario, adopts=True)


def test_cancel_that_is_refused_for_the_rate_leaves_it_waiting():
    """No other one is placed beside it; the next look ends it."""

    async def scenario(rig):
        await rig.held(1, 100)
        send = rig.exchange.request

        def busy(route, parameters, done):
            if route.verb != "DELETE":
                return send(route, parameters, done)
            played = PlayedApi()
            played.request(route, parameters, done)
            played.answer(code=-1003, status=400)
            return 0

        rig.exchange.request = busy
        assert await rig.held(-1, 100) == [("SELL", "90")]
        rig.exchange.request = send
        assert await rig.held(-1, 100) == [("BUY", "110")]

    run(scenario)
