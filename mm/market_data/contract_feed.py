"""A contract's data beside book and trades: mark and index price, funding, liquidations, best prices, open interest."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from mm.dayfolder.contract_rows import ContractRow
from mm.errors import OffGrid
from mm.market_data.contract_writer import BestTaker, ContractMessage, ContractWriter
from mm.markets.messages import BookTicker, ForceOrder, MarkPrice, RestRequest

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.dayfolder.day_writer import DayWriter
    from mm.market_data.snapshot import RestClient
    from mm.market_data.ws_stream import WsStream

INTEREST_EVERY_S, SILENCE_S = 60.0, 10.0
_STREAM = "contract"


class _Envelope(Struct):
    data: Raw
    stream: str = ""


class _Kind(Struct):
    e: str = ""
    s: str = ""


_TYPES: dict[str, type[ContractMessage]] = {
    "markPriceUpdate": MarkPrice,
    "forceOrder": ForceOrder,
    "bookTicker": BookTicker,
}
_BROKEN = (ValueError, OffGrid, msgspec.MsgspecError)


def addresses(base: str, symbol: str) -> tuple[str, str]:
    name = symbol.lower()
    return (
        f"{base}/market/stream?streams={name}@markPrice@1s/{name}@forceOrder",
        f"{base}/public/stream?streams={name}@bookTicker",
    )


class ContractFeed:
    """Writes the messages of a contract's further streams; arguments as for `ContractWriter`.

    No row arrives before *clock*, the instant (µs) to which the market may have been played.
    """

    def __init__(
        self,
        symbol: str,
        writer: Callable[[], "DayWriter"],
        log: "Logger",
        heard: Callable[[ContractRow], object] = lambda _: None,
        clock: Callable[[], int] = lambda: 0,
        best: BestTaker = lambda _seq, _us, _best: None,
    ) -> None:
        self._symbol, self._writer, self._log, self._clock = symbol, writer, log, clock
        self.rows = ContractWriter(symbol, writer, heard, best)

    def connected(self, url: str, conn: int, slot: int) -> None:  # noqa: ARG002 - a listener's
        self._log.info("contract_connected", url=url)

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:  # noqa: ARG002
        self._log.info("contract_disconnected", code=code, reason=reason)

    def unreachable(self, reason: str) -> None:
        self._log.warning("contract_unreachable", reason=reason)

    def joined(self, conn: int) -> bool:  # noqa: ARG002
        """Always True: a successor has the same messages, and duplicates are written once."""
        return True

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:  # noqa: ARG002
        recv_us = max(recv_us, self._clock())
        try:
            body = msgspec.json.decode(raw, type=_Envelope).data
            kind = msgspec.json.decode(body, type=_Kind)
            if kind.e not in _TYPES or kind.s not in ("", self._symbol):
                raise ValueError("no message of these streams")
            self.rows.take(recv_us, msgspec.json.decode(body, type=_TYPES[kind.e]))
        except _BROKEN as error:
            self._writer().quarantine(self.rows.arrived(recv_us), _STREAM, str(error), raw)

    def interest(self, recv_us: int, body: bytes) -> None:
        recv_us = max(recv_us, self._clock())
        try:
            self.rows.interest(recv_us, body)
        except _BROKEN as error:
            self._writer().quarantine(self.rows.arrived(recv_us), _STREAM, str(error), body)


class ContractStreams:
    """The connections of a contract's further streams, and its requests for open interest.

    Attributes:
        told: The rows so far, oldest first, if the market is played.
    """

    def __init__(
        self,
        symbol: str,
        streams: Sequence["WsStream"],
        rest: "RestClient",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.told: list[ContractRow] = []
        self._symbol, self._streams, self._rest, self._clock = symbol, streams, rest, clock

    def work(
        self, writer: Callable[[], "DayWriter"], log: "Logger", best: BestTaker | None = None
    ) -> list[Coroutine[Any, Any, None]]:
        """*best* receives the best prices of a market that is played."""
        feed = ContractFeed(self._symbol, writer, log)
        if (clock := self._clock) is not None and best is not None:
            feed = ContractFeed(self._symbol, writer, log, self.told.append, lambda: clock() + 1, best)
        return [*(stream.run(feed) for stream in self._streams), self._ask_interest(feed), self._watch(feed)]

    async def _watch(self, feed: ContractFeed) -> None:
        while True:
            seen = feed.rows.last_mark_ms
            await asyncio.sleep(SILENCE_S)
            if seen == feed.rows.last_mark_ms:
                self._streams[0].replace("silence", slot=0)

    async def _ask_interest(self, feed: ContractFeed) -> None:
        request = RestRequest("/fapi/v1/openInterest", {}, 1)
        while True:
            answer = await self._rest.trades(self._symbol, request)
            if answer.cause is None:
                feed.interest(answer.recv_us, answer.body)
            await asyncio.sleep(INTEREST_EVERY_S)
