"""Fills to expect on a day by what an earlier day of the same design has shown."""

import json
import math

import numpy as np
import pytest
from scipy.stats import t as student

from mm.backtest.metrics.fills_forecast import HALF, PRIOR, forecast, foretold_fills
from mm.trials.earlier_fills import EarlierFills
from simulation import simulate_day
from support import run_mm

KNOBS = {"SYMBOL": "SIMUSDT", "INITIAL_INVENTORY": "1", "MAKER_FEE_RATE": "0", "SENSITIVITY": "0", "LOG_LEVEL": "ERROR"}
DAYS = ("20260105", "20260106", "20260107")


def row(ticks: float, fills: int, predicted: float) -> dict[str, float]:
    return {"from_ticks": ticks, "to_ticks": ticks, "fills": fills, "predicted": predicted}


def test_each_row_has_the_ratio_of_its_distance():
    """By hand: 40 of 100 and 4 of 20 before, a share of 44/120; with PRIOR fills of that share beside each."""
    share = 44 / 120
    near, far = (40 + PRIOR * share) / (100 + PRIOR), (4 + PRIOR * share) / (20 + PRIOR)
    earlier = [row(0.5, 40, 100.0), row(1.0, 4, 20.0)]
    assert foretold_fills([row(0.5, 0, 50.0), row(1.0, 0, 10.0)], earlier) == pytest.approx(50 * near + 10 * far)
    assert foretold_fills([row(3.0, 0, 50.0)], earlier) == pytest.approx(50 * share)  # no row so far away


def test_nothing_is_foretold_without_a_prediction():
    assert foretold_fills([row(0.5, 3, 5.0)], [row(0.5, 3, 0.0)]) is None
    assert foretold_fills([{"from_ticks": 0.5, "to_ticks": 0.5, "fills": 3}], [row(0.5, 3, 5.0)]) is None


def earlier(name: str, hours: list[int], each: float) -> EarlierFills:
    """A day with one distance, of which *each* fills were predicted an hour."""
    rows = [{"fills": fills, "predicted": each} for fills in hours]
    return EarlierFills(name, (name,), [row(0.5, sum(hours), each * len(hours))], rows)


def test_one_day_varies_as_much_as_its_hours():
    """Counts so large that their noise is nothing: Student's t of the hours' logarithms, by hand."""
    hours = [40_000_000, 90_000_000, 60_000_000, 50_000_000]
    told = forecast([row(0.5, 0, 3e8)], [earlier("20260105", hours, 1e8)])
    logs = np.log(hours)
    half = student.ppf(0.975, 3) * logs.std(ddof=1) * math.sqrt(1 + 1 / 4)
    assert told["value"] == pytest.approx(3e8 * 0.6)
    assert [told["low"], told["high"]] == pytest.approx([1.8e8 * math.exp(-half), 1.8e8 * math.exp(half)], rel=1e-3)
    assert told["given"]


def test_three_days_vary_as_much_as_they_do():
    """Whatever their hours are: of constant days that differ by factors of two and four."""
    days = [earlier(f"2026010{n}", [int(1e7 * 2**n)] * 6, 1e8) for n in range(3)]
    told = forecast([row(0.5, 0, 1e9)], days)
    half = student.ppf(0.975, 2) * math.log(2) * math.sqrt(1 + 1 / 3)
    assert told["value"] == pytest.approx(2e8)
    assert [told["low"], told["high"]] == pytest.approx([2e8 * math.exp(-half), 2e8 * math.exp(half)], rel=1e-3)
    assert (told["given"], told["days"]) == (None, ["20260100", "20260101", "20260102"])


def test_equal_days_leave_the_noise_of_counts():
    """As of a Poisson count about a mean known from three."""
    told = forecast([row(0.5, 0, 600.0)], [earlier(f"2026010{n}", [50] * 6, 100.0) for n in range(3)])
    half = student.ppf(0.975, 2) * math.hypot(1 / math.sqrt(300 + HALF), 1 / math.sqrt(900 + HALF))
    assert math.log((told["high"] + HALF) / (told["value"] + HALF)) == pytest.approx(half)


def drawn(rng, level: float, hours: float) -> EarlierFills:
    """A day of twelve hours with a level of its own, half of its logarithm's variance kept from hour to hour."""
    path = rng.standard_normal(12)
    for n in range(1, 12):
        path[n] = 0.5 * path[n - 1] + math.sqrt(0.75) * path[n]
    mean = 20 * math.exp(level * rng.standard_normal()) * np.exp(hours * path)
    return earlier("20260105", rng.poisson(mean).tolist(), 40.0)


@pytest.mark.parametrize(
    ("days", "level", "share"),
    [(3, 0.0, 0.98), (3, 0.5, 0.95), (8, 0.5, 0.95), (1, 0.0, 0.95), (1, 0.3, 0.75), (2, 0.3, 0.87)],
)
def test_its_interval_holds_the_next_day(days, level, share):
    """Nominally .95 of three days and more, whatever the variance between days; of fewer, if their hours tell it."""
    rng, held = np.random.default_rng(5), []
    for _ in range(800):
        told = forecast(drawn(rng, level, 0.3).rows, [drawn(rng, level, 0.3) for _ in range(days)])
        held.append(told["low"] <= drawn(rng, level, 0.3).fills <= told["high"])
    assert np.mean(held) == pytest.approx(share, abs=0.04)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Three days of a queue's market, and a fit of the first."""
    folder = tmp_path_factory.mktemp("desk")
    for seed, day in enumerate(DAYS, 7):
        simulate_day(folder / "data", "large_tick", day=day, hours=0.4, seed=seed)
    made = run_mm("calibrate", "--json", cwd=folder, DAY=DAYS[0], SYMBOL="SIMUSDT", LOG_LEVEL="ERROR")
    assert made.returncode == 0, made.stderr
    return folder


def played(desk, day, **knobs):
    """Return the summary of a backtest of a day with the fit."""
    settings = {"DAY": day, "QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 0.5}', **KNOBS}
    done = run_mm("backtest", "--fit", "last", "--json", cwd=desk, **{**settings, **knobs})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_later_day_is_foretold_by_earlier_ones(desk):
    """Never by a later day, another design, or another fill model; and nearer to the fills than the fit alone."""
    assert "fills_forecast" not in played(desk, DAYS[1])
    assert "fills_forecast" not in played(desk, DAYS[0])  # only a later day is on record
    third = played(desk, DAYS[2])
    told, observed = third["fills_forecast"], third["observed_fills"]
    assert (told["days"], len(told["run_ids"])) == ([DAYS[0], DAYS[1]], 2)
    assert (told["low"], told["given"]) == (None, None)  # of less than three hours
    assert abs(told["value"] - observed) < abs(third["predicted_fills"] - observed)
    assert played(desk, DAYS[1])["fills_forecast"]["days"] == [DAYS[0]]
    assert "fills_forecast" not in played(desk, DAYS[2], FILL_MODEL="trade_cross")
    assert "fills_forecast" not in played(desk, DAYS[2], QUOTE_PARAMS_JSON='{"delta_ticks": 1.5}')
