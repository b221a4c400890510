"""Fit of ``queue_hazard``, a forecast at arrival, and Brier scores out of sample.

Each print at the price of a virtual order either reaches it or not, by the order log. The fit is
a logistic regression on those prints, up to the one that fills (a hazard in discrete time), with a small ridge, by
iteratively reweighted least squares. The probability that an order fills in its life is 1 if the tape proves it (a
print beyond its price, or the other side's best price at it), else 1 - Π(1 - p) over its prints.

The forecast uses only data known when the order joins, as available to a quote model: for each action (improve, join,
stay back) a logistic regression of "fills in its life" on queue, imbalance, spread and the best prices' lots. Fill
models also use the prints that follow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.fills.base import QueueHazard
from mm.backtest.fills.hazard_fit import FEATURES, KIND, digest_of
from mm.backtest.journal import ACTIONS
from mm.errors import FitError
from mm.instrument import short_text
from mm.probes.queue_score import Blocks, aligned
from mm.probes.virtual_orders import Outcomes, VirtualOrders, manual_exchange, place_orders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

EXPONENT = 1.0
RIDGE = 1.0
MOST_STEPS = 100
LEAST_FILLS = 20
PARTS = 4
ACTIONS_TAKEN = {"improve": (-1,), "join": (0,), "stay back": (1, 2)}
"""Places of virtual orders by action."""


def logistic(x: "Floats", y: "Floats", ridge: float = RIDGE) -> "Floats":
    """Return the coefficients of a logistic regression, float64[k]; the first column is 1 and has no ridge penalty.

    Raises:
        FitError: If it does not converge.
    """
    shrink = np.full(x.shape[1], ridge)
    shrink[0] = 1e-6
    b = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        p = probability(x, b)
        gradient = x.T @ (y - p) - shrink * b
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(shrink)
        step = np.linalg.solve(curvature, gradient)
        b += step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))  # at most 4 per step in any coefficient
        if float(np.abs(step).max()) < 1e-9:
            return b
    raise FitError(f"logistic regression of {len(y)} rows: no convergence in {MOST_STEPS} steps; give a longer day")


def probability(x: "Floats", b: "Floats") -> "Floats":
    """Return 1/(1 + exp(-x·b))."""
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(x @ b, -500, 500)))
    return chance


@dataclass(frozen=True, eq=False)
class PrintsAtPrice:
    """Prints at the prices of virtual orders, as columns.

    Attributes:
        order: Index of the order.
        us: Instant.
        x: `FEATURES`, float64[n, 9].
        proved_us: Per order, the instant at which the tape proves its fill, -1 for none.
    """

    order: "Ints"
    us: "Ints"
    x: "Floats"
    proved_us: "Ints"

    def before(self, end_us: "Ints") -> "Bools":
        """Return which prints are at or before *end_us* of their order; -1: no end."""
        end = end_us[self.order]
        kept: Bools = (end < 0) | (self.us <= end)
        return kept


def prints_at_price(tape: "Tape", orders: VirtualOrders, unit_lots: float) -> PrintsAtPrice:
    """Return the prints at the prices of *orders* on *tape*, which is on the clock of the orders."""
    rows: list[tuple[int, int, tuple[float, ...]]] = []
    proved_us = np.full(len(orders), -1, np.int64)
    for turn in np.unique(orders.turn).tolist():
        model = QueueHazard(coefficients=[0.0] * len(FEATURES), exponent=EXPONENT, unit_lots=unit_lots / tape.step_lots)
        watched = model.watch()
        exchange = manual_exchange(tape, model, orders.life_us)
        ahead = np.zeros((len(orders), len(orders.checks_us)))
        number_of = place_orders(exchange, orders, np.flatnonzero(orders.turn == turn).tolist(), ahead)
        rows += [(number_of[order], us, x) for order, us, x in watched]
        for us, order, action in exchange.journal().orders[:, :3].tolist():
            if ACTIONS[action] == "FILL":
                proved_us[number_of[order]] = us
    order = np.array([row[0] for row in rows], np.int64)
    us = np.array([row[1] for row in rows], np.int64)
    x = np.array([row[2] for row in rows], np.float64).reshape(-1, len(FEATURES))
    kept = np.lexsort((np.arange(len(order)), order))
    return PrintsAtPrice(order[kept], us[kept], x[kept], proved_us)


def hazard_fit(prints: PrintsAtPrice, filled_us: "Ints", chosen: "Bools") -> "Floats":
    """Return the coefficients fitted to the prints of the *chosen* orders, up to the fill of each.

    Raises:
        FitError: If fewer than `LEAST_FILLS` of them filled at a print.
    """
    kept = np.flatnonzero(chosen[prints.order] & prints.before(filled_us))
    order, us = prints.order[kept], prints.us[kept]
    last = np.append(order[1:] != order[:-1], True) if len(order) else np.zeros(0, bool)
    fills = last & (us == filled_us[order])  # the last of several prints at one instant
    if fills.sum() < LEAST_FILLS or (~fills).sum() < LEAST_FILLS:
        raise FitError(
            f"{int(fills.sum())} of {len(fills)} prints filled an order, {LEAST_FILLS} of each kind are needed; give a "
            f"longer day, or more --passes (QUEUE_PASSES)"
        )
    return logistic(prints.x[kept], fills.astype(np.float64))


def fill_chance(prints: PrintsAtPrice, b: "Floats", count: int) -> "Floats":
    """Return the fill probability of each of *count* orders within its life."""
    log_survival = np.log1p(-np.minimum(probability(prints.x, b), 1 - 1e-12))
    chance: Floats = -np.expm1(np.bincount(prints.order, weights=log_survival, minlength=count))
    return np.where(prints.proved_us >= 0, 1.0, chance)


def arrival_features(tape: "Tape", orders: VirtualOrders, ahead: "Floats", unit_lots: float) -> "Floats":
    """Return the features known when each order joins, float64[n, 7]: queue, imbalance, spread, lots.

    Args:
        tape: The market, on the clock of the orders.
        orders: The orders.
        ahead: Lots ahead of each on arrival.
        unit_lots: Typical size of a print, in lots.
    """
    at = np.searchsorted(tape.event_us[tape.top_event], orders.us, side="right") - 1
    buys = orders.side > 0
    own = np.where(buys, tape.top_bid_lots[at], tape.top_ask_lots[at]).astype(np.float64)
    other = np.where(buys, tape.top_ask_lots[at], tape.top_bid_lots[at]).astype(np.float64)
    spread = np.maximum(tape.top_ask_ticks[at] - tape.top_bid_ticks[at], 1)
    columns = (
        np.ones(len(orders)),
        np.log1p(ahead / unit_lots),
        (own - other) / np.maximum(own + other, 1.0),
        np.log(spread),
        np.log1p(own / unit_lots),
        np.log1p(other / unit_lots),
        np.maximum(orders.place - 1, 0),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def forecast(x: "Floats", orders: VirtualOrders, y: "Floats", past: "Bools", then: "Bools") -> "Floats":
    """Return the fill probability at arrival of the orders *then*, fitted on those of the *past*; NaN for others."""
    chance = np.full(len(orders), np.nan)
    for places in ACTIONS_TAKEN.values():
        here = np.isin(orders.place, places)
        fit, use = here & past, here & then
        if not fit.any() or not use.any():
            chance[use] = y[past].mean()
            continue
        chance[use] = probability(x[use], logistic(x[fit], y[fit]))
    return chance


@dataclass(frozen=True)
class Brier:
    """Out-of-sample Brier score of a model.

    Attributes:
        orders: Number of orders.
        score: Mean square of probability less outcome.
        below: Relative reduction from the reference's score; None if that is 0.
        low, high: 95 % interval of *below*, by a block bootstrap over the day; None with too few blocks.
    """

    orders: int
    score: float
    below: float | None
    low: float | None
    high: float | None


def parts_of(orders: VirtualOrders) -> "list[tuple[Bools, Bools]]":
    """Return past orders and those of the next part, for each part of the time but the first.

    An order whose life overlaps the start of the part belongs to neither.
    """
    cuts = np.linspace(orders.us[0], orders.us[-1] + 1, PARTS + 1)
    return [
        (orders.us + orders.life_us <= begin, (orders.us >= begin) & (orders.us < end))
        for begin, end in list(pairwise(cuts))[1:]
    ]


def held_out_scores(
    tape: "Tape", orders: VirtualOrders, truth: Outcomes, played: Mapping[str, Outcomes], reference: str
) -> dict[str, dict[str, Brier]]:
    """Return the out-of-sample Brier scores of all models, by place.

    Args:
        tape: The market, on the clock of the orders.
        orders: The orders.
        truth: Their true outcomes.
        played: Their outcomes under fill models: probabilities 0 and 1.
        reference: The model in *played* to compare with.

    Raises:
        FitError: If the first part of the time has too few fills.
    """
    y = (truth.filled_us >= 0).astype(np.float64)
    chances = {name: (own.filled_us >= 0).astype(np.float64) for name, own in played.items()}
    rested = truth.sent & np.logical_and.reduce([own.sent for own in played.values()])
    unit = unit_of(tape)
    prints = prints_at_price(tape, orders, unit)
    queue = next(own for own in played.values() if not np.isnan(own.ahead).all())
    x = arrival_features(tape, orders, queue.ahead[:, 0], unit)
    fitted = {name: np.full(len(orders), np.nan) for name in (KIND, "forecast at arrival", "constant")}
    for before, then in parts_of(orders):
        past = before & rested
        fitted[KIND][then] = fill_chance(prints, hazard_fit(prints, truth.filled_us, past), len(orders))[then]
        fitted["forecast at arrival"][then] = forecast(x, orders, y, past, then)[then]
        fitted["constant"][then] = y[past].mean()
    chances |= fitted
    kept = rested & ~np.isnan(fitted["constant"])
    groups = {"all": kept, **{name: kept & np.isin(orders.place, at) for name, at in ACTIONS_TAKEN.items()}}
    return {
        group: {name: _brier(orders, chance, chances[reference], y, here) for name, chance in chances.items()}
        for group, here in groups.items()
        if here.any()
    }


def _brier(orders: VirtualOrders, chance: "Floats", reference: "Floats", y: "Floats", here: "Bools") -> Brier:
    error, other = ((column[here] - y[here]) ** 2 for column in (chance, reference))
    blocks = Blocks(orders.us[here], orders.life_us)
    below = blocks.ratio(error, other, lambda ratio: 1.0 - ratio)
    low, high = blocks.interval(error, other, lambda ratio: 1.0 - ratio)
    return Brier(int(here.sum()), float(error.mean()), below.value, low, high)


def unit_of(tape: "Tape") -> float:
    """Return the median print in lots, the unit of quantities; 1 without prints."""
    lots = tape.row_lots[tape.first_row[:-1][tape.trades]]
    return float(np.median(lots)) if len(lots) else 1.0


def hazard_file(
    tape: "Tape", orders: VirtualOrders, truth: Outcomes, scores: Mapping[str, Mapping[str, Brier]], reference: str
) -> dict[str, Any]:
    """Return the fit of all *orders* as the content of its file."""
    unit = unit_of(tape)
    prints = prints_at_price(tape, orders, unit)
    b = hazard_fit(prints, truth.filled_us, truth.sent)
    every = scores["all"]
    content = {
        "schema_version": 1,
        "kind": KIND,
        "symbol": tape.symbol,
        "day": tape.days[0],
        "tick_size": short_text(tape.instrument.tick_e8),
        "coefficients": dict(zip(FEATURES, b.tolist(), strict=True)),
        "exponent": EXPONENT,
        "unit_qty_e8": round(unit * tape.instrument.lot_e8),
        "n_orders": int(truth.sent.sum()),
        "n_prints": len(prints.us),
        "n_fills": int((truth.filled_us >= 0).sum()),
        "life_s": orders.life_us / 1e6,
        "brier": every[KIND].score,
        "brier_below": {"model": reference, "share": every[KIND].below, "ci95": [every[KIND].low, every[KIND].high]},
    }
    return {**content, "digest": digest_of(content)}


def brier_lines(scores: Mapping[str, Mapping[str, Brier]], reference: str, why_not: str | None = None) -> Iterator[str]:
    """Yield the table of out-of-sample Brier scores; without it the reason *why_not*."""
    if why_not is not None:
        yield f"no out-of-sample Brier scores: {why_not}"
        return
    yield f"Out-of-sample Brier score, and reduction relative to {reference}, % (95 % interval)"
    heads = [f"{group} ({next(iter(of.values())).orders})" for group, of in scores.items()]
    names = next(iter(scores.values()))
    rows = [
        ("model", *heads),
        *((name, *(_cell(of[name], name == reference) for of in scores.values())) for name in names),
    ]
    yield from aligned(rows)


def _cell(own: Brier, is_reference: bool) -> str:
    if is_reference or own.below is None:
        return f"{own.score:.4f}"
    interval = "" if own.low is None or own.high is None else f" ({100 * own.low:.0f} to {100 * own.high:.0f})"
    return f"{own.score:.4f} {100 * own.below:.0f}{interval}"
