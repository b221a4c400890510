"""``mm trade`` while Redis answers late or never, and PostgreSQL ends its connections and accepts no new ones.

Quoting continues, memory does not grow, and in the end every store has the rows of audit log and exchange, once.
"""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from trading_box import ended, page, venue
from trading_truth import assert_equal_books, booked

from mm.live.state.stores import SHOWN
from state_memory import plain_tables
from state_servers import free_port, numbers, postgres_database, postgres_tables, proxy, redis_server
from support import in_time

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
SYMBOL, TICKS = "SIMUSDT", 50
MOST_GROWTH_MB = 16
PAUSE_S = 8.0  # Redis counts as away after 5 s without an answer
psycopg = pytest.importorskip("psycopg", reason="the extra state is not installed")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Yield the exchange after two trades with failing stores, the servers, growth in MB with metrics, both ends."""
    folder = tmp_path_factory.mktemp("stores")
    with postgres_database() as database, redis_server(folder / "redis") as redis, venue(folder, *MARKET) as box:
        there = urlsplit(database)
        with proxy(redis.port) as slow, proxy(there.port or 5432) as cut:
            stores = {
                "STATE_URL": f"redis://127.0.0.1:{slow.port}/0",
                "LEDGER_URL": there._replace(netloc=there.netloc.replace(f":{there.port}", f":{cut.port}")).geturl(),
                "STREAM_MAXLEN": str(TICKS),
                "LATENCY_THRESHOLD_MS": "60000",
            }
            port = free_port()
            with box.trader(METRICS_PORT=str(port), **stores) as process:
                _traded(box, process, 3)
                before_mb = _resident_mb(process)
                slow.answers_s = 1.5
                _restart(database, cut)
                _traded(box, process, 12)
                slow.pause()
                paused_s = time.monotonic()
                _traded(box, process, 12)
                time.sleep(max(0.0, paused_s + PAUSE_S - time.monotonic()))  # until Redis counts as away
                cut.accepts = True
                growth_mb, shown = _resident_mb(process) - before_mb, page(port)
                first = ended(process)
            slow.answers_s = 0.0
            slow.resume()
            with box.trader(**stores) as process:
                _traded(box, process, 1)
                second = ended(process)
        yield box, (database, redis), (growth_mb, shown), (first, second)


def _traded(box, process, fills):
    """Wait until the exchange has so many more fills, and all are booked: quoting continues."""
    before = len(box.account()["trades"])
    box.until(lambda: len(box.account()["trades"]) >= before + fills, f"{fills} fills", process=process)
    box.until(lambda: len(booked(box)) >= before + fills, "their rows", process=process)


def _restart(database, cut):
    """End our connections as a restarting server does, and accept no new ones; waits until there is one to end."""
    ours = "FROM pg_stat_activity WHERE application_name = 'mm' AND datname = current_database()"
    with psycopg.connect(database, autocommit=True) as admin:
        for _ in range(100):
            if admin.execute(f"SELECT count(*) {ours}").fetchone()[0]:
                break
            time.sleep(0.1)
        cut.accepts = False
        count = admin.execute(f"SELECT count(pg_terminate_backend(pid)) {ours}").fetchone()
    assert count[0] == 1


def _resident_mb(process):
    """Return the memory of a process, MB."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
def test_trade_continues_and_ends_in_order_without_stores(troubled):
    box, _, _, ends = troubled
    for code, output, seconds in ends:
        assert code == 0, output
        assert in_time(seconds, 30)
    assert ends[0][1].count("state_store_away") >= 2
    assert_equal_books(box)


@pytest.mark.slow
def test_memory_growth_is_bounded_while_rows_wait(troubled):
    _, _, (growth_mb, shown), _ = troubled
    assert growth_mb < MOST_GROWTH_MB
    (queue,) = [float(line.split()[-1]) for line in shown if line.startswith("mm_state_writer_queue{")]
    assert queue > 0


@pytest.mark.slow
def test_postgres_tables_equal_audit_logs_and_rebuild(troubled):
    """The rebuild starts without tables; the fills are the exchange's own."""
    box, (database, _), _, _ = troubled
    expected = plain_tables(box.logs()[0].parent, SYMBOL)
    found = postgres_tables(database, SYMBOL)
    assert found == {table: numbers(expected[table]) for table in SHOWN}
    assert len(found["fills"]) == len(box.account()["trades"])
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"DROP TABLE {', '.join(SHOWN)}, cursors")
    done = box.run("state", "rebuild", LEDGER_URL=database)
    assert done.returncode == 0, done.stderr
    assert postgres_tables(database, SYMBOL) == found


@pytest.mark.slow
def test_redis_has_each_fill_once_and_limited_ticks(troubled):
    box, (_, redis), _, _ = troubled
    with redis.client() as client:
        ids = [int(entry["trade_id"]) for _, entry in client.xrange(f"fills:{SYMBOL}")]
        ticks = client.xlen(f"ticks:{SYMBOL}")
    theirs = [int(one["id"]) for one in box.account()["trades"]]
    assert sorted(ids) == sorted(set(ids))
    assert set(ids) == set(theirs[-TICKS:])
    assert 0 < ticks <= TICKS
