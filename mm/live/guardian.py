"""The guardian of a trader: a small process beside it that empties the exchange when the trader cannot.

It has one connection by REST of its own. It acts when the trader's event loop gives no sign of life while the kill
switch is triggered or a signal has arrived, when a call of a user's model takes longer than its limit, and when the
trader is gone without having said that nothing is open. It ends with the trader, or as soon as nothing is open after.

`mm.live.guard` starts it, sends the key over a socket, and shares the memory in which `mm.base._calls` notes the
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
from mm.live.keys import Credentials
from mm.live.kill_switch import KillSwitch, note_none_open
from mm.live.order_canceller import KeyRefused, OrderCanceller, SignedRest, Unanswered, is_ours, named

READY, NOTHING_OPEN, TAKE_OVER = b"R", 200, 201
"""Bytes between the two; smaller numbers from the trader are signals that it has received."""
LOOK_S = 0.05
SILENT_S = 0.4
"""A loop without a sign of life for this time cannot act on a kill or a signal, in s."""
LATE_S = 0.3
"""Time beyond its limit, in s, in which a call that gives the interpreter back is ended by the trader itself."""
HUNG_S = 4.0
"""A call that holds the interpreter for so long after its limit, or a signal, ends with the process, in s."""
AGAIN_S = 1.0
BOX_GONE_S = 60.0
SETTLED_S = 1.5
"""Time, beyond the receive window, in which an order of a trader that is gone may still arrive, in s."""
KILLED_CODE, MODEL_CODE = 5, 1


@dataclass(frozen=True)
class GuardedTrade:
    """What a guardian is told.

    Attributes:
        url: Base URL of REST.
        key: The key of the account, as `Credentials.handed` gives it.
        symbols: The symbols.
        out_root: Folder with the kill switches.
        locks: The files that a trader of these symbols holds.
        quiet_file: Where the processes of this host note until when the exchange refuses requests; empty for none.
        limit_s: Longest time of a call.
        window_s: The receive window of orders.
        box: Whether the exchange is a box on this machine: it is gone if it cannot be reached for `BOX_GONE_S`.
    """

    url: str
    key: dict[str, str]
    symbols: list[str]
    out_root: str
    locks: list[str]
    quiet_file: str
    limit_s: float
    window_s: float
    box: bool


class Guardian:
    """Watches one trader.

    Args:
        trade: What it is told.
        channel: To the trader; without blocking.
        memory: Shared with the trader.
        parent: Process id of the trader.
    """

    def __init__(self, trade: GuardedTrade, channel: socket.socket, memory: mmap.mmap, parent: int) -> None:
        self._trade, self._channel, self._memory, self._parent = trade, channel, memory, parent
        quiet = Path(trade.quiet_file) if trade.quiet_file else None
        self._rest = SignedRest(trade.url, Credentials.of_handed(trade.key), quiet)
        self._canceller = OrderCanceller(self._rest, trade.symbols, is_ours)
        self._switches = [KillSwitch(Path(trade.out_root), symbol) for symbol in trade.symbols]
        self._locks = [Path(lock) for lock in trade.locks]
        self._noticed_s = 0.0  # since when the trader is to end
        self._killed = ""
        self._next_s = 0.0  # of a sweep
        self._empty_s = 0.0  # since when the exchange has listed nothing
        self._refused: KeyRefused | None = None
        self._poked = False

    def run(self) -> int:
        """Watch until the trader has ended; return the exit code."""
        while True:
            for word in self._received():
                if word == NOTHING_OPEN:
                    return 0
                if word == TAKE_OVER:
                    return self._empty(alone=False)
                self._notice(signal.SIGUSR1.name if word == signal.SIGUSR1 else "")
            if self._gone():
                return self._empty(alone=True)
            if not self._killed and any(one.triggered for one in self._switches):
                self._notice("the kill switch")
            self._look()

    def _received(self) -> bytes:
        """Return what the trader has sent, after at most `LOOK_S`."""
        select.select([self._channel], [], [], LOOK_S)
        try:
            found = self._channel.recv(64)
        except BlockingIOError:
            return b""
        except OSError:
            found = b""
        if not found:  # the trader has closed it, or a process that it started keeps it open
            time.sleep(LOOK_S)
        return found

    def _gone(self) -> bool:
        return os.getppid() != self._parent

    def _notice(self, killed: str) -> None:
        """Note that the trader is to end: killed, or by a signal."""
        self._noticed_s = self._noticed_s or time.monotonic()
        self._killed = self._killed or killed

    def _look(self) -> None:
        """Act if the trader cannot."""
        now_s, there = time.monotonic(), read_shared(memoryview(self._memory))
        silent_s = now_s - int(there["beat_ns"]) / 1e9 if there["beat_ns"] else 0.0
        call_s = now_s - int(there["call_ns"]) / 1e9 if there["call_ns"] else 0.0
        late = call_s > self._trade.limit_s + LATE_S
        silent = silent_s > SILENT_S and self._noticed_s > 0
        if not late and not silent:
            self._poked, self._empty_s = False, 0.0
            return
        if silent and call_s and self._killed and not self._poked:
            self._poked = True
            os.kill(self._parent, signal.SIGUSR1)  # a call in Python code is ended by the trader's own handler
        if now_s >= self._next_s:
            self._sweep(now_s)
        over_s = call_s - self._trade.limit_s
        if silent:
            over_s = max(over_s, min(call_s, now_s - self._noticed_s))
        if over_s > HUNG_S and (self._empty_s or self._refused):
            self._end_trader(str(there["label"]), call_s)

    def _sweep(self, now_s: float) -> None:
        """List and cancel once."""
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

    def _end_trader(self, label: str, call_s: float) -> None:
        """End the trader, whose model holds the interpreter, and say why."""
        if self._killed == signal.SIGUSR1.name:
            for switch in self._switches:
                try:
                    switch.trigger(self._killed, now_us())
                except OSError:
                    continue
        symbols = ",".join(self._trade.symbols)
        done = "its orders are cancelled" if self._refused is None else f"{self._refused}"
        why = f"was killed ({self._killed}) while {label}" if self._killed else label
        text = (
            f"error: {symbols} {why} has not returned for {call_s:.1f} s, more than the {self._trade.limit_s:g} s of "
            f"MODEL_CALL_LIMIT_S; {done}, and the process is ended\n"
        )
        order_end(memoryview(self._memory), KILLED_CODE if self._killed else MODEL_CODE, text)
        os.kill(self._parent, ENDING)
        time.sleep(AGAIN_S)

    def _empty(self, *, alone: bool) -> int:
        """Cancel until the exchange has listed nothing for a while; return the exit code.

        *alone*: the trader is gone. Then a new one ends it, since a start cancels what it finds itself.
        """
        settled_s = self._trade.window_s + SETTLED_S if alone else 0.0
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
                if self._trade.box and time.monotonic() - self._rest.answered_s > BOX_GONE_S:
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
                for symbol in self._trade.symbols:
                    note_none_open(Path(self._trade.out_root), symbol, now_us())
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
    """Write a line to the trader's standard error, if that is still there."""
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        return


def main(channel_fd: int, memory_fd: int) -> int:
    """Read what to guard, report that it is ready, and watch."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # of the whole session or service: it ends after the trader
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
    guardian = Guardian(GuardedTrade(**told), channel, memory, parent)
    channel.setblocking(False)
    channel.send(READY)
    return guardian.run()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
