"""The live state in Redis (``STATE_URL``).

- ``lob:<SYMBOL>``, ``position:<SYMBOL>``, ``pnl:<SYMBOL>``, ``model:<SYMBOL>``: JSON, the latest
- ``orders:<ORDER_ID>``: a hash, the columns of the table ``orders``; gone `ORDER_KEPT_S` after the order ended
- ``ticks:<SYMBOL>``, ``fills:<SYMBOL>``: streams of at most ``STREAM_MAXLEN`` entries, for ordinary consumer groups
- ``cursor:<SYMBOL>``: a hash, rows stored of each audit log, changed in the transaction that stores them
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mm.live.audit_books import OPEN_STATUSES
from mm.live.state_tables import TABLES, StateBatch, StoreAway, Tick, place_of

ORDER_KEPT_S = 7 * 86_400
_CONNECT_S, _ANSWER_S = 3.0, 5.0
_STALE_ID = "equal or smaller"  # Redis's refusal of a stream id that it has: the tick was stored before


class RedisState:
    """A state store in a Redis database.

    Args:
        url: ``redis://host:port/database`` (or ``rediss://``).
        stream_maxlen: Entries that a stream keeps.
    """

    def __init__(self, url: str, stream_maxlen: int = 100_000) -> None:
        self._url, self._maxlen = url, stream_maxlen
        self.place = place_of(url)
        self._client: Any = None  # redis.Redis, whose answers are typed for its asynchronous twin, too

    def connect(self) -> None:
        """Connect, anew where it was connected."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.close()
        with self._mended():
            self._client = redis.Redis.from_url(
                self._url,
                decode_responses=True,
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
                retry=Retry(NoBackoff(), 0),  # a batch that is sent again is checked first
            )
            self._client.ping()

    def progress(self, symbol: str) -> dict[str, int]:
        """Return how many rows of each log of the symbol are stored."""
        with self._mended():
            found = self._connected().hgetall(f"cursor:{symbol}")
            return {file: int(rows) for file, rows in found.items()}

    def apply(self, batch: StateBatch) -> bool:
        """Store a batch whole or not at all; False where the store is not where it begins."""
        import redis

        cursor = f"cursor:{batch.symbol}"
        with self._mended(), self._connected().pipeline(transaction=True) as pipe:
            pipe.watch(cursor)
            if not batch.follows({file: int(rows) for file, rows in pipe.hgetall(cursor).items()}):
                return False
            pipe.multi()
            self._put(pipe, batch)
            pipe.hset(cursor, batch.file, str(batch.last))
            try:
                pipe.execute()
            except redis.WatchError:
                return False
        return True

    def forget(self, symbol: str) -> None:
        """Remove all that is stored of a symbol from the audit logs; live documents and ticks stay."""
        with self._mended():
            client = self._connected()
            for key in client.scan_iter("orders:*", count=1_000):
                if client.hget(key, "symbol") == symbol:
                    client.delete(key)
            client.delete(f"fills:{symbol}", f"position:{symbol}", f"cursor:{symbol}")

    def publish(self, documents: Mapping[str, str], ticks: Sequence[Tick]) -> None:
        """Store the latest documents by key, and ticks in their order; a tick that is stored already is left out."""
        streams: dict[str, None] = {}
        with self._mended():
            pipe = self._connected().pipeline(transaction=False)
            for key, text in documents.items():
                pipe.set(key, text)
            for tick in ticks:
                streams[tick.stream] = None
                pipe.execute_command("XADD", tick.stream, tick.id, *tick.fields)
            for stream in streams:
                pipe.xtrim(stream, maxlen=self._maxlen, approximate=False)
            answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and _STALE_ID not in str(answer):
                raise StoreAway(f"{self.place}: the state store refuses ({answer})")

    def last_tick(self, stream: str) -> tuple[int, int]:
        """Return the id of the last entry of a stream, ms and number; zeros where it is empty."""
        with self._mended():
            found = self._connected().xrevrange(stream, count=1)
        ms, _, number = found[0][0].partition("-") if found else ("0", "", "0")
        return int(ms), int(number)

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _put(self, pipe: Any, batch: StateBatch) -> None:
        """Queue what a batch stores."""
        changes, symbol = batch.changes, batch.symbol
        rows = batch.rows()
        for fill in rows.get("fills", []):
            pipe.xadd(f"fills:{symbol}", _texts("fills", fill))
        if changes.fills:
            pipe.xtrim(f"fills:{symbol}", maxlen=self._maxlen, approximate=False)
        for order in changes.orders.values():
            if order.order_id is not None:
                key = f"orders:{order.order_id}"
                pipe.hset(key, mapping=_texts("orders", order.row()))
                if order.status in OPEN_STATUSES:
                    pipe.persist(key)
                else:
                    pipe.expire(key, ORDER_KEPT_S)
        if changes.position:
            names = TABLES["positions"].columns
            document = dict(zip(names, changes.position, strict=True))
            document["fees"] = json.loads(document["fees"])
            pipe.set(f"position:{symbol}", json.dumps(document, separators=(",", ":")))

    def _connected(self) -> Any:
        if self._client is None:
            raise StoreAway(f"{self.place}: the state store is not connected")
        return self._client

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """Raise what the server refuses, or that it is away, as StoreAway."""
        import redis

        try:
            yield
        except (redis.RedisError, OSError) as error:
            text = " ".join(str(error).split())
            raise StoreAway(f"{self.place}: the state store cannot be used ({text})") from error


def _texts(table: str, row: Sequence[Any]) -> dict[str, str]:
    """Return a row as text by column; a missing value is empty."""
    return {name: "" if value is None else str(value) for name, value in zip(TABLES[table].columns, row, strict=True)}
