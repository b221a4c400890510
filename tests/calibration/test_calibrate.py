"""One recipe for all methods: the truth of a synthetic day, whichever way it is measured."""

from pathlib import Path

import pytest

from mm.backtest.io import load_day
from mm.calibration.calibrate import Meter, Recipe, calibrate, measure
from mm.errors import UsageError
from mm.market_data.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.session import Session
from mm.sim.flow.scenario import Poisson

A, K = 1.2, 0.4


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory):
    """Two hours of a market whose A and k are exact."""
    folder = DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", "20260105")
    make_day(folder, Poisson(A_per_s=A, k_per_tick=K), Session("SIMUSDT", "20260105", 2.0, 11))
    return load_day(folder)


@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_every_method_finds_the_truth(tape, method):
    """A and k lie within 4 standard errors of what made the day."""
    found = measure(tape, Recipe(method=method, seed=5))
    fit = found.fit
    assert fit.usable, fit.reason
    assert (fit.method, fit.symbol, fit.day, fit.reference) == (method, "SIMUSDT", "20260105", "mid")
    # `fixed` takes its errors from blocks: those of its likelihood count one tape six times.
    low, high = fit.ci95_k_block if method == "fixed" else fit.ci95_k
    assert abs(fit.k - K) < 4 * max((high - low) / 3.92, fit.se_k)
    low, high = fit.ci95_A_block if method == "fixed" else fit.ci95_A
    assert abs(fit.A - A) < 4 * (high - low) / 3.92
    assert set(found.runs) == {"marks": set(), "ladder": {"ladder"}}.get(
        method, {f"delta_{delta}" for delta in (1, 2, 3, 5, 8, 13)}
    )


def test_simulated_orders_are_one_lot_and_free_of_balances(tape):
    """A probe fills whole at the first print, and never stops for want of money."""
    (run,) = measure(tape, Recipe(method="ladder")).runs.values()
    assert set(run.journal.fills[:, 4].tolist()) == {1}
    assert run.summary["n_partial"] == 0
    assert run.journal.state[:, 1].min() < 0, "sells never waited for an inventory"


@pytest.mark.parametrize("method", ["marks", "ladder"])
def test_a_window_is_measured_as_if_it_were_alone(tape, method):
    """Windows are slices: what stands outside one changes nothing in it."""
    meter = Meter(tape, Recipe(method=method))
    a = tape.start_us + 20 * 60_000_000
    b = a + 30 * 60_000_000
    fit, _ = meter.fit(a, b)
    assert (fit.window.start_us, fit.window.end_us) == (a, b)
    if method == "marks":
        assert calibrate(tape.between(a, b), Recipe()).to_json() == fit.to_json()


def test_an_unknown_method_is_refused():
    """The message lists the known ones."""
    with pytest.raises(UsageError, match="marks, ladder, fixed"):
        Recipe(method="guess")
