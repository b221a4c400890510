"""The public part of Bybit in the exchange in a box: topics, REST, by what a client gets."""

import re

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from exchange_double import receive, run
from topic_clients import BOOK, PRINTS, SYMBOL, TICKER, ask, best, client_of, drained, make, replayed

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def get(box, path, **params):
    async with httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest:
        return await rest.get(f"/v5/{path}", params=params)


@pytest.mark.parametrize("contract", [True, False])
@pytest.mark.parametrize("levels", [1, 50, 200, 1000])
def test_book_of_a_topic_is_the_exchanges_window_at_each_message(contract, levels):
    """A window that slides is rebuilt exactly from a snapshot and its changes."""

    async def scenario():
        topic = f"orderbook.{levels}.{SYMBOL}"
        async with make(contract=contract).open() as box:
            await box.advance(seconds=5)
            async with client_of(box) as client:
                answer = await ask(client, "subscribe", topic)
                assert answer["success"] is True
                assert answer["ret_msg"] == ("" if contract else "subscribe")
                await box.advance(seconds=8)
                messages = await drained(client, topic)
            assert messages[0]["type"] == "snapshot"
            assert len(messages) > 5
            for (_, seq, bids, asks), message in zip(replayed(messages), messages, strict=True):
                true_bids, true_asks = box.truth.book(seq)
                assert best(bids.items(), levels, 1) == best(true_bids, levels, 1)
                assert best(asks.items(), levels, -1) == best(true_asks, levels, -1)
                assert message["cts"] <= message["ts"]

    run(scenario)


@pytest.mark.parametrize("contract", [True, False])
def test_prints_come_before_the_change_that_has_them(contract):
    """A print's seq is above that of every earlier book message, and not above that of the first one after it."""

    async def scenario():
        async with make(contract=contract).open() as box, client_of(box) as client:
            await ask(client, "subscribe", BOOK, PRINTS)
            await box.advance(seconds=30)
            messages = await drained(client)
            last_seq, waiting, count = 0, [], 0
            for message in messages:
                if message["topic"] == BOOK:
                    seq = message["data"]["seq"]
                    assert all(last_seq < one <= seq for one in waiting)
                    waiting, last_seq = [], seq
                else:
                    assert len({row["seq"] for row in message["data"]}) == 1
                    waiting += [row["seq"] for row in message["data"]]
                    count += len(message["data"])
                    assert all(bool(UUID.fullmatch(row["i"])) is contract for row in message["data"])
            assert count == box.truth.last_trade_id > 10
            rest = (await get(box, "market/recent-trade", category=box_category(contract), symbol=SYMBOL)).json()
            newest = [row["i"] for message in messages if message["topic"] == PRINTS for row in message["data"]][::-1]
            listed = [row["execId"] for row in rest["result"]["list"]]
            assert listed == newest[: len(listed)]

    run(scenario)


def box_category(contract):
    return "linear" if contract else "spot"


def test_two_connections_get_equal_changes_for_equal_counts():
    """`u` is counted at the exchange: whoever joins later gets the same messages."""

    async def scenario():
        async with make().open() as box, client_of(box) as first:
            await ask(first, "subscribe", BOOK)
            await box.advance(seconds=3)
            async with client_of(box) as second:
                await ask(second, "subscribe", BOOK)
                await box.advance(seconds=3)
                early, late = await drained(first), await drained(second)
        by_u = {message["data"]["u"]: message["data"] for message in early}
        assert late[0]["type"] == "snapshot"
        assert len(late) > 3
        assert all(by_u[message["data"]["u"]] == message["data"] for message in late[1:])

    run(scenario)


def test_count_goes_on_while_nobody_is_subscribed():
    """A client that comes back must see by `u` that it missed messages."""

    async def scenario():
        async with make().open() as box:
            seen = []
            for _ in range(2):
                async with client_of(box) as client:
                    await ask(client, "subscribe", BOOK)
                    await box.advance(seconds=1)
                    seen.append([message["data"]["u"] for message in await drained(client)])
                await box.advance(seconds=5)
            assert seen[1][0] > seen[0][-1] + 1

    run(scenario)


def test_requests_are_answered_as_the_exchange_does():
    """Success is `success`; a topic that does not exist is refused, with all others of the request."""

    async def scenario():
        async with make().open() as box, client_of(box) as client:
            await client.send('{"op": "ping", "req_id": "7"}')
            pong = await receive(client)
            assert (pong["op"], pong["ret_msg"], pong["req_id"]) == ("ping", "pong", "7")
            for topic in ("orderbook.25.SIMUSDT", "orderbook.50.NOPEUSDT", "nonsense"):
                refused = await ask(client, "subscribe", BOOK, topic)
                assert refused["success"] is False
                assert topic in refused["ret_msg"]
            await box.advance(seconds=1)
            assert await drained(client) == []
            assert (await ask(client, "subscribe", BOOK))["success"]
            await box.advance(seconds=1)
            assert len(await drained(client)) > 1
            assert (await ask(client, "unsubscribe", BOOK))["op"] == "unsubscribe"
            await box.advance(seconds=1)
            assert await drained(client) == []
        async with make(contract=False).open() as box, client_of(box) as client:
            many = await ask(client, "subscribe", *[BOOK] * 11)
            assert many["success"] is False
            assert (await ask(client, "subscribe", *[BOOK] * 10))["success"]

    run(scenario)


def test_ticker_of_a_contract_is_a_snapshot_and_changes():
    """An absent field has not changed; the best prices are those of the book of the last `seq` up to `cs`."""

    async def scenario():
        async with make().open() as box, client_of(box) as client:
            await box.advance(seconds=2)
            await ask(client, "subscribe", TICKER)
            await box.advance(seconds=5)
            messages, fields = await drained(client), {}
            assert [message["type"] for message in messages[:2]] == ["snapshot", "delta"]
            for message in messages:
                fields |= message["data"]
                bids, asks = box.truth.book(message["cs"])
                assert float(fields["bid1Price"]) == float(bids[0][0])
                assert float(fields["ask1Size"]) == float(asks[0][1])
            assert {"markPrice", "indexPrice", "fundingRate", "nextFundingTime"} <= fields.keys()
            assert any("markPrice" not in message["data"] for message in messages)

    run(scenario)


def test_ticker_of_spot_has_neither_best_prices_nor_a_mark_price():
    async def scenario():
        async with make(contract=False).open() as box, client_of(box) as client:
            await ask(client, "subscribe", TICKER)
            await box.advance(seconds=20)
            messages = await drained(client)
            assert {message["type"] for message in messages} == {"snapshot"}
            assert all(message["data"].keys() == {"symbol", "lastPrice"} for message in messages)

    run(scenario)


@pytest.mark.parametrize("contract", [True, False])
def test_rest_answers_have_the_exchanges_form(contract):
    """An envelope with a retCode; errors have status 200."""
    category = box_category(contract)

    async def scenario():
        async with make(contract=contract).open() as box:
            await box.advance(seconds=30)
            (entry,) = (await get(box, "market/instruments-info", category=category)).json()["result"]["list"]
            lot = entry["lotSizeFilter"]
            assert entry["priceFilter"]["tickSize"] == "0.01"
            assert lot["qtyStep" if contract else "basePrecision"] == "0.001"
            assert float(lot["minNotionalValue" if contract else "minOrderAmt"]) >= 0
            book = (await get(box, "market/orderbook", category=category, symbol=SYMBOL, limit=5)).json()["result"]
            assert [len(book["b"]), len(book["a"])] == [5, 5]
            assert book["seq"] == box.truth.last_update_id
            wrong = await get(box, "market/orderbook", category=category, symbol="NOPE")
            assert (wrong.status_code, wrong.json()["retCode"]) == (200, 10_001)
            assert (await get(box, "market/time")).json()["time"] * 1_000 <= box.scheduler.done_us
            for path in ("order/create", "account/wallet-balance", "position/list"):
                private = await get(box, path)
                assert private.status_code == 404
                assert "public part only" in private.text
            assert (await get(box, "market/nonsense")).status_code == 404
            with pytest.raises(InvalidStatus, match="404"):
                await connect(box.ws_url + "/v5/private", proxy=None)

    run(scenario)


def test_funding_and_mark_prices_are_listed_newest_first():
    """At most 200 rows with both ends, as the history of the exchange."""

    async def scenario():
        async with make(scenario="empty").open() as box:
            box.exchange.terms.interval_us = 10_000_000
            await box.advance(seconds=125)
            answer = (await get(box, "market/funding/history", category="linear", symbol=SYMBOL)).json()
            times = [int(row["fundingRateTimestamp"]) for row in answer["result"]["list"]]
            assert len(times) == 12
            assert times == sorted(times, reverse=True)
            within = {"startTime": times[5], "endTime": times[3]}
            answer = await get(box, "market/funding/history", category="linear", symbol=SYMBOL, **within)
            assert [int(row["fundingRateTimestamp"]) for row in answer.json()["result"]["list"]] == times[3:6]
            answer = await get(box, "market/funding/history", category="linear", symbol=SYMBOL, startTime=times[5])
            assert answer.json()["retCode"] == 10_001
            given = {"category": "linear", "symbol": SYMBOL, "interval": "1"}
            rows = (await get(box, "market/mark-price-kline", **given)).json()["result"]["list"]
            assert [int(row[0]) % 60_000 for row in rows] == [0] * len(rows)
            assert int(rows[0][0]) > int(rows[1][0])

    run(scenario)


def test_address_over_its_limit_is_refused_for_ten_minutes():
    """600 requests in 5 s."""

    async def scenario():
        box = make(scenario="empty")
        box.market._limits = True
        async with box.open(), httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest:
            codes = [(await rest.get("/v5/market/time")).status_code for _ in range(601)]
            assert codes == [200] * 600 + [403]
            await box.advance(seconds=590)
            assert (await rest.get("/v5/market/time")).status_code == 403
            await box.advance(seconds=20)
            assert (await rest.get("/v5/market/time")).status_code == 200

    run(scenario)
