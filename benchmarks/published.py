"""Numbers of papers, beside what this project measures: each by a simulation whose answer the paper gives.

Rows are the paper's number, ours and its error; an aim is missed where they disagree.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.turns import FINISHED, Measured, Row, at_least, at_most
from mm import DayFolder, Quotes, QuoteView, Rules, Tape
from mm import backtest as play
from mm.backtest.models import cartea_jaimungal, gueant, trade_cross
from mm.instrument import Instrument
from mm.probes.fill_bounds import log_bounds
from mm.probes.virtual_orders import OrderPlan
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session

GRID = Instrument("PAPERUSDT", tick_e8=1_000_000, lot_e8=1_000)
S = 1_000_000
# arXiv 2407.16527: chance of a move of the best prices in a step, each way, and of a fill at the best bid.
MOVE, FILL_IF_DOWN, FILL_ELSE, DRIFT = 0.0173, 0.99, 0.018, -0.483
STEPS = 100_000
# arXiv 2606.01477: phi = gamma·sigma²/2.
GAMMAS, SIGMAS, DECAYS, RATES = (1e-4, 0.01, 0.1), (0.3, 1.0, 4.0), (0.1, 0.3, 1.0), (0.05, 1.0)
HELD, LEFT_S, Q_MAX = (-10, -3, 0, 1, 9), (1.0, 30.0, 600.0), 20
# arXiv 2609.13597: probes of one lot that live 15 s.
LIFE_US, PASSES = 15 * S, 4


class AtTheBid:
    """One lot at the best bid."""

    depth = False

    def quote(self, view: QuoteView) -> Quotes:
        return Quotes(view.bid_ticks, None, 1, None)


def steps(seed: int) -> Iterator[tuple[object, ...]]:
    """A second each: perhaps a print at the best bid, then perhaps a move of both prices by a tick."""
    draws = np.random.default_rng(seed)
    move = draws.choice([-1, 0, 1], STEPS, p=[MOVE, 1 - 2 * MOVE, MOVE])
    filled = draws.random(STEPS) < np.where(move < 0, FILL_IF_DOWN, FILL_ELSE)
    bid = 1_000_000
    yield S, "snapshot", [(bid, 9)], [(bid + 1, 9)]
    for second, (by, hit) in enumerate(zip(move.tolist(), filled.tolist(), strict=True), 1):
        at = (second + 1) * S
        if hit:
            yield at + S * 4 // 10, "trade", -1, bid, 1
        if by:
            bids, asks = [(bid, 0), (bid + by, 9)], [(bid + 1, 0), (bid + 1 + by, 9)]
            yield at + S // 2, "depth", bids, asks
            bid += by


def drift_after_fills() -> tuple[float, float, int]:
    """Return the mean move of the mid within a second after a fill, ticks, its error, and the number of fills."""
    tape = Tape.of(GRID, list(steps(0)))
    rules = Rules(
        GRID.tick_e8, GRID.lot_e8, order_latency_us=0, cancel_latency_us=0, requote_us=S, enforce_balances=False
    )
    summary = play([tape], AtTheBid(), trade_cross(), rules).summary
    tick = GRID.tick_e8 / 1e8
    return summary["adverse_selection"]["1"] / tick, summary["adverse_selection_se"]["1"] / tick, summary["n_fills"]


def largest_difference() -> tuple[float, int]:
    """Return the largest difference of distances between both models over a grid, ticks, and its number of points."""
    largest, points = 0.0, 0
    for gamma, sigma, k, rate in product(GAMMAS, SIGMAS, DECAYS, RATES):
        terms: dict[str, Any] = {"k": k, "A": rate, "q_max": float(Q_MAX), "mode": "exact"}
        utility = gueant(gamma=gamma, sigma=sigma, xi=0.0, **terms)
        penalty = cartea_jaimungal(phi=gamma * sigma**2 / 2, **terms)
        for q, left_s in product(HELD, LEFT_S):
            both = (model.distances(q=q, tau_s=left_s) for model in (utility, penalty))
            largest = max(largest, *(abs(a - b) for a, b in zip(*both, strict=True)))
            points += 1
    return largest, points


def measure(_turns: int) -> Measured:
    """Compare with each paper; the simulations have fixed seeds."""
    drift, error, fills = drift_after_fills()
    FINISHED.append("drift after a fill")
    off, points = largest_difference()
    FINISHED.append("both models' quotes")
    with TemporaryDirectory() as folder:
        day = DayFolder(Path(folder), "SIMUSDT", "20260105")
        make_day(day, SCENARIOS["large_tick"](), Session("SIMUSDT", "20260105", 1.0, 7), lambda _us: None)
        rows = [row for row in log_bounds(day.order_log, OrderPlan(LIFE_US, (), PASSES)) if row.reading == "print"]
    single = rows[0]
    measured = [
        Row("drift after a fill", "ticks", [drift], "2407.16527", [DRIFT], "the next row judges it"),
        Row("from the paper's, errors", "", [abs(drift - DRIFT) / error], aim=at_most(2.0)),
        Row("quotes at phi = gamma·sigma²/2", "ticks", [off], "2606.01477", [0.0], at_most(1e-9)),
        *(
            Row(f"nested probes, {row.book}", "share", [row.nested.value or 0.0], "2609.13597", [1.0], at_least(1.0))
            for row in rows
        ),
        Row("truth inside, each change", "share", [single.inside.value or 0.0], aim=at_least(1.0)),
    ]
    facts = {"fills": fills, "standard error, ticks": round(error, 4), "grid points": points, "probes": single.n_orders}
    notes = [
        "2407.16527: its number follows from its chances, (.018 - .99)·.0173 over (.99·.0173 + .018·.9827)",
        "2606.01477: the largest difference between gueant with xi = 0 and cartea_jaimungal over the grid",
        "2609.13597: front, exponents 1 and 3, and back of every probe, on books made of one simulated log",
    ]
    return Measured(measured, facts, notes)
