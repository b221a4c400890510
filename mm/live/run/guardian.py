"""The guardian of a trader or a shadow: a small process beside it that acts where the other cannot.

It ends a process whose model holds the interpreter, and writes that end into the logs. For a trader it also cancels all
orders at the exchange, by its own REST connection: when the event loop gives no sign of life although the kill switch
is triggered or a signal has arrived, when a call of a user's model takes longer than its limit, and when the trader is
gone without having reported that nothing is open. It ends with the process, or once nothing is open after it.

`mm.live.run.guard` starts it, sends the key over a socket, and shares the memory in which `mm.base._calls` notes the
running call.
"""

import json
import mmap
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mm.base._calls import ENDING, order_end, read_shared
from mm.base.held_file import is_held
from mm.clock import now_us
from mm.errors import MMError
from mm.live.account.kill_switch import KillSwitch, note_none_open
from mm.live.run.forced_end import GuardedRun, record_end
from mm.live.run.position_closer import Closing, PositionCloser
from mm.live.venues.canceller import KeyRefused, NoAnswer, OrderCanceller, SignedRest, named, run_of
from mm.live.venues.keys import Credentials

READY, NOTHING_OPEN, TAKE_OVER = b"R", 200, 201
"""Bytes between the two; smaller numbers from the process are signals that it has received."""
LOOK_S = 0.05
SILENT_S = 0.4
"""A loop without a sign of life for this time cannot act on a kill or a signal, in s."""
LATE_S = 0.3
"""Time beyond its limit, in s, in which a call that gives the interpreter back is ended by the process itself."""
HUNG_S = 4.0
"""A call that holds the interpreter for so long after its limit, or a signal, ends with the process, in s."""
AGAIN_S = 1.0
BOX_GONE_S = 60.0
SETTLED_S = 1.5
"""Time, beyond the receive window, in which an order of a trader that is gone may still arrive, in s."""
KILLED_CODE, MODEL_CODE = 5, 1


@dataclass(frozen=True)
class GuardedExchange:
    """Where orders of a trader are.

    Attributes:
        quiet_file: Where the processes of this host note until when the exchange refuses requests; empty for none.
        box: Whether the exchange is a box on this machine: it is gone if it cannot be reached for `BOX_GONE_S`.
    """

    url: str
    key: dict[str, str]
    locks: list[str]
    quiet_file: str
    window_s: float
    box: bool
    market: str
    symbols: list[str]
    runs: list[str]


@dataclass(frozen=True)
class Guarded:
    """What a guardian is told.

    Attributes:
        exchanges: Of a trader; none for a shadow, whose kill switch only stops its paper orders.
    """

    runs: list[GuardedRun]
    limit_s: float
    exchanges: list[GuardedExchange]
    closings: list[Closing] = field(default_factory=list)

    @property
    def named(self) -> str:
        return ",".join(run.key for run in self.runs)

    @classmethod
    def read(cls, told: dict[str, Any]) -> "Guarded":
        runs = [GuardedRun(**one) for one in told["runs"]]
        exchanges = [GuardedExchange(**one) for one in told["exchanges"]]
        closings = [Closing(**one) for one in told["closings"]]
        return cls(runs, told["limit_s"], exchanges, closings)


class GuardedOrders:
    """The orders of a trader at one exchange, until none is listed.

    Attributes:
        empty_s: Since when the exchange has listed nothing; 0 while it lists some, or is not known to list none.
    """

    def __init__(self, told: GuardedExchange) -> None:
        quiet = Path(told.quiet_file) if told.quiet_file else None
        self._rest = SignedRest(told.url, Credentials.of_handed(told.key), quiet, told.market)
        self._told, self.canceller = told, OrderCanceller(self._rest, told.symbols, self._is_wanted)
        self.locks = [Path(lock) for lock in told.locks]
        self.next_s = self.empty_s = 0.0
        self.refused: KeyRefused | None = None

    def sweep(self, now_s: float) -> None:
        if now_s < self.next_s:
            return
        try:
            none = self.canceller.sweep() == 0 and not self.canceller.left
        except NoAnswer as error:
            self.next_s, self.empty_s = now_s + error.wait_s, 0.0
        except MMError as error:
            self.next_s = now_s + AGAIN_S
            self.refused = error if isinstance(error, KeyRefused) else self.refused
        else:
            self.empty_s = (self.empty_s or time.monotonic()) if none else 0.0
            self.next_s = now_s + (AGAIN_S if none else LOOK_S)

    def ended(self, now_s: float, *, alone: bool) -> int | None:
        """List and cancel once, if that is due; return the exit code once this is over.

        *alone*: the trader is gone. A new trader then ends it, since a start cancels what it finds itself.
        """
        if alone and self._replaced():
            return 0
        if now_s >= self.next_s:
            self.next_s = now_s + AGAIN_S / 4
            return self._end(now_s, alone=alone)
        return None

    def _end(self, now_s: float, *, alone: bool) -> int | None:
        try:
            found = self.canceller.sweep(lambda: not (alone and self._replaced()))
        except NoAnswer as error:
            self.empty_s, self.next_s = 0.0, now_s + error.wait_s
            gone = self._told.box and time.monotonic() - self._rest.answered_s > BOX_GONE_S
            return 75 if gone else None
        except MMError as error:
            say(f"error: {error}")
            return error.exit_code
        if found or self.canceller.left:
            self.empty_s = 0.0
            return None
        self.empty_s = self.empty_s or time.monotonic()
        if time.monotonic() - self.empty_s < (self._told.window_s + SETTLED_S if alone else 0.0):
            return None
        if self.canceller.ended:
            say(f"cancelled: {named(order for order, _ in self.canceller.ended.values())}")
        return 0

    def _is_wanted(self, client_id: str) -> bool:
        return run_of(client_id) in self._told.runs

    def has(self, market: str) -> bool:
        return market == self._told.market

    def closer(self, told: Closing) -> PositionCloser:
        return PositionCloser(told, self._rest, self._is_wanted)

    def _replaced(self) -> bool:
        for lock in self.locks:
            try:
                if is_held(lock):
                    return True
            except OSError:
                continue
        return False


class Guardian:
    def __init__(self, told: Guarded, channel: socket.socket, memory: mmap.mmap, parent: int) -> None:
        self._told, self._channel, self._memory, self._parent = told, channel, memory, parent
        self._orders = [GuardedOrders(exchange) for exchange in told.exchanges]
        self._switches = [KillSwitch(Path(run.out_root), run.symbol) for run in told.runs] if self._orders else []
        self._closers = [
            orders.closer(one) for orders in self._orders for one in told.closings if orders.has(one.market)
        ]
        self._noticed_s = 0.0  # since when the process is to end
        self._killed = ""
        self._poked = False

    def run(self) -> int:
        while True:
            for word in self._received():
                if word == NOTHING_OPEN:
                    return 0
                if word == TAKE_OVER:
                    return self._empty(alone=False)
                if word != signal.SIGUSR1:
                    self._notice("")
                elif self._orders:  # a shadow goes on recording
                    self._notice(signal.SIGUSR1.name)
            if self._gone():
                return self._empty(alone=True)
            if not self._killed and any(switch.triggered for switch in self._switches):
                self._notice("the kill switch")
            self._look()
            if not self._noticed_s:  # an end, or a kill, leaves a position to whom it is left
                for closer in self._closers:
                    closer.look(memoryview(self._memory), time.monotonic())

    def _received(self) -> bytes:
        select.select([self._channel], [], [], LOOK_S)
        try:
            found = self._channel.recv(64)
        except BlockingIOError:
            return b""
        except OSError:
            found = b""
        if not found:  # it has closed it, or a process that it started keeps it open
            time.sleep(LOOK_S)
        return found

    def _gone(self) -> bool:
        return os.getppid() != self._parent

    def _notice(self, killed: str) -> None:
        self._noticed_s = self._noticed_s or time.monotonic()
        self._killed = self._killed or killed

    def _look(self) -> None:
        now_s, there = time.monotonic(), read_shared(memoryview(self._memory))
        silent_s = now_s - int(there["beat_ns"]) / 1e9 if there["beat_ns"] else 0.0
        call_s = now_s - int(there["call_ns"]) / 1e9 if there["call_ns"] else 0.0
        late = call_s > self._told.limit_s + LATE_S
        silent = silent_s > SILENT_S and self._noticed_s > 0
        if not late and not silent:
            self._poked = False
            for orders in self._orders:
                orders.empty_s = 0.0
            return
        if silent and call_s and self._killed and not self._poked:
            self._poked = True
            os.kill(self._parent, signal.SIGUSR1)  # a call in Python code is ended by the process's own handler
        for orders in self._orders:
            orders.sweep(now_s)
            if self._killed and orders.empty_s:
                self._note_none_open(orders)
        over_s = call_s - self._told.limit_s
        if silent:
            over_s = max(over_s, min(call_s, now_s - self._noticed_s))
        if over_s > HUNG_S and all(orders.empty_s or orders.refused for orders in self._orders):
            self._end_process(str(there["label"]), call_s)

    def _end_process(self, label: str, call_s: float) -> None:
        if self._killed == signal.SIGUSR1.name:
            for switch in self._switches:
                try:
                    switch.trigger(self._killed, now_us())
                except OSError:
                    continue
        refused = [str(orders.refused) for orders in self._orders if orders.refused]
        done = refused or ["its orders are cancelled"] if self._orders else []
        why = f"was killed ({self._killed}) while {label}" if self._killed else label
        told = [
            f"{why} has not returned for {call_s:.1f} s, more than the {self._told.limit_s:g} s of MODEL_CALL_LIMIT_S"
        ]
        text = "; ".join([*told, *done]) + ", and the process is ended"
        code = KILLED_CODE if self._killed else MODEL_CODE
        order_end(memoryview(self._memory), code, f"error: {self._told.named} {text}\n")
        os.kill(self._parent, ENDING)
        ends_s = time.monotonic() + AGAIN_S
        while not self._gone() and time.monotonic() < ends_s:
            time.sleep(LOOK_S / 10)
        if self._gone():
            record_end(
                self._told.runs, [lock for orders in self._orders for lock in orders.locks], code, text, now_us()
            )

    def _empty(self, *, alone: bool) -> int:
        """Cancel until each exchange has listed nothing for a while; return the exit code."""
        left, code = list(self._orders), 0
        while left:
            now_s, gone = time.monotonic(), alone or self._gone()
            for one in tuple(left):
                ended = one.ended(now_s, alone=gone)
                if ended is not None:
                    left.remove(one)
                    code = code or ended
                if ended == 0 and one.empty_s:
                    self._note_none_open(one)
            if left:
                time.sleep(min(max(min(one.next_s for one in left) - time.monotonic(), 0.0), LOOK_S))
        return code

    def _note_none_open(self, orders: GuardedOrders) -> None:
        for run in (run for run in self._told.runs if orders.has(run.market)):
            note_none_open(Path(run.out_root), run.symbol, now_us())


def say(text: str) -> None:
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        return


def main(channel_fd: int, memory_fd: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # of the whole session or service: it ends after the process
    parent = os.getppid()
    channel = socket.socket(fileno=channel_fd)
    text = b""
    while not text.endswith(b"\n"):
        part = channel.recv(1 << 16)
        if not part:
            return 0
        text += part
    told: dict[str, Any] = json.loads(text)
    memory = mmap.mmap(memory_fd, 0)
    guardian = Guardian(Guarded.read(told), channel, memory, parent)
    channel.setblocking(False)
    channel.send(READY)
    return guardian.run()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
