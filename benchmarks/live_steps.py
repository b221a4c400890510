"""The time from a depth message to the first order that follows, split by steps.

``python -m benchmarks.live_steps LOAD`` (JSON of a `Load`) prints one JSON object: the medians of the steps, in µs, of
moves that led to a replacement. Reading the clock takes time itself, so the sum of the steps exceeds the total.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from benchmarks.live import StopwatchLoop, trade
from benchmarks.live_venue import Load
from mm.backtest.engine.live_feed import LiveFeed
from mm.live.audit.log import AuditLog
from mm.live.orders.symbol_orders import SymbolOrders
from mm.live.run.trader import Trader
from mm.live.venues.ws_api import WsApi
from mm.market_data.live_session import LiveSession
from mm.market_data.market_state import MarketState
from mm.market_data.ws_link import Link

_TRANSPORT: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
STEPS: tuple[tuple[str, type, Callable[..., Any], bool], ...] = (
    ("cut frames", LiveSession, LiveSession.message, True),
    ("decode", MarketState, MarketState.take, True),
    ("ids, book, number of the row", LiveFeed, LiveFeed.__call__, True),
    ("rows for the engine", Trader, Trader.act, True),
    ("engine: quotes, limits, messages", Trader, Trader._send, True),
    ("text of prices", SymbolOrders, SymbolOrders.replace, True),
    ("checks of the exchange's rules", SymbolOrders, SymbolOrders._reason, False),
    ("order, client id", AuditLog, AuditLog.append, True),
    ("audit row: text, hash, write", AuditLog, AuditLog.append, False),
    ("the other side, row of the log written, parameters", WsApi, WsApi.request, True),
    ("timestamp, signature, text", Link, Link.send, True),
    ("frame, mask", _TRANSPORT, _TRANSPORT.write, True),
    ("write", Link, Link.send, False),
)
"""Steps, and the call whose start (True) or end closes each; named as attributes, so that mypy knows each."""


class StepClock:
    """Reads the clock at the end of each step of a move.

    Attributes:
        step_times: Times in s of the steps of each move with every step once and in order.
    """

    def __init__(self) -> None:
        self.step_times: list[list[float]] = []
        self._read_s: list[float] = []

    def begin(self, at_s: float) -> None:
        """Start with a message that was read from the socket at *at_s*."""
        self._read_s = [at_s]

    def close(self, step: int) -> None:
        """Close a step; one of the other side, which is decided meanwhile, is ignored, and any other drops the move."""
        if 0 < step < len(self._read_s) - 1:
            return
        if len(self._read_s) != step + 1:
            self._read_s = []
            return
        self._read_s.append(time.perf_counter())
        if step == len(STEPS) - 1:
            self.step_times.append([after - before for before, after in pairwise(self._read_s)])

    def put(self) -> None:
        """Attach the clock to all calls."""
        for step, (_, owner, call, before) in enumerate(STEPS):
            name = call.__name__
            setattr(owner, name, self._timed(getattr(owner, name), step, before=before))

    def _timed(self, call: Callable[..., Any], step: int, *, before: bool) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if before:
                self.close(step)
            found = call(*args, **kwargs)
            if not before:
                self.close(step)
            return found

        return timed


def steps(load: Load) -> dict[str, float]:
    """Trade, and return the median of each step in µs."""
    clock = StepClock()
    clock.put()
    StopwatchLoop.watch.on_move = clock.begin
    trade(load)
    return {
        name: 1e6 * median(column)
        for (name, *_), column in zip(STEPS, zip(*clock.step_times, strict=True), strict=True)
    }


if __name__ == "__main__":
    print(json.dumps(steps(Load(**json.loads(sys.argv[1])))))
