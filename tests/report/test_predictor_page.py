"""The page of a predictor: each number of its score, and warnings against its use."""

import pytest

from mm.predict.scoring import PNL_HINT
from mm.report.figures import MAIN
from mm.report.frame import About
from mm.report.predictor_page import (
    calibration_figure,
    importance_figure,
    predictor_page,
    warnings,
    windows_figure,
)

BINS = [{"predicted": 0.1 * n, "observed": 0.12 * n, "samples": 300} for n in range(1, 11)]
WINDOWS = [
    {"begin_us": 10**15 + n * 10**9, "end_us": 10**15 + (n + 1) * 10**9, "samples": 600, "difference": value}
    for n, value in enumerate((0.03, -0.01, 0.02, 0.05, 0.01))
]


def content(*, target="adverse", usable=True, ends=(0.006, 0.054), **score):
    full_score = {
        "metric": "r2" if target == "return" else "log_loss",
        "value": 0.56979,
        "baselines": {"constant": 0.63596, "imbalance_1": 0.60005},
        "best_baseline": "imbalance_1",
        "difference": 0.03026,
        "difference_ci95": None if ends is None else list(ends),
        "samples": 3_085,
        "calibration": BINS,
        "importance": {"imbalance_1": 0.1063, "ofi_10s": -0.0055},
        "windows": WINDOWS,
        **score,
    }
    if target != "return":
        full_score["pnl"] = {
            "per": "hour" if target == "fill" else "order",
            "value": 0.0421,
            "baselines": {"constant": -0.0107, "imbalance_1": 0.0316},
            "difference": 0.0105,
            "difference_ci95": [0.002, 0.019],
        }
        full_score["brier"] = {"value": 0.19423, "baselines": {"constant": 0.22177, "imbalance_1": 0.2053}}
    return {
        "target": target,
        "model": "forest",
        "horizon": 10.0,
        "symbol": "<NEXO>",
        "tick": "0.0001",
        "days": ["20240724"],
        "distances_ticks": [0.5, 2.0] if target == "fill" else [],
        "usable": usable,
        "score": full_score,
    }


def test_page_contains_each_number_of_the_score():
    page = predictor_page(content(), About())
    for text in ("0.56979", "0.63596", "0.60005", "0.19423", "+0.03026", "3,085", "20240724", "usable"):
        assert text in page
    assert "<NEXO>" not in page
    assert "&lt;NEXO&gt;" in page


@pytest.mark.parametrize(("target", "per"), [("fill", "hour"), ("adverse", "order")])
def test_log_loss_has_its_money_beside_it(target, per):
    """A column with each one's PnL, the difference with its interval, and what is meant; none in an older file."""
    page = predictor_page(content(target=target), About())
    for text in (f"PnL per {per}", "0.0421", "−0.0107", "0.0316", "+0.0105", PNL_HINT[per]):
        assert text in page
    older = content(target=target)
    del older["score"]["pnl"]
    assert "PnL per" not in predictor_page(older, About())


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (content(usable=False, ends=(-0.01, 0.02)), "Do not use it: it does not beat imbalance_1"),
        (content(usable=False, ends=None), "Do not use it: the time is too short"),
        (content(), "In 1 of 5 windows it was no better than imbalance_1"),
        (
            content(target="return", trading={"trades": 7, "ticks": -3.5}),
            "Trading on its predictions loses money: −3.5 ticks in 7",
        ),
        (content(target="return", trading={"trades": 0, "ticks": 0.0}), "never predicts a move beyond half a spread"),
        (content(target="fill"), "from 0.5 to 2 ticks"),
    ],
)
def test_warnings_state_when_not_to_use_the_predictor(predictor, message):
    assert message in " ".join(warnings(predictor))
    assert "is valid for <NEXO>" in " ".join(warnings(predictor))


def test_calibration_is_compared_with_the_diagonal():
    diagonal, bins = calibration_figure(BINS)["data"]
    assert diagonal["x"] == diagonal["y"]
    assert bins["x"] == [one["predicted"] for one in BINS]
    assert bins["y"] == [one["observed"] for one in BINS]


def test_bars_have_no_colour_without_an_interval():
    (bars,) = windows_figure(WINDOWS)["data"]
    assert bars["y"] == [window["difference"] for window in WINDOWS]
    assert bars["marker"]["color"] == MAIN
    (bars,) = importance_figure({"ofi_10s": -0.0055, "imbalance_1": 0.1063})["data"]
    assert bars["y"] == ["imbalance_1", "ofi_10s"]
    assert bars["marker"]["color"] == MAIN


def test_identical_bins_are_drawn():
    """A constant prediction of a constant outcome has no extent."""
    low, high = calibration_figure([{"predicted": 0.5, "observed": 0.5, "samples": 10}] * 10)["layout"]["xaxis"][
        "range"
    ]
    assert low < 0.5 < high


def test_page_is_drawn_in_a_browser(chrome, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(predictor_page(content(), About()), encoding="utf-8")
    observed = chrome.opened(path)
    assert (observed.errors, observed.requests, observed.charts, observed.overflow) == ([], [], 3, 0)
