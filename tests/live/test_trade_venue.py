"""Addresses for orders: production only with two switches, and never by mistake."""

import pytest

from mm.errors import SafetyError, UsageError
from mm.live.knobs import VenueUrls
from mm.live.venues.addresses import CONTRACT_VENUES, VENUES, addresses, check_switches, is_production
from support import run_python

LOCAL = {
    "ws_url": "ws://127.0.0.1:1",
    "rest_url": "http://127.0.0.1:1",
    "ws_api_url": "ws://127.0.0.1:1/ws-api/v3",
}


def test_box_uses_the_given_addresses():
    found = VenueUrls(streams=LOCAL["ws_url"], rest=LOCAL["rest_url"], ws_api=LOCAL["ws_api_url"])
    assert addresses("box", **LOCAL) == found


@pytest.mark.parametrize("name", LOCAL)
def test_box_without_an_address_raises_error_with_its_name(name):
    with pytest.raises(UsageError, match=name.upper()):
        addresses("box", **LOCAL | {name: None})


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("host", ["192.0.2.7:9443", "box.example.org", "127.0.0.1.example.org", "[2001:db8::1]:80"])
def test_box_on_another_machine_needs_a_switch(name, host):
    """Orders meant for a simulation never leave this machine by a wrong address."""
    there = LOCAL | {name: f"{LOCAL[name].partition(':')[0]}://{host}"}
    with pytest.raises(SafetyError, match="remote_box"):
        addresses("box", **there)
    found = addresses("box", **there, remote_box=True)
    assert there[name] in (found.streams, found.rest, found.ws_api)


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.2", "[::1]:8"])
def test_box_of_this_machine_needs_none(host):
    assert addresses("box", **LOCAL | {"rest_url": f"http://{host}"}).rest == f"http://{host}"


@pytest.mark.parametrize("venue", VENUES)
def test_venue_has_its_published_addresses(venue):
    assert addresses(venue, None, None, None) == VENUES[venue]


def test_single_address_can_be_overridden():
    found = addresses("testnet", None, "http://127.0.0.1:9", None)
    assert found.rest == "http://127.0.0.1:9"
    assert found.streams == VENUES["testnet"].streams


@pytest.mark.parametrize("venue", ["box", "testnet"])
@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("host", ["api.binance.com", "API3.binance.com", "stream.binance.com:9443", "api.binance.us"])
def test_production_address_in_another_venue_raises_safety_error(venue, name, host):
    scheme = LOCAL[name].partition(":")[0]
    with pytest.raises(SafetyError, match="production exchange"):
        addresses(venue, **LOCAL | {name: f"{scheme}://{host}"})


@pytest.mark.parametrize(
    ("url", "real"),
    [
        ("https://api.binance.com", True),
        ("wss://data-stream.binance.vision", True),
        ("https://testnet.binance.vision", False),
        ("wss://ws-api.testnet.binance.vision/ws-api/v3", False),
        ("https://binance.com.example.org", False),
        ("https://notbinance.com", False),
        ("http://localhost:8000", False),
    ],
)
def test_production_address_is_recognised_by_its_host(url, real):
    assert is_production(url) is real


@pytest.mark.parametrize("venue", ["box", "testnet"])
def test_switch_has_no_effect_on_other_venues(venue):
    assert check_switches(venue, {"BTCUSDT": "10"}, {}) is None
    note = check_switches(venue, {"BTCUSDT": "10"}, {"TRADE_PRODUCTION": "nonsense"})
    assert note == f"TRADE_PRODUCTION has no effect: the venue is {venue}"


@pytest.mark.parametrize("allowed", ["BTCUSDT:10", "BTCUSDT:10.0", "BTCUSDT:11"])
def test_both_switches_together_allow_orders(allowed):
    assert check_switches("production", {"BTCUSDT": "10"}, {"TRADE_PRODUCTION": allowed}) is None


def test_switch_names_a_symbol_of_any_script():
    """The exchange lists symbols that are not ASCII."""
    assert check_switches("production", {"币安人生USDT": "10"}, {"TRADE_PRODUCTION": "币安人生USDT:10"}) is None


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "second switch"),
        ({"TRADE_PRODUCTION": ""}, "must be"),
        ({"TRADE_PRODUCTION": "1"}, "must be"),
        ({"TRADE_PRODUCTION": "BTCUSDT"}, "must be"),
        ({"TRADE_PRODUCTION": "BTCUSDT:-1"}, "must be"),
        ({"TRADE_PRODUCTION": "BTCUSDT:10\n"}, "must be"),
        ({"TRADE_PRODUCTION": "ETHUSDT:10"}, "allows ETHUSDT"),
        ({"TRADE_PRODUCTION": "BTCUSDT:9.99999999"}, "max_position"),
    ],
)
def test_production_without_valid_switch_raises_safety_error(environment, why):
    with pytest.raises(SafetyError, match=why):
        check_switches("production", {"BTCUSDT": "10"}, environment)


@pytest.mark.parametrize("words", [("trade",), ("trade", "flatten")])
def test_address_of_another_market_is_refused(tmp_path, words):
    """A strategy for futures must not send its orders to Spot, and the other way round."""
    variables = {"SYMBOL": "BTCUSDT", "MARKET": "usdm", "REST_URL": VENUES["testnet"].rest}
    done = run_python("-m", "mm", *words, "--venue", "testnet", cwd=tmp_path, **variables)
    assert done.returncode == 5, done.stderr
    assert "MARKET=usdm" in done.stderr
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize("venue", ["testnet", "production"])
def test_markets_have_addresses_of_their_own(venue):
    """What is published for one market is refused for the other, by each name."""
    of_contracts = addresses(venue, None, None, None, market="usdm")
    assert of_contracts == CONTRACT_VENUES[venue]
    assert set(of_contracts).isdisjoint(VENUES[venue])
    assert all(is_production(url) == (venue == "production") for url in of_contracts)
    for place, market in ((of_contracts, "spot"), (VENUES[venue], "usdm")):
        with pytest.raises(SafetyError, match=f"MARKET={market}"):
            addresses(venue, place.streams, place.rest, place.ws_api, market=market)
