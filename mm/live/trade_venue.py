"""Where a trader's orders may go: the exchange in a box, Binance's testnet, or production, which needs two switches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mm.cli.knobs import REQUIRED, base_url, knob, one_of
from mm.errors import SafetyError, UsageError
from mm.instrument import e8, short_text

BOX, TESTNET, PRODUCTION = "box", "testnet", "production"
SWITCH = "TRADE_PRODUCTION"
_PRODUCTION_DOMAINS = ("binance.com", "binance.us", "binance.vision")
_TESTNET_DOMAINS = ("testnet.binance.vision",)
_SWITCH_FORM = re.compile(r"([A-Z0-9]+):(\d+(?:\.\d+)?)\Z")


@dataclass(frozen=True, kw_only=True)
class VenueUrls:
    """The venue, and its addresses; without them those that Binance publishes for it."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION), "Where orders go.")
    ws_url: str | None = knob(None, base_url("ws", "wss"), "Base of the market streams.", matters=False)
    rest_url: str | None = knob(None, base_url("http", "https"), "Base of REST.", matters=False)
    ws_api_url: str | None = knob(None, base_url("ws", "wss"), "Whole address of the WebSocket API.", matters=False)


@dataclass(frozen=True)
class Addresses:
    """The addresses of a venue.

    Attributes:
        ws_url: Base of the market streams.
        rest_url: Base of REST.
        ws_api_url: The WebSocket API, whole.
    """

    ws_url: str
    rest_url: str
    ws_api_url: str


PUBLISHED = {
    TESTNET: Addresses(
        "wss://stream.testnet.binance.vision",
        "https://testnet.binance.vision",
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    PRODUCTION: Addresses(
        "wss://stream.binance.com:9443",
        "https://api.binance.com",
        "wss://ws-api.binance.com:443/ws-api/v3",
    ),
}


def addresses(urls: VenueUrls) -> Addresses:
    """Return the addresses of a venue: those given, else those that are published for it.

    Raises:
        UsageError: If the venue is a box whose addresses are not given, or a testnet whose address is none.
        SafetyError: If an address is that of the production exchange, but the venue is another.
    """
    given = {"WS_URL": urls.ws_url, "REST_URL": urls.rest_url, "WS_API_URL": urls.ws_api_url}
    if urls.venue == BOX:
        missing = [name for name, url in given.items() if url is None]
        if missing:
            raise UsageError(
                f"--venue box needs {', '.join(missing)}: the addresses that `mm sim serve` prints when it is ready"
            )
        found = Addresses(*(url or "" for url in given.values()))
    else:
        published = PUBLISHED[urls.venue]
        found = Addresses(
            urls.ws_url or published.ws_url,
            urls.rest_url or published.rest_url,
            urls.ws_api_url or published.ws_api_url,
        )
    if urls.venue != PRODUCTION:
        for name, url in zip(given, (found.ws_url, found.rest_url, found.ws_api_url), strict=True):
            if is_production(url):
                raise SafetyError(
                    f"{name} {url!r} is the production exchange, but --venue is {urls.venue}; orders go there with "
                    f"--venue production and {SWITCH}=<SYMBOL>:<MAX_POSITION> alone"
                )
    return found


def is_production(url: str) -> bool:
    """Return whether an address is that of an exchange with real money."""
    host = (urlsplit(url).hostname or "").lower()
    return _below(host, _PRODUCTION_DOMAINS) and not _below(host, _TESTNET_DOMAINS)


def check_switches(venue: str, symbol: str, max_position: str, environment: Mapping[str, str]) -> str | None:
    """Hold back an order that two switches do not allow; return a note where one of them is without effect.

    Args:
        venue: As given.
        symbol: Upper case.
        max_position: The knob MAX_POSITION, base asset.
        environment: Holds the second switch.

    Raises:
        SafetyError: If the venue is production and TRADE_PRODUCTION is absent, malformed, of another symbol, or
            allows less than MAX_POSITION.
    """
    allowed = environment.get(SWITCH)
    if venue != PRODUCTION:
        return None if allowed is None else f"{SWITCH} is without effect: the venue is {venue}"
    if allowed is None:
        raise SafetyError(
            f"--venue production needs a second switch: set {SWITCH}={symbol}:{max_position} in the environment"
        )
    form = _SWITCH_FORM.match(allowed)
    if form is None:
        raise SafetyError(f"{SWITCH} is {allowed!r}; it must be <SYMBOL>:<MAX_POSITION>, such as {symbol}:0.01")
    if form[1] != symbol:
        raise SafetyError(f"{SWITCH} allows {form[1]}, but the symbol is {symbol}; nothing is sent")
    if e8(form[2]) < e8(max_position):
        raise SafetyError(
            f"{SWITCH} allows a position of {short_text(e8(form[2]))}, but --max-position (MAX_POSITION) is "
            f"{max_position}; lower the knob, or raise the switch"
        )
    return None


def _below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
