"""Fits to own fills hold the exponent that a market is known to have; ``own_exponents.py`` says how often."""

import numpy as np
import pytest

from mm.backtest.fills.base import QueueByExponents
from mm.probes.own_orders import OwnOrders, fit_to_orders
from mm.probes.queue_exponent import EXPONENTS
from mm.probes.virtual_orders import manual_exchange
from mm.tape.load import load_day
from own_exponents import MARKETS, full_book, holds
from simulation import simulate_day

S = 1_000_000
LIFE_US = 15 * S
STEP = 1.1 * np.log(EXPONENTS[1] / EXPONENTS[0])


@pytest.mark.slow
@pytest.mark.parametrize(("market", "seed"), [(MARKETS[0], 101), (MARKETS[1], 102)])
def test_interval_has_the_exponent_of_uniform_cancellation(tmp_path, market, seed):
    """An hour each: the book of each change, and a book of 100 ms."""
    fit = market.fit(tmp_path, seed)
    assert fit.usable
    assert holds(fit)


def orders_filled_by(tape, exponent):
    """Return orders at the best prices; each fills at the first print whose middle is beyond the lots ahead of it."""
    draws = np.random.default_rng(0)
    us = np.arange(tape.start_us + 60 * S, tape.end_us - LIFE_US, 2 * S) + draws.integers(0, S)
    side = draws.choice([-1, 1], len(us))
    at = np.searchsorted(tape.event_us[tape.top_event], us, side="right") - 1
    ticks = np.where(side > 0, tape.top_bid_ticks[at], tape.top_ask_ticks[at])
    trade_us, first = tape.event_us[tape.trades], tape.first_row[:-1][tape.trades]
    taker, price, printed = tape.row_side[first], tape.row_ticks[first], tape.row_lots[first]
    due = [(joins, 0, number, 0) for number, joins in enumerate(us.tolist())]
    for number in range(len(us)):
        reaches = (taker == -side[number]) & (side[number] * (ticks[number] - price) >= 0)
        lives = (trade_us > us[number]) & (trade_us <= us[number] + LIFE_US)
        found = np.flatnonzero(reaches & lives)
        due += [
            (us_ - 1, 1, number, lots)
            for us_, lots in zip(trade_us[found].tolist(), printed[found].tolist(), strict=True)
        ]
    queues = QueueByExponents(np.array([exponent]), len(us))
    exchange, ids, known_us = manual_exchange(tape, queues, LIFE_US + 1), {}, us + LIFE_US
    filled = np.zeros(len(us), bool)
    for at_us, is_print, number, lots in sorted(due):
        exchange.advance(at_us)
        if not is_print:
            ids[number] = exchange.place(int(side[number]), int(ticks[number]), tape.step_lots)
        elif not filled[number]:
            waits = exchange.ahead_lots(ids[number]) is not None
            if not waits or queues.ahead_lots(ids[number])[0] * tape.step_lots <= lots / 2:
                filled[number], known_us[number] = True, at_us + 1
    lots, place = np.full(len(us), tape.step_lots), np.zeros(len(us), np.int64)
    names = [f"o{number}" for number in range(len(us))]
    return OwnOrders(us, known_us, us + LIFE_US, side, ticks, lots, place, filled, names)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.5, 3.0])
def test_runs_are_scored_with_the_fit_to_the_others(tmp_path, exponent):
    """Fills made by a known exponent: the fits find it, and score better on the runs left out."""
    day = simulate_day(tmp_path, MARKETS[0].scenario, hours=1, seed=103)
    tape = full_book(load_day(day), day.order_log)
    orders = orders_filled_by(tape, exponent)
    run_of = {name: f"run{number % 3}" for number, name in enumerate(orders.client_id)}
    fit = fit_to_orders([(tape, orders)], run_of, {}, None)
    assert abs(np.log(fit.exponent / exponent)) < STEP  # fills without noise: the likelihood has a kink, no parabola
    held = fit.held_out
    assert set(held.exponents) == {"run0", "run1", "run2"}
    assert all(abs(np.log(found / exponent)) < STEP for found in held.exponents.values())
    errors = {name: one.misses + one.false_fills for name, one in held.models.items()}
    assert errors["fit"] < min(errors["queue_back"], errors["queue_front"])
    scores = {name: one.log_score for name, one in held.models.items()}
    assert scores["fit"] > scores["exponent 1"]
    assert exponent == 3.0 or scores["fit"] > scores["default"]
    assert {one.hits + one.misses for one in held.models.values()} == {held.n_fills}
