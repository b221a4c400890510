"""Writes the state of a run to stores for other readers, without ever blocking the run.

- What must not be lost (fills, orders, positions, configurations) comes from the audit logs, which a thread for each
  store follows. A store that is away lags behind a file, which costs no memory.
- Transient data (book, PnL, model state, ticks) is queued in memory for the one store that accepts it. An older
  document is replaced, a tick beyond ``STREAM_MAXLEN`` dropped.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

from mm.errors import DataError
from mm.live.audit.log import AuditLog
from mm.live.state.follow import AuditFollower
from mm.live.state.tables import StateBackend, StoreUnavailable, Tick

if TYPE_CHECKING:
    from mm.live.state.redis import RedisState

POLL_S = 0.02
"""Polling interval for new data, in s."""
TICKS_AT_ONCE = 1_000
ROWS_AT_ONCE, PAUSE_S = 500, 0.002
"""Maximum audit rows per batch, and the pause after it, in s: the interpreter is shared with the trader's loop."""
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0

Reporter = Callable[..., object]
"""Logs an event with its numbers: a logger's ``warning``."""


class _Live:
    """Queue for the one store of live state, filled by the run and emptied by the store's thread."""

    def __init__(self, backend: "RedisState", symbol: str, maxlen: int) -> None:
        self.backend = backend
        self._stream = f"ticks:{symbol}"
        self._lock = threading.Lock()
        self._documents: dict[str, Callable[[], str]] = {}
        self._inbox: deque[tuple[int, Mapping[str, str]]] = deque(maxlen=maxlen)
        self._unsent: deque[Tick] = deque(maxlen=maxlen)
        self._last = (0, 0)

    def __len__(self) -> int:
        return len(self._documents) + len(self._inbox) + len(self._unsent)

    def put(self, key: str, text: Callable[[], str]) -> None:
        with self._lock:
            self._documents[key] = text

    def tick(self, us: int, fields: Mapping[str, str]) -> None:
        self._inbox.append((us, fields))

    def resume(self) -> None:
        self._last = max(self._last, self.backend.last_tick(self._stream))

    def send(self) -> bool:
        """Send several ticks at once; False if there was nothing. Refused data stays queued."""
        with self._lock:
            documents, self._documents = self._documents, {}
            inbox = [self._inbox.popleft() for _ in range(min(len(self._inbox), TICKS_AT_ONCE))]
        self._unsent.extend(self._ticks(inbox))
        ticks = [self._unsent[place] for place in range(min(len(self._unsent), TICKS_AT_ONCE))]
        if not documents and not ticks:
            return False
        try:
            self.backend.publish({key: text() for key, text in documents.items()}, ticks)
        except StoreUnavailable:
            with self._lock:
                self._documents = {**documents, **self._documents}
            raise
        for _ in ticks:
            self._unsent.popleft()
        return True

    def _ticks(self, inbox: Sequence[tuple[int, Mapping[str, str]]]) -> list[Tick]:
        found = []
        for us, fields in inbox:
            ms, number = self._last
            self._last = (us // 1_000, 0) if us // 1_000 > ms else (ms, number + 1)
            found.append(Tick(self._stream, f"{self._last[0]}-{self._last[1]}", fields))
        return found


def _takes_live(backend: StateBackend) -> "TypeGuard[RedisState]":
    return hasattr(backend, "publish")


class _Lane:
    def __init__(
        self,
        backend: StateBackend,
        audit: AuditLog | None,
        follower: AuditFollower | None,
        live: _Live | None,
        report: Reporter,
    ) -> None:
        self.backend, self.live, self.report = backend, live, report
        self._audit, self._follower = audit, follower
        self.current_at = time.monotonic()
        self.closing, self.given_up = threading.Event(), threading.Event()
        self.broken: DataError | None = None
        self._connected = False
        self._away_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"state {backend.place}", daemon=True)
        self._thread.start()

    @property
    def rows_missing(self) -> int:
        if self._audit is None or self._follower is None:
            return 0
        return max(0, self._audit.rows - self._follower.stored.get(self._audit.path.name, 0))

    @property
    def waiting(self) -> int:
        return self.rows_missing + (0 if self.live is None else len(self.live))

    def join(self, timeout_s: float) -> bool:
        self._thread.join(max(0.0, timeout_s))
        self.given_up.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait_s = _SHORTEST_WAIT_S
        while not self.given_up.is_set():
            closing = self.closing.is_set()  # before the work, which then includes all earlier data
            try:
                busy = self._work()
            except StoreUnavailable as error:
                self._connected = False
                if self._away_at is None:
                    self._away_at = time.monotonic()
                    self.report("state_store_away", store=self.backend.place, error=str(error))
                (self.given_up if closing else self.closing).wait(wait_s)
                wait_s = _SHORTEST_WAIT_S if closing else min(_LONGEST_WAIT_S, 2 * wait_s)
                continue
            wait_s = _SHORTEST_WAIT_S
            if self._away_at is not None:
                away_s, self._away_at = round(time.monotonic() - self._away_at, 3), None
                self.report("state_store_back", store=self.backend.place, away_s=away_s)
            if busy:
                time.sleep(PAUSE_S)
            else:
                self.current_at = time.monotonic()
                readable = self.broken is None and self._audit is not None and not self._audit.failure
                if closing and not (readable and self.rows_missing):
                    break
                (self.given_up if closing else self.closing).wait(POLL_S)
        self.backend.close()

    def _work(self) -> bool:
        if not self._connected:
            self.backend.connect()
            if self.live is not None:
                self.live.resume()
            self._connected = True
        sent = self.live is not None and self.live.send()
        return self._follow() or sent

    def _follow(self) -> bool:
        if self._follower is None or self.broken is not None:
            return False
        try:
            return self._follower.step(ROWS_AT_ONCE)
        except DataError as error:
            self.broken = error
            self.report("state_log_unreadable", store=self.backend.place, error=str(error))
            return False


class StateWriter:
    """Feeds the stores of one run; only `close` waits for a store.

    Args:
        audit: The run's log, whose folder also has the earlier ones; None for no log.
        report: Called with ``state_store_away``, ``state_store_back`` and ``state_log_unreadable``, once per change,
            from the threads of the stores.
    """

    def __init__(
        self,
        symbol: str,
        backends: Sequence[StateBackend],
        audit: AuditLog | None = None,
        *,
        stream_maxlen: int = 100_000,
        report: Reporter = lambda _event, **_numbers: None,
    ) -> None:
        self._symbol, self._has_log = symbol, audit is not None
        self._live = next((_Live(backend, symbol, stream_maxlen) for backend in backends if _takes_live(backend)), None)
        self._lanes = []
        for backend in backends:
            follower = None if audit is None else AuditFollower(audit.path.parent, symbol, backend)
            live = self._live if self._live is not None and self._live.backend is backend else None
            self._lanes.append(_Lane(backend, audit, follower, live, report))

    def book(
        self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], us: int, last_update_id: int
    ) -> None:
        """Put ``lob:<SYMBOL>``: best levels first, price and quantity as text; do not modify the sequences later."""
        self._put("lob", {"bids": bids, "asks": asks, "us": us, "last_update_id": last_update_id})

    def pnl(self, us: int, **parts: object) -> None:
        self._put("pnl", {"symbol": self._symbol, **parts, "us": us})

    def model(self, us: int, **state: object) -> None:
        self._put("model", {"symbol": self._symbol, **state, "us": us})

    def position(self, us: int, position: str, **more: object) -> None:
        if not self._has_log:
            self._put("position", {"symbol": self._symbol, "position": position, **more, "us": us})

    def tick(self, us: int, **fields: object) -> None:
        if self._live is not None:
            self._live.tick(us, {"us": str(us)} | {name: str(value) for name, value in fields.items()})

    @property
    def queue(self) -> int:
        """Documents, ticks, and rows of the run's log that the slowest store lacks."""
        return max((lane.waiting for lane in self._lanes), default=0)

    @property
    def lag_s(self) -> float:
        now = time.monotonic()
        return max((now - lane.current_at for lane in self._lanes if lane.waiting), default=0.0)

    def close(self, timeout_s: float = 5.0) -> bool:
        for lane in self._lanes:
            lane.closing.set()
        until = time.monotonic() + timeout_s
        ended = [lane.join(until - time.monotonic()) for lane in self._lanes]
        return all(ended) and not any(lane.broken for lane in self._lanes)

    def _put(self, name: str, document: Mapping[str, object]) -> None:
        if self._live is not None:
            self._live.put(f"{name}:{self._symbol}", lambda: json.dumps(document, separators=(",", ":"), default=str))
