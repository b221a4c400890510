"""DepthCounts: how deep each aggressive order reached."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slow_marks import slow_marks

from mm import CalibrationConfig, fit_poisson
from mm.calibration.calibrator import Calibrator
from mm.calibration.depth_counts import DepthCounts, DepthOptions
from mm.calibration.reference import PER_TICK
from mm.calibration.reference_choice import marks_by_reference
from mm.calibration.sweeps import HitRule
from mm.calibration.tally import reach_of
from mm.errors import UsageError
from small_tapes import book, events, gap, poisson_day, tape, trade

S = 1_000_000


def cells(points):
    """Return ``{(side, block, delta): (seconds, fills)}``."""
    keys = zip(points.side.tolist(), points.block.tolist(), points.delta_ticks.tolist(), strict=True)
    return dict(zip(keys, zip(points.exposure_s.tolist(), points.fills.tolist(), strict=True), strict=True))


RULE = ("hit", "order_e8", "queue_ahead", "grouped")
LOT = 100_000  # of small tapes, in 1e-8


def marks(feed, end_us, **options):
    rule = HitRule(**{name: options.pop(name) for name in RULE if name in options})
    return DepthCounts(tape(feed, 0, end_us), DepthOptions(rule=rule, **options)).between(0, end_us)


def hits(result, side):
    return {key[2]: fills for key, (_, fills) in cells(result.cells).items() if key[0] == side and fills}


def test_sweep_through_two_levels_counts_once_at_deepest_print():
    """Book 100/102, mid 101: prints at 100 and 98 of one order reach bids 3 ticks below the mid, once."""
    feed = [book(0, 100, 102), trade(5 * S, -1, 100, 77), trade(5 * S, -1, 98, 77)]
    result = marks(feed, 10 * S)
    assert hits(result, 1) == {3: 1}
    assert hits(result, -1) == {}
    assert (result.counts.prints, result.counts.sweeps, result.counts.counted) == (2, 1, 1)


def test_cumulative_table_counts_sweep_at_every_reached_distance():
    feed = [book(0, 100, 102), trade(5 * S, -1, 100, 77), trade(5 * S, -1, 98, 77)]
    assert {
        key[2]: row for key, row in cells(marks(feed, 10 * S, max_delta_ticks=5).cumulative).items() if key[0] > 0
    } == {
        1: (10, 1),
        2: (10, 1),
        3: (10, 1),
        4: (10, 0),
        5: (10, 0),
    }


def test_exposure_is_time_when_probe_could_rest_at_distance():
    """Spread 2 for 4 s, then 3 for 6 s: whole ticks from 1 on, then half ticks from 1.5 on; each on two sides."""
    result = marks([book(0, 100, 102), book(4 * S, 100, 103)], 10 * S, max_delta_ticks=3)
    one_side = {1: (4, 0), 2: (4, 0), 3: (4, 0), 1.5: (6, 0), 2.5: (6, 0)}
    assert cells(result.cells) == {(side, 0, delta): row for side in (1, -1) for delta, row in one_side.items()}
    assert (result.valid_s, result.excluded_s) == (10, 0)


def test_sweep_is_measured_from_mid_before_first_print():
    """Changes of the book caused by the order itself do not shorten its reach."""
    feed = [book(0, 100, 102), trade(5, 1, 102, 77), book(6, 100, 104), trade(7, 1, 104, 77)]
    assert hits(marks(feed, 10), -1) == {3: 1}


def test_prints_of_other_side_do_not_split_sweep():
    feed = [book(0, 100, 102), trade(5, 1, 102, 77), trade(5, -1, 100, 77), trade(5, 1, 103, 77)]
    assert (hits(marks(feed, 10), -1), hits(marks(feed, 10), 1)) == ({2: 1}, {1: 1})


def test_different_trade_times_make_separate_sweeps():
    feed = [book(0, 100, 102), trade(5, 1, 102, 77), trade(5, 1, 103, 78)]
    assert hits(marks(feed, 10), -1) == {1: 1, 2: 1}


def test_prints_without_trade_time_are_separate_sweeps():
    """Trade time 0 means unknown: nothing shows that two prints are one order."""
    feed = [book(0, 100, 102), trade(5, 1, 102, 0), trade(5, 1, 103, 0)]
    assert hits(marks(feed, 10), -1) == {1: 1, 2: 1}


def test_print_inside_spread_is_counted_as_unreachable():
    """The book is older than the print, so no probe can be placed there."""
    result = marks([book(0, 100, 104), trade(5, -1, 101), trade(6, -1, 103)], 10)
    assert hits(result, 1) == {}
    assert (result.counts.unreachable, result.counts.counted) == (2, 0)


def test_strict_hit_requires_print_beyond_probe():
    feed = [book(0, 100, 102), trade(5, -1, 99, 77), trade(7, -1, 100, 78)]
    result = marks(feed, 10, hit="strict")
    assert hits(result, 1) == {1: 1}
    assert result.counts.unreachable == 1


SELL = [trade(5, -1, 100, 77, 3), trade(5, -1, 99, 77, 2), trade(5, -1, 98, 77, 1)]


@pytest.mark.parametrize(("lots", "deepest"), [(0, 3), (1, 3), (2, 2), (3, 2), (4, 1), (6, 1), (7, None)])
def test_order_is_hit_where_sweep_quantity_suffices(lots, deepest):
    """3 lots at 1 tick, 2 at 2, 1 at 3: one lot reaches 3 ticks, three reach 2, six reach 1, seven none."""
    result = marks([book(0, 100, 102), *SELL], 10, order_e8=lots * LOT)
    assert hits(result, 1) == ({} if deepest is None else {deepest: 1})
    assert result.counts.unreachable == (deepest is None)


def test_quantity_is_rounded_up_to_whole_lots():
    assert hits(marks([book(0, 100, 102), *SELL], 10, order_e8=LOT + 1), 1) == {2: 1}


def test_strict_order_requires_quantity_beyond_its_price():
    assert hits(marks([book(0, 100, 102), *SELL], 10, hit="strict", order_e8=3 * LOT), 1) == {1: 1}


@pytest.mark.parametrize(("share", "hit"), [(0.0, True), (0.5, True), (0.75, False), (1.0, False)])
def test_displayed_quantity_fills_before_order(share, hit):
    """4 lots shown at 100 and 3 printed there: an order behind 2 of them is hit, one behind 3 is not."""
    feed = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3)]
    assert hits(marks(feed, 10, queue_ahead=share), 1) == ({1: 1} if hit else {})


def test_print_beyond_price_consumes_whole_queue():
    feed = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3), trade(5, -1, 99, 77, 1)]
    assert hits(marks(feed, 10, queue_ahead=1.0), 1) == {2: 1}


def test_queue_is_taken_before_sweep():
    """The book message that removes 3 of the 4 lots arrives between the prints of the sweep."""
    feed = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3), book(6, 100, 102, 1), trade(7, -1, 100, 77, 1)]
    assert hits(marks(feed, 10, queue_ahead=1.0), 1) == {}
    assert hits(marks(feed, 10, queue_ahead=0.75), 1) == {1: 1}


def test_queue_with_strict_hits_is_rejected():
    """Strict hits already let the whole queue fill first."""
    with pytest.raises(UsageError, match=r"^queue_ahead is 0\.5 with strict hits"):
        HitRule("strict", queue_ahead=0.5)


def test_ungrouped_prints_are_separate_orders():
    """Without grouping one order makes three hits, each from its own touch."""
    result = marks([book(0, 100, 102), *SELL], 10, grouped=False)
    assert hits(result, 1) == {1: 1, 2: 1, 3: 1}
    assert (result.counts.prints, result.counts.sweeps) == (3, 3)


def test_sweeps_beyond_largest_distance_fall_into_open_cell():
    feed = [book(0, 100, 102), trade(4, -1, 40), book(5, 100, 103), trade(6, -1, 30)]
    result = marks(feed, 10, max_delta_ticks=4)
    assert hits(result, 1) == {4: 1, 3.5: 1}
    widths = dict(zip(result.cells.delta_ticks.tolist(), result.cells.width_ticks.tolist(), strict=True))
    assert widths == {1: 1, 2: 1, 3: 1, 4: np.inf, 1.5: 1, 2.5: 1, 3.5: np.inf}


def test_spread_wider_than_largest_distance_exposes_no_probe():
    result = marks([book(0, 100, 110), trade(5, -1, 90)], 10, max_delta_ticks=4)
    assert len(result.cells) == 0
    assert result.counts.beyond == 1


def test_gaps_and_their_prints_are_left_out():
    feed = [book(0, 100, 102), gap(4 * S), trade(5 * S, -1, 99), book(6 * S, 100, 102)]
    result = marks(feed, 10 * S, max_delta_ticks=1)
    assert cells(result.cells) == {(1, 0, 1): (8, 0), (-1, 0, 1): (8, 0)}
    assert (result.valid_s, result.excluded_s, result.counts.no_book) == (8, 2, 1)


def test_blocks_are_counted_from_window_start():
    feed = [book(0, 100, 102), trade(450 * S, -1, 100)]
    result = DepthCounts(tape(feed, 0, 1000 * S), DepthOptions(max_delta_ticks=1)).between(100 * S, 700 * S)
    assert cells(result.cells) == {(side, block, 1): (300, block * (side > 0)) for side in (1, -1) for block in (0, 1)}


def test_cell_without_exposure_has_no_hit():
    """Two book messages in one µs with a print between them: the odd spread has zero duration."""
    feed = [book(0, 100, 102), book(5, 100, 103), trade(5, -1, 100), book(5, 100, 102)]
    result = marks(feed, 10)
    assert hits(result, 1) == {}
    assert result.counts.unexposed == 1


def test_best_price_distances_start_at_touch():
    feed = [book(0, 100, 103), trade(4, -1, 100, 7), trade(5, 1, 105, 8)]
    result = marks(feed, 10, reference="best", max_delta_ticks=5)
    assert (hits(result, 1), hits(result, -1)) == ({0: 1}, {2: 1})


def test_micro_price_distances_are_eighths_of_tick():
    """1 lot bid at 100 and 3 offered at 102: micro-price 100.5, so a print at 99 is 1.5 ticks deep."""
    feed = [book(0, 100, 102, 1, 3), trade(4, -1, 99, 7), trade(5, 1, 102, 8)]
    result = marks(feed, 10, reference="micro", max_delta_ticks=3)
    assert (hits(result, 1), hits(result, -1)) == ({1.5: 1}, {1.5: 1})
    assert min(delta for side, _, delta in cells(result.cells) if side > 0) == 0.5


def test_window_outside_tape_is_empty():
    day = DepthCounts(tape([book(0, 100, 102)], 0, 10))
    for start_us, end_us in ((20, 30), (-9, -5), (5, 5)):
        result = day.between(start_us, end_us)
        assert (len(result.cells), len(result.cumulative), result.valid_s, result.excluded_s) == (0, 0, 0, 0)


def test_span_includes_last_event():
    """A whole tape ends at the instant of its last event, a print here."""
    day = DepthCounts(tape([book(0, 100, 102), trade(10, -1, 100)], 0, 10))
    assert day.span == (0, 11)
    assert hits(day.between(*day.span), 1) == {1: 1}


def test_tape_without_events_gives_empty_window():
    result = marks([], 10)
    assert (len(result.cells), result.excluded_s, result.counts.sweeps) == (0, 1e-5, 0)


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("hit", "near", "^hit is"),
        ("order_e8", -1, "^order_e8 is"),
        ("queue_ahead", 1.5, "^queue_ahead is"),
        ("queue_ahead", float("nan"), "^queue_ahead is"),
        ("reference", "last", "^reference is"),
        ("max_delta_ticks", -1, "^max_delta_ticks is"),
        ("max_delta_ticks", float("nan"), "^max_delta_ticks is"),
        ("block_s", 0, "blocks of 0 s"),
    ],
)
def test_invalid_options_are_rejected(knob, value, message):
    with pytest.raises(UsageError, match=message):
        marks([], 10, **{knob: value})


OPTIONS = st.builds(
    DepthOptions,
    reference=st.sampled_from(("mid", "micro", "best")),
    rule=st.one_of(
        st.builds(HitRule, hit=st.sampled_from(("touch", "strict")), grouped=st.booleans()),
        st.builds(
            HitRule,
            order_e8=st.sampled_from((0, 2 * LOT, 5 * LOT // 2)),
            queue_ahead=st.sampled_from((0.0, 0.5, 1.0)),
            grouped=st.booleans(),
        ),
        st.just(HitRule("strict", 3 * LOT)),
    ),
    max_delta_ticks=st.sampled_from((0, 1, 2.5, 4, 7)),
    block_s=st.sampled_from((1e-5, 3e-5, 1)),
)


@pytest.mark.slow
@given(events(), OPTIONS, st.integers(-2, 60), st.integers(0, 60))
def test_marks_match_evaluation_of_every_probe(feed, options, start_us, length_us):
    """The histograms agree with the definition, probe by probe and µs by µs."""
    window = max(start_us, 0), max(start_us, 0) + length_us
    result = DepthCounts(tape(feed, 0, 200), options).between(*window)
    slow_cells, slow_cumulative = slow_marks(feed, window, options)
    assert cells(result.cells) == slow_cells
    assert cells(result.cumulative) == slow_cumulative
    counts = result.counts
    assert counts.sweeps == counts.counted + counts.unreachable + counts.beyond + counts.no_book + counts.unexposed
    assert counts.prints == sum(event[0] == "trade" and window[0] <= event[1] < window[1] for event in feed)
    assert counts.counted == result.cells.fills.sum()


def assert_same(left, right):
    for name in ("cells", "cumulative"):
        for column in ("delta_ticks", "width_ticks", "exposure_s", "fills", "side", "block"):
            np.testing.assert_array_equal(getattr(getattr(left, name), column), getattr(getattr(right, name), column))
    assert asdict(left.counts) == asdict(right.counts)
    assert (left.valid_s, left.excluded_s) == (right.valid_s, right.excluded_s)


@pytest.mark.slow
@given(events(), events(), OPTIONS, st.integers(0, 60), st.integers(1, 60))
def test_events_at_or_after_window_end_do_not_change_result(feed, later_feed, options, start_us, length_us):
    """Marks are equal to the last bit for any events after the window."""
    end_us = start_us + length_us
    past = [event for event in feed if event[1] < end_us]
    future = [(event[0], event[1] + end_us, *event[2:]) for event in later_feed]
    original = DepthCounts(tape(feed, 0, 200), options).between(start_us, end_us)
    changed = DepthCounts(tape(past + future, 0, 200), options).between(start_us, end_us)
    assert_same(original, changed)


@pytest.mark.slow
@example([book(0, 100, 102), trade(3, -1, 99, 7), trade(5, -1, 98, 7)], DepthOptions(), 4, 9)
@given(events(), OPTIONS, st.integers(0, 60), st.integers(1, 60))
def test_window_equals_tape_cut_to_window(feed, options, start_us, length_us):
    """Preparing the day and taking a window equals cutting the tape first."""
    end_us = start_us + length_us
    day = tape(feed, 0, 200)
    window = DepthCounts(day.between(start_us, end_us), options)
    assert_same(DepthCounts(day, options).between(start_us, end_us), window.between(*window.span))


@pytest.mark.slow
@given(events(), OPTIONS.filter(lambda options: options.reference != "micro"), st.integers(1, 60))
def test_marks_are_symmetric_between_sides(feed, options, end_us):
    """Mirrored prices exchange bids and asks (a rounded micro-price may differ by an eighth)."""
    mirrored = [
        ("book", event[1], 200 - event[3] if event[3] else 0, 200 - event[2], event[5], event[4])
        if event[0] == "book"
        else (event[0], event[1], -event[2], 200 - event[3], *event[4:])
        if event[0] == "trade"
        else event
        for event in feed
    ]
    original = cells(DepthCounts(tape(feed, 0, 200), options).between(0, end_us).cells)
    mirrored_cells = cells(DepthCounts(tape(mirrored, 0, 200), options).between(0, end_us).cells)
    assert mirrored_cells == {(-side, block, delta): row for (side, block, delta), row in original.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "hit"), [("mid", "touch"), ("mid", "strict"), ("best", "touch")])
def test_fit_recovers_parameters_of_known_flow(reference, hit):
    """Sweeps of A = 0.8/s and k = 0.5/tick from the mid, over all spreads and both sides.

    A strict hit is one tick harder: A exp(-k). From the own best price the rate at distance 0 is
    that of the half spread: A times the mean of exp(-k spread / 2).
    """
    A, k = 0.8, 0.5
    feed = poisson_day(7, 4 * 3600, A, k)
    day = DepthCounts(tape(feed, 0, 4 * 3600 * S), DepthOptions(reference, HitRule(hit), max_delta_ticks=20))
    fit = fit_poisson(day.points(*day.span))
    spreads = np.array([event[3] - event[2] for event in feed if event[0] == "book"])
    truth = {"touch": A, "strict": A * np.exp(-k)}[hit] if reference == "mid" else A * np.exp(-k * spreads / 2).mean()
    assert fit.n_fills > 5000
    assert abs(fit.k - k) < 4 * fit.se_k
    assert abs(np.log(fit.A / truth)) < 4 * fit.se_logA
    assert fit.status == "ok"
    assert fit.n_blocks == 48


def deep_day(seed, mean_ticks=400.0, hours=2):
    """Return a day whose spread is mostly one tick and whose sweeps reach hundreds of ticks."""
    rng = np.random.default_rng(seed)
    feed, us = [book(0, 100_000, 100_001)], 0
    while us < hours * 3600 * S:
        us += int(rng.exponential(4 * S)) + 1
        wide = int(rng.choice((1, 1, 1, 40, 200)))
        feed.append(book(us, 100_000, 100_000 + wide))
        side = int(rng.choice((1, -1)))
        depth = int(rng.exponential(mean_ticks))
        mid2 = 200_000 + wide
        price = (mid2 - 2 * depth) // 2 if side < 0 else -((-mid2 - 2 * depth) // 2)
        us += 1000
        feed.append(trade(us, side, price))
    return feed


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_widened_cells_give_same_fit_as_unit_cells(seed):
    """A hundred cells over hundreds of ticks give A and k of 4,000 cells, to a small part of their errors."""
    day = tape(deep_day(seed), 0, 7200 * S)
    wide = DepthCounts(day, DepthOptions(max_delta_ticks=4000)).points(*day_span(day))
    fine = unit_cells(day, 4000)
    wide_fit, fine_fit = (fit_poisson(points) for points in (wide, fine))
    assert len(set(wide.delta_ticks.tolist())) <= 202
    assert len(set(fine.delta_ticks.tolist())) > 7000
    assert abs(wide_fit.k - fine_fit.k) < 0.05 * fine_fit.se_k
    assert abs(wide_fit.logA - fine_fit.logA) < 0.05 * fine_fit.se_logA
    assert wide_fit.n_fills == fine_fit.n_fills
    assert wide.exposure_s.sum() > 0


def day_span(day):
    return day.start_us, day.end_us


def unit_cells(day, ticks):
    from unittest.mock import patch

    with patch("mm.calibration.tally.CELLS", 10**6):
        return DepthCounts(day, DepthOptions(max_delta_ticks=ticks)).points(*day_span(day))


def test_auto_reach_is_999_permille_quantile_of_sweeps():
    """The last cell begins there for any tick size; data outside the window does not count."""
    day = tape(deep_day(4), 0, 7200 * S)
    marks = DepthCounts(day, DepthOptions())
    swept = list(marks.tallies(0, 7200 * S).values())
    reach = reach_of(swept, 2)
    touch, depth, count = (
        np.concatenate([getattr(one, name) for one in swept]) for name in ("touch", "depth", "count")
    )
    hit = (touch >= 0) & (depth >= touch)
    assert reach == np.ceil(np.quantile(np.repeat(depth[hit], count[hit]) / 2, 0.999))
    assert 2000 < reach < 5000
    points = marks.points(0, 7200 * S)
    assert reach <= points.delta_ticks.max() < reach + 1
    early = DepthCounts(tape([e for e in deep_day(4) if e[1] < 1800 * S], 0, 1800 * S), DepthOptions())
    assert early.points(0, 1800 * S).delta_ticks.tolist() == marks.points(0, 1800 * S).delta_ticks.tolist()


def test_auto_reach_is_at_least_five_ticks_beyond_touch():
    """All prints at the best price of a one-tick book, and a window without a print."""
    feed = [book(0, 100, 101), *(trade(n * S, (-1) ** n, 100 + (n + 1) % 2) for n in range(1, 60))]
    assert reach_of(list(DepthCounts(tape(feed, 0, 60 * S)).tallies(0, 60 * S).values()), 2) == 6.0
    assert reach_of(list(DepthCounts(tape(feed, 0, 60 * S)).tallies(0, 1).values()), 2) == 5.0


@pytest.mark.parametrize("limit", [0, 99, 100, 101, 12_345, 10**9])
@pytest.mark.parametrize("reference", ["mid", "best", "micro"])
def test_any_limit_counts_every_sweep_once(limit, reference):
    """The number of cells is bounded, and no second or hit is lost or counted twice."""
    day = tape(deep_day(5, hours=1), 0, 3600 * S)
    result = DepthCounts(day, DepthOptions(reference, max_delta_ticks=limit)).between(0, 3600 * S)
    assert result.cells.fills.sum() == result.counts.counted
    assert len(set(result.cells.delta_ticks.tolist())) <= 102 * 8
    assert (result.cells.exposure_s > 0).all()
    assert (result.cells.exposure_s <= 300 + 1e-9).all()
    cumulative = result.cumulative
    for side in (1, -1):
        on_side = cumulative.side == side
        for part in range(PER_TICK[reference]):
            selected = on_side & (np.rint(cumulative.delta_ticks * PER_TICK[reference]) % PER_TICK[reference] == part)
            assert (np.diff(cumulative.exposure_s[selected]) >= -1e-9).all()


@pytest.mark.parametrize("rule", [HitRule(), HitRule(order_e8=2 * LOT, queue_ahead=0.5), HitRule(hit="strict")])
@pytest.mark.parametrize("hours", [0, 1])
def test_marks_by_reference_equal_separate_counts(rule, hours):
    """References share their prints, and results do not leak between them; also for a day without a print."""
    day = tape(deep_day(6, hours=1) if hours else [book(0, 100, 102)], 0, 3600 * S)
    window = 600 * S, 3000 * S
    for reference, (shared,) in marks_by_reference(
        Calibrator(day, CalibrationConfig(reference="mid", rule=rule))
    ).items():
        alone = DepthCounts(day, DepthOptions(reference, rule))
        assert shared.options == alone.options
        for span in (alone.span, window):
            from_shared, from_alone = shared.between(*span), alone.between(*span)
            assert (from_shared.counts, from_shared.valid_s) == (from_alone.counts, from_alone.valid_s)
            assert cells(from_shared.cells) == cells(from_alone.cells)
            assert cells(from_shared.cumulative) == cells(from_alone.cumulative)
