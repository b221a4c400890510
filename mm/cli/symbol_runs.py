"""The runs of one command for several symbols in one process: their knobs, folders and ends."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mm.base.knobs import closest, knobs
from mm.cli.config import Day
from mm.cli.console import Console
from mm.cli.task_knobs import PerSymbol
from mm.errors import Incomplete, MMError, SafetyError, UsageError
from mm.runs.in_progress import Run, new_run
from mm.runs.plan import Plan

if TYPE_CHECKING:
    from mm.runs.manifest import SetKnob

_Group = TypeVar("_Group")
_FLAG = "--per-symbol (PER_SYMBOL)"


@dataclass(frozen=True)
class SymbolRun:
    """The run of one symbol, before its start.

    Attributes:
        day: Its symbol, day and folders.
        opens: Opens the run, and finishes it, or removes its outputs on an error.
        objects: Its knobs, by group.
    """

    day: Day
    opens: AbstractContextManager[Run]
    objects: Mapping[type, Any]

    def __getitem__(self, group: type[_Group]) -> _Group:
        """Return its knobs of a group."""
        found: _Group = self.objects[group]
        return found


def symbol_runs(plan: Plan, console: Console, objects: Sequence[Any], varied: Sequence[type]) -> list[SymbolRun]:
    """Return the run of each symbol of a plan.

    Args:
        plan: The plan, with a list of symbols.
        console: The terminal; with several symbols each line begins with one.
        objects: The knobs, one object of each group, with those of `PerSymbol` among them.
        varied: The groups whose knobs may differ between symbols.

    Raises:
        UsageError: If PER_SYMBOL names an unknown symbol or knob.
    """
    symbols = plan.day.symbol.split(",")
    own = _own_knobs(next(one for one in objects if isinstance(one, PerSymbol)), symbols)
    answers: dict[str, Any] = {}
    found = []
    for symbol in symbols:
        settings, own_objects = dict(plan.knobs), {}
        known = {one.variable: one for group in varied for one in knobs(group)}
        for name in own[symbol].keys() - known.keys():
            raise UsageError(
                f"{_FLAG}: {symbol} has the knob {name!r}, which is not one of a symbol{_near(name, known)}"
            )
        values = {known[name].name: known[name].read(text) for name, text in own[symbol].items()}
        for one in objects:
            changes = {name: value for name, value in values.items() if type(one) in varied and hasattr(one, name)}
            if hasattr(one, "symbol"):
                changes["symbol"] = symbol
            own_objects[type(one)] = replace(one, **changes) if changes else one
            settings |= {name: _set(settings[name], value) for name, value in changes.items()}
        terminal = console if len(symbols) == 1 else SymbolConsole(console, symbol, answers)
        of_symbol = replace(plan, day=replace(plan.day, symbol=symbol), knobs=settings)
        found.append(SymbolRun(of_symbol.day, new_run(of_symbol, terminal), own_objects))
    return found


def _own_knobs(given_by: PerSymbol, symbols: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the knobs of each of *symbols*, as text by variable."""
    given = json.loads(given_by.per_symbol or "{}", parse_float=str, parse_int=str)
    for symbol, own in given.items():
        if symbol not in symbols:
            raise UsageError(f"{_FLAG} names {symbol!r}, which is not in --symbol {','.join(symbols)}")
        if not isinstance(own, dict):
            raise UsageError(f"{_FLAG}: the value of {symbol} must be an object of knobs, not {own!r}")
    return {
        symbol: {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in given.get(symbol, {}).items()
        }
        for symbol in symbols
    }


def _set(before: "SetKnob", value: Any) -> "SetKnob":
    return replace(before, value=value, source=before.source if before.value == value else "flag", is_default=False)


def _near(name: str, known: Mapping[str, Any]) -> str:
    return closest(name.upper(), list(known)) or "; give knobs of strategy and limits, by variable"


class SymbolConsole(Console):
    """The terminal of one symbol among several: its lines begin with the symbol, its answer is one among theirs.

    Args:
        console: The terminal of the command.
        symbol: Upper case.
        answers: The answers by symbol, shared by all.
    """

    def __init__(self, console: Console, symbol: str, answers: dict[str, Any]) -> None:
        super().__init__(as_json=console.as_json, level=console.level)
        self.prefix = f"{symbol}  "
        self._whole, self._symbol, self._answers = console, symbol, answers

    def print(self, text: str) -> None:
        """Print *text*, each line after the symbol."""
        for line in text.splitlines() or [""]:
            self._whole.print(f"{self.prefix}{line}")

    def set_json(self, content: Mapping[str, Any]) -> None:
        """Add the symbol's answer to those of the others."""
        self._answers[self._symbol] = content
        self._whole.set_json({"symbols": self._answers})


def in_each(works: Sequence[SymbolRun], play: Callable[[list[Run]], Sequence[tuple[Run, Callable[[], None]]]]) -> None:
    """Open the run of each symbol, play all, and end each run for itself.

    Args:
        works: The runs. If one cannot be opened, or *play* raises, all of them fail with that error.
        play: Gets the open runs, and returns each with the function that writes its results, or raises its error; they
            are called in this order.

    Raises:
        MMError: The first error of the runs; one that a safety rule caused comes before the others.
    """
    errors: list[Exception] = []
    stacks: dict[str, ExitStack] = {}
    with ExitStack() as together:
        runs = []
        for one in works:
            stack = ExitStack()
            runs.append(stack.enter_context(one.opens))
            together.push(stack)
            stacks[one.day.symbol] = stack
        ends = play(runs)
        together.pop_all()
    for run, end in ends:
        try:
            with stacks[run.symbol]:
                end()
        except Exception as error:  # each run is ended, whatever the end of another; the first error is raised below
            errors.append(error)
    if errors:
        raise _worst(errors)


def _worst(errors: Sequence[Exception]) -> Exception:
    refused = [one for one in errors if isinstance(one, MMError) and one.exit_code == SafetyError.exit_code]
    if len(refused) > 1:
        return Incomplete("; ".join(dict.fromkeys(map(str, refused))), SafetyError.exit_code)
    return refused[0] if refused else errors[0]
