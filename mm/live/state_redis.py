"""The live state in Redis (``STATE_URL``).

- ``lob:<SYMBOL>``, ``position:<SYMBOL>``, ``pnl:<SYMBOL>``, ``model:<SYMBOL>``: JSON, the latest version
- ``orders:<ORDER_ID>``: a hash, the columns of the table ``orders``; expires `ORDER_KEPT_S` after the order ended
- ``ticks:<SYMBOL>``, ``fills:<SYMBOL>``: streams of at most ``STREAM_MAXLEN`` entries, for ordinary consumer groups
- ``cursor:<SYMBOL>``: a hash, stored rows of each audit log, updated in the transaction that stores them
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mm.live.audit_books import OPEN_STATUSES
from mm.live.state_tables import TABLES, StateBatch, StoreUnavailable, Tick, place_of

ORDER_KEPT_S = 7 * 86_400
_CONNECT_S, _ANSWER_S = 3.0, 5.0
_STALE_ID = "equal or smaller"  # Redis's error for an existing stream id: the tick was stored before


class RedisState:
    """A state store in a Redis database.

    Args:
        url: ``redis://host:port/database`` (or ``rediss://``).
        stream_maxlen: Maximum number of entries of a stream.
    """

    def __init__(self, url: str, stream_maxlen: int = 100_000) -> None:
        self._url, self._maxlen = url, stream_maxlen
        self.place = place_of(url)
        self._client: Any = None  # redis.Redis, whose return types include its asynchronous twin

    def connect(self) -> None:
        """Connect or reconnect."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.close()
        with self._reconnecting():
            self._client = redis.Redis.from_url(
                self._url,
                decode_responses=True,
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
                retry=Retry(NoBackoff(), 0),  # a batch is checked before it is sent again
            )
            self._client.ping()

    def progress(self, symbol: str) -> dict[str, int]:
        """Return the number of stored rows of each log of the symbol."""
        with self._reconnecting():
            found = self._connected().hgetall(f"cursor:{symbol}")
            return {file: int(rows) for file, rows in found.items()}

    def apply(self, batch: StateBatch) -> bool:
        """Store a batch completely or not at all; False if the store is not at the start of the batch."""
        import redis

        cursor = f"cursor:{batch.symbol}"
        with self._reconnecting(), self._connected().pipeline() as pipe:
            pipe.watch(cursor)
            if not batch.follows({file: int(rows) for file, rows in pipe.hgetall(cursor).items()}):
                return False
            pipe.multi()
            self._queue(pipe, batch)
            pipe.hset(cursor, batch.file, batch.last)
            try:
                pipe.execute()
            except redis.WatchError as error:
                if error.__context__ is not None:  # the connection was lost
                    raise
                return False  # another process has written meanwhile
        return True

    def forget(self, symbol: str) -> None:
        """Remove the stored data of a symbol that comes from the audit logs; live documents and ticks stay."""
        with self._reconnecting():
            client = self._connected()
            for key in client.scan_iter("orders:*", count=1_000):
                if client.hget(key, "symbol") == symbol:
                    client.delete(key)
            client.delete(f"fills:{symbol}", f"position:{symbol}", f"cursor:{symbol}")

    def publish(self, documents: Mapping[str, str], ticks: Sequence[Tick]) -> None:
        """Store the latest documents by key, and ticks in their order; ticks that are stored already are skipped."""
        with self._reconnecting(), self._connected().pipeline(transaction=False) as pipe:
            for key, text in documents.items():
                pipe.set(key, text)
            for tick in ticks:
                pipe.xadd(tick.stream, tick.fields, tick.id)
            for stream in {tick.stream for tick in ticks}:
                pipe.xtrim(stream, self._maxlen, approximate=False)
            answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and _STALE_ID not in str(answer):
                raise StoreUnavailable(f"{self.place}: the state store refuses ({answer})")

    def last_tick(self, stream: str) -> tuple[int, int]:
        """Return the id of the last entry of a stream, ms and number; zeros if it is empty."""
        with self._reconnecting():
            found = self._connected().xrevrange(stream, count=1)
        ms, _, number = found[0][0].partition("-") if found else ("0", "", "0")
        return int(ms), int(number)

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _queue(self, pipe: Any, batch: StateBatch) -> None:
        """Queue the commands that store a batch."""
        changes, stream = batch.changes, f"fills:{batch.symbol}"
        for row in batch.rows().get("fills", []):
            pipe.xadd(stream, _texts("fills", row))
        if changes.fills:
            pipe.xtrim(stream, self._maxlen, approximate=False)
        for order in changes.orders.values():
            if order.order_id is not None:
                key = f"orders:{order.order_id}"
                pipe.hset(key, mapping=_texts("orders", order.row()))
                if order.status in OPEN_STATUSES:
                    pipe.persist(key)
                else:
                    pipe.expire(key, ORDER_KEPT_S)
        if changes.position:
            document = dict(zip(TABLES["positions"].columns, changes.position, strict=True))
            document["fees"] = json.loads(document["fees"])
            pipe.set(f"position:{batch.symbol}", json.dumps(document, separators=(",", ":")))

    def _connected(self) -> Any:
        if self._client is None:
            raise StoreUnavailable(f"{self.place}: the state store is not connected")
        return self._client

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        """Convert refusals of the server, and its absence, to StoreUnavailable."""
        import redis

        try:
            yield
        except (redis.RedisError, OSError) as error:
            text = " ".join(str(error).split())
            raise StoreUnavailable(f"{self.place}: the state store cannot be used ({text})") from error


def _texts(table: str, row: Sequence[Any]) -> dict[str, str]:
    """Return a row as texts by column; a missing value is empty."""
    pairs = zip(TABLES[table].columns, row, strict=True)
    return {name: "" if value is None else str(value) for name, value in pairs}
