"""The one function that makes verdicts: its interval, the losses it allows for, and what would undo it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from mm.backtest.metrics.verdict import Sample, Tail, colour, judge, verdicts, words
from mm.clock import iso
from mm.trials.moves import WorstMoves
from mm.trials.on_record import OnRecord

TOO_SHORT = {"text": "too short to test", "lower95": None, "upper95": None, "days_to_decide": None, "tail": None}


def judged(changes, days=1, **more):
    """The verdict on a series by minute."""
    return judge(Sample.of(changes, days), **more)


def edge(seed=3, mean=0.4, minutes=120):
    """Noise of a deviation of 1 with a mean."""
    return np.random.default_rng(seed).normal(mean, 1.0, minutes)


@pytest.mark.parametrize(("periods", "known"), [(1, False), (19, False), (20, True)])
def test_fewer_than_twenty_minutes_are_too_short_to_test(periods, known):
    """An error of a few minutes is no measurement of it."""
    found = judged(edge(minutes=periods))
    assert (found.content["lower95"] is not None, found.content["text"] != "too short to test") == (known, known)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.3])
def test_psr_of_no_skill_exceeds_95_percent_in_about_5_percent_of_runs(rho):
    """Also if 60 s changes are autocorrelated: the variance of independent ones gives 11 % of runs at ρ = 0.3."""
    runs = np.random.default_rng(3).normal(size=(2000, 1440))
    for period in range(1, runs.shape[1]):
        runs[:, period] += rho * runs[:, period - 1]
    share = np.mean([(judge(Sample.of(changes)).psr or 0.0) > 0.95 for changes in runs])
    assert share < 0.07
    assert share > 0.03


def test_verdict_is_the_long_run_interval_of_the_sum():
    """An independent computation: cosine averages of the deviations, and Student's t from a table."""
    changes = edge()
    cosines = round(0.4 * 120 ** (2 / 3))
    at = (np.arange(120) + 0.5) / 120
    sums = [math.sqrt(2) * (np.cos(math.pi * j * at) * changes).sum() for j in range(1, cosines + 1)]
    half = 2.228 * math.sqrt(sum(value**2 for value in sums) / cosines)  # 10 degrees of freedom
    found = judged(changes).content
    assert cosines == 10
    assert (found["lower95"], found["upper95"]) == pytest.approx((changes.sum() - half, changes.sum() + half), rel=1e-3)
    assert found["text"] == "above 0"
    assert judged(-changes).text == "below 0"
    assert judged(changes - changes.mean()).text == "undecided"
    assert judged(changes[:19]).content == TOO_SHORT
    assert judged(np.zeros(60)) is None


@pytest.mark.parametrize(("trials", "unseen"), [(1.0, 3.6889), (50.0, 7.5764)])
def test_a_tail_is_as_many_losses_as_the_time_cannot_exclude(trials, unseen):
    """By hand: −ln of the one-sided level, beside the error as if independent; the upper end stays."""
    changes = edge(minutes=240)
    plain, tail = judged(changes, trials=trials), judged(changes, trials=trials, tail=Tail(6.0, "other", 0))
    level = (1 - 0.95 ** (1 / trials)) / 2
    assert -math.log(level) == pytest.approx(unseen, rel=1e-4)
    half = changes.sum() - plain.content["lower95"]
    assert changes.sum() - tail.content["lower95"] == pytest.approx(math.hypot(half, 6.0 * unseen), rel=1e-4)
    assert tail.content["upper95"] == plain.content["upper95"]
    assert tail.content["tail"] == {
        "from_run": "other",
        "block_start": iso(0),
        "scaled_loss": 6.0,
        "decides": plain.text != tail.text,
    }


def test_a_tail_that_decides_is_named_and_no_number_of_days_is_given():
    """Not even many such days would decide it, while that loss is on record."""
    found = judged(edge(minutes=240), tail=Tail(60.0, "20260104T080000Z", 0)).content
    assert (found["text"], found["days_to_decide"], found["tail"]["decides"]) == ("undecided", None, True)
    assert "undecided only because 20260104T080000Z lost as much at 1970-01-01T00:00" in words(found, 1)
    assert judged(-edge(minutes=240), tail=Tail(60.0, "other")).content["tail"]["decides"] is False


def test_days_that_would_decide_do_so_in_four_of_five_cases():
    """So many days of the same mean and deviation, drawn anew, are decided in 80 %."""
    random = np.random.default_rng(9)
    changes = random.normal(0.0, 1.0, 240)
    found = Sample.of(changes - changes.mean() + 0.04)
    days = found.days_to_decide
    deviation = found.error / math.sqrt(240)
    drawn = random.normal(0.04, deviation, (400, 240 * days))
    share = np.mean([judged(one, days).text == "above 0" for one in drawn])
    assert 0.74 < share < 0.86
    assert judged(changes - changes.mean() + 0.04).content["days_to_decide"] == days
    assert judged(changes + 5.0).content["days_to_decide"] is None


@given(st.integers(0, 2**16), st.floats(-0.3, 0.3), st.floats(1, 80), st.floats(0, 30))
def test_psr_is_of_the_verdicts_interval(seed, mean, trials, loss):
    """Above .975 just where the verdict is above 0, below .025 where it is below, for trials and tails too."""
    found = judged(edge(seed, mean, 300), trials=trials, tail=Tail(loss, "other") if loss else None)
    assert (found.psr > 0.975) is (found.text == "above 0")
    assert (found.psr < 0.025) is (found.text == "below 0")


def test_psr_alone_is_one_less_p():
    """Of Student's t; withheld where hardly any period earned anything."""
    changes = edge(mean=0.1, minutes=300)
    sample = Sample.of(changes)
    degrees = round(0.4 * 300 ** (2 / 3))
    assert judge(sample).psr == pytest.approx(student.cdf(sample.total / sample.error, degrees), rel=1e-9)
    sparse = np.zeros(300)
    sparse[::16] = np.arange(19) + 1.0
    assert judged(sparse).psr is None


def test_a_verdict_from_few_losses_says_what_would_undo_it():
    """The sum as one loss, in multiples of the largest; six hours exclude what comes once in two (rule of three)."""
    changes = np.tile([1.0, 1.2, 0.8, 1.1], 90)
    changes[7] = -0.5
    found = judged(changes).undone_by
    assert found["loss"] == pytest.approx(changes.sum())
    assert found["times_the_largest"] == pytest.approx(changes.sum() / 0.5)
    assert found["losing_periods"] == 1
    assert math.exp(-6 * 3_600 / found["once_in_s"]) == pytest.approx(0.05)
    assert judged(np.abs(changes)).undone_by["times_the_largest"] is None
    changes[20:40] = -0.1
    assert judged(changes).undone_by is None
    assert judged(-changes).undone_by is None


def test_a_verdict_is_undone_by_size():
    """Twenty losing minutes and more: by ten times the largest, or by the stressed move."""
    changes = np.tile([1.0, 1.2, -0.3, 1.1], 90)
    assert judged(changes).undone_by is None
    assert judged(changes, stressed=changes.sum()).undone_by["stressed_loss"] == pytest.approx(changes.sum())
    changes[7] = -0.1 * changes.sum() - 3.0
    found = judged(changes)
    assert found.text == "above 0"
    assert found.undone_by["times_the_largest"] < 10
    assert [colour(found.content, undone) for undone in (found.undone_by, None)] == ["warn", "gain"]


def test_the_largest_move_of_another_day_is_a_tail():
    """At the largest inventory, long or short; alone, only the run's own moves say what would undo it."""
    record = OnRecord(1, ("own",), np.zeros((0, 1)), this_is_new=True, runs=("run",))
    moved = {"BTCUSDT": {"20260104": WorstMoves(-0.02, 0.01), "20260103": WorstMoves(-0.001, 0.05)}}
    sample = Sample.of(edge(minutes=240))
    for value, loss, day in ((1_000.0, 20.0, "20260104"), (-1_000.0, 50.0, "20260103")):
        position = {"BTCUSDT": {"inventory": 1.0, "value": value, "loss": 3.0}}
        found = verdicts(sample, OnRecord(**{**vars(record), "moves": moved}), position)
        assert found["verdict"]["tail"]["from_run"] == f"BTCUSDT {day}"
        assert found["verdict"]["tail"]["scaled_loss"] == pytest.approx(loss)
        assert found["verdict_alone"]["tail"] is None
    assert verdicts(None)["verdict"] is None


def test_a_finished_run_is_judged_from_its_summary():
    """The sample of a summary is that of its minutes."""
    changes = edge(minutes=240)
    first = Sample.of(changes)
    alone = verdicts(first)
    lost, worst = float((changes < 0).mean()), float(changes.min())
    returns = {"periods": 240, "period_s": 60, "mean": float(changes.mean()), "lost": lost, "worst": worst}
    again = Sample.of_summary({**alone, "returns": {**returns, "robust_unit": first.unit}, "days": ["20260105"]})
    for trials in (1.0, 20.0):
        one, other = (judge(sample, trials=trials, tail=Tail(5.0, "x")) for sample in (first, again))
        assert one.content["lower95"] == pytest.approx(other.content["lower95"], rel=1e-9)
        assert one.psr == pytest.approx(other.psr, rel=1e-9)
