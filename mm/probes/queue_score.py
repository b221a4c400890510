"""Errors of fill models against true outcomes, each with its interval.

Orders near in time share a market, so intervals are over blocks of time.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.models import (
    FILL_MODELS,
    hybrid,
    price_cross,
    queue_back,
    queue_front,
    queue_prob_log,
    queue_prob_power,
    trade_cross,
)
from mm.base.estimate import Estimate, estimated
from mm.base.numbers import number as quantity
from mm.clock import US_PER_S, iso
from mm.dayfolder.layout import ROW_TRADE
from mm.errors import UsageError
from mm.instrument import E8
from mm.play.models import PAIRS
from mm.play.names import construct, resolve
from mm.play.nested_quotes import listed
from mm.play.nested_quotes import named as pair
from mm.probes.virtual_orders import PLACES, OrderPlan, Outcomes, VirtualOrders, draw_orders, on_exchange_time, play
from mm.tape.order_index import READINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.probes.virtual_orders import Floats

    Bools = NDArray[np.bool_]
    from mm.tape.order_index import Consistency
    from mm.tape.tape import Tape

LEAST_BLOCKS = 5  # that weigh something, for an interval
BLOCK_US = 180 * US_PER_S
BLOCK_LIVES = 2
DEFINITION = (
    "virtual orders of one order step join the end of a queue; the true outcome follows from every order of the log; "
    "an execution counts {where}; intervals are long-run ones over blocks of {block_s:g} s"
)
READING = READINGS[0]
"""The reading that a number has unless it says another."""
WHERE = {"print": "at its own price", "order": "at the price at which its order rested"}
_COLUMNS = ("filled", "wrong", "missed", "invented", "later", "off", "ahead", "ahead off")
_UNITS = ("bias, %", "%", "", "", "s", "s", "bias, %", "rms, %")
EXPONENTS = (0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Score:
    """Comparison of a model's outcomes with the true ones.

    Attributes:
        filled_bias: Model's filled share less the true one.
        wrong: Brier score of the model's 0 and 1.
        time_bias_s: Mean delay of the model's fill, if filled in both.
        ahead_bias, ahead_rmse: Over all checks, as shares of the lots ahead on arrival.
    """

    orders: int
    both: int
    missed: int
    invented: int
    neither: int
    true_filled: Estimate
    filled_bias: Estimate
    wrong: Estimate
    time_bias_s: Estimate
    time_error_s: Estimate
    ahead_bias_lots: tuple[Estimate, ...]
    ahead_rmse_lots: tuple[Estimate, ...]
    ahead_bias: Estimate
    ahead_rmse: Estimate


class OrderBlocks:
    """Ratios of sums over orders, with intervals over blocks of time, since orders of a block share a market."""

    def __init__(self, us: "NDArray[np.int64]", life_us: int) -> None:
        numbers = us // block_length(life_us)
        _, self._block = np.unique(numbers, return_inverse=True)

    def ratio(self, top: "Floats | Bools", bottom: "Floats | Bools") -> Estimate:
        """Both have one or more rows per order."""
        found = estimated(self._sums(top), self._sums(bottom), least=LEAST_BLOCKS)
        return found if found.error else Estimate(found.value)  # blocks that are all equal tell nothing of its error

    def root(self, top: "Floats | Bools", bottom: "Floats | Bools") -> Estimate:
        square = self.ratio(top, bottom)
        if not square.value:
            return Estimate(square.value)
        low, high = (None if end is None else float(np.sqrt(max(end, 0.0))) for end in (square.low, square.high))
        value = float(np.sqrt(square.value))
        return Estimate(value, None if square.error is None else square.error / (2 * value), low, high, square.n)

    def _sums(self, column: "Floats | Bools") -> "Floats":
        rows = column if column.ndim == 1 else column.sum(axis=1)
        return np.bincount(self._block, weights=rows).astype(np.float64)


def block_length(life_us: int) -> int:
    return max(BLOCK_US, BLOCK_LIVES * life_us)


def score(orders: VirtualOrders, truth: Outcomes, model: Outcomes, chosen: "Bools | None" = None) -> Score:
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
    return {name: score(orders, truth, model, orders.place == place) for place, name in PLACES.items()}


def _position_score(
    blocks: OrderBlocks, orders: VirtualOrders, kept: "NDArray[np.intp]", truth: Outcomes, model: Outcomes
) -> dict[str, Any]:
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
        "ahead_rmse_lots": tuple(blocks.root(error[:, check] ** 2, known[:, check]) for check in checks),
        "ahead_bias": blocks.ratio(error, joined),
        "ahead_rmse": blocks.root(error**2, joined**2),
    }


def lines(
    scores: Mapping[str, Score],
    places: Mapping[str, Mapping[str, Score]],
    by_order: Mapping[str, Score] | None = None,
) -> Iterator[str]:
    other = (() if by_order is None else ("filled",), () if by_order is None else ("by order, %",))
    rows: list[tuple[str, ...]] = [("", *_COLUMNS, *other[0]), ("model", *_UNITS, *other[1])]
    rows += [
        (name, *_cells(own), *(() if by_order is None else (stated(by_order[name].filled_bias, 100, "+"),)))
        for name, own in scores.items()
    ]
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


def stated(number: Estimate, times: float, sign: str = "") -> str:
    """± half the 95 % interval, rounded by that."""
    if number.value is None:
        return "–"
    value = number.value * times
    if number.low is None or number.high is None:
        return f"{value:{sign}.3g} ± ?"
    error = (number.high - number.low) / 2 * times
    places = 2 if error < 0.1 else 1
    return f"{value:{sign}.{places}f} ± {error:.{places}f}"


def aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *padded]).rstrip()


def candidates() -> dict[str, Callable[[], object]]:
    powers = {
        f"queue_prob_power {exponent:g}": (lambda exponent=exponent: queue_prob_power(exponent=exponent))
        for exponent in EXPONENTS
    }
    return {
        "trade_cross": trade_cross,
        "trade_cross strict": lambda: trade_cross(strict=True),
        "price_cross": price_cross,
        "queue_back": queue_back,
        "queue_front": queue_front,
        **powers,
        "queue_prob_log": queue_prob_log,
    }


def named(name: str, params: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """A factory of the model; its key includes the parameters, of an object only the name."""
    _fill_model(name, params)  # checks the parameters before anything is played
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    shown = (key if isinstance(params[key], dict) else f"{key} {text}" for key, text in texts.items())
    return {f"{name} {', '.join(shown)}".strip(): lambda: _fill_model(name, params)}


def _fill_model(name: str, params: Mapping[str, Any]) -> object:
    build = resolve(FILL_MODELS, name, "fill model")
    if build is hybrid and "models" in params:
        params = {**params, "models": [_fill_model(*pair(member, PAIRS)) for member in listed(params["models"], PAIRS)]}
    return construct(build, params, "FILL_PARAMS_JSON")


@dataclass(frozen=True, eq=False)
class ScoredDay:
    """A day's virtual orders, true outcomes by reading, and tape on the exchange's clock."""

    orders: VirtualOrders
    truth: dict[str, Outcomes]
    tape: "Tape"

    @property
    def lot(self) -> float:
        """Size of a lot in the base asset."""
        return self.tape.instrument.lot_e8 / E8

    @property
    def consistency(self) -> "Consistency | None":
        return None if self.tape.orders is None else self.tape.orders.consistency


def scored_day(tape: "Tape", log: Path, plan: OrderPlan) -> ScoredDay:
    """Under both readings of the order log; UsageError if the day is too short, BrokenFile if the log is invalid."""
    orders = draw_orders(on_exchange_time(tape, {}), plan)
    if not len(orders):
        raise UsageError(
            "{}: no order of {:g} s fits into {}; give a shorter {queue_life_s}",
            log,
            plan.life_us / US_PER_S,
            "this day" if plan.hours is None else "this day while its market is open",
        )
    moved = on_exchange_time(tape, trade_instants(log))
    truth = {
        reading: play(moved, orders, partial(_fill_model, "queue_orders", {"reading": reading})) for reading in READINGS
    }
    return ScoredDay(orders, truth, moved)


def trade_instants(log: Path) -> dict[int, int]:
    from mm.dayfolder.order_log import OrderLog

    found: dict[int, int] = {}
    for part in OrderLog.open(log).blocks(("kind", "trade_id", "us")):
        trades = part["kind"] == ROW_TRADE
        found.update(zip(part["trade_id"][trades].tolist(), part["us"][trades].tolist(), strict=True))
    return found


def joined_orders(parts: Sequence[VirtualOrders]) -> VirtualOrders:
    us, side, ticks, place, turn = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("us", "side", "ticks", "place", "turn")
    )
    return replace(parts[0], us=us, side=side, ticks=ticks, place=place, turn=turn)


def joined_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("filled_us", "ahead", "sent"))
    return Outcomes(*columns)


@dataclass(frozen=True)
class Bin:
    """Orders for which a model predicts one share of fills: a point of the reliability diagram."""

    by: str
    bin: str
    predicted: float
    observed: float
    ci95: list[float] | None
    n: int


def reliability(orders: VirtualOrders, truth: Outcomes, model: Outcomes, lot: float) -> list[Bin]:
    """*lot* is in the base asset, as the quantities ahead."""
    kept = np.flatnonzero(truth.sent & model.sent)
    us, ahead = orders.us[kept], truth.ahead[kept, 0] if truth.ahead.shape[1] else np.zeros(len(kept))
    hour = us // (3600 * US_PER_S)
    groups: list[tuple[str, str, Bools]] = [
        ("distance", name, orders.place[kept] == place) for place, name in PLACES.items()
    ]
    groups += [("distance", "further", orders.place[kept] > max(PLACES)), ("ahead", "nothing", ahead <= 0)]
    waiting = ahead[ahead > 0]
    edges = np.unique(np.quantile(waiting, [0, 0.25, 0.5, 0.75, 1])) if len(waiting) else np.empty(0)
    for low, high in pairwise(edges.tolist()):
        last = high == edges[-1]
        inside = (ahead >= low) & ((ahead <= high) if last else (ahead < high))
        groups.append(("ahead", f"{quantity(low * lot)} to {quantity(high * lot)}", inside))
    groups += [("hour", iso(int(at) * 3600 * US_PER_S)[:13], hour == at) for at in np.unique(hour).tolist()]
    filled, true = model.filled_us[kept] >= 0, truth.filled_us[kept] >= 0
    bins = []
    for by, name, chosen in groups:
        if not chosen.any():
            continue
        observed = OrderBlocks(us[chosen], orders.life_us).ratio(true[chosen], np.ones(int(chosen.sum())))
        predicted, share = float(filled[chosen].mean()), float(true[chosen].mean())
        ends = None if observed.ends is None else np.clip(observed.ends, 0.0, 1.0).tolist()
        bins.append(Bin(by, name, predicted, share, ends, int(chosen.sum())))
    return bins


def played_by(
    tape: "Tape",
    orders: VirtualOrders,
    models: Mapping[str, Callable[[], object]],
    step: Callable[[int], None] = lambda _count: None,
) -> dict[str, Outcomes]:
    played = {}
    for name, fills in models.items():
        played[name] = play(tape, orders, fills)
        step(1)
    return played
