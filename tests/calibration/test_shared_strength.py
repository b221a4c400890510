"""Segments share strength: the variance between them, what shrinks to their mean, and what tells the next one."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mm import WindowPlan
from mm.base.random_effects import Shared
from mm.calibration.schedule import Schedule, build_schedule
from mm.calibration.schedule_draws import schedule_draws
from mm.calibration.shared_strength import NextStretch, Stretch, sentence
from mm.errors import FitError
from small_tapes import poisson_day
from small_tapes import tape as small_tape


def test_equal_errors_leave_the_variance_beyond_them():
    """The closed form: sample variance less the squared error; the mean is the plain one."""
    values = [1.0, 2.0, 4.0, 7.0]
    found = Shared.of(values, [0.5] * 4)
    assert found.sd**2 == pytest.approx(np.var(values, ddof=1) - 0.25, rel=1e-6)
    assert found.mean == pytest.approx(3.5)
    assert Shared.of(values[:2], [0.5] * 2) is None


def test_values_as_near_as_their_errors_do_not_differ():
    """Then every estimate shrinks to the mean of all."""
    found = Shared.of([1.0, 1.1, 0.9], [0.5] * 3)
    assert found.sd == 0.0
    assert found.shrunk(1.1, 0.5) == pytest.approx((1.0, 0.0))


def test_an_estimate_shrinks_the_more_the_larger_its_error_is():
    """Posterior of a normal mean: precision-weighted."""
    shared = Shared(2.0, 0.3, 9)
    value, error = shared.shrunk(3.0, 0.6)
    assert value == pytest.approx((3.0 / 0.36 + 2.0 / 0.09) / (1 / 0.36 + 1 / 0.09))
    assert error == pytest.approx((1 / 0.36 + 1 / 0.09) ** -0.5)


@pytest.mark.parametrize("between", [0.0, 0.5, 3.0])
@pytest.mark.parametrize(("degrees", "wide"), [(3, 3.18), (1000, 1.96)])
def test_intervals_of_shrunken_estimates_hold_the_truth(between, degrees, wide):
    """Whether stretches are equal or far apart, and from rough errors as well; narrower if they are alike."""
    random, held, width = np.random.default_rng(3), [], []
    for _ in range(40):
        truth = random.normal(0.0, between, 12)
        found, errors = truth + random.normal(0.0, 1.0, 12), np.sqrt(random.chisquare(degrees, 12) / degrees)
        shared = Shared.of(found, errors)
        for value, error, true in zip(found, errors, truth, strict=True):
            low, high = shared.estimate(value, error, wide).ends
            held.append(low <= true <= high)
            width.append((high - low) / (2 * wide * error))
    assert np.mean(held) > 0.92
    assert np.median(width) < (0.8 if between < 1 else 1.01)


@pytest.mark.parametrize("walks", [False, True])
def test_the_next_stretch_is_in_its_interval_in_95_percent(walks):
    """Whether levels are drawn anew or walk; a window is the mean of eight stretches before."""
    random, counts = np.random.default_rng(7), np.zeros(3)
    for _ in range(12):
        steps = random.normal(0.0, 0.1 if walks else 0.3, 50)
        log_a, k = np.cumsum(steps) if walks else steps, 0.7 + 0.05 * random.standard_normal(50)
        counted = NextStretch()
        for at in range(8, 50):
            before = slice(at - 8, at)
            window = (log_a[before].mean() + random.normal(0, 0.05), k[before].mean() + random.normal(0, 0.02))
            after = (log_a[at] + random.normal(0, 0.15), k[at] + random.normal(0, 0.06))
            counted.add(Stretch(*window, 0.05, 0.02), Stretch(*after, 0.15, 0.06))
        told = counted.to_json()["next"]
        counts += told["n"], told["A"], told["k"]
    assert 0.9 < counts[1] / counts[0] < 0.98
    assert 0.9 < counts[2] / counts[0] < 0.98


@pytest.fixture(scope="module")
def schedule():
    day = small_tape(poisson_day(3, 7_200, 0.5, 0.6), 0, 7_200_000_000)
    return build_schedule(day, WindowPlan(train_window_min=30, step_min=10))


def test_a_schedule_states_what_its_segments_share(schedule):
    """About the truth; also after a file."""
    shared = schedule.shared
    assert shared["next"]["n"] == shared["A"]["n"] - 3
    assert shared["k"]["mean"] == pytest.approx(0.6, abs=0.1)
    assert math.exp(shared["A"]["mean"]) == pytest.approx(0.5, abs=0.15)
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json())), "x.json").shared == shared
    drawn = [each for each in schedule.segments if each.A_shrunk is not None]
    assert len(drawn) == shared["next"]["n"] - 1  # by the latency, the segment before has not ended when training does
    assert all(each.ci95_k_shrunk[0] < each.k_shrunk < each.ci95_k_shrunk[1] for each in drawn)
    assert "in the 95 % interval that the window before gave: A " in sentence(shared, "segments of 10 min")


def test_draws_scatter_as_far_as_is_known(schedule):
    """About the shrunken estimates, by their error and the difference between segments; equal seeds, equal draws."""
    drawn = list(schedule_draws(schedule, 300, seed=1))
    for one in drawn:
        one.check()
    usable = next(at for at, segment in enumerate(schedule.segments) if segment.usable)
    logs = [math.log(one.segments[usable].A) for one in drawn]
    shared = Shared(**schedule.shared["A"])
    centre, error = shared.shrunk(math.log(schedule.segments[usable].A), schedule.segments[usable].se_logA)
    wide = math.hypot(error, shared.sd)
    assert np.mean(logs) == pytest.approx(centre, abs=0.25 * wide + 1e-9)
    assert np.std(logs) == pytest.approx(wide, rel=0.15, abs=1e-9)
    assert list(schedule_draws(schedule, 2, seed=1)) == drawn[:2]


def test_too_few_segments_have_no_distribution(schedule):
    with pytest.raises(FitError, match="fewer than 3 segments"):
        next(schedule_draws(replace(schedule, shared=None), 1, 0))
