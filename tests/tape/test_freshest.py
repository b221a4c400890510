"""The freshest book of depth messages and best prices, against a plain dictionary under the newest best prices."""

from hypothesis import given
from hypothesis import strategies as st

from mm.tape.columns import DEPTH, GAP, SNAPSHOT
from mm.tape.freshest import FreshestBook

LEVELS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=4)
BEST = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(7, 12), st.integers(1, 9))
MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just("depth"), st.integers(0, 3), LEVELS),
        st.tuples(st.just("best"), st.integers(-1, 4), BEST),
        st.tuples(st.just("snapshot"), st.integers(0, 3), LEVELS),
        st.tuples(st.just("gap"), st.just(0), st.just(())),
    ),
    max_size=40,
)


def rows_of(levels):
    """Bids up to 6 ticks, asks above: never crossed."""
    return [(1 if ticks <= 6 else -1, ticks, lots) for ticks, lots in dict(levels).items()]


def topped(told, best):
    """Return a book under best prices: nothing better, and their lots at them."""
    if best is None:
        return told
    bid, bid_lots, ask, ask_lots = best
    under = {(side, ticks): lots for (side, ticks), lots in told.items() if (ticks < bid if side > 0 else ticks > ask)}
    return {**under, (1, bid): bid_lots, (-1, ask): ask_lots}


@given(MESSAGES)
def test_changes_make_the_book_of_a_plain_merge(messages):
    """By update id alone: newer best prices cover the depth, which uncovers what is its own once it has their id."""
    freshest, shown, told, valid, last, best, best_id = FreshestBook(), {}, {}, False, 0, None, 0
    for kind, step, content in messages:
        if kind == "best":
            number = last + step
            changes = freshest.best(number, ((1, *content[:2]), (-1, *content[2:])))
            if valid and number > max(last, best_id):
                best, best_id = content, number
        elif kind == "gap":
            changes, shown, told, valid, best = freshest.take(GAP, 0, ()), {}, {}, False, None
        elif kind == "snapshot" or valid:
            last, rows, code = last + step, rows_of(content), DEPTH if kind == "depth" else SNAPSHOT
            if kind == "snapshot":
                rows, shown, told, valid = [row for row in rows if row[2]], {}, {}, True
            changes = freshest.take(code, last, rows)
            told = {**told, **{row[:2]: row[2] for row in rows}}
            best = best if best_id > last else None
        else:
            continue
        shown = {**shown, **{(side, ticks): lots for side, ticks, lots in changes}}
        expected = topped({price: lots for price, lots in told.items() if lots}, best)
        assert {price: lots for price, lots in shown.items() if lots} == expected
