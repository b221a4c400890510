"""Tables shared by the tests of the fitter: reference cases and random tables."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from mm.calibration.likelihood import Sample, Table
from support import SHARED

CASES_FILE = SHARED / "reference" / "calibration_cases.json"
shared = pytest.mark.skipif(not CASES_FILE.exists(), reason="needs the reference cases in ../shared")

S1: dict[str, Any] = {
    "inputs": {"delta_ticks": [1, 2, 3, 5, 8], "exposure_s": [1000] * 5, "fills": [62, 45, 38, 22, 9]},
    "poisson_mle": {
        "A": 0.08040666631899265,
        "k": 0.2657801914923122,
        "se_logA": 0.12964272841092642,
        "se_k": 0.0414374325469486,
        "cov_logA_k": 0.004370700260695568,
        "loglik": -13.17176120630829,
        "deviance": 0.257623199664441,
        "pearson_chi2": 0.2567488329433453,
        "df_resid": 3,
        "aic": 30.34352241261658,
        "ci95_k": [0.1875100816108579, 0.3502364119906923],
        "pivot_delta": 2.545454545454546,
        "lambda_at_pivot": 0.04087692368079703,
        "se_log_lambda_at_pivot": 0.07537783614444088,
    },
    "log_linear": {"A": 0.08042298721379301, "k": 0.2655723994049},
    "firth": {"A": 0.08036903499339605, "k": 0.26337423199923693},
}
S2: dict[str, Any] = {
    "inputs": {
        "delta_ticks": [1, 2, 3, 5, 8, 13],
        "exposure_s": [1180.5, 1210.25, 1195.0, 1203.75, 1188.0, 1222.5],
        "fills": [31, 24, 19, 8, 3, 0],
    },
    "poisson_mle": {
        "A": 0.040056158782103495,
        "k": 0.35464075548600654,
        "se_logA": 0.179195467070593,
        "se_k": 0.06062220826819522,
        "cov_logA_k": 0.008647181528542247,
        "loglik": -11.758291432766983,
        "deviance": 1.4953939863243382,
        "pearson_chi2": 1.0227675544164236,
        "df_resid": 4,
        "aic": 27.516582865533966,
        "ci95_k": [0.2454976607094612, 0.48379644911792236],
        "pivot_delta": 2.3529411764705888,
        "lambda_at_pivot": 0.01738892662179484,
        "se_log_lambda_at_pivot": 0.10846522890932808,
    },
    "log_linear": {"A": 0.03819633968581949, "k": 0.33069660272891405},
    "firth": {"A": 0.03978372061823066, "k": 0.3468116340475269},
}


def reference_cases() -> list[dict[str, Any]]:
    """Return the reference cases: S1 to S3 unchanged, S4 as its subcases."""
    cases = json.loads(CASES_FILE.read_text())["cases"] if CASES_FILE.exists() else []
    return [*cases[:3], *(sub for case in cases[3:] for sub in case["subcases"])]


def columns(case: dict[str, Any]) -> dict[str, Any]:
    """Return the three columns of a case."""
    inputs = case.get("inputs", case)
    return {name: inputs[name] for name in ("delta_ticks", "exposure_s", "fills")}


@dataclass(frozen=True)
class Raw:
    """Columns as arrays, and the likelihood written out in full."""

    delta: np.ndarray
    exposure: np.ndarray
    fills: np.ndarray
    width: np.ndarray

    @classmethod
    def of(cls, delta, exposure, fills, width=None):
        delta, exposure, fills = (np.array(column, np.float64) for column in (delta, exposure, fills))
        return cls(delta, exposure, fills, np.full(len(delta), np.inf) if width is None else np.array(width, float))

    @property
    def table(self) -> Table:
        return Table.of(self.delta, self.width, self.exposure, self.fills)

    def gain(self, k):
        beyond = np.where(np.isfinite(self.width), np.exp(-k * np.where(np.isfinite(self.width), self.width, 0)), 0)
        return np.exp(-k * self.delta) * (1 - beyond)

    def loglik(self, log_a, k):
        expected = self.exposure * np.exp(log_a) * self.gain(k)
        return float((self.fills * np.log(expected) - expected).sum())

    def penalised(self, log_a, k, step=1e-5):
        """Return the log-likelihood plus half of ln det of the expected information, by differences."""
        expected = self.exposure * np.exp(log_a) * self.gain(k)
        slope = (np.log(self.gain(k + step)) - np.log(self.gain(k - step))) / (2 * step)
        design = np.stack([np.ones_like(slope), slope], axis=1)
        return self.loglik(log_a, k) + 0.5 * np.log(np.linalg.det(design.T @ (expected[:, None] * design)))


def random_raw(rng: np.random.Generator, *, least_fills: int = 0) -> Raw:
    """Return a random table of plain points, drawn from the model with a random A and k."""
    while True:
        size = int(rng.integers(2, 12))
        delta = np.sort(rng.choice(np.arange(0.5, 40, 0.5), size, replace=False))
        exposure = rng.uniform(10, 5000, size)
        k = rng.uniform(-0.05, 0.6)
        rate = np.exp(rng.uniform(-6, 1)) * np.exp(-k * (delta - delta[0]))
        fills = rng.poisson(exposure * rate).astype(float)
        if fills.sum() >= least_fills:
            return Raw(delta, exposure, fills, np.full(size, np.inf))


_number = st.one_of(
    st.integers(0, 30).map(float), st.floats(-1e300, 1e300), st.floats(0, 50), st.floats(-1e-300, 1e-300)
)
_count = st.one_of(st.integers(0, 100).map(float), st.floats(0, 1e300), st.floats(0, 10))
_seconds = st.one_of(st.just(1000.0), st.floats(5e-324, 1e300), st.floats(0.1, 1e4))
_width = st.one_of(st.just(np.inf), st.just(1.0), st.floats(5e-324, 1e300))


def _rows(width):
    row = st.tuples(_number, _seconds, _count, st.sampled_from([-1, 0, 1]), st.integers(-1, 3), width)
    return st.lists(row, max_size=12).map(lambda rows: [list(column) for column in zip(*rows, strict=True)] or [[]] * 6)


finite_tables = st.one_of(_rows(st.just(np.inf)), _rows(_width))


def sample_of(points):
    """Return the sample of the likelihood of points."""
    return Sample.of(points)
