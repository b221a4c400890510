import pytest

from mm.instrument import e8
from mm.market_data.local_orderbook import LocalOrderBook
from mm.market_data.reach import EmptySides, Reach


def ladder(side, levels, start=100):
    return [(str(start - side * step), "1") for step in range(1, levels + 1)]


def reach(bids, asks):
    return Reach.of(bids, asks, e8), LocalOrderBook.of(bids, asks, e8)


def test_a_book_that_travels_runs_out_of_levels_that_it_knows():
    """Half of the bids are gone, the levels behind them were never shown."""
    bids, asks = ladder(1, 50), ladder(-1, 50)
    known, book = reach(bids, asks)
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
    known, book = reach(ladder(1, 30), ladder(-1, 30))
    for price, _ in ladder(1, 29):
        book.apply(1, price, "0")
    assert not known.running_out(book, 50, 10)


def test_the_asks_have_an_edge_as_well():
    """Above."""
    asks = ladder(-1, 50)
    known, book = reach(ladder(1, 50), asks)
    for price, _ in asks[:31]:
        book.apply(-1, price, "0")
    assert known.running_out(book, 50, 10)


@pytest.mark.parametrize("levels", [1, 2, 10, 20])
def test_a_snapshot_no_deeper_than_a_frame_is_not_asked_for_without_end(levels):
    """Half of what it has must be left, not more than it has."""
    known, book = reach(ladder(1, levels), ladder(-1, levels))
    assert not known.running_out(book, levels, 20)


def test_an_empty_side_is_believed_when_it_is_told_again_and_again():
    """An answer that is broken looks the same, once or twice."""
    sides, full = EmptySides(), [("1", "1")]
    assert [sides.doubted(full, []) for _ in range(4)] == [True, True, True, False]
    assert not sides.doubted(full, full)
    assert sides.doubted([], full)
