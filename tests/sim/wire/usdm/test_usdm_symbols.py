"""Several contracts on one server: one wallet behind their positions; and the limits of requests and connections."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mm.sim.wire.box import LOCKSTEP_US, Box
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import make_box
from usdm_desk import UsdmDesk, limit, run

SIM, BOX = "SIMUSDT", "BOXUSDT"


def box_of(*symbols: str, limits: bool = False) -> Box:
    """Return a server of contracts in lockstep."""
    first, *others = symbols
    box = make_box(symbol=first, begins_us=LOCKSTEP_US, speed=0, limits=limits, market=UsdmMarket())
    for symbol in others:
        make_box(symbol=symbol, begins_us=LOCKSTEP_US, limits=limits, beside=box)
    return box


async def until_closed(socket: ClientConnection) -> None:
    """Read until the connection ends."""
    while True:
        await socket.recv()


async def trade(desk: UsdmDesk, symbol: str, quantity: str, buyer: str = "alice", seller: str = "bob") -> None:
    """Let two users trade at 100."""
    await desk.ask(buyer, "POST", "v1/order", **limit(price="100", quantity=quantity, symbol=symbol))
    await desk.ask(seller, "POST", "v1/order", **limit("SELL", "100", quantity, symbol=symbol))


def test_modes_change_once_no_contract_has_orders_or_positions() -> None:
    """Conditional orders of the second contract count, and its positions have sides of their own."""

    async def case() -> None:
        async with box_of(SIM, BOX).open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            desk = UsdmDesk(box, http)

            async def code(path: str, **params: str) -> int:
                return int((await desk.ask("alice", "POST", path, **params))["code"])

            waits = {"symbol": BOX, "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "1"}
            await desk.ask("alice", "POST", "v1/algoOrder", **waits, triggerPrice="90")
            assert await code("v1/positionSide/dual", dualSidePosition="true") == -4067
            assert await code("v1/multiAssetsMargin", multiAssetsMargin="true") == -4170
            await desk.ask("alice", "DELETE", "v1/algoOpenOrders", symbol=BOX)
            assert await code("v1/positionSide/dual", dualSidePosition="true") == 200
            await desk.ask("alice", "POST", "v1/order", **limit("SELL", symbol=BOX), positionSide="SHORT")
            await desk.ask("bob", "POST", "v1/order", **limit(symbol=BOX))
            assert await code("v1/positionSide/dual", dualSidePosition="false") == -4068
            rows = await desk.ask("alice", "GET", "v2/positionRisk")
            held = [(one["symbol"], one["positionSide"], float(one["positionAmt"])) for one in rows]
            assert held == [(SIM, "LONG", 0), (SIM, "SHORT", 0), (BOX, "LONG", 0), (BOX, "SHORT", -1)]

    run(case)


def test_positions_of_both_contracts_share_one_margin() -> None:
    """The gain of one carries the loss of the other; both are in the account, the positions and the events."""

    async def case() -> None:
        async with box_of(SIM, BOX).open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            desk = UsdmDesk(box, http)
            await http.post("/sim/transfer", json={"user": "alice", "asset": "USDT", "amount": "-998000"})
            key = (await desk.key("alice"))["listenKey"]
            ear = await desk.hear(f"/private/ws?listenKey={key}")
            await trade(desk, SIM, "100")
            await trade(desk, BOX, "100", "bob", "alice")
            await http.post("/sim/mark", json={"price": "90"})
            await http.post("/sim/mark", params={"symbol": BOX}, json={"price": "89"})
            await box.advance(seconds=2)
            account = await desk.ask("alice", "GET", "v3/account")
            assert account["totalUnrealizedProfit"] == "100.00000000"
            assert [one["symbol"] for one in account["positions"]] == [SIM, BOX]
            assert {one["symbol"] for one in await desk.ask("alice", "GET", "v3/positionRisk")} == {SIM, BOX}
            assert [one["symbol"] for one in (await desk.get("v1/exchangeInfo"))["symbols"]] == [SIM, BOX]
            await ear.until(lambda ear: ear.kinds.count("ACCOUNT_UPDATE") == 2)
            changed = [one["a"]["P"][0]["s"] for one in ear.got if one["e"] == "ACCOUNT_UPDATE"]
            assert changed == [SIM, BOX]
            await http.post("/sim/mark", params={"symbol": BOX}, json={"price": "115"})
            await box.advance(seconds=2)
            left = await desk.ask("alice", "GET", "v3/account")
            assert left["positions"] == []
            assert Decimal(left["totalWalletBalance"]) >= 0
            await ear.close()

    run(case)


def test_a_session_of_the_websocket_api_reaches_each_contract() -> None:
    """A request goes to its symbol; a listen key is for all."""

    async def case() -> None:
        async with box_of(SIM, BOX).open() as box, httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            desk = UsdmDesk(box, http)
            ear = await desk.hear("/ws-fapi/v1")
            for symbol in (SIM, BOX):
                answer = await ear.ask(method="order.place", params=desk.signed("alice", **limit(symbol=symbol)))
                assert (answer["result"]["symbol"], answer["result"]["status"]) == (symbol, "NEW")
            found = await ear.ask(method="userDataStream.start", params={"apiKey": desk.accounts["alice"]["api_key"]})
            assert found["result"] == await desk.key("alice")
            await ear.close()

    run(case)


def test_too_much_weight_is_refused_and_then_banned() -> None:
    """2,400 a minute: 20 for each deep snapshot."""

    async def case() -> None:
        async with (
            box_of(SIM, limits=True).open() as box,
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http,
        ):
            request = {"symbol": SIM, "limit": 1_000}
            codes = [(await http.get("/fapi/v1/depth", params=request)).status_code for _ in range(132)]
            assert codes == [200] * 120 + [429] * 10 + [418] * 2

    run(case)


def test_a_connection_may_send_ten_messages_a_second() -> None:
    """Twice as many as on Spot."""

    async def case() -> None:
        async with (
            box_of(SIM, limits=True).open() as box,
            connect(f"{box.ws_url}/public/ws", proxy=None) as socket,
            asyncio.timeout(20),
        ):
            for number in range(10):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            answers = [json.loads(await socket.recv()) for _ in range(10)]
            assert [one["id"] for one in answers] == list(range(10))
            for number in range(11):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            with pytest.raises(ConnectionClosed, match="Too many requests"):
                await until_closed(socket)

    run(case)


def test_equal_calls_give_equal_bytes() -> None:
    """The market, mark prices and answers depend on the seed alone, listen keys included."""

    async def played() -> list[Any]:
        async with (
            Box.in_lockstep("zero_intelligence", seed=3, market=UsdmMarket()).open() as box,
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http,
        ):
            desk = UsdmDesk(box, http)
            await box.advance(seconds=30)
            market = {"symbol": SIM, "side": "BUY", "type": "MARKET", "quantity": "0.5", "newOrderRespType": "RESULT"}
            order = await desk.ask("alice", "POST", "v1/order", **market)
            await box.advance(seconds=30)
            return [order, await desk.key("alice"), await desk.truth(), await desk.get("v1/premiumIndex")]

    async def case() -> None:
        assert await played() == await played()

    run(case)
