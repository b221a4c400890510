"""Exposure of simulated orders at each distance, and the first fills there."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_journals import S, journal, mid2_before, order, order_exposure, skipped

from mm import Points
from mm.calibration.exposure import Anchors, pooled_rates
from mm.calibration.reference import PER_TICK
from small_tapes import book, events, gap, slow_touch, tape, tops


def places(points):
    keys = zip(points.side.tolist(), points.block.tolist(), points.delta_ticks.tolist(), strict=True)
    return dict(zip(keys, zip(points.exposure_s.tolist(), points.fills.tolist(), strict=True), strict=True))


def measure(feed, end_us, *orders, **options):
    return order_exposure(journal(feed, *orders), tape(feed, 0, end_us), **options)


def test_order_is_exposed_from_rest_to_first_fill():
    """Bid at 99 under a mid of 101, from second 1 to a fill at second 4: 3 s at 2 ticks, one fill."""
    result = measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, ("fill", 4 * S)))
    assert places(result) == {(1, 0, 2): (3, 1)}


def test_exposure_ends_at_first_partial_fill():
    """First fills go with time to first fill; the remainder would add time without counts."""
    rows = order(1, 1, 99, 1 * S, ("part", 4 * S), ("part", 6 * S), ("cancel", 9 * S))
    assert places(measure([book(0, 100, 102)], 10 * S, rows)) == {(1, 0, 2): (3, 1)}


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_cancel_and_expiry_end_exposure_without_fill(how):
    assert places(measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, (how, 4 * S)))) == {(1, 0, 2): (3, 0)}


def test_resting_order_is_exposed_to_end_of_data():
    assert places(measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S))) == {(1, 0, 2): (9, 0)}


def test_rejected_order_has_no_exposure():
    assert places(measure([book(0, 100, 102)], 10 * S, order(1, 1, 99, 1 * S, ("reject", 1 * S)))) == {}


def test_resting_order_changes_distance_when_mid_moves():
    """Ask at 105: 4 ticks from 101, then 2.5 from 102.5, where it is filled."""
    feed = [book(0, 100, 102), book(3 * S, 102, 103)]
    result = measure(feed, 10 * S, order(1, -1, 105, 1 * S, ("fill", 7 * S)))
    assert places(result) == {(-1, 0, 4): (2, 0), (-1, 0, 2.5): (4, 1)}


def test_fill_counts_at_distance_before_print():
    """The fills row contains the mid before the print, even if both have the same instant."""
    feed = [book(0, 100, 102), book(7 * S, 99, 103), book(7 * S, 98, 102)]
    rows = order(1, 1, 97, 1 * S, ("fill", 7 * S))
    assert places(measure(feed, 10 * S, rows)) == {(1, 0, 4): (6, 1)}
    late_order = order(2, 1, 97, 1 * S, ("fill", 9 * S))
    late_journal = journal(feed, rows, late_order)
    late_journal.fills[0, 7] = 200
    result = order_exposure(late_journal, tape(feed, 0, 10 * S))
    assert places(result) == {(1, 0, 4): (12, 0), (1, 0, 3): (2, 2)}


def test_fill_at_distance_without_exposure_is_left_out():
    """A fill at the instant when its distance begins has no exposed seconds, so no rate."""
    feed = [book(0, 100, 102), book(7 * S, 98, 102)]
    filled = journal(feed, order(1, 1, 97, 1 * S, ("fill", 7 * S)))
    filled.fills[0, 7] = 200
    result = order_exposure(filled, tape(feed, 0, 10 * S))
    assert places(result) == {(1, 0, 4): (6, 0)}


def test_anchored_distance_does_not_follow_mid():
    """The quote was placed 4 ticks from its anchor and counts there, exposed by the current book."""
    feed = [book(0, 100, 102), book(3 * S, 102, 103), book(8 * S, 103, 106)]
    anchors = Anchors.of(np.array([(0, 101.0, 101.0), (5 * S, 102.5, 102.5)]), "mid")
    first, second = order(1, -1, 105, 1 * S, ("fill", 7 * S)), order(2, -1, 107, 6 * S)
    second[0][0] = 5 * S
    result = order_exposure(journal(feed, first, second), tape(feed, 0, 10 * S), anchors=anchors)
    assert places(result) == {(-1, 0, 4): (6, 1), (-1, 0, 4.5): (4, 0)}
    near = order_exposure(journal(feed, order(3, -1, 105, 1 * S)), tape(feed, 0, 10 * S), anchors=anchors)
    assert places(near) == {(-1, 0, 4): (7, 0)}


def test_order_inside_best_price_is_left_out():
    """A bid at 100 while the best bid falls to 99 and returns: prints cannot show who would have traded."""
    feed = [book(0, 100, 102), book(3 * S, 99, 102), book(5 * S, 100, 102)]
    result = measure(feed, 10 * S, order(1, 1, 100, 1 * S, ("fill", 6 * S)))
    assert places(result) == {(1, 0, 1): (3, 1)}


def test_fill_inside_best_price_ends_exposure_without_count():
    feed = [book(0, 100, 102), book(3 * S, 99, 102)]
    result = measure(feed, 10 * S, order(1, 1, 100, 1 * S, ("fill", 6 * S)))
    assert places(result) == {(1, 0, 1): (2, 0)}


def test_seconds_without_book_are_left_out():
    feed = [book(0, 100, 102), gap(3 * S), book(5 * S, 100, 102)]
    result = measure(feed, 10 * S, order(1, 1, 99, 1 * S, ("cancel", 3 * S)), order(2, 1, 99, 4 * S))
    assert places(result) == {(1, 0, 2): (7, 0)}


def test_exposure_is_split_at_block_borders():
    result = measure([book(0, 100, 102)], 1000 * S, order(1, 1, 99, 250 * S, ("fill", 600 * S)))
    assert places(result) == {(1, 0, 2): (50, 0), (1, 1, 2): (300, 1)}


@pytest.mark.parametrize(("reference", "delta"), [("mid", 2), ("micro", 1.5), ("best", 1)])
def test_distance_is_measured_from_chosen_reference(reference, delta):
    result = measure([book(0, 100, 102, 1, 3)], 10 * S, order(1, 1, 99, 0, ("fill", 1 * S)), reference=reference)
    assert places(result) == {(1, 0, delta): (1, 1)}


def test_window_ignores_fill_at_its_end():
    """The fill at second 6 is not part of a window that ends there."""
    feed = [book(0, 100, 102)]
    filled = journal(feed, order(1, 1, 99, 1 * S, ("fill", 6 * S)))
    day = tape(feed, 0, 10 * S)
    assert places(order_exposure(filled, day.between(2 * S, 6 * S))) == {(1, 0, 2): (4, 0)}
    assert places(order_exposure(filled, day.between(2 * S, 6 * S + 1))) == {(1, 0, 2): (4, 1)}


def test_journal_without_orders_gives_no_points():
    assert len(measure([book(0, 100, 102)], 10 * S)) == 0


def test_skipped_quote_is_not_an_order():
    assert places(measure([book(0, 100, 102)], 10 * S, skipped(5, 1, 99))) == {}


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


def slow_exposure(feed, lives, window, reference, block_us):
    """Evaluate the position of every order at every µs."""
    tick, spent, fills = Fraction(1, PER_TICK[reference]), Counter(), Counter()
    state = {us: top for since, until, top in tops(feed) for us in range(since, min(until, window[1]))}

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
            mid2 = mid2_before(feed, stop_us)
            tops_at_stop = [state[stop_us - 1], *(top for since, _, top in tops(feed) if since == stop_us)]
            matching = [top for top in tops_at_stop if (sum(top[:2]) if top else 0) == mid2]
            fills[place(side, ticks, stop_us - 1, matching[-1])] += 1
    for key in [key for key in fills if key not in spent]:
        fills[None] += fills.pop(key)
    return spent, fills


@pytest.mark.slow
@given(
    events(),
    LIVES,
    st.tuples(st.integers(0, 40), st.integers(1, 60)),
    st.sampled_from(("mid", "micro", "best")),
    st.sampled_from((7, 30, S)),
)
def test_exposure_matches_slow_evaluation_per_microsecond(feed, lives, window, reference, block_us):
    """Seconds and fills agree with the slow evaluation."""
    window = window[0], sum(window)
    orders = [
        order(number, side, ticks, start_us, (how, start_us + length_us))
        for number, (side, ticks, start_us, length_us, how) in enumerate(lives, start=1)
    ]
    result = order_exposure(journal(feed, *orders), tape(feed, 0, 200).between(*window), reference, block_us / S)
    spent, fills = slow_exposure(feed, lives, window, reference, block_us)
    del spent[None], fills[None]
    assert places(result) == {key: (us / S, fills[key]) for key, us in spent.items()}
    assert result.fills.sum() == fills.total()


def test_table_grows_beyond_initial_size():
    """The mid moves one step per second past two orders: each second is a separate distance, and all count."""
    steps = 5_000
    feed = [book(second * S, 9_000 + second, 9_002 + second) for second in range(steps)]
    resting = order(1, 1, 8_000, 0), order(2, -1, 20_000, 0)
    found = places(measure(feed, steps * S, *resting, block_s=7.0))
    expected = Counter()
    for second in range(steps):
        expected[1, second // 7, 1_001 + second] += 1
        expected[-1, second // 7, 10_999 - second] += 1
    assert found == {place: (seconds, 0) for place, seconds in expected.items()}


def test_distance_or_block_beyond_key_range_raises_overflow_error():
    """No time is silently added to another distance."""
    far = order(1, -1, 1 << 39, 0)
    with pytest.raises(OverflowError, match="the limit is 274877906944"):
        measure([book(0, 100, 102)], 10 * S, far)
    with pytest.raises(OverflowError, match="blocks; the limit is 16777216"):
        measure([book(0, 100, 102)], 40 * S, order(1, 1, 99, 0), block_s=2e-6)


def rates_of(rows):
    """Return the pooled rates of rows of (distance, seconds, fills)."""
    return dict(pooled_rates(Points.of(*map(list, zip(*rows, strict=True)))))


def test_half_ticks_are_interpolated_from_half_ticks():
    """Whole-tick orders occur at even spreads with twice the fill rate, so they give no information about 4.5."""
    rows = [
        (0.5, 9e4, 72_000),
        (1, 9e3, 14_400),
        (3.5, 9e4, 28_800),
        (4, 9e3, 6300),
        (5.5, 9e4, 18_000),
        (6, 9e3, 3600),
    ]
    rates = rates_of(rows)
    assert rates[4.5] == pytest.approx((rates[3.5] * rates[5.5]) ** 0.5)
    assert rates[5.0] == pytest.approx((rates[4.0] * rates[6.0]) ** 0.5)
    assert rates[1.5] == pytest.approx(rates[0.5] ** (2 / 3) * rates[3.5] ** (1 / 3))
    assert {at: rates[at] for at, *_ in rows} == pytest.approx({at: fills / seconds for at, seconds, fills in rows})
    assert list(rates) == sorted(rates)


def test_distances_only_passed_by_orders_are_left_out():
    """Fills there come from a moving mid, not from a quote resting there."""
    rates = rates_of([(3.5, 9e4, 28_800), (4.5, 7e3, 7_000), (5.5, 9e4, 18_000)])
    assert rates == {3.5: 0.32, 5.5: 0.2}


def test_fractional_distances_are_pooled_in_order():
    """A micro-price has no half ticks: nothing is left out or interpolated."""
    rates = rates_of([(0.5, 100, 30), (1.0, 50, 12), (1.25, 50, 8), (2.0, 1, 25), (9.0, 50, 25)])
    assert rates == pytest.approx({0.5: 0.3, 1.125: 0.2, 2.0: 25.0, 9.0: 0.5})


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.floats(1, 1e6), st.integers(0, 500)), min_size=1, unique_by=lambda row: row[0]
    )
)
def test_pooled_rates_stay_within_observed_range(rows):
    """Distances increase, lie within the played range, and no rate is outside those observed."""
    rates = rates_of([(half / 2, seconds, fills) for half, seconds, fills in sorted(rows)])
    observed = [fills / seconds for _, seconds, fills in rows]  # a distance without a fill may share a pool
    at = np.array(list(rates))
    assert (np.diff(at) > 0).all()
    assert not rates or min(row[0] for row in rows) / 2 <= at[0] <= at[-1] <= max(row[0] for row in rows) / 2
    assert all(min(observed) * (1 - 1e-9) <= rate <= max(observed) * (1 + 1e-9) for rate in rates.values())
