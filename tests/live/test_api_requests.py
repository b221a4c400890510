"""The exchange's clock, and what is signed."""

from urllib.parse import parse_qs

from mm.live.api_requests import COUNTED, REST_ROUTES, STAMPED_ONCE, WEIGHTS, ExchangeClock, Signer
from mm.live.keys import Credentials, sorted_payload
from mm.live.order_access import VENUES
from mm.sim.wire.operations import MARKET_OPERATIONS
from mm.sim.wire.user_operations import USER_OPERATIONS


def test_the_offset_is_taken_halfway() -> None:
    """A request of 40 ms whose clock was read in its middle."""
    clock = ExchangeClock(lambda: 5_000_000)
    clock.measured(1_000_000, 3_020_000, 1_040_000)
    assert (clock.offset_us, clock.timestamp_ms()) == (2_000_000, 7_000)


def test_a_measurement_during_which_our_clock_went_back_is_none() -> None:
    """It would say anything."""
    clock = ExchangeClock(lambda: 0)
    clock.measured(1_000_000, 9_000_000, 400_000)
    assert clock.offset_us == 0


def test_the_signature_covers_all_parameters_but_itself() -> None:
    """By name for the WebSocket API, in their order for REST."""
    key = Credentials("k", secret="s")
    signer = Signer(key, ExchangeClock(lambda: 1_700_000_000_000_000), 1_000)
    named = signer.signed({"symbol": "A", "price": "1"})
    signature = named.pop("signature")
    assert signature == key.sign(sorted_payload(named))
    assert named == {"symbol": "A", "price": "1", "recvWindow": 1_000, "timestamp": 1_700_000_000_000, "apiKey": "k"}
    query = signer.query(signer.stamped({"symbol": "A", "price": "1"}))
    payload, _, signature = query.partition("&signature=")
    assert payload == "symbol=A&price=1&recvWindow=1000&timestamp=1700000000000"
    assert parse_qs(f"s={signature}")["s"] == [key.sign(payload)]


def test_routes_and_weights_are_those_of_the_exchange() -> None:
    """One table here, one there."""
    known = {operation.method: operation for operation in (*MARKET_OPERATIONS, *USER_OPERATIONS)}
    for method, route in REST_ROUTES.items():
        assert known[method].route == route
        parameters = {"symbol": "S"} if "symbol" in known[method].parameters else {}
        assert known[method].weighs(parameters) == WEIGHTS.get(method, 1), method
        # The answer to an amendment has the count as well, and adds nothing to it.
        assert known[method].counts_orders == (method in STAMPED_ONCE)
    assert set(COUNTED) == STAMPED_ONCE - {"order.amend.keepPriority"}


def test_the_venues_are_addresses_of_the_exchange() -> None:
    """The testnet is another host."""
    assert set(VENUES) == {"testnet", "production"}
    assert "testnet" in VENUES["testnet"].ws_api
    assert "testnet" not in VENUES["production"].rest
