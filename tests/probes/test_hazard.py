"""Fit of queue_hazard: recovery of known coefficients, and prediction on a day of long queues."""

import json

import numpy as np
import pytest

from mm.backtest.fills.hazard_fit import FEATURES, read_hazard
from mm.backtest.io import load_day
from mm.backtest.models import queue_hazard, queue_prob_power, trade_cross
from mm.dayfolder.layout import DayFolder
from mm.errors import FitError
from mm.probes.hazard import (
    PrintsAtPrice,
    fill_chance,
    hazard_file,
    hazard_fit,
    held_out_scores,
    logistic,
    parts_of,
    prints_at_price,
    probability,
    unit_of,
)
from mm.probes.queue_score import played_by, true_outcomes
from mm.probes.virtual_orders import OrderPlan, play
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import LargeTick
from mm.sim.flow.session import Session

PLAN = OrderPlan(life_us=10_000_000, checks_us=(0,), passes=24)
MODELS = {"trade_cross": trade_cross, "queue_prob_power": lambda: queue_prob_power(exponent=1.0)}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Return tape, virtual orders, truth and model outcomes of a twelve-minute market with a one-tick spread."""
    folder = DayFolder(tmp_path_factory.mktemp("data"), "LTUSDT", "20260105")
    make_day(folder, LargeTick(), Session("LTUSDT", "20260105", 0.2, 5))
    orders, truth, moved = true_outcomes(load_day(folder.path, cache=None), folder.order_log, PLAN)
    return moved, orders, truth, played_by(moved, orders, MODELS)


def test_logistic_recovers_known_coefficients():
    """100,000 draws: each coefficient within four standard errors, at the maximum of the likelihood."""
    chance = np.random.default_rng(1)
    x = np.column_stack([np.ones(100_000), chance.normal(size=(100_000, 2))])
    b = np.array([-1.0, 0.7, -0.3])
    y = (chance.random(len(x)) < probability(x, b)).astype(float)
    found = logistic(x, y, ridge=0.0)
    p = probability(x, found)
    assert np.abs(x.T @ (y - p)).max() < 1e-2  # the score of the likelihood over 100,000 rows
    errors = np.sqrt(np.diag(np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)))
    assert (np.abs(found - b) < 4 * errors).all()


def test_separable_data_has_finite_fit():
    """Without the ridge the maximum would be at infinity."""
    x = np.column_stack([np.ones(100), np.linspace(-1, 1, 100)])
    b = logistic(x, (x[:, 1] > 0).astype(float))
    assert np.isfinite(b).all()
    assert b[1] > 2


def test_fill_chance_is_product_over_prints():
    """Two prints of ½, none, and a fill proven by the tape."""
    prints = PrintsAtPrice(np.array([0, 0]), np.array([5, 6]), np.zeros((2, 9)), np.array([-1, -1, 7]))
    assert fill_chance(prints, np.zeros(9), 3) == pytest.approx([0.75, 0.0, 1.0])


def test_prints_after_fill_are_ignored():
    """Of eighty orders with three prints each, every second one fills at its second print."""
    filled_us = np.where(np.arange(80) % 2, 20, -1)
    order, us = np.repeat(np.arange(80), 3), np.tile([10, 20, 30], 80)
    x = np.column_stack([np.ones(240), np.zeros((240, 8))])
    b = hazard_fit(PrintsAtPrice(order, us, x, np.full(80, -1)), filled_us, np.ones(80, bool))
    assert probability(x[:1], b)[0] == pytest.approx(40 / (40 * 3 + 40 * 2), rel=1e-4)  # fills over prints at risk
    with pytest.raises(FitError, match="0 of 120 prints filled an order, 20 of each kind are needed"):
        hazard_fit(PrintsAtPrice(order, us, x, np.full(80, -1)), filled_us, np.arange(80) % 2 == 0)


def test_training_orders_end_before_scored_orders(market):
    _, orders, _, _ = market
    for past, scored in parts_of(orders):
        assert orders.us[past].max() + orders.life_us <= orders.us[scored].min()
        assert not (past & scored).any()


def test_queue_hazard_beats_trade_cross_on_long_queues(market):
    """Goal: less than half the Brier score of trade_cross with a one-tick spread, also at arrival."""
    tape, orders, truth, played = market
    scores = held_out_scores(tape, orders, truth, played, "trade_cross")
    for group in ("all", "join"):
        cross, hazard, forecast = (
            scores[group][name] for name in ("trade_cross", "queue_hazard", "forecast at arrival")
        )
        assert hazard.below == pytest.approx(1 - hazard.score / cross.score)
        assert hazard.below > 0.8
        assert forecast.below > 0.5
        assert hazard.low < hazard.below < hazard.high
    assert scores["all"]["constant"].score > scores["all"]["forecast at arrival"].score


def test_model_from_file_fills_as_often_as_predicted(market, tmp_path):
    """The drawn fills of 24 passes agree with the fitted probabilities in the file."""
    tape, orders, truth, played = market
    content = hazard_file(
        tape, orders, truth, held_out_scores(tape, orders, truth, played, "trade_cross"), "trade_cross"
    )
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(content))
    numbers = read_hazard(path, tape.symbol, tape.instrument)
    b = np.array([content["coefficients"][name] for name in FEATURES])
    chance = fill_chance(prints_at_price(tape, orders, unit_of(tape)), b, len(orders))
    drawn = play(tape, orders, lambda: queue_hazard(**numbers, seed=3)).filled_us >= 0
    assert drawn[chance > 0.999].all()
    assert not drawn[chance == 0].any()
    spread = np.sqrt((chance * (1 - chance)).sum())
    assert abs(drawn.sum() - chance.sum()) < 4 * spread
