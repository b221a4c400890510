"""The runs of one command for several symbols in one process: knobs, folders and ends."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.knobs import closest, knobs
from mm.errors import Incomplete, MMError, SafetyError, UsageError, parameter
from mm.play.knobs import Day, Market, Models, OtherMarkets, PerSymbol, Results, Source
from mm.runs.in_progress import Run, new_run
from mm.runs.plan import Plan
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.runs.manifest import SetKnob

_Group = TypeVar("_Group")
_FLAG = parameter("per_symbol")
VARIED = (Market, Execution, Account, Margin, Models, OtherMarkets, Risk)  # may differ between symbols of one account
SHARED = frozenset({"INITIAL_CASH", "ORDER_LIMIT_10S", "ORDER_LIMIT_DAY"})  # of which one account has one


Knobs = Mapping[type, Any]
"""One object of each group of knobs, by its group."""


@dataclass(frozen=True)
class LegSymbol:
    owner: str
    name: str
    symbol: str
    objects: Knobs
    market: str = ""

    @property
    def key(self) -> str:
        return f"{self.symbol}.{self.market}" if self.market else self.symbol

    def day(self, own: Day) -> Day:
        source = next((group_object for group, group_object in self.objects.items() if issubclass(group, Source)), own)
        return replace(
            own,
            symbol=self.symbol,
            data_root=source.data_root,
            out_root=own.out_root / self.market,
            out_dir=own.out_dir and own.out_dir / self.market,
        )


@dataclass(frozen=True)
class SymbolRun:
    day: Day
    opens: AbstractContextManager[Run]
    objects: Knobs
    leg: LegSymbol | None = None

    @property
    def key(self) -> str:
        return self.leg.key if self.leg else self.day.symbol

    def __getitem__(self, group: type[_Group]) -> _Group:
        group_object: _Group = self.objects[group]
        return group_object


def symbol_runs(
    plan: Plan,
    console: Console,
    objects: Sequence[Any],
    varied: Sequence[type],
    legs_of: Callable[[Mapping[str, Knobs]], Mapping[str, LegSymbol]] | None = None,
) -> list[SymbolRun]:
    """Return the run of each symbol, and of further symbols with orders of their strategies; UsageError."""
    common: Knobs = {type(group): group for group in objects}
    given = _read_per_symbol(common[PerSymbol])
    by_symbol = knobs_by_symbol(plan.day.symbol, common, varied)
    legs = legs_of(by_symbol) if legs_of else {}
    for key, leg_symbol in legs.items():
        by_symbol[key] = _own(leg_symbol.symbol, {**common, **leg_symbol.objects}, given.get(key, {}), varied)
    _check_named(given, by_symbol, plan.day.symbol)
    answers: dict[str, Any] = {}
    works = []
    for key, own in by_symbol.items():
        terminal, leg = console if len(by_symbol) == 1 else SymbolConsole(console, key, answers), legs.get(key)
        day = leg.day(plan.day) if leg else replace(plan.day, symbol=key)
        of_symbol = replace(plan, day=day, knobs=_settings(plan.knobs, common, own))
        works.append(SymbolRun(day, new_run(of_symbol, terminal), own, leg))
    return works


def knobs_by_symbol(symbols: str, common: Knobs, varied: Sequence[type]) -> dict[str, Knobs]:
    given = _read_per_symbol(common[PerSymbol])
    return {symbol: _own(symbol, common, given.get(symbol, {}), varied) for symbol in symbols.split(",")}


def account_knobs(symbols: str, objects: Sequence[Any]) -> dict[str, Knobs]:
    """Raise UsageError if PER_SYMBOL names an unknown symbol or knob, or cash, which is the account's."""
    common: Knobs = {type(group): group for group in objects}
    given = _read_per_symbol(common[PerSymbol])
    by_symbol = knobs_by_symbol(symbols, common, VARIED)
    _check_named(given, by_symbol, symbols)
    for symbol, own in given.items():
        if shared := sorted(SHARED & set(own)):
            raise UsageError(
                f"{_FLAG}: {symbol} has {', '.join(shared)}, of which one account has one for all its symbols; "
                f"give it beside --one-account (ONE_ACCOUNT)"
            )
    _check_fits(by_symbol)
    return by_symbol


def _check_fits(by_symbol: Mapping[str, Knobs]) -> None:
    """Raise UsageError if a fit is named by its run."""
    from mm.runs.find import find_fit

    files = dict[str, dict[str, str]]()
    for symbol, own in by_symbol.items():
        fit = own[Models].fill_params_file
        out_root = next(group.out_root for group in own.values() if isinstance(group, Results))
        found = None if fit is None or fit.exists() else find_fit(str(fit), symbol, out_root)
        if found is not None:
            files[symbol] = {"FILL_PARAMS_FILE": str(found)}
    if files:
        raise UsageError(
            "{fill_params_file} names a run, and each symbol of one account has a fit of its own; leave it out, and "
            "give {per_symbol} '{}'",
            json.dumps(files),
        )


def _check_named(given: Collection[str], known: Collection[str], symbols: str) -> None:
    for symbol in given:
        if symbol not in known:
            raise UsageError(f"{_FLAG} names {symbol!r}, which is not in --symbol {symbols}")


def _own(symbol: str, common: Knobs, given: Mapping[str, str], varied: Sequence[type]) -> Knobs:
    known = {knob.variable: knob for group in varied for knob in knobs(group)}
    for name in given.keys() - known.keys():
        near = closest(name.upper(), list(known)) or "; give knobs of strategy and limits, by variable"
        raise UsageError(f"{_FLAG}: {symbol} has the knob {name!r}, which is not one of a symbol{near}")
    values = {known[name].name: known[name].read(text) for name, text in given.items()}
    own: dict[type, Any] = {}
    for group, settings in common.items():
        changes = {name: value for name, value in values.items() if group in varied and hasattr(settings, name)}
        if hasattr(settings, "symbol"):
            changes["symbol"] = symbol
        own[group] = replace(settings, **changes) if changes else settings
    return own


def _read_per_symbol(per_symbol: PerSymbol) -> dict[str, dict[str, str]]:
    given = json.loads(per_symbol.per_symbol or "{}", parse_float=str, parse_int=str)
    for symbol, own in given.items():
        if not isinstance(own, dict):
            raise UsageError(f"{_FLAG}: the value of {symbol} must be an object of knobs, not {own!r}")
    return {
        symbol: {name: value if isinstance(value, str) else json.dumps(value) for name, value in own.items()}
        for symbol, own in given.items()
    }


def _settings(settings: "Mapping[str, SetKnob]", common: Knobs, own: Knobs) -> "dict[str, SetKnob]":
    changed = {
        knob.name: getattr(own[group], knob.name)
        for group, before in common.items()
        for knob in knobs(group)
        if getattr(own[group], knob.name) != getattr(before, knob.name)
    }
    return {name: _set(setting, changed[name]) if name in changed else setting for name, setting in settings.items()}


def _set(before: "SetKnob", value: Any) -> "SetKnob":
    shown = str(value) if isinstance(value, Path) else value
    return replace(before, value=shown, source="flag", is_default=False)


class SymbolConsole(Console):
    """One of several symbols' terminals: lines begin with the symbol, answers are joined."""

    def __init__(self, console: Console, symbol: str, answers: dict[str, Any]) -> None:
        super().__init__(as_json=console.as_json, level=console.level)
        self.prefix = f"{symbol}  "
        self._whole, self._symbol, self._answers = console, symbol, answers

    def print(self, text: str) -> None:
        for line in text.splitlines() or [""]:
            self._whole.print(f"{self.prefix}{line}")

    def set_json(self, content: Mapping[str, Any]) -> None:
        self._answers[self._symbol] = content
        self._whole.set_json({"symbols": self._answers})


def in_each(works: Sequence[SymbolRun], play: Callable[[list[Run]], Sequence[tuple[Run, Callable[[], None]]]]) -> None:
    """Open each symbol's run, play all, and end each run for itself.

    Args:
        works: If one cannot be opened, or *play* raises, all fail with that error.
        play: Returns, in order, each run with the function that writes its results or raises its error.
    """
    errors: list[Exception] = []
    stacks: list[tuple[Run, ExitStack]] = []
    with ExitStack() as together:
        runs = []
        for work in works:
            stack = ExitStack()
            runs.append(stack.enter_context(work.opens))
            together.push(stack)
            stacks.append((runs[-1], stack))
        ends = play(runs)
        together.pop_all()
    for run, end in ends:
        try:
            with next(stack for owner, stack in stacks if owner is run):
                end()
        except Exception as error:  # each run is ended, whatever the end of another; the first error is raised below
            errors.append(error)
    if errors:
        raise _worst(errors)


def _worst(errors: Sequence[Exception]) -> Exception:
    refused = [error for error in errors if isinstance(error, MMError) and error.exit_code == SafetyError.exit_code]
    if len(refused) > 1:
        return Incomplete("; ".join(dict.fromkeys(map(str, refused))), SafetyError.exit_code)
    return refused[0] if refused else errors[0]
