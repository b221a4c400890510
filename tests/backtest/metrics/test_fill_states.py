"""Fills per second by the state of an order, used as predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics.fill_states import FillStates, StateRates, bins, state_sums
from mm.backtest.metrics.market_paths import MarketPaths
from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import OrderMarkets, RestingStates
from mm.calibration.state_rates import rates_of

RECENT_US = 300_000
EVER = 0, 1 << 62
NOWHERE = np.empty(0, np.int64)


def test_rates_of_a_run_predict_its_own_fills(journal):
    """In total, up to the uncertainty of few fills."""
    run, market = journal.journal, MarketPaths.of_days(journal.tapes)
    states = FillStates(rates_of(state_sums(run, EVER, OrderMarkets(RECENT_US, market))), RECENT_US / 1e6, 0.4)
    orders = RestingStates(lives(run), run.mids, run.fills, OrderMarkets(RECENT_US, market))
    mean = states.predicted(orders.stretches((0, run.counters["last_us"]), NOWHERE))
    fills = run.fills[run.fills[:, 7] > 0]
    assert mean.sum() == pytest.approx(len(fills), rel=0.02)
    assert np.all(mean >= 0)


def test_row_with_little_time_and_few_fills_has_little_weight():
    """A rate far above the others, of one fill in a millisecond, is shrunk; one of forty fills is not."""
    quiet = (1.0, 1.0, 0, 0, 10_000.0, 10_000.0, 100.0)
    few, many = (1.0, 0.5, 1, 1, 0.001, 0.001, 1.0), (1.0, 0.5, 1, 1, 0.4, 0.4, 40.0)
    rates = [states_of([quiet, row]).rates(states_at(2, 1, 3)).item() for row in (few, many)]
    assert rates[0] < 10
    assert rates[1] == pytest.approx(100, rel=0.1)


def test_unobserved_flow_levels_use_the_nearest_observed_level():
    """A flow above all observed ones counts as the highest, one below as the lowest; distances are interpolated."""
    flow = [(1.0, 0, 0.0, -3, 0.5), (1.0, 0, 0.0, 2, 3.0), (3.0, 0, 0.0, -3, 0.25), (3.0, 0, 0.0, 2, 5.0)]
    states = FillStates(StateRates(rows_at(d1=(1e4, 4e3), d3=(1e4, 1e3)), tuple(flow), (), (), ()), 0.3, 0.5)
    for at, plain, times in ((2, 0.4, flow[:2]), (6, 0.1, flow[2:])):
        for level, (*_, factor) in zip((-3, 2), times, strict=True):
            for flow_level in {-3: (-12, -5, -3, -1), 2: (0, 2, 7)}[level]:
                rate = states.rates(states_at(at, at, 0, flow=flow_level)).item()
                assert rate == pytest.approx(plain * factor, rel=0.01)
    between = states.rates(states_at(4, 4, 0, flow=2)).item()
    assert between == pytest.approx((0.4 * 3.0 * 0.1 * 5.0) ** 0.5, rel=0.01)


def test_touch_has_a_factor_by_distance():
    """Factors are interpolated between distances; an unobserved touch uses the nearest observed one."""
    touch = ((1.0, -1, 3.0), (1.0, 1, 0.1), (3.0, -1, 2.0), (3.0, 1, 0.2))
    states = FillStates(StateRates(rows_at(d1=(1e4, 4e3), d3=(1e4, 1e3)), (), touch, (), ()), 0.3, 0.5)
    for sent, plain, factors in ((2, 0.4, (3.0, 3.0, 0.1)), (6, 0.1, (2.0, 2.0, 0.2))):
        for touch_state, factor in zip((-1, 0, 1), factors, strict=True):
            rate = states.rates(states_at(sent, sent, 0, touch=touch_state)).item()
            assert rate == pytest.approx(plain * factor, rel=0.01)
    between = states.rates(states_at(4, 4, 0, touch=1)).item()
    assert between == pytest.approx((0.4 * 0.1 * 0.1 * 0.2) ** 0.5, rel=0.01)


def test_deviation_and_swept_ticks_have_factors_by_distance():
    """Unobserved classes use the nearest observed ones."""
    deviation = ((1.0, -2, 0.5), (1.0, 3, 4.0), (3.0, -2, 0.25), (3.0, 3, 2.0))
    swept = ((1.0, 0, 0.5), (1.0, 4, 3.0), (3.0, 0, 0.5), (3.0, 4, 1.5))
    states = FillStates(StateRates(rows_at(d1=(1e4, 4e3), d3=(1e4, 1e3)), (), (), deviation, swept), 0.3, 0.5)
    for sent, plain, away, swept_far in ((2, 0.4, (0.5, 4.0), 3.0), (6, 0.1, (0.25, 2.0), 1.5)):
        for number, factor in ((-12, away[0]), (-2, away[0]), (1, away[1]), (12, away[1])):
            rate = states.rates(states_at(sent, sent, 0, deviation=number, swept=12)).item()
            assert rate == pytest.approx(plain * factor * swept_far, rel=0.01)
            rate = states.rates(states_at(sent, sent, 0, deviation=number, swept=1)).item()
            assert rate == pytest.approx(plain * factor * 0.5, rel=0.01)


def test_rate_is_interpolated_between_distances():
    """Orders at 1 and at 3 ticks determine the rate at 2, and beyond both the rate falls by k."""
    states = states_of(rows_at(d1=(1000.0, 400.0), d3=(1000.0, 100.0)), k=0.5)
    at = {ticks: rate_of(states, ticks) for ticks in (1, 2, 3, 5)}
    assert at[1] == pytest.approx(0.4, rel=0.02)
    assert at[2] == pytest.approx((at[1] * at[3]) ** 0.5)
    assert at[5] == pytest.approx(at[3] * np.exp(-0.5 * 2))


def test_unobserved_state_of_a_distance_is_taken_from_near_distances():
    """A state observed at 10.5 ticks only applies to 10 and 16 ticks, scaled by the overall rate of each distance."""
    base = rows_at(d10=(1e4, 40.0), d10_5=(1e4, 40.0), d16=(1e4, 20.0))
    unmoved = (10.5, 10.0, 1, 0, 1e4, 1e4, 50.0)
    passing = [(at, at - 0.5, 1, 1, 10.0, 10.0, 20.0) for at in (10.0, 10.5, 16.0)]
    states = states_of([*base, unmoved, *passing], k=0.1)
    at = {ticks: states.rates(states_at(2 * ticks, 2 * ticks - 1, 1)).item() for ticks in (10, 16)}
    level = {10: 60 / 10_010, 10.5: 110 / 20_010, 16: 40 / 10_010}  # all fills per second of orders sent there
    for ticks, rate in at.items():
        assert rate == pytest.approx(50 / 1e4 * level[ticks] / level[10.5], rel=0.02)
    recent = states.rates(states_at(20, 19, 3)).item()
    assert recent == pytest.approx(2.0, rel=0.1)


def test_partial_fills_in_a_jump_do_not_give_an_extreme_rate():
    """The mid jumps across an order whose parts fill within a millisecond: that rate does not apply to other orders."""
    jump = (5.0, -20.0, 1, 1, 0.001, 0.001, 16.0)
    states = states_of([*rows_at(d5=(1e3, 100.0), d8=(1e3, 60.0)), jump], k=0.2)
    rates = [states.rates(states_at(sent, -40, 3)).item() for sent in (10, 16)]
    assert max(rates) < 2_000  # and not 16,000


def test_order_nearer_than_all_observed_counts_as_the_nearest():
    """The distance at sending is limited, and the distance moved since is kept."""
    rows = [*rows_at(d0_5=(1e3, 500.0), d1=(1e3, 300.0)), (0.5, -0.5, 1, 1, 10.0, 10.0, 50.0)]
    states = states_of(rows, k=0.5)
    assert rate_of(states, -6.5) == rate_of(states, 0.5)
    assert rate_of(states, -6) == rate_of(states, 1)
    at = [states.rates(states_at(sent, sent - 2, 3)).item() for sent in (-13, 1)]
    assert at[0] == at[1] > 3


@given(st.integers(-500, 2000), st.integers(-3000, 3000))
def test_distances_have_valid_bins(sent, stands):
    """Every pair of distances has a bin, and bins separate orders that came nearer from others."""
    moved, unmoved = (int(bins(np.array([sent]), np.array([at]))[0]) for at in (stands, sent))
    assert 0 <= moved < 4 * 80
    assert (moved // 80 == 0) == (stands >= sent)
    assert unmoved == 0


def states_of(rows, k=1.0):
    """Return the states of *rows*, in a market without bursts."""
    return FillStates(StateRates(tuple(rows), (), (), (), ()), 0.3, k)


def states_at(sent, stands, move, *, flow=0, touch=0, deviation=0, swept=0):
    """Return one state, with distances in half ticks, of a new order just after an aggressive order."""
    return np.array([[sent, stands, move, 2 * (flow + 12), touch, deviation, swept]])


def rate_of(states, ticks):
    """Return the rate of an order at its sending distance, after a move away that is not recent."""
    return states.rates(states_at(round(2 * ticks), round(2 * ticks), 0)).item()


def rows_at(**observed):
    at = {name: float(name[1:].replace("_", ".")) for name in observed}
    return [(at[name], at[name], 0, 0, seconds, seconds, fills) for name, (seconds, fills) in observed.items()]


def test_whole_and_half_ticks_are_interpolated_separately():
    """Under an odd spread orders are half a tick off; their rate under an even spread differs."""
    states = states_of(
        rows_at(d3_5=(1e4, 4000.0), d4=(1e4, 9000.0), d5_5=(1e4, 1000.0), d6=(1e4, 4000.0)),
        k=0.5,
    )
    at = {ticks: rate_of(states, ticks) for ticks in (3.5, 4, 4.5, 5, 5.5, 6)}
    assert at[4.5] == pytest.approx((at[3.5] * at[5.5]) ** 0.5)
    assert at[5] == pytest.approx((at[4] * at[6]) ** 0.5)
    assert at[4.5] < at[3.5] < at[5] < at[4]


def test_half_ticks_use_whole_ticks_without_own_observations():
    """A market whose spread is never odd, and a quote half a tick off."""
    states = states_of(rows_at(d1=(1000.0, 400.0), d2=(1000.0, 100.0)), k=0.5)
    assert rate_of(states, 1.5) == pytest.approx((rate_of(states, 1) * rate_of(states, 2)) ** 0.5)


def test_rarely_used_distance_has_little_weight():
    """A quote 3 ticks from the best price is 4.5 from the mid while the spread is three ticks, when trading is busy."""
    often = rows_at(d3_5=(7e4, 24_000.0), d5_5=(7e4, 17_000.0))
    seldom = rows_at(d4_5=(5e3, 5_000.0))
    as_often = rows_at(d4_5=(7e4, 70_000.0))
    base_rate, rare, common = (rate_of(states_of(often + rows, k=0.2), 4.5) for rows in ([], seldom, as_often))
    assert rare == pytest.approx(base_rate, rel=0.1)
    assert common == pytest.approx(1.0, rel=0.01)


def test_far_distances_keep_their_own_rates():
    """Under a wide spread the orders of a run spread over many distances, the far ones each for a shorter time."""
    near = rows_at(**{f"d{ticks}": (1e4, 5e3) for ticks in range(1, 9)})
    far = rows_at(**{f"d{ticks}": (1e3, 10.0) for ticks in range(40, 60)})
    assert rate_of(states_of(near + far, k=0.2), 50) == pytest.approx(0.01, rel=0.2)
