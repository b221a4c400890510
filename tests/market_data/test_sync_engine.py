from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mm.ids import RESET_IDS, went_back
from mm.market_data.sync_engine import SyncEngine, Verdict

KEYS = 4


class Exchange:
    """A book in which every id changes one level: what it is after any id is known exactly."""

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
    """Keep a book by the engine's verdicts alone."""

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
    """An exchange, and messages of it that are dropped, doubled, widened, late and out of order."""
    exchange = draw(exchanges)
    ids = st.integers(1, len(exchange))
    diff = st.tuples(ids, ids).map(lambda pair: ("diff", min(pair), max(pair)))
    snapshot = st.integers(0, len(exchange)).map(lambda last_id: ("snapshot", last_id))
    return exchange, draw(st.lists(st.one_of(diff, diff, snapshot), max_size=60))


@st.composite
def perfect_feeds(draw):
    """An exchange, and its ids in unbroken updates."""
    exchange = draw(exchanges)
    borders = sorted(draw(st.sets(st.integers(1, len(exchange)))) | {0, len(exchange)})
    return exchange, [(low + 1, high) for low, high in pairwise(borders)]


@given(faulty_feeds())
def test_a_synced_book_is_the_exchanges_book_whatever_arrives(feed):
    """Never a silently wrong book: after every message, the book is that of its id, or there is none."""
    exchange, messages = feed
    client = Client(exchange)
    for kind, *ids in messages:
        client.diff(*ids) if kind == "diff" else client.snapshot(*ids)


@given(faulty_feeds())
def test_a_snapshot_of_the_newest_id_always_syncs(feed):
    """Whatever went wrong before, there is a way back."""
    exchange, messages = feed
    client = Client(exchange)
    for kind, *ids in messages:
        client.diff(*ids) if kind == "diff" else client.snapshot(*ids)
    client.snapshot(len(exchange))
    assert client.engine.book_id == len(exchange)


@given(perfect_feeds(), st.data())
def test_an_unbroken_feed_syncs_at_the_first_snapshot_that_is_not_too_old(feed, data):
    """A snapshot from anywhere in the buffer, just before it or beyond it loses nothing; an older one is refused."""
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


def test_the_predicate_at_its_borders():
    """u = id is stale; U = id + 1 follows; an overlap is legal; one id missing is a gap."""
    engine = SyncEngine()
    engine.snapshot(100)
    assert engine.diff(95, 100, "a") is Verdict.STALE
    assert engine.diff(101, 101, "b") is Verdict.APPLY
    assert engine.diff(99, 105, "c") is Verdict.APPLY
    assert engine.diff(107, 108, "d") is Verdict.GAP
    assert (engine.book_id, engine.seen_id) == (None, 108)


def test_a_gap_while_buffering_starts_the_buffer_again():
    """No snapshot can use updates that stand before a hole."""
    engine = SyncEngine()
    assert engine.diff(1, 5, "before") is Verdict.BUFFER
    assert engine.diff(8, 9, "behind") is Verdict.GAP
    assert engine.snapshot(4).verdict is Verdict.TOO_OLD
    assert engine.snapshot(7).updates == ("behind",)


def test_a_snapshot_that_is_too_old_leaves_the_buffer_alone():
    """The next one, fetched while the buffer waits, still bridges."""
    engine = SyncEngine()
    engine.diff(50, 52, "x")
    assert engine.snapshot(40).verdict is Verdict.TOO_OLD
    assert engine.snapshot(49).updates == ("x",)


def test_an_older_snapshot_does_not_replace_a_valid_book():
    """It knows nothing that the book does not know."""
    engine = SyncEngine()
    engine.snapshot(100)
    engine.diff(101, 110, "x")
    assert engine.snapshot(105).verdict is Verdict.STALE
    assert engine.snapshot(110).verdict is Verdict.APPLY
    assert engine.snapshot(115).verdict is Verdict.APPLY
    assert engine.book_id == 115


def test_a_book_that_was_lost_needs_a_snapshot_beyond_what_was_seen():
    """The update that showed it to be wrong is gone with it."""
    engine = SyncEngine()
    engine.snapshot(100)
    engine.diff(101, 110, "crossed")
    engine.lose()
    assert engine.snapshot(105).verdict is Verdict.TOO_OLD
    assert engine.diff(111, 112, "x") is Verdict.BUFFER
    assert engine.snapshot(110).updates == ("x",)


def test_ids_that_begin_anew_are_no_stale_ids():
    """After an exchange's reset the low ids are the new ones; the book waits for a snapshot of theirs."""
    engine = SyncEngine()
    engine.snapshot(10 * RESET_IDS)
    assert engine.diff(1, 3, "new") is Verdict.RESET
    assert engine.snapshot(2).updates == ("new",)
    assert engine.book_id == 3


def test_a_snapshot_may_be_the_first_to_show_a_reset():
    """The buffer belongs to ids that have lost their meaning."""
    engine = SyncEngine()
    engine.diff(10 * RESET_IDS, 10 * RESET_IDS, "old")
    bridge = engine.snapshot(5)
    assert (bridge.verdict, bridge.updates, engine.book_id) == (Verdict.RESET, (), 5)
    assert engine.diff(6, 7, "new") is Verdict.APPLY


def test_a_snapshot_that_lags_while_the_buffer_grows_is_no_reset():
    """A young symbol's ids double in seconds: what counts is how far it misses the buffer's begin, not its end."""
    engine = SyncEngine()
    engine.diff(1_160, 1_200, "first")
    engine.diff(1_201, 2_558, "last")
    assert went_back(2_558, 1_157)
    assert engine.snapshot(1_157).verdict is Verdict.TOO_OLD
    bridge = engine.snapshot(1_159)
    assert (bridge.verdict, bridge.updates) == (Verdict.APPLY, ("first", "last"))


def test_the_buffer_keeps_the_newest_updates():
    """A day without a snapshot must not fill the memory; a snapshot that needs what is gone is too old."""
    engine = SyncEngine(limit=3)
    for first_id in range(1, 10):
        engine.diff(first_id, first_id, first_id)
    assert engine.snapshot(5).verdict is Verdict.TOO_OLD
    assert engine.snapshot(6).updates == (7, 8, 9)


def test_a_snapshot_that_took_long_is_not_of_another_numbering():
    """It lies far behind the newest update, but within the buffer: a young symbol, and twenty seconds under way."""
    engine = SyncEngine()
    for first in range(1_170, 3_570, 10):
        engine.diff(first, first + 9, first)
    bridge = engine.snapshot(1_180)
    assert bridge.verdict is Verdict.APPLY
    assert bridge.updates[0] == 1_180
    assert engine.diff(3_570, 3_571, 0) is Verdict.APPLY
