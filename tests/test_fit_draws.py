"""The PnL band of a backtest from the uncertainty of A and k."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mm.__main__ import main


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a folder with a simulated day and its fit."""
    root = tmp_path_factory.mktemp("draws")
    assert call(root, "sim", "day", "--hours", "0.2").exit_code == 0
    assert call(root, "calibrate", "--run-id", "fit").exit_code == 0
    return root


def call(root, *words):
    where = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(root / "data")]
    runs = [] if words[0] == "sim" else ["--out-root", str(root / "out")]
    return CliRunner().invoke(main, [*words, *where, *runs])


def fit_of(root):
    return root / "out" / "calibration" / "marks" / "SIMUSDT" / "20260105_fit" / "poisson_fit.json"


def backtest(root, *words):
    model = ["--fill-model", "poisson", "--maker-fee-rate", "0", "--quote-params-json", '{"gamma": 0.01}']
    return call(root, "backtest", *model, "--json", *words)


@pytest.mark.slow
def test_pnl_band_equals_backtests_with_drawn_fits(workspace, tmp_path):
    """The band's mean, sd and range are those of separate backtests with each drawn fit."""
    from mm import PoissonFit
    from mm.calibration.intervals import draws

    band = json.loads(backtest(workspace, "--fill-params-file", str(fit_of(workspace)), "--fit-draws", "3").stdout)[
        "pnl_band"
    ]
    fit = PoissonFit.from_json(json.loads(fit_of(workspace).read_text(encoding="utf-8")), "fit")
    pnl = []
    for number, drawn in enumerate(draws(fit, 3, 0)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(drawn.to_json()), encoding="utf-8")
        pnl.append(json.loads(backtest(workspace, "--fill-params-file", str(path)).stdout)["pnl_total"])
    assert band["draws"] == 3
    assert band["mean"] == pytest.approx(np.mean(pnl))
    assert band["sd"] == pytest.approx(np.std(pnl, ddof=1))
    assert min(pnl) <= band["low"] <= band["high"] <= max(pnl)
    assert len(set(pnl)) == 3


def test_summary_has_no_pnl_band_without_draws(workspace):
    """The key is absent, not null."""
    assert "pnl_band" not in json.loads(backtest(workspace, "--fill-params-file", str(fit_of(workspace))).stdout)


@pytest.mark.parametrize("more", [[], ["--fill-per-side", "1"]])
def test_fit_draws_require_a_single_fit(workspace, more):
    """Parameters given as JSON, or separate numbers per side, have no covariance."""
    given = ["--fill-params-file", str(fit_of(workspace))] if more else ["--fill-params-json", '{"A": 1, "k": 1}']
    answer = backtest(workspace, "--fit-draws", "3", *given, *more)
    assert answer.exit_code == 2
    assert "--fit-draws (FIT_DRAWS) is 3, but there is no fit to draw from" in answer.stderr
