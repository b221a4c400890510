"""The state writer with stores that are away, slow, full or restarted: the run never waits, nothing is lost."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from audit_logs import open_log
from audit_story import BTC, many_orders, played_logs, written
from mm.base.knobs import knobs
from mm.cli.frame import as_json
from mm.errors import UsageError
from mm.live.audit.log import AuditLog
from mm.live.state import writer as state
from mm.live.state.follow import bring_up
from mm.live.state.postgres import PostgresState
from mm.live.state.redis import RedisState
from mm.live.state.sqlite import SqliteState
from mm.live.state.stores import SHOWN, StateStores, state_writer
from mm.live.state.tables import StoreUnavailable
from mm.live.state.writer import StateWriter
from state_memory import MemoryLive, MemoryState, plain_tables
from state_servers import RedisServer, postgres_database, proxy, redis_server, until
from support import ROOT

SYMBOL = "BTCUSDT"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry a server at once."""
    monkeypatch.setattr(state, "_LONGEST_WAIT_S", 0.2)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    """The log of a run, with its start row."""
    found = open_log(tmp_path, SYMBOL, "now", "20260106")
    found.start(BTC, "now", venue="box")
    yield found
    found.close()


class Noted:
    """Keeps reported events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, event: str, **numbers: Any) -> None:
        self.events.append(event)


def test_closed_writer_has_stored_all_tables(tmp_path: Path) -> None:
    """Earlier logs are stored as well, and closing waits for the last row."""
    played_logs(tmp_path, many_orders(40), 2)
    log = open_log(tmp_path, SYMBOL, "now", "20260106")
    store = MemoryState()
    writer = StateWriter(SYMBOL, [store], log)
    log.start(BTC, "now", venue="box")
    written(log, many_orders(50), 0)
    log.append("stop")
    assert writer.close(10)
    log.close()
    tables = plain_tables(tmp_path / "audit" / SYMBOL, SYMBOL)
    assert {name: sorted(rows, key=str) for name, rows in store.tables().items()} == {
        name: sorted(rows, key=str) for name, rows in tables.items()
    }
    assert (writer.queue, writer.lag_s) == (0, 0.0)


def test_closed_writer_has_stored_rows_that_the_disk_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's own thread writes them after the last append: closing waits for it, but not after an error."""
    log = open_log(tmp_path, SYMBOL, "now", "20260106")
    log.start(BTC, "now", venue="box")
    store = MemoryState()
    writer = StateWriter(SYMBOL, [store], log)
    until(lambda: writer.queue == 0, "the first row is stored")
    release, write = threading.Event(), os.pwrite

    def slow(file: int, data: bytes, offset: int) -> int:
        release.wait(60)
        return write(file, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    written(log, many_orders(20))
    threading.Timer(0.3, release.set).start()
    assert writer.close(20)
    assert store.progress(SYMBOL) == {log.path.name: log.rows}

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    writer = StateWriter(SYMBOL, [store], log)
    written(log, many_orders(1))
    until(lambda: log.failure is not None, "the disk is full")
    at = time.monotonic()
    assert writer.close(20)
    assert time.monotonic() - at < 5
    monkeypatch.setattr(os, "pwrite", write)
    log.close()


def test_only_the_latest_document_is_sent(log: AuditLog) -> None:
    """Documents in between are not sent; a store that was away gets the last of them."""
    store, noted = MemoryLive(), Noted()
    store.away = True
    writer = StateWriter(SYMBOL, [store], log, report=noted)
    for number in range(500):
        writer.book([("100.01", str(number))], [("100.02", "1")], number, number)
        writer.pnl(number, total=str(number), realized="0")
        writer.model(number, sigma=0.5)
        writer.position(number, "7")  # comes from the log
    until(lambda: noted.events == ["state_store_away"], "the outage was reported")
    assert writer.queue == 3 + 1
    until(lambda: writer.lag_s > 0.05, "the lag grows")
    store.away = False
    assert writer.close(10)
    assert noted.events == ["state_store_away", "state_store_back"]
    sent = {key: text for documents, _ in store.published for key, text in documents.items()}
    assert json.loads(sent[f"lob:{SYMBOL}"]) == {
        "bids": [["100.01", "499"]],
        "asks": [["100.02", "1"]],
        "us": 499,
        "last_update_id": 499,
    }
    assert json.loads(sent[f"pnl:{SYMBOL}"]) == {"symbol": SYMBOL, "total": "499", "realized": "0", "us": 499}
    assert json.loads(sent[f"model:{SYMBOL}"]) == {"symbol": SYMBOL, "sigma": 0.5, "us": 499}
    assert set(sent) == {f"lob:{SYMBOL}", f"pnl:{SYMBOL}", f"model:{SYMBOL}"}


def test_run_without_log_publishes_given_position() -> None:
    """A shadow run has no fills of an account."""
    store = MemoryLive()
    writer = StateWriter(SYMBOL, [store])
    writer.position(5, "1.5", cash="-10")
    assert writer.close(10)
    position = json.loads(store.published[-1][0][f"position:{SYMBOL}"])
    assert position == {"symbol": SYMBOL, "position": "1.5", "cash": "-10", "us": 5}


def test_live_state_is_dropped_without_a_live_store(log: AuditLog) -> None:
    """No document waits without a reader."""
    writer = StateWriter(SYMBOL, [MemoryState()], log)
    writer.book([], [], 1, 1)
    writer.tick(1, bid="1")
    assert writer.close(10)
    assert writer.queue == 0


def test_waiting_ticks_are_limited_to_stream_length(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped; ids increase even if the clock does not, and start after the last one in the stream."""
    store = MemoryLive()
    store.away, store.last = True, (7, 5)
    writer = StateWriter(SYMBOL, [store], log, stream_maxlen=300)
    until(lambda: store.connects, "the store was tried")
    for number in range(1_000):
        writer.tick(5_000 + number // 2 * 1_000, bid=number)
    assert writer.queue <= 301
    store.away = False
    assert writer.close(10)
    ticks = [tick for _, sent in store.published for tick in sent]
    assert [tick.fields for tick in ticks] == [
        {"us": str(5_000 + n // 2 * 1_000), "bid": str(n)} for n in range(700, 1_000)
    ]
    ids = [tuple(map(int, tick.id.split("-"))) for tick in ticks]
    assert ids == sorted(set(ids))
    assert ids[0] > (7, 5)


def test_unreadable_log_is_reported_once(tmp_path: Path, log: AuditLog) -> None:
    """The live state continues; rows that cannot be stored wait."""
    noted, store = Noted(), MemoryLive()
    (log.path.parent / "20260101_broken.ndjson").write_text("hello\n")
    writer = StateWriter(SYMBOL, [store], log, report=noted)
    until(lambda: noted.events == ["state_log_unreadable"], "the log was reported")
    writer.pnl(1, total="1")
    until(lambda: store.published, "the live state is sent")
    assert writer.queue == 1
    assert not writer.close(10)
    assert noted.events == ["state_log_unreadable"]


def test_close_respects_its_timeout(log: AuditLog) -> None:
    """A store that hangs is left behind with its thread."""
    release = threading.Event()

    class Hanging(MemoryState):
        def apply(self, batch: Any) -> bool:
            release.wait()
            return super().apply(batch)

    writer = StateWriter(SYMBOL, [Hanging(), MemoryState()], log)
    begun = time.monotonic()
    assert not writer.close(0.3)
    assert time.monotonic() - begun < 20
    release.set()


def test_close_waits_for_store_that_comes_back(log: AuditLog) -> None:
    """Up to its timeout; after that the next run continues."""
    store = MemoryLive()
    store.away = True
    writer = StateWriter(SYMBOL, [store], log)
    threading.Timer(0.3, lambda: setattr(store, "away", False)).start()
    assert writer.close(10)
    assert len(store.tables()["positions"]) == 1


def test_knobs_choose_the_stores(tmp_path: Path, log: AuditLog) -> None:
    """A file without a server, and servers by their URLs."""
    places = [one.place for one in StateStores().backends(tmp_path)]
    assert places == [str(tmp_path / "state.sqlite")]
    stores = StateStores(state_url="redis://:pw@h:1/2", ledger_url="postgresql://u:pw@h/d")
    assert [one.place for one in stores.backends(tmp_path)] == ["postgresql://h/d", "redis://h:1/2"]
    writer = state_writer(StateStores(), tmp_path, SYMBOL, log, Noted())
    assert writer.close(10)
    assert (tmp_path / "state.sqlite").is_file()


@pytest.mark.parametrize(
    ("name", "text"), [("state_url", "http://h"), ("ledger_url", "sqlite:///a"), ("stream_maxlen", "0")]
)
def test_invalid_knob_raises_usage_error(name: str, text: str) -> None:
    """The error names the knob."""
    one = next(knob for knob in knobs(StateStores) if knob.name == name)
    with pytest.raises(UsageError, match=name):
        one.read(text)


@dataclass
class Rig:
    """A server behind a proxy, and direct access to it."""

    backend: Callable[[], Any]
    direct: Callable[[], Any]
    proxy: Any
    server: RedisServer | None = None

    def fills(self) -> list[int]:
        """Return the trade ids that are stored, in their order."""
        found = self.direct()
        found.connect()
        try:
            if isinstance(found, RedisState):
                entries = found._connected().xrange(f"fills:{SYMBOL}")
                return [int(fields["trade_id"]) for _, fields in entries]
            return [row["trade_id"] for row in found.read("fills", SYMBOL)]
        finally:
            found.close()


@contextmanager
def rig_of(kind: str, folder: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        if kind == "redis":
            server = stack.enter_context(redis_server(folder))
            between = stack.enter_context(proxy(server.port))
            url = f"redis://127.0.0.1:{between.port}/0"
            yield Rig(lambda: RedisState(url), lambda: RedisState(server.url), between, server)
        else:
            url = stack.enter_context(postgres_database())
            port = urlsplit(url).port or 5432
            between = stack.enter_context(proxy(port))
            through = url.replace(f":{port}/", f":{between.port}/")
            yield Rig(lambda: PostgresState(through), lambda: PostgresState(url), between)


def trades_of(tmp_path: Path) -> list[int]:
    return [row[0] for row in plain_tables(tmp_path / "audit" / SYMBOL, SYMBOL)["fills"]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_tables_are_complete_after_every_server_failure(tmp_path: Path, kind: str, log: AuditLog) -> None:
    """Connection cut, paused or refused, answers lost: the run never waits, each fill is stored once, in order."""
    story, noted = many_orders(900), Noted()
    with rig_of(kind, tmp_path / "server") as rig:
        writer = StateWriter(SYMBOL, [SqliteState(tmp_path / "state.sqlite"), rig.backend()], log, report=noted)
        rows = iter(range(len(story.rows)))
        slowest_s = 0.0

        def more(share: int) -> None:
            """Append a part of the story, as a run does, and measure how long its calls take."""
            nonlocal slowest_s
            for row in islice(rows, len(story.rows) // share):
                begun = time.perf_counter()
                written(log, story, row, row + 1)
                writer.pnl(row, total=str(row))
                writer.tick(row, bid="1")
                slowest_s = max(slowest_s, time.perf_counter() - begun)

        def outages() -> int:
            return noted.events.count("state_store_away")

        def current() -> bool:
            return writer.queue == 0

        more(8)
        until(current, "the first rows are stored")
        rig.proxy.cut()
        more(8)
        until(current, "the rows after the cut are stored")  # Redis's client connects again by itself
        for _ in range(3):
            before = outages()
            rig.proxy.cut_before_answers()
            more(16)
            until(lambda before=before: outages() > before and current(), "rows whose answer was lost are stored")
        rig.proxy.pause()
        more(8)
        until(lambda: writer.queue > 0 and writer.lag_s > 0.3, "rows wait for the paused server")
        rig.proxy.resume()
        until(current, "the rows of the pause are stored")
        before = outages()
        rig.proxy.accepts = False
        rig.proxy.cut()
        more(8)
        until(lambda: outages() > before, "the refusing server was noticed")
        rig.proxy.accepts = True
        more(1)
        rig.proxy.cut_before_answers(2)
        assert writer.close(20)
        assert slowest_s < 1.0
        assert outages() == noted.events.count("state_store_back")
        assert sorted(rig.fills()) == sorted(trades_of(tmp_path))
        assert len(rig.fills()) == len(set(rig.fills())) == len({fill.trade_id for fill in story.fills})
        if kind == "redis":
            assert rig.fills() == trades_of(tmp_path)
        else:
            rebuilt = SqliteState(tmp_path / "rebuilt.sqlite")
            rebuilt.connect()
            bring_up(rebuilt, tmp_path / "audit" / SYMBOL, SYMBOL)
            live = SqliteState(tmp_path / "state.sqlite")
            live.connect()
            for table in SHOWN:
                assert rebuilt.read(table, SYMBOL) == live.read(table, SYMBOL)
            rebuilt.close()
            live.close()


def test_restarted_redis_is_brought_up_to_date(tmp_path: Path, log: AuditLog) -> None:
    """With its data, and once more with none: the logs bring it up to date in both cases."""
    story = many_orders(300)
    half = len(story.rows) // 3
    with redis_server(tmp_path / "server") as server:
        writer = StateWriter(SYMBOL, [RedisState(server.url)], log)
        written(log, story, 0, half)
        until(lambda: writer.queue == 0, "the first rows are stored")
        server.kill()
        written(log, story, half, 2 * half)
        server.start()
        until(lambda: writer.queue == 0, "the rows of the outage are stored")
        with server.client() as client:
            client.flushall()
        written(log, story, 2 * half)
        assert writer.close(20)
        with server.client() as client:
            found = [int(fields["trade_id"]) for _, fields in client.xrange(f"fills:{SYMBOL}")]
        assert found == trades_of(tmp_path)


RUN = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from audit_logs import open_log
from audit_story import BTC, many_orders, written
from mm.live.state.writer import StateWriter
from mm.live.state.sqlite import SqliteState

out, run = Path(sys.argv[3]), sys.argv[4]
log = open_log(out, BTC.symbol, run)
log.start(BTC, run, knobs={"run": run})
writer = StateWriter(BTC.symbol, [SqliteState(out / "state.sqlite")], log)
story = many_orders(3_000)
for row in range(int(sys.argv[5]), len(story.rows)):
    written(log, story, row, row + 1)
    print(row, flush=True)
"""


@pytest.mark.slow
def test_next_run_completes_tables_of_killed_runs(tmp_path: Path) -> None:
    """SIGKILL at any row, five times: the file equals one that is built from the logs at once."""
    row = 0
    for number, after in enumerate((1, 40, 300, 7, 900)):
        command = [sys.executable, "-c", RUN, str(ROOT), str(ROOT / "tests"), str(tmp_path), f"r{number}", str(row)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(after):
                row = int(process.stdout.readline())
            process.kill()
            row = max([row, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    log = open_log(tmp_path, SYMBOL, "last")
    log.start(BTC, "last")
    writer = StateWriter(SYMBOL, [SqliteState(tmp_path / "state.sqlite")], log)
    assert writer.close(30)
    log.close()
    rebuilt, live = SqliteState(tmp_path / "rebuilt.sqlite"), SqliteState(tmp_path / "state.sqlite")
    rebuilt.connect()
    live.connect()
    bring_up(rebuilt, tmp_path / "audit" / SYMBOL, SYMBOL)
    assert len(live.read("fills", SYMBOL)) > 100  # how many of its rows a run has written is chance
    for table in SHOWN:
        assert rebuilt.read(table, SYMBOL) == live.read(table, SYMBOL)
    rebuilt.close()
    live.close()


def test_unreachable_server_does_not_affect_the_file(tmp_path: Path, log: AuditLog) -> None:
    """The file beside it is complete, and closing respects its timeout."""
    noted = Noted()
    away = PostgresState("postgresql://root@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        away.connect()
    writer = StateWriter(SYMBOL, [SqliteState(tmp_path / "state.sqlite"), away], log, report=noted)
    written(log, many_orders(50))
    assert not writer.close(1)
    assert noted.events == ["state_store_away"]
    store = SqliteState(tmp_path / "state.sqlite")
    store.connect()
    assert [row["trade_id"] for row in store.read("fills", SYMBOL)]
    assert len(store.read("fills", SYMBOL)) == len(trades_of(tmp_path))
    store.close()


def test_url_is_shown_without_password() -> None:
    """In manifests and in everything derived from them; the connection uses the complete URL."""
    one = next(knob for knob in knobs(StateStores) if knob.name == "ledger_url")
    url = one.read("postgresql://me:secret@host:5/mm")
    assert url == "postgresql://me:secret@host:5/mm"
    assert as_json(url) == "postgresql://host:5/mm"
    with pytest.raises(UsageError, match="such as postgresql://"):
        one.read("postgresql://host:port/mm")
