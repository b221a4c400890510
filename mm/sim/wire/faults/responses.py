"""Faults of answers over HTTP: refused, late, cut, and snapshots of an id that suits the test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mm.sim.exchange.truth import Forgotten
from mm.sim.wire.faults.base import PathFault, ResponseFault, Scene, SnapshotFault
from mm.sim.wire.faults.parameters import choice, least
from mm.sim.wire.http_messages import Request, Response, json_bytes, json_response

_HTML_HEADERS = {"Content-Type": "text/html"}
_OK = 200
_LEVELS, _MOST_LEVELS = 100, 5_000
_OTHER = "OTHERUSDT"


@dataclass(frozen=True)
class Status(PathFault):
    """A request is answered with `code`, and Retry-After of `retry_after` seconds where that is not 0."""

    code: int = 503
    retry_after: int = 0

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Refuse: in JSON where the exchange counts requests, in HTML where something before it lets nobody in."""
        retry = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        if self.code in (418, 429):
            content = {"code": -1003, "msg": "Too many requests; please use the websocket for live updates."}
            return json_response(self.code, content, retry)
        page = f"<html><head><title>{self.code}</title></head><body><h1>{self.code}</h1></body></html>"
        return Response(self.code, _HTML_HEADERS | retry, page.encode())


@dataclass(frozen=True)
class Slow(PathFault):
    """An answer comes `delay_s` seconds of wall time late."""

    delay_s: float = 20.0

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer later."""
        return replace(response, delay_s=response.delay_s + self.delay_s)


@dataclass(frozen=True)
class CutBody(PathFault):
    """The connection is cut after `share` of an answer's body, though its whole length was announced."""

    share: float = 0.5

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer in part."""
        return replace(response, cut_at=int(len(response.body) * self.share))


@dataclass(frozen=True)
class ResetRequest(PathFault):
    """A connection is reset instead of an answer."""

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Reset."""
        return replace(response, reset=True)


@dataclass(frozen=True)
class BrokenBody(PathFault):
    """The JSON of an answer breaks off in its middle; its length is announced as it is."""

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer with the first half."""
        return replace(response, body=response.body[: len(response.body) // 2])


@dataclass(frozen=True)
class EmptySides(SnapshotFault):
    """A snapshot has no levels on `side`: ``bids``, ``asks`` or ``both``."""

    side: str = choice("both", ("bids", "asks", "both"))

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer without them."""
        gone = ("bids", "asks") if self.side == "both" else (self.side,)
        return edited(response, lambda content: content | {one: [] for one in gone})


@dataclass(frozen=True)
class WrongSymbol(PathFault):
    """An answer is that of another symbol: of depth a book at half the prices with an old id, else another name."""

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer with the other symbol's."""
        if request.path.endswith("/depth"):
            return edited(response, lambda content: _other_book(content, scene))
        name = scene.truth.instrument.symbol.encode()
        return replace(response, body=response.body.replace(b'"%b"' % name, b'"%b"' % _OTHER.encode()))


@dataclass(frozen=True)
class Snapshot(SnapshotFault):
    """A snapshot is the true book of another id: `where` it lies by the newest stream connection's messages.

    ``old`` is `back` ids before what its first depth message follows, ``before`` that one itself (U-1), ``inside`` the
    middle of the message's ids, ``newer`` the newest id there is; with ``of=last`` by its newest message instead.
    """

    where: str = choice("old", ("old", "before", "inside", "newer"))
    of: str = choice("first", ("first", "last"))
    back: int = least(1, 1)

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer with the book of that id; as it was where the truth does not reach, or nothing was sent yet."""
        try:
            bids, asks = scene.truth.book(update_id := self._update_id(scene))
        except Forgotten:
            return response
        limit = _limit(request)
        return edited(response, lambda _: {"lastUpdateId": update_id, "bids": bids[:limit], "asks": asks[:limit]})

    def _update_id(self, scene: Scene) -> int:
        first, last = scene.depth_ids[:2] if self.of == "first" else scene.depth_ids[2:]
        if self.where == "newer" or not last:
            return scene.truth.last_update_id
        return {"old": first - 1 - self.back, "before": first - 1, "inside": (first + last) // 2}[self.where]


@dataclass(frozen=True)
class TickSize(ResponseFault):
    """From now on exchangeInfo says a tick size of `value`."""

    value: str = "0.10000000"

    def befalls(self, request: Request) -> bool:
        """Return whether it asks for the filters."""
        return request.path.endswith("/exchangeInfo")

    def answer(self, request: Request, response: Response, scene: Scene) -> Response:
        """Answer with that tick size."""

        def coarser(content: dict[str, Any]) -> dict[str, Any]:
            for entry in content["symbols"]:
                for one in entry["filters"]:
                    if one["filterType"] == "PRICE_FILTER":
                        one["tickSize"] = self.value
            return content

        return edited(response, coarser)


def edited(response: Response, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    """Return *response* with its JSON object passed through *edit*; unchanged where it is no success, or damaged."""
    if response.status != _OK:
        return response
    try:
        content = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    return replace(response, body=json_bytes(edit(content)))


def _limit(request: Request) -> int:
    asked = request.params.get("limit", "")
    return min(int(asked), _MOST_LEVELS) if asked.isascii() and asked.isdigit() else _LEVELS


def _other_book(content: dict[str, Any], scene: Scene) -> dict[str, Any]:
    grid = scene.truth.instrument
    sides = {
        side: [(grid.price((grid.ticks(price) + 1) // 2), qty) for price, qty in content[side]]
        for side in ("bids", "asks")
    }
    return content | sides | {"lastUpdateId": content["lastUpdateId"] // 2}
