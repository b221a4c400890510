"""What a run earned: the pictures of a page show the numbers of summary.json."""

import json

import numpy as np
import pytest

from drawn_runs import page_of, result_of
from journals import START_US, seeded
from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.risk import LEAST_PERIODS
from mm.report.earned import by_inventory, hours_by_day, returns_figure, rolling_card, rolling_sharpe
from mm.report.run_columns import columns_of, read_columns
from pages import figures_of, named, read

DAYS = 24
TARGET = 500_000  # lots


@pytest.fixture(scope="module")
def result():
    """Half an hour, counted as 24 days of 75 s, with a target inventory."""
    begins = {f"202512{day + 1:02d}": START_US + day * 75_000_000 for day in range(DAYS)}
    return result_of(
        seeded(1_800, fee_rate=0.0001), days=tuple(begins), starts_us=tuple(begins.values()), target_lots=TARGET
    )


@pytest.fixture(scope="module")
def figures(result):
    return figures_of(page_of(result))


def of_axis(figures, title):
    return next(one for one in figures if title in str(one["layout"]["xaxis"].get("title", {}).get("text", "")))


def last(trace):
    return float(np.asarray(trace["y"], float)[~np.isnan(np.asarray(trace["y"], float))][-1])


def test_returns_end_at_the_numbers_of_the_summary(result, figures):
    """In per cent of the first equity: the quoting, the holding of the target, and both."""
    summary = result.summary
    start = summary["account"]["equity_start"]
    figure = next(one for one in figures if any(trace.get("name") == "holding" for trace in one["data"]))
    for name, key in (("quoting", "pnl_quoting"), ("holding", "pnl_hold"), ("account", "pnl_total")):
        assert last(named(figure, name)) == pytest.approx(100 * summary[key] / start, abs=1e-9)
    assert "1,000" in page_of(result).partition("Returns beside holding")[2][:200]


def test_histograms_count_every_minute_and_round_trip(result, figures):
    """But minutes without a change; their caption has the mean of the summary."""
    summary, draws = result.summary, columns_of(result).draws
    assert len(draws.minutes) == summary["returns"]["periods"]
    assert draws.minutes.mean() == pytest.approx(summary["returns"]["mean"])
    assert draws.minutes.std(ddof=1) == pytest.approx(summary["returns"]["std"])
    assert (len(draws.trips), draws.trips.mean()) == (
        summary["round_trips"]["n"],
        pytest.approx(summary["round_trips"]["mean"]),
    )
    assert (draws.trips > 0).mean() == pytest.approx(summary["round_trips"]["win_rate"])
    minutes, trips = (of_axis(figures, title)["data"][0] for title in ("PnL of a minute", "PnL of a round trip"))
    assert sum(minutes["y"]) == np.count_nonzero(draws.minutes)
    assert sum(trips["y"]) == summary["round_trips"]["n"]


def test_inventories_add_up_to_the_pnl(result, figures):
    """Each change of equity belongs to the inventory before it; the shares of time to one."""
    bars, time = of_axis(figures, "from the target")["data"]
    assert sum(bars["y"]) == pytest.approx(result.summary["pnl_quoting"], abs=1e-9)
    assert sum(time["y"]) == pytest.approx(100)
    levels, pnl, share = by_inventory(columns_of(result), result.summary["quote_qty"])
    assert len(levels) == len(pnl) == len(share) <= 25


def test_hours_of_each_day_add_up_to_the_day(result, figures):
    """Also where a day begins within an hour."""
    names, pnl = hours_by_day(columns_of(result))
    daily = result.summary["daily"]
    assert names == [day["day"] for day in daily]
    assert np.nansum(pnl, axis=0) == pytest.approx([day["pnl"] for day in daily], abs=1e-9)
    (drawn,) = (one["data"][0]["z"] for one in figures if one["data"][0]["type"] == "heatmap")
    assert sum(value or 0.0 for row in drawn for value in row) == pytest.approx(result.summary["pnl_quoting"], abs=1e-9)


def test_rolling_sharpe_is_that_of_the_summary_over_all_its_days(result):
    """Twenty days have one window; fewer have no card."""
    daily = result.summary["daily"]
    pnl, annual = np.array([day["pnl"] for day in daily]), result.summary["sharpe_daily"]
    assert len(rolling_sharpe(pnl, annual)) == DAYS - 19
    twenty = pnl[:20]
    year = 365**0.5 * twenty.mean() / twenty.std(ddof=1)
    assert rolling_sharpe(twenty, year) == pytest.approx([year])
    assert rolling_sharpe(pnl, annual)[0] == pytest.approx(year)
    names = [day["day"] for day in daily]
    assert rolling_card(names[:19], pnl[:19].tolist(), annual) == ""
    assert "All days earned the same." in rolling_card(names, [1.0] * DAYS, None)


def test_short_run_says_what_it_lacks():
    """A sentence in place of each picture."""
    words = " ".join(read(page_of(result_of(seeded(60, fill_chance=0.0)))).words)
    assert f"fewer than {LEAST_PERIODS} have no shape" in words
    assert "The inventory stayed on one level" in words
    assert "so holding it earned nothing" in words


def test_account_without_equity_has_no_returns(result):
    summary = result.summary
    for start in (None, 0.0, -5.0):
        account = summary["account"] | {"equity_start": start}
        assert returns_figure(Summary.read(summary | {"account": account}), columns_of(result)) is None


@pytest.mark.parametrize("breaks", [0, 2])
def test_files_of_a_run_draw_the_same(tmp_path, breaks):
    """Minutes and round trips are read from the tables; the files do not tell the price at which an outage ended."""
    result = result_of(seeded(1_800, breaks=breaks), target_lots=TARGET)
    result.write_tables(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps(result.summary))
    own, again = columns_of(result).draws, read_columns(tmp_path, result.terms.instrument.symbol).draws
    assert again.trips == pytest.approx(own.trips)
    assert (again.minutes is None) == bool(breaks)
    if again.minutes is not None:
        assert again.minutes == pytest.approx(own.minutes, abs=1e-9)
