"""REST: headers, limits, signatures, time units and paths."""

import json
from urllib.parse import quote, urlencode

from exchange_rig import ALICE, BUY, LIMIT, MS, START_US, door, ed25519_base64, hmac_hex


def test_successful_orders_have_order_count_headers() -> None:
    """In both intervals; a rejected order has none."""
    rest = door()
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.headers["X-MBX-ORDER-COUNT-10S"], response.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
    assert rest.ask(ALICE, "GET", "rateLimit/order") == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000, "count": 1},
    ]
    rejected = rest.signed(ALICE, "POST", "order", **(LIMIT | {"price": "0.001"}))
    assert "X-MBX-ORDER-COUNT-10S" not in rejected.headers


def test_too_many_orders_return_429_with_retry_after() -> None:
    """Until the ten seconds are over."""
    rest = door()
    rest.desk.us += 3_500_000
    for step in range(100):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert json.loads(response.body)["code"] == -1015


def test_parameters_are_accepted_in_the_body() -> None:
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


def test_ed25519_signature_is_accepted() -> None:
    """In base64, percent-encoded, with the same API key."""
    rest = door()
    key = rest.keys[ALICE]
    query = f"timestamp={MS}"
    signature = quote(ed25519_base64(key.private_pem, query), safe="")
    response = rest.raw("GET", f"account?{query}&signature={signature}", {"x-mbx-apikey": key.key})
    assert (response.status, json.loads(response.body)["uid"]) == (200, ALICE)


def test_time_unit_header_gives_microseconds() -> None:
    """In every answer."""
    rest = door()
    rest.desk.us += 7
    query = urlencode(LIMIT | {"timestamp": rest.desk.us})
    key = rest.keys[ALICE]
    headers = {"x-mbx-apikey": key.key, "x-mbx-time-unit": "MICROSECOND"}
    response = rest.raw("POST", f"order?{query}&signature={hmac_hex(key.secret, query)}", headers)
    assert json.loads(response.body)["transactTime"] == START_US + 7


def test_listen_key_endpoints_return_410() -> None:
    """As on the exchange since February 2026."""
    for method in ("POST", "PUT", "DELETE"):
        assert door().raw(method, "userDataStream").status == 410


def test_unknown_path_returns_404_and_wrong_method_405() -> None:
    """The method is checked against the path."""
    rest = door()
    assert rest.raw("GET", "ticker/none").status == 404
    assert rest.raw("PATCH", "order").status == 405
