"""The truth compared with a replay of all changes by a dict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.instrument import Instrument
from mm.sim.exchange.truth import MarketTruth, UnknownId
from mm.sim.matching.order_log import ROW_LEVEL, ROW_TRADE, Row

GRID = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=100_000)


def level(update_id: int, side: int, ticks: int, lots: int) -> Row:
    return (7, ROW_LEVEL, 1, 0, 0, side, ticks, lots, 0, update_id)


def trade(trade_id: int, us: int, side: int, ticks: int, lots: int) -> Row:
    return (us, ROW_TRADE, 9, 8, 5, side, ticks, lots, trade_id, 0)


def text(units: int, step_e8: int) -> str:
    whole, rest = divmod(units * step_e8, 10**8)
    return f"{whole}.{rest:08d}"


def replayed(changes: list[tuple[int, int, int]], count: int) -> tuple[list, list]:
    """Return bids and asks after the first *count* changes, from a dict that starts empty."""
    book: dict[tuple[int, int], int] = {}
    for side, ticks, lots in changes[:count]:
        book[side, ticks] = lots
    sides = []
    for side in (1, -1):
        prices = sorted((ticks for at, ticks in book if at == side and book[at, ticks]), reverse=side > 0)
        sides.append([(text(ticks, 1_000_000), text(book[side, ticks], 100_000)) for ticks in prices])
    return tuple(sides)


CHANGES = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.integers(1, 40), st.integers(0, 3) | st.integers(1, 2**48 - 1)), max_size=300
)


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small example cross many segments."""
    monkeypatch.setattr("mm.sim.exchange.truth._SEGMENT", 8)


def truth_of(changes: list[tuple[int, int, int]], **options: int) -> MarketTruth:
    truth = MarketTruth(GRID, **options)
    truth.listen(level(number, *change) for number, change in enumerate(changes, 1))
    return truth


@given(CHANGES, st.data())
def test_book_at_any_update_id_matches_full_replay(changes: list, data: st.DataObject) -> None:
    """A check of a recording queries any id, in any order, long after the event."""
    truth = truth_of(changes)
    for count in data.draw(st.lists(st.integers(0, len(changes)), max_size=8)):
        assert truth.book(count) == replayed(changes, count)


@given(CHANGES.filter(len), st.data())
def test_changed_levels_turn_book_before_into_book_after(changes: list, data: st.DataObject) -> None:
    """A widened depth message made of them is one that the exchange could have sent."""
    truth = truth_of(changes)
    last = data.draw(st.integers(1, len(changes)))
    first = data.draw(st.integers(1, last))
    for side, (before, changed, after) in enumerate(
        zip(
            truth.book(first - 1),
            truth.changed(first, last),
            truth.book(last),
            strict=1,
        )
    ):
        assert {price for price, _ in changed} == {
            text(ticks, 1_000_000) for at, ticks, _ in changes[first - 1 : last] if at == (1, -1)[side]
        }
        shown = {price: qty for price, qty in (dict(before) | dict(changed)).items() if qty != "0.00000000"}
        assert shown == dict(after)


@given(CHANGES, st.integers(1, 60))
def test_truth_drops_oldest_changes_and_raises_forgotten(changes: list, keep: int) -> None:
    """A server that runs for weeks must not grow; a query of a dropped time must not return a guess."""
    truth = truth_of(changes, keep=keep)
    assert truth.first_update_id <= max(0, len(changes) - keep)
    assert len(changes) - truth.first_update_id <= keep + 2 * 80 + 8
    assert truth.book(truth.first_update_id) == replayed(changes, truth.first_update_id)
    assert truth.book(truth.last_update_id) == replayed(changes, len(changes))
    for update_id in (truth.first_update_id - 1, truth.last_update_id + 1):
        with pytest.raises(UnknownId, match=f"update id {update_id}: stored are"):
            truth.book(update_id)
    with pytest.raises(UnknownId):
        truth.book(truth.last_update_id, era=1)


@given(CHANGES, st.integers(0, 300), st.integers(0, 300), st.integers(1, 500))
def test_every_book_stays_addressable_after_renumbering(changes: list, cut: int, again: int, first: int) -> None:
    """Two eras may use one number; each id of the wire still leads to its own book."""
    cut, again = sorted((min(cut, len(changes)), min(again, len(changes))))
    truth = truth_of(changes)
    truth.renumber(cut, first)
    truth.renumber(truth.named(again)[0], 3)
    for count in range(len(changes) + 1):
        if count <= cut:
            assert truth.book(count, era=0) == replayed(changes, count)
        elif count <= again:
            assert truth.book(first + count - cut - 1, era=1) == replayed(changes, count)
        else:
            assert truth.book(3 + count - again - 1) == replayed(changes, count)
    assert truth.book(truth.last_update_id) == replayed(changes, len(changes))
    assert truth.first_update_id == 0
    if len(changes) > again:
        assert truth.last_update_id == 3 + len(changes) - again - 1


def test_update_id_shared_by_two_eras_means_the_newest() -> None:
    """An era begins after the change before it, whose id belongs to the older era."""
    truth = truth_of([(1, ticks, 1) for ticks in range(1, 11)])
    truth.renumber(6, 5)
    assert [len(truth.book(number)[0]) for number in range(1, 9)] == [1, 2, 3, 4, 7, 8, 9, 10]
    assert len(truth.book(6, era=0)[0]) == 6


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, -1]), st.integers(1, 99), st.integers(1, 99))))
def test_trades_are_returned_as_recorded(prints: list) -> None:
    """A trade id that is missing in a recording is looked up here."""
    truth = MarketTruth(GRID)
    truth.listen(trade(40 + number, *one) for number, one in enumerate(prints))
    expected = [
        (40 + number, us, text(ticks, 1_000_000), text(lots, 100_000), side < 0)
        for number, (us, side, ticks, lots) in enumerate(prints)
    ]
    assert truth.trades(truth.first_trade_id, truth.last_trade_id) == expected
    for start in range(len(prints)):
        assert truth.trades(40 + start, truth.last_trade_id) == expected[start:]
    with pytest.raises(UnknownId, match="stored are"):
        truth.trades(truth.last_trade_id, truth.last_trade_id + 1)


def test_trades_are_bounded_by_keep() -> None:
    """The first id that is left marks what was dropped."""
    truth = MarketTruth(GRID, keep=10)
    truth.listen(trade(number, number, 1, 5, number) for number in range(1, 101))
    assert truth.last_trade_id - 20 <= truth.first_trade_id <= truth.last_trade_id - 10 + 1
    assert [one.trade_id for one in truth.trades(truth.first_trade_id, 100)] == [*range(truth.first_trade_id, 101)]
    with pytest.raises(UnknownId):
        truth.trades(truth.first_trade_id - 1, 100)
