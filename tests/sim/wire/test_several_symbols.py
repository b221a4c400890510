"""``mm sim serve`` of several symbols: one server, the same accounts, one balance of the quote asset."""

import asyncio
import json

import httpx
import pytest
from websockets.asyncio.client import connect

from mm.sim.wire.box import LOCKSTEP_US
from serving import serving, signed
from simulation import make_box

SYMBOLS = ("SIMUSDT", "BOXUSDT")


@pytest.fixture(scope="module")
def served():
    with serving("--symbol", ",".join(SYMBOLS), "--scenario", "empty") as (_, ready):
        yield ready


def order(ready, user, symbol, side, price, quantity):
    terms = {"symbol": symbol, "side": side, "type": "LIMIT", "timeInForce": "GTC"}
    answer = signed(ready, user, "POST", "order", **terms, price=price, quantity=quantity)
    assert answer.status_code == 200, answer.text
    return answer.json()


def held(ready, user):
    balances = signed(ready, user, "GET", "account").json()["balances"]
    return {one["asset"]: (float(one["free"]), float(one["locked"])) for one in balances}


def test_orders_of_both_symbols_spend_one_balance(served):
    for symbol, price in zip(SYMBOLS, ("100.00", "99.00"), strict=True):
        order(served, "alice", symbol, "BUY", price, "2")
    assert held(served, "alice")["USDT"] == (1e6 - 398, 398)
    order(served, "bob", "BOXUSDT", "SELL", "99.00", "2")
    own = held(served, "alice")
    assert own["BOX"][0] == pytest.approx(1_002 - 0.002)
    assert (own["SIM"], own["USDT"]) == ((1_000, 0), (1e6 - 398, 200))


def test_each_symbol_has_its_own_rules_book_and_orders(served):
    with httpx.Client(base_url=f"{served['rest_url']}/api/v3/", trust_env=False) as client:
        for symbol in SYMBOLS:
            (entry,) = client.get("exchangeInfo", params={"symbol": symbol}).json()["symbols"]
            assert (entry["symbol"], entry["baseAsset"]) == (symbol, symbol.removesuffix("USDT"))
        assert client.get("depth", params={"symbol": "NOPEUSDT"}).json()["code"] == -1121
        before = [client.get("depth", params={"symbol": symbol}).json()["bids"] for symbol in SYMBOLS]
        order(served, "bob", "BOXUSDT", "BUY", "98.00", "1")
        after = [client.get("depth", params={"symbol": symbol}).json()["bids"] for symbol in SYMBOLS]
    assert before[0] == after[0]
    assert after[1] == [*before[1], ["98.00000000", "1.00000000"]] or after[1][-1][:2] == ["98.00", "1.00000"]


def test_one_connection_has_streams_and_requests_of_both_symbols():
    async def scenario():
        async with asyncio.timeout(60):
            return await talk()

    async def talk():
        terms = {"begins_us": LOCKSTEP_US, "hours": 1.0, "limits": False}
        first = make_box("poisson", SYMBOLS[0], seed=0, speed=0, **terms)
        make_box("poisson", SYMBOLS[1], seed=1, beside=first, **terms)
        async with first.open() as box:
            streams = "/".join(f"{symbol.lower()}@depth@100ms" for symbol in SYMBOLS)
            async with (
                connect(f"{box.ws_url}/stream?streams={streams}", proxy=None) as market,
                connect(f"{box.ready()['ws_api_url']}", proxy=None) as api,
            ):
                await box.advance(seconds=2)
                seen = {json.loads(await market.recv())["data"]["s"] for _ in range(4)}
                books = []
                for number, symbol in enumerate(SYMBOLS):
                    request = {"id": number, "method": "depth", "params": {"symbol": symbol, "limit": 5}}
                    await api.send(json.dumps(request))
                    books.append(json.loads(await api.recv()))
                await api.send(json.dumps({"id": 9, "method": "time"}))
                last = json.loads(await api.recv())
        return seen, books, last

    seen, books, last = asyncio.run(scenario())
    assert seen == set(SYMBOLS)
    assert [one["id"] for one in books] == [0, 1]
    assert books[0]["result"]["bids"] != books[1]["result"]["bids"]
    assert (last["id"], last["status"]) == (9, 200)


def test_transfer_is_reported_as_published_and_changes_the_balance_alone():
    """A deposit and a withdrawal, of the common and of a further symbol's asset; what is not there is refused."""

    async def scenario():
        box = make_box(symbol=SYMBOLS[0], begins_us=LOCKSTEP_US, speed=0, limits=False)
        make_box(symbol=SYMBOLS[1], begins_us=LOCKSTEP_US, limits=False, beside=box)
        async with box.open():
            async with httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest:
                for asset, amount, code in (
                    ("USDT", "-12.5", 200),
                    ("BOX", "3", 200),
                    ("BNB", "1", 400),
                    ("USDT", "-2000000", 400),
                    ("USDT", "x", 400),
                ):
                    found = await rest.post("/sim/transfer", json={"user": "alice", "asset": asset, "amount": amount})
                    assert found.status_code == code, found.text
                held = {one["asset"]: one["free"] for one in box.account("alice")["balances"]}
            assert (held["USDT"], held["BOX"], held["SIM"]) == ("999987.50000000", "1003.00000000", "1000.00000000")
            at_ms = LOCKSTEP_US // 1_000
            update = {"e": "balanceUpdate", "E": at_ms, "a": "USDT", "d": "-12.50000000", "T": at_ms}
            for symbol, first in ((SYMBOLS[0], update), (SYMBOLS[1], update | {"a": "BOX", "d": "3.00000000"})):
                shown = box.symbols[symbol].account("alice")["events"]
                assert [one["e"] for one in shown] == ["balanceUpdate", "outboundAccountPosition"]
                assert first.items() <= shown[0].items()

    asyncio.run(scenario())
