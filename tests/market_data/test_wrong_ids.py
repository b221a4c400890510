"""An update with a wrong id is contradicted by the next one of its connection: recorder, check and tape begin again."""

from decimal import Decimal

import pytest
from test_doubts import Feed

import mm
from boxed import quicken, recorded
from captured import diff, snapshot
from mm import DayFolder
from mm.dayfolder.coverage import cover
from named import is_kind


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


def true_ids(day):
    """Return the last id of each update by the id that it was sent with; the next one begins after the true one."""
    later = {one["u"]: following["U"] - 1 for one, following in zip(day.diffs, day.diffs[1:], strict=False)}
    return {one["u"]: min(one["u"], later.get(one["u"], one["u"])) for one in day.diffs}


@pytest.mark.parametrize("by", [50, 5_000_000])
@pytest.mark.parametrize("when", ["time 3", "connect 1"])
def test_every_valid_book_is_the_exchange_book_after_one_wrong_last_id(tmp_path, by, when):
    """The recorder loads another snapshot; frames and tape equal the exchange's books wherever they claim to be valid.

    On a new connection the wrong update is the first one, which waits for the first snapshot. That may be newer than
    the update really is, so its own frame proves nothing.
    """
    books = {}

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(4)
        await boxed.synced()
        await boxed.play(0.5)
        await boxed.caught_up()
        books.update(book=boxed.box.truth.book)

    day = recorded(scenario, f"at {when} do wrong_id by={by}", root=tmp_path, clean=False)
    assert [lost["cause"] for lost in day.logged("resync_start")] == ["overlap"]
    assert day.tags in (["initial", "resync"], ["resync"])
    assert (day.anomalies(), day.logged("gap"), day.missing_trades) == (["overlap"], [], set())
    assert len(day.frames) > 30
    true = true_ids(day)
    wrong = [sent for sent, last_id in true.items() if last_id != sent]
    assert len(wrong) == 1
    tape = mm.load_day(day.path)
    assert is_kind(tape, "gap").sum() == day.tags.count("initial")
    compared = 0
    for row in day.frames:
        if when == "connect 1" and int(row["last_update_id"]) in wrong:
            continue
        bids, asks = books["book"](true[int(row["last_update_id"])])
        for side, levels in (("bid", bids), ("ask", asks)):
            for n, (price, qty) in enumerate(levels[:10], 1):
                assert (row[f"{side}{n}_price"], row[f"{side}{n}_qty"]) == (price, qty), (row["recv_seq"], side, n)
        shown = tape.book_at(int(row["recv_time_us"]), 1)
        if len(shown):  # while the first snapshot travels, a frame is older than the first valid book
            best = [shown[name][0] for name in ("bid_price", "ask_price")]
            assert [Decimal(str(price)) for price in best] == [Decimal(bids[0][0]), Decimal(asks[0][0])]
            compared += 1
    assert compared > 25
    covered = cover(DayFolder.at(day.path))
    assert (covered.depth.missing, covered.depth.undeclared) == (0, 0)
    assert covered.covered_s > covered.excluded_s


def test_wrong_id_on_one_connection_of_a_pair_costs_one_resync():
    """The other connection splits the ids differently, which is no contradiction."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(4)
        await boxed.synced()
        await boxed.play(0.5)
        await boxed.caught_up()

    script = "at connect 2 do phase ms=40\nat time 3 on newest do wrong_id"
    day = recorded(scenario, script, pair=True, clean=False)
    assert (day.tags, day.anomalies()) == (["initial", "resync"], ["overlap"])
    assert (day.logged("gap"), day.missing_trades) == ([], set())


@pytest.mark.parametrize(
    ("updates", "lost"),
    [
        ([(1, 11, 20), (2, 16, 25), (1, 21, 30), (2, 26, 35)], []),
        ([(1, 11, 20), (1, 11, 20), (1, 11, 30), (1, 5, 8), (1, 31, 40)], []),
        ([(1, 11, 70), (2, 16, 25), (1, 21, 30), (2, 26, 35)], ["overlap"]),
        ([(1, 11, 20), (1, 16, 30)], ["overlap"]),
    ],
)
def test_only_updates_of_one_connection_contradict_each_other(updates, lost):
    """A connection may repeat its updates, or others that end earlier, and connections split the ids differently."""
    feed = Feed(1, 2)
    feed.take(snapshot(10), 1)
    for conn, first_id, last_id in updates:
        feed.take(diff(first_id, last_id), conn)
    assert [event.cause for event in feed.of("BookLost")] == lost
    assert feed.market.book_id == (None if lost else updates[-1][2])


def test_first_update_of_the_next_connection_may_overlap():
    """Each connection splits the ids from its own beginning."""
    feed = Feed(1)
    feed.take(snapshot(10), 1)
    feed.take(diff(11, 20), 1)
    feed.market.closed(1)
    feed.market.opened(2)
    feed.take(diff(16, 25), 2)
    assert (feed.of("BookLost"), feed.market.book_id) == ([], 25)
