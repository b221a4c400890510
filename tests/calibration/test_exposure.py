"""How long simulated orders rested at each distance, and how often the first fill came there."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.journal import ACTIONS, FILL_COLUMNS, ORDER_COLUMNS, STATUSES, Journal
from mm.calibration.exposure import Anchors, RestingOrders, pooled_rates
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_S, PER_TICK, reference_path, span_of
from small_tapes import book, events, gap, slow_touch, tape, tops

S = 1_000_000
CLOSES = {
    "fill": [("FILL", "FILLED"), ("CLOSE_FILLED", "FILLED")],
    "part": [("FILL", "LIVE")],
    "cancel": [("CANCEL_ACK", "CANCELLED")],
    "expire": [("EXPIRE", "EXPIRED")],
    "reject": [("REJECT", "REJECTED")],
    "": [],
}


def row(**values):
    return [values.get(name, 0 if name.endswith("reason") else -1) for name in ORDER_COLUMNS]


def order(number, side, ticks, active_us, *ends):
    """The rows of one order: placed, then what became of it, as ``(word, instant)``."""
    told = [("PLACE", "SENT", max(active_us - 3, 0))]
    told += [(action, status, us) for word, us in ends for action, status in CLOSES[word]]
    same = {"order_id": number, "side": side, "ticks": ticks, "lots": 1, "active_us": active_us}
    return [row(us=us, action=ACTIONS.index(a), status=STATUSES.index(s), **same) for a, s, us in told]


def journal(told, *orders):
    """The order rows, and a fills row for each fill: the print came before what the book did at that instant."""
    rows = [row for one in orders for row in one]
    table = np.array(rows, np.int64).reshape(-1, len(ORDER_COLUMNS))
    filled = table[table[:, 2] == ACTIONS.index("FILL")]
    fills = np.zeros((len(filled), len(FILL_COLUMNS)), np.int64)
    fills[:, 0], fills[:, 1] = filled[:, 0], filled[:, 1]
    fills[:, 7] = [mid2_before(told, us) for us in filled[:, 0].tolist()]
    empty = np.empty((0, 0), np.int64)
    return Journal(table, fills, empty, empty, ())


def mid2_before(told, us):
    """Best bid plus best ask as they stood up to an instant; 0 without a book."""
    stood = [top for since, _, top in tops(told) if since < us]
    return sum(stood[-1][:2]) if stood and stood[-1] else 0


def places(result):
    points = result.points
    keys = zip(points.side.tolist(), points.block.tolist(), points.delta_ticks.tolist(), strict=True)
    return dict(zip(keys, zip(points.exposure_s.tolist(), points.fills.tolist(), strict=True), strict=True))


def order_exposure(played, day, reference="mid", block_s=BLOCK_S, anchors=None, by_model=False):
    path = reference_path(day, reference)
    return RestingOrders.of(played, anchors, by_model=by_model).between(path, *span_of(day), round(block_s * S))


def measure(told, end_us, *orders, **options):
    return order_exposure(journal(told, *orders), tape(told, 0, end_us), **options)


def test_an_order_is_exposed_from_rest_to_its_first_fill():
    """Bid at 99 under a mid of 101, from second 1 to a fill at second 4: 3 s at 2 ticks, one fill."""
    result = measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, ("fill", 4 * S)))
    assert places(result) == {(1, 0, 2): (3, 1)}
    assert (result.orders, result.fills, result.fills_left_out) == (1, 1, 0)


def test_what_rests_after_a_part_of_it_was_filled_is_not_exposed():
    """First fill goes with time to first fill; the rest of the order would add time without counts."""
    rows = order(1, 1, 99, 1 * S, ("part", 4 * S), ("part", 6 * S), ("cancel", 9 * S))
    assert places(measure([book(0, 100, 102)], 10 * S, rows)) == {(1, 0, 2): (3, 1)}


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_a_cancel_and_an_expiry_end_exposure_without_a_fill(how):
    assert places(measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, (how, 4 * S)))) == {(1, 0, 2): (3, 0)}


def test_an_order_still_resting_is_exposed_to_the_end_of_the_data():
    assert places(measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S))) == {(1, 0, 2): (9, 0)}


def test_a_rejected_order_never_rested():
    result = measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, ("reject", 1 * S)))
    assert (places(result), result.orders) == ({}, 0)


def test_an_order_that_stands_still_changes_its_distance_when_the_mid_moves():
    """Ask at 105: 4 ticks from 101, then 2.5 from 102.5, and the fill comes there."""
    told = [book(0, 100, 102), book(3 * S, 102, 103)]
    result = measure(told, 10 * S, order(1, -1, 105, 1 * S, ("fill", 7 * S)))
    assert places(result) == {(-1, 0, 4): (2, 0), (-1, 0, 2.5): (4, 1)}


def test_a_fill_counts_where_the_print_found_the_order():
    """The fills row names the book before the print, even if both have one instant."""
    told = [book(0, 100, 102), book(7 * S, 99, 103), book(7 * S, 98, 102)]
    rows = order(1, 1, 97, 1 * S, ("fill", 7 * S))
    assert places(measure(told, 10 * S, rows)) == {(1, 0, 4): (6, 1)}
    late = order(2, 1, 97, 1 * S, ("fill", 9 * S))
    later = journal(told, rows, late)
    later.fills[0, 7] = 200
    result = order_exposure(later, tape(told, 0, 10 * S))
    assert places(result) == {(1, 0, 4): (12, 0), (1, 0, 3): (2, 2)}


def test_a_hit_where_no_order_ever_rested_is_left_out():
    """A rate needs seconds: a fill in the very instant in which its distance began has none."""
    told = [book(0, 100, 102), book(7 * S, 98, 102)]
    filled = journal(told, order(1, 1, 97, 1 * S, ("fill", 7 * S)))
    filled.fills[0, 7] = 200
    result = order_exposure(filled, tape(told, 0, 10 * S))
    assert places(result) == {(1, 0, 4): (6, 0)}
    assert (result.fills, result.fills_left_out) == (0, 1)


def test_an_anchored_distance_stays_while_the_mid_moves():
    """The quote was put 4 ticks from its anchor; it counts there, exposed by the book of the moment."""
    told = [book(0, 100, 102), book(3 * S, 102, 103), book(8 * S, 103, 106)]
    anchors = Anchors.of(np.array([(0, 101.0, 101.0), (5 * S, 102.5, 102.5)]), "mid")
    first, second = order(1, -1, 105, 1 * S, ("fill", 7 * S)), order(2, -1, 107, 6 * S)
    second[0][0] = 5 * S
    result = order_exposure(journal(told, first, second), tape(told, 0, 10 * S), anchors=anchors)
    assert places(result) == {(-1, 0, 4): (6, 1), (-1, 0, 4.5): (4, 0)}
    near = order_exposure(journal(told, order(3, -1, 105, 1 * S)), tape(told, 0, 10 * S), anchors=anchors)
    assert places(near) == {(-1, 0, 4): (7, 0)}
    assert near.left_out_s == 2


def test_an_order_nearer_than_its_own_best_price_is_left_out():
    """A bid at 100 while the best bid falls to 99 and comes back: no print shows who would have come."""
    told = [book(0, 100, 102), book(3 * S, 99, 102), book(5 * S, 100, 102)]
    result = measure(told, 10 * S, order(1, 1, 100, 1 * S, ("fill", 6 * S)))
    assert places(result) == {(1, 0, 1): (3, 1)}
    assert (result.exposed_s, result.left_out_s) == (3, 2)


def test_a_fill_nearer_than_the_best_price_ends_the_order_and_counts_nowhere():
    told = [book(0, 100, 102), book(3 * S, 99, 102)]
    result = measure(told, 10 * S, order(1, 1, 100, 1 * S, ("fill", 6 * S)))
    assert places(result) == {(1, 0, 1): (2, 0)}
    assert (result.fills, result.fills_left_out) == (0, 1)


def test_seconds_without_a_book_are_left_out():
    told = [book(0, 100, 102), gap(3 * S), book(5 * S, 100, 102)]
    result = measure(told, 10 * S, order(1, 1, 99, 1 * S, ("cancel", 3 * S)), order(2, 1, 99, 4 * S))
    assert places(result) == {(1, 0, 2): (7, 0)}
    assert result.left_out_s == 1


def test_exposure_is_split_where_a_block_begins():
    result = measure([book(0, 100, 102)], 1000 * S, order(1, 1, 99, 250 * S, ("fill", 600 * S)))
    assert places(result) == {(1, 0, 2): (50, 0), (1, 1, 2): (300, 1)}


@pytest.mark.parametrize(("reference", "delta"), [("mid", 2), ("micro", 1.5), ("best", 1)])
def test_the_reference_can_be_chosen(reference, delta):
    result = measure([book(0, 100, 102, 1, 3)], 10 * S, order(1, 1, 99, 0, ("fill", 1 * S)), reference=reference)
    assert places(result) == {(1, 0, delta): (1, 1)}


def test_a_window_does_not_know_how_an_order_ends_after_it():
    """The fill at second 6 is no datum of a window that ends there."""
    told = [book(0, 100, 102)]
    filled = journal(told, order(1, 1, 99, 1 * S, ("fill", 6 * S)))
    day = tape(told, 0, 10 * S)
    assert places(order_exposure(filled, day.between(2 * S, 6 * S))) == {(1, 0, 2): (4, 0)}
    assert places(order_exposure(filled, day.between(2 * S, 6 * S + 1))) == {(1, 0, 2): (4, 1)}


def test_a_journal_without_orders_gives_no_points():
    result = measure([book(0, 100, 102)], 10 * S)
    assert (len(result.points), result.orders, result.exposed_s, result.left_out_s) == (0, 0, 0, 0)


def test_a_skipped_quote_is_no_order():
    skip = [row(us=5, order_id=0, action=ACTIONS.index("SKIP"), status=STATUSES.index("REJECTED"), side=1, ticks=99)]
    assert measure([book(0, 100, 102)], 10 * S, skip).orders == 0


LIVES = st.lists(
    st.tuples(
        st.sampled_from((1, -1)),
        st.integers(92, 106),
        st.integers(0, 70),
        st.integers(0, 40),
        st.sampled_from(("fill", "part", "cancel", "expire", "")),
    ),
    max_size=6,
)


def slow_exposure(told, lives, window, reference, block_us):
    """Evaluate the position of every order in every µs."""
    tick, spent, fills = Fraction(1, PER_TICK[reference]), Counter(), Counter()
    state = {us: top for since, until, top in tops(told) for us in range(since, min(until, window[1]))}

    def place(side, ticks, us, top=None):
        found = slow_touch(top if top is not None else state[us], side, reference)
        if found is None or side * (found[1] - ticks) < 0:
            return None
        distance = side * (found[0] - ticks)
        assert distance % tick == 0
        return side, (us - window[0]) // block_us, distance

    for side, ticks, start_us, length_us, how in lives:
        stop_us = start_us + length_us if how else window[1]
        for us in range(max(start_us, window[0]), min(stop_us, window[1])):
            spent[place(side, ticks, us)] += 1
        if how in ("fill", "part") and max(start_us, window[0]) < stop_us < window[1]:
            mid2 = mid2_before(told, stop_us)
            stood = [state[stop_us - 1], *(top for since, _, top in tops(told) if since == stop_us)]
            seen = [top for top in stood if (sum(top[:2]) if top else 0) == mid2]
            fills[place(side, ticks, stop_us - 1, seen[-1])] += 1
    for key in [key for key in fills if key not in spent]:
        fills[None] += fills.pop(key)
    return spent, fills


@given(
    events(),
    LIVES,
    st.tuples(st.integers(0, 40), st.integers(1, 60)),
    st.sampled_from(("mid", "micro", "best")),
    st.sampled_from((7, 30, S)),
)
def test_exposure_is_where_every_order_stands_in_every_instant(told, lives, window, reference, block_us):
    """Seconds and fills agree with the slow way, and no order-second is lost."""
    window = window[0], sum(window)
    orders = [
        order(number, side, ticks, start_us, (how, start_us + length_us))
        for number, (side, ticks, start_us, length_us, how) in enumerate(lives, start=1)
    ]
    result = order_exposure(journal(told, *orders), tape(told, 0, 200).between(*window), reference, block_us / S)
    spent, fills = slow_exposure(told, lives, window, reference, block_us)
    left_out, left_out_fills = spent.pop(None, 0), fills.pop(None, 0)
    assert places(result) == {key: (us / S, fills[key]) for key, us in spent.items()}
    assert (result.left_out_s, result.fills_left_out) == (left_out / S, left_out_fills)
    assert result.exposed_s == sum(spent.values()) / S
    assert result.fills == fills.total()


def test_more_places_than_a_table_begins_with():
    """A mid that walks a step a second past two orders: each second is a place of its own, and all of them count."""
    steps = 5_000
    told = [book(second * S, 9_000 + second, 9_002 + second) for second in range(steps)]
    rests = order(1, 1, 8_000, 0), order(2, -1, 20_000, 0)
    found = places(measure(told, steps * S, *rests, block_s=7.0))
    expected = Counter()
    for second in range(steps):
        expected[1, second // 7, 1_001 + second] += 1
        expected[-1, second // 7, 10_999 - second] += 1
    assert found == {place: (seconds, 0) for place, seconds in expected.items()}


def test_a_place_beyond_what_a_key_holds_is_refused():
    """Nothing is added to another place in silence."""
    far = order(1, -1, 1 << 39, 0)
    with pytest.raises(OverflowError, match="274877906944 or more"):
        measure([book(0, 100, 102)], 10 * S, far)
    with pytest.raises(OverflowError, match="blocks are more than 16777216"):
        measure([book(0, 100, 102)], 40 * S, order(1, 1, 99, 0), block_s=2e-6)


def rates_of(rows):
    """The rates of (distance, seconds, fills)."""
    return dict(pooled_rates(Points.of(*map(list, zip(*rows, strict=True)))))


def test_half_ticks_are_interpolated_between_half_ticks():
    """Orders in whole ticks are at even spreads, when twice as much is filled: they give no information about 4.5."""
    rows = [
        (0.5, 9e4, 72_000),
        (1, 9e3, 14_400),
        (3.5, 9e4, 28_800),
        (4, 9e3, 6300),
        (5.5, 9e4, 18_000),
        (6, 9e3, 3600),
    ]
    found = rates_of(rows)
    assert found[4.5] == pytest.approx((found[3.5] * found[5.5]) ** 0.5)
    assert found[5.0] == pytest.approx((found[4.0] * found[6.0]) ** 0.5)
    assert found[1.5] == pytest.approx(found[0.5] ** (2 / 3) * found[3.5] ** (1 / 3))
    assert {at: found[at] for at, *_ in rows} == pytest.approx({at: fills / seconds for at, seconds, fills in rows})
    assert list(found) == sorted(found)


def test_distances_that_orders_only_passed_are_left_out():
    """Fills there come from a running price, not from a quote that rests there."""
    found = rates_of([(3.5, 9e4, 28_800), (4.5, 7e3, 7_000), (5.5, 9e4, 18_000)])
    assert found == {3.5: 0.32, 5.5: 0.2}


def test_distances_of_any_fraction_are_pooled_as_they_come():
    """From a micro-price there are no half ticks, and nothing is left out or put between."""
    found = rates_of([(0.5, 100, 30), (1.0, 50, 12), (1.25, 50, 8), (2.0, 1, 25), (9.0, 50, 25)])
    assert found == pytest.approx({0.5: 0.3, 1.125: 0.2, 2.0: 25.0, 9.0: 0.5})


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.floats(1, 1e6), st.integers(0, 500)), min_size=1, unique_by=lambda row: row[0]
    )
)
def test_rates_lie_within_those_that_were_seen(rows):
    """Distances rise, each is played or is between played ones, and no rate is beyond those observed."""
    found = rates_of([(half / 2, seconds, fills) for half, seconds, fills in sorted(rows)])
    seen = [fills / seconds for _, seconds, fills in rows]  # a distance without a fill may share a pool
    at = np.array(list(found))
    assert (np.diff(at) > 0).all()
    assert not found or min(row[0] for row in rows) / 2 <= at[0] <= at[-1] <= max(row[0] for row in rows) / 2
    assert all(min(seen) * (1 - 1e-9) <= rate <= max(seen) * (1 + 1e-9) for rate in found.values())
