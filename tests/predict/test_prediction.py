"""A fitted predictor as a signal: equal bits over a tape, event by event, and next to the signals that it reads."""

import numpy as np
import pytest

from engine_tapes import TEST
from fill_predictors import train
from markets import HORIZON_S, SECOND, SIGNALS, hinted
from mm import Rules, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import ExpectedValue, FixedSpread
from mm.backtest.quotes.steps import ShiftBy
from mm.errors import BrokenFile, Mismatch, UsageError
from mm.signals.compute import compute, live
from mm.signals.families import SIGNALS as KNOWN

RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100_000)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a predictor of each kind, by target and model."""
    tape, found = hinted(0.9), {}
    for target, model in (("return", "logistic"), ("return", "mlp"), ("adverse", "forest"), ("fill", "logistic")):
        folder = tmp_path_factory.mktemp(f"{target}-{model}")
        horizon_s, distances = (HORIZON_S, ()) if target != "fill" else (2.0, (0.5, 1.5))
        found[target, model] = train(folder, [tape], (target, horizon_s, SIGNALS, distances), model)
    return found


CASES = [("return", "logistic"), ("return", "mlp"), ("adverse", "forest"), ("fill", "logistic")]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_column_equals_predictor_on_its_signals(folders, case):
    """Null while an input is null; equal bits in a batch, over the tape, and live."""
    artefact, tape = folders[case], hinted(0.5, 400, seed=9)
    names = artefact.signal_names
    (piece,) = compute(tape, [*SIGNALS, "mid", *names])
    rows = piece.values[: len(SIGNALS)].T
    if artefact.distance_ticks is not None:
        rows = np.column_stack([rows, np.full(len(rows), artefact.distance_ticks)])
    mid = np.rint(piece.values[len(SIGNALS)] * 200) / 2
    for side in range(len(names)):
        batch = artefact.predictor().predict(np.ascontiguousarray(rows), mid, side)
        assert batch.tobytes() == piece.values[len(SIGNALS) + 1 + side].tobytes()
    assert np.isnan(piece.values[-1]).sum() == 4  # momentum_5s is undefined before
    live_rows = [[np.nan if row[name] is None else row[name] for name in names] for row in live(tape, names)]
    assert np.array(live_rows).T.tobytes() == piece.values[len(SIGNALS) + 1 :].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_later_events_do_not_change_predictions(folders, case):
    """A truncated tape has the same rows up to its end."""
    tape, names = hinted(0.5, 400, seed=9), folders[case].signal_names
    (whole,) = compute(tape, names)
    for cut in (10, 77, 301):
        (short,) = compute(tape.between(tape.start_us, tape.start_us + cut * SECOND), names)
        rows = len(short.recv_us)
        assert rows >= cut - 1
        assert short.values.tobytes() == np.ascontiguousarray(whole.values[:, :rows]).tobytes()


@pytest.mark.slow
def test_shift_by_step_follows_prediction(folders):
    """shift_by moves quotes by the predicted move of view.signal."""
    name = folders["return", "logistic"].signal_names[0]

    class Reading:
        signals = (name,)

        def __init__(self):
            self.inner, self.read = ShiftBy(FixedSpread(delta_ticks=3), signal=name, by=2.0), []

        def quote(self, view):
            found = self.inner.wants(view)
            self.read.append((view.signal(name), (found.bid_ticks + found.ask_ticks) / 2 - view.mid2_ticks / 2))
            return found

    reading = Reading()
    backtest(hinted(0.5, 60, seed=9), reading, TradeCross(), RULES)
    moved = [(value, shift) for value, shift in reading.read if value is not None]
    assert len(moved) > 100
    for value, shift in moved:
        assert shift == pytest.approx(2.0 * value, abs=1e-9)
    assert {shift for value, shift in reading.read if value is None} == {0.0}


def test_predictor_is_described_like_other_signals(folders):
    """With unit and formula."""
    assert KNOWN.described(folders["return", "mlp"].signal_names[0]) == {
        "unit": "ticks",
        "formula": "return over 1 s by mlp",
        "source": "mm predict fit",
    }
    assert KNOWN.described(folders["adverse", "forest"].signal_names[1])["unit"] == "0 to 1"


def test_other_tick_and_invalid_predictor_are_rejected(folders, tmp_path):
    """Before a run begins."""
    name = folders["return", "logistic"].signal_names[0]
    with pytest.raises(Mismatch):
        backtest(hinted(0.5, 10), ShiftBy(FixedSpread(delta_ticks=3), signal=name, by=1.0), TradeCross(), Rules(7, 1))
    with pytest.raises(BrokenFile, match="not a fitted predictor"):
        KNOWN.check([f"{tmp_path}/nowhere"])
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(BrokenFile):
        KNOWN.check([str(tmp_path)])


def quoted(predictors, tape, **given):
    """Return the quotes of expected_value at each requote, with mid and signals."""
    model = ExpectedValue(predictors=[one.path for one in predictors], fee_ticks=0.25, **given)

    class Reading:
        signals = (*model.signals, "mid", *SIGNALS) if predictors else ()
        signals = tuple(dict.fromkeys(signals))

        def __init__(self):
            self.read = []

        def quote(self, view):
            found = model.wants(view)
            self.read.append((view.mid2_ticks / 2, {one: view.signal(one) for one in self.signals}, found))
            return found

    reading = Reading()
    backtest(tape, reading, TradeCross(), RULES)
    return reading.read


@pytest.mark.slow
def test_expected_value_uses_predicted_moves_and_adverse_costs(folders):
    """The move is a gain of bids; p·m1 + (1 − p)·m0 is a cost of each side."""
    moves, adverse = folders["return", "logistic"], folders["adverse", "forest"]
    (name,), sides = moves.signal_names, adverse.signal_names
    predicted = 0
    for mid, row, found in quoted(
        [moves, adverse], hinted(0.5, 60, seed=9), A=0.5, k=0.7, adverse_ticks=0.4, q_max=1e-9
    ):
        move = row[name] or 0.0
        predicted += row[name] is not None
        costs = [
            0.4 if row[side] is None else (1 - row[side]) * mild + row[side] * harm
            for side, (mild, harm) in zip(sides, adverse.about["adverse_moves_ticks"], strict=True)
        ]
        for sign, cost, price in ((1, costs[0], found.bid_ticks), (-1, costs[1], found.ask_ticks)):
            if price is not None and row[sides[0]] is not None:
                total = cost + 0.25 - sign * move
                delta = np.linspace(total, total + 12, 200_001)
                gain = -np.expm1(-0.5 * np.exp(-0.7 * delta)) * (delta - total)
                assert sign * (mid - price) == pytest.approx(delta[gain.argmax()], abs=1e-3)
                best = -np.expm1(-0.5 * np.exp(-0.7 * sign * (mid - price))) * (sign * (mid - price) - total)
                assert best == pytest.approx(gain.max(), rel=0.02, abs=1e-6)
    assert predicted > 100


def test_expected_value_uses_predicted_fill_probability(folders):
    """At the whole tick with the largest probability times gain; no quote without gain."""
    fills = folders["fill", "logistic"]
    kernels, compared = fills.predictor(), 0
    low, high = (f(fills.about["distances_ticks"]) for f in (min, max))
    for mid, row, found in quoted([fills], hinted(0.5, 60, seed=9), adverse_ticks=0.2, q_max=1e-9):
        if any(row[one] is None for one in SIGNALS):
            assert found.bid_ticks is None or found.ask_ticks is None
            continue
        for head, sign, price in ((0, 1, found.bid_ticks), (1, -1, found.ask_ticks)):
            first, last = np.floor(sign * mid - low), np.ceil(sign * mid - high)
            deltas = sign * mid - np.arange(first, min(first, last) - 1, -1)
            rows = np.array([[row[one] for one in SIGNALS] + [delta] for delta in deltas])
            gains = kernels.predict(rows, np.full(len(rows), mid), head) * (deltas - 0.45)
            if price is not None:
                compared += 1
                assert sign * (mid - price) == deltas[gains.argmax()]
    assert compared > 50


def test_expected_value_rejects_invalid_predictors(folders):
    """Two with one target, and a missing A without a fill predictor; outside of runs the constants are used."""
    moves, other = folders["return", "logistic"], folders["return", "mlp"]
    with pytest.raises(UsageError, match="two predictors have the same target"):
        ExpectedValue(A=1, k=1, predictors=[moves.path, other.path])
    with pytest.raises(UsageError, match="A is missing"):
        ExpectedValue(predictors=[moves.path])
    with pytest.raises(BrokenFile):
        ExpectedValue(A=1, k=1, predictors=["nowhere"])
    without_predictor, with_predictor = ExpectedValue(A=1, k=1), ExpectedValue(A=1, k=1, predictors=[moves.path])
    assert with_predictor.answer(bid_ticks=99, ask_ticks=101) == without_predictor.answer(bid_ticks=99, ask_ticks=101)
    assert with_predictor.signals == moves.signal_names
