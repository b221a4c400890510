"""What each chart of a backtest draws."""

import math

import numpy as np
import pytest

from drawn_runs import full_day, page_of, result_of
from journals import START_US, Scribe, seeded
from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics.numbers import Summary
from mm.base.numbers import number
from mm.report import figures
from mm.report.backtest_charts import (
    MARKED_FILLS,
    distance_edges,
    hours_figure,
    market_figure,
    markout_figure,
    rate_figure,
    rate_hint,
)
from mm.report.figures import merged
from mm.report.run_columns import columns_of, equity_curve, under_water


def test_fee_line_is_drawn_only_if_it_fits():
    """A fee a hundred times the spread would flatten everything else."""
    summary = Summary.read(result_of(seeded(300)).summary)
    lines = [markout_figure(summary, fee)["layout"]["shapes"] for fee in (0.5, 87.0, None)]
    assert [len(one) for one in lines] == [1, 0, 0]
    assert lines[0][0]["y0"] == 0.5


def charts(result):
    run = columns_of(result)
    return run, market_figure(run, equity_curve(run), Summary.read(result.summary))


def drawn_fills(figure):
    return [trace for trace in figure["data"] if (trace.get("meta") or {}).get("stop")]


@pytest.mark.parametrize("seconds", [60, 400])
def test_fills_are_complete_with_their_numbers(seconds):
    """Every fill of the run at its instant and price; many are small and behind the prices."""
    run, figure = charts(result_of(seeded(seconds, fill_chance=0.5)))
    us, price, side = (np.asarray(run.fills[name]) for name in ("recv_us", "price", "side"))
    for trace, word in zip(drawn_fills(figure), ("BUY", "SELL"), strict=True):
        assert trace["x"].tolist() == (us[side == word] / 1e3).tolist()
        assert trace["y"].tolist() == price[side == word].astype(float).tolist()
        assert trace["customdata"][:, 0].tolist() == (np.flatnonzero(side == word) + 1).tolist()
    names = [trace["name"] for trace in figure["data"]]
    busy = len(us) > MARKED_FILLS
    assert busy == (seconds == 400)
    assert (names.index("our buys") < names.index("mid")) == busy


def test_counts_have_all_fills():
    """However many of them are drawn as marks."""
    run = full_day(seconds=20_000, n_fills=30_000)
    figure = market_figure(run, run.curve, Summary.read(result_of(seeded(30)).summary))
    marks = drawn_fills(figure)
    assert all(len(trace["x"]) <= figures.MOST for trace in marks)
    for trace, word in zip(marks, ("BUY", "SELL"), strict=True):
        total = np.count_nonzero(run.fills["side"] == word)
        assert f"{trace['name']} {len(trace['x']):,} of {total:,}" in figures.thinned(figure)
        counted = next(one for one in figure["data"] if one["type"] == "bar" and one["name"] == f"{word.lower()}s")
        assert counted["customdata"].sum() == total


def test_lines_are_exact_at_the_fills():
    """The mid and the account around each fill are kept, however long the run."""
    run = full_day(seconds=40_000, n_fills=300)
    figure = market_figure(run, run.curve, Summary.read(result_of(seeded(30)).summary))
    for name, us, values in (("mid", run.mid_us, run.mid), ("held", run.curve.us, run.curve.inventory)):
        trace = next(one for one in figure["data"] if one["name"] == name)
        assert len(trace["x"]) <= figures.MOST + 2_000
        at = np.searchsorted(us, run.fills["recv_us"], side="right") - 1
        shown = dict(zip(trace["x"].tolist(), trace["y"].tolist(), strict=True))
        np.testing.assert_array_equal([shown[one] for one in (us[at] / 1e3).tolist()], values[at])


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
    _, figure = charts(result_of(scribe))
    fills = drawn_fills(figure)[0]
    assert fills["text"] == ["trade_cross:trade"]
    number_, qty, half, after_1, after_5, *later = fills["customdata"][0].tolist()
    assert (number_, half, after_1, after_5) == (1, 0.5, -1.5, -1.5)
    assert qty == pytest.approx(0.001)
    assert np.isnan(later).all()  # the data end before


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
    lines = [next(one for one in scheduled["data"] if one["name"] == name) for name in ("A", "k")]
    held = lines[0]["y"][~np.isnan(lines[0]["y"])]
    assert dict.fromkeys(held.tolist()) == {1.0: None, 2.0: None}
    assert lines[0]["x"][np.flatnonzero(np.isnan(lines[0]["y"]))[0]] == (START_US + hour // 6) / 1e3
    assert not {"A", "k"} & {trace["name"] for trace in fixed["data"]}


def test_neighbouring_holes_are_merged():
    """Bands too close to be told apart by eye only cost bytes."""
    begins = np.arange(0, 100_000, 2) * 1_000_000
    assert len(merged(np.stack([begins, begins + 1_000_000], axis=1), (0.0, 1e11))) == 1
    assert merged(np.array([[0, 10], [500, 600], [2_000, 3_000]]), (100.0, 1_000.0)).tolist() == [[500, 600]]


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
    """Distances without a fill have their upper bound; without an intensity there is no dashed line."""
    figure = rate_figure(rows_of_rates())
    fills, bound = figure["data"]
    assert fills["y"].tolist() == [0.4, 0.1]
    assert fills["error_y"]["arrayminus"] == pytest.approx([0.08, 0.02])
    assert bound["y"] == pytest.approx([0.03, 0.03])
    assert "40 fills in 1 min 40 s of orders, 0.4 per second" in fills["text"][0]
    *_, expected = rate_figure(rows_of_rates(predicted=20.0))["data"]
    assert (expected["line"]["dash"], expected["y"].tolist()) == ("dash", [0.2] * 4)
    assert rate_figure(rows_of_rates(fills=(0, 0))) is None
    assert rate_figure([]) is None


def test_distances_of_a_fine_tick_are_spread():
    """On BTCUSDT they reach from one tick to thousands; each decade has the same room."""
    rows = [{**row, "delta_ticks": 10.0**i} for i, row in enumerate(rows_of_rates(fills=(40, 30, 20, 10)))]
    figure = rate_figure(rows)
    gaps = np.diff(figure["data"][0]["x"])
    assert gaps.max() < 2 * gaps.min()
    assert "1,000" in figure["layout"]["xaxis"]["ticktext"]


def test_rate_hint_compares_fills_with_expected_fills():
    """If an intensity predicts them."""
    assert "Dashed" not in rate_hint(Summary.read({}))
    hint = rate_hint(Summary.read({"fills_ratio": {"value": 0.82, "low": 0.7, "high": 0.95}}))
    assert "fills were 82 % of that (95 %: 70 % to 95 %)" in hint
    few = Summary.read({"fills_ratio": {"value": 0.82, "low": None, "high": None}})
    assert "fills were 82 % of that." in rate_hint(few)


def test_short_run_has_points_without_bars():
    """One block of five minutes has no interval."""
    short = [row | {"rate_low": None, "rate_high": None} for row in rows_of_rates(predicted=20.0)]
    fills = rate_figure(short)["data"][0]
    assert not fills["error_y"]["array"].any()
    hours = [row | {"start_us": 3_600_000_000 * place} for place, row in enumerate(short)]
    assert not hours_figure(hours)["data"][1]["error_y"]["array"].any()


@pytest.mark.slow
def test_fills_are_compared_with_expected_fills_by_hour():
    """If an intensity predicts them; the numbers are those of the run's summary."""
    intensity = Intensity.constant(A=0.05, k=1e-3)
    rows = result_of(seeded(4_000), intensity=intensity).summary["fills_by_hour"]
    expected, fills = hours_figure(rows)["data"]
    assert len(rows) == 2
    assert fills["y"].tolist() == [row["fills"] for row in rows]
    assert expected["y"].tolist()[:2] == [row["predicted"] for row in rows]
    assert f"{rows[0]['fills']:,} fills, {number(rows[0]['predicted'])} expected" in fills["text"]
    assert "Fills and expected fills" not in page_of(result_of(seeded(100)))


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


def test_under_water_is_equity_minus_its_running_maximum():
    """A hole stays a hole, and the maximum before it counts."""
    equity = np.array([np.nan, 1.0, 3.0, np.nan, 2.0, 5.0, 4.0, -1.0])
    drawdown = under_water(equity)
    highest, expected = -math.inf, []
    for value in equity:
        highest = highest if math.isnan(value) else max(highest, value)
        expected.append(value - highest)
    np.testing.assert_array_equal(drawdown, expected)
