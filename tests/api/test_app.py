"""The endpoints in process: documented messages, every rejection with its status, and random bytes; never a 5xx."""

import asyncio
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra [api]")

import httpx
from desks import still_market

from guarded import add_token, door_of
from mm.api.app import LONGEST_BODY, made_app
from mm.api.client_log import ClientLog

ORDER = {"client_id": "mm_1", "side": "buy", "type": "limit", "price": 100.05, "size": 5}


class Caller:
    """Calls one application, one call at a time."""

    def __init__(self, **limits):
        self.market = still_market(**limits)
        self.app = made_app(self.market)

    def many(self, calls, **headers):
        """Return status and content of each of (method, path, body)."""

        async def play():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return [
                    await client.request(method, path, content=body, headers=headers) for method, path, body in calls
                ]

        return [(answer.status_code, answer.json()) for answer in asyncio.run(play())]

    def __call__(self, method, path, body=None):
        """Return status and content."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.many([(method, path, data)])[0]

    def order(self, **changes):
        """Send `ORDER` with changes."""
        return self("POST", "/order", {**ORDER, **changes})


def test_documented_session():
    """Order, book, fills, positions, orders and cancel, with the keys and words of the interface."""
    call = Caller()
    status, answer = call.order()
    assert status == 200
    assert answer == {"order_id": 1, "status": "open", "filled": 0, "remaining": 5, "ack_us": answer["ack_us"]}
    assert 0 <= answer["ack_us"] < 10_000_000
    assert call("GET", "/book")[1] == {
        "mid": None, "best_bid": 100.05, "best_ask": None, "spread": None, "bids": [[100.05, 5]], "asks": [],
        "timestamp": call.market.desk.us / 1e6,
    }  # fmt: skip
    assert call.order(client_id="b", side="sell", type="market", price=None, size="2")[1]["status"] == "filled"
    (open_order,) = call("GET", "/orders/mm_1")[1]
    assert (open_order["status"], open_order["filled"], open_order["remaining"]) == ("partial", 2, 3)
    (fill,) = call("GET", "/fills/mm_1")[1]
    assert (fill["order_id"], fill["side"], fill["price"], fill["size"], fill["liquidity"]) == (
        1,
        "buy",
        100.05,
        2,
        "maker",
    )
    assert call("GET", "/fills/b")[1][0]["liquidity"] == "taker"
    assert call("GET", "/positions/mm_1")[1] == {"position": 2, "pnl": 0, "cash": -200.1, "fees": 0}
    assert call("POST", "/cancel/1")[1]["status"] == "cancelled"
    assert call("POST", "/cancel/1")[1]["status"] == "cancelled"
    assert call("GET", "/orders/mm_1") == (200, [])


def test_cancel_with_client_id_must_match_the_order():
    """By the query or by the body; without a client_id anyone may cancel, as in the interface."""
    call = Caller()
    call.order()
    assert call("POST", "/cancel/1?client_id=b")[0] == 404
    assert call("POST", "/cancel/1", {"client_id": "b"})[0] == 404
    assert call("POST", "/cancel/77")[0] == 404
    assert call("POST", "/cancel/1", {"client_id": "mm_1"})[1]["status"] == "cancelled"
    assert call("GET", "/orders/mm_1")[1] == []


def test_risk_rejection_is_a_200_answer_with_reason():
    """Status "rejected", with the limit as reason."""
    call = Caller(max_position="4", max_daily_loss="100", max_orders_per_s=9)
    status, answer = call.order()
    assert (status, answer["status"], answer["order_id"], answer["remaining"]) == (200, "rejected", None, 5)
    assert answer["reason"] == "max_position: 5 is beyond 4"
    call.order(size=3)
    risk = call("GET", "/risk/mm_1")[1]
    assert risk == {
        "limits": {
            "max_position": 4, "max_open_orders": None, "max_order_notional": None, "price_band": None,
            "max_orders_per_s": 9, "max_daily_loss": 100,
        },
        "use": {
            "max_position": 3, "max_open_orders": 1, "max_order_notional": None, "price_band": None,
            "max_orders_per_s": 1, "max_daily_loss": 0,
        },
        "killed": False,
        "reason": None,
    }  # fmt: skip


def test_kill_cancels_and_rearm_allows_orders_again():
    """An order after the kill is rejected."""
    call = Caller()
    call.order()
    assert call("POST", "/risk/mm_1/kill")[1] == {
        "client_id": "mm_1", "killed": True, "reason": "manual", "cancelled": [1]
    }  # fmt: skip
    assert call("GET", "/risk/mm_1")[1]["killed"] is True
    assert call.order()[1]["status"] == "rejected"
    assert call("POST", "/risk/mm_1/rearm")[1]["killed"] is False
    assert call.order()[1]["status"] == "open"
    assert call("POST", "/cancel_all/mm_1")[1] == {"client_id": "mm_1", "cancelled": [2]}
    assert call("POST", "/cancel_all/nobody")[1] == {"client_id": "nobody", "cancelled": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "hold"}, {"type": "stop"}, {"size": -5}, {"size": 0}, {"price": -1}, {"price": None}, {"size": None},
        {"size": "five"}, {"size": 1e400}, {"client_id": ""}, {"client_id": "a b"}, {"client_id": "x" * 65},
        {"client_id": 7}, {"size": [5]}, {"price": True}, {"type": "market"},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_orders_are_422(changes):
    """With a sentence that names the problem; no order is sent."""
    call = Caller()
    body = json.dumps({**ORDER, **changes}).replace("Infinity", "1e400").encode()
    status, answer = call("POST", "/order", body)
    assert (status, list(answer)) == (422, ["detail"])
    assert call.market.desk.clients == {}


def test_repeated_keys_are_422():
    """Readers differ in which value counts, so a client could read another order than the one that is sent."""
    call = Caller()
    for path, body in [
        ("/order", json.dumps(ORDER)[:-1] + ', "side": "sell"}'),
        ("/cancel/1", '{"client_id": "a", "client_id": "b"}'),
    ]:
        status, answer = call("POST", path, body.encode())
        assert (status, "is repeated" in answer["detail"]) == (422, True)
    assert call.market.desk.clients == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:3000"}, 403),
        ({"host": "evil.example:8000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "[", "origin": "http://["}, 403),
    ],
)
def test_pages_of_other_hosts_and_ports_are_refused(headers, status):
    """As by the control calls of the exchange in a box."""
    assert Caller().many([("GET", "/health", None)], **headers)[0][0] == status


@pytest.fixture
def doors(tmp_path):
    """Return an interface for other machines, and tokens by name."""
    tokens = {}
    for roles in (["read"], ["read", "trade"], ["kill"], ["rearm"]):
        tokens["+".join(roles)] = add_token(tmp_path / "tokens", *roles)
    call = Caller()
    call.door = door_of("0.0.0.0", tokens=tmp_path / "tokens", plain_http=True, allowed_hosts=["exchange"])
    call.app = made_app(call.market, call.door)
    return call, tokens


def test_interface_of_a_network_is_called_by_its_names_and_addresses_with_a_token(doors):
    """A name that the server was not given may be that of a web page that resolves to it."""
    call, tokens = doors
    known = {"authorization": f"Bearer {tokens['read']}"}
    for headers, status in (
        ({"host": "exchange:8000", "origin": "http://exchange:8000"}, 200),
        ({"host": "192.0.2.1:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "exchange:8000", "origin": "http://evil.example"}, 403),
        ({"host": "exchange:8000", "authorization": ""}, 401),
        ({"host": "exchange:8000", "authorization": f"Basic {tokens['read']}"}, 401),
        ({"host": "exchange:8000", "authorization": f"Bearer {tokens['read'][:-1]}"}, 401),
    ):
        assert call.many([("GET", "/health", None)], **(known | headers))[0][0] == status, headers
    assert call.door.refusals == {"other_host": 2, "no_token": 2, "unknown_token": 1, "wrong_role": 0}


def test_each_role_allows_its_calls_alone(doors):
    """What a token does not name it cannot do; a client may have the name of another call."""
    call, tokens = doors
    order = json.dumps(ORDER).encode()
    calls = [
        ("GET", "/book", None, "read"),
        ("GET", "/risk/mm_1", None, "read"),
        ("GET", "/openapi.json", None, "read"),
        ("POST", "/order", order, "trade"),
        ("POST", "/cancel/1", None, "trade"),
        ("POST", "/cancel_all/kill", None, "trade"),
        ("POST", "/cancel_all/rearm", None, "trade"),
        ("POST", "/risk/mm_1/kill", None, "kill"),
        ("POST", "/risk/mm_1/rearm", None, "rearm"),
    ]
    for roles, token in tokens.items():
        answers = call.many([one[:3] for one in calls], authorization=f"Bearer {token}")
        for (method, path, _, needed), (status, answer) in zip(calls, answers, strict=True):
            assert (status == 403) == (needed not in roles.split("+")), (roles, method, path, answer)
    assert call.market.desk.clients["mm_1"].killed is None  # rearmed last


def test_refused_request_changes_nothing(doors):
    call, tokens = doors
    order = json.dumps(ORDER).encode()
    for headers in ({}, {"authorization": f"Bearer {tokens['read']}"}, {"host": "evil.example"}):
        call.many([("POST", "/order", order), ("POST", "/risk/mm_1/kill", None)], **headers)
    assert call.market.desk.clients == {}


def test_page_of_the_endpoints_needs_no_internet():
    """No script, style or font from another address."""

    async def page():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(Caller().app), base_url="http://localhost"
        ) as client:
            return (await client.get("/docs")).text

    text = asyncio.run(page())
    assert "openapi.json" in text
    assert not any(mark in text for mark in ("http:", "https:", "//cdn", "src=", "@import"))


def test_log_has_every_order_and_fill(tmp_path):
    """Accepted, filled, cancelled and rejected orders, one JSON line each, before the answer."""
    call = Caller(max_position="8")
    log = call.market.log = ClientLog(tmp_path / "a" / "log.ndjson", call.market.desk)
    call.order()
    call.order(client_id="b", side="sell", type="limit", size="2")
    call("POST", "/cancel/1")
    call.order(size=9)
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(row["event"], row["client_id"], row["size"], row["reason"]) for row in rows] == [
        ("accepted", "mm_1", 5, None),
        ("accepted", "b", 2, None),
        ("fill", "b", 2, None),
        ("fill", "mm_1", 2, None),
        ("cancelled", "mm_1", 5, "cancelled"),
        ("rejected", "mm_1", "9", "max_position: 11 is beyond 8"),
    ]
    assert [row["remaining"] for row in rows[:5]] == [5, 2, 0, 3, 3]
    assert rows[2]["price"] == rows[3]["price"] == 100.05


def test_log_that_cannot_be_written_stops_the_market(tmp_path):
    """An order that is not logged is not answered, and none follows."""
    call = Caller()
    log = call.market.log = ClientLog(tmp_path / "log.ndjson", call.market.desk)
    log._file = os.open(log.path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file"):
        call.order()
    with pytest.raises(OSError, match="Bad file"):
        call.market.pace.advance_to(call.market.desk.us + 1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"client_id":"a"}'])
def test_bodies_that_are_not_orders_are_422(body):
    """Also bytes that are not text."""
    assert Caller()("POST", "/order", body)[0] == 422


@pytest.mark.parametrize("price", [100.005, "0.001", "1e-9"])
def test_price_off_the_grid_is_rejected(price):
    """The message is well formed, but the market has no such price."""
    status, answer = Caller().order(price=price)
    assert (status, answer["status"]) == (200, "rejected")


def test_status_codes_of_unknown_and_invalid_requests():
    """Unknown paths, methods, names and numbers."""
    call = Caller()
    assert call("GET", "/nowhere")[0] == 404
    assert call("GET", "/order")[0] == 405
    assert call("GET", "/fills/a%20b")[0] == 422
    assert call("POST", "/cancel/0")[0] == 422
    assert call("POST", "/cancel/99999999999999999999")[0] == 422
    assert call("GET", "/book?levels=0")[0] == 422
    assert call("POST", "/order", b" " * (LONGEST_BODY + 1))[0] == 413
    assert call("GET", "/fills/nobody") == (200, [])
    assert call("GET", "/positions/nobody")[1] == {"position": 0, "pnl": 0, "cash": 0, "fees": 0}
    assert call("GET", "/risk/nobody")[1]["killed"] is False
    assert call.market.desk.clients == {}


def test_openapi_document_describes_every_endpoint():
    """Each answer by its schema."""
    call = Caller()
    document = call("GET", "/openapi.json")[1]
    assert sorted(document["paths"]) == [
        "/book", "/cancel/{order_id}", "/cancel_all/{client_id}", "/fills/{client_id}", "/health",
        "/order", "/orders/{client_id}", "/positions/{client_id}", "/risk/{client_id}", "/risk/{client_id}/kill",
        "/risk/{client_id}/rearm",
    ]  # fmt: skip
    text = json.dumps(document)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in document["components"]["schemas"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "client_id": st.sampled_from(["a", "b"]) | _VALUES,
        "side": st.sampled_from(["buy", "sell"]) | _VALUES,
        "type": st.sampled_from(["limit", "market", "limit_maker"]) | _VALUES,
        "price": st.floats(0.01, 200).map(lambda x: round(x, 2)) | st.text(max_size=9) | _VALUES,
        "size": st.integers(1, 9) | st.text("0123456789.e-+", max_size=9) | _VALUES,
    },
)
_PATHS = st.sampled_from(["order", "cancel/1", "cancel_all/a", "risk/a/kill", "risk/a/rearm"])


@pytest.fixture(scope="module")
def limited():
    """One exchange for all random calls."""
    return Caller(max_position="20", max_order_notional="900", price_band="0.5", max_orders_per_s=5, max_daily_loss="5")


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    calls=st.lists(
        st.tuples(_PATHS, st.binary(max_size=200) | _ORDERS.map(lambda one: json.dumps(one).encode())), max_size=8
    )
)
def test_random_requests_never_give_a_5xx(limited, calls):
    """Random bytes and nearly valid messages; the core stays consistent, and the limits hold."""
    for status, answer in limited.many([("POST", f"/{path}", body) for path, body in calls]):
        assert status in (200, 404, 422), answer
        assert status == 200 or list(answer) == ["detail"]
    limited.market.desk._core.check()
    assert all(abs(client.lots) <= 20_000 for client in limited.market.desk.clients.values())
    limited.market.pace.advance_to(limited.market.desk.us + 1_000_000)
