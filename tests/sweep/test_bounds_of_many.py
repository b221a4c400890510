"""The bounds of evaluations and sweeps: sums over days, the verdict of the least, and the choice by bound."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

import mm
from mm.__main__ import main
from mm.sweep.findings import Own, _regret
from simulation import simulate_day

DAYS = ("20260105", "20260106")
TERMS = {"quote_model": "fixed_spread", "quote_params_json": {"delta_ticks": 0.5}, "maker_fee_rate": "0", "jobs": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    for seed, day in enumerate(DAYS):
        simulate_day(root / "data", hours=0.25, seed=seed, scenario="large_tick", day=day)
    return root


@pytest.mark.slow
def test_an_evaluation_adds_the_bounds_of_its_days(root):
    given = {**TERMS, "data_root": root / "data", "initial_cash": 10**8, "initial_inventory": 10**5}
    found = mm.evaluate("SIMUSDT", ",".join(DAYS), out_root=root / "out", **given)
    terms = {"sensitivity": False, "maker_fee_rate": "0", "initial_cash": 10**8, "initial_inventory": 10**5}
    alone = [
        mm.backtest(
            mm.load_day(root / "data" / "SIMUSDT" / day), ("fixed_spread", {"delta_ticks": 0.5}), **terms
        ).summary
        for day in DAYS
    ]
    for name, total in found["bounds"].items():
        assert total["pnl"] == pytest.approx(sum(summary["bounds"][name]["pnl_quoting"] for summary in alone))
        assert total["n_fills"] == sum(summary["bounds"][name]["n_fills"] for summary in alone)
    assert found["bounds"]["chosen"]["pnl"] == pytest.approx(found["pnl"])
    without = mm.evaluate("SIMUSDT", ",".join(DAYS), out_root=root / "out", bounds=False, **given)
    assert "bounds" not in without
    assert without["pnl"] == pytest.approx(found["pnl"])


@pytest.mark.slow
def test_a_sweep_by_bound_ranks_by_the_least_of_the_three(root):
    words = ["sweep", "--symbol", "SIMUSDT", "--day", DAYS[0], "--data-root", str(root / "data"), "--jobs", "1"]
    words += ["--out-root", str(root / "out"), "--quote-model", "fixed_spread", "--grid", "DELTA_TICKS=0.5,1.5,2.5"]
    answer = CliRunner().invoke(main, [*words, "--rank-by", "bound", "--maker-fee-rate", "0", "--json"])
    assert answer.exit_code == 0, answer.output
    content = json.loads(answer.stdout.splitlines()[-1])
    bounds = [row["bound"] for row in content["rows"]]
    assert bounds == sorted(bounds, reverse=True)
    assert all(row["bound"] <= row["pnl_quoting"] for row in content["rows"])


@pytest.mark.parametrize("fills", ["queue_prob_power", "trade_cross"])
def test_the_chosen_point_of_a_sweep_has_the_bounds_of_its_backtest(root, fills):
    """Whatever it is ranked by; what prints alone fill has none."""
    given = {"data_root": root / "data", "out_root": root / "swept", "maker_fee_rate": "0", "jobs": 1}
    found = mm.sweep("SIMUSDT", DAYS[0], {"DELTA_TICKS": [0.5, 1.5]}, "fixed_spread", fills, **given)
    best = found.content["best"]
    tape = mm.load_day(root / "data" / "SIMUSDT" / DAYS[0])
    quotes = ("fixed_spread", {"delta_ticks": float(best["DELTA_TICKS"])})
    alone = mm.backtest(tape, quotes, fills, sensitivity=False, maker_fee_rate="0").summary
    assert best["bounds"] == alone.get("bounds")
    assert best["open_share"] == alone.get("open_share")
    assert (best["bounds"] is None) == (fills == "trade_cross")


def test_regret_names_what_the_choice_by_the_chosen_fills_loses():
    """Point 2 earns more as chosen, and less at its bound."""
    rows = [{"point": 1, "pnl_quoting": 5.0, "bound": 4.0}, {"point": 2, "pnl_quoting": 9.0, "bound": -1.0}]
    expected = {"point": 2, "pnl_quoting": 9.0, "bound": -1.0, "loss": 5.0}
    assert _regret(rows, rows[0])["regret"] == expected
    assert _regret(rows[:1], rows[0])["regret"] is None
    assert _regret([], None)["regret"] is None


@pytest.mark.parametrize(("back", "low", "high"), [(-90.0, -math.inf, 0.0), (300.0, 0.0, math.inf)])
def test_the_chosen_point_is_judged_by_the_least_of_its_bounds(back, low, high):
    """By the minute: the back of the queue loses where the chosen fills earn, or earns more than they do."""
    minutes = {
        name: np.random.default_rng(1).normal(mean, 1.0, 240) for name, mean in (("chosen", 1.0), ("back", -1.0))
    }
    bounds = {"back": {"pnl_quoting": back}, "chosen": {"pnl_quoting": 240.0}, "front": {"pnl_quoting": 900.0}}
    summary = {"symbol": "SIMUSDT", "days": [DAYS[0]], "knows_next_move": True, "bounds": bounds}
    outcome = {
        "summary": summary,
        "series": {"pnl": minutes["chosen"], "bounds": {**minutes, "front": minutes["chosen"]}},
    }
    found = Own(1.0, None).judged(outcome, None, lambda count: 1 / count)["verdict"]
    assert low < found["lower95"] < found["upper95"] < high
