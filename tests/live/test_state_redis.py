"""The live state in a real Redis: keys, streams, transactions, and a full server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_story import many_orders, played_logs
from mm.live.audit.books import Changes
from mm.live.state.follow import AuditFollower, bring_up
from mm.live.state.redis import ORDER_KEPT_S, RedisState
from mm.live.state.tables import TABLES, StateBatch, StoreUnavailable, Tick
from state_memory import plain_tables
from state_servers import RedisServer, redis_server

SYMBOL = "BTCUSDT"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.client() as found:
        found.flushall()
        found.config_set("maxmemory", 0)
        yield found


@pytest.fixture
def store(server: RedisServer, client: Any) -> Iterator[RedisState]:
    found = RedisState(server.url, 50)
    found.connect()
    yield found
    found.close()


def texts(table: str, row: tuple[Any, ...]) -> dict[str, str]:
    return {name: "" if v is None else str(v) for name, v in zip(TABLES[table].columns, row, strict=True)}


def test_redis_orders_fills_and_position_equal_the_logs(tmp_path: Path, client: Any, store: RedisState) -> None:
    """An order by the exchange's number, the latest fills in a stream, the position as JSON."""
    played_logs(tmp_path, many_orders(60), 3)
    folder = tmp_path / "audit" / SYMBOL
    bring_up(store, folder, SYMBOL)
    expected = plain_tables(folder, SYMBOL)
    for row in expected["orders"]:
        if row[1] is not None:
            key = f"orders:{row[1]}"
            assert client.hgetall(key) == texts("orders", row)
            is_open = row[7] in ("NEW", "PARTIALLY_FILLED")
            assert client.ttl(key) == -1 if is_open else 0 < client.ttl(key) <= ORDER_KEPT_S
    assert len(client.keys("orders:*")) == sum(row[1] is not None for row in expected["orders"])
    entries = [fields for _, fields in client.xrange(f"fills:{SYMBOL}")]
    assert len(expected["fills"]) > 50
    assert entries == [texts("fills", row) for row in expected["fills"]][-50:]
    position = json.loads(client.get(f"position:{SYMBOL}"))
    assert position | {"fees": 0} == dict(zip(TABLES["positions"].columns, expected["positions"][0], strict=True)) | {
        "fees": 0
    }
    assert set(position["fees"]) == {"BTC", "USDT", "BNB"}
    store.forget(SYMBOL)
    assert client.keys("*") == []


def test_redis_stores_each_batch_once(tmp_path: Path, client: Any, store: RedisState) -> None:
    """A repeated batch adds nothing to the stream."""
    played_logs(tmp_path, many_orders(9), 1)
    follower = AuditFollower(tmp_path / "audit" / SYMBOL, SYMBOL, store)
    while follower.step(5):
        pass
    count = client.xlen(f"fills:{SYMBOL}")
    assert count > 3
    assert not store.apply(StateBatch(SYMBOL, "a", 0, 5, 0, Changes()))
    follower = AuditFollower(tmp_path / "audit" / SYMBOL, SYMBOL, store)
    while follower.step(5):
        pass
    assert client.xlen(f"fills:{SYMBOL}") == count


def test_ticks_sent_twice_are_stored_once(client: Any, store: RedisState) -> None:
    """The stream keeps its maximum length; a consumer group reads it like any other."""
    stream = f"ticks:{SYMBOL}"
    ticks = [Tick(stream, f"{1_000 + n // 3}-{n % 3}", {"us": str(n), "bid": "1.5"}) for n in range(60)]
    client.xgroup_create(stream, "readers", id="0", mkstream=True)
    store.publish({f"lob:{SYMBOL}": '{"bids":[]}'}, ticks[:40])
    store.publish({}, ticks[30:])
    assert client.xlen(stream) == 50
    assert store.last_tick(stream) == (1_019, 2)
    assert client.get(f"lob:{SYMBOL}") == '{"bids":[]}'
    read = client.xreadgroup("readers", "me", {stream: ">"}, count=100)
    assert [fields["us"] for _, fields in read[0][1]] == [str(n) for n in range(10, 60)]
    assert store.last_tick("ticks:OTHER") == (0, 0)


def test_full_server_raises_store_away_and_stores_later(tmp_path: Path, client: Any, store: RedisState) -> None:
    """A batch is stored completely or not at all."""
    played_logs(tmp_path, many_orders(30), 1)
    folder = tmp_path / "audit" / SYMBOL
    follower = AuditFollower(folder, SYMBOL, store)
    follower.step(20)
    before = sorted(client.keys("*")), client.xlen(f"fills:{SYMBOL}")
    client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match=r"OOM|maxmemory"):
        follower.step(20)
    with pytest.raises(StoreUnavailable, match=r"OOM|maxmemory"):
        store.publish({"lob:A": "{}"}, [])
    assert (sorted(client.keys("*")), client.xlen(f"fills:{SYMBOL}")) == before
    client.config_set("maxmemory", 0)
    while follower.step(20):
        pass
    ids = [fields["trade_id"] for _, fields in client.xrange(f"fills:{SYMBOL}")]
    assert ids == [str(row[0]) for row in plain_tables(folder, SYMBOL)["fills"]][-50:]


def test_unreachable_server_error_contains_no_password() -> None:
    """The message has the address."""
    store = RedisState("redis://:secret@127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1:1/0: .*cannot be used") as caught:
        store.connect()
    assert "secret" not in str(caught.value)
    store.close()
    with pytest.raises(StoreUnavailable, match="not connected"):
        store.progress(SYMBOL)
