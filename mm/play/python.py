"""``mm.backtest``: ``mm backtest`` as one call, with the same knobs and defaults."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from mm.backtest import replay
from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution, Rules
from mm.base.knobs import knobs, shown
from mm.errors import UsageError
from mm.play.given import groups_of
from mm.play.knobs import Models, Sensitivity
from mm.play.market import Markets
from mm.play.models import check_names
from mm.play.names import construct
from mm.play.play import GivenModels, Play
from mm.play.reused import reuse_said
from mm.play.setup import PlayKnobs
from mm.signals.micro_price import MicroPriceFit
from mm.tape.load import tapes_given
from mm.tape.tape import Tape
from mm.trials.moves import keep_moves
from mm.trials.on_record import Recording
from mm.trials.openings import PYTHON, check_openings, write_openings

if TYPE_CHECKING:
    from mm import _BacktestKnobs
    from mm.backtest.account_result import AccountResult
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.result import Result
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule
    from mm.play.strategy_types import StrategyOrName

GROUPS: tuple[type, ...] = (Execution, Account, Margin, Models, Risk, Sensitivity, AccountTerms)
"""The knobs of a backtest of given tapes; quantity step and minimum notional come from the tape (`mm.load_day`)."""

Step = Callable[[int], None]


def backtest(  # noqa: PLR0913 - arguments that no knob can express
    tape: Tape | Iterable[Tape],
    quotes: "StrategyOrName | Mapping[str, StrategyOrName] | None" = None,
    fills: object = None,
    rules: Rules | None = None,
    *,
    one_account: bool = False,
    per_symbol: Mapping[str, Mapping[str, Any]] | None = None,
    fit: "PoissonFit | Schedule | str | os.PathLike[str] | None" = None,
    intensity: "Intensity | None" = None,
    micro_price: MicroPriceFit | None = None,
    others: Mapping[str, Any] | None = None,
    step: Step | None = None,
    out_root: "str | os.PathLike[str] | None" = None,
    **settings: Unpack["_BacktestKnobs"],
) -> "Result":
    """Replay recorded days with a quote model and a fill model, as ``mm backtest`` does.

    ``mm.backtest(tape)`` runs the default strategy; ``mm.backtest(tape, "glft", order_latency_ms=5, fit=fit)`` sets a
    model, a knob and a fit. Rows, summary and digest of tables equal the command's with the same settings.

    Args:
        tape: One tape, or tapes in order of time; inventory, cash, orders and timers carry over.
        quotes: Name of a quote model, a pair of name and parameters (``("glft", {"gamma": 0.1})``), or an object with
            ``quote(view)``, or its class; None takes the default of ``QUOTE_MODEL``.
        fills: Fill model in the same forms, an object having its hooks; None takes the default of ``FILL_MODEL``.
        rules: All rules in the engine's units, instead of knobs; both models must then be objects.
        one_account: Whether tapes of several symbols are played on the balances of one account, as by ``ONE_ACCOUNT``.
            The result is an `AccountResult`: ``summary``, ``orders``, ``fills``, ``state``, and ``results`` by symbol.
            *quotes* and *fills* are then names or classes, each made once a symbol, or dicts of models by symbol; these
            objects may know each other, as all play on one clock.
        per_symbol: Knobs of single symbols of the account, by symbol and field name.
        fit: A fit or schedule, or its file, like ``--fit`` of the command and ``fill_params_file``.
        intensity: Predicts the expected fills in the summary; None takes the fit's.
        micro_price: The fit of the signal ``micro_price`` (`fit_micro_price` of earlier days), if a quote model reads
            it.
        others: Other markets that the strategy sees, by name: a tape or several, or a dict with ``tape`` and
            ``feed_latency_ms`` and ``orders`` as in ``OTHERS``.
        step: Called with the µs of tape replayed since the last call, for a progress bar; each further backtest adds
            the whole length.
        out_root: Folder of results with the ledger of trials: the backtest is recorded there, and its verdict allows
            for the trials on these days; the symbol's worst moves and queue exponent come from there too. Without it
            nothing is recorded, and no other trial is known.
        settings: Knobs of ``mm backtest`` by field name: numbers, text, or dicts for JSON. The sensitivity makes a
            class again and plays copies of an object, taken beforehand; for an object that cannot be copied it is left
            out, with a warning. ``sensitivity=False`` leaves it out.

    Raises:
        TypeError: If there is no such knob.
        UsageError: If the value of a knob is invalid, or a knob has no effect with the others.
        UnknownModel: If there is no model of that name.
        Mismatch: If the tapes do not follow each other on one grid, or a fit or predictor is of another market.
        FitError: If the fit is not usable.
        ModelError: If a user's model raises, or returns an invalid value.
    """
    if one_account:
        given = {"rules": rules, "fit": fit, "intensity": intensity, "micro_price": micro_price, "others": others}
        check_of_account({**given, "out_root": out_root, "sensitivity": settings.get("sensitivity")})
        together = _one_account(tape, quotes, fills, settings, per_symbol or {}, step)
        return cast("Result", together)  # overloads would hide which knob a type checker refuses
    refuse_of_account(settings, per_symbol)
    if rules is not None:
        unused = {"fit": fit, "micro_price": micro_price, "others": others, "out_root": out_root}
        _check_objects(quotes, fills, settings | unused)
        if isinstance(tape, Tape | Sequence):
            check_openings(tapes_given(tape, "backtest"), None)
        else:
            tape = map(_not_opened, tape)  # one day is in memory at a time
        with reuse_said(quotes, fills) as noted:
            return noted(replay.backtest(tape, quotes, fills, rules, step=step, intensity=intensity))
    tapes = tapes_given(tape, "backtest")
    check_openings(tapes, out_root)
    quoting = _without_parameters(quotes, "quote_params_json", settings)
    filling = _without_parameters(fills, "fill_params_json", settings)
    given = _with_names({"quote_model": quoting, "fill_model": filling}, settings)
    fitted = None if isinstance(fit, str | os.PathLike) else fit
    if fit is not None and (given.get("fill_params_file") or given.get("fill_params_json")):
        raise UsageError("a fit was given, and fill_params_file or fill_params_json as well; give one of them")
    if isinstance(fit, str | os.PathLike):
        given["fill_params_file"] = os.fspath(fit)
    execution, account, margin, models, risk, sensitivity, _ = groups_of(GROUPS, given, "mm.backtest")
    check_names(models)
    if out_root is not None:
        named = models.fill_model if filling is None or isinstance(filling, str) else None
        sensitivity = as_on_record(sensitivity, tapes, Path(out_root), named)
    played = PlayKnobs(execution=execution, account=account, margin=margin, models=models, risk=risk)
    markets = Markets.given(tapes, others or {}, micro_price)
    play = Play.of(played, markets, fitted, sensitivity, GivenModels(quoting, filling, intensity))
    with reuse_said(quoting, filling) as noted:
        return noted(run_play(play, out_root, step))


def run_play(play: Play, out_root: "str | os.PathLike[str] | None", step: Step | None) -> "Result":
    """Play, and with an *out_root* record the trial there."""
    if out_root is None:
        return play.run(step)
    from mm.play.design import Design, recorded  # they need the play

    recording, design = Recording(Path(out_root), PYTHON), Design.of_play(play)
    recording.problems += write_openings(Path(out_root), play.tapes, recording.made_by)
    keep_moves(Path(out_root), play.tapes)
    return play.with_further(recorded(play.run_base(step), design, recording), step)


_ACCOUNT = tuple(knob.name for knob in knobs(AccountTerms))


def refuse_of_account(settings: Mapping[str, Any], per_symbol: object) -> None:
    """Refuse the knobs of an account where each tape is of one symbol alone."""
    if names := [*(["per_symbol"] if per_symbol else []), *(name for name in _ACCOUNT if name in settings)]:
        raise UsageError(f"{', '.join(names)} would have no effect without one_account=True; leave it out")


def check_of_account(given: Mapping[str, object]) -> None:
    if names := [name for name, value in given.items() if value]:
        raise UsageError(
            f"one_account=True does not take {', '.join(names)}; give knobs, and one symbol's by per_symbol "
            f"(a fit by fill_params_file)"
        )


def _one_account(
    tape: Tape | Iterable[Tape],
    quotes: object,
    fills: object,
    settings: Mapping[str, Any],
    per_symbol: Mapping[str, Mapping[str, Any]],
    step: Step | None,
) -> "AccountResult":
    from mm.play.account_play import AccountPlay  # most backtests are of one symbol

    by_symbol = of_symbols(map(_not_opened, [tape] if isinstance(tape, Tape) else tape), per_symbol)
    plays, limits = {}, AccountTerms()
    for symbol, tapes in by_symbol.items():
        own = {**settings, **per_symbol.get(symbol, {})}
        quoting = _without_parameters(of_symbol(quotes, symbol, "quotes"), "quote_params_json", own)
        filling = _without_parameters(of_symbol(fills, symbol, "fills"), "fill_params_json", own)
        given = _with_names({"quote_model": quoting, "fill_model": filling}, own)
        execution, account, margin, models, risk, _, limits = groups_of(GROUPS, given, "mm.backtest")
        check_names(models)
        knobs_of_symbol = PlayKnobs(execution=execution, account=account, margin=margin, models=models, risk=risk)
        markets = Markets.given(tapes_given(tapes, "backtest"), {})
        plays[symbol] = Play.of(knobs_of_symbol, markets, given=GivenModels(quoting, filling))
    return AccountPlay.of(plays, limits).run(step)


def of_symbols(
    tapes: Tape | Iterable[Tape], per_symbol: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, list[Tape]]:
    """Return the tapes of an account by symbol, of which there are two or more, in the order of their names."""
    by_symbol: dict[str, list[Tape]] = {}
    for one in [tapes] if isinstance(tapes, Tape) else tapes:
        by_symbol.setdefault(one.symbol, []).append(one)
    if len(by_symbol) < 2:
        raise UsageError(f"one_account=True needs tapes of two symbols at least, not of {', '.join(by_symbol)} alone")
    if unknown := [symbol for symbol in per_symbol or {} if symbol not in by_symbol]:
        raise UsageError(f"per_symbol names {', '.join(unknown)}, of which there is no tape")
    return dict(sorted(by_symbol.items()))  # another order is no other account


def of_symbol(model: object, symbol: str, argument: str) -> object:
    if isinstance(model, Mapping):
        if symbol not in model:
            raise UsageError(
                f"{argument} has no model of {symbol}; give one of each symbol, or a name or a class for all"
            )
        return model[symbol]
    if model is None or isinstance(model, str | type | tuple):
        return model
    raise UsageError(f"{argument} is one object for several symbols; give a dict of objects by symbol, or its class")


def as_on_record(sensitivity: Sensitivity, tapes: Sequence[Tape], out_root: Path, fills: str | None) -> Sensitivity:
    tape = tapes[0]
    about = {"out_root": out_root, "symbol": tape.symbol, "day": tape.days[0], "fill_model": fills}
    return replace(sensitivity, **Sensitivity.resolved({**asdict(sensitivity), **about}))


def _not_opened(tape: Tape) -> Tape:
    check_openings([tape], None)
    return tape


def _knob_list() -> str:
    every = (knob for group in GROUPS for knob in knobs(group))
    return "\n".join(f"    {one.name} [{shown(one.default) or 'None'}]: {one.help}" for one in every)


if backtest.__doc__:  # none under python -OO
    backtest.__doc__ = f"{inspect.cleandoc(backtest.__doc__)}\n\nSettings, with their defaults:\n{_knob_list()}\n"


def _with_names(named: Mapping[str, object], settings: Mapping[str, Any]) -> dict[str, Any]:
    for knob, model in named.items():
        if model is not None and knob in settings:
            raise UsageError(
                f"{knob} is {settings[knob]!r}, but a model was given as well ({model!r}); give one of them"
            )
    return {**settings, **{knob: model for knob, model in named.items() if isinstance(model, str)}}


def _without_parameters(model: object, knob: str, settings: Any) -> object:
    """Parameters move into the *knob*'s value; a class, or a pair with one, becomes a factory."""
    match model:
        case type() as kind:
            return partial(construct, kind, {}, knob)
        case (type() as kind, Mapping() as parameters):
            return partial(construct, kind, parameters, knob)
        case (str() as name, Mapping() as parameters):
            if knob in settings:
                raise UsageError(f"{knob} is given, and parameters with {name!r} as well; give one of them")
            settings[knob] = parameters
            return name
        case tuple():
            raise UsageError(f"the model is {model!r}; a tuple must be a name or a class, and a dict of parameters")
    return model


def _check_objects(quotes: object, fills: object, settings: Mapping[str, Any]) -> None:
    """Refuse knobs, fits and names of models beside *rules*, which leave them without effect."""
    names = [name for name, value in settings.items() if value is not None]
    if names:
        raise UsageError(f"rules set every term, so {', '.join(names)} would have no effect; give rules or knobs")
    for knob, model in (("quotes", quotes), ("fills", fills)):
        if model is None or isinstance(model, str):
            raise UsageError(f"{knob} is {model!r}; with rules it must be a model, such as an instance of your class")


def _signature() -> inspect.Signature:
    plain = inspect.signature(backtest)
    fixed = [
        parameter for parameter in plain.parameters.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    named = [
        inspect.Parameter(knob.name, inspect.Parameter.KEYWORD_ONLY, default=knob.default)
        for group in GROUPS
        for knob in knobs(group)
    ]
    return plain.replace(parameters=[*fixed, *named])


backtest.__signature__ = _signature()  # type: ignore[attr-defined]
