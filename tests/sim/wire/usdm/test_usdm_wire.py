"""USD-M by REST, WebSocket API and streams: routes, listen keys, events, settings, faults, control calls."""

import asyncio
import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from exchange_rig import ALICE
from mm.margin.wallet import Income
from mm.markets.binance_usdm import BINANCE_USDM
from mm.sim.wire.usdm.market import STREAMS
from simulation import inject
from usdm_desk import SYMBOL, limit, run, usdm_desk

HOUR_S = 3_600


@pytest.mark.parametrize(
    ("name", "route", "kind"),
    [
        ("simusdt@depth", "", "depth"),
        ("simusdt@depth@500ms", "public", "depth"),
        ("simusdt@depth20@100ms", "public", "partial"),
        ("simusdt@bookTicker", "public", "bookTicker"),
        ("simusdt@aggTrade", "public", "silent"),
        ("simusdt@aggTrade", "market", "aggTrade"),
        ("simusdt@markPrice", "market", "markPrice"),
        ("simusdt@markPrice@1s", "", "markPrice"),
        ("simusdt@forceOrder", "market", "forceOrder"),
        ("simusdt@kline_1m", "market", "kline"),
        ("simusdt@kline_1m", "public", "silent"),
        ("simusdt_perpetual@continuousKline_1h", "market", "continuousKline"),
        ("!bookTicker", "public", "allBook"),
        ("!contractInfo", "market", "contractInfo"),
        ("0" * 64, "private", "user"),
        ("0" * 64, "market", "silent"),
    ],
)
def test_each_route_has_the_streams_of_the_documentation(name: str, route: str, kind: str) -> None:
    """A stream of another route is silent."""
    stream = STREAMS.read(name, route)
    assert stream
    assert stream.kind == kind


@pytest.mark.parametrize(
    "name", ["simusdt@depth@250ms", "simusdt@depth@1s", "simusdt@markPrice@3s", "simusdt@nothing", "simusdt@kline_1s"]
)
def test_streams_that_there_are_not(name: str) -> None:
    """They are refused, as on Spot."""
    assert STREAMS.read(name) is None


@pytest.mark.parametrize(
    ("path", "query", "names", "private"),
    [
        ("/ws/simusdt@depth", "", ["simusdt@depth"], False),
        (
            "/market/stream",
            "streams=simusdt@aggTrade/simusdt@markPrice",
            ["simusdt@aggTrade", "simusdt@markPrice"],
            False,
        ),
        ("/private/ws", f"listenKey={'a' * 64}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE", ["a" * 64], True),
        (f"/private/ws/{'a' * 64}", "", ["a" * 64], True),
        (f"/ws/{'a' * 64}", "", ["a" * 64], True),
        ("/private/stream", f"listenKey={'a' * 64}", ["a" * 64], True),
    ],
)
def test_addresses_of_connections(path: str, query: str, names: list[str], private: bool) -> None:
    """Old addresses without a route have all streams."""
    opening = STREAMS.open(path, query)
    assert opening
    assert ([one.name for one in opening.streams], opening.private) == (names, private)


def test_unknown_addresses_are_refused() -> None:
    """Also a WebSocket API of Spot."""
    assert [STREAMS.open(path, "") for path in ("/ws-api/v3", "/other/ws", "/public")] == [None] * 3


def test_market_data_have_the_fields_of_contracts() -> None:
    """Each update names the one before it, rules have precisions, mark prices come at whole seconds."""

    async def case() -> None:
        async with usdm_desk(scenario="zero_intelligence") as desk:
            public = await desk.hear("/public/stream?streams=simusdt@depth@100ms/simusdt@trade")
            market = await desk.hear("/market/stream?streams=simusdt@markPrice@1s/simusdt@aggTrade")
            await desk.box.advance(seconds=5)
            await public.until(lambda ear: len(ear.got) > 40)
            await market.until(lambda ear: sum(one["data"]["e"] == "markPriceUpdate" for one in ear.got) >= 5)
            updates = [one["data"] for one in public.got if one["data"]["e"] == "depthUpdate"]
            assert all(one["pu"] == before["u"] for before, one in pairwise(updates))
            (entry,) = (await desk.get("v1/exchangeInfo"))["symbols"]
            assert (entry["contractType"], entry["pricePrecision"], entry["quantityPrecision"]) == ("PERPETUAL", 2, 3)
            assert {one["filterType"] for one in entry["filters"]} == {
                *(
                    "PRICE_FILTER",
                    "LOT_SIZE",
                    "MARKET_LOT_SIZE",
                    "MAX_NUM_ORDERS",
                    "MAX_NUM_ALGO_ORDERS",
                    "MIN_NOTIONAL",
                ),
                "PERCENT_PRICE",
            }
            book = await desk.get("v1/depth", symbol=SYMBOL, limit=1_000)
            assert book["E"] == desk.box.scheduler.done_us // 1_000
            assert (await desk.get("v1/depth", symbol=SYMBOL, limit=7))["code"] == -4021
            marks = [one["data"] for one in market.got if one["data"]["e"] == "markPriceUpdate"]
            assert [one["E"] % 1_000 for one in marks] == [0] * len(marks)
            assert marks[-1]["T"] == (await desk.get("v1/premiumIndex", symbol=SYMBOL))["nextFundingTime"]

    run(case)


def test_venue_and_box_agree_on_paths() -> None:
    """The recorder's requests are answered."""

    async def case() -> None:
        async with usdm_desk() as desk:
            venue, symbol = BINANCE_USDM, {"symbol": SYMBOL}
            funding = venue.funding()
            assert funding
            alone = [venue.exchange_info(SYMBOL), venue.time(), venue.depth(SYMBOL, 1_000)]
            requests = [(one.path, one.params) for one in alone]
            requests += [(one.path, {**one.params, **symbol}) for one in (funding, venue.last_trade())]
            for path, params in requests:
                assert (await desk.http.get(path, params=params)).status_code == 200, path

    run(case)


def test_orders_are_acknowledged_as_accepted_and_reported_on_the_user_stream() -> None:
    """An ACK is the order as it was accepted, a RESULT as it became; events are those of the documentation."""

    async def case() -> None:
        async with usdm_desk() as desk:
            key = (await desk.key("alice"))["listenKey"]
            ear = await desk.hear(f"/private/ws?listenKey={key}")
            filtered = await desk.hear(f"/private/stream?listenKey={key}&events=ACCOUNT_UPDATE")
            await desk.ask("bob", "POST", "v1/order", **limit("SELL", "100", "3"))
            taken = await desk.ask("alice", "POST", "v1/order", **limit("BUY", "100", "1", newClientOrderId="a1"))
            assert (taken["status"], taken["executedQty"]) == ("NEW", "0.00000000")
            market = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "newOrderRespType": "RESULT"}
            result = await desk.ask("alice", "POST", "v1/order", **market, quantity="1")
            assert (result["status"], result["avgPrice"], result["cumQuote"]) == (
                "FILLED",
                "100.00000000",
                "100.00000000",
            )
            await ear.until(lambda ear: ear.kinds.count("ACCOUNT_UPDATE") == 2)
            assert ear.kinds[:4] == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]
            new, trade = ear.got[0]["o"], ear.got[2]["o"]
            assert (new["c"], new["x"], new["X"], new["b"]) == ("a1", "NEW", "NEW", "100.00000000")
            assert (trade["x"], trade["X"], trade["n"], trade["N"], trade["m"]) == (
                *("TRADE", "FILLED", "0.05000000", "USDT", False),
            )
            (balance,), (position,) = ear.got[3]["a"]["B"], ear.got[3]["a"]["P"]
            assert (balance["wb"], position["pa"], position["ep"]) == (
                *("999999.95000000", "1.00000000", "100.00000000"),
            )
            await filtered.until(lambda ear: len(ear.got) == 2)
            assert [one["data"]["e"] for one in filtered.got] == ["ACCOUNT_UPDATE"] * 2
            trades = await desk.ask("alice", "GET", "v1/userTrades", symbol=SYMBOL)
            assert [(one["commission"], one["maker"]) for one in trades] == [("0.05000000", False)] * 2

    run(case)


def test_a_listen_key_lives_for_an_hour_of_the_exchange() -> None:
    """A keepalive renews it; its end is told on the stream, and nothing after it."""

    async def case() -> None:
        async with usdm_desk() as desk:
            assert (await desk.key("alice", "PUT"))["code"] == -1125
            key = (await desk.key("alice"))["listenKey"]
            assert len(key) == 64
            ear = await desk.hear(f"/ws/{key}")
            await desk.box.advance(seconds=HOUR_S - 60)
            assert (await desk.key("alice", "PUT")) == (await desk.key("alice")) == {"listenKey": key}
            await desk.box.advance(seconds=HOUR_S - 1)
            assert ear.got == []
            await desk.box.advance(seconds=2)
            await ear.until(lambda ear: ear.got)
            assert ear.got[0] | {"E": 0} == {"e": "listenKeyExpired", "E": 0, "listenKey": key}
            await desk.ask("alice", "POST", "v1/order", **limit())
            again = (await desk.key("alice"))["listenKey"]
            assert again != key
            second = await desk.hear("/private/ws")
            assert (await second.ask(method="SUBSCRIBE", params=[again]))["result"] is None
            await desk.ask("alice", "DELETE", "v1/allOpenOrders", symbol=SYMBOL)
            await second.until(lambda ear: "ORDER_TRADE_UPDATE" in ear.kinds)
            assert ear.kinds == ["listenKeyExpired"]
            assert await desk.key("alice", "DELETE") == {}
            assert (await desk.key("alice", "DELETE"))["code"] == -1125

    run(case)


def test_the_websocket_api_places_modifies_and_cancels() -> None:
    """With a logon, and without; versions of methods; counts of orders and weight in the answers."""

    async def case() -> None:
        async with usdm_desk() as desk:
            ear = await desk.hear("/ws-fapi/v1")
            answer = await ear.ask(method="order.place", params=desk.signed("alice", **limit()))
            assert (answer["status"], answer["result"]["status"]) == (200, "NEW")
            limits = [(one["rateLimitType"], one["limit"]) for one in answer["rateLimits"]]
            assert limits == [("ORDERS", 300), ("ORDERS", 1_200), ("REQUEST_WEIGHT", 2_400)]
            which = {"symbol": SYMBOL, "orderId": answer["result"]["orderId"]}
            assert (await ear.ask(method="order.status", params=which))["error"]["code"] == -1102
            logon = await ear.ask(method="session.logon", params=desk.signed("alice"))
            assert logon["result"]["apiKey"] == desk.accounts["alice"]["api_key"]
            now = {"timestamp": desk.box.scheduler.done_us // 1_000}
            changed = {**which, "side": "BUY", "price": "98.5", "quantity": "2"}
            moved = await ear.ask(method="order.modify", params=changed | now)
            assert (moved["result"]["price"], moved["result"]["orderId"]) == ("98.50000000", which["orderId"])
            assert (await ear.ask(method="order.modify", params=changed | now))["error"]["code"] == -5027
            status = await ear.ask(method="v1/order.status", params=which | now)
            assert status["result"]["origQty"] == "2.00000000"
            for method in ("account.status", "v2/account.status"):
                account = (await ear.ask(method=method, params=now))["result"]
                assert account["totalOpenOrderInitialMargin"] == "9.85000000"
            (risk,) = (await ear.ask(method="v2/account.position", params=now))["result"]
            assert (risk["positionAmt"], risk["openOrderInitialMargin"]) == ("0.00000000", "9.85000000")
            (balance,) = (await ear.ask(method="v2/account.balance", params=now))["result"]
            assert balance["availableBalance"] == "999990.15000000"
            key = await ear.ask(method="userDataStream.start", params={})
            assert key["result"] == await desk.key("alice")
            cancelled = await ear.ask(method="order.cancel", params=which | now)
            assert cancelled["result"]["status"] == "CANCELED"
            assert (await ear.ask(method="order.cancel", params=which | now))["error"]["code"] == -2011
            assert (await ear.ask(method="userDataStream.stop", params={}))["status"] == 200

    run(case)


def test_settings_are_changed_and_told() -> None:
    """Leverage, margin type, margin of a position, position mode, multi-assets mode."""

    async def case() -> None:
        async with usdm_desk() as desk:
            key = (await desk.key("alice"))["listenKey"]
            ear = await desk.hear(f"/private/ws/{key}")
            symbol = {"symbol": SYMBOL}

            async def code(method: str, path: str, **params: Any) -> int:
                return int((await desk.ask("alice", method, path, **params)).get("code", 0))

            assert await code("POST", "v1/leverage", **symbol, leverage=7) == 0
            assert await code("POST", "v1/leverage", **symbol, leverage=126) == -4028
            assert await code("POST", "v1/marginType", **symbol, marginType="CROSSED") == -4046
            assert await code("POST", "v1/marginType", **symbol, marginType="ISOLATED") == 200
            assert await code("POST", "v1/positionMargin", **symbol, amount="5", type=1) == -4054
            await desk.trade()
            assert await code("POST", "v1/positionMargin", **symbol, amount="5", type=1) == 200
            (risk,) = await desk.ask("alice", "GET", "v2/positionRisk", **symbol)
            assert (risk["leverage"], risk["marginType"], risk["isolatedWallet"]) == ("7", "isolated", "19.28571428")
            assert await code("POST", "v1/positionSide/dual", dualSidePosition="true") == -4068
            for who, multi, expected in (
                ("alice", "true", -4167),
                ("bob", "false", -4171),
                ("bob", "true", 200),
                ("bob", "true", -4171),
            ):
                answer = await desk.ask(who, "POST", "v1/multiAssetsMargin", multiAssetsMargin=multi)
                assert answer["code"] == expected, (who, multi)
            assert (await desk.ask("bob", "GET", "v1/multiAssetsMargin"))["multiAssetsMargin"] is True
            await desk.ask("bob", "POST", "v1/order", **limit())
            refused = await desk.ask("bob", "POST", "v1/multiAssetsMargin", multiAssetsMargin="false")
            assert refused["code"] == -4170
            assert (await desk.ask("bob", "POST", "v1/marginType", **symbol, marginType="ISOLATED"))["code"] == -4168
            await ear.until(lambda ear: "ACCOUNT_UPDATE" in ear.kinds)
            assert ear.got[0]["ac"] == {"s": SYMBOL, "l": 7}
            assert [one["a"]["m"] for one in ear.got if one["e"] == "ACCOUNT_UPDATE"] == [
                *("MARGIN_TYPE_CHANGE", "ORDER", "MARGIN_TRANSFER"),
            ]

    run(case)


def test_hedge_mode_keeps_a_long_and_a_short_apart() -> None:
    """Answers and events say which position they are of; orders must say it, and may not say reduceOnly."""

    async def case() -> None:
        async with usdm_desk() as desk:
            symbol = {"symbol": SYMBOL}

            async def ask(method: str, path: str, **params: Any) -> Any:
                return await desk.ask("alice", method, path, **params)

            assert (await ask("POST", "v1/positionSide/dual", dualSidePosition="true"))["code"] == 200
            assert await ask("GET", "v1/positionSide/dual") == {"dualSidePosition": True}
            assert (await ask("POST", "v1/order", **limit()))["code"] == -4061
            assert (await desk.ask("bob", "POST", "v1/order", **limit(), positionSide="LONG"))["code"] == -4061
            for reduces in ("true", "false"):
                refused = await ask("POST", "v1/order", **limit(), positionSide="LONG", reduceOnly=reduces)
                assert refused["code"] == -1106
            key = (await desk.key("alice"))["listenKey"]
            ear = await desk.hear(f"/private/ws/{key}")
            for side, quantity in (("LONG", "3"), ("SHORT", "2")):
                way, other = ("BUY", "SELL") if side == "LONG" else ("SELL", "BUY")
                placed = await ask("POST", "v1/order", **limit(way, "100", quantity), positionSide=side)
                assert (placed["positionSide"], placed["reduceOnly"]) == (side, False)
                await desk.ask("bob", "POST", "v1/order", **limit(other, "100", quantity))
            closing = await ask("POST", "v1/order", **limit("SELL", "103", "3"), positionSide="LONG")
            assert (closing["positionSide"], closing["reduceOnly"]) == ("LONG", True)
            for params in (limit("SELL", "104", "1"), {**symbol, "side": "SELL", "type": "MARKET", "quantity": "4"}):
                assert (await ask("POST", "v1/order", **params, positionSide="LONG"))["code"] == -2022
            for path in ("v2/positionRisk", "v3/positionRisk"):
                rows = await ask("GET", path, **symbol)
                assert [(one["positionSide"], float(one["positionAmt"])) for one in rows] == [
                    ("LONG", 3),
                    ("SHORT", -2),
                ]
                assert len({one["liquidationPrice"] for one in rows}) == 1, "cross positions move together"
            for version in ("v2", "v3"):
                rows = (await ask("GET", f"{version}/account"))["positions"]
                assert [(one["positionSide"], float(one["notional"])) for one in rows] == [
                    ("LONG", 300),
                    ("SHORT", -200),
                ]
            assert (await ask("GET", "v1/adlQuantile"))[0]["adlQuantile"].keys() == {"LONG", "SHORT", "HEDGE"}
            trades = await ask("GET", "v1/userTrades", **symbol)
            assert [one["positionSide"] for one in trades] == ["LONG", "SHORT"]
            assert (await ask("POST", "v1/positionSide/dual", dualSidePosition="false"))["code"] == -4067
            await ask("DELETE", "v1/allOpenOrders", **symbol)
            assert (await ask("POST", "v1/positionSide/dual", dualSidePosition="false"))["code"] == -4068
            await ear.until(lambda ear: ear.kinds.count("ACCOUNT_UPDATE") == 2)
            changes = [one["a"]["P"] for one in ear.got if one["e"] == "ACCOUNT_UPDATE"]
            assert [[(p["ps"], p["pa"]) for p in change] for change in changes] == [
                [("LONG", "3.00000000")],
                [("SHORT", "-2.00000000")],
            ]
            orders = [one["o"]["ps"] for one in ear.got if one["e"] == "ORDER_TRADE_UPDATE"]
            assert orders == ["LONG", "LONG", "SHORT", "SHORT", "LONG", "LONG"]
            stop = {**symbol, "algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "90"}
            stop |= {"closePosition": "true", "workingType": "MARK_PRICE"}
            refused = await ask("POST", "v1/algoOrder", **stop, side="BUY", positionSide="LONG")
            assert refused["code"] == -4138
            placed = await ask("POST", "v1/algoOrder", **stop, side="SELL", positionSide="LONG")
            assert (placed["positionSide"], placed["closePosition"]) == ("LONG", True)
            await desk.ask("bob", "POST", "v1/order", **limit("BUY", "96", "5"))
            await desk.control("mark", price="89")
            await desk.box.advance(seconds=2)
            (left,) = await ask("GET", "v3/positionRisk", **symbol)
            assert (left["positionSide"], left["positionAmt"]) == ("SHORT", "-2.00000000")

    run(case)


def test_isolated_positions_of_hedge_mode_have_margins_of_their_own() -> None:
    """Added to the one that positionSide names."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.ask("alice", "POST", "v1/positionSide/dual", dualSidePosition="true")
            await desk.ask("alice", "POST", "v1/marginType", symbol=SYMBOL, marginType="ISOLATED")
            for way, other, side in (("BUY", "SELL", "LONG"), ("SELL", "BUY", "SHORT")):
                await desk.ask("alice", "POST", "v1/order", **limit(way, "100"), positionSide=side)
                await desk.ask("bob", "POST", "v1/order", **limit(other, "100"))
            add = {"symbol": SYMBOL, "amount": "5", "type": 1}
            assert (await desk.ask("alice", "POST", "v1/positionMargin", **add))["code"] == -4061
            assert (await desk.ask("alice", "POST", "v1/positionMargin", **add, positionSide="SHORT"))["code"] == 200
            rows = await desk.ask("alice", "GET", "v2/positionRisk", symbol=SYMBOL)
            assert [float(one["isolatedWallet"]) for one in rows] == [5, 10]
            (move,) = await desk.ask("alice", "GET", "v1/positionMargin/history", symbol=SYMBOL)
            assert (move["positionSide"], float(move["amount"])) == ("SHORT", 5)
            (found,) = await desk.ask("alice", "GET", "v1/adlQuantile")
            assert found["adlQuantile"].keys() == {"LONG", "SHORT", "BOTH"}

    run(case)


def test_funding_is_told_by_rest_and_streams_alike() -> None:
    """The history's mark price is what was paid, and the stream told the rate before."""

    async def case() -> None:
        async with usdm_desk(interval_us=60_000_000) as desk:
            await desk.trade()
            ear = await desk.hear("/market/ws/simusdt@markPrice@1s")
            assert await desk.control("funding", rate="0.0025") == {"rate": "0.00250000"}
            await desk.control("mark", price="101.5")
            await desk.box.advance(seconds=61)
            (paid,) = await desk.get("v1/fundingRate", symbol=SYMBOL)
            assert (paid["fundingRate"], paid["markPrice"]) == ("0.00250000", "101.50000000")
            (row,) = await desk.ask("alice", "GET", "v1/income", incomeType="FUNDING_FEE")
            assert (row["income"], row["time"]) == ("-0.25375000", paid["fundingTime"])
            await ear.until(lambda ear: len(ear.got) >= 60)
            before = [one for one in ear.got if one["T"] == paid["fundingTime"]]
            assert {(one["r"], one["p"]) for one in before[1:]} == {("0.00250000", "101.50000000")}

    run(case)


def test_orders_are_told_for_days() -> None:
    """One that ended without a fill for three days, others for ninety; lists without an id of seven."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.trade()
            exchange, symbol = desk.box.exchange, {"symbol": SYMBOL}
            waits = {**symbol, "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "1"}
            algo = await desk.ask("alice", "POST", "v1/algoOrder", **waits, triggerPrice="90")
            await desk.ask("alice", "DELETE", "v1/algoOrder", algoId=algo["algoId"])
            ended = await desk.ask("alice", "POST", "v1/order", **limit())
            await desk.ask("alice", "DELETE", "v1/order", **symbol, orderId=ended["orderId"])
            filled, unfilled = exchange.users.all(ALICE)
            conditional = exchange.conditionals.all[algo["algoId"]]

            async def seen(days: float) -> tuple[bool, ...]:
                for order in (filled, unfilled, conditional):
                    order.us = desk.box.scheduler.done_us - int(days * 86_400_000_000)
                found = []
                for path, which in (
                    ("v1/order", {"orderId": filled.order_id}),
                    ("v1/order", {"orderId": unfilled.order_id}),
                    ("v1/algoOrder", {"algoId": algo["algoId"]}),
                ):
                    found.append("code" not in await desk.ask("alice", "GET", path, **symbol, **which))
                for path, first in (("v1/allOrders", {}), ("v1/allOrders", {"orderId": 1}), ("v1/allAlgoOrders", {})):
                    found.append(bool(await desk.ask("alice", "GET", path, **symbol, **first)))
                return tuple(found)

            assert await seen(2.9) == (True, True, True, True, True, True)
            assert await seen(3.1) == (True, False, False, True, True, False)
            assert await seen(7.1) == (True, False, False, False, True, False)
            assert await seen(90.1) == (False,) * 6
            span = {"startTime": 1, "endTime": 8 * 86_400_000}
            for path in ("v1/allOrders", "v1/allAlgoOrders"):
                assert (await desk.ask("alice", "GET", path, **symbol, **span))["code"] == -1127

    run(case)


def test_incomes_are_of_a_week_or_of_the_times_given_and_none_is_older_than_three_months() -> None:
    """Both times belong to the span."""

    async def case() -> None:
        async with usdm_desk() as desk:
            income = desk.box.exchange.account(1).wallet.income
            day_us, now_us = 86_400_000_000, desk.box.scheduler.done_us
            ages = 91, 89, 8, 6, 0
            income += [Income(now_us - days * day_us, "TRANSFER", "", 1, days, 0, "") for days in ages]
            ms = {days: (now_us - days * day_us) // 1_000 for days in (92, 89, 8, 6)}

            async def found(**span: int) -> list[int]:
                return [one["tranId"] for one in await desk.ask("alice", "GET", "v1/income", **span)]

            assert await found() == [6, 0]
            assert await found(startTime=ms[92]) == [89, 8, 6, 0]
            assert await found(startTime=ms[8], endTime=ms[6]) == [8, 6]
            assert await found(endTime=ms[8]) == [89, 8]

    run(case)


def test_a_lowered_bracket_is_shown_wherever_there_are_brackets() -> None:
    """In leverageBracket, positionRisk, symbolConfig and the old account alike; orders above it are refused."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.trade()
            whole = (await desk.ask("alice", "GET", "v1/leverageBracket", symbol=SYMBOL))[0]["brackets"]
            inject(desk.box, "at time 0 do filters bracket=60000")
            shown = (await desk.ask("alice", "GET", "v1/leverageBracket", symbol=SYMBOL))[0]["brackets"]
            assert [one["notionalCap"] for one in shown] == [50_000, 60_000]
            assert [one["maintMarginRatio"] for one in shown] == [one["maintMarginRatio"] for one in whole[:2]]
            (risk,) = await desk.ask("alice", "GET", "v2/positionRisk", symbol=SYMBOL)
            (config,) = await desk.ask("alice", "GET", "v1/symbolConfig", symbol=SYMBOL)
            (position,) = (await desk.ask("alice", "GET", "v2/account"))["positions"]
            most = risk["maxNotionalValue"], config["maxNotionalValue"], position["maxNotional"]
            assert most == ("60000", "60000", "60000")
            refused = await desk.ask("alice", "POST", "v1/order", **limit("BUY", "99", "700"))
            assert refused["code"] == -2027
            await desk.ask("alice", "POST", "v1/leverage", symbol=SYMBOL, leverage=125)
            (risk,) = await desk.ask("alice", "GET", "v2/positionRisk", symbol=SYMBOL)
            assert risk["maxNotionalValue"] == "50000"

    run(case)


def test_a_delayed_line_delays_every_answer() -> None:
    """Signed or not, by REST and by the WebSocket API; with `of=any` only the streams are late."""

    async def case() -> None:
        async with usdm_desk("at time 0 do delay delay_s=2 for_s=10") as desk:
            ear = await desk.hear("/ws-fapi/v1")
            asked = [
                asyncio.create_task(asking)
                for asking in (
                    desk.ask("alice", "GET", "v2/balance"),
                    desk.get("v1/time"),
                    ear.ask(method="account.balance", params=desk.signed("alice")),
                )
            ]
            await asyncio.sleep(0.2)
            await desk.box.advance(seconds=1.9)
            await asyncio.sleep(0.1)
            assert not any(one.done() for one in asked)
            await desk.box.advance(seconds=0.2)
            await asyncio.gather(*asked)
        async with usdm_desk("at time 0 do delay delay_s=2 of=any") as desk:
            assert "serverTime" in await desk.get("v1/time")

    run(case)


def test_a_liquidation_is_told_to_its_owner_and_to_the_market() -> None:
    """By autoclose orders, INSURANCE_CLEAR, forceOrder, forceOrders, and the truth."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.http.post("/sim/transfer", json={"user": "alice", "asset": "USDT", "amount": "-999400"})
            await desk.trade(quantity="100")
            key = (await desk.key("alice"))["listenKey"]
            ear = await desk.hear(f"/private/ws/{key}")
            market = await desk.hear("/market/ws/simusdt@forceOrder")
            await desk.control("mark", price="94.45")
            await desk.box.advance(seconds=1)
            await ear.until(lambda ear: "MARGIN_CALL" in ear.kinds)
            assert ear.got[0]["p"][0]["mt"] == "CROSSED"
            await desk.ask("bob", "POST", "v1/order", **limit("BUY", "94.5", "60"))
            await desk.control("mark", price="94.2")
            await desk.box.advance(seconds=1)
            await market.until(lambda ear: len(ear.got) == 2)
            assert [(one["o"]["S"], one["o"]["X"], one["o"]["q"], one["o"]["ap"]) for one in market.got] == [
                ("SELL", "FILLED", "60.00000000", "94.50000000"),
                ("SELL", "FILLED", "40.00000000", "94.02000000"),
            ]
            orders = await desk.ask("alice", "GET", "v1/forceOrders", symbol=SYMBOL)
            assert all(one["clientOrderId"].startswith("autoclose-") for one in orders)
            await ear.until(lambda ear: ear.kinds.count("ACCOUNT_UPDATE") == 3)
            told = [one["o"] for one in ear.got if one["e"] == "ORDER_TRADE_UPDATE"]
            assert [(one["x"], one["X"]) for one in told] == [
                *(("NEW", "NEW"), ("TRADE", "FILLED"), ("NEW", "NEW"), ("CALCULATED", "FILLED")),
            ]
            truth = await desk.truth()
            assert [one["orderId"] for one in truth["liquidations"]] == [one["orderId"] for one in orders]
            assert Decimal(truth["exchange"]["insurance"]) == 1_000_000 + Decimal("28.8") + Decimal("7.2")
            rows = {row["incomeType"] for row in await desk.ask("alice", "GET", "v1/income")}
            assert rows == {"TRANSFER", "COMMISSION", "REALIZED_PNL", "INSURANCE_CLEAR"}

    run(case)


def test_a_countdown_is_set_and_cancels_by_rest() -> None:
    """In milliseconds, of one symbol."""

    async def case() -> None:
        async with usdm_desk() as desk:
            order = await desk.ask("alice", "POST", "v1/order", **limit())
            answer = await desk.ask("alice", "POST", "v1/countdownCancelAll", symbol=SYMBOL, countdownTime=2_500)
            assert answer == {"symbol": SYMBOL, "countdownTime": "2500"}
            await desk.box.advance(seconds=2.4)
            assert len(await desk.ask("alice", "GET", "v1/openOrders")) == 1
            await desk.box.advance(seconds=0.2)
            found = await desk.ask("alice", "GET", "v1/order", symbol=SYMBOL, orderId=order["orderId"])
            assert found["status"] == "CANCELED"

    run(case)


def test_modifications_interest_and_the_fund_can_be_asked_for() -> None:
    """Each change of an order, the newest first; positions of users; a place in the queue of deleveraging."""

    async def case() -> None:
        async with usdm_desk() as desk:
            order = await desk.ask("alice", "POST", "v1/order", **limit())
            which = {"symbol": SYMBOL, "orderId": order["orderId"]}
            for price, quantity in (("98", "1"), ("98.5", "3")):
                await desk.ask("alice", "PUT", "v1/order", **which, side="BUY", price=price, quantity=quantity)
            moves = await desk.ask("alice", "GET", "v1/orderAmendment", **which)
            changes = [(one["amendment"]["price"]["before"], one["amendment"]["price"]["after"]) for one in moves]
            assert changes == [("98.00000000", "98.50000000"), ("99.00000000", "98.00000000")]
            assert moves[0]["amendment"]["origQty"] == {"before": "1.00000000", "after": "3.00000000"}
            assert await desk.ask("alice", "GET", "v1/adlQuantile") == []
            await desk.trade(quantity="2")
            assert (await desk.get("v1/openInterest", symbol=SYMBOL))["openInterest"] == "2.00000000"
            (place,) = await desk.ask("alice", "GET", "v1/adlQuantile", symbol=SYMBOL)
            assert place["adlQuantile"] == {"LONG": 0, "SHORT": 0, "BOTH": 4}
            fund = await desk.get("v1/insuranceBalance", symbol=SYMBOL)
            assert (fund["symbols"], fund["assets"][0]["marginBalance"]) == ([SYMBOL], "1000000.00000000")

    run(case)


def test_batches_answer_each_order() -> None:
    """One that is refused does not stop the others; at most five orders, ten cancels."""

    async def case() -> None:
        async with usdm_desk() as desk:
            orders = [limit(newClientOrderId="a"), limit(price="1"), limit("SELL", "101", newClientOrderId="b")]
            done = await desk.ask("alice", "POST", "v1/batchOrders", batchOrders=json.dumps(orders))
            assert [one.get("status", one.get("code")) for one in done] == ["NEW", -4024, "NEW"]
            changes = [{"symbol": SYMBOL, "orderId": done[0]["orderId"], "side": "BUY", "price": 98, "quantity": "2"}]
            (moved,) = await desk.ask("alice", "PUT", "v1/batchOrders", batchOrders=json.dumps(changes))
            assert (moved["price"], moved["origQty"]) == ("98.00000000", "2.00000000")
            names = json.dumps(["a", "nobody", "b"])
            ended = await desk.ask("alice", "DELETE", "v1/batchOrders", symbol=SYMBOL, origClientOrderIdList=names)
            assert [one.get("status", one.get("code")) for one in ended] == ["CANCELED", -2011, "CANCELED"]
            for bad, code in (("[]", -4082), (json.dumps(orders * 2), -4082), ("{", -1130), ("[1]", -1130)):
                assert (await desk.ask("alice", "POST", "v1/batchOrders", batchOrders=bad))["code"] == code

    run(case)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (-1111, {"price": "99.001"}),
        (-1111, {"quantity": "1.0001"}),
        (-1115, {"timeInForce": "RPI"}),
        (-1102, {"timeInForce": "GTD"}),
        (-5040, {"timeInForce": "GTD", "goodTillDate": "1767600600000"}),
        (-5037, {"priceMatch": "BEST"}),
        (-1106, {"priceMatch": "QUEUE"}),
        (-5041, {"priceMatch": "QUEUE", "price": ""}),
        (-5038, {"type": "MARKET", "timeInForce": "", "price": "", "priceMatch": "QUEUE"}),
        (-1116, {"type": "LIMIT_MAKER"}),
        (-4120, {"type": "STOP"}),
        (-4003, {"quantity": "0"}),
        (-4001, {"price": "0"}),
        (-4015, {"newClientOrderId": "x" * 37}),
        (-4060, {"positionSide": "UP"}),
        (-5039, {"selfTradePreventionMode": "DECREMENT"}),
        (-1136, {"newOrderRespType": "FULL"}),
        (-1121, {"symbol": "NOPEUSDT"}),
        (-1104, {"icebergQty": "1"}),
        (-1102, {"price": ""}),
    ],
)
def test_parameters_are_refused_with_the_codes_of_the_documentation(code: int, changes: dict[str, str]) -> None:
    """Nothing reaches the book."""

    async def case() -> None:
        async with usdm_desk() as desk:
            given = {name: value for name, value in (limit() | changes).items() if value}
            assert (await desk.ask("alice", "POST", "v1/order", **given))["code"] == code
            assert (await desk.truth())["orders"] == []

    run(case)


def test_an_order_is_good_till_its_second_and_takes_the_price_of_a_level() -> None:
    """It expires at the whole second, and not before; the levels are those of the book when it arrives."""

    async def case() -> None:
        async with usdm_desk() as desk:
            for price in ("99", "98.50", "98", "97.50", "97"):
                await desk.ask("bob", "POST", "v1/order", **limit(price=price))
            await desk.ask("bob", "POST", "v1/order", **limit("SELL", "101"))
            matched = limit(priceMatch="QUEUE_5", newOrderRespType="RESULT")
            del matched["price"]
            placed = await desk.ask("alice", "POST", "v1/order", **matched)
            assert (placed["price"], placed["priceMatch"], placed["status"]) == ("97.00000000", "QUEUE_5", "NEW")
            taken = await desk.ask("alice", "POST", "v1/order", **matched | {"priceMatch": "OPPONENT"})
            assert (taken["price"], taken["status"], taken["avgPrice"]) == ("101.00000000", "FILLED", "101.00000000")
            key = (await desk.key("alice"))["listenKey"]
            user = await desk.hear(f"/private/ws?listenKey={key}")
            till_ms = desk.box.scheduler.done_us // 1_000 + 601_999
            good = limit(timeInForce="GTD", goodTillDate=till_ms, newClientOrderId="till")
            assert (await desk.ask("alice", "POST", "v1/order", **good))["goodTillDate"] == till_ms // 1_000 * 1_000
            await desk.box.advance(seconds=600.9)
            which = {"symbol": SYMBOL, "origClientOrderId": "till"}
            assert (await desk.ask("alice", "GET", "v1/order", **which))["status"] == "NEW"
            await desk.box.advance(seconds=0.2)
            ended = await desk.ask("alice", "GET", "v1/order", **which)
            assert (ended["status"], ended["updateTime"]) == ("EXPIRED", till_ms // 1_000 * 1_000)
            await user.until(lambda ear: any(one.get("o", {}).get("X") == "EXPIRED" for one in ear.got))
            assert user.got[-1]["o"]["er"] == "0"

    run(case)


def test_a_modification_takes_the_price_of_a_level() -> None:
    """As of its arrival; a price beside it is refused, and so is a level that is not there."""

    async def case() -> None:
        async with usdm_desk() as desk:
            for price in ("99", "98", "97"):
                await desk.ask("bob", "POST", "v1/order", **limit(price=price))
            mine = await desk.ask("alice", "POST", "v1/order", **limit(price="96"))
            which = {"symbol": SYMBOL, "orderId": mine["orderId"], "side": "BUY", "quantity": "1"}
            moved = await desk.ask("alice", "PUT", "v1/order", **which, priceMatch="QUEUE")
            assert (moved["price"], moved["priceMatch"], moved["orderId"]) == ("99.00000000", "QUEUE", mine["orderId"])
            back = await desk.ask("alice", "PUT", "v1/order", **which, price="98")
            assert (back["price"], back["priceMatch"]) == ("98.00000000", "NONE")
            for code, terms in ((-1106, {"price": "97"}), (-5041, {}), (-1102, {"priceMatch": "NONE"})):
                refused = await desk.ask("alice", "PUT", "v1/order", **which, **{"priceMatch": "QUEUE_5", **terms})
                assert refused["code"] == code, (terms, refused)

    run(case)


def test_a_settlement_closes_positions_at_the_mark_price() -> None:
    """Open orders end, both sides are flat, what they realised adds up, and nothing more is traded."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.trade("100", "2")
            await desk.ask("alice", "POST", "v1/order", **limit(price="98"))
            await desk.control("mark", price="103")
            await desk.box.advance(seconds=1)
            assert await desk.control("settle") == {"status": "SETTLING", "price": "103.00000000"}
            for who, profit in (("alice", "6.00000000"), ("bob", "-6.00000000")):
                assert await desk.ask(who, "GET", "v3/positionRisk") == []
                assert await desk.ask(who, "GET", "v1/openOrders") == []
                (row,) = await desk.ask(who, "GET", "v1/income", incomeType="REALIZED_PNL")
                assert row["income"] == profit
                orders = await desk.ask(who, "GET", "v1/allOrders", symbol=SYMBOL)
                assert orders[-1]["clientOrderId"].startswith("settlement_autoclose-")
            assert (await desk.ask("alice", "POST", "v1/order", **limit()))["code"] == -4141

    run(case)


def test_conditional_orders_are_placed_told_and_cancelled_on_both_doors() -> None:
    """By REST and WebSocket API; the user hears of each state, and the order that was sent is named."""

    async def case() -> None:
        async with usdm_desk() as desk:
            await desk.trade()
            key = (await desk.key("alice"))["listenKey"]
            api, user = (
                await desk.hear("/ws-fapi/v1"),
                await desk.hear(f"/private/ws?listenKey={key}&events=ALGO_UPDATE"),
            )
            stop = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "1"}
            placed = await desk.ask("alice", "POST", "v1/algoOrder", **stop, triggerPrice="99", clientAlgoId="mine")
            assert (placed["algoStatus"], placed["triggerPrice"], placed["orderType"]) == (
                "NEW",
                "99.00000000",
                "STOP_MARKET",
            )
            signed = desk.signed("alice", **stop, triggerPrice="98")
            other = (await api.ask(method="algoOrder.place", params=signed))["result"]
            assert [one["algoId"] for one in await desk.ask("alice", "GET", "v1/openAlgoOrders")] == [1, 2]
            ended = await api.ask(method="algoOrder.cancel", params=desk.signed("alice", algoId=other["algoId"]))
            assert ended["result"]["code"] == "200"
            await desk.ask("bob", "POST", "v1/order", **limit(price="98.50", quantity="1"))
            await desk.trade("99", "0.2")
            asked = await desk.ask("alice", "GET", "v1/algoOrder", clientAlgoId="mine")
            assert (asked["algoStatus"], asked["actualPrice"]) == ("FINISHED", "98.50000000")
            sent = await desk.ask("alice", "GET", "v1/order", symbol=SYMBOL, orderId=asked["actualOrderId"])
            assert (sent["status"], sent["clientOrderId"]) == ("FILLED", "mine")
            await user.until(lambda ear: len(ear.got) == 6)
            told = [(one["o"]["aid"], one["o"]["X"]) for one in user.got]
            assert told == [
                (1, "NEW"),
                (2, "NEW"),
                (2, "CANCELED"),
                *((1, x) for x in ("TRIGGERING", "TRIGGERED", "FINISHED")),
            ]
            assert user.got[-1]["o"]["ai"] == asked["actualOrderId"]
            for code, more in (
                (-1116, {"type": "LIMIT"}),
                (-1102, {"type": "STOP", "triggerPrice": "90"}),
                (-2007, {"type": "TRAILING_STOP_MARKET", "callbackRate": "11"}),
                (-2021, {"triggerPrice": "120"}),
                (-4136, {"type": "STOP", "triggerPrice": "90", "closePosition": "true"}),
                (-4137, {"triggerPrice": "90", "closePosition": "true"}),
                (-1130, {"algoType": "VP"}),
            ):
                assert (await desk.ask("alice", "POST", "v1/algoOrder", **stop | more))["code"] == code

    run(case)


def test_faults_apply_as_on_spot() -> None:
    """A lost answer, a lost event, a stream that ends, a status of the contract."""

    async def case() -> None:
        script = "at request 1 of order.place do ack_lost\nat time 2 do drop n=1 of=user\nat time 4 do terminate"
        async with usdm_desk(script) as desk:
            key = (await desk.key("alice"))["listenKey"]
            api, user = await desk.hear("/ws-fapi/v1"), await desk.hear(f"/private/ws?listenKey={key}")
            params = desk.signed("alice", **limit(newClientOrderId="lost"))
            await api.connection.send(json.dumps({"id": 1, "method": "order.place", "params": params}))
            await user.until(lambda ear: ear.got)
            assert (user.got[0]["o"]["c"], api.got) == ("lost", [])
            await desk.box.advance(seconds=3)
            await desk.ask("alice", "POST", "v1/order", **limit(newClientOrderId="unheard"))
            await desk.ask("alice", "POST", "v1/order", **limit(newClientOrderId="heard"))
            await user.until(lambda ear: len(ear.got) == 2)
            assert user.got[1]["o"]["c"] == "heard"
            await desk.box.advance(seconds=2)
            await user.until(lambda ear: ear.kinds[-1] == "listenKeyExpired")
            assert (await desk.control("status", status="SETTLING")) == {"status": "SETTLING"}
            assert (await desk.ask("alice", "POST", "v1/order", **limit()))["code"] == -4141
            (entry,) = (await desk.get("v1/exchangeInfo"))["symbols"]
            assert entry["status"] == "SETTLING"

    run(case)


def test_control_calls_refuse_what_they_cannot_do() -> None:
    """With a reason, and without an effect."""

    async def case() -> None:
        async with usdm_desk() as desk:
            for path, content in (
                ("mark", {"price": "-1"}),
                ("mark", {"cost": "1"}),
                ("funding", {"rate": "0.5"}),
                ("status", {"status": "ASLEEP"}),
            ):
                assert (await desk.control(path, **content))["code"] == -1130
            assert (await desk.get("v1/premiumIndex", symbol=SYMBOL))["markPrice"] == "100.00000000"

    run(case)
