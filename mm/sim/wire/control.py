"""Calls below ``/sim/``: move the time, arm faults, ask for the truth. From loopback only; Binance has none of them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mm.clock import US_PER_MS, US_PER_S
from mm.errors import MMError
from mm.sim.wire.faults.connections import Shutdown
from mm.sim.wire.faults.script import Moment, Rule, read_script
from mm.sim.wire.http_messages import Request, Response, json_response

if TYPE_CHECKING:
    from mm.sim.wire.box import Box

_MOST_US = 86_400 * US_PER_S
_MOST_UPDATES = 10_000_000
_MOST_TRADES = 100_000
_PATIENCE_US = 60 * US_PER_S


class BadCall(MMError):
    """A control call asks for something that cannot be done."""


class Control:
    """Answers control calls.

    Args:
        box: What they control.
    """

    def __init__(self, box: "Box") -> None:
        self._box = box
        self._routes: Mapping[tuple[str, str], Callable[[Request], Any]] = {
            ("POST", "/sim/advance"): self._advance,
            ("POST", "/sim/faults"): self._faults,
            ("GET", "/sim/truth"): self._truth,
            ("GET", "/sim/trades"): self._trades,
            ("GET", "/sim/sent"): self._sent,
            ("GET", "/sim/state"): lambda _: self.state(),
            ("POST", "/sim/shutdown"): self._shutdown,
        }

    def answer(self, request: Request) -> Response:
        """Return what *request* is answered with: 400 with a sentence where it cannot be done."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            known = ", ".join(" ".join(one) for one in self._routes)
            return json_response(404, {"code": -1000, "msg": f"There is no such call; there are {known}"})
        try:
            return json_response(200, route(request))
        except MMError as error:
            return json_response(400, {"code": -1130, "msg": str(error)})

    def state(self) -> dict[str, Any]:
        """Return where the exchange is: its time, ids, connections, and the rules of faults that have not acted."""
        box, truth, player = self._box, self._box.truth, self._box.player
        return {
            "now_us": box.pump.done_us,
            "update_id": truth.last_update_id,
            "first_update_id": truth.first_update_id,
            "trade_id": truth.last_trade_id,
            "first_trade_id": truth.first_trade_id,
            "connections": [
                {"id": one.id, "path": one.path, "streams": list(one.streams)} for one in box.server.streams
            ],
            "waiting": [str(rule) for rule in player.waiting] if player else [],
        }

    def advance(self, *, us: int = 0, updates: int = 0) -> None:
        """Let *us* pass, and then, in steps of a millisecond, until the book has changed *updates* times more.

        Raises:
            BadCall: If the book does not change within a minute of the exchange.
        """
        pump, exchange = self._box.pump, self._box.exchange
        pump.advance_to(pump.done_us + us)
        seen_id, seen_us = exchange.update_id, pump.done_us
        wanted_id = seen_id + updates
        while exchange.update_id < wanted_id:
            pump.advance_to(pump.done_us + US_PER_MS)
            if exchange.update_id != seen_id:
                seen_id, seen_us = exchange.update_id, pump.done_us
            elif pump.done_us - seen_us >= _PATIENCE_US:
                raise BadCall(
                    f"updates={updates}: the book has not changed for a minute; it lacks {wanted_id - seen_id}"
                )

    def _advance(self, request: Request) -> dict[str, Any]:
        content = _content(request)
        if len(content) != 1 or not content.keys() <= {"us", "until_us", "updates"}:
            raise BadCall('advance takes one of {"us": N}, {"until_us": N} and {"updates": N}')
        name, value = next(iter(content.items()))
        if name == "updates":
            self.advance(updates=_whole(name, value, _MOST_UPDATES))
        else:
            done_us = self._box.pump.done_us if name == "until_us" else 0
            self.advance(us=max(0, _whole(name, value, done_us + _MOST_US) - done_us))
        return self.state()

    def _faults(self, request: Request) -> dict[str, Any]:
        try:
            script = request.body.decode()
        except UnicodeDecodeError as error:
            raise BadCall("a script of faults is text in UTF-8, one rule a line") from error
        self._box.arm(read_script(script))
        return self.state()

    def _truth(self, request: Request) -> dict[str, Any]:
        truth = self._box.truth
        update_id = _asked(request, "id", truth.last_update_id)
        era = _asked(request, "era", -1)
        bids, asks = truth.book(update_id, None if era < 0 else era)
        return {"lastUpdateId": update_id, "bids": bids, "asks": asks}

    def _trades(self, request: Request) -> list[dict[str, Any]]:
        truth = self._box.truth
        first_id = _asked(request, "from", truth.first_trade_id)
        last_id = _asked(request, "to", truth.last_trade_id)
        if last_id - first_id >= _MOST_TRADES:
            raise BadCall(f"from={first_id}, to={last_id}: at most {_MOST_TRADES} trades at a time")
        return [one._asdict() for one in truth.trades(first_id, last_id)]

    def _sent(self, request: Request) -> dict[str, Any]:
        player, number = self._box.player, _asked(request, "conn", 0)
        if player is None:
            raise BadCall("what is sent is kept from the first faults on; POST /sim/faults, an empty script will do")
        logs = player.channels.logs
        if number not in logs:
            raise BadCall(
                f"conn={number}: there was no such connection; there were {', '.join(map(str, logs)) or 'none'}"
            )
        return logs[number].content()

    def _shutdown(self, request: Request) -> dict[str, Any]:
        lead_s = _content(request).get("lead_s", 0) if request.body else 0
        if isinstance(lead_s, bool) or not isinstance(lead_s, int | float):
            raise BadCall(f"lead_s={lead_s!r}: it must be a number of seconds")
        self._box.arm([Rule(Moment("time", 0), Shutdown(lead_s=lead_s))])
        return self.state()


def _content(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadCall(f"the body is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadCall("the body must be a JSON object")
    return content


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise BadCall(f"{name}={value!r}: it must be a whole number from 0 to {most}")
    return value


def _asked(request: Request, name: str, default: int) -> int:
    text = request.params.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadCall(f"{name}={text}: it must be a whole number")
    return int(text)
