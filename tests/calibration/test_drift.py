"""Where intervals by blocks hold: coverage under a drifting rate, and the warning where it is too low."""

import json
import math
import re

import numpy as np
import pytest
from click.testing import CliRunner

from mm import fit_poisson
from mm.__main__ import main
from mm.calibration.hawkes import ArrivalFlow, Excitation, fit_hawkes
from mm.calibration.intervals import DRIFTS, HALF_LIVES, drift_warning
from mm.calibration.reference import BLOCK_S
from simulation import simulate_day

A, K, SPREAD, STEP_S = 1.0, 0.4, 0.5, 10.0
DELTAS = np.arange(1.0, 9.0)
RUNS = 150


def drifting(draws, hours, half_life_min):
    """Return fills of orders at DELTAS in blocks; ln A is an Ornstein-Uhlenbeck process, the mean of A is known."""
    steps, per_block = round(hours * 3600 / STEP_S), round(BLOCK_S / STEP_S)
    alike = 2 ** (-STEP_S / (60 * half_life_min)) if half_life_min else 0.0
    level = np.empty(steps)
    level[0], noise = draws.normal(), draws.normal(size=steps) * math.sqrt(1 - alike**2)
    for at in range(1, steps):
        level[at] = alike * level[at - 1] + noise[at]
    spread = SPREAD if half_life_min else 0.0
    gain = np.exp(spread * level - spread**2 / 2).reshape(-1, per_block).sum(axis=1) * STEP_S
    fills = draws.poisson(np.outer(gain, A * np.exp(-K * DELTAS)))
    blocks = np.repeat(np.arange(len(gain)), len(DELTAS))
    return np.tile(DELTAS, len(gain)), np.full(fills.size, BLOCK_S), fills.ravel(), np.zeros(fills.size), blocks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hours", "half_life_min", "holds"),
    [(2, 0, True), (2, 1, True), (6, 2, True), (14, 4, True), (2, 30, False), (6, 30, False), (14, 60, False)],
)
def test_intervals_by_blocks_cover_where_nothing_warns(hours, half_life_min, holds):
    """At HALF_LIVES half-lives and more they cover .9 or better; a drift of 30 min in 2 h is always named."""
    draws, covered, warned = np.random.default_rng(77), 0, 0
    for _ in range(RUNS):
        delta, exposure, fills, side, block = drifting(draws, hours, half_life_min)
        fit = fit_poisson((delta, exposure, fills, side, block))
        covered += fit.ci95_A_block[0] <= A <= fit.ci95_A_block[1]
        warned += any(DRIFTS in line for line in fit.warnings)
    assert (covered / RUNS > 0.9) == holds, covered
    assert warned / RUNS < 0.2 if holds else warned / RUNS > 0.95, warned


def hour(draws, curve, blocks=12):
    """Return fills of orders at DELTAS in an hour whose rate follows *curve*, a function of the share that is over."""
    gain = curve((np.arange(blocks) + 0.5) / blocks) * BLOCK_S
    fills = draws.poisson(np.outer(gain, A * np.exp(-K * DELTAS)))
    block = np.repeat(np.arange(blocks), len(DELTAS))
    return np.tile(DELTAS, blocks), np.full(fills.size, BLOCK_S), fills.ravel(), np.zeros(fills.size), block


def patterns(draws, curve, runs=100):
    found = [fit_poisson(hour(draws, curve)) for _ in range(runs)]
    return found, [[line for line in fit.warnings if DRIFTS in line] for fit in found]


@pytest.mark.parametrize(
    ("curve", "ends"),
    [
        (lambda over: 0.4 + 1.8 * (2 * over - 1) ** 2, (0.3, 1.8)),
        (lambda over: 1 + 0.6 * np.sin(2 * np.pi * over), (0.4, 1.6)),
        (lambda over: 0.5 + over, (0.5, 1.5)),
    ],
)
def test_pattern_of_the_hour_is_named(curve, ends):
    """A U, a wave and a slope: intervals by blocks take them for noise; the note has the curve and the way out."""
    found, told = patterns(np.random.default_rng(93), curve, runs=30)
    for fit, lines in zip(found, told, strict=True):
        (line,) = lines
        assert fit.ci95_A_block[1] - fit.ci95_A_block[0] > 4 * (fit.ci95_A[1] - fit.ci95_A[0])
        low, high = re.search(r"from (\S+) to (\S+) times its mean", line).groups()
        assert (float(low), float(high)) == (pytest.approx(ends[0], abs=0.15), pytest.approx(ends[1], abs=0.15))
        assert f"A has a sampling error of {fit.se_logA:.2g} of itself" in line
        assert "mm schedule, or shorter windows" in line


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_steady_hour_has_no_pattern(spread):
    """Also if blocks differ by chance; the test fails in one hour of a hundred."""
    draws = np.random.default_rng(94)
    _, told = patterns(draws, lambda over: np.exp(spread * draws.normal(size=over.size)))
    assert sum("smooth curve" in line for lines in told for line in lines) <= 4
    if not spread:
        assert sum(map(bool, told)) <= 4


def test_pattern_needs_blocks_and_a_mean():
    """Few blocks show none, and a level that an estimator misses is none."""
    draws = np.random.default_rng(95)
    few = fit_poisson(hour(draws, lambda over: 0.5 + over, blocks=5))
    assert not any(DRIFTS in line for line in few.warnings)
    missed = fit_poisson(hour(draws, np.ones_like, blocks=24), fit_method="log_linear")
    assert not any("smooth curve" in line for line in missed.warnings)


def test_slowest_half_life_of_a_process_is_that_of_its_rates():
    """One kernel that excites its own side n times returns at beta (1 - n); the rate of either side has both modes."""
    beta, own, other = 0.5, 0.4, 0.3
    law = Excitation(np.ones(2), np.array([[[own], [other]], [[other], [own]]]), np.array([beta]))
    assert law.half_life_s == pytest.approx(math.log(2) / (beta * (1 - own - other)))
    assert Excitation(np.ones(2), np.zeros((2, 2, 0)), np.zeros(0)).half_life_s == 0
    assert Excitation(np.ones(2), law.branching * 2, law.beta).half_life_s == math.inf


def test_clustering_that_returns_slowly_is_warned_of():
    """The window is compared with the process: shorter than HALF_LIVES half-lives, and the intervals do not hold."""
    block = {"kernels": [{}], "slowest_half_life_s": 60.0}
    assert drift_warning(block, HALF_LIVES * 60.0) is None
    assert "half-life of 60 in a window of 1799 s" in drift_warning(block, HALF_LIVES * 60.0 - 1)
    assert "no return" in drift_warning({**block, "slowest_half_life_s": None}, 1e6)
    assert drift_warning({"kernels": [], "slowest_half_life_s": 0.0}, 1.0) is None
    orders = [np.sort(np.random.default_rng(side).uniform(0, 3600, 500)) for side in (1, 2)]
    independent = fit_hawkes(ArrivalFlow.of(orders, np.array([[0.0, 3600.0]]))).to_json()
    assert drift_warning(independent, 3600.0) is None


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "warned"), [("regimes", True), ("poisson", False)])
def test_drift_is_named_in_terminal_page_and_json(tmp_path, scenario, warned):
    """Regimes of many minutes in a window of two hours."""
    simulate_day(tmp_path / "data", scenario, hours=2.0, seed=3)
    places = ["--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out"), "--run-id", "R"]
    done = CliRunner().invoke(main, ["calibrate", "--symbol", "SIMUSDT", "--day", "20260105", *places])
    assert not done.exit_code, done.output
    run = tmp_path / "out" / "calibration" / "marks" / "SIMUSDT" / "20260105_R"
    content = json.loads((run / "poisson_fit.json").read_text())
    page = (run / "report.html").read_text()
    assert [DRIFTS in text for text in (done.stdout, page, " ".join(content["warnings"]))] == [warned] * 3
