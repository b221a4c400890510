import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import OffGrid
from mm.instrument import Instrument, decimal_text, e8
from mm.markets.local_orderbook import LocalOrderBook

pytestmark = pytest.mark.usefixtures("road")
INSTRUMENT = Instrument("SIMUSDT", 1_000_000, 1_000)
prices = st.integers(1, 30).map(lambda ticks: decimal_text(ticks * 1_000_000))
quantities = st.integers(0, 3).map(lambda lots: decimal_text(lots * 1_000))
changes = st.lists(st.tuples(st.sampled_from([1, -1]), prices, quantities), max_size=60)


def plain(changes):
    """The same book as two dictionaries, sorted on access: the oracle."""
    sides = {1: {}, -1: {}}
    for side, price, qty in changes:
        sides[side][price] = qty
    held = {side: [(p, q) for p, q in levels.items() if e8(q)] for side, levels in sides.items()}
    return (
        sorted(held[1], key=lambda level: -e8(level[0])),
        sorted(held[-1], key=lambda level: e8(level[0])),
    )


@given(changes, st.integers(0, 40))
def test_book_equals_the_applied_changes(changes, n):
    """Best price first on both sides, texts unchanged, levels of zero removed."""
    book = LocalOrderBook(in_e8=True)
    for side, price, qty in changes:
        book.apply(side, price, qty)
        book.check()
    bids, asks = plain(changes)
    assert book.levels() == (bids, asks)
    assert book.top(n) == (bids[:n], asks[:n])
    assert len(book) == len(bids) + len(asks)
    assert book.best() == (e8(bids[0][0]) if bids else None, e8(asks[0][0]) if asks else None)
    assert book.crossed() == bool(bids and asks and e8(bids[0][0]) >= e8(asks[0][0]))


@given(changes)
def test_qty_at_returns_the_quantity_of_a_price(changes):
    """For every price, including those without a level."""
    book = LocalOrderBook(INSTRUMENT.ticks)
    for change in changes:
        book.apply(*change)
    for side, levels in zip((1, -1), plain(changes), strict=True):
        held = {INSTRUMENT.ticks(price): qty for price, qty in levels}
        assert {ticks: book.qty_at(side, ticks) for ticks in range(1, 31)} == {t: held.get(t) for t in range(1, 31)}


def test_snapshot_levels_may_be_in_any_order():
    """The exchange sends the best level first, but the order is irrelevant."""
    book = LocalOrderBook.of([("1.00", "5"), ("1.02", "7")], [("1.05", "2"), ("1.03", "1")], in_e8=True)
    assert book.top(1) == ([("1.02", "7")], [("1.03", "1")])


def test_equal_prices_with_different_texts_are_one_level():
    """The number identifies the level; the text is the last one received."""
    book = LocalOrderBook(in_e8=True)
    book.apply(1, "1.5", "3")
    book.apply(1, "1.50000000", "4.0")
    assert book.levels() == ([("1.50000000", "4.0")], [])
    book.apply(1, "1.5", "0.00000000")
    assert len(book) == 0


def test_locked_book_is_crossed():
    """A bid at the price of an ask counts as crossed."""
    assert LocalOrderBook.of([("1", "1")], [("1", "1")]).crossed()
    assert not LocalOrderBook.of([("1", "1")], [("1.1", "1")]).crossed()
    assert not LocalOrderBook.of([("1", "1")], []).crossed()


def test_key_error_leaves_the_book_unchanged():
    """A price off the grid changes nothing."""
    book = LocalOrderBook(INSTRUMENT.ticks)
    book.apply(1, "1.00", "1")
    with pytest.raises(OffGrid, match=r"1\.005"):
        book.apply(1, "1.005", "1")
    assert book.levels() == ([("1.00", "1")], [])


def test_differences_count_levels_within_the_shorter_book_only():
    """A snapshot of a thousand levels has no information about deeper ones."""
    book = LocalOrderBook.of([("10", "1"), ("9", "2"), ("5", "9")], [("11", "1"), ("20", "1")], in_e8=True)
    same = LocalOrderBook.of([("10.0", "1.0"), ("9", "2")], [("11", "1")], in_e8=True)
    other = LocalOrderBook.of([("10", "1"), ("8", "2")], [("11", "3")], in_e8=True)
    assert book.differences(same) == 0
    assert book.differences(other) == 3
    assert book.differences(LocalOrderBook(in_e8=True)) == 0


def test_check_finds_a_broken_book():
    """Other tests rely on `check`; a compiled side cannot be broken from outside."""
    book = LocalOrderBook.of([("1", "1"), ("2", "1")], [])
    book._bids._keys.reverse()
    with pytest.raises(ValueError, match="do not ascend"):
        book.check()
    book._bids._keys.pop()
    with pytest.raises(ValueError, match="1 keys for 2 levels"):
        book.check()
    book = LocalOrderBook.of([("1", "1")], [])
    book._bids._levels[100_000_000] = ("1", "0.0")
    with pytest.raises(ValueError, match="empty levels"):
        book.check()


def test_differences_count_levels_within_both_edges_only():
    """Levels of a deeper snapshot beyond the edges are not a difference."""
    ours = LocalOrderBook.of([("99", "1"), ("98", "2")], [("101", "1"), ("102", "2")], in_e8=True)
    deeper = LocalOrderBook.of(
        [("99", "1"), ("98", "5"), ("97", "3")], [("101", "1"), ("102", "2"), ("103", "3")], in_e8=True
    )
    assert ours.differences(deeper, (e8("98"), e8("102"))) == 1
    assert ours.differences(deeper) == 3
