"""Closes the position of a contract that its trader, which runs, cannot reconcile: its guardian's part."""

import json
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

from mm.base._calls import SHARED_BYTES
from mm.clock import iso, now_us
from mm.errors import MMError
from mm.instrument import e8
from mm.live.run.forced_end import append_line
from mm.live.venues.canceller import CLOSING, NoAnswer, OrderCanceller, Refused, SignedRest
from mm.live.venues.positions import closing_order

RECONCILED = struct.Struct("dq")
"""Of each run, behind the shared memory of calls: when it was reconciled, in s of the monotonic clock, and its tick in
1e-8 of the quote asset; 0 while no position is to be closed."""
AGAIN_S = 1.0


@dataclass(frozen=True)
class Closing:
    """What a guardian is told of a contract.

    Attributes:
        kept: The file that keeps since when the position cannot be reconciled; removed once nothing is held.
        index: Of its run among the guarded ones.
        ids: Begins the client ids of the run's orders.
    """

    market: str
    symbol: str
    index: int
    ids: str
    run_id: str
    log: str
    kept: str
    after_s: float
    slippage: str

    @property
    def offset(self) -> int:
        return SHARED_BYTES + self.index * RECONCILED.size


class PositionCloser:
    """Cancels the symbol's orders, then sends orders that can only reduce, one at a time, until nothing is held."""

    def __init__(self, told: Closing, rest: SignedRest, wanted: Callable[[str], bool]) -> None:
        self._told, self._rest = told, rest
        self._canceller = OrderCanceller(rest, [told.symbol], wanted)
        self._next_s, self._flat_s = 0.0, -inf
        self._said = ""

    def look(self, memory: memoryview, now_s: float) -> None:
        """Act if that is due."""
        reconciled_s, tick_e8 = RECONCILED.unpack_from(memory, self._told.offset)
        if not (reconciled_s and tick_e8) or now_s - reconciled_s < self._told.after_s or self._flat_s > reconciled_s:
            return
        if now_s < self._next_s:
            return
        self._next_s, why = now_s + AGAIN_S, ""
        try:
            if self._canceller.sweep() == 0 and not self._canceller.left:
                self._close(tick_e8)
        except NoAnswer as error:
            self._next_s, why = now_s + max(AGAIN_S, error.wait_s), str(error)
        except (Refused, MMError) as error:
            why = str(error)
        if why and why != self._said:
            self._log("position_not_closed", why=why, note="it is tried again")
        self._said = why

    def _close(self, tick_e8: int) -> None:
        symbol, paths = self._told.symbol, self._rest.paths
        rows = self._rest.request("GET", paths.position, symbol=symbol)
        held = next((row for row in rows if row["symbol"] == symbol), None)
        order = held and closing_order(e8(held["positionAmt"]), e8(held["markPrice"]), self._told.slippage, tick_e8)
        if not order:
            self._flat_s = time.monotonic()
            with suppress(OSError):
                Path(self._told.kept).unlink(missing_ok=True)
            return
        side, price, qty = ("BUY" if order[0] > 0 else "SELL"), *order[1:]
        why = f"it could not be reconciled for {self._told.after_s:g} s"
        self._log("position_closes", side=side, qty=qty, price=price, why=why, by="guardian")
        terms = {"symbol": symbol, "side": side, "type": "LIMIT", "timeInForce": "IOC", "reduceOnly": "true"}
        own_id = f"{self._told.ids}-{CLOSING}{time.time_ns() // 1_000_000}"
        self._rest.request("POST", paths.order, **terms, quantity=qty, price=price, newClientOrderId=own_id)

    def _log(self, event: str, **fields: str) -> None:
        head = {"ts": iso(now_us()), "level": "error", "event": event, "run_id": self._told.run_id}
        line = json.dumps({**head, "symbol": self._told.symbol, **fields}, ensure_ascii=False).encode() + b"\n"
        if self._told.log:
            with suppress(OSError):  # a full disk keeps no position open
                append_line(Path(self._told.log), line)
