"""The compiled kernel of levels and its plain Python counterpart return equal results."""

import gc
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import OffGrid
from mm.instrument import decimal_text, e8
from mm.markets import local_orderbook
from mm.markets.binance_spot import Messages
from mm.markets.grid import Grid
from mm.markets.local_orderbook import LocalOrderBook
from mm.markets.messages import DepthUpdate
from mm.markets.records import level_cells

MOST = 2**63 - 1
SYMBOL = "SIMUSDT"
STREAM = {"stream": f"{SYMBOL.lower()}@depth@100ms"}
E = 1_767_600_000_000_000

usual = st.integers(1, 60).map(lambda n: decimal_text(n * 500_000))
prices = st.one_of(
    usual,
    usual,
    st.sampled_from(["0.3", "00.30000000", "0.300", "1", "0.29999999", "0.005", "92233720368.54775807"]),
    st.sampled_from(["92233720368.54775808", "99999999999.99999999", "123456789012.00000000", "9" * 30]),
)
quantities = st.one_of(
    st.integers(0, 3).map(decimal_text),
    st.sampled_from(["0", "0.0", "00.00000000", "1", "1.5", "01.00000000", "1.500000000", "92233720368.54775807"]),
    st.sampled_from(["92233720368.54775808", "9" * 30]),
)
levels = st.lists(st.tuples(prices, quantities), max_size=12)
texts = st.one_of(
    st.integers(0, MOST).map(decimal_text),
    st.from_regex(r"[0-9]{1,12}\.[0-9]{8}", fullmatch=True),
    st.text('0123456789.-+e ٣²"\\', max_size=14),
    st.sampled_from(["", ".", "0.00000000", "-1.00000000", "1.0000000", "1.000000000", "1e5", "1.0000000 "]),
)


def read(sides):
    """Return levels as the kernel reads them from JSON, or as given if it cannot."""
    parsed = (local_orderbook.kernel.read_levels(json.dumps(side, separators=(",", ":")).encode()) for side in sides)
    return [side if found is None else found for found, side in zip(parsed, sides, strict=True)]


def state_of(book, n):
    """Return the complete state of a book."""
    (bid, ask), (bids, asks) = book.best(), book.levels()
    book.check()
    reach = {
        (side, key): (book.levels_to(side, key), book.qty_at(side, key))
        for side, key in [(1, bid), (-1, ask), (1, 1), (-1, 1), (1, 10**40), (-1, 10**40), (1, MOST), (-1, MOST + 1)]
        if key is not None
    }
    assert (bids[:n], asks[:n]) == book.top(n)
    assert book.cells(n) == level_cells(bids[:n], asks[:n], n)
    return bid, ask, bids, asks, book.sizes(), len(book), book.crossed(), reach


@pytest.mark.slow
@given(st.lists(st.tuples(levels, levels, st.booleans()), max_size=8), st.integers(0, 12))
def test_compiled_and_plain_books_are_equal(updates, n):
    """Odd texts are kept, and numbers beyond 64 bits cause no error."""
    compiled, plain = LocalOrderBook(in_e8=True), LocalOrderBook()
    for bids, asks, packed in updates:
        compiled.change(*(read((bids, asks)) if packed else (bids, asks)))
        plain.change(bids, asks)
        assert state_of(compiled, n) == state_of(plain, n)


def test_numbers_beyond_64_bits_are_beyond_every_level():
    """The largest 64-bit price is still within the levels."""
    levels = [("92233720368.54775807", "1"), ("0.00000001", "2")]
    for book in (LocalOrderBook.of(levels, levels, in_e8=in_e8) for in_e8 in (True, False)):
        assert [book.levels_to(1, key) for key in (-MOST - 1, 0, 1, 2, MOST, MOST + 1)] == [2, 2, 2, 1, 1, 0]
        assert [book.levels_to(-1, key) for key in (-MOST - 1, 0, 1, 2, MOST, MOST + 1)] == [0, 0, 1, 1, 2, 2]
        for side in (1, -1):
            assert [book.qty_at(side, key) for key in (MOST, MOST + 1, -MOST - 2)] == ["1", None, None]


@pytest.mark.slow
@given(levels, levels, levels, levels)
def test_differences_are_equal_for_compiled_and_plain_books(bids, asks, other_bids, other_asks):
    """A snapshot is compared with the book that it replaces, in any combination of both kinds."""
    ours = [LocalOrderBook.of(bids, asks, in_e8=in_e8) for in_e8 in (True, False)]
    theirs = [LocalOrderBook.of(other_bids, other_asks, in_e8=in_e8) for in_e8 in (True, False)]
    for edges in ((None, None), (e8("0.2"), e8("0.4")), ours[1].best()):
        assert len({own.differences(other, edges) for own in ours for other in theirs}) == 1


@pytest.mark.parametrize("first", ["1.00000000", "9" * 30])
def test_key_error_keeps_the_changes_before_it(first):
    """Both books apply changes level by level."""
    books = [LocalOrderBook(in_e8=in_e8) for in_e8 in (True, False)]
    for book in books:
        with pytest.raises(OffGrid):
            book.change([(first, "1"), ("2.00000000", "1"), ("x", "1"), ("3.00000000", "1")], [("4", "1")])
    assert state_of(books[0], 5) == state_of(books[1], 5)


@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_kernel_returns_the_levels_as_sent(sent):
    """The kernel may leave a side to plain Python, but never changes what it reads."""
    found = local_orderbook.kernel.read_levels(json.dumps(sent, separators=(",", ":"), ensure_ascii=False).encode())
    if found is not None:
        assert list(found) == sent
        assert (found.step_e8, found.lot_e8) == _divisors(sent)


@given(st.lists(st.tuples(st.integers(1, MOST).map(decimal_text), st.integers(0, MOST).map(decimal_text)), max_size=9))
def test_kernel_reads_all_usual_levels(sent):
    """A kernel that returned None too often would be correct but useless."""
    assert list(local_orderbook.kernel.read_levels(json.dumps(sent, separators=(",", ":")).encode())) == sent


def _divisors(sent):
    grid = Grid()
    grid.check(sent)
    return grid.seen_tick_e8, grid.seen_step_e8


def test_capped_quantity_does_not_affect_the_lot_size():
    """The exchange sends it for larger quantities; the step of all other quantities is kept."""
    sent = [("1.00000000", "92233720368.54775807"), ("2.00000000", "5.00000000")]
    assert local_orderbook.kernel.read_levels(json.dumps(sent, separators=(",", ":")).encode()).lot_e8 == 500_000_000
    for derives in (True, False):
        grid = Grid(derives_steps=derives)
        grid.check(sent)
        grid.check_one(*sent[0])
        assert grid.seen_step_e8 == 500_000_000


@given(st.binary(max_size=40) | st.text('[]",.019 ', max_size=60).map(str.encode))
def test_kernel_reads_or_rejects_arbitrary_bytes(raw):
    """Nothing is read beyond the end of the bytes."""
    found = local_orderbook.kernel.read_levels(raw)
    assert found is None or list(found) == [tuple(level) for level in json.loads(raw)]


def test_kernel_rejects_every_cut_and_every_wrong_byte():
    """Only whole input is read."""
    raw = b'[["0.10000000","1.50000000"],["12345678901.00000000","0.00000000"]]'
    assert len(local_orderbook.kernel.read_levels(raw)) == 2
    for size in range(len(raw)):
        assert local_orderbook.kernel.read_levels(raw[:size]) is None
    for at in range(len(raw)):
        wrong = raw[:at] + b"x" + raw[at + 1 :]
        assert local_orderbook.kernel.read_levels(wrong) is None


def _received(sent, packs):
    """Return the outcome of decoding *sent* after a first message, with the symbol counts and the grid's steps."""
    grid = Grid(derives_steps=False)
    messages = Messages(SYMBOL, grid, packs=packs)
    first = {"e": "depthUpdate", "E": E, "s": SYMBOL, "U": 1, "u": 1, "b": [], "a": []}
    messages.received(json.dumps({**STREAM, "data": first}, separators=(",", ":")).encode())
    try:
        update = messages.received(sent)
        assert isinstance(update, DepthUpdate)
        result = (update.E, update.s, update.U, update.u, list(update.b), list(update.a), update.pu)
    except Exception as error:
        result = (type(error), str(error))
    return result, dict(messages.symbols), grid.seen_tick_e8, grid.seen_step_e8


ids = st.sampled_from([0, 1, 5, 2**63 - 1, 2**63, -1, "1", None])


@given(
    st.lists(st.tuples(texts, texts), max_size=3) | levels | st.sampled_from([None, 5, [["1"]], [["1", "2", "3"]], {}]),
    levels,
    st.fixed_dictionaries(
        {
            "E": st.sampled_from([E, E // 1000, 1, 10**18, "1"]),
            "s": st.sampled_from([SYMBOL, "BTCUSDT"]),
            "U": ids,
            "u": ids,
        },
        optional={"pu": ids, "e": st.just("x"), "T": st.just(1)},
    ),
    st.booleans(),
)
def test_messages_decode_equally_with_and_without_packing(bids, asks, fields, compact):
    """Both ways return the same update, or the same error with the same text."""
    data = {"e": "depthUpdate", **fields, "b": bids, "a": asks}
    sent = json.dumps({**STREAM, "data": data}, separators=(",", ":") if compact else None).encode()
    assert _received(sent, packs=True) == _received(sent, packs=False)


@pytest.mark.slow
def test_kernel_keeps_reference_counts_balanced():
    """Repeated changes leak no objects and release none too often."""
    sent = [(decimal_text(n * 10**6), decimal_text(n % 3)) for n in range(1, 40)]
    raw = json.dumps(sent, separators=(",", ":")).encode()
    odd = [("00.5", "1.0"), ("1.5", "1"), ("00.5", "0")]

    def turn():
        book, refused = LocalOrderBook(in_e8=True), LocalOrderBook(in_e8=True)
        for _ in range(20):
            book.change(local_orderbook.kernel.read_levels(raw), odd)
            book.change(odd, local_orderbook.kernel.read_levels(raw))
            book.check()
            assert book.cells(20)
            assert book.top(5) != refused.top(5)
            assert list(local_orderbook.kernel.read_levels(raw)) == sent
            book.differences(refused)
            assert local_orderbook.kernel.read_levels(raw[:-1]) is None
            with pytest.raises(OffGrid):
                book.change([("x", "1")], [])
        refused.change([("9" * 30, "1")], [])

    def counted():
        gc.collect()
        return sys.getallocatedblocks(), [sys.getrefcount(text) for level in [*odd, *sent] for text in level]

    turn()
    blocks, references = counted()
    for _ in range(20):
        turn()
    now_blocks, now_references = counted()
    assert now_references == references
    assert now_blocks - blocks < 200


@given(levels, st.sampled_from([1, 500_000, 1_000_000]), st.sampled_from([1, 1_000, 50_000_000]))
def test_on_grid_returns_the_levels_of_their_texts(side, tick_e8, lot_e8):
    """Levels off the tick are dropped; None is returned if a quantity is not in whole lots."""
    found = local_orderbook.kernel.read_levels(json.dumps(side, separators=(",", ":")).encode())
    if found is None:
        return
    expected = [divmod(e8(price), tick_e8) + divmod(e8(qty), lot_e8) for price, qty in side]
    on_tick = [level for level in expected if not level[1]]
    rows = None if any(level[3] for level in on_tick) else [(-1, level[0], level[2]) for level in on_tick]
    assert found.on_grid(-1, tick_e8, lot_e8) == rows
