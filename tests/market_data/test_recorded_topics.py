"""Recordings of streams with snapshots in them: through disconnects, lost and doubled frames, restarts and refusals."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from boxed import Silent
from bybit_frames import SYMBOL, BybitMarket, OwnReplay
from day_files import defects_of
from mm.base.common_knobs import Name
from mm.cli.recorders import of_market, parts_of
from mm.cli.task_knobs import Recorder
from mm.ids import IdRanges
from mm.market_data import market_events as events
from mm.market_data import snapshot
from mm.market_data.live_session import LiveSession
from mm.market_data.market_state import MarketState
from mm.market_data.rate_budget import RateBudget
from mm.market_data.recording import Recording, SymbolRefused
from mm.market_data.snapshot import RestClient
from mm.markets.bybit import LINEAR
from mm.markets.bybit_stream import BYBIT_LINEAR
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot, DepthUpdate
from mm.play.knobs import Source
from mm.sim.wire.box import Box
from mm.sim.wire.bybit.market import BybitMarket as ServedMarket

STEP_US = 100_000
BEGIN_US = 1_786_000_000_000_000


class Merged:
    """A market state fed by connections, and what it passed on."""

    def __init__(self):
        self.events = []
        grid = Grid(derives_steps=False)
        self.state = MarketState(
            grid, (self.events.append,), top_n=5, rule=LINEAR.rule, trade_numbers=LINEAR.trade_numbers
        )
        self.decoder = BYBIT_LINEAR.decoder(SYMBOL, grid)
        self.us = BEGIN_US

    def take(self, conn, text):
        """Take a frame of the book."""
        message = self.decoder.received(text)
        now_s = self.us / 1e6
        if isinstance(message, DepthSnapshot):
            self.state.stream_snapshot(self.us, message, conn, now_s)
        elif isinstance(message, DepthUpdate):
            self.state.take(self.us, message, conn, now_s)

    def book(self):
        """Return both sides as decimals, or None."""
        if self.state.book_id is None:
            return None
        bids, asks = self.state.book.book.levels()
        sides = {1: bids, -1: asks}
        return {side: [(Decimal(text), Decimal(lots)) for text, lots in levels] for side, levels in sides.items()}

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


class Connection:
    """A client's connection, which loses, doubles or delays frames by chance."""

    def __init__(self, conn, draw, lossy):
        self.conn, self.draw, self.lossy = conn, draw, lossy
        self.waiting = []

    def send(self, text):
        if self.lossy and self.draw.random() < 0.03:
            return
        self.waiting.append(text)
        if self.lossy and self.draw.random() < 0.03:
            self.waiting.append(text)

    def arrived(self):
        count = self.draw.randrange(len(self.waiting) + 1)
        gone, self.waiting = self.waiting[:count], self.waiting[count:]
        return gone


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("seed", range(50))
def test_no_book_is_silently_wrong(seed, pair):
    """A hundred streams with losses, doubles, reconnects, restarts and snapshots: each book is the exchange's.

    Restarts are three seconds apart: connections that lag over two of them have equal ids for different books.
    """
    draw, market, merged = random.Random(seed), BybitMarket(seed), Merged()
    truth, numbers = {market.u: [market.book()]}, 0
    open_now = []

    def opened():
        nonlocal numbers
        numbers += 1
        fresh = Connection(numbers, draw, lossy=True)
        merged.state.opened(fresh.conn)
        fresh.waiting.append(market.snapshot())
        open_now.append(fresh)

    for _ in range(1 + pair):
        opened()
    since = 0
    for _ in range(400):
        merged.us += STEP_US
        since += 1
        chance = draw.random()
        if chance < 0.02 and since > 30:
            since = 0
            market.delta()
            text = market.restart()
        elif chance < 0.03:
            market.delta()
            text = market.snapshot()
        else:
            text = market.delta()
        truth.setdefault(market.u, []).append(market.book())
        for one in open_now:
            one.send(text)
        if draw.random() < 0.02:
            gone = open_now.pop(draw.randrange(len(open_now)))
            merged.state.closed(gone.conn, merged.us)
            if not open_now:
                merged.state.all_closed()
            opened()
        for one in open_now:
            for text in one.arrived():
                merged.take(one.conn, text)
                book = merged.book()
                assert book is None or book in truth[merged.state.book_id]
        if merged.state.needs_snapshot and draw.random() < 0.5:
            for one in open_now:
                one.waiting.append(market.snapshot())
        merged.state.let_through(merged.us / 1e6, merged.us)
    assert len(merged.of(events.EpochOpened)) >= 1
    assert not [one for one in merged.of(events.Anomaly) if one.kind == "crossed"]


@pytest.mark.parametrize("seed", range(20))
def test_second_connection_makes_up_for_the_first(seed):
    """While one of two works, its snapshot opens no epoch, and no change that either got is lost."""
    draw, market, merged = random.Random(seed), BybitMarket(seed), Merged()
    replay, got = OwnReplay(), set()
    open_now = {}

    def opened(conn):
        open_now[conn] = Connection(conn, draw, lossy=False)
        merged.state.opened(conn)
        open_now[conn].waiting.append(market.snapshot())

    opened(1)
    replay.take(market.snapshot())
    opened(2)
    numbers = 2
    for step in range(300):
        merged.us += STEP_US
        text = market.delta()
        replay.take(text)
        for one in open_now.values():
            one.send(text)
        for one in open_now.values():
            for frame in one.arrived():
                got.add(json.loads(frame)["data"]["u"])
                merged.take(one.conn, frame)
        if step % 10 == 9:  # one goes each second, in turns, after everything sent to the other has arrived
            first, second = open_now
            for frame in open_now[second].waiting:
                merged.take(second, frame)
            open_now[second].waiting = []
            del open_now[first]
            merged.state.closed(first, merged.us)
            numbers += 1
            opened(numbers)
        merged.state.let_through(merged.us / 1e6, merged.us)
    for one in open_now.values():
        for frame in one.waiting:
            merged.take(one.conn, frame)
    assert len(merged.of(events.EpochOpened)) == 1
    assert not merged.of(events.DepthMissing)
    assert merged.book() == replay.book()
    assert merged.state.book_id == market.u
    stored = {event.update.u for event in merged.of(events.DepthArrived)}
    first_id = merged.of(events.EpochOpened)[0].last_update_id
    assert got - stored <= set(range(first_id + 1))


def test_connections_that_disagree_are_one_connection():
    """That two connections count alike is assumed: equal ids with other levels are an anomaly, and one is followed."""
    market, merged = BybitMarket(1), Merged()
    for conn in (1, 2):
        merged.state.opened(conn)
        merged.take(conn, market.snapshot())
    for step in range(20):
        merged.us += STEP_US
        text = market.delta()
        merged.take(1, text)
        other = json.loads(text)
        other["data"]["b"] = [["1.00", "1.000"], *other["data"]["b"]]
        merged.take(2, json.dumps(other) if step > 5 else text)
    (anomaly,) = [one for one in merged.of(events.Anomaly) if one.kind == "pair_differs"]
    assert anomaly.details["conn"] == 2
    assert merged.book() == market.book()
    merged.state.closed(1, merged.us)
    assert merged.book() is None
    assert merged.state.needs_snapshot
    merged.take(2, market.snapshot())
    assert merged.book() == market.book()


def recorder_of(box, root, **knobs):
    """Return a recording of Bybit's linear contracts in a box."""
    defaults = {"window_start": "always", "start_jitter_s": 0.0, "min_free_mb": 0.0, "flush_interval_s": 0.2}
    recorder = Recorder(ws_url=box.ws_url, rest_url=box.rest_url, **{**defaults, **knobs})
    source = Source(symbol=knobs.pop("symbol", "SIMUSDT"), data_root=Path(root))
    clock = lambda: box.scheduler.done_us  # noqa: E731 - a function of the box
    parts = parts_of(source, of_market(recorder, "bybit"), Name(run_id="R1"), Silent(), clock, market="bybit")
    parts.rest.rest._weight = RateBudget(10_000, 5.0)
    parts.stream._attempts = None
    return Recording(parts, Silent(), clock)


async def played(box, seconds, until=None):
    for _ in range(round(seconds / 0.1)):
        await box.advance(seconds=0.1)
        for _ in range(20):
            await asyncio.sleep(0.0005)
        if until and until():
            return


def recorded(tmp_path, faults, seconds, **knobs):
    """Record a box that plays *faults*; return the box and the day's rows."""

    async def run():
        market = ServedMarket(contract=True)
        limits = replace(market.connections, attempts=None, close_s=0.05)
        box = Box.in_lockstep("large_tick", seed=5, market=market, faults=faults, wire_limits=limits)
        async with asyncio.timeout(120), box.open():
            await box.advance(seconds=1)
            recording = recorder_of(box, tmp_path, **knobs)
            task = asyncio.create_task(recording.run())
            await played(box, 60, lambda: recording.session and recording.session.market.book_id)
            await played(box, seconds)
            recording.stop("enough")
            await played(box, 2, task.done)
            await task
            return box

    box = asyncio.run(run())
    (path,) = (tmp_path / "SIMUSDT").glob("2*")
    return box, path


def test_recording_goes_through_a_disconnect_a_second(tmp_path):
    """What arrived is in the day, each loss is a gap of the ledger, and each frame is the exchange's book."""
    faults = [f"at time {3 + at} do reset" for at in range(10)]
    box, path = recorded(tmp_path, faults, 15)
    assert [(one.kind, one.message) for one in defects_of(path)] == []
    rows = rows_of(path, "events")
    kinds = [row["type"] for row in rows]
    assert kinds.count("ws_connected") >= 4
    assert kinds.count("snapshot_loaded") >= 4
    check_frames(box, path)
    held = IdRanges((row["u"], row["u"]) for row in diffs_of(path))
    for row in rows:
        if row["type"] == "gap":
            details = json.loads(row["details_json"])
            assert not held & IdRanges([(details["from_id"], details["to_id"])])
    assert not unexplained_prints(box, path)


def unexplained_prints(box, path):
    """Return the times in ms of prints that the day lacks although it does not say so.

    Those of an interruption come from REST, while it reaches back to them.
    """
    told = [json.loads(row["details_json"]) for row in rows_of(path, "events")]
    spans = [(one["from_us"] - 1_000_000, one["to_us"]) for one in told if one.get("kind") == "prints_missing"]
    times = Counter(int(row["trade_time_ms"]) for row in rows_of(path, "trades_ws"))
    true = Counter(trade.us // 1_000 for trade in box.truth.trades(1, box.truth.last_trade_id))
    assert not times - true
    inside = [ms for ms in (true - times).elements() if min(times) <= ms <= max(times)]
    return [ms for ms in inside if not any(low <= 1_000 * ms <= high for low, high in spans)]


def test_end_before_prints_of_an_interruption_are_fetched_says_so(tmp_path, monkeypatch):
    """The connection is lost and comes back, and the recording ends before REST was asked."""
    monkeypatch.setattr(snapshot, "PRINTS_AFTER_S", 600.0)
    box, path = recorded(tmp_path, ["at time 3 do reset"], 15)
    kinds = [json.loads(row["details_json"]).get("kind") for row in rows_of(path, "events")]
    assert kinds.count("prints_missing") == 1
    assert not unexplained_prints(box, path)


def test_answer_asked_for_before_a_second_interruption_does_not_end_it():
    """Else the prints of the second would be missing in silence."""
    notes = []
    session = object.__new__(LiveSession)
    prints = SimpleNamespace(last_number=7)
    arbiter = SimpleNamespace(open=False)
    session.market = SimpleNamespace(closed=lambda *_: None, all_closed=lambda: None, prints=prints, arbiter=arbiter)
    session.event = lambda *event: notes.append(event)
    session.prints_hole, session._last_us = None, 0
    session.disconnected(1_000, 1, 1006, "")
    asked = session.prints_hole
    prints.last_number = 9
    session.disconnected(2_000, 2, 1006, "")
    session.end_prints_hole(asked)
    assert session.prints_hole == (7, 1_000)
    session.prints_lost(3_000, session.prints_hole)
    assert session.prints_hole is None


def test_pair_loses_nothing_while_its_connections_are_reset_in_turns(tmp_path):
    """Two connections, of which the newest is reset again and again: one epoch, no gap."""
    faults = [f"at time {5 + 7 * at} on newest do reset" for at in range(4)]
    box, path = recorded(tmp_path, faults, 32, ws_pair=True)
    assert [(one.kind, one.message) for one in defects_of(path)] == []
    kinds = [row["type"] for row in rows_of(path, "events")]
    assert kinds.count("ws_connected") >= 5
    assert "gap" not in kinds
    assert kinds.count("snapshot_loaded") == 1
    check_frames(box, path)


def test_recording_goes_through_what_the_exchange_may_send(tmp_path):
    """Restarts of the service, snapshots in the middle, fields in any order, split and late prints, lost frames."""
    faults = [
        "at time 3 do id_reset first=1",
        "at time 5 do resnapshot n=3",
        "at time 6 do reorder_fields n=20 of=any",
        "at time 7 do split_prints n=50",
        "at time 8 do lag of=trade delay_s=0.4 for_s=2",
        "at time 11 do drop n=1",
        "at time 13 do duplicate n=3",
        "at time 14 do drop n=2 of=depth",
        "at time 16 do half_open",
    ]
    box, path = recorded(tmp_path, faults, 24, depth_silence_s=2.0)
    assert [(one.kind, one.message) for one in defects_of(path)] == []
    rows = rows_of(path, "events")
    assert any(json.loads(row["details_json"]).get("kind") == "id_reset" for row in rows)
    assert [row["type"] for row in rows].count("resync_done") >= 2
    check_frames(box, path)


def test_refused_topic_is_an_error_at_the_start(tmp_path):
    """A silent recorder would look like a quiet market."""

    async def run():
        market = ServedMarket(contract=True)
        box = Box.in_lockstep("empty", seed=5, market=market)
        async with asyncio.timeout(60), box.open():
            market.streams.symbols.clear()  # REST still lists it
            recording = recorder_of(box, tmp_path)
            task = asyncio.create_task(recording.run())
            await played(box, 30, task.done)
            await task

    with pytest.raises(SymbolRefused, match="SIMUSDT"):
        asyncio.run(run())
    assert not [*tmp_path.rglob("2*/")]


def test_address_that_is_refused_rests_for_ten_minutes():
    """403 has no Retry-After: any request before extends the ban."""
    now = [1_000.0]
    budget = RateBudget(500, 5.0, now_s=lambda: now[0])
    client = RestClient("http://127.0.0.1:9", budget, feed=BYBIT_LINEAR)
    client._learn_weight(SimpleNamespace(status_code=403, headers={}))
    assert budget.spend(1) == pytest.approx(600)
    now[0] += 600
    assert budget.spend(1) == 0


def rows_of(path, name):
    """Return the rows of a CSV file of a day."""
    (file,) = path.glob(f"{name}_*.csv")
    import csv

    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def diffs_of(path):
    import gzip

    (file,) = (path / "diffs").glob("*.gz")
    return [json.loads(line) for line in gzip.open(file, "rt")]


def check_frames(box, path):
    """Compare each frame of the day with the exchange's book."""
    seqs = {int(row["recv_seq"]): row["seq"] for row in diffs_of(path)}
    frames = rows_of(path, "orderbook_ws_depth")
    assert len(frames) > 20
    for frame in frames:
        bids, asks = box.truth.book(seqs[int(frame["recv_seq"])])
        for name, levels in (("bid", bids), ("ask", asks)):
            own = [(frame[f"{name}{at}_price"], frame[f"{name}{at}_qty"]) for at in range(1, 6)]
            assert [(Decimal(a), Decimal(b)) for a, b in own] == [(Decimal(a), Decimal(b)) for a, b in levels[:5]]
