"""The knobs of a trade, kept apart so that a help text imports neither asyncio nor an engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mm.base.knobs import REQUIRED, SWITCH, base_url, decimal, integer, knob, matching, number, one_of
from mm.base.private_file import read_private
from mm.errors import parameter
from mm.markets.registry import DEFAULT

BOX, TESTNET, PRODUCTION, API = "box", "testnet", "production", "api"
_URL = matching(r"wss?://[^\s?#]+", "the complete address of a WebSocket API, such as wss://host:443/ws-api/v3", "URL")
DEFAULT_CALL_S = 1.0
_QUOTE = decimal("0", "90000000000")


class VenueUrls(NamedTuple):
    """Addresses of an exchange: the WebSocket API complete, REST and streams without a path."""

    ws_api: str
    rest: str
    streams: str


def account_name(venue: str, market: str) -> str:
    return venue if market == DEFAULT.name else f"{venue}-{market}"


@dataclass(frozen=True, kw_only=True)
class Trading:
    """The venue of orders, and the requirements before sending."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION, API), "The venue of orders; api is `mm sim api`.")
    api_url: str = knob(
        "http://127.0.0.1:8000", base_url("http", "https"), "Address of --venue api, as `mm sim api` prints it."
    )
    client_id: str = knob("mm_1", matching(r"[A-Za-z0-9_.:-]{1,64}", "a name"), "Name of the client with --venue api.")
    api_token_file: str | None = knob(
        None, matching(r"\S.*", "a path", "PATH", "path"), "File of the token for --venue api, mode 600.", matters=False
    )
    remote_box: bool = knob(
        False, SWITCH, "1 allows --venue box on another machine; without it, its addresses are of this one."
    )
    audit_sync: bool | None = knob(
        None, SWITCH, "1 sends an order only when its intent is on disk; default: 1, but 0 with --venue box."
    )

    def api_token(self) -> str:
        if self.api_token_file is None:
            return ""
        path = Path(self.api_token_file).expanduser()
        return read_private(path, parameter("api_token_file")).decode("utf-8-sig", "replace").strip()


@dataclass(frozen=True, kw_only=True)
class OrderAccess:
    """The settings of the connection for orders."""

    ws_api_url: str | None = knob(
        None, _URL, "Complete address of the WebSocket API; default: the venue's.", matters=False
    )
    order_transport: str = knob("websocket", one_of("websocket", "rest"), "The API for sending orders.")
    recv_window_ms: int = knob(1_000, integer(50, 60_000), "Time in which the exchange accepts a request.")
    reconcile_interval_s: float = knob(30.0, number(1, 3_600), "Time between two reconciles with the exchange.")
    adopt: bool = knob(
        False,
        SWITCH,
        "1 cancels open orders of the symbol that are not ours, and accepts at the start balances that differ and an "
        "exchange that was reset.",
    )


@dataclass(frozen=True, kw_only=True)
class Contracts:
    """What is asked of an account of contracts, and their limits; only for MARKET=usdm."""

    leverage: int | None = knob(
        None, integer(1, 125), "Leverage that the symbol must have at the start; it is never changed."
    )
    margin_type: str | None = knob(
        None, one_of("cross", "isolated"), "Margin type that the symbol must have at the start; it is never changed."
    )
    max_margin_ratio: str | None = knob(
        None, decimal("0", "1"), "Maintenance margin over the equity at the mark price that kills the trade."
    )
    protective_stop: str | None = knob(
        None,
        decimal("0.0001", "0.9"),
        "Distance from the mark price, as a share, of an order at the exchange that closes the position if nobody is "
        "left here; without it none rests.",
    )
    kill_closes: bool = knob(
        False, SWITCH, "1: a kill closes the position after the cancels, by one order that can only reduce it."
    )
    kill_max_slippage: str = knob(
        "0.01", decimal("0", "1"), "Farthest price of that order from the mark price, as a share of it."
    )
    flatten_after_s: float | None = knob(
        None,
        number(2, 86_400),
        "Time after which the guardian closes a position that cannot be reconciled, by such an order; at least twice "
        "the time between two reconciles; without it none is closed.",
    )


@dataclass(frozen=True, kw_only=True)
class CallLimit:
    """How long a user's model may think."""

    model_call_limit_s: float = knob(
        DEFAULT_CALL_S,
        number(0.01, 3_600),
        "Longest time of one call of a user's model or fill model, in s; a longer one ends the run with 1.",
    )


@dataclass(frozen=True, kw_only=True)
class FlattenKnobs:
    """The consent to the cost of closing positions."""

    max_cost: str | None = knob(
        None,
        _QUOTE,
        "Close the positions at this cost in all at most, in the quote asset; without it the cost is only stated.",
        common="Cost up to which the orders are sent; without it they are not",
    )
