from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, sem, spearmanr
from scipy.stats import t as student_t

from mm.backtest.metrics.verdict import Sample, judge
from mm.sweep.findings import (
    PlayedPoint,
    PnlPanel,
    SelectionBias,
    find,
    forward,
    halves,
    rank_correlation,
    scores,
    sharpes,
    totals,
)
from mm.trials.on_record import independent_trials
from null_pnl import tail_of
from played_points import FILLS, GAMMA, noise, outcome, played

MINUTE_US = 60_000_000


def test_rows_are_ranked_with_undefined_and_failed_points_last():
    """A point of fewer than two blocks has no rank, nor has a failed point."""
    flat = played(2, [0.0] * 7)
    failed = PlayedPoint(3, {"GAMMA": "3"}, "k3", "mm backtest", {"error": "why", "exit_code": 1, "traceback": ""})
    rows = find([played(1, noise(1)), flat, failed, played(4, noise(2, mean=1.0))], [GAMMA], "pnl_lower95", [0]).rows
    assert [(row["point"], row["rank"], row["status"]) for row in rows] == [
        (4, 1, "ok"), (1, 2, "ok"), (2, None, "ok"), (3, None, "failed")
    ]  # fmt: skip
    assert rows[3]["error"] == "why"
    assert rows[3]["sharpe"] is None


def test_warnings_name_a_best_point_with_few_fills_or_no_gain():
    """A Sharpe ratio of five fills, or the smallest loss, is no reason to trade."""
    few = PlayedPoint(1, {"GAMMA": "1"}, "k1", "", outcome(noise(1, mean=0.5), n_fills=5))
    warnings = find([few, played(2, noise(2))], [GAMMA], "pnl_lower95", [0]).content["warnings"]
    assert "the best trial has only 5 fills: too few to distinguish it from chance" in warnings
    losses = [played(n, noise(n, mean=-1.0)) for n in (1, 2)]
    for by in ("pnl_lower95", "max_drawdown"):  # by drawdown another point may make one
        assert f"the best trial by {by} makes no profit" in find(losses, [GAMMA], by, [0]).content["warnings"]


@pytest.mark.parametrize(("minutes", "blocks"), [(10, 2), (15, 3), (20, 4), (25, 5)])
def test_bounds_of_few_blocks_come_with_a_warning(minutes, blocks):
    """By Student's t with one to three degrees of freedom they rest on the shape of the distribution."""
    found = find([played(n, noise(n)[:minutes]) for n in (1, 2)], [GAMMA], "pnl_lower95", [0]).content
    assert found["blocks"] == blocks
    named = [line for line in found["warnings"] if f"only {blocks} blocks" in line]
    assert len(named) == (2 <= blocks <= 4)


def test_warnings_common_to_all_points_are_listed_once():
    """A fit of the played day or the fees of another market, with the number of points; not other warnings."""
    warning_lines = ["fit_in_sample: why", "spot_fees: why", "nothing filled: why"]
    points = [
        PlayedPoint(n, {"GAMMA": "1"}, f"k{n}", "", outcome(noise(n), warnings=warning_lines[: 4 - n])) for n in (1, 2)
    ]
    warnings = find(points, [GAMMA], "pnl_lower95", [0]).content["warnings"]
    assert [line for line in warnings if "points: " in line] == [f"2 of 2 points: {line}" for line in warning_lines[:2]]


def test_smaller_drawdown_ranks_higher():
    """For all other headlines, greater is better."""
    points = [
        PlayedPoint(n, {"GAMMA": str(n)}, f"k{n}", "", outcome(noise(n), max_drawdown=fall))
        for n, fall in ((1, 3.0), (2, 0.5))
    ]
    assert [row["point"] for row in find(points, [GAMMA], "max_drawdown", [0]).rows] == [2, 1]
    assert [row["point"] for row in find(points, [GAMMA], "pnl_quoting", [0]).rows] == sorted(
        (1, 2), key=lambda n: -sum(noise(n))
    )


def test_equal_points_count_as_one_trial():
    """Equal points are not played twice, and the correction for luck does not count them twice."""
    points = [played(1, noise(1), "same"), played(2, noise(1), "same"), played(3, noise(3))]
    findings = find(points, [GAMMA], "pnl_lower95", [0])
    assert findings.content["n_trials"] == 2
    assert findings.columns == [1, 3]
    first, second = (row for row in findings.rows if row["digest"] == "same")
    assert first["sharpe_first_half"] == second["sharpe_first_half"] is not None


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=30), st.integers(100, 2000))
def test_deflated_sharpe_matches_bailey_and_lopez_de_prado(ratios, periods):
    """Reimplemented from the paper, with scipy's normal distribution; kurtosis is not the excess."""
    summaries = [
        {
            "returns": {
                "periods": periods,
                "periods_per_year": 525600.0,
                "skew": -0.5,
                "kurtosis": 5.0,
                "sharpe_per_period": ratio,
                "autocorr_inflation": 1.0,
            }
        }
        for ratio in ratios
    ]
    bias, n = SelectionBias(len(ratios)), len(ratios)
    euler = 0.5772156649015329
    best = (periods - 1) ** -0.5 * ((1 - euler) * norm.ppf(1 - 1 / n) + euler * norm.ppf(1 - 1 / (n * np.e)))
    sharpe = max(ratios)
    error = np.sqrt(1 + 0.5 * sharpe + (5.0 - 1) / 4 * sharpe**2)
    expected = norm.cdf((sharpe - best) * np.sqrt(periods - 1) / error)
    assert bias.expected_best(summaries[0]) == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert bias.deflated(summaries[ratios.index(sharpe)]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_silly_trial_does_not_deflate_a_true_edge():
    """The spread of the trials' ratios holds true differences; what chance adds is of each trial's own error."""
    points = [played(n, noise(n, mean=0.02 * n)) for n in range(1, 10)]
    edge = played(10, noise(10, mean=0.5))
    before = find([*points, edge], [GAMMA], "pnl_lower95", [0]).content
    silly = played(11, noise(11, mean=-3.0))
    after = find([*points, edge, silly], [GAMMA], "pnl_lower95", [0]).content
    assert before["best"]["deflated_sharpe"] > 0.999
    assert after["best"]["deflated_sharpe"] > 0.999
    assert after["expected_best_sharpe"] == pytest.approx(before["expected_best_sharpe"], rel=0.05)


def test_a_trial_without_a_ratio_gives_no_deflated_sharpe():
    """One of many that never moved."""
    moments = {"periods": 500, "periods_per_year": 525600.0, "skew": 0.0, "kurtosis": 3.0, "autocorr_inflation": 1.0}
    defined, undefined = ({"returns": {**moments, "sharpe_per_period": ratio}} for ratio in (0.1, None))
    assert SelectionBias(1).deflated(defined) == pytest.approx(norm.cdf(0.1 * 499**0.5 / 1.005**0.5))
    assert SelectionBias(3).deflated(undefined) is None


@pytest.mark.parametrize("rank_by", ["pnl_lower95", "pnl_quoting", "max_drawdown"])
def test_overfitting_ranks_as_the_sweep_does(rank_by):
    """Two designs of which one wins in each block by what is ranked, and the other by its Sharpe ratio: no overfit."""
    steady, lively = np.full(480, 0.1), np.tile([3.0, -1.0], 240)
    steady[::7] += 0.01
    points = [played(1, steady.tolist()), played(2, lively.tolist())]
    content = find(points, [GAMMA], rank_by, [0]).content
    assert content["best"]["point"] == (1 if rank_by == "max_drawdown" else 2)
    assert content["pbo"] == 0.0


def test_warnings_call_the_best_of_noise_luck_but_not_a_real_edge():
    """Forty worthless trials have a best one, which its deflated Sharpe ratio exposes."""
    worthless = find([played(n, noise(n)) for n in range(1, 41)], [GAMMA], "pnl_lower95", [0])
    assert worthless.content["best"]["sharpe"] > 0
    assert worthless.content["best"]["deflated_sharpe"] < 0.9
    assert any("the best of 40 trials is subject to selection bias" in line for line in worthless.content["warnings"])
    real = find(
        [played(n, noise(n)) for n in range(1, 40)] + [played(40, noise(40, mean=0.5))], [GAMMA], "pnl_lower95", [0]
    )
    assert real.content["best"]["point"] == 40
    assert real.content["best"]["deflated_sharpe"] > 0.99
    assert real.content["pbo"] < 0.05 < worthless.content["pbo"]


def test_a_design_ranks_by_its_worst_fill_assumption():
    """A choice that is good under every fill model is before the one that is best under one of them only."""
    pnl = {("1", "a"): 9.0, ("1", "b"): -5.0, ("2", "a"): 3.0, ("2", "b"): 2.0}
    points = [
        played(n, [value / 240] * 240, GAMMA=gamma, FILL_MODEL=fills)
        for n, ((gamma, fills), value) in enumerate(pnl.items(), start=1)
    ]
    for by in ("pnl_lower95", "pnl_quoting"):
        content = find(points, [GAMMA, FILLS], by, [0]).content
        assert [(row["point"], row["rank"]) for row in content["rows"]] == [(4, 1), (3, 1), (2, 2), (1, 2)]
        assert content["best"]["point"] == 4
        assert any(line.startswith("FILL_MODEL: assumptions") for line in content["warnings"])
    assert content["worst_case"] == {"GAMMA": "2", "point": 4, "pnl_quoting": pytest.approx(2.0)}
    assert find(points[::2], [GAMMA], "pnl_quoting", [0]).content["worst_case"] is None


@pytest.mark.parametrize(("minutes", "block"), [(1440, 30), (595, 5), (600, 30)])
def test_lower_bound_and_ties_equal_a_plain_computation(minutes, block):
    """By scipy, from the series alone; a tie is a paired difference, so a common market move does not hide a loss."""
    common = np.random.default_rng(9).normal(0, 5, minutes)
    series = {
        1: common + 0.2,
        2: common + 0.2 + np.array(noise(2, minutes)),
        3: common + np.array(noise(3, minutes, -0.5)),
    }
    findings = find([played(n, pnl.tolist()) for n, pnl in series.items()], [GAMMA], "pnl_lower95", [0])
    sums = {n: pnl[: minutes // block * block].reshape(-1, block).sum(axis=1) for n, pnl in series.items()}
    assert findings.content["block_s"] == block * 60
    lower = {n: student_t.interval(0.95, len(x) - 1, x.mean(), sem(x))[0] for n, x in sums.items()}
    for row in findings.rows:
        assert row["pnl_lower95"] == pytest.approx(lower[row["point"]], rel=1e-9)
    first = max(lower, key=lambda n: lower[n])
    assert [row["point"] for row in findings.rows] == sorted(lower, key=lambda n: -lower[n])
    for row in findings.rows[1:]:
        level = 0.95 ** (1 / 3)  # of three pairs at once
        low, high = student_t.interval(level, len(sums[1]) - 1, *mean_and_error(sums[row["point"]] - sums[first]))
        assert row["tied"] == (low <= 0 <= high)
    assert {row["point"]: row["tied"] for row in findings.rows}[3] is False


@pytest.mark.parametrize(("farther", "tied"), [(-0.02, True), (0.02, False)])
def test_a_tie_allows_for_every_pair_of_designs(farther, tied):
    """Of four designs six differences hold at once, not only the three to the first: whichever is best is chosen."""
    first = np.array(noise(1, 600, 1.0))
    quantile = student_t.ppf(1 - (1 - 0.95 ** (1 / 6)) / 2, 19) * (1 + farther)
    series = {1: first}
    for n in (2, 3, 4):
        apart = np.array(noise(n, 600))
        error = sem(apart.reshape(-1, 30).sum(axis=1)) / 30  # of the mean of a minute, by half hours
        series[n] = first + apart - apart.mean() - quantile * error
    rows = find([played(n, pnl.tolist()) for n, pnl in series.items()], [GAMMA], "pnl_lower95", [0]).rows
    assert rows[0]["point"] == 1
    assert [row["tied"] for row in rows[1:]] == [tied] * 3


def test_chosen_bound_is_of_the_verdict_that_allows_for_the_choice():
    """As of its backtest: as many independent trials as were played, and the worst five minutes of any."""
    pnl = {n: np.array(noise(n, 600, 0.3)) for n in range(1, 6)}
    points = [played(n, values.tolist()) for n, values in pnl.items()]
    table = np.array(list(pnl.values())).T
    for stopped in (0, 10):  # designs that a search has given up were tried as well
        best = find(points, [GAMMA], "pnl_lower95", [0], stopped).content["best"]
        sample = Sample.of(pnl[best["point"]])
        trials = independent_trials(table) * (5 + stopped) / 5
        expected = judge(sample, trials=trials, tail=tail_of(table, sample)).content
        assert best["verdict"]["lower95"] == pytest.approx(expected["lower95"], rel=1e-9)
        assert best["pnl_lower95_chosen"] == pytest.approx(expected["lower95"] / 20, rel=1e-9)
        assert best["verdict"]["text"] == "above 0"
        assert best["psr"] > 0.975
    alone = find([played(1, noise(1, 600, 0.3))], [GAMMA], "pnl_lower95", [0]).content["best"]
    assert alone["pnl_lower95_chosen"] == pytest.approx(judge(Sample.of(pnl[1])).content["lower95"] / 20)


def test_designs_that_a_search_gave_up_deflate_the_sharpe_ratio():
    """They were tried as well: the best of fifteen is less of a feat than the best of five."""
    points = [played(n, noise(n, 600, 0.1)) for n in range(1, 6)]
    few, more = (find(points, [GAMMA], "pnl_lower95", [0], stopped).rows for stopped in (0, 10))
    for row, other in zip(few, more, strict=True):
        assert other["deflated_sharpe"] < row["deflated_sharpe"]


def test_fills_that_do_not_know_the_next_move_conclude_nothing():
    """No bound, tie or deflated ratio; a design ranks by the assumptions that do, or by PnL where none does."""

    def point(number, mean, fills, gamma, *, knows):
        made = played(number, noise(number, mean=mean), GAMMA=gamma, FILL_MODEL=fills)
        made.outcome["summary"]["knows_next_move"] = knows
        return made

    drawn = [point(1, 3.0, "a", "1", knows=False), point(2, 4.0, "a", "2", knows=False)]
    known = [point(3, 2.0, "b", "1", knows=True), point(4, 1.0, "b", "2", knows=True)]
    content = find([*drawn, *known], [GAMMA, FILLS], "pnl_lower95", [0]).content
    assert (content["best"]["point"], content["rank_by"]) == (3, "pnl_lower95")
    rows = {row["point"]: row for row in content["rows"]}
    assert [rows[n]["rank"] for n in (1, 2, 3, 4)] == [1, 2, 1, 2]
    assert rows[1]["pnl_lower95"] is rows[1]["deflated_sharpe"] is rows[1]["tied"] is None
    alone = find(drawn, [GAMMA, FILLS], "pnl_lower95", [0]).content
    assert alone["rank_by"] == "pnl_quoting"
    assert alone["best"]["pnl_lower95_chosen"] is alone["deflated_sharpe"] is None


def mean_and_error(values):
    return values.mean(), sem(values)


def test_selection_bias_is_within_one_fill_assumption():
    """The best of an optimistic model is no benchmark for a cautious one; the headline is the worst of both."""
    pnl = {("1", "a"): 2.0, ("2", "a"): 2.2, ("1", "b"): 0.10, ("2", "b"): 0.25}
    points = [
        played(n, noise(n, mean=mean), GAMMA=gamma, FILL_MODEL=fills)
        for n, ((gamma, fills), mean) in enumerate(pnl.items(), start=1)
    ]
    content = find(points, [GAMMA, FILLS], "pnl_lower95", [0]).content
    for one, pair in zip(content["assumptions"], (points[:2], points[2:]), strict=True):
        alone = find(pair, [GAMMA, FILLS], "pnl_lower95", [0]).content
        bias = SelectionBias(2)
        best = max(pair, key=lambda each: each.outcome["summary"]["sharpe"])
        assert one["FILL_MODEL"] == pair[0].texts["FILL_MODEL"]
        assert one["trials"] == 2
        assert one["expected_best_sharpe"] == bias.expected_best(best.outcome["summary"]) * 525600**0.5
        assert one["deflated_sharpe"] == bias.deflated(best.outcome["summary"])
        assert one["pbo"] == alone["pbo"]
    assert content["n_trials"] == max(one["trials"] for one in content["assumptions"])
    names = ("independent_trials", "expected_best_sharpe", "pbo")
    assert [content[name] for name in names] == [max(one[name] for one in content["assumptions"]) for name in names]
    assert content["deflated_sharpe"] == min(one["deflated_sharpe"] for one in content["assumptions"])


def test_independent_trials_follow_from_the_mean_correlation():
    """Equal trials are one, independent ones as many as there are; in between by the mean off the diagonal."""
    draw = np.random.default_rng(4)
    pnl = draw.normal(size=(5000, 4)) + draw.normal(size=(5000, 1))
    rho = np.corrcoef(pnl.T)[np.triu_indices(4, 1)].mean()
    assert independent_trials(pnl) == pytest.approx(rho + (1 - rho) * 4)
    assert independent_trials(np.repeat(pnl[:, :1], 3, axis=1)) == pytest.approx(1.0)
    assert independent_trials(pnl[:, :1]) == 1.0
    assert independent_trials(pnl[:0]) == 4.0  # a trade of less than a minute


def test_forward_chooses_in_each_block_from_the_past_only():
    """By hand: trial 1 is best at first, trial 2 from the second hour on."""
    hours = np.array([[2, 0], [-1, 1], [-1, 1], [-1, 3]], dtype=float)
    panel = PnlPanel(((0, 240),), np.repeat(hours, 60, axis=0) / 60)
    chosen = forward(panel, [0], "pnl_quoting")
    assert chosen is not None
    assert chosen.picked == [0, 0, 1]  # after one hour 2:0, after two 1:1 (the first one), after three 0:2
    assert chosen.pnl.sum() == pytest.approx(-1 - 1 + 3)
    assert chosen.others.tolist() == pytest.approx([-3, 5])
    assert chosen.hindsight == 1
    assert chosen.block == "an hour"


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from(["pnl_lower95", "pnl_quoting", "max_drawdown"]))
def test_later_pnl_changes_no_earlier_choice(seed, hour, rank_by):
    """A walk-forward that looks ahead is worth nothing."""
    draw = np.random.default_rng(seed)
    pnl = draw.normal(size=(6 * 60, 5))
    other = np.vstack([pnl[: hour * 60], draw.normal(size=(len(pnl) - hour * 60, 5))])
    spans = ((0, 100), (900 * MINUTE_US, len(pnl) - 100))
    first, second = (forward(PnlPanel(spans, values), [0], rank_by) for values in (pnl, other))
    assert first is not None
    assert second is not None
    assert first.picked[:hour] == second.picked[:hour]


def test_blocks_are_days_if_there_are_enough_days():
    """A gap between days is not part of a block, and a short day has short blocks."""
    day_us = 24 * 60 * MINUTE_US
    panel = PnlPanel(tuple((day * day_us, 100) for day in range(5)), np.ones((500, 2)))
    cuts, length = panel.blocks([day * day_us for day in range(5)])
    assert [(cut.start, cut.stop) for cut in cuts] == [(100 * day, 100 * day + 100) for day in range(5)]
    assert length == "a day"
    short = PnlPanel(((0, 62),), np.ones((62, 2)))
    cuts, length = short.blocks([0])
    assert [(cut.start, cut.stop) for cut in cuts] == [(0, 15), (15, 30), (30, 45), (45, 62)]
    assert length == "15 minutes"
    assert forward(PnlPanel(((0, 15),), np.ones((15, 2))), [0], "pnl_lower95") is None


def test_panel_contains_the_periods_of_all_spans():
    """Runs with other spans are not compared at all; a part of the panel ends within its span."""
    series = [{"spans": [[0, 2], [9 * MINUTE_US, 1], [20 * MINUTE_US, 0]], "pnl": [1.0, 2.0, n]} for n in (3.0, 6.0)]
    panel = PnlPanel.of(series)
    assert panel is not None
    assert panel.start_us.tolist() == [0, MINUTE_US, 9 * MINUTE_US]
    assert panel.pnl.tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 6.0]]
    assert [panel.before(stop).counts for stop in (0, 1, 2, 3)] == [[], [1], [2], [2, 1]]
    assert PnlPanel.of([outcome([1.0])["series"], outcome([1.0, 2.0])["series"]]) is None
    assert PnlPanel.of([]) is None
    findings = find([played(1, [1.0]), played(2, [1.0, 2.0])], [GAMMA], "pnl_quoting", [0])
    assert any("have not the same spans" in line for line in findings.content["warnings"])


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=20))
def test_rank_correlation_of_halves_is_spearmans(pairs):
    """Equal scores share their rank, as in scipy."""
    first, second = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    correlation = rank_correlation(first, second)
    if first.min() == first.max() or second.min() == second.max():
        assert correlation is None
    else:
        assert correlation == pytest.approx(spearmanr(first, second).statistic)


def test_scores_match_those_of_the_rows():
    """A choice by past performance uses the same numbers as the ranking of the table."""
    pnl = np.array([[1.0, 0.0], [-3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    panel = PnlPanel(((0, 4),), pnl)
    assert scores(panel, "pnl_quoting").tolist() == [1.0, 0.0]
    assert scores(panel, "max_drawdown").tolist() == [-3.0, 0.0]
    fallen = PnlPanel(((0, 2),), np.array([[-4.0, 1.0], [1.0, -2.0]]))
    assert scores(fallen, "max_drawdown").tolist() == [-4.0, -2.0]  # the fall begins at nothing
    assert scores(panel, "pnl_lower95").tolist() == [-np.inf, -np.inf]  # less than two blocks
    series = noise(5)
    row = find([played(1, series)], [GAMMA], "pnl_lower95", [0]).rows[0]
    assert scores(PnlPanel(((0, len(series)),), np.array([series]).T), "pnl_lower95").tolist() == [row["pnl_lower95"]]
    first, second = halves(panel.pnl, partial(sharpes, per_year=525600.0))
    assert first[0] == pytest.approx(-1 / np.std([1, -3], ddof=1) * 525600**0.5)
    assert np.isnan(second[1])
    assert [half.tolist() for half in halves(panel.pnl, totals)] == [[-2.0, 0.0], [3.0, 0.0]]
