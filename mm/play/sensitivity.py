"""The sensitivity (SENSITIVITY): PnL of the same quotes under optimistic and pessimistic assumptions."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.fills.base import QueueOrders, QueueProbPower
from mm.backtest.fills.intensity import Poisson
from mm.backtest.metrics.bounds import BACK, FRONT, PLAYS, BoundPlay, Bounds
from mm.backtest.metrics.pnl import account_of
from mm.backtest.metrics.summary import headline, largest_position, verdict_text
from mm.backtest.models import queue_back, queue_front, queue_orders, queue_prob_power, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.run_terms import QUOTING_OWN_MARKET, quoting_of
from mm.backtest.strategy_info import strategy_of
from mm.base.arithmetic import quantiles
from mm.base.texts import read_text
from mm.base.user_code import USER_ERRORS, one_line
from mm.errors import BrokenFile, Mismatch, UsageError
from mm.tape.columns import MANY_EVENTS, trim_heap
from mm.trials.moves import NO_MOVES, WorstMoves
from mm.trials.own_content import STRESSED

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.result import Result
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

LATENCIES = (0.5, 2.0)
ROLES = ("optimistic", "headline", "pessimistic", "other", STRESSED)
_BOUND = "bound"  # key of a row's `BoundPlay`
_WITH_EXPONENT = "queue_prob_power exponent "

Step = Callable[[int], None]
FurtherRow = tuple[str, float, dict[str, Any] | None]
"""Role, latency factor and numbers of a backtest; None for the numbers of the run itself."""


@dataclass(frozen=True)
class ExponentEstimate:
    """The exponent of ``queue_prob_power`` estimated on a day, with its 95 % interval."""

    exponent: float
    low: float
    high: float
    day: str

    @classmethod
    def read(cls, path: Path, symbol: str) -> "ExponentEstimate":
        try:
            content = json.loads(read_text(path))
            exponent, low, high = (float(content[name]) for name in ("exponent", "low", "high"))
            estimate = cls(exponent, low, high, str(content["day"]))
            other = content["symbol"]
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise BrokenFile(f"{path}: no result of mm fills fit ({error}); run mm fills fit again") from error
        if other != symbol:
            raise Mismatch(f"{path} is for {other}, and the run is of {symbol}; give the exponent of {symbol}")
        return estimate


@dataclass(frozen=True)
class Variants:
    """A run's further backtests, with factories of new models for each replay."""

    tapes: "Sequence[Tape]"
    rules: "Rules"
    quotes: Callable[[], object]
    fills: Callable[[], object]
    intensity: "Intensity | None" = None
    seed: int = 0
    estimate: "ExponentEstimate | None" = None
    moves: WorstMoves = NO_MOVES
    sensitive: bool = True
    bounded: bool = False

    def settings(self) -> "Iterator[tuple[str, object, Rules, float]]":
        own = self.fills()
        if self.bounded:
            if not self.sensitive:
                yield BACK, _another(queue_back(), own), self.rules, 1.0
            yield FRONT, _another(queue_front(), own), self.rules, 1.0
        if not self.sensitive:
            return
        # the pessimistic one first: its index of levels is released again before the files are written
        for role, bound in (("pessimistic", queue_back()), ("optimistic", trade_cross())):
            yield role, _another(bound, own), self.rules, 1.0
        for factor in LATENCIES:
            yield "other", self.fills(), slower(self.rules, factor), factor
        if (otherwise := self._other_feed()) is not None:
            yield "other", self.fills(), otherwise, 1.0
        if self.estimate is not None and type(own) is QueueProbPower and own.exponent != self.estimate.exponent:
            yield "other", queue_prob_power(exponent=self.estimate.exponent), self.rules, 1.0
        if type(own) is not QueueOrders and all(tape.has_orders for tape in self.tapes):
            yield "other", queue_orders(), self.rules, 1.0
        if self.intensity is not None and type(own) is not Poisson:
            yield "other", Poisson(self.intensity, self.seed), self.rules, 1.0

    def _other_feed(self) -> "Rules | None":
        if self.rules.feed_kind != "none":
            return self.rules.without_feed()
        known = not self.rules.decisions and not self.tapes[0].no_feed
        return replace(self.rules, recorded_feed=True) if known else None

    def plays(self) -> int:
        return sum(1 for _, fills, *_ in self.settings() if fills is not None)

    def further(self, step: Step | None = None) -> "list[FurtherRow]":
        rows, own = list[FurtherRow](), self.fills()
        for role, fills, rules, factor in self.settings():
            if sum(map(len, self.tapes)) > MANY_EVENTS:
                trim_heap()
            row = None
            if fills is not None:
                played = backtest(self.tapes, self.quotes(), fills, rules, step=step, keeps_orders=False)
                row = {} if role in PLAYS else _row(played)
                if self.bounded and role in (BACK, FRONT, "pessimistic"):
                    row[_BOUND] = _bound(played)
            if row is not None and rules.feed_kind != self.rules.feed_kind:
                row["feed"] = rules.feed_kind
            if row is not None and isinstance(fills, QueueProbPower) and strategy_of(fills) != strategy_of(own):
                row["fills"] = f"{_WITH_EXPONENT}{fills.exponent:.4g}"
            rows.append((role, factor, row))
        return rows

    def with_rows(self, base: "Result", further: "Sequence[FurtherRow]") -> "Result":
        """The run with its sensitivity and bounds, as far as they were played."""
        if self.bounded:
            own = _bound(base)
            plays = {role: (row or {}).get(_BOUND, own) for role, _, row in further}
            bounds = Bounds(plays.get(BACK, plays.get("pessimistic", own)), own, plays[FRONT])
            base = replace(base, terms=replace(base.terms, bounds=bounds))
        return self.with_sensitivity(base, further) if self.sensitive else base

    def with_sensitivity(self, base: "Result", further: "Sequence[FurtherRow]") -> "Result":
        own = _row(base)
        further = [
            (role, factor, row and {key: value for key, value in row.items() if key != _BOUND})
            for role, factor, row in further
            if role not in PLAYS
        ]
        entries = [("headline", 1.0, own), *((role, factor, row or own) for role, factor, row in further)]
        rows = [
            {"role": _checked(role, row, own), "fills": row["fills"], "latency": factor, "feed": self.rules.feed_kind}
            | row
            for role, factor, row in entries
        ]
        _name_the_worst(rows)
        own_exponent = {} if self.estimate is None else {"queue_exponent": self._exponent(further, own)}
        moves = WorstMoves.worst([self.moves, *map(WorstMoves.measured, self.tapes)])
        rows.append(_stressed_row(base, next(row for row in rows if row["role"] == "headline"), moves))
        rows.sort(key=lambda row: ROLES.index(row["role"]))
        return replace(base, terms=replace(base.terms, sensitivity={"rows": rows, **own_exponent}))

    def _exponent(self, further: "Sequence[FurtherRow]", own: dict[str, Any]) -> dict[str, Any] | None:
        """The played and the estimated exponent, with the PnL at both; None under another fill model."""
        model = self.fills()
        if self.estimate is None or type(model) is not QueueProbPower:
            return None
        estimated = [row for *_, row in further if row and row["fills"].startswith(_WITH_EXPONENT)]
        pnl = {"pnl_quoting": quoting_of(own), "pnl_at_estimate": quoting_of((estimated or [own])[0])}
        return {"played": model.exponent, **asdict(self.estimate), **pnl}


def _stressed_row(base: "Result", row: dict[str, Any], moves: WorstMoves) -> dict[str, Any]:
    """Add one more minute, with the symbol's worst move on record for the run's largest inventory."""
    position = largest_position(account_of(base.journal, base.terms), base.terms)
    value = position["value"]
    less = {name: None if row[name] is None else row[name] - moves.loss(value) for name in ("pnl_quoting", "pnl_total")}
    unknown = dict.fromkeys(("sharpe", "verdict"))
    move = moves.down if value > 0 else moves.up
    return {**row, **unknown, **less, "role": STRESSED, "move": move, "inventory": position["inventory"]}


def again(model: object, shared: Sequence[object] = ()) -> Callable[[], object]:
    """A factory of copies of *model* as it is now, without copying *shared* objects; UsageError if it cannot be
    copied.
    """

    def copied(value: object) -> object:
        return deepcopy(value, {id(kept): kept for kept in shared})

    try:
        return partial(copied, copied(model))
    except USER_ERRORS as error:  # of a user's class
        raise UsageError(
            f"{type(model).__name__} cannot be copied ({one_line(error)}); give its class, or package.module:Class"
        ) from error


def _checked(role: str, row: "Mapping[str, Any]", headline: "Mapping[str, Any]") -> str:
    pnl, own = quoting_of(row), quoting_of(headline)
    if role == "headline" or (role == "optimistic" and pnl is not None and own is not None and pnl >= own):
        return role
    return "other"


def _name_the_worst(rows: "Sequence[dict[str, Any]]") -> None:
    known = [(pnl, row) for row in rows if (pnl := quoting_of(row)) is not None]
    own = next((pnl for pnl, row in known if row["role"] == "headline"), None)
    others = [(pnl, row) for pnl, row in known if row["role"] == "other" and own is not None and pnl <= own]
    if others:
        min(others, key=lambda other: other[0])[1]["role"] = "pessimistic"


def slower(rules: "Rules", factor: float) -> "Rules":
    """Orders and cancels take *factor* times as long; the feed stays unchanged."""
    return replace(
        rules,
        order_latency_us=round(rules.order_latency_us * factor),
        cancel_latency_us=round(rules.cancel_latency_us * factor),
        latencies=None if rules.latencies is None else rules.latencies.times(factor),
        legs={name: slower(leg, factor) for name, leg in rules.legs.items()},
    )


def with_band(result: "Result", others: "Sequence[Result]") -> "Result":
    """The spread of *others*' quoting PnL as ``pnl_band``; random draws are keyed, so only parameters differ."""

    totals = [quoting_of(_row(other)) for other in others]
    pnl = np.array([total for total in totals if total is not None])
    if len(pnl) == 0:
        return result
    low, high = quantiles(pnl, [0.025, 0.975])
    spread = float(pnl.std(ddof=1)) if len(pnl) > 1 else 0.0
    band = {"draws": len(pnl), "mean": float(pnl.mean()), "sd": spread, "low": float(low), "high": float(high)}
    return replace(result, terms=replace(result.terms, pnl_band=band))


def _another(bound: object, own: object) -> object | None:
    """The model, or None if it is the run's own."""
    return None if type(own) is type(bound) and strategy_of(own) == strategy_of(bound) else bound


def _bound(result: "Result") -> BoundPlay:
    return BoundPlay.of(result.journal, result.terms, result.series if result.legs else None)


def _row(result: "Result") -> dict[str, Any]:

    numbers = {"fills": result.terms.fill_model} | headline(result.journal, result.terms)
    if not result.legs or result.series is None:
        return numbers
    series = result.series
    knows = all(leg.terms.knows_next_move for leg in (result, *result.legs.values()))
    whole = {
        "pnl_total": result.pnl_all_legs,
        "pnl_quoting": series.quote(series.quoting[-1]),
        "verdict": verdict_text(series) if knows else None,
    }
    return numbers | whole | {QUOTING_OWN_MARKET: numbers["pnl_quoting"]}
