"""Fills by a fitted predictor: engine and oracle, the probability over the horizon, and invalid predictors."""

import json
import math
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_cases import Case, cases
from engine_tapes import BEGIN_US, TEST, Teller
from fill_predictors import BIAS, DISTANCES, HORIZON_S, SCALER, SIGNALS, WEIGHTS, written
from mm import Rules, Tape, backtest
from mm.backtest.fills.base import QueueBack
from mm.backtest.fills.intensity import Hybrid, PredictedFills
from mm.errors import BrokenFile, Mismatch, UsageError
from mm.signals.artefact import ARRAYS

SECOND = 1_000_000
FOLDER = written(tempfile.mkdtemp())
NUMBERS = (WEIGHTS, BIAS, SCALER, DISTANCES, HORIZON_S)


def models(unit):
    """Draw the model alone or inside a hybrid."""
    alone = st.tuples(st.just("predicted"), st.just(FOLDER), st.just(NUMBERS), st.integers(0, 5))
    in_hybrid = alone.map(lambda predicted: ("hybrid", (("trade_cross", False, 1.0, 0), predicted)))
    return st.one_of(alone, alone, in_hybrid)


@pytest.mark.slow
@given(cases(fills=models))
@settings(max_examples=150, deadline=None)
def test_engine_agrees_with_oracle(case):
    """Fills, orders and expected fills; the oracle computes signals and probabilities itself."""
    assert_engines_agree(case)


def test_engine_agrees_with_oracle_on_a_long_tape():
    """Two minutes in which orders fill by the predictor."""
    chance, teller = random.Random(5), Teller(100, BEGIN_US)
    for _ in range(1500):
        teller.us += chance.choice([0, 20_000, 50_000, 130_000])
        levels = [(chance.choice([1, -1]), chance.randint(-1, 3), chance.randint(0, 4)) for _ in range(2)]
        teller.tell(chance.choices(["depth", "trade", "snapshot", "gap"], [60, 39, 0.7, 0.3])[0], levels)
    rules = Rules(TEST.tick_e8, TEST.lot_e8, start_cash_e8=20_000, start_lots=9, quote_lots=3)
    answers = ((0, 0, None, None), (0.5, 1.5, None, 2), (1, None, None, None))
    filled = assert_engines_agree(
        Case((Tape.of(TEST, teller.events),), answers, ("predicted", FOLDER, NUMBERS, 3), rules)
    )
    assert sum(row[6] == "predicted:hazard" for row in filled) > 20


def assert_engines_agree(case):
    """Compare the journals of engine and oracle, and return the fills."""
    engine, engine_views = case.engine()
    plain, plain_views = case.oracle()
    for name in ("orders", "fills", "state", "mids"):
        assert getattr(engine, name) == getattr(plain, name), name
    expected = pytest.approx(plain.counters.pop("expected_fills"), rel=1e-9, abs=1e-9)
    assert engine.counters.pop("expected_fills") == expected
    assert engine.counters == plain.counters
    assert engine_views == plain_views
    return engine.fills


class Resting:
    """Quote a bid and an ask far apart at all times."""

    def quote(self, view):
        return mm.Quotes(98.0, 104.0, 10, 10)


def constant_tape(seconds):
    """Return a book at 99 and 103 that is updated every 100 ms."""
    rows = [(BEGIN_US, "snapshot", [(99, 1)], [(103, 1)])]
    rows += [(BEGIN_US + k * SECOND // 10, "depth", [(99, 1 + k % 2)], []) for k in range(1, 10 * seconds)]
    return Tape.of(TEST, rows)


@pytest.mark.slow
def test_order_fills_over_the_horizon_with_its_probability(tmp_path):
    """Each draw waits for an exponential time with mean -H/ln(1 - p)."""
    p = 0.3
    odds = math.log(p / (1 - p))
    folder = written(
        tmp_path / "m",
        signals=["imbalance_1"],
        weights=((0.0, 0.0),) * 2,
        bias=(odds, odds),
        scaler={"mean": [0.0, 0.0], "scale": [1.0, 1.0], "priced": [False, False]},
    )
    rules = Rules(
        TEST.tick_e8, TEST.lot_e8, order_latency_us=0, requote_us=SECOND, requote_on_fill=False, enforce_balances=False
    )
    tape, filled = constant_tape(8), 0
    for seed in range(400):
        result = backtest(tape, Resting(), PredictedFills(predictor=folder, seed=seed), rules)
        begin = BEGIN_US + SECOND // 10  # the first depth event: signals are unknown before it
        filled += sum(1 for row in result.journal.fills.tolist() if row[2] == 1 and row[0] <= begin + 2 * SECOND)
        first = [row for row in result.journal.fills.tolist() if row[0] < begin]
        assert not first
    # fills of an order that is replaced at the next second count too: a Poisson process with mean -ln(1 - p)
    mean = -math.log(1 - p)
    assert abs(filled / 400 - mean) < 4 * math.sqrt(mean / 400)


def test_distances_beyond_the_fit_never_fill(tmp_path):
    folder = written(tmp_path / "m", distances_ticks=[0.5, 1.0], bias=(9.0, 9.0), weights=((0.0,) * 4,) * 2)
    rules = Rules(TEST.tick_e8, TEST.lot_e8, enforce_balances=False)
    assert not len(backtest(constant_tape(5), Resting(), PredictedFills(predictor=folder), rules).journal.fills)


def test_predictor_with_other_target_tick_or_hash_is_rejected(tmp_path):
    """An unknown folder as well."""
    with pytest.raises(UsageError, match="predicts 'adverse'; give a predictor of 'fill'"):
        PredictedFills(predictor=written(tmp_path / "a", target="adverse"))
    other = PredictedFills(predictor=written(tmp_path / "b", tick="0.5"))
    with pytest.raises(Mismatch, match=r"with a tick of 0\.5"):
        backtest(constant_tape(2), Resting(), other, Rules(TEST.tick_e8, TEST.lot_e8))
    path = Path(FOLDER) / ARRAYS
    changed = tmp_path / "c"
    changed.mkdir()
    (changed / ARRAYS).write_bytes(path.read_bytes()[:-1] + b"!")
    (changed / "model.json").write_bytes((Path(FOLDER) / "model.json").read_bytes())
    with pytest.raises(BrokenFile, match="has changed since the fit"):
        PredictedFills(predictor=str(changed))
    with pytest.raises(BrokenFile, match="not a fitted predictor"):
        PredictedFills(predictor=str(tmp_path / "none"))


def test_run_accepts_predicted_by_name_and_checks_the_symbol(tmp_path):
    """Through FILL_PARAMS_JSON, and inside a hybrid."""
    params = {"predictor": FOLDER}
    result = mm.backtest(
        constant_tape(5), "symmetric", "predicted", quote_params_json={"k": 1}, fill_params_json=params
    )
    assert [predictor["target"] for predictor in result.summary["predictors"]] == ["fill"]
    other = written(tmp_path / "o", symbol="OTHERUSDT")
    with pytest.raises(Mismatch, match="fitted on OTHERUSDT"):
        mm.backtest(constant_tape(5), "symmetric", "predicted", fill_params_json={"predictor": other})
    model = Hybrid([QueueBack(), PredictedFills(predictor=FOLDER)])
    assert (model.predictor_folder, model.signals) == (FOLDER, tuple(SIGNALS))
    assert json.dumps(result.summary["fill_bias"])
