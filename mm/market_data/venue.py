"""What a venue is to the recorder: its addresses, its limits, and the reader of its messages.

Everything else works on the types of `mm.market_data.messages`. Another venue is one module that implements `Venue`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mm.market_data.grid import Grid
from mm.market_data.messages import Connected, Message


@dataclass(frozen=True)
class RestRequest:
    """One GET request.

    Attributes:
        path: Of the request.
        params: Its parameters.
        weight: What it costs of the venue's budget.
    """

    path: str
    params: Mapping[str, str]
    weight: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        recv_us: When the answer arrived, in µs.
        url: The address of the request.
        status: HTTP status; None where no answer came.
        body: Its body.
        cause: Why it cannot be used; None where it can.
    """

    recv_us: int
    url: str
    status: int | None
    body: bytes
    cause: str | None


@dataclass(frozen=True)
class Limits:
    """What a venue allows one address, a little below its own figures.

    Attributes:
        weight: Most weight of REST requests in *weight_window_s* seconds.
        connections: Most attempts to connect in *connections_window_s* seconds.
    """

    weight: float
    weight_window_s: float
    connections: float
    connections_window_s: float


class Decoder(Protocol):
    """Reads the messages of one symbol; ValueError, OffGrid and MsgspecError say that one cannot be used."""

    def received(self, body: bytes | str) -> Message:
        """Return what a message of the stream is."""

    def answer(self, url: str, body: bytes | str) -> Message:
        """Return what the REST answer from *url* is."""

    def connected(self, url: str) -> Connected:
        """Return the message that a connection to *url* was opened."""


class Venue(Protocol):
    """An exchange and one of its markets."""

    @property
    def name(self) -> str:
        """As ``schema.json`` names it."""

    @property
    def limits(self) -> Limits:
        """What it allows one address."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every REST request."""

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Decoder:
        """Return the reader of the messages of *symbol*; *packs*: levels may come as a kernel reads them."""

    def check_address(self, url: str) -> None:
        """Raise BrokenFile where *url* serves another market, whose rule of ids differs."""

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        """Return the address of the depth stream and of *trade_stream* of *symbol*."""

    def depth(self, symbol: str, limit: int) -> RestRequest:
        """Return the request for the best *limit* levels per side."""

    def exchange_info(self, symbol: str) -> RestRequest:
        """Return the request for the filters and the status of *symbol*."""

    def time(self) -> RestRequest:
        """Return the request for the venue's time."""

    def server_time_us(self, body: bytes) -> int | None:
        """Return the time in the answer to `time`, in µs; None where it has none."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """Return the venue's own count of the weight used, as the headers of an answer give it."""


def with_symbol(request: RestRequest, symbol: str) -> RestRequest:
    """Return *request* for one symbol."""
    return RestRequest(request.path, {"symbol": symbol, **request.params}, request.weight)
