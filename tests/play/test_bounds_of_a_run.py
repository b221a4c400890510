"""The bounds of a run: the same quotes in front and at the back of every queue, and the verdict of the least."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mm
from mm.backtest.metrics.bounds import PLAYS, POINTS, BoundPlay, Bounds
from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.verdict import NO_POSITIONS, Sample, positions_of
from mm.base.numbers import ABOVE
from mm.errors import UsageError
from mm.report.backtest import bounds_card
from simulation import simulate_day

TERMS = {"initial_cash": 10**8, "initial_inventory": 10**5, "maker_fee_rate": "0", "sensitivity": False}


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    """Half an hour of a market whose queues are full of cancellations."""
    folder = simulate_day(tmp_path_factory.mktemp("bounds"), hours=0.5, seed=3, scenario="large_tick")
    return mm.load_day(folder.path)


@pytest.fixture(scope="module")
def bounded(tape):
    return mm.backtest(tape, ("fixed_spread", {"delta_ticks": 0.5}), **TERMS)


def test_bounds_are_those_of_runs_under_both_models(bounded, tape):
    """Each number is that of a run of its own; a run without the knob has none."""
    plays = {"back": "queue_back", "chosen": "queue_prob_power", "front": "queue_front"}
    for name, fills in plays.items():
        alone = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 0.5}), fills, **TERMS, bounds=False).summary
        block = bounded.summary["bounds"][name]
        assert block == {
            "n_fills": alone["n_fills"],
            "fill_ratio": alone["fill_ratio"],
            "markout_5s": pytest.approx(alone["realised_half_spread"]["5"]),
            "pnl_quoting": alone["pnl_quoting"],
        }
        assert "bounds" not in alone
    pnl = [block["pnl_quoting"] for block in bounded.summary["bounds"].values()]
    assert bounded.summary["open_share"] == pytest.approx((max(pnl) - min(pnl)) / abs(bounded.summary["pnl_quoting"]))
    json.dumps(bounded.summary, allow_nan=False)


def test_sensitivity_and_bounds_share_the_back(bounded, tape):
    """With the sensitivity, which has the last in the queue anyway, the bounds are the same."""
    both = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 0.5}), **TERMS | {"sensitivity": True}).summary
    assert both["bounds"] == bounded.summary["bounds"]
    assert not {"back", "front", "bound"} & {key for row in both["sensitivity"]["rows"] for key in (*row, row["role"])}


def test_curves_end_at_their_pnl(bounded):
    curve = bounded.summary["bounds_curve"]
    assert len(curve["us"]) == POINTS
    for name in PLAYS:
        assert curve[name][-1] == pytest.approx(bounded.summary["bounds"][name]["pnl_quoting"])
    assert "Bounds" in bounds_card(Summary.read(bounded.summary))


@pytest.mark.parametrize("fills", ["trade_cross", "poisson"])
def test_models_without_a_queue_have_no_bounds(tape, fills):
    rates = {"fill_params_json": {"A": 1.0, "k": 0.5}} if fills == "poisson" else {}
    summary = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 0.5}), fills, **TERMS, **rates).summary
    assert "bounds" not in summary
    assert bounds_card(Summary.read(summary)) == ""


class Once:
    """Quotes that hold what cannot be copied."""

    def __init__(self):
        self.rows = (number for number in range(3))

    def quote(self, view):
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


def test_an_object_that_cannot_be_made_anew_has_null_and_a_line(tape):
    summary = mm.backtest(tape, Once(), "queue_back", **TERMS).summary
    assert summary["bounds"] is None
    assert summary["open_share"] is None
    assert any("Once" in line for line in summary["warnings"])


def test_a_copied_object_plays_from_its_state_before_the_run(tape):
    """The front play does not begin with what the run's own play has learned."""

    class First:
        def __init__(self):
            self.calls = 0

        def quote(self, view):
            self.calls += 1
            return mm.Quotes(view.bid_ticks, view.ask_ticks) if self.calls < 3000 else None

    model = First()
    summary = mm.backtest(tape, model, "queue_front", **TERMS).summary
    assert summary["bounds"]["front"]["n_fills"] == summary["n_fills"] > 0
    assert model.calls > 3000


def drawn(mean, seed=1):
    """The plays of a PnL per minute of that mean."""
    changes = np.random.default_rng(seed).normal(mean, 1.0, 400)
    numbers = {"n_fills": 1, "fill_ratio": 0.5, "markout_5s": 0.1, "pnl_quoting": float(changes.sum())}
    return BoundPlay(numbers, Sample.of(changes), NO_POSITIONS, np.arange(2), np.zeros(2))


def test_the_verdict_is_of_the_least_of_the_three(bounded):
    """A gain that the back of the queue does not have is none; a back that earns as well changes nothing."""
    own = drawn(1.0)
    plain = {key: value for key, value in bounded.summary.items() if key != "verdict_chosen"}
    clear = {**plain, "verdict": {"text": ABOVE, "lower95": 1.0, "upper95": 2.0}, "undone_by": None}
    lost = Bounds(drawn(-1.0), own, drawn(2.0)).within(clear, None)
    assert lost["verdict"]["text"] != ABOVE
    assert lost["verdict"]["upper95"] < 0
    assert lost["verdict_chosen"] == clear["verdict"]
    same = Bounds(drawn(1.5), own, drawn(2.0)).within(clear, None)
    assert same["verdict"] == clear["verdict"]
    assert "verdict_chosen" not in same


def test_a_finished_run_is_judged_by_its_least_play(bounded):
    """Its losing minutes, largest loss and unit are those of the back of the queue, not of the chosen play."""
    back, plain = drawn(-1.0, 7), {key: value for key, value in bounded.summary.items() if key != "judged"}
    lost = Bounds(back, drawn(1.0), drawn(2.0)).within({**plain, "verdict": {"text": ABOVE}}, None)
    again = Sample.of_summary({**lost, "returns": {**lost["returns"], "periods": 400}})
    assert (again.losing, again.largest, again.unit) == (back.sample.losing, back.sample.largest, back.sample.unit)
    assert again.total == pytest.approx(back.sample.total)
    assert positions_of(lost) == back.positions


def test_open_share_is_null_for_a_pnl_of_0():
    own = drawn(1.0)
    nothing = replace(own, numbers={**own.numbers, "pnl_quoting": 0.0})
    assert Bounds(own, nothing, own).open_share is None
    unknown = replace(own, numbers={**own.numbers, "pnl_quoting": None})
    assert Bounds(own, unknown, own).open_share is None
    assert Bounds(own, unknown, own).least is None


def test_walkforward_takes_the_knob_but_not_with_rules(tape):
    rules = mm.Rules(tape.instrument.tick_e8, tape.instrument.lot_e8)
    with pytest.raises(UsageError, match="bounds"):
        mm.walkforward(tape, rules, bounds=True)
