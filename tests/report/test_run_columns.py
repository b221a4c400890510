"""The columns of a run: the same from a result and from the files of its folder, and the account over time."""

import json

import numpy as np
import pytest
from drawn_runs import result_of
from hypothesis import given, settings

import engine_chance
from engine_tapes import with_best
from journals import START_US, Scribe, scribes, seeded
from mm.report import run_columns
from mm.report.backtest import page, write_run
from mm.report.run_columns import RunColumns, columns_of, course, market_of, pauses, read_columns
from pages import read


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


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_a_long_run_is_drawn_without_the_rows_at_which_nothing_changes(scribe):
    """At every state row the account is unchanged, and a pause is where one was."""
    result = result_of(scribe)
    whole = course(columns_of(result))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_columns, "ALL_DRAWN", 0)
        thin = course(columns_of(result))
    last = np.append(np.diff(whole.us) > 0, True)  # of the rows of an instant
    at = np.searchsorted(thin.us, whole.us[last], side="right") - 1
    for name in ("inventory", "equity", "spread", "fees"):
        np.testing.assert_array_equal(getattr(thin, name)[at], getattr(whole, name)[last])


def test_a_night_keeps_a_row_in_five_seconds_and_both_ends_of_a_change():
    """A minute without a row stays a pause, and hours without a change are none."""
    us = np.append(np.arange(0, 3_600), np.arange(4_000, 4_100)) * 1_000_000
    value = np.where(us < 1_003_000_000, 1, 2)
    rows = run_columns.drawn_rows(us, [value])
    assert {1_002, 1_003} <= set(rows.tolist())
    assert len(rows) == pytest.approx(len(us) / 5, abs=5)
    assert us[rows][pauses(us[rows])].tolist() == us[pauses(us)].tolist() == [4_000_000_000]


@pytest.mark.parametrize("several", range(4))
def test_the_market_of_the_best_prices_is_that_of_the_whole_book(several):
    """Of whole tapes and of windows of them, day after day; gaps, snapshots and days without a print among them."""
    for seed in range(25 * several, 25 * several + 25):
        whole = engine_chance.case_of(seed).tapes
        ends = [(tape.start_us + (tape.end_us - tape.start_us) // 3, tape.end_us) for tape in whole]
        days = [(tape, with_best(tape)) for tape in whole]
        parts = [(tape.between(*end), with_best(tape).between(*end)) for tape, end in zip(whole, ends, strict=True)]
        for tapes, played in (zip(*days, strict=True), zip(*parts, strict=True)):
            assert all(tape.best is not None for tape in played)
            expected, found = market_of(tapes), market_of(played)
            for name in ("us", "bid", "ask"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), f"{name} of {seed}")
            for sign in (1, -1):
                for name in ("us", "price", "qty"):
                    own, other = (getattr(market.prints[sign], name) for market in (found, expected))
                    np.testing.assert_array_equal(own, other, f"{name} of {sign} of {seed}")
