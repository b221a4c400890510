"""Seconds and fills by what has happened to an order: against a plain reading of the journal, and as predictions."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mm
from mm.backtest.metrics.fill_states import FillStates, bins, rows_of, state_sums, summed
from mm.backtest.metrics.order_lives import lives

RECENT_US = 300_000


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A run of fixed quotes on ten minutes of a simulated market, under a queue model."""
    from mm.dayfolder.layout import DayFolder
    from mm.sim.flow.day import make_day
    from mm.sim.flow.scenario import PoissonMarket
    from mm.sim.flow.session import Session

    folder = DayFolder(tmp_path_factory.mktemp("states"), "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=1.2, k_per_tick=0.4), Session("SIMUSDT", "20260105", 1 / 6, 3))
    terms = {"initial_cash": 10**8, "initial_inventory": 10**5, "sensitivity": False}
    quotes = {"delta_ticks": 1.5}
    return mm.backtest(mm.load_day(folder.path), "fixed_spread", "queue_risk_averse", quote_params_json=quotes, **terms)


def plainly(journal):
    """Seconds and fills by state: one order and one µs of change at a time."""
    path = [(us, mid2) for us, mid2 in journal.mids.tolist()]
    path = [one for number, one in enumerate(path) if not number or one[1] != path[number - 1][1]]
    times = [us for us, _ in path]
    last_us = journal.counters["last_us"]
    found = lives(journal)
    seen = defaultdict(lambda: [0.0, 0])
    orders = {}
    for number, order in enumerate(found.table.tolist(), start=found.first_id):
        sent_us, begin, side, ticks, _, end, rejected = order
        end = last_us if end < 0 else end
        orders[number] = sent_us, side, ticks
        if rejected or begin > end:
            continue
        cuts = {begin, end, *(us + extra for us in times for extra in (0, RECENT_US) if begin < us + extra < end)}
        ordered = sorted(cuts)
        for one, two in pairwise(ordered):
            state = state_of(path, times, (sent_us, side, ticks), bisect_right(times, one) - 1, one)
            if state:
                seen[state][0] += (two - one) / 1e6
    for us, number, *_ in journal.fills.tolist():
        state = state_of(path, times, orders[number], bisect_left(times, us) - 1, us - 1)
        if state:
            seen[state][1] += 1
    return seen


def state_of(path, times, order, row, us):
    """The state of an order in a row of the path at an instant; None without a book."""
    sent_us, side, ticks = order
    at_sending = path[bisect_right(times, sent_us) - 1][1]
    if row < 0 or not path[row][1] or not at_sending:
        return None
    before = path[row - 1][1] if row else path[0][1]
    towards = before > 0 and side * (path[row][1] - before) < 0
    recent = before > 0 and us - path[row][0] < RECENT_US
    return side * (at_sending - 2 * ticks), side * (path[row][1] - 2 * ticks), towards + 2 * recent


def test_sums_are_those_of_a_plain_reading(journal):
    """Every second and every fill, in the state that one order after another shows."""
    span = 0, 1 << 62
    found = {tuple(map(int, row[:3])): row[3:] for row in state_sums(journal.journal, RECENT_US, span).tolist()}
    seen = plainly(journal.journal)
    assert sum(fills for _, fills in seen.values()) > 100
    assert {key for key, (seconds, _) in seen.items() if seconds > 1e-6} <= found.keys()
    for state, (seconds, fills) in found.items():
        assert seconds == pytest.approx(seen[state][0], abs=1e-5), state
        assert fills == seen[state][1], state


def test_two_halves_are_the_whole(journal):
    """A window cuts lives at its border, and no second or fill is lost or counted twice."""
    run = journal.journal
    middle = (run.counters["first_us"] + run.counters["last_us"]) // 2
    whole, *halves = (state_sums(run, RECENT_US, span) for span in ((0, 1 << 62), (0, middle), (middle, 1 << 62)))
    assert sum(half[:, 3:] for half in (one.sum(axis=0, keepdims=True) for one in halves)) == pytest.approx(
        whole[:, 3:].sum(axis=0, keepdims=True)
    )


def test_orders_predict_themselves(journal):
    """The rates of a run predict its own fills, in all and by distance, but for what few fills cannot say."""
    run = journal.journal
    states = FillStates(rows_of(state_sums(run, RECENT_US, (0, 1 << 62))), RECENT_US / 1e6, 0.4)
    _, stands, mean = states.predicted(lives(run), run.mids)
    fills = run.fills[run.fills[:, 7] > 0]
    assert mean.sum() == pytest.approx(len(fills), rel=0.02)
    assert np.all(mean >= 0)
    assert len(mean) == len(stands)


def test_a_row_without_time_or_fills_says_nothing():
    """A rate far above the others, of one fill in a millisecond, is not believed; one of forty fills is."""
    quiet = (1.0, 1.0, 0, 0, 10_000.0, 100.0)
    few, many = (1.0, 0.5, 1, 1, 0.001, 1.0), (1.0, 0.5, 1, 1, 0.4, 40.0)
    sent, stands, move = (np.array([one]) for one in (2, 1, 3))
    rates = [FillStates([quiet, one], 0.3, 1.0).rates(sent, stands, move).item() for one in (few, many)]
    assert rates[0] < 10
    assert rates[1] == pytest.approx(100, rel=0.1)


def test_between_two_distances_the_rate_lies_between():
    """Orders sent to 1 and to 3 ticks say what one sent to 2 does, and one beyond both fills less often by k."""
    states = FillStates([(1.0, 1.0, 0, 0, 1000.0, 400.0), (3.0, 3.0, 0, 0, 1000.0, 100.0)], 0.3, 0.5)
    at = {ticks: states.rates(*(np.array([one]) for one in (2 * ticks, 2 * ticks, 0))).item() for ticks in (1, 2, 3, 5)}
    assert at[1] == pytest.approx(0.4, rel=0.02)
    assert at[2] == pytest.approx((at[1] * at[3]) ** 0.5)
    assert at[5] == pytest.approx(at[3] * np.exp(-0.5 * 2))


@given(st.integers(-500, 2000), st.integers(-3000, 3000))
def test_every_distance_has_a_bin(sent, stands):
    """Whatever the distances, the bin exists, and a bin holds both or neither side of the distance sent to."""
    one, two = (int(bins(np.array([sent]), np.array([at]))[0]) for at in (stands, sent))
    assert 0 <= one < 4 * 80
    assert (one // 80 == 0) == (stands >= sent)
    assert two == 0


def rate_of(states, ticks):
    """The rate of an order that stands where it was sent, after a move away that is not recent."""
    return states.rates(*(np.array([one]) for one in (round(2 * ticks), round(2 * ticks), 0))).item()


def rows_at(**seen):
    return [
        (float(name[1:].replace("_", ".")), float(name[1:].replace("_", ".")), 0, 0, *row) for name, row in seen.items()
    ]


def test_whole_ticks_say_nothing_of_half_ticks():
    """Under an odd spread orders stand half a tick off; what they do under an even one is another rate."""
    states = FillStates(
        rows_at(d3_5=(1e4, 4000.0), d4=(1e4, 9000.0), d5_5=(1e4, 1000.0), d6=(1e4, 4000.0)),
        recent_s=0.3,
        k_per_tick=0.5,
    )
    at = {ticks: rate_of(states, ticks) for ticks in (3.5, 4, 4.5, 5, 5.5, 6)}
    assert at[4.5] == pytest.approx((at[3.5] * at[5.5]) ** 0.5)
    assert at[5] == pytest.approx((at[4] * at[6]) ** 0.5)
    assert at[4.5] < at[3.5] < at[5] < at[4]


def test_half_ticks_take_what_whole_ticks_say_where_nothing_else_is_known():
    """A market whose spread is never odd, and a quote half a tick off all the same."""
    states = FillStates(rows_at(d1=(1000.0, 400.0), d2=(1000.0, 100.0)), 0.3, 0.5)
    assert rate_of(states, 1.5) == pytest.approx((rate_of(states, 1) * rate_of(states, 2)) ** 0.5)


def test_a_distance_that_is_seldom_sent_to_is_no_measure_of_it():
    """A quote 3 ticks from the best price stands 4.5 from the mid while the spread is three ticks, when much trades."""
    often = rows_at(d3_5=(7e4, 24_000.0), d5_5=(7e4, 17_000.0))
    seldom = rows_at(d4_5=(5e3, 5_000.0))
    as_often = rows_at(d4_5=(7e4, 70_000.0))
    without, rare, common = (rate_of(FillStates(often + rows, 0.3, 0.2), 4.5) for rows in ([], seldom, as_often))
    assert rare == pytest.approx(without, rel=0.1)
    assert common == pytest.approx(1.0, rel=0.01)


def test_far_distances_keep_their_own_rate():
    """Under a wide spread each run of orders spreads over many distances, the far ones each for a shorter time."""
    near = rows_at(**{f"d{ticks}": (1e4, 5e3) for ticks in range(1, 9)})
    far = rows_at(**{f"d{ticks}": (1e3, 10.0) for ticks in range(40, 60)})
    assert rate_of(FillStates(near + far, 0.3, 0.2), 50) == pytest.approx(0.01, rel=0.2)


@given(st.lists(st.tuples(*[st.integers(-40, 40)] * 2, st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))))
def test_sums_by_state_are_those_of_a_dictionary(rows):
    """Any states, in order, with what belongs to them."""
    plain = defaultdict(lambda: [0, 0])
    for *state, seconds, fills in rows:
        plain[tuple(state)][0] += seconds
        plain[tuple(state)][1] += fills
    found = summed(np.array(rows, np.float64).reshape(-1, 5))
    assert found.tolist() == [[*state, *plain[state]] for state in sorted(plain)]
