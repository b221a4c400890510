"""The summary: documented keys, numbers recomputed from the files alone, and a reason for every null."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_summary import recompute

from invariants import assert_pnl_sums
from journals import Scribe, run_terms, scribes, seeded
from mm import Result, Rules, Tape, backtest
from mm.backtest.fills.base import PythonFillModel
from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics.pnl import account_of
from mm.backtest.metrics.summary import point_summary
from mm.instrument import Instrument
from named import model_of
from support import write_run

CONTRACT = set(
    """symbol days models pnl_total pnl_quoting pnl_hold account verdict
    pnl_spread_capture pnl_inventory fees adverse_selection n_orders n_fills n_partial
    fill_ratio quote_to_trade two_sided_uptime inventory sharpe sharpe_ci95 sortino calmar max_drawdown
    drawdown_duration_s effective_half_spread realised_half_spread seconds_covered seconds_excluded predicted_fills
    observed_fills warnings n_rejects rejects quoted_half_spread share_outside_fit gamma fit reference
    target_inventory""".split()  # noqa: SIM905 (a list of names reads better as words)
)


def parts(numbers):
    """Yield pairs of dotted name and number."""
    for key, value in numbers.items():
        yield from (
            [(f"{key}.{part}", item) for part, item in value.items()] if isinstance(value, dict) else [(key, value)]
        )


def flat(numbers):
    return {name: value for name, value in parts(numbers) if value is not None}


def undefined(value, name=""):
    """Return the dotted names of all nulls, those in the rows of a list under the list's name."""
    if isinstance(value, dict):
        return {null for key, item in value.items() for null in undefined(item, f"{name}.{key}".lstrip("."))}
    if isinstance(value, list):
        return {null for item in value for null in undefined(item, name)}
    return {name} if value is None else set()


def missing(numbers):
    return {name for name, value in parts(numbers) if value is None}


def summary_of(scribe, **terms):
    return Result(scribe.journal(), run_terms(scribe.instrument, **terms)).summary


def assert_recomputed(folder, scribe):
    result = Result(scribe.journal(), run_terms(scribe.instrument))
    write_run(result, folder)
    expected = recompute(folder, scribe.instrument.symbol, scribe.mids, scribe.us)
    written = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found = {key: written[key] for key in expected}
    assert flat(found) == pytest.approx(flat(expected), rel=1e-9, abs=1e-9)
    assert missing(found) == missing(expected)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(scribes())
def test_summary_equals_numbers_recomputed_from_files(tmp_path_factory, scribe):
    """With the CSV files, Decimal and the statistics module."""
    assert_recomputed(tmp_path_factory.mktemp("run"), scribe)


def test_summary_of_a_longer_run_equals_recomputed_numbers(tmp_path):
    """Half an hour with fees, partial fills and gaps of the book."""
    scribe = seeded(1_800, orders_a_second=2, fee_rate=0.001)
    assert_recomputed(tmp_path, scribe)
    predicted = {"predicted_fills", "share_outside_fit", "fills_ratio.value", "fills_ratio.low", "fills_ratio.high"}
    predicted.add("fills_ratio.given")
    times = {"quote_lifetime_s.mean", "quote_lifetime_s.p50", "quote_lifetime_s.p99", "quote_lifetime_s.p999"}
    others = {"quote_lifetime_s.max", "sharpe_daily", "inventory_at_bound", "undone_by", "verdict.days_to_decide"}
    others |= {"undone_by_alone", "verdict_alone.days_to_decide", "verdict.tail", "verdict_alone.tail"}
    assumed = {"fit", "fill_bias", "gamma", "share_outside_fit"}
    assert missing(summary_of(scribe)) == predicted | times | others | assumed


@settings(max_examples=60, deadline=None)
@given(scribes())
def test_written_pnl_parts_add_up(scribe):
    """The JSON numbers are decimals that add up exactly, up to the fifteen digits that a float holds."""
    summary = summary_of(scribe)
    if summary["pnl_total"] is not None:
        names = ("pnl_spread_capture", "pnl_inventory", "fees", "pnl_total")
        spread, inventory, fees, total = (Decimal(repr(summary[name])) for name in names)
        if all(len(number.as_tuple().digits) <= 15 for number in (spread, inventory, fees, total)):
            assert total == spread + inventory - fees
        assert summary["pnl_total"] == pytest.approx(float(spread + inventory - fees), rel=1e-12, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(scribes())
def test_every_null_has_a_reason_in_the_warnings(scribe):
    """And reasons are given for nulls only."""
    summary = summary_of(scribe)
    listed = [
        line.removeprefix("null: ").split(": ", 1)[0] for line in summary["warnings"] if line.startswith("null: ")
    ]
    names = {name for line in listed for name in line.split(", ")}
    nulls = undefined(summary)
    assert {name.split(".")[0] for name in names} == {name.split(".")[0] for name in nulls}
    assert all(name in names or name.split(".")[0] in names for name in nulls)
    assert all(any(null == name or null.startswith(f"{name}.") for null in nulls) for name in names)
    assert "NaN" not in json.dumps(summary)


def test_summary_contains_the_documented_keys():
    """Additional keys are allowed."""
    summary = summary_of(seeded(300))
    assert set(summary) >= CONTRACT
    assert set(summary["models"]) == {"quote", "fill"}
    assert set(summary["inventory"]) == {"mean", "abs_mean", "max", "rms", "half_life_s"}
    assert set(summary["inventory_from_target"]) == {"mean", "abs_mean", "max", "rms"}
    for key in ("adverse_selection", "realised_half_spread"):
        assert list(summary[key]) == ["0", "1", "5", "30", "60"]


def test_summary_of_a_small_run_equals_values_by_hand():
    """One buy at 10 ticks under the mid, one sell at 10 over, the mid 20 ticks higher in between; no fees."""
    scribe = Scribe(fee_rate=0.0)
    scribe.expected_fills = 1.5
    scribe.move(20_000)
    scribe.state()
    ids = [scribe.place(1, 9_990, 100), scribe.place(-1, 10_030, 200)]
    scribe.wait(1_000_000)
    scribe.fill(ids[0], 1, 9_990, 100)
    scribe.move(20_040)
    scribe.wait(2_000_000)
    scribe.fill(ids[1], -1, 10_030, 100)
    scribe.wait(1_000_000)
    scribe.cancel(ids[1], -1, 10_030, 200)
    scribe.state()
    summary = summary_of(scribe)
    lot, tick = 1e-5, 0.01
    assert summary["pnl_spread_capture"] == pytest.approx(2 * 10 * tick * 100 * lot)
    assert summary["pnl_inventory"] == pytest.approx(20 * tick * 100 * lot)
    assert summary["pnl_total"] == pytest.approx(40 * tick * 100 * lot)
    assert (summary["n_orders"], summary["n_fills"], summary["n_partial"]) == (2, 2, 1)
    assert summary["fill_ratio"] == pytest.approx(200 / 300)
    assert summary["quote_to_trade"] == pytest.approx(3 / 2)
    assert summary["two_sided_uptime"] == pytest.approx(1.0)
    assert summary["effective_half_spread"] == pytest.approx(10 * tick)
    assert summary["adverse_selection"]["1"] == pytest.approx(10 * tick)
    assert summary["realised_half_spread"]["1"] == pytest.approx(20 * tick)
    assert summary["inventory"]["mean"] == pytest.approx(100 * lot * 2 / 4)
    assert summary["inventory"]["max"] == pytest.approx(100 * lot)
    assert (summary["predicted_fills"], summary["observed_fills"]) == (1.5, 2)
    assert (summary["seconds_covered"], summary["seconds_excluded"]) == (4.0, 0.0)
    assert (summary["max_drawdown"], summary["drawdown_duration_s"], summary["calmar"]) == (0.0, 0.0, None)
    assert summary["initial_equity"] == 1_000.0


def test_inventory_from_target_counts_from_the_target():
    """A stock of 1,000 lots and a target of 998: 2 over it for 3 s, then 4 under it for 1 s; 6 lots are traded."""
    scribe, lot = Scribe(initial_lots=1_000), 1e-5
    scribe.move(20_000)
    scribe.state()
    order_id = scribe.place(-1, 10_010, 6)
    scribe.wait(3_000_000)
    scribe.fill(order_id, -1, 10_010, 6)
    scribe.wait(1_000_000)
    scribe.state()
    summary = summary_of(scribe, target_lots=998)
    assert summary["inventory"]["mean"] == pytest.approx((3 * 1_000 + 994) / 4 * lot)
    assert summary["inventory"]["max"] == pytest.approx(1_000 * lot)
    found = {name: value / lot for name, value in summary["inventory_from_target"].items()}
    assert found == pytest.approx({"mean": 0.5, "abs_mean": 2.5, "max": 4, "rms": 7**0.5})
    assert summary["inventory_turnover"] == pytest.approx(6 / 2.5)


def test_inventory_at_bound_is_a_share_of_time():
    """Two of five seconds at two clips or beyond, on either side."""
    scribe = Scribe(initial_lots=0)
    scribe.move(20_000)
    scribe.state()
    for wait_s, side, lots in ((1, 1, 200), (1, -1, 100), (1, -1, 400), (1, 1, 301)):
        scribe.wait(wait_s * 1_000_000)
        scribe.fill(scribe.place(side, 10_000, lots), side, 10_000, lots)
    scribe.wait(1_000_000)
    scribe.state()
    assert summary_of(scribe, bound_clips=2.0)["inventory_at_bound"] == pytest.approx(2 / 5)
    assert summary_of(scribe, bound_clips=2.0, target_lots=100)["inventory_at_bound"] == pytest.approx(1 / 5)
    assert summary_of(scribe)["inventory_at_bound"] is None


def test_pnl_of_a_day_without_fills_is_zero():
    """Numbers that need a fill are null."""
    summary = summary_of(seeded(300, fill_chance=0.0, breaks=0))
    assert (summary["pnl_total"], summary["max_drawdown"], summary["n_fills"]) == (0.0, 0.0, 0)
    assert summary["fill_ratio"] == 0.0
    undefined = ("quote_to_trade", "effective_half_spread", "sharpe", "sortino", "calmar")
    assert [summary[key] for key in undefined] == [None] * 5


def test_single_fill_has_no_standard_error_and_no_sharpe_interval():
    """One block, one change."""
    scribe = seeded(100, fill_chance=0.0, breaks=0)
    scribe.fill(scribe.place(1, scribe.mid2 // 2 - 10, 100), 1, scribe.mid2 // 2 - 10, 100)
    scribe.wait(90_000_000)
    scribe.state()
    summary = summary_of(scribe)
    assert summary["realised_half_spread"]["60"] == summary["effective_half_spread"] > 0
    assert summary["adverse_selection_se"]["60"] is None
    assert summary["sharpe_ci95"] is None


def test_day_without_a_book_has_no_pnl():
    """Equity has no mark without a mid."""
    scribe = Scribe(initial_lots=100)
    scribe.state()
    scribe.wait(3_600_000_000)
    scribe.state()
    summary = summary_of(scribe)
    undefined = ("pnl_total", "fees", "max_drawdown", "two_sided_uptime", "sharpe", "initial_equity")
    assert [summary[key] for key in undefined] == [None] * 6
    assert (summary["seconds_covered"], summary["seconds_excluded"]) == (0.0, 3_600.0)
    assert summary["inventory"]["mean"] is None


def test_empty_journal_has_a_summary():
    """A run that ends before its first state row."""
    summary = summary_of(Scribe())
    assert summary["pnl_total"] is None
    assert summary["inventory"]["max"] is None
    assert summary["sharpe_bootstrap"]["periods"] == 0


@pytest.mark.parametrize("name", ["poisson", "hawkes", "predicted", "hybrid", "package.module:Mine"])
def test_fills_that_do_not_know_the_next_move_conclude_nothing(name):
    """No verdict, interval or probability, and one line says why."""
    scribe = seeded(1_800)
    summary = summary_of(scribe, fill_model=name, knows_next_move=False)
    assert [summary[key] for key in ("verdict", "sharpe_ci95", "psr", "knows_next_move")] == [None, None, None, False]
    lines = [line for line in summary["warnings"] if line.startswith(f"no_next_move: fills of {name} ")]
    assert len(lines) == 1
    assert "upper bound" in lines[0]
    known = summary_of(scribe)
    assert None not in [known[key] for key in ("verdict", "sharpe_ci95", "psr")]
    assert "no_next_move" not in " ".join(known["warnings"])


def test_every_fill_model_says_whether_its_fills_know_the_next_move():
    """Those that draw do not; a hybrid with one does not; a user's own may say so."""

    class Drawn:
        knows_next_move = False

        def on_trade(self, order, trade):
            return 0

    class Plain(Drawn):
        knows_next_move = True

    drawn = model_of("poisson", A=1.0, k=1.0)
    assert [one.knows_next_move for one in (drawn, model_of("hybrid", models=[model_of("trade_cross"), drawn]))] == [
        False
    ] * 2
    assert model_of("hybrid", models=[model_of("trade_cross"), model_of("queue_prob_power")]).knows_next_move
    assert [PythonFillModel(one()).knows_next_move for one in (Drawn, Plain)] == [False, True]


@pytest.mark.parametrize("name", ["poisson", "hawkes", "trade_cross"])
@pytest.mark.parametrize("other", [0.5, 2.0])
def test_no_run_is_a_bound_where_another_assumption_earned_more(name, other):
    """More fills that lose are less PnL; only the sensitivity tells which side of the others a run is on."""
    rows = [{"role": "headline", "latency": 1, "pnl_quoting": 1.0}, {"role": "other", "latency": 2, "pnl_quoting": 9.0}]
    rows.append({"role": "other", "latency": 1, "pnl_quoting": other})
    bias = "ignores the market: an upper bound of the PnL"
    summary = summary_of(Scribe(), fill_model=name, fill_bias=bias, sensitivity={"rows": rows})
    words = " ".join([*summary["warnings"], summary["fill_bias"]])
    assert ("upper bound" in words) == (other < 1.0)
    assert ("optimistic" in words) == (other < 1.0 and name == "trade_cross")


def test_lost_lines_are_reported_in_the_warnings():
    """A log line alone may be missed, and a static book fills orders that would not have filled."""
    events = [
        (0, "snapshot", [(99, 5)], [(101, 5)]),
        (1_000_000, "depth", [(99, 6)], []),
        (2_000_000, "trade", -1, 99, 1),
    ]
    whole = Tape.of(Instrument("BTCUSDT", 1_000_000, 1_000), events)
    cut = replace(whole, meta=replace(whole.meta, counts={"lost_lines": 4752}))
    rules = Rules(1_000_000, 1_000, quote_lots=1)
    warnings, without_loss = (
        backtest(tape, model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), rules).summary["warnings"]
        for tape in (cut, whole)
    )
    assert any(line.startswith("4,752 lines of the recorded files are lost: ") for line in warnings)
    assert not any("are lost" in line for line in without_loss)


def test_messages_at_one_raised_time_are_reported_in_the_warnings():
    """When a clock an hour fast is set back, all later messages get one receive time."""
    events = [(0, "snapshot", [(99, 5)], [(101, 5)]), *((10**6, "depth", [(99, 5 + i)], []) for i in range(99))]
    tape = Tape.of(Instrument("BTCUSDT", 1_000_000, 1_000), events)
    rules = Rules(1_000_000, 1_000, quote_lots=1)
    warnings, below_limit = (
        backtest(
            replace(tape, meta=replace(tape.meta, counts={"clock_raised": raised})),
            model_of("fixed_spread", delta_ticks=1),
            model_of("trade_cross"),
            rules,
        ).summary["warnings"]
        for raised in (2, 1)
    )
    assert any(line.startswith("2 messages count as received at the same instant ") for line in warnings)
    assert not any("at one instant" in line for line in below_limit)


def test_missing_book_and_pnl_outside_periods_are_reported_in_the_warnings():
    """A run that ends without a book; and one whose position loses more over an outage than its verdict tells."""
    scribe = seeded(300, breaks=0)
    scribe.move(0)
    scribe.wait(120_000_000)
    scribe.state()
    assert "ended without a valid book" in " ".join(summary_of(scribe)["warnings"])
    scribe = seeded(3_000, breaks=0, seed=4)
    assert "outside the whole minutes" not in " ".join(summary_of(scribe)["warnings"])
    mid2, held = scribe.mid2, max(-scribe.inventory, 0) + 1_000
    scribe.fill(scribe.place(1, mid2 // 2, held), 1, mid2 // 2, held)
    scribe.move(0)
    scribe.wait(120_000_000)
    scribe.move(mid2 // 2)
    scribe.wait(120_000_000)
    scribe.state()
    summary = summary_of(scribe)
    assert summary["returns"]["pnl_left_out"] < -800
    assert "of the PnL fell outside the whole minutes with a market" in " ".join(summary["warnings"])


def test_fills_without_a_book_are_counted_in_the_warnings():
    """They count in the PnL at the last mark, and in no spread."""
    journal = seeded(60, fill_chance=0.5, breaks=0).journal()
    journal.fills[3, 7] = 0
    journal = replace(journal, counters={**journal.counters, "valid_us": 0})
    summary = Result(journal, run_terms()).summary
    assert "1 fills had no valid book" in " ".join(summary["warnings"])
    assert summary["two_sided_uptime"] is None


@settings(max_examples=40, deadline=None)
@given(scribes(), st.floats(1e-308, 1e308), st.floats(1e-12, 1e6), st.floats(1e-300, 1e300))
def test_no_number_of_a_summary_is_infinite(scribe, A, k, gamma):
    """Fits near the limits of floats leave a summary that is valid JSON: undefined numbers are null."""
    summary = summary_of(scribe, intensity=Intensity.constant(A, k), gammas=np.array([[gamma, 1.0]]))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.slow
def test_predicted_fills_beyond_the_largest_float_are_valid_json():
    """The number of each row is a finite float, and their sum is not."""
    for A in np.geomspace(1e304, 1e308, 60):
        summary = summary_of(seeded(60), intensity=Intensity.constant(A, 1e-12), gammas=np.array([[0.1, 1.0]]))
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def with_quiet_rows(journal, step_us=1_000_000):
    """Return a journal with a copy of its last state row at each second, as the engine writes them."""
    rows = []
    for row, after_us in zip(journal.state, [*journal.state[1:, 0], journal.state[-1, 0]], strict=True):
        later = range(-(-(int(row[0]) + 1) // step_us) * step_us, int(after_us), step_us)
        rows += [row, *([us, *row[1:]] for us in later)]
    return replace(journal, state=np.array(rows, np.int64))


@settings(max_examples=40, deadline=None)
@given(scribes(), st.lists(st.tuples(st.integers(1, 900_000_000), st.integers(-99, 99)), max_size=3))
def test_rows_without_news_change_no_number(scribe, paid):
    """The summary of the telling state rows is that of all, with funding of the target between two of them.

    The engine writes its first state row before a payment of the same instant.
    """
    journal = with_quiet_rows(scribe.journal())
    start_us, end_us = map(int, journal.state[[0, -1], 0])
    funding = tuple(sorted((start_us + us, e8) for us, e8 in paid if us <= end_us - start_us))
    terms = run_terms(scribe.instrument, target_lots=7, target_funding=funding)
    telling = Result(journal, terms).summary
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mm.backtest.metrics.pnl.telling_rows", lambda state, _: np.arange(len(state)))
        assert Result(journal, terms).summary == telling


@settings(max_examples=30, deadline=None)
@given(scribes(), st.booleans(), st.booleans())
def test_summary_of_a_point_is_a_part_of_the_whole(scribe, unvalued, in_sample):
    """The same numbers, and the reasons of its nulls; a fit of the played day is noted in both."""
    fit = {"min_delta_ticks": 1, "max_delta_ticks": 9, "status": "ok", "in_sample": True, "day": "20260101"}
    more = {"unvalued_fees": {"BNB": "0.1"} if unvalued else {}, "fit": fit if in_sample else None}
    journal, terms = scribe.journal(), run_terms(scribe.instrument, target_lots=7, **more)
    point, whole = point_summary(journal, terms, account_of(journal, terms)), Result(journal, terms).summary
    json.dumps(point, allow_nan=False)
    assert point["inventory"].items() <= whole["inventory"].items()
    notes = [line for line in point["warnings"] if not line.startswith("null: ")]
    fees = [line for line in notes if line.startswith("fee_not_earned: ")]  # the whole knows how far quotes rested
    assert len(fees) <= sum(line.startswith("fee_not_earned: ") for line in whole["warnings"]) <= 1
    assert set(notes) - set(fees) <= set(whole["warnings"])
    assert sum("in-sample" in line for line in notes) == in_sample
    names = set(point) - {"inventory", "warnings"}
    assert {name: point[name] for name in names} == {name: whole[name] for name in names}
    why = " ".join(line for line in point["warnings"] if line.startswith("null: "))
    assert unvalued or all(name.split(".")[0] in why for name in missing(point))


@pytest.mark.parametrize("seed", range(4))
def test_pnl_is_the_same_however_it_is_cut(seed):
    """With fees, a target, a book with gaps and a position that is left."""
    run = seeded(90, seed=seed, orders_a_second=2, fill_chance=0.5, fee_rate=0.001)
    summary = Result(run.journal(), run_terms(target_lots=7 * seed)).summary
    assert summary["fees"] > 0
    assert summary["pnl_unrealised"] != 0
    assert_pnl_sums(summary)
