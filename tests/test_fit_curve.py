"""The λ curve of a fit in a backtest: fills, predictions and quotes use it and agree with closed forms."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from engine_tapes import TEST
from mm import PoissonFit, Rules, Tape, backtest
from mm.__main__ import main
from mm.backtest.fills.intensity import FOREVER, Intensity, IntensityPiece, Poisson
from mm.backtest.models import fixed_spread, hybrid, optimal_curve
from mm.calibration.fit_result import CurvePoint, ShapeChoice
from mm.calibration.intensities import intensity_of
from mm.calibration.intervals import draws
from oracle_fills import along

BEGIN_US = 1_000_000
POINTS = [(0.5, 0.6), (1.5, 0.2), (2.5, 0.12), (4.5, 0.02)]


def market(path):
    """Return a day with the best prices of *path*, one pair per second."""
    events, last = [(BEGIN_US, "snapshot", [(path[0][0], 9)], [(path[0][1], 9)])], path[0]
    for second, (bid, ask) in enumerate(path):
        bids = [(last[0], 0), (bid, 9)] if bid != last[0] else [(bid, 9 + second % 2)]
        asks = [(last[1], 0), (ask, 9)] if ask != last[1] else []
        events.append((BEGIN_US + 1_000_000 * (second + 1), "depth", bids, asks))
        last = (bid, ask)
    return Tape.of(TEST, events)


def fit_of(points, chosen="monotone", **more):
    """Return a usable fit with a curve."""
    return PoissonFit(
        fit_method="poisson_mle",
        A=1.0,
        k=1.0,
        logA=0.0,
        se_logA=0.1,
        se_k=0.05,
        cov_logA_k=0.0,
        n_fills=100,
        exposure_s=1.0,
        usable=True,
        status="ok",
        reason="",
        shape=ShapeChoice(chosen=chosen, formula="", parameters={}, gain_nats_per_fill=0.1, se=0.01, why="because"),
        lambda_curve=tuple(
            CurvePoint(delta_ticks=delta, spread_state="all", lambda_per_s=rate) for delta, rate in points
        ),
        **more,
    )


@pytest.mark.parametrize("delta", [1, 2, 3])
@pytest.mark.parametrize("wrapped", [False, True], ids=["poisson", "hybrid"])
def test_fill_count_matches_closed_form_of_curve(delta, wrapped):
    """In a constant book, the fills of both sides are a Poisson count at the rate of the curve."""
    hours = 2
    day = market([(99, 101)] * (3_600 * hours))
    model = Poisson(Intensity([IntensityPiece(0, FOREVER, 1, 1, 1, 1, 1, curve=tuple(POINTS))]), seed=3)
    rules = Rules(tick_e8=TEST.tick_e8, lot_e8=TEST.lot_e8, enforce_balances=False, quote_lots=1)
    result = backtest([day], fixed_spread(delta_ticks=delta), hybrid([model]) if wrapped else model, rules)
    filled = np.sort(result.journal.fills[:, 0]) / 1e6
    mean = 2 * along(tuple(POINTS), float(delta)) * 3_600 * hours
    assert abs(len(filled) - mean) < 5 * math.sqrt(mean) + 0.1 * mean
    assert result.summary["predicted_fills"] == pytest.approx(result.summary["observed_fills"], rel=0.2)


def test_intensity_uses_curve_or_exponential_of_fit():
    """λ of the curve's points for a monotone shape; A·exp(−k·δ) for an exponential."""
    intensity = intensity_of(fit_of(POINTS))
    assert [intensity.at(0, 1, delta) for delta, _ in POINTS] == pytest.approx([rate for _, rate in POINTS])
    plain = intensity_of(fit_of(POINTS, "exponential"))
    assert plain.at(0, 1, 2.5) == pytest.approx(math.exp(-2.5))
    assert plain.rows()[0].curve == ()


def test_draws_scale_whole_curve_by_one_factor():
    """The factor is that of the exponential at its pivot."""
    fit = fit_of(POINTS, pivot_delta=1.5)
    drawn = list(draws(fit, 200, 7))
    for draw in drawn[:20]:
        level = draw.A / fit.A * math.exp(-(draw.k - fit.k) * 1.5)
        assert [point[1] / rate for point, (_, rate) in zip(draw.line, POINTS, strict=True)] == pytest.approx(
            [level] * 4
        )
    spread = np.std([math.log(draw.line[0][1]) for draw in drawn])
    assert spread == pytest.approx(math.hypot(0.1, 0.05 * 1.5), rel=0.2)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_optimal_curve_quotes_equal_for_fit_and_its_points(sigma):
    """optimal_curve quotes the same distances with the curve of the fit as with its points as a parameter."""
    rules = Rules(tick_e8=TEST.tick_e8, lot_e8=TEST.lot_e8, enforce_balances=False, quote_lots=1)
    rng = np.random.default_rng(1)
    best, path = 1_000, []
    for _ in range(300):
        best += int(rng.integers(-1, 2))
        path.append((best, best + 2))
    day = market(path)
    settings = {"sigma": sigma, "gamma": 0.02, "q_max": 5.0}
    orders = [
        backtest([day], model, Poisson(intensity_of(fit_of(POINTS)), 1), rules).journal.orders
        for model in (
            optimal_curve(**settings, intensity=intensity_of(fit_of(POINTS))),
            optimal_curve(**settings, curve=[list(point) for point in POINTS]),
        )
    ]
    assert len(orders[0]) > 100
    assert (orders[0] == orders[1]).all()
    other = backtest([day], optimal_curve(**settings, k=1.0, A=1.0), Poisson(intensity_of(fit_of(POINTS)), 1), rules)
    assert other.journal.orders.shape != orders[0].shape or (other.journal.orders != orders[0]).any()


def test_predicted_fills_follow_the_curve_of_the_fit_file(tmp_path):
    """From mm calibrate to mm backtest: the summary's predicted fills by distance follow the edited curve."""

    def call(*words):
        where = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(tmp_path / "data")]
        runs = [] if words[0] == "sim" else ["--out-root", str(tmp_path / "out"), "--run-id", "one"]
        done = CliRunner().invoke(main, [*words, *where, *runs])
        assert done.exit_code == 0, done.output
        return done

    call("sim", "day", "--hours", "0.5")
    call("calibrate")
    path = tmp_path / "out" / "calibration" / "marks" / "SIMUSDT" / "20260105_one" / "poisson_fit.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["lambda_curve"][0]["lambda_per_s"] > 0
    near = content["A"]
    content["shape"]["chosen"] = "monotone"
    content["lambda_curve"] = [
        {"delta_ticks": float(delta), "spread_state": "all", "lambda_per_s": near / (1 + delta), "ci95": None}
        for delta in range(12)
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    words = ["--fill-model", "poisson", "--fill-params-file", str(path), "--quote-model", "fixed_spread", "--json"]
    done = call("backtest", *words, "--quote-params-json", '{"delta_ticks": 6}', "--sensitivity", "0")
    summary = json.loads(done.stdout.splitlines()[-1])
    rows = [row for row in summary["fills_by_distance"] if row["exposure_s"] > 200]
    assert rows
    for row in rows:
        far = max(row["delta_ticks"], 0.0)
        assert row["predicted"] / row["exposure_s"] == pytest.approx(near / (1 + far), rel=0.05)
