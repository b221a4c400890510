"""An agent's training days: tapes and rules, and the terms fitted to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.agent_file import AgentTerms
from mm.backtest.rules import Account, Execution, Rules
from mm.calibration.fit_result import PoissonFit
from mm.clock import US_PER_S
from mm.errors import DataError, FitError, Mismatch, NeverSynced, UsageError
from mm.instrument import E8, short_text
from mm.play.given import groups_of
from mm.play.knobs import Models
from mm.play.market import Markets
from mm.play.play import Play
from mm.play.setup import PlayKnobs
from mm.signals.compute import compute
from mm.signals.families import SIGNALS
from mm.tape.load import load_day
from mm.tape.tape import Tape

GROUPS = (Execution, Account, Models)
IDLE = ("quote_model", "quote_params_json", "quote_levels", "level_step_ticks", "fit_draws", "refresh_interval_ms")
"""Knobs of these groups without effect, as the actions are the quotes."""
USUAL_SIGNALS = (
    "imbalance_1",
    "imbalance_5",
    "spread",
    "ofi_10s",
    "trade_imbalance_10s",
    "momentum_10s",
    "realised_volatility_60s",
)


@dataclass(frozen=True)
class EngineKnobs:
    """Knobs of the engine as objects; *seed* is the fill model's, None draws one per episode."""

    execution: Execution
    account: Account
    models: Models
    seed: int | None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "EngineKnobs":
        for name in IDLE:
            if name in settings:
                raise UsageError(f"{name} has no effect here: the actions are the quotes; leave it out")
        execution, account, models = groups_of(GROUPS, settings, "mm.rl.MarketMaking")
        if execution.feed_latency not in ("auto", "none"):
            raise UsageError(
                f"feed_latency is {execution.feed_latency!r}; an agent steps in the order of receipt: leave it out"
            )
        execution = replace(execution, feed_latency="none")
        return cls(execution, account, models, account.seed if "seed" in settings else None)

    @property
    def of_engine(self) -> PlayKnobs:
        return PlayKnobs(execution=self.execution, account=self.account, models=self.models)

    def with_drawn_seed(self) -> "EngineKnobs":
        return replace(self, seed=None)


class TrainingDay:
    def __init__(self, tape: Tape, played: EngineKnobs) -> None:
        self.tape = tape
        self._play = Play.of(played.of_engine, Markets([tape]))
        self.rules: Rules = self._play.market_rules
        if not self._valid.any():
            raise NeverSynced(f"{tape.symbol} {tape.days[0]}: the book never has both sides; leave the day out")

    @cached_property
    def _valid(self) -> NDArray[np.bool_]:
        return np.asarray((self.tape.top_bid_ticks > 0) & (self.tape.top_ask_ticks > 0))

    @cached_property
    def _top_us(self) -> NDArray[np.int64]:
        return self.tape.event_us[self.tape.top_event]

    def valid_from(self, us: int) -> int:
        """The tape's end if the book never has both sides."""
        place = int(np.searchsorted(self._top_us, us, side="right")) - 1
        if place >= 0 and self._valid[place]:
            return us
        later = np.flatnonzero(self._valid[place + 1 :])
        return int(self._top_us[place + 1 + later[0]]) if len(later) else self.tape.end_us

    def half_spread_ticks(self) -> float:
        spread = (self.tape.top_ask_ticks - self.tape.top_bid_ticks)[self._valid]
        return 0.5 * float(spread.mean())

    def usual_queue(self) -> float:
        lots = np.concatenate([self.tape.top_bid_lots[self._valid], self.tape.top_ask_lots[self._valid]])
        return max(float(np.median(lots)), 1.0) * self.tape.instrument.lot_e8 / E8

    def exchange(self, quotes: object, window: Tape, seed: int) -> PaperExchange:
        fills = replace(self._play.models, seed=seed).fills()
        exchange = PaperExchange(quotes, fills, self.rules)
        exchange.attach(window)
        return exchange


def open_days(days: Sequence[Tape | Path | str], played: EngineKnobs, cache: Path | None) -> list[TrainingDay]:
    """Open folders or tapes; raises UsageError or DataError."""
    if isinstance(days, str | Path | Tape):
        days = [days]
    tapes = [day if isinstance(day, Tape) else load_day(Path(day), cache=cache) for day in days]
    if not tapes:
        raise UsageError("days is empty; give the folder of one recorded day at least")
    first = tapes[0]
    for tape in tapes:
        if tape.instrument.tick_e8 != first.instrument.tick_e8:
            raise Mismatch(
                f"{tape.symbol} {tape.days[0]}: the tick is {short_text(tape.instrument.tick_e8)}, the tick of "
                f"{first.symbol} {first.days[0]} is {short_text(first.instrument.tick_e8)}; train on days of one tick"
            )
    return [TrainingDay(tape, played) for tape in tapes]


@dataclass(frozen=True, kw_only=True)
class AgentShape:
    """The chosen terms of an agent; the others are fitted to the training days.

    Attributes:
        step_s: Time between decisions; None: the requote interval.
        max_offset_ticks: Ticks that an offset of 1 adds; None: twice the usual distance, at least 2.
    """

    signals: tuple[str, ...] = USUAL_SIGNALS
    step_s: float | None = None
    episode_s: float = 3600.0
    max_offset_ticks: float | None = None
    q_max: float = 10.0
    discrete: bool = False

    def __post_init__(self) -> None:
        SIGNALS.check(self.signals)
        numbers = {name: getattr(self, name) for name in ("step_s", "episode_s", "max_offset_ticks", "q_max")}
        for name, value in numbers.items():
            if value is not None and not 0.0 < value < 1e9:
                raise UsageError(f"{name} is {value}; it must be above 0")


def fitted_terms(days: Sequence[TrainingDay], shape: AgentShape, fit: PoissonFit | None) -> AgentTerms:
    """Raises UsageError, DataError or FitError.

    *fit* has A and k of earlier days; quotes without offset are then 1/k from the mid, where λ(δ)·δ is largest.
    """
    first, requote_us = days[0], days[0].rules.requote_us
    step_us = requote_us if shape.step_s is None else round(shape.step_s * US_PER_S)
    if step_us % requote_us or step_us == 0:
        raise UsageError(
            "step_s is {}; it must be a whole number of requote intervals ({:g} s, {requote_interval_ms})",
            shape.step_s,
            requote_us / US_PER_S,
        )
    means, scales = _scaling(days, shape.signals)
    distance = None if fit is None else _distance(fit)
    usual = float(np.mean([day.half_spread_ticks() for day in days])) + 1.0 if distance is None else distance
    return AgentTerms(
        symbol=first.tape.symbol,
        tick_e8=first.tape.instrument.tick_e8,
        signals=shape.signals,
        means=means,
        scales=scales,
        step_s=step_us / US_PER_S,
        episode_s=shape.episode_s,
        max_offset_ticks=max(2.0, float(round(2.0 * usual)))
        if shape.max_offset_ticks is None
        else shape.max_offset_ticks,
        distance_ticks=distance,
        q_max=shape.q_max,
        usual_distance_ticks=usual,
        usual_queue=float(np.median([day.usual_queue() for day in days])),
        discrete=shape.discrete,
    )


def _distance(fit: PoissonFit) -> float:
    if not fit.usable or fit.k is None:
        raise FitError(f"the fit of {fit.symbol} {fit.day} is not usable ({fit.status}); leave it out, or fit longer")
    return 1.0 / fit.k  # k is the same from every reference price


def _scaling(days: Sequence[TrainingDay], signals: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count, total, squares = np.zeros((3, len(signals)))
    for day in days:
        for rows in compute(day.tape, signals):
            count += np.count_nonzero(~np.isnan(rows.values), axis=1)
            total += np.nansum(rows.values, axis=1)
            squares += np.nansum(rows.values**2, axis=1)
    for name, defined in zip(signals, count, strict=True):
        if not defined:
            raise DataError(f"signal {name} is never defined on {len(days)} days; leave it out, or add longer days")
    means = total / count
    spread = np.sqrt(np.maximum(squares / count - means**2, 0.0))
    spread[spread <= 1e-12 * np.abs(means)] = 1.0  # constant signal
    return tuple(means.tolist()), tuple(spread.tolist())
