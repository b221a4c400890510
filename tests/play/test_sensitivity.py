"""The sensitivity block: each row equals its backtest, run separately."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import engine_chance
from mm import Rules, backtest
from mm.backtest.fills.intensity import Intensity, Poisson
from mm.backtest.latency import Latencies
from mm.play.sensitivity import Variants, slower, with_band
from named import model_of

SEED = next(seed for seed in range(500) if len(engine_chance.case_of(seed).tapes[0]) > 90)


def quotes():
    return model_of("fixed_spread", delta_ticks=1.0)


@pytest.fixture(scope="module")
def variants():
    """A strategy filled by price_cross on a busy tape, with a known intensity and latencies of a few events."""
    tape = engine_chance.case_of(SEED).tapes[0]
    unit = int(np.median(np.diff(tape.event_us)[np.diff(tape.event_us) > 0]))
    rules = Rules(
        tape.instrument.tick_e8,
        tape.instrument.lot_e8,
        order_latency_us=2 * unit,
        cancel_latency_us=unit + 1,
        requote_us=3 * unit,
        quote_lots=2,
        enforce_balances=False,
    )
    return Variants(
        [tape], rules, quotes, partial(model_of, "price_cross"), Intensity.constant(0.3 * 1e6 / unit, 0.2), seed=4
    )


def base(variants, step=None):
    """Return the backtest of the run itself."""
    models = variants.quotes(), variants.fills()
    return backtest(variants.tapes, *models, variants.rules, step=step, intensity=variants.intensity)


def assumptions(result):
    """Return the rows of a result that are assumptions; the stressed one is worked out from its own run."""
    return [row for row in result.summary["sensitivity"]["rows"] if row["role"] != "stressed"]


def expected_row(role, latency, result):
    summary = result.summary
    row = {"role": role, "fills": summary["models"]["fill"], "latency": latency, "feed": summary["feed"]["kind"]}
    row |= {name: summary[name] for name in ("pnl_quoting", "pnl_total", "n_fills")}
    verdict = summary["verdict"] or {"text": None}
    row |= {"sharpe": None, "verdict": verdict["text"]}  # the ratio of one day is withheld
    inventory, moved = summary["inventory"]["rms"], summary["adverse_selection"]["60"]
    return row | {"inventory_rms": inventory, "adverse_selection_60": moved}


def test_each_row_equals_a_separate_backtest(variants):
    """With models and rules built by hand; the run's own row is among them."""
    tapes, rules = variants.tapes, variants.rules
    rows = assumptions(variants.with_sensitivity(base(variants), variants.further()))
    order_us, cancel_us = rules.order_latency_us, rules.cancel_latency_us
    half = replace(rules, order_latency_us=order_us // 2, cancel_latency_us=round(cancel_us / 2))
    twice = replace(rules, order_latency_us=2 * order_us, cancel_latency_us=2 * cancel_us)
    worst = min((row for row in rows if row["role"] != "headline"), key=lambda row: row["pnl_quoting"])
    [headline] = [row for row in rows if row["role"] == "headline"]
    pessimistic = [row for row in rows if row["role"] == "pessimistic"]
    assert pessimistic == ([worst] if worst["pnl_quoting"] <= headline["pnl_quoting"] else [])
    for row in pessimistic:
        row["role"] = "other"
    names = ["queue_back", "price_cross", "poisson"]
    rows[2:] = sorted(rows[2:], key=lambda row: (names.index(row["fills"]), row["latency"] == 1.0, row["latency"]))
    assert rows == [
        expected_row("optimistic", 1.0, backtest(tapes, quotes(), model_of("trade_cross"), rules)),
        expected_row("headline", 1.0, backtest(tapes, quotes(), model_of("price_cross"), rules)),
        expected_row("other", 1.0, backtest(tapes, quotes(), model_of("queue_back"), rules)),
        expected_row("other", 0.5, backtest(tapes, quotes(), model_of("price_cross"), half)),
        expected_row("other", 2.0, backtest(tapes, quotes(), model_of("price_cross"), twice)),
        expected_row(
            "other", 1.0, backtest(tapes, quotes(), model_of("price_cross"), replace(rules, recorded_feed=True))
        ),
        expected_row("other", 1.0, backtest(tapes, quotes(), Poisson(variants.intensity, 4), rules)),
    ]
    assert len({row["n_fills"] for row in rows}) > 2  # they are not all the same backtest


def test_band_is_of_95_percent_of_the_draws(variants):
    """One of forty that earns more moves its upper end by a fortieth of the way between the two highest."""
    usual, other = base(variants), backtest(variants.tapes, quotes(), model_of("trade_cross"), variants.rules)
    pnl, more = usual.summary["pnl_quoting"], other.summary["pnl_quoting"] - usual.summary["pnl_quoting"]
    assert more > 0
    band = with_band(usual, [other, *[usual] * 39]).summary["pnl_band"]
    assert (band["draws"], band["low"]) == (40, pnl)
    assert band["high"] - pnl == pytest.approx(more / 40)
    assert (band["mean"] - pnl, band["sd"]) == pytest.approx((more / 40, more / 40**0.5))


def test_without_a_worse_assumption_none_is_called_pessimistic(variants):
    """The headline itself is the worst."""
    own = base(variants)
    better = {"pnl_quoting": own.summary["pnl_quoting"] + 1}
    rows = [(role, factor, row | better) for role, factor, row in variants.further()]
    roles = [row["role"] for row in assumptions(variants.with_sensitivity(own, rows))]
    assert sorted(set(roles)) == ["headline", "optimistic", "other"]


def test_sensitivity_does_not_change_the_rest_of_the_summary(variants):
    """Every null in the block has a warning with its reason."""
    without_block = base(variants)
    with_block = variants.with_sensitivity(without_block, variants.further())
    drop = ("sensitivity", "warnings")
    assert {k: v for k, v in with_block.summary.items() if k not in drop} == {
        k: v for k, v in without_block.summary.items() if k not in drop
    }
    assert any(line.startswith("null: sensitivity.rows.") for line in with_block.summary["warnings"])
    json.dumps(with_block.summary, allow_nan=False)


def test_poisson_run_has_no_additional_poisson_row(variants):
    """The run itself provides it."""
    poisson = replace(variants, fills=lambda: Poisson(variants.intensity, 4))
    assert (variants.plays(), poisson.plays()) == (6, 5)
    assert replace(variants, intensity=None).plays() == 5


@pytest.mark.parametrize("fill_model", ["trade_cross", "queue_back"])
def test_run_with_a_bounding_fill_model_is_not_repeated(variants, fill_model):
    """Its row equals the run, number for number; other parameters make another model, which is run."""
    bound = replace(variants, fills=partial(model_of, fill_model), intensity=None)
    rows = assumptions(bound.with_sensitivity(base(bound), bound.further()))
    bound_rows = [
        row
        for row in rows
        if row["fills"] == model_of(fill_model).name and row["role"] in ("optimistic", "pessimistic")
    ]
    assert bound.plays() == 4
    result = backtest(bound.tapes, quotes(), model_of(fill_model), bound.rules)
    assert bound_rows == [expected_row("optimistic" if fill_model == "trade_cross" else "pessimistic", 1.0, result)]
    assert replace(bound, fills=lambda: model_of("trade_cross", strict=True)).plays() == 5


@pytest.mark.parametrize("feed", [{"recorded_feed": True}, {"feed_us": 700}, {}])
def test_feed_has_its_counterpart(variants, feed):
    """A run with a feed latency is played without, one without with the recorded one, where the day tells it."""
    run = replace(variants, rules=replace(variants.rules, **feed))
    rows = assumptions(run.with_sensitivity(base(run), run.further()))
    kinds = {row["feed"] for row in rows}
    (other,) = [row for row in rows if row["feed"] != run.rules.feed_kind]
    assert kinds == {run.rules.feed_kind, "none" if feed else "recorded"}
    rules = run.rules.without_feed() if feed else replace(run.rules, recorded_feed=True)
    assert other == expected_row("other", 1.0, backtest(run.tapes, quotes(), model_of("price_cross"), rules))
    silent = replace(run.tapes[0], event_exch_us=np.zeros_like(run.tapes[0].event_exch_us))
    assert replace(run, tapes=[silent]).plays() == run.plays() - (not feed)


def test_progress_covers_every_backtest(variants):
    """The total progress of the block is the length of the tape times the number of backtests."""
    steps = []
    variants.further(steps.append)
    tape = variants.tapes[0]
    assert sum(steps) == variants.plays() * (tape.end_us - tape.start_us)


def test_measured_latencies_are_scaled():
    """Every latency is multiplied by the factor, measured or not; the message rates are unchanged."""
    constant = slower(Rules(1, 1, order_latency_us=700, cancel_latency_us=301), 2.0)
    assert (constant.order_latency_us, constant.cancel_latency_us) == (1400, 602)
    measured = Latencies.of(np.array([1.0, 3.0]), np.array([2.0, 5.0]), np.array([10.0, 20.0]))
    rules = slower(Rules(1, 1, latencies=measured), 0.5)
    assert rules.latencies.order_us.tolist() == [500, 1500]
    assert rules.latencies.cancel_us.tolist() == [1000, 2500]
    assert rules.latencies.rate_per_s.tolist() == [10.0, 20.0]
