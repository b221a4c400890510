"""The small exchange on loopback as USD-M futures: other paths, ids with gaps, `pu`, and funding."""

import json
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from fake_exchange import ENTRY, SYMBOL, FakeExchange

from mm.clock import now_us

STRIDE = 10
"""Ids from one change of the symbol's book to the next; the ids between belong to other symbols."""


class UsdmExchange(FakeExchange):
    """Serve ``/public/stream`` and ``/fapi/v1``; arguments and faults as in `FakeExchange`.

    Attributes:
        payments: The answer of ``fundingRate``.
    """

    payments: ClassVar[tuple[dict, ...]] = ()

    def _depth(self) -> str:
        message = json.loads(super()._depth())
        data = message["data"]
        before, last = data["U"] - 1, data["u"]
        ids = {"U": STRIDE * before + 4, "u": STRIDE * last, "pu": STRIDE * before}
        stamps = {"E": now_us() // 1000, "T": now_us() // 1000 - 3}
        return json.dumps({**message, "data": data | stamps | ids})

    def _wrapped(self, stream: str, data: dict) -> str:
        if stream == "trade":
            stamps = {"E": data["E"] // 1000, "T": data["T"] // 1000}
            data = {key: value for key, value in data.items() if key != "M"} | stamps | {"X": "MARKET"}
        return super()._wrapped(stream, data)

    async def _depth_answer(self, target: str) -> tuple[int, bytes]:
        status, body = await super()._depth_answer(target)
        if status != 200:
            return status, body
        book = json.loads(body)
        return status, json.dumps(book | {"lastUpdateId": STRIDE * book["lastUpdateId"] + 3, "E": 1, "T": 1}).encode()

    def _answer(self, target: str) -> tuple[int, bytes]:
        """Return the answer to a request other than depth."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/fapi/v1/fundingRate":
            return 200, json.dumps(self.payments if query["symbol"] == [SYMBOL] else []).encode()
        if path == "/fapi/v1/time":
            return 200, json.dumps({"serverTime": now_us() // 1000}).encode()
        if path == "/fapi/v1/aggTrades":
            return 200, json.dumps([self._aggregate(trade) for trade in self.market.trades]).encode()
        if path != "/fapi/v1/exchangeInfo":
            return 404, b"{}"
        filters = [*ENTRY["filters"][:2], {"filterType": "MIN_NOTIONAL", "notional": "5"}]
        return 200, json.dumps({"symbols": [{"symbol": "OTHER"}, ENTRY | {"filters": filters}]}).encode()

    @staticmethod
    def _aggregate(trade: dict) -> dict:
        ids = {"a": trade["t"] + 7_000, "f": trade["t"], "l": trade["t"], "T": trade["T"] // 1000}
        return {key: trade[key] for key in ("p", "q", "m")} | ids
