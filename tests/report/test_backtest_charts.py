"""What each chart of a backtest draws."""

import math

import numpy as np
import pytest
from drawn_runs import page_of, result_of

from journals import START_US, Scribe, seeded
from mm.backtest.fills.intensity import Intensity
from mm.numbers import number
from mm.report.backtest_charts import (
    distance_edges,
    hours_chart,
    markout_chart,
    merged,
    panels,
    rate_chart,
    rate_hint,
    under_water,
)
from mm.report.run_columns import columns_of, equity_curve


def test_fee_line_is_drawn_only_if_it_fits():
    """A fee a hundred times the spread would flatten everything else."""
    summary = result_of(seeded(300)).summary
    assert 'class="dash"' in markout_chart(summary, 0.5)
    assert 'class="dash"' not in markout_chart(summary, 87.0)
    assert 'class="dash"' not in markout_chart(summary, None)


def charts(result):
    run = columns_of(result)
    return run, panels(run, equity_curve(run), result.summary)


def test_few_fills_are_marked_and_many_are_dots_and_counts():
    """Thousands of triangles would hide the price, so they become dots."""
    (_, few), (_, many) = charts(result_of(seeded(60))), charts(result_of(seeded(400, fill_chance=0.5)))
    assert 'class="buy"' in few[0].picture
    assert 'class="buy dots"' in many[0].picture
    assert 'class="buy"' not in many[0].picture
    assert 'class="buy"' in many[1].picture


def test_tip_of_a_fill_shows_its_markouts():
    """Bought at 99.5 under a mid of 100 that then falls to 98: a gain of half a unit at once, a loss after 1 s."""
    scribe = Scribe(initial_lots=0)
    scribe.move(20_000)
    scribe.state()
    scribe.fill(scribe.place(1, 9_950, 100), 1, 9_950, 100)
    scribe.wait(500_000)
    scribe.move(19_600)
    scribe.wait(10_000_000)
    scribe.state()
    _, drawn = charts(result_of(scribe))
    tip = {label: values[0] for label, values, _ in drawn[0].marks[0].tip}
    assert tip.pop("reason") == "trade_cross:trade"
    assert tip.pop("markout after 30 s") != tip.pop("markout after 60 s")  # NaN: the data end before
    assert tip == pytest.approx(
        {"fill": 1, "buy": 0.001, "at": 99.5, "half-spread at the fill": 0.5}
        | {"markout after 1 s": -1.5, "markout after 5 s": -1.5}
    )


def test_a_and_k_are_drawn_if_a_schedule_changed_them():
    """A single fit has no changes to draw."""
    hour = 3_600_000_000
    pieces = [
        (START_US + i * hour // 12, START_US + (i + 1) * hour // 12, 1.0 + i, 1e-3, 1.0 + i, 1e-3, 1e-3)
        for i in range(2)
    ]
    (_, scheduled), (_, fixed) = (
        charts(result_of(seeded(900), intensity=intensity))
        for intensity in (Intensity(pieces), Intensity.constant(A=1.0, k=1e-3))
    )
    assert [panel.title for panel in scheduled[-2:]] == ["A in force", "k in force"]
    line = scheduled[-2].lines[0]
    assert line.values[~np.isnan(line.values)].tolist() == [1.0, 2.0]
    assert line.us[np.flatnonzero(np.isnan(line.values))[0]] == START_US + hour // 6
    assert fixed[-1].title == "Inventory"


def test_neighbouring_holes_are_merged():
    """Bands too close to be told apart by eye only cost bytes."""
    begins = np.arange(0, 100_000, 2) * 1_000_000
    assert len(merged(np.stack([begins, begins + 1_000_000], axis=1), (0.0, 1e11))) == 1
    assert merged(np.array([[0, 10], [500, 600], [2_000, 3_000]]), (100.0, 1_000.0)) == [(500.0, 600.0)]


def rows_of_rates(fills=(0, 40, 10, 0), predicted=None):
    return [
        {
            "from_ticks": i, "to_ticks": i + 0.5, "delta_ticks": i + 0.2, "exposure_s": 100.0, "fills": count,
            "rate_per_s": count / 100, "rate_low": 0.8 * count / 100, "rate_high": (1.2 * count + 3) / 100,
            **({} if predicted is None else {"predicted": predicted}),
        }
        for i, count in enumerate(fills)
    ]  # fmt: skip


def test_fill_rates_are_drawn_with_bars_and_expected_rates():
    """Distances without a fill keep their upper end; without an intensity there is no dashed line."""
    chart = rate_chart(rows_of_rates())
    assert chart.count('class="whisker"') == 2
    assert chart.count("none-yet") == 2
    assert 'class="dash"' not in chart
    assert 'class="dash"' in rate_chart(rows_of_rates(predicted=20.0))
    assert "40 fills in 1 min 40 s of orders, 0.4 per second" in chart
    assert "No fills" in rate_chart(rows_of_rates(fills=(0, 0)))
    assert "No fills" in rate_chart([])


def test_rate_hint_compares_fills_with_expected_fills():
    """If an intensity predicts them."""
    assert "Dashed" not in rate_hint({})
    hint = rate_hint({"fills_ratio": {"value": 0.82, "low": 0.7, "high": 0.95}})
    assert "fills were 82 % of that (95 %: 70 % to 95 %)" in hint
    assert "fills were 82 % of that." in rate_hint({"fills_ratio": {"value": 0.82, "low": None, "high": None}})


def test_short_run_has_points_without_bars():
    """One block of five minutes has no interval."""
    rows = rows_of_rates(predicted=20.0)
    bars = rate_chart(rows).count('class="whisker')
    short = [row | {"rate_low": None, "rate_high": None} for row in rows]
    assert rate_chart(short).count('class="whisker"') == 2 < bars
    hours = [row | {"start_us": 3_600_000_000 * place} for place, row in enumerate(short)]
    assert hours_chart(hours).count('class="whisker"') == 4


def test_fills_are_compared_with_expected_fills_by_hour():
    """If an intensity predicts them; the numbers are those of the run's summary."""
    intensity = Intensity.constant(A=0.05, k=1e-3)
    result = result_of(seeded(4_000), intensity=intensity)
    html = page_of(result)
    hours = result.summary["fills_by_hour"]
    assert len(hours) == 2
    for row in hours:
        assert f"{row['fills']:,} fills, {number(row['predicted'])} expected" in html
    assert "Fills against what was expected" not in page_of(result_of(seeded(100)))


@pytest.mark.parametrize(
    "ticks", [[1.0], [0.5, 0.5, 3.0], list(range(1, 500)), [-2.0, 0.0, 7.5], [1.0, 1e6], [12_345.5] * 9]
)
def test_distances_fall_inside_bars_and_never_on_an_edge(ticks):
    """Distances are always multiples of half a tick."""
    edges = distance_edges(np.array(ticks))
    assert 9 <= len(edges) - 1 <= 25
    assert edges[0] < np.quantile(ticks, 0.005)
    assert np.quantile(ticks, 0.995) <= edges[-1]
    assert np.allclose((edges + 0.25) * 2, np.round((edges + 0.25) * 2))


def test_rolling_sharpe_is_drawn_for_runs_over_an_hour():
    """A shorter run has no such card, and a run whose PnL stays constant has a note."""
    calm = {"orders_a_second": 1, "breaks": 0}
    short, long, still = (
        page_of(result_of(scribe))
        for scribe in (seeded(600), seeded(3_800, **calm), seeded(3_800, fill_chance=0.0, **calm))
    )
    assert "Sharpe ratio, rolling" not in short
    assert "Annual Sharpe ratio of the hour before" in long
    assert "The PnL of the quoting hardly ever changed." in still


def test_under_water_is_equity_minus_its_running_maximum():
    """A hole stays a hole, and the maximum before it counts."""
    equity = np.array([np.nan, 1.0, 3.0, np.nan, 2.0, 5.0, 4.0, -1.0])
    drawdown = under_water(equity)
    highest, expected = -math.inf, []
    for value in equity:
        highest = highest if math.isnan(value) else max(highest, value)
        expected.append(value - highest)
    np.testing.assert_array_equal(drawdown, expected)
