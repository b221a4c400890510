"""Orders, round trips, returns and exposure of a summary, compared with plain loops over the files of runs."""

import json

import plain_lives
import pytest
from hypothesis import given, settings
from plain_summary import on_clock

import engine_chance
from journals import run_terms, scribes, seeded
from mm import Result
from mm.backtest.fills.intensity import Intensity
from mm.backtest.metrics.pnl import pairs
from mm.backtest.run_terms import RunTerms

TIMES = ("quote_lifetime_s", "order_to_ack_s", "live_to_fill_s", "order_to_fill_s")
PIECES = [(0, 2**62, 3.0, 0.2, 2.0, 0.1, 0.15)]


def run_of(seed, pieces=None):
    """Return the result of a random run, and the intensity pieces for comparison."""
    case = engine_chance.case_of(seed)
    exchange, _ = case.exchange()
    case.play(exchange, case.tapes)
    name, *params = case.fills
    if name == "poisson":
        pieces = params[0] if params[1] == "mid" else None
    terms = {
        "instrument": case.tapes[0].instrument,
        "days": tuple(str(20260101 + place) for place in range(len(case.tapes))),
        "starts_us": tuple(tape.start_us for tape in case.tapes),
        "quote_model": "scripted",
        "fill_model": name,
        "initial_cash_e8": case.rules.start_cash_e8,
        "quote_lots": case.rules.quote_lots,
        "intensity": Intensity(pieces) if pieces else None,
    }
    return Result(exchange.journal(), RunTerms(**terms)), pieces


def assert_close(found, expected):
    assert set(found) >= set(expected)
    for key, value in expected.items():
        assert found[key] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)), key


def assert_recomputed(result, folder, pieces):
    result.write_tables(folder)
    found, journal = json.loads(json.dumps(result.summary)), result.journal
    symbol, tick_size = result.terms.instrument.symbol, plain_lives.Fraction(str(result.summary["tick_size"]))
    placed, fills, state = plain_lives.read(folder, symbol)
    last_us = journal.counters["last_us"]
    trips = plain_lives.round_trips(fills)
    assert_close(found["round_trips"], trips["round_trips"])
    if found["pnl_total"] is not None:
        gross = found["pnl_total"] + found["fees"]
        assert found["pnl_realised"] == pytest.approx(trips["pnl_realised"], rel=1e-9, abs=1e-9)
        assert found["pnl_realised"] + found["pnl_unrealised"] == pytest.approx(gross, rel=1e-9, abs=1e-9)
    for key, expected in plain_lives.order_times(placed, fills, last_us).items():
        assert_close(found[key], expected) if key in TIMES else assert_close({key: found[key]}, {key: expected})
    path = [(us, mid2 * tick_size / 2) for us, mid2 in journal.mids.tolist()]
    if state:
        spans, days = found["spans"], len(result.terms.days)
        state = on_clock(state, spans, path)
        expected = plain_lives.returns(state, spans)
        assert_close(found["returns"], expected | {"periods_per_year": expected["periods_per_year"] / days})
        assert_close(found["under_water"], plain_lives.under_water(state))
    spent = plain_lives.exposure(placed, path, last_us, tick_size, plain_lives.Rate(pieces or []))
    # Rates by distance leave out the time before the first segment, in whole cells; these loops know no cells.
    if not pieces or all(pieces[0][0] <= order["active"] for order in placed.values()):
        assert_exposed(found, spent, [fill for fill in fills if fill["mid"]], predicted=bool(pieces))
    else:
        exposed = sum(row["exposure_s"] for row in found["fills_by_distance"])
        assert exposed <= sum(part for part, _ in spent[0].values()) + 1e-9
    if pieces and journal.counters["expected_fills"] is None:
        predicted = sum(mean for _, mean in spent[1].values())
        assert found["predicted_fills"] == pytest.approx(predicted, rel=1e-9, abs=1e-12)


def assert_exposed(found, spent, fills, *, predicted):
    by_distance, by_hour = spent
    rows = found["fills_by_distance"]
    seconds, mean = (sum(sums[place] for sums in by_distance.values()) for place in (0, 1))
    assert sum(row["exposure_s"] for row in rows) == pytest.approx(seconds, rel=1e-9, abs=1e-9)
    for place, row in enumerate(rows):
        ends = (row["from_ticks"] * 2 if place else -(10**9), row["to_ticks"] * 2 if place < len(rows) - 1 else 10**9)
        inside = [sums for half, sums in by_distance.items() if ends[0] <= half <= ends[1]]
        assert row["exposure_s"] == pytest.approx(sum(part for part, _ in inside), rel=1e-9, abs=1e-9)
        if predicted:
            assert row["predicted"] == pytest.approx(sum(part for _, part in inside), rel=1e-9, abs=1e-12)
    if not predicted:
        assert (found["fills_by_hour"], found["fills_ratio"]["value"]) == ([], None)
        return
    assert {row["start_us"]: row["exposure_s"] for row in found["fills_by_hour"]} == pytest.approx(
        {hour: part for hour, (part, _) in by_hour.items() if part}
    )
    assert sum(row["predicted"] for row in found["fills_by_hour"]) == pytest.approx(mean, rel=1e-9, abs=1e-12)
    if mean:
        assert found["fills_ratio"]["value"] == pytest.approx(len(fills) / mean)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_summaries_of_random_runs_equal_recomputed_ones(batch, tmp_path):
    """Queues, hybrids, manual orders, gaps, two tapes, every kind of order."""
    for seed in range(50 * batch, 50 * batch + 50):
        result, pieces = run_of(seed, PIECES if seed % 2 else None)
        assert_recomputed(result, tmp_path / str(seed), pieces)


@settings(max_examples=40, deadline=None)
@given(scribes())
def test_summaries_of_drawn_journals_equal_recomputed_ones(tmp_path_factory, scribe):
    """Prices that move far, partial fills, books with gaps."""
    result = Result(scribe.journal(), run_terms(scribe.instrument))
    assert_recomputed(result, tmp_path_factory.mktemp("run"), None)


@pytest.mark.slow
def test_summary_of_a_longer_run_equals_recomputed_one(tmp_path):
    """Six minutes with fees and two hundred round trips."""
    result = Result(seeded(360, orders_a_second=2, fill_chance=0.6, fee_rate=0.001).journal(), run_terms())
    assert result.summary["round_trips"]["n"] > 150
    assert_recomputed(result, tmp_path, None)


@pytest.mark.slow
def test_expected_fills_of_the_engine_equal_those_of_the_summary():
    """The compiled model integrates while it runs, the summary from the orders of the journal."""
    compared = 0
    for seed in range(400):
        result, pieces = run_of(seed)
        counted = result.journal.counters["expected_fills"]
        if pieces and counted:
            predicted = sum(row["predicted"] for row in result.summary["fills_by_hour"])
            assert predicted == pytest.approx(counted, rel=1e-9), seed
            compared += 1
    assert compared > 10


def test_lots_are_matched_once_and_in_order_of_time():
    """Every lot up to the smaller total has one partner, the oldest first on both sides."""
    fills = seeded(600, fill_chance=0.4).journal().fills
    found = pairs(fills)
    bought, sold = (fills[fills[:, 2] == side, 4].sum() for side in (1, -1))
    assert found.lots.sum() == min(bought, sold)
    assert (found.lots > 0).all()
    assert (found.buy[1:] >= found.buy[:-1]).all()
    assert (found.sell[1:] >= found.sell[:-1]).all()
