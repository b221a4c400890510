"""Which updates are applied to a book, and the state of the book, under all faults of a stream."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import ASKS, BIDS, NOON_US, decoder, diff, events, folder, frames, kinds, rows, snapshot, tags
from day_files import defects_of
from hand_fed import market_into, open_day
from mm.clock import midnight_us
from mm.ids import RESET_IDS, went_back
from mm.instrument import e8
from mm.markets.binance import SPOT, USDM
from mm.markets.local_orderbook import LocalOrderBook, SnapshotDepth, SnapshotSanity
from mm.markets.sequence import SyncEngine, Verdict

KEYS = 4


class Exchange:
    """A book in which every id changes one level, so that its state after any id is known."""

    def __init__(self, changes):
        self.changes = changes

    def __len__(self):
        return len(self.changes)

    def truth(self, last_id):
        book = {}
        for key, qty in self.changes[:last_id]:
            book[key] = qty
        return book

    def update(self, first_id, last_id):
        return dict(self.changes[first_id - 1 : last_id])


class Client:
    """A client that maintains a book by the engine's verdicts alone."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.engine = SyncEngine()
        self.book = None

    def diff(self, first_id, last_id):
        update = self.exchange.update(first_id, last_id)
        verdict = self.engine.diff(first_id, last_id, update)
        if verdict is Verdict.APPLY:
            self.book.update(update)
        elif verdict is Verdict.GAP:
            self.book = None
        self.check()
        return verdict

    def snapshot(self, last_id):
        bridge = self.engine.snapshot(last_id)
        if bridge.verdict is Verdict.APPLY:
            self.book = self.exchange.truth(last_id)
            for update in bridge.updates:
                self.book.update(update)
        self.check()
        return bridge

    def check(self):
        assert self.engine.synced == (self.book is not None)
        if self.engine.synced:
            assert self.book == self.exchange.truth(self.engine.book_id)


exchanges = st.lists(st.tuples(st.integers(0, KEYS - 1), st.integers(0, 9)), min_size=1, max_size=40).map(Exchange)


@st.composite
def faulty_feeds(draw):
    """An exchange and its messages: dropped, repeated, merged, late and out of order."""
    exchange = draw(exchanges)
    ids = st.integers(1, len(exchange))
    diff = st.tuples(ids, ids).map(lambda pair: ("diff", min(pair), max(pair)))
    snapshot = st.integers(0, len(exchange)).map(lambda last_id: ("snapshot", last_id))
    return exchange, draw(st.lists(st.one_of(diff, diff, snapshot), max_size=60))


@st.composite
def perfect_feeds(draw):
    """An exchange and its ids in contiguous updates."""
    exchange = draw(exchanges)
    borders = sorted(draw(st.sets(st.integers(1, len(exchange)))) | {0, len(exchange)})
    return exchange, [(low + 1, high) for low, high in pairwise(borders)]


@given(faulty_feeds())
def test_synced_book_equals_the_exchange_book_for_any_messages(feed):
    """After every message the book is the true one of its id, or there is none."""
    exchange, messages = feed
    client = Client(exchange)
    for kind, *ids in messages:
        client.diff(*ids) if kind == "diff" else client.snapshot(*ids)


@given(faulty_feeds())
def test_snapshot_of_the_newest_id_always_syncs(feed):
    """The engine recovers after arbitrary messages."""
    exchange, messages = feed
    client = Client(exchange)
    for kind, *ids in messages:
        client.diff(*ids) if kind == "diff" else client.snapshot(*ids)
    client.snapshot(len(exchange))
    assert client.engine.book_id == len(exchange)


@given(perfect_feeds(), st.data())
def test_contiguous_feed_syncs_at_the_first_snapshot_not_too_old(feed, data):
    """A snapshot within the buffer, just before it or beyond it loses nothing; an older one is refused."""
    exchange, updates = feed
    begin = data.draw(st.integers(0, len(updates) - 1))
    before = data.draw(st.integers(begin, len(updates)))
    last_id = data.draw(st.integers(0, len(exchange)))
    client = Client(exchange)
    for update in updates[begin:before]:
        assert client.diff(*update) is Verdict.BUFFER
    buffered = before > begin
    bridge = client.snapshot(last_id)
    if buffered and last_id < updates[begin][0] - 1:
        assert bridge.verdict is Verdict.TOO_OLD
        return
    assert len(bridge.updates) == sum(last > last_id for _, last in updates[begin:before])
    reachable = buffered or not updates[before:] or last_id >= updates[before][0] - 1
    for update in updates[before:] if reachable else ():
        assert client.diff(*update) in (Verdict.APPLY, Verdict.STALE)
    if reachable:
        assert client.engine.book_id == len(exchange)


def test_verdicts_at_the_boundaries_of_ids():
    """u = id is stale, U = id + 1 and an overlap are applied, one missing id is a gap."""
    engine = SyncEngine()
    engine.snapshot(100)
    assert engine.diff(95, 100, "a") is Verdict.STALE
    assert engine.diff(101, 101, "b") is Verdict.APPLY
    assert engine.diff(99, 105, "c") is Verdict.APPLY
    assert engine.diff(107, 108, "d") is Verdict.GAP
    assert (engine.book_id, engine.seen_id) == (None, 108)


def test_gap_while_buffering_restarts_the_buffer():
    """No snapshot can use updates before a gap."""
    engine = SyncEngine()
    assert engine.diff(1, 5, "before") is Verdict.BUFFER
    assert engine.diff(8, 9, "behind") is Verdict.GAP
    assert engine.snapshot(4).verdict is Verdict.TOO_OLD
    assert engine.snapshot(7).updates == ("behind",)


def test_too_old_snapshot_keeps_the_buffer():
    """The next snapshot still bridges to the buffer."""
    engine = SyncEngine()
    engine.diff(50, 52, "x")
    assert engine.snapshot(40).verdict is Verdict.TOO_OLD
    assert engine.snapshot(49).updates == ("x",)


def test_older_snapshot_does_not_replace_a_valid_book():
    """An older snapshot contains nothing new."""
    engine = SyncEngine()
    engine.snapshot(100)
    engine.diff(101, 110, "x")
    assert engine.snapshot(105).verdict is Verdict.STALE
    assert engine.snapshot(110).verdict is Verdict.APPLY
    assert engine.snapshot(115).verdict is Verdict.APPLY
    assert engine.book_id == 115


def test_lost_book_needs_a_snapshot_beyond_the_last_update():
    """The update that crossed the book was dropped with it."""
    engine = SyncEngine()
    engine.snapshot(100)
    engine.diff(101, 110, "crossed")
    engine.lose()
    assert engine.snapshot(105).verdict is Verdict.TOO_OLD
    assert engine.diff(111, 112, "x") is Verdict.BUFFER
    assert engine.snapshot(110).updates == ("x",)


def test_ids_after_a_reset_are_not_stale():
    """After a reset the low ids are new; the book waits for a snapshot with such an id."""
    engine = SyncEngine()
    engine.snapshot(10 * RESET_IDS)
    assert engine.diff(1, 3, "new") is Verdict.RESET
    assert engine.snapshot(2).updates == ("new",)
    assert engine.book_id == 3


def test_snapshot_may_be_the_first_to_show_a_reset():
    """The buffer of old ids is dropped."""
    engine = SyncEngine()
    engine.diff(10 * RESET_IDS, 10 * RESET_IDS, "old")
    bridge = engine.snapshot(5)
    assert (bridge.verdict, bridge.updates, engine.book_id) == (Verdict.RESET, (), 5)
    assert engine.diff(6, 7, "new") is Verdict.APPLY


def test_lagging_snapshot_of_a_growing_buffer_is_no_reset():
    """Ids of a new symbol double within seconds: the distance to the first buffered id counts, not to the last."""
    engine = SyncEngine()
    engine.diff(1_160, 1_200, "first")
    engine.diff(1_201, 2_558, "last")
    assert went_back(2_558, 1_157)
    assert engine.snapshot(1_157).verdict is Verdict.TOO_OLD
    bridge = engine.snapshot(1_159)
    assert (bridge.verdict, bridge.updates) == (Verdict.APPLY, ("first", "last"))


def test_buffer_keeps_the_newest_updates():
    """The buffer is bounded; a snapshot that needs dropped updates is too old."""
    engine = SyncEngine(limit=3)
    for first_id in range(1, 10):
        engine.diff(first_id, first_id, first_id)
    assert engine.snapshot(5).verdict is Verdict.TOO_OLD
    assert engine.snapshot(6).updates == (7, 8, 9)


def test_slow_snapshot_within_the_buffer_is_no_reset():
    """The snapshot is far behind the newest update but within the buffer, such as after 20 s for a new symbol."""
    engine = SyncEngine()
    for first in range(1_170, 3_570, 10):
        engine.diff(first, first + 9, first)
    bridge = engine.snapshot(1_180)
    assert bridge.verdict is Verdict.APPLY
    assert bridge.updates[0] == 1_180
    assert engine.diff(3_570, 3_571, 0) is Verdict.APPLY


pytestmark = pytest.mark.usefixtures("road")


class Desk:
    """A market, its journal and its days; a message arrives every 100 ms."""

    def __init__(self, tmp_path, market=SPOT):
        self.tmp_path, self.listed = tmp_path, market
        self.decode, self.grid = decoder(packs=True)
        self.us = NOON_US
        self.writer = self.open("20260105")
        self.market, self.journal = market_into(self.writer, self.grid, self.us, market)

    def open(self, day):
        writer = open_day(folder(self.tmp_path, day), top_n=3, market=self.listed)
        for kind, details in (("run_start", {"version": "0", "knobs": {}}), ("window_start", {})):
            writer.event(self.us, kind, 0, details)
        return writer

    def take(self, *messages):
        for message in messages:
            self.us += 100_000
            decoded = self.decode.received(json.dumps(message, separators=(",", ":")).encode())
            if "lastUpdateId" in message:
                self.market.snapshot(self.us, decoded)
            else:
                self.market.take(self.us, decoded)
        return self

    def roll(self, day, *, carry=True):
        self.us = midnight_us(day)
        self.writer.close()
        self.writer = self.open(day)
        self.journal.next_day(self.writer, self.us)
        self.market.book.next_day(self.us, carry=carry)
        return self

    def close(self, day="20260105"):
        self.market.book.finish(self.us)
        for kind, details in (("window_end", {}), ("run_stop", {"reason": "end"})):
            self.writer.event(self.us, kind, self.journal.epoch_id, details)
        self.writer.close()
        assert defects_of(folder(self.tmp_path, day)) == []
        return folder(self.tmp_path, day)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def ids(day):
    return [(epoch, last_id) for epoch, last_id, _, _ in frames(day)]


def test_every_applied_update_gets_a_frame(desk):
    """Frames contain the exchange's texts, best level first; a snapshot alone gets no frame."""
    day = desk.take(snapshot(10), diff(11, 11, [["99.95", "4.0"]]), diff(12, 14, [["99.95", "0.0"]])).close()
    assert frames(day) == [(1, 11, ("99.95", "4.0"), tuple(ASKS[0])), (1, 14, tuple(BIDS[0]), tuple(ASKS[0]))]
    assert (kinds(day), tags(day)) == (["snapshot_loaded"], [("initial", 10)])
    assert [row["recv_seq"] for row in rows(day.frames)] == ["4", "5"]


def test_buffered_updates_get_frames_when_the_snapshot_arrives(desk):
    """Frames are in order with the sequence numbers of arrival; updates covered by the snapshot get none."""
    day = desk.take(diff(5, 9), diff(10, 12, [["99.95", "1"]]), diff(13, 13), snapshot(11), diff(14, 14)).close()
    assert ids(day) == [(1, 12), (1, 13), (1, 14)]
    assert [row["recv_seq"] for row in rows(day.frames)] == ["4", "5", "7"]
    assert kinds(day) == ["snapshot_loaded"]


def test_gap_ends_the_epoch_until_a_snapshot_bridges(desk):
    """The ledger contains the missing ids and times; there are no frames in between."""
    desk.take(snapshot(10), diff(11, 11), diff(15, 16), diff(17, 17), snapshot(16), diff(18, 18))
    day = desk.close()
    assert ids(day) == [(1, 11), (2, 17), (2, 18)]
    assert kinds(day) == ["snapshot_loaded", "gap", "resync_start", "snapshot_loaded", "resync_done"]
    assert tags(day) == [("initial", 10), ("resync", 16)]
    (gap,) = events(day, "gap")
    assert gap == {
        "from_id": 12,
        "to_id": 14,
        "from_us": NOON_US + 200_000,
        "to_us": NOON_US + 300_000,
        "cause": "ids_missing",
    }
    assert [row["event"] for row in rows(day.gaps)] == ["gap", "resync_start"]


@pytest.mark.parametrize("first_id", [10, 70_000_000])
@pytest.mark.parametrize("gaps", [(3, 3), (1, 900, 2), (5, 1, 5, 1, 5)])
def test_each_gap_of_a_day_is_told_as_the_first_was(desk, gaps, first_id):
    """Never as an exchange that reset its ids: what was lost before has no say in it."""
    at = first_id
    desk.take(snapshot(at))
    for lost in gaps:
        desk.take(diff(at + 1, at + 1), diff(at + 2 + lost, at + 3 + lost))
        at += 4 + lost
        desk.take(snapshot(at - 1), diff(at, at))
    day = desk.close()
    assert kinds(day) == ["snapshot_loaded", *["gap", "resync_start", "snapshot_loaded", "resync_done"] * len(gaps)]
    assert [gap["to_id"] - gap["from_id"] + 1 for gap in events(day, "gap")] == list(gaps)
    assert [tag for tag, _ in tags(day)] == ["initial", *["resync"] * len(gaps)]


def test_gap_before_the_first_snapshot_is_reported(desk):
    """The missing ids are reported although the book is not synced yet."""
    day = desk.take(diff(1, 2), diff(5, 6), snapshot(3), snapshot(4), diff(7, 7)).close()
    assert kinds(day) == ["gap", "snapshot_failed", "snapshot_loaded"]
    assert events(day, "snapshot_failed") == [{"cause": "too_old", "http_status": None}]
    assert (ids(day), tags(day)) == ([(1, 6), (1, 7)], [("initial", 4)])


def test_stale_duplicate_and_overlapping_updates_are_anomalies(desk):
    """All are stored; only the overlap gets a frame, because it has new ids."""
    desk.take(snapshot(10), diff(11, 12), diff(13, 14), diff(13, 14), diff(11, 12), diff(12, 15, [["99.95", "1"]]))
    day = desk.close()
    assert kinds(day) == ["snapshot_loaded", "duplicate", "stale", "overlap"]
    assert ids(day) == [(1, 12), (1, 14), (1, 15)]
    assert desk.journal.report.book.diffs == 5


def test_updates_covered_by_a_snapshot_are_no_anomaly(desk):
    """A snapshot may be ahead of a slow stream; updates up to its id are ignored."""
    day = desk.take(diff(5, 6), snapshot(20), diff(7, 10), diff(11, 20), diff(21, 22)).close()
    assert (kinds(day), ids(day)) == (["snapshot_loaded"], [(1, 22)])


def test_hole_covered_by_a_snapshot_is_reported(desk):
    """The book is correct, but the recorded ids have a hole."""
    day = desk.take(diff(5, 6), snapshot(20), diff(15, 21)).close()
    (anomaly,) = events(day, "anomaly")
    assert anomaly == {"kind": "hole_under_snapshot", "first_id": 15, "last_id": 21, "seen_id": 6}
    assert ids(day) == [(1, 21)]


def test_refresh_waits_until_the_book_reaches_its_id(desk):
    """Updates up to its id still get frames from the old book; the new epoch begins after it."""
    deeper = [*BIDS, ["99.60", "9"]]
    desk.take(snapshot(10), diff(11, 11), snapshot(13, deeper), diff(12, 12), diff(13, 14, [["99.95", "1"]]))
    day = desk.close()
    assert ids(day) == [(1, 11), (1, 12), (2, 14)]
    assert (tags(day), kinds(day)) == ([("initial", 10), ("refresh", 13)], ["snapshot_loaded"] * 2)
    assert len(desk.market.book.book) == 7


def test_snapshot_after_one_that_was_not_reached_waits_twice_as_long(desk):
    """With a slow stream every snapshot is ahead, and would be fetched again for ever."""
    desk.market.book.limit = 1_000
    desk.take(diff(11, 11), snapshot(10), snapshot(500), *(diff(n, n) for n in range(12, 33)))
    assert not desk.market.book.snapshot_waits
    desk.take(snapshot(600), *(diff(n, n) for n in range(33, 73)))
    assert desk.market.book.snapshot_waits
    day = desk.take(diff(73, 601)).close()
    assert [details["cause"] for details in events(day, "snapshot_failed")] == ["not_reached"]
    assert tags(day)[-1] == ("refresh", 600)


def test_refresh_may_have_slightly_fewer_levels(desk):
    """Only a snapshot with less than half of a side is refused."""
    day = desk.take(snapshot(10), diff(11, 11), snapshot(11, BIDS[:2]), diff(12, 12)).close()
    assert tags(day) == [("initial", 10), ("refresh", 11)]


def test_gap_right_after_a_snapshot_begins_at_its_id(desk):
    """The book was valid until the snapshot id."""
    (gap,) = events(desk.take(snapshot(10), diff(15, 16)).close(), "gap")
    assert (gap["from_id"], gap["from_us"]) == (11, NOON_US + 100_000)


def test_snapshot_beyond_missing_ids_reports_a_gap(desk):
    """A second recording may begin with its own snapshot: the ids in between are missing."""
    day = desk.take(snapshot(10), diff(11, 11), snapshot(50), diff(51, 51), diff(52, 52)).close()
    assert kinds(day) == ["snapshot_loaded", "gap", "resync_start", "snapshot_loaded", "resync_done"]
    (gap,) = events(day, "gap")
    assert (gap["from_id"], gap["to_id"]) == (12, 50)
    assert (ids(day), tags(day)) == ([(1, 11), (2, 51), (2, 52)], [("initial", 10), ("resync", 50)])


def test_differing_refresh_is_reported_and_replaces_the_book(desk):
    """At equal ids the exchange's snapshot is preferred."""
    other = [["99.90", "7.7"], *BIDS[1:]]
    day = desk.take(snapshot(10), diff(11, 11), snapshot(11, other), diff(12, 12)).close()
    assert events(day, "anomaly") == [{"kind": "snapshot_differs", "last_update_id": 11, "levels": 1}]
    assert frames(day)[-1] == (2, 12, ("99.90", "7.7"), tuple(ASKS[0]))


@pytest.mark.parametrize(
    ("late", "causes"),
    [
        ([snapshot(9)], ["stale"]),
        ([snapshot(11, BIDS[:1], ASKS)], ["shallow"]),
        ([snapshot(50)], ["not_reached"]),
        ([snapshot(50), snapshot(60)], ["superseded", "not_reached"]),
    ],
)
def test_useless_snapshot_is_refused(desk, late, causes):
    """If a snapshot is older, too shallow, or never reached, the book continues unchanged."""
    day = desk.take(snapshot(10), diff(11, 11), *late, diff(12, 12)).close()
    assert [details["cause"] for details in events(day, "snapshot_failed")] == causes
    assert (ids(day), tags(day)) == ([(1, 11), (1, 12)], [("initial", 10)])
    assert desk.journal.report.book.snapshots_refused == len(causes)


@pytest.mark.parametrize(("limit", "shown"), [(len(BIDS), False), (len(BIDS) + 1, True)])
def test_frame_never_reaches_beyond_the_snapshot_levels(desk, limit, shown):
    """A frame has three levels: if bids are removed, the level after the last one of the snapshot is unknown."""
    desk.market.book.limit = limit
    gone = [[price, "0"] for price, _ in BIDS[: len(BIDS) - 2]]
    day = desk.take(snapshot(10), diff(11, 11), diff(12, 12, gone), snapshot(12), diff(13, 13)).close()
    assert ids(day) == ([(1, 11), (1, 12), (2, 13)] if shown else [(1, 11), (2, 13)])
    horizon = [{"kind": "horizon", "side": "bid", "levels": 2, "last_id": 12}]
    assert [details for details in events(day, "anomaly") if details["kind"] == "horizon"] == ([] if shown else horizon)
    assert [details["cause"] for details in events(day, "resync_start")] == ([] if shown else ["horizon"])


def test_overtaken_snapshot_is_updated_to_the_book(desk):
    """Updates since the request are kept and applied to a slow snapshot."""
    desk.take(snapshot(10), diff(11, 11))
    desk.market.book.expect_snapshot()
    deeper = [*BIDS, ["99.60", "9"]]
    desk.take(diff(12, 12), diff(13, 13, [["99.95", "1"]]), snapshot(12, deeper), diff(14, 14))
    day = desk.close()
    assert (tags(day), ids(day)) == ([("initial", 10), ("refresh", 13)], [(1, 11), (1, 12), (1, 13), (2, 14)])
    assert (desk.market.book.book.qty_at(1, 9_995_000_000), desk.market.book.book.qty_at(1, 9_960_000_000)) == (
        "1",
        "9",
    )


def test_overtaken_snapshot_is_stale_if_an_update_is_missing_between(desk):
    """The kept updates begin with id 12, so after a snapshot of id 10 that of id 11 would be lost."""
    desk.take(snapshot(10), diff(11, 11))
    desk.market.book.expect_snapshot()
    desk.take(diff(12, 12), diff(13, 13), snapshot(10, [*BIDS, ["99.60", "9"]]), diff(14, 14))
    day = desk.close()
    assert (tags(day), ids(day)) == ([("initial", 10)], [(1, 11), (1, 12), (1, 13), (1, 14)])
    assert [details["cause"] for details in events(day, "snapshot_failed")] == ["stale"]


@pytest.mark.parametrize("impossible", [0, 5_000_000, 2**62])
@pytest.mark.parametrize("first", [[], [snapshot(5_000_010)]])
def test_snapshot_with_an_impossible_id_is_refused(desk, first, impossible):
    """A snapshot with an impossible id is not taken as an id reset."""
    desk.market.book.limit = 5_000
    base = 5_000_010 if impossible != 5_000_000 else 9_000_010
    first = [snapshot(base)] if first else []
    day = desk.take(
        *first, diff(base + 1, base + 1), snapshot(impossible), snapshot(base + 1), diff(base + 2, base + 2)
    )
    day = day.close()
    assert [details["cause"] for details in events(day, "snapshot_failed")] == ["impossible_id"]
    assert events(day, "anomaly") == []
    assert ids(day)[-1][1] == base + 2


def test_crossed_book_is_dropped(desk):
    """The crossed book gets no frame; only a snapshot at or beyond its id restores the book."""
    desk.take(snapshot(10), diff(11, 11, [["100.10", "1"]]), diff(12, 12), snapshot(10), snapshot(11), diff(13, 13))
    day = desk.close()
    expected = ["snapshot_loaded", "crossed", "resync_start", "snapshot_failed", "snapshot_loaded", "resync_done"]
    assert kinds(day) == expected
    assert events(day, "anomaly") == [{"kind": "crossed", "bid": "100.10", "ask": "100.10", "last_id": 11}]
    assert ids(day) == [(2, 12), (2, 13)]


def test_crossing_among_buffered_updates_ends_their_epoch(desk):
    """Later buffered updates are not applied to a crossed book."""
    desk.take(diff(1, 1), diff(2, 2, [["101", "1"]]), diff(3, 3), snapshot(0), snapshot(3), diff(4, 4))
    day = desk.close()
    assert ids(day) == [(1, 1), (2, 4)]
    assert kinds(day) == ["snapshot_loaded", "crossed", "resync_start", "snapshot_loaded", "resync_done"]


def test_crossed_snapshot_is_never_loaded(desk):
    """The day stays unsynced, and the reason is reported."""
    day = desk.take(snapshot(10, [["101", "1"]], ASKS), diff(11, 11)).close()
    assert (kinds(day), ids(day)) == (["crossed", "snapshot_failed"], [])


@pytest.mark.parametrize("first", ["update", "snapshot"])
def test_id_reset_opens_a_new_epoch(desk, first):
    """New ids are neither stale nor a gap of millions."""
    base = 10 * RESET_IDS
    desk.take(snapshot(base), diff(base + 1, base + 1))
    desk.take(*([diff(1, 3), snapshot(2)] if first == "update" else [snapshot(3)]), diff(4, 4), diff(5, 5))
    day = desk.close()
    assert ids(day)[-1] == (2, 5)
    assert [details["kind"] for details in events(day, "anomaly")] == ["id_reset"]
    assert not events(day, "gap")
    assert tags(day)[-1][0] == "resync"


def test_valid_book_is_carried_into_the_next_day(desk):
    """The new day begins with the whole book at its first message, so it can be read alone."""
    desk.take(snapshot(10), diff(11, 11, [["99.95", "4"]])).roll("20260106").take(diff(12, 12))
    day = desk.close("20260106")
    assert (kinds(day), tags(day), ids(day)) == (["snapshot_loaded"], [("carried", 11)], [(1, 12)])
    assert len(rows(day.snapshots / "snapshot_3_carried.csv")) == 6
    assert frames(day)[0][2] == ("99.95", "4")


@pytest.mark.parametrize("ahead", [0, 1])
def test_day_with_its_own_first_snapshot_carries_no_book(desk, ahead):
    """A snapshot of the exchange is preferred to the carried book."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260106").take(snapshot(11 + ahead), diff(12, 13))
    assert tags(desk.close("20260106")) == [("initial", 11 + ahead)]


def test_day_with_a_useless_first_snapshot_carries_the_book(desk):
    """The carried book comes before the refused snapshot."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260106").take(snapshot(9), diff(12, 12))
    day = desk.close("20260106")
    assert (kinds(day), tags(day)) == (["snapshot_loaded", "snapshot_failed"], [("carried", 11)])


def test_lost_book_stays_lost_across_midnight(desk):
    """The new day reports the resync, and updates buffered on the previous day are part of its first snapshot."""
    desk.take(snapshot(10), diff(13, 14), diff(15, 16, [["99.95", "4"]])).roll("20260106")
    desk.take(diff(17, 17), snapshot(14), diff(18, 18))
    day = desk.close("20260106")
    assert kinds(day) == ["resync_start", "snapshot_loaded", "resync_done"]
    assert (tags(day), ids(day)) == ([("carried", 16)], [(1, 17), (1, 18)])
    assert frames(day)[0][2] == ("99.95", "4")


def test_book_is_not_carried_over_missing_days(desk):
    """The state of the book in between is unknown."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260108", carry=False).take(diff(12, 12), snapshot(12), diff(13, 13))
    day = desk.close("20260108")
    assert events(day, "resync_start") == [{"cause": "days_missing"}]
    assert (tags(day), ids(day)) == ([("resync", 12)], [(1, 13)])


def ladder(side, levels, start=100):
    return [(str(start - side * step), "1") for step in range(1, levels + 1)]


def depth_of(bids, asks):
    return SnapshotDepth.of(bids, asks, e8), LocalOrderBook.of(bids, asks, e8)


def test_moving_book_runs_out_of_snapshot_levels():
    """More than half of the bids are gone, and deeper levels were not in the snapshot."""
    bids, asks = ladder(1, 50), ladder(-1, 50)
    depth, book = depth_of(bids, asks)
    assert not depth.running_out(book, 50, 10)
    for price, _ in bids[:30]:
        book.apply(1, price, "0")
    assert not depth.running_out(book, 50, 10)
    book.apply(1, bids[30][0], "0")
    for price, _ in ladder(1, 30, start=40):
        book.apply(1, price, "1")  # levels beyond the edge are incomplete and do not count
    assert depth.running_out(book, 50, 10)


def test_complete_side_of_a_snapshot_has_no_edge():
    """A snapshot with fewer levels than requested is complete."""
    depth, book = depth_of(ladder(1, 30), ladder(-1, 30))
    for price, _ in ladder(1, 29):
        book.apply(1, price, "0")
    assert not depth.running_out(book, 50, 10)


def test_asks_have_an_edge_as_well():
    """The edge of asks is the highest price."""
    asks = ladder(-1, 50)
    depth, book = depth_of(ladder(1, 50), asks)
    for price, _ in asks[:31]:
        book.apply(-1, price, "0")
    assert depth.running_out(book, 50, 10)


@pytest.mark.parametrize("levels", [1, 2, 10, 20])
def test_snapshot_no_deeper_than_a_frame_is_not_requested_endlessly(levels):
    """Half of the snapshot's levels must be left, at most."""
    depth, book = depth_of(ladder(1, levels), ladder(-1, levels))
    assert not depth.running_out(book, levels, 20)


def test_empty_side_is_accepted_after_three_repeated_answers():
    """A single answer with an empty side may be broken."""
    sides, full = SnapshotSanity(), [("1", "1")]
    assert [sides.needs_another(full, []) for _ in range(4)] == [True, True, True, False]
    assert not sides.needs_another(full, full)
    assert sides.needs_another([], full)


@pytest.mark.parametrize(("venue", "applied"), [(SPOT, [(1, 20), (2, 22)]), (USDM, [(2, 20), (2, 22)])])
def test_requested_snapshot_waits_for_the_update_that_changes_it(tmp_path, venue, applied):
    """On USD-M an update that ends with the snapshot's id is applied to it, on Spot only one that ends beyond."""
    desk = Desk(tmp_path, venue)
    desk.market.book.limit = 1000
    desk.take(diff(11, 11), snapshot(10), diff(12, 16), snapshot(20), diff(17, 20), diff(21, 22))
    assert ids(desk.close()) == [(1, 11), (1, 16), *applied]
