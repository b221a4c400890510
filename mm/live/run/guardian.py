"""The guardian of a trader or a shadow: a small process beside it that acts where the other cannot.

It ends a process whose model holds the interpreter, and writes its end into the logs. Of a trader it empties the
exchange, by a connection by REST of its own: when the event loop gives no sign of life while the kill switch is
triggered or a signal has arrived, when a call of a user's model takes longer than its limit, and when the trader is
gone without having said that nothing is open. It ends with the process, or as soon as nothing is open after.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base._calls import ENDING, SHARED_BYTES, order_end, read_shared
from mm.base.held_file import is_held
from mm.clock import now_us
from mm.errors import MMError
from mm.live.run.forced_end import GuardedRun, record_end
from mm.live.run.kill_switch import KillSwitch, note_none_open
from mm.live.venues.canceller import KeyRefused, OrderCanceller, SignedRest, Unanswered, is_ours, named
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
    """Where the orders of a trader are.

    Attributes:
        url: Base URL of REST.
        key: The key of the account, as `Credentials.handed` gives it.
        locks: The files that a trader of these symbols holds.
        quiet_file: Where the processes of this host note until when the exchange refuses requests; empty for none.
        window_s: The receive window of orders.
        box: Whether the exchange is a box on this machine: it is gone if it cannot be reached for `BOX_GONE_S`.
        market: ``spot`` or ``usdm``.
    """

    url: str
    key: dict[str, str]
    locks: list[str]
    quiet_file: str
    window_s: float
    box: bool
    market: str


@dataclass(frozen=True)
class Guarded:
    """What a guardian is told.

    Attributes:
        runs: The runs of the process, one for each symbol.
        out_root: Folder with the kill switches.
        limit_s: Longest time of a call.
        exchange: Of a trader; None for a shadow, whose kill switch only stops its paper orders.
    """

    runs: list[GuardedRun]
    out_root: str
    limit_s: float
    exchange: GuardedExchange | None

    @property
    def symbols(self) -> list[str]:
        """The symbols."""
        return [one.symbol for one in self.runs]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Guarded":
        """Return it from its fields as JSON."""
        exchange = told["exchange"] and GuardedExchange(**told["exchange"])
        runs = [GuardedRun(**one) for one in told["runs"]]
        return cls(**{**told, "runs": runs, "exchange": exchange})


class Guardian:
    """Watches one process.

    Args:
        told: What it is told.
        channel: To the process; without blocking.
        memory: Shared with the process.
        parent: Its id.
    """

    def __init__(self, told: Guarded, channel: socket.socket, memory: mmap.mmap, parent: int) -> None:
        self._told, self._channel, self._memory, self._parent = told, channel, memory, parent
        self._exchange = exchange = told.exchange
        self._canceller: OrderCanceller | None = None
        self._switches: list[KillSwitch] = []
        self._locks: list[Path] = []
        if exchange is not None:
            quiet = Path(exchange.quiet_file) if exchange.quiet_file else None
            self._rest = SignedRest(exchange.url, Credentials.of_handed(exchange.key), quiet, exchange.market)
            self._canceller = OrderCanceller(self._rest, told.symbols, is_ours)
            self._switches = [KillSwitch(Path(told.out_root), symbol) for symbol in told.symbols]
            self._locks = [Path(lock) for lock in exchange.locks]
        self._noticed_s = 0.0  # since when the process is to end
        self._killed = ""
        self._next_s = 0.0  # of a sweep
        self._empty_s = 0.0  # since when the exchange has listed nothing
        self._refused: KeyRefused | None = None
        self._poked = False

    def run(self) -> int:
        """Watch until the process has ended; return the exit code."""
        while True:
            for word in self._received():
                if word == NOTHING_OPEN:
                    return 0
                if word == TAKE_OVER:
                    return self._empty(alone=False)
                if word != signal.SIGUSR1:
                    self._notice("")
                elif self._canceller:  # a shadow goes on recording
                    self._notice(signal.SIGUSR1.name)
            if self._gone():
                return self._empty(alone=True)
            if not self._killed and any(one.triggered for one in self._switches):
                self._notice("the kill switch")
            self._look()

    def _received(self) -> bytes:
        """Return what the process has sent, after at most `LOOK_S`."""
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
        """Note that the process is to end: killed, or by a signal."""
        self._noticed_s = self._noticed_s or time.monotonic()
        self._killed = self._killed or killed

    def _look(self) -> None:
        """Act if the process cannot."""
        now_s, there = time.monotonic(), read_shared(memoryview(self._memory))
        silent_s = now_s - int(there["beat_ns"]) / 1e9 if there["beat_ns"] else 0.0
        call_s = now_s - int(there["call_ns"]) / 1e9 if there["call_ns"] else 0.0
        late = call_s > self._told.limit_s + LATE_S
        silent = silent_s > SILENT_S and self._noticed_s > 0
        if not late and not silent:
            self._poked, self._empty_s = False, 0.0
            return
        if silent and call_s and self._killed and not self._poked:
            self._poked = True
            os.kill(self._parent, signal.SIGUSR1)  # a call in Python code is ended by the process's own handler
        if now_s >= self._next_s:
            self._sweep(now_s)
        over_s = call_s - self._told.limit_s
        if silent:
            over_s = max(over_s, min(call_s, now_s - self._noticed_s))
        if over_s > HUNG_S and (self._empty_s or self._refused):
            self._end_process(str(there["label"]), call_s)

    def _sweep(self, now_s: float) -> None:
        """List and cancel once; of a shadow nothing is open."""
        if self._canceller is None:
            self._empty_s = self._empty_s or now_s
            return
        try:
            none = self._canceller.sweep() == 0 and not self._canceller.left
        except Unanswered as error:
            self._next_s, self._empty_s = now_s + error.wait_s, 0.0
        except MMError as error:
            self._next_s = now_s + AGAIN_S
            self._refused = error if isinstance(error, KeyRefused) else self._refused
        else:
            self._empty_s = (self._empty_s or time.monotonic()) if none else 0.0
            self._next_s = now_s + (AGAIN_S if none else LOOK_S)

    def _end_process(self, label: str, call_s: float) -> None:
        """End the process, whose model holds the interpreter, say why, and write it into the logs."""
        if self._killed == signal.SIGUSR1.name:
            for switch in self._switches:
                try:
                    switch.trigger(self._killed, now_us())
                except OSError:
                    continue
        done = (
            []
            if self._canceller is None
            else ["its orders are cancelled" if self._refused is None else f"{self._refused}"]
        )
        why = f"was killed ({self._killed}) while {label}" if self._killed else label
        told = [
            f"{why} has not returned for {call_s:.1f} s, more than the {self._told.limit_s:g} s of MODEL_CALL_LIMIT_S"
        ]
        text = "; ".join([*told, *done]) + ", and the process is ended"
        code = KILLED_CODE if self._killed else MODEL_CODE
        order_end(memoryview(self._memory), code, f"error: {','.join(self._told.symbols)} {text}\n")
        os.kill(self._parent, ENDING)
        ends_s = time.monotonic() + AGAIN_S
        while not self._gone() and time.monotonic() < ends_s:
            time.sleep(LOOK_S / 10)
        if self._gone():
            record_end(self._told.runs, self._locks, code, text, now_us())

    def _empty(self, *, alone: bool) -> int:
        """Cancel until the exchange has listed nothing for a while; return the exit code.

        *alone*: the trader is gone. Then a new one ends it, since a start cancels what it finds itself.
        """
        if self._exchange is None or self._canceller is None:
            return 0
        settled_s = self._exchange.window_s + SETTLED_S if alone else 0.0
        while True:
            if (alone or self._gone()) and self._replaced():
                return 0
            now_s = time.monotonic()
            if now_s < self._next_s:
                time.sleep(min(self._next_s - now_s, LOOK_S))
                continue
            self._next_s = now_s + AGAIN_S / 4
            try:
                found = self._canceller.sweep(lambda: not (alone and self._replaced()))
            except Unanswered as error:
                self._empty_s, self._next_s = 0.0, now_s + error.wait_s
                if self._exchange.box and time.monotonic() - self._rest.answered_s > BOX_GONE_S:
                    return 75
                continue
            except MMError as error:
                say(f"error: {error}")
                return error.exit_code
            if found or self._canceller.left:
                self._empty_s = 0.0
                continue
            self._empty_s = self._empty_s or time.monotonic()
            if time.monotonic() - self._empty_s >= settled_s:
                for symbol in self._told.symbols:
                    note_none_open(Path(self._told.out_root), symbol, now_us())
                if self._canceller.ended:
                    say(f"cancelled: {named(order for order, _ in self._canceller.ended.values())}")
                return 0

    def _replaced(self) -> bool:
        """Return whether another trader of one of the symbols runs."""
        for lock in self._locks:
            try:
                if is_held(lock):
                    return True
            except OSError:
                continue
        return False


def say(text: str) -> None:
    """Write a line to the standard error of the process, if that is still there."""
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        return


def main(channel_fd: int, memory_fd: int) -> int:
    """Read what to guard, report that it is ready, and watch."""
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
    memory = mmap.mmap(memory_fd, SHARED_BYTES)
    guardian = Guardian(Guarded.of(told), channel, memory, parent)
    channel.setblocking(False)
    channel.send(READY)
    return guardian.run()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
