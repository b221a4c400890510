"""What is said to Bybit, and what its public REST answers: topics, beat, instruments, recent prints, funding.

An error has status 200 and a ``retCode``; 403 is an address over its limit of 600 requests in 5 s, which then must not
ask for ten minutes. Subscriptions are a request each, so that the answer names what is refused.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, TypeVar

import msgspec
from msgspec import Struct, field

from mm.clock import US_PER_MS, checked_stamp
from mm.errors import OffGrid, UsageError
from mm.instrument import e8
from mm.markets.market import Market
from mm.markets.messages import (
    Answer,
    Funding,
    Limits,
    PastTrades,
    RestRefusal,
    RestRequest,
    Speech,
)
from mm.markets.records import REST, Trade

_FORBIDDEN = 403
_BEAT_S = 20.0
_MINUTE_MS = 60_000
_RECENT = "1000"
MOST_BARS = 1_000
"""Bars of a minute in one answer."""


Form = TypeVar("Form")


class _Time(Struct):
    time: int


class _Print(Struct, gc=False):
    execId: str
    price: str
    size: str
    side: str
    time: str
    seq: str = ""
    isBlockTrade: bool = False
    isRPITrade: bool | None = None


class _Prints(Struct):
    rows: list[_Print] = field(name="list")


class _Payment(Struct, gc=False):
    fundingRate: str
    fundingRateTimestamp: str


class _Payments(Struct):
    rows: list[_Payment] = field(name="list")


class _Bars(Struct):
    rows: list[list[str]] = field(name="list")


class _Named(Struct):
    symbol: str


class _Instruments(Struct):
    rows: list[_Named] = field(name="list", default_factory=list)


class _Of(Struct):
    retCode: int
    result: msgspec.Raw = msgspec.Raw(b"{}")


class BybitPublic:
    """Requests of one market, and the readers of their answers."""

    market: Market
    limits: ClassVar[Limits] = Limits(
        weight=500, weight_window_s=5.0, connections=450, connections_window_s=300.0, banned_s=600.0
    )
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @property
    def category(self) -> str:
        return "linear" if self.market.contract else "spot"

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:  # noqa: ARG002 - topics name it
        if trade_stream != "trade":
            raise UsageError("{trade_stream} {}: Bybit has single trades only; use trade", trade_stream)
        return f"{base}/v5/public/{self.category}"

    def speech(self, symbol: str, book_depth: int | None = None) -> Speech:
        """Return the subscriptions of *symbol*'s book, prints and, of a contract, ticker."""
        known = self.market.book_depths
        if book_depth is not None and book_depth not in known:
            raise UsageError("{book_depth} is {}; use one of {}", book_depth, ", ".join(map(str, sorted(known))))
        book = f"orderbook.{book_depth or known[0]}.{symbol}"
        topics = [book, f"publicTrade.{symbol}", *([f"tickers.{symbol}"] if self.market.contract else [])]
        return Speech(
            opening=tuple(_request("subscribe", topic) for topic in topics),
            again=(_request("unsubscribe", book), _request("subscribe", book)),
            beat=b'{"req_id":"beat","op":"ping"}',
            beat_s=_BEAT_S,
        )

    def depth(self, symbol: str, limit: int) -> RestRequest:
        return self._request("orderbook", symbol=symbol, limit=str(limit))

    def levels(self, wanted: int) -> int:
        return min(wanted, max(self.market.book_depths))

    def exchange_info(self, symbol: str) -> RestRequest:
        return self._request("instruments-info", symbol=symbol)

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:  # noqa: ARG002
        """Return nothing: no request names the trades that it wants."""
        return ()

    def last_trade(self) -> RestRequest:
        return self._request("recent-trade", limit="1")

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None:  # noqa: ARG002
        """Return None: the ids of prints say nothing about those between them."""
        return None

    def recent_prints(self) -> RestRequest | None:
        return self._request("recent-trade", limit=_RECENT)

    def prints(self, body: bytes) -> Sequence[Trade]:
        """Return recent prints, oldest first, numbered 0; raises ValueError, OffGrid or MsgspecError."""
        rows = _result(body, _Prints).rows
        return [_print(row) for row in reversed(rows)]

    def refusal(self, status: int | None) -> RestRefusal:
        return RestRefusal.HOLDS_OFF if status == _FORBIDDEN else RestRefusal.PASSES

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool:
        """Return whether the listing is an error, or does not have *symbol*."""
        if answer.cause is not None:
            return False
        try:
            told = msgspec.json.decode(answer.body, type=_Of)
            listed = [] if told.retCode else msgspec.json.decode(told.result, type=_Instruments).rows
        except (ValueError, msgspec.MsgspecError):
            return False
        return all(entry.symbol != symbol for entry in listed)

    def funding(self) -> RestRequest | None:
        return self._request("funding/history", limit="24") if self.market.contract else None

    def payments(self, body: bytes) -> Sequence[Funding]:
        """Return payments without their mark price, which `mark_price` asks for."""
        rows = _result(body, _Payments).rows
        paid = [(int(row.fundingRateTimestamp), row.fundingRate) for row in rows]
        return sorted(Funding(ms, rate, "") for ms, rate in paid if ms * US_PER_MS < (1 << 62) and _is_decimal(rate))

    def mark_price(self, paid_ms: int) -> RestRequest | None:
        minute_ms = paid_ms - paid_ms % _MINUTE_MS
        ends = {"start": str(minute_ms), "end": str(minute_ms)}
        return self._request("mark-price-kline", interval="1", limit="1", **ends)

    def funding_between(self, from_ms: int, to_ms: int) -> RestRequest:
        """Ask for the payments of two instants and between them, 200 at most."""
        return self._request("funding/history", startTime=str(from_ms), endTime=str(to_ms), limit="200")

    def marks_between(self, from_ms: int, to_ms: int) -> RestRequest:
        """Ask for the minutes' mark prices of two instants and between them, `MOST_BARS` at most."""
        ends = {"start": str(from_ms), "end": str(to_ms)}
        return self._request("mark-price-kline", interval="1", limit=str(MOST_BARS), **ends)

    def marks(self, body: bytes) -> dict[int, str]:
        """Return the first mark price of each minute, by its instant in ms, upwards."""
        rows = [row for row in _result(body, _Bars).rows if len(row) > 1 and row[0].isdecimal() and _is_decimal(row[1])]
        return {int(row[0]): row[1] for row in sorted(rows, key=lambda row: int(row[0]))}

    def mark_of(self, body: bytes) -> str:
        """Return the first mark price of a minute's bar; empty if there is none."""
        rows = _result(body, _Bars).rows
        return rows[0][1] if rows and len(rows[0]) > 1 and _is_decimal(rows[0][1]) else ""

    def time(self) -> RestRequest:
        return RestRequest("/v5/market/time", {}, 1)

    def server_time_us(self, body: bytes) -> int | None:
        try:
            return msgspec.json.decode(body, type=_Time).time * US_PER_MS
        except (ValueError, msgspec.MsgspecError):
            return None

    def used_weight(self, headers: Mapping[str, str]) -> int | None:  # noqa: ARG002 - no header has it
        return None

    def _request(self, name: str, **params: str) -> RestRequest:
        return RestRequest(f"/v5/market/{name}", {"category": self.category, **params}, 1)


def _request(op: str, topic: str) -> bytes:
    return json.dumps({"req_id": topic, "op": op, "args": [topic]}).encode()


def _result(body: bytes, form: type[Form]) -> Form:
    told = msgspec.json.decode(body, type=_Of)
    if told.retCode:
        raise ValueError(f"retCode {told.retCode}")
    return msgspec.json.decode(told.result, type=form)


def _print(row: _Print) -> Trade:
    if row.side not in ("Buy", "Sell") or not row.execId.isprintable() or not row.execId:
        raise ValueError(f"a print of side {row.side!r} and id {row.execId!r}")
    e8(row.price), e8(row.size)
    stamp = checked_stamp(int(row.time), "time")
    seq = int(row.seq) if row.seq else None
    terms = None, 0, stamp, row.price, row.size, row.side == "Sell", 0, 0, REST
    return Trade(*terms, row.execId, seq, row.isRPITrade, row.isBlockTrade)


def _is_decimal(text: str) -> bool:
    try:
        return e8(text) is not None
    except OffGrid:
        return False
