"""Calibration under a fill model: recounted from the files of the runs, and predicted fills of backtests."""

import csv
import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import mm
from mm import CalibrationConfig, Points, PoissonFit, Rules, WindowPlan, build_schedule
from mm.__main__ import main
from mm.backtest.fills.intensity import Poisson
from mm.backtest.journal import Fills, Orders
from mm.backtest.models import poisson, queue_prob_power
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import DELTAS, FROM_BEST, FROM_MID, FillsMeasured
from mm.calibration.exposure import pooled_rates
from mm.calibration.intensities import measured_intensity
from mm.calibration.sweeps import HitRule
from mm.errors import BrokenFile, UsageError
from mm.play.models import measured_under
from small_tapes import book
from small_tapes import tape as small_tape

POWER = FillsMeasured("queue_prob_power", {}, queue_prob_power)
LOTS = Orders.names().index("lots")
TICK, US = 0.01, 1_000_000


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as dicts."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_counts(folder: Path, mids: tuple[list[int], list[int]], end_us: int, counts: dict) -> None:
    """Add order-seconds and fills of a run to *counts*, by side and distance in half ticks, from its files alone."""
    us, mid2 = mids
    live, ended = {}, {}
    for row in rows(folder / "orders_SIMUSDT.csv"):
        number = int(row["order_id"])
        if row["action"] == "PLACE":
            live[number] = row["side"], round(float(row["price"]) / TICK), int(row["active_recv_us"])
        elif row["status"] in ("CANCELLED", "FILLED", "EXPIRED", "REJECTED"):
            ended.setdefault(number, int(row["recv_us"]))
    for number, (side, ticks, begin) in live.items():
        since, until, sign = begin, ended.get(number, end_us), 1 if side == "BUY" else -1
        while since < until:
            at = bisect_right(us, since) - 1
            stop = min(until, us[at + 1]) if at + 1 < len(us) else until
            counts[side, sign * (mid2[at] - 2 * ticks)][0] += (stop - since) / US
            since = stop
    for row in rows(folder / "fills_SIMUSDT.csv"):
        side, ticks, _ = live[int(row["order_id"])]
        before = round(2 * float(row["mid"]) / TICK)  # as several changes of the book may have its instant
        counts[side, (1 if side == "BUY" else -1) * (before - 2 * ticks)][1] += 1


def mids_of(folder: Path) -> tuple[list[int], list[int]]:
    """Return instants and bid + ask in ticks of a day folder's frames, the last of each instant."""
    found = {}
    (path,) = folder.glob("orderbook*.csv*")
    for row in rows(path):
        if int(row["epoch_id"]) >= 1:
            found[int(row["recv_time_us"])] = round((float(row["bid1_price"]) + float(row["ask1_price"])) / TICK)
    return list(found), list(found.values())


def run(root: Path, *words: str, **variables: str) -> dict:
    """Call mm with folders of days and results, and return the JSON that it prints."""
    where = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(root / "data")]
    runs = [] if words[0] == "sim" else ["--out-root", str(root / "out"), "--json"]
    result = CliRunner().invoke(main, [*words, *where, *runs], env=variables)
    assert result.exit_code == 0, result.output
    return {} if words[0] == "sim" else json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return a half-hour day and its calibration under a queue model, at the distances that are quoted later."""
    root = tmp_path_factory.mktemp("measured")
    run(root, "sim", "day", "--hours", "0.5")
    fit = run(root, "calibrate", "--calib-fills", "queue_prob_power", "--deltas", "0.5,1.5", "--run-id", "one")
    return root, fit


def test_points_match_files_of_runs(measured):
    """Exposure and fills per side and distance, recounted from orders, fills and frames in plain Python."""
    root, fit = measured
    folder = root / "out" / "calibration" / "fixed" / "SIMUSDT" / "20260105_one"
    day = root / "data" / "SIMUSDT" / "20260105"
    counts = defaultdict(lambda: [0.0, 0])
    for delta in ("0.5", "1.5"):
        add_counts(folder / "runs" / f"delta_{delta}", mids_of(day), mm.load_day(day).end_us, counts)
    points = {
        ({"bid": "BUY", "ask": "SELL"}[row["side"]], round(2 * float(row["delta_ticks"]))): row
        for row in rows(folder / "calibration_points.csv")
    }
    assert sum(fills for _, fills in counts.values()) > 200
    for place, row in points.items():
        assert float(row["exposure_s"]) == pytest.approx(counts[place][0], rel=1e-9, abs=1e-6), place
        assert int(row["fills"]) == counts[place][1], place
    left_out = {place: one for place, one in counts.items() if place not in points and one[0] > 1e-9}
    assert all(half_ticks < 0 for _, half_ticks in left_out), "only orders across the mid are left out"
    assert (fit["calib_fills"], fit["method"], fit["hit"]) == ("queue_prob_power", "fixed", None)
    late = sum(fills for (_, half_ticks), (_, fills) in counts.items() if 0 <= half_ticks < 1)
    total = sum(int(row["fills"]) for row in points.values())
    assert total - late <= fit["n_fills"] <= total, "late ones of farther orders are left out of the fit"


@pytest.mark.parametrize("delta", ["0.5", "1.5"])
def test_backtest_under_same_model_fills_as_predicted(measured, delta):
    """Rows with 100 or more fills are within a tenth of their prediction, and the summary has no warning."""
    root, fit = measured
    words = ["--fill-model", "queue_prob_power", "--fill-params-file", fit["path"], "--sensitivity", "0"]
    words += ["--quote-model", "fixed_spread", "--quote-params-json", f'{{"delta_ticks": {delta}}}']
    summary = run(root, "backtest", *words, "--initial-cash", "1000000000", "--initial-inventory", "1000000")
    judged = [row for row in summary["fills_by_distance"] if row["fills"] >= 100]
    assert judged or delta == "1.5"
    for row in judged:
        assert 0.9 < row["predicted"] / row["fills"] < 1.1, row
    assert summary["fit"]["measured_under"]["differs"] is None
    assert not any("CALIB_FILLS" in warning for warning in summary["warnings"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--fill-model", "trade_cross"], "fills under queue_prob_power, but this run uses trade_cross"),
        (["--fill-model", "queue_prob_power", "--quote-qty", "3"], "but this run quotes 3"),
    ],
)
def test_backtest_warns_when_fill_model_or_quantity_differs(measured, words, text):
    """Predictions hold neither for another fill model nor for another order size."""
    root, fit = measured
    summary = run(root, "backtest", *words, "--fill-params-file", fit["path"], "--sensitivity", "0")
    assert sum(text in warning and "CALIB_FILLS" in warning for warning in summary["warnings"]) == 1


def test_fit_under_poisson_model_recovers_its_parameters(tape):
    """The known A and k of a Poisson model are within the intervals of the fit."""
    truth = {"A": 0.3, "k": 0.7}
    config = CalibrationConfig(
        reference="mid", method="fixed", fills=FillsMeasured("poisson", truth, partial(poisson, **truth))
    )
    measurement = measure(tape, config)
    assert isinstance(config.fills.make(), Poisson)
    fit = measurement.fit
    assert (config.deltas, config.distances) == (None, FROM_MID)
    assert (fit.calib_fills, fit.calib_fill_params, fit.hit) == ("poisson", truth, None)
    for value, (low, high) in ((truth["A"], fit.ci95_A_block), (truth["k"], fit.ci95_k_block)):
        assert low - (high - low) < value < high + (high - low)
    again = PoissonFit.from_json(json.loads(json.dumps(fit.to_json())), "the test")
    assert (again.measured_rates, again.calib_fill_params) == (fit.measured_rates, truth)


def test_given_distances_are_played(tape):
    """Also when they equal the default of the hit rule; defaults follow the reference and the flow."""
    for reference, defaults in (("mid", FROM_MID), ("best", FROM_BEST)):
        config = CalibrationConfig(method="fixed", reference=reference, fills=POWER)
        assert list(Calibrator(tape, replace(config, deltas=DELTAS)).played) == [f"delta_{delta:g}" for delta in DELTAS]
        followed = Calibrator(tape, config)
        assert followed.config.distances[: len(defaults)] == defaults
        assert list(followed.played) == [f"delta_{delta:g}" for delta in followed.config.distances]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_manifest_contains_given_distances(measured, source):
    """From flag, environment and settings file, with the same values as the default of the hit rule."""
    text, words, root = "1,2,3,5,8,13", [], measured[0]
    settings, variables = root / f"{source}.toml", {"CALIB_DELTAS": text} if source == "environment" else {}
    settings.write_text(f'calib_deltas = "{text}"\n' if source == "file" else "")
    words = ["--deltas", text] if source == "flag" else []
    fit = run(root, "calibrate", "--calib-fills", "queue_prob_power", *words, MM_CONFIG=str(settings), **variables)
    manifest = json.loads((Path(fit["path"]).parent / "run_manifest.json").read_text())
    assert manifest["knobs"]["calib_deltas"] == {"value": text, "source": source}
    assert fit["options"]["calib_deltas"] == manifest["summary"]["calib_deltas"] == [1, 2, 3, 5, 8, 13]
    played = {Path(one["path"]).parts[1] for one in manifest["outputs"] if one["path"].startswith("runs/")}
    assert played == {f"delta_{delta}" for delta in (1, 2, 3, 5, 8, 13)}


def test_manifest_contains_played_default_distances(measured):
    """Defaults of a fill model follow the flow; a schedule records its distances as well."""
    fit = run(measured[0], "calibrate", "--calib-fills", "queue_prob_power")
    manifest = json.loads((Path(fit["path"]).parent / "run_manifest.json").read_text())
    assert manifest["knobs"]["calib_deltas"] == {"value": "auto", "source": "default"}
    assert manifest["summary"]["calib_deltas"] == fit["options"]["calib_deltas"]
    assert tuple(fit["options"]["calib_deltas"][: len(FROM_MID)]) == FROM_MID
    words = ("--calib-fills", "queue_prob_power", "--deltas", "0.5,1.5,2.5")
    windows = ("--wf-train-window-min", "10", "--wf-step-min", "5")
    schedule = run(measured[0], "schedule", *words, *windows)
    manifest = json.loads((Path(schedule["path"]).parent / "run_manifest.json").read_text())
    assert manifest["summary"]["calib_deltas"] == [0.5, 1.5, 2.5]


def test_every_fill_of_a_large_order_counts(tape):
    """A large order fills in parts; seconds and fills continue to count after the first part."""
    step_e8 = tape.step_lots * tape.instrument.lot_e8
    config = CalibrationConfig(
        reference="mid", method="fixed", deltas=(0.5, 1.5), fills=POWER, rule=HitRule(order_e8=10**6 * step_e8)
    )
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, step_lots=tape.step_lots)
    runs = {}
    measurement = measure(tape, config, rules, lambda name, play: runs.setdefault(name, play(all_rows=True)))
    placed = {lots for one in runs.values() for lots in one.result.journal.orders[:, LOTS].tolist()}
    fills = sum(len(one.result.journal.fills) for one in runs.values())
    assert measurement.fit.calib_order_qty == 10**6 * step_e8 / 1e8
    assert max(placed) == 10**6 * tape.step_lots
    assert 0.98 * fills <= measurement.fit.n_fills <= fills
    assert len({order for one in runs.values() for order in one.result.journal.fills[:, 1].tolist()}) < fills


def test_schedule_windows_are_measured_under_fill_model(tape):
    """The schedule contains the model's name; parameters of a segment use fills of its training window only."""
    plan = WindowPlan(train_window_min=40, step_min=40)
    schedule = build_schedule(Calibrator(tape, CalibrationConfig(reference="mid", method="fixed", fills=POWER)), plan)
    rule = build_schedule(Calibrator(tape, CalibrationConfig(reference="mid")), plan)
    assert (schedule.calib_fills, rule.calib_fills) == ("queue_prob_power", None)
    assert all(segment.usable for segment in schedule.segments)
    assert schedule.segments[0].A < rule.segments[0].A, "a queue stands before the orders"
    again = type(schedule).from_json(schedule.to_json(), "the test")
    assert again.calib_fills == "queue_prob_power"
    assert measured_under(rule, None) is None


def test_segments_contain_rates_of_their_training_windows(tape):
    """Rates per distance equal those of the window alone; the intensity uses them while the segment lasts."""
    plan, calibrator = (
        WindowPlan(20, 10),
        Calibrator(tape, CalibrationConfig(reference="mid", method="fixed", fills=POWER)),
    )
    schedule = build_schedule(calibrator, plan)
    for segment in schedule.segments:
        rates = pooled_rates(calibrator.between(segment.train_start_us, segment.train_end_us).fitted)
        assert segment.measured_rates == rates
        (delta, rate), *_ = rates
        assert measured_intensity(schedule).at(segment.start_us, 1, delta) == pytest.approx(rate)
    text = json.dumps(schedule.to_json())
    assert type(schedule).from_json(json.loads(text), "the test") == schedule
    bare = replace(schedule, segments=tuple(replace(one, measured_rates=()) for one in schedule.segments))
    assert measured_intensity(bare) is None
    with pytest.raises(BrokenFile, match=r"measured_rates .* distances must increase"):
        type(schedule).from_json(
            json.loads(text.replace('"measured_rates": [[', '"measured_rates": [[99, 1], [')), "it"
        )


def test_rates_are_pooled_to_twenty_fills():
    """Thin distances are pooled with near neighbours only; distances without fills have no rate."""
    points = Points.of([0.5, 1.0, 1.25, 2.0, 3.0, 9.0], [100, 50, 50, 10, 40, 50], [30, 12, 8, 25, 0, 5])
    rates = pooled_rates(points)
    assert [round(delta, 9) for delta, _ in rates] == [0.5, 1.125, 2.0, 9.0]
    assert [round(rate, 9) for _, rate in rates] == [0.3, 0.2, 2.5, 0.1]
    assert pooled_rates(points.where([0, 4])) == (), "a single distance gives no rates"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"method": "marks"}, "marks have no orders"),
        ({"method": "fixed", "rule": HitRule(hit="strict")}, "leave out the hit rule"),
    ],
)
def test_options_unused_by_fill_model_are_rejected(settings, text):
    """The model decides on fills, and only orders have any."""
    with pytest.raises(UsageError, match=text):
        CalibrationConfig(reference="mid", **settings, fills=POWER)


def test_quantity_off_step_is_rejected(tape):
    """An exchange would reject such an order."""
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, step_lots=7)
    config = CalibrationConfig(
        reference="mid", method="fixed", fills=POWER, rule=HitRule(order_e8=10 * tape.instrument.lot_e8)
    )
    with pytest.raises(UsageError, match="multiple of the quantity step"):
        measure(tape, config, rules)


@pytest.mark.parametrize("rates", [[[1.0, 0.2], [0.5, 0.1]], [[0.5, 0.0]], [[0.5]], 3])
def test_invalid_measured_rates_are_rejected(tape, rates):
    """Distances must increase, rates must be positive, rows must be pairs."""
    content = measure(tape, CalibrationConfig(reference="mid")).fit.to_json() | {"measured_rates": rates}
    with pytest.raises(BrokenFile, match="poisson_fit"):
        PoissonFit.from_json(content, "the test")


def after_fills(result, seconds: int) -> dict[float, list[tuple[float, int]]]:
    """Return gain in ticks and move against each fill after *seconds*, by distance."""
    us, mid2 = (column.tolist() for column in result.journal.mids.T)
    found = defaultdict(list)
    for fill in result.journal.fills.tolist():
        at, side, ticks = fill[0], fill[Fills.names().index("side")], fill[Fills.names().index("ticks")]
        before, after = fill[Fills.names().index("mid2")], mid2[bisect_right(us, at + seconds * US) - 1]
        distance = max(side * (before - 2 * ticks) / 2, 0.5)
        if at + seconds * US <= result.journal.counters["last_us"]:
            found[distance].append((side * (after - 2 * ticks) / 2, side * (before - after) / 2))
    return found


def test_adverse_moves_match_journals_of_runs(tape):
    """Mean move against the orders five seconds after their fills, recounted from the journals."""
    runs = {}
    measurement = measure(
        tape,
        CalibrationConfig(reference="mid", method="fixed", deltas=(0.5, 1.5), fills=POWER),
        keep=lambda name, play: runs.setdefault(name, play(all_rows=True)),
    )
    moves = defaultdict(list)
    for run in runs.values():
        for distance, kept in after_fills(run.result, 5).items():
            moves[distance] += [move for _, move in kept]
    assert len(measurement.fit.adverse_moves) >= 2
    for distance, move in measurement.fit.adverse_moves:
        assert move == pytest.approx(sum(moves[distance]) / len(moves[distance]), abs=0.02), distance


@pytest.mark.parametrize("model", ["optimal_curve", "expected_value"])
def test_adverse_moves_of_fit_change_quotes(tape, model):
    """A fit that gives k and A also gives the adverse cost; an explicit parameter replaces it."""
    fit = replace(measure(tape, CalibrationConfig(reference="mid")).fit, adverse_moves=((3.0, 2.0), (5.0, 4.9)))

    def played(**params):
        return mm.backtest(tape, model, "poisson", fit=fit, quote_params_json=params, sensitivity=False)

    default, same, none = played(), played(adverse_ticks=2.0), played(adverse_ticks=0.0)
    assert default.summary["fit"]["adverse_ticks"] == 2.0
    assert none.summary["fit"]["adverse_ticks"] is None
    assert default.journal.orders.tolist() == same.journal.orders.tolist() != none.journal.orders.tolist()
    apart = [run.summary["quoted_half_spread_ticks"]["p50"] for run in (default, none)]
    assert apart[0] > apart[1], "costs push quotes away"


@pytest.mark.slow
def test_segments_predict_by_their_own_rates(tape):
    """A schedule predicts by the rates that its windows measured."""
    plan, config = (
        WindowPlan(10, 5),
        CalibrationConfig(reference="mid", method="fixed", deltas=(0.5, 1.0, 1.5, 2.5), fills=POWER),
    )
    calibrator = Calibrator(tape, config, learn_us=plan.first_us)
    schedule = build_schedule(calibrator, plan)
    predicted = measured_intensity(schedule)
    for segment in schedule.segments:
        rates = pooled_rates(calibrator.points(segment.train_start_us, segment.train_end_us))
        assert segment.measured_rates == rates
        for delta, rate in rates:
            assert predicted.at(segment.start_us, 1, delta) == pytest.approx(rate)


def test_calibration_warns_about_day_without_trades(tape):
    """Fills then come only from book moves through orders, which is not representative."""
    config = CalibrationConfig(reference="mid", method="fixed", deltas=(0.5, 1.5), fills=POWER)
    silent = small_tape([book(0, 100, 102), book(30 * US, 103, 105), book(60 * US, 100, 102)], 0, 90 * US)
    (note,) = Calibrator(silent, config).between(silent.start_us, silent.end_us).notes
    assert note.startswith(f"no trade on {silent.days[0]}: ")
    assert Calibrator(tape, config).between(tape.start_us, tape.end_us).notes == ()
