import json

import pytest

from captured import ASKS, BIDS, NOON_US, SYMBOL, diff, events, folder, frames, kinds, rows, snapshot, tags
from mm.clock import midnight_us
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.ids import RESET_IDS
from mm.instrument import e8
from mm.market_data.book_state import SnapshotDepth, SnapshotSanity
from mm.market_data.day_journal import DayJournal
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import LocalOrderBook
from mm.market_data.market_state import MarketState
from mm.market_data.messages import Messages

pytestmark = pytest.mark.usefixtures("road")


class Desk:
    """A market, its journal, its days, and messages that arrive one every 100 ms."""

    def __init__(self, tmp_path, tick_e8=None):
        self.tmp_path = tmp_path
        self.grid = Grid(tick_e8)
        self.decode = Messages(SYMBOL, self.grid, packs=True)
        self.us = NOON_US
        self.writer = self.open("20260105")
        self.journal = DayJournal(self.writer, self.us, "ws")
        self.market = MarketState(self.grid, (self.journal,), top_n=3)

    def open(self, day):
        writer = DayWriter(folder(self.tmp_path, day), "R1", top_n=3)
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
        defects = check_day(folder(self.tmp_path, day)).defects
        assert self.grid.tick_e8 or not defects  # a price off the tick is a defect of the day, however it is handled
        return folder(self.tmp_path, day)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def ids(day):
    return [(epoch, last_id) for epoch, last_id, _, _ in frames(day)]


def test_a_frame_follows_every_applied_update(desk):
    """The exchange's own texts, best first, and none for the snapshot alone."""
    day = desk.take(snapshot(10), diff(11, 11, [["99.95", "4.0"]]), diff(12, 14, [["99.95", "0.0"]])).close()
    assert frames(day) == [(1, 11, ("99.95", "4.0"), tuple(ASKS[0])), (1, 14, tuple(BIDS[0]), tuple(ASKS[0]))]
    assert (kinds(day), tags(day)) == (["snapshot_loaded"], [("initial", 10)])
    assert [row["recv_seq"] for row in rows(day.frames)] == ["4", "5"]


def test_buffered_updates_get_their_frames_when_the_snapshot_comes(desk):
    """In order, with the numbers of their arrival; what the snapshot covers gets none."""
    day = desk.take(diff(5, 9), diff(10, 12, [["99.95", "1"]]), diff(13, 13), snapshot(11), diff(14, 14)).close()
    assert ids(day) == [(1, 12), (1, 13), (1, 14)]
    assert [row["recv_seq"] for row in rows(day.frames)] == ["4", "5", "7"]
    assert kinds(day) == ["snapshot_loaded"]


def test_a_gap_ends_the_epoch_until_a_snapshot_bridges(desk):
    """The ledger names the missing ids and the time; no frame in between."""
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


def test_a_gap_before_the_first_snapshot_is_told_too(desk):
    """The day is not synced anyway, but the ids are missing all the same."""
    day = desk.take(diff(1, 2), diff(5, 6), snapshot(3), snapshot(4), diff(7, 7)).close()
    assert kinds(day) == ["gap", "snapshot_failed", "snapshot_loaded"]
    assert events(day, "snapshot_failed") == [{"cause": "too_old", "http_status": None}]
    assert (ids(day), tags(day)) == ([(1, 6), (1, 7)], [("initial", 4)])


def test_stale_duplicate_and_overlapping_updates_are_anomalies(desk):
    """They are stored; only the overlap, which brings something new, gets a frame."""
    desk.take(snapshot(10), diff(11, 12), diff(13, 14), diff(13, 14), diff(11, 12), diff(12, 15, [["99.95", "1"]]))
    day = desk.close()
    assert kinds(day) == ["snapshot_loaded", "duplicate", "stale", "overlap"]
    assert ids(day) == [(1, 12), (1, 14), (1, 15)]
    assert desk.journal.report.book.diffs == 5


def test_updates_that_a_snapshot_covers_are_no_anomaly(desk):
    """A snapshot may be ahead of a slow stream; what it covers arrives later and says nothing new."""
    day = desk.take(diff(5, 6), snapshot(20), diff(7, 10), diff(11, 20), diff(21, 22)).close()
    assert (kinds(day), ids(day)) == (["snapshot_loaded"], [(1, 22)])


def test_a_hole_that_a_snapshot_covers_is_told(desk):
    """The book is right, but the recorded ids have a hole."""
    day = desk.take(diff(5, 6), snapshot(20), diff(15, 21)).close()
    (anomaly,) = events(day, "anomaly")
    assert anomaly == {"kind": "hole_under_snapshot", "first_id": 15, "last_id": 21, "seen_id": 6}
    assert ids(day) == [(1, 21)]


def test_a_refresh_waits_until_the_book_reaches_it(desk):
    """Every update up to it still gets its frame from the old book; the new epoch begins with the one beyond."""
    deeper = [*BIDS, ["99.60", "9"]]
    desk.take(snapshot(10), diff(11, 11), snapshot(13, deeper), diff(12, 12), diff(13, 14, [["99.95", "1"]]))
    day = desk.close()
    assert ids(day) == [(1, 11), (1, 12), (2, 14)]
    assert (tags(day), kinds(day)) == ([("initial", 10), ("refresh", 13)], ["snapshot_loaded"] * 2)
    assert len(desk.market.book.book) == 7


def test_a_refresh_may_be_a_little_shallower(desk):
    """Books breathe; only less than half of a side is suspicious."""
    day = desk.take(snapshot(10), diff(11, 11), snapshot(11, BIDS[:2]), diff(12, 12)).close()
    assert tags(day) == [("initial", 10), ("refresh", 11)]


def test_a_gap_right_behind_a_snapshot_begins_at_it(desk):
    """Until then the book was right."""
    (gap,) = events(desk.take(snapshot(10), diff(15, 16)).close(), "gap")
    assert (gap["from_id"], gap["from_us"]) == (11, NOON_US + 100_000)


def test_a_snapshot_behind_a_hole_is_no_refresh(desk):
    """A second recording, with its own snapshot: the ids between the two are missing, and the ledger says so."""
    day = desk.take(snapshot(10), diff(11, 11), snapshot(50), diff(51, 51), diff(52, 52)).close()
    assert kinds(day) == ["snapshot_loaded", "gap", "resync_start", "snapshot_loaded", "resync_done"]
    (gap,) = events(day, "gap")
    assert (gap["from_id"], gap["to_id"]) == (12, 50)
    assert (ids(day), tags(day)) == ([(1, 11), (2, 51), (2, 52)], [("initial", 10), ("resync", 50)])


def test_a_refresh_that_differs_is_told_and_wins(desk):
    """At equal ids the exchange is right."""
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
def test_a_snapshot_that_does_not_help_is_refused(desk, late, causes):
    """Older than the book, a look at the top only, or never reached: the book goes on as it is."""
    day = desk.take(snapshot(10), diff(11, 11), *late, diff(12, 12)).close()
    assert [details["cause"] for details in events(day, "snapshot_failed")] == causes
    assert (ids(day), tags(day)) == ([(1, 11), (1, 12)], [("initial", 10)])
    assert desk.journal.report.book.snapshots_refused == len(causes)


def test_a_crossed_book_is_dropped(desk):
    """No frame shows it, and only a snapshot beyond it brings the book back."""
    desk.take(snapshot(10), diff(11, 11, [["100.10", "1"]]), diff(12, 12), snapshot(10), snapshot(11), diff(13, 13))
    day = desk.close()
    expected = ["snapshot_loaded", "crossed", "resync_start", "snapshot_failed", "snapshot_loaded", "resync_done"]
    assert kinds(day) == expected
    assert events(day, "anomaly") == [{"kind": "crossed", "bid": "100.10", "ask": "100.10", "last_id": 11}]
    assert ids(day) == [(2, 12), (2, 13)]


def test_a_crossing_among_buffered_updates_ends_the_epoch_they_began(desk):
    """What follows it in the buffer is not applied to a wrong book."""
    desk.take(diff(1, 1), diff(2, 2, [["101", "1"]]), diff(3, 3), snapshot(0), snapshot(3), diff(4, 4))
    day = desk.close()
    assert ids(day) == [(1, 1), (2, 4)]
    assert kinds(day) == ["snapshot_loaded", "crossed", "resync_start", "snapshot_loaded", "resync_done"]


def test_a_crossed_snapshot_is_never_loaded(desk):
    """The day stays unsynced and says why."""
    day = desk.take(snapshot(10, [["101", "1"]], ASKS), diff(11, 11)).close()
    assert (kinds(day), ids(day)) == (["crossed", "snapshot_failed"], [])


def test_a_price_off_the_tick_is_never_shown(tmp_path):
    """The frame that would show it is withheld and the book dropped."""
    desk = Desk(tmp_path, tick_e8=10_000_000)
    day = desk.take(snapshot(10), diff(11, 11, [["99.95", "1"]]), diff(12, 12), snapshot(12), diff(13, 13)).close()
    assert events(day, "anomaly") == [{"kind": "off_tick", "price": "99.95", "last_id": 11}]
    assert ids(day) == [(2, 13)]


def test_old_orders_off_the_tick_are_left_out(tmp_path):
    """A tick that was made coarser leaves them deep in the book for years; the ledger keeps what the files lack."""
    desk = Desk(tmp_path, tick_e8=10_000_000)
    old = [*BIDS, ["50.05", "1"]]
    day = desk.take(snapshot(10, old), diff(11, 11, [["50.05", "2"]]), diff(12, 12, [["50.05", "0"]])).close()
    assert [details["left_out"] for details in events(day, "anomaly")] == [
        [["bid", "50.05", "1"]],
        [["bid", "50.05", "2"]],
    ]
    assert ids(day) == [(1, 11), (1, 12)]
    assert [row["price"] for row in rows(day.snapshots / "snapshot_4_initial.csv") if row["side"] == "bid"] == [
        price for price, _ in BIDS
    ]


def test_a_snapshot_whose_best_prices_are_off_the_tick_is_refused(tmp_path):
    """Then the tick is wrong, and the way out is to give the right one."""
    day = Desk(tmp_path, tick_e8=100_000_000).take(snapshot(10), diff(11, 11)).close()
    assert events(day, "snapshot_failed") == [{"cause": "off_tick", "http_status": None}]
    assert ids(day) == []


@pytest.mark.parametrize("first", ["update", "snapshot"])
def test_ids_that_begin_anew_open_a_new_epoch(desk, first):
    """Neither stale for ever nor a gap of millions."""
    base = 10 * RESET_IDS
    desk.take(snapshot(base), diff(base + 1, base + 1))
    desk.take(*([diff(1, 3), snapshot(2)] if first == "update" else [snapshot(3)]), diff(4, 4))
    day = desk.close()
    assert ids(day)[-1] == (2, 4)
    assert [details["kind"] for details in events(day, "anomaly")] == ["id_reset"]
    assert not events(day, "gap")
    assert tags(day)[-1][0] == "resync"


def test_a_valid_book_is_carried_into_the_next_day(desk):
    """The new day can be read alone: it begins with the whole book, at the time of its first message."""
    desk.take(snapshot(10), diff(11, 11, [["99.95", "4"]])).roll("20260106").take(diff(12, 12))
    day = desk.close("20260106")
    assert (kinds(day), tags(day), ids(day)) == (["snapshot_loaded"], [("carried", 11)], [(1, 12)])
    assert len(rows(day.snapshots / "snapshot_3_carried.csv")) == 6
    assert frames(day)[0][2] == ("99.95", "4")


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_day_that_begins_with_its_own_snapshot_carries_nothing(desk, ahead):
    """The exchange's word is better than ours."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260106").take(snapshot(11 + ahead), diff(12, 13))
    assert tags(desk.close("20260106")) == [("initial", 11 + ahead)]


def test_a_day_that_begins_with_a_useless_snapshot_carries_the_book(desk):
    """Before anything else is written."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260106").take(snapshot(9), diff(12, 12))
    day = desk.close("20260106")
    assert (kinds(day), tags(day)) == (["snapshot_loaded", "snapshot_failed"], [("carried", 11)])


def test_a_lost_book_stays_lost_over_midnight(desk):
    """The new day says so itself, and what was buffered yesterday goes into the snapshot it begins with."""
    desk.take(snapshot(10), diff(13, 14), diff(15, 16, [["99.95", "4"]])).roll("20260106")
    desk.take(diff(17, 17), snapshot(14), diff(18, 18))
    day = desk.close("20260106")
    assert kinds(day) == ["resync_start", "snapshot_loaded", "resync_done"]
    assert (tags(day), ids(day)) == ([("carried", 16)], [(1, 17), (1, 18)])
    assert frames(day)[0][2] == ("99.95", "4")


def test_a_book_is_not_carried_over_missing_days(desk):
    """Nobody knows what it was in between."""
    desk.take(snapshot(10), diff(11, 11)).roll("20260108", carry=False).take(diff(12, 12), snapshot(12), diff(13, 13))
    day = desk.close("20260108")
    assert events(day, "resync_start") == [{"cause": "days_missing"}]
    assert (tags(day), ids(day)) == ([("resync", 12)], [(1, 13)])


def ladder(side, levels, start=100):
    return [(str(start - side * step), "1") for step in range(1, levels + 1)]


def depth_of(bids, asks):
    return SnapshotDepth.of(bids, asks, e8), LocalOrderBook.of(bids, asks, e8)


def test_a_book_that_travels_runs_out_of_levels_that_it_knows():
    """Half of the bids are gone, the levels behind them were never shown."""
    bids, asks = ladder(1, 50), ladder(-1, 50)
    known, book = depth_of(bids, asks)
    assert not known.running_out(book, 50, 10)
    for price, _ in bids[:30]:
        book.apply(1, price, "0")
    assert not known.running_out(book, 50, 10)
    book.apply(1, bids[30][0], "0")
    for price, _ in ladder(1, 30, start=40):
        book.apply(1, price, "1")  # levels behind the edge are known only by chance, and do not count
    assert known.running_out(book, 50, 10)


def test_a_side_that_was_shown_whole_has_no_edge():
    """Fewer levels than were asked for are all there are."""
    known, book = depth_of(ladder(1, 30), ladder(-1, 30))
    for price, _ in ladder(1, 29):
        book.apply(1, price, "0")
    assert not known.running_out(book, 50, 10)


def test_the_asks_have_an_edge_as_well():
    """Above."""
    asks = ladder(-1, 50)
    known, book = depth_of(ladder(1, 50), asks)
    for price, _ in asks[:31]:
        book.apply(-1, price, "0")
    assert known.running_out(book, 50, 10)


@pytest.mark.parametrize("levels", [1, 2, 10, 20])
def test_a_snapshot_no_deeper_than_a_frame_is_not_asked_for_without_end(levels):
    """Half of what it has must be left, not more than it has."""
    known, book = depth_of(ladder(1, levels), ladder(-1, levels))
    assert not known.running_out(book, levels, 20)


def test_an_empty_side_is_believed_when_it_is_told_again_and_again():
    """An answer that is broken looks the same, once or twice."""
    sides, full = SnapshotSanity(), [("1", "1")]
    assert [sides.doubted(full, []) for _ in range(4)] == [True, True, True, False]
    assert not sides.doubted(full, full)
    assert sides.doubted([], full)
