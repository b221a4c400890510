"""Signatures: the examples of the exchange's documentation, and signatures made by independent tools."""

import string
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from exchange_rig import ed25519_base64, hmac_hex
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.keys import ApiKey, KeyRing, check_fresh, check_signature, make_keys
from mm.sim.exchange.parameters import RequestParameters
from mm.sim.wire.api import signed_payload as rest_payload
from mm.sim.wire.http_messages import read_request
from mm.sim.wire.ws_api import signed_payload as ws_payload

NAME = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = ApiKey(1, NAME, SECRET, "", PRIVATE.public_key())
NOW_US = 1_499_827_319_559_000
WHOLE = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WHOLE_SIGNED = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
UTF8_SYMBOL = "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"


@pytest.mark.parametrize(
    ("query", "body", "signature"),
    [
        ("", WHOLE, WHOLE_SIGNED),
        (WHOLE, "", WHOLE_SIGNED),
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
            "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
        ),
        (
            WHOLE.replace("LTCBTC", UTF8_SYMBOL),
            "",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
    ],
    ids=["body", "query", "mixed", "utf-8"],
)
@pytest.mark.parametrize("place", ["query", "body", "first"])
def test_documented_rest_signatures_are_accepted(query: str, body: str, signature: str, place: str) -> None:
    """The payload is query and body as sent, without a separator, and without the signature at any place."""
    signed = f"signature={signature.upper()}"
    if place == "query":
        query = f"{query}&{signed}" if query else signed
    elif place == "body":
        body = f"{body}&{signed}" if body else signed
    else:
        query, body = (f"{signed}&{query}", body) if query else (query, f"{signed}&{body}")
    request = read_request("POST", f"/api/v3/order?{query}", {}, body.encode(), "")
    parameters = RequestParameters(request.params, "LTCBTC")
    assert check_signature(KEY, parameters, rest_payload(request), [NOW_US]) == "HMAC"


def test_documented_websocket_signature_is_accepted() -> None:
    """The payload is all other parameters sorted by name."""
    parameters = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": "100",
        "timestamp": "1645423376532",
        "apiKey": NAME,
        "signature": "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
    }
    assert KEY.signed(ws_payload(parameters), parameters["signature"]) == "HMAC"


def test_ed25519_signature_matches_rfc_8032() -> None:
    """Test 2 of section 7.1: a message of one byte."""
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = ApiKey(1, NAME, SECRET, "", Ed25519PrivateKey.from_private_bytes(secret).public_key())
    assert key.signed(b"\x72", b64encode(signature).decode()) == "ED25519"
    assert key.signed(b"\x73", b64encode(signature).decode()) == ""


@given(st.binary(max_size=200), st.text(max_size=100))
def test_invalid_signatures_are_rejected_without_error(payload: bytes, signature: str) -> None:
    """Any text returns an empty string and raises nothing."""
    assert KEY.signed(payload, signature) == ""


def test_generated_keys_sign_with_hmac_and_ed25519() -> None:
    """The ready line prints enough to sign: a secret, and a PEM of PKCS#8."""
    for key in make_keys((1, 2), 7):
        assert key.private_pem.startswith("-----BEGIN PRIVATE KEY-----\n")
        assert len(key.key) == 64 == len(key.secret)
        assert set(key.key + key.secret) <= set(string.ascii_letters + string.digits)
        assert load_pem_private_key(key.private_pem.encode(), None)
        assert key.signed(b"a=1", hmac_hex(key.secret, "a=1")) == "HMAC"
        assert key.signed(b"a=1", ed25519_base64(key.private_pem, "a=1")) == "ED25519"


def test_keys_repeat_with_their_seed() -> None:
    """A run can be repeated with its keys; another seed has others."""

    def words(seed: int) -> list[str]:
        return [word for key in make_keys((1, 2), seed) for word in (key.key, key.secret, key.private_pem)]

    assert words(7) == words(7)
    assert len({*words(7), *words(8)}) == 12


@pytest.mark.parametrize(
    ("name", "code", "msg"),
    [
        ("", -2014, "API-key format invalid."),
        (NAME[:-1], -2014, "API-key format invalid."),
        (NAME[:-1] + "-", -2014, "API-key format invalid."),
        (NAME[:-1] + "é", -2014, "API-key format invalid."),
        (NAME[::-1], -2015, "Invalid API-key, IP, or permissions for action."),
        (NAME.lower(), -2015, "Invalid API-key, IP, or permissions for action."),
    ],
)
def test_unknown_keys_are_rejected(name: str, code: int, msg: str) -> None:
    """Keys are case sensitive."""
    with pytest.raises(ApiError) as caught:
        KeyRing([KEY]).find(name)
    assert (caught.value.code, caught.value.msg, caught.value.http_status) == (code, msg, 401)


def freshness(timestamp: int | str, window: str = "", clocks: tuple[int, ...] = (NOW_US,)) -> str:
    """Return ok, or the exchange's message about a timestamp."""
    given_ = {"timestamp": str(timestamp)} | ({"recvWindow": window} if window else {})
    try:
        check_fresh(RequestParameters(given_, "X"), clocks)
    except ApiError as error:
        return f"{error.code} {error.msg}"
    return "ok"


LATE = "-1021 Timestamp for this request is outside of the recvWindow."
EARLY = "-1021 Timestamp for this request was 1000ms ahead of the server's time."
NOW_MS = NOW_US // 1_000


@pytest.mark.parametrize(
    ("timestamp", "window", "answer"),
    [
        (NOW_MS, "", "ok"),
        (NOW_MS - 5_000, "", "ok"),
        (NOW_MS - 5_001, "", LATE),
        (NOW_MS + 999, "", "ok"),
        (NOW_MS + 1_000, "", EARLY),
        (NOW_MS - 60_000, "60000", "ok"),
        (NOW_MS - 11, "10", LATE),
        (NOW_US - 10_346, "10.346", "ok"),
        (NOW_US - 10_347, "10.346", LATE),
        (NOW_US - 5_000_001, "", LATE),
        (NOW_MS // 1_000, "", LATE),
        (NOW_MS, "60000.001", "-1102 'recvWindow' contains unexpected value. Cannot be greater than 60000."),
        (
            NOW_MS,
            "-1",
            "-1100 Illegal characters found in parameter 'recvWindow'; legal range is "
            "'^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
        ),
        ("soon", "", "-1100 Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,20}$'."),
        ("", "", "-1102 Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
    ],
)
def test_timestamp_is_accepted_within_recv_window(timestamp: int | str, window: str, answer: str) -> None:
    """In ms or in µs; at most one second ahead, and at most recvWindow behind."""
    assert freshness(timestamp, window) == answer


def test_timestamp_is_accepted_by_any_clock() -> None:
    """Where the exchange's time runs at another speed, the wall clock is accepted as well."""
    assert freshness(NOW_MS, "", (NOW_US + 10**9, NOW_US)) == "ok"
    assert freshness(NOW_MS, "", (NOW_US - 10**9, NOW_US + 10**9)) == LATE
    assert freshness(NOW_MS, "", (NOW_US - 10**9, NOW_US - 10**10)) == EARLY
