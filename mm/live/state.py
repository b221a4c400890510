"""The state writer: the state of a run, in stores that others read, without the run ever waiting for one.

Two kinds of things reach a store, each by its own way:

- What must not be lost (fills, orders, positions, configurations) comes from the audit logs: each store has a thread
  that follows them. A store that is away is behind by some rows of a file, which is memory for nobody.
- What passes (book, PnL, state of the model: the latest counts; ticks: as many as their stream keeps) is kept in memory
  for the one store that takes it. An older document is replaced, a tick beyond ``STREAM_MAXLEN`` dropped, as the
  stream would have dropped it.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from mm.errors import DataError
from mm.live.audit import AuditLog
from mm.live.state_follow import AuditFollower
from mm.live.state_tables import LiveBackend, StateBackend, StoreAway, Tick

POLL_S = 0.02
"""Time between two looks at what is new, in s."""
TICKS_AT_ONCE = 1_000
ROWS_AT_ONCE, PAUSE_S = 500, 0.002
"""Audit rows that are stored at once, and the pause after them: the interpreter is shared with the trader's loop."""
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0


class Reporter(Protocol):
    """Takes what happened, with its numbers: a logger's ``warning``."""

    def __call__(self, event: str, **numbers: Any) -> Any:
        """Log an event."""


class _Live:
    """What waits for the one store that takes live state; filled by the run, emptied by the store's thread."""

    def __init__(self, symbol: str, maxlen: int) -> None:
        self._stream = f"ticks:{symbol}"
        self._lock = threading.Lock()
        self._documents: dict[str, Callable[[], str]] = {}
        self._inbox: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=maxlen)
        self._unsent: deque[Tick] = deque(maxlen=maxlen)
        self._last = (0, 0)

    def __len__(self) -> int:
        return len(self._documents) + len(self._inbox) + len(self._unsent)

    def put(self, key: str, text: Callable[[], str]) -> None:
        """Replace a document; its text is made when it is sent."""
        with self._lock:
            self._documents[key] = text

    def tick(self, us: int, fields: tuple[str, ...]) -> None:
        """Append a tick; the oldest one goes where the stream would not keep it."""
        self._inbox.append((us, fields))

    def resume(self, backend: LiveBackend) -> None:
        """Go on after the last tick that the store has."""
        self._last = max(self._last, backend.last_tick(self._stream))

    def send(self, backend: LiveBackend) -> bool:
        """Send what waits, some ticks at once; False where nothing did. What a store does not take waits on."""
        with self._lock:
            documents, self._documents = self._documents, {}
            inbox = [self._inbox.popleft() for _ in range(min(len(self._inbox), TICKS_AT_ONCE))]
        self._unsent.extend(self._ticks(inbox))
        ticks = [self._unsent[place] for place in range(min(len(self._unsent), TICKS_AT_ONCE))]
        if not documents and not ticks:
            return False
        try:
            backend.publish({key: text() for key, text in documents.items()}, ticks)
        except StoreAway:
            with self._lock:
                self._documents = {**documents, **self._documents}
            raise
        for _ in ticks:
            self._unsent.popleft()
        return True

    def _ticks(self, inbox: Sequence[tuple[int, tuple[str, ...]]]) -> list[Tick]:
        """Give ticks their ids in the stream: the instant in ms, and a number where the clock does not rise."""
        found = []
        for us, fields in inbox:
            ms, number = self._last
            self._last = (us // 1_000, 0) if us // 1_000 > ms else (ms, number + 1)
            found.append(Tick(self._stream, f"{self._last[0]}-{self._last[1]}", fields))
        return found


def _takes_live(backend: StateBackend) -> TypeGuard[LiveBackend]:
    return hasattr(backend, "publish")


class _Lane:
    """One store and the thread that feeds it."""

    def __init__(
        self, backend: StateBackend, follower: AuditFollower | None, live: _Live | None, report: Reporter
    ) -> None:
        self.backend, self.follower, self.report = backend, follower, report
        self.live = live if _takes_live(backend) else None
        self.current_at = time.monotonic()
        self.closing, self.given_up = threading.Event(), threading.Event()
        self.broken: DataError | None = None
        self._connected = False
        self._away_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"state {backend.place}", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; where it does not come in time give up, and return False."""
        self._thread.join(max(0.0, timeout_s))
        self.given_up.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Bring the store up to date again and again, until closing finds nothing more to do."""
        wait_s = _SHORTEST_WAIT_S
        while not self.given_up.is_set():
            closing = self.closing.is_set()  # before the work: what was there by then is in it
            try:
                busy = self._work()
            except StoreAway as error:
                self._connected = False
                self._note_away(error)
                (self.given_up if closing else self.closing).wait(wait_s)
                wait_s = _SHORTEST_WAIT_S if closing else min(_LONGEST_WAIT_S, 2 * wait_s)
                continue
            wait_s = _SHORTEST_WAIT_S
            self._note_back()
            if busy:
                time.sleep(PAUSE_S)
            else:
                self.current_at = time.monotonic()
                if closing:
                    break
                self.closing.wait(POLL_S)
        self.backend.close()

    def _work(self) -> bool:
        """Do one piece of the work; False where there was none."""
        if not self._connected:
            self.backend.connect()
            if self.live is not None and _takes_live(self.backend):
                self.live.resume(self.backend)
            self._connected = True
        sent = self.live is not None and _takes_live(self.backend) and self.live.send(self.backend)
        return self._follow() or sent

    def _follow(self) -> bool:
        """Store the next rows of the audit logs."""
        if self.follower is None or self.broken is not None:
            return False
        try:
            return self.follower.step(ROWS_AT_ONCE)
        except DataError as error:
            self.broken = error
            self.report("state_log_unreadable", store=self.backend.place, error=str(error))
            return False

    def _note_away(self, error: StoreAway) -> None:
        if self._away_at is None:
            self._away_at = time.monotonic()
            self.report("state_store_away", store=self.backend.place, error=str(error))

    def _note_back(self) -> None:
        if self._away_at is not None:
            away_s = round(time.monotonic() - self._away_at, 3)
            self._away_at = None
            self.report("state_store_back", store=self.backend.place, away_s=away_s)


def _ignore(event: str, **numbers: Any) -> None:
    """Report nothing."""


class StateWriter:
    """Feeds the stores of one run; none of its methods waits for a store, but for `close`.

    Args:
        symbol: Of the run.
        backends: The stores; at most one of them takes live state.
        audit: The run's log, whose folder has the earlier ones; None follows no log.
        stream_maxlen: Ticks that wait at most.
        report: Takes ``state_store_away``, ``state_store_back`` and ``state_log_unreadable``, once a change, from the
            threads of the stores.
    """

    def __init__(
        self,
        symbol: str,
        backends: Sequence[StateBackend],
        audit: AuditLog | None = None,
        *,
        stream_maxlen: int = 100_000,
        report: Reporter = _ignore,
    ) -> None:
        self._symbol, self._audit = symbol, audit
        self._live = _Live(symbol, stream_maxlen) if any(map(_takes_live, backends)) else None
        self._lanes = [
            _Lane(
                backend,
                None if audit is None else AuditFollower(audit.path.parent, symbol, backend),
                self._live,
                report,
            )
            for backend in backends
        ]

    def book(
        self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], us: int, last_update_id: int
    ) -> None:
        """Set ``lob:<SYMBOL>``: best levels first, price and quantity as text; the sequences must not change later."""
        self._put("lob", {"bids": bids, "asks": asks, "us": us, "last_update_id": last_update_id})

    def pnl(self, us: int, **parts: object) -> None:
        """Set ``pnl:<SYMBOL>``: its parts as text or numbers."""
        self._put("pnl", {"symbol": self._symbol, **parts, "us": us})

    def model(self, us: int, **state: object) -> None:
        """Set ``model:<SYMBOL>``: the state of the quote model."""
        self._put("model", {"symbol": self._symbol, **state, "us": us})

    def position(self, us: int, position: str, **more: object) -> None:
        """Set ``position:<SYMBOL>`` of a run without an audit log; with one it comes from there."""
        if self._audit is None:
            self._put("position", {"symbol": self._symbol, "position": position, **more, "us": us})

    def tick(self, us: int, **fields: object) -> None:
        """Append to the stream ``ticks:<SYMBOL>``."""
        if self._live is not None:
            texts = [text for name, value in fields.items() for text in (name, str(value))]
            self._live.tick(us, ("us", str(us), *texts))

    @property
    def queue(self) -> int:
        """How many rows wait: documents, ticks, and rows of the run's log that the slowest store lacks."""
        return max((self._waiting(lane) for lane in self._lanes), default=0)

    @property
    def lag_s(self) -> float:
        """How long ago the slowest store that lacks something lacked nothing, in s."""
        now = time.monotonic()
        return max((now - lane.current_at for lane in self._lanes if self._waiting(lane)), default=0.0)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Bring all stores up to date and disconnect; False where one was not by then.

        What a store lacks of the audit log is stored by the next run, or by ``mm state rebuild``.
        """
        for lane in self._lanes:
            lane.closing.set()
        until = time.monotonic() + timeout_s
        ended = [lane.join(until - time.monotonic()) for lane in self._lanes]
        return all(ended) and not any(lane.broken for lane in self._lanes)

    def _put(self, name: str, document: Mapping[str, object]) -> None:
        if self._live is not None:
            self._live.put(f"{name}:{self._symbol}", lambda: json.dumps(document, separators=(",", ":"), default=str))

    def _waiting(self, lane: _Lane) -> int:
        live = 0 if lane.live is None else len(lane.live)
        if self._audit is None or lane.follower is None:
            return live
        return live + max(0, self._audit.rows - lane.follower.stored.get(self._audit.path.name, 0))
