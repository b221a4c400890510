"""Random requests, stateful sequences and every fault: the exchange of contracts answers, and its money stays whole."""

import asyncio
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange_rig import ALICE, BOB, hmac_hex
from mm.sim.exchange.parameters import PARAMETERS
from mm.sim.wire.box import Box
from mm.sim.wire.faults.table import FAULTS
from mm.sim.wire.http_messages import read_request
from mm.sim.wire.usdm.market import UsdmMarket
from mm.sim.wire.usdm.parameters import USDM_PARAMETERS
from simulation import inject
from usdm_desk import SYMBOL, limit, run, usdm_desk

OPERATIONS = UsdmMarket.operations
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "1", "-1", "1e5", "NaN", "0.00000001", "1" * 30, SYMBOL, "BUY", "LIMIT", "MARKET", "GTC"]
    ),
    st.sampled_from(["true", "False", "[]", "100", "1.5", "%", "&a=1", "ISOLATED", "GTX", "RESULT", "LONG", "126"]),
)
NAMES = st.sampled_from(sorted({*PARAMETERS, *USDM_PARAMETERS})) | st.text(max_size=5)
MARKET = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.4"}
MODIFY = {"symbol": SYMBOL, "side": "BUY", "orderId": "1", "price": "99.5", "quantity": "1.5"}
SENT = st.builds(
    lambda order, others: order | others,
    st.sampled_from([{}, limit(), MARKET, MODIFY, {"symbol": SYMBOL}, {"symbol": SYMBOL, "leverage": "9"}]),
    st.dictionaries(NAMES, WORDS, max_size=3),
)


class Door:
    """REST of a box without a socket."""

    def __init__(self) -> None:
        self.box = Box.in_lockstep("empty", market=UsdmMarket())
        self.accounts = {ALICE: self.box._keys[0], BOB: self.box._keys[1]}

    def send(self, who: int, method: str, path: str, sent: dict[str, str], *, signs: bool = True) -> tuple[int, Any]:
        """Return status and content of the answer to a request."""
        key = self.accounts[who]
        stamp = {"timestamp": str(self.box.scheduler.done_us // 1_000)} if signs else {}
        query = urlencode(sent | stamp)
        signed = f"{query}&signature={hmac_hex(key.secret, query)}" if signs else query
        request = read_request(method, f"{path}?{signed}", {"x-mbx-apikey": key.key}, b"", "127.0.0.1")
        response = self.box.rest.answer(request)
        return response.status, json.loads(response.body)

    def whole(self) -> Decimal:
        """Return all money, and check that all positions are someone's."""
        truths = [self.box.account(name) for name in ("alice", "bob")]
        positions = [position for truth in truths for position in truth["positions"]]
        exchange = truths[0]["exchange"]
        held = sum(Decimal(one["positionAmt"]) for one in positions)
        assert held + Decimal(exchange["market"]["position"]) == 0
        wallets = sum(Decimal(truth["balances"][0]["balance"]) for truth in truths)
        costs = sum(Decimal(one["cost"]) for one in positions)
        others = (exchange["market"]["cash"], exchange["fees"], exchange["insurance"])
        return wallets - costs + sum(map(Decimal, others))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(OPERATIONS), SENT, st.booleans())
@example(OPERATIONS[0], {"\x00": "x"}, False)
def test_random_requests_to_contracts_return_valid_answers(operation: Any, sent: dict[str, str], signs: bool) -> None:
    """Any parameters for any endpoint: an answer of the exchange, and money that is whole."""
    door = Door()
    for who, order in ((ALICE, limit()), (BOB, limit("SELL", "101"))):
        assert door.send(who, "POST", "/fapi/v1/order", order)[0] == 200
    before = door.whole()
    status, content = door.send(ALICE, *operation.route, sent, signs=signs)
    assert status in (200, 400, 401)
    if status != 200:
        assert content["code"] < 0
        assert content["msg"]
    assert door.whole() == before


ACTIONS = st.one_of(
    st.tuples(
        st.sampled_from([ALICE, BOB]),
        st.just("POST order"),
        st.builds(
            lambda side, ticks, lots, tif, reduce, position: limit(
                side,
                f"{ticks / 100:.2f}",
                f"{lots / 1000:.3f}",
                timeInForce=tif,
                reduceOnly=reduce,
                positionSide=position,
            ),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(9_800, 10_200),
            st.integers(60, 90_000),
            st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
            st.sampled_from(["false", "false", "true"]),
            st.sampled_from(["LONG", "SHORT"]),
        ),
    ),
    st.tuples(
        st.sampled_from([ALICE, BOB]),
        st.just("PUT order"),
        st.builds(
            lambda number, side, ticks, lots: {
                "symbol": SYMBOL,
                "orderId": str(number),
                "side": side,
                "price": f"{ticks / 100:.2f}",
                "quantity": f"{lots / 1000:.3f}",
            },
            st.integers(1, 12),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(9_800, 10_200),
            st.integers(60, 5_000),
        ),
    ),
    st.tuples(st.just(0), st.just("mark"), st.sampled_from(["100", "97", "93.5", "90", "104", "115"])),
    st.tuples(st.sampled_from([ALICE, BOB]), st.just("POST leverage"), st.sampled_from(["1", "5", "50", "125"])),
    st.tuples(st.sampled_from([ALICE, BOB]), st.just("POST marginType"), st.sampled_from(["ISOLATED", "CROSSED"])),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(ACTIONS, max_size=25), st.booleans())
def test_random_trading_keeps_money_and_every_order_in_order(actions: list[tuple[int, str, Any]], hedged: bool) -> None:
    """Orders, modifications, settings and mark prices of two users with little money; also through liquidations.

    Alice may be in hedge mode.
    """
    door = Door()
    if hedged:
        assert door.send(ALICE, "POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"})[0] == 200
    for name in ("alice", "bob"):
        number = {"alice": ALICE, "bob": BOB}[name]
        door.box.exchange.transfer(number, "USDT", -999_000 * 10**8)
    before = door.whole()
    users = door.box.exchange.users
    for who, what, content in actions:
        if what == "mark":
            door.box.exchange.set_mark(int(Decimal(content) * 10**8))  # type: ignore[attr-defined]
            door.box.advance_now(us=1_000_000)
        else:
            verb, path = what.split()
            names = {"leverage": "leverage", "marginType": "marginType"}
            sent = {"symbol": SYMBOL, names[path]: content} if path in names else content
            unused = "reduceOnly" if hedged and who == ALICE else "positionSide"
            sent = {name: text for name, text in sent.items() if name != unused}
            status, answer = door.send(who, verb, f"/fapi/v1/{path}", sent)
            assert status == 200 or answer["code"] < 0
        assert door.whole() == before
        for number in (ALICE, BOB):
            truth = door.box.account("alice" if number == ALICE else "bob")
            for position in truth["positions"]:
                held, side = Decimal(position["positionAmt"]), position["positionSide"]
                assert held * {"LONG": 1, "SHORT": -1}.get(side, held) >= 0
                fills = [fill for fill in users.fills(number) if fill.position_side == side]
                assert held == sum(fill.side * Decimal(fill.lots) / 1_000 for fill in fills)
                reducing = [
                    one for one in users.open(number) if one.request.reduce_only and one.request.position_side == side
                ]
                assert all(one.request.side * held < 0 for one in reducing)
                assert sum(Decimal(one.left_lots) / 1_000 for one in reducing) <= abs(held)
            for order in users.all(number):
                filled = sum(fill.lots for fill in order.fills)
                assert order.filled_lots == filled
                assert order.is_open == (order.left_lots > 0)
                assert door.box.exchange._core.order(order.core_id) is None or order.is_open


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_leaves_a_contract_that_answers(name: str) -> None:
    """With its defaults, on connections of all routes; afterwards orders are accepted and money is whole."""

    async def case() -> None:
        rule = f"at time 1 do {name}" + (" tick=0.02" if name == "filters" else "")
        async with usdm_desk(scenario="large_tick") as desk:
            key = (await desk.key("alice"))["listenKey"]
            paths = ("/public/ws/simusdt@depth@100ms", "/market/ws/simusdt@markPrice@1s", f"/private/ws/{key}")
            for path in (*paths, "/ws-fapi/v1"):
                await desk.hear(path)
            inject(desk.box, rule)
            for _ in range(4):
                await desk.box.advance(seconds=0.5)
                await attempt(desk)
            await desk.box.advance(seconds=120)
            await attempt(desk)
            assert (await desk.http.get("/sim/state")).status_code == 200
            truth = await desk.truth()
            assert len(truth["requests"]) >= 2

    run(case)


async def attempt(desk: Any) -> None:
    """Send an order that may be refused, never answered, or reset, as the fault wants."""
    with suppress(TimeoutError, httpx.TransportError, ValueError):
        async with asyncio.timeout(0.3):
            await desk.ask("alice", "POST", "v1/order", **limit(price="99"))
