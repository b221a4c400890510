"""The report page: complete in itself, small, and whole at every edge."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings

from journals import START_US, Scribe, books, scribes, seeded
from mm.backtest.fills.intensity import Intensity
from mm.backtest.result import Result
from mm.numbers import number
from mm.report.backtest import page, write_run
from mm.report.cards import days_card, honesty_card, luck_card, markouts_card
from mm.report.charts import distance_edges, markout_chart
from mm.report.course import course
from mm.report.frame import About
from mm.report.over_time import merged, panels
from mm.report.rates import rate_chart, told_of_rates
from mm.report.run_columns import RunColumns, Standing, columns_of, read_columns
from pages import read


def page_of(result, about=None):
    return page(result.summary, columns_of(result), about)


def result_of(scribe, **terms):
    return Result(scribe.journal(), books(scribe.instrument, **terms))


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_any_run_has_a_whole_page(scribe):
    """Every tag is closed, and no mark is drawn at a place that is not a number."""
    html = page_of(result_of(scribe))
    read(html)
    assert not re.search(r"\bnan\b|\binf\b|None", html)


@pytest.mark.parametrize("kind", ["empty", "never valid", "no fills", "one row"])
def test_runs_with_nothing_to_show_say_so(kind):
    """Words stand where a chart would."""
    scribe = Scribe() if kind in ("empty", "never valid") else seeded(60, fill_chance=0.0)
    if kind == "never valid":
        scribe.state()
        scribe.wait(60_000_000)
        scribe.state()
    if kind == "one row":
        scribe = Scribe()
        scribe.move(20_000)
        scribe.state()
    expected = {
        "empty": "There are no state rows.",
        "never valid": "The book was never valid, so equity has no mark.",
        "no fills": "No fills to follow.",
        "one row": "No fills.",
    }
    assert expected[kind] in read(page_of(result_of(scribe))).words


def test_a_page_needs_nothing_else():
    """No script, no image, no style from elsewhere; both palettes are inside."""
    html = page_of(result_of(seeded(600)))
    tags = read(html)
    assert not {tag for tag, _ in tags.seen} & {"link", "img", "iframe", "object"}
    assert not any("src" in attrs or "href" in attrs for _, attrs in tags.seen)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "prefers-color-scheme: dark" in html


def full_day(seconds=50_400, n_fills=20_000):
    """14 hours: a state row and 2 changes of the mid a second, 8 quotes a second, a broken book every minute."""
    random = np.random.default_rng(0)
    mid = 87_000 + np.cumsum(random.normal(0, 0.3, 2 * seconds)).round(2)
    mid[np.arange(2 * seconds) % 120 == 0] = np.nan
    mid_us = START_US + np.arange(2 * seconds) * 500_000
    us, now = mid_us[::2], mid[::2]
    at = np.sort(random.integers(0, seconds, n_fills))
    inventory, equity = (np.cumsum(random.normal(0, size, seconds)) for size in (0.001, 1))
    fills = {
        "recv_us": us[at],
        "side": random.choice(["BUY", "SELL"], n_fills),
        "price": np.nan_to_num(now[at], nan=87_000.0) + random.normal(0, 1, n_fills).round(2),
        "qty": np.full(n_fills, 0.001),
        "fee": np.full(n_fills, 0.087),
        "reason": np.full(n_fills, "trade_cross:trade"),
        "mid": now[at],
    }
    state = {"recv_us": us, "inventory": inventory, "mid": now, "equity": equity + 0 * now}
    quote_us = START_US + np.arange(4 * seconds) * 250_000 + random.integers(0, 20_000, 4 * seconds)
    price = np.repeat(np.nan_to_num(mid, nan=87_000.0), 2)
    quotes = {side: Standing(quote_us, quote_us + 225_000, price - 2 * side) for side in (1, -1)}
    off = mid_us[np.isnan(mid)]
    return RunColumns(fills, state, quotes, mid_us, mid, np.stack([off, off + 500_000], axis=1))


def test_a_full_day_stays_small():
    """400 000 quotes and 20 000 fills, each in the page."""
    html = page(result_of(seeded(300)).summary, full_day())
    read(html)
    assert len(html.encode()) < 5_000_000


def test_a_page_of_very_much_tells_that_it_draws_some():
    """A busy month: the counts hold all fills."""
    html = page(result_of(seeded(300)).summary, full_day(seconds=80_000, n_fills=130_000))
    assert "USDT, one of 3 quotes, one of 3 fills" in html
    assert len(html.encode()) < 5_000_000


def test_a_run_folder_is_enough_to_draw_its_page_again(tmp_path):
    """With the mid of the state rows, for the files have no other; all else is that of the run."""
    result = result_of(seeded(300))
    write_run(result, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    run, there = columns_of(result), read_columns(tmp_path, "BTCUSDT")
    for side in (1, -1):
        for name in ("us", "until_us", "price"):
            assert getattr(there.quotes[side], name).tolist() == getattr(run.quotes[side], name).tolist()
    again = read(page(summary, there)).words
    first = read((tmp_path / "report.html").read_text(encoding="utf-8")).words
    assert (
        again[again.index("Where the PnL came from") : again.index("Data")]
        == (first[first.index("Where the PnL came from") : first.index("Data")])
    )


@pytest.mark.parametrize("kind", ["empty", "never valid", "no fills"])
def test_a_folder_with_next_to_nothing_is_drawn_too(tmp_path, kind):
    """Tables without a row have no types to go by."""
    scribe = Scribe() if kind != "no fills" else seeded(60, fill_chance=0.0)
    if kind == "never valid":
        scribe.state()
        scribe.wait(60_000_000)
        scribe.state()
    result = result_of(scribe)
    write_run(result, tmp_path)
    read(page(result.summary, read_columns(tmp_path, "BTCUSDT")))


def test_the_headline_numbers_are_those_of_the_summary():
    """Rounded, signed, with their units."""
    result = result_of(seeded(1_300, fee_rate=0.0001))
    words = read(page_of(result)).words
    summary = result.summary
    assert f"{summary['n_fills']:,}" in words
    assert "PnL USDT" in words
    assert any(word.startswith("95 %: ") for word in words)


def test_what_was_excluded_is_shaded_and_told():
    """Seconds without a book are seen in every chart over time, and the longest are named."""
    scribe = seeded(1_000, breaks=1)
    html = page_of(result_of(scribe))
    assert html.count('<path class="off"') == 4
    assert "no valid book: 10 s" in html
    assert "10 s excluded" in html
    assert "no valid book: " not in page_of(result_of(seeded(100, breaks=0)))


def test_warnings_come_first_and_nulls_last():
    """What a reader must know stands above the charts; why a number is missing, below them."""
    html = page_of(result_of(seeded(60), fill_model="poisson"))
    assert html.index("upper bound") < html.index("<svg") < html.index("null: predicted_fills")


def test_command_and_knobs_are_printed_as_they_were():
    """Quoted for a shell, escaped for a browser, defaults set apart."""
    about = About(
        command=["mm", "backtest", "--quote-params-json", '{"gamma": 0.1}'],
        knobs={
            "SYMBOL": {"value": "BTC<USDT", "source": "flag"},
            "SEED": {"value": 0, "source": "default"},
        },
    )
    tags = read(page_of(result_of(seeded(30)), about))
    assert "mm backtest --quote-params-json '{\"gamma\": 0.1}'" in tags.words
    assert "BTC<USDT" in tags.words
    assert ("div", {"class": "default"}) in tags.seen
    assert "How to get this again" not in page_of(result_of(seeded(30)))


def test_the_fee_line_is_drawn_only_where_it_fits():
    """A fee a hundred times the spread would flatten everything else."""
    summary = result_of(seeded(300)).summary
    assert 'class="dash"' in markout_chart(summary, 0.5)
    assert 'class="dash"' not in markout_chart(summary, 87.0)
    assert 'class="dash"' not in markout_chart(summary, None)


def charts(result):
    run = columns_of(result)
    return run, panels(run, course(run), result.summary)


def test_few_fills_are_marked_singly_and_many_are_counted():
    """Thousands of triangles would hide the price."""
    (_, few), (_, many) = charts(result_of(seeded(60))), charts(result_of(seeded(400, fill_chance=0.5)))
    assert 'class="buy"' in few[0].picture
    assert 'class="buy"' not in many[0].picture
    assert 'class="buy"' in many[1].picture


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_the_parts_of_the_pnl_end_at_the_summary_and_add_up_at_every_row(scribe):
    """Spread captured and inventory less fees are the change of equity, which the last row has as the total."""
    result = result_of(scribe)
    run = columns_of(result)
    drawn = course(run)
    parts = drawn.spread + drawn.carried - drawn.fees
    known = ~np.isnan(drawn.equity)
    size = max(1.0, float(np.abs(drawn.spread).max()), float(np.nanmax(np.abs(drawn.equity), initial=0.0)))
    assert np.allclose(parts[known], drawn.equity[known], rtol=0, atol=1e-9 * size)
    if known.any() and known[0]:
        assert drawn.spread[-1] == pytest.approx(result.summary["pnl_spread_capture"], rel=1e-9, abs=1e-9 * size)
        assert drawn.fees[-1] == pytest.approx(result.summary["fees"], rel=1e-9, abs=1e-9 * size)
        if known[-1]:
            assert drawn.equity[-1] == pytest.approx(result.summary["pnl_total"], rel=1e-9, abs=1e-9 * size)


def test_a_fill_says_what_it_was_worth_later():
    """Bought at 99.5 under a mid of 100 that then falls to 98: half a unit at once, a loss from the next second on."""
    scribe = Scribe(initial_lots=0)
    scribe.move(20_000)
    scribe.state()
    scribe.fill(scribe.place(1, 9_950, 100), 1, 9_950, 100)
    scribe.wait(500_000)
    scribe.move(19_600)
    scribe.wait(10_000_000)
    scribe.state()
    _, drawn = charts(result_of(scribe))
    told = {label: values[0] for label, values, _ in drawn[0].marks[0].told}
    assert told.pop("because") == "trade_cross:trade"
    assert told.pop("worth after 30 s") != told.pop("worth after 60 s")  # NaN: the data end before
    assert told == pytest.approx(
        {"fill": 1, "buy": 0.001, "at": 99.5, "worth at once": 0.5, "worth after 1 s": -1.5, "worth after 5 s": -1.5}
    )


def test_quotes_stand_from_their_arrival_to_their_end():
    """An order on its way is no quote, nor is one that was cancelled."""
    scribe = Scribe()
    scribe.move(20_000)
    scribe.state()
    first = scribe.place(1, 9_950, 100)
    scribe.place(-1, 10_050, 100)
    scribe.wait(1_000_000)
    scribe.fill(first, 1, 9_950, 100)
    scribe.order("CLOSE_FILLED", "FILLED", first, (1, 9_950, 100))
    scribe.wait(1_000_000)
    scribe.state()
    quotes = columns_of(result_of(scribe)).quotes
    assert [(quotes[side].us - START_US).tolist() for side in (1, -1)] == [[50_000], [50_000]]
    assert [(quotes[side].until_us - START_US).tolist() for side in (1, -1)] == [[1_000_000], [2_000_000]]
    assert [quotes[side].price.tolist() for side in (1, -1)] == [[99.5], [100.5]]


def test_a_and_k_are_drawn_where_a_schedule_changed_them():
    """One fit for all time has no course to draw."""
    hour = 3_600_000_000
    pieces = [
        (START_US + i * hour // 12, START_US + (i + 1) * hour // 12, 1.0 + i, 1e-3, 1.0 + i, 1e-3, 1e-3)
        for i in range(2)
    ]
    (_, scheduled), (_, fixed) = (
        charts(result_of(seeded(900), intensity=intensity))
        for intensity in (Intensity(pieces), Intensity.constant(A=1.0, k=1e-3))
    )
    assert [one.title for one in scheduled[-2:]] == ["A in force", "k in force"]
    line = scheduled[-2].lines[0]
    assert line.values[~np.isnan(line.values)].tolist() == [1.0, 2.0]
    assert line.us[np.flatnonzero(np.isnan(line.values))[0]] == START_US + hour // 6
    assert fixed[-1].title == "Inventory"


def run_of(us, values, excluded=()):
    state = {"recv_us": us, "inventory": np.ones(len(us)), "mid": values, "equity": values}
    fills = {name: np.empty(0) for name in ("recv_us", "price", "qty", "fee", "mid")} | {"side": np.empty(0, "<U4")}
    return RunColumns(fills, state, {}, us, values, np.array(excluded, np.int64).reshape(-1, 2))


def test_a_pause_in_the_rows_is_a_hole():
    """The night between two days is not a level line."""
    us = np.concatenate([np.arange(100), 40_000 + np.arange(100)]) * 1_000_000
    drawn = course(run_of(us, np.ones(200)))
    assert drawn.us[np.isnan(drawn.equity)].tolist() == [99_000_001]


def test_marks_within_an_excluded_stretch_are_not_shown():
    """They are old."""
    us = np.arange(10) * 1_000_000
    drawn = course(run_of(us, np.arange(10.0), [(3_000_000, 6_000_000)]))
    assert drawn.us[np.isnan(drawn.equity)].tolist() == [3_000_000, 4_000_000, 5_000_000]


def test_neighbouring_holes_are_drawn_as_one():
    """Bands closer than an eye can part cost bytes for nothing."""
    begins = np.arange(0, 100_000, 2) * 1_000_000
    assert len(merged(np.stack([begins, begins + 1_000_000], axis=1), (0.0, 1e11))) == 1
    assert merged(np.array([[0, 10], [500, 600], [2_000, 3_000]]), (100.0, 1_000.0)) == [(500.0, 600.0)]


def rows_of_rates(fills=(0, 40, 10, 0), predicted=None):
    return [
        {
            "from_ticks": i, "to_ticks": i + 0.5, "delta_ticks": i + 0.2, "exposure_s": 100.0, "fills": many,
            "rate_per_s": many / 100, "rate_low": 0.8 * many / 100, "rate_high": (1.2 * many + 3) / 100,
            **({} if predicted is None else {"predicted": predicted}),
        }
        for i, many in enumerate(fills)
    ]  # fmt: skip


def test_rates_are_drawn_with_bars_and_what_was_foreseen():
    """Distances without a fill keep their upper end; without an intensity there is no line."""
    chart = rate_chart(rows_of_rates())
    assert chart.count('class="whisker"') == 2
    assert chart.count("none-yet") == 2
    assert 'class="dash"' not in chart
    assert 'class="dash"' in rate_chart(rows_of_rates(predicted=20.0))
    assert "40 fills in 1 min 40 s of orders, 0.4 a second" in chart
    assert "No fills" in rate_chart(rows_of_rates(fills=(0, 0)))
    assert "No fills" in rate_chart([])


def test_the_rates_heading_compares_all_fills_with_the_foreseen():
    """Where something foresees them."""
    assert "Dashed" not in told_of_rates({})
    told = told_of_rates({"fills_ratio": {"value": 0.82, "low": 0.7, "high": 0.95}})
    assert "82 % of that filled (95 %: 70 % to 95 %)" in told


def test_fills_are_held_against_what_was_foreseen_hour_by_hour():
    """Where something foresees them; the run's own summary is what is drawn."""
    intensity = Intensity.constant(A=0.05, k=1e-3)
    result = result_of(seeded(4_000), intensity=intensity)
    html = page_of(result)
    hours = result.summary["fills_by_hour"]
    assert len(hours) == 2
    for row in hours:
        assert f"{row['fills']:,} fills, {number(row['predicted'])} foreseen" in html
    assert "Fills against what was foreseen" not in page_of(result_of(seeded(100)))


def test_kinds_of_fills_are_told_apart():
    """By side, by what they did to the inventory, by distance; strong numbers have the colour of their sign."""
    row = {"n": 7, "adverse_selection": 0.0, "se": 0.1, "fills": "buy", "horizon_s": 1, "realised": 1.0}
    html = markouts_card(
        {"markouts": [row, row | {"horizon_s": 5, "realised": -0.15}, row | {"fills": "a<b", "se": None}]}
    )
    read(html)
    assert '<b class="gain">+1</b> <small>± 0.1</small>' in html
    assert '<b class="">−0.15</b>' in html
    assert "a&lt;b" in html
    assert html.count("<td>–</td>") == 1
    assert markouts_card({}) == ""


def test_days_are_listed_where_there_are_several():
    """With their own PnL."""
    day = {"day": "20251216", "pnl": 1.5, "n_fills": 3, "equity": 1_001.5}
    html = days_card({"daily": [day, day | {"day": "20251217", "pnl": -0.5}], "sharpe_daily": None})
    read(html)
    assert "20251217" in html
    assert '<b class="loss">−0.5</b>' in html
    assert days_card({"daily": [day], "sharpe_daily": None}) == ""


HONEST = {
    "fills": "queue_prob_power", "latency": 1.0, "role": "base", "pnl_total": -1.5, "sharpe": None, "n_fills": 12,
    "inventory_rms": 0.5, "adverse_selection_60": None,
}  # fmt: skip


def test_the_honesty_block_is_drawn_where_there_is_one():
    """Or says how to get it."""
    assert "HONESTY=1" in honesty_card({})
    both = honesty_card({"honesty": {"rows": [HONEST, HONEST | {"pnl_total": 2.0, "role": None}]}})
    read(both)
    assert "The sign of the PnL hangs on the assumptions." in both
    assert "queue_prob_power <small>base</small>" in both
    same = honesty_card({"honesty": {"rows": [HONEST, HONEST | {"pnl_total": None, "n_fills": None}]}})
    assert "the same sign" in same


def test_luck_is_told_where_it_can_be():
    """A run without variation has no chance of skill to tell."""
    told, nothing = (luck_card(result_of(scribe).summary) for scribe in (seeded(600), seeded(60, fill_chance=0.0)))
    read(told + nothing)
    assert "chance that it is above 0" in told
    assert " %</td>" in told
    assert " %</td>" not in nothing


@pytest.mark.parametrize(
    "ticks", [[1.0], [0.5, 0.5, 3.0], list(range(1, 500)), [-2.0, 0.0, 7.5], [1.0, 1e6], [12_345.5] * 9]
)
def test_distances_fall_inside_bars_and_never_on_an_edge(ticks):
    """Half ticks are the only places a distance can be."""
    edges = distance_edges(np.array(ticks))
    assert 9 <= len(edges) - 1 <= 25
    assert edges[0] < np.quantile(ticks, 0.005)
    assert np.quantile(ticks, 0.995) <= edges[-1]
    assert np.allclose((edges + 0.25) * 2, np.round((edges + 0.25) * 2))


def test_the_rolling_ratio_is_drawn_of_more_than_an_hour():
    """A shorter run has no such card, and one whose equity never moves says so."""
    calm = {"orders_a_second": 1, "breaks": 0}
    short, long, still = (
        page_of(result_of(scribe))
        for scribe in (seeded(600), seeded(3_800, **calm), seeded(3_800, fill_chance=0.0, **calm))
    )
    assert "Sharpe ratio, rolling" not in short
    assert "Annual Sharpe ratio of the hour before" in long
    assert "Equity hardly ever changed." in still
