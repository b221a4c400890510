"""The report page: self-contained, small, and complete in edge cases."""

import re

import pytest
from hypothesis import given, settings

from drawn_runs import full_day, page_of, result_of
from journals import Scribe, scribes, seeded
from mm.backtest.metrics.numbers import Summary
from mm.report.backtest import (
    LISTED,
    days_card,
    markouts_card,
    numbers_card,
    selection_card,
    sensitivity_card,
    used_parameters,
)
from mm.report.frame import earnings
from pages import check_figure, figures_of, named, read, without_scripts


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(scribes())
def test_any_run_has_a_valid_page(scribe):
    """Every tag is closed, no text is that of a missing number, and every chart can be drawn."""
    html = page_of(result_of(scribe))
    read(html)
    assert not re.search(r"\bnan\b|\binf\b|None", without_scripts(html))
    for figure in figures_of(html):
        check_figure(figure)


@pytest.mark.parametrize("kind", ["empty", "never valid", "no fills", "one row"])
def test_page_has_text_where_there_is_nothing_to_draw(kind):
    """There is text in place of a chart."""
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
        "no fills": "No fills at a valid mid.",
        "one row": "No fills.",
    }
    assert expected[kind] in read(page_of(result_of(scribe))).words


def test_page_is_self_contained():
    """No external script, image or style; both palettes are included."""
    html = page_of(result_of(seeded(600)))
    tags = read(html)
    assert not {tag for tag, _ in tags.seen} & {"link", "img", "iframe", "object"}
    assert not any("src" in attrs or "href" in attrs for _, attrs in tags.seen)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "prefers-color-scheme: dark" in html


def test_page_of_a_full_day_stays_small():
    """400,000 quotes and 20,000 fills: two megabytes of plotly, and three of data."""
    html = page_of(result_of(seeded(300)), full_day())
    read(html)
    assert len(html.encode()) < 6_000_000
    assert len(page_of(result_of(seeded(300)), full_day(), plotly="../plotly.min.js").encode()) < 4_000_000


def test_page_is_the_same_each_time():
    """No time and no random name is in it."""
    result = result_of(seeded(300))
    assert page_of(result) == page_of(result)


def test_page_beside_one_copy_of_plotly_has_no_other():
    """Its address is that of the copy, and its policy allows the file."""
    html = page_of(result_of(seeded(300)), plotly="../../plotly.min.js")
    assert '<script src="../../plotly.min.js"></script>' in html
    assert "data-gzip" not in html.replace("dataset.gzip", "")


def test_headline_numbers_match_the_summary():
    """Rounded, signed, with their units."""
    result = result_of(seeded(1_300, fee_rate=0.0001))
    words = read(page_of(result)).words
    summary = result.summary
    assert f"{summary['n_fills']:,}" in words
    assert "PnL of the quoting" in words
    assert {"USDT", "BTC", "fills"} <= set(words)
    assert any("too short to annualise" in word for word in words)
    longer = read(selection_card(Summary.read(summary | {"daily": [{}] * 20}))).words
    assert any(word.startswith("95 %: ") for word in longer)


def test_excluded_time_is_shaded_and_listed():
    """Seconds without a book are shaded in every chart over time, and the longest are named."""
    scribe = seeded(1_000, breaks=1)
    html = page_of(result_of(scribe))
    shaded = [named(figure, "no market") for figure in figures_of(html)[:2]]
    assert all(trace["x"][2] - trace["x"][0] == 10_000 for trace in shaded)
    assert "Shaded: no market, 10 s" in html
    assert "10 s excluded" in html
    assert "Shaded: " not in page_of(result_of(seeded(100, breaks=0)))


def test_warnings_come_first_and_nulls_last():
    """Important notes are above the charts; reasons for missing numbers are below them."""
    html = page_of(result_of(seeded(60), fill_model="poisson", knows_next_move=False))
    assert html.index("upper bound") < html.index('class="chart"') < html.index("null: predicted_fills")


def test_command_and_knobs_are_printed_as_given():
    """Quoted for a shell, escaped for a browser, with defaults set apart."""
    about = {
        "command": ["mm", "backtest", "--quote-params-json", '{"gamma": 0.1}'],
        "knobs": {
            "SYMBOL": {"value": "BTC<USDT", "source": "flag"},
            "SEED": {"value": 0, "source": "default"},
        },
    }
    tags = read(page_of(result_of(seeded(30)), **about))
    assert "mm backtest --quote-params-json '{\"gamma\": 0.1}'" in tags.words
    assert "BTC<USDT" in tags.words
    _, _, folded = page_of(result_of(seeded(30)), **about).partition("How to reproduce this")[2].partition("<details>")
    assert "SEED" in folded
    assert "SYMBOL" not in folded
    assert "How to reproduce this" not in page_of(result_of(seeded(30)))


TERMS = {"symbol": "BTCUSDT", "quote_asset": "USDT", "base_asset": "BTC"}


def test_markouts_card_lists_each_kind_of_fill():
    """Only a number whose own interval excludes 0 has the colour of its sign; that of the move alone says nothing."""
    row = {"n": 7, "adverse_selection": 0.0, "se": 0.1, "fills": "buy", "horizon_s": 1, "realised": 1.0}
    row |= {"realised_ci95": [0.8, 1.2], "n_effective_blocks": 6.2}
    later = row | {"horizon_s": 5, "realised": -0.15, "realised_ci95": [-0.5, 0.2]}
    html = markouts_card(
        Summary.read(TERMS | {"markouts": [row, later, row | {"fills": "a<b", "realised_ci95": None}]})
    )
    read(html)
    assert '<b class="gain">+1</b> <small class="line">0.8 to 1.2</small>' in html
    assert '<b class="">+1</b>' in html
    assert '<b class="">−0.15</b>' in html
    assert "a&lt;b" in html
    assert html.count("<td>–</td>") == 1
    assert markouts_card(Summary.read({})) == ""


def test_days_are_listed_if_there_are_several():
    """With their own PnL."""
    day = {"day": "20251216", "pnl": 1.5, "n_fills": 3, "equity": 1_001.5}
    html = days_card(
        Summary.read(TERMS | {"daily": [day, day | {"day": "20251217", "pnl": -0.5}], "sharpe_daily": None})
    )
    read(html)
    assert "20251217" in html
    assert "<td>−0.5</td>" in html
    assert days_card(Summary.read({"daily": [day], "sharpe_daily": None})) == ""


HONEST = {
    "fills": "queue_prob_power", "latency": 1.0, "role": "base", "pnl_total": -1.5, "sharpe": None, "n_fills": 12,
    "inventory_rms": 0.5, "adverse_selection_60": None,
}  # fmt: skip


def test_sensitivity_block_is_drawn_if_the_summary_has_one():
    """Otherwise the card describes how to get it."""
    assert "SENSITIVITY=1" in sensitivity_card(Summary.read({}))
    both = sensitivity_card(
        Summary.read(TERMS | {"sensitivity": {"rows": [HONEST, HONEST | {"pnl_total": 2.0, "role": None}]}})
    )
    read(both)
    assert "The sign of the PnL depends on the assumptions." in both
    assert 'queue_prob_power <small class="line">base</small>' in both
    slow = HONEST | {"role": "other", "latency": 2.0}
    assert '<small class="line">2 × latency</small>' in sensitivity_card(
        Summary.read(TERMS | {"sensitivity": {"rows": [HONEST, slow]}})
    )
    same = sensitivity_card(
        Summary.read(TERMS | {"sensitivity": {"rows": [HONEST, HONEST | {"pnl_total": None, "n_fills": None}]}})
    )
    assert "the same sign" in same


def test_selection_card_shows_the_p_of_the_verdict():
    """As 1 − p, not as the probability of a truth; a run without variation has none."""
    for scribe, known in ((seeded(1_500), True), (seeded(60, fill_chance=0.0), False)):
        summary = result_of(scribe).summary
        html = selection_card(Summary.read(summary))
        read(html)
        shown = f"{summary['psr']:.3f}" if known else "–"
        assert f"<th>1 − p, one-sided, of a mean PnL above 0</th><td>{shown}</td>" in html


def test_page_head_names_the_run_and_the_version():
    """A shared page can be traced to its folder."""
    result = result_of(seeded(60))
    html = page_of(result, run_id="a<b", version="1.2")
    assert " · run <b>a&lt;b</b> · mm 1.2" in html
    assert " · run " not in page_of(result)


def test_only_the_last_fills_are_listed_if_there_are_many():
    """Numbered like in mm runs explain; the file has all of them."""
    result = result_of(seeded(1_300))
    words = read(page_of(result)).words
    assert "Fills and round trips" in words
    assert str(result.summary["n_fills"]) in words
    html = page_of(result, full_day(seconds=2_000, n_fills=LISTED + 10))
    assert f"The last {LISTED} of {LISTED + 10}; fills_" in html
    assert html.count('<span class="buy">') + html.count('<span class="sell">') == LISTED


def test_used_parameters_include_those_of_inner_models():
    """Steps around a model are traversed, and fitted values are marked as such."""
    inner = {
        "model": "Glft",
        "parameters": {"k": "fit", "sigma": "tape", "gamma": "auto", "horizon_s": 30.0},
        "inner": [],
    }
    strategy = {"model": "PostOnly", "parameters": {}, "inner": [inner]}
    rows = dict(used_parameters(Summary.read({"strategy": strategy, "fit": {"k": 0.25}})))
    assert rows == {"k, Glft": "0.25 (fit)", "sigma, Glft": "of the tape", "horizon_s, Glft": "30"}
    assert used_parameters(Summary.read({})) == []
    moved = Summary.read({"strategy": strategy, "fit": {"adverse_ticks": 0.697}})
    assert ("adverse_ticks", "0.697 (fit)") in used_parameters(moved)


def test_used_parameters_without_a_fit_are_not_marked_as_fitted():
    """k is the assumed value."""
    strategy = {"model": "AvellanedaStoikov", "parameters": {"k": "touch", "horizon_s": 30.0}}
    rows = dict(used_parameters(Summary.read({"strategy": strategy, "fit": None})))
    assert rows == {
        "k, AvellanedaStoikov": "touch, of the displayed spread",
        "horizon_s, AvellanedaStoikov": "30",
    }


def test_sharpe_ratio_of_few_days_is_not_a_headline():
    """Six hours annualised is not a result; twenty days begin to be one."""
    summary = result_of(seeded(1_300)).summary
    few, many = summary | {"daily": [], "days": ["20260105"]}, summary | {"daily": [{}] * 20}
    assert "Sharpe, annual" not in earnings(Summary.read(few))[1]
    assert "1 day, too few for a Sharpe ratio" in earnings(Summary.read(few))[1]
    assert "Sharpe, annual" in earnings(Summary.read(many))[1]
    for text in ("above 0", "below 0", "undecided", "too short to test"):
        found = few | {"verdict": {"text": text, "lower95": None, "upper95": None}}
        assert f">{text}<" in earnings(Summary.read(found))[1]


def test_page_shows_no_annual_ratio_of_a_short_run():
    """A Calmar ratio of a minute is a gain times half a million; the file keeps the contract's value."""
    summary = result_of(seeded(1_300)).summary
    short = {"daily": [], "days": ["20260105"], "calmar": 123_456.0, "sharpe_ci95": [654_321.0, 765_432.0]}
    few = Summary.read(summary | short)
    many = Summary.read(summary | short | {"daily": [{}] * 20})
    for cards in (numbers_card, selection_card):
        assert "1 of 20 days, too short to annualise" in cards(few)
        assert "too short" not in cards(many)
    assert "123,456" not in numbers_card(few)
    assert "123,456" in numbers_card(many)
    assert "654,321" not in selection_card(few)


def test_every_number_has_its_unit_beside_it():
    """Money is in the quote asset, inventory in the base asset; shares are in %; counts are bare."""
    rows = dict(
        re.findall(
            r"<tr><th>(\w+)</th><td>(.*?)</td></tr>", numbers_card(Summary.read(result_of(seeded(1_300)).summary))
        )
    )
    units = {name: re.sub(r"[^A-Za-z]", "", re.sub(r".*<small>|</small>", "", cell)) for name, cell in rows.items()}
    expected = {"fees": "USDT", "pnl_total": "USDT", "holding_s": "s", "rms": "BTC"}
    assert {name: units[name] for name in expected} == expected
    assert rows["max_drawdown_share"].endswith(" %")  # as in the tiles
    assert "small" not in rows["n"]
