"""REST itself: headers, limits, signatures, time units and paths."""

import json
from urllib.parse import quote, urlencode

from exchange_rig import ALICE, BUY, START_US, SYMBOL, Desk, Door, ed25519_base64, hmac_hex

MS = START_US // 1_000


LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}


def door() -> Door:
    """Return both doors of a new exchange."""
    return Door(Desk())


def test_successful_orders_carry_the_count_of_orders() -> None:
    """In both intervals; what is refused carries none."""
    rest = door()
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.headers["X-MBX-ORDER-COUNT-10S"], response.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
    assert rest.ask(ALICE, "GET", "rateLimit/order") == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000, "count": 1},
    ]
    refused = rest.signed(ALICE, "POST", "order", **(LIMIT | {"price": "0.001"}))
    assert "X-MBX-ORDER-COUNT-10S" not in refused.headers


def test_too_many_orders_are_429_with_retry_after() -> None:
    """Until the ten seconds are over."""
    rest = door()
    rest.desk.us += 3_500_000
    for step in range(100):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert json.loads(response.body)["code"] == -1015


def test_a_body_may_carry_the_parameters() -> None:
    """All of them, or some; the query takes precedence for those in both."""
    rest = door()
    key = rest.keys[ALICE]
    query, body = (
        "symbol=SIMUSDT&side=BUY&quantity=1",
        urlencode({"type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "2", "timestamp": MS}),
    )
    signed = f"{body}&signature={hmac_hex(key.secret, query + body)}"
    response = rest.raw("POST", f"order?{query}", {"x-mbx-apikey": key.key}, signed.encode())
    assert (response.status, json.loads(response.body)["origQty"]) == (200, "1.00000000")


def test_ed25519_signs_as_well() -> None:
    """In base64, percent-encoded, with the same key's name."""
    rest = door()
    key = rest.keys[ALICE]
    query = f"timestamp={MS}"
    signature = quote(ed25519_base64(key.private_pem, query), safe="")
    response = rest.raw("GET", f"account?{query}&signature={signature}", {"x-mbx-apikey": key.key})
    assert (response.status, json.loads(response.body)["uid"]) == (200, ALICE)


def test_instants_are_written_in_microseconds_where_asked_for() -> None:
    """In every answer."""
    rest = door()
    rest.desk.us += 7
    query = urlencode(LIMIT | {"timestamp": rest.desk.us})
    key = rest.keys[ALICE]
    headers = {"x-mbx-apikey": key.key, "x-mbx-time-unit": "MICROSECOND"}
    response = rest.raw("POST", f"order?{query}&signature={hmac_hex(key.secret, query)}", headers)
    assert json.loads(response.body)["transactTime"] == START_US + 7


def test_listen_keys_no_longer_exist() -> None:
    """Their endpoints answer 410 Gone, as they do since February 2026."""
    for method in ("POST", "PUT", "DELETE"):
        assert door().raw(method, "userDataStream").status == 410


def test_other_paths_are_not_found() -> None:
    """404, and 405 for a method that a path does not know."""
    rest = door()
    assert rest.raw("GET", "klines").status == 404
    assert rest.raw("PATCH", "order").status == 405
