"""How deep each aggressive order reached."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slow_marks import slow_marks

from mm.calibration.block_sums import reach_of
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.depth_counts import DepthCounts, DepthOptions
from mm.calibration.fit_points import fit_poisson
from mm.calibration.reference import PER_TICK
from mm.calibration.reference_choice import marks_by_reference
from mm.calibration.sweeps import HitRule
from mm.errors import UsageError
from small_tapes import book, events, gap, poisson_day, tape, trade

S = 1_000_000


def cells(points):
    """Return ``{(side, block, delta): (seconds, fills)}``."""
    keys = zip(points.side.tolist(), points.block.tolist(), points.delta_ticks.tolist(), strict=True)
    return dict(zip(keys, zip(points.exposure_s.tolist(), points.fills.tolist(), strict=True), strict=True))


RULE = ("hit", "order_e8", "queue_ahead", "grouped")
LOT = 100_000  # of small tapes, in 1e-8


def marks(told, end_us, **options):
    rule = HitRule(**{name: options.pop(name) for name in RULE if name in options})
    return DepthCounts(tape(told, 0, end_us), DepthOptions(rule=rule, **options)).between(0, end_us)


def hits(result, side):
    return {key[2]: fills for key, (_, fills) in cells(result.cells).items() if key[0] == side and fills}


def test_one_sell_through_two_levels_is_one_mark_at_its_deepest_print():
    """Book 100/102, mid 101: prints at 100 and 98 of one order reach bids 3 ticks below the mid, once."""
    told = [book(0, 100, 102), trade(5 * S, -1, 100, 77), trade(5 * S, -1, 98, 77)]
    result = marks(told, 10 * S)
    assert hits(result, 1) == {3: 1}
    assert hits(result, -1) == {}
    assert (result.counts.prints, result.counts.sweeps, result.counts.counted) == (2, 1, 1)


def test_the_cumulative_table_counts_a_mark_at_every_distance_it_reached():
    told = [book(0, 100, 102), trade(5 * S, -1, 100, 77), trade(5 * S, -1, 98, 77)]
    assert {
        key[2]: row for key, row in cells(marks(told, 10 * S, max_delta_ticks=5).cumulative).items() if key[0] > 0
    } == {
        1: (10, 1),
        2: (10, 1),
        3: (10, 1),
        4: (10, 0),
        5: (10, 0),
    }


def test_exposure_is_the_time_in_which_a_probe_could_have_rested_there():
    """Spread 2 for 4 s, then 3 for 6 s: whole ticks from 1 on, then half ticks from 1.5 on; each on two sides."""
    result = marks([book(0, 100, 102), book(4 * S, 100, 103)], 10 * S, max_delta_ticks=3)
    one_side = {1: (4, 0), 2: (4, 0), 3: (4, 0), 1.5: (6, 0), 2.5: (6, 0)}
    assert cells(result.cells) == {(side, 0, delta): row for side in (1, -1) for delta, row in one_side.items()}
    assert (result.valid_s, result.excluded_s) == (10, 0)


def test_a_sweep_is_measured_from_the_mid_before_its_first_print():
    """The book that the order itself has moved does not shorten its reach."""
    told = [book(0, 100, 102), trade(5, 1, 102, 77), book(6, 100, 104), trade(7, 1, 104, 77)]
    assert hits(marks(told, 10), -1) == {3: 1}


def test_prints_of_the_other_side_do_not_split_a_sweep():
    told = [book(0, 100, 102), trade(5, 1, 102, 77), trade(5, -1, 100, 77), trade(5, 1, 103, 77)]
    assert (hits(marks(told, 10), -1), hits(marks(told, 10), 1)) == ({2: 1}, {1: 1})


def test_two_trade_times_are_two_sweeps():
    told = [book(0, 100, 102), trade(5, 1, 102, 77), trade(5, 1, 103, 78)]
    assert hits(marks(told, 10), -1) == {1: 1, 2: 1}


def test_prints_without_a_trade_time_stand_for_themselves():
    """0 is "the exchange did not say": nothing shows that two prints are one order."""
    told = [book(0, 100, 102), trade(5, 1, 102, 0), trade(5, 1, 103, 0)]
    assert hits(marks(told, 10), -1) == {1: 1, 2: 1}


def test_a_print_inside_the_spread_hits_no_probe_and_is_counted_as_such():
    """A book older than the print: a quote there could not have been known."""
    result = marks([book(0, 100, 104), trade(5, -1, 101), trade(6, -1, 103)], 10)
    assert hits(result, 1) == {}
    assert (result.counts.unreachable, result.counts.counted) == (2, 0)


def test_strict_wants_a_print_beyond_the_probe():
    told = [book(0, 100, 102), trade(5, -1, 99, 77), trade(7, -1, 100, 78)]
    result = marks(told, 10, hit="strict")
    assert hits(result, 1) == {1: 1}
    assert result.counts.unreachable == 1


SELL = [trade(5, -1, 100, 77, 3), trade(5, -1, 99, 77, 2), trade(5, -1, 98, 77, 1)]


@pytest.mark.parametrize(("lots", "deepest"), [(0, 3), (1, 3), (2, 2), (3, 2), (4, 1), (6, 1), (7, None)])
def test_an_order_is_hit_where_enough_of_a_sweep_prints_at_its_price_or_beyond(lots, deepest):
    """3 lots at 1 tick, 2 at 2, 1 at 3: one lot is brought to 3 ticks, three to 2, six to 1, seven to none."""
    result = marks([book(0, 100, 102), *SELL], 10, order_e8=lots * LOT)
    assert hits(result, 1) == ({} if deepest is None else {deepest: 1})
    assert result.counts.unreachable == (deepest is None)


def test_a_quantity_is_rounded_up_to_whole_lots():
    assert hits(marks([book(0, 100, 102), *SELL], 10, order_e8=LOT + 1), 1) == {2: 1}


def test_a_strict_order_of_some_quantity_wants_it_beyond_its_price():
    assert hits(marks([book(0, 100, 102), *SELL], 10, hit="strict", order_e8=3 * LOT), 1) == {1: 1}


@pytest.mark.parametrize(("share", "hit"), [(0.0, True), (0.5, True), (0.75, False), (1.0, False)])
def test_what_is_displayed_at_the_price_fills_before_the_order(share, hit):
    """4 lots shown at 100 and 3 printed there: an order behind 2 of them is reached, one behind 3 is not."""
    told = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3)]
    assert hits(marks(told, 10, queue_ahead=share), 1) == ({1: 1} if hit else {})


def test_a_print_beyond_the_price_has_taken_the_whole_queue():
    told = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3), trade(5, -1, 99, 77, 1)]
    assert hits(marks(told, 10, queue_ahead=1.0), 1) == {2: 1}


def test_the_queue_is_that_before_the_sweep():
    """The message that takes 3 of the 4 lots away comes between the prints of the sweep that took them."""
    told = [book(0, 100, 102, bid_lots=4), trade(5, -1, 100, 77, 3), book(6, 100, 102, 1), trade(7, -1, 100, 77, 1)]
    assert hits(marks(told, 10, queue_ahead=1.0), 1) == {}
    assert hits(marks(told, 10, queue_ahead=0.75), 1) == {1: 1}


def test_a_queue_with_strict_hits_is_refused():
    """Strict lets everybody at the price fill first: a share of them means nothing."""
    with pytest.raises(UsageError, match="CALIB_QUEUE_AHEAD"):
        HitRule("strict", queue_ahead=0.5)


def test_ungrouped_prints_are_orders_of_their_own():
    """Off, for comparison with those who count prints: three hits of one order, each from its own touch."""
    result = marks([book(0, 100, 102), *SELL], 10, grouped=False)
    assert hits(result, 1) == {1: 1, 2: 1, 3: 1}
    assert (result.counts.prints, result.counts.sweeps) == (3, 3)


def test_everything_beyond_the_largest_distance_falls_into_the_open_cell():
    told = [book(0, 100, 102), trade(4, -1, 40), book(5, 100, 103), trade(6, -1, 30)]
    result = marks(told, 10, max_delta_ticks=4)
    assert hits(result, 1) == {4: 1, 3.5: 1}
    widths = dict(zip(result.cells.delta_ticks.tolist(), result.cells.width_ticks.tolist(), strict=True))
    assert widths == {1: 1, 2: 1, 3: 1, 4: np.inf, 1.5: 1, 2.5: 1, 3.5: np.inf}


def test_a_spread_wider_than_the_largest_distance_exposes_no_probe():
    result = marks([book(0, 100, 110), trade(5, -1, 90)], 10, max_delta_ticks=4)
    assert len(result.cells) == 0
    assert result.counts.beyond == 1


def test_gaps_are_left_out_with_their_prints():
    told = [book(0, 100, 102), gap(4 * S), trade(5 * S, -1, 99), book(6 * S, 100, 102)]
    result = marks(told, 10 * S, max_delta_ticks=1)
    assert cells(result.cells) == {(1, 0, 1): (8, 0), (-1, 0, 1): (8, 0)}
    assert (result.valid_s, result.excluded_s, result.counts.no_book) == (8, 2, 1)


def test_blocks_count_from_the_start_of_the_window():
    told = [book(0, 100, 102), trade(450 * S, -1, 100)]
    result = DepthCounts(tape(told, 0, 1000 * S), DepthOptions(max_delta_ticks=1)).between(100 * S, 700 * S)
    assert cells(result.cells) == {(side, block, 1): (300, block * (side > 0)) for side in (1, -1) for block in (0, 1)}


def test_a_cell_without_time_keeps_no_hit():
    """Two book messages of one µs with a print between them: the odd spread lasted for no time at all."""
    told = [book(0, 100, 102), book(5, 100, 103), trade(5, -1, 100), book(5, 100, 102)]
    result = marks(told, 10)
    assert hits(result, 1) == {}
    assert result.counts.unexposed == 1


def test_distances_from_the_own_best_price_start_at_the_touch():
    told = [book(0, 100, 103), trade(4, -1, 100, 7), trade(5, 1, 105, 8)]
    result = marks(told, 10, reference="best", max_delta_ticks=5)
    assert (hits(result, 1), hits(result, -1)) == ({0: 1}, {2: 1})


def test_distances_from_the_micro_price_are_eighths_of_a_tick():
    """1 lot bid at 100 and 3 offered at 102: micro-price 100.5, so a print at 99 is 1.5 ticks deep."""
    told = [book(0, 100, 102, 1, 3), trade(4, -1, 99, 7), trade(5, 1, 102, 8)]
    result = marks(told, 10, reference="micro", max_delta_ticks=3)
    assert (hits(result, 1), hits(result, -1)) == ({1.5: 1}, {1.5: 1})
    assert min(delta for side, _, delta in cells(result.cells) if side > 0) == 0.5


def test_the_sides_asked_for_are_the_sides_given():
    told = [book(0, 100, 102), trade(4, -1, 99, 7), trade(5, 1, 103, 8)]
    assert set(marks(told, 10, sides=(-1,)).cells.side.tolist()) == {-1}


def test_a_window_outside_the_tape_is_empty():
    day = DepthCounts(tape([book(0, 100, 102)], 0, 10))
    for start_us, end_us in ((20, 30), (-9, -5), (5, 5)):
        result = day.between(start_us, end_us)
        assert (len(result.cells), len(result.cumulative), result.valid_s, result.excluded_s) == (0, 0, 0, 0)


def test_the_span_of_a_tape_holds_its_last_event():
    """A whole tape ends at the instant of its last event, which is a print here."""
    day = DepthCounts(tape([book(0, 100, 102), trade(10, -1, 100)], 0, 10))
    assert day.span == (0, 11)
    assert hits(day.between(*day.span), 1) == {1: 1}


def test_a_tape_without_an_event_gives_an_empty_window():
    result = marks([], 10)
    assert (len(result.cells), result.excluded_s, result.counts.sweeps) == (0, 1e-5, 0)


@pytest.mark.parametrize(
    ("knob", "value", "says"),
    [
        ("hit", "near", "CALIB_HIT"),
        ("order_e8", -1, "CALIB_ORDER_QTY"),
        ("queue_ahead", 1.5, "CALIB_QUEUE_AHEAD"),
        ("queue_ahead", float("nan"), "CALIB_QUEUE_AHEAD"),
        ("reference", "last", "CALIB_REFERENCE"),
        ("max_delta_ticks", -1, "MAX_DELTA_TICKS"),
        ("max_delta_ticks", float("nan"), "MAX_DELTA_TICKS"),
        ("block_s", 0, "blocks of 0 s"),
        ("sides", (), "sides"),
    ],
)
def test_options_that_mean_nothing_are_refused(knob, value, says):
    with pytest.raises(UsageError, match=says):
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


@given(events(), OPTIONS, st.integers(-2, 60), st.integers(0, 60))
def test_marks_are_what_every_single_probe_sees(told, options, start_us, length_us):
    """The histograms agree with the definition, probe by probe and µs by µs."""
    window = max(start_us, 0), max(start_us, 0) + length_us
    result = DepthCounts(tape(told, 0, 200), options).between(*window)
    slow_cells, slow_cumulative = slow_marks(told, window, options)
    assert cells(result.cells) == slow_cells
    assert cells(result.cumulative) == slow_cumulative
    counts = result.counts
    assert counts.sweeps == counts.counted + counts.unreachable + counts.beyond + counts.no_book + counts.unexposed
    assert counts.prints == sum(event[0] == "trade" and window[0] <= event[1] < window[1] for event in told)
    assert counts.counted == result.cells.fills.sum()


def same(one, other):
    for name in ("cells", "cumulative"):
        for column in ("delta_ticks", "width_ticks", "exposure_s", "fills", "side", "block"):
            np.testing.assert_array_equal(getattr(getattr(one, name), column), getattr(getattr(other, name), column))
    assert asdict(one.counts) == asdict(other.counts)
    assert (one.valid_s, one.excluded_s) == (other.valid_s, other.excluded_s)


@given(events(), events(), OPTIONS, st.integers(0, 60), st.integers(1, 60))
def test_nothing_at_or_after_the_end_of_a_window_matters(told, other, options, start_us, length_us):
    """The future may be anything: the past's marks are the same to the last bit."""
    end_us = start_us + length_us
    past = [event for event in told if event[1] < end_us]
    future = [(event[0], event[1] + end_us, *event[2:]) for event in other]
    once = DepthCounts(tape(told, 0, 200), options).between(start_us, end_us)
    again = DepthCounts(tape(past + future, 0, 200), options).between(start_us, end_us)
    same(once, again)


@example([book(0, 100, 102), trade(3, -1, 99, 7), trade(5, -1, 98, 7)], DepthOptions(), 4, 9)
@given(events(), OPTIONS, st.integers(0, 60), st.integers(1, 60))
def test_a_window_is_what_a_tape_of_that_window_gives(told, options, start_us, length_us):
    """The day is prepared once; a window of it is the window cut out first and prepared then."""
    end_us = start_us + length_us
    day = tape(told, 0, 200)
    window = DepthCounts(day.between(start_us, end_us), options)
    same(DepthCounts(day, options).between(start_us, end_us), window.between(*window.span))


@given(events(), OPTIONS.filter(lambda options: options.reference != "micro"), st.integers(1, 60))
def test_marks_are_symmetric(told, options, end_us):
    """Turn the market upside down and bids become asks (a rounded micro-price may differ by an eighth)."""
    mirrored = [
        ("book", event[1], 200 - event[3] if event[3] else 0, 200 - event[2], event[5], event[4])
        if event[0] == "book"
        else (event[0], event[1], -event[2], 200 - event[3], *event[4:])
        if event[0] == "trade"
        else event
        for event in told
    ]
    upright = cells(DepthCounts(tape(told, 0, 200), options).between(0, end_us).cells)
    turned = cells(DepthCounts(tape(mirrored, 0, 200), options).between(0, end_us).cells)
    assert turned == {(-side, block, delta): row for (side, block, delta), row in upright.items()}


@pytest.mark.parametrize(("reference", "hit"), [("mid", "touch"), ("mid", "strict"), ("best", "touch")])
def test_a_known_flow_is_found_again(reference, hit):
    """Sweeps of A = 0.8/s and k = 0.5/tick from the mid, over all spreads and both sides.

    A strict hit is one tick harder: A exp(-k). From the own best price the rate at distance 0 is
    that of the half spread: A times the mean of exp(-k spread / 2).
    """
    A, k = 0.8, 0.5
    told = poisson_day(7, 4 * 3600, A, k)
    day = DepthCounts(tape(told, 0, 4 * 3600 * S), DepthOptions(reference, HitRule(hit), max_delta_ticks=20))
    found = fit_poisson(day.points(*day.span))
    spreads = np.array([event[3] - event[2] for event in told if event[0] == "book"])
    truth = {"touch": A, "strict": A * np.exp(-k)}[hit] if reference == "mid" else A * np.exp(-k * spreads / 2).mean()
    assert found.n_fills > 5000
    assert abs(found.k - k) < 4 * found.se_k
    assert abs(np.log(found.A / truth)) < 4 * found.se_logA
    assert found.status == "ok"
    assert found.n_blocks == 48


def deep_day(seed, mean_ticks=400.0, hours=2):
    """A day in a book that is one tick wide, or at times wider, whose sweeps reach hundreds of ticks."""
    rng = np.random.default_rng(seed)
    told, us = [book(0, 100_000, 100_001)], 0
    while us < hours * 3600 * S:
        us += int(rng.exponential(4 * S)) + 1
        wide = int(rng.choice((1, 1, 1, 40, 200)))
        told.append(book(us, 100_000, 100_000 + wide))
        side = int(rng.choice((1, -1)))
        depth = int(rng.exponential(mean_ticks))
        mid2 = 200_000 + wide
        price = (mid2 - 2 * depth) // 2 if side < 0 else -((-mid2 - 2 * depth) // 2)
        us += 1000
        told.append(trade(us, side, price))
    return told


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cells_that_widen_give_the_fit_of_cells_of_a_tick(seed):
    """Hundreds of ticks in a hundred cells: A and k as of 4,000 cells, to a small part of their errors."""
    day = tape(deep_day(seed), 0, 7200 * S)
    wide = DepthCounts(day, DepthOptions(max_delta_ticks=4000)).points(*day_span(day))
    fine = unit_cells(day, 4000)
    found, exact = (fit_poisson(points) for points in (wide, fine))
    assert len(set(wide.delta_ticks.tolist())) <= 202
    assert len(set(fine.delta_ticks.tolist())) > 7000
    assert abs(found.k - exact.k) < 0.05 * exact.se_k
    assert abs(found.logA - exact.logA) < 0.05 * exact.se_logA
    assert found.n_fills == exact.n_fills
    assert wide.exposure_s.sum() > 0


def day_span(day):
    return day.start_us, day.end_us


def unit_cells(day, ticks):
    from unittest.mock import patch

    with patch("mm.calibration.depth_counts.CELLS", 10**6):
        return DepthCounts(day, DepthOptions(max_delta_ticks=ticks)).points(*day_span(day))


def test_auto_reaches_as_far_as_999_of_1000_sweeps():
    """And the last cell begins there, whatever a tick is worth; nothing outside the window counts."""
    day = tape(deep_day(4), 0, 7200 * S)
    marks = DepthCounts(day, DepthOptions())
    swept = marks.depths(0, 7200 * S)
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


def test_auto_leaves_distances_to_compare_where_nothing_goes_through():
    """All prints at the best price of a book of one tick, and a window without a print."""
    told = [book(0, 100, 101), *(trade(n * S, (-1) ** n, 100 + (n + 1) % 2) for n in range(1, 60))]
    assert reach_of(DepthCounts(tape(told, 0, 60 * S)).depths(0, 60 * S), 2) == 6.0
    assert reach_of(DepthCounts(tape(told, 0, 60 * S)).depths(0, 1), 2) == 5.0


@pytest.mark.parametrize("limit", [0, 99, 100, 101, 12_345, 10**9])
@pytest.mark.parametrize("reference", ["mid", "best", "micro"])
def test_any_limit_counts_every_sweep_once(limit, reference):
    """Few cells, however far they go; and no second and no hit is lost or counted twice."""
    day = tape(deep_day(5, hours=1), 0, 3600 * S)
    found = DepthCounts(day, DepthOptions(reference, max_delta_ticks=limit)).between(0, 3600 * S)
    assert found.cells.fills.sum() == found.counts.counted
    assert len(set(found.cells.delta_ticks.tolist())) <= 102 * 8
    assert (found.cells.exposure_s > 0).all()
    assert (found.cells.exposure_s <= 300 + 1e-9).all()
    shown = found.cumulative
    for side in (1, -1):
        mine = shown.side == side
        for part in range(PER_TICK[reference]):
            some = mine & (np.rint(shown.delta_ticks * PER_TICK[reference]) % PER_TICK[reference] == part)
            assert (np.diff(shown.exposure_s[some]) >= -1e-9).all()


@pytest.mark.parametrize("rule", [HitRule(), HitRule(order_e8=2 * LOT, queue_ahead=0.5), HitRule(hit="strict")])
@pytest.mark.parametrize("hours", [0, 1])
def test_marks_from_several_references_are_those_from_each_alone(rule, hours):
    """They share their prints, and nothing of one reference stays in another; also of a day without a print."""
    day = tape(deep_day(6, hours=1) if hours else [book(0, 100, 102)], 0, 3600 * S)
    window = 600 * S, 3000 * S
    for reference, (shared,) in marks_by_reference(Calibrator(day, CalibrationConfig(rule=rule))).items():
        alone = DepthCounts(day, DepthOptions(reference, rule))
        assert shared.options == alone.options
        for span in (alone.span, window):
            one, other = shared.between(*span), alone.between(*span)
            assert (one.counts, one.valid_s) == (other.counts, other.valid_s)
            assert cells(one.cells) == cells(other.cells)
            assert cells(one.cumulative) == cells(other.cumulative)
