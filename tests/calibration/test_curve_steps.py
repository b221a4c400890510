"""Likelihood climbs of curves: steps against a plain EM turn, curves against their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration._curve_steps import KINDS, NEVER, climb, curve_at, fit_curve
from mm.calibration.likelihood import Shape
from mm.calibration.shapes import FAMILIES, Cells, shares_loglik

SIZE = 5
rows = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE), st.floats(0.5, 50), st.floats(0.1, 100)),
    min_size=1,
    max_size=7,
)


@given(rows, st.lists(st.floats(0.001, 10), min_size=SIZE, max_size=SIZE), st.integers(0, 3))
def test_climb_turn_equals_plain_em_step(rows, steps, turns):
    """Each step is scaled by the sum of count over expected rate in its rows, divided by their total seconds."""
    rows = [(min(one, two), max(one, two, 1), count, waited) for one, two, count, waited in rows]
    rows = [(min(one, two - 1), two, count, waited) for one, two, count, waited in rows]
    begin, end = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    counts, waited = (np.array([row[at] for row in rows]) for at in (2, 3))
    rows_of_step = [[row for row in range(len(rows)) if begin[row] <= at < end[row]] for at in range(SIZE)]
    seconds = [sum(waited[row] for row in held) for held in rows_of_step]
    fast, slow = np.array(steps), list(steps)
    climb((begin, end), counts, waited, fast, turns, -np.inf)
    for _ in range(turns):
        rate = [sum(slow[begin[row] : end[row]]) for row in range(len(rows))]
        slow = [
            slow[at] * sum(counts[row] / rate[row] for row in held) / seconds[at] if held else slow[at]
            for at, held in enumerate(rows_of_step)
        ]
    assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9)


def test_step_without_rows_stays_unchanged():
    """Also where rounding leaves a remainder in the seconds of the rows before it."""
    spans = np.array([0, 0, 1]), np.array([1, 2, 2])
    steps = np.ones(3)
    climb(spans, np.array([2.0, 3.0, 1.0]), np.array([0.1, 0.2, 0.7]), steps, 5, -np.inf)
    assert steps[2] == 1.0
    assert (steps[:2] != 1.0).all()


def test_climb_stops_when_likelihood_gain_is_small():
    """It stops within ten turns of the point where a thousand turns would gain less than the tolerance."""
    spans, counts = (np.array([0, 1, 0]), np.array([2, 3, 3])), np.array([40.0, 9.0, 30.0])
    few, many = np.ones(3), np.ones(3)
    climb(spans, counts, np.array([5.0, 9.0, 2.0]), few, 1000, 1e-6)
    climb(spans, counts, np.array([5.0, 9.0, 2.0]), many, 1000, -np.inf)
    assert few == pytest.approx(many, rel=1e-2, abs=1e-2)
    assert (few != many).any()


def test_invalid_spans_are_rejected():
    one, two = np.ones(1), np.array([2], np.int64)
    with pytest.raises(ValueError, match="unequal length"):
        climb((two, two), np.ones(2), one, one, 1, 0.0)
    with pytest.raises(ValueError, match="from 2 to 2, of 1"):
        climb((two, two), one, one, one, 1, 0.0)


def exponential(shape, x):
    fall = -np.exp(shape[0]) * x
    return fall, fall[:, None]


def power(shape, x):
    log_offset, log_power = shape
    ratio, power = x * np.exp(-log_offset), np.exp(log_power)
    curve = -power * np.log1p(ratio)
    return curve, np.column_stack((power * ratio / (1 + ratio), curve))


def logistic(shape, x):
    level, log_slope = shape
    along = np.exp(log_slope) * x
    odds = np.logaddexp(0, level + along)
    share = np.exp(level + along - odds)
    return -odds, np.column_stack((-share, -share * along))


def two(shape, x):
    log_slow, log_more, odds = shape
    slow, more = np.exp(log_slow), np.exp(log_more)
    curve = np.logaddexp(-(slow + more) * x, odds - slow * x)
    second = np.exp(odds - slow * x - curve)
    return curve, np.column_stack((-slow * x, -more * x * (1 - second), second))


PLAIN = (exponential, power, logistic, two)


@np.errstate(all="ignore")
def climbed(plain, cells, exposure_s, fills, shape):
    """Return the height reached by damped scoring, written out step by step."""
    total, x, damping = float(fills.sum()), cells.units(cells.edges), 1e-3

    def evaluate(at):
        curve, rises = plain(at, x)
        gain, taken = cells.log_gain(curve)
        return float(shares_loglik(gain, exposure_s, fills)), gain, cells.slopes(rises, taken)

    height, gain, slopes = evaluate(shape)
    for _ in range(80):
        expected = exposure_s * np.exp(gain - gain.max())
        expected *= total / expected.sum()
        score = ((fills - expected)[:, None] * slopes).sum(axis=0)
        centred = slopes - (expected[:, None] * slopes).sum(axis=0) / total
        information = np.einsum("ri,rj,r->ij", centred, centred, expected)
        weight, rise = np.diag(information) + 1e-9 * total, 0.0
        for _ in range(12):
            ahead = np.clip(shape + np.linalg.solve(information + np.diag(damping * weight), score), -25, 25)
            candidate = evaluate(ahead)
            if candidate[0] > height:
                rise, (height, gain, slopes), shape, damping = candidate[0] - height, candidate, ahead, damping / 8
                break
            damping *= 6
        if rise < 1e-8:
            break
    return height


def table(rng, step):
    """Return cells with distances *step* apart, with seconds and counts of two exponentials."""
    delta = np.arange(0.5, rng.integers(4, 30), step)
    width = np.where(delta < delta[-1] - 0.9, 1.0, np.inf)
    waited = rng.uniform(50, 500, delta.size)
    rate = np.exp(-delta) + 0.05 * np.exp(-0.15 * delta)
    counts = rng.poisson(rng.uniform(50, 20_000) * waited * rate / (waited @ rate)).astype(float)
    counts[0] += 1
    return Cells(Shape(delta, width), float(rng.uniform(0.5, 4))), waited, counts


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_curves_and_slopes_match_formulas(kind):
    """At usual parameters and at the limits."""
    rng = np.random.default_rng(kind)
    starts = FAMILIES[kind].starts
    for _ in range(50):
        shape = np.array(starts[0]) + rng.normal(0, rng.choice([0.5, 8]), len(starts[0]))
        x = np.concatenate(([0.0], np.sort(rng.exponential(3, 20))))
        with np.errstate(all="ignore"):
            for fast, slow in zip(curve_at(kind, shape, x), PLAIN[kind](shape, x), strict=True):
                assert fast == pytest.approx(slow, rel=1e-11, abs=1e-13, nan_ok=True)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_climb_reaches_height_of_plain_climb(kind):
    """Equal within the tolerance of a last step, and the returned shape has that height."""
    rng = np.random.default_rng(10 + kind)
    for step in (0.5, 1.0, 0.125):
        for start in FAMILIES[kind].starts:
            cells, waited, fills = table(rng, step)
            x = cells.units(cells.edges)
            shape, height = fit_curve(kind, np.array(start), x, cells.spans, waited, fills)
            gain, _ = cells.log_gain(PLAIN[kind](shape, x)[0])
            assert height == pytest.approx(float(shares_loglik(gain, waited, fills)), rel=1e-12)
            assert height == pytest.approx(climbed(PLAIN[kind], cells, waited, fills, np.array(start)), abs=1e-6)


def test_unreachable_row_has_finite_log_gain():
    """The log gain has a lower bound, so the likelihood stays finite."""
    cells = Cells(Shape(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, np.inf])), 1e-4)
    _, height = fit_curve(0, np.zeros(1), cells.units(cells.edges), cells.spans, np.ones(3), np.array([9.0, 0.0, 1.0]))
    assert np.isfinite(height)
    assert cells.log_gain(curve_at(0, np.zeros(1), cells.units(cells.edges))[0])[0].min() == NEVER


def test_invalid_columns_are_rejected():
    one, spans = np.ones(1), (np.array([0]), np.array([1]))
    with pytest.raises(ValueError, match="2 parameters of a curve that has 1"):
        curve_at(0, np.ones(2), one)
    with pytest.raises(ValueError, match="unequal length"):
        fit_curve(0, one, one, spans, np.ones(2), one)
    with pytest.raises(ValueError, match="unequal length"):
        fit_curve(3, one, one, spans, one, one)
    with pytest.raises(ValueError, match="from 1 to 1, of 1"):
        fit_curve(0, one, one, (np.array([1]), np.array([1])), one, one)
