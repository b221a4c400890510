"""A contract's data beside book and trades: mark and index price, funding, liquidations, best prices, open interest."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from mm.clock import exchange_ms
from mm.dayfolder.contract_rows import ContractRow, InterestRow, LiquidationRow, MarkRow
from mm.dayfolder.layout import LIQUIDATION, MARK, OPEN_INTEREST
from mm.errors import OffGrid
from mm.instrument import e8
from mm.market_data.venue import BookTicker, ForceOrder, MarkPrice, RestRequest

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.dayfolder.day_writer import DayWriter
    from mm.market_data.snapshot import RestClient
    from mm.market_data.ws_stream import WsStream

INTEREST_EVERY_S, SILENCE_S = 60.0, 10.0
_STREAM = "contract"
_KEPT = 64


class _Envelope(Struct):
    data: Raw
    stream: str = ""


class _Kind(Struct):
    e: str = ""
    s: str = ""


class _Interest(Struct):
    openInterest: str
    time: int


ContractMessage = MarkPrice | ForceOrder | BookTicker
BestTaker = Callable[[int, int, BookTicker], object]
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


class ContractWriter:
    """Writes the rows of a contract's files, each message once.

    Args:
        heard: Called with each written row that a signal may read.
        best: Called with row number, arrival (µs) and best prices, once they are written.
    """

    def __init__(
        self,
        symbol: str,
        writer: Callable[[], "DayWriter"],
        heard: Callable[[ContractRow], object] = lambda _: None,
        best: BestTaker = lambda _seq, _us, _best: None,
    ) -> None:
        self._symbol, self._writer, self._heard, self._told_best = symbol, writer, heard, best
        self.last_mark_ms = self._last_id = -1
        self._seen: list[ForceOrder] = []
        self._at_us = 0

    def take(self, recv_us: int, message: ContractMessage) -> None:
        """Raises ValueError or OffGrid for an invalid message."""
        if isinstance(message, MarkPrice):
            self._mark(recv_us, message)
        elif isinstance(message, BookTicker):
            self._best(recv_us, message)
        else:
            self._forced(recv_us, message)

    def interest(self, recv_us: int, body: bytes) -> None:
        told = msgspec.json.decode(body, type=_Interest)
        e8(told.openInterest)
        at_us = self._row(recv_us, told.time, [OPEN_INTEREST, *[""] * 5, told.openInterest, *[""] * 6])
        self._heard(InterestRow(at_us, e8(told.openInterest)))

    def _mark(self, recv_us: int, mark: MarkPrice) -> None:
        for text in (mark.p, mark.i, mark.r, mark.P):
            e8(text or "0")
        if self.last_mark_ms < mark.E:
            self.last_mark_ms = mark.E
            funding = [mark.r, exchange_ms(mark.T)] if mark.T else ["", ""]
            at_us = self._row(recv_us, mark.E, [MARK, mark.p, mark.i, mark.P, *funding, *[""] * 7])
            paid_ms = exchange_ms(mark.T) if mark.T else None
            self._heard(MarkRow(at_us, e8(mark.p), e8(mark.i or "0"), e8(mark.r or "0") if mark.T else 0, paid_ms))

    def _best(self, recv_us: int, best: BookTicker) -> None:
        cells = [best.b, best.B, best.a, best.A]
        for text in cells:
            e8(text)
        if best.E is None or best.T is None:
            raise ValueError("best prices of a contract without E and T")
        if best.u > self._last_id:
            self._last_id = best.u
            writer = self._writer()
            row = [best.u, *cells, exchange_ms(best.T)]
            at_us = self.arrived(recv_us)
            self._told_best(writer.of_contract(writer.folder.best, at_us, exchange_ms(best.E), row), at_us, best)

    def _forced(self, recv_us: int, forced: ForceOrder) -> None:
        order = forced.o
        for text in (order.p, order.ap, order.q, order.z):
            e8(text)
        if forced in self._seen or order.s != self._symbol:
            return
        self._seen = [*self._seen[-_KEPT:], forced]
        side = order.S.lower()
        terms = [LIQUIDATION, *[""] * 6, side, order.p, order.ap, order.q, order.z, order.X]
        at_us = self._row(recv_us, forced.E, terms)
        self._heard(LiquidationRow(at_us, 1 if side == "buy" else -1, e8(order.z), e8(order.ap)))

    def _row(self, recv_us: int, event_time: int, cells: Sequence[object]) -> int:
        writer, at_us = self._writer(), self.arrived(recv_us)
        writer.of_contract(writer.folder.contract, at_us, exchange_ms(event_time), cells)
        return at_us

    def arrived(self, recv_us: int) -> int:
        """An arrival not before the last: rows of several connections share a file."""
        self._at_us = max(self._at_us, recv_us)
        return self._at_us


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
