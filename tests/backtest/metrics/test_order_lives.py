"""The fills of orders, and their time at rest outside the distances of a fit."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import lives_of

import engine_chance
from engine_cases import TABLES
from journals import ACTIONS, journal_of, scribes, table_of
from mm.backtest.fills.intensity import Intensity, IntensityPiece
from mm.backtest.journal import Fills, LifeLog, Mids
from mm.backtest.metrics.order_lives import (
    EDGES_US,
    RestSums,
    TimeCells,
    _cut_at,
    fill_rates,
    partial_and_times,
    rest,
    spread_of,
)
from mm.errors import UsageError

S = 1_000_000


def placed_orders(first_id, *lots):
    """Return orders with these *lots*, the first with *first_id*."""
    table = np.zeros((len(lots), 7), np.int64)
    table[:, 4] = lots
    return lives_of(table, first_id=first_id)


def fills_of(ids, lots):
    """Return a table of fills with order ids and lots only."""
    fills = Fills.empty(len(ids))
    fills.order_id, fills.lots = ids, lots
    return fills


@given(scribes(), st.lists(st.integers(0, 60)))
def test_lives_of_rows_in_pieces(scribe, cuts):
    """An order sent in one piece and ended in a later one has the life of the whole journal."""
    journal, log = scribe.journal(), LifeLog()
    for piece in np.split(journal.orders, sorted(cuts)):
        log.add(piece)
    pieced, whole = log.lives(journal.counters["last_us"]), journal.order_lives
    assert [np.asarray(column).tolist() for column in vars(pieced).values()] == [
        np.asarray(column).tolist() for column in vars(whole).values()
    ]


def test_partially_filled_orders_are_counted_once():
    """Two parts of one order, one order filled completely, one partially."""
    assert partial_and_times(placed_orders(4, 3, 7, 8), fills_of([4, 4, 5, 6], [1, 2, 7, 3]))[0] == 2


def test_fills_of_unknown_orders_are_ignored():
    """Orders sent before the first, and after the last."""
    assert partial_and_times(placed_orders(4, 3), fills_of([0, 0, 4, 5], [1, 1, 3, 1]))[0] == 0
    assert partial_and_times(placed_orders(1), fills_of([0, 1], [1, 1]))[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_histogram_counts_times_up_to_each_edge(seed):
    """An edge belongs to the times below it; the last count is of all above; sums exceed 64 bits."""
    random = np.random.default_rng(seed)
    times = random.choice([*EDGES_US[::4], 0, 7, 10**8 + 1], 100)
    times[random.random(100) < 0.1] = 1 << 62
    times[random.random(100) < 0.1] = random.integers(-(1 << 40), 0)
    times = times[:1] if seed == 0 else times
    found, edges = spread_of(times), [*EDGES_US.tolist(), int(times.max())]
    counts = [sum(before < time <= edge for time in times) for before, edge in pairwise([-(2**63), *edges])]
    assert found["histogram"] == [[edge / S, count] for edge, count in zip(edges, counts, strict=True) if count]
    assert (found["n"], found["max"]) == (len(times), max(times.tolist()) / S)
    assert found["mean"] == pytest.approx(sum(times.tolist()) / len(times) / S, rel=1e-12)
    assert [found["p50"], found["p99"]] == pytest.approx((np.quantile(times, [0.5, 0.99]) / S).tolist(), rel=1e-9)


def test_orders_far_from_the_mid_have_the_same_sums_as_near_ones():
    """Beyond the bins of usual runs the sums equal those of orders nearer to the mid, shifted."""
    middle = 1 << 20
    mids = np.array([[0, 2 * middle], [5 * S, 2 * middle + 6]])
    rows = {}
    for away in (10, 2_000, middle - 10):
        table = np.array([[S, S, 1, middle - away, 100, 9 * S, 0]])
        resting = lives_of(table, last_us=10 * S)
        journal = journal_of(np.empty((0, 9)), mids, last_us=10 * S)
        rows[away] = fill_rates(journal, resting, None)[0]["fills_by_distance"]
    near = rows[10]
    assert sum(row["exposure_s"] for row in near) == 8
    for away, far in rows.items():
        assert sum(row["exposure_s"] for row in far) == 8
        assert far[0]["delta_ticks"] - near[0]["delta_ticks"] == away - 10
    assert near[0]["rate_low"] is None, "one block has no interval"


@pytest.mark.slow
def test_run_without_order_rows_keeps_everything_else():
    """The totals of the orders are those of their rows, for every action; reading the orders raises an error."""
    seen = np.zeros((16, 64), np.int64)
    for seed in range(100):
        case = engine_chance.case_of(seed)
        exchanges = [case.exchange(keeps_orders=keep)[0] for keep in (True, False)]
        for exchange in exchanges:
            case.play(exchange, case.tapes)
        whole, without = (exchange.journal() for exchange in exchanges)
        counted = replace(whole, order_counts=None).order_totals()
        for counts, lots in (journal.order_totals() for journal in (whole, without)):
            assert (counts.tolist(), lots) == (counted[0].tolist(), counted[1]), seed
        for name in TABLES[1:]:
            assert np.array_equal(getattr(without, name), getattr(whole, name)), (seed, name)
        assert without.counters == whole.counters
        if counts.any():
            with pytest.raises(UsageError, match="keeps_orders=True"):
                _ = without.order_lives
        seen += counts
    assert seen.sum(axis=1)[: len(ACTIONS)].all()


def piece(start_s, end_s, nearest, farthest):
    rates = dict.fromkeys(("A_bid", "k_bid", "A_ask", "k_ask", "k"), 1.0)
    return IntensityPiece(
        start_us=start_s * S, end_us=end_s * S, min_delta_ticks=nearest, max_delta_ticks=farthest, **rates
    )


def lives(*orders, last_s):
    """Return orders of (side, ticks, rests from, until or None)."""
    columns = [
        (from_s * S, from_s * S, side, ticks, 1, -1 if until_s is None else until_s * S, 0)
        for side, ticks, from_s, until_s in orders
    ]
    return lives_of(columns, last_us=last_s * S)


FROM_MID = np.empty((0, 2), np.int64)
ONE_CELL = TimeCells(np.array([0]), np.array([0]))


def path(*stretches):
    us, mid2 = (np.array(column, np.int64) for column in zip(*stretches, strict=True))
    return us * S, mid2, FROM_MID


def share_outside_fit(resting, path, pieces):
    return rest(resting, path, ONE_CELL, Intensity(pieces))[1]


def test_time_nearer_or_farther_than_the_fit_counts_as_outside():
    """A bid at 100 and an ask at 106 while the mid is 101, 103, nothing, and 101.5; the fit has 2 to 4 ticks."""
    resting = lives((1, 100, 0, 40), (-1, 106, 0, None), last_s=40)
    mids = path((0, 202), (10, 206), (20, 0), (30, 203))
    # bid: 1 tick (out), 3 (in), -, 1.5 (out); ask: 5 (out), 3 (in), -, 4.5 (out)
    assert share_outside_fit(resting, mids, [piece(0, 100, 2.0, 4.0)]) == pytest.approx(40 / 60)
    assert share_outside_fit(resting, mids, [piece(0, 100, 1.0, 5.0)]) == 0.0
    assert share_outside_fit(resting, mids, [piece(0, 100, 10.0, 11.0)]) == 1.0


def test_each_piece_has_its_own_range_or_does_not_count():
    """The second piece is from an older file without the range of its fit."""
    resting = lives((1, 100, 0, 40), last_s=40)
    mids = path((0, 204), (10, 204), (20, 204), (30, 204))
    pieces = [piece(0, 10, 0.5, 1.0), piece(10, 20, None, None), piece(20, 30, 0.5, 2.0)]
    assert share_outside_fit(resting, mids, pieces) == pytest.approx(0.5)
    assert share_outside_fit(resting, mids, pieces[1:2]) is None
    assert share_outside_fit(resting, mids, [piece(10, 20, 1, 3)]) == 0.0  # whole numbers are allowed in a file
    assert share_outside_fit(resting, mids, []) is None


def test_range_in_whole_numbers_is_accepted():
    """A fit written by hand may contain 1 for 1.0; time before the fit does not count."""
    resting = lives((1, 100, 0, 40), last_s=40)
    assert share_outside_fit(resting, path((0, 204), (20, 204)), [piece(10, 100, 1, 5)]) == 0.0


def test_time_before_the_path_of_the_mid_does_not_count():
    """An order that rests earlier rests from the first cut on, whatever precedes the path in memory."""
    resting = lives((1, 100, 5, 30), last_s=40)
    mids = path((10, 204), (20, 206))
    assert share_outside_fit(resting, mids, [piece(0, 100, 2.5, 4.0)]) == pytest.approx(0.5)
    sums, _ = rest(resting, mids, ONE_CELL, None)
    assert (sums.half_ticks.tolist(), sums.time.tolist()) == ([4, 6], [10, 10])


UNIT = 30 * S  # ten of them are a block
PIECES = [(0, 30 * UNIT, 3.0, 0.2, 2.0, 0.1, 0.15), (30 * UNIT, 80 * UNIT, 1.0, 0.5, 4.0, 0.3, 0.4)]


@pytest.mark.parametrize("seed", range(12))
def test_time_at_rest_is_summed_by_block_and_distance(seed, monkeypatch):
    """Interval by interval in plain Python; two pieces of an intensity, and time in neither; every second seed with
    another reference price than the mid, and in pieces of few stretches.
    """
    rng = np.random.default_rng(seed)
    cuts = np.unique(np.append(rng.integers(0, 100, 40), range(0, 100, 10)))
    mid2, piece = rng.integers(190, 210, len(cuts)), np.searchsorted([30, 80], cuts, side="right")
    mid2[rng.random(len(cuts)) < 0.1], piece[piece == 2] = 0, -1
    offsets = rng.integers(0, 3, (len(cuts), 2)) * 4 if seed % 2 else FROM_MID
    begin, ticks = rng.integers(0, 91, 20), np.arange(90, 110) - [0, 500][seed % 3 == 0] * (rng.random(20) < 0.1)
    orders = zip([1, -1] * 10, ticks.tolist(), begin.tolist(), (begin + 9).tolist(), strict=True)
    resting = lives(*((side, ticks, 30 * since, 30 * until) for side, ticks, since, until in orders), last_s=3_000)
    time, mean = defaultdict(int), defaultdict(float)
    for _, since, side, price, _, until, _ in table_of(resting).tolist():
        for row, (at, end, twice, one) in enumerate(zip(cuts, [*cuts[1:], 100], mid2, piece, strict=True)):
            spent = min(end * UNIT, until) - max(at * UNIT, since)
            if twice and spent > 0:
                half, rate = side * (twice - 2 * price), 0.0
                if one >= 0:
                    A, k = PIECES[one][2:4] if side > 0 else PIECES[one][4:6]
                    delta = half / 2 - (offsets[row, 0 if side > 0 else 1] / 8 if seed % 2 else 0)
                    rate = A * np.exp(-k * max(delta, 0))
                time[at // 10, half] += spent / S
                mean[at // 10, half] += rate * spent / S
    if seed % 2:
        monkeypatch.setattr("mm.backtest.metrics.order_lives.AT_ONCE", 7)
    cells = TimeCells(np.arange(10) * 10 * UNIT, np.arange(10))
    sums, _ = rest(resting, (cuts * UNIT, mid2, offsets), cells, Intensity(PIECES))
    by_distance = defaultdict(int)
    for (_, half), spent in time.items():
        by_distance[half] += spent
    assert dict(zip(sums.half_ticks.tolist(), sums.time.tolist(), strict=True)) == by_distance
    expected = np.zeros(sums.rows.shape)
    for (block, half), spent in time.items():
        row = sums.row(np.array([half])).item()
        expected[block, row] += spent, mean[block, half]
    np.testing.assert_allclose(sums.rows, expected, rtol=1e-12, atol=1e-12)
    alone, _ = rest(resting, (cuts * UNIT, mid2, offsets), cells, None)
    assert alone.rows[:, :, 0].tolist() == sums.rows[:, :, 0].tolist()
    assert not alone.rows[:, :, 1].any()


def day_of_fills(rng, level):
    """Return the fill rates of 14 h of one resting order with bursty fills, *level* times as many as predicted."""
    end_us, rate = 168 * 300 * S, 0.1
    first = rng.uniform(-2_000, end_us / S, rng.poisson(0.3 * rate * (end_us / S + 2_000)))
    at, sent = first, [first]
    while at.size:  # seven of ten fills are followed by another one, a minute later on average
        at = np.repeat(at, rng.poisson(0.7, at.size))
        at = at + rng.exponential(60, at.size)
        sent.append(at)
    at = np.sort(np.concatenate(sent)) * S
    at = at[(at >= 0) & (at < end_us)].astype(np.int64)
    fills = np.zeros((len(at), 9), np.int64)
    fills[:, 0], fills[:, 1], fills[:, 2], fills[:, 3], fills[:, 4], fills[:, 7] = at, 1, 1, 100, 1, 202
    resting = lives((1, 100, 0, None), last_s=end_us // S)
    journal = journal_of(fills, np.array([[0, 202]]), spans=np.array([[0, end_us]]), last_us=end_us)
    return fill_rates(journal, resting, Intensity.constant(rate / level, 1e-9))[0]


def test_intervals_accept_bursts_and_reject_a_wrong_level():
    """60 days each: the intervals of all fills, by distance and by hour cover 1 at their level."""
    rng = np.random.default_rng(12)
    covered, rejected, hours = 0, 0, []
    for _ in range(60):
        right, wrong = day_of_fills(rng, 1.0), day_of_fills(rng, 1.4)
        covered += right["fills_ratio"]["low"] <= 1 <= right["fills_ratio"]["high"]
        rejected += wrong["fills_ratio"]["low"] > 1
        hours += [row["ratio_low"] <= 1 <= row["ratio_high"] for row in right["fills_by_hour"]]
        [row] = right["fills_by_distance"]
        ends = {name: row[f"ratio_{name}"] for name in ("low", "high")}
        assert {name: right["fills_ratio"][name] for name in ends} == pytest.approx(ends)
        assert row["rate_low"] / row["rate_per_s"] == pytest.approx(row["ratio_low"] / row["ratio"])
    assert 54 <= covered <= 60
    assert rejected >= 58
    assert 0.92 <= np.mean(hours) <= 0.98


def test_rested_orders_have_arrived_and_were_not_rejected():
    """Of five: in transit at the end, rejected, resting, cancelled, and cancelled while in transit."""
    table = np.array([[0, 9, 1, 5, 1, -1, 0], [0, 1, 1, 5, 1, 2, 1], [0, 1, 1, 5, 1, -1, 0], [0, 1, 1, 5, 1, 4, 0]])
    table = np.concatenate((table, [[0, 9, 1, 5, 1, 3, 0]]))
    resting = lives_of(table, last_us=5)
    assert resting.rested.tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("seed", range(20))
def test_cuts_come_after_rows_of_the_same_time(seed):
    """Each cut repeats the value in force."""
    random = np.random.default_rng(seed)
    mids = np.stack((np.cumsum(random.integers(0, 3, 30)), random.integers(0, 9, 30)), axis=1)
    instants = np.unique(random.integers(mids[0, 0], 60, 12))
    rows = [(us, 0, mid2) for us, mid2 in mids.tolist()]
    for us in instants.tolist():
        rows.append((us, 1, [mid2 for since, _, mid2 in rows if since <= us and _ == 0][-1]))
    expected = sorted(rows, key=lambda row: row[:2])
    us, mid2 = _cut_at(Mids(mids), instants)
    assert list(zip(us.tolist(), mid2.tolist(), strict=True)) == [(us, mid2) for us, _, mid2 in expected]


@pytest.mark.parametrize("seed", range(20))
def test_fills_count_at_the_distance_from_their_own_mid(seed):
    """The mid of a fill is that before the event that filled it; a fill without a mid does not count."""
    random = np.random.default_rng(seed)
    fills = Fills.empty(40)
    fills.us = np.sort(random.integers(0, 100, 40)) * UNIT
    fills.side, fills.ticks = random.choice([-1, 1], 40), random.integers(0, 9, 40)
    fills.mid2 = random.integers(0, 9, 40)
    blocks, first, width, bins = 8, -5, 2, 4
    cells = TimeCells((1 + np.arange(blocks)) * 10 * UNIT, np.arange(blocks))
    expected = np.zeros((blocks, bins))
    for us, _, side, ticks, _, _, _, mid2, _ in fills[fills[:, 7] > 0].tolist():
        block = min(max(us // (10 * UNIT) - 1, 0), blocks - 1)
        expected[block, min(max((side * (mid2 - 2 * ticks) - first) // width, 0), bins - 1)] += 1

    def counted(blocks, bins):
        return RestSums(None, None, (first, width, bins), cells, np.zeros((blocks, bins, 2))).fills(fills)

    assert counted(blocks, bins).tolist() == expected.tolist()
    for size in ((0, bins), (blocks, 0)):
        assert counted(*size).shape == size
