"""The exchange's clock, and the signatures of requests."""

from urllib.parse import parse_qs

from mm.live.venues.binance import Signer
from mm.live.venues.binance_spot import AMEND_ORDER, ROUTES
from mm.live.venues.keys import Credentials, sorted_payload
from mm.live.venues.requests import ExchangeClock
from mm.sim.wire.operations import MARKET_OPERATIONS
from mm.sim.wire.user_operations import USER_OPERATIONS


def test_clock_offset_uses_midpoint_of_request() -> None:
    """The request takes 40 ms; the server reads its clock in the middle."""
    clock = ExchangeClock(lambda: 5_000_000)
    clock.measured(1_000_000, 3_020_000, 1_040_000)
    assert (clock.offset_us, clock.timestamp_ms()) == (2_000_000, 7_000)


def test_clock_ignores_measurement_when_local_clock_steps_back() -> None:
    """Its offset would be meaningless."""
    clock = ExchangeClock(lambda: 0)
    clock.measured(1_000_000, 9_000_000, 400_000)
    assert clock.offset_us == 0


def test_signature_covers_all_other_parameters() -> None:
    """Sorted by name for the WebSocket API, in the given order for REST."""
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


def test_routes_and_weights_match_simulated_exchange() -> None:
    """Client and simulated exchange have separate tables."""
    known = {operation.method: operation for operation in (*MARKET_OPERATIONS, *USER_OPERATIONS)}
    for route in ROUTES:
        operation = known[route.name]
        assert operation.route == (route.verb, route.path)
        parameters = {"symbol": "S"} if "symbol" in operation.parameters else {}
        assert operation.weighs(parameters) == route.weight, route.name
        # The answer to an amendment has the count as well, and adds nothing to it.
        assert operation.counts_orders == route.stamped_once
        assert route.counted == (route.stamped_once and route is not AMEND_ORDER)
