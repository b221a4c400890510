"""Walk-forward: every segment is traded with parameters from the past only."""

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from fill_predictors import written
from journals import Scribe
from mm import CalibrationConfig, Rules, WindowPlan, build_schedule, load_day, walkforward
from mm.backtest.fills.intensity import Poisson
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.quotes.steps import Gated, ShiftBy
from mm.base.knobs import knobs
from mm.calibration.calibrator import Calibrator
from mm.calibration.exposure import Played, RestingOrders
from mm.calibration.intensities import intensity_of
from mm.calibration.window_fits import _as_json
from mm.errors import FitError, Mismatch, UsageError
from mm.play.calibration_knobs import PlayedCalibration
from mm.play.knobs import Models
from mm.tape.tape import TRADE
from mm.walkforward.walkforward import RESTING, Checkpoint, study
from mm.walkforward.window_metrics import write_window_metrics
from simulation import simulate_day

PLAN = WindowPlan(train_window_min=20, step_min=10, latency_us=50_000)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory):
    """Return an hour and a half of a busy market."""
    folder = simulate_day(tmp_path_factory.mktemp("sim"), hours=1.5, seed=3, A_per_s=1.0, k_per_tick=0.4)
    return load_day(folder)


def rules_for(tape) -> Rules:
    return Rules(tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8, quote_lots=100, enforce_balances=False)


def test_no_orders_before_first_segment(tape):
    """The first training window passes before the first order; then every segment trades."""
    walked = walkforward(tape, rules_for(tape), plan=PLAN)
    first = walked.schedule.segments[0]
    placed = walked.result.journal.orders[walked.result.journal.orders[:, 2] == 0]
    assert first.start_us - tape.start_us == 20 * 60_000_000
    assert placed[0, 0] >= first.start_us
    assert len(walked.result.journal.fills) > 100
    assert walked.result.summary["days"] == ["20260105"]
    assert walked.schedule.calib_fills == walked.result.terms.fill_model == "queue_prob_power"
    for segment in walked.schedule.segments:
        assert segment.train_end_us == segment.start_us - 50_000
        assert ((placed[:, 0] >= segment.start_us) & (placed[:, 0] < segment.end_us)).any()


def test_symbols_of_one_account_trade_by_their_own_schedules(tmp_path):
    """Without balances that bind, each plays as alone; the account is their exact sum, and is on record."""
    tapes = [
        load_day(simulate_day(tmp_path, hours=0.75, seed=seed, symbol=symbol, A_per_s=1.0, k_per_tick=0.4))
        for seed, symbol in ((4, "AAAUSDT"), (5, "BBBUSDT"))
    ]
    own = {tape.symbol: replace(rules_for(tape), quote_lots=50 * place) for place, tape in enumerate(tapes, start=1)}
    out_root = tmp_path / "out"
    walked = walkforward(tapes, own, plan=PLAN, one_account=True, out_root=out_root)
    assert list(walked.schedules) == ["AAAUSDT", "BBBUSDT"]
    for tape in tapes:
        alone, part = walkforward(tape, own[tape.symbol], plan=PLAN), walked.result.results[tape.symbol]
        assert walked.schedules[tape.symbol] == alone.schedule
        assert len(part.journal.fills) > 20
        for name in ("orders", "fills", "state"):
            assert np.array_equal(getattr(part.journal, name), getattr(alone.result.journal, name)), name
    summary = walked.result.summary
    each = [Decimal(str(one["pnl_total"])) for one in summary["symbols"].values()]
    assert Decimal(str(summary["pnl_total"])) == sum(each)
    assert summary["trials"]["on_these_days"] == 1
    again = walkforward(tapes, own, plan=PLAN, one_account=True, out_root=out_root)
    assert not again.result.summary["trials"]["this_is_new"]
    with pytest.raises(UsageError, match="two symbols"):
        walkforward(tapes[:1], own, one_account=True)
    with pytest.raises(UsageError, match="none of BBBUSDT"):
        walkforward(tapes, {"AAAUSDT": own["AAAUSDT"]}, one_account=True)
    with pytest.raises(UsageError, match="one_account=True"):
        walkforward(tapes[0], own)


PARAMS = {knob.name: knob.default for group in (PlayedCalibration, Models) for knob in knobs(group)}


@pytest.mark.parametrize(
    ("given", "fills", "method"),
    [
        ({}, "queue_prob_power", "fixed"),
        ({"fill_model": "trade_cross", "calib_method": "ladder"}, "trade_cross", "ladder"),
        ({"calib_fills": "price_cross"}, "price_cross", "fixed"),
        ({"fill_model": "poisson"}, None, "marks"),
        ({"calib_fills": "poisson"}, None, "marks"),
        ({"calib_hit": "strict"}, None, "marks"),
    ],
)
def test_rates_are_measured_under_the_played_fill_model(given, fills, method):
    """Unless another or a hit rule is given; models that draw their fills use the hit rule."""
    found = PARAMS | given
    found |= PlayedCalibration.resolved(found)
    assert (found["calib_fills"], found["calib_method"]) == (fills, method)
    assert found["fill_model"] == given.get("fill_model", "queue_prob_power")


def leaning(folder):
    """Return a maker of models that shift quotes by a fill predictor."""

    def models(schedule):
        intensity = intensity_of(schedule)
        return Gated(ShiftBy(inner=FixedSpread(delta_ticks=2.0), signal=f"{folder}:bid", by=1.0), intensity), Poisson(
            intensity=intensity
        )

    return models


@pytest.mark.parametrize("within", [False, True])
def test_summary_warns_about_in_sample_predictor(tape, tmp_path, within):
    """As for the command: a predictor fitted on earlier days gives no warning."""
    end_us = tape.start_us + 60 * 60_000_000 if within else tape.start_us
    details = {"symbol": tape.symbol, "tick": "0.01", "train_window": {"start_us": 0, "end_us": end_us}}
    folder = written(tmp_path / "predictor", **details)
    summary = walkforward(tape, rules_for(tape), plan=PLAN, models=leaning(folder)).result.summary
    (entry,) = summary["predictors"]
    assert entry["in_sample"] is within
    assert entry["target"] == "fill"
    assert [line for line in summary["warnings"] if line.startswith("predictor_")] == [
        line for line in summary["warnings"] if within and line.startswith("predictor_in_sample: ")
    ]
    assert any("predictor_in_sample" in line for line in summary["warnings"]) is within


def test_predictor_of_another_market_is_rejected(tape, tmp_path):
    """Before the run, by its tick and by its symbol."""
    for other in ({"symbol": tape.symbol, "tick": "0.1"}, {"symbol": "ABUSDT", "tick": "0.01"}):
        folder = written(tmp_path / other["tick"], **other)
        with pytest.raises(Mismatch, match="fit one on this market"):
            walkforward(tape, rules_for(tape), plan=PLAN, models=leaning(folder))


@pytest.mark.parametrize("method", ["marks", "ladder"])
def test_later_trades_do_not_change_earlier_parameters(tape, method):
    """Every trade from a segment's start on is changed: its parameters are equal to the bit."""
    calibrator = Calibrator(tape, CalibrationConfig(reference="mid", method=method), rules_for(tape))
    before = build_schedule(calibrator, PLAN).segments
    at_us = before[3].start_us
    later = (tape.kind == TRADE) & (tape.event_us >= at_us)
    ticks = tape.row_ticks.copy()
    ticks[tape.first_row[:-1][later]] += np.where(tape.row_side[tape.first_row[:-1][later]] > 0, 7, -7)
    after = build_schedule(
        Calibrator(replace(tape, row_ticks=ticks), CalibrationConfig(reference="mid", method=method), rules_for(tape)),
        PLAN,
    ).segments
    assert after[:4] == before[:4]
    assert after[5] != before[5]


def test_schedule_without_usable_segment_raises_fit_error(tape):
    """The message says what to do."""
    schedule = build_schedule(Calibrator(tape, CalibrationConfig(reference="mid", min_usable_deltas=900)), PLAN)
    with pytest.raises(FitError, match="none of 7 segments is usable"):
        intensity_of(schedule)
    with pytest.raises(UsageError, match="fill_per_side"):
        intensity_of(build_schedule(Calibrator(tape, CalibrationConfig(reference="mid")), PLAN), per_side=True)


def test_intensity_has_parameters_of_fit(tape):
    """Equal for both sides, or separate per side."""
    fit, _ = Calibrator(tape, CalibrationConfig(reference="mid")).fit(tape.start_us, tape.end_us)
    both, each = intensity_of(fit), intensity_of(fit, per_side=True)
    assert both.at(0, 1, 0.0) == both.at(0, -1, 0.0) == fit.A
    assert (each.at(0, 1, 0.0), each.at(0, -1, 0.0)) == (fit.sides.bid.A, fit.sides.ask.A)
    with pytest.raises(FitError, match="not usable"):
        intensity_of(replace(fit, usable=False, A=None, k=None, status="no_fills", reason="none"))


def test_study_schedule_equals_schedule_built_alone(days, studied):
    """The fits of its windows come with it."""
    assert studied.schedule == build_schedule(Calibrator(days, CalibrationConfig(reference="mid")), PLAN)
    assert len(studied.schedule.segments) == len(studied.fits) == 4 + 6


@pytest.mark.parametrize(
    ("method", "mode"), [("marks", "rolling"), ("ladder", "rolling"), ("fixed", "rolling"), ("marks", "static")]
)
def test_study_from_checkpoint_does_not_fit_again(tmp_path, days, monkeypatch, method, mode):
    """A second study from the checkpoint is equal to the last bit, without fits or runs."""
    plan = replace(PLAN, mode=mode)
    config = CalibrationConfig(reference="mid", method=method, deltas=(1.0, 2.0, 4.0), min_usable_deltas=2)
    checkpoint = Checkpoint(tmp_path)
    first = study(Calibrator(days[:1], config, keep=checkpoint.played), plan, memory=checkpoint.value)
    plain = study(Calibrator(days[:1], config), plan)
    monkeypatch.setattr("mm.calibration.windows.WindowFitter.one", lambda *_: never())
    monkeypatch.setattr("mm.calibration.exposure._backtested", lambda *_: never())
    again = Checkpoint(tmp_path)
    second = study(Calibrator(days[:1], config, keep=again.played), plan, memory=again.value)
    kept = msgspec.json.encode(list(map(_as_json, first.fits)))  # distinguishes integers from floats
    for number, one in enumerate((first, second, plain)):
        path = tmp_path / f"{number}.csv"
        write_window_metrics(path, one)
        assert (one.schedule, one.fits) == (first.schedule, first.fits)
        assert msgspec.json.encode(list(map(_as_json, one.fits))) == kept
        assert path.read_bytes() == (tmp_path / "0.csv").read_bytes()


def test_progress_is_reported_per_window(days):
    steps = []
    study(Calibrator(days[:1], CalibrationConfig(reference="mid")), PLAN, step=steps.append)
    assert steps == [1] * 4


def never():
    raise AssertionError("stored values must not be computed again")


def test_checkpoint_value_is_computed_once(tmp_path):
    """Only the first time; later instances read it from the folder."""
    first = Checkpoint(tmp_path)
    assert first.value("a", lambda: {"A": 0.1 + 0.2, "k": None}) == {"A": 0.30000000000000004, "k": None}
    assert first.value("a", never)["k"] is None
    later = Checkpoint(tmp_path)
    assert (first.found, later.found) == (0, 1)
    assert later.value("a", never)["A"] == 0.1 + 0.2


def test_fresh_and_stored_values_have_same_type(tmp_path):
    """A pair is returned as a list in both cases."""
    fresh = Checkpoint(tmp_path).value("pair", lambda: (1.5, 2))
    assert fresh == Checkpoint(tmp_path).value("pair", never) == [1.5, 2]


def test_checkpoint_stores_numpy_numbers_and_nan_as_null(tmp_path):
    """The volatility over two days is a numpy number; a schedule contains only finite numbers."""
    made = [np.float64(0.1) + np.float64(0.2), np.int64(7), float("nan"), 1e-300, "δ"]
    found = Checkpoint(tmp_path).value("numbers", lambda: made)
    assert found == Checkpoint(tmp_path).value("numbers", never) == [0.1 + 0.2, 7, None, 1e-300, "δ"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_torn_last_line_of_checkpoint_is_ignored(tmp_path, cut):
    """A kill may leave part of a line; complete lines remain valid, and later lines are readable."""
    kept = Checkpoint(tmp_path)
    for name in ("a", "b"):
        kept.value(name, lambda: [1.5])
    path = tmp_path / "windows.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    torn = Checkpoint(tmp_path)
    assert torn.found == 1
    assert torn.value("b", lambda: [2.5]) == [2.5]
    assert Checkpoint(tmp_path).value("b", never) == [2.5]


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("by_model", [False, True])
def test_checkpoint_restores_played_run(tmp_path, anchored, by_model):
    """Columns of orders and the fills of a fill model are restored unchanged."""
    columns = {name: np.arange(4, dtype=np.int64) + at for at, name in enumerate(RESTING)}
    columns |= {
        "filled": np.array([True, False, True, True]),
        "fills": np.arange(6).reshape(2, 3) if by_model else None,
    }
    columns |= {} if anchored else {"distance": None}
    run = Played(RestingOrders(**columns), SimpleNamespace())
    first = Checkpoint(tmp_path).played("delta_2", lambda: run)
    again = Checkpoint(tmp_path).played("delta_2", never)
    for one in (first, again):
        for name, expected in columns.items():
            found = getattr(one.resting, name)
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(found, expected, strict=True)


def test_run_without_orders_can_be_stored(tmp_path):
    """A day without a book has no quotes."""
    empty = RestingOrders.of(Scribe().journal())
    run = Played(empty)
    assert len(Checkpoint(tmp_path).played("ladder", lambda: run).resting.side) == 0


def test_default_windows_end_an_order_latency_before_their_segment(tape, monkeypatch):
    """A fit is known when its segment begins only if its window ended before the orders were sent."""
    plans = []

    def stop(_tape, plan, *_rest):
        plans.append(plan)
        raise FitError("enough was seen")

    monkeypatch.setattr("mm.play.forward.calibrator_of", stop)
    with pytest.raises(FitError, match="enough"):
        walkforward(tape, Rules(tick_e8=1, lot_e8=1, order_latency_us=70_000))
    assert [plan.latency_us for plan in plans] == [70_000]
