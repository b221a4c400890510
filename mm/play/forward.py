"""``mm.walkforward``: calibrates rolling windows of days, and trades each segment with the fit before it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, Unpack, overload

from mm.backtest.account_limits import AccountBounds, AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.models import avellaneda_stoikov, queue_prob_power
from mm.backtest.one_account import AccountMarket, backtest_account
from mm.backtest.quotes.steps import Gated
from mm.backtest.replay import backtest
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution, Rules
from mm.base.knobs import knobs
from mm.calibration.config import CalibrationConfig, FillsMeasured
from mm.calibration.intensities import intensity_of, measured_intensity
from mm.calibration.reference import AUTO
from mm.calibration.schedule import Schedule, calibrator_of, schedule_by
from mm.calibration.windows import Fallback, WindowPlan
from mm.errors import UsageError
from mm.play.account_play import AccountPlay
from mm.play.calibration import calibration_config, fallback_of, plan_of, unfitted
from mm.play.calibration_knobs import Fit, PlayedCalibration, Windows
from mm.play.design import Design, recorded, recorded_account
from mm.play.given import groups_of
from mm.play.here import with_names
from mm.play.knobs import Models, Sensitivity
from mm.play.market import Markets
from mm.play.models import check_names
from mm.play.play import Play
from mm.play.python import as_on_record, check_of_account, of_symbol, of_symbols, refuse_of_account, run_play
from mm.play.setup import PlayKnobs
from mm.tape.load import tapes_given
from mm.tape.tape import Tape
from mm.trials.on_record import Recording
from mm.trials.openings import PYTHON, check_openings, write_openings
from mm.walkforward.walkforward import WalkForward

if TYPE_CHECKING:
    from mm import _WalkForwardKnobs
    from mm.backtest.account_result import AccountResult
    from mm.backtest.fills.intensity import Intensity
    from mm.play.strategy_types import StrategyOrName

GROUPS: tuple[type, ...] = (
    *(PlayedCalibration, Fit, Windows, Execution, Account, Margin, Models, Risk, Sensitivity, AccountTerms),
)
"""The knobs of a walk-forward of given tapes."""
MakesModels = Callable[[Schedule], tuple[object, object]]
Step = Callable[[int], None]


@overload
def walkforward(
    tape: "Tape | Sequence[Tape]",
    rules: "Rules",
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    models: MakesModels | None = None,
    *,
    out_root: "str | os.PathLike[str] | None" = None,
) -> WalkForward: ...
@overload
def walkforward(
    tape: "Tape | Sequence[Tape]",
    quotes: "StrategyOrName | None" = None,
    /,
    *,
    fills: object = None,
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    others: Mapping[str, Any] | None = None,
    step: Step | None = None,
    out_root: "str | os.PathLike[str] | None" = None,
    **settings: Unpack["_WalkForwardKnobs"],
) -> WalkForward: ...
@overload
def walkforward(
    tape: "Sequence[Tape]",
    rules: "Rules | Mapping[str, Rules]",
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    models: MakesModels | None = None,
    *,
    one_account: Literal[True],
    bounds: AccountBounds | None = None,
    out_root: "str | os.PathLike[str] | None" = None,
) -> "AccountWalkForward": ...
@overload
def walkforward(
    tape: "Sequence[Tape]",
    quotes: "StrategyOrName | Mapping[str, StrategyOrName] | None" = None,
    /,
    *,
    one_account: Literal[True],
    per_symbol: Mapping[str, Mapping[str, Any]] | None = None,
    fills: object = None,
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    step: Step | None = None,
    **settings: Unpack["_WalkForwardKnobs"],
) -> "AccountWalkForward": ...
def walkforward(  # noqa: PLR0913 - arguments that no knob can express
    tape: "Tape | Sequence[Tape]",
    rules: "Rules | Mapping[str, Rules] | StrategyOrName | Mapping[str, StrategyOrName] | None" = None,
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    models: MakesModels | None = None,
    *,
    one_account: bool = False,
    per_symbol: Mapping[str, Mapping[str, Any]] | None = None,
    bounds: AccountBounds | int | None = None,
    fills: object = None,
    others: Mapping[str, Any] | None = None,
    step: Step | None = None,
    out_root: "str | os.PathLike[str] | None" = None,
    **settings: Any,
) -> "WalkForward | AccountWalkForward":
    """Calibrate rolling windows of a tape, and trade each segment with the parameters available before it.

    ``mm.walkforward(tape, Strategy, wf_step_min=15, maker_fee_rate=0)`` takes models and knobs as `mm.backtest` does,
    and those of calibration and windows; its numbers are those of ``mm walkforward``. With `Rules`, in the engine's own
    units, the other arguments have this meaning:

    Args:
        tape: One day, or days in order of time.
        rules: The strategy (a name, a class, an object, or a pair with parameters; None is the default), or rules of
            our orders; their latency separates training window and segment.
        config: None is the knobs'; with rules ``fixed`` orders under the default fill model, or, with your own
            *models*, ``marks`` from the reference price that predicts best in the first training window.
        plan: The windows; None is 120 minutes every 15.
        fallback: Used for a window without a usable fit; None carries the last one.
        models: Quote and fill model of a schedule; None is Avellaneda-Stoikov under the default fill model,
            ``queue_prob_power``.
        one_account: Whether tapes of several symbols trade on the balances of one account, each by its own schedule;
            *rules* are then for all symbols or by symbol, and begin with the account's cash; without rules, models are
            names or classes for all symbols, or by symbol.
        per_symbol: Knobs of single symbols of the account, by symbol and field name, without rules.
        bounds: Limits over all symbols of an account; without rules the knob of `mm.backtest`, a bool.
        fills: Fill model in the forms of `mm.backtest`.
        others: Other markets that the strategy sees, as for `mm.backtest`.
        step: Called with the µs of tape replayed since the last call, for a progress bar.
        settings: Knobs of ``mm walkforward`` by field name, without rules.
        out_root: Folder of results with the ledger of trials, as for `mm.backtest`.

    Raises:
        FitError: If no segment is usable.
        UsageError: If a day that is held out was opened without an *out_root*.
    """
    asked = _Asked(config, plan, fallback, models, out_root)
    if not (isinstance(rules, Rules) or _is_by_symbol(rules)):
        if isinstance(bounds, AccountBounds) or models is not None:
            raise UsageError(
                "bounds of an account and models go with rules; give rules, or knobs such as account_max_notional "
                "without them"
            )
        settings |= {} if bounds is None else {"bounds": bounds}
        given = _Given(rules, fills, others or {}, settings)
        if one_account:
            return _account_by_knobs(tape, asked, given, per_symbol or {}, step)
        refuse_of_account(settings, per_symbol)
        fitted = _fitted(tapes_given(tape, "walkforward"), asked, given)
        return WalkForward(fitted.schedule, run_play(fitted.play, out_root, step))
    objects = {"fills": fills, "others": others, "per_symbol": per_symbol}
    if names := [*settings, *(name for name, value in objects.items() if value is not None)]:
        raise UsageError(f"rules set every term, so {', '.join(names)} would have no effect; give rules or knobs")
    if isinstance(bounds, int):
        raise UsageError("bounds=True or False is a knob; with rules, play back and front as fill models of your own")
    if one_account:
        return _account(tape, rules, asked, bounds or AccountBounds())
    if isinstance(rules, Mapping) or bounds is not None:
        raise UsageError("rules by symbol and bounds are of an account; give one_account=True with them")
    part = asked.part(tapes_given(tape, "walkforward"), rules)
    result = backtest(part.tapes, part.quotes, part.fills, rules, intensity=part.predicted)
    if part.recording is not None and part.design is not None:
        result = recorded(result, part.design, part.recording)
    return WalkForward(part.schedule, result)


def _is_by_symbol(rules: object) -> "TypeGuard[Mapping[str, Rules]]":
    return isinstance(rules, Mapping) and all(isinstance(own, Rules) for own in rules.values())


@dataclass(frozen=True)
class _Given:
    quotes: object
    fills: object
    others: Mapping[str, Any]
    settings: Mapping[str, Any]

    def of(self, symbol: str, own: Mapping[str, Any]) -> "_Given":
        quotes, fills = of_symbol(self.quotes, symbol, "quotes"), of_symbol(self.fills, symbol, "fills")
        return _Given(quotes, fills, {}, {**self.settings, **own})


@dataclass(frozen=True)
class _Fitted:
    play: Play
    schedule: Schedule
    limits: AccountTerms


def _fitted(tapes: "tuple[Tape, ...]", asked: "_Asked", given: _Given) -> _Fitted:
    """Do what ``mm walkforward`` does before it plays, without a run."""
    out_root = asked.out_root
    groups = groups_of(GROUPS, with_names(given.quotes, given.fills, given.settings), "mm.walkforward")
    calibration, fit, windows, execution, account, margin, models, risk, sensitivity, limits = groups
    check_names(models)
    values = {knob.name: getattr(group, knob.name) for group in groups for knob in knobs(type(group))}
    calibration = replace(calibration, **PlayedCalibration.resolved(values))
    check_openings(tapes, out_root)
    if out_root is not None:
        sensitivity = as_on_record(sensitivity, tapes, Path(out_root), models.fill_model)
    played = PlayKnobs(execution=execution, account=account, margin=margin, models=unfitted(models), risk=risk)
    play = Play.of(played, Markets.given(tapes, given.others), sensitivity=sensitivity)
    rules = replace(play.market_rules, others={}, legs={})
    config = asked.config or calibration_config(calibration, fit, account.seed, tapes[0])
    plan = asked.plan or plan_of(windows, execution, models)
    fallback = asked.fallback or fallback_of(windows, models, tapes)
    schedule = schedule_by(calibrator_of(tapes, plan, config, rules)[0], plan, fallback)
    return _Fitted(play.with_fit(schedule), schedule, limits)


def _account_by_knobs(
    tapes: "Tape | Sequence[Tape]",
    asked: "_Asked",
    given: _Given,
    per_symbol: Mapping[str, Mapping[str, Any]],
    step: Step | None,
) -> "AccountWalkForward":
    of_one = {name: given.settings.get(name) for name in ("sensitivity", "bounds")}
    check_of_account({"others": given.others, "out_root": asked.out_root, **of_one})
    fitted = {
        symbol: _fitted(tapes_given(days, "walkforward"), asked, given.of(symbol, per_symbol.get(symbol, {})))
        for symbol, days in of_symbols(tapes, per_symbol).items()
    }
    limits = next(iter(fitted.values())).limits
    result = AccountPlay.of({symbol: one.play for symbol, one in fitted.items()}, limits).run(step)
    return AccountWalkForward({symbol: one.schedule for symbol, one in fitted.items()}, result)


@dataclass(frozen=True)
class _Asked:
    config: CalibrationConfig | None
    plan: WindowPlan | None
    fallback: Fallback | None
    models: MakesModels | None
    out_root: "str | os.PathLike[str] | None"

    def recording(self) -> Recording | None:
        return None if self.out_root is None else Recording(Path(self.out_root), PYTHON)

    def part(self, tapes: "tuple[Tape, ...]", rules: "Rules") -> "_Part":
        config, plan = self.config, self.plan or WindowPlan(latency_us=rules.order_latency_us)
        check_openings(tapes, self.out_root)
        if config is None and self.models is None:
            fills = FillsMeasured("queue_prob_power", {}, queue_prob_power)
            config = CalibrationConfig(method="fixed", reference=AUTO, fills=fills)
        recording = self.recording()
        if recording is not None:  # a fit that fails has seen them, too
            recording.problems += write_openings(recording.ledger.out_root, tapes, recording.made_by)
        schedule = schedule_by(calibrator_of(tapes, plan, config, rules)[0], plan, self.fallback)
        quotes, filling = (self.models or _default_models)(schedule)
        measured = None if self.models else measured_intensity(schedule)
        predicted = measured or intensity_of(schedule, source="the schedule")
        design = None if recording is None else Design.of_objects(rules, schedule, quotes, filling)
        return _Part(tapes, schedule, quotes, filling, predicted, recording, design)


@dataclass(frozen=True)
class _Part:
    tapes: "tuple[Tape, ...]"
    schedule: Schedule
    quotes: object
    fills: object
    predicted: "Intensity"
    recording: Recording | None
    design: Design | None


@dataclass(frozen=True)
class AccountWalkForward:
    """A finished walk-forward of several symbols on one account; each of *schedules* is one symbol's."""

    schedules: Mapping[str, Schedule]
    result: "AccountResult"

    def __str__(self) -> str:
        return str(self.result)


def _account(
    tapes: "Tape | Sequence[Tape]", rules: "Rules | Mapping[str, Rules]", asked: _Asked, bounds: AccountBounds
) -> AccountWalkForward:
    by_symbol = of_symbols(tapes)
    own = rules if isinstance(rules, Mapping) else dict.fromkeys(by_symbol, rules)
    if lacking := [symbol for symbol in by_symbol if symbol not in own]:
        raise UsageError(f"rules has none of {', '.join(lacking)}; give rules of each symbol")
    if len(cash := {own[symbol].start_cash_e8 for symbol in by_symbol}) > 1:
        raise UsageError("the rules begin with different cash; one account has one for all its symbols")
    parts = {symbol: asked.part(tapes_given(days, "walkforward"), own[symbol]) for symbol, days in by_symbol.items()}
    markets = {
        symbol: AccountMarket(part.tapes, part.quotes, part.fills, own[symbol], part.predicted)
        for symbol, part in parts.items()
    }
    result = backtest_account(markets, cash.pop(), bounds)
    designs = {symbol: part.design for symbol, part in parts.items() if part.design is not None}
    if designs:
        result = recorded_account(result, designs, bounds, lambda: Recording(Path(str(asked.out_root)), PYTHON))
    return AccountWalkForward({symbol: part.schedule for symbol, part in parts.items()}, result)


def _default_models(schedule: Schedule) -> tuple[object, object]:
    intensity = intensity_of(schedule, source="the schedule")
    return Gated(avellaneda_stoikov(intensity=intensity), intensity), queue_prob_power()
