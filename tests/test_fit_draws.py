"""The band that the uncertainty of A and k gives the PnL of a backtest."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mm.__main__ import main


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A simulated day and its fit."""
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


def test_the_band_is_that_of_backtests_with_the_drawn_fits(desk, tmp_path):
    """Each drawn fit, written to a file and played on its own, has the PnL that went into the band."""
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.intervals import draws

    band = json.loads(backtest(desk, "--fill-params-file", str(fit_of(desk)), "--fit-draws", "3").stdout)["pnl_band"]
    fit = PoissonFit.from_json(json.loads(fit_of(desk).read_text(encoding="utf-8")), "fit")
    pnl = []
    for number, drawn in enumerate(draws(fit, 3, 0)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(drawn.to_json()), encoding="utf-8")
        pnl.append(json.loads(backtest(desk, "--fill-params-file", str(path)).stdout)["pnl_total"])
    assert band["draws"] == 3
    assert band["mean"] == pytest.approx(np.mean(pnl))
    assert band["sd"] == pytest.approx(np.std(pnl, ddof=1))
    assert min(pnl) <= band["low"] <= band["high"] <= max(pnl)
    assert len(set(pnl)) == 3


def test_without_draws_there_is_no_band(desk):
    """The key is absent, not null: nobody asked."""
    assert "pnl_band" not in json.loads(backtest(desk, "--fill-params-file", str(fit_of(desk))).stdout)


@pytest.mark.parametrize("more", [[], ["--fill-per-side", "1"]])
def test_draws_need_one_fit(desk, more):
    """A number from a flag, or each side's own numbers, have no covariance."""
    given = ["--fill-params-file", str(fit_of(desk))] if more else ["--fill-params-json", '{"A": 1, "k": 1}']
    answer = backtest(desk, "--fit-draws", "3", *given, *more)
    assert answer.exit_code == 2
    assert "--fit-draws (FIT_DRAWS) is 3, but there is no single fit to draw from" in answer.stderr
