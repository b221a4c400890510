"""The venues of a trader: exchange in a box, trading interface, Binance's testnet, or production with two switches."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mm.base.doors import is_loopback
from mm.errors import SafetyError, UsageError
from mm.instrument import e8, short_text
from mm.live.knobs import BOX, PRODUCTION, VenueUrls
from mm.markets.registry import DEFAULT, MARKETS

VENUES = {
    "testnet": VenueUrls(
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
        "https://testnet.binance.vision",
        "wss://stream.testnet.binance.vision",
    ),
    "production": VenueUrls(
        "wss://ws-api.binance.com:443/ws-api/v3", "https://api.binance.com", "wss://stream.binance.com:9443"
    ),
}
"""The exchanges for orders of Spot, other than the exchange in a box."""
CONTRACT_VENUES = {
    "testnet": VenueUrls(
        "wss://testnet.binancefuture.com/ws-fapi/v1",
        "https://demo-fapi.binance.com",
        "wss://fstream.binancefuture.com",
    ),
    "production": VenueUrls(
        "wss://ws-fapi.binance.com/ws-fapi/v1", "https://fapi.binance.com", "wss://fstream.binance.com"
    ),
}
"""The same for contracts."""
PRODUCTION_SWITCH = "TRADE_PRODUCTION"
_PRODUCTION_DOMAINS = ("binance.com", "binance.us", "binance.vision")
_TESTNET_DOMAINS = ("testnet.binance.vision", "demo-fapi.binance.com")
_SPOT_HOSTS = (
    *("api.binance.com", "ws-api.binance.com", "stream.binance.com", "data-stream.binance.vision"),
    *(*(f"api{number}.binance.com" for number in range(1, 5)), "api-gcp.binance.com", "data-api.binance.vision"),
    *("testnet.binance.vision", "binance.us"),
)
_CONTRACT_HOSTS = (
    *("fapi.binance.com", "ws-fapi.binance.com", "fstream.binance.com", "demo-fapi.binance.com"),
    "binancefuture.com",
)
_SWITCH_FORM = re.compile(r"(\w[\w-]*(?:\.[a-z]+)?):(\d+(?:\.\d+)?)\Z")


def untrusted(url: str, why: str) -> SafetyError:
    return SafetyError(
        f"{url.partition('?')[0]} is not trusted, and nothing was sent there ({why}); check the address, or name the "
        f"authority of its certificate in SSL_CERT_FILE"
    )


def addresses(
    venue: str,
    ws_url: str | None,
    rest_url: str | None,
    ws_api_url: str | None,
    *,
    remote_box: bool = False,
    market: str = DEFAULT.name,
) -> VenueUrls:
    """Return the given addresses, else Binance's published ones; raises UsageError or SafetyError.

    *remote_box*: a box may be on another machine.
    """
    given = {"WS_URL": ws_url, "REST_URL": rest_url, "WS_API_URL": ws_api_url}
    missing = [name for name, url in given.items() if url is None]
    if venue == BOX and missing:
        raise UsageError(
            f"--venue box needs {', '.join(missing)}: the addresses that `mm sim serve --market {market}` prints when "
            f"it is ready"
        )
    published = (CONTRACT_VENUES if MARKETS[market].contract else VENUES).get(venue, VenueUrls("", "", ""))
    found = VenueUrls(ws_api_url or published.ws_api, rest_url or published.rest, ws_url or published.streams)
    for name, url in zip(given, (found.streams, found.rest, found.ws_api), strict=True):
        _check_market(name, url, market)
        if venue != PRODUCTION and is_production(url):
            raise SafetyError(
                f"{name} {url!r} is the production exchange, but --venue is {venue}; orders go there with "
                f"--venue production and {PRODUCTION_SWITCH}=<SYMBOL>:<MAX_POSITION> alone"
            )
        if venue == BOX and not remote_box and not is_loopback(urlsplit(url).hostname or ""):
            raise SafetyError(
                "{} {!r} is not of this machine, but {venue} is box; for a box on another one, set {remote_box} 1",
                name,
                url,
            )
    return found


def published(venue: str) -> dict[str, tuple[str, str]]:
    traded = (name for name in MARKETS if MARKETS[name].account_at)
    by_market = {name: CONTRACT_VENUES if MARKETS[name].contract else VENUES for name in traded}
    return {market: (of[venue].streams, of[venue].rest) for market, of in by_market.items() if venue in of}


def _check_market(name: str, url: str, market: str) -> None:
    """Raise SafetyError if orders of a strategy would go to another market."""
    host = (urlsplit(url).hostname or "").lower()
    served = _CONTRACT_HOSTS if MARKETS[market].contract else _SPOT_HOSTS
    if _below(host, (*_PRODUCTION_DOMAINS, *_TESTNET_DOMAINS, "binancefuture.com")) and not _below(host, served):
        raise SafetyError(
            f"{name} {url!r} does not serve MARKET={market}; leave it out for the published address, or set MARKET "
            f"to what it serves"
        )


def is_production(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return _below(host, _PRODUCTION_DOMAINS) and not _below(host, _TESTNET_DOMAINS)


def check_switches(venue: str, most: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """Refuse what the two switches do not allow; return a note on one without effect.

    Raises:
        SafetyError: If the venue is production and TRADE_PRODUCTION is absent, malformed, not of each symbol, or allows
            less than MAX_POSITION.
    """
    allowed = environment.get(PRODUCTION_SWITCH)
    if venue != PRODUCTION:
        return None if allowed is None else f"{PRODUCTION_SWITCH} has no effect: the venue is {venue}"
    needed = ",".join(f"{symbol}:{bound}" for symbol, bound in most.items())
    if allowed is None:
        raise SafetyError(f"--venue production needs a second switch: {PRODUCTION_SWITCH}={needed} in the environment")
    forms = [_SWITCH_FORM.match(word) for word in allowed.split(",")]
    found = {form[1]: form[2] for form in forms if form}
    if len(found) < len(forms):
        raise SafetyError(
            f"{PRODUCTION_SWITCH} is {allowed!r}; it must be <SYMBOL>:<MAX_POSITION>, such as {needed}, one per symbol"
        )
    for symbol, bound in most.items():
        if symbol not in found:
            named = ", ".join(found)
            raise SafetyError(f"{PRODUCTION_SWITCH} allows {named}, but the symbol is {symbol}; nothing is sent")
        if e8(found[symbol]) < e8(bound):
            raise SafetyError(
                "{} allows a position of {} {}, but {max_position} is {}; lower the knob, or raise the switch",
                PRODUCTION_SWITCH,
                short_text(e8(found[symbol])),
                symbol,
                bound,
            )
    return None


def quiet_file(rest_url: str) -> Path | None:
    """Return the file in which this user's processes note until when an exchange refuses requests."""
    from mm.market_data.rate_budget import shared_path  # here, since a help text needs none of it

    return shared_path("weight", urlsplit(rest_url).netloc)


def attempts_file(url: str) -> Path | None:
    """Return the file in which this user's processes count their attempts to connect to a host."""
    from mm.market_data.rate_budget import shared_path

    return shared_path("connections", urlsplit(url).netloc)


def _below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
