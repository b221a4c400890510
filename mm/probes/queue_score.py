"""Errors of fill models against true outcomes, each with a standard error.

Orders near in time have the same market, so their errors are not independent: standard errors are by block bootstrap
over the day.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.models import (
    FILL_MODELS,
    hybrid,
    price_cross,
    queue_prob_log,
    queue_prob_power,
    queue_risk_averse,
    trade_cross,
)
from mm.base.numbers import half_width
from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.play.models import PAIRS
from mm.play.names import construct, resolve
from mm.play.nested_quotes import listed
from mm.play.nested_quotes import named as pair
from mm.probes.order_log import Truth, read_rows
from mm.probes.virtual_orders import PLACES, OrderPlan, Outcomes, VirtualOrders, draw_orders, on_exchange_time, play

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.probes.virtual_orders import Floats

    Bools = NDArray[np.bool_]
    from mm.tape.tape import Tape

LEAST_BLOCKS = 10  # minimum for a standard error
MOST_BLOCKS = 200
BLOCK_LIVES = 2
DRAWS = 400
_COLUMNS = ("filled", "wrong", "missed", "invented", "later", "off", "ahead", "ahead off")
_UNITS = ("bias, %", "%", "", "", "s", "s", "bias, %", "rms, %")
EXPONENTS = (0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Number:
    """A measured number and its standard error; None without enough data."""

    value: float | None
    error: float | None


@dataclass(frozen=True)
class Score:
    """Comparison of a model's outcomes with the true ones.

    Attributes:
        orders: Number of orders that rested both in truth and in the model.
        both, missed, invented, neither: Number of these filled in both, only in truth, only in the model, in neither.
        filled_bias: Share filled in the model less the true one.
        wrong: Share with a wrong outcome in the model: the Brier score of predictions 0 and 1.
        time_bias_s: Mean delay of the model's fill, over orders filled in both.
        time_error_s: Mean absolute value of that.
        ahead_bias_lots: At each check, the model's lots ahead less the true ones, over orders that wait in either.
        ahead_rmse_lots: Root mean square of that.
        ahead_bias, ahead_rmse: The same over all checks, as shares of the lots ahead on arrival.
    """

    orders: int
    both: int
    missed: int
    invented: int
    neither: int
    true_filled: Number
    filled_bias: Number
    wrong: Number
    time_bias_s: Number
    time_error_s: Number
    ahead_bias_lots: tuple[Number, ...]
    ahead_rmse_lots: tuple[Number, ...]
    ahead_bias: Number
    ahead_rmse: Number


class OrderBlocks:
    """Ratios of sums over orders, with standard errors by block bootstrap."""

    def __init__(self, us: "NDArray[np.int64]", life_us: int) -> None:
        span_us = int(us[-1] - us[0]) + 1 if len(us) else 1
        block_us = max(BLOCK_LIVES * life_us, -(-span_us // MOST_BLOCKS))
        self.count = -(-span_us // block_us)
        self._block = (us - us[0]) // block_us if len(us) else us
        self._drawn = np.random.default_rng(0).multinomial(self.count, np.full(self.count, 1 / self.count), DRAWS)

    def ratio(
        self, top: "Floats | Bools", bottom: "Floats | Bools", shape: "Callable[[Floats], Floats] | None" = None
    ) -> Number:
        """Return the sum of *top* over that of *bottom*, or *shape* of it; both have one or more rows per order."""
        tops, bottoms = (self._sums(column) for column in (top, bottom))
        if not bottoms.sum():
            return Number(None, None)
        apply = shape or (lambda ratio: ratio)
        value = float(apply(tops.sum() / bottoms.sum()))
        below = self._drawn @ bottoms
        drawn = apply((self._drawn @ tops)[below > 0] / below[below > 0])
        return Number(value, float(drawn.std()) if self.count >= LEAST_BLOCKS else None)

    def _sums(self, column: "Floats | Bools") -> "Floats":
        rows = column if column.ndim == 1 else column.sum(axis=1)
        return np.bincount(self._block, weights=rows, minlength=self.count).astype(np.float64)


def score(orders: VirtualOrders, truth: Outcomes, model: Outcomes, chosen: "Bools | None" = None) -> Score:
    """Return the errors of *model* against *truth* on the orders that rested in both, or on the *chosen* ones."""
    kept = np.flatnonzero(truth.sent & model.sent & (True if chosen is None else chosen))
    us, true_us, model_us = orders.us[kept], truth.filled_us[kept], model.filled_us[kept]
    true, filled = true_us >= 0, model_us >= 0
    blocks = OrderBlocks(us, orders.life_us)
    every = np.ones(len(kept))
    late_s = np.where(true & filled, model_us - true_us, 0) / US_PER_S
    return Score(
        orders=len(kept),
        both=int((true & filled).sum()),
        missed=int((true & ~filled).sum()),
        invented=int((~true & filled).sum()),
        neither=int((~true & ~filled).sum()),
        true_filled=blocks.ratio(true, every),
        filled_bias=blocks.ratio(filled.astype(float) - true, every),
        wrong=blocks.ratio(filled != true, every),
        time_bias_s=blocks.ratio(late_s, true & filled),
        time_error_s=blocks.ratio(np.abs(late_s), true & filled),
        **_position_score(blocks, orders, kept, truth, model),
    )


def by_place(orders: VirtualOrders, truth: Outcomes, model: Outcomes) -> dict[str, Score]:
    """Return the score of the orders of each place."""
    return {name: score(orders, truth, model, orders.place == place) for place, name in PLACES.items()}


def _position_score(
    blocks: OrderBlocks, orders: VirtualOrders, kept: "NDArray[np.intp]", truth: Outcomes, model: Outcomes
) -> dict[str, Any]:
    """Return the part of the score about queue positions.

    An order counts at a check while it waits in truth or in the model; after its fill nothing is ahead of it.
    """
    checked_us = orders.us[kept][:, None] + np.array(orders.checks_us)
    waits = [
        ((outcomes.filled_us[kept] < 0)[:, None] | (outcomes.filled_us[kept][:, None] > checked_us))
        for outcomes in (truth, model)
    ]
    known = (waits[0] | waits[1]) & ~np.isnan(model.ahead[kept])
    error = np.where(known, model.ahead[kept] - truth.ahead[kept], 0.0)
    joined = np.where(known, truth.ahead[kept][:, :1], 0.0) if error.shape[1] else error
    checks = range(error.shape[1])
    return {
        "ahead_bias_lots": tuple(blocks.ratio(error[:, check], known[:, check]) for check in checks),
        "ahead_rmse_lots": tuple(blocks.ratio(error[:, check] ** 2, known[:, check], np.sqrt) for check in checks),
        "ahead_bias": blocks.ratio(error, joined),
        "ahead_rmse": blocks.ratio(error**2, joined**2, np.sqrt),
    }


def lines(scores: Mapping[str, Score], places: Mapping[str, Mapping[str, Score]]) -> Iterator[str]:
    """Yield the table of all models, and that of the bias of the filled share by place.

    Args:
        scores: Score of each model.
        places: Scores of each model by place.
    """
    rows: list[tuple[str, ...]] = [("", *_COLUMNS), ("model", *_UNITS)]
    rows += [(name, *_cells(own)) for name, own in scores.items()]
    yield from aligned(rows)
    yield ""
    yield "bias of the filled share, %, by joining place"
    first = next(iter(places.values()))
    heads = [f"{name} ({first[name].orders})" for name in PLACES.values()]
    truth = ("truth: filled", *(stated(first[name].true_filled, 100) for name in PLACES.values()))
    rows = [("model", *heads), truth]
    rows += [
        (name, *(stated(score[place].filled_bias, 100, "+") for place in PLACES.values()))
        for name, score in places.items()
    ]
    yield from aligned(rows)


def _cells(own: Score) -> tuple[str, ...]:
    return (
        stated(own.filled_bias, 100, "+"),
        stated(own.wrong, 100),
        str(own.missed),
        str(own.invented),
        stated(own.time_bias_s, 1, "+"),
        stated(own.time_error_s, 1),
        stated(own.ahead_bias, 100, "+"),
        stated(own.ahead_rmse, 100),
    )


def stated(number: Number, times: float, sign: str = "") -> str:
    """Return a number ± half its 95 % interval, rounded by that; ``–`` for none."""
    if number.value is None:
        return "–"
    value = number.value * times
    if number.error is None:
        return f"{value:{sign}.3g} ± ?"
    error = (half_width(number.error) or 0.0) * times
    places = 2 if error < 0.1 else 1
    return f"{value:{sign}.{places}f} ± {error:.{places}f}"


def aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table with the first column left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *padded]).rstrip()


def candidates() -> dict[str, Callable[[], object]]:
    """Return a factory of each compared model, by its name in tables."""
    powers = {
        f"queue_prob_power {exponent:g}": (lambda exponent=exponent: queue_prob_power(exponent=exponent))
        for exponent in EXPONENTS
    }
    return {
        "trade_cross": trade_cross,
        "trade_cross strict": lambda: trade_cross(strict=True),
        "price_cross": price_cross,
        "queue_risk_averse": queue_risk_averse,
        **powers,
        "queue_prob_log": queue_prob_log,
    }


def named(name: str, params: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return a factory of the model *name*; its key includes the parameters, of an object only the name.

    Raises:
        UnknownModel: If there is no such model.
        UsageError: If a parameter is invalid.
    """
    _fill_model(name, params)  # checks the parameters before anything is played
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    shown = (key if isinstance(params[key], dict) else f"{key} {text}" for key, text in texts.items())
    return {f"{name} {', '.join(shown)}".strip(): lambda: _fill_model(name, params)}


def _fill_model(name: str, params: Mapping[str, Any]) -> object:
    build = resolve(FILL_MODELS, name, "fill model")
    if build is hybrid and "models" in params:
        params = {**params, "models": [_fill_model(*pair(member, PAIRS)) for member in listed(params["models"], PAIRS)]}
    return construct(build, params, "FILL_PARAMS_JSON")


def true_outcomes(tape: "Tape", log: Path, plan: OrderPlan) -> "tuple[VirtualOrders, Outcomes, Tape]":
    """Return virtual orders, their true outcomes, and the tape on their clock.

    Args:
        tape: The recorded day.
        log: Its order log.
        plan: Parameters of the orders.

    Raises:
        UsageError: If the day is too short for a single order.
        BrokenFile: If the log is invalid.
    """
    orders = draw_orders(on_exchange_time(tape, {}), plan)
    if not len(orders):
        raise UsageError(
            f"{log}: no order of {plan.life_us / US_PER_S:g} s fits into this day; "
            f"give a shorter --life-s (QUEUE_LIFE_S)"
        )
    truth = Truth(orders)
    truth.play(read_rows(log))
    return orders, truth.outcomes(), on_exchange_time(tape, truth.trade_us)


def played_by(
    tape: "Tape",
    orders: VirtualOrders,
    models: Mapping[str, Callable[[], object]],
    step: Callable[[int], None] = lambda _count: None,
) -> dict[str, Outcomes]:
    """Return the outcomes of *orders* under each model; *step* is called with 1 after each."""
    played = {}
    for name, fills in models.items():
        played[name] = play(tape, orders, fills)
        step(1)
    return played
