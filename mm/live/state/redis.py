"""The live state in Redis (``STATE_URL``); docs/trading.md lists its keys.

``cursor:<SYMBOL>`` counts the stored rows of each audit log in the transaction that stores them. An order's hash
expires `ORDER_KEPT_S` after its end, streams hold at most ``STREAM_MAXLEN`` entries.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from mm.live.audit.books import OPEN_STATUSES
from mm.live.state.tables import TABLES, StateBatch, StoreUnavailable, Tick, place_of

ORDER_KEPT_S = 7 * 86_400
_CONNECT_S, _ANSWER_S = 3.0, 5.0
_STALE_ID = "equal or smaller"  # Redis's error for an existing stream id: the tick was stored before


class RedisState:
    """*url* is ``redis://host:port/database`` (or ``rediss://``)."""

    def __init__(self, url: str, stream_maxlen: int = 100_000) -> None:
        self._url, self._maxlen = url, stream_maxlen
        self.place = place_of(url)
        self._client: Any = None  # redis.Redis, whose return types include its asynchronous twin

    def connect(self) -> None:
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
        with self._reconnecting():
            found = self._connected().hgetall(f"cursor:{symbol}")
            return {file: int(rows) for file, rows in found.items()}

    def apply(self, batch: StateBatch) -> bool:
        cursor = f"cursor:{batch.symbol}"
        with self._reconnecting(), self._connection() as send:
            _, stored = send([_packed("WATCH", cursor), _packed("HGETALL", cursor)])
            pairs = stored.items() if isinstance(stored, dict) else zip(stored[::2], stored[1::2], strict=True)
            if not batch.follows({file: int(rows) for file, rows in pairs}):
                send([_packed("UNWATCH")])
                return False
            advance = _packed("HSET", cursor, batch.file, str(batch.last))
            answers = send([_packed("MULTI"), *self._changes(batch), advance, _packed("EXEC")])
        refused = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if refused is not None:
            raise StoreUnavailable(f"{self.place}: the state store refuses ({refused})")
        return answers[-1] is not None  # None: another process has written since WATCH

    def forget(self, symbol: str) -> None:
        with self._reconnecting():
            client = self._connected()
            for key in client.scan_iter("orders:*", count=1_000):
                if client.hget(key, "symbol") == symbol:
                    client.delete(key)
            client.delete(f"fills:{symbol}", f"position:{symbol}", f"cursor:{symbol}")

    def publish(self, documents: Mapping[str, str], ticks: Sequence[Tick]) -> None:
        """Store the latest documents by key, and those ticks, in order, that are not stored yet."""
        commands = [_packed("SET", key, text) for key, text in documents.items()]
        commands += [_packed("XADD", tick.stream, tick.id, *chain(*tick.fields.items())) for tick in ticks]
        for stream in {tick.stream for tick in ticks}:
            commands.append(_packed("XTRIM", stream, "MAXLEN", str(self._maxlen)))
        with self._reconnecting(), self._connection() as send:
            answers = send(commands)
        for answer in answers:
            if isinstance(answer, Exception) and _STALE_ID not in str(answer):
                raise StoreUnavailable(f"{self.place}: the state store refuses ({answer})")

    def last_tick(self, stream: str) -> tuple[int, int]:
        """Return the last entry's id, ms and number; zeros if the stream is empty."""
        with self._reconnecting():
            found = self._connected().xrevrange(stream, count=1)
        ms, _, number = found[0][0].partition("-") if found else ("0", "", "0")
        return int(ms), int(number)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextmanager
    def _connection(self) -> Iterator[Callable[[list[bytes]], list[Any]]]:
        """Yield a function that sends commands and returns their replies, errors included."""
        import redis

        pool = self._connected().connection_pool
        connection = pool.get_connection()

        def send(commands: list[bytes]) -> list[Any]:
            connection.send_packed_command([b"".join(commands)])
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except redis.ResponseError as error:
                    answers.append(error)
            return answers

        try:
            yield send
        except BaseException:
            connection.disconnect()  # unread replies must not be mistaken for replies to later commands
            raise
        finally:
            pool.release(connection)

    def _changes(self, batch: StateBatch) -> list[bytes]:
        changes, stream = batch.changes, f"fills:{batch.symbol}"
        found = [_packed("XADD", stream, "*", *_texts("fills", row)) for row in batch.rows().get("fills", [])]
        if found:
            found.append(_packed("XTRIM", stream, "MAXLEN", str(self._maxlen)))
        for order in changes.orders.values():
            if order.order_id is not None:
                key = f"orders:{order.order_id}"
                found.append(_packed("HSET", key, *_texts("orders", order.row())))
                kept = ("PERSIST", key) if order.status in OPEN_STATUSES else ("EXPIRE", key, str(ORDER_KEPT_S))
                found.append(_packed(*kept))
        if changes.position:
            names = TABLES["positions"].columns
            document = dict(zip(names, changes.position, strict=True))
            document["fees"] = json.loads(document["fees"])
            found.append(_packed("SET", f"position:{batch.symbol}", json.dumps(document, separators=(",", ":"))))
        return found

    def _connected(self) -> Any:
        if self._client is None:
            raise StoreUnavailable(f"{self.place}: the state store is not connected")
        return self._client

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        import redis

        try:
            yield
        except (redis.RedisError, OSError) as error:
            text = " ".join(str(error).split())
            raise StoreUnavailable(f"{self.place}: the state store cannot be used ({text})") from error


def _packed(*words: str) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _texts(table: str, row: Sequence[Any]) -> list[str]:
    pairs = zip(TABLES[table].columns, row, strict=True)
    return [text for name, value in pairs for text in (name, "" if value is None else str(value))]
